//! A build that failed, was undone or was rolled back stays out of that environment until somebody lifts the hold.

use super::Candidate;
use crate::{refusal::Refusal, state::State};
use trust::statement::OrderAct;

/// Fails if the build is held out. What is under way and goes back, or catches up, is never held.
pub fn not_held(state: &State, candidate: &Candidate<'_>) -> Result<String, Refusal> {
    let here = state.in_audience(candidate.app, candidate.audience);
    if let Some(hold) = here.and_then(|record| record.held.get(&candidate.build))
        && candidate.act != OrderAct::Rollback
    {
        return Err(Refusal::Held {
            app: candidate.app.clone(),
            environment: candidate.audience.clone(),
            build: candidate.build,
            version: candidate.version().cloned(),
            deployment: hold.deployment,
        });
    }
    Ok(match here.and_then(|record| record.failed.get(&candidate.build)) {
        Some(deployment) => format!("not held; it failed there in deployment {deployment}"),
        None => "not held".into(),
    })
}

/// The same of what is ordered to come back or to serve again: what was left does not return by another rollback.
pub fn may_return(state: &State, candidate: &Candidate<'_>) -> Result<String, Refusal> {
    not_held(state, &Candidate { act: OrderAct::Deploy, ..*candidate })
}
