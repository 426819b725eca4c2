//! A target that was not there when something was deployed gets it when it comes: it joined later, was cordoned, or was given
//! the label that the application asks for (R40). The deployer's order was for the whole environment, and is for it too.

use super::{
    Candidate, lifetime, may_run, packages, placement,
    presence::Away,
    rollout,
    schedule::{self, Moment},
    sides, ways,
};
use crate::{
    refusal::Refusal,
    state::{self, Aside, Deployment, DeploymentPhase, Progress, Running, State, Target},
};
use jiff::Timestamp;
use std::collections::BTreeMap;
use trust::{AppName, AudienceName, TargetName, rollout::Share, statement::OrderAct};

/// The deployment that stands in an environment: what everything there is to run that the build is for.
pub fn standing<'a>(state: &'a State, app: &AppName, environment: &AudienceName) -> Option<(u64, &'a Deployment)> {
    let number = state.in_audience(app, environment)?.standing?;
    state.deployments.get_key_value(&number).map(|(number, deployment)| (*number, deployment))
}

/// The deployment that a target has missed, if it has: what stands in its environment is for it too, and it had no turn.
pub fn missed<'a>(state: &'a State, name: &TargetName, app: &AppName) -> Option<(u64, &'a Deployment)> {
    let target = state.targets.get(name).filter(|target| !target.cordoned && !target.retired)?;
    let (number, deployment) = standing(state, app, &target.environment)?;
    is_for(state, deployment, target).then_some(())?;
    let had_no_turn = deployment.parts.get(name).is_none_or(|part| {
        matches!(part.aside, Some(Aside::Cordoned | Aside::Away)) && part.progress == Progress::Waiting
    });
    let runs_it = state.running(app, name).is_some_and(|running| running.build == deployment.build);
    (had_no_turn && !runs_it && !brought_something(state, name, app, deployment)).then_some((number, deployment))
}

/// As [`missed`], as it is decided: a rollback reaches where the application is, and from where that was removed before it is missed
/// nothing. Ledgers from before this was asked are held to [`missed`] alone.
fn missing<'a>(state: &'a State, name: &TargetName, app: &AppName) -> Option<(u64, &'a Deployment)> {
    missed(state, name, app).filter(|(_, deployment)| !is_left_without(state, name, app, deployment))
}

/// Whether what stands is a rollback that was not for a target that was there: it had had the application, and has it no more.
fn is_left_without(state: &State, name: &TargetName, app: &AppName, deployment: &Deployment) -> bool {
    let target = state.targets.get(name).filter(|target| target.stamp.entry < deployment.stamp.entry);
    let on_target = target.and_then(|target| target.apps.get(app));
    let had_it = on_target.is_some_and(|on_target| on_target.assigned.is_some() && on_target.running.is_none());
    deployment.act == OrderAct::Rollback && had_it && deployment.parts.get(name).is_none()
}

/// Whether a target came with something that it runs, which this ledger has no record of, after what stands there was ordered: it is
/// the ledger that has missed something. What it runs may be the newer, and is replaced by nobody's order but a new one.
fn brought_something(state: &State, name: &TargetName, app: &AppName, deployment: &Deployment) -> bool {
    let by_none = |running: &&Running| running.deployment == Running::BROUGHT_BY_NONE;
    let said = state.running(app, name).filter(by_none);
    deployment.parts.get(name).is_none() && said.is_some_and(|running| running.since >= deployment.stamp.time)
}

/// Whether targets that a deployment went on without get it afterwards, if it succeeds for all the others.
pub fn will_catch_up(state: &State, deployment: &Deployment) -> bool {
    // What a package brings is missed member by member.
    if deployment.is_of_package() {
        return false;
    }
    let build = state.apps.get(&deployment.app).and_then(|app| app.builds.get(&deployment.build));
    // Where there are sides, it depends on the target's what it should have.
    build.is_some_and(|build| sides::label(state, &deployment.environment, &build.facts).is_none())
}

fn is_for(state: &State, deployment: &Deployment, target: &Target) -> bool {
    let build = state.apps.get(&deployment.app).and_then(|app| app.builds.get(&deployment.build));
    build.is_some_and(|build| placement::fits(&build.facts, target)) && will_catch_up(state, deployment)
}

/// Whether what a package brings comes after members of it that the target misses too: they come first.
fn comes_after_what_it_misses(state: &State, name: &TargetName, deployment: &Deployment) -> bool {
    let facts = deployment.package.as_ref().and_then(|of| packages::listed(state, &of.app, &of.build));
    facts.is_some_and(|facts| packages::misses_what_comes_before(state, facts, &deployment.app, name))
}

/// Whether the target is at a member of a package that comes before what it has missed, or after it: one comes after the other.
fn is_at_another_member(state: &State, name: &TargetName, deployment: &Deployment) -> bool {
    let facts = deployment.package.as_ref().and_then(|of| packages::listed(state, &of.app, &of.build));
    facts.is_some_and(|facts| packages::comes_later(state, facts, &deployment.app, name))
        || packages::is_come_after(state, &deployment.app, name)
}

/// When a target gets what it has missed, as far as is known at `now`: nothing while something else is deployed there, and
/// where the rules do not let it run any more.
pub fn catches_up(state: &State, name: &TargetName, app: &AppName, now: Timestamp) -> Option<Timestamp> {
    gets(state, name, app, schedule::held_to, now)
}

/// The same, by what a moment is to a deployment.
fn gets(
    state: &State,
    name: &TargetName,
    app: &AppName,
    moment: impl Fn(&State, u64, &Deployment, Timestamp) -> Moment,
    now: Timestamp,
) -> Option<Timestamp> {
    let (number, deployment) = missed(state, name, app)?;
    if state.targets.get(name).is_none_or(|target| lifetime::is_over(state, target, now)) {
        return None;
    }
    let here = state.in_audience(app, &deployment.environment)?;
    let ended = matches!(deployment.phase, DeploymentPhase::Ended { .. });
    let package = packages::under_way(state, app, &deployment.environment, None);
    if !ended || here.open_deployment.is_some() || package.is_some() {
        return None;
    }
    if comes_after_what_it_misses(state, name, deployment) {
        return None;
    }
    let policy = state.policy.as_deref()?;
    // What others went back to is new to a target that was never there.
    let candidate = Candidate { act: OrderAct::Deploy, ..Candidate::of(state, deployment).ok()? };
    may_run(state, policy, &candidate, now).ok()?;
    ways::reached(state, policy, &candidate, vec![name.clone()], true, now).ok()?;
    match moment(state, number, deployment, now) {
        Moment::Now => Some(now),
        Moment::Later(_) => schedule::goes_on(state, number, deployment, now),
        Moment::Never(_) => None,
    }
}

/// The same as it is decided: while the target is at another member of a package it waits for what that comes to. Ledgers from before
/// this was asked, and which package brings a member, are held to [`catches_up`] alone.
pub fn comes(state: &State, name: &TargetName, app: &AppName, now: Timestamp) -> Option<Timestamp> {
    let (_, deployment) = missing(state, name, app)?;
    if is_at_another_member(state, name, deployment) { None } else { gets(state, name, app, schedule::moment, now) }
}

/// A target that is there and misses something.
pub struct Comer<'a> {
    /// Which target.
    pub target: &'a TargetName,
    /// Of which application.
    pub app: &'a AppName,
    /// The number of the deployment that it has missed.
    pub missed: u64,
    /// When it gets that, as far as is known.
    pub at: Timestamp,
    /// Why not yet, though it is time: too few others serve for it to leave what it runs (R41). They may have gone since that was
    /// brought.
    pub kept_back: Option<String>,
}

/// All who are there and get what they missed, as far as is known at `now`.
pub fn comers<'a>(state: &'a State, away: &'a Away, now: Timestamp) -> impl Iterator<Item = Comer<'a>> {
    // How many serve is counted once for each deployment, and only where somebody asks to leave.
    let mut too_few: BTreeMap<u64, Option<String>> = BTreeMap::new();
    let here = state.late.iter().filter(|(target, _)| !away.contains(target));
    here.filter_map(move |(target, app)| {
        let (missed, deployment) = missed(state, target, app)?;
        let at = comes(state, target, app, now)?;
        let leaves = at <= now && leaves_service(state, target, app, deployment);
        let mut too_few = || too_few.entry(missed).or_insert_with(|| can_spare(state, deployment, away).err()).clone();
        Some(Comer { target, app, missed, at, kept_back: leaves.then(&mut too_few).flatten() })
    })
}

/// Who is there and has not got what it missed since the time is wrong, with the number of the deployment and what that is waited for: a
/// window or the end of a freeze, or nothing any more, where the order had an end.
pub fn untimely<'a>(
    state: &'a State,
    away: &'a Away,
    now: Timestamp,
) -> impl Iterator<Item = (&'a TargetName, u64, Moment)> {
    let here = state.late.iter().filter(|(target, _)| !away.contains(target));
    let moment = move |(target, app): &'a (TargetName, AppName)| {
        let (number, deployment) = missing(state, target, app)?;
        Some((target, number, schedule::moment(state, number, deployment, now)))
    };
    here.filter_map(moment).filter(|(_, _, moment)| *moment != Moment::Now)
}

/// Whether a target that gets what it has missed leaves something by it that is counted among what serves.
fn leaves_service(state: &State, name: &TargetName, app: &AppName, deployment: &Deployment) -> bool {
    let lasts = state.targets.get(name).is_some_and(|target| !target.ephemeral);
    let counts = rollout::of(state, deployment).min_healthy != Share::Count(0);
    counts && lasts && state::is_counted_on(state, app, name)
}

/// Fails while no more serve where a deployment ended than must, those not counted that are `away`.
fn can_spare(state: &State, deployment: &Deployment, away: &Away) -> Result<(), String> {
    let (mut all, mut serving) = (0, 0);
    for (name, serves) in state::lasting(state, &deployment.app, &deployment.environment, &deployment.build) {
        all += 1;
        serving += usize::from(serves && !away.contains(name));
    }
    let must = rollout::of(state, deployment).min_healthy.at_least(all);
    if serving > must { Ok(()) } else { Err(format!("{serving} of {all} targets serve, and {must} must")) }
}

/// Fails where a target may not leave what it runs for what it has missed.
pub fn can_leave(state: &State, name: &TargetName, app: &AppName, away: &Away) -> Result<(), Refusal> {
    let leaves = |(_, deployment): &(u64, &Deployment)| leaves_service(state, name, app, deployment);
    let Some((_, deployment)) = missed(state, name, app).filter(leaves) else { return Ok(()) };
    let environment = deployment.environment.clone();
    can_spare(state, deployment, away).map_err(|why| Refusal::TooFewHealthy { environment, why })
}
