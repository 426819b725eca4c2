//! What succeeded and soaks is judged by its health, and taken back where too much of it is unwell (R54).

use super::{Asked, deployment, package};
use crate::{
    event::Event,
    rules::{packages, rollout, sides},
    state::{Deployment, Draft},
};
use std::collections::BTreeSet;
use trust::{AppName, AudienceName, rollout::OnFailure};

/// Takes back what succeeded and soaks, once it is unwell on more targets than may fail. Where the charter does not undo by
/// itself it stays, and does not settle (R54). What came with a package that is under way goes back with all of that.
pub(super) fn falters(draft: &mut Draft, asked: &Asked<'_>, number: u64) {
    let Some(deployment) = draft.state.deployments.get(&number).cloned() else { return };
    let Some(reason) = faltered(draft, number, &deployment) else { return };
    let own = deployment.package.as_ref().map(|package| package.deployment);
    match packages::under_way(&draft.state, &deployment.app, &deployment.environment, None) {
        Some(package) if Some(package) == own => package::go_on(draft, asked, package),
        // Another has it as a member, and may come in its place: it is judged once that is over.
        Some(_) => {}
        // Not all of what it came with can go back any more: people say how that goes on.
        None if own.is_some_and(|own| packages::would_stay_in_part(&draft.state, own)) => {}
        None => deployment::undo(draft, asked, number, &deployment, reason, None),
    }
}

/// Why what succeeded and soaks is to go back, if it is.
pub(super) fn faltered(draft: &Draft, number: u64, deployment: &Deployment) -> Option<String> {
    let in_place = draft.state.in_audience(&deployment.app, &deployment.environment);
    let is_replaced = in_place.is_some_and(|record| record.open_deployment.is_some());
    if is_replaced || !draft.state.soaking.contains(&number) || deployment.parts.unwell().next().is_none() {
        return None;
    }
    if !sides::leads_back(&draft.state, number, deployment) {
        return None;
    }
    let rollout = rollout::of(&draft.state, deployment);
    let undoes = rollout.on_failure == OnFailure::Undo;
    rollout::beyond_budget(&rollout, deployment).filter(|_| undoes)
}

/// What became unwell while something else was under way there is judged once that is over.
pub(super) fn judge_what_soaks(draft: &mut Draft, asked: &Asked<'_>) {
    let ended = draft.events.iter().filter_map(|event| match event {
        Event::DeploymentEnded { deployment, .. } => draft.state.deployments.get(deployment),
        _ => None,
    });
    let over = ended.map(|deployment| (deployment.app.clone(), deployment.environment.clone())).collect();
    judge(draft, asked, &over);
}

/// The same of the members of a package that is over.
pub(super) fn judge_members(draft: &mut Draft, asked: &Asked<'_>, package: &Deployment) {
    let members = package.members.keys().map(|app| (app.clone(), package.environment.clone()));
    judge(draft, asked, &members.collect());
}

fn judge(draft: &mut Draft, asked: &Asked<'_>, over: &BTreeSet<(AppName, AudienceName)>) {
    let is_to_be_judged = |number: &u64| {
        draft.state.deployments.get(number).is_some_and(|deployment| {
            let is_unwell = deployment.parts.unwell().next().is_some();
            is_unwell && over.contains(&(deployment.app.clone(), deployment.environment.clone()))
        })
    };
    let soaking = draft.state.soaking.iter().copied().filter(|_| !over.is_empty());
    let soaking: Vec<u64> = soaking.filter(is_to_be_judged).collect();
    soaking.into_iter().for_each(|number| falters(draft, asked, number));
}
