//! A machine that nobody has heard of for a while stops nobody else, and is no proof of health (R40, R46): what begins leaves it
//! out and comes to it once it is back; it does not count as serving; and what it runs does not settle unseen (R54).
//! Whether somebody is heard of is not history; what follows from it is.

use super::{late, rollout};
use crate::{
    command::Command,
    state::{Aside, Deployment, Part, Progress, Running, State},
    waiting::WaitingOn,
};
use std::collections::BTreeSet;
use trust::{TargetName, statement::Outcome};

/// Targets that nobody has heard of for a while.
pub type Away = BTreeSet<TargetName>;

/// The targets that a deployment goes on without, since they are away and will get it when they are back. As long as there is
/// nobody else to begin with, in the ring of canaries or at all, they have their turn all the same, and the time to say something.
pub fn left_out(state: &State, deployment: &Deployment, away: &Away) -> Vec<TargetName> {
    if away.is_empty() || !deployment.act.installs() || deployment.narrowed || !late::will_catch_up(state, deployment) {
        return Vec::new();
    }
    let waits = |part: &Part| part.aside.is_none() && part.progress == Progress::Waiting;
    let is_gone = |(name, part): &(&TargetName, &Part)| waits(part) && away.contains(*name);
    let is_here = |(name, part): (&TargetName, &Part)| part.aside.is_none() && !is_gone(&(name, part));
    let (canaries, all) = (rollout::canaries(deployment), 0..usize::MAX);
    let [others_try, others_are_here] =
        [&canaries, &all].map(|places| deployment.parts.within(places.clone()).any(is_here));
    let gone = deployment.parts.waiting_in(all).filter(is_gone).map(|(name, _)| name.clone());
    match (others_are_here, others_try || canaries.is_empty()) {
        (false, _) => Vec::new(),
        (true, true) => gone.collect(),
        (true, false) => {
            let tries: BTreeSet<&TargetName> = deployment.parts.within(canaries).map(|(name, _)| name).collect();
            gone.filter(|name| !tries.contains(name)).collect()
        }
    }
}

/// On how many of the targets that count as serving nobody can say whether they do.
pub fn unseen(state: &State, deployment: &Deployment, away: &Away) -> usize {
    let counts = |name: &&TargetName| match deployment.parts.get(name) {
        Some(part) => part.serves && !part.ephemeral,
        None => {
            let here = state.targets.get(*name).filter(|target| target.environment == deployment.environment);
            let lasts = here.is_some_and(|target| !target.ephemeral && !target.retired);
            lasts && state.running(&deployment.app, name).is_some_and(Running::serves)
        }
    };
    away.iter().filter(counts).count()
}

/// The targets whose silence keeps a deployment that is well otherwise from going on or settling by itself: more than may be
/// missing. Who is cordoned or has left is looked after by somebody.
pub fn silent(state: &State, deployment: &Deployment, away: &Away) -> Vec<TargetName> {
    let is_verified = |name: &&TargetName| {
        let part = deployment.parts.get(name).filter(|part| !part.ephemeral && part.aside != Some(Aside::Left));
        part.is_some_and(|part| part.progress == Progress::Finished(Outcome::Verified))
    };
    let counts =
        |name: &&TargetName| state.targets.get(*name).is_some_and(|target| !target.cordoned && !target.retired);
    let silent: Vec<TargetName> = away.iter().filter(is_verified).filter(counts).cloned().collect();
    let budget = rollout::of(state, deployment).failure_budget.at_most(deployment.parts.len());
    if silent.len() > budget { silent } else { Vec::new() }
}

/// What a deployment that soaks waits on besides time.
pub fn waits(state: &State, number: u64, away: &Away) -> Option<WaitingOn> {
    let deployment = state.deployments.get(&number).filter(|_| state.soaking.contains(&number))?;
    let unheard = |name| (name, "nobody has heard of it for a while".to_owned());
    let unwell: Vec<(TargetName, String)> = silent(state, deployment, away).into_iter().map(unheard).collect();
    (!unwell.is_empty()).then_some(WaitingOn::Health { deployment: number, unwell })
}

/// Whether what is due by the time alone may happen, as far as targets are there for it.
pub fn may_come(state: &State, command: &Command, away: &Away) -> bool {
    let none_is_silent = |number: &u64| {
        let deployment = state.deployments.get(number);
        deployment.is_none_or(|deployment| silent(state, deployment, away).is_empty())
    };
    match command {
        Command::SettleDeployment(number) | Command::AdvanceDeployment(number) => none_is_silent(number),
        Command::CatchUp(target, _) => !away.contains(target),
        _ => true,
    }
}
