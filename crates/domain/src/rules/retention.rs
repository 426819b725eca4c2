//! Pruning takes the bytes of builds that nothing needs (R36): never of what runs, of what can be rolled back to, or of
//! what holds permission or asks for it. Of a retired application nothing may be deployed or rolled back to any more, so that only
//! what runs is needed, what a package lists, and what a channel offers. History keeps the build's name, number, manifest and evidence for ever.

use super::Candidate;
use crate::{
    refusal::Refusal,
    state::{Build, Deployment, Part, Request, Standing, State},
};
use jiff::Timestamp;
use trust::{AppName, AudienceName, Digest};

/// Why the bytes of a build are needed, in words; nothing where they may go.
pub fn needed(state: &State, app: &AppName, build: &Digest, now: Timestamp) -> Option<String> {
    let record = state.apps.get(app)?;
    for (name, target) in state.targets.iter().filter(|(_, target)| !target.retired) {
        if target.apps.get(app).and_then(|on_target| on_target.running.as_ref()).is_some_and(|r| r.build == *build) {
            return Some(format!("{name} runs it"));
        }
    }
    for number in &state.open_deployments {
        if state.deployments.get(number).is_some_and(|deployment| has_to_do_with(deployment, app, build)) {
            return Some(format!("deployment {number} is under way with it, or would go back to it"));
        }
    }
    for (package, of_package, version) in state.packages_of(app, build) {
        if let Some(why) = needed(state, package, &of_package, now) {
            return Some(format!("{package}@{version} lists it, and {why}"));
        }
    }
    let is_retired = record.retired.is_some();
    // What soaks goes back to what ran before it, should it become unwell.
    for number in state.soaking.iter().filter(|_| !is_retired) {
        if state.deployments.get(number).is_some_and(|deployment| has_to_do_with(deployment, app, build)) {
            return Some(format!("deployment {number} soaks with it, or would go back to it"));
        }
    }
    let channels = state.policy.as_ref().map(|policy| &policy.charter.channels);
    let is_channel = |audience: &AudienceName| channels.is_some_and(|channels| channels.contains_key(audience));
    // A channel goes on offering what it was released until somebody withdraws it.
    for (audience, in_audience) in record.audiences.iter().filter(|(audience, _)| !is_retired || is_channel(audience)) {
        let standing = in_audience.standing.and_then(|number| state.deployments.get(&number));
        if !is_channel(audience) && standing.is_some_and(|standing| standing.build == *build) {
            return Some(format!("it stands in {audience}, and targets that join get it"));
        }
        if in_audience.settled.contains(build) {
            return Some(format!("it settled in {audience}, which may be rolled back to it"));
        }
        let asked = |request: &&Request| request.build == *build && request.not_after > now;
        let requests = in_audience.requests.values().flatten();
        let asked = requests.filter_map(|digest| state.requests.get(digest)).filter(asked);
        for request in asked {
            match request.standing {
                Standing::Waiting => return Some(format!("somebody asks that it be released to {audience}")),
                Standing::Granted(_) => return Some(format!("it is released to {audience}")),
                Standing::Withdrawn(_) => {}
            }
        }
    }
    None
}

/// Whether a deployment brings a build, or goes back to it where that is taken back.
fn has_to_do_with(deployment: &Deployment, app: &AppName, build: &Digest) -> bool {
    let before = |part: &Part| part.before == Some(*build);
    deployment.app == *app && (deployment.build == *build || deployment.parts.iter().any(|(_, part)| before(part)))
}

/// Fails where the build's bytes were pruned.
pub fn bytes_are_here(candidate: &Candidate<'_>) -> Result<(), Refusal> {
    has_bytes(candidate.app, candidate.build, candidate.record)
}

/// Fails where the bytes of this build were pruned.
pub fn has_bytes(app: &AppName, build: Digest, record: &Build) -> Result<(), Refusal> {
    match record.pruned {
        None => Ok(()),
        Some(stamp) => Err(Refusal::BuildPruned { app: app.clone(), build, since: stamp.time }),
    }
}
