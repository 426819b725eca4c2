//! Nothing is deployed to a test or live environment without a live permit (R15, R31): granted, within its time, not
//! withdrawn, with approvals that still satisfy the charter in force, and not below the audience's floor.

use super::{Candidate, approvals};
use crate::{
    refusal::Refusal,
    state::{Policy, Request, Standing, State},
};
use jiff::Timestamp;
use trust::{Version, statement::OrderAct};

/// Fails unless the candidate has a live permit there; says who approved.
pub fn live(state: &State, policy: &Policy, candidate: &Candidate<'_>, now: Timestamp) -> Result<String, Refusal> {
    let Candidate { app, audience, .. } = *candidate;
    let Some(version) = candidate.version() else {
        return Err(super::unreleased::refusal(policy, candidate));
    };
    let request = match state.granted(app, version, audience) {
        Some((_, request)) => request,
        None => return Err(missing(state, policy, candidate, version)),
    };
    let need = approvals::lacks(state, policy, request);
    if !need.is_empty() {
        let have = request.approvals.iter().map(|approval| approval.approver.clone()).collect();
        return Err(Refusal::ApprovalsMissing {
            app: app.clone(),
            version: version.clone(),
            audience: audience.clone(),
            have,
            need,
        });
    }
    // Expiry and floor stop new activations; going back to what settled is not one.
    if candidate.act != OrderAct::Rollback {
        in_time(request, now)?;
        above_floor(state, candidate, version)?;
    }
    let approvers: Vec<String> = request.approvals.iter().map(|approval| approval.approver.to_string()).collect();
    Ok(format!("released to {audience}, approved by {}", approvers.join(", ")))
}

fn in_time(request: &Request, now: Timestamp) -> Result<(), Refusal> {
    if now >= request.not_before && now < request.not_after {
        return Ok(());
    }
    Err(Refusal::PermitExpired {
        version: request.version.clone(),
        audience: request.audience.clone(),
        not_before: request.not_before,
        not_after: request.not_after,
    })
}

fn above_floor(state: &State, candidate: &Candidate<'_>, version: &Version) -> Result<(), Refusal> {
    let floor = state.in_audience(candidate.app, candidate.audience).and_then(|record| record.floor.as_ref());
    match floor {
        Some(floor) if version < floor => Err(Refusal::BelowFloor {
            version: version.clone(),
            floor: floor.clone(),
            audience: candidate.audience.clone(),
        }),
        _ => Ok(()),
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
        return Refusal::PermitWithdrawn { app, version: version.clone(), audience, since: stamp.time };
    }
    let needs = policy.charter.audience(candidate.audience).and_then(|audience| audience.approve.cloned());
    Refusal::PermitMissing { app, version: version.clone(), audience, needs }
}
