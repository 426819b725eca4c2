//! A rollback goes back to what settled, from where the application is, and sticks: what it leaves is held out (R3).

use super::{Candidate, holds, migrations, names, packages, permits, places};
use crate::{
    command::Signed,
    refusal::{Instead, PassedOver, Refusal},
    state::{State, Target},
};
use std::collections::BTreeSet;
use trust::{
    AppName, AudienceName, Digest, TargetName,
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
/// what has not settled.
pub fn back(
    state: &State,
    app: &AppName,
    environment: &AudienceName,
    only: &BTreeSet<TargetName>,
) -> Result<Digest, Refusal> {
    let Some(here) = state.in_audience(app, environment) else { return Err(nothing(app, environment, None)) };
    let number_of = |build: &Digest| state.apps.get(app)?.builds.get(build)?.version.as_ref();
    let serving =
        serving(state, app, environment, |name, target| !target.cordoned && (only.is_empty() || only.contains(name)));
    // What was withdrawn keeps its place: what had settled before it did so before it still.
    let settled: Vec<&Digest> =
        here.settled.iter().rev().filter(|build| !here.settled_in_part.contains(*build)).collect();
    let place = |build: &Digest| settled.iter().position(|settled| *settled == build);
    let leaves = serving.iter().map(place).min().unwrap_or(None);
    let before = leaves.map_or(0, |place| place + 1);
    let is_withdrawn =
        |build: &Digest| number_of(build).is_some_and(|number| permits::is_withdrawn(state, app, number, environment));
    let earlier = || settled.iter().copied().skip(before);
    let may: Vec<&Digest> = earlier().filter(|build| !is_withdrawn(build)).collect();
    if let Some(back) = may.iter().find(|build| !here.held.contains_key(**build)) {
        return Ok(**back);
    }
    if let Some(deployment) = here.open_deployment.or(here.queued) {
        let goes_back = state.deployments.get(&deployment).is_some_and(places::goes_back);
        let instead = Some(if goes_back { Instead::GoesBack } else { Instead::Abort });
        let (app, environment) = (app.clone(), environment.clone());
        return Err(Refusal::DeploymentUnderWay { deployment, app, environment, instead });
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

/// The builds that serve on targets. A package serves where any of its members does.
fn serving(
    state: &State,
    app: &AppName,
    environment: &AudienceName,
    is_meant: impl Fn(&TargetName, &Target) -> bool,
) -> BTreeSet<Digest> {
    let standing = state.in_audience(app, environment).and_then(|here| here.standing);
    let package = standing.and_then(|number| state.deployments.get(&number)).map(|record| record.build);
    let listed = package.and_then(|build| Some((build, packages::listed(state, app, &build)?)));
    let serves = |app: &AppName, name: &TargetName| {
        state.running(app, name).filter(|running| !running.standby).map(|running| running.build)
    };
    let mut serving = BTreeSet::new();
    for (name, _) in state.targets_in(environment).filter(|(name, target)| is_meant(name, target)) {
        serving.extend(serves(app, name));
        if let Some((package, facts)) = listed {
            let is_there = facts.package.iter().any(|(app, member)| serves(app, name) == Some(member.build));
            serving.extend(is_there.then_some(package));
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
