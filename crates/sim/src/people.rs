//! What people do: each reads what is so, builds one statement and signs it.

use crate::{
    cast::{Cast, SHOP, WEB, Who, app, app_of, prod, target, version},
    script::{Besides, Deed},
};
use api::write::{Submission, Text};
use domain::{
    command::{Actor, Context, Signed},
    decide::preview,
    planned::Planned,
    rules::presence::Away,
    state::{Deployment, Freeze as Frozen, Progress, State},
};
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use trust::{
    Digest, PersonName, TargetName,
    freeze::{Exception, Freeze, Lift, Terms},
    key::Signer,
    statement::{Act, Administration, AdministrationAct, Order, OrderAct, Outcome, RequestId},
};

/// What a submission was answered.
#[derive(Clone, Debug)]
pub enum Told {
    /// It is this entry.
    Accepted { number: u64, payload: Digest },
    /// It is none.
    Refused { code: String },
}

/// Why anybody does anything.
fn reason() -> Text {
    Text { salt: "00".repeat(16), text: "it seemed best".into() }
}

/// What somebody signs and sends.
pub struct Saying {
    /// Who.
    pub who: Who,
    /// What.
    pub submission: Submission,
    /// The plan that they have seen, where they order exactly that, and for how long they think it over.
    pub planned: Option<(Planned, u64)>,
}

/// What is signed and sent for a deed of the script; nothing where there is nothing to do it to.
pub fn sign(cast: &Cast, (state, away): (&State, &Away), deed: &Deed, id: usize, now: Timestamp) -> Option<Saying> {
    if let Deed::Join { target } = deed {
        let envelope = cast.join(*target, &format!("sim:{id}"), now).ok()?;
        let (attachments, texts) = (BTreeMap::new(), BTreeMap::new());
        let submission = Submission { envelope, attachments, texts, claim: None };
        return Some(Saying { who: Who::Newcomer, submission, planned: None });
    }
    if *deed == Deed::Recharter {
        let is_new = state.policy.as_ref().is_some_and(|policy| policy.record.version == 1);
        let later = cast.later.as_ref().filter(|_| is_new)?;
        let submission = cast.apply(later, &format!("sim:{id}"), now).ok()?;
        return Some(Saying { who: Who::Boss, submission, planned: None });
    }
    let (place, deed) = match deed {
        Deed::OfPackage(deed) => (SHOP, &**deed),
        deed => (WEB, deed),
    };
    let (who, subject, mut act) = said(cast, state, place, deed, now)?;
    let planned = plan((state, away), deed, who, subject, &mut act, now);
    let envelope = cast.sign(subject, act, &format!("sim:{id}"), now, &[&who.key()]).ok()?;
    let texts = match gives_a_reason(deed) {
        true => [(reason().digest(), reason())].into(),
        false => BTreeMap::new(),
    };
    let submission = Submission { envelope, attachments: BTreeMap::new(), texts, claim: None };
    Some(Saying { who, submission, planned })
}

/// Has the order be for exactly what it would do now, where its signer wants that.
fn plan(
    (state, away): (&State, &Away),
    deed: &Deed,
    who: Who,
    subject: Digest,
    act: &mut Act,
    now: Timestamp,
) -> Option<(Planned, u64)> {
    let (Deed::Order { besides, .. }, Act::Order(order)) = (deed, act) else { return None };
    let thinks = besides.thinks?;
    let name = PersonName::new(who.name()).ok()?;
    let roles = state.policy.as_ref()?.directory.roles(&name);
    let actor = Actor::Person { name, key: who.key().public().id(), roles };
    let request_id = RequestId::new("plan").ok()?;
    let (now, away) = (now.max(state.head.time), Arc::new(away.clone()));
    let context = Context { now, actor, request_id, payload: None, away, lost: Default::default() };
    // What would be refused cannot be planned: whoever orders it all the same hears so.
    let planned = preview(state, &context, Signed { subject, act: order.clone() }).ok()?.planned;
    order.plan = Some(planned.id());
    Some((planned, thinks))
}

fn gives_a_reason(deed: &Deed) -> bool {
    matches!(
        deed,
        Deed::Abort { .. } | Deed::Pause { .. } | Deed::Exclude { .. } | Deed::Freeze { .. } | Deed::Except { .. }
    )
}

fn said(cast: &Cast, state: &State, place: usize, deed: &Deed, now: Timestamp) -> Option<(Who, Digest, Act)> {
    let in_prod = state.in_audience(&app(place), &prod());
    let requests = |index: usize| {
        let in_prod = state.in_audience(&app_of(index), &prod());
        in_prod.and_then(|record| record.requests.get(&version(index))).cloned().unwrap_or_default()
    };
    let administer = |who: Who, act| (who, cast.estate, Act::Administration(Administration { act }));
    let reason = reason().digest();
    Some(match deed {
        Deed::Request { version, minutes } => {
            let serial = requests(*version).len() as u64 + 1;
            let holds = SignedDuration::from_mins(*minutes as i64);
            let mut act = cast.request(*version, serial, now, holds).ok()?;
            if let (Act::Request(request), Some(policy)) = (&mut act, &state.policy) {
                request.charter_version = policy.record.version;
            }
            (Who::Coder, cast.builds[*version], act)
        }
        Deed::Approve { who, version } => (*who, *requests(*version).last()?, cast.approval(*version)),
        Deed::Order { who, version, act, besides } => {
            (*who, cast.builds[*version], cast.order(app_of(*version), *act, besides, now))
        }
        Deed::Operate { who, act } => {
            let running = running(state, place);
            let on_how_many = |build: &&Digest| running.iter().filter(|other| other == build).count();
            (*who, *running.iter().max_by_key(on_how_many)?, cast.order(app(place), *act, &Besides::default(), now))
        }
        Deed::Switch { who } => {
            (*who, standing_by(state)?, cast.order(app(place), OrderAct::Switch, &Besides::default(), now))
        }
        Deed::RollBack { who, keep_data } => {
            let running = running(state, place);
            let settled = &in_prod?.settled;
            let stands_by = standing_by(state).filter(|build| settled.contains(build));
            let before = settled.iter().rev().find(|build| !running.contains(build)).or(settled.last());
            let before = stands_by.as_ref().or(before)?;
            // What stands by is there already, and only has to be let serve.
            let act = if stands_by.is_some() { OrderAct::Switch } else { OrderAct::Rollback };
            let mut act = cast.order(app(place), act, &Besides::default(), now);
            if let Act::Order(order) = &mut act {
                order.keep_data = *keep_data;
            }
            (*who, *before, act)
        }
        Deed::Withdraw { who, version } => {
            let through = requests(*version).len() as u64;
            (through > 0).then(|| (*who, cast.builds[*version], cast.withdrawal(*version, through)))?
        }
        Deed::LiftHold { who } => {
            let act = AdministrationAct::LiftHold { app: app(place), environment: prod(), build: None, reason: None };
            administer(*who, act)
        }
        Deed::Abort { who } => {
            let act = AdministrationAct::AbortDeployment { deployment: open(state, place)?, reason: Some(reason) };
            administer(*who, act)
        }
        Deed::Pause { who } => {
            administer(*who, AdministrationAct::PauseDeployment { deployment: open(state, place)?, reason })
        }
        Deed::Resume { who } => {
            administer(*who, AdministrationAct::ResumeDeployment { deployment: open(state, place)?, reason: None })
        }
        Deed::Exclude { who, target: index } => {
            let (deployment, target) = (open(state, place)?, target(*index));
            administer(*who, AdministrationAct::ExcludeTarget { deployment, target, reason })
        }
        Deed::Retry { who } => {
            let wanting = |(_, deployment): &(&u64, &Deployment)| !may_try_again(deployment).is_empty();
            let (number, deployment) = state.deployments.iter().rev().find(wanting)?;
            let app = deployment.app.clone();
            let only = may_try_again(deployment);
            let is_cordoned = |name: &TargetName| state.targets.get(name).is_some_and(|target| target.cordoned);
            let (kept_out, open): (BTreeSet<_>, BTreeSet<_>) = only.into_iter().partition(is_cordoned);
            let only = if open.is_empty() { kept_out } else { open };
            let order = Order { retries: Some(*number), only, ..Order::new(app, prod(), deployment.act) };
            (*who, deployment.build, cast.written_out(order, now))
        }
        Deed::Freeze { who, minutes } => {
            let from = Timestamp::from_second(now.as_second()).ok()?;
            let until = from.checked_add(SignedDuration::from_mins(*minutes as i64)).ok()?;
            let environments = [prod()].into();
            let terms = Terms { environments, apps: BTreeSet::new(), from, until, reason };
            (*who, cast.estate, Act::Freeze(Freeze::Declare(terms)))
        }
        Deed::LiftFreeze { who } => {
            (*who, newest_freeze(state)?.known.freeze, Act::Freeze(Freeze::Lift(Lift { reason: None })))
        }
        Deed::Except { who, version: index } => {
            let freeze = newest_freeze(state)?.known.freeze;
            let exception = Exception { freeze, app: app_of(*index), version: version(*index), reason };
            (*who, cast.builds[*index], Act::Freeze(Freeze::Except(exception)))
        }
        Deed::Cordon { who, target: index, cordoned } => {
            let (target, cordoned) = (target(*index), *cordoned);
            administer(*who, AdministrationAct::CordonTarget { target, cordoned, reason: None })
        }
        Deed::Retire { target: index } => {
            administer(Who::Boss, AdministrationAct::RetireTarget { target: target(*index) })
        }
        Deed::Join { .. }
        | Deed::OfPackage(_)
        | Deed::Recharter
        | Deed::Vanish { .. }
        | Deed::KillServer { .. }
        | Deed::KillAgent { .. }
        | Deed::CutOff { .. }
        | Deed::FillDisk { .. }
        | Deed::FillLedger { .. }
        | Deed::SetClock { .. } => return None,
    })
}

/// What runs on each target that has something; of the package, what was brought last.
fn running(state: &State, place: usize) -> Vec<Digest> {
    if place == SHOP {
        let standing = state.in_audience(&app(SHOP), &prod()).and_then(|record| record.standing);
        let standing = standing.and_then(|number| state.deployments.get(&number));
        return standing.map(|standing| standing.build).into_iter().collect();
    }
    state.targets.keys().filter_map(|name| state.running(&app(place), name)).map(|running| running.build).collect()
}

/// What stands by, and came last.
fn standing_by(state: &State) -> Option<Digest> {
    let prod = prod();
    let running = state.targets_in(&prod).filter_map(|(name, _)| state.running(&app(WEB), name));
    let standby = running.filter(|running| running.standby && !running.stopped);
    standby.max_by_key(|running| running.deployment).map(|running| running.build)
}

/// The deployment that people speak of: the one under way, or else one that stands.
fn open(state: &State, place: usize) -> Option<u64> {
    let under_way = state.in_audience(&app(place), &prod()).and_then(|record| record.open_deployment);
    under_way.or_else(|| state.open_deployments.get_max().copied())
}

fn newest_freeze(state: &State) -> Option<&Frozen> {
    state.freezes.values().filter(|freeze| !freeze.known.lifted).max_by_key(|freeze| freeze.number)
}

/// The targets that did not get it, or were left out.
fn may_try_again(deployment: &Deployment) -> BTreeSet<TargetName> {
    let missed = deployment.parts.iter().filter(|(_, part)| match &part.progress {
        Progress::Finished(outcome) => *outcome != Outcome::Verified,
        _ => part.aside.is_some(),
    });
    missed.map(|(name, _)| name.clone()).collect()
}
