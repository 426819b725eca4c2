//! A package is one request, one set of approvals and one order for the versions that it lists, which go in the order of
//! what comes after what, and come back together (R4, R33). Each of them runs only as its own rules allow besides.

use super::{Candidate, deployers, holds, names, permits, placement, retention, retired, schedule, vendors};
use crate::{
    event::{BuildFacts, Ending},
    plan,
    refusal::Refusal,
    state::{Deployment, DeploymentPhase, MemberPart, OnTarget, Part, Policy, Progress, Running, State, Target},
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use trust::{
    AppName, AudienceName, Digest, TargetName,
    manifest::Driver,
    statement::{OrderAct, Outcome},
};

/// The members that the candidate lists, each as a candidate of its own; none where it is no package.
pub fn members<'a>(
    state: &'a State,
    candidate: &Candidate<'a>,
) -> impl Iterator<Item = Result<Candidate<'a>, Refusal>> {
    let Candidate { record, audience, act, .. } = *candidate;
    let package = Some((candidate.app, candidate.build));
    record.facts.package.iter().map(move |(app, member)| {
        let record = names::build(state, app, &member.build)?;
        Ok(Candidate { app, build: member.build, record, audience, act, package })
    })
}

/// Whether a member runs already as the package says, with the config in force and well, on every target that it is for.
pub fn is_in_place(state: &State, member: &Candidate<'_>, only: &BTreeSet<TargetName>, now: Timestamp) -> bool {
    let Candidate { app, build, audience, .. } = *member;
    are_all(state, member, only, now, |name| placement::is_in_place(state, app, audience, &build, name))
}

/// The same, well or not.
pub fn runs_already(state: &State, member: &Candidate<'_>, only: &BTreeSet<TargetName>, now: Timestamp) -> bool {
    let Candidate { app, build, audience, .. } = *member;
    are_all(state, member, only, now, |name| placement::runs_it(state, app, audience, &build, name))
}

fn are_all(
    state: &State,
    member: &Candidate<'_>,
    only: &BTreeSet<TargetName>,
    now: Timestamp,
    is_there: impl Fn(&TargetName) -> bool,
) -> bool {
    let Candidate { app, record, audience, .. } = *member;
    // An order for some targets may be for none of a member's.
    let targets = placement::targets(state, app, audience, &record.facts, only, now);
    targets.map_or(!only.is_empty(), |targets| targets.iter().all(is_there))
}

/// Fails with the first reason why a member may not run in the environment, whoever permits it; says which they are.
pub fn members_may_run(
    state: &State,
    policy: &Policy,
    candidate: &Candidate<'_>,
    now: Timestamp,
) -> Result<String, Refusal> {
    may_be_released(state, policy, candidate, now)?;
    let mut names = Vec::new();
    for member in members(state, candidate) {
        let member = member?;
        deployers::deployed_by_us(policy, &member)?;
        holds::not_held(state, &member)?;
        names.push(member.version().map_or(member.app.to_string(), |version| format!("{}@{version}", member.app)));
    }
    Ok(format!("{} may run with it", names.join(", ")))
}

/// Fails with the first reason why a member may not be released: it is retired, its bytes are gone, its vendor does not
/// release it, it was withdrawn by itself, or it is below its own floor.
pub fn may_be_released(
    state: &State,
    policy: &Policy,
    candidate: &Candidate<'_>,
    now: Timestamp,
) -> Result<(), Refusal> {
    for member in members(state, candidate) {
        let member = member?;
        retired::takes_something_new(member.app, state.apps.get(member.app))?;
        retention::bytes_are_here(&member)?;
        vendors::released(state, policy, &member, now)?;
        not_withdrawn(state, &member)?;
        if let Some(version) = member.version().filter(|_| member.act != OrderAct::Rollback) {
            permits::above_floor(state, member.app, version, member.audience)?;
        }
    }
    Ok(())
}

/// Fails where a version was withdrawn by itself and not released by itself again: no package brings it.
pub fn not_withdrawn(state: &State, candidate: &Candidate<'_>) -> Result<(), Refusal> {
    let (Some(version), Some(here)) = (candidate.version(), state.in_audience(candidate.app, candidate.audience))
    else {
        return Ok(());
    };
    let is_dead = here.dead_through.contains_key(version);
    if !is_dead || state.granted(candidate.app, version, candidate.audience).is_some() {
        return Ok(());
    }
    let last = here.withdrawals.iter().rev().find(|withdrawal| withdrawal.version == *version);
    Err(permits::withdrawn(state, candidate, version, last.map_or(state.head, |withdrawal| withdrawal.stamp)))
}

/// Whether a package that lists the build was ever asked for in the audience: then the build can be withdrawn there by
/// itself, though nobody ever asked for it by itself.
pub fn asks_for(state: &State, app: &AppName, build: &Digest, audience: &AudienceName) -> bool {
    let mut packages = state.packages_of(app, build).into_iter();
    packages.any(|(package, _, version)| {
        state.in_audience(package, audience).is_some_and(|here| here.requests.contains_key(version))
    })
}

/// Fails unless every member is a version that is known, and its very build. A package lists no package, and an
/// application is either a package or none.
pub fn can_be_pushed(state: &State, app: &AppName, facts: &BuildFacts) -> Result<(), Refusal> {
    let invalid = |why: String| Err(Refusal::Invalid { why });
    let is_package = facts.driver == Driver::Package;
    let earlier = state.apps.get(app).and_then(|record| record.builds.values().next());
    match earlier.map(|build| build.facts.driver == Driver::Package) {
        Some(true) if !is_package => {
            return invalid(format!("{app} is a package: what has files or processes is another application"));
        }
        Some(false) if is_package => {
            return invalid(format!("{app} has builds of its own: a package is another application"));
        }
        _ => {}
    }
    for (name, member) in &facts.package {
        retired::may_be_listed(name, state.apps.get(name), app)?;
        let (build, record) = names::version(state, name, &member.version)?;
        if build != member.build {
            let (app, version) = (name.clone(), member.version.clone());
            return Err(Refusal::NumberTaken { app, version, build });
        }
        match record.facts.driver {
            Driver::Package => return invalid(format!("{name} is a package, and a package lists no package")),
            Driver::Checkpoint => return Err(Refusal::NothingToInstall { app: name.clone(), build }),
            Driver::Files | Driver::Process => {}
        }
    }
    Ok(())
}

/// The members that must be done before `app` begins: those it comes after; in reverse where things go back or end.
pub fn before(facts: &BuildFacts, act: OrderAct, app: &AppName) -> BTreeSet<AppName> {
    let comes_after = |app: &AppName| facts.package.get(app).map(|member| member.after.clone()).unwrap_or_default();
    match act {
        OrderAct::Rollback | OrderAct::Undeploy | OrderAct::Stop => {
            facts.package.keys().filter(|other| comes_after(other).contains(app)).cloned().collect()
        }
        OrderAct::Deploy
        | OrderAct::Redeploy
        | OrderAct::Configure
        | OrderAct::Start
        | OrderAct::Restart
        | OrderAct::Switch => comes_after(app),
    }
}

/// The members that go back before `app` does: those that began after it.
pub fn before_going_back(facts: &BuildFacts, act: OrderAct, app: &AppName) -> BTreeSet<AppName> {
    facts.package.keys().filter(|other| before(facts, act, other).contains(app)).cloned().collect()
}

/// Whether members that `app` comes after are for the target too and do not run there as the package lists them: in its order
/// they come first there, whatever is done elsewhere.
pub fn misses_what_comes_before(state: &State, facts: &BuildFacts, app: &AppName, name: &TargetName) -> bool {
    let Some(target) = state.targets.get(name) else { return false };
    let is_in_place = |app: &AppName| {
        let Some(member) = facts.package.get(app) else { return true };
        let build = state.apps.get(app).and_then(|record| record.builds.get(&member.build));
        let runs = state.running(app, name).is_some_and(|running| running.build == member.build);
        runs || build.is_some_and(|build| !placement::fits(&build.facts, target))
    };
    let before = facts.package.get(app).map(|member| &member.after);
    before.into_iter().flatten().any(|app| !is_in_place(app))
}

/// Whether `app` comes to the target later, once what it comes after runs there: that is missing, or something is being done with
/// it there, and what will run by that nobody knows yet.
pub fn comes_later(state: &State, facts: &BuildFacts, app: &AppName, name: &TargetName) -> bool {
    let before = facts.package.get(app).map(|member| &member.after);
    let is_at_one = before.into_iter().flatten().any(|app| plan::is_at_something(state, name, app));
    is_at_one || misses_what_comes_before(state, facts, app, name)
}

/// Whether what `app` comes after does not run on the target as the package lists it, or another is about to run there in its place.
pub fn loses_what_comes_before(state: &State, facts: &BuildFacts, app: &AppName, name: &TargetName) -> bool {
    let changes = |app: &AppName| {
        let assigned = state.targets.get(name).and_then(|target| target.apps.get(app)?.assigned);
        let act = assigned.and_then(|assigned| state.deployments.get(&assigned.deployment)).map(|record| record.act);
        let changes = act.is_some_and(|act| act.installs() || act == OrderAct::Undeploy);
        changes && plan::is_at_something(state, name, app)
    };
    let before = facts.package.get(app).map(|member| &member.after);
    before.into_iter().flatten().any(changes) || misses_what_comes_before(state, facts, app, name)
}

/// Whether the target is at something that came with a package and comes after `app` there: that stays as it is meanwhile.
pub fn is_come_after(state: &State, app: &AppName, name: &TargetName) -> bool {
    let comes_after = |(other, on_target): (&AppName, &OnTarget)| {
        let deployment = on_target.assigned.and_then(|assigned| state.deployments.get(&assigned.deployment));
        let package = deployment.and_then(|deployment| deployment.package.as_ref());
        let facts = package.and_then(|of| listed(state, &of.app, &of.build));
        let member = facts.and_then(|facts| facts.package.get(other));
        member.is_some_and(|member| member.after.contains(app)) && plan::is_told_now(state, name, other)
    };
    state.targets.get(name).is_some_and(|target| target.apps.iter().any(comes_after))
}

/// Whether everything that `app` comes after in the deployment is done, so that its turn has come.
pub fn is_turn(state: &State, facts: &BuildFacts, deployment: &Deployment, app: &AppName) -> bool {
    before(facts, deployment.act, app).iter().all(|other| is_done(state, deployment.members.get(other)))
}

/// Whether a member is as the package says, as far as its deployment is concerned.
pub fn is_done(state: &State, part: Option<&MemberPart>) -> bool {
    match part {
        None | Some(MemberPart::InPlace) => true,
        Some(MemberPart::Waiting) => false,
        Some(MemberPart::Begun(number)) => state.deployments.get(number).is_some_and(|deployment| {
            matches!(deployment.phase, DeploymentPhase::Ended { ending: Ending::Succeeded, .. })
        }),
    }
}

/// The deployment of a package with this member that is under way there, other than `own`: nothing else is done with the
/// member meanwhile.
pub fn under_way(state: &State, app: &AppName, environment: &AudienceName, own: Option<u64>) -> Option<u64> {
    let has_it = |number: &&u64| {
        let deployment = state.deployments.get(*number);
        deployment.is_some_and(|deployment| {
            deployment.environment == *environment && deployment.waves > 0 && deployment.members.contains_key(app)
        })
    };
    state.open_deployments.iter().filter(|number| Some(**number) != own).find(has_it).copied()
}

/// The other deployment that is at a member of this one, or at the package that this one's application is a member of.
pub fn in_the_way(state: &State, number: u64, deployment: &Deployment) -> Option<u64> {
    let own = deployment.package.as_ref().map(|package| package.deployment).or(Some(number));
    if !deployment.is_of_package() {
        return under_way(state, &deployment.app, &deployment.environment, own);
    }
    let at_it = |app: &AppName| {
        let here = state.in_audience(app, &deployment.environment)?;
        let open = here.open_deployment.filter(|open| {
            let other = state.deployments.get(open);
            other.is_some_and(|other| other.waves > 0 && other.package.as_ref().map(|of| of.deployment) != Some(number))
        });
        open.or_else(|| under_way(state, app, &deployment.environment, own))
    };
    deployment.members.keys().find_map(at_it)
}

/// Why a package that was planned is dropped when its time comes: a later version of it was deployed there meanwhile.
pub fn overtaken(state: &State, number: u64, package: &Deployment) -> Option<String> {
    let version = package.version.as_ref().filter(|_| schedule::is_planned(&package.schedule, package.stamp.time))?;
    let standing = state.in_audience(&package.app, &package.environment)?.standing?;
    let newest = state.deployments.get(&standing).filter(|_| standing > number)?.version.as_ref()?;
    (newest > version).then(|| format!("{}@{newest} was deployed there meanwhile", package.app))
}

/// The deployments of a package's members, by member, as far as they have begun.
pub fn begun<'a>(
    state: &'a State,
    deployment: &'a Deployment,
) -> impl Iterator<Item = (&'a AppName, u64, &'a Deployment)> + 'a {
    // A step that could not begin as a whole names numbers that others may have got since.
    let is_of_it = |app: &AppName, record: &Deployment| {
        let of = record.package.as_ref();
        record.app == *app && of.is_some_and(|of| of.app == deployment.app && of.build == deployment.build)
    };
    deployment.members.iter().filter_map(move |(app, part)| match part {
        MemberPart::Begun(number) => {
            let record = state.deployments.get(number).filter(|record| is_of_it(app, record))?;
            Some((app, *number, record))
        }
        MemberPart::Waiting | MemberPart::InPlace => None,
    })
}

/// The deployments of packages that stand where this one is and found in place what it brought.
pub fn of_found(state: &State, member: &Deployment) -> Vec<u64> {
    let packages = state.packages_of(&member.app, &member.build).into_iter();
    let standing = packages.filter_map(|(package, _, _)| state.in_audience(package, &member.environment)?.standing);
    let found = |number: &u64| {
        let part = state.deployments.get(number).and_then(|record| record.members.get(&member.app));
        part == Some(&MemberPart::InPlace)
    };
    standing.filter(found).collect()
}

/// Whether something that the deployment of a package found in place has not settled: it soaks still, has failed since or was taken
/// back, or another package has come in the place of this one. One for some targets only is not held to what it found.
pub fn found_unsettled(state: &State, number: u64, deployment: &Deployment) -> bool {
    if deployment.narrowed {
        return false;
    }
    let stands = stands(state, number, deployment);
    let has_settled = |app, build| {
        let here = state.in_audience(app, &deployment.environment);
        here.is_some_and(|here| here.settled.contains(build) && !here.failed.contains_key(build))
    };
    let soaks = |app, build| soaking(state, app, &deployment.environment, build).is_some();
    found(state, deployment).any(|(app, build)| !stands || soaks(app, build) || !has_settled(app, build))
}

/// What the deployment of a package that stands found in place, and soaks still: the members, and their own deployments.
pub fn found_soaking<'a>(
    state: &'a State,
    number: u64,
    deployment: &'a Deployment,
) -> impl Iterator<Item = (AppName, u64)> + 'a {
    let has_succeeded =
        matches!(deployment.phase, DeploymentPhase::Ended { settled: None, ending: Ending::Succeeded, .. });
    let waits = has_succeeded && stands(state, number, deployment);
    let found = found(state, deployment).filter(move |_| waits);
    found.filter_map(|(app, build)| Some((app.clone(), soaking(state, app, &deployment.environment, build)?)))
}

fn stands(state: &State, number: u64, deployment: &Deployment) -> bool {
    state.in_audience(&deployment.app, &deployment.environment).and_then(|here| here.standing) == Some(number)
}

/// Whether another has come in the place of a package there, or comes: what it brought soaks on by itself then.
pub fn is_replaced(state: &State, number: u64, package: &Deployment) -> bool {
    let here = state.in_audience(&package.app, &package.environment);
    here.is_some_and(|here| here.open_deployment.is_some() || here.standing != Some(number))
}

/// Whether part of a package that succeeded would stay if it were taken back: a member of it runs that does not soak any more, since
/// something else was in its place everywhere, or it has settled.
pub fn would_stay_in_part(state: &State, number: u64) -> bool {
    let Some(package) = state.deployments.get(&number) else { return false };
    let runs = |app: &AppName, record: &Deployment| {
        let is_here = |name: &TargetName| state.targets.get(name).is_some_and(|target| !target.retired);
        let has_it = |name: &TargetName| {
            is_here(name) && state.running(app, name).is_some_and(|running| running.build == record.build)
        };
        let verified = |part: &Part| part.progress == Progress::Finished(Outcome::Verified);
        record.parts.iter().any(|(name, part)| verified(part) && has_it(name))
    };
    let goes_back = package.narrowed || !is_replaced(state, number, package);
    let mut begun = begun(state, package);
    goes_back && begun.any(|(app, member, record)| !state.soaking.contains(&member) && runs(app, record))
}

/// The deployment that brought a build somewhere and soaks.
fn soaking(state: &State, app: &AppName, environment: &AudienceName, build: &Digest) -> Option<u64> {
    let is_it =
        |record: &Deployment| record.app == *app && record.environment == *environment && record.build == *build;
    state.soaking.iter().copied().find(|number| state.deployments.get(number).is_some_and(is_it))
}

/// The members that the deployment of a package found in place, and their builds.
fn found<'a>(state: &'a State, deployment: &'a Deployment) -> impl Iterator<Item = (&'a AppName, &'a Digest)> {
    let listed = listed(state, &deployment.app, &deployment.build).into_iter().flat_map(|facts| &facts.package);
    let found = listed.filter(|(app, _)| deployment.members.get(*app) == Some(&MemberPart::InPlace));
    found.map(|(app, member)| (app, &member.build))
}

/// Whether a hold on a member was placed by the deployment that the package is held out by, by one that was a part of it, or by
/// another of that package: what failed may be rolled back by hand afterwards.
pub fn is_by(state: &State, package: &AppName, placed: Option<u64>, deployment: u64) -> bool {
    let is_of_it = |record: &Deployment| {
        record.app == *package
            || record.package.as_ref().is_some_and(|of| of.deployment == deployment || of.app == *package)
    };
    placed.is_some_and(|placed| placed == deployment || state.deployments.get(&placed).is_some_and(is_of_it))
}

/// The versions of a package that run in an environment beside the one that stands there, or where none does, with the targets: they
/// came to some only, or stayed where another did not come. Of each some members run that came with it.
pub fn beside(state: &State, package: &AppName, environment: &AudienceName) -> BTreeMap<Digest, BTreeSet<TargetName>> {
    let mut beside: BTreeMap<Digest, BTreeSet<TargetName>> = BTreeMap::new();
    // An application is a package or has builds of its own.
    let one = state.apps.get(package).and_then(|record| record.builds.values().next());
    if one.is_none_or(|build| build.facts.package.is_empty()) {
        return beside;
    }
    let stands = standing(state, package, environment);
    for (name, target) in state.targets_in(environment) {
        for (app, running) in target.apps.iter().filter_map(|(app, here)| Some((app, here.running.as_ref()?))) {
            let is_listed = stands.and_then(|facts| facts.package.get(app));
            if is_listed.is_some_and(|member| member.build == running.build) {
                continue;
            }
            if let Some(build) = came_with(state, package, environment, app, running) {
                beside.entry(build).or_default().insert(name.clone());
            }
        }
    }
    beside
}

/// The versions of a package of which something runs in an environment, with the targets: the one that stands, and those [`beside`] it.
pub fn there(state: &State, package: &AppName, environment: &AudienceName) -> BTreeMap<Digest, BTreeSet<TargetName>> {
    let mut there = beside(state, package, environment);
    let here = state.in_audience(package, environment).and_then(|here| here.standing);
    if let (Some(facts), Some(stands)) =
        (standing(state, package, environment), here.and_then(|number| state.deployments.get(&number)))
    {
        let runs = |name: &TargetName| {
            let mut members = facts.package.iter();
            members.any(|(app, member)| state.running(app, name).is_some_and(|running| running.build == member.build))
        };
        let on: BTreeSet<TargetName> =
            state.targets_in(environment).map(|(name, _)| name).filter(|name| runs(name)).cloned().collect();
        if !on.is_empty() {
            there.entry(stands.build).or_default().extend(on);
        }
    }
    there
}

/// Whether a member that an order about `build` would reach on a target belongs to the version that stands there, which lists it too and
/// is whole on that target.
pub fn is_of_standing(
    state: &State,
    package: (&AppName, Digest),
    environment: &AudienceName,
    app: &AppName,
    name: &TargetName,
) -> bool {
    let (package, build) = package;
    let Some(stands) = standing(state, package, environment) else { return false };
    let Some(target) = state.targets.get(name) else { return false };
    let ordered = listed(state, package, &build).and_then(|facts| facts.package.get(app)).map(|member| member.build);
    let is_same = ordered.is_some() && stands.package.get(app).map(|member| member.build) == ordered;
    let is_other = listed(state, package, &build).is_some_and(|facts| facts.package != stands.package);
    is_same && is_other && is_whole_on(state, stands, name, target)
}

/// Whether a target runs everything of a package that is for it, as that lists it.
fn is_whole_on(state: &State, facts: &BuildFacts, name: &TargetName, target: &Target) -> bool {
    facts.package.iter().all(|(app, member)| {
        let build = state.apps.get(app).and_then(|record| record.builds.get(&member.build));
        let is_for_it = build.is_some_and(|build| placement::fits(&build.facts, target));
        !is_for_it || state.running(app, name).is_some_and(|running| running.build == member.build)
    })
}

/// The version of a package that stands in an environment, as it was pushed.
fn standing<'a>(state: &'a State, package: &AppName, environment: &AudienceName) -> Option<&'a BuildFacts> {
    let number = state.in_audience(package, environment)?.standing?;
    listed(state, package, &state.deployments.get(&number)?.build)
}

/// The version of a package that brought what a target runs. What was taken back since, or is long over, says no more by what that
/// came: then it is the newest that ran there and lists it.
fn came_with(
    state: &State,
    package: &AppName,
    environment: &AudienceName,
    app: &AppName,
    running: &Running,
) -> Option<Digest> {
    let brought = state.deployments.get(&running.deployment);
    if let Some(brought) = brought.filter(|brought| brought.act.installs() && brought.build == running.build) {
        return brought.package.as_ref().filter(|of| of.app == *package).map(|of| of.build);
    }
    let ran = &state.in_audience(package, environment)?.ran;
    let listing = state.packages_of(app, &running.build).into_iter();
    let listing = listing.filter(|(listing, build, _)| *listing == package && ran.contains(build));
    listing.max_by(|one, other| one.2.cmp(other.2)).map(|(_, build, _)| build)
}

/// The builds, with their members, of a digest that is a package's; nothing where it is none.
pub fn listed<'a>(state: &'a State, app: &AppName, build: &Digest) -> Option<&'a BuildFacts> {
    let facts = &state.apps.get(app)?.builds.get(build)?.facts;
    (!facts.package.is_empty()).then_some(facts)
}
