//! While a freeze is on, nothing new is activated in the environments it names (R1): no deployment begins or goes on, and
//! no new config. Undo, rollback, stop, start, restart and removal go on, and so does what somebody who may excepts.
//! Targets keep freezes and ask the same function.

use super::{Candidate, permits, ways};
use crate::{
    refusal::{Frozen, Refusal, Right},
    rules::rights,
    state::{Freeze, Policy, State},
};
use jiff::Timestamp;
use trust::{
    AppName, AudienceName, Digest, PersonName, Version,
    freeze::{Activation, Terms, brings_something_new},
    way::{Waiver, Way},
};

/// What each freeze that is on says of the candidate at `now`, those that stop it longest first; one that is met where none stops
/// it. Each fails, unless its way waives freezes.
pub fn each(
    state: &State,
    policy: &Policy,
    candidate: &Candidate<'_>,
    way: Way,
    now: Timestamp,
    opens: impl Fn() -> Option<Timestamp>,
) -> Vec<Result<String, Refusal>> {
    let stopping = all_stopping(state, policy, candidate, now);
    if stopping.is_empty() {
        return vec![Ok("no freeze is on".into())];
    }
    if ways::waives(policy, candidate, way, &Waiver::Freezes) {
        let waived = |freeze: &&Freeze| Ok(format!("freeze {} is on: waived by {way}", freeze.number));
        return stopping.iter().map(waived).collect();
    }
    let opens = opens();
    stopping.into_iter().map(|freeze| Err(frozen(state, policy, candidate, freeze, opens, now))).collect()
}

fn frozen(
    state: &State,
    policy: &Policy,
    candidate: &Candidate<'_>,
    stopping: &Freeze,
    opens: Option<Timestamp>,
    now: Timestamp,
) -> Refusal {
    let environment = policy.charter.environments.get(candidate.audience);
    let terms = &stopping.known.terms;
    // Where the freeze is about the package that brings it, that is what may be excepted; where a package was ordered, and the freeze is
    // about that as well, one exception is enough.
    let is_meant = |(package, _): &(&AppName, Digest)| {
        !terms.concerns(candidate.app) || candidate.package.is_some() && terms.concerns(package)
    };
    let package = brought_by(state, policy, candidate, now).filter(is_meant);
    let (app, version) = match package {
        Some((app, build)) => (app, version_of(state, app, &build)),
        None => (candidate.app, candidate.version()),
    };
    Refusal::Frozen(Box::new(Frozen {
        app: app.clone(),
        version: version.cloned(),
        by_name: !terms.apps.is_empty(),
        environment: candidate.audience.clone(),
        freeze: stopping.number,
        reason: stopping.known.terms.reason,
        said: None,
        until: stopping.known.terms.until,
        opens,
        lift: environment.map(|environment| environment.freeze_rule().clone()),
    }))
}

/// The freeze that stops the candidate longest, whatever its way.
pub fn stopping<'a>(
    state: &'a State,
    policy: &Policy,
    candidate: &Candidate<'_>,
    now: Timestamp,
) -> Option<&'a Freeze> {
    all_stopping(state, policy, candidate, now).into_iter().next()
}

/// Every freeze that stops the candidate, whatever its way: the one that does so longest is the first.
fn all_stopping<'a>(state: &'a State, policy: &Policy, candidate: &Candidate<'_>, now: Timestamp) -> Vec<&'a Freeze> {
    let environment = policy.charter.environments.get(candidate.audience);
    let Some(environment) = environment.filter(|_| brings_something_new(candidate.act)) else { return Vec::new() };
    let activation = Activation {
        environment: candidate.audience,
        class: environment.class,
        app: candidate.app,
        build: candidate.build,
    };
    // Who excepts a package excepts what it brings, and who freezes a package freezes it there.
    let package = brought_by(state, policy, candidate, now);
    let of_package = package.map(|(app, build)| Activation { app, build, ..activation });
    let stops = |freeze: &&Freeze| {
        let known = &freeze.known;
        let is_excepted = package.is_some_and(|(_, build)| known.excepted.contains(&build));
        let stops_package = || {
            let is_let_pass = known.excepted.contains(&candidate.build);
            of_package.as_ref().is_some_and(|package| !is_let_pass && known.stops(package, now))
        };
        !is_excepted && (known.stops(&activation, now) || stops_package())
    };
    let mut stopping: Vec<&Freeze> = state.freezes.values().filter(stops).collect();
    stopping.sort_by_key(|freeze| (std::cmp::Reverse(freeze.known.terms.until), freeze.number));
    stopping
}

/// The package that brings a candidate: the one that was ordered, or the one by whose permit it runs where that is not its own.
fn brought_by<'a>(
    state: &'a State,
    policy: &Policy,
    candidate: &Candidate<'a>,
    now: Timestamp,
) -> Option<(&'a AppName, Digest)> {
    if candidate.package.is_some() {
        return candidate.package;
    }
    let version = candidate.version().filter(|_| !state.packages_of(candidate.app, &candidate.build).is_empty())?;
    let (_, request) = permits::in_force(state, policy, candidate, version, now).ok()?;
    (request.app != *candidate.app).then_some((&request.app, request.build))
}

fn version_of<'a>(state: &'a State, app: &AppName, build: &Digest) -> Option<&'a Version> {
    state.apps.get(app)?.builds.get(build)?.version.as_ref()
}

/// The environments that a freeze reaches by the charter in force.
pub fn reached<'a>(policy: &'a Policy, terms: &'a Terms) -> impl Iterator<Item = &'a AudienceName> {
    let environments = policy.charter.environments.iter();
    environments.filter(|(name, environment)| terms.reaches(name, environment.class)).map(|(name, _)| name)
}

/// Who acts, if they may freeze everywhere the freeze reaches.
pub fn may<'a>(policy: &Policy, actor: &'a crate::command::Actor, terms: &Terms) -> Result<&'a PersonName, Refusal> {
    let mut who = None;
    for name in reached(policy, terms) {
        if let Some(environment) = policy.charter.environments.get(name) {
            who = Some(rights::require(actor, Right::Freeze, name, environment.freeze_rule())?);
        }
    }
    who.ok_or_else(|| Refusal::Invalid { why: "the charter has no live environment: name those to freeze".into() })
}
