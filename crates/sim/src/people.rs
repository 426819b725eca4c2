//! What people do: each reads what is so, builds one statement and signs it.

use crate::{
    cast::{Cast, Who, app, prod, target, version},
    script::{Besides, Deed},
};
use api::write::{Submission, Text};
use domain::state::{Deployment, Freeze as Frozen, Progress, State};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use trust::{
    Digest, TargetName,
    freeze::{Exception, Freeze, Lift, Terms},
    statement::{Act, Administration, AdministrationAct, Order, OrderAct, Outcome},
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

/// Who does a deed of the script, and what they sign and send for it; nothing where there is nothing to do it to.
pub fn sign(cast: &Cast, state: &State, deed: &Deed, id: usize, now: Timestamp) -> Option<(Who, Submission)> {
    if let Deed::Join { target } = deed {
        let envelope = cast.join(*target, &format!("sim:{id}"), now).ok()?;
        let (attachments, texts) = (BTreeMap::new(), BTreeMap::new());
        return Some((Who::Newcomer, Submission { envelope, attachments, texts, claim: None }));
    }
    let (who, subject, act) = said(cast, state, deed, now)?;
    let envelope = cast.sign(subject, act, &format!("sim:{id}"), now, &[&who.key()]).ok()?;
    let texts = match gives_a_reason(deed) {
        true => [(reason().digest(), reason())].into(),
        false => BTreeMap::new(),
    };
    Some((who, Submission { envelope, attachments: BTreeMap::new(), texts, claim: None }))
}

fn gives_a_reason(deed: &Deed) -> bool {
    matches!(
        deed,
        Deed::Abort { .. } | Deed::Pause { .. } | Deed::Exclude { .. } | Deed::Freeze { .. } | Deed::Except { .. }
    )
}

fn said(cast: &Cast, state: &State, deed: &Deed, now: Timestamp) -> Option<(Who, Digest, Act)> {
    let in_prod = state.in_audience(&app(), &prod());
    let requests =
        |index: usize| in_prod.and_then(|record| record.requests.get(&version(index))).cloned().unwrap_or_default();
    let administer = |who: Who, act| (who, cast.estate, Act::Administration(Administration { act }));
    let reason = reason().digest();
    Some(match deed {
        Deed::Request { version, minutes } => {
            let serial = requests(*version).len() as u64 + 1;
            let holds = SignedDuration::from_mins(*minutes as i64);
            (Who::Coder, cast.builds[*version], cast.request(*version, serial, now, holds).ok()?)
        }
        Deed::Approve { who, version } => (*who, *requests(*version).last()?, cast.approval(*version)),
        Deed::Order { who, version, act, besides } => (*who, cast.builds[*version], cast.order(*act, besides, now)),
        Deed::RollBack { who } => {
            let running: Vec<Digest> = (state.targets.keys())
                .filter_map(|name| state.running(&app(), name))
                .map(|running| running.build)
                .collect();
            let settled = &in_prod?.settled;
            let before = settled.iter().rev().find(|build| !running.contains(build)).or(settled.last())?;
            (*who, *before, cast.order(OrderAct::Rollback, &Besides::default(), now))
        }
        Deed::Withdraw { who, version } => {
            let through = requests(*version).len() as u64;
            (through > 0).then(|| (*who, cast.builds[*version], cast.withdrawal(*version, through)))?
        }
        Deed::LiftHold { who } => {
            let act = AdministrationAct::LiftHold { app: app(), environment: prod(), build: None, reason: None };
            administer(*who, act)
        }
        Deed::Abort { who } => {
            let act = AdministrationAct::AbortDeployment { deployment: open(state)?, reason: Some(reason) };
            administer(*who, act)
        }
        Deed::Pause { who } => {
            administer(*who, AdministrationAct::PauseDeployment { deployment: open(state)?, reason })
        }
        Deed::Resume { who } => {
            administer(*who, AdministrationAct::ResumeDeployment { deployment: open(state)?, reason: None })
        }
        Deed::Exclude { who, target: index } => {
            let (deployment, target) = (open(state)?, target(*index));
            administer(*who, AdministrationAct::ExcludeTarget { deployment, target, reason })
        }
        Deed::Retry { who } => {
            let wanting = |(_, deployment): &(&u64, &Deployment)| !may_try_again(deployment).is_empty();
            let (number, deployment) = state.deployments.iter().rev().find(wanting)?;
            let only = may_try_again(deployment);
            let order = Order { retries: Some(*number), only, ..Order::new(app(), prod(), deployment.act) };
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
            let exception = Exception { freeze, app: app(), version: version(*index), reason };
            (*who, cast.builds[*index], Act::Freeze(Freeze::Except(exception)))
        }
        Deed::Cordon { who, target: index, cordoned } => {
            let (target, cordoned) = (target(*index), *cordoned);
            administer(*who, AdministrationAct::CordonTarget { target, cordoned, reason: None })
        }
        Deed::Join { .. }
        | Deed::KillServer { .. }
        | Deed::KillAgent { .. }
        | Deed::CutOff { .. }
        | Deed::FillDisk { .. }
        | Deed::FillLedger { .. }
        | Deed::SetClock { .. } => return None,
    })
}

/// The deployment that people speak of: the one under way, or else one that stands.
fn open(state: &State) -> Option<u64> {
    let under_way = state.in_audience(&app(), &prod()).and_then(|record| record.open_deployment);
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
