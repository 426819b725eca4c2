//! The rules, one a file: each says its sentence and its R-number on top, looks, and refuses or lets pass.
//!
//! [`may_run`] is the ladder a deployment climbs, in this order: whose it is to deploy, what it is (checkpoint), the release
//! of whoever made it (vendor), permission (permit or unreleased), promotion, evidence, hold, and for a package each member.
//! [`moment`] says whether this is the moment. Placement, config and needs follow once it is known where it would go.

pub mod approvals;
pub mod checkpoints;
pub mod configuration;
pub mod deployers;
pub mod entitlement;
pub mod evidence;
pub mod expiry;
pub mod freezes;
pub mod holds;
pub mod late;
pub mod lifetime;
pub mod migrations;
pub mod names;
pub mod numbering;
pub mod owners;
pub mod packages;
pub mod passed;
pub mod permits;
pub mod placement;
pub mod places;
pub mod presence;
pub mod promotion;
pub mod restored;
pub mod retention;
pub mod retired;
pub mod rights;
pub mod rollback;
pub mod rollout;
pub mod schedule;
pub mod sides;
pub mod soak;
pub mod unreleased;
pub mod vendors;
pub mod ways;
pub mod windows;

use crate::{
    command::Signed,
    refusal::Refusal,
    state::{Build, Deployment, Policy, State},
};
use jiff::Timestamp;
use trust::{
    AppName, AudienceName, Digest, Version,
    schedule::Schedule,
    statement::{Order, OrderAct},
};

/// What would run where.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The application.
    pub app: &'a AppName,
    /// The build.
    pub build: Digest,
    /// What is known of it.
    pub record: &'a Build,
    /// The environment or channel.
    pub audience: &'a AudienceName,
    /// What is to be done with it.
    pub act: OrderAct,
    /// The package that brings it, where the order for it is a package's.
    pub package: Option<(&'a AppName, Digest)>,
}

impl<'a> Candidate<'a> {
    /// What a deployment brings. Fails where its build is not known.
    pub fn of(state: &'a State, deployment: &'a Deployment) -> Result<Self, Refusal> {
        Ok(Self {
            app: &deployment.app,
            build: deployment.build,
            record: names::build(state, &deployment.app, &deployment.build)?,
            audience: &deployment.environment,
            act: Self::judged_as(state, &deployment.app, &deployment.environment, deployment.build, deployment.act),
            package: deployment.package.as_ref().map(|of| (&of.app, of.build)),
        })
    }

    /// What an order is about. Fails where its build is not known.
    pub fn ordered(state: &'a State, signed: &'a Signed<Order>) -> Result<Self, Refusal> {
        let Signed { subject, act: order } = signed;
        Ok(Self {
            app: &order.app,
            build: *subject,
            record: names::build(state, &order.app, subject)?,
            audience: &order.environment,
            act: Self::judged_as(state, &order.app, &order.environment, *subject, order.act),
            package: None,
        })
    }

    /// As what an act is judged: a switch lets what stands by serve, so it asks for all that a deployment asks for, and for
    /// what settled there before no more than a rollback does.
    fn judged_as(state: &State, app: &AppName, environment: &AudienceName, build: Digest, act: OrderAct) -> OrderAct {
        let has_settled = || state.in_audience(app, environment).is_some_and(|here| here.settled.contains(&build));
        match act {
            OrderAct::Switch if has_settled() => OrderAct::Rollback,
            OrderAct::Switch => OrderAct::Deploy,
            act => act,
        }
    }

    /// The number of the build, if it has one.
    pub fn version(&self) -> Option<&Version> {
        self.record.version.as_ref()
    }
}

/// One rule's verdict, for `sortie why`: what is so when it is met, or the refusal.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The rule's name: its file's.
    pub rule: &'static str,
    /// What is so, or why not.
    pub verdict: Result<String, Refusal>,
}

/// Every rule about whether the candidate may run there at all, each looked at on its own.
pub fn verdicts(state: &State, policy: &Policy, candidate: &Candidate<'_>, now: Timestamp) -> Vec<Verdict> {
    let verdict = |rule, verdict| Verdict { rule, verdict };
    let mut verdicts = Vec::new();
    // Nearly always both are so, and then nobody asks.
    let retired = retired::takes_something_new(candidate.app, state.apps.get(candidate.app));
    verdicts.extend(retired.err().map(|refusal| verdict("retired", Err(refusal))));
    verdicts
        .extend(deployers::deployed_by_us(policy, candidate).err().map(|refusal| verdict("deployers", Err(refusal))));
    verdicts.push(verdict("checkpoints", checkpoints::has_something_to_install(candidate)));
    verdicts.extend(retention::bytes_are_here(candidate).err().map(|refusal| verdict("retention", Err(refusal))));
    if let Some(vendor) = policy.charter.vendor_of(candidate.app).map(|(name, _)| name) {
        let released = vendors::released(state, policy, candidate, now);
        verdicts.push(verdict("vendors", released.map(|by| format!("released by {vendor}{by}"))));
    }
    if unreleased::accepted(policy, candidate.audience) {
        verdicts.push(verdict("unreleased", Ok(format!("{} accepts unreleased builds", candidate.audience))));
    } else {
        verdicts.push(verdict("permits", permits::live(state, policy, candidate, now)));
        let way = ways::of(state, policy, candidate, now);
        verdicts.push(verdict("promotion", promotion::verified_before(state, policy, candidate, way)));
        verdicts.extend(
            evidence::of_all(state, policy, candidate, way, now).into_iter().map(|found| verdict("evidence", found)),
        );
    }
    verdicts.push(verdict("holds", holds::not_held(state, candidate)));
    if !candidate.record.facts.package.is_empty() {
        verdicts.push(verdict("packages", packages::members_may_run(state, policy, candidate, now)));
    }
    verdicts
}

/// Every rule about whether the candidate may be activated at this moment, each looked at on its own: what may run there
/// may have to wait.
pub fn moment(
    state: &State,
    policy: &Policy,
    candidate: &Candidate<'_>,
    schedule: &Schedule,
    now: Timestamp,
) -> Vec<Verdict> {
    let way = ways::of(state, policy, candidate, now);
    // Until when this order stands says nothing of when the next one may come.
    let any_time = Schedule { expires: None, ..schedule.clone() };
    let opens = || schedule::opens(state, policy, candidate, way, &any_time, now);
    let open = windows::one_is_open(policy, candidate, way, schedule, now, opens);
    let freezes = freezes::each(state, policy, candidate, way, now, opens);
    let freezes = freezes.into_iter().map(|verdict| Verdict { rule: "freezes", verdict });
    std::iter::once(Verdict { rule: "windows", verdict: open }).chain(freezes).collect()
}

/// Fails with the first verdict of [`moment`] that is a refusal.
pub fn is_moment(
    state: &State,
    policy: &Policy,
    candidate: &Candidate<'_>,
    schedule: &Schedule,
    now: Timestamp,
) -> Result<(), Refusal> {
    for verdict in moment(state, policy, candidate, schedule, now) {
        verdict.verdict?;
    }
    Ok(())
}

/// Fails with the first verdict that is a refusal.
pub fn may_run(state: &State, policy: &Policy, candidate: &Candidate<'_>, now: Timestamp) -> Result<(), Refusal> {
    for verdict in verdicts(state, policy, candidate, now) {
        verdict.verdict?;
    }
    Ok(())
}
