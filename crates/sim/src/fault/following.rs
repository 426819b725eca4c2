//! What is decided otherwise than by the rules of what stands until something else has ended.

use super::decided::{Decided, after, next_wave};
use domain::{
    command::{Command, Context},
    decide::decide,
    event::Event,
    state::{DeploymentPhase, State},
};

pub(super) fn beginning_at_once(state: &State, context: &Context, command: Command) -> Decided {
    let follows = matches!(&command, Command::RequestDeployment(signed) if signed.act.after_current);
    let mut events = decide(state, context, command)?;
    let stands = events.iter().find_map(|event| match event {
        Event::DeploymentRequested { deployment, awaits_permit: false, .. } => Some(*deployment),
        _ => None,
    });
    let has_begun = events.iter().any(|event| matches!(event, Event::WaveStarted { .. }));
    if let Some(number) = stands.filter(|_| follows && !has_begun) {
        events.extend(after(state, &events, number).and_then(|deployment| next_wave(&deployment, number)));
    }
    Ok(events)
}

pub(super) fn beginning_never(state: &State, context: &Context, command: Command) -> Decided {
    let stands = |number: &u64| {
        let deployment = state.deployments.get(number).filter(|deployment| deployment.waves == 0);
        deployment.is_some_and(|it| it.schedule.at.is_none() && it.phase == DeploymentPhase::Running)
    };
    match &command {
        Command::StartDeployment(number) if stands(number) => Ok(Vec::new()),
        _ => decide(state, context, command),
    }
}
