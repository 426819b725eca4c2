//! What was done to an application's data, as it is told: by its migration's beginning, by what the one target says that was
//! elected for it, and by which builds ran well since. It outlives the deployments, which leave the state after a while.

use super::in_audience;
use crate::{
    event::Migration,
    state::{DataChange, Deployment, Ran, State},
};
use trust::{
    AppName, AudienceName, Digest, TargetName,
    statement::{Outcome, Phase, PhaseTiming},
};

/// A target was elected to change the data: until it is heard of, it may have.
pub(super) fn may_change(state: &mut State, deployment: u64) {
    let entry = state.head.entry;
    let Some(record) = state.deployments.get(&deployment) else { return };
    let (app, environment, build) = (record.app.clone(), record.environment.clone(), record.build);
    let changes = &mut in_audience(state, &app, &environment).data.changes;
    if changes.iter().all(|change| change.deployment != deployment) {
        changes.push(DataChange { entry, deployment, build });
    }
}

/// What the migration that a target was elected for came to.
enum Came {
    /// It was done, and stands.
    Done,
    /// It was done, and taken back.
    TakenBack,
    /// It was never begun, or failed.
    Nothing,
    /// The target does not say.
    Unknown,
}

/// The target that was elected says how its part ended; `goes_back` where it was told to take it back.
pub(super) fn heard(
    state: &mut State,
    deployment: u64,
    name: &TargetName,
    goes_back: bool,
    outcome: &Outcome,
    phases: &[PhaseTiming],
) {
    let Some(record) = state.deployments.get(&deployment) else { return };
    let Some((_, migration)) = record.elected.as_ref().filter(|(elected, _)| elected == name) else { return };
    let Some(part) = record.parts.get(name) else { return };
    let undoes = *migration == Migration::Undo;
    let (app, environment, entry) = (record.app.clone(), record.environment.clone(), state.head.entry);
    let (build, came) = match part.before.filter(|_| undoes) {
        Some(left) => (left, undo_came_to(goes_back, outcome)),
        None if undoes => return,
        None => (record.build, run_came_to(has_undo(state, record), goes_back, outcome, &part.phases, phases)),
    };
    let data = &mut in_audience(state, &app, &environment).data;
    match came {
        Came::Done => drop(data.taken_back.remove(&build)),
        Came::TakenBack => drop(data.taken_back.insert(build)),
        Came::Nothing | Came::Unknown => {}
    }
    let changes = &mut data.changes;
    let is_its = |change: &DataChange| change.build == build;
    match came {
        // Done again it is no other change: the newest time is the one that counts.
        Came::Done if !undoes => changes.retain(|change| !is_its(change) || change.deployment >= deployment),
        Came::Done if !changes.iter().any(is_its) => changes.push(DataChange { entry, deployment, build }),
        Came::Done | Came::Unknown => {}
        // It is so for all the times that it was done.
        Came::TakenBack => changes.retain(|change| !is_its(change)),
        Came::Nothing => changes.retain(|change| change.deployment != deployment),
    }
}

/// What came of a migration, by what the target says now and by the phases of what it said before.
fn run_came_to(
    has_undo: bool,
    goes_back: bool,
    outcome: &Outcome,
    before: &[PhaseTiming],
    phases: &[PhaseTiming],
) -> Came {
    let went_beyond = before.iter().any(|timing| timing.phase > Phase::Migrate);
    let ran = went_beyond || phases.iter().any(|timing| timing.phase >= Phase::Migrate);
    let back = if has_undo { Came::TakenBack } else { Came::Done };
    match outcome {
        Outcome::Verified if !goes_back => Came::Done,
        Outcome::Verified if ran => back,
        Outcome::Undone { phase, .. } if *phase > Phase::Migrate => back,
        // An earlier try may have left what this one says nothing about.
        _ if went_beyond => Came::Unknown,
        Outcome::Verified | Outcome::Undone { .. } => Came::Nothing,
        Outcome::Refused { .. } if !goes_back => Came::Nothing,
        Outcome::Failed { phase, .. } if !goes_back && *phase < Phase::Migrate => Came::Nothing,
        Outcome::Refused { .. } | Outcome::Failed { .. } => Came::Unknown,
    }
}

/// What came of taking one back, which is done again where the target goes back on it.
fn undo_came_to(goes_back: bool, outcome: &Outcome) -> Came {
    match outcome {
        Outcome::Verified if goes_back => Came::Done,
        Outcome::Verified => Came::TakenBack,
        _ => Came::Unknown,
    }
}

fn has_undo(state: &State, record: &Deployment) -> bool {
    let build = state.apps.get(&record.app).and_then(|app| app.builds.get(&record.build));
    build.and_then(|build| build.facts.migrate).is_some_and(|migrate| migrate.has_undo)
}

/// A build ran well.
pub(super) fn ran_well(state: &mut State, app: &AppName, environment: &AudienceName, build: Digest) {
    let last = state.head.entry;
    let ran = &mut in_audience(state, app, environment).data.ran;
    let before = ran.get(&build).map(|ran| ran.last);
    ran.insert(build, Ran { last, before });
}

/// What ended well with that entry goes back.
pub(super) fn did_not_run_well(
    state: &mut State,
    app: &AppName,
    environment: &AudienceName,
    build: &Digest,
    entry: u64,
) {
    let ran = &mut in_audience(state, app, environment).data.ran;
    match ran.get(build).copied() {
        Some(Ran { last, before: Some(before) }) if last == entry => {
            ran.insert(*build, Ran { last: before, before: None });
        }
        Some(Ran { last, before: None }) if last == entry => drop(ran.remove(build)),
        _ => {}
    }
}
