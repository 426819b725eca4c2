//! What targets say: how their part ended, and how what they run is.

use super::{data, ending, in_audience};
use crate::{
    event::Change,
    rules::{late, sides},
    state::{Aside, Deployment, Doubt, Part, Progress, Running, State, Unwell, serving},
};
use jiff::Timestamp;
use trust::{
    AppName, Digest, TargetName,
    statement::{OrderAct, Outcome, PhaseTiming},
};

/// What a target's report says, less its phases.
pub(super) struct Finished<'a> {
    pub outcome: &'a Outcome,
    pub change: Option<Change>,
    pub running: Option<Digest>,
    pub config_serial: u64,
    pub endpoints: &'a [String],
    pub given_up: bool,
    pub stands: bool,
    pub standby: bool,
    pub doubt: Option<&'a str>,
}

pub(super) fn finish_target(
    state: &mut State,
    deployment: u64,
    name: &TargetName,
    finished: &Finished<'_>,
    phases: &[PhaseTiming],
) {
    let Some(record) = state.deployments.get(&deployment) else { return };
    let (app, act) = (record.app.clone(), record.act);
    let assigned = close_assignment(state, deployment, name, &app, finished);
    let was_verified = *finished.outcome == Outcome::Verified;
    if !finished.given_up {
        // Who verified and changed nothing went back, to whatever assignment.
        let went_back = assigned.to_undo || was_verified && finished.change.is_none();
        data::heard(state, deployment, name, went_back, finished.outcome, phases);
    }
    let before = state.running(&app, name).cloned();
    let was_unwell = before.as_ref().is_some_and(|running| running.unwell.is_some());
    let was_stopped = before.as_ref().is_some_and(|running| running.stopped && finished.running == Some(running.build));
    let goes_back = |part: &Part| assigned.goes_back(part, finished);
    let is_back =
        |part: &Part| (goes_back(part) && was_verified).then_some(part.was_stopped && finished.running == part.before);
    let part = state.deployments.get(&deployment).and_then(|record| record.parts.get(name));
    let back = part.and_then(is_back);
    let has_failed = matches!(finished.outcome, Outcome::Failed { .. }) && !finished.given_up;
    // Who could not go back may run what it was to go back to all the same, well or not: that soaks there by its health.
    let is_stuck = has_failed && part.is_some_and(|part| goes_back(part) && part.before == finished.running);
    let stopped = match (act, finished.outcome) {
        // It is as it was before the deployment.
        _ if back.is_some() => back == Some(true),
        (OrderAct::Stop, Outcome::Verified) => true,
        (OrderAct::Configure, _) => was_stopped,
        (_, outcome) => was_stopped && *outcome != Outcome::Verified,
    };
    // What nobody touched is as well as it was.
    let is_touched = phases.iter().any(|timing| timing.phase.touches());
    let goes_on = before.as_ref().filter(|before| finished.running == Some(before.build) && !is_touched);
    let unwell = goes_on.and_then(|before| before.unwell.clone());
    let is_clear = unwell.as_ref().is_none_or(|unwell| unwell.unclear);
    let is_as_it_was = goes_on.is_some();
    let entry = state.head.entry;
    let Some(record) = state.deployments.get_mut(&deployment) else { return };
    record.parts.change(name, |part| {
        let goes_back = goes_back(part);
        if was_verified && !goes_back {
            part.verified = entry;
        }
        finish_part(part, finished, goes_back, !stopped && is_clear);
        part.phases.extend(phases.iter().cloned());
    });
    let came_back = (is_stuck || back.is_some()).then_some(finished.running).flatten();
    let came_back = came_back.and_then(|build| soaks_elsewhere(state, name, &app, &build));
    let switched = act == OrderAct::Switch && back.is_none() && was_verified;
    let since = state.head.time;
    let running = finished.running.map(|build| {
        let anew = finished.as_running(build, deployment, since, stopped);
        match before {
            // A target that goes on running the same build has run it since then.
            Some(before) if before.build == build && finished.change != Some(Change::Repeated) => {
                // Whether it serves was settled by the switch, so that what follows from its health is for that to say.
                let deployment = if switched { deployment } else { came_back.unwrap_or(before.deployment) };
                Running { since: before.since, deployment, unwell, ..anew }
            }
            _ => Running { deployment: came_back.unwrap_or(deployment), ..anew },
        }
    });
    if !is_as_it_was && back.is_none() && was_unwell && was_verified {
        is_well_again(state, name, running.as_ref().filter(|running| running.deployment != deployment));
    }
    if finished.change.is_some() && act.installs() {
        has_run(state, name, &app, finished.running);
    }
    runs_now(state, name, &app, running);
    if let Some(number) = came_back {
        is_there_again(state, name, &app, number, !is_stuck);
    }
    if assigned.newer {
        ran_before_the_newest(state, name, &app);
    }
    stopped_or_started(state, name, &app);
    counts_for_what_is_open(state, name, &app, deployment);
    if was_verified && back.is_none() {
        ending::may_be_whole(state, deployment);
    }
    has_missed_it(state, deployment, name, &app, back.is_some());
}

/// Who says late what an earlier deployment left there misses what was ordered since and began without it, though it was taken to run
/// that; and who went back misses what stands again and had begun without it (R40).
fn has_missed_it(state: &mut State, deployment: u64, name: &TargetName, app: &AppName, is_back: bool) {
    let began_without =
        |(number, missed): &(u64, &Deployment)| is_back || *number > deployment && missed.parts.get(name).is_some();
    if late::missed(state, name, app).filter(began_without).is_some() {
        state.late.insert((name.clone(), app.clone()));
    }
}

impl Finished<'_> {
    /// What runs by this word, if it did not run before.
    fn as_running(&self, build: Digest, deployment: u64, since: Timestamp, stopped: bool) -> Running {
        let (config_serial, endpoints, standby) = (self.config_serial, self.endpoints.to_vec(), self.standby);
        Running { build, since, deployment, config_serial, endpoints, stopped, unwell: None, standby }
    }
}

/// What a target had been told when it was heard.
#[derive(Clone, Copy)]
struct Told {
    /// Whether it had been told to go back.
    to_undo: bool,
    /// Whether a newer assignment had replaced this one.
    newer: bool,
}

impl Told {
    /// Whether what the target says is that it goes back, or went.
    fn goes_back(self, part: &Part, finished: &Finished<'_>) -> bool {
        // Who is heard of an assignment that a newer one has replaced went back where nothing changed.
        let was_replaced = self.newer && finished.change.is_none();
        self.to_undo || was_replaced || matches!(part.progress, Progress::Undoing(_))
    }
}

/// The assignment is done with, where it is the newest still.
fn close_assignment(
    state: &mut State,
    deployment: u64,
    name: &TargetName,
    app: &AppName,
    finished: &Finished<'_>,
) -> Told {
    let on_target = state.targets.get_mut(name).map(|target| target.apps.entry(app.clone()).or_default());
    match on_target.and_then(|on_target| on_target.assigned.as_mut()) {
        Some(assigned) if assigned.deployment == deployment => {
            assigned.finished = true;
            assigned.given_up = finished.given_up;
            Told { to_undo: assigned.undo, newer: false }
        }
        _ => Told { to_undo: false, newer: true },
    }
}

/// How a target's part ended; `may_serve` unless what it runs is stopped or known to be unwell.
fn finish_part(part: &mut Part, finished: &Finished<'_>, goes_back: bool, may_serve: bool) {
    part.progress = match finished.outcome {
        Outcome::Verified if goes_back => Progress::Undone,
        Outcome::Refused { .. } if finished.stands && !goes_back => Progress::Waiting,
        outcome => Progress::Finished(outcome.clone()),
    };
    part.absent = finished.given_up;
    // What nobody has heard of is not taken to serve, nor is what could not go back.
    let is_well = !finished.given_up && !matches!(finished.outcome, Outcome::Failed { .. });
    part.serves = is_well && finished.running.is_some() && !finished.standby && may_serve;
    if *finished.outcome == Outcome::Verified && part.aside != Some(Aside::Left) {
        part.aside = None;
    }
    if !goes_back {
        part.unwell = None;
    }
    part.doubt = finished.doubt.map(|said| Doubt { said: said.to_owned(), accepted: false, watched: false });
}

/// What a target says late of an earlier deployment is what its part in the newest began with.
fn ran_before_the_newest(state: &mut State, name: &TargetName, app: &AppName) {
    let on_target = state.targets.get(name).and_then(|target| target.apps.get(app));
    let Some((newest, running)) = on_target.and_then(|on_target| Some((on_target.assigned?, &on_target.running)))
    else {
        return;
    };
    let before = running.as_ref().map(|running| running.build);
    let was_stopped = running.as_ref().is_some_and(|running| running.stopped);
    if let Some(record) = state.deployments.get_mut(&newest.deployment).filter(|_| !newest.undo) {
        record.parts.change(name, |part| {
            if matches!(part.progress, Progress::Assigned(_)) {
                (part.before, part.was_stopped) = (before, was_stopped);
            }
        });
    }
}

/// What was started anew is well, by the target's word: whatever brought it to the target soaks from then on.
fn is_well_again(state: &mut State, name: &TargetName, running: Option<&Running>) {
    let brought_by = running.filter(|running| running.serves()).map(|running| running.deployment);
    let now = state.head.time;
    if let Some(record) = brought_by.and_then(|number| state.deployments.get_mut(&number)) {
        record.parts.change(name, |part| {
            if part.unwell.take().is_some() {
                part.serves = true;
            }
            part.doubt = part.doubt.take().filter(|doubt| !doubt.watched);
        });
        if record.parts.are_well() {
            record.well_since = Some(now);
        }
    }
}

/// What is stopped on a target shows nobody how it is: whatever brought it there does not soak before it is started, and then
/// soaks anew (R54).
fn stopped_or_started(state: &mut State, name: &TargetName, app: &AppName) {
    let now = state.head.time;
    let Some(running) = state.running(app, name) else { return };
    let (build, brought_by, stopped, serves) = (running.build, running.deployment, running.stopped, running.serves());
    let Some(record) = state.deployments.get_mut(&brought_by).filter(|record| record.build == build) else { return };
    if record.parts.get(name).is_none_or(|part| part.stopped == stopped) {
        return;
    }
    record.parts.change(name, |part| {
        (part.stopped, part.serves) = (stopped, serves);
        if stopped {
            part.unwell = None;
            part.doubt = part.doubt.take().filter(|doubt| !doubt.watched);
        }
    });
    if !stopped && record.parts.are_well() {
        record.well_since = Some(now);
    }
}

/// A target has verified a build: whatever becomes of that, the build was deployed there.
pub(super) fn has_run(state: &mut State, name: &TargetName, app: &AppName, build: Option<Digest>) {
    let Some(environment) = state.targets.get(name).map(|target| target.environment.clone()) else { return };
    in_audience(state, app, &environment).ran.extend(build);
}

/// A target runs something else than was known. Which deployment brought it nobody knows, nor with which config.
pub(super) fn runs_otherwise(state: &mut State, name: &TargetName, app: &AppName, build: Option<Digest>) {
    let known = state.running(app, name).map(|running| running.standby);
    let other_serves = || build.is_some_and(|build| sides::other_serves(state, app, name, &build));
    let standby = known.unwrap_or_else(other_serves);
    let running = build.map(|build| Running {
        build,
        since: state.head.time,
        deployment: Running::BROUGHT_BY_NONE,
        config_serial: 0,
        endpoints: Vec::new(),
        stopped: false,
        unwell: None,
        standby,
    });
    runs_now(state, name, app, running);
    counts_for_what_is_open(state, name, app, Running::BROUGHT_BY_NONE);
}

/// A target runs this from now on. What was replaced there before it settled soaks on where it still runs.
pub(super) fn runs_now(state: &mut State, name: &TargetName, app: &AppName, running: Option<Running>) {
    let Some(target) = state.targets.get_mut(name) else { return };
    let on_target = target.apps.entry(app.clone()).or_default();
    let before = std::mem::replace(&mut on_target.running, running);
    let by = |running: &Option<Running>| running.as_ref().map(|running| running.deployment);
    let (replaced, is_replaced) = (before.as_ref().map(|before| before.build), by(&before) != by(&on_target.running));
    if let Some(number) = by(&before).filter(|_| is_replaced)
        // What made way in a switch is not what the switch brought.
        && state.deployments.get(&number).is_none_or(|record| Some(record.build) == replaced)
    {
        is_replaced_there(state, name, number);
    }
}

/// What a target runs no more soaks on with the others, from when it is well on all of them; what nobody runs any more settles
/// nowhere (R54).
fn is_replaced_there(state: &mut State, name: &TargetName, number: u64) {
    let now = state.head.time;
    let Some(record) = state.deployments.get_mut(&number).filter(|_| state.soaking.contains(&number)) else { return };
    let was_well = record.parts.are_well();
    record.parts.change(name, |part| {
        let has_left = part.aside == Some(Aside::Left);
        part.aside = if has_left { part.aside } else { Some(Aside::Replaced) };
    });
    if !was_well && record.parts.are_well() {
        record.well_since = Some(now);
    }
    if record.parts.verified().next().is_none() {
        state.soaking.remove(&number);
    }
}

/// The deployment that had brought a target the build which it goes back to, and that soaks still where nothing replaced it.
fn soaks_elsewhere(state: &State, name: &TargetName, app: &AppName, build: &Digest) -> Option<u64> {
    let brought = |number: &&u64| {
        let record = state.deployments.get(*number).filter(|record| record.app == *app && record.build == *build);
        let part = record.and_then(|record| record.parts.get(name));
        part.is_some_and(|part| {
            part.aside == Some(Aside::Replaced) && part.progress == Progress::Finished(Outcome::Verified)
        })
    };
    state.soaking.iter().rev().find(brought).copied()
}

/// A target is back on what a deployment had brought it: that soaks there again, and the target is told to go back with the
/// others (R54). Whether that could be brought back `well` is for its health to say where not.
fn is_there_again(state: &mut State, name: &TargetName, app: &AppName, number: u64, well: bool) {
    let now = state.head.time;
    let Some(running) = state.running(app, name) else { return };
    let (serves, stopped) = (running.serves(), running.stopped);
    let Some(record) = state.deployments.get_mut(&number) else { return };
    record.parts.change(name, |part| {
        (part.aside, part.unwell, part.doubt) = (None, None, None);
        (part.serves, part.stopped) = (serves && well, stopped);
    });
    if record.parts.are_well() {
        record.well_since = Some(now);
    }
}

/// A target says how what it runs is. What is unwell does not serve, whatever the deployment that brought it is at; of what nobody
/// can tell that is not so.
pub(super) fn health(state: &mut State, name: &TargetName, app: &AppName, build: &Digest, unwell: Option<Unwell>) {
    let now = state.head.time;
    let on_target = state.targets.get_mut(name).and_then(|target| target.apps.get_mut(app));
    let running = on_target.and_then(|on_target| on_target.running.as_mut());
    let Some(running) = running.filter(|running| running.build == *build) else { return };
    let before = std::mem::replace(&mut running.unwell, unwell);
    let was_unclear = before.as_ref().is_some_and(|unwell| unwell.unclear);
    if let (Some(before), Some(unwell)) = (before, &mut running.unwell) {
        unwell.since = before.since;
    }
    let (serves, brought_by) = (running.serves(), running.deployment);
    // What stands by serves nobody: that it is unwell takes nothing back.
    let said = running.unwell.clone().filter(|_| !running.standby);
    if let Some(record) = state.deployments.get_mut(&brought_by) {
        record.parts.change(name, |part| {
            if part.progress == Progress::Finished(Outcome::Verified) {
                let (unclear, wrong) =
                    (said.as_ref().filter(|said| said.unclear), said.as_ref().filter(|said| !said.unclear));
                part.unwell = wrong.map(|said| said.reason.clone());
                part.serves = serves;
                if unclear.is_some() || was_unclear {
                    let doubt = |said: &Unwell| Doubt { said: said.reason.clone(), accepted: false, watched: true };
                    part.doubt = unclear.map(doubt);
                }
            }
        });
        if record.parts.are_well() {
            record.well_since = Some(now);
        }
    }
    counts_for_what_is_open(state, name, app, brought_by);
}

/// What another deployment than this one is to replace counts for as much as it serves.
fn counts_for_what_is_open(state: &mut State, name: &TargetName, app: &AppName, deployment: u64) {
    let Some(environment) = state.targets.get(name).map(|target| target.environment.clone()) else { return };
    let serves = serving::is_counted_on(state, app, name);
    let here = state.in_audience(app, &environment);
    let open = here.and_then(|here| here.open_deployment).filter(|open| *open != deployment);
    if let Some(record) = open.and_then(|open| state.deployments.get_mut(&open)) {
        record.parts.change(name, |part| {
            let is_known = match &part.progress {
                Progress::Assigned(_) | Progress::Undoing(_) => false,
                Progress::Finished(outcome) => !part.absent && !matches!(outcome, Outcome::Failed { .. }),
                Progress::Waiting | Progress::Undone => true,
            };
            part.serves = if is_known { serves } else { part.serves };
        });
    }
}
