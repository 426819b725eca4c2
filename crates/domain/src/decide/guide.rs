//! Guiding a deployment under way: pause, resume, leave a target out, let some try again. Each is somebody's word, with its
//! reason.

use super::{Asked, deployment, package};
use crate::{
    command::Signed,
    event::{Ending, Event},
    plan,
    refusal::{Refusal, Right},
    rules::{Candidate, names, packages, placement, places, rights, rollout, schedule},
    state::{Aside, Deployment, DeploymentPhase, Draft, GuidanceWord, Part, Progress, Running},
};
use trust::{
    Digest, PersonName, TargetName,
    statement::{Order, OrderAct, Outcome},
};

/// Lets no further target begin, until somebody lets it go on.
pub(super) fn pause(draft: &mut Draft, asked: &Asked<'_>, number: u64, reason: Digest) -> Result<(), Refusal> {
    let (record, by) = guided(draft, asked, number)?;
    if let Some(pause) = &record.paused {
        let what = format!("deployment {number} is paused");
        return Err(Refusal::AlreadyDone { what, since: Some(pause.stamp.time) });
    }
    let (by, reason) = (Some(by), Some(reason));
    let members = package::open_members(draft, &record);
    for deployment in std::iter::once(number).chain(members) {
        // A member that goes back does so to its end, whatever becomes of the others.
        let goes_on = |record: &Deployment| record.paused.is_none() && !places::goes_back(record);
        if draft.state.deployments.get(&deployment).is_some_and(goes_on) {
            draft.record(Event::DeploymentPaused { deployment, by: by.clone(), reason, failure: None });
        }
    }
    Ok(())
}

/// Lets a deployment go on that was paused, or that waits for somebody's word between two rings.
pub(super) fn resume(draft: &mut Draft, asked: &Asked<'_>, number: u64, reason: Option<Digest>) -> Result<(), Refusal> {
    let (record, by) = guided(draft, asked, number)?;
    let resumed = Event::DeploymentResumed { deployment: number, by, reason };
    let is_paused = |number: &u64| draft.state.deployments.get(number).is_some_and(|record| record.paused.is_some());
    let members: Vec<u64> = package::open_members(draft, &record).into_iter().filter(is_paused).collect();
    if record.paused.is_some() || !members.is_empty() {
        if record.paused.is_some() {
            draft.record(resumed);
        }
        // What failed of a package while it was paused takes back what would go on first.
        let goes_back = record.is_of_package() && package::goes_back_next(draft, &record);
        for member in members.into_iter().filter(|_| !goes_back) {
            resume(draft, asked, member, reason)?;
        }
        // What has not begun begins by the rules of what stands: it may be too late, or overtaken; unless nobody is left for it.
        let is_planned = record.phase != DeploymentPhase::AwaitingPermit && !record.is_of_package();
        if record.waves > 0 || is_planned && record.parts.first_waiting().is_none() {
            deployment::go_on(draft, asked, number);
            return Ok(());
        }
        deployment::start_if_due(draft, asked, number);
        return Ok(());
    }
    match plan::bakes_until(&draft.state, &record) {
        Some(until) if until > asked.context.now => Err(Refusal::Bakes { deployment: number, until }),
        Some(_) => {
            // Where nobody is left to come next nothing is activated, at whatever moment.
            if record.parts.first_waiting().is_some() {
                deployment::is_moment(draft, asked, &record)?;
            }
            draft.record(resumed);
            deployment::advance(draft, asked, number);
            Ok(())
        }
        None => {
            let what = format!("deployment {number} is not paused, and waits for nobody's word");
            Err(Refusal::AlreadyDone { what, since: Some(record.stamp.time) })
        }
    }
}

/// A deployment that has not ended and does not go back, and who may guide it.
fn guided(draft: &Draft, asked: &Asked<'_>, number: u64) -> Result<(Deployment, PersonName), Refusal> {
    let (record, by) = open(draft, asked, number)?;
    match record.phase {
        DeploymentPhase::Undoing { .. } => Err(Refusal::GoesBack { deployment: number }),
        _ => Ok((record, by)),
    }
}

/// A deployment that has not ended and that somebody ends, and who.
pub(super) fn ended_by(draft: &Draft, asked: &Asked<'_>, number: u64) -> Result<(Deployment, PersonName), Refusal> {
    let known = draft.state.deployments.get(&number);
    if let Some(record) = known.filter(|record| matches!(record.phase, DeploymentPhase::Ended { .. }))
        && let Some(aborted) = record.guided.iter().rfind(|guidance| guidance.word == GuidanceWord::Aborted)
    {
        may_guide(asked, record)?;
        let what = format!("deployment {number} is aborted");
        return Err(Refusal::AlreadyDone { what, since: Some(aborted.stamp.time) });
    }
    let (record, by) = open(draft, asked, number)?;
    match record.phase {
        DeploymentPhase::Undoing { .. } => {
            // Since when is known where somebody said so; what went wrong by itself stands in the history.
            let aborted = record.guided.iter().rfind(|guidance| guidance.word == GuidanceWord::Aborted);
            let what = format!("deployment {number} goes back");
            Err(Refusal::AlreadyDone { what, since: aborted.map(|guidance| guidance.stamp.time) })
        }
        _ => Ok((record, by)),
    }
}

/// A deployment that has not ended, and who may guide it.
fn open(draft: &Draft, asked: &Asked<'_>, number: u64) -> Result<(Deployment, PersonName), Refusal> {
    let unknown = Refusal::UnknownDeployment { deployment: number };
    let record = draft.state.deployments.get(&number).cloned().ok_or(unknown)?;
    let by = may_guide(asked, &record)?;
    match record.phase {
        DeploymentPhase::Ended { .. } => Err(Refusal::DeploymentOver { deployment: number }),
        _ => Ok((record, by)),
    }
}

fn may_guide(asked: &Asked<'_>, record: &Deployment) -> Result<PersonName, Refusal> {
    let environment = names::environment(&asked.policy, &record.environment)?;
    let actor = &asked.context.actor;
    rights::require(actor, Right::Deploy, &record.environment, &environment.deploy).cloned()
}

/// Leaves one target out. Nobody waits for it, and it is no failure; what it has begun already it may end.
pub(super) fn exclude(
    draft: &mut Draft,
    asked: &Asked<'_>,
    number: u64,
    target: &TargetName,
    reason: Digest,
) -> Result<(), Refusal> {
    let (record, by) = guided(draft, asked, number)?;
    names::target(&draft.state, target)?;
    if record.is_of_package() {
        return exclude_from_members(draft, asked, number, &record, target, reason);
    }
    may_be_left_out(number, &record, target)?;
    let (target, by, reason) = (target.clone(), Some(by), Some(reason));
    draft.record(Event::TargetExcluded { deployment: number, target, by, reason, away: false });
    deployment::go_on(draft, asked, number);
    Ok(())
}

/// Fails where nothing is left of a target's part that it could be left out of, or where it may not be left out now.
fn may_be_left_out(number: u64, record: &Deployment, target: &TargetName) -> Result<(), Refusal> {
    let part = record.parts.get(target).ok_or_else(|| no_part(number, target))?;
    if matches!(part.aside, Some(Aside::Excluded | Aside::Left)) {
        let what = format!("{target} is left out of deployment {number}");
        return Err(Refusal::AlreadyDone { what, since: None });
    }
    let stays_in = |changes_data| Refusal::StaysIn { deployment: number, target: target.clone(), changes_data };
    // What is unwell counts as failed. Whoever runs it goes on doing so, and goes back if all go back.
    if part.progress == Progress::Finished(Outcome::Verified) && part.unwell.is_none() {
        return Err(stays_in(false));
    }
    let is_elected = record.elected.as_ref().is_some_and(|(elected, _)| elected == target);
    if is_elected && matches!(part.progress, Progress::Assigned(_)) {
        return Err(stays_in(true));
    }
    Ok(())
}

/// A package has no targets: its members have that are under way. What comes after one of them does not come to a target that
/// was left out of it.
fn exclude_from_members(
    draft: &mut Draft,
    asked: &Asked<'_>,
    number: u64,
    package: &Deployment,
    target: &TargetName,
    reason: Digest,
) -> Result<(), Refusal> {
    let open = package::open_members(draft, package);
    let record = |number: u64| draft.state.deployments.get(&number);
    let has_part = |number: &u64| record(*number).is_some_and(|member| member.parts.get(target).is_some());
    let members: Vec<u64> = open.iter().copied().filter(has_part).collect();
    if members.is_empty() {
        let name = |number: &u64| Some(format!("{} (deployment {number})", record(*number)?.app));
        let at: Vec<String> = open.iter().filter_map(name).collect();
        let at = if at.is_empty() { "none of its members".into() } else { at.join(", ") };
        let why = format!("deployment {number} is at {at}, and {target} has no part in that");
        return Err(Refusal::Invalid { why });
    }
    // It is left out of all of them that it is part of still, or of none.
    let judged = |number: &u64| record(*number).map_or(Ok(()), |member| may_be_left_out(*number, member, target));
    let is_done = |refusal: &Refusal| matches!(refusal, Refusal::AlreadyDone { .. });
    let (mut left, mut done) = (Vec::new(), None);
    for number in members {
        match judged(&number) {
            Ok(()) => left.push(number),
            Err(refusal) if is_done(&refusal) => done = done.or(Some(refusal)),
            Err(refusal) => return Err(refusal),
        }
    }
    if let Some(done) = done.filter(|_| left.is_empty()) {
        return Err(done);
    }
    for member in left {
        // Leaving it out of one may have ended another.
        if draft.state.open_deployments.contains(&member) {
            exclude(draft, asked, member, target, reason)?;
        }
    }
    Ok(())
}

/// Lets targets try again that failed, were absent or were left out. The order names them and is theirs, since a target
/// carries out an order once.
pub(super) fn retry(draft: &mut Draft, asked: &Asked<'_>, signed: &Signed<Order>, number: u64) -> Result<(), Refusal> {
    let order = &signed.act;
    let unknown = Refusal::UnknownDeployment { deployment: number };
    let record = draft.state.deployments.get(&number).cloned().ok_or(unknown)?;
    let by = may_guide(asked, &record)?;
    let same = order.app == record.app
        && order.environment == record.environment
        && order.act == record.act
        && order.keep_data == record.keep_data;
    if !same || signed.subject != record.build || order.only.is_empty() {
        let why = format!("to try again is to do what deployment {number} does, on targets that are named");
        return Err(Refusal::Invalid { why });
    }
    let is_over = match record.phase {
        DeploymentPhase::Ended { ending: Ending::Succeeded, .. } => true,
        DeploymentPhase::Running | DeploymentPhase::Baking(_) if record.waves > 0 => false,
        DeploymentPhase::Undoing { .. } => return Err(Refusal::GoesBack { deployment: number }),
        _ => return Err(Refusal::DeploymentOver { deployment: number }),
    };
    for name in &order.only {
        let target = names::target(&draft.state, name)?;
        let part = record.parts.get(name).ok_or_else(|| no_part(number, name))?;
        if record.act.installs() && !placement::takes_something_new(&draft.state, target, asked.context.now) {
            let why = match target.cordoned {
                true => format!("{name} is cordoned and takes nothing new: `sortie target uncordon {name}` lets it"),
                false => format!("{name} takes nothing new: its time is over"),
            };
            return Err(Refusal::Invalid { why });
        }
        if part.progress == Progress::Finished(Outcome::Verified)
            && let Some(unwell) = &part.unwell
        {
            let why = format!(
                "{name} has verified deployment {number} and is unwell since: {unwell}. To bring it once more changes nothing: it \
                 counts as well once the machine says so, `sortie exclude {number} {name}` goes on without it, `sortie resume \
                 {number}` in spite of it, and `sortie abort {number}` takes all back"
            );
            return Err(Refusal::Invalid { why });
        }
        if !may_try_again(part) {
            let why = format!("{name} did not fail in deployment {number}, and is not left out of it");
            return Err(Refusal::Invalid { why });
        }
    }
    let targets: Vec<TargetName> = order.only.iter().cloned().collect();
    deployment::may_still_run(draft, asked, &record, targets.clone())?;
    let candidate = Candidate::of(&draft.state, &record)?;
    let now = asked.context.now;
    // What is tried again is tried now: the order's own times count, not those of the one before.
    schedule::is_moment(&draft.state, &asked.policy, &candidate, order, now)?;
    if is_over {
        nothing_newer(draft, &record, number)?;
        can_spare(draft, asked, &record, &targets)?;
    }
    draft.record(Event::RetryOrdered { deployment: number, targets, by, reason: order.reason });
    deployment::go_on(draft, asked, number);
    Ok(())
}

fn may_try_again(part: &Part) -> bool {
    match (&part.progress, part.aside) {
        (Progress::Finished(Outcome::Verified), _) | (_, Some(Aside::Left)) => false,
        (Progress::Finished(_), _) | (_, Some(_)) => true,
        _ => false,
    }
}

/// What is over is made whole only as long as nothing newer has taken its place.
fn nothing_newer(draft: &Draft, record: &Deployment, number: u64) -> Result<(), Refusal> {
    let here = draft.state.in_audience(&record.app, &record.environment);
    let package = packages::under_way(&draft.state, &record.app, &record.environment, None);
    if let Some(open) = here.and_then(|here| here.open_deployment).or(package) {
        let (app, environment) = (record.app.clone(), record.environment.clone());
        let instead = None;
        return Err(Refusal::DeploymentUnderWay { deployment: open, app, environment, instead, retires: None });
    }
    let running = |name: &TargetName| draft.state.running(&record.app, name);
    // What a switch let serve may have made way since.
    let switches = record.act == OrderAct::Switch;
    let is_kept = |running: &Running| running.build == record.build && (running.is_in_service() || !switches);
    match record.parts.verified().any(|name| running(name).is_some_and(is_kept)) {
        true => Ok(()),
        false => Err(Refusal::DeploymentOver { deployment: number }),
    }
}

fn can_spare(draft: &Draft, asked: &Asked<'_>, record: &Deployment, targets: &[TargetName]) -> Result<(), Refusal> {
    let serves = |name: &&TargetName| record.parts.get(name).is_some_and(|part| part.serves);
    let taken = targets.iter().filter(serves).count();
    let rollout = rollout::of(&draft.state, record);
    let spare = rollout::healthy(&draft.state, record, &asked.context.away)
        .saturating_sub(rollout::must_serve(&rollout, record));
    if taken > spare {
        let why = format!("{spare} can be spared, and {taken} of these serve");
        return Err(Refusal::TooFewHealthy { environment: record.environment.clone(), why });
    }
    Ok(())
}

fn no_part(number: u64, target: &TargetName) -> Refusal {
    Refusal::Invalid { why: format!("{target} has no part in deployment {number}") }
}
