//! From state to work: the assignment each target should follow, what each open deployment waits on, and when to look
//! again. Assignments are derived, never stored.

pub use crate::event::Migration;
use crate::{
    command::Command,
    event::Ending,
    policy,
    rules::{
        approvals, late, lifetime, owners, packages,
        presence::{self, Away},
        restored::Lost,
        rollout, schedule,
    },
    state::{Aside, Assigned, Deployment, DeploymentPhase, MemberPart, OnTarget, Pause, Progress, State},
    waiting::WaitingOn,
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use trust::{
    AppName, AudienceName, Digest, TargetName, Version,
    rollout::Advance,
    statement::{OrderAct, RequestId},
};

/// What a target should do with one application: immutable, numbered by epoch and generation, holding only digests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assignment {
    /// The charter's epoch.
    pub epoch: u64,
    /// Grows with every assignment of the epoch.
    pub generation: u64,
    /// The deployment it belongs to.
    pub deployment: u64,
    /// The application.
    pub app: AppName,
    /// The environment, for the target to compare with its own.
    pub environment: AudienceName,
    /// What the order says.
    pub act: OrderAct,
    /// Whether the deployment is to be taken back on this target.
    pub undo: bool,
    /// The build it brings or acts on.
    pub build: Digest,
    /// Its version.
    pub version: Option<Version>,
    /// The config document to use, with its serial.
    pub config: Option<(u64, Digest)>,
    /// What this target, which was elected for it, does to the application's data before any process changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrate: Option<Migration>,
}

/// The assignments that `target` has not reported on yet. One that was given up on goes on being offered, so that the
/// target catches up when it returns: as long as the others go on with it, or keep it; and if it is to go back it must,
/// however late. What came with a package that is over is offered only while that runs there which it comes after.
pub fn assignments(state: &State, target: &TargetName) -> Vec<Assignment> {
    let Some(record) = state.targets.get(target).filter(|record| !record.retired) else { return Vec::new() };
    let unfinished = |(app, on_target): (&AppName, &OnTarget)| {
        let is_told = |assigned: &Assigned| {
            let waits = waits_for_its_turn(state, target, assigned) || waits_there(state, target, app, assigned);
            is_offered(state, target, assigned) && !waits
        };
        assignment(state, target, app, &on_target.assigned.filter(is_told)?)
    };
    record.apps.iter().filter_map(unfinished).collect()
}

/// Whether a target is told to do something with an application and has not said how that ended.
pub fn is_at_something(state: &State, target: &TargetName, app: &AppName) -> bool {
    let on_target = state.targets.get(target).and_then(|record| record.apps.get(app));
    let assigned = on_target.and_then(|on_target| on_target.assigned);
    assigned.is_some_and(|assigned| is_offered(state, target, &assigned))
}

/// Whether a target is told so just now, and is not to wait with it.
pub fn is_told_now(state: &State, target: &TargetName, app: &AppName) -> bool {
    let on_target = state.targets.get(target).and_then(|record| record.apps.get(app));
    let waits = |assigned: Assigned| waits_there(state, target, app, &assigned);
    is_at_something(state, target, app) && !on_target.and_then(|on_target| on_target.assigned).is_some_and(waits)
}

/// Whether what a package that is over still brings to a target waits there: what it comes after was replaced, or is about to be.
fn waits_there(state: &State, target: &TargetName, app: &AppName, assigned: &Assigned) -> bool {
    let is_over = |deployment: &&Deployment| matches!(deployment.phase, DeploymentPhase::Ended { .. });
    let deployment = state.deployments.get(&assigned.deployment).filter(is_over);
    let deployment = deployment.filter(|deployment| deployment.act.deploys() && !assigned.undo);
    let of = deployment.and_then(|deployment| deployment.package.as_ref());
    let facts = of.and_then(|of| packages::listed(state, &of.app, &of.build));
    facts.is_some_and(|facts| packages::loses_what_comes_before(state, facts, app, target))
}

/// Whether somebody lets a target try again that was given up on: it gets another assignment when its turn comes, if it does.
fn waits_for_its_turn(state: &State, target: &TargetName, assigned: &Assigned) -> bool {
    let part = state.deployments.get(&assigned.deployment).and_then(|deployment| deployment.parts.get(target));
    !assigned.undo && part.is_some_and(|part| part.progress == Progress::Waiting)
}

fn is_offered(state: &State, target: &TargetName, assigned: &Assigned) -> bool {
    !assigned.finished || assigned.given_up && may_catch_up(state, target, assigned)
}

fn may_catch_up(state: &State, target: &TargetName, assigned: &Assigned) -> bool {
    let deployment = state.deployments.get(&assigned.deployment);
    let part = deployment.and_then(|deployment| deployment.parts.get(target));
    let is_excluded = part.is_some_and(|part| part.aside == Some(Aside::Excluded));
    let phase = deployment.map(|deployment| &deployment.phase);
    let is_kept = matches!(
        phase,
        Some(
            DeploymentPhase::Running
                | DeploymentPhase::Baking(_)
                | DeploymentPhase::Ended { ending: Ending::Succeeded, .. }
        )
    );
    assigned.undo || is_kept && !is_excluded && !deployment.is_some_and(|it| is_switched_since(state, assigned, it))
}

/// Whether another switch has begun since: who serves is for the newest to say.
fn is_switched_since(state: &State, assigned: &Assigned, deployment: &Deployment) -> bool {
    let Deployment { act, app, environment, .. } = deployment;
    let switched = |other: &Deployment| {
        other.act == OrderAct::Switch && other.waves > 0 && other.app == *app && other.environment == *environment
    };
    *act == OrderAct::Switch && state.deployments.range(assigned.deployment + 1..).any(|(_, other)| switched(other))
}

fn assignment(state: &State, target: &TargetName, app: &AppName, assigned: &Assigned) -> Option<Assignment> {
    let deployment = state.deployments.get(&assigned.deployment)?;
    let config = state.in_audience(app, &deployment.environment).and_then(|record| record.config.as_ref());
    Some(Assignment {
        epoch: state.epoch(),
        generation: assigned.generation,
        deployment: assigned.deployment,
        app: app.clone(),
        environment: deployment.environment.clone(),
        act: deployment.act,
        undo: assigned.undo,
        build: deployment.build,
        version: deployment.version.clone(),
        config: config.map(|config| (config.serial, config.document)),
        migrate: deployment
            .elected
            .as_ref()
            .filter(|(elected, _)| elected == target && !assigned.undo)
            .map(|(_, m)| *m),
    })
}

/// The entry with the order that a target's newest assignment of an application is by.
pub fn order_of(state: &State, target: &TargetName, app: &AppName) -> Option<u64> {
    let assigned = state.targets.get(target)?.apps.get(app)?.assigned?;
    let ordered = |deployment: &Deployment| deployment.package.as_ref().map_or(deployment.stamp.entry, |of| of.order);
    assigned.order.or_else(|| state.deployments.get(&assigned.deployment).map(ordered))
}

/// What an open deployment, or one that soaks, waits on at `now`.
pub fn waits(state: &State, number: u64, now: Timestamp) -> Option<WaitingOn> {
    let deployment = state.deployments.get(&number)?;
    if let Some(Pause { by, failure, .. }) = &deployment.paused {
        let expires = deployment.schedule.expires.filter(|_| deployment.waves == 0);
        let besides = kept_back(state, number, deployment, now).map(Box::new);
        return Some(WaitingOn::Person {
            deployment: number,
            by: by.clone(),
            failure: failure.clone(),
            expires,
            besides,
        });
    }
    match &deployment.phase {
        DeploymentPhase::Running | DeploymentPhase::Undoing { .. } | DeploymentPhase::Ended { .. }
            if deployment.is_of_package() =>
        {
            let hindrance = || schedule::hindrance(state, number, deployment, now);
            let hindrance = if stands(state, deployment) { hindrance() } else { None };
            hindrance.or_else(|| waits_for_members(state, number, deployment, now))
        }
        DeploymentPhase::AwaitingPermit => Some(match begins(state, deployment) {
            Some(begins) if begins <= now => {
                let hindrance = schedule::hindrance(state, number, deployment, now);
                hindrance.unwrap_or(WaitingOn::Beginning { deployment: number, begins })
            }
            Some(begins) => WaitingOn::Beginning { deployment: number, begins },
            None => WaitingOn::Permit {
                deployment: number,
                version: deployment.version.clone(),
                audience: deployment.environment.clone(),
            },
        }),
        DeploymentPhase::Running | DeploymentPhase::Undoing { .. } => {
            if stands(state, deployment)
                && let Some(hindrance) = schedule::hindrance(state, number, deployment, now)
            {
                return Some(hindrance);
            }
            let since = deployment.parts.busy().next().map_or(deployment.stamp.time, |(since, _)| since);
            let mut targets: Vec<TargetName> = deployment.parts.busy().map(|(_, target)| target.clone()).collect();
            targets.sort();
            Some(WaitingOn::Targets { deployment: number, targets, until: given_up_at(state, deployment, since) })
        }
        DeploymentPhase::Baking(_) => {
            let ring = rollout::current_ring(deployment).map(|ring| ring.name.clone()).unwrap_or_default();
            match (advance(state, deployment), bakes_until(state, deployment)?) {
                (Advance::Health, until) if until <= now => {
                    // Where nobody is left to come next nothing will be activated, at whatever moment.
                    let comes_next = deployment.parts.first_waiting();
                    let hindrance = comes_next.and_then(|_| schedule::hindrance(state, number, deployment, now));
                    Some(hindrance.unwrap_or(WaitingOn::Bake { deployment: number, ring, until }))
                }
                (Advance::Health, until) => Some(WaitingOn::Bake { deployment: number, ring, until }),
                (Advance::Hand, from) => {
                    let besides = schedule::hindrance(state, number, deployment, now.max(from));
                    Some(WaitingOn::Word { deployment: number, ring, from, besides: besides.map(Box::new) })
                }
            }
        }
        DeploymentPhase::Ended { settled: None, .. } if state.soaking.contains(&number) => {
            let unwell = deployment.parts.ailing().chain(deployment.parts.unclear());
            let unwell = unwell.map(|(name, reason)| (name.clone(), reason.to_owned()));
            let unwell: Vec<(TargetName, String)> = unwell.take(policy::UNWELL_NAMED).collect();
            let stopped: Vec<TargetName> = deployment.parts.stopped().take(policy::UNWELL_NAMED).cloned().collect();
            match unwell.is_empty() && stopped.is_empty() {
                false => Some(WaitingOn::Health { deployment: number, unwell, stopped }),
                true if let Some((app, other)) = ailing_beside(state, number, deployment) => {
                    let why = waits(state, other, now).map(Box::new);
                    Some(WaitingOn::Members { deployment: number, members: vec![(app, other)], why })
                }
                true => Some(WaitingOn::Soak { deployment: number, until: soaked(state, number, deployment)? }),
            }
        }
        DeploymentPhase::Ended { .. } => None,
    }
}

/// The freeze or window that what is paused would wait for if it were let go on, where anything of it has still to begin.
fn kept_back(state: &State, number: u64, deployment: &Deployment, now: Timestamp) -> Option<WaitingOn> {
    let goes_back = matches!(deployment.phase, DeploymentPhase::Undoing { .. } | DeploymentPhase::Ended { .. });
    let waits = deployment.members.values().any(|part| *part == MemberPart::Waiting);
    if goes_back || !waits && deployment.parts.first_waiting().is_none() {
        return None;
    }
    let hindrance = schedule::hindrance(state, number, deployment, now);
    hindrance.filter(|waiting| matches!(waiting, WaitingOn::Freeze { .. } | WaitingOn::Window { .. }))
}

/// The clock's commands that are due at `now`, and when to look again. The request id is derived from the deed, so that
/// asking twice does it once. What waits for a target that is `away` is not due before it is back; nor what brings something new,
/// where the ledger has `lost` entries, before owners have signed a new epoch.
pub fn due(state: &State, now: Timestamp, away: &Away, lost: &Lost) -> (Vec<(RequestId, Command)>, Option<Timestamp>) {
    let mut commands = Vec::new();
    let mut next: Option<Timestamp> = None;
    let mut consider = |at: Timestamp, id: String, command: Command| {
        let may_come = || presence::may_come(state, &command, away) && owners::may_come(state, &command, (lost, now));
        if at <= now && !may_come() {
        } else if at <= now {
            commands.extend(RequestId::new(id).ok().map(|id| (id, command)));
        } else {
            next = Some(next.map_or(at, |next| next.min(at)));
        }
    };
    for number in &state.open_deployments {
        let Some(deployment) = state.deployments.get(number) else { continue };
        if let Some(at) = advances(state, *number, deployment, now) {
            // A ring may bake more than once, where somebody lets its targets try again; and what was too late then and was let go on
            // is asked for anew.
            let since = if let DeploymentPhase::Baking(since) = deployment.phase { since.entry } else { 0 };
            let since = deployment.guided.last().map_or(since, |said| since.max(said.stamp.entry));
            let id = format!("advance:{number}:{}:{since}", deployment.waves);
            consider(at, id, Command::AdvanceDeployment(*number));
        }
        if let Some(at) = starts(state, *number, deployment, now) {
            // It may start more than once: what stands between two waves starts again, and so does what was too late, or was
            // paused before it began, and was let go on.
            let said = deployment.guided.last().map_or(0, |said| said.stamp.entry);
            let id = if (deployment.waves, said) == (0, 0) {
                format!("start:{number}")
            } else {
                format!("start:{number}:{}:{said}", deployment.waves)
            };
            consider(at, id, Command::StartDeployment(*number));
        }
        for (since, target) in deployment.parts.busy() {
            let at = given_up_at(state, deployment, since);
            let generation =
                state.targets.get(target).and_then(|t| t.apps.get(&deployment.app)).and_then(|a| a.assigned);
            let generation = generation.map_or(0, |assigned| assigned.generation);
            consider(
                at,
                format!("give-up:{number}:{target}:{generation}"),
                Command::GiveUpOnTarget(*number, target.clone(), None),
            );
            // Those that began later are due later.
            if at > now {
                break;
            }
        }
    }
    // Who is kept back may come as soon as others serve, which is no matter of time.
    for comer in late::comers(state, away, now).filter(|comer| comer.kept_back.is_none()) {
        let late::Comer { target, app, missed, at, .. } = comer;
        let assigned = state.targets.get(target).and_then(|t| t.apps.get(app)).and_then(|a| a.assigned);
        let generation = assigned.map_or(0, |assigned| assigned.generation);
        let id = format!("catch-up:{missed}:{target}:{generation}");
        consider(at, id, Command::CatchUp(target.clone(), app.clone()));
    }
    for number in &state.soaking {
        let deployment = state.deployments.get(number);
        if let Some(at) = deployment.and_then(|deployment| soaked(state, *number, deployment)) {
            consider(at, format!("settle:{number}"), Command::SettleDeployment(*number));
        }
    }
    for name in &state.disposable {
        if let Some(at) = state.targets.get(name).and_then(|target| lifetime::retires(state, target)) {
            consider(at, format!("lapse:{name}"), Command::LapseTarget(name.clone()));
        }
    }
    (commands, next)
}

/// The same for ephemeral targets. When each was last heard of is not history: `silent` says since when it is silent, as far
/// as whoever asks can know.
pub fn vanished(
    state: &State,
    now: Timestamp,
    silent: impl Fn(&TargetName) -> Timestamp,
) -> (Vec<(RequestId, Command)>, Option<Timestamp>) {
    let mut commands = Vec::new();
    let mut next: Option<Timestamp> = None;
    for name in &state.ephemeral {
        let since = silent(name);
        match state.targets.get(name).and_then(|target| lifetime::vanishes(state, target, since)) {
            Some(at) if at <= now => {
                let id = RequestId::new(format!("lose:{name}")).ok();
                commands.extend(id.map(|id| (id, Command::LoseTarget(name.clone(), since))));
            }
            Some(at) => next = Some(next.map_or(at, |next| next.min(at))),
            None => {}
        }
    }
    (commands, next)
}

/// What the deployment of a package waits on: its members that are at it, or that soak once it has succeeded, as does what it found in
/// place.
fn waits_for_members(state: &State, number: u64, deployment: &Deployment, now: Timestamp) -> Option<WaitingOn> {
    let begun = |(name, part): (&AppName, &MemberPart)| match part {
        MemberPart::Begun(number) => Some((name.clone(), *number)),
        MemberPart::Waiting | MemberPart::InPlace => None,
    };
    let is_waited_on = |(_, member): &(AppName, u64)| match deployment.phase {
        DeploymentPhase::Ended { ending: Ending::Succeeded, settled: None, .. } => state.soaking.contains(member),
        DeploymentPhase::Ended { .. } => false,
        _ => state.open_deployments.contains(member),
    };
    let begun = deployment.members.iter().filter_map(begun).filter(is_waited_on);
    let members: Vec<(AppName, u64)> = begun.chain(packages::found_soaking(state, number, deployment)).collect();
    let is_over = matches!(deployment.phase, DeploymentPhase::Ended { .. });
    if is_over && members.is_empty() {
        return None;
    }
    let why = members.iter().find_map(|(_, member)| waits(state, *member, now));
    Some(WaitingOn::Members { deployment: number, members, why: why.map(Box::new) })
}

/// Whether a deployment stands: targets are left, and none is at it; or members of a package are, and none is.
fn stands(state: &State, deployment: &Deployment) -> bool {
    let parts = &deployment.parts;
    let goes_forward = deployment.phase == DeploymentPhase::Running && deployment.paused.is_none();
    if deployment.is_of_package() {
        let is_at_it = |part: &MemberPart| matches!(part, MemberPart::Begun(n) if state.open_deployments.contains(n));
        let mut members = deployment.members.values();
        let waits = deployment.members.values().any(|part| *part == MemberPart::Waiting);
        return goes_forward && waits && !members.any(is_at_it);
    }
    goes_forward && parts.busy().next().is_none() && parts.waiting().next().is_some()
}

/// By whose word the ring after one that bakes begins: by nobody's where nobody is left in it.
fn advance(state: &State, deployment: &Deployment) -> Advance {
    deployment.parts.first_waiting().map_or(Advance::Health, |_| rollout::of(state, deployment).advance)
}

/// When the ring after one that bakes begins by itself, as far as is known at `now`.
pub fn advances(state: &State, number: u64, deployment: &Deployment, now: Timestamp) -> Option<Timestamp> {
    let by_health = advance(state, deployment) == Advance::Health && deployment.paused.is_none();
    let until = bakes_until(state, deployment).filter(|_| by_health)?;
    // Where nobody is left to come next nothing will be activated, at whatever moment.
    if deployment.parts.first_waiting().is_none() {
        return Some(until);
    }
    schedule::goes_on(state, number, deployment, until.max(now)).map(|at| if at <= now { until } else { at })
}

/// When a deployment that stands at `now` starts, goes on, or is dropped because its time is over, as far as is known.
pub fn starts(state: &State, number: u64, deployment: &Deployment, now: Timestamp) -> Option<Timestamp> {
    let from = match deployment.phase {
        DeploymentPhase::Ended { .. } => return None,
        // A pause keeps nothing beyond its time.
        _ if deployment.paused.is_some() && deployment.waves == 0 => return deployment.schedule.expires,
        DeploymentPhase::AwaitingPermit => match begins(state, deployment) {
            Some(begins) => begins,
            None => return deployment.schedule.expires,
        },
        _ if stands(state, deployment) => now,
        _ => return None,
    };
    let expires = deployment.schedule.expires;
    let goes_on =
        schedule::goes_on(state, number, deployment, from.max(now)).map(|at| if at <= now { from } else { at });
    [goes_on, expires].into_iter().flatten().min()
}

/// When the permit that a standing deployment waited for begins to hold, once it is granted.
fn begins(state: &State, deployment: &Deployment) -> Option<Timestamp> {
    let DeploymentPhase::AwaitingPermit = deployment.phase else { return None };
    if deployment.paused.is_some() {
        return None;
    }
    let version = deployment.version.as_ref()?;
    let (_, request) = state.all_permits(&deployment.app, version, &deployment.environment).next()?;
    let satisfied = approvals::lacks(state, state.policy.as_ref()?, request).is_empty();
    satisfied.then_some(request.not_before)
}

/// When a target is given up on that is at a deployment `since` then: after as long as the charter says, and as the build itself
/// says that its checks and its migration may take. What was under way before an epoch it can take up again from then on only.
fn given_up_at(state: &State, deployment: &Deployment, since: Timestamp) -> Timestamp {
    let build = state.apps.get(&deployment.app).and_then(|app| app.builds.get(&deployment.build));
    let takes = build.map_or(0, |build| i64::from(build.facts.takes_seconds));
    let seconds = i64::from(rollout::of(state, deployment).progress_minutes) * 60 + takes;
    later(state.epoch_since.map_or(since, |epoch| since.max(epoch)), seconds)
}

/// Until when a ring bakes before the next may begin.
pub fn bakes_until(state: &State, deployment: &Deployment) -> Option<Timestamp> {
    let DeploymentPhase::Baking(since) = deployment.phase else { return None };
    Some(later(since.time, i64::from(rollout::of(state, deployment).bake_minutes) * 60))
}

/// When a deployment that succeeded will have soaked, if it has not settled yet, is well, and brings something that can
/// settle: what was replaced, undone, rolled back or removed before its time is no place to go back to. What was unwell or
/// stopped meanwhile soaks from when it was well or started again (R54).
fn soaked(state: &State, number: u64, deployment: &Deployment) -> Option<Timestamp> {
    let DeploymentPhase::Ended { stamp, .. } = &deployment.phase else { return None };
    if !state.soaking.contains(&number) || !deployment.parts.are_well() {
        return None;
    }
    // What came with a package settles with it: it goes back with it too.
    let package = deployment.package.as_ref().and_then(|package| state.deployments.get(&package.deployment));
    let together = match package.map(|package| &package.phase) {
        Some(DeploymentPhase::Ended { stamp, .. }) => stamp.time,
        Some(_) => return None,
        None => stamp.time,
    };
    if ailing_beside(state, number, deployment).is_some() {
        return None;
    }
    let environment = state.policy.as_ref()?.charter.environments.get(&deployment.environment)?;
    let well_since = beside(state, number, deployment).filter_map(|(_, _, other)| other.well_since);
    let from = well_since.chain(deployment.well_since).fold(stamp.time.max(together), Timestamp::max);
    Some(later(from, i64::from(environment.soak_minutes) * 60))
}

/// What soaks besides of the package that a deployment came with.
pub(crate) fn beside<'a>(
    state: &'a State,
    own: u64,
    deployment: &Deployment,
) -> impl Iterator<Item = (&'a AppName, u64, &'a Deployment)> {
    let package = deployment.package.as_ref().and_then(|package| state.deployments.get(&package.deployment));
    let begun = package.into_iter().flat_map(|package| packages::begun(state, package));
    begun.filter(move |(_, number, _)| *number != own && state.soaking.contains(number))
}

/// A member that is not well and keeps those from settling that came with it: they would go back with it.
fn ailing_beside(state: &State, number: u64, deployment: &Deployment) -> Option<(AppName, u64)> {
    let ailing = beside(state, number, deployment).find(|(_, _, other)| !other.parts.are_well());
    ailing.map(|(app, number, _)| (app.clone(), number))
}

fn later(time: Timestamp, seconds: i64) -> Timestamp {
    time.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}
