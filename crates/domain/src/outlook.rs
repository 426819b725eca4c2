//! What will become of the orders that stand, as far as it can be known before their time comes (R1): when each begins, and
//! what keeps it from that. Each is looked at after those that come before it, for what they bring is what runs by then.

use crate::{
    plan,
    rules::{self, Candidate, expiry, lifetime, packages, schedule, sides},
    state::{Deployment, DeploymentPhase, State},
    waiting::WaitingOn,
};
use jiff::{SignedDuration, Timestamp};
use trust::{TargetName, statement::OrderAct};

/// Two deployments of one application to one place that are planned nearer than this are meant for the same time.
const SAME_TIME: SignedDuration = SignedDuration::from_hours(1);

/// What will become of one order that stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Outlook {
    /// The deployment's number.
    pub deployment: u64,
    /// The time it is planned for; of an order that names none, when it begins.
    pub at: Timestamp,
    /// Why it will not begin then as things stand, each in a line.
    pub clashes: Vec<String>,
    /// Why it will be dropped and never begin, as things stand.
    pub never: Option<String>,
    /// When it begins, as far as is known.
    begins: Option<Timestamp>,
}

/// Every order that stands and has a time, or whose beginning is known, in the order in which they come.
pub fn outlooks(state: &State, now: Timestamp) -> Vec<Outlook> {
    let mut standing: Vec<(Timestamp, u64, &Deployment)> = standing(state)
        .filter_map(|(number, record)| Some((comes(state, number, record, now)?, number, record)))
        .collect();
    standing.sort_by_key(|(comes, number, _)| (*comes, *number));
    let mut all: Vec<(Outlook, &Deployment)> = Vec::new();
    for (_, number, record) in standing {
        let outlook = outlook(state, number, record, &all, now);
        all.push((outlook, record));
    }
    let beside: Vec<Vec<String>> = all.iter().map(|(outlook, record)| beside(outlook, record, &all)).collect();
    let with_beside = all.into_iter().zip(beside).map(|((outlook, _), beside)| {
        let clashes = outlook.clashes.iter().cloned().chain(beside).collect();
        Outlook { clashes, ..outlook }
    });
    with_beside.collect()
}

/// What has begun, stands, and goes on by itself at a time that is known.
#[derive(Clone, Debug, PartialEq)]
pub struct GoesOn {
    /// The deployment's number.
    pub deployment: u64,
    /// When it goes on; now, where nothing ever lets it.
    pub at: Timestamp,
    /// Why it will not go on then, as things stand.
    pub clash: Option<String>,
}

/// Every deployment that has begun and goes on once a window opens, a freeze is over, a ring has baked, or somebody says so.
pub fn going_on(state: &State, now: Timestamp) -> Vec<GoesOn> {
    let of_open = |number: &u64| {
        let record = state.deployments.get(number)?;
        let waits = plan::waits(state, *number, now)?;
        let from = match &waits {
            WaitingOn::Window { .. } | WaitingOn::Freeze { .. } => now,
            WaitingOn::Bake { until, .. } => now.max(*until),
            WaitingOn::Word { from, .. } => now.max(*from),
            _ => return None,
        };
        // Somebody's word is no moment, and what has baked goes on at once, unless too many of those that have it are silent.
        let unsure = match &waits {
            WaitingOn::Word { .. } => Some(waits.to_string()),
            WaitingOn::Bake { ring, until, .. } if *until < now => {
                Some(format!("{ring} has baked, and it goes on once those who have it are heard of, and well"))
            }
            _ => None,
        };
        // What a package brings stands as begun with it.
        if record.waves == 0 && record.package.is_none() {
            return None;
        }
        let goes_on = schedule::may_begin(state, record, from);
        let ends = record.schedule.expires.filter(|expires| goes_on.is_none_or(|at| at >= *expires));
        let clash = match (ends, goes_on) {
            (Some(ends), _) => {
                Some(format!("the order of deployment {number} expires at {ends:.0}, before it may go on"))
            }
            (None, None) => Some(waits.to_string()),
            (None, Some(_)) => unsure,
        };
        Some(GoesOn { deployment: *number, at: goes_on.unwrap_or(now), clash })
    };
    state.open_deployments.iter().filter_map(of_open).collect()
}

/// The orders that stand. What a package brings stands with it.
fn standing(state: &State) -> impl Iterator<Item = (u64, &Deployment)> {
    let open = state.open_deployments.iter().filter_map(|number| Some((*number, state.deployments.get(number)?)));
    open.filter(|(_, record)| record.waves == 0 && record.package.is_none())
}

/// When an order comes: in its time, which may have passed; or, where it has none, when what it waits for is over.
fn comes(state: &State, number: u64, record: &Deployment, now: Timestamp) -> Option<Timestamp> {
    // When what is under way there has ended nobody knows.
    let is_free = || schedule::under_way(state, number, record).is_none();
    let known = || match plan::waits(state, number, now).filter(|_| is_free())? {
        WaitingOn::Beginning { .. } | WaitingOn::Window { .. } | WaitingOn::Freeze { .. } => {
            plan::starts(state, number, record, now)
        }
        _ => None,
    };
    record.schedule.at.or_else(known)
}

fn outlook(
    state: &State,
    number: u64,
    record: &Deployment,
    before: &[(Outlook, &Deployment)],
    now: Timestamp,
) -> Outlook {
    let at = comes(state, number, record, now).unwrap_or(now);
    let due = at.max(now);
    let begins = schedule::may_begin(state, record, due);
    let mut clashes: Vec<String> = waits(state, number, due, due <= now).into_iter().collect();
    let never = never(state, number, record, begins, due).or_else(|| overtaken(state, number, record, before));
    clashes.extend(never.as_ref().map(|reason| format!("deployment {number} will be dropped: {reason}")));
    let ends = expiry::ends_before(state, record.act, begins.unwrap_or(due), now).filter(|_| never.is_none());
    clashes.extend(ends.map(|ends| format!("deployment {number}: {ends}")));
    clashes.extend(gone_by(state, record, begins.unwrap_or(due)).filter(|_| never.is_none()));
    // What waits for somebody may never come.
    let is_sure = record.paused.is_none() && record.phase != DeploymentPhase::AwaitingPermit;
    Outlook { deployment: number, at, clashes, never, begins: begins.filter(|_| is_sure) }
}

/// What it waits for when its time comes. Whether something else is under way then nobody knows before.
fn waits(state: &State, number: u64, due: Timestamp, has_come: bool) -> Option<String> {
    match plan::waits(state, number, due)? {
        WaitingOn::Deployment { .. } if !has_come => None,
        WaitingOn::Beginning { begins, .. } if begins <= due => None,
        WaitingOn::Targets { .. } | WaitingOn::Members { .. } | WaitingOn::Time { .. } => None,
        waiting => Some(waiting.to_string()),
    }
}

/// Why it never begins, whatever else comes before it.
fn never(state: &State, number: u64, record: &Deployment, begins: Option<Timestamp>, due: Timestamp) -> Option<String> {
    let expires = record.schedule.expires;
    if let Some(expires) = expires.filter(|expires| begins.is_none_or(|begins| begins >= *expires)) {
        return Some(format!("its order expires at {expires:.0}, before it may begin"));
    }
    let begins = begins.unwrap_or(due);
    if let Some(ends) = lifetime::last_of(state, record).filter(|ends| *ends <= begins) {
        return Some(format!("the time of its last target is over at {ends:.0}"));
    }
    if !record.act.installs() && record.act != OrderAct::Switch {
        return None;
    }
    // What it waits for is told by its number, and may come by then.
    if record.phase == DeploymentPhase::AwaitingPermit
        && matches!(plan::waits(state, number, due), Some(WaitingOn::Permit { .. } | WaitingOn::Person { .. }))
    {
        return None;
    }
    let candidate = Candidate::of(state, record).ok()?;
    rules::may_run(state, state.policy.as_deref()?, &candidate, begins).err().map(|refusal| refusal.to_string())
}

/// Which of its targets are over by then, where others last longer.
fn gone_by(state: &State, record: &Deployment, begins: Timestamp) -> Option<String> {
    let is_gone = |name: &&TargetName| {
        state.targets.get(*name).is_some_and(|target| lifetime::is_over(state, target, begins) && !target.retired)
    };
    let gone: Vec<String> =
        record.parts.iter().map(|(name, _)| name).filter(is_gone).map(ToString::to_string).collect();
    (!gone.is_empty()).then(|| format!("the time of {} is over by then", gone.join(", ")))
}

/// Why it is dropped when its time comes: by what runs, or by what is to come before it.
fn overtaken(state: &State, number: u64, record: &Deployment, before: &[(Outlook, &Deployment)]) -> Option<String> {
    let reaches = |other: &Deployment| {
        record.is_of_package() || other.parts.iter().any(|(name, _)| record.parts.get(name).is_some())
    };
    let changes =
        |other: &Deployment| is_same_place(other, record) && schedule::takes_place(other.act) && reaches(other);
    let come = before.iter().filter(|(outlook, _)| outlook.never.is_none() && outlook.begins.is_some());
    let Some((outlook, last)) = come.rev().find(|(_, other)| changes(other)) else {
        return match record.is_of_package() {
            true => packages::overtaken(state, number, record),
            false => schedule::overtaken(state, number, record).or_else(|| sides::overtaken(state, record)),
        };
    };
    if !record.act.installs() || !last.act.installs() {
        return None;
    }
    let covers = record.is_of_package() || record.parts.iter().all(|(name, _)| last.parts.get(name).is_some());
    let when = format!("{:.0} (deployment {})", outlook.begins.unwrap_or(outlook.at), outlook.deployment);
    if last.build == record.build && covers {
        return Some(format!("it comes there before, at {when}"));
    }
    let is_planned = schedule::is_planned(&record.schedule, record.stamp.time);
    let newer = last.version.as_ref().filter(|newer| Some(*newer) > record.version.as_ref())?;
    let is_newer = is_planned && outlook.deployment > number && record.version.is_some();
    is_newer.then(|| format!("{}@{newer} comes there before, at {when}", record.app))
}

fn is_same_place(one: &Deployment, other: &Deployment) -> bool {
    one.app == other.app && one.environment == other.environment
}

/// The others of its application that are planned there for about the same time.
fn beside(outlook: &Outlook, record: &Deployment, all: &[(Outlook, &Deployment)]) -> Vec<String> {
    let is_beside = |(other, there): &&(Outlook, &Deployment)| {
        let is_near = other.at.duration_since(outlook.at).abs() < SAME_TIME;
        other.deployment != outlook.deployment && is_same_place(there, record) && is_near && other.never.is_none()
    };
    if outlook.never.is_some() {
        return Vec::new();
    }
    let said = all.iter().filter(is_beside).map(|(other, _)| {
        format!("deployment {} of {} is planned there too, for {:.0}", other.deployment, record.app, other.at)
    });
    said.collect()
}
