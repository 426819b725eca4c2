//! Running the waves of a deployment, ending it, taking it back.

use super::{Asked, guide, package, report, soak};
use crate::{
    event::{Aborted, Ending, Event},
    plan,
    refusal::{Refusal, Right},
    rules::{
        self, Candidate, migrations, names, owners, packages,
        presence::{self, Away},
        rights,
        rollout::{self, Wave},
        schedule::{self, Moment},
        sides, ways,
    },
    state::{Aside, Deployment, DeploymentPhase, Draft, Part, Progress, Running, State, counted_anew},
};
use trust::{
    AppName, AudienceName, Digest, TargetName, Version,
    charter::Class,
    rollout::OnFailure,
    statement::{Order, OrderAct, Outcome},
};

/// Why something ends for which there is no target any more.
pub(super) const NOBODY_LEFT: &str = "nobody is left for it: all of its targets were left out, or are gone";

/// Ends the deployment whose place a newer one takes, where there is one.
pub(super) fn take_place(draft: &mut Draft, queued: Option<u64>, number: u64) {
    if let Some(queued) = queued {
        let (ending, superseded_by) = (Ending::Superseded, Some(number));
        draft.record(Event::DeploymentEnded { deployment: queued, ending, reason: None, superseded_by, aborted: None });
    }
}

/// Starts the first wave. Fails where not even one target can be spared.
pub(super) fn begin(draft: &mut Draft, asked: &Asked<'_>, number: u64) -> Result<(), Refusal> {
    leave_out(draft, asked, number);
    if let Some(record) = draft.state.deployments.get(&number) {
        let too_few = |why| Refusal::TooFewHealthy { environment: record.environment.clone(), why };
        let rollout = rollout::of(&draft.state, record);
        let wave = || next_wave(draft, asked, record).map(drop);
        rollout::can_spare(&rollout, record).and_then(|()| wave()).map_err(too_few)?;
    }
    start_next_wave(draft, asked, number);
    Ok(())
}

/// Starts the deployment that waited for this permit. A permit that begins later starts it when its time comes.
pub(super) fn start_awaiting(
    draft: &mut Draft,
    asked: &Asked<'_>,
    app: &AppName,
    version: &Version,
    audience: &AudienceName,
) {
    let Some(number) = draft.state.in_audience(app, audience).and_then(|record| record.queued) else { return };
    let Some(deployment) = draft.state.deployments.get(&number) else { return };
    let stands = deployment.phase == DeploymentPhase::AwaitingPermit && deployment.paused.is_none();
    if !stands || deployment.version.as_ref() != Some(version) {
        return;
    }
    let begins = draft.state.all_permits(app, version, audience).map(|(_, request)| request.not_before).next();
    if begins.is_some_and(|begins| begins <= asked.context.now) {
        start(draft, asked, number);
    }
}

/// Starts a deployment that stands, unless its moment has not come.
pub(super) fn start_if_due(draft: &mut Draft, asked: &Asked<'_>, number: u64) {
    let record = draft.state.deployments.get(&number);
    let begins = record.and_then(|record| plan::starts(&draft.state, number, record, asked.context.now));
    if begins.is_some_and(|begins| begins <= asked.context.now) {
        start(draft, asked, number);
    }
}

/// Starts a deployment that waited, or ends it where by now something other than the permit stands against it.
pub(super) fn start(draft: &mut Draft, asked: &Asked<'_>, number: u64) {
    let Some(deployment) = draft.state.deployments.get(&number).cloned() else { return };
    if !owners::may_go_on(&draft.state, (&asked.context.lost, asked.context.now), &deployment) {
        return;
    }
    if deployment.is_of_package() {
        return package::start(draft, asked, number);
    }
    if deployment.waves > 0 {
        return go_on(draft, asked, number);
    }
    if let Moment::Never(reason) = schedule::moment(&draft.state, number, &deployment, asked.context.now) {
        return drop_it(draft, number, reason);
    }
    if deployment.paused.is_some() {
        return;
    }
    // What runs is for that one to change, and is looked at when it has ended.
    if schedule::under_way(&draft.state, number, &deployment).is_some() {
        return;
    }
    let order = Order {
        version: deployment.version.clone(),
        keep_data: deployment.keep_data,
        ..Order::new(deployment.app.clone(), deployment.environment.clone(), deployment.act)
    };
    // Something else may have changed the data since it was ordered.
    let asks_for_data =
        deployment.act.installs().then(|| migrations::nothing_crossed(&draft.state, &order, deployment.build));
    if let Some(Err(refusal)) = asks_for_data {
        return drop_it(draft, number, refusal.to_string());
    }
    let overtaken = schedule::overtaken(&draft.state, number, &deployment);
    if let Some(reason) = overtaken.or_else(|| sides::overtaken(&draft.state, &deployment)) {
        return drop_it(draft, number, reason);
    }
    let deployment = counted_anew(&draft.state, &deployment).unwrap_or(deployment);
    let all: Vec<TargetName> = deployment.parts.waiting().cloned().collect();
    let wave = || next_wave(draft, asked, &deployment).map(drop);
    match may_still_run(draft, asked, &deployment, all).map_err(|refusal| refusal.to_string()).and_then(|()| wave()) {
        Ok(()) => start_next_wave(draft, asked, number),
        Err(reason) => drop_it(draft, number, reason),
    }
}

/// Ends what stood and cannot begin any more.
pub(super) fn drop_it(draft: &mut Draft, number: u64, reason: String) {
    let (ending, reason) = (Ending::Dropped, Some(reason));
    draft.record(Event::DeploymentEnded { deployment: number, ending, reason, superseded_by: None, aborted: None });
}

/// Ends what has lost its last target, and would stand for ever since nobody is left to begin or to go on: it waits for its
/// permit, its time, or somebody's word.
pub(super) fn end_deserted(draft: &mut Draft, number: u64) {
    let Some(deployment) = draft.state.deployments.get(&number) else { return };
    let is_over = matches!(deployment.phase, DeploymentPhase::Undoing { .. } | DeploymentPhase::Ended { .. });
    if is_over || deployment.parts.present() > 0 {
        return;
    }
    let reason = "its last target is gone".to_owned();
    if deployment.waves == 0 {
        return drop_it(draft, number, reason);
    }
    let (ending, reason) = (Ending::Aborted, Some(reason));
    draft.record(Event::DeploymentEnded { deployment: number, ending, reason, superseded_by: None, aborted: None });
}

/// Whether the rules still let the deployment's build run on these targets: a permit may be withdrawn or expire, and a
/// charter may change, between an order and each of its waves.
pub(super) fn may_still_run(
    draft: &Draft,
    asked: &Asked<'_>,
    deployment: &Deployment,
    targets: Vec<TargetName>,
) -> Result<(), Refusal> {
    if !deployment.act.installs() && deployment.act != OrderAct::Switch {
        return Ok(());
    }
    let candidate = Candidate::of(&draft.state, deployment)?;
    rules::may_run(&draft.state, &asked.policy, &candidate, asked.context.now)?;
    let targets = targets.into_iter().filter(|name| !makes_way(draft, deployment, name)).collect();
    // A deployment that stood and waited was ordered before it was known by which way its permit would come.
    ways::reached(&draft.state, &asked.policy, &candidate, targets, true, asked.context.now).map(|_| ())
}

/// Fails while something keeps the deployment's build from being activated at this moment.
pub(super) fn is_moment(draft: &Draft, asked: &Asked<'_>, deployment: &Deployment) -> Result<(), Refusal> {
    let candidate = Candidate::of(&draft.state, deployment)?;
    rules::is_moment(&draft.state, &asked.policy, &candidate, &deployment.schedule, asked.context.now)
}

/// Starts the next wave of targets.
pub(super) fn start_next_wave(draft: &mut Draft, asked: &Asked<'_>, number: u64) {
    let Some(deployment) = draft.state.deployments.get(&number) else { return };
    // Once one side serves, the other makes way at any time.
    let makes_way = deployment.act == OrderAct::Switch && deployment.waves > 0;
    // It stands then, and the clock goes on with it once owners have signed what they must.
    if !makes_way && !owners::may_go_on(&draft.state, (&asked.context.lost, asked.context.now), deployment) {
        return;
    }
    let moment = match makes_way {
        true => Moment::Now,
        false => schedule::moment(&draft.state, number, deployment, asked.context.now),
    };
    match moment {
        Moment::Now => {}
        // It stands then, and the clock looks again when that is over.
        Moment::Later(_) => return,
        Moment::Never(reason) if deployment.waves == 0 => return drop_it(draft, number, reason),
        Moment::Never(reason) => {
            let deployment = deployment.clone();
            return fail(draft, asked, number, &deployment, reason);
        }
    }
    leave_out(draft, asked, number);
    let Some(deployment) = draft.state.deployments.get(&number) else { return };
    if let Some(why) = rollout::emptied(&rollout::of(&draft.state, deployment), deployment) {
        return pause(draft, number, why);
    }
    let anew = counted_anew(&draft.state, deployment);
    let deployment = anew.as_ref().unwrap_or(deployment);
    let first_wave = |wave| migrations::first_wave(&draft.state, deployment, wave, &asked.context.away);
    let wave = next_wave(draft, asked, deployment).and_then(first_wave);
    match wave {
        Ok((Wave { targets, .. }, _)) if targets.is_empty() => {
            let deployment = deployment.clone();
            conclude(draft, asked, number, &deployment);
        }
        Ok((Wave { targets, ring }, migrate)) => {
            let wave = deployment.waves + 1;
            draft.record(Event::WaveStarted { deployment: number, wave, targets, ring, migrate });
        }
        // Nothing was tried anywhere: that is nothing against what it was to bring.
        Err(why) if deployment.waves == 0 => drop_it(draft, number, why),
        Err(why) => {
            let deployment = deployment.clone();
            fail(draft, asked, number, &deployment, why);
        }
    }
}

pub(super) fn next_wave(draft: &Draft, asked: &Asked<'_>, deployment: &Deployment) -> Result<Wave, String> {
    // What fell silent since it began is judged by its last word: an outage of the network takes nothing back.
    let away = if deployment.waves == 0 { &*asked.context.away } else { &Away::new() };
    rollout::next_wave(&draft.state, &rollout::of(&draft.state, deployment), deployment, away)
}

/// Begins without those that are away. Who falls silent later has its turn, and the time to say something.
fn leave_out(draft: &mut Draft, asked: &Asked<'_>, number: u64) {
    let Some(deployment) = draft.state.deployments.get(&number).filter(|deployment| deployment.waves == 0) else {
        return;
    };
    if !matches!(schedule::moment(&draft.state, number, deployment, asked.context.now), Moment::Now) {
        return;
    }
    for target in presence::left_out(&draft.state, deployment, &asked.context.away) {
        draft.record(Event::TargetExcluded { deployment: number, target, by: None, reason: None, away: true });
    }
}

/// Goes on after a target has finished its part, or left: next wave, end, or undo.
pub(super) fn go_on(draft: &mut Draft, asked: &Asked<'_>, number: u64) {
    let Some(deployment) = draft.state.deployments.get(&number).cloned() else { return };
    if deployment.is_of_package() {
        return package::go_on(draft, asked, number);
    }
    let rollout = rollout::of(&draft.state, &deployment).into_owned();
    let parts = &deployment.parts;
    let (busy, has_begun) = (parts.busy().next().is_some(), deployment.waves > 0);
    match &deployment.phase {
        DeploymentPhase::Ended { ending: Ending::Succeeded, settled: None, .. } => soak::falters(draft, asked, number),
        // A target may finish after the deployment was ended without it: what it runs is known then, and nothing follows.
        DeploymentPhase::Ended { .. } | DeploymentPhase::AwaitingPermit => {}
        DeploymentPhase::Undoing { .. } if busy => {}
        // As long as not all of those serve again who made way, whoever serves in their place goes on.
        DeploymentPhase::Undoing { .. } if is_not_back(draft, &deployment) => end_undone(draft, asked, number),
        DeploymentPhase::Undoing { reason } if parts.verified().next().is_some() => {
            undo(draft, asked, number, &deployment, reason.clone(), None);
        }
        DeploymentPhase::Undoing { .. } => end_undone(draft, asked, number),
        DeploymentPhase::Running | DeploymentPhase::Baking(_) if deployment.paused.is_some() => {}
        DeploymentPhase::Running | DeploymentPhase::Baking(_) => {
            let failed = migrations::failed(&deployment);
            if let Some(reason) = failed.or_else(|| rollout::beyond_budget(&rollout, &deployment)) {
                fail(draft, asked, number, &deployment, reason);
            } else if busy {
            } else if let Some(doubt) = rollout::in_doubt(&deployment) {
                pause(draft, number, doubt);
            } else if let Some(why) = rollout::emptied(&rollout, &deployment).filter(|_| has_begun) {
                // Nobody makes way for a side of which nobody serves.
                match deployment.act {
                    OrderAct::Switch => fail(draft, asked, number, &deployment, why),
                    _ => pause(draft, number, why),
                }
            } else if matches!(deployment.phase, DeploymentPhase::Baking(_)) {
            } else if let Some(ring) =
                rollout::ring_is_over(&rollout, &deployment, is_unseen(draft, asked, &deployment)).filter(|_| has_begun)
            {
                draft.record(Event::RingVerified { deployment: number, ring: ring.name.clone() });
            } else if parts.first_waiting().is_some() && !has_begun {
                start_if_due(draft, asked, number);
            } else if parts.first_waiting().is_some() {
                advance(draft, asked, number);
            } else {
                conclude(draft, asked, number, &deployment);
            }
        }
    }
}

/// Ends what nobody is left for: it has succeeded where somebody verified it, however many were left out.
fn conclude(draft: &mut Draft, asked: &Asked<'_>, number: u64, deployment: &Deployment) {
    match deployment.parts.verified().next() {
        Some(_) => succeed(draft, asked, number, deployment),
        // All have left, or somebody said that it goes on without every single one.
        None => {
            let reason = NOBODY_LEFT.to_owned();
            draft.record(Event::DeploymentEnded {
                deployment: number,
                ending: Ending::Aborted,
                reason: Some(reason),
                superseded_by: None,
                aborted: None,
            });
        }
    }
}

/// Whether too many are silent of those that verified a deployment for it to go on or to settle by itself. Once one side of a
/// switch serves, the other makes way at any time.
fn is_unseen(draft: &Draft, asked: &Asked<'_>, deployment: &Deployment) -> bool {
    let silent = || presence::silent(&draft.state, deployment, &asked.context.away);
    deployment.act != OrderAct::Switch && !silent().is_empty()
}

/// Starts the next wave of a deployment that has begun, if the rules still let it run.
pub(super) fn advance(draft: &mut Draft, asked: &Asked<'_>, number: u64) {
    let Some(deployment) = draft.state.deployments.get(&number).cloned() else { return };
    if deployment.parts.first_waiting().is_none() {
        return conclude(draft, asked, number, &deployment);
    }
    let targets = next_wave(draft, asked, &deployment).map(|wave| wave.targets).unwrap_or_default();
    match may_still_run(draft, asked, &deployment, targets) {
        Ok(()) => start_next_wave(draft, asked, number),
        Err(refusal) => fail(draft, asked, number, &deployment, refusal.to_string()),
    }
}

/// A deployment that is over as all of them are that nobody ended.
pub(super) fn ended(deployment: u64, ending: Ending) -> Event {
    Event::DeploymentEnded { deployment, ending, reason: None, superseded_by: None, aborted: None }
}

fn succeed(draft: &mut Draft, asked: &Asked<'_>, number: u64, deployment: &Deployment) {
    draft.record(ended(number, Ending::Succeeded));
    let soak = asked.policy.charter.environments.get(&deployment.environment).map_or(0, |e| e.soak_minutes);
    let is_seen = presence::silent(&draft.state, deployment, &asked.context.away).is_empty();
    // What a package brings settles with it, what stands by does once it has served, and what is silent once it is heard of.
    if sides::settles(&draft.state, deployment) && soak == 0 && deployment.package.is_none() && is_seen {
        draft.record(Event::DeploymentSettled { deployment: number });
    }
}

/// More failed than may: by its rollout, everything that had activated it goes back, or the deployment waits for somebody's
/// word, or it stops where it is.
fn fail(draft: &mut Draft, asked: &Asked<'_>, number: u64, deployment: &Deployment, reason: String) {
    let on_failure = rollout::of(&draft.state, deployment).on_failure;
    let can_go_back = deployment.act.installs() || matches!(deployment.act, OrderAct::Configure | OrderAct::Switch);
    match on_failure {
        OnFailure::Pause => pause(draft, number, reason),
        OnFailure::Undo if can_go_back => undo(draft, asked, number, deployment, reason, None),
        OnFailure::Undo | OnFailure::Stop => {
            let (ending, reason) = (Ending::Failed, Some(reason));
            let (superseded_by, aborted) = (None, None);
            draft.record(Event::DeploymentEnded { deployment: number, ending, reason, superseded_by, aborted });
            place_hold(draft, asked, number);
        }
    }
}

/// Lets no further target begin until somebody has looked at this and says what is to be done.
fn pause(draft: &mut Draft, number: u64, why: String) {
    draft.record(Event::DeploymentPaused { deployment: number, by: None, reason: None, failure: Some(why) });
}

/// Tells every target that has activated it, or is about to, to go back: as many at a time as can be spared.
pub(super) fn undo(
    draft: &mut Draft,
    asked: &Asked<'_>,
    number: u64,
    deployment: &Deployment,
    reason: String,
    aborted: Option<Aborted>,
) {
    let parts = &deployment.parts;
    let rollout = rollout::of(&draft.state, deployment);
    let spared = rollout::next_to_go_back(&draft.state, &rollout, deployment, &Away::new());
    let is_first = !matches!(deployment.phase, DeploymentPhase::Undoing { .. });
    // What is unwell serves nobody, and need not be spared, whether somebody accepted it or not.
    let is_unwell = |name: &&TargetName| parts.get(name).is_some_and(|part| part.unwell.is_some());
    let unwell = parts.verified().filter(is_unwell);
    let well = parts.verified().filter(|name| !is_unwell(name)).take(spared);
    // Who made way, or is about to, serves again before anybody stands by; of whom nothing is heard, nobody knows that.
    let mut concerned = parts.verified().chain(parts.assigned()).chain(parts.absent());
    let made_way = concerned.any(|name| makes_way(draft, deployment, name));
    let comes_first = |name: &&TargetName| !made_way || makes_way(draft, deployment, name);
    let (unwell, well) = (unwell.filter(comes_first), well.filter(comes_first));
    let mut targets: Vec<TargetName> = parts.assigned().chain(unwell).chain(well).cloned().collect();
    targets.sort();
    // Who was given up on may have activated it all the same.
    let given_up = |name: &TargetName| {
        let on_target = draft.state.targets.get(name).and_then(|target| target.apps.get(&deployment.app));
        let assigned = on_target.and_then(|on_target| on_target.assigned);
        assigned.is_some_and(|assigned| assigned.deployment == number && assigned.given_up)
    };
    let silent = parts.absent().filter(|name| is_first && given_up(name));
    let absent: Vec<TargetName> = silent.cloned().collect();
    let nothing_to_undo = targets.is_empty();
    let away: Vec<TargetName> = targets.iter().filter(|name| asked.context.away.contains(*name)).cloned().collect();
    draft.record(Event::UndoStarted { deployment: number, reason, targets, absent, aborted });
    if nothing_to_undo {
        return end_undone(draft, asked, number);
    }
    // Who is away goes back once it is here again: nobody waits for it.
    for name in &away {
        report::give_up_on(draft, number, name, "it is away, and goes back when it is here again".into());
    }
    if !away.is_empty() {
        go_on(draft, asked, number);
    }
}

/// Whether somebody who made way in a switch was to serve again, and does not.
fn is_not_back(draft: &Draft, deployment: &Deployment) -> bool {
    let serves = |name: &TargetName| {
        let running = draft.state.running(&deployment.app, name);
        running.is_some_and(Running::is_in_service)
    };
    let is_tried = |part: &Part| !matches!(part.progress, Progress::Waiting | Progress::Finished(Outcome::Verified));
    let mut parts = deployment.parts.iter();
    // Of whom nothing is heard may have stood by since its last word.
    let is_known = |name: &TargetName, part: &Part| !part.absent && serves(name);
    parts.any(|(name, part)| makes_way(draft, deployment, name) && is_tried(part) && !is_known(name, part))
}

/// Whether a target's part in a switch is to make way.
fn makes_way(draft: &Draft, deployment: &Deployment, name: &TargetName) -> bool {
    let running = || draft.state.running(&deployment.app, name);
    deployment.act == OrderAct::Switch && running().is_some_and(|running| running.build != deployment.build)
}

fn end_undone(draft: &mut Draft, asked: &Asked<'_>, number: u64) {
    let Some(deployment) = draft.state.deployments.get(&number) else { return };
    // Where somebody who had it does not go back, or does not serve again who made way, nothing is undone.
    let failed = is_kept(&draft.state, number, deployment) || is_not_back(draft, deployment);
    let ending = if failed { Ending::Failed } else { Ending::Undone };
    draft.record(ended(number, ending));
    place_hold(draft, asked, number);
}

/// Whether a target has not gone back from a deployment, or nobody knows that it has.
pub(super) fn is_kept(state: &State, number: u64, deployment: &Deployment) -> bool {
    let is_left = |(name, outcome): (&TargetName, &Outcome)| match outcome {
        Outcome::Failed { .. } => true,
        _ => has_it(state, number, deployment, name),
    };
    // Whose failure somebody accepted may have it as well.
    let accepted = |(_, part): &(&TargetName, &Part)| part.aside == Some(Aside::Accepted);
    let keeps_it = |(name, _): (&TargetName, &Part)| has_it(state, number, deployment, name);
    deployment.parts.iter().filter(accepted).any(keeps_it) || deployment.parts.bad().any(is_left)
}

/// What failed in a test or live environment stays out until somebody lifts the hold. A target's refusal is no failure
/// of the build, and a build that runs there by an earlier deployment is not held for a failed change of config.
fn place_hold(draft: &mut Draft, asked: &Asked<'_>, number: u64) {
    let Some(deployment) = draft.state.deployments.get(&number) else { return };
    let class = asked.policy.charter.environments.get(&deployment.environment).map(|environment| environment.class);
    let act = Candidate::of(&draft.state, deployment).map_or(deployment.act, |candidate| candidate.act);
    let brings = act.deploys();
    // What went back because another member of its package failed is not to blame.
    let is_blamed = match deployment.package {
        Some(_) => is_to_blame(deployment),
        None => !only_refused(&draft.state, number, deployment),
    };
    if class == Some(Class::Dev) || !brings || !is_blamed {
        return;
    }
    let (app, environment, build) = (deployment.app.clone(), deployment.environment.clone(), deployment.build);
    draft.record(Event::HoldPlaced { app, environment, build, deployment: Some(number) });
}

/// Whether a target runs what a deployment brought there.
fn has_it(state: &State, number: u64, deployment: &Deployment, name: &TargetName) -> bool {
    let running = state.running(&deployment.app, name);
    running.is_some_and(|running| running.deployment == number && running.build == deployment.build)
}

/// Whether targets refused it, and nothing else went wrong. Who refuses to go back has it, and says nothing against that.
fn only_refused(state: &State, number: u64, deployment: &Deployment) -> bool {
    let refused = |outcome: &Outcome| matches!(outcome, Outcome::Refused { .. });
    let goes_on = |name: &TargetName, outcome: &Outcome| refused(outcome) && has_it(state, number, deployment, name);
    let bad = deployment.parts.bad().filter(|(name, outcome)| !goes_on(name, outcome));
    let mut bad = bad.map(|(_, outcome)| outcome);
    bad.next().is_some_and(refused) && bad.all(refused)
}

/// Whether a build failed on a target, or was unwell there.
pub(super) fn is_to_blame(deployment: &Deployment) -> bool {
    let has_failed = deployment.parts.bad().any(|(_, outcome)| !matches!(outcome, Outcome::Refused { .. }));
    let took_back =
        |phase: &DeploymentPhase| !matches!(phase, DeploymentPhase::Ended { ending: Ending::Succeeded, .. });
    let was_unwell = deployment.parts.iter().any(|(_, part)| part.unwell.is_some());
    has_failed && took_back(&deployment.phase) || was_unwell && took_back(&deployment.phase)
}

/// Ends an unfinished deployment; what had activated it goes back.
pub(super) fn abort(draft: &mut Draft, asked: &Asked<'_>, number: u64, reason: Option<Digest>) -> Result<(), Refusal> {
    let (deployment, by) = guide::ended_by(draft, asked, number)?;
    let aborted = Aborted { by: by.clone(), reason };
    if deployment.is_of_package() && deployment.waves > 0 {
        package::abort(draft, asked, number, &deployment, aborted);
    } else if (deployment.act.installs() || deployment.act == OrderAct::Switch) && deployment.waves > 0 {
        undo(draft, asked, number, &deployment, format!("aborted by {by}"), Some(aborted));
    } else {
        let (ending, aborted) = (Ending::Aborted, Some(aborted));
        draft.record(Event::DeploymentEnded { deployment: number, ending, reason: None, superseded_by: None, aborted });
    }
    Ok(())
}

/// Lets what was held out come again.
pub(super) fn lift_hold(
    draft: &mut Draft,
    asked: &Asked<'_>,
    app: &AppName,
    environment: &AudienceName,
    build: Option<Digest>,
    reason: Option<Digest>,
) -> Result<(), Refusal> {
    let charter_environment = names::environment(&asked.policy, environment)?;
    rights::require(&asked.context.actor, Right::Deploy, environment, &charter_environment.deploy)?;
    names::app(&draft.state, app)?;
    let held = draft.state.in_audience(app, environment).map(|record| record.held.clone()).unwrap_or_default();
    let what = match build {
        None => format!("nothing of {app} is held out of {environment}"),
        Some(build) => {
            let record = names::build(&draft.state, app, &build)?;
            let what = names::of_build(app, record.version.as_ref(), &build);
            format!("{what} is not held out of {environment}")
        }
    };
    if !build.map_or(!held.is_empty(), |build| held.contains_key(&build)) {
        return Err(Refusal::AlreadyDone { what, since: None });
    }
    draft.record(Event::HoldLifted { app: app.clone(), environment: environment.clone(), build, reason });
    // What a package left or failed with is held out with it, and comes again with it.
    for (package, hold) in held.iter().filter(|(held, _)| build.is_none_or(|build| build == **held)) {
        let (Some(facts), Some(deployment)) = (packages::listed(&draft.state, app, package), hold.deployment) else {
            continue;
        };
        for (name, member) in facts.package.clone() {
            let here = draft.state.in_audience(&name, environment);
            let placed = here.and_then(|here| here.held.get(&member.build)).map(|hold| hold.deployment);
            if placed.is_some_and(|placed| packages::is_by(&draft.state, app, placed, deployment)) {
                let (environment, build) = (environment.clone(), Some(member.build));
                draft.record(Event::HoldLifted { app: name, environment, build, reason });
            }
        }
    }
    Ok(())
}
