//! What is decided otherwise than by the rules of who is away.

use super::decided::Decided;
use domain::{
    command::{Command, Context},
    decide::decide,
    event::Event,
    rules::{presence::Away, rollout},
    state::{Aside, State, apply},
};
use std::sync::Arc;

fn as_if_all_were_there(context: &Context) -> Context {
    Context { away: Arc::new(Away::new()), ..context.clone() }
}

pub(super) fn taking_along(state: &State, context: &Context, command: Command) -> Decided {
    decide(state, &as_if_all_were_there(context), command)
}

pub(super) fn forgetting_who_comes_back(state: &State, context: &Context, command: Command) -> Decided {
    let mut events = decide(state, context, command)?;
    let was_away = |event: &Event| match event {
        Event::TargetAdded { deployment, target } => {
            let part = state.deployments.get(deployment).and_then(|record| record.parts.get(target));
            part.is_some_and(|part| part.aside == Some(Aside::Away))
        }
        _ => false,
    };
    events.retain(|event| !was_away(event));
    Ok(events)
}

pub(super) fn counting_who_is_away(state: &State, context: &Context, command: Command) -> Decided {
    let mut events = decide(state, context, command)?;
    let first = events.iter().position(|event| matches!(event, Event::WaveStarted { wave: 1, migrate: None, .. }));
    let Some(at) = first else { return Ok(events) };
    let mut then = state.clone();
    events[..at].iter().for_each(|event| apply(&mut then, event));
    if let Event::WaveStarted { deployment, targets, .. } = &mut events[at]
        && let Some(record) = then.deployments.get(deployment)
        && let Ok(wave) = rollout::next_wave(&then, &rollout::of(&then, record), record, &Away::new())
    {
        *targets = wave.targets;
    }
    Ok(events)
}
