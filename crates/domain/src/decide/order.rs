//! What may be ordered: where it goes, whose place it takes, what whoever orders it is warned of.

use super::{Asked, deployment, guide, package};
use crate::{
    command::Signed,
    event::Event,
    plan,
    planned::Planned,
    policy,
    refusal::{Expired, Refusal, Right, RunsInstead},
    rules::{
        self, Candidate, checkpoints, configuration, expiry, holds, lifetime, migrations, names, owners, packages,
        passed, placement, places, rights, rollback, rollout, schedule, sides, ways,
    },
    state::Draft,
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use trust::{
    AppName, Digest, TargetName, Version,
    quorum::Rule,
    statement::{Order, OrderAct},
};

/// Orders a deployment, or another act on what runs.
pub(super) fn request(draft: &mut Draft, asked: &Asked<'_>, signed: Signed<Order>) -> Result<(), Refusal> {
    let order = &signed.act;
    let (app, environment) = (&order.app, &order.environment);
    let context = asked.context;
    owners::may_bring(&draft.state, (&context.lost, context.now), order.act, app, environment, &signed.subject)?;
    if let Some(number) = order.retries {
        return guide::retry(draft, asked, &signed, number);
    }
    can_be_meant(order)?;
    let environment = names::environment(&asked.policy, &order.environment)?;
    let deployer =
        rights::require(&asked.context.actor, Right::Deploy, &order.environment, &environment.deploy)?.clone();
    let candidate = candidate(draft, &signed)?;
    if !candidate.record.facts.package.is_empty() {
        return package::request(draft, asked, &signed, deployer);
    }
    let now = asked.context.now;
    schedule::can_come(order, now)?;
    let is_planned = schedule::is_planned(&order.schedule, now);
    // What is under way changes what runs, and with it what is so already: it is looked at before that.
    let follows = (is_planned || order.after_current) && places::under_way(&draft.state, order, None).is_some();
    let mut found = find(draft, asked, &signed, &candidate, follows)?;
    let stands = order.when_released || follows && !is_planned;
    schedule::is_in_time(&draft.state, &asked.policy, &candidate, order, stands, now)?;
    let queued = place(draft, asked, &signed)?;
    let may_hasten =
        |rule: &Rule| rights::require(&asked.context.actor, Right::Deploy, &order.environment, rule).is_ok();
    let rollout = rollout::of_order(&order.environment, environment, order, found.targets.len(), may_hasten)?;
    found.warnings.extend(rollout::warnings(&draft.state, &order.environment, &rollout, found.targets.len()));
    found.warnings.extend(expiry::ends_before(&draft.state, order.act, schedule::begins(order, now), now));
    let last = lifetime::all_end(&draft.state, found.targets.iter());
    found.warnings.extend(lifetime::ends_before(last, schedule::begins(order, now)));
    let (planned_there, planned) = schedule::planned_beside(&draft.state, order);
    found.warnings.extend(planned);
    let (targets, rings) = match &found.switch {
        Some(switch) => (found.targets, switch.rings.clone()),
        None => rollout::in_their_turn(&draft.state, &rollout, found.targets, &asked.context.away),
    };
    let deployment = draft.state.last_deployment + 1;
    let left_behind = rollback::left_behind(&draft.state, order, signed.subject, &targets);
    let requested = Event::DeploymentRequested {
        deployment,
        app: order.app.clone(),
        environment: order.environment.clone(),
        act: order.act,
        build: signed.subject,
        version: candidate.version().cloned(),
        targets,
        awaits_permit: found.awaits_permit,
        warnings: found.warnings,
        deployer,
        rollout: Some(Box::new(rollout)),
        rings,
        narrowed: !order.only.is_empty(),
        schedule: order.schedule.clone(),
        keep_data: order.keep_data,
        package: None,
        only: BTreeSet::new(),
        planned_there,
    };
    schedule::not_planned_already(&draft.state, &requested)?;
    as_planned(draft, order, &requested, &BTreeMap::new())?;
    for build in found.switch.into_iter().flat_map(|switch| switch.left_behind).chain(left_behind) {
        hold_out(draft, order, build, deployment);
    }
    deployment::take_place(draft, queued, deployment);
    draft.record(requested);
    if found.awaits_permit || is_planned || follows {
        return Ok(());
    }
    deployment::begin(draft, asked, deployment)
}

/// Fails where an order says what goes with no act of its kind.
fn can_be_meant(order: &Order) -> Result<(), Refusal> {
    let why = if order.reason.is_some() {
        "an order says why only where targets of a deployment are to try again"
    } else if order.after_current && !order.act.deploys() {
        "what is to stand until something else has ended brings a version or a build"
    } else {
        return Ok(());
    };
    Err(Refusal::Invalid { why: why.into() })
}

/// The build that is ordered; fails where the version that the order names is another's.
fn candidate<'a>(draft: &'a Draft, signed: &'a Signed<Order>) -> Result<Candidate<'a>, Refusal> {
    let order = &signed.act;
    let candidate = Candidate::ordered(&draft.state, signed)?;
    match &order.version {
        Some(version) if candidate.version() != Some(version) => {
            let (build, _) = names::version(&draft.state, &order.app, version)?;
            Err(Refusal::NumberTaken { app: order.app.clone(), version: version.clone(), build })
        }
        _ => Ok(candidate),
    }
}

/// Where an order goes, and how.
#[derive(Default)]
struct Found {
    targets: Vec<TargetName>,
    awaits_permit: bool,
    warnings: Vec<String>,
    switch: Option<sides::Switch>,
}

/// Where an order goes, by what its act asks: a permit for what is installed, something that runs for the others. Of one that
/// `follows` another nothing is so already.
fn find(
    draft: &Draft,
    asked: &Asked<'_>,
    signed: &Signed<Order>,
    candidate: &Candidate<'_>,
    follows: bool,
) -> Result<Found, Refusal> {
    let (order, facts) = (&signed.act, &candidate.record.facts);
    if order.act == OrderAct::Switch {
        let switch = sides::switch(&draft.state, order, signed.subject, facts)?;
        holds::may_return(&draft.state, candidate)?;
        permission(draft, asked, signed)?;
        return Ok(Found { targets: switch.targets.clone(), switch: Some(switch), ..Found::default() });
    }
    if order.act.installs() {
        let awaits_permit = permission(draft, asked, signed)?;
        place(draft, asked, signed)?;
        let superseded = candidate.version().map(|version| superseded(draft, order, version)).unwrap_or_default();
        migrations::nothing_crossed(&draft.state, order, signed.subject)?;
        let (targets, warning) = destinations(draft, asked, signed, !follows)?;
        let warnings = superseded.into_iter().chain(warning).collect();
        return Ok(Found { targets, awaits_permit, warnings, switch: None });
    }
    place(draft, asked, signed)?;
    let targets = running_targets(draft, order, signed.subject)?;
    if order.act == OrderAct::Configure {
        let in_audience = draft.state.in_audience(&order.app, &order.environment);
        configuration::complete(&order.app, &order.environment, facts, in_audience)?;
        if !follows {
            not_configured_already(draft, order, signed.subject, &targets)?;
        }
    }
    let warnings = made_too_old(draft, order, asked.context.now).into_iter().collect();
    Ok(Found { targets, warnings, ..Found::default() })
}

/// Whose place the order takes, as [`queued`] has it: nobody's while it is planned.
fn place(draft: &Draft, asked: &Asked<'_>, signed: &Signed<Order>) -> Result<Option<u64>, Refusal> {
    if schedule::is_planned(&signed.act.schedule, asked.context.now) {
        return Ok(None);
    }
    queued(draft, &signed.act, signed.subject, None)
}

/// What stands beside an order about what runs, and is too old for targets once that is carried out: they carry out none
/// that is older than what they did since, by more than two orders in their right succession can differ.
fn made_too_old(draft: &Draft, order: &Order, now: Timestamp) -> Option<String> {
    let here = draft.state.in_audience(&order.app, &order.environment)?;
    let number = here.queued.filter(|_| !schedule::takes_place(order.act))?;
    let stands = draft.state.deployments.get(&number)?;
    let is_old = now.duration_since(stands.stamp.time).as_secs() > policy::SUBMIT_AHEAD_SECONDS;
    let since = stands.stamp.time;
    is_old.then(|| {
        format!("deployment {number} was ordered at {since:.0}, and targets take no order that is so much older than this one: order it again")
    })
}

/// Notes what the order would do. Fails if it was given by a plan, and would do something else by now.
pub(super) fn as_planned(
    draft: &mut Draft,
    order: &Order,
    requested: &Event,
    members: &BTreeMap<AppName, Vec<TargetName>>,
) -> Result<(), Refusal> {
    draft.planned = Planned::of(&draft.state, requested, members);
    match order.plan {
        Some(plan) if draft.planned.as_ref().map(Planned::id) != Some(plan) => {
            let (app, environment) = (order.app.clone(), order.environment.clone());
            Err(Refusal::PlanStale { app, version: order.version.clone(), environment, plan })
        }
        _ => Ok(()),
    }
}

/// The deployment whose place a newer order takes: one that has not begun. Fails if one has; an order about what runs takes
/// nothing's place. A package that is under way keeps others from its members; `own` is the one whose member is meant.
///
/// An order that may stand until what is under way has ended is not refused for it.
pub(super) fn queued(draft: &Draft, order: &Order, build: Digest, own: Option<u64>) -> Result<Option<u64>, Refusal> {
    let in_the_way = places::under_way(&draft.state, order, own).filter(|_| !order.after_current);
    if let Some(deployment) = in_the_way {
        let package = packages::under_way(&draft.state, &order.app, &order.environment, own);
        let package = package.and_then(|package| draft.state.deployments.get(&package));
        let app = package.map_or_else(|| order.app.clone(), |package| package.app.clone());
        let (environment, instead) =
            (order.environment.clone(), places::instead(&draft.state, order, build, deployment));
        return Err(Refusal::DeploymentUnderWay { deployment, app, environment, instead, retires: None });
    }
    let here = draft.state.in_audience(&order.app, &order.environment);
    Ok(here.and_then(|here| here.queued).filter(|_| schedule::takes_place(order.act)))
}

/// Whether the build may run there; true if the order may and must wait for its permit.
pub(super) fn permission(draft: &Draft, asked: &Asked<'_>, signed: &Signed<Order>) -> Result<bool, Refusal> {
    let order = &signed.act;
    let candidate = Candidate::ordered(&draft.state, signed)?;
    rollback::may_return(&draft.state, signed)?;
    let begins = schedule::begins(order, asked.context.now);
    match rules::may_run(&draft.state, &asked.policy, &candidate, begins) {
        Err(Refusal::PermitMissing { .. } | Refusal::ApprovalsMissing { .. } | Refusal::NotVerifiedBefore { .. })
            if order.when_released && candidate.version().is_some() =>
        {
            // A permit may come by waiting; what the order lacks besides is said at once.
            checkpoints::has_something_to_install(&candidate)?;
            holds::not_held(&draft.state, &candidate).map(|_| true)
        }
        Err(Refusal::PermitExpired(expired)) => {
            let planned = begins > asked.context.now;
            Err(Refusal::PermitExpired(Box::new(Expired { planned, ..*expired })))
        }
        verdict => verdict.map(|()| false),
    }
}

/// The targets a build goes to, once config and needs are found complete, and what an emergency leaves open. What is there
/// already is refused where nothing is under way (`stands_still`) that would change that.
pub(super) fn destinations(
    draft: &Draft,
    asked: &Asked<'_>,
    signed: &Signed<Order>,
    stands_still: bool,
) -> Result<(Vec<TargetName>, Option<String>), Refusal> {
    let order = &signed.act;
    let candidate = Candidate::ordered(&draft.state, signed)?;
    let facts = &candidate.record.facts;
    let in_audience = draft.state.in_audience(&order.app, &order.environment);
    configuration::complete(&order.app, &order.environment, facts, in_audience)?;
    let now = asked.context.now;
    let targets = placement::targets(&draft.state, &order.app, &order.environment, facts, &order.only, now)?;
    let targets = rollback::reached(&draft.state, order, targets);
    let named = !order.only.is_empty();
    let targets = ways::reached(&draft.state, &asked.policy, &candidate, targets, named, now)?;
    let targets = sides::destinations(&draft.state, order, signed.subject, facts, targets)?;
    let warning = ways::warning(&draft.state, &asked.policy, &candidate, now);
    placement::meets_needs(&draft.state, facts, &targets)?;
    if order.act != OrderAct::Redeploy && stands_still {
        not_there_already(draft, signed, &targets)?;
    }
    sides::nobody_serves(&draft.state, order, signed.subject, facts, &targets)?;
    Ok((targets, warning))
}

/// Fails if every target runs just this already, with the config in force, and is well with it.
pub(super) fn not_there_already(draft: &Draft, signed: &Signed<Order>, targets: &[TargetName]) -> Result<(), Refusal> {
    let order = &signed.act;
    let is_there =
        |name: &TargetName| placement::is_in_place(&draft.state, &order.app, &order.environment, &signed.subject, name);
    if !targets.iter().all(is_there) {
        return Ok(());
    }
    let since =
        targets.iter().filter_map(|name| draft.state.running(&order.app, name)).map(|running| running.since).max();
    let name = names::of_build(&order.app, order.version.as_ref(), &signed.subject);
    let what = format!("{name} runs in {} on {} of {} targets", order.environment, targets.len(), targets.len());
    Err(Refusal::AlreadyDone { what, since })
}

/// Fails if every target has the newest config already.
pub(super) fn not_configured_already(
    draft: &Draft,
    order: &Order,
    build: Digest,
    targets: &[TargetName],
) -> Result<(), Refusal> {
    let Order { app, environment, .. } = order;
    let has_newest = |name: &TargetName| placement::has_newest_config(&draft.state, app, environment, name);
    if !targets.iter().all(has_newest) {
        return Ok(());
    }
    let known = draft.state.apps.get(app).and_then(|record| record.builds.get(&build));
    let name = names::of_build(app, known.and_then(|known| known.version.as_ref()), &build);
    let (all, config) =
        (targets.len(), draft.state.in_audience(app, environment).and_then(|here| here.config.as_ref()));
    let what = format!("{name} has its newest config in {environment} on {all} of {all} targets");
    Err(Refusal::AlreadyDone { what, since: config.map(|config| config.stamp.time) })
}

/// What the deployer of a superseded version, or of one that skips others, is warned of (R45).
pub(super) fn superseded(draft: &Draft, order: &Order, version: &Version) -> Vec<String> {
    let newest = passed::superseded_by(&draft.state, &order.app, version, &order.environment);
    let warning = |newest: &Version| format!("{version} is superseded: {newest} is released to {}", order.environment);
    newest.filter(|_| order.act != OrderAct::Rollback).map(warning).into_iter().collect()
}

/// The targets that run the subject, for an act on what runs.
pub(super) fn running_targets(draft: &Draft, order: &Order, build: Digest) -> Result<Vec<TargetName>, Refusal> {
    for name in &order.only {
        names::target(&draft.state, name)?;
    }
    let runs = |name: &TargetName| draft.state.running(&order.app, name).is_some_and(|running| running.build == build);
    let chosen = |name: &TargetName| order.only.is_empty() || order.only.contains(name);
    // What is removed does not come to whoever is catching up with it.
    let comes = |name: &TargetName| order.act == OrderAct::Undeploy && is_coming(draft, order, build, name);
    let in_environment = draft.state.targets_in(&order.environment).map(|(name, _)| name);
    let is_meant = |name: &&TargetName| chosen(name) && (runs(name) || comes(name));
    let targets: Vec<TargetName> = in_environment.filter(is_meant).cloned().collect();
    if targets.is_empty() {
        let runs_any = |name: &TargetName| draft.state.running(&order.app, name).is_some();
        let mut in_environment = draft.state.targets_in(&order.environment).map(|(name, _)| name);
        if order.act == OrderAct::Undeploy && !in_environment.any(|name| chosen(name) && runs_any(name)) {
            let what = format!("{} is not deployed in {}", order.app, order.environment);
            return Err(Refusal::AlreadyDone { what, since: None });
        }
        return Err(does_not_run(draft, order, build, chosen));
    }
    Ok(targets)
}

/// Why there is nothing to act on: the subject does not run on those `chosen`, whatever else of the application does.
fn does_not_run(draft: &Draft, order: &Order, build: Digest, chosen: impl Fn(&TargetName) -> bool) -> Refusal {
    let (app, environment) = (order.app.clone(), order.environment.clone());
    let number_of = |build: &Digest| draft.state.apps.get(&app)?.builds.get(build)?.version.as_ref();
    let targets = draft.state.targets_in(&environment).filter(|(name, _)| chosen(name));
    let running = targets.filter_map(|(name, _)| draft.state.running(&app, name));
    let runs: BTreeSet<String> =
        running.map(|running| names::in_short(number_of(&running.build), &running.build)).collect();
    let named = names::of_build(&app, number_of(&build), &build);
    let instead = (!runs.is_empty()).then(|| Box::new(RunsInstead { named, runs }));
    Refusal::NothingRuns { app, environment, act: order.act, instead }
}

/// Whether a target is at bringing a build that others have, or would do so once it is heard of again.
fn is_coming(draft: &Draft, order: &Order, build: Digest, name: &TargetName) -> bool {
    let on_target = draft.state.targets.get(name).and_then(|target| target.apps.get(&order.app));
    let is_told = plan::is_at_something(&draft.state, name, &order.app);
    let assigned = on_target.and_then(|on_target| on_target.assigned).filter(|assigned| is_told && !assigned.undo);
    let deployment = assigned.and_then(|assigned| draft.state.deployments.get(&assigned.deployment));
    deployment.is_some_and(|deployment| deployment.act.installs() && deployment.build == build)
}

/// What is held out already stays so by the earlier word.
pub(super) fn hold_out(draft: &mut Draft, order: &Order, build: Digest, number: u64) {
    let here = draft.state.in_audience(&order.app, &order.environment);
    if here.is_some_and(|here| here.held.contains_key(&build)) {
        return;
    }
    let (app, environment, deployment) = (order.app.clone(), order.environment.clone(), Some(number));
    draft.record(Event::HoldPlaced { app, environment, build, deployment });
}
