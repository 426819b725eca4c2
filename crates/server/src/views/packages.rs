//! Packages: what they list, who asks for what by them, and what of them runs.

use super::{build_name, permits, status};
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
    let with = |build: &Digest| {
        let version = record.builds.get(build)?.version.as_ref()?;
        let (_, request) = permits::live(state, app, version, audience, now)?;
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
            state: standing(state, part).into(),
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

fn standing(state: &State, part: MemberPart) -> &'static str {
    let number = match part {
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
    let standing = here.standing.and_then(|number| state.deployments.get(&number));
    let Some(standing) = standing.filter(|standing| standing.is_of_package()) else { return Vec::new() };
    let Some(facts) = packages::listed(state, app, &standing.build) else { return Vec::new() };
    let mut runs = Runs {
        build: build_name(state, app, &standing.build),
        since: standing.stamp.time,
        on: Vec::new(),
        endpoints: Vec::new(),
        settled: here.settled.contains(&standing.build),
        stopped: true,
        stopped_on: Vec::new(),
        permitted: true,
        unwell: BTreeMap::new(),
        unclear: BTreeMap::new(),
        standby: Vec::new(),
    };
    let mut on: BTreeSet<&TargetName> = BTreeSet::new();
    for (name, target) in state.targets_in(environment) {
        for (member, listed) in &facts.package {
            let build = state.apps.get(member).and_then(|record| record.builds.get(&listed.build));
            if !build.is_some_and(|build| placement::fits(&build.facts, target)) || target.cordoned {
                continue;
            }
            match state.running(member, name).filter(|running| running.build == listed.build) {
                Some(running) => {
                    on.insert(name);
                    runs.stopped &= running.stopped;
                    if running.stopped && runs.stopped_on.last() != Some(name) {
                        runs.stopped_on.push(name.clone());
                    }
                    runs.permitted &= permits::may_run(state, member, &listed.build, environment, name);
                    status::how_it_is(&mut runs, name, running);
                }
                None => return Vec::new(),
            }
        }
    }
    runs.on = on.into_iter().cloned().collect();
    if runs.on.is_empty() { Vec::new() } else { vec![runs] }
}
