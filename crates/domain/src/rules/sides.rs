//! An environment may have two sides, only one of which serves: blue and green across hosts. What is new comes to the other
//! one and is verified there while nobody sees it; it serves once somebody says so, and what served stands by.

use super::{names, permits};
use crate::{
    event::{BuildFacts, Ending, RingOf},
    refusal::{Refusal, Serves},
    rules::placement,
    state::{Deployment, DeploymentPhase, Part, Progress, Running, State, Target},
};
use std::collections::{BTreeMap, BTreeSet};
use trust::{
    AppName, AudienceName, Digest, TargetName, Version,
    statement::{Order, OrderAct, Outcome},
};

/// The label by which a build's targets in an environment are of one side or the other; nothing where there are no sides, or
/// where the build cannot stand by and so runs on both.
pub fn label<'a>(state: &'a State, environment: &AudienceName, facts: &BuildFacts) -> Option<&'a str> {
    let charter = &state.policy.as_deref()?.charter;
    charter.environments.get(environment)?.sides.as_deref().filter(|_| facts.can_stand_by)
}

/// The side of a target.
pub fn of<'a>(label: &str, target: &'a Target) -> Option<&'a str> {
    target.labels.get(label).map(String::as_str)
}

/// The two sides of an environment for a build, in the order of their names, and those that serve.
struct Sides<'a> {
    both: [&'a str; 2],
    serving: BTreeSet<&'a str>,
}

impl<'a> Sides<'a> {
    fn of(
        state: &'a State,
        app: &AppName,
        environment: &'a AudienceName,
        facts: &'a BuildFacts,
        label: &'a str,
    ) -> Result<Self, Refusal> {
        let unclear = |why: String| unclear(environment, label, why, None);
        let fitting = || state.targets_in(environment).filter(|(_, target)| placement::fits(facts, target));
        let without: Vec<&str> =
            fitting().filter(|(_, target)| of(label, target).is_none()).map(|(name, _)| name.as_str()).collect();
        if !without.is_empty() {
            return Err(unclear(format!("{} has no such label", without.join(", "))));
        }
        let names: BTreeSet<&str> = fitting().filter_map(|(_, target)| of(label, target)).collect();
        let names: Vec<&str> = names.into_iter().collect();
        let both: [&str; 2] = names.as_slice().try_into().map_err(|_| {
            let found = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            unclear(format!("two values are needed, one a side, and there are: {found}"))
        })?;
        let serves = |target: &Target| in_service(target, app).is_some();
        let serving = fitting().filter(|(_, target)| serves(target)).filter_map(|(_, target)| of(label, target));
        Ok(Self { both, serving: serving.collect() })
    }
}

fn in_service<'a>(target: &'a Target, app: &AppName) -> Option<&'a Running> {
    target.apps.get(app)?.running.as_ref().filter(|running| running.is_in_service())
}

/// Whether the other side serves an application, so that what a target says it runs stands by there.
pub fn other_serves(state: &State, app: &AppName, name: &TargetName, build: &Digest) -> bool {
    let charter = state.policy.as_deref().map(|policy| &policy.charter);
    let Some((charter, target)) = charter.zip(state.targets.get(name)) else { return false };
    let environment = charter.environments.get(&target.environment);
    let Some(label) = environment.and_then(|environment| environment.sides.as_deref()) else { return false };
    // What the ledger has lost may be able to stand by; what it knows says so.
    let known = state.apps.get(app).and_then(|record| record.builds.get(build));
    let can_stand_by = known.is_none_or(|known| known.facts.can_stand_by);
    let mut others = state.targets_in(&target.environment).filter(|(_, other)| of(label, other) != of(label, target));
    can_stand_by && others.any(|(_, other)| in_service(other, app).is_some())
}

/// Which of `targets` a build comes to: those of the side that does not serve, or where it serves already, those of its own
/// side that lack it.
pub fn destinations(
    state: &State,
    order: &Order,
    build: Digest,
    facts: &BuildFacts,
    targets: Vec<TargetName>,
) -> Result<Vec<TargetName>, Refusal> {
    let Order { app, environment, only, .. } = order;
    let Some(label) = label(state, environment, facts) else { return Ok(targets) };
    let sides = Sides::of(state, app, environment, facts, label)?;
    let unclear = |why: String| unclear(environment, label, why, None);
    let side_of = |name: &TargetName| state.targets.get(name).and_then(|target| of(label, target));
    let has_it = state.targets_in(environment).filter_map(|(_, target)| in_service(target, app));
    let serves_already = has_it.into_iter().any(|running| running.build == build);
    let [first, second] = sides.both;
    let side = match sides.serving.iter().collect::<Vec<_>>()[..] {
        [serving] if serves_already => serving,
        [serving] if *serving == first => second,
        [_] => first,
        // Before anything serves, what is there is replaced.
        [] => targets.iter().find(|name| state.running(app, name).is_some()).and_then(side_of).unwrap_or(first),
        _ => {
            return Err(both_serve(state, app, environment, label, [first, second]));
        }
    };
    let (targets, others): (Vec<_>, Vec<_>) = targets.into_iter().partition(|name| side_of(name) == Some(side));
    if !only.is_empty() && !others.is_empty() {
        let already = serves_already.then(|| serves(order, build, side));
        let (app, environment, side) = (app.clone(), environment.clone(), side.to_owned());
        return Err(Refusal::SideServes { app, environment, side, targets: others, already });
    }
    let lacks = |name: &TargetName| {
        let in_service = state.targets.get(name).and_then(|target| in_service(target, app));
        in_service.is_none_or(|running| running.build != build)
    };
    // Where none lacks it, that it is there already is what is said.
    let targets = match serves_already && targets.iter().any(lacks) {
        true => targets.into_iter().filter(lacks).collect(),
        false => targets,
    };
    match targets.is_empty() {
        true => Err(unclear(format!("no target of {side}, to which {app} would go, takes anything new"))),
        false => Ok(targets),
    }
}

fn unclear(environment: &AudienceName, label: &str, why: String, to: Option<String>) -> Refusal {
    Refusal::SidesUnclear { environment: environment.clone(), label: label.to_owned(), why, to }
}

/// That both sides serve, and what leads out: a switch to what serves on one of them, where that is not kept out and a switch may
/// be, or else to stop one.
fn both_serve(
    state: &State,
    app: &AppName,
    environment: &AudienceName,
    label: &str,
    [first, second]: [&str; 2],
) -> Refusal {
    let serving = state.targets_in(environment).filter_map(|(_, target)| in_service(target, app));
    let builds: BTreeSet<Digest> = serving.map(|running| running.build).collect();
    let is_kept_out = |build: &Digest, version: Option<&Version>| {
        let is_held = state.in_audience(app, environment).is_some_and(|here| here.held.contains_key(build));
        is_held || version.is_some_and(|version| permits::is_withdrawn(state, app, version, environment))
    };
    let to = |build: &Digest| {
        let record = state.apps.get(app)?.builds.get(build)?;
        let version = record.version.as_ref();
        let order =
            Order { version: version.cloned(), ..Order::new(app.clone(), environment.clone(), OrderAct::Switch) };
        let may = !is_kept_out(build, version) && switch(state, &order, *build, &record.facts).is_ok();
        may.then(|| names::of_build(app, version, build))
    };
    let to = builds.iter().find_map(to);
    let out = match &to {
        Some(to) => format!("`sortie switch {to} --in {environment}` lets that serve alone"),
        None => "stop it on one of them first".to_owned(),
    };
    unclear(environment, label, format!("{app} serves on both, {first} and {second}: {out}"), to)
}

fn serves(order: &Order, build: Digest, side: &str) -> Box<Serves> {
    let named = names::of_build(&order.app, order.version.as_ref(), &build);
    Box::new(Serves { named, act: order.act, side: side.to_owned() })
}

/// Fails where one of the targets serves: what is new does not come to it, not even as other config of what it runs.
pub fn nobody_serves(
    state: &State,
    order: &Order,
    build: Digest,
    facts: &BuildFacts,
    targets: &[TargetName],
) -> Result<(), Refusal> {
    let Order { app, environment, .. } = order;
    let Some(label) = label(state, environment, facts) else { return Ok(()) };
    let is_serving =
        |name: &&TargetName| state.targets.get(*name).is_some_and(|target| in_service(target, app).is_some());
    let serving: Vec<TargetName> = targets.iter().filter(is_serving).cloned().collect();
    let Some(first) = serving.first() else { return Ok(()) };
    let own = state.targets.get(first).and_then(|target| of(label, target)).unwrap_or_default();
    let others = state.targets_in(environment).filter_map(|(_, target)| of(label, target));
    let side = others.filter(|side| *side != own).min().unwrap_or_default().to_owned();
    let all_have_it = serving.iter().all(|name| state.running(app, name).is_some_and(|running| running.build == build));
    let already = all_have_it.then(|| serves(order, build, own));
    Err(Refusal::SideServes { app: app.clone(), environment: environment.clone(), side, targets: serving, already })
}

/// Fails for a package with members that would stand by: it is deployed as one, and sides are switched application by
/// application.
pub fn has_none(state: &State, order: &Order, package: &BuildFacts) -> Result<(), Refusal> {
    let stands_by = |app: &&AppName| {
        let member = package.package.get(*app).map(|member| member.build);
        let build = member.and_then(|build| state.apps.get(*app)?.builds.get(&build));
        build.is_some_and(|build| label(state, &order.environment, &build.facts).is_some())
    };
    match package.package.keys().find(stands_by) {
        Some(app) => Err(Refusal::Invalid {
            why: format!(
                "{app} stands by on one side of {}, and {} is deployed as one: release and deploy its members by themselves",
                order.environment, order.app
            ),
        }),
        None => Ok(()),
    }
}

/// Why a deployment that stood cannot begin any more: one of its targets serves by now.
pub fn overtaken(state: &State, deployment: &Deployment) -> Option<String> {
    let Deployment { app, environment, build, act, parts, .. } = deployment;
    let facts = &state.apps.get(app)?.builds.get(build)?.facts;
    label(state, environment, facts).filter(|_| *act != OrderAct::Switch)?;
    let serves = |name: &&TargetName| state.targets.get(*name).is_some_and(|target| in_service(target, app).is_some());
    let serving = parts.waiting().find(serves)?;
    Some(format!("{serving} serves by now, and what is new comes to the other side"))
}

/// Whether a deployment that succeeds settles once it has soaked: it brought something that serves, or let it serve.
pub fn settles(state: &State, deployment: &Deployment) -> bool {
    let stands_by = |name: &TargetName| state.running(&deployment.app, name).is_some_and(|running| running.standby);
    match deployment.act {
        OrderAct::Deploy | OrderAct::Redeploy | OrderAct::Rollback => !deployment.parts.verified().any(stands_by),
        OrderAct::Switch => true,
        OrderAct::Configure | OrderAct::Undeploy | OrderAct::Stop | OrderAct::Start | OrderAct::Restart => false,
    }
}

/// Whether what is taken back of itself leads back to what served before: a switch does not, where a target has taken something newer
/// since, or has followed another deployment that went back. It knows no way back from before that.
pub fn leads_back(state: &State, number: u64, deployment: &Deployment) -> bool {
    let Deployment { app, environment, act, parts, .. } = deployment;
    let by_it = |name: &TargetName| state.running(app, name).is_some_and(|running| running.deployment == number);
    let is_touched = |part: &Part| {
        let is_refused = matches!(part.progress, Progress::Finished(Outcome::Refused { .. }));
        !is_refused && part.phases.iter().any(|timing| timing.phase.touches())
    };
    let has_followed_another = |name: &TargetName| {
        let begun = parts.get(name).map_or(0, |part| part.begun);
        let others = state.deployments.values().filter(|other| other.app == *app && other.environment == *environment);
        let mut later = others.filter(|other| !other.act.controls()).filter_map(|other| other.parts.get(name));
        later.any(|part| part.begun > begun && is_touched(part))
    };
    *act != OrderAct::Switch || parts.verified().all(|name| by_it(name) && !has_followed_another(name))
}

/// What a switch does: which targets begin to serve, and then which make way.
pub struct Switch {
    /// All of them, in that order.
    pub targets: Vec<TargetName>,
    /// How they are divided; not at all where none makes way.
    pub rings: Vec<RingOf>,
    /// What stands by from then on and had come later than what serves again.
    pub left_behind: BTreeSet<Digest>,
}

/// What would switch to a build. Fails where it does not stand by, or is not well.
pub fn switch(state: &State, order: &Order, build: Digest, facts: &BuildFacts) -> Result<Switch, Refusal> {
    let Order { app, environment, .. } = order;
    let Some(label) = label(state, environment, facts) else {
        let has_sides = state.policy.as_deref().and_then(|policy| policy.charter.environments.get(environment));
        let why = match has_sides.and_then(|environment| environment.sides.as_ref()) {
            None => format!(
                "{environment} has no sides to switch between: its charter says `sides = \"LABEL\"` where it has"
            ),
            Some(_) => format!("this build of {app} cannot stand by, so it serves on both sides of {environment}"),
        };
        return Err(Refusal::Invalid { why });
    };
    if !order.only.is_empty() || order.may_stand() {
        let why = "a switch is for the whole of both sides, and at once: leave targets and times away".into();
        return Err(Refusal::Invalid { why });
    }
    let mut enter = BTreeMap::new();
    let mut leave = BTreeMap::new();
    let mut serving: Vec<&Running> = Vec::new();
    for (name, target) in state.targets_in(environment) {
        let Some(running) = target.apps.get(app).and_then(|here| here.running.as_ref()) else { continue };
        match (running.build == build, running.is_in_service()) {
            // Who is unwell and cordoned is looked after by somebody, and stands by on.
            (true, false) if target.cordoned && running.wrong().is_some() => {}
            (true, false) if running.standby && !running.stopped => drop(enter.insert(name.clone(), running)),
            (true, true) => serving.push(running),
            (false, true) => drop(leave.insert(name.clone(), running)),
            _ => {}
        }
    }
    let since = serving.iter().map(|running| running.since).max();
    if enter.is_empty() && !serving.is_empty() && leave.is_empty() {
        let name = names::of_build(app, order.version.as_ref(), &build);
        let what = format!("{name} serves in {environment} already");
        return Err(Refusal::AlreadyDone { what, since });
    }
    if enter.is_empty() && serving.is_empty() {
        let (app, environment) = (app.clone(), environment.clone());
        return Err(Refusal::NothingRuns { app, environment, act: OrderAct::Switch, instead: None });
    }
    if let Some((name, unwell)) = enter.iter().find_map(|(name, running)| Some((name, running.wrong()?))) {
        let why = format!(
            "{app} is unwell on {name}, which would serve: {}; cordon it, and others serve without it",
            unwell.reason
        );
        return Err(unclear(environment, label, why, None));
    }
    let entering: BTreeSet<&str> = enter.keys().filter_map(|name| of(label, state.targets.get(name)?)).collect();
    let lacks_it = |(name, target): &(&TargetName, &Target)| {
        let is_meant = placement::fits(facts, target) && !target.cordoned && !target.ephemeral;
        let runs = state.running(app, name).is_some_and(|running| running.build == build && !running.stopped);
        is_meant && of(label, target).is_some_and(|side| entering.contains(side)) && !runs
    };
    let lacking: Vec<&str> = state.targets_in(environment).filter(lacks_it).map(|(name, _)| name.as_str()).collect();
    if !leave.is_empty() && !lacking.is_empty() {
        let why =
            format!("{} of the side that would serve does not run it: deploy to it, or cordon it", lacking.join(", "));
        return Err(unclear(environment, label, why, None));
    }
    // What has served before is gone back to where the other was let serve after it.
    let has_settled =
        |build: &Digest| state.in_audience(app, environment).is_some_and(|here| here.settled.contains(build));
    let first_served = |build: Digest| {
        let let_serve = |(_, other): &(&u64, &Deployment)| {
            let succeeded = matches!(other.phase, DeploymentPhase::Ended { ending: Ending::Succeeded, .. });
            let is_switch = other.act == OrderAct::Switch && succeeded;
            other.app == *app && other.environment == *environment && other.build == build && is_switch
        };
        let switched = state.deployments.iter().find(let_serve).map(|(number, _)| *number);
        switched.or(has_settled(&build).then_some(0))
    };
    let left: BTreeSet<Digest> = leave.values().map(|running| running.build).collect();
    let comes_later = |left: &Digest| first_served(build).is_some_and(|first| first_served(*left) > Some(first));
    let left_behind = left.into_iter().filter(comes_later).collect();
    let ring = |targets: &BTreeMap<TargetName, &Running>| {
        let sides: BTreeSet<&str> = targets.keys().filter_map(|name| of(label, state.targets.get(name)?)).collect();
        RingOf { name: sides.into_iter().collect::<Vec<_>>().join(", "), targets: targets.len() as u32 }
    };
    let rings = match enter.is_empty() || leave.is_empty() {
        true => Vec::new(),
        false => vec![ring(&enter), ring(&leave)],
    };
    Ok(Switch { targets: enter.into_keys().chain(leave.into_keys()).collect(), rings, left_behind })
}
