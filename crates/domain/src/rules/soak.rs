//! What succeeded soaks, and settles once it has stayed well for its time (R54).

use crate::{
    event::Ending,
    state::{Deployment, DeploymentPhase, InAudience, Running, State},
};

/// Whether what a target runs has settled `here`: what settled once and was brought again can be taken back until it settles again.
/// By which deployment somebody went back says nothing, and deployments that are long over are no more in the state. What a target
/// said by itself was brought by one that nobody knows, and of that nobody knows whether it stayed well.
pub fn has_settled(state: &State, here: &InAudience, running: &Running) -> bool {
    if running.deployment == Running::BROUGHT_BY_NONE {
        return false;
    }
    let brought = state.deployments.get(&running.deployment).filter(|brought| brought.build == running.build);
    let is_over = brought.is_none_or(|it| matches!(it.phase, DeploymentPhase::Ended { settled: Some(_), .. }));
    is_over && here.settled.contains(&running.build)
}

/// Why what stands does not settle any more: something else had its place everywhere while it soaked, and was taken back. It runs
/// again by that, and nothing of it is said to have stayed well for its time.
pub fn cut_short(state: &State, number: u64) -> Option<String> {
    let record = state.deployments.get(&number).filter(|record| record.act.installs() && !record.is_of_package())?;
    let has_succeeded = matches!(record.phase, DeploymentPhase::Ended { ending: Ending::Succeeded, settled: None, .. });
    let here = state.in_audience(&record.app, &record.environment)?;
    if !has_succeeded
        || here.standing != Some(number)
        || state.soaking.contains(&number)
        || here.settled.contains(&record.build)
    {
        return None;
    }
    let running = state.targets_in(&record.environment).filter_map(|(name, _)| state.running(&record.app, name));
    let by = running.filter(|running| running.build == record.build).map(|running| running.deployment).max()?;
    let is_undone = |by: &Deployment| {
        matches!(by.phase, DeploymentPhase::Ended { ending: Ending::Undone | Ending::Failed | Ending::Aborted, .. })
    };
    state.deployments.get(&by).filter(|other| by != number && is_undone(other))?;
    Some(format!(
        "does not settle any more: deployment {by} took its place while it soaked, and was undone; no rollback goes back to it, \
         `sortie redeploy {number}` brings it again"
    ))
}
