//! An audience may have other ways than the normal one, for emergencies: own roles, named gates left open, a short life,
//! named targets, prolonged by somebody else only, and reviewed afterwards by somebody who had no part in it (R33, R52).

use super::{Candidate, permits, rights};
use crate::{
    command::Actor,
    refusal::{Refusal, Right},
    state::{Policy, Request, State},
};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;
use trust::{
    PersonName, RoleName, TargetName,
    charter::{Audience, OWNER},
    statement,
    way::{Terms, Waiver, Way},
};

/// How far ahead of the server's clock a requester's may be.
const CLOCK_MARGIN: SignedDuration = SignedDuration::from_mins(10);

/// What the audience asks of a release by the way that is wished.
pub fn terms<'a>(audience: &Audience<'a>, wish: &statement::Request) -> Result<Terms<'a>, Refusal> {
    audience.terms(wish.way).ok_or_else(|| Refusal::WayMissing {
        way: wish.way,
        audience: wish.audience.clone(),
        ways: audience.ways.keys().copied().collect(),
    })
}

/// Fails unless an emergency is asked for with its reason, for no longer than its way allows, and by somebody who gave
/// none of the same kind for the same version before.
pub fn may_ask(
    state: &State,
    terms: &Terms<'_>,
    wish: &statement::Request,
    requester: &PersonName,
    now: Timestamp,
) -> Result<(), Refusal> {
    let Some(rule) = terms.rule else { return Ok(()) };
    let exceeded = |why: &str| Err(Refusal::WayExceeded { way: wish.way, why: why.into() });
    if wish.reason.is_none() {
        return exceeded("an emergency is asked for with its reason");
    }
    let longest = SignedDuration::from_hours(i64::from(rule.hours)) + CLOCK_MARGIN;
    let latest = now.checked_add(longest).unwrap_or(Timestamp::MAX);
    if terms.outlives(wish.not_before, wish.not_after) || wish.not_after > latest {
        return exceeded(&format!("its permits live for {} hours at most, from now", rule.hours));
    }
    let requests = state.in_audience(&wish.app, &wish.audience).and_then(|record| record.requests.get(&wish.version));
    let mut earlier = requests.into_iter().flatten().filter_map(|digest| state.requests.get(digest));
    match earlier.any(|request| request.way == wish.way && people(request).contains(&requester)) {
        false => Ok(()),
        true => Err(Refusal::RenewalBySame {
            way: wish.way,
            app: wish.app.clone(),
            version: wish.version.clone(),
            audience: wish.audience.clone(),
        }),
    }
}

/// Who asked for it, and who agreed.
fn people(request: &Request) -> BTreeSet<&PersonName> {
    request.approvals.iter().map(|approval| &approval.approver).chain([&request.requester]).collect()
}

/// The way by which the candidate would run: that of the permit in force, else that of the request that waits for people.
pub fn of(state: &State, policy: &Policy, candidate: &Candidate<'_>, now: Timestamp) -> Way {
    let Some(version) = candidate.version() else { return Way::Normal };
    match permits::in_force(state, policy, candidate, version, now) {
        Ok((_, request)) => request.way,
        Err(_) => {
            let waiting = state.waiting_request(candidate.app, version, candidate.audience);
            waiting.map(|(_, request)| request.way).unwrap_or_default()
        }
    }
}

/// Whether the way leaves the gate open in that audience.
pub fn waives(policy: &Policy, candidate: &Candidate<'_>, way: Way, gate: &Waiver) -> bool {
    let audience = policy.charter.audience(candidate.audience);
    audience.and_then(|audience| audience.terms(way)).is_some_and(|terms| terms.waives(gate))
}

/// Whether a permit is for the target. A way that has left the charter says nothing any more of whom it was for.
pub fn reaches(policy: &Policy, request: &Request, target: &TargetName) -> bool {
    let terms = policy.charter.audience(&request.audience).and_then(|audience| audience.terms(request.way));
    terms.is_none_or(|terms| terms.reaches(target))
}

/// The targets among `names` that the permit in force reaches; fails where they were `chosen` by name and one of them is
/// beyond it, or where all are.
pub fn reached(
    state: &State,
    policy: &Policy,
    candidate: &Candidate<'_>,
    names: Vec<TargetName>,
    chosen: bool,
    now: Timestamp,
) -> Result<Vec<TargetName>, Refusal> {
    let way = of(state, policy, candidate, now);
    let audience = policy.charter.audience(candidate.audience);
    let Some(terms) = audience.and_then(|audience| audience.terms(way)) else { return Ok(names) };
    let (reached, beyond): (Vec<TargetName>, Vec<TargetName>) = names.into_iter().partition(|name| terms.reaches(name));
    match beyond.first() {
        Some(first) if chosen || reached.is_empty() => {
            Err(Refusal::WayExceeded { way, why: format!("it is not for {first}") })
        }
        _ => Ok(reached),
    }
}

/// What the deployer is told where the permit in force is an emergency's.
pub fn warning(state: &State, policy: &Policy, candidate: &Candidate<'_>, now: Timestamp) -> Option<String> {
    let way = of(state, policy, candidate, now);
    let rule = policy.charter.audience(candidate.audience)?.terms(way)?.rule?;
    let names: Vec<&str> = rule.targets.iter().map(TargetName::as_str).collect();
    let reach = if names.is_empty() { String::new() } else { format!(", reaches {} only", names.join(", ")) };
    Some(format!("{way} waives {}{reach}, and somebody who had no part in it must review it", rule.waives_in_words()))
}

/// Who reviews, if they hold a role that the audience's normal rule asks for and had no part in the emergency. Robots
/// never count as people.
pub fn reviewer<'a>(policy: &Policy, actor: &'a Actor, request: &Request) -> Result<&'a PersonName, Refusal> {
    let rule = policy.charter.audience(&request.audience).and_then(|audience| audience.approve);
    let wanted: BTreeSet<RoleName> = rule.into_iter().flat_map(|rule| rule.roles()).collect();
    let counts = |role: &RoleName| role.as_str() == OWNER || wanted.contains(role);
    let name = match actor {
        Actor::Person { name, key, .. }
            if policy.approvers.person(key) == Some(name) && policy.approvers.roles(name).iter().any(counts) =>
        {
            name
        }
        _ => return Err(rights::missing(actor, Right::Review, &request.audience, rule)),
    };
    if *name == request.requester {
        return Err(Refusal::ReviewerInvolved { did: "requested".into() });
    }
    match people(request).contains(name) {
        true => Err(Refusal::ReviewerInvolved { did: "approved".into() }),
        false => Ok(name),
    }
}
