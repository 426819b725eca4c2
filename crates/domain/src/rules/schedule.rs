//! Whether a deployment that may run there may go on now (R1): what stands waits for the freeze to end, and names it.

use super::{Candidate, freezes, ways};
use crate::{
    state::{Deployment, Policy, State},
    waiting::WaitingOn,
};
use jiff::Timestamp;
use trust::way::{Waiver, Way};

/// What keeps a deployment from going on at `now`, besides permission and the targets that are at it.
pub fn hindrance(state: &State, number: u64, deployment: &Deployment, now: Timestamp) -> Option<WaitingOn> {
    let (policy, candidate, way) = looked_at(state, deployment, now)?;
    let freeze = freezes::stopping(state, policy, &candidate, now)
        .filter(|_| !ways::waives(policy, &candidate, way, &Waiver::Freezes))?;
    Some(WaitingOn::Freeze { deployment: number, freeze: freeze.number, until: freeze.known.terms.until })
}

/// The first moment from `now` on at which nothing that is known of keeps the deployment from going on.
pub fn goes_on(state: &State, deployment: &Deployment, now: Timestamp) -> Option<Timestamp> {
    let Some((policy, candidate, way)) = looked_at(state, deployment, now) else { return Some(now) };
    match ways::waives(policy, &candidate, way, &Waiver::Freezes) {
        true => Some(now),
        false => Some(freezes::over(state, policy, &candidate, now)),
    }
}

fn looked_at<'a>(
    state: &'a State,
    deployment: &'a Deployment,
    now: Timestamp,
) -> Option<(&'a Policy, Candidate<'a>, Way)> {
    let policy = state.policy.as_deref()?;
    let candidate = Candidate::of(state, deployment).ok()?;
    let way = ways::of(state, policy, &candidate, now);
    Some((policy, candidate, way))
}
