//! Nothing is deployed to a test or live environment without a live permit (R15, R31): granted, within its time, not
//! withdrawn, with approvals that still satisfy the charter in force, and not below the audience's floor. It is the
//! version's own, or that of a package that lists it.

use super::{Candidate, approvals, ways};
use crate::{
    refusal::{Because, Expired, Refusal},
    state::{Policy, Request, Stamp, Standing, State},
};
use jiff::Timestamp;
use trust::{AppName, AudienceName, Digest, TargetName, Version, statement::OrderAct};

/// Fails unless the candidate has a live permit there; says who approved, and by which way where it is not the normal one.
pub fn live(state: &State, policy: &Policy, candidate: &Candidate<'_>, now: Timestamp) -> Result<String, Refusal> {
    let Some(version) = candidate.version() else {
        return Err(super::unreleased::refusal(policy, candidate));
    };
    let (_, request) = in_force(state, policy, candidate, version, now)?;
    let approvers: Vec<String> = request.approvals.iter().map(|approval| approval.approver.to_string()).collect();
    let way = if request.way.is_normal() { String::new() } else { format!(" by {}", request.way) };
    let package = match request.app == *candidate.app {
        true => String::new(),
        false => format!(" with {}@{}", request.app, request.version),
    };
    Ok(format!("released to {}{package}{way}, approved by {}", candidate.audience, approvers.join(", ")))
}

/// The permit under which the version may run there: the newest that holds. An emergency may stand beside a normal
/// permit; once its short life is over, the other one counts again.
pub fn in_force<'a>(
    state: &'a State,
    policy: &Policy,
    candidate: &Candidate<'_>,
    version: &Version,
    now: Timestamp,
) -> Result<(Digest, &'a Request), Refusal> {
    let mut first = None;
    for (digest, request) in state.all_permits(candidate.app, version, candidate.audience) {
        match holds(state, policy, candidate, request, now) {
            Ok(()) => return Ok((digest, request)),
            Err(refusal) => first = first.or(Some(refusal)),
        }
    }
    Err(first.unwrap_or_else(|| missing(state, policy, candidate, version)))
}

/// As [`in_force`], of the permits that reach the target: an emergency may be for others only.
pub fn in_force_on<'a>(
    state: &'a State,
    policy: &Policy,
    candidate: &Candidate<'_>,
    version: &Version,
    target: &TargetName,
    now: Timestamp,
) -> Option<(Digest, &'a Request)> {
    let mut granted = state.all_permits(candidate.app, version, candidate.audience);
    granted.find(|(_, request)| {
        ways::reaches(policy, request, target) && holds(state, policy, candidate, request, now).is_ok()
    })
}

/// Fails unless a granted request still satisfies the charter, and may be activated now.
fn holds(
    state: &State,
    policy: &Policy,
    candidate: &Candidate<'_>,
    request: &Request,
    now: Timestamp,
) -> Result<(), Refusal> {
    let need = approvals::lacks(state, policy, request);
    if !need.is_empty() {
        return Err(Refusal::ApprovalsMissing {
            app: request.app.clone(),
            version: request.version.clone(),
            audience: request.audience.clone(),
            have: request.approvals.iter().map(|approval| approval.approver.clone()).collect(),
            need,
        });
    }
    // Expiry and floor stop new activations; going back to what settled is not one.
    if candidate.act != OrderAct::Rollback {
        in_time(request, now)?;
        above_floor(state, &request.app, &request.version, &request.audience)?;
        if let Some(version) = candidate.version().filter(|_| request.app != *candidate.app) {
            above_floor(state, candidate.app, version, candidate.audience)?;
        }
    }
    Ok(())
}

fn in_time(request: &Request, now: Timestamp) -> Result<(), Refusal> {
    if now >= request.not_before && now < request.not_after {
        return Ok(());
    }
    Err(Refusal::PermitExpired(Box::new(Expired {
        app: Some(request.app.clone()),
        version: request.version.clone(),
        audience: request.audience.clone(),
        not_before: request.not_before,
        not_after: request.not_after,
        at: Some(now),
        planned: false,
    })))
}

/// Whether the version's permission was taken back and not given again.
pub fn is_withdrawn(state: &State, app: &AppName, version: &Version, audience: &AudienceName) -> bool {
    let dead = state.in_audience(app, audience).is_some_and(|record| record.dead_through.contains_key(version));
    dead && state.granted(app, version, audience).is_none()
}

/// Whether the version was asked for there and never granted: what ended its requests denied them, and took nothing back.
pub fn was_never_granted(state: &State, app: &AppName, version: &Version, audience: &AudienceName) -> bool {
    let asked = state.in_audience(app, audience).and_then(|here| here.requests.get(version));
    let mut requests = asked.into_iter().flatten().filter_map(|digest| state.requests.get(digest)).peekable();
    requests.peek().is_some() && requests.all(|request| request.granted.is_none())
}

/// Fails where the version is below the audience's floor: permission for it would be permission for nothing.
pub fn above_floor(state: &State, app: &AppName, version: &Version, audience: &AudienceName) -> Result<(), Refusal> {
    let Some(here) = state.in_audience(app, audience) else { return Ok(()) };
    let Some(floor) = here.floor.as_ref().filter(|floor| version < *floor) else { return Ok(()) };
    let brought = |request: &&Request| request.floor.as_ref() == Some(floor) && request.granted.is_some();
    let requests = here.requests.values().flatten().filter_map(|digest| state.requests.get(digest));
    let by = requests.filter(brought).map(|request| request.version.clone()).max();
    let (version, audience) = (version.clone(), audience.clone());
    Err(Refusal::BelowFloor { version, floor: floor.clone(), audience, by })
}

/// The refusal for what was withdrawn in this entry, with its reason.
pub fn withdrawn(state: &State, candidate: &Candidate<'_>, version: &Version, stamp: Stamp) -> Refusal {
    let here = state.in_audience(candidate.app, candidate.audience);
    let by = here.and_then(|here| here.withdrawals.iter().find(|by| by.stamp == stamp && by.version == *version));
    Refusal::PermitWithdrawn {
        app: candidate.app.clone(),
        version: version.clone(),
        audience: candidate.audience.clone(),
        since: stamp.time,
        why: by.and_then(|by| by.reason).map(|reason| Box::new(Because { reason, said: None })),
    }
}

/// Why there is no permit: it waits for people, was withdrawn, or was never asked for.
fn missing(state: &State, policy: &Policy, candidate: &Candidate<'_>, version: &Version) -> Refusal {
    let (app, audience) = (candidate.app.clone(), candidate.audience.clone());
    if let Some((_, request)) = state.waiting_request(candidate.app, version, candidate.audience) {
        return Refusal::ApprovalsMissing {
            app,
            version: version.clone(),
            audience,
            have: request.approvals.iter().map(|approval| approval.approver.clone()).collect(),
            need: approvals::lacks(state, policy, request),
        };
    }
    let requests = state.in_audience(candidate.app, candidate.audience).and_then(|record| record.requests.get(version));
    let newest = requests.and_then(|digests| digests.last()).and_then(|digest| state.requests.get(digest));
    if let Some(Request { standing: Standing::Withdrawn(stamp), .. }) = newest {
        return withdrawn(state, candidate, version, *stamp);
    }
    if let Err(withdrawn) = super::packages::not_withdrawn(state, candidate) {
        return withdrawn;
    }
    let needs = policy.charter.audience(candidate.audience).and_then(|audience| audience.approve.cloned());
    Refusal::PermitMissing { app, version: version.clone(), audience, needs }
}
