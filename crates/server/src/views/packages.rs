//! Packages: what they list, who asks for what by them, and what of them runs.

use super::{build_name, permits, status, words};
use api::read::{MemberView, Runs};
use domain::{
    event::{BuildFacts, Ending},
    rules::{packages, placement},
    state::{Deployment, DeploymentPhase, InAudience, MemberPart, State},
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use trust::{
    AppName, AudienceName, Digest, PersonName, TargetName,
    manifest::{Member, steps},
};

/// The members that a build lists, whichever application it is of.
pub(crate) fn listed_by<'a>(
    state: &'a State,
    build: &Digest,
) -> impl Iterator<Item = (&'a AppName, &'a Member)> + use<'a> {
    let facts = state.apps.values().find_map(|record| Some(&record.builds.get(build)?.facts));
    facts.into_iter().flat_map(|facts| &facts.package)
}

/// The packages that list a build and were asked for in an audience: `shop@1.0.0`.
pub(crate) fn asked_for(state: &State, app: &AppName, build: &Digest, audience: &AudienceName) -> Vec<String> {
    let packages = state.packages_of(app, build).into_iter();
    let asked = packages.filter(|&(package, _, version)| {
        state.in_audience(package, audience).is_some_and(|here| here.requests.contains_key(version))
    });
    asked.map(|(package, _, version)| super::words::versioned(package, version)).collect()
}

/// `api 1.4.0, db 2.0.1`.
pub(crate) fn members_in_words(members: &BTreeMap<AppName, Member>) -> String {
    let names: Vec<String> = members.iter().map(|(app, member)| format!("{app} {}", member.version)).collect();
    names.join(", ")
}

/// The versions of an application that may be deployed in an audience with a package, and with none by themselves:
/// `1.4.0 may be deployed with shop@1.0.0`.
pub(crate) fn permitted_with(state: &State, app: &AppName, audience: &AudienceName, now: Timestamp) -> Vec<String> {
    let Some(record) = state.apps.get(app) else { return Vec::new() };
    let is_held = |app: &AppName, build: &Digest| {
        state.in_audience(app, audience).is_some_and(|here| here.held.contains_key(build))
    };
    let with = |build: &Digest| {
        let version = record.builds.get(build)?.version.as_ref()?;
        let (_, request) = permits::live(state, app, version, audience, now)?;
        if is_held(app, build) || is_held(&request.app, &request.build) {
            return None;
        }
        let package = super::words::versioned(&request.app, &request.version);
        (request.app != *app).then(|| format!("{version} may be deployed with {package}"))
    };
    record.packages.keys().filter_map(with).collect()
}

/// Whoever pushed a member of a package.
pub(crate) fn makers(state: &State, build: &Digest) -> Vec<PersonName> {
    let members = listed_by(state, build);
    let builds = members.filter_map(|(app, member)| state.apps.get(app)?.builds.get(&member.build));
    let makers: BTreeSet<&PersonName> = builds.flat_map(|build| build.makers.iter().chain([&build.pusher])).collect();
    makers.into_iter().cloned().collect()
}

/// The members of a deployment of a package, in the order in which they begin.
pub(crate) fn members(state: &State, record: &Deployment) -> Vec<MemberView> {
    let Some(facts) = packages::listed(state, &record.app, &record.build) else { return Vec::new() };
    let view = |(app, member): (&AppName, &Member)| {
        let part = record.members.get(app).copied().unwrap_or_default();
        let number = match part {
            MemberPart::Begun(number) => Some(number),
            MemberPart::Waiting | MemberPart::InPlace => None,
        };
        MemberView {
            app: app.clone(),
            build: build_name(state, app, &member.build),
            after: member.after.iter().cloned().collect(),
            state: standing(state, record, part).into(),
            deployment: number,
            step: step(facts, record, app),
        }
    };
    let mut members: Vec<MemberView> = facts.package.iter().map(view).collect();
    members.sort_by(|one, other| (one.step, &one.app).cmp(&(other.step, &other.app)));
    members
}

/// The step in which a member begins, from 1; the last is the first where things go back or end.
fn step(facts: &BuildFacts, record: &Deployment, app: &AppName) -> u32 {
    let steps = steps(&facts.package).unwrap_or_default();
    let reversed = facts.package.keys().any(|app| {
        let before = packages::before(facts, record.act, app);
        !before.is_empty() && facts.package.get(app).is_some_and(|member| member.after != before)
    });
    let at = steps.iter().position(|step| step.contains(app)).unwrap_or(0);
    let at = if reversed { steps.len().saturating_sub(1).saturating_sub(at) } else { at };
    u32::try_from(at).unwrap_or(u32::MAX).saturating_add(1)
}

fn standing(state: &State, package: &Deployment, part: MemberPart) -> &'static str {
    let is_over = matches!(package.phase, DeploymentPhase::Ended { .. });
    let number = match part {
        MemberPart::Waiting if is_over => return "not begun",
        MemberPart::Waiting => return "waiting",
        MemberPart::InPlace => return "in place",
        MemberPart::Begun(number) => number,
    };
    match state.deployments.get(&number).map(|record| &record.phase) {
        Some(DeploymentPhase::Ended { ending, .. }) => match ending {
            Ending::Succeeded => "done",
            Ending::Undone => "undone",
            Ending::Failed => "failed",
            Ending::Aborted | Ending::Dropped | Ending::Superseded => "ended",
        },
        Some(DeploymentPhase::Undoing { .. }) => "going back",
        Some(_) => "at it",
        None => "ended",
    }
}

/// What of a package runs in an environment: the one that stands there, where everything that it lists runs as it says on
/// every target that it is for.
pub(crate) fn runs(state: &State, app: &AppName, environment: &AudienceName, here: &InAudience) -> Vec<Runs> {
    found(state, app, environment, here).filter(|(_, is_whole)| *is_whole).map(|(runs, _)| runs).into_iter().collect()
}

/// What is left of the package that stands in an environment, where not all of it runs.
pub(crate) fn partly(state: &State, app: &AppName, environment: &AudienceName, here: &InAudience) -> Vec<Runs> {
    found(state, app, environment, here).filter(|(_, is_whole)| !is_whole).map(|(runs, _)| runs).into_iter().collect()
}

/// `shop@0.1.0 runs in part: 1 of 2 targets has some of it`.
pub(crate) fn in_part(app: &AppName, left: &Runs, targets: u32) -> String {
    let on = left.on.len();
    let of = words::count(on.max(targets as usize), "target");
    let have = if on == 1 { "has" } else { "have" };
    format!("{} runs in part: {on} of {of} {have} some of it", left.build.of(app))
}

/// `shop@0.1.0, or some of it, runs on prod-3`.
pub(crate) fn beside_in_words(app: &AppName, beside: &Runs) -> String {
    let on: Vec<&str> = beside.on.iter().map(TargetName::as_str).collect();
    format!("{}, or some of it, runs on {}", beside.build.of(app), on.join(", "))
}

/// The versions of a package that run on some targets of an environment beside the one that stands there.
pub(crate) fn beside(state: &State, app: &AppName, environment: &AudienceName, here: &InAudience) -> Vec<Runs> {
    let runs = |(build, on): (Digest, BTreeSet<TargetName>)| {
        let facts = packages::listed(state, app, &build)?;
        let is_of_it = |member: &AppName, name: &TargetName| {
            on.contains(name) && !packages::is_of_standing(state, (app, build), environment, member, name)
        };
        let (mut runs, _) = of_listed(state, environment, facts, empty(state, app, &build), is_of_it)?;
        runs.settled = here.settled.contains(&build);
        Some(runs)
    };
    packages::beside(state, app, environment).into_iter().filter_map(runs).collect()
}

/// What runs of the package that stands in an environment, and whether that is all of it.
fn found(state: &State, app: &AppName, environment: &AudienceName, here: &InAudience) -> Option<(Runs, bool)> {
    let standing = here.standing.and_then(|number| state.deployments.get(&number))?;
    let facts = packages::listed(state, app, &standing.build).filter(|_| standing.is_of_package())?;
    let beside = packages::beside(state, app, environment);
    // What another version lists too is that one's, where the one that stands is not whole.
    let is_of_another = |member: &AppName, name: &TargetName| {
        beside.iter().filter(|(_, on)| on.contains(name)).any(|(build, _)| {
            let other = packages::listed(state, app, build).and_then(|other| other.package.get(member));
            other.map(|other| other.build) == facts.package.get(member).map(|listed| listed.build)
                && !packages::is_of_standing(state, (app, *build), environment, member, name)
        })
    };
    let empty = empty(state, app, &standing.build);
    let (mut runs, is_whole) =
        of_listed(state, environment, facts, empty, |member, name| !is_of_another(member, name))?;
    runs.since = standing.stamp.time;
    runs.settled = matches!(standing.phase, DeploymentPhase::Ended { settled: Some(_), .. });
    Some((runs, is_whole))
}

/// A build of a package of which nothing runs.
fn empty(state: &State, app: &AppName, build: &Digest) -> Runs {
    Runs {
        build: build_name(state, app, build),
        since: Timestamp::MIN,
        on: Vec::new(),
        endpoints: Vec::new(),
        settled: false,
        stopped: true,
        stopped_on: Vec::new(),
        permitted: true,
        unwell: BTreeMap::new(),
        unclear: BTreeMap::new(),
        standby: Vec::new(),
    }
}

/// What runs of what a package lists, as far as it is the package's, and whether all of it runs on every target that it is for.
fn of_listed(
    state: &State,
    environment: &AudienceName,
    facts: &BuildFacts,
    mut runs: Runs,
    is_of_it: impl Fn(&AppName, &TargetName) -> bool,
) -> Option<(Runs, bool)> {
    let mut on: BTreeSet<&TargetName> = BTreeSet::new();
    let mut is_whole = true;
    for (name, target) in state.targets_in(environment) {
        for (member, listed) in &facts.package {
            let build = state.apps.get(member).and_then(|record| record.builds.get(&listed.build));
            // A cordoned target gets nothing new: what it lacks is not missing.
            let is_for_it = build.is_some_and(|build| placement::fits(&build.facts, target)) && !target.cordoned;
            match state.running(member, name).filter(|running| running.build == listed.build) {
                Some(running) if is_of_it(member, name) => {
                    on.insert(name);
                    runs.since = runs.since.max(running.since);
                    runs.stopped &= running.stopped;
                    if running.stopped && runs.stopped_on.last() != Some(name) {
                        runs.stopped_on.push(name.clone());
                    }
                    runs.permitted &= permits::may_run(state, member, &listed.build, environment, name);
                    status::how_it_is(&mut runs, name, running);
                }
                Some(_) => {}
                None => is_whole &= !is_for_it,
            }
        }
    }
    runs.on = on.into_iter().cloned().collect();
    (!runs.on.is_empty()).then_some((runs, is_whole))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::views::{
        fixture::{World, app, audience, target},
        why::why,
    };
    use domain::{event::Event, policy, state::Running};
    use trust::{manifest::Driver, statement::OrderAct};

    /// A package of web 1.0.0 and db 1.0.0, which no other build is.
    pub(crate) fn shop(world: &mut World, bytes: &str) -> Digest {
        shop_of(world, bytes, &["web", "db"])
    }

    /// The same of these members.
    fn shop_of(world: &mut World, bytes: &str, members: &[&str]) -> Digest {
        let member = |name: &&str| {
            let build = world.numbered(name, "1.0.0");
            (app(name), Member { version: "1.0.0".parse().unwrap(), build, after: BTreeSet::new() })
        };
        let members: BTreeMap<AppName, Member> = members.iter().map(member).collect();
        let first = members.first_key_value().unwrap();
        let facts = &world.state.apps[first.0].builds[&first.1.build].facts;
        let facts = BuildFacts { driver: Driver::Package, package: members.clone(), ..BuildFacts::clone(facts) };
        let build = Digest::of(bytes.as_bytes());
        let (pusher, commit, recipe) = ("coder".parse().unwrap(), None, None);
        world.happen(Event::BuildPushed { app: app("shop"), build, pusher, commit, recipe, facts });
        build
    }

    #[test]
    fn what_is_under_way_keeps_members_and_their_packages_out() {
        let mut world = World::new();
        let (one, two) = (shop(&mut world, "one"), shop(&mut world, "two"));
        world.ordered("prod-1", "shop", one, OrderAct::Deploy);
        let said = |name: &str, build| {
            let why =
                why(&world.state, &app(name), build, &audience("prod"), &|_| None, &Default::default(), world.now())
                    .unwrap();
            assert!(!why.may);
            let found = why.conditions.into_iter().find(|condition| condition.what.contains("under way")).unwrap();
            (found.what, found.remedy.unwrap_or_default())
        };
        let web = world.state.apps[&app("web")].versions.values().next().unwrap().build;
        let under_way = "deployment 1 of shop is under way in prod";
        let (what, next) = said("web", web);
        assert_eq!((what.as_str(), next.as_str()), (under_way, "sortie deploy web@1.0.0 --to prod --after-current"));
        let (what, next) = said("shop", two);
        assert_eq!(what, under_way);
        assert!(!next.contains("--after-current"), "a package does not stand until something else has ended: {next}");

        // What is at a member keeps the package out too.
        let mut world = World::new();
        let one = shop(&mut world, "one");
        world.ordered("prod-1", "web", web, OrderAct::Deploy);
        let why = why(&world.state, &app("shop"), one, &audience("prod"), &|_| None, &Default::default(), world.now())
            .unwrap();
        assert!(why.conditions.iter().any(|condition| condition.what.contains("deployment 1 of web is under way")));
    }

    /// R46: what was dropped before it began waits for nothing any more.
    #[test]
    fn members_of_what_was_dropped_have_not_begun() {
        let mut world = World::new();
        let build = shop(&mut world, "one");
        let deployment = world.stands("prod-1", "shop", build, OrderAct::Deploy, Default::default());
        let states = |world: &World| {
            let members = members(&world.state, &world.state.deployments[&deployment]).into_iter();
            members.map(|member| member.state).collect::<Vec<_>>()
        };
        assert_eq!(states(&world), ["waiting", "waiting"]);
        let (ending, reason) = (Ending::Dropped, Some("its order expired".to_owned()));
        world.happen(Event::DeploymentEnded { deployment, ending, reason, superseded_by: None, aborted: None });
        assert_eq!(states(&world), ["not begun", "not begun"]);
    }

    #[test]
    fn a_package_that_lists_what_was_retired_may_not_be_deployed_r36() {
        let mut world = World::new();
        let build = shop(&mut world, "one");
        world.number("shop", "1.0.0", build);
        world.released("shop", "1.0.0", "prod");
        let released = |world: &World| {
            let status = status::status(&world.state, &Default::default(), |_| None, &|_| None, world.now()).unwrap();
            let shop = status.apps.iter().find(|status| status.app == app("shop")).unwrap();
            let prod = shop.cells.iter().find(|cell| cell.audience == audience("prod")).unwrap();
            (prod.released.len(), prod.notes.clone())
        };
        assert_eq!(released(&world), (1, vec!["1.0.0 released, never deployed".to_owned()]));
        world.happen(Event::AppRetired { app: app("db") });
        assert_eq!(released(&world), (0, Vec::new()));
    }

    #[test]
    fn what_is_left_of_a_package_is_told_where_not_all_of_it_runs() {
        let mut world = World::new();
        let build = shop(&mut world, "one");
        let members = ["web", "db"].map(|name| (name, world.numbered(name, "1.0.0")));
        let came = |world: &World| {
            let here = world.state.in_audience(&app("shop"), &audience("prod"));
            here.is_some_and(|here| here.ran.contains(&build))
        };
        assert!(!came(&world));
        for (name, build) in &members {
            world.runs("prod-1", name, *build);
        }
        world.runs("prod-1", "shop", build);
        assert!(came(&world), "its members were verified there, and it has nothing of its own");
        let on = |world: &World| {
            let here = world.state.in_audience(&app("shop"), &audience("prod")).unwrap();
            let told = |runs: Vec<Runs>| runs.iter().map(|runs| runs.on.len()).sum::<usize>();
            let (shop, prod) = (app("shop"), audience("prod"));
            (told(runs(&world.state, &shop, &prod, here)), told(partly(&world.state, &shop, &prod, here)))
        };
        assert_eq!(on(&world), (1, 0));
        let newer = world.numbered("web", "1.1.0");
        world.runs("prod-1", "web", newer);
        assert_eq!(on(&world), (0, 1));
        let status = status::status(&world.state, &Default::default(), |_| None, &|_| None, world.now()).unwrap();
        let shop = status.apps.iter().find(|status| status.app == app("shop")).unwrap();
        let prod = shop.cells.iter().find(|cell| cell.audience == audience("prod")).unwrap();
        let said = format!("shop#{} runs in part: 1 of 1 target has some of it", build.short());
        assert!(prod.notes.contains(&said), "{:?}", prod.notes);
        assert!(came(&world));
        // However long ago that was.
        for _ in 0..=policy::DEPLOYMENTS_KEPT {
            world.runs("prod-1", "db", members[1].1);
        }
        assert!(came(&world));
    }

    /// R8: what came to some targets only is told of, whichever version stands there.
    #[test]
    fn a_version_that_runs_beside_another_is_told_of() {
        let mut world = World::new();
        let build = shop(&mut world, "one");
        let web = world.numbered("web", "1.0.0");
        world.runs("prod-1", "web", web);
        let beside = |world: &World| {
            let here = world.state.in_audience(&app("shop"), &audience("prod")).unwrap();
            beside(&world.state, &app("shop"), &audience("prod"), here)
        };
        let other = shop_of(&mut world, "two", &["db"]);
        world.runs("prod-1", "shop", other);
        assert_eq!(beside(&world).len(), 0, "web came by itself");
        // It ran there with a version that lists it, and nobody knows any more by what it came.
        world.runs("prod-1", "shop", build);
        world.runs("prod-1", "shop", other);
        world.number("shop", "0.9.0", build);
        let on_target = world.state.targets.get_mut(&target("prod-1")).unwrap().apps.get_mut(&app("web")).unwrap();
        on_target.running.as_mut().unwrap().deployment = Running::BROUGHT_BY_NONE;
        let there = beside(&world);
        assert_eq!(there.iter().map(|runs| runs.build.short()).collect::<Vec<_>>(), ["0.9.0"]);
        assert_eq!(beside_in_words(&app("shop"), &there[0]), "shop@0.9.0, or some of it, runs on prod-1");
    }
}
