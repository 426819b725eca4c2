//! Faults put in on purpose, so that it is known that they would be found. Each changes what the real parts take in or
//! give out at one of their seams: what is decided on its way to be recorded, what a disk keeps, what a machine does, what
//! a clock says. A world with any of them must break an invariant.

use domain::{
    command::{Command, Context},
    decide::decide,
    event::{Ending, Event},
    refusal::Refusal,
    state::{DeploymentPhase, State},
};
use server::ledger::Decide;

/// What is wrong in a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A build that was undone or rolled back is not held out.
    HoldForgotten,
    /// A wave takes every target that is left.
    WaveTooWide,
    /// After a failure the next wave starts instead of the undo.
    FailurePassedOver,
    /// A deployment has succeeded once its first target has.
    SuccessTooEarly,
    /// A deployment settles the moment it ends.
    SettledUnsoaked,
    /// One of the targets that had switched is not told to go back.
    UndoForgetsOne,
    /// A withdrawal is answered and nothing is withdrawn.
    WithdrawalIgnored,
    /// The ledger's disk says that it has stored what it has not.
    AcknowledgedTooEarly,
    /// The ledger forgets which requests it has answered.
    RequestsForgotten,
    /// A byte of an old entry changes while the server is down.
    EntryDamaged,
    /// The clock never asks for what is due.
    ClockStopped,
    /// A target's disk forgets the names of new files, even those that were synced.
    NamesUnsynced,
    /// A target forgets which orders it has carried out.
    OrdersForgotten,
    /// A target forgets which withdrawals it was told of.
    WithdrawalsForgotten,
    /// A target's outcomes are answered by something that never passes them on.
    ReportsSwallowed,
}

/// All of them.
pub const FAULTS: &[Fault] = &[
    Fault::HoldForgotten,
    Fault::WaveTooWide,
    Fault::FailurePassedOver,
    Fault::SuccessTooEarly,
    Fault::SettledUnsoaked,
    Fault::UndoForgetsOne,
    Fault::WithdrawalIgnored,
    Fault::AcknowledgedTooEarly,
    Fault::RequestsForgotten,
    Fault::EntryDamaged,
    Fault::ClockStopped,
    Fault::NamesUnsynced,
    Fault::OrdersForgotten,
    Fault::WithdrawalsForgotten,
    Fault::ReportsSwallowed,
];

/// How the server of a world decides.
pub fn decides(fault: Option<Fault>) -> Decide {
    match fault {
        Some(Fault::HoldForgotten) => without_holds,
        Some(Fault::WaveTooWide) => wide_waves,
        Some(Fault::FailurePassedOver) => passing_over_failures,
        Some(Fault::SuccessTooEarly) => succeeding_early,
        Some(Fault::SettledUnsoaked) => settling_at_once,
        Some(Fault::UndoForgetsOne) => forgetting_one,
        Some(Fault::WithdrawalIgnored) => without_withdrawals,
        _ => decide,
    }
}

type Decided = Result<Vec<Event>, Refusal>;

/// The targets of a deployment that have not had their turn.
fn waiting(state: &State, number: u64) -> Vec<trust::TargetName> {
    let deployment = state.deployments.get(&number);
    deployment.into_iter().flat_map(|deployment| deployment.parts.waiting()).cloned().collect()
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
    for event in &mut events {
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
