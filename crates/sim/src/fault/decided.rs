//! What is decided otherwise than by the rules.

use super::{Fault, ends, following, packages, presence, sides};
use crate::cast::DOUBT;
use domain::{
    command::{Command, Context, Signed},
    decide::decide,
    event::{Ending, Event},
    refusal::Refusal,
    rules::late,
    state::{Aside, Deployment, DeploymentPhase, State, apply},
};
use server::ledger::Decide;
use std::sync::Arc;
use trust::{
    TargetName,
    schedule::Schedule,
    statement::{Order, OrderAct},
};

/// How the server of a world decides.
pub fn decides(fault: Option<Fault>) -> Decide {
    match fault {
        Some(Fault::HoldForgotten) => without_holds,
        Some(Fault::WaveTooWide) => wide_waves,
        Some(Fault::FailurePassedOver) => passing_over_failures,
        Some(Fault::FailurePauseForgotten) => never_pausing,
        Some(Fault::MinimumIgnored) => without_minimum,
        Some(Fault::UndoTooWide) => undoing_all,
        Some(Fault::PauseForgotten) => deaf_to_pauses,
        Some(Fault::PauseTooLate) => going_on_when_paused,
        Some(Fault::CordonForgotten) => without_cordons,
        Some(Fault::RetirementForgotten) => without_retirements,
        Some(Fault::LateAtOnce) => catching_up_at_once,
        Some(Fault::RemovedReturns) => bringing_back,
        Some(Fault::ExclusionForgotten) => with_who_was_left_out,
        Some(Fault::RingTooEarly) => without_rings,
        Some(Fault::ScheduleForgotten) => at_any_time,
        Some(Fault::FreezeForgotten) => without_freezes,
        Some(Fault::SupersededUntold) => without_superseding,
        Some(Fault::DroppedUntold) => without_dropping,
        Some(Fault::SuccessTooEarly) => succeeding_early,
        Some(Fault::ChangeForgotten) => changing_nothing,
        Some(Fault::PlanIgnored) => without_plans,
        Some(Fault::UnwellPassedOver) => passing_over_the_unwell,
        Some(Fault::SettledUnsoaked) => settling_at_once,
        Some(Fault::UndoForgetsOne) => forgetting_one,
        Some(Fault::WithdrawalIgnored) => without_withdrawals,
        Some(Fault::LapseForgotten) => ends::keeping_the_unheard,
        Some(Fault::NewToTheOver) => ends::with_whose_time_is_over,
        Some(Fault::SilenceFails) => ends::failing_by_silence,
        Some(Fault::ThrownAwayReturns) => ends::bringing_what_was_thrown_away,
        Some(Fault::BothSides) => sides::on_both,
        Some(Fault::WayMadeAtOnce) => sides::making_way_at_once,
        Some(Fault::NoWayMade) => sides::making_no_way,
        Some(Fault::AwayTakenAlong) => presence::taking_along,
        Some(Fault::ReturnForgotten) => presence::forgetting_who_comes_back,
        Some(Fault::AwayCounted) => presence::counting_who_is_away,
        Some(Fault::FollowerAtOnce) => following::beginning_at_once,
        Some(Fault::FollowerForgotten) => following::beginning_never,
        Some(Fault::DoubtUndone) => undoing_doubts,
        Some(Fault::DoubtPassedOver) => passing_over_doubts,
        Some(Fault::StandByFirst) => sides::standing_by_first,
        Some(Fault::MemberTooEarly) => packages::all_members_at_once,
        Some(Fault::MembersLeft) => packages::leaving_members,
        Some(Fault::PackageTooEarly) => packages::succeeding_with_one,
        Some(Fault::PackageHoldForgotten) => packages::without_holds_of_packages,
        Some(Fault::MemberBesides) => packages::others_meanwhile,
        _ => decide,
    }
}

/// What was decided.
pub(super) type Decided = Result<Vec<Event>, Refusal>;

/// The targets of a deployment that have not had their turn.
fn waiting(state: &State, number: u64) -> Vec<TargetName> {
    let deployment = state.deployments.get(&number);
    deployment.into_iter().flat_map(|deployment| deployment.parts.waiting()).cloned().collect()
}

/// A deployment as it is once `events` have happened.
pub(super) fn after(state: &State, events: &[Event], number: u64) -> Option<Deployment> {
    let mut state = state.clone();
    events.iter().for_each(|event| apply(&mut state, event));
    state.deployments.get(&number).cloned()
}

/// The next wave of a deployment, as wide as may be and not wider; nothing where nobody waits.
pub(super) fn next_wave(deployment: &Deployment, number: u64) -> Option<Event> {
    let rollout = deployment.rollout.as_deref()?;
    let first = deployment.parts.first_waiting()?;
    let mut end = 0;
    let ring = deployment.rings.iter().find(|ring| {
        end += ring.targets as usize;
        first < end
    });
    let places = first..ring.map_or(usize::MAX, |_| end);
    let size = rollout.at_once.at_most(deployment.parts.len()).max(1);
    let targets = deployment.parts.waiting_in(places).take(size).map(|(name, _)| name.clone()).collect();
    let (wave, ring) = (deployment.waves + 1, ring.map(|ring| ring.name.clone()));
    Some(Event::WaveStarted { deployment: number, wave, targets, ring, migrate: None })
}

/// Whether a wave begins by changing the data: it is one target, whatever else is wrong.
fn changes_data(event: &Event) -> bool {
    matches!(event, Event::WaveStarted { migrate: Some(_), .. })
}

/// What is decided, with the next wave in the place of the event that `is_it` picks, and of all that follows it.
fn going_on(state: &State, context: &Context, command: Command, is_it: fn(&Event) -> Option<u64>) -> Decided {
    let mut events = decide(state, context, command)?;
    if events.iter().any(changes_data) {
        return Ok(events);
    }
    let Some((at, number)) = events.iter().enumerate().find_map(|(at, event)| Some((at, is_it(event)?))) else {
        return Ok(events);
    };
    let next = after(state, &events[..at], number).and_then(|deployment| next_wave(&deployment, number));
    if let Some(next) = next {
        events.truncate(at);
        events.push(next);
    }
    Ok(events)
}

fn never_pausing(state: &State, context: &Context, command: Command) -> Decided {
    going_on(state, context, command, |event| match event {
        Event::DeploymentPaused { deployment, failure: Some(_), .. } => Some(*deployment),
        _ => None,
    })
}

/// The deployment that pauses for a doubt.
fn is_paused_by_doubt(event: &Event) -> Option<u64> {
    match event {
        Event::DeploymentPaused { deployment, failure: Some(failure), .. } if failure.contains(DOUBT) => {
            Some(*deployment)
        }
        _ => None,
    }
}

fn passing_over_doubts(state: &State, context: &Context, command: Command) -> Decided {
    going_on(state, context, command, is_paused_by_doubt)
}

fn undoing_doubts(state: &State, context: &Context, command: Command) -> Decided {
    let mut events = decide(state, context, command)?;
    let Some(at) = events.iter().position(|event| is_paused_by_doubt(event).is_some()) else { return Ok(events) };
    if let Event::DeploymentPaused { deployment, failure: Some(reason), .. } = events[at].clone() {
        let verified = after(state, &events[..at], deployment).map(|it| it.parts.verified().cloned().collect());
        let (targets, absent) = (verified.unwrap_or_default(), Vec::new());
        events[at] = Event::UndoStarted { deployment, reason, targets, absent, aborted: None };
    }
    Ok(events)
}

fn without_rings(state: &State, context: &Context, command: Command) -> Decided {
    going_on(state, context, command, |event| match event {
        Event::RingVerified { deployment, .. } => Some(*deployment),
        _ => None,
    })
}

fn without_minimum(state: &State, context: &Context, command: Command) -> Decided {
    going_on(state, context, command, |event| match event {
        Event::WaveStarted { deployment, .. } => Some(*deployment),
        _ => None,
    })
}

fn undoing_all(state: &State, context: &Context, command: Command) -> Decided {
    let mut events = decide(state, context, command)?;
    let before = events.clone();
    for (at, event) in events.iter_mut().enumerate() {
        let Event::UndoStarted { deployment, targets, .. } = event else { continue };
        let Some(deployment) = after(state, &before[..at], *deployment) else { continue };
        let verified = deployment.parts.verified().filter(|name| !targets.contains(name));
        let verified: Vec<TargetName> = verified.cloned().collect();
        targets.extend(verified);
    }
    Ok(events)
}

fn deaf_to_pauses(state: &State, context: &Context, command: Command) -> Decided {
    if !goes_on(&command) {
        return decide(state, context, command);
    }
    let mut going = state.clone();
    let open: Vec<u64> = state.open_deployments.iter().copied().collect();
    for number in open {
        if let Some(deployment) = going.deployments.get_mut(&number) {
            deployment.paused = deployment.paused.take().filter(|pause| pause.by.is_none());
        }
    }
    decide(&going, context, command)
}

fn going_on_when_paused(state: &State, context: &Context, command: Command) -> Decided {
    let mut events = decide(state, context, command)?;
    let paused = events.iter().find_map(|event| match event {
        Event::DeploymentPaused { deployment, failure: None, .. } => Some(*deployment),
        _ => None,
    });
    let paused = paused.and_then(|number| Some((number, after(state, &events, number)?)));
    events.extend(paused.and_then(|(number, deployment)| next_wave(&deployment, number)));
    Ok(events)
}

fn without_cordons(state: &State, context: &Context, command: Command) -> Decided {
    if !matches!(command, Command::RequestDeployment(_)) {
        return decide(state, context, command);
    }
    let mut open = state.clone();
    let names: Vec<TargetName> = open.targets.keys().cloned().collect();
    for name in names {
        if let Some(target) = open.targets.get_mut(&name) {
            target.cordoned = false;
        }
    }
    decide(&open, context, command)
}

fn without_retirements(state: &State, context: &Context, command: Command) -> Decided {
    let mut events = decide(state, context, command)?;
    events.retain(|event| !matches!(event, Event::TargetRetired { .. }));
    Ok(events)
}

fn catching_up_at_once(state: &State, context: &Context, command: Command) -> Decided {
    let mut events = decide(state, context, command)?;
    let mut then = state.clone();
    events.iter().for_each(|event| apply(&mut then, event));
    let missed = then.late.iter().find_map(|(target, app)| {
        late::missed(&then, target, app)
            .map(|(deployment, _)| Event::TargetAdded { deployment, target: target.clone() })
    });
    events.extend(missed);
    Ok(events)
}

fn bringing_back(state: &State, context: &Context, command: Command) -> Decided {
    let mut events = decide(state, context, command)?;
    let of = |number: &u64| state.deployments.get(number).map(|deployment| deployment.act);
    let is_removal = |event: &Event| match event {
        Event::DeploymentEnded { deployment, ending: Ending::Succeeded, .. } => {
            of(deployment) == Some(OrderAct::Undeploy)
        }
        _ => false,
    };
    if events.iter().any(is_removal) {
        let brought = state.deployments.iter().rev().find(|(_, deployment)| deployment.act == OrderAct::Deploy);
        let added = brought.and_then(|(number, deployment)| {
            let (target, _) = deployment.parts.iter().next()?;
            Some(Event::TargetAdded { deployment: *number, target: target.clone() })
        });
        events.extend(added);
    }
    Ok(events)
}

fn changing_nothing(state: &State, context: &Context, command: Command) -> Decided {
    let mut events = decide(state, context, command)?;
    for event in &mut events {
        if let Event::WaveStarted { migrate, .. } = event {
            *migrate = None;
        }
    }
    Ok(events)
}

fn without_plans(state: &State, context: &Context, command: Command) -> Decided {
    let command = match command {
        Command::RequestDeployment(Signed { subject, act }) => {
            Command::RequestDeployment(Signed { subject, act: Order { plan: None, ..act } })
        }
        other => other,
    };
    decide(state, context, command)
}

fn passing_over_the_unwell(state: &State, context: &Context, command: Command) -> Decided {
    let mut events = decide(state, context, command)?;
    let unwell = events.iter().position(|event| matches!(event, Event::HealthChanged { unwell: Some(_), .. }));
    if let Some(at) = unwell {
        events.truncate(at + 1);
    }
    Ok(events)
}

fn with_who_was_left_out(state: &State, context: &Context, command: Command) -> Decided {
    let mut events = decide(state, context, command)?;
    for event in &mut events {
        let Event::WaveStarted { deployment, targets, .. } = event else { continue };
        let parts = state.deployments.get(deployment).into_iter().flat_map(|deployment| deployment.parts.iter());
        let left_out = parts.filter(|(_, part)| part.aside == Some(Aside::Excluded)).map(|(name, _)| name.clone());
        let left_out = left_out.filter(|name| !targets.contains(name)).take(1);
        let left_out: Vec<TargetName> = left_out.collect();
        targets.extend(left_out);
    }
    Ok(events)
}

/// Whether the command is one by which a deployment begins or goes on that was ordered before.
fn goes_on(command: &Command) -> bool {
    matches!(
        command,
        Command::ReportOutcome(_)
            | Command::StartDeployment(_)
            | Command::AdvanceDeployment(_)
            | Command::Administer(_)
    )
}

fn at_any_time(state: &State, context: &Context, command: Command) -> Decided {
    if !goes_on(&command) {
        return decide(state, context, command);
    }
    let mut timeless = state.clone();
    let open: Vec<u64> = state.open_deployments.iter().copied().collect();
    for number in open {
        if let Some(deployment) = timeless.deployments.get_mut(&number) {
            deployment.schedule = Schedule::default();
        }
    }
    if let Some(policy) = &mut timeless.policy {
        let environments = &mut Arc::make_mut(policy).charter.environments;
        environments.values_mut().for_each(|environment| environment.windows.clear());
    }
    decide(&timeless, context, command)
}

fn without_freezes(state: &State, context: &Context, command: Command) -> Decided {
    if !goes_on(&command) {
        return decide(state, context, command);
    }
    let mut warm = state.clone();
    warm.freezes = Default::default();
    decide(&warm, context, command)
}

fn without_superseding(state: &State, context: &Context, command: Command) -> Decided {
    let mut events = decide(state, context, command)?;
    events.retain(|event| !matches!(event, Event::DeploymentEnded { ending: Ending::Superseded, .. }));
    Ok(events)
}

fn without_dropping(state: &State, context: &Context, command: Command) -> Decided {
    let mut events = decide(state, context, command)?;
    events.retain(|event| !matches!(event, Event::DeploymentEnded { ending: Ending::Dropped, .. }));
    Ok(events)
}

fn without_holds(state: &State, context: &Context, command: Command) -> Decided {
    let mut events = decide(state, context, command)?;
    events.retain(|event| !matches!(event, Event::HoldPlaced { .. }));
    Ok(events)
}

fn without_withdrawals(state: &State, context: &Context, command: Command) -> Decided {
    let mut events = decide(state, context, command)?;
    events.retain(|event| !matches!(event, Event::PermissionWithdrawn { .. }));
    Ok(events)
}

fn wide_waves(state: &State, context: &Context, command: Command) -> Decided {
    let mut events = decide(state, context, command)?;
    let ordered = events.iter().find_map(|event| match event {
        Event::DeploymentRequested { targets, .. } => Some(targets.clone()),
        _ => None,
    });
    for event in events.iter_mut().filter(|event| !changes_data(event)) {
        if let Event::WaveStarted { deployment, targets, .. } = event {
            *targets = ordered.clone().unwrap_or_else(|| waiting(state, *deployment));
        }
    }
    Ok(events)
}

fn passing_over_failures(state: &State, context: &Context, command: Command) -> Decided {
    let events = decide(state, context, command)?;
    let undone = events.iter().find_map(|event| match event {
        Event::UndoStarted { deployment, .. } => Some(*deployment),
        _ => None,
    });
    let Some((deployment, targets)) = undone.map(|number| (number, waiting(state, number))) else { return Ok(events) };
    if targets.is_empty() {
        return Ok(events);
    }
    let mut kept: Vec<Event> = Vec::new();
    kept.extend(events.into_iter().filter(|event| matches!(event, Event::TargetFinished { .. })));
    kept.push(Event::WaveStarted { deployment, wave: 99, targets, ring: None, migrate: None });
    Ok(kept)
}

fn succeeding_early(state: &State, context: &Context, command: Command) -> Decided {
    let mut events = decide(state, context, command)?;
    if let Some(at) = events.iter().position(|event| matches!(event, Event::WaveStarted { wave: 2.., .. })) {
        let Event::WaveStarted { deployment, .. } = events[at] else { return Ok(events) };
        let (ending, reason, superseded_by, aborted) = (Ending::Succeeded, None, None, None);
        events[at] = Event::DeploymentEnded { deployment, ending, reason, superseded_by, aborted };
    }
    Ok(events)
}

fn settling_at_once(state: &State, context: &Context, command: Command) -> Decided {
    let mut events = decide(state, context, command)?;
    let ended = events.iter().find_map(|event| match event {
        Event::DeploymentEnded { deployment, ending: Ending::Succeeded, .. } => Some(*deployment),
        _ => None,
    });
    let settles = events.iter().any(|event| matches!(event, Event::DeploymentSettled { .. }));
    events.extend(ended.filter(|_| !settles).map(|deployment| Event::DeploymentSettled { deployment }));
    Ok(events)
}

fn forgetting_one(state: &State, context: &Context, command: Command) -> Decided {
    let mut events = decide(state, context, command)?;
    for event in &mut events {
        let Event::UndoStarted { deployment, targets, .. } = event else { continue };
        let number = *deployment;
        // Targets go back a few at a time; what the first step left would be remembered by the next.
        let goes_on = state
            .deployments
            .get(&number)
            .is_some_and(|record| matches!(record.phase, DeploymentPhase::Undoing { .. }));
        if goes_on {
            *event = Event::DeploymentEnded {
                deployment: number,
                ending: Ending::Undone,
                reason: None,
                superseded_by: None,
                aborted: None,
            };
        } else if targets.len() > 1 {
            targets.remove(0);
        }
    }
    Ok(events)
}
