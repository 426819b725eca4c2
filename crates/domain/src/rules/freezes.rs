//! While a freeze is on, nothing new is activated in the environments it names (R1): no deployment begins or goes on, and
//! no new config. Undo, rollback, stop, start, restart and removal go on, and so does what somebody who may excepts.
//! Targets keep freezes and ask the same function.

use super::{Candidate, permits, ways};
use crate::{
    refusal::{Frozen, Refusal, Right},
    rules::rights,
    state::{Freeze, Policy, Request, State},
};
use jiff::Timestamp;
use trust::{
    AudienceName, PersonName,
    freeze::{self, Activation, Known, Terms, brings_something_new},
    way::{Waiver, Way},
};

/// Fails while a freeze stops the candidate at `now`, unless its way waives freezes.
pub fn none_stops(
    state: &State,
    policy: &Policy,
    candidate: &Candidate<'_>,
    way: Way,
    now: Timestamp,
    opens: impl Fn() -> Option<Timestamp>,
) -> Result<String, Refusal> {
    let Some(stopping) = stopping(state, policy, candidate, now) else { return Ok("no freeze is on".into()) };
    if ways::waives(policy, candidate, way, &Waiver::Freezes) {
        return Ok(format!("freeze {} is on: waived by {way}", stopping.number));
    }
    let environment = policy.charter.environments.get(candidate.audience);
    let terms = &stopping.known.terms;
    // Where the freeze is about the package that brings it, that is what may be excepted.
    let package = by_package(state, policy, candidate, now).filter(|_| !terms.concerns(candidate.app));
    let (app, version) = match package {
        Some(request) => (&request.app, Some(&request.version)),
        None => (candidate.app, candidate.version()),
    };
    Err(Refusal::Frozen(Box::new(Frozen {
        app: app.clone(),
        version: version.cloned(),
        by_name: !terms.apps.is_empty(),
        environment: candidate.audience.clone(),
        freeze: stopping.number,
        reason: stopping.known.terms.reason,
        said: None,
        until: stopping.known.terms.until,
        opens: opens(),
        lift: environment.map(|environment| environment.freeze_rule().clone()),
    })))
}

/// The freeze that stops the candidate longest, whatever its way.
pub fn stopping<'a>(
    state: &'a State,
    policy: &Policy,
    candidate: &Candidate<'_>,
    now: Timestamp,
) -> Option<&'a Freeze> {
    let environment =
        policy.charter.environments.get(candidate.audience).filter(|_| brings_something_new(candidate.act))?;
    let activation = Activation {
        environment: candidate.audience,
        class: environment.class,
        app: candidate.app,
        build: candidate.build,
    };
    // Who excepts a package excepts what it brings, and who freezes a package freezes it there.
    let package = by_package(state, policy, candidate, now);
    let is_excepted = |known: &&Known| package.is_some_and(|request| known.excepted.contains(&request.build));
    let known = || state.freezes.values().map(|freeze| &freeze.known).filter(|known| !is_excepted(known));
    let itself = freeze::stopping(known(), &activation, now);
    let of_package = package.and_then(|request| {
        let known = known().filter(|known| !known.excepted.contains(&candidate.build));
        freeze::stopping(known, &Activation { app: &request.app, build: request.build, ..activation }, now)
    });
    let stopping = itself.into_iter().chain(of_package).max_by_key(|known| known.terms.until)?;
    state.freezes.get(&stopping.freeze)
}

/// What the package was released by, by whose permit a candidate runs, where it is not by its own.
fn by_package<'a>(state: &'a State, policy: &Policy, candidate: &Candidate<'_>, now: Timestamp) -> Option<&'a Request> {
    let version = candidate.version().filter(|_| !state.packages_of(candidate.app, &candidate.build).is_empty())?;
    let (_, request) = permits::in_force(state, policy, candidate, version, now).ok()?;
    (request.app != *candidate.app).then_some(request)
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
