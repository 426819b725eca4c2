//! A rollback goes back to what settled, from where the application is, and sticks: what it leaves is held out (R3).

use super::{Candidate, holds, migrations, names, packages, permits, places, soak};
use crate::{
    command::Signed,
    event::Ending,
    refusal::{Instead, PassedOver, Refusal},
    state::{Deployment, DeploymentPhase, InAudience, Running, State, Target},
};
use std::collections::BTreeSet;
use trust::{
    AppName, AudienceName, Digest, TargetName,
    manifest::Member,
    statement::{Order, OrderAct},
};

/// Fails where what an order goes back to never settled there, is held out itself, or was made for data that is not there.
pub fn may_return(state: &State, signed: &Signed<Order>) -> Result<(), Refusal> {
    let Order { app, environment, act, .. } = &signed.act;
    if *act != OrderAct::Rollback {
        return Ok(());
    }
    let here = state.in_audience(app, environment);
    if !here.is_some_and(|here| here.settled.contains(&signed.subject)) {
        let number = state.apps.get(app).and_then(|app| app.builds.get(&signed.subject)?.version.as_ref());
        return Err(nothing(app, environment, Some(names::of_build(app, number, &signed.subject))));
    }
    holds::may_return(state, &Candidate::ordered(state, signed)?)?;
    migrations::is_made_for_the_data(state, &signed.act, signed.subject)
}

/// What a rollback goes back to where nobody names it: the newest build that is not held out, nor withdrawn, of those that had
/// settled on the whole before what serves on the targets that go back. Of that, the one that settled last counts, and most of all
/// what has not settled, though it may have when it was brought before.
pub fn back(
    state: &State,
    app: &AppName,
    environment: &AudienceName,
    only: &BTreeSet<TargetName>,
) -> Result<Digest, Refusal> {
    let Some(here) = state.in_audience(app, environment) else { return Err(nothing(app, environment, None)) };
    let number_of = |build: &Digest| state.apps.get(app)?.builds.get(build)?.version.as_ref();
    let is_meant = |name: &TargetName, target: &Target| !target.cordoned && (only.is_empty() || only.contains(name));
    let Serving { settled: serving, unsettled } = serving(state, app, environment, here, is_meant);
    // What was withdrawn keeps its place: what had settled before it did so before it still.
    let settled: Vec<&Digest> =
        here.settled.iter().rev().filter(|build| !here.settled_in_part.contains(*build)).collect();
    let place = |build: &Digest| settled.iter().position(|settled| *settled == build);
    let leaves = serving.iter().map(place).min().unwrap_or(None).filter(|_| unsettled.is_empty());
    let before = leaves.map_or(0, |place| place + 1);
    let is_withdrawn =
        |build: &Digest| number_of(build).is_some_and(|number| permits::is_withdrawn(state, app, number, environment));
    let earlier = || settled.iter().copied().skip(before).filter(|build| !unsettled.contains(*build));
    let may: Vec<&Digest> = earlier().filter(|build| !is_withdrawn(build)).collect();
    if let Some(back) = may.iter().find(|build| !here.held.contains_key(**build)) {
        return Ok(**back);
    }
    if let Some(deployment) = here.open_deployment.or(here.queued) {
        let goes_back = state.deployments.get(&deployment).is_some_and(places::goes_back);
        let instead = Some(if goes_back { Instead::GoesBack } else { Instead::Abort });
        let (app, environment) = (app.clone(), environment.clone());
        return Err(Refusal::DeploymentUnderWay { deployment, app, environment, instead, retires: None });
    }
    let passed_over =
        |build: &Digest| PassedOver { build: names::in_short(number_of(build), build), withdrawn: is_withdrawn(build) };
    Err(Refusal::NothingToRollBackTo {
        app: app.clone(),
        environment: environment.clone(),
        held: !may.is_empty(),
        passed: earlier().map(passed_over).collect(),
        named: None,
    })
}

fn nothing(app: &AppName, environment: &AudienceName, named: Option<String>) -> Refusal {
    let (app, environment, passed) = (app.clone(), environment.clone(), Vec::new());
    Refusal::NothingToRollBackTo { app, environment, held: false, passed, named }
}

/// The builds that serve on targets.
#[derive(Default)]
struct Serving {
    /// Those that settled since they were brought.
    settled: BTreeSet<Digest>,
    /// Those that did not, whether or not they had settled when they were brought before.
    unsettled: BTreeSet<Digest>,
}

/// What serves on the targets that are meant. A package serves where any of its members does: the one that stands, and one that
/// came after it and did not succeed.
fn serving(
    state: &State,
    app: &AppName,
    environment: &AudienceName,
    here: &InAudience,
    is_meant: impl Fn(&TargetName, &Target) -> bool,
) -> Serving {
    let mut serving = Serving::default();
    let mut add = |build: Digest, has_settled: bool| match has_settled {
        true => serving.settled.insert(build),
        false => serving.unsettled.insert(build),
    };
    let meant: Vec<&TargetName> =
        state.targets_in(environment).filter(|(name, target)| is_meant(name, target)).map(|(name, _)| name).collect();
    let serves = |app: &AppName, name: &TargetName| state.running(app, name).filter(|running| !running.standby);
    for running in meant.iter().filter_map(|name| serves(app, name)) {
        add(running.build, soak::has_settled(state, here, running));
    }
    let standing = here.standing.and_then(|number| state.deployments.get(&number));
    if let Some(record) = standing.filter(|record| record.is_of_package())
        && let Some(facts) = packages::listed(state, app, &record.build)
    {
        let is_there = |(app, member): (&AppName, &Member)| {
            meant.iter().any(|name| serves(app, name).is_some_and(|running| running.build == member.build))
        };
        if facts.package.iter().any(is_there) {
            add(record.build, matches!(record.phase, DeploymentPhase::Ended { settled: Some(_), .. }));
        }
    }
    let since = here.standing.map_or(0, |number| number + 1);
    for (_, record) in state.deployments.range(since..) {
        let is_of_it = record.app == *app && record.environment == *environment && record.is_of_package();
        let is_over = matches!(record.phase, DeploymentPhase::Ended { ending, .. } if ending != Ending::Succeeded);
        let is_left = |(app, number, member): (&AppName, u64, &Deployment)| {
            let brought = |running: &Running| running.deployment == number && running.build == member.build;
            meant.iter().any(|name| serves(app, name).is_some_and(brought))
        };
        if is_of_it && is_over && packages::begun(state, record).any(is_left) {
            add(record.build, false);
        }
    }
    serving
}

/// Those of the targets that an order reaches: from where the application was removed nothing goes back, unless it is to return
/// everywhere, or there by name.
pub fn reached(state: &State, order: &Order, targets: Vec<TargetName>) -> Vec<TargetName> {
    if order.act != OrderAct::Rollback || !order.only.is_empty() {
        return targets;
    }
    let runs = |name: &TargetName| state.running(&order.app, name).is_some();
    let is_somewhere = targets.iter().any(runs);
    targets.into_iter().filter(|name| runs(name) || !is_somewhere).collect()
}

/// The builds that an order's targets leave for `to`, as ways forward that have to be kept shut: what was deployed last, and what has
/// no lower number. Another lower one is what some of them had kept, or what a rollback had come to.
pub fn left_behind(state: &State, order: &Order, to: Digest, targets: &[TargetName]) -> BTreeSet<Digest> {
    if order.act != OrderAct::Rollback {
        return BTreeSet::new();
    }
    let number_of = |build: &Digest| state.apps.get(&order.app)?.builds.get(build)?.version.as_ref();
    let is_lower = |build: &Digest| number_of(build).zip(number_of(&to)).is_some_and(|(left, to)| left < to);
    let here = state.in_audience(&order.app, &order.environment);
    let standing = here.and_then(|here| state.deployments.get(&here.standing?));
    let deployed_last = standing.filter(|record| record.act.deploys()).map(|record| record.build);
    let running = targets.iter().filter_map(|name| state.running(&order.app, name)).map(|running| running.build);
    running.filter(|build| *build != to && (deployed_last == Some(*build) || !is_lower(build))).collect()
}
