//! How deployments end and settle, and what then stands in their environment.

use super::{data, deployment::is_removed_by, in_audience, target::stands_anew};
use crate::{
    event::Ending,
    policy,
    rules::{packages, placement, rollout, sides},
    state::{Aside, Deployment, DeploymentPhase, MemberPart, Progress, State, Target},
};
use trust::{
    AppName, AudienceName, Digest, TargetName,
    statement::{OrderAct, Outcome},
};

pub(super) fn end_deployment(
    state: &mut State,
    deployment: u64,
    ending: Ending,
    why: &Option<String>,
    by: Option<u64>,
) {
    let stamp = state.head;
    state.open_deployments.remove(&deployment);
    let Some(record) = state.deployments.get_mut(&deployment) else { return };
    let reason = match (&record.phase, by) {
        (_, Some(by)) => Some(format!("deployment {by} took its place before it began")),
        (DeploymentPhase::Undoing { reason }, None) => Some(reason.clone()),
        _ => why.clone(),
    };
    let has_failed = record.parts.bad().any(|(_, outcome)| !matches!(outcome, Outcome::Refused { .. }))
        || record.parts.iter().any(|(_, part)| part.unwell.is_some());
    record.phase = DeploymentPhase::Ended { ending, stamp, settled: None, reason };
    record.paused = None;
    let ended = record.clone();
    let has_failed = has_failed
        || packages::begun(state, &ended).any(|(app, number, member)| {
            // What a package brings fails with what failed of it.
            let here = state.in_audience(app, &member.environment);
            here.is_some_and(|here| here.failed.get(&member.build) == Some(&number))
        });
    let stood = in_audience(state, &ended.app, &ended.environment).standing;
    let is_removed = stood.is_some_and(|stood| is_removed_by(state, stood, &ended));
    let Deployment { app, environment, act, build, narrowed, .. } = ended;
    if matches!(act, OrderAct::Rollback | OrderAct::Switch) {
        keeps_nothing_out(state, deployment, ending);
    }
    let whole = runs_everywhere(state, deployment);
    let is_of_package = record_is_of_package(state, deployment);
    let installs = act.installs();
    let switches = act == OrderAct::Switch;
    let settles = state.deployments.get(&deployment).is_some_and(|record| sides::settles(state, record));
    if ending == Ending::Succeeded && settles && !is_of_package && brought_all(state, deployment) {
        state.soaking.insert(deployment);
    }
    if ending == Ending::Succeeded && installs && !is_of_package {
        data::ran_well(state, &app, &environment, build);
    }
    let here = state.apps.entry(app.clone()).or_default().audiences.entry(environment.clone()).or_default();
    if ending == Ending::Succeeded && installs && is_of_package {
        here.ran.insert(build);
    }
    here.open_deployment = here.open_deployment.filter(|open| *open != deployment);
    here.queued = here.queued.filter(|queued| *queued != deployment);
    let is_for_all = ending == Ending::Succeeded && !narrowed;
    if is_for_all && (installs || is_removed) {
        // Where there are sides, it depends on theirs what a target that comes late has missed.
        let stands = (installs && settles).then_some(deployment);
        if let Some(stood) = std::mem::replace(&mut here.standing, stands) {
            state.standing.remove(&stood);
        }
        state.standing.extend(stands);
    }
    let brings = installs || switches;
    match ending {
        Ending::Succeeded if brings => drop(here.failed.remove(&build)),
        Ending::Undone | Ending::Failed if brings && has_failed => drop(here.failed.insert(build, deployment)),
        _ => {}
    }
    if is_for_all && (installs && settles || switches || act == OrderAct::Undeploy) {
        let is_replaced = |record: &Deployment| match act {
            OrderAct::Undeploy => record.build == build,
            // What makes way serves nobody.
            OrderAct::Switch => record.build != build,
            _ => true,
        };
        no_longer_soak(state, deployment, &app, &environment, is_replaced);
    }
    if ending == Ending::Succeeded && (whole && installs || switches) {
        verified_in(state, &app, &build, &environment);
    }
    if is_for_all && installs && !is_of_package {
        stands_anew(state, &app, &environment);
    }
}

/// What was left by going back is not held out any more where nobody went back: it runs again, or goes on.
fn keeps_nothing_out(state: &mut State, deployment: u64, ending: Ending) {
    let Some(record) = state.deployments.get(&deployment) else { return };
    let stands = |record: &Deployment| record.parts.verified().next().is_some();
    let stands = stands(record) || packages::begun(state, record).any(|(_, _, member)| stands(member));
    if stands || ending == Ending::Succeeded {
        return;
    }
    let (apps, environment) = (std::iter::once(&record.app).chain(record.members.keys()), record.environment.clone());
    for app in apps.cloned().collect::<Vec<_>>() {
        let held = &mut in_audience(state, &app, &environment).held;
        *held = held
            .iter()
            .filter(|(_, hold)| hold.deployment != Some(deployment))
            .map(|(build, hold)| (*build, *hold))
            .collect();
    }
}

/// What a whole environment has something else in the place of does not settle any more, though some may not have that yet.
fn no_longer_soak(
    state: &mut State,
    deployment: u64,
    app: &AppName,
    environment: &AudienceName,
    is_meant: impl Fn(&Deployment) -> bool,
) {
    let is_over = |number: &u64| {
        let record = state.deployments.get(number).filter(|_| *number != deployment);
        record.is_some_and(|record| record.app == *app && record.environment == *environment && is_meant(record))
    };
    let over: Vec<u64> = state.soaking.iter().copied().filter(is_over).collect();
    for number in over {
        state.soaking.remove(&number);
    }
}

/// The same bytes may go on from here, from now on.
fn verified_in(state: &mut State, app: &AppName, build: &Digest, environment: &AudienceName) {
    let now = state.head.time;
    let record = state.apps.get_mut(app).and_then(|record| record.builds.get_mut(build));
    if let Some(record) = record {
        record.verified_in.entry(environment.clone()).or_insert(now);
    }
}

/// A target is not counted any more: what stands in its environment may be whole without it.
pub(super) fn goes_without(state: &mut State, name: &TargetName) {
    let Some(environment) = state.targets.get(name).map(|target| target.environment.clone()) else { return };
    let is_there = |number: &u64| state.deployments.get(number).is_some_and(|record| record.environment == environment);
    let standing: Vec<u64> = state.standing.iter().copied().filter(is_there).collect();
    standing.into_iter().for_each(|number| may_be_whole(state, number));
}

/// Who was missing when a deployment ended may have been the last that was: it has caught up, or is not counted any more.
pub(super) fn may_be_whole(state: &mut State, deployment: u64) {
    let Some(record) = state.deployments.get(&deployment) else { return };
    let succeeded = matches!(record.phase, DeploymentPhase::Ended { ending: Ending::Succeeded, .. });
    if !succeeded || !record.act.installs() {
        return;
    }
    let (app, environment, build) = (record.app.clone(), record.environment.clone(), record.build);
    let package = record.package.as_ref().map(|package| package.deployment);
    let known = state.apps.get(&app).and_then(|record| record.builds.get(&build));
    let was_whole = known.is_some_and(|known| known.verified_in.contains_key(&environment));
    if !was_whole && runs_everywhere(state, deployment) {
        verified_in(state, &app, &build, &environment);
    }
    if let Some(package) = package {
        may_be_whole(state, package);
    }
}

fn record_is_of_package(state: &State, deployment: u64) -> bool {
    state.deployments.get(&deployment).is_some_and(Deployment::is_of_package)
}

/// Whether all that is running on the targets that verified a deployment was brought by it.
fn brought_all(state: &State, deployment: u64) -> bool {
    let Some(record) = state.deployments.get(&deployment) else { return false };
    let brought = |name: &TargetName| state.running(&record.app, name).map(|running| running.deployment);
    record.parts.verified().all(|name| brought(name) == Some(deployment))
}

/// Whether every target that the build is for in the environment runs it: what a deployment of a part does not reach. What
/// a deployment left out within its budget does not matter: the charter says that so many may be missing. Those that nobody has
/// heard of count against the budget too: that they are away shows nothing.
pub(super) fn runs_everywhere(state: &State, deployment: u64) -> bool {
    let Some(deployment) = state.deployments.get(&deployment) else { return false };
    let Deployment { app, environment, build, members, .. } = deployment;
    let Some(record) = state.apps.get(app).and_then(|record| record.builds.get(build)) else { return false };
    let member_runs = |(name, part): (&AppName, &MemberPart)| match (part, record.facts.package.get(name)) {
        (MemberPart::Begun(number), _) => runs_everywhere(state, *number),
        (_, Some(member)) => build_runs_everywhere(state, name, &member.build, environment, None),
        (_, None) => false,
    };
    match members.is_empty() {
        true => build_runs_everywhere(state, app, build, environment, Some(deployment)),
        false => members.iter().all(member_runs),
    }
}

/// Whether every target that a build is for runs it, but for those that a deployment left out.
fn build_runs_everywhere(
    state: &State,
    app: &AppName,
    build: &Digest,
    environment: &AudienceName,
    leaving_out: Option<&Deployment>,
) -> bool {
    let Some(record) = state.apps.get(app).and_then(|record| record.builds.get(build)) else { return false };
    let may_be_away = leaving_out.is_some_and(|deployment| {
        let away = deployment.parts.iter().filter(|(_, part)| part.aside == Some(Aside::Away)).count();
        let budget = rollout::of(state, deployment).failure_budget.at_most(deployment.parts.len());
        away + deployment.parts.bad_count() <= budget
    });
    let package = leaving_out.and_then(|deployment| state.deployments.get(&deployment.package.as_ref()?.deployment));
    let of_package =
        package.and_then(|package| Some(&*state.apps.get(&package.app)?.builds.get(&package.build)?.facts));
    let fitting = |(name, target): &(&TargetName, &Target)| {
        let part = leaving_out.and_then(|deployment| deployment.parts.get(name));
        let may_be_missing = part.is_some_and(|part| match (&part.progress, part.aside) {
            (Progress::Finished(outcome), _) => *outcome != Outcome::Verified,
            (_, Some(Aside::Away)) => may_be_away,
            (_, aside) => aside.is_some(),
        });
        // A member does not come to where what it comes after may be missing.
        let comes_later = part.is_none()
            && of_package.is_some_and(|facts| packages::misses_what_comes_before(state, facts, app, name));
        let counts = !may_be_missing && !comes_later && !target.cordoned && !target.ephemeral;
        counts && placement::fits(&record.facts, target)
    };
    let runs = |(_, target): (&TargetName, &Target)| {
        let running = target.apps.get(app).and_then(|on_target| on_target.running.as_ref());
        running.is_some_and(|running| running.build == *build)
    };
    state.targets_in(environment).filter(fitting).all(runs)
}

pub(super) fn settle(state: &mut State, deployment: u64) {
    let stamp = state.head;
    state.soaking.remove(&deployment);
    let Some(record) = state.deployments.get_mut(&deployment) else { return };
    if let DeploymentPhase::Ended { settled, .. } = &mut record.phase {
        *settled = Some(stamp);
    }
    let Deployment { app, environment, build, act, narrowed, .. } = record.clone();
    let in_whole = !narrowed || runs_everywhere(state, deployment);
    let record = in_audience(state, &app, &environment);
    if in_whole {
        record.settled_in_part.remove(&build);
    } else if !record.settled.contains(&build) {
        record.settled_in_part.insert(build);
    }
    // What went back stands where it stood: what was left is no way back from it. So does what came to some only.
    if in_whole && act != OrderAct::Rollback || !record.settled.contains(&build) {
        record.settled.retain(|settled| *settled != build);
        record.settled.push(build);
    }
    while record.settled.len() > policy::SETTLED_KEPT {
        let oldest = record.settled.remove(0);
        record.settled_in_part.remove(&oldest);
    }
}
