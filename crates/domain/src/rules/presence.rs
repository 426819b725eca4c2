//! A machine that nobody has heard of for a while stops nobody else, and is no proof of health (R40, R46): what begins leaves it
//! out and comes to it once it is back, and does not count it as serving; and what it runs does not settle unseen (R54).
//! Whether somebody is heard of is not history; what follows from it is.

use super::{late, migrations, placement, rollout};
use crate::{
    command::Command,
    event::Migration,
    plan,
    state::{Aside, Deployment, DeploymentPhase, Part, Progress, State, Target, is_counted_on},
    waiting::WaitingOn,
};
use std::{collections::BTreeSet, ops::Range};
use trust::{AppName, TargetName, rollout::Share, statement::Outcome};

/// Targets that nobody has heard of for a while.
pub type Away = BTreeSet<TargetName>;

/// The targets that a deployment begins without, since they are away and will get it when they are back. Where nobody else is in
/// their ring they have their turn all the same, and the time to say something; and so they do where one of them is wanted for
/// what it has: the data that is to be changed back.
pub fn left_out(state: &State, deployment: &Deployment, away: &Away) -> Vec<TargetName> {
    if away.is_empty() || !deployment.act.installs() || deployment.narrowed || !late::will_catch_up(state, deployment) {
        return Vec::new();
    }
    if migrations::wanted(state, deployment) == Some(Migration::Undo) {
        return Vec::new();
    }
    let waits = |part: &Part| part.aside.is_none() && part.progress == Progress::Waiting;
    let is_gone = |(name, part): &(&TargetName, &Part)| waits(part) && away.contains(*name);
    let is_here = |(name, part): (&TargetName, &Part)| part.aside.is_none() && !is_gone(&(name, part));
    let of_ring = |places: Range<usize>| {
        let others = deployment.parts.within(places.clone()).any(is_here);
        deployment.parts.waiting_in(places).filter(is_gone).filter(move |_| others).map(|(name, _)| name.clone())
    };
    rollout::rings(deployment).flat_map(of_ring).collect()
}

/// On how many of the targets that count as serving nobody can say whether they do.
pub fn unseen(state: &State, deployment: &Deployment, away: &Away) -> usize {
    // Where none must serve, those that have no part in it were not counted either.
    let counts_others = deployment.rollout.as_ref().is_none_or(|rollout| rollout.min_healthy != Share::Count(0));
    let counts = |name: &&TargetName| match deployment.parts.get(name) {
        Some(part) => part.serves && !part.ephemeral,
        None if !counts_others => false,
        None => {
            let here = state.targets.get(*name).filter(|target| target.environment == deployment.environment);
            let build = state.apps.get(&deployment.app).and_then(|app| app.builds.get(&deployment.build));
            let fits = |target: &Target| build.is_some_and(|build| placement::fits(&build.facts, target));
            let lasts = here.is_some_and(|target| !target.ephemeral && !target.retired && fits(target));
            lasts && is_counted_on(state, &deployment.app, name)
        }
    };
    away.iter().filter(counts).count()
}

/// The targets whose silence keeps a deployment that is well otherwise from going on or settling by itself: more than may be
/// missing. Who is cordoned or has left is looked after by somebody.
pub fn silent(state: &State, deployment: &Deployment, away: &Away) -> Vec<TargetName> {
    let is_verified = |name: &&TargetName| {
        let part = deployment
            .parts
            .get(name)
            .filter(|part| !part.ephemeral && !matches!(part.aside, Some(Aside::Left | Aside::Replaced)));
        part.is_some_and(|part| part.progress == Progress::Finished(Outcome::Verified))
    };
    let counts =
        |name: &&TargetName| state.targets.get(*name).is_some_and(|target| !target.cordoned && !target.retired);
    let silent: Vec<TargetName> = away.iter().filter(is_verified).filter(counts).cloned().collect();
    let budget = rollout::of(state, deployment).failure_budget.at_most(deployment.parts.len());
    if silent.len() > budget { silent } else { Vec::new() }
}

/// The deployment that is over and of which a target was told and has not said how it ended there: what runs and serves there may be
/// otherwise than is known (R46).
pub fn unsaid(state: &State, name: &TargetName, app: &AppName) -> Option<u64> {
    let assigned = state.targets.get(name)?.apps.get(app)?.assigned?;
    let is_over = matches!(state.deployments.get(&assigned.deployment)?.phase, DeploymentPhase::Ended { .. });
    (is_over && plan::is_at_something(state, name, app)).then_some(assigned.deployment)
}

/// What a deployment that bakes or soaks waits on besides time, in the place of what it `waits` on as far as the state knows.
pub fn waits(state: &State, number: u64, away: &Away, waits: WaitingOn) -> WaitingOn {
    let by_time = matches!(waits, WaitingOn::Soak { .. } | WaitingOn::Bake { .. });
    let Some(deployment) = state.deployments.get(&number).filter(|_| by_time) else { return waits };
    let unheard = |name| (name, "nobody has heard of it for a while".to_owned());
    let unwell: Vec<(TargetName, String)> = silent(state, deployment, away).into_iter().map(unheard).collect();
    if unwell.is_empty() { waits } else { WaitingOn::Health { deployment: number, unwell, stopped: Vec::new() } }
}

/// Who is away of those that a deployment waits for, and until when anybody does.
pub fn silent_in_words(waits: &WaitingOn, away: &Away) -> Option<String> {
    match waits {
        WaitingOn::Targets { targets, until, .. } => {
            let silent: Vec<&str> =
                targets.iter().filter(|name| away.contains(*name)).map(TargetName::as_str).collect();
            let are = if silent.len() == 1 { "is" } else { "are" };
            let names = silent.join(", ");
            (!silent.is_empty())
                .then(|| format!("{names} {are} away, and who has said nothing by {until:.0} is given up on"))
        }
        WaitingOn::Members { why: Some(why), .. } => silent_in_words(why, away),
        _ => None,
    }
}

/// Whether what is due by the time alone may happen, as far as targets are there for it.
pub fn may_come(state: &State, command: &Command, away: &Away) -> bool {
    let none_is_silent = |number: &u64| {
        let deployment = state.deployments.get(number);
        deployment.is_none_or(|deployment| silent(state, deployment, away).is_empty())
    };
    match command {
        // What came with a package settles with it, and not while nobody can tell how the others are.
        Command::SettleDeployment(number) => {
            let record = state.deployments.get(number);
            let mut others = record.into_iter().flat_map(|record| plan::beside(state, *number, record));
            none_is_silent(number) && others.all(|(_, other, _)| none_is_silent(&other))
        }
        Command::AdvanceDeployment(number) => none_is_silent(number),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_away_of_those_that_are_waited_for_is_named_with_the_end_of_that() {
        let names = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<Vec<TargetName>>();
        let until = "2026-11-22T10:10:00Z".parse().unwrap();
        let waits = WaitingOn::Targets { deployment: 7, targets: names(&["dev-1", "dev-2"]), until };
        let away: Away = names(&["dev-1", "dev-9"]).into_iter().collect();
        let said = Some("dev-1 is away, and who has said nothing by 2026-11-22T10:10:00Z is given up on".to_owned());
        assert_eq!(silent_in_words(&waits, &away), said);
        assert_eq!(silent_in_words(&waits, &Away::new()), None);
        let members = vec![("api".parse().unwrap(), 7)];
        let package = WaitingOn::Members { deployment: 6, members, why: Some(Box::new(waits)) };
        assert_eq!(silent_in_words(&package, &away), said);
    }
}
