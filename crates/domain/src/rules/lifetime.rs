//! A target of an environment that lives for a time only is gone when that is over, and an ephemeral one once nothing was
//! heard of it for as long as the charter says; when its last target is gone, so is the environment (R30). What is gone
//! takes nothing new, is waited for by nobody, and stands in history alone.

use crate::{
    policy::{CLOCKS_DIFFER_SECONDS, LIFE_WARNED_HOURS},
    state::{Deployment, State, Target},
};
use jiff::{SignedDuration, Timestamp};
use trust::{AudienceName, TargetName, charter::Environment};

/// How a warning of an end that comes before what was ordered begins.
const ENDS_BEFORE: &str = "the time of its last target is over at ";

fn environment<'a>(state: &'a State, name: &AudienceName) -> Option<&'a Environment> {
    state.policy.as_ref()?.charter.environments.get(name)
}

/// Whether the environment is one whose targets live for a time only.
pub fn is_disposable(state: &State, name: &AudienceName) -> bool {
    environment(state, name).is_some_and(|environment| environment.ends(Timestamp::MIN).is_some())
}

/// When the time of a target is over, by when the ledger heard that it joined; never for most.
pub fn ends(state: &State, target: &Target) -> Option<Timestamp> {
    environment(state, &target.environment)?.ends(target.stamp.time)
}

/// Whether a target's time is over.
pub fn is_over(state: &State, target: &Target, now: Timestamp) -> bool {
    ends(state, target).is_some_and(|ends| ends <= now)
}

/// From when nobody waits any more for the target's own word that nothing is left of it: the clocks of two machines may
/// differ so much.
pub fn retires(state: &State, target: &Target) -> Option<Timestamp> {
    Some(later(ends(state, target)?, SignedDuration::from_secs(CLOCKS_DIFFER_SECONDS)))
}

/// From when an ephemeral target of which nothing was heard since `silent` is taken for gone.
pub fn vanishes(state: &State, target: &Target, silent: Timestamp) -> Option<Timestamp> {
    let minutes = environment(state, &target.environment).map(|environment| environment.ephemeral_minutes);
    let minutes = minutes.filter(|_| target.ephemeral && !target.retired)?;
    Some(later(silent.max(target.stamp.time), SignedDuration::from_mins(minutes.into())))
}

/// Whether an environment had targets that lived for a time only, and all are gone.
pub fn is_gone(state: &State, name: &AudienceName) -> bool {
    if !is_disposable(state, name) {
        return false;
    }
    let mut targets = state.targets.values().filter(|target| target.environment == *name).peekable();
    targets.peek().is_some() && targets.all(|target| target.retired)
}

/// When the last target of an environment that lives for a time only is over; nothing where none is left.
pub fn last_ends(state: &State, name: &AudienceName) -> Option<Timestamp> {
    state.targets_in(name).filter_map(|(_, target)| ends(state, target)).max()
}

/// When the last of these targets is over, where none of them lasts.
pub fn all_end<'a>(state: &State, mut targets: impl Iterator<Item = &'a TargetName>) -> Option<Timestamp> {
    targets.try_fold(None, |latest: Option<Timestamp>, name| {
        let ends = ends(state, state.targets.get(name)?)?;
        Some(Some(latest.map_or(ends, |latest| latest.max(ends))))
    })?
}

/// What whoever orders something is warned of that is to begin when the last of its targets is over.
pub fn ends_before(last: Option<Timestamp>, begins: Timestamp) -> Option<String> {
    let ends = last.filter(|ends| *ends <= begins)?;
    Some(format!("{ENDS_BEFORE}{ends:.0}, before it begins: it will be dropped then"))
}

/// Whether the deployer was warned of this, and it is so no more: by the charter of now its targets live longer.
pub fn is_warned_in_vain(state: &State, deployment: &Deployment, warning: &str) -> bool {
    let begins = deployment.schedule.at.unwrap_or(deployment.stamp.time);
    warning.starts_with(ENDS_BEFORE) && ends_before(last_of(state, deployment), begins).as_deref() != Some(warning)
}

/// When the last target of a deployment is over, where none of them lasts.
pub fn last_of(state: &State, deployment: &Deployment) -> Option<Timestamp> {
    match deployment.is_of_package() {
        true => last_ends(state, &deployment.environment),
        false => all_end(state, deployment.parts.iter().map(|(name, _)| name)),
    }
}

/// Whether people are to be told that a target is over soon: in its last quarter, and a day before at the earliest.
pub fn is_over_soon(state: &State, name: &AudienceName, ends: Timestamp, now: Timestamp) -> bool {
    let life = environment(state, name).and_then(|environment| environment.lives).map(|life| life.duration());
    let quarter = life.map_or(SignedDuration::ZERO, |life| life / 4);
    now.duration_until(ends) <= quarter.min(SignedDuration::from_hours(LIFE_WARNED_HOURS))
}

fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.saturating_add(by).unwrap_or(Timestamp::MAX)
}
