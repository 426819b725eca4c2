//! Deploying a package: one order, and a deployment of its own for each member, begun once all that it comes after is
//! done. A member that fails takes those back that had succeeded, in reverse.
//!
//! What a member's deployment comes to is carried over to its package's by [`follow`], after every decision.

use super::{Asked, deployment, order, soak};
use crate::{
    command::Signed,
    event::{Aborted, BuildFacts, Ending, Event},
    refusal::{Instead, Refusal, Right, RunsInstead},
    rules::{
        self, Candidate, expiry, lifetime, migrations, names, owners, packages, placement, presence, rights, rollback,
        rollout,
        schedule::{self, Moment},
        sides,
    },
    state::{Deployment, DeploymentPhase, Draft, GuidanceWord, MemberPart},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use trust::{
    AppName, Digest, PersonName, TargetName, Version,
    charter::Class,
    manifest::Member,
    quorum::Rule,
    rollout::{OnFailure, Rollout},
    statement::{Order, OrderAct},
};

/// What is to be done with a member.
struct Prepared {
    order: Signed<Order>,
    targets: Vec<TargetName>,
    warnings: Vec<String>,
}

/// Orders something of a package. Whatever can be known of its members is looked at before the first begins.
pub(super) fn request(
    draft: &mut Draft,
    asked: &Asked<'_>,
    signed: &Signed<Order>,
    deployer: PersonName,
) -> Result<(), Refusal> {
    let order = &signed.act;
    let environment = names::environment(&asked.policy, &order.environment)?;
    let candidate = Candidate::ordered(&draft.state, signed)?;
    let (facts, version) = (candidate.record.facts.clone(), candidate.version().cloned());
    if order.act == OrderAct::Configure {
        let members = facts.package.keys().map(AppName::as_str).collect::<Vec<_>>().join(", ");
        let why = format!("{} is a package and has no config of its own; its members have: {members}", order.app);
        return Err(Refusal::Invalid { why });
    }
    if order.after_current {
        let why =
            "a package does not stand until another deployment has ended: order it once that has, or with --at".into();
        return Err(Refusal::Invalid { why });
    }
    sides::has_none(&draft.state, order, &facts)?;
    let now = asked.context.now;
    schedule::can_come(order, now)?;
    let installs = order.act.installs();
    let awaits_permit = installs && order::permission(draft, asked, signed)?;
    // What is under way changes what runs, and with it what is so already: it is looked at before that.
    let is_planned = schedule::is_planned(&order.schedule, now);
    let queued = |order: &Order, build| order::queued(draft, order, build, None).map_err(without_following);
    let takes_place_of = if is_planned { None } else { queued(order, signed.subject)? };
    for (app, member) in facts.package.iter().filter(|_| !is_planned) {
        queued(&member_order(order, app, member), member.build)?;
    }
    let warned = version.as_ref().filter(|_| installs).map(|version| order::superseded(draft, order, version));
    let mut warnings = warned.unwrap_or_default();
    let may_hasten =
        |rule: &Rule| rights::require(&asked.context.actor, Right::Deploy, &order.environment, rule).is_ok();
    let mut rollout = rollout::of_order(&order.environment, environment, order, 1, may_hasten)?;
    let mut members = BTreeMap::new();
    for (app, member) in &facts.package {
        let prepared = prepare(draft, asked, (order, signed.subject), app, member);
        let Some(prepared) = prepared.map_err(|refusal| as_one(draft, refusal, signed))? else { continue };
        rollout = rollout::of_order(&order.environment, environment, order, prepared.targets.len(), may_hasten)?;
        // What keeps one of them from being activated keeps all of them: nothing is to stand half done.
        if !order.when_released {
            let begins = schedule::begins(order, now);
            let package = Some((&order.app, signed.subject));
            let candidate = Candidate { package, ..Candidate::ordered(&draft.state, &prepared.order)? };
            let moment = rules::is_moment(&draft.state, &asked.policy, &candidate, &order.schedule, begins);
            moment.map_err(|refusal| schedule::as_meant(refusal, begins > now))?;
        }
        warnings.extend(prepared.warnings);
        members.insert(app.clone(), prepared.targets);
    }
    schedule::is_in_time(&draft.state, &asked.policy, &candidate, order, order.when_released, now)?;
    if members.is_empty() && !comes_by_itself(draft, order, signed.subject) {
        return Err(nothing_to_do(draft, (order, signed.subject), version.as_ref(), &facts));
    }
    warnings.extend(rollout::warnings(&draft.state, &order.environment, &rollout, usize::MAX));
    warnings.extend(left_as_they_are(draft, order, &facts));
    warnings.extend(expiry::ends_before(&draft.state, order.act, schedule::begins(order, now), now));
    let last = lifetime::last_ends(&draft.state, &order.environment);
    warnings.extend(lifetime::ends_before(last, schedule::begins(order, now)));
    let (planned_there, planned) = schedule::planned_beside(&draft.state, order);
    warnings.extend(planned);
    let number = draft.state.last_deployment + 1;
    let requested = Event::DeploymentRequested {
        deployment: number,
        app: order.app.clone(),
        environment: order.environment.clone(),
        act: order.act,
        build: signed.subject,
        version,
        targets: Vec::new(),
        awaits_permit,
        warnings,
        deployer,
        rollout: Some(Box::new(rollout)),
        rings: Vec::new(),
        narrowed: !order.only.is_empty(),
        schedule: order.schedule.clone(),
        keep_data: order.keep_data,
        package: None,
        only: order.only.clone(),
        planned_there,
    };
    schedule::not_planned_already(&draft.state, &requested)?;
    order::as_planned(draft, order, &requested, &members)?;
    deployment::take_place(draft, takes_place_of, number);
    draft.record(requested);
    if awaits_permit || is_planned {
        return Ok(());
    }
    hold_what_is_left_behind(draft, number);
    next_step(draft, asked, number).map_err(|stop| match stop {
        Stop::Refused(refusal) => *refusal,
        Stop::Never(why) => Refusal::Invalid { why },
    })?;
    may_be_done(draft, asked, number);
    Ok(())
}

/// Whether an order brings a package to where its members run already, each by itself: nothing moves, and the package has come
/// there all the same, so that it may go on from there (R51).
fn comes_by_itself(draft: &Draft, order: &Order, build: Digest) -> bool {
    let standing = draft.state.in_audience(&order.app, &order.environment).and_then(|here| here.standing);
    let stands = standing.and_then(|number| draft.state.deployments.get(&number)).map(|record| record.build);
    order.act.deploys() && order.only.is_empty() && stands != Some(build)
}

/// What is under way, where nothing is proposed that a package cannot do.
fn without_following(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::DeploymentUnderWay { deployment, app, environment, instead: Some(Instead::After { .. }), .. } => {
            Refusal::DeploymentUnderWay { deployment, app, environment, instead: None, retires: None }
        }
        refusal => refusal,
    }
}

/// Why a member does not let the package's order through, with the package as what may be ordered otherwise.
fn as_one(draft: &Draft, refusal: Refusal, signed: &Signed<Order>) -> Refusal {
    let mut refusal = refusal;
    if let Refusal::MigrationCrossed(crossed) = &mut refusal {
        crossed.package = Some(names::of_build(&signed.act.app, signed.act.version.as_ref(), &signed.subject));
        crossed.settled = Some(migrations::has_settled(&draft.state, &signed.act, &signed.subject));
    }
    refusal
}

/// The package's order as it is for one of its members.
fn member_order(order: &Order, app: &AppName, member: &Member) -> Order {
    Order { app: app.clone(), version: Some(member.version.clone()), ..order.clone() }
}

/// The order that a deployment of a package was made by, as far as its members need it.
fn order_of(package: &Deployment) -> Order {
    Order {
        version: package.version.clone(),
        only: package.only.clone(),
        schedule: package.schedule.clone(),
        keep_data: package.keep_data,
        ..Order::new(package.app.clone(), package.environment.clone(), package.act)
    }
}

/// What is to be done with a member; nothing where it is as the package says.
fn prepare(
    draft: &Draft,
    asked: &Asked<'_>,
    (order, package): (&Order, Digest),
    app: &AppName,
    member: &Member,
) -> Result<Option<Prepared>, Refusal> {
    let signed = Signed { subject: member.build, act: member_order(order, app, member) };
    let found = if order.act.installs() {
        migrations::nothing_crossed(&draft.state, &signed.act, member.build)?;
        let destinations = order::destinations(draft, asked, &signed, true);
        destinations.and_then(|(targets, warning)| {
            order::not_there_already(draft, &signed, &targets)?;
            rollback::may_return(&draft.state, &signed)?;
            let warnings = order::superseded(draft, &signed.act, &member.version);
            Ok((targets, warnings.into_iter().chain(warning).map(|warning| format!("{app}: {warning}")).collect()))
        })
    } else {
        order::running_targets(draft, &signed.act, member.build).and_then(|mut targets| {
            // What another version lists as well, and is whole there, is none of this one's.
            let package = (&order.app, package);
            targets.retain(|name| !packages::is_of_standing(&draft.state, package, &order.environment, app, name));
            if targets.is_empty() {
                let (app, environment) = (app.clone(), order.environment.clone());
                return Err(Refusal::NothingRuns { app, environment, act: order.act, instead: None });
            }
            if order.act == OrderAct::Configure {
                order::not_configured_already(draft, &signed.act, member.build, &targets)?;
            }
            Ok((targets, Vec::new()))
        })
    };
    match found {
        Ok((targets, warnings)) => Ok(Some(Prepared { order: signed, targets, warnings })),
        Err(Refusal::AlreadyDone { .. } | Refusal::NothingRuns { .. }) => Ok(None),
        // An order for some targets may be for none of a member's.
        Err(Refusal::NoTargets { .. }) if !order.only.is_empty() => Ok(None),
        Err(refusal) => Err(refusal),
    }
}

fn nothing_to_do(
    draft: &Draft,
    (order, build): (&Order, Digest),
    version: Option<&Version>,
    facts: &BuildFacts,
) -> Refusal {
    let (app, environment) = (order.app.clone(), order.environment.clone());
    let targets = draft.state.targets_in(&order.environment);
    let mut running =
        targets.flat_map(|(name, _)| facts.package.keys().filter_map(|app| draft.state.running(app, name)));
    if order.act == OrderAct::Undeploy && order.only.is_empty() && running.next().is_none() {
        return Refusal::AlreadyDone { what: format!("{app} is not deployed in {environment}"), since: None };
    }
    if order.act == OrderAct::Configure && running.next().is_some() {
        let what = format!("every member of {app} that runs in {environment} has its newest config");
        return Refusal::AlreadyDone { what, since: None };
    }
    if !order.act.installs() {
        let instead = runs_instead(draft, (order, build), version);
        return Refusal::NothingRuns { app, environment, act: order.act, instead };
    }
    let name = version.map_or(app.to_string(), |version| format!("{app}@{version}"));
    let since = running.map(|running| running.since).max();
    Refusal::AlreadyDone { what: format!("every member of {name} runs in {environment} as it says"), since }
}

/// The other versions of the package of which something runs where this one was meant.
fn runs_instead(
    draft: &Draft,
    (order, build): (&Order, Digest),
    version: Option<&Version>,
) -> Option<Box<RunsInstead>> {
    let number_of = |build: &Digest| draft.state.apps.get(&order.app)?.builds.get(build)?.version.as_ref();
    let there = packages::there(&draft.state, &order.app, &order.environment).into_iter();
    let is_meant = |on: &BTreeSet<TargetName>| order.only.is_empty() || !on.is_disjoint(&order.only);
    let others = there.filter(|(other, on)| *other != build && is_meant(on));
    let runs: BTreeSet<String> = others.map(|(other, _)| names::in_short(number_of(&other), &other)).collect();
    let named = names::of_build(&order.app, version, &build);
    (!runs.is_empty()).then(|| Box::new(RunsInstead { named, runs }))
}

/// Members that the package has now and does not have in what it goes back to: no order of the package is about them.
fn left_as_they_are(draft: &Draft, order: &Order, facts: &BuildFacts) -> Vec<String> {
    if order.act != OrderAct::Rollback {
        return Vec::new();
    }
    let here = draft.state.in_audience(&order.app, &order.environment);
    let standing = here.and_then(|here| here.standing).and_then(|number| draft.state.deployments.get(&number));
    let members = standing.into_iter().flat_map(|standing| standing.members.keys());
    let left = members.filter(|name| !facts.package.contains_key(*name));
    left.map(|name| format!("{name} is no member of what it goes back to, and stays as it is")).collect()
}

/// A rollback sticks: the package that it leaves is held out, and every member with what it runs.
fn hold_what_is_left_behind(draft: &mut Draft, number: u64) {
    let Some(package) = draft.state.deployments.get(&number).cloned() else { return };
    if package.act != OrderAct::Rollback {
        return;
    }
    let here = draft.state.in_audience(&package.app, &package.environment);
    let standing = here.and_then(|here| here.standing).and_then(|number| draft.state.deployments.get(&number));
    let left = standing.map(|standing| standing.build).filter(|build| *build != package.build);
    if let Some(build) = left {
        order::hold_out(draft, &order_of(&package), build, number);
    }
}

/// Why no step begins.
enum Stop {
    /// A rule says no.
    Refused(Box<Refusal>),
    /// It does not go on any more.
    Never(String),
}

impl Stop {
    fn reason(&self) -> String {
        match self {
            Stop::Refused(refusal) => refusal.to_string(),
            Stop::Never(why) => why.clone(),
        }
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Stop::Refused(Box::new(refusal))
    }
}

/// Begins every member whose turn it is, if the rules still let the package run and this is the moment.
fn next_step(draft: &mut Draft, asked: &Asked<'_>, number: u64) -> Result<(), Stop> {
    let Some(package) = draft.state.deployments.get(&number).cloned() else { return Ok(()) };
    let Some(facts) = facts_of(draft, &package) else { return Ok(()) };
    let turn: Vec<&AppName> = whose_turn(draft, &package, &facts).collect();
    if turn.is_empty() || !owners::may_go_on(&draft.state, (&asked.context.lost, asked.context.now), &package) {
        return Ok(());
    }
    match schedule::moment(&draft.state, number, &package, asked.context.now) {
        Moment::Now => {}
        // It stands then, and the clock looks again when that is over.
        Moment::Later(_) => return Ok(()),
        Moment::Never(why) => return Err(Stop::Never(why)),
    }
    deployment::may_still_run(draft, asked, &package, package.only.iter().cloned().collect())?;
    let order = order_of(&package);
    let (mut begin, mut in_place) = (Vec::new(), BTreeSet::new());
    for app in turn {
        let Some(member) = facts.package.get(app) else { continue };
        let prepared = prepare(draft, asked, (&order, package.build), app, member)?;
        match prepared.and_then(|prepared| in_its_order(draft, &facts, prepared)) {
            Some(prepared) => begin.push(prepared),
            None => drop(in_place.insert(app.clone())),
        }
    }
    let first = draft.state.last_deployment + 1;
    let members: BTreeMap<AppName, u64> =
        begin.iter().map(|prepared| prepared.order.act.app.clone()).zip(first..).collect();
    let all_in_place = members.is_empty();
    draft.record(Event::StepStarted { deployment: number, step: package.waves + 1, members, in_place });
    for prepared in begin {
        begin_member(draft, asked, number, &package, prepared)?;
    }
    match all_in_place {
        true => next_step(draft, asked, number),
        false => Ok(()),
    }
}

/// A member goes where everything runs that it comes after. A target that came when that had begun, or that it was not brought
/// to, gets both in their order when it catches up. Nothing where the member runs on all the others already.
fn in_its_order(draft: &Draft, facts: &BuildFacts, prepared: Prepared) -> Option<Prepared> {
    let Prepared { order, targets, mut warnings } = prepared;
    let app = &order.act.app;
    // What goes back does so from the last to the first, and what is new there gets it in the package's order.
    let misses = |name: &TargetName| order.act.act.deploys() && packages::comes_later(&draft.state, facts, app, name);
    let (later, targets): (Vec<TargetName>, Vec<TargetName>) = targets.into_iter().partition(misses);
    if !later.is_empty() {
        // Where nobody is left for it now, it comes later everywhere.
        let is_in_place = order::not_there_already(draft, &order, &targets).is_err();
        if targets.is_empty() || is_in_place {
            return None;
        }
        let names: Vec<&str> = later.iter().map(TargetName::as_str).collect();
        warnings.push(format!("{app} comes to {} later, once what it comes after runs there", names.join(", ")));
    }
    Some(Prepared { order, targets, warnings })
}

fn facts_of(draft: &Draft, package: &Deployment) -> Option<Arc<BuildFacts>> {
    Some(draft.state.apps.get(&package.app)?.builds.get(&package.build)?.facts.clone())
}

/// The members that have not begun and come after nothing that is not done.
fn whose_turn<'a>(
    draft: &'a Draft,
    package: &'a Deployment,
    facts: &'a BuildFacts,
) -> impl Iterator<Item = &'a AppName> {
    let waiting = package.members.iter().filter(|(_, part)| **part == MemberPart::Waiting).map(|(app, _)| app);
    waiting.filter(|app| packages::is_turn(&draft.state, facts, package, app))
}

fn begin_member(
    draft: &mut Draft,
    asked: &Asked<'_>,
    package_number: u64,
    package: &Deployment,
    prepared: Prepared,
) -> Result<(), Stop> {
    let Prepared { order, targets, warnings } = prepared;
    let Signed { subject: build, act: order } = order;
    let rollout: Rollout = rollout::of(&draft.state, package).into_owned();
    let (targets, rings) = rollout::in_their_turn(&draft.state, &rollout, targets, &asked.context.away);
    let queued = order::queued(draft, &order, build, Some(package_number))?;
    for left in rollback::left_behind(&draft.state, &order, build, &targets) {
        order::hold_out(draft, &order, left, package_number);
    }
    let number = draft.state.last_deployment + 1;
    deployment::take_place(draft, queued, number);
    draft.record(Event::DeploymentRequested {
        deployment: number,
        app: order.app,
        environment: order.environment,
        act: order.act,
        build,
        version: order.version,
        targets,
        awaits_permit: false,
        warnings,
        deployer: package.deployer.clone(),
        rollout: Some(Box::new(rollout)),
        rings,
        narrowed: package.narrowed,
        schedule: order.schedule,
        keep_data: order.keep_data,
        package: Some(package_number),
        only: BTreeSet::new(),
        planned_there: Vec::new(),
    });
    Ok(deployment::begin(draft, asked, number)?)
}

/// Starts the deployment of a package that stood, or lets it go on.
pub(super) fn start(draft: &mut Draft, asked: &Asked<'_>, number: u64) {
    let Some(package) = draft.state.deployments.get(&number) else { return };
    if package.waves > 0 {
        return go_on(draft, asked, number);
    }
    if let Some(reason) = packages::overtaken(&draft.state, number, package) {
        return deployment::drop_it(draft, number, reason);
    }
    // Those that it was ordered for may be gone by now, or be left alone: that they lack nothing would be said of nobody.
    let takes_it = |name: &TargetName| {
        let target = draft.state.targets.get(name).filter(|target| !target.retired);
        target.is_some_and(|target| placement::takes_something_new(&draft.state, target, asked.context.now))
    };
    if package.act.installs() && !package.only.is_empty() && !package.only.iter().any(takes_it) {
        return deployment::drop_it(draft, number, deployment::NOBODY_LEFT.into());
    }
    hold_what_is_left_behind(draft, number);
    match next_step(draft, asked, number) {
        Ok(()) => may_be_done(draft, asked, number),
        Err(stop) => match draft.state.deployments.get(&number).cloned() {
            // Others of its step have begun before the one that cannot.
            Some(package) if package.waves > 0 => fail(draft, asked, number, &package, stop.reason()),
            _ => deployment::drop_it(draft, number, stop.reason()),
        },
    }
}

/// Carries what became of members over to their packages.
pub(super) fn follow(draft: &mut Draft, asked: &Asked<'_>) {
    let mut at = 0;
    while let Some(event) = draft.events.get(at) {
        at += 1;
        let (Event::DeploymentEnded { deployment, .. }
        | Event::DeploymentSettled { deployment }
        | Event::UndoStarted { deployment, .. }) = event
        else {
            continue;
        };
        let has_settled = matches!(event, Event::DeploymentSettled { .. });
        let is_over = matches!(event, Event::DeploymentEnded { .. });
        let Some(record) = draft.state.deployments.get(deployment) else { continue };
        if is_over && record.is_of_package() {
            let package = record.clone();
            soak::judge_members(draft, asked, &package);
            continue;
        }
        let own = record.package.as_ref().map(|package| package.deployment);
        // What a package found in place settles by itself, and the package does not before it.
        let found = if has_settled { packages::of_found(&draft.state, record) } else { Vec::new() };
        for number in own.into_iter().chain(found) {
            go_on(draft, asked, number);
        }
    }
}

/// Goes on after a member has come to something: the next step, the end, or back.
pub(super) fn go_on(draft: &mut Draft, asked: &Asked<'_>, number: u64) {
    let Some(package) = draft.state.deployments.get(&number).cloned() else { return };
    match &package.phase {
        DeploymentPhase::AwaitingPermit => {}
        DeploymentPhase::Undoing { reason } => go_back(draft, asked, number, &package, reason),
        DeploymentPhase::Running | DeploymentPhase::Baking(_) if package.paused.is_some() => {}
        DeploymentPhase::Running | DeploymentPhase::Baking(_) => go_forward(draft, asked, number, &package),
        DeploymentPhase::Ended { ending: Ending::Succeeded, settled: None, .. } => {
            soaks(draft, asked, number, &package);
        }
        DeploymentPhase::Ended { .. } => {}
    }
}

fn go_forward(draft: &mut Draft, asked: &Asked<'_>, number: u64, package: &Deployment) {
    if let Some(reason) = failed(draft, package).or_else(|| faltered(draft, package)) {
        return fail(draft, asked, number, package, reason);
    }
    let is_undoing = |part: &Deployment| matches!(part.phase, DeploymentPhase::Undoing { .. });
    if packages::begun(&draft.state, package).any(|(_, _, part)| is_undoing(part)) {
        return;
    }
    if let Err(stop) = next_step(draft, asked, number) {
        return fail(draft, asked, number, package, stop.reason());
    }
    may_be_done(draft, asked, number);
}

/// Ends the deployment once all its members are done, or were in place from the beginning.
fn may_be_done(draft: &mut Draft, asked: &Asked<'_>, number: u64) {
    let Some(package) = draft.state.deployments.get(&number).cloned() else { return };
    if package.members.values().all(|part| packages::is_done(&draft.state, Some(part))) {
        succeed(draft, asked, number, &package);
    }
}

/// Whether a package that is let go on goes back at once, since a member of it has failed.
pub(super) fn goes_back_next(draft: &Draft, package: &Deployment) -> bool {
    let stops = rollout::of(&draft.state, package).on_failure == OnFailure::Stop;
    let fails = || failed(draft, package).or_else(|| faltered(draft, package)).is_some();
    package.act.installs() && !stops && fails()
}

/// Why the package has failed, if a member has: what ended otherwise than well, or is taken back.
fn failed(draft: &Draft, package: &Deployment) -> Option<String> {
    packages::begun(&draft.state, package).find_map(|(app, _, part)| match &part.phase {
        DeploymentPhase::Ended { ending: Ending::Succeeded, .. } => None,
        DeploymentPhase::Ended { ending, reason, .. } => {
            let how = match ending {
                Ending::Aborted => "it was ended by hand",
                Ending::Dropped => "it never began",
                Ending::Superseded => "another took its place",
                Ending::Succeeded | Ending::Undone | Ending::Failed => "it failed",
            };
            Some(format!("{app}: {}", reason.as_deref().unwrap_or(how)))
        }
        _ => None,
    })
}

/// The same of a member that had succeeded and is unwell since: what comes after it goes back before it does.
fn faltered(draft: &Draft, package: &Deployment) -> Option<String> {
    let mut begun = packages::begun(&draft.state, package);
    begun.find_map(|(app, number, part)| Some(format!("{app}: {}", soak::faltered(draft, number, part)?)))
}

fn succeed(draft: &mut Draft, asked: &Asked<'_>, number: u64, package: &Deployment) {
    draft.record(deployment::ended(number, Ending::Succeeded));
    let soak = asked.policy.charter.environments.get(&package.environment).map_or(0, |e| e.soak_minutes);
    if !package.act.installs() {
        return;
    }
    // What is silent is not known to be well: it settles by the clock once it is heard of.
    let is_seen = packages::begun(&draft.state, package)
        .all(|(_, _, member)| presence::silent(&draft.state, member, &asked.context.away).is_empty());
    if soak == 0 && is_seen {
        let members = packages::begun(&draft.state, package).map(|(_, number, _)| number);
        let soaking: Vec<u64> = members.filter(|number| draft.state.soaking.contains(number)).collect();
        soaking.into_iter().for_each(|deployment| draft.record(Event::DeploymentSettled { deployment }));
    }
    go_on(draft, asked, number);
}

/// What succeeded settles once all that it brought or found in place has, and goes back once one of them does.
fn soaks(draft: &mut Draft, asked: &Asked<'_>, number: u64, package: &Deployment) {
    let goes_back = packages::begun(&draft.state, package).find_map(|(app, _, part)| match &part.phase {
        DeploymentPhase::Undoing { reason } => Some(format!("{app}: {reason}")),
        _ => None,
    });
    if let Some(reason) = goes_back {
        if package.narrowed || !packages::is_replaced(&draft.state, number, package) {
            undo(draft, asked, number, reason, None);
        }
        return;
    }
    let has_settled = |part: &Deployment| matches!(part.phase, DeploymentPhase::Ended { settled: Some(_), .. });
    let has_all_settled = packages::begun(&draft.state, package).all(|(_, _, part)| has_settled(part));
    if package.act.installs() && has_all_settled && !packages::found_unsettled(&draft.state, number, package) {
        draft.record(Event::DeploymentSettled { deployment: number });
    }
}

/// A member failed: by its rollout, everything that had begun goes back, or it stops where it is.
fn fail(draft: &mut Draft, asked: &Asked<'_>, number: u64, package: &Deployment, reason: String) {
    let on_failure = rollout::of(&draft.state, package).on_failure;
    match on_failure {
        // A member that is paused waits for somebody's word by itself; who ended it has given that.
        OnFailure::Undo | OnFailure::Pause if package.act.installs() => {
            undo(draft, asked, number, reason, None);
        }
        _ => {
            drop_what_stands(draft, number, &reason);
            // It has ended once nothing of it moves any more: what goes beside the member that failed goes on to its own end first.
            let now = draft.state.deployments.get(&number);
            if now.is_some_and(|package| !open_members(draft, package).is_empty()) {
                return;
            }
            let (ending, reason) = (Ending::Failed, Some(reason));
            let (superseded_by, aborted) = (None, None);
            draft.record(Event::DeploymentEnded { deployment: number, ending, reason, superseded_by, aborted });
            place_hold(draft, asked, number);
        }
    }
}

/// Takes back what has begun, in reverse, and drops what has not.
fn undo(draft: &mut Draft, asked: &Asked<'_>, number: u64, reason: String, aborted: Option<Aborted>) {
    let (targets, absent) = (Vec::new(), Vec::new());
    draft.record(Event::UndoStarted { deployment: number, reason: reason.clone(), targets, absent, aborted });
    drop_what_stands(draft, number, &reason);
    go_on(draft, asked, number);
}

/// Ends the members that nobody is at yet.
fn drop_what_stands(draft: &mut Draft, number: u64, reason: &str) {
    let Some(package) = draft.state.deployments.get(&number) else { return };
    let begun = packages::begun(&draft.state, package);
    let stand = begun.filter(|(_, number, part)| draft.state.open_deployments.contains(number) && part.waves == 0);
    let stand: Vec<u64> = stand.map(|(_, number, _)| number).collect();
    stand.into_iter().for_each(|member| deployment::drop_it(draft, member, reason.to_owned()));
}

/// Takes back the members whose turn it is, and ends once all that can go back has.
fn go_back(draft: &mut Draft, asked: &Asked<'_>, number: u64, package: &Deployment, reason: &str) {
    let Some(facts) = facts_of(draft, package) else { return };
    let members: BTreeMap<AppName, u64> =
        packages::begun(&draft.state, package).map(|(app, number, _)| (app.clone(), number)).collect();
    let mut all_are_back = true;
    for (app, member) in &members {
        if is_back(draft, *member) {
            continue;
        }
        all_are_back = false;
        let mut before = packages::before_going_back(&facts, package.act, app).into_iter();
        let is_free = before.all(|other| members.get(&other).is_none_or(|other| is_back(draft, *other)));
        let Some(part) = draft.state.deployments.get(member).cloned() else { continue };
        if is_free && !matches!(part.phase, DeploymentPhase::Undoing { .. }) {
            deployment::undo(draft, asked, *member, &part, format!("{}: {reason}", package.app), None);
        }
    }
    let is_over = |draft: &Draft| {
        let phase = draft.state.deployments.get(&number).map(|record| record.phase.clone());
        !matches!(phase, Some(DeploymentPhase::Undoing { .. }))
    };
    if all_are_back && !is_over(draft) {
        end_undone(draft, asked, number, package);
    }
}

/// Whether nothing is left to take back of a member: it went back, never came to anything, or something else took its place
/// since.
fn is_back(draft: &Draft, member: u64) -> bool {
    let Some(part) = draft.state.deployments.get(&member) else { return true };
    match &part.phase {
        DeploymentPhase::Ended { ending: Ending::Succeeded, .. } => {
            let here = draft.state.in_audience(&part.app, &part.environment);
            let is_replaced = here.is_some_and(|here| here.open_deployment.is_some());
            is_replaced || !draft.state.soaking.contains(&member)
        }
        DeploymentPhase::Ended { .. } => true,
        _ => false,
    }
}

fn end_undone(draft: &mut Draft, asked: &Asked<'_>, number: u64, package: &Deployment) {
    // Where somebody has what a member brought, that is not undone, and neither is the package.
    let still_runs = |part: &Deployment, name: &TargetName| {
        draft.state.running(&part.app, name).is_some_and(|running| running.build == part.build)
    };
    let is_left = |(_, number, part): (&AppName, u64, &Deployment)| match part.phase {
        DeploymentPhase::Ended { ending: Ending::Failed, .. } => deployment::is_kept(&draft.state, number, part),
        DeploymentPhase::Ended { ending: Ending::Succeeded, .. } => {
            part.parts.verified().any(|name| still_runs(part, name))
        }
        _ => false,
    };
    let failed = packages::begun(&draft.state, package).any(is_left);
    let ending = if failed { Ending::Failed } else { Ending::Undone };
    draft.record(deployment::ended(number, ending));
    place_hold(draft, asked, number);
}

/// A package of which a member failed in a test or live environment stays out until somebody lifts the hold, and so does
/// one that somebody ended.
fn place_hold(draft: &mut Draft, asked: &Asked<'_>, number: u64) {
    let Some(package) = draft.state.deployments.get(&number) else { return };
    let class = asked.policy.charter.environments.get(&package.environment).map(|environment| environment.class);
    let to_blame = packages::begun(&draft.state, package).any(|(_, _, part)| deployment::is_to_blame(part));
    let by_somebody = package.guided.iter().any(|guidance| guidance.word == GuidanceWord::Aborted);
    if class == Some(Class::Dev) || !package.act.deploys() || !(to_blame || by_somebody) {
        return;
    }
    let (app, environment, build) = (package.app.clone(), package.environment.clone(), package.build);
    draft.record(Event::HoldPlaced { app, environment, build, deployment: Some(number) });
}

/// Ends the deployment of a package by somebody's word.
pub(super) fn abort(draft: &mut Draft, asked: &Asked<'_>, number: u64, package: &Deployment, aborted: Aborted) {
    let reason = format!("aborted by {}", aborted.by);
    if !package.act.installs() {
        // What was stopped or started stays so; nothing goes back.
        let members = open_members(draft, package);
        for deployment in std::iter::once(number).chain(members) {
            let (ending, aborted) = (Ending::Aborted, Some(aborted.clone()));
            draft.record(Event::DeploymentEnded { deployment, ending, reason: None, superseded_by: None, aborted });
        }
        return;
    }
    undo(draft, asked, number, reason, Some(aborted));
}

/// The deployments of members that are under way.
pub(super) fn open_members(draft: &Draft, package: &Deployment) -> Vec<u64> {
    let numbers = packages::begun(&draft.state, package).map(|(_, number, _)| number);
    numbers.filter(|number| draft.state.open_deployments.contains(number)).collect()
}
