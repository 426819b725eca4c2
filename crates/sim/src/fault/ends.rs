//! What is decided otherwise than by the rules of targets that end, and of those that come and go.

use super::decided::Decided;
use domain::{
    command::{Command, Context},
    decide::decide,
    event::Event,
    state::State,
};
use std::sync::Arc;
use trust::statement::{OrderAct, Outcome};

pub(super) fn keeping_the_unheard(state: &State, context: &Context, command: Command) -> Decided {
    match command {
        Command::LapseTarget(_) => Ok(Vec::new()),
        command => decide(state, context, command),
    }
}

pub(super) fn with_whose_time_is_over(state: &State, context: &Context, command: Command) -> Decided {
    if !matches!(command, Command::RequestDeployment(_)) {
        return decide(state, context, command);
    }
    let mut endless = state.clone();
    if let Some(policy) = &mut endless.policy {
        let environments = &mut Arc::make_mut(policy).charter.environments;
        environments.values_mut().for_each(|environment| environment.lives = None);
    }
    decide(&endless, context, command)
}

pub(super) fn failing_by_silence(state: &State, context: &Context, command: Command) -> Decided {
    let events = decide(state, context, command)?;
    let silent = events.iter().find_map(|event| match event {
        Event::TargetFinished {
            deployment, target, outcome: Outcome::Failed { reason, .. }, given_up: true, ..
        } => {
            let passes = state.targets.get(target).is_some_and(|target| target.ephemeral);
            passes.then(|| (*deployment, format!("{target}: check: {reason}")))
        }
        _ => None,
    });
    let Some((deployment, reason)) = silent else { return Ok(events) };
    let mut kept: Vec<Event> =
        events.into_iter().filter(|event| matches!(event, Event::TargetFinished { .. })).collect();
    let verified = state.deployments.get(&deployment).map(|deployment| deployment.parts.verified().cloned().collect());
    let (targets, absent) = (verified.unwrap_or_default(), Vec::new());
    kept.push(Event::UndoStarted { deployment, reason, targets, absent, aborted: None });
    Ok(kept)
}

pub(super) fn bringing_what_was_thrown_away(state: &State, context: &Context, command: Command) -> Decided {
    let mut events = decide(state, context, command)?;
    let joined = events.iter().find_map(|event| match event {
        Event::TargetEnrolled { target, .. } => Some(target.clone()),
        _ => None,
    });
    let is_first = !state.targets.is_empty() && state.targets.values().all(|target| target.retired);
    let brought = state.deployments.iter().rev().find(|(_, deployment)| deployment.act == OrderAct::Deploy);
    if let (Some(target), Some((deployment, _)), true) = (joined, brought, is_first) {
        events.push(Event::TargetAdded { deployment: *deployment, target });
    }
    Ok(events)
}
