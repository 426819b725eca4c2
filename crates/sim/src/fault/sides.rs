//! What is decided otherwise than by the rules of two sides.

use super::decided::Decided;
use domain::{
    command::{Command, Context},
    decide::decide,
    event::{Ending, Event},
    state::State,
};
use std::sync::Arc;
use trust::{TargetName, statement::OrderAct};

fn is_switch(state: &State, number: u64) -> bool {
    state.deployments.get(&number).is_some_and(|deployment| deployment.act == OrderAct::Switch)
}

pub(super) fn on_both(state: &State, context: &Context, command: Command) -> Decided {
    if !matches!(&command, Command::RequestDeployment(signed) if signed.act.act != OrderAct::Switch) {
        return decide(state, context, command);
    }
    let mut whole = state.clone();
    if let Some(policy) = &mut whole.policy {
        let environments = &mut Arc::make_mut(policy).charter.environments;
        environments.values_mut().for_each(|environment| environment.sides = None);
    }
    decide(&whole, context, command)
}

pub(super) fn making_way_at_once(state: &State, context: &Context, command: Command) -> Decided {
    let mut events = decide(state, context, command)?;
    let all = events.iter().find_map(|event| match event {
        Event::DeploymentRequested { act: OrderAct::Switch, targets, .. } => Some(targets.clone()),
        _ => None,
    });
    for event in &mut events {
        if let (Event::WaveStarted { targets, .. }, Some(all)) = (event, &all) {
            targets.clone_from(all);
        }
    }
    Ok(events)
}

pub(super) fn making_no_way(state: &State, context: &Context, command: Command) -> Decided {
    let mut events = decide(state, context, command)?;
    for event in &mut events {
        if let Event::WaveStarted { deployment, wave: 2.., .. } = event
            && is_switch(state, *deployment)
        {
            let (deployment, ending) = (*deployment, Ending::Succeeded);
            *event = Event::DeploymentEnded { deployment, ending, reason: None, superseded_by: None, aborted: None };
        }
    }
    Ok(events)
}

pub(super) fn standing_by_first(state: &State, context: &Context, command: Command) -> Decided {
    let mut events = decide(state, context, command)?;
    for event in &mut events {
        let Event::UndoStarted { deployment, targets, .. } = event else { continue };
        let Some(record) = state.deployments.get(deployment).filter(|record| record.act == OrderAct::Switch) else {
            continue;
        };
        let serves = |name: &&TargetName| {
            state.running(&record.app, name).is_some_and(|running| running.build == record.build && !running.standby)
        };
        let serving: Vec<TargetName> = record.parts.verified().filter(serves).cloned().collect();
        if !serving.is_empty() && record.parts.assigned().next().is_none() {
            *targets = serving;
        }
    }
    Ok(events)
}
