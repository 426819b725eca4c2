//! Whether a deployment that may run there may go on now (R1): what stands waits for its time, for a window, for the end
//! of a freeze or of another deployment, and says which; what outlives its time is dropped.

use super::{Candidate, expiry, freezes, lifetime, names, packages, placement, ways, windows};
use crate::{
    event::Event,
    policy,
    refusal::{Closed, Refusal},
    state::{Deployment, MemberPart, Policy, Running, State},
    waiting::WaitingOn,
};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;
use trust::{
    TargetName,
    schedule::{NotNow, Schedule},
    statement::{Order, OrderAct},
    way::{Waiver, Way},
};

/// What a moment is to a deployment.
#[derive(Clone, Debug, PartialEq)]
pub enum Moment {
    /// It may go on.
    Now,
    /// It stands, and waits for this.
    Later(WaitingOn),
    /// It does not go on any more, and why.
    Never(String),
}

/// What `now` is to a deployment, besides permission and the targets that are at it.
pub fn moment(state: &State, number: u64, deployment: &Deployment, now: Timestamp) -> Moment {
    let Some((policy, candidates)) = looked_at(state, deployment, now) else { return Moment::Now };
    of_all(state, policy, &candidates, (number, deployment), now)
}

/// As [`moment`], as what was decided is held to it. Ledgers from before a freeze asked which package brings a member went by the one
/// whose permit it had, and by no member that ran already, well or not.
pub fn held_to(state: &State, number: u64, deployment: &Deployment, now: Timestamp) -> Moment {
    let moment = moment(state, number, deployment, now);
    let looked_at = looked_at(state, deployment, now).filter(|_| moment != Moment::Now);
    let Some((policy, mut candidates)) = looked_at else { return moment };
    let runs = |member: &Candidate<'_>| packages::runs_already(state, member, &deployment.only, now);
    candidates
        .retain(|(candidate, _)| candidate.package.is_none() || *candidate.app == deployment.app || !runs(candidate));
    candidates.iter_mut().for_each(|(candidate, _)| candidate.package = None);
    match of_all(state, policy, &candidates, (number, deployment), now) {
        Moment::Now => Moment::Now,
        _ => moment,
    }
}

/// What `now` is to all that a deployment brings.
fn of_all(
    state: &State,
    policy: &Policy,
    candidates: &[(Candidate<'_>, Way)],
    (number, deployment): (u64, &Deployment),
    now: Timestamp,
) -> Moment {
    // The windows are the environment's, the same for a package and what it brings.
    let Some((candidate, way)) = candidates.first() else { return Moment::Now };
    let judged = windows::judged(policy, candidate, *way, &deployment.schedule, now);
    match judged {
        Err(NotNow::Early { at }) => return Moment::Later(WaitingOn::Time { deployment: number, at }),
        Err(NotNow::Over { since }) => return Moment::Never(format!("its order expired at {since:.0}")),
        Err(NotNow::Closed { .. }) | Ok(()) => {}
    }
    // What is under way there waits for windows and freezes too, and has still to end after that.
    if let Some(other) = under_way(state, number, deployment) {
        return Moment::Later(WaitingOn::Deployment { deployment: number, other });
    }
    if judged.is_err() {
        let opens_at = all_open(state, policy, candidates, &deployment.schedule, now);
        return Moment::Later(WaitingOn::Window { deployment: number, opens_at });
    }
    let stopping = candidates.iter().filter_map(|(candidate, way)| stopping(state, policy, candidate, *way, now));
    if let Some(freeze) = stopping.max_by_key(|freeze| freeze.known.terms.until) {
        let until = freeze.known.terms.until;
        return Moment::Later(WaitingOn::Freeze { deployment: number, freeze: freeze.number, until });
    }
    Moment::Now
}

/// What keeps a deployment from going on at `now`, where something does and it may end.
pub fn hindrance(state: &State, number: u64, deployment: &Deployment, now: Timestamp) -> Option<WaitingOn> {
    match moment(state, number, deployment, now) {
        Moment::Later(waiting) => Some(waiting),
        Moment::Now | Moment::Never(_) => None,
    }
}

/// The first moment from `now` on at which the deployment goes on, or is dropped, as far as is known; nothing while
/// another deployment is in its place, or where no window ever opens.
pub fn goes_on(state: &State, number: u64, deployment: &Deployment, now: Timestamp) -> Option<Timestamp> {
    let expires = deployment.schedule.expires;
    let free = under_way(state, number, deployment).is_none();
    let begins = may_begin(state, deployment, now);
    [begins.filter(|_| free), expires].into_iter().flatten().min().map(|at| at.max(now))
}

/// The first moment from `from` on at which all that the deployment brings may be activated, as far as is known.
pub fn may_begin(state: &State, deployment: &Deployment, from: Timestamp) -> Option<Timestamp> {
    match looked_at(state, deployment, from) {
        Some((policy, candidates)) => all_open(state, policy, &candidates, &deployment.schedule, from),
        None => Some(from),
    }
}

/// The first moment from `from` on at which the candidate may be activated, as far as is known: when the order's time has
/// come, a window is open, and no freeze is on.
pub fn opens(
    state: &State,
    policy: &Policy,
    candidate: &Candidate<'_>,
    way: Way,
    schedule: &Schedule,
    from: Timestamp,
) -> Option<Timestamp> {
    let mut at = from;
    // Each turn goes on to where something begins or ends, and there are so many freezes and openings.
    for _ in 0..policy::OPENINGS_LOOKED_AT {
        at = match windows::judged(policy, candidate, way, schedule, at) {
            Err(NotNow::Early { at }) => at,
            Err(NotNow::Closed { opens }) => opens?,
            Err(NotNow::Over { .. }) => return None,
            Ok(()) => match stopping(state, policy, candidate, way, at) {
                Some(freeze) => freeze.known.terms.until,
                None => return Some(at),
            },
        };
    }
    None
}

/// The first moment from `from` on at which all of these may be activated.
fn all_open(
    state: &State,
    policy: &Policy,
    candidates: &[(Candidate<'_>, Way)],
    schedule: &Schedule,
    from: Timestamp,
) -> Option<Timestamp> {
    let mut at = from;
    for _ in 0..policy::OPENINGS_LOOKED_AT {
        let each = candidates.iter().map(|(candidate, way)| opens(state, policy, candidate, *way, schedule, at));
        let latest = each.collect::<Option<Vec<_>>>()?.into_iter().max()?;
        if latest == at {
            return Some(at);
        }
        at = latest;
    }
    None
}

fn stopping<'a>(
    state: &'a State,
    policy: &Policy,
    candidate: &Candidate<'_>,
    way: Way,
    now: Timestamp,
) -> Option<&'a crate::state::Freeze> {
    let is_waived = ways::waives(policy, candidate, way, &Waiver::Freezes);
    freezes::stopping(state, policy, candidate, now).filter(|_| !is_waived)
}

/// The other deployment of the application there that is under way, where this one has not begun.
pub fn under_way(state: &State, number: u64, deployment: &Deployment) -> Option<u64> {
    if deployment.waves > 0 {
        return None;
    }
    let here = state.in_audience(&deployment.app, &deployment.environment);
    let other = here.and_then(|here| here.open_deployment).filter(|open| *open != number);
    other.or_else(|| packages::in_the_way(state, number, deployment))
}

/// Whether an order takes the place of one that stands: it is about what is to run there. What is about what runs, such as
/// a restart, passes beside it.
pub fn takes_place(act: OrderAct) -> bool {
    act.installs() || matches!(act, OrderAct::Undeploy | OrderAct::Switch)
}

/// Whether a deployment stands until a time that has not come, so that others go before it.
pub fn is_planned(schedule: &Schedule, ordered: Timestamp) -> bool {
    schedule.at.is_some_and(|at| at > ordered)
}

/// Fails where just this stands planned already: the same command, typed again, makes no second order of it.
pub fn not_planned_already(state: &State, requested: &Event) -> Result<(), Refusal> {
    let Event::DeploymentRequested {
        app,
        environment,
        act,
        build,
        version,
        targets,
        rollout,
        schedule,
        keep_data,
        only,
        deployer,
        ..
    } = requested
    else {
        return Ok(());
    };
    let Some(at) = schedule.at else { return Ok(()) };
    let on: BTreeSet<&TargetName> = targets.iter().collect();
    let is_same = |there: &Deployment| {
        let is_same_place = there.app == *app && there.environment == *environment && there.package.is_none();
        let is_same_act = there.act == *act && there.build == *build && there.keep_data == *keep_data;
        let is_same_time = there.schedule.at == schedule.at && there.schedule.expires == schedule.expires;
        // In which turn they come follows from who is there when it begins.
        let is_same_way = there.rollout.as_deref() == rollout.as_deref();
        let still = there.parts.iter().filter(|(_, part)| part.aside.is_none());
        let parts: BTreeSet<&TargetName> = still.map(|(name, _)| name).collect();
        // Targets refuse what was ordered by whoever may do so no more: what somebody else orders is no repetition.
        let is_same_person = there.deployer == *deployer;
        is_same_place
            && is_same_person
            && is_same_act
            && is_same_time
            && is_same_way
            && there.only == *only
            && parts == on
    };
    let stands = |number: &&u64| {
        let there = state.deployments.get(*number).filter(|there| there.waves == 0);
        there.is_some_and(|there| is_planned(&there.schedule, there.stamp.time) && is_same(there))
    };
    let Some(number) = state.open_deployments.iter().find(stands) else { return Ok(()) };
    let name = names::of_build(app, version.as_ref(), build);
    let what = format!("deployment {number} of {name} stands in {environment}, planned for {at:.0}");
    Err(Refusal::AlreadyDone { what, since: None })
}

/// The deployments that stand planned of an application where it is ordered to run otherwise, and what the deployer is warned of: each
/// comes by itself, whatever is ordered there now.
pub fn planned_beside(state: &State, order: &Order) -> (Vec<u64>, Vec<String>) {
    if !order.act.installs() && order.act != OrderAct::Undeploy {
        return (Vec::new(), Vec::new());
    }
    let stands = |number: &u64| {
        let deployment = state.deployments.get(number).filter(|deployment| deployment.waves == 0)?;
        let is_there = deployment.app == order.app && deployment.environment == order.environment;
        let is_planned = is_there && is_planned(&deployment.schedule, deployment.stamp.time);
        let at = deployment.schedule.at.filter(|_| is_planned)?;
        let what = names::of_build(&deployment.app, deployment.version.as_ref(), &deployment.build);
        Some((*number, format!("{what} stands planned there for {at:.0}; `sortie abort {number}` takes it off")))
    };
    state.open_deployments.iter().filter_map(stands).unzip()
}

/// What the deployer was warned of, as far as it still holds: of what stood planned there only as long as it stands.
pub fn warnings<'a>(state: &'a State, deployment: &'a Deployment) -> impl Iterator<Item = &'a String> {
    let Deployment { warnings, planned_there, .. } = deployment;
    let (good, passing) = warnings.split_at(warnings.len().saturating_sub(planned_there.len()));
    let stands = |number: &u64| {
        let has_begun = state.deployments.get(number).is_none_or(|deployment| deployment.waves > 0);
        state.open_deployments.contains(number) && !has_begun
    };
    let is_in_vain = move |warning: &String| {
        expiry::is_warned_in_vain(state, deployment, warning) || lifetime::is_warned_in_vain(state, deployment, warning)
    };
    let good = good.iter().filter(move |warning| !is_in_vain(warning));
    let passing: Vec<&String> =
        passing.iter().zip(planned_there).filter(|(_, number)| stands(number)).map(|(warning, _)| warning).collect();
    good.chain(passing)
}

/// Fails unless an order's times are such as can come.
pub fn can_come(order: &Order, now: Timestamp) -> Result<(), Refusal> {
    let Schedule { at, expires, .. } = &order.schedule;
    let begins = begins(order, now);
    let days = policy::PLANNED_DAYS;
    let latest = now.saturating_add(SignedDuration::from_hours(24 * days)).unwrap_or(Timestamp::MAX);
    let invalid = |why: String| Err(Refusal::Invalid { why });
    // Whoever signed it may have had a clock that is behind this one, and orders take a while to arrive.
    let earliest = now.saturating_sub(SignedDuration::from_secs(policy::CLOCKS_DIFFER_SECONDS));
    if let Some(at) = at.filter(|at| *at < earliest.unwrap_or(Timestamp::MIN)) {
        return invalid(format!("an order for {at:.0} comes too late: that moment has passed, it is {now:.0}"));
    }
    if at.is_some_and(|at| at > latest) {
        return invalid(format!("a deployment is planned for {days} days ahead at most"));
    }
    match expires {
        Some(expires) if *expires <= begins => {
            let why = match *at {
                Some(at) if at > now => format!("it is for {at:.0}"),
                _ => format!("it is {now:.0} already"),
            };
            invalid(format!("an order that expires at {expires:.0} could never begin: {why}"))
        }
        _ => Ok(()),
    }
}

/// When what is ordered begins, if nothing keeps it from that.
pub fn begins(order: &Order, now: Timestamp) -> Timestamp {
    order.schedule.at.unwrap_or(now).max(now)
}

/// Fails where an order's windows are not those of the charter, or where something keeps what it brings from being activated
/// when it begins. What `stands` until it is released, or until something else has ended, may stand until it is time, too.
pub fn is_in_time(
    state: &State,
    policy: &Policy,
    candidate: &Candidate<'_>,
    order: &Order,
    stands: bool,
    now: Timestamp,
) -> Result<(), Refusal> {
    let begins = begins(order, now);
    let as_meant = |refusal| as_meant(refusal, begins > now);
    if stands {
        let way = ways::of(state, policy, candidate, now);
        windows::one_opens(policy, candidate, way, begins).map_err(as_meant)?;
        return windows::are_written_out(policy, candidate, way, order);
    }
    is_moment(state, policy, candidate, order, begins).map_err(as_meant)
}

/// A refusal about a moment, which is `planned` where that is still to come.
pub fn as_meant(refusal: Refusal, planned: bool) -> Refusal {
    match refusal {
        Refusal::WindowClosed(closed) => Refusal::WindowClosed(Box::new(Closed { planned, ..*closed })),
        other => other,
    }
}

/// Fails where an order's windows are not those of the charter, or where `begins` is no moment for what it brings.
pub fn is_moment(
    state: &State,
    policy: &Policy,
    candidate: &Candidate<'_>,
    order: &Order,
    begins: Timestamp,
) -> Result<(), Refusal> {
    let moment = || super::is_moment(state, policy, candidate, &order.schedule, begins);
    // Whoever sees no window open writes none into the order: that none is open is then what is in the way.
    if order.schedule.windows.is_empty() {
        moment()?;
    }
    windows::are_written_out(policy, candidate, ways::of(state, policy, candidate, begins), order)?;
    moment()
}

/// Why a deployment that stood is dropped when its time comes, if it is: what it brings runs there already, or, where it was
/// planned, a later version does that somebody deployed meanwhile.
pub fn overtaken(state: &State, number: u64, deployment: &Deployment) -> Option<String> {
    let Deployment { app, environment, build, .. } = deployment;
    let runs_it = |name| placement::is_in_place(state, app, environment, build, name);
    if deployment.act.installs() && deployment.parts.iter().all(|(name, _)| runs_it(name)) {
        return Some("it runs there already".into());
    }
    if !is_planned(&deployment.schedule, deployment.stamp.time) {
        return None;
    }
    let version = deployment.version.as_ref()?;
    let builds = &state.apps.get(&deployment.app)?.builds;
    let is_later = |running: &Running| match running.deployment {
        Running::BROUGHT_BY_NONE => running.since > deployment.stamp.time,
        other => other > number,
    };
    let runs = |name| state.running(&deployment.app, name).filter(|running| is_later(running));
    let since = deployment.parts.iter().filter_map(|(name, _)| runs(name));
    let newest = since.filter_map(|running| builds.get(&running.build)?.version.as_ref()).max()?;
    (newest > version).then(|| format!("{}@{newest} was deployed there meanwhile", deployment.app))
}

/// What a deployment brings, by which way; of a package also each member that it has still to activate, so that it stands as a
/// whole and not half done.
fn looked_at<'a>(
    state: &'a State,
    deployment: &'a Deployment,
    now: Timestamp,
) -> Option<(&'a Policy, Vec<(Candidate<'a>, Way)>)> {
    let policy = state.policy.as_deref()?;
    let candidate = Candidate::of(state, deployment).ok()?;
    let is_to_come = |member: &Candidate<'_>| {
        let waits = deployment.members.get(member.app) == Some(&MemberPart::Waiting);
        waits && !packages::is_in_place(state, member, &deployment.only, now)
    };
    let members = packages::members(state, &candidate).flatten().filter(is_to_come);
    let members: Vec<Candidate<'a>> = members.collect();
    let by_way = |candidate: Candidate<'a>| (candidate, ways::of(state, policy, &candidate, now));
    Some((policy, std::iter::once(candidate).chain(members).map(by_way).collect()))
}
