//! What targets say, and what the clock says: how a deployment goes on.

use super::{Asked, deployment};
use crate::{
    command::Actor,
    event::{Change, Event},
    plan,
    refusal::{Refusal, Right},
    rules::{late, owners, rights, rollout, schedule},
    state::{Assigned, Deployment, DeploymentPhase, Draft, Progress},
    waiting::WaitingOn,
};
use std::collections::BTreeSet;
use trust::{
    AppName, TargetName,
    authority::OF_THE_MOMENT,
    statement::{Facts, Health, Inventory, OrderAct, Outcome, Phase, Report},
};

/// The longest text among what a machine says of itself that is recorded, in characters.
const FACT_CHARACTERS: usize = 100;

/// A target says how its newest assignment ended.
pub(super) fn outcome(draft: &mut Draft, asked: &Asked<'_>, report: Report) -> Result<(), Refusal> {
    by_itself(asked, &report.target)?;
    if report.carried.is_some() {
        let why = "what came of a bundle is brought back by a receipt".into();
        return Err(Refusal::Invalid { why });
    }
    let on_target = draft.state.targets.get(&report.target).and_then(|target| target.apps.get(&report.app));
    let assigned = on_target.and_then(|on_target| on_target.assigned).ok_or(Refusal::ReportStale)?;
    let record = draft.state.deployments.get(&report.deployment).ok_or(Refusal::ReportStale)?;
    // Generations are counted anew in each epoch: what a target says of an earlier one is not about this assignment.
    let same_epoch = report.epoch == draft.state.epoch() && report.app == record.app;
    let is_newest = assigned.generation == report.generation && assigned.deployment == report.deployment;
    // Who was given up on is heard all the same: what runs there must be known.
    let is_awaited = is_newest && (!assigned.finished || assigned.given_up);
    let is_overdue = !is_newest && is_overdue(record, assigned, &report);
    if !same_epoch || !(is_awaited || is_overdue) {
        return Err(Refusal::ReportStale);
    }
    // Of an older assignment nothing is kept: where something else runs than it leaves there, it went back.
    let leaves = (record.act != OrderAct::Undeploy).then_some(record.build);
    let undo = if is_newest { assigned.undo } else { report.running != leaves };
    let brought = record.act.installs() && !undo && report.outcome == Outcome::Verified;
    if brought && report.running != Some(record.build) {
        let why =
            format!("{} reports {}#{} as verified, and runs another", report.target, report.app, record.build.short());
        return Err(Refusal::Invalid { why });
    }
    let before = record.parts.get(&report.target).and_then(|part| part.before);
    let change = match (&report.outcome, undo) {
        (Outcome::Verified, false) => Some(change(record.act, before, record.build)),
        _ => None,
    };
    let stands = match &report.outcome {
        Outcome::Refused { code, .. } if OF_THE_MOMENT.contains(&code.as_str()) && is_newest && !undo => {
            schedule::hindrance(&draft.state, report.deployment, record, asked.context.now).is_some()
        }
        _ => false,
    };
    draft.record(Event::TargetFinished {
        deployment: report.deployment,
        target: report.target,
        outcome: printable(report.outcome),
        change,
        running: report.running,
        config_serial: report.config_serial,
        phases: report.phases,
        endpoints: report.endpoints.iter().map(|endpoint| trust::names::printable(endpoint)).collect(),
        given_up: false,
        stands,
        way: report.way,
        standby: report.standby,
        doubt: report.doubt.filter(|_| change.is_some()).map(|doubt| clean(&doubt)),
    });
    if is_newest {
        deployment::go_on(draft, asked, report.deployment);
    }
    Ok(())
}

/// Whether a target says how an earlier deployment ended there, in which it was given up on and not heard of since, or which was
/// aborted while it was at it. Nothing else may ever say what runs there: it may be lost again before it is at the newest (R46).
fn is_overdue(record: &Deployment, newest: Assigned, report: &Report) -> bool {
    let part = record.parts.get(&report.target);
    let is_unheard = part.is_some_and(|part| part.absent || matches!(part.progress, Progress::Assigned(_)));
    let is_over = matches!(record.phase, DeploymentPhase::Ended { .. });
    // What was planned has a lower number than what began before it.
    let is_older = report.deployment != newest.deployment && report.generation < newest.generation;
    is_over && is_unheard && is_older && (!newest.finished || newest.given_up)
}

/// What a verified assignment changed on a target (R57).
pub(super) fn change(act: OrderAct, before: Option<trust::Digest>, build: trust::Digest) -> Change {
    match act {
        OrderAct::Deploy | OrderAct::Redeploy | OrderAct::Rollback if before == Some(build) => Change::Repeated,
        OrderAct::Deploy | OrderAct::Redeploy => before.map_or(Change::Deployed, |_| Change::Upgraded),
        OrderAct::Rollback => Change::RolledBack,
        OrderAct::Configure => Change::Configured,
        OrderAct::Undeploy => Change::Removed,
        OrderAct::Stop | OrderAct::Start | OrderAct::Restart | OrderAct::Switch => Change::Controlled,
    }
}

/// Reasons come from programs' output: nothing in them may drive a terminal, and they stay short.
pub(super) fn printable(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Verified => Outcome::Verified,
        Outcome::Undone { phase, reason } => Outcome::Undone { phase, reason: clean(&reason) },
        Outcome::Failed { phase, reason } => Outcome::Failed { phase, reason: clean(&reason) },
        Outcome::Refused { code, reason } => Outcome::Refused { code: clean(&code), reason: clean(&reason) },
    }
}

fn clean(text: &str) -> String {
    trust::names::printable(&text.chars().take(500).collect::<String>())
}

/// A target says what it found. Only what differs from before is history (R37).
pub(super) fn inventory(draft: &mut Draft, asked: &Asked<'_>, inventory: Inventory) -> Result<(), Refusal> {
    by_itself(asked, &inventory.target)?;
    if !draft.state.targets.contains_key(&inventory.target) {
        return Err(Refusal::ReportStale);
    }
    if inventory.lapsed.is_some() {
        return super::target::lapsed(draft, asked, &inventory);
    }
    let what = format!("{} is as it was last seen", inventory.target);
    let told = told(draft, &inventory);
    let otherwise = otherwise(draft, &inventory);
    let events: Vec<Event> = told.into_iter().chain(otherwise).chain(found(draft, inventory)).collect();
    if events.is_empty() {
        return Err(Refusal::AlreadyDone { what, since: None });
    }
    events.into_iter().for_each(|event| draft.record(event));
    Ok(())
}

/// What a target runs by its own word, where that is something else than is known. What it is at it tells by a report, and what it
/// looked at before its last one says nothing against that.
fn otherwise(draft: &Draft, inventory: &Inventory) -> Vec<Event> {
    let name = &inventory.target;
    let Some(target) = draft.state.targets.get(name) else { return Vec::new() };
    let is_told = |app: &AppName| {
        let Some(assigned) = target.apps.get(app).and_then(|on_target| on_target.assigned) else { return true };
        let part = draft.state.deployments.get(&assigned.deployment).and_then(|record| record.parts.get(name));
        let last = part.and_then(|part| part.phases.last());
        // A target does one thing after the other: it looked before that, or after.
        let is_later = last.is_none_or(|last| inventory.scanned >= last.started);
        assigned.finished && !assigned.given_up && is_later
    };
    let known = |app: &AppName| draft.state.running(app, name).map(|running| running.build);
    let apps: BTreeSet<&AppName> = target.apps.keys().chain(inventory.active.keys()).collect();
    let apps = apps.into_iter().filter(|app| draft.state.apps.contains_key(*app) && is_told(app));
    let differs = apps.filter(|app| known(app) != inventory.active.get(*app).copied());
    let event = |app: &AppName| Event::TargetRunsOtherwise {
        target: name.clone(),
        app: app.clone(),
        build: inventory.active.get(app).copied(),
    };
    differs.map(event).collect()
}

/// What a machine says that it is, where that is news (R9).
fn told(draft: &Draft, inventory: &Inventory) -> Option<Event> {
    let known = &draft.state.targets.get(&inventory.target)?.facts;
    let Facts { os, arch, memory_bytes, agent_version, kernel } = inventory.facts.clone()?;
    let short = |text: String| clean(&text).chars().take(FACT_CHARACTERS).collect::<String>();
    let (os, arch, kernel) = (short(os), short(arch), short(kernel));
    let facts = Facts { os, arch, memory_bytes, agent_version: short(agent_version), kernel };
    (*known != facts).then(|| Event::FactsChanged { target: inventory.target.clone(), facts })
}

/// A target says how what it runs is. Only what differs from before is history, and only of the build that runs (R54).
pub(super) fn health(draft: &mut Draft, asked: &Asked<'_>, health: Health) -> Result<(), Refusal> {
    by_itself(asked, &health.target)?;
    let on_target = draft.state.targets.get(&health.target).ok_or(Refusal::ReportStale)?;
    let mut changes = Vec::new();
    for (app, on_target) in &on_target.apps {
        let Some(running) = on_target.running.as_ref().filter(|running| !running.stopped) else { continue };
        let said = health.unwell.get(app).filter(|unwell| unwell.build == running.build);
        // What is wrong may change its words at every look: it is said once, and once that it is over.
        if said.map(|unwell| unwell.unclear) != running.unwell.as_ref().map(|unwell| unwell.unclear) {
            changes.push((app.clone(), running.build, running.deployment, said.cloned()));
        }
    }
    if changes.is_empty() {
        let what = format!("what runs on {} is as well as it was", health.target);
        return Err(Refusal::AlreadyDone { what, since: None });
    }
    for (app, build, deployment, said) in changes {
        let unclear = said.as_ref().is_some_and(|unwell| unwell.unclear);
        let unwell = said.map(|unwell| clean(&unwell.reason));
        draft.record(Event::HealthChanged { target: health.target.clone(), app, build, unwell, unclear });
        deployment::go_on(draft, asked, deployment);
    }
    Ok(())
}

/// What an inventory changes in what is known of a target; nothing where nothing.
pub(super) fn found(draft: &Draft, inventory: Inventory) -> Option<Event> {
    let target = draft.state.targets.get(&inventory.target)?;
    let findings = trust::inventory::recorded(&inventory.findings);
    let same = target.findings.iter().eq(findings.iter());
    (!same).then_some(Event::EscapesChanged { target: inventory.target, findings })
}

fn by_itself(asked: &Asked<'_>, target: &TargetName) -> Result<(), Refusal> {
    match &asked.context.actor {
        Actor::Target(name) if name == target => Ok(()),
        actor => Err(rights::missing(actor, Right::Deploy, target, None)),
    }
}

fn by_clock(asked: &Asked<'_>) -> Result<(), Refusal> {
    match &asked.context.actor {
        Actor::Clock => Ok(()),
        actor => Err(rights::missing(actor, Right::Deploy, &"time", None)),
    }
}

/// The clock says that a ring has baked.
pub(super) fn advance(draft: &mut Draft, asked: &Asked<'_>, number: u64) -> Result<(), Refusal> {
    by_clock(asked)?;
    let deployment = draft.state.deployments.get(&number).ok_or(Refusal::UnknownDeployment { deployment: number })?;
    match plan::advances(&draft.state, number, deployment, asked.context.now) {
        Some(at) if at <= asked.context.now => {
            owners::may_begin_now(&draft.state, (&asked.context.lost, asked.context.now), deployment)?;
            deployment::advance(draft, asked, number);
            Ok(())
        }
        _ => Err(Refusal::DeploymentOver { deployment: number }),
    }
}

/// The clock says that a deployment has soaked.
pub(super) fn settle(draft: &mut Draft, asked: &Asked<'_>, number: u64) -> Result<(), Refusal> {
    by_clock(asked)?;
    match plan::waits(&draft.state, number, asked.context.now) {
        Some(WaitingOn::Soak { until, .. }) if until <= asked.context.now => {
            draft.record(Event::DeploymentSettled { deployment: number });
            Ok(())
        }
        _ => Err(Refusal::DeploymentOver { deployment: number }),
    }
}

/// The clock says that what a deployment stood and waited for has come.
pub(super) fn start(draft: &mut Draft, asked: &Asked<'_>, number: u64) -> Result<(), Refusal> {
    by_clock(asked)?;
    let record = draft.state.deployments.get(&number).ok_or(Refusal::UnknownDeployment { deployment: number })?;
    match plan::starts(&draft.state, number, record, asked.context.now) {
        Some(begins) if begins <= asked.context.now => {
            owners::may_begin_now(&draft.state, (&asked.context.lost, asked.context.now), record)?;
            deployment::start(draft, asked, number);
            Ok(())
        }
        _ => Err(Refusal::DeploymentOver { deployment: number }),
    }
}

/// The clock says that a target can have now what it missed.
pub(super) fn catch_up(draft: &mut Draft, asked: &Asked<'_>, target: TargetName, app: &AppName) -> Result<(), Refusal> {
    by_clock(asked)?;
    let missed = late::missed(&draft.state, &target, app).map(|(number, _)| number).ok_or(Refusal::ReportStale)?;
    match late::comes(&draft.state, &target, app, asked.context.now) {
        Some(at) if at <= asked.context.now => {
            late::can_leave(&draft.state, &target, app, &asked.context.away)?;
            draft.record(Event::TargetAdded { deployment: missed, target });
            Ok(())
        }
        _ => Err(Refusal::DeploymentOver { deployment: missed }),
    }
}

/// The clock says that a target has been silent for too long: the deployment goes on without it.
pub(super) fn give_up(
    draft: &mut Draft,
    asked: &Asked<'_>,
    number: u64,
    name: &TargetName,
    said: Option<String>,
) -> Result<(), Refusal> {
    by_clock(asked)?;
    let over = || Refusal::DeploymentOver { deployment: number };
    let record = draft.state.deployments.get(&number).ok_or_else(over)?;
    let at_it = record
        .parts
        .get(name)
        .is_some_and(|part| matches!(part.progress, Progress::Assigned(_) | Progress::Undoing(_)));
    if !at_it || matches!(record.phase, DeploymentPhase::Ended { .. }) {
        return Err(over());
    }
    let minutes = rollout::of(&draft.state, record).progress_minutes;
    let minutes = if minutes == 1 { "1 minute".into() } else { format!("{minutes} minutes") };
    // Who is heard of is busy, or stuck.
    let reason = match (asked.context.away.contains(name), said) {
        (true, _) => format!("no answer within {minutes}"),
        (false, None) => format!("not done within {minutes}"),
        (false, Some(said)) => format!("not done within {minutes}: it says that it cannot go on: {said}"),
    };
    give_up_on(draft, number, name, reason);
    deployment::go_on(draft, asked, number);
    Ok(())
}

/// Waits no more for a target that is at its part of a deployment: it failed, as far as is known, and is heard all the same.
pub(super) fn give_up_on(draft: &mut Draft, number: u64, name: &TargetName, reason: String) {
    let record = draft.state.deployments.get(&number);
    let running = record.and_then(|record| draft.state.running(&record.app, name)).cloned();
    draft.record(Event::TargetFinished {
        deployment: number,
        target: name.clone(),
        outcome: Outcome::Failed { phase: Phase::Check, reason },
        change: None,
        running: running.as_ref().map(|running| running.build),
        config_serial: running.as_ref().map_or(0, |running| running.config_serial),
        phases: Vec::new(),
        standby: running.as_ref().is_some_and(|running| running.standby),
        endpoints: running.map(|running| running.endpoints).unwrap_or_default(),
        given_up: true,
        stands: false,
        way: Default::default(),
        doubt: None,
    });
}
