//! A build that was undone or rolled back stays out of that environment until somebody lifts the hold.

use super::Candidate;
use crate::{refusal::Refusal, state::State};
use trust::statement::OrderAct;

/// Fails if the build is held out. Going back is never held.
pub fn not_held(state: &State, candidate: &Candidate<'_>) -> Result<String, Refusal> {
    let held = state
        .in_audience(candidate.app, candidate.audience)
        .is_some_and(|record| record.held.contains(&candidate.build));
    if held && candidate.act != OrderAct::Rollback {
        return Err(Refusal::Held {
            app: candidate.app.clone(),
            environment: candidate.audience.clone(),
            build: candidate.build,
        });
    }
    Ok("not held".into())
}
