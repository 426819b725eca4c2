//! What is decided otherwise than by the rules of packages.

use super::decided::Decided;
use crate::cast::{SHOP, app};
use domain::{
    command::{Command, Context},
    decide::decide,
    event::{Ending, Event},
    state::{DeploymentPhase, State},
};
use std::sync::Arc;

/// Members begin whatever they come after.
pub(super) fn all_members_at_once(state: &State, context: &Context, command: Command) -> Decided {
    if !state.apps.contains_key(&app(SHOP)) {
        return decide(state, context, command);
    }
    let mut without = state.clone();
    if let Some(shop) = without.apps.get_mut(&app(SHOP)) {
        for digest in shop.builds.keys().copied().collect::<Vec<_>>() {
            if let Some(build) = shop.builds.get_mut(&digest) {
                let members = &mut Arc::make_mut(&mut build.facts).package;
                members.values_mut().for_each(|member| member.after.clear());
            }
        }
    }
    decide(&without, context, command)
}

/// A package is taken back once the member that failed is: those that had succeeded stay.
pub(super) fn leaving_members(state: &State, context: &Context, command: Command) -> Decided {
    let mut events = decide(state, context, command)?;
    let package_of = |number: &u64| {
        let member = state.deployments.get(number)?;
        let has_succeeded = matches!(member.phase, DeploymentPhase::Ended { ending: Ending::Succeeded, .. });
        let package = member.package.as_ref().filter(|_| has_succeeded)?.deployment;
        state.open_deployments.contains(&package).then_some(package)
    };
    for event in &mut events {
        let package = match event {
            Event::UndoStarted { deployment, .. } => package_of(deployment),
            _ => None,
        };
        if let Some(deployment) = package {
            let (ending, reason, superseded_by, aborted) = (Ending::Undone, None, None, None);
            *event = Event::DeploymentEnded { deployment, ending, reason, superseded_by, aborted };
        }
    }
    Ok(events)
}

/// A package has succeeded once one of its members has.
pub(super) fn succeeding_with_one(state: &State, context: &Context, command: Command) -> Decided {
    let mut events = decide(state, context, command)?;
    let package_of = |number: &u64| state.deployments.get(number)?.package.as_ref().map(|package| package.deployment);
    let ended = |event: &Event| match event {
        Event::DeploymentEnded { deployment, ending: Ending::Succeeded, .. } => package_of(deployment),
        _ => None,
    };
    let Some((at, deployment)) = events.iter().enumerate().find_map(|(at, event)| Some((at, ended(event)?))) else {
        return Ok(events);
    };
    events.truncate(at + 1);
    let (ending, reason, superseded_by, aborted) = (Ending::Succeeded, None, None, None);
    events.push(Event::DeploymentEnded { deployment, ending, reason, superseded_by, aborted });
    Ok(events)
}

/// A package that was taken back or left is not held out.
pub(super) fn without_holds_of_packages(state: &State, context: &Context, command: Command) -> Decided {
    let mut events = decide(state, context, command)?;
    events.retain(|event| !matches!(event, Event::HoldPlaced { app: name, .. } if *name == app(SHOP)));
    Ok(events)
}

/// What is ordered for a member begins, whatever package is at it.
pub(super) fn others_meanwhile(state: &State, context: &Context, command: Command) -> Decided {
    let is_for_a_member = matches!(&command, Command::RequestDeployment(signed) if signed.act.app != app(SHOP));
    if !is_for_a_member {
        return decide(state, context, command);
    }
    let mut without = state.clone();
    let open: Vec<u64> = state.open_deployments.iter().copied().collect();
    for number in open {
        if let Some(deployment) = without.deployments.get_mut(&number) {
            deployment.members.clear();
        }
    }
    decide(&without, context, command)
}
