//! Which permits live, what requests lack, and what a target or channel may therefore have of the depot.

use domain::{
    rules::{self, Candidate, approvals, names},
    state::{Request, Standing, State},
};
use jiff::Timestamp;
use std::collections::BTreeSet;
use trust::{AppName, AudienceName, Digest, TargetName, Version, charter::Class, quorum::Lack, statement::OrderAct};

/// What the request lacks under the charter in force, by the same count that decides and that targets check.
pub(crate) fn lacks(state: &State, request: &Request) -> Vec<Lack> {
    state.policy.as_ref().map(|policy| approvals::lacks(state, policy, request)).unwrap_or_default()
}

/// The permit of a version for an audience that may be activated now, by the domain's own rule.
pub(crate) fn live<'a>(
    state: &'a State,
    app: &AppName,
    version: &Version,
    audience: &AudienceName,
    now: Timestamp,
) -> Option<(Digest, &'a Request)> {
    let policy = state.policy.as_ref()?;
    let (build, record) = names::version(state, app, version).ok()?;
    let candidate = Candidate { app, build, record, audience, act: OrderAct::Deploy, package: None };
    // Of what a vendor makes, ours alone opens nothing.
    rules::vendors::released(state, policy, &candidate, now).ok()?;
    rules::permits::in_force(state, policy, &candidate, version, now).ok()
}

/// As [`live`], of the permits that reach the target.
pub(crate) fn live_on<'a>(
    state: &'a State,
    app: &AppName,
    version: &Version,
    audience: &AudienceName,
    target: &TargetName,
    now: Timestamp,
) -> Option<(Digest, &'a Request)> {
    let policy = state.policy.as_ref()?;
    let (build, record) = names::version(state, app, version).ok()?;
    let candidate = Candidate { app, build, record, audience, act: OrderAct::Deploy, package: None };
    rules::vendors::released(state, policy, &candidate, now).ok()?;
    rules::permits::in_force_on(state, policy, &candidate, version, target, now)
}

/// The newest permit of a version that is for the target, else that of a package that lists it: granted, with nothing
/// withdrawn, whatever its time.
pub(crate) fn permitted_on<'a>(
    state: &'a State,
    app: &AppName,
    version: &Version,
    environment: &AudienceName,
    target: &TargetName,
) -> Option<(Digest, &'a Request)> {
    let reaches =
        |request: &Request| state.policy.as_ref().is_some_and(|policy| rules::ways::reaches(policy, request, target));
    state.all_permits(app, version, environment).find(|(_, request)| reaches(request))
}

/// Whether what runs on a target may run there: released to it and not withdrawn since, or anything not withdrawn in a dev
/// environment. Expiry stops activations only.
pub(crate) fn may_run(
    state: &State,
    app: &AppName,
    build: &Digest,
    environment: &AudienceName,
    target: &TargetName,
) -> bool {
    let class = state.policy.as_ref().and_then(|policy| policy.charter.environments.get(environment)).map(|e| e.class);
    let version = super::build_name(state, app, build).version;
    if rules::vendors::withdrawn_by(state, app, build).is_some() {
        return false;
    }
    match (class, version) {
        (Some(Class::Dev), None) => true,
        (Some(Class::Dev), Some(version)) => !rules::permits::is_withdrawn(state, app, &version, environment),
        (_, Some(version)) => permitted_on(state, app, &version, environment, target).is_some(),
        (_, None) => false,
    }
}

/// The builds with a live permit for the channel.
pub(crate) fn builds_for_channel(state: &State, channel: &AudienceName, now: Timestamp) -> BTreeSet<Digest> {
    builds_where(state, channel, |app, version| live(state, app, version, channel, now).is_some())
}

/// The builds whose versions are `live` among those that anybody ever asked for there.
fn builds_where(state: &State, audience: &AudienceName, live: impl Fn(&AppName, &Version) -> bool) -> BTreeSet<Digest> {
    let mut builds = BTreeSet::new();
    for (app, record) in &state.apps {
        let Some(in_audience) = record.audiences.get(audience) else { continue };
        let live = |version: &&Version| live(app, version);
        let numbered = in_audience.requests.keys().filter(live).filter_map(|version| record.versions.get(version));
        builds.extend(numbered.map(|numbered| numbered.build));
    }
    builds
}

/// The builds a target may fetch (R35): those with a live permit for its environment that reaches it, those it runs or may
/// go back to, and in a dev environment those it is assigned.
pub(crate) fn builds_for_target(state: &State, target: &TargetName, now: Timestamp) -> BTreeSet<Digest> {
    let Some(record) = state.targets.get(target).filter(|record| !record.retired) else { return BTreeSet::new() };
    let environment = &record.environment;
    let live = |app: &AppName, version: &Version| live_on(state, app, version, environment, target, now).is_some();
    let mut builds = builds_where(state, environment, live);
    // What a package lists may be had by its permit, unless it was withdrawn by itself or is below its own floor.
    let packages = builds.iter().flat_map(|build| super::packages::listed_by(state, build));
    let members: Vec<Digest> =
        packages.filter(|(app, member)| live(app, &member.version)).map(|(_, member)| member.build).collect();
    builds.extend(members);
    let class = state.policy.as_ref().and_then(|policy| policy.charter.environments.get(environment)).map(|e| e.class);
    for (app, on_target) in &record.apps {
        builds.extend(on_target.running.as_ref().map(|running| running.build));
        let settled = state.in_audience(app, environment).into_iter().flat_map(|in_audience| &in_audience.settled);
        builds.extend(settled.filter(|build| may_run(state, app, build, environment, target)));
        if class == Some(Class::Dev) {
            let assigned = on_target.assigned.filter(|assigned| !assigned.finished);
            let deployment = assigned.and_then(|assigned| state.deployments.get(&assigned.deployment));
            builds.extend(deployment.map(|deployment| deployment.build));
        }
    }
    builds
}

/// The config documents of the target's environment.
pub(crate) fn config_for_target(state: &State, target: &TargetName) -> BTreeSet<Digest> {
    let Some(record) = state.targets.get(target).filter(|record| !record.retired) else { return BTreeSet::new() };
    let config = |app: &domain::state::App| Some(app.audiences.get(&record.environment)?.config.as_ref()?.document);
    state.apps.values().filter_map(config).collect()
}

/// The newest permits of an application in an audience that will be over soon, with how soon in words.
pub(crate) fn expiring(state: &State, now: Timestamp) -> Vec<(&Request, String)> {
    let soon = |app: &AppName, audience: &AudienceName, record: &domain::state::InAudience| {
        let mut versions: Vec<&Version> = record.requests.keys().collect();
        versions.sort();
        let (_, newest) = versions.into_iter().rev().find_map(|version| live(state, app, version, audience, now))?;
        let request = state.requests.get(&newest.digest)?;
        Some((request, rules::expiry::permit_warning(request.not_before, request.not_after, now)?))
    };
    let places = state.apps.iter().flat_map(|(app, record)| record.audiences.iter().map(move |place| (app, place)));
    let places = places.filter(|(_, (audience, _))| !rules::lifetime::is_gone(state, audience));
    places.filter_map(|(app, (audience, record))| soon(app, audience, record)).collect()
}

/// When a request was granted, if it was and nothing was withdrawn.
pub(crate) fn granted_at(request: &Request) -> Option<Timestamp> {
    match request.standing {
        Standing::Granted(stamp) => Some(stamp.time),
        _ => None,
    }
}
