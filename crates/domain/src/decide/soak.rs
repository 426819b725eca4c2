//! What succeeded and soaks is judged by its health, and taken back where too much of it is unwell (R54).

use super::{Asked, deployment, package};
use crate::{
    event::Event,
    rules::{packages, rollout},
    state::{Deployment, Draft, Part, Progress, State},
};
use std::collections::BTreeSet;
use trust::{
    AppName, AudienceName, TargetName,
    rollout::OnFailure,
    statement::{OrderAct, Outcome, Phase},
};

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
    // Where the other side has taken something newer since, or has served again, a switch leads back to nothing.
    let by_it = |name: &TargetName| {
        let running = draft.state.running(&deployment.app, name);
        running.is_some_and(|running| running.deployment == number)
    };
    let leads_back = |name: &TargetName| by_it(name) && !has_followed_another(&draft.state, deployment, name);
    if deployment.act == OrderAct::Switch && !deployment.parts.verified().all(leads_back) {
        return None;
    }
    let rollout = rollout::of(&draft.state, deployment);
    let undoes = rollout.on_failure == OnFailure::Undo;
    rollout::beyond_budget(&rollout, deployment).filter(|_| undoes)
}

/// Whether a target has followed another deployment since, though that went back: it knows no way back from before that.
fn has_followed_another(state: &State, deployment: &Deployment, name: &TargetName) -> bool {
    let Some(own) = deployment.parts.get(name) else { return false };
    let is_touched = |part: &Part| {
        let mut touching =
            part.phases.iter().filter(|timing| matches!(timing.phase, Phase::Activate | Phase::Verify | Phase::Remove));
        !matches!(part.progress, Progress::Finished(Outcome::Refused { .. })) && touching.next().is_some()
    };
    let followed = |other: &Deployment| {
        // What is stopped and started is what an earlier deployment brought, and goes back with it all the same.
        let controls = matches!(other.act, OrderAct::Stop | OrderAct::Start | OrderAct::Restart);
        let is_here = other.app == deployment.app && other.environment == deployment.environment;
        let part = other.parts.get(name).filter(|part| is_here && !controls && part.begun > own.begun);
        part.is_some_and(is_touched)
    };
    state.deployments.values().any(followed)
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
