//! An application goes to the targets of the environment that carry the labels it asks for, are not cordoned, whose
//! time is not over, and which are what it needs (R9, R30, R40).

use crate::{
    event::BuildFacts,
    refusal::Refusal,
    sizes::room,
    state::{Progress, Running, State, Target},
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use trust::{
    AppName, AudienceName, Digest, TargetName,
    manifest::{Needs, kernel_is_at_least},
    statement::{Facts, Outcome},
};

/// The targets the application is for in an environment, in order of name; `only` narrows them.
pub fn targets(
    state: &State,
    app: &AppName,
    environment: &AudienceName,
    facts: &BuildFacts,
    only: &BTreeSet<TargetName>,
    now: Timestamp,
) -> Result<Vec<TargetName>, Refusal> {
    for name in only {
        let target = super::names::target(state, name)?;
        if target.environment != *environment {
            return Err(Refusal::Invalid { why: format!("{name} is in {}, not in {environment}", target.environment) });
        }
    }
    let chosen = |(name, target): &(&TargetName, &Target)| {
        fits(facts, target) && takes_something_new(state, target, now) && (only.is_empty() || only.contains(*name))
    };
    let names: Vec<TargetName> = state.targets_in(environment).filter(chosen).map(|(name, _)| name.clone()).collect();
    if names.is_empty() {
        let on: Vec<String> = facts.on.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let empty = state.targets_in(environment).next().is_none();
        let is_kept = |(name, target): &(&TargetName, &Target)| {
            let is_meant = fits(facts, target) && (only.is_empty() || only.contains(*name));
            is_meant && target.cordoned && !super::lifetime::is_over(state, target, now)
        };
        let cordoned = state.targets_in(environment).filter(is_kept).map(|(name, _)| name.clone()).collect();
        let (app, environment, on) = (app.clone(), environment.clone(), on.join(","));
        return Err(Refusal::NoTargets { app, environment, on, empty, cordoned });
    }
    Ok(names)
}

/// Whether anything comes to a target that need not be there.
pub fn takes_something_new(state: &State, target: &Target, now: Timestamp) -> bool {
    !target.cordoned && !super::lifetime::is_over(state, target, now)
}

/// Whether a target carries every label the application asks for.
pub fn fits(facts: &BuildFacts, target: &Target) -> bool {
    facts.on.iter().all(|(key, value)| target.labels.get(key) == Some(value))
}

/// Whether a target runs a build with the config in force, and nothing is wrong with it there, as far as is known: there is nothing to
/// bring.
pub fn is_in_place(
    state: &State,
    app: &AppName,
    environment: &AudienceName,
    build: &Digest,
    target: &TargetName,
) -> bool {
    let is_well = state.running(app, target).is_some_and(|running| running.wrong().is_none());
    is_well && runs_it(state, app, environment, build, target) && !could_not_go_back(state, app, target)
}

/// Whether a target runs a build with the config in force, well or not, and nobody stopped it.
pub fn runs_it(state: &State, app: &AppName, environment: &AudienceName, build: &Digest, target: &TargetName) -> bool {
    let is_it = |running: &Running| running.build == *build && !running.stopped;
    state.running(app, target).is_some_and(is_it) && has_newest_config(state, app, environment, target)
}

/// Whether the last that a target said of an application is that it could not go back to it, told to or by itself: what is there may
/// not even have been started.
fn could_not_go_back(state: &State, app: &AppName, target: &TargetName) -> bool {
    let on_target = state.targets.get(target).and_then(|target| target.apps.get(app));
    let Some(assigned) = on_target.and_then(|on_target| on_target.assigned) else { return false };
    let part = state.deployments.get(&assigned.deployment).and_then(|record| record.parts.get(target));
    part.is_some_and(|part| {
        let has_failed = matches!(part.progress, Progress::Finished(Outcome::Failed { .. })) && !part.absent;
        has_failed && (assigned.undo || part.phases.iter().any(|timing| timing.phase.touches()))
    })
}

/// Whether what runs on a target has the config in force.
pub fn has_newest_config(state: &State, app: &AppName, environment: &AudienceName, target: &TargetName) -> bool {
    let config = state.in_audience(app, environment).and_then(|here| here.config.as_ref());
    let serial = config.map_or(0, |config| config.serial);
    state.running(app, target).is_some_and(|running| running.config_serial == serial)
}

/// Fails if targets are not what the build needs, as far as they tell, with every shortage of each; the target looks again
/// by itself.
pub fn meets_needs(state: &State, facts: &BuildFacts, targets: &[TargetName]) -> Result<(), Refusal> {
    let short = |name: &TargetName| {
        let shortages = shortages(&facts.needs, &state.targets.get(name)?.facts);
        (!shortages.is_empty()).then(|| (name.clone(), shortages))
    };
    let targets: BTreeMap<TargetName, Vec<String>> = targets.iter().filter_map(short).collect();
    if targets.is_empty() { Ok(()) } else { Err(Refusal::NeedsUnmet { targets }) }
}

/// What a machine falls short of by what it told of itself, each in a line. Of what it never told it is not short here.
pub fn shortages(needs: &Needs, facts: &Facts) -> Vec<String> {
    let mut shortages = Vec::new();
    let mut differs = |what: &str, needed: &Option<String>, has: &str| {
        if let Some(needed) = needed
            && needed != has
        {
            shortages.push(format!("it needs {what} {needed}, this is {has}"));
        }
    };
    differs("the operating system", &needs.os, &facts.os);
    differs("the architecture", &needs.arch, &facts.arch);
    if let Some(needed) = &needs.kernel
        && !facts.kernel.is_empty()
        && !kernel_is_at_least(&facts.kernel, needed)
    {
        shortages.push(format!("it needs kernel {needed}, this has {}", facts.kernel));
    }
    if let Some(needed) = needs.memory_bytes
        && needed > facts.memory_bytes
    {
        let (needed, has) = (room(needed), room(facts.memory_bytes));
        shortages.push(format!("it needs {needed} of memory, and has {has}"));
    }
    shortages
}
