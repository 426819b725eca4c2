//! The targets.

use super::{build_name, words::Texts};
use api::read::TargetStatus;
use domain::{
    plan,
    rules::lifetime,
    state::{DeploymentPhase, OnTarget, Running, State, Target},
};
use jiff::Timestamp;
use trust::{AppName, Digest, TargetName};

/// One target.
pub(crate) fn target(
    state: &State,
    name: &TargetName,
    seen: &impl Fn(&TargetName) -> Option<Timestamp>,
    texts: Texts<'_>,
) -> Option<TargetStatus> {
    let target = state.targets.get(name)?;
    let runs = target
        .apps
        .iter()
        .filter_map(|(app, on_target)| Some((app.clone(), build_name(state, app, &on_target.running.as_ref()?.build))));
    let is_stopped = |on_target: &OnTarget| on_target.running.as_ref().is_some_and(|running| running.stopped);
    let stopped = target.apps.iter().filter(|(_, on_target)| is_stopped(on_target));
    Some(TargetStatus {
        name: name.clone(),
        environment: target.environment.clone(),
        labels: target.labels.clone(),
        facts: target.facts.clone(),
        recipient: target.recipient.clone(),
        cordoned: target.cordoned,
        cordoned_since: target.cordon.as_ref().map(|cordon| cordon.stamp.time),
        cordon_reason: (target.cordon.as_ref())
            .and_then(|cordon| texts(&cordon.reason?))
            .map(|reason| trust::names::printable(&reason)),
        retired: target.retired,
        seen: seen(name),
        carried: carried(target),
        refreshed: None,
        stale: false,
        away: false,
        two: false,
        stuck: None,
        as_of: None,
        agent_version: None,
        runs: runs.collect(),
        stopped: stopped.map(|(app, _)| app.clone()).collect(),
        findings: target.findings.len() as u32,
        ends: lifetime::ends(state, target).filter(|_| !target.retired),
        ephemeral: target.ephemeral,
        departed: target.departed.map(|(why, _)| why.in_words().to_owned()),
    })
}

/// The deployments that a target has something to do in, or has not said yet how they ended there.
pub(crate) fn at_something(state: &State, name: &TargetName) -> impl Iterator<Item = u64> {
    let apps = state.targets.get(name).into_iter().flat_map(|target| target.apps.iter());
    let assigned = apps.filter_map(|(app, on_target)| Some((app, on_target.assigned?)));
    assigned.filter(|(app, _)| plan::is_at_something(state, name, app)).map(|(_, assigned)| assigned.deployment)
}

/// Up to when receipts tell of a target that this server never assigned anything to.
pub(crate) fn carried(target: &Target) -> Option<Timestamp> {
    let told = target.apps.values().map(|on_target| match (&on_target.assigned, &on_target.running) {
        (None, Some(running)) => Some(running.since),
        _ => None,
    });
    told.collect::<Option<Vec<_>>>()?.into_iter().max()
}

/// All targets, retired ones too.
pub(crate) fn targets(
    state: &State,
    seen: impl Fn(&TargetName) -> Option<Timestamp>,
    texts: Texts<'_>,
) -> Vec<TargetStatus> {
    state.targets.keys().filter_map(|name| target(state, name, &seen, texts)).collect()
}

/// Which of the builds that a target runs have settled in its environment, so that it takes no deployment back: by the deployment
/// that changed last what serves there, as what makes way in a switch may have to serve again until that settles. What was brought
/// there and stands by settles by no deployment of its own: a target that came to its side late lets it serve as the others do.
pub(crate) fn settled(state: &State, name: &TargetName) -> Vec<(AppName, Digest)> {
    let Some(target) = state.targets.get(name) else { return Vec::new() };
    let running = target.apps.iter().filter_map(|(app, on_target)| Some((app, on_target.running.as_ref()?)));
    let has_settled = |app: &AppName, running: &Running| {
        let changed = state.deployments.get(&running.deployment);
        // Deployments that are long over are no more in the state.
        let is_over = changed.is_none_or(|changed| match &changed.phase {
            DeploymentPhase::Ended { settled: Some(_), .. } => true,
            DeploymentPhase::Ended { .. } => running.standby && changed.act.installs(),
            _ => false,
        });
        let here = state.in_audience(app, &target.environment);
        is_over && here.is_some_and(|record| record.settled.contains(&running.build))
    };
    running.filter(|(app, running)| has_settled(app, running)).map(|(app, run)| (app.clone(), run.build)).collect()
}

/// The entries of all withdrawals in the target's environment.
pub(crate) fn withdrawals(state: &State, name: &TargetName) -> Vec<u64> {
    let Some(target) = state.targets.get(name) else { return Vec::new() };
    let records = state.apps.values().filter_map(|app| app.audiences.get(&target.environment));
    records.flat_map(|record| record.withdrawals.iter().map(|withdrawal| withdrawal.stamp.entry)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::fixture::{World, app, target, verified};
    use domain::event::{Change, Ending, Event};
    use trust::statement::OrderAct;

    fn brought(world: &mut World, act: OrderAct, build: Digest, on: &str, change: Change, stands_by: bool) -> u64 {
        let deployment = world.ordered(on, "web", build, act);
        let mut said = verified(deployment, on, Some(change), Some(build));
        if let Event::TargetFinished { standby, .. } = &mut said {
            *standby = stands_by;
        }
        world.happen(said);
        let (ending, reason) = (Ending::Succeeded, None);
        world.happen(Event::DeploymentEnded { deployment, ending, reason, superseded_by: None, aborted: None });
        deployment
    }

    /// Whoever comes late to the side that serves goes back to what settled there, as the others of that side do.
    #[test]
    fn what_stands_by_beside_those_where_it_settled_has_settled() {
        let mut world = World::new();
        world.enrolled("prod-2", "prod", 30);
        let web = world.released("web", "1.0.0", "prod");
        let told = |world: &World, name: &str| settled(&world.state, &target(name));
        let is_told = vec![(app("web"), web)];

        let first = brought(&mut world, OrderAct::Deploy, web, "prod-1", Change::Deployed, false);
        brought(&mut world, OrderAct::Deploy, web, "prod-2", Change::Deployed, true);
        assert_eq!((told(&world, "prod-1"), told(&world, "prod-2")), (vec![], vec![]));
        world.happen(Event::DeploymentSettled { deployment: first });
        assert_eq!((told(&world, "prod-1"), told(&world, "prod-2")), (is_told.clone(), is_told.clone()));

        let switch = brought(&mut world, OrderAct::Switch, web, "prod-2", Change::Controlled, false);
        assert_eq!(told(&world, "prod-2"), vec![], "the switch may still be taken back");
        world.happen(Event::DeploymentSettled { deployment: switch });
        assert_eq!(told(&world, "prod-2"), is_told);
    }
}
