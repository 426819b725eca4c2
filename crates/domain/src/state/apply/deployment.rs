//! Deployments under way: ordered, assigned, guided, taken back.

use super::{data, in_audience, target::stands_anew};
use crate::{
    event::{Aborted, Ending, Event},
    policy,
    rules::{rollout, schedule},
    state::{
        Aside, Assigned, Deployment, DeploymentPhase, Guidance, GuidanceWord, InPackage, MemberPart, Part, Progress,
        State, serving,
    },
};
use imbl::Vector;
use std::{collections::BTreeSet, sync::Arc};
use trust::{AppName, AudienceName, Digest, PersonName, TargetName, rollout::Rollout, statement::OrderAct};

/// A deployment is under way from now on.
pub(super) fn begins(state: &mut State, app: &AppName, environment: &AudienceName, deployment: u64) {
    let here = in_audience(state, app, environment);
    here.open_deployment = Some(deployment);
    here.queued = here.queued.filter(|queued| *queued != deployment);
}

/// Somebody ordered a deployment.
pub(super) fn request(state: &mut State, event: &Event) {
    let Event::DeploymentRequested {
        deployment,
        app,
        environment,
        act,
        build,
        version,
        targets,
        awaits_permit,
        warnings,
        planned_there,
        deployer,
        rollout,
        rings,
        narrowed,
        schedule,
        keep_data,
        package,
        only,
    } = event
    else {
        return;
    };
    let stamp = state.head;
    let known = state.apps.get(app).and_then(|record| record.builds.get(build));
    let members = known.into_iter().flat_map(|build| build.facts.package.keys());
    let members = members.map(|name| (name.clone(), MemberPart::Waiting)).collect();
    let package = package.and_then(|number| {
        let Deployment { app, build, stamp, .. } = state.deployments.get(&number)?;
        Some(InPackage { deployment: number, app: app.clone(), build: *build, order: stamp.entry })
    });
    state.last_deployment = *deployment;
    state.open_deployments.insert(*deployment);
    // What is planned for later leaves the place to others until it begins.
    if !schedule::is_planned(schedule, stamp.time) && schedule::takes_place(*act) {
        in_audience(state, app, environment).queued = Some(*deployment);
    }
    let record = Deployment {
        app: app.clone(),
        environment: environment.clone(),
        act: *act,
        build: *build,
        version: version.clone(),
        deployer: deployer.clone(),
        stamp,
        warnings: warnings.clone(),
        planned_there: planned_there.clone(),
        parts: serving::parts(state, app, targets),
        rollout: rollout.as_ref().map(|rollout| Arc::new(Rollout::clone(rollout))),
        rings: rings.as_slice().into(),
        ring: 0,
        let_begin: None,
        others: serving::others(state, app, environment, build, targets, rollout.as_deref()),
        narrowed: *narrowed,
        schedule: schedule.clone(),
        waves: 0,
        keep_data: *keep_data,
        elected: None,
        paused: None,
        well_since: None,
        guided: Vector::new(),
        phase: if *awaits_permit { DeploymentPhase::AwaitingPermit } else { DeploymentPhase::Running },
        members,
        package,
        only: only.clone(),
    };
    state.deployments.insert(*deployment, record);
    forget_old_deployments(state);
}

pub(super) fn assign(state: &mut State, deployment: u64, targets: &[TargetName], undo: bool) {
    let stamp = state.head;
    let Some(record) = state.deployments.get_mut(&deployment) else { return };
    for name in targets {
        let order = record.parts.get(name).and_then(|part| part.order);
        let generation = stamp.entry;
        let assigned = Assigned { generation, deployment, undo, finished: false, given_up: false, order };
        let (mut before, mut was_stopped) = (None, false);
        if let Some(target) = state.targets.get_mut(name) {
            let on_target = target.apps.entry(record.app.clone()).or_default();
            on_target.assigned = Some(assigned);
            before = on_target.running.as_ref().map(|running| running.build);
            was_stopped = on_target.running.as_ref().is_some_and(|running| running.stopped);
        }
        record.parts.change(name, |part| {
            (part.serves, part.stopped) = (false, false);
            match undo {
                true => part.progress = Progress::Undoing(stamp),
                false => {
                    (part.before, part.was_stopped) = (before, was_stopped);
                    (part.progress, part.begun) = (Progress::Assigned(stamp), stamp.entry);
                }
            }
        });
    }
}

/// Targets that were given up on are to go back when they return; their parts stay as they ended.
pub(super) fn leave_word(state: &mut State, deployment: u64, targets: &[TargetName]) {
    let generation = state.head.entry;
    let Some(app) = state.deployments.get(&deployment).map(|record| record.app.clone()) else { return };
    for name in targets {
        if let Some(target) = state.targets.get_mut(name) {
            let on_target = target.apps.entry(app.clone()).or_default();
            let order = None;
            let assigned = Assigned { generation, deployment, undo: true, finished: true, given_up: true, order };
            on_target.assigned = Some(assigned);
        }
    }
}

/// What people say of a deployment under way stays with it.
pub(super) fn guide(
    state: &mut State,
    deployment: u64,
    by: &PersonName,
    word: GuidanceWord,
    targets: &[TargetName],
    reason: Option<Digest>,
) {
    let stamp = state.head;
    let Some(record) = state.deployments.get_mut(&deployment) else { return };
    record.guided.push_back(Guidance { stamp, by: by.clone(), word, targets: targets.to_vec(), reason });
    if record.guided.len() > policy::GUIDANCE_KEPT {
        record.guided.pop_front();
    }
}

pub(super) fn note_abort(state: &mut State, deployment: u64, aborted: Option<&Aborted>) {
    if let Some(Aborted { by, reason }) = aborted {
        guide(state, deployment, by, GuidanceWord::Aborted, &[], *reason);
    }
}

/// A target is left out. If it is at it already, it may have activated it all the same: what it says later is heard.
pub(super) fn exclude(state: &mut State, deployment: u64, name: &TargetName, aside: Aside) {
    let Some(record) = state.deployments.get_mut(&deployment) else { return };
    let is_busy = |part: &Part| matches!(part.progress, Progress::Assigned(_));
    let was_busy = record.parts.get(name).is_some_and(is_busy);
    record.parts.change(name, |part| {
        part.aside = Some(aside);
        part.absent |= was_busy;
    });
    let on_target = state.targets.get_mut(name).and_then(|target| target.apps.get_mut(&record.app));
    let assigned = on_target.and_then(|on_target| on_target.assigned.as_mut());
    if let Some(assigned) = assigned.filter(|assigned| assigned.deployment == deployment && was_busy) {
        (assigned.finished, assigned.given_up) = (true, true);
    }
}

/// Targets wait for their turn again, by the order of this entry. Where the deployment is over, it is their turn at once.
pub(super) fn retry(state: &mut State, deployment: u64, targets: &[TargetName]) {
    let order = Some(state.head.entry);
    let Some(record) = state.deployments.get_mut(&deployment) else { return };
    for name in targets {
        record.parts.change(name, |part| {
            (part.order, part.aside, part.absent) = (order, None, false);
            part.progress = Progress::Waiting;
        });
    }
    // Who asks for another try has looked at what went wrong.
    if record.paused.as_ref().is_some_and(|pause| pause.failure.is_some()) {
        record.paused = None;
    }
    // Who is of a ring that has not begun has its turn with that, and the one that bakes has nothing to do with it.
    let wait_for_their_ring = targets.iter().all(|name| rollout::is_of_later_ring(record, name));
    match record.phase {
        DeploymentPhase::Baking(_) if wait_for_their_ring => {}
        DeploymentPhase::Baking(_) => record.phase = DeploymentPhase::Running,
        DeploymentPhase::Ended { .. } => assign(state, deployment, targets, false),
        _ => {}
    }
}

/// What had succeeded and soaks is open again when it goes back.
pub(super) fn reopen(state: &mut State, deployment: u64) {
    let Some(record) = state.deployments.get(&deployment) else { return };
    let DeploymentPhase::Ended { stamp, .. } = record.phase else { return };
    let Deployment { app, environment, build, act, .. } = record.clone();
    state.soaking.remove(&deployment);
    state.open_deployments.insert(deployment);
    count_the_replaced(state, deployment);
    data::did_not_run_well(state, &app, &environment, &build, stamp.entry);
    in_audience(state, &app, &environment).open_deployment = Some(deployment);
    // Who serves is nothing that stands for those who come late.
    if act != OrderAct::Switch {
        stand_again(state, deployment, &app, &environment);
    }
    if let Some(build) = state.apps.get_mut(&app).and_then(|record| record.builds.get_mut(&build))
        && build.verified_in.get(&environment).is_some_and(|since| *since >= stamp.time)
    {
        build.verified_in.remove(&environment);
    }
}

/// Who has something else by now counts for as much as that serves: how it is was for others to say meanwhile.
fn count_the_replaced(state: &mut State, deployment: u64) {
    let Some(record) = state.deployments.get(&deployment) else { return };
    let replaced = record.parts.iter().filter(|(_, part)| part.aside == Some(Aside::Replaced));
    let serves = |name: &TargetName| serving::is_counted_on(state, &record.app, name);
    let replaced: Vec<(TargetName, bool)> = replaced.map(|(name, _)| (name.clone(), serves(name))).collect();
    let Some(record) = state.deployments.get_mut(&deployment) else { return };
    replaced.iter().for_each(|(name, serves)| record.parts.change(name, |part| part.serves = *serves));
}

/// What stood in an environment before a deployment stands again, unless it was removed. What was planned may end after what has
/// a higher number.
fn stand_again(state: &mut State, deployment: u64, app: &AppName, environment: &AudienceName) {
    state.standing.remove(&deployment);
    let says_what_stands = |(number, other): (&u64, &Deployment)| {
        let same = *number != deployment && other.app == *app && other.environment == *environment && !other.narrowed;
        let says_it = other.act.installs() || other.act == OrderAct::Undeploy;
        match other.phase {
            DeploymentPhase::Ended { ending: Ending::Succeeded, stamp, .. } if same && says_it => {
                Some((stamp.entry, *number))
            }
            _ => None,
        }
    };
    let in_order: BTreeSet<(u64, u64)> = state.deployments.iter().filter_map(says_what_stands).collect();
    let before = in_order.into_iter().fold(None, |stands, (_, number)| {
        let other = state.deployments.get(&number)?;
        if other.act.installs() { Some(number) } else { stands.filter(|stands| !is_removed_by(state, *stands, other)) }
    });
    state.standing.extend(before);
    in_audience(state, app, environment).standing = before;
    stands_anew(state, app, environment);
}

/// Whether a removal is of the build that a deployment brought: the removal of another leaves it standing.
pub(super) fn is_removed_by(state: &State, stood: u64, removal: &Deployment) -> bool {
    removal.act == OrderAct::Undeploy && state.deployments.get(&stood).is_none_or(|stood| stood.build == removal.build)
}

/// Closed deployments leave the state after a while; the ledger keeps them all.
pub(super) fn forget_old_deployments(state: &mut State) {
    while state.deployments.len() > policy::DEPLOYMENTS_KEPT + state.open_deployments.len() + state.standing.len() {
        let is_needed = |number: &u64| {
            let package = state.deployments.get(number).and_then(|record| record.package.as_ref());
            let is_open = |number: &u64| state.open_deployments.contains(number);
            is_open(number)
                || state.standing.contains(number)
                || package.is_some_and(|package| is_open(&package.deployment))
        };
        let oldest_closed = state.deployments.keys().find(|number| !is_needed(number)).copied();
        match oldest_closed {
            Some(number) => {
                state.soaking.remove(&number);
                state.deployments.remove(&number)
            }
            None => return,
        };
    }
}
