//! A build may change its application's data: on one target that is elected for it, once a deployment, before any process
//! changes; and if that fails, no other target begins. What was before a migration does not return without a word: the
//! migration is taken back, or somebody says that the data stays as it is.

use super::{
    names,
    presence::Away,
    rollout::{Wave, in_words},
};
use crate::{
    event::{BuildFacts, Migration},
    refusal::{Crossed, Refusal},
    state::{Aside, DataChange, Deployment, Progress, State, Target},
};
use std::cmp::Ordering;
use trust::{
    AppName, AudienceName, Digest, TargetName,
    statement::{Order, OrderAct, Outcome},
};

/// What the one target does that is elected of the first wave; nothing where nothing is to be done to the data.
pub fn wanted(state: &State, deployment: &Deployment) -> Option<Migration> {
    let Deployment { app, environment, act, build, keep_data, .. } = deployment;
    match act {
        _ if *keep_data => None,
        OrderAct::Deploy | OrderAct::Redeploy => facts(state, app, build)?.migrate.map(|_| Migration::Run),
        OrderAct::Rollback => match crossed(state, app, environment, build)[..] {
            [left] => facts(state, app, &left)?.migrate?.has_undo.then_some(Migration::Undo),
            _ => None,
        },
        _ => None,
    }
}

/// The first wave of a deployment that does something to the data: one target alone, which is elected, and elected again
/// where it is to try again. What takes a migration back runs where the build runs whose migration it is.
pub fn first_wave(
    state: &State,
    deployment: &Deployment,
    wave: Wave,
    away: &Away,
) -> Result<(Wave, Option<Migration>), String> {
    let waits = |name: &TargetName| {
        deployment.parts.get(name).is_some_and(|part| part.aside.is_none() && part.progress == Progress::Waiting)
    };
    if let Some((name, migration)) = deployment.elected.as_ref().filter(|(name, _)| waits(name)) {
        return Ok((Wave { targets: vec![name.clone()], ring: wave.ring }, Some(*migration)));
    }
    let Some(migration) = wanted(state, deployment).filter(|_| deployment.waves == 0) else { return Ok((wave, None)) };
    let mut candidates = wave.targets;
    if migration == Migration::Undo {
        let left = crossed(state, &deployment.app, &deployment.environment, &deployment.build);
        let runs_it =
            |name: &_| state.running(&deployment.app, name).is_some_and(|running| left.contains(&running.build));
        let waiting = deployment.parts.waiting_in(0..usize::MAX).map(|(name, _)| name.clone());
        candidates = waiting.filter(|name| runs_it(name)).collect();
        candidates.sort_by_key(|name| away.contains(name));
        if candidates.is_empty() {
            return Err("no target runs the build whose migration is to be taken back".into());
        }
    }
    candidates.truncate(1);
    Ok((Wave { targets: candidates, ring: wave.ring }, Some(migration)))
}

/// Why the deployment goes no further, if the target that was elected did not come to a good end.
pub fn failed(deployment: &Deployment) -> Option<String> {
    let (name, _) = deployment.elected.as_ref()?;
    let part = deployment.parts.get(name)?;
    match &part.progress {
        // It goes on all the same by somebody's word.
        _ if part.aside == Some(Aside::Accepted) => None,
        Progress::Finished(Outcome::Verified) => None,
        Progress::Finished(outcome) => Some(format!("no other target begins: {}", in_words(name, outcome))),
        _ => {
            let how = match part.aside? {
                Aside::Left => "left",
                _ => "is left out",
            };
            Some(format!("{name} {how}, and it is not known what it did to the data"))
        }
    }
}

/// The builds that changed the data since this one last ran well there, and whose change was not taken back: oldest first.
pub fn crossed(state: &State, app: &AppName, environment: &AudienceName, to: &Digest) -> Vec<Digest> {
    let (changed, ran) = changes(state, app, environment, to);
    if ran { changed } else { Vec::new() }
}

/// The builds whose change of the data is not what this one was made for, and whether it ran well there before them. One
/// that did is asked about all that came since; one that never did, about those that have a higher number. What has the
/// higher number itself was made for the data as it is.
fn changes(state: &State, app: &AppName, environment: &AudienceName, to: &Digest) -> (Vec<Digest>, bool) {
    let Some(data) = state.in_audience(app, environment).map(|here| &here.data) else { return (Vec::new(), false) };
    let number = |build: &Digest| state.apps.get(app)?.builds.get(build)?.version.clone();
    let to_number = number(to);
    let by_number = |build: &Digest| Some(number(build)?.cmp(to_number.as_ref()?));
    let ran = data.ran.get(to);
    let is_met = |change: &&DataChange| match (by_number(&change.build), ran) {
        _ if change.build == *to => false,
        (Some(Ordering::Less), _) => false,
        (_, Some(ran)) => change.entry > ran.last,
        (by_number, None) => by_number == Some(Ordering::Greater),
    };
    let mut changed: Vec<Digest> = Vec::new();
    for change in data.changes.iter().filter(is_met) {
        // Done twice, it is one change, of when it was done last.
        changed.retain(|build| *build != change.build);
        changed.push(change.build);
    }
    (changed, ran.is_some())
}

/// Fails if an order brings back what is from before a migration, and neither takes that back nor says that the data stays.
pub fn nothing_crossed(state: &State, order: &Order, build: Digest) -> Result<(), Refusal> {
    if order.keep_data {
        return Ok(());
    }
    let (by, ran) = changes(state, &order.app, &order.environment, &build);
    let has_undo = |left: &Digest| {
        let migrate = facts(state, &order.app, left).and_then(|facts| facts.migrate);
        migrate.is_some_and(|migrate| migrate.has_undo)
    };
    let kept_on = match &by[..] {
        [left] if has_undo(left) => goes_on_with(state, order, left),
        _ => Vec::new(),
    };
    let undo = |left: &Digest| {
        let runs_it = |name| state.running(&order.app, name).is_some_and(|running| running.build == *left);
        let runs = state.targets_in(&order.environment).any(|(name, _)| runs_it(name));
        runs && has_undo(left)
    };
    let can_undo = ran && by.len() == 1 && by.iter().all(undo) && kept_on.is_empty();
    if by.is_empty() || order.act == OrderAct::Rollback && can_undo {
        return Ok(());
    }
    let name = |build: &Digest| {
        let record = state.apps.get(&order.app).and_then(|app| app.builds.get(build));
        names::of_build(&order.app, record.and_then(|record| record.version.as_ref()), build)
    };
    Err(Refusal::MigrationCrossed(Box::new(Crossed {
        app: order.app.clone(),
        environment: order.environment.clone(),
        act: order.act,
        to: name(&build),
        by: by.iter().map(name).collect(),
        can_undo,
        settled: Some(has_settled(state, order, &build)),
        has_undo: (by.len() == 1).then(|| by.iter().all(has_undo)),
        ran,
        kept_on,
        package: None,
    })))
}

/// Whether a build has settled where an order is for, so that a rollback goes to it.
pub fn has_settled(state: &State, order: &Order, build: &Digest) -> bool {
    state.in_audience(&order.app, &order.environment).is_some_and(|here| here.settled.contains(build))
}

/// Those that would go on with what the data was changed for, if it were taken back by an order.
fn goes_on_with(state: &State, order: &Order, left: &Digest) -> Vec<TargetName> {
    let goes_on = |(name, target): &(&TargetName, &Target)| {
        let goes_back = !target.cordoned && (order.only.is_empty() || order.only.contains(*name));
        let running = state.running(&order.app, name).filter(|running| running.build == *left && !running.stopped);
        !goes_back && running.is_some()
    };
    state.targets_in(&order.environment).filter(goes_on).map(|(name, _)| name.clone()).collect()
}

/// Fails if an order goes back to a build that changed the data, and whose change was taken back since: a rollback changes
/// nothing, and it would run on data that it is not made for.
pub fn is_made_for_the_data(state: &State, order: &Order, build: Digest) -> Result<(), Refusal> {
    let here = state.in_audience(&order.app, &order.environment);
    let Some(data) = here.map(|here| &here.data).filter(|_| !order.keep_data) else { return Ok(()) };
    let record = state.apps.get(&order.app).and_then(|app| app.builds.get(&build));
    match data.taken_back.contains(&build) {
        true => Err(Refusal::MigrationTakenBack {
            app: order.app.clone(),
            environment: order.environment.clone(),
            to: names::of_build(&order.app, record.and_then(|record| record.version.as_ref()), &build),
        }),
        false => Ok(()),
    }
}

fn facts<'a>(state: &'a State, app: &AppName, build: &Digest) -> Option<&'a BuildFacts> {
    Some(&state.apps.get(app)?.builds.get(build)?.facts)
}
