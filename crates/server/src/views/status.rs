//! What may be deployed, what runs, who sees it (R46).

use super::{build_name, calendar, carries, emergencies, failed, packages, permits, targets, words::Texts};
use api::read::{AppStatus, AudienceStatus, BuildName, Cell, Delivered, HoldView, Released, Runs, Status};
use domain::{
    outlook::{self, Outlook},
    plan,
    refusal::Refusal,
    rules::{self, deployers, expiry, lifetime, names, passed, soak, vendors},
    state::{Build, DeploymentPhase, GuidanceWord, Hold, InAudience, Stamp, Standing, State},
    waiting::WaitingOn,
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use trust::{
    AppName, AudienceName, Digest, PersonName, TargetName, Version,
    charter::{Charter, Class},
    statement::OrderAct,
};

/// What the status is limited to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// One application.
    pub app: Option<AppName>,
    /// One audience.
    pub audience: Option<AudienceName>,
    /// One target, and what is where it is.
    pub target: Option<TargetName>,
}

/// The status at `now`. `seen` says when a target last polled; `texts` finds the reasons of emergencies.
pub(crate) fn status(
    state: &State,
    filter: &Filter,
    seen: impl Fn(&TargetName) -> Option<Timestamp>,
    texts: Texts<'_>,
    now: Timestamp,
) -> Result<Status, Refusal> {
    let mut audience_filter = filter.audience.clone();
    if let Some(app) = &filter.app {
        names::app(state, app)?;
    }
    if let (Some(audience), Some(policy)) = (&filter.audience, &state.policy) {
        names::audience(policy, audience)?;
    }
    if let Some(target) = &filter.target {
        audience_filter = Some(names::target(state, target)?.environment.clone());
    }
    let mut audiences = audiences(state, now);
    audiences.retain(|audience| audience_filter.as_ref().is_none_or(|only| *only == audience.name));
    let runs_there = |app: &AppName| match &filter.target {
        Some(target) => state.running(app, target).is_some(),
        None => true,
    };
    let wanted = |app: &AppName| filter.app.as_ref().is_none_or(|only| only == app) && runs_there(app);
    let outlooks = outlook::outlooks(state, now);
    let apps = state.apps.iter().filter(|(app, _)| wanted(app)).map(|(app, record)| {
        let newest = record.builds.iter().max_by_key(|(_, build)| build.stamp.entry).map(|(digest, _)| digest);
        AppStatus {
            app: app.clone(),
            newest: newest.map(|build| build_name(state, app, build)),
            cells: audiences.iter().map(|audience| cell(state, app, audience, &outlooks, (texts, now))).collect(),
            retired: record.retired.map(|stamp| stamp.time),
            package: newest.and_then(|build| record.builds.get(build)).and_then(members),
        }
    });
    let apps = apps.collect();
    let target_wanted = |name: &TargetName, environment: &AudienceName| {
        filter.target.as_ref().is_none_or(|only| only == name)
            && audience_filter.as_ref().is_none_or(|only| only == environment)
    };
    let targets = state.targets.iter().filter(|(name, target)| target_wanted(name, &target.environment));
    let targets = targets.map(|(name, _)| targets::target(state, name, &seen, texts)).collect::<Option<Vec<_>>>();
    let mut emergencies = emergencies::unreviewed(state, texts);
    emergencies.retain(|emergency| {
        filter.app.as_ref().is_none_or(|only| *only == emergency.app)
            && audience_filter.as_ref().is_none_or(|only| *only == emergency.audience)
    });
    Ok(Status {
        emergencies,
        entries: state.head.entry,
        at: now,
        audiences,
        apps,
        targets: targets.unwrap_or_default().into_iter().filter(|target| !target.retired).collect(),
        notes: notes(state, texts, now),
    })
}

/// What a build lists, in words, where it is a package.
fn members(build: &Build) -> Option<String> {
    (!build.facts.package.is_empty()).then(|| packages::members_in_words(&build.facts.package))
}

/// The environments in the order in which versions move through them, then the channels. A throw-away environment whose
/// targets are all gone is none of them: history tells what it was.
fn audiences(state: &State, now: Timestamp) -> Vec<AudienceStatus> {
    let Some(policy) = &state.policy else { return Vec::new() };
    let charter = &policy.charter;
    let mut environments: Vec<&AudienceName> =
        charter.environments.keys().filter(|name| !lifetime::is_gone(state, name)).collect();
    environments.sort_by_key(|name| (steps_before(charter, name), charter.environments[*name].class, (*name).clone()));
    let status = |name: &AudienceName| {
        let audience = charter.audience(name);
        AudienceStatus {
            name: name.clone(),
            class: audience.and_then(|audience| audience.class),
            approve: audience.and_then(|audience| audience.approve).map(ToString::to_string),
            targets: state.targets_in(name).count() as u32,
            ends: lifetime::last_ends(state, name),
            notes: one_person_guards(policy, name).into_iter().chain(ends_soon(state, name, now)).collect(),
        }
    };
    environments.into_iter().chain(charter.channels.keys()).map(status).collect()
}

/// How far along the way to the last environment this one is: after how many others it comes, by class at the least.
fn steps_before(charter: &Charter, name: &AudienceName) -> usize {
    let mut steps = charter.environments.get(name).map_or(0, |environment| match environment.class {
        Class::Dev => 0,
        Class::Test => 1,
        Class::Live => 2,
    });
    let mut current = name;
    let mut after = 0;
    while let Some(before) = charter.environments.get(current).and_then(|environment| environment.after.as_ref()) {
        after += 1;
        // A charter whose environments come after one another in a ring is no charter; this only guards the loop.
        if after > charter.environments.len() {
            break;
        }
        steps = steps.max(charter.environments.get(before).map_or(0, |b| 1 + b.class as usize) + after - 1);
        current = before;
    }
    steps
}

fn cell(
    state: &State,
    app: &AppName,
    audience: &AudienceStatus,
    outlooks: &[Outlook],
    (texts, now): (Texts<'_>, Timestamp),
) -> Cell {
    let empty = InAudience::default();
    let record = state.in_audience(app, &audience.name).unwrap_or(&empty);
    let is_retired = state.apps.get(app).is_some_and(|record| record.retired.is_some());
    let mut released = released(state, app, &audience.name, record, now);
    // Of what is retired nothing may be deployed any more; a channel goes on offering what it was released.
    released.retain(|of| audience.class.is_none() || rules::retired::may_be_deployed(state, app, &of.build));
    let runs = runs(state, app, &audience.name, record);
    let mut waiting = waiting(state, app, &audience.name, record, now);
    // Nobody is asked for what may come there no more.
    waiting.retain(|waiting| !is_retired || !matches!(waiting, WaitingOn::Approvals { .. }));
    let mut notes = packages::permitted_with(state, app, &audience.name, now);
    let charter = state.policy.as_ref().map(|policy| &policy.charter);
    let deployed_by = charter.and_then(|charter| deployers::others(charter, app, &audience.name));
    notes.extend(deployed_by.filter(|_| !released.is_empty()).map(|by| deployers::in_words(app, by)));
    if let (Some(newest), Some(_)) = (released.first(), audience.class)
        && deployed_by.is_none()
        && !newest.deployed
        && !record.failed.contains_key(&newest.build)
        // What is held out was brought, though a server that was put back does not know of it.
        && !record.held.contains_key(&newest.build)
        && !runs.iter().any(|runs| runs.build.version.as_ref() > Some(&newest.version))
    {
        notes.push(format!("{} released, never deployed", newest.version));
    }
    if let Some(soon) = newest_request(state, app, &audience.name, &released)
        .and_then(|request| expiry::permit_warning(request.not_before, request.not_after, now))
    {
        notes.push(format!("{} {soon}", released[0].version));
    }
    notes.extend(staged(state, app, record));
    notes.extend(failed::held_and_running(state, app, &audience.name, record));
    let partly = packages::partly(state, app, &audience.name, record);
    let targets = targets_for(state, app, &audience.name, &released, &runs);
    notes.extend(partly.iter().map(|left| packages::in_part(app, left, targets)));
    let beside = packages::beside(state, app, &audience.name, record);
    notes.extend(beside.iter().map(|beside| packages::beside_in_words(app, beside)));
    for running in &runs {
        let name = running.build.of(app);
        for (said, how) in [
            (&running.unwell, format!("{name} is unwell on")),
            (&running.unclear, format!("nobody can tell how {name} is on")),
        ] {
            let Some((on, reason)) = said.first_key_value() else { continue };
            let more = match said.len() {
                1 => String::new(),
                n => format!(" and {} more", n - 1),
            };
            notes.push(format!("{how} {on}{more}: {}", trust::names::printable(reason)));
        }
        match (&running.build.version, vendors::withdrawn_by(state, app, &running.build.build)) {
            (_, Some(vendor)) => notes.push(format!("{name} was withdrawn by {vendor} and still runs")),
            (None, None) if !running.permitted => {
                notes.push(format!("unreleased build {name} runs without permission"));
            }
            (Some(version), None) if rules::permits::is_withdrawn(state, app, version, &audience.name) => {
                notes.push(format!("{name} was withdrawn and still runs"));
            }
            _ if !running.permitted => notes.push(format!("{name} runs without permission")),
            (Some(version), None) if is_release(state, app, version) => {}
            (Some(_), None) => notes.push(format!("unreleased version {name}")),
            (None, None) => notes.push(format!("unreleased build {name}")),
        }
    }
    let stands = record.standing.and_then(|number| Some((state.deployments.get(&number)?.build, number)));
    notes.extend(stands.and_then(|(build, number)| {
        let why = soak::cut_short(state, number)?;
        Some(format!("{} {why}", build_name(state, app, &build).short()))
    }));
    Cell {
        audience: audience.name.clone(),
        targets,
        waits: waiting.iter().map(|waiting| in_words(state, waiting, texts)).collect(),
        waiting,
        dropped: calendar::dropped(state, app, &audience.name, outlooks),
        held: record.held.keys().filter(|_| !is_retired).map(|build| build_name(state, app, build)).collect(),
        holds: if is_retired { Vec::new() } else { holds(state, app, record, texts) },
        failed: failed::failed(state, app, &audience.name, record),
        settled: settled(state, app, &audience.name, record),
        delivered: delivered(state, record),
        exposed: record.exposure.as_ref().map(|(version, percent, _)| (version.clone(), *percent)),
        released,
        runs,
        partly,
        beside,
        notes,
        deployed_by,
    }
}

/// What is staged on targets by a deployment that is open or has failed, and not activated there (R27).
fn staged(state: &State, app: &AppName, record: &InAudience) -> Vec<String> {
    let numbers: BTreeSet<u64> = record.open_deployment.iter().chain(record.failed.values()).copied().collect();
    let brings = |number: &u64| state.deployments.get(number).is_none_or(|deployment| deployment.act.installs());
    // A target keeps what it was brought last.
    let is_last = |number: u64, name: &TargetName| {
        let on_target = state.targets.get(name).and_then(|target| target.apps.get(app));
        let newest = on_target.and_then(|on_target| on_target.assigned).map(|assigned| assigned.deployment);
        newest.is_none_or(|newest| newest <= number || !brings(&newest))
    };
    let in_words = |number: u64| {
        let deployment = state.deployments.get(&number)?;
        let staged = deployment.parts.iter().filter(|(name, part)| part.is_staged() && is_last(number, name));
        let on: Vec<String> = staged.map(|(name, _)| name.to_string()).collect();
        let what = build_name(state, app, &deployment.build);
        (!on.is_empty()).then(|| format!("{} staged on {}, not deployed", what.short(), on.join(", ")))
    };
    numbers.into_iter().filter_map(in_words).collect()
}

/// Whether the version holds, or has held, permission anywhere.
fn is_release(state: &State, app: &AppName, version: &Version) -> bool {
    let Some(record) = state.apps.get(app) else { return false };
    record.audiences.iter().any(|(audience, here)| {
        here.dead_through.contains_key(version) || state.all_permits(app, version, audience).next().is_some()
    })
}

/// What something waits for, with the reason that somebody gave for it.
fn in_words(state: &State, waiting: &WaitingOn, texts: Texts<'_>) -> String {
    if let Some(ends) = ends_in_words(state, waiting) {
        return format!("{waiting}{ends}");
    }
    let WaitingOn::Person { deployment, by: Some(_), besides, .. } = waiting else { return waiting.to_string() };
    let pause = state.deployments.get(deployment).and_then(|record| record.paused.as_ref());
    let Some(reason) = pause.and_then(|pause| pause.reason.as_ref()).and_then(texts) else {
        return waiting.to_string();
    };
    let mut alone = waiting.clone();
    if let WaitingOn::Person { besides, .. } = &mut alone {
        *besides = None;
    }
    let besides = besides.as_ref().map(|besides| format!("; besides, {besides}")).unwrap_or_default();
    format!("{alone} ({}){besides}", trust::names::printable(&reason))
}

/// `, and is dropped if it has not begun by …`, of an order that waits for its permit and does not stand for ever.
pub(crate) fn ends_in_words(state: &State, waiting: &WaitingOn) -> Option<String> {
    let WaitingOn::Permit { deployment, .. } = waiting else { return None };
    let expires = state.deployments.get(deployment)?.schedule.expires?;
    Some(format!(", and is dropped if it has not begun by {expires:.0}"))
}

/// Why a build is held out, and by whom, as far as the deployment is known that led to it.
fn why_held(state: &State, build: &Digest, hold: &Hold, texts: Texts<'_>) -> Option<String> {
    let record = state.deployments.get(&hold.deployment?)?;
    let goes_back = record.act == OrderAct::Rollback && record.build != *build;
    if goes_back || record.act == OrderAct::Switch && record.build != *build {
        let how = if goes_back { "rolled back" } else { "switched away from" };
        return Some(format!("{how} by {}", state.shown(&record.deployer)));
    }
    let aborted = record.guided.iter().rfind(|guidance| guidance.word == GuidanceWord::Aborted);
    if let Some(aborted) = aborted {
        let reason = aborted.reason.as_ref().and_then(texts);
        let reason = reason.map(|reason| format!(": {}", trust::names::printable(&reason))).unwrap_or_default();
        return Some(format!("aborted by {}{reason}", state.shown(&aborted.by)));
    }
    match &record.phase {
        DeploymentPhase::Undoing { reason } | DeploymentPhase::Ended { reason: Some(reason), .. } => {
            Some(trust::names::printable(reason))
        }
        _ => None,
    }
}

fn holds(state: &State, app: &AppName, record: &InAudience, texts: Texts<'_>) -> Vec<HoldView> {
    let view = |(build, hold): (&Digest, &Hold)| HoldView {
        build: build_name(state, app, build),
        since: hold.stamp.time,
        deployment: hold.deployment,
        why: why_held(state, build, hold, texts),
    };
    record.held.iter().map(view).collect()
}

/// To whom versions were handed, the newest version first.
fn delivered(state: &State, record: &InAudience) -> Vec<Delivered> {
    let mut versions: Vec<Delivered> = Vec::new();
    for (version, to) in &record.delivered {
        let mut to: Vec<(&PersonName, &Stamp)> = to.iter().collect();
        to.sort_by_key(|(_, stamp)| stamp.entry);
        let Some(last) = to.last().map(|(_, stamp)| stamp.time) else { continue };
        let to = to.into_iter().map(|(person, _)| state.shown(person)).collect();
        versions.push(Delivered { version: version.clone(), to, last });
    }
    versions.sort_by(|one, other| other.version.cmp(&one.version));
    versions
}

/// The request behind the newest live permit.
fn newest_request<'a>(
    state: &'a State,
    app: &AppName,
    audience: &AudienceName,
    released: &[Released],
) -> Option<&'a domain::state::Request> {
    state.granted(app, &released.first()?.version, audience).map(|(_, request)| request)
}

/// The builds that settled there as a whole and may come back, the newest first.
fn settled(state: &State, app: &AppName, audience: &AudienceName, record: &InAudience) -> Vec<BuildName> {
    let whole = record.settled.iter().rev().filter(|build| !record.settled_in_part.contains(*build));
    let names = whole.map(|build| build_name(state, app, build));
    let withdrawn = |version: &Version| rules::permits::is_withdrawn(state, app, version, audience);
    names.filter(|name| !name.version.as_ref().is_some_and(withdrawn)).collect()
}

fn released(
    state: &State,
    app: &AppName,
    audience: &AudienceName,
    record: &InAudience,
    now: Timestamp,
) -> Vec<Released> {
    let mut versions: Vec<_> = record.requests.keys().collect();
    versions.sort();
    let came = passed::came(state, app, audience);
    // What is under way is no release that is never deployed, whatever will come of it.
    let open = record.open_deployment.and_then(|number| state.deployments.get(&number));
    let under_way = open.filter(|open| open.waves > 0).map(|open| open.build);
    let released = versions.into_iter().rev().filter_map(|version| {
        let (_, request) = permits::live(state, app, version, audience, now)?;
        let build = state.apps.get(app)?.builds.get(&request.build);
        let runs = |(_, target): (&TargetName, &domain::state::Target)| {
            target
                .apps
                .get(app)
                .and_then(|on| on.running.as_ref())
                .is_some_and(|running| running.build == request.build)
        };
        let approvers: BTreeSet<&PersonName> = request.approvals.iter().map(|approved| &approved.approver).collect();
        Some(Released {
            version: version.clone(),
            build: request.build,
            since: permits::granted_at(request)?,
            not_after: request.not_after,
            way: request.way,
            superseded_by: passed::superseded_by(state, app, version, audience).cloned(),
            skipped_for: came.instead_of(version).cloned(),
            approvers: approvers.into_iter().map(|approver| state.shown(approver)).collect(),
            deployed: record.ran.contains(&request.build)
                || under_way == Some(request.build)
                || build.is_some_and(|build| build.verified_in.contains_key(audience))
                || state.targets_in(audience).any(runs),
        })
    });
    released.collect()
}

fn runs(state: &State, app: &AppName, audience: &AudienceName, record: &InAudience) -> Vec<Runs> {
    let mut runs: BTreeMap<Digest, Runs> = BTreeMap::new();
    for (name, target) in state.targets_in(audience) {
        let Some(running) = target.apps.get(app).and_then(|on_target| on_target.running.as_ref()) else { continue };
        let entry = runs.entry(running.build).or_insert_with(|| Runs {
            build: build_name(state, app, &running.build),
            since: running.since,
            on: Vec::new(),
            endpoints: Vec::new(),
            settled: true,
            stopped: true,
            stopped_on: Vec::new(),
            permitted: true,
            unwell: BTreeMap::new(),
            unclear: BTreeMap::new(),
            standby: Vec::new(),
        });
        entry.permitted &= permits::may_run(state, app, &running.build, audience, name);
        entry.settled &= soak::has_settled(state, record, running);
        entry.since = entry.since.min(running.since);
        entry.stopped &= running.stopped;
        entry.stopped_on.extend(running.stopped.then(|| name.clone()));
        entry.on.push(name.clone());
        entry.standby.extend(running.standby.then(|| name.clone()));
        entry.endpoints.extend(running.endpoints.iter().cloned());
        how_it_is(entry, name, running);
    }
    let mut runs: Vec<Runs> = runs.into_values().chain(packages::runs(state, app, audience, record)).collect();
    runs.sort_by_key(|runs| std::cmp::Reverse(runs.on.len()));
    runs
}

/// Notes how what runs on a target is, where it is not well.
pub(super) fn how_it_is(runs: &mut Runs, name: &TargetName, running: &domain::state::Running) {
    let Some(said) = &running.unwell else { return };
    let told = if said.unclear { &mut runs.unclear } else { &mut runs.unwell };
    told.insert(name.clone(), said.reason.clone());
}

/// The requests that lack approvals, the open deployment, and deployments that soak.
fn waiting(
    state: &State,
    app: &AppName,
    audience: &AudienceName,
    record: &InAudience,
    now: Timestamp,
) -> Vec<WaitingOn> {
    let mut waiting = Vec::new();
    for version in record.requests.keys() {
        if let Some((_, request)) = state.waiting_request(app, version, audience)
            && request.not_after > now
        {
            let (version, audience) = (version.clone(), audience.clone());
            waiting.push(WaitingOn::Approvals { version, audience, lacks: permits::lacks(state, request) });
        }
    }
    let soaks = |number: &u64| {
        let deployment = state.deployments.get(number);
        deployment.is_some_and(|deployment| deployment.app == *app && deployment.environment == *audience)
    };
    let deployments = state.deployments.keys().filter(|number| soaks(number));
    waiting.extend(deployments.filter_map(|number| plan::waits(state, *number, now)));
    waiting
}

/// How many targets the application is for: by the labels its newest release asks for, else what runs, else its newest
/// build.
fn targets_for(state: &State, app: &AppName, audience: &AudienceName, released: &[Released], runs: &[Runs]) -> u32 {
    let Some(record) = state.apps.get(app) else { return 0 };
    let newest = || record.builds.iter().max_by_key(|(_, build)| build.stamp.entry).map(|(digest, _)| *digest);
    let build = released.first().map(|released| released.build).or(runs.first().map(|runs| runs.build.build));
    let facts = build.or_else(newest).and_then(|build| record.builds.get(&build)).map(|build| &build.facts);
    let fits = |name: &TargetName, target: &domain::state::Target| {
        facts.is_some_and(|facts| carries(&target.labels, &facts.on)) || runs.iter().any(|runs| runs.on.contains(name))
    };
    state.targets_in(audience).filter(|(name, target)| fits(name, target)).count() as u32
}

/// What everyone should know, whatever they asked about.
fn notes(state: &State, texts: Texts<'_>, now: Timestamp) -> Vec<String> {
    let Some(policy) = &state.policy else {
        return vec!["this server has no estate yet: an owner brings the first charter".into()];
    };
    let mut notes = Vec::new();
    for name in policy.charter.audience_names() {
        notes.extend(one_person_guards(policy, name));
    }
    for (app, record) in &state.apps {
        for (environment, in_audience) in &record.audiences {
            if lifetime::is_gone(state, environment) {
                continue;
            }
            let lacking = super::config::lacking(state, in_audience, environment);
            if !lacking.is_empty() {
                let names = lacking.iter().map(TargetName::to_string).collect::<Vec<_>>().join(", ");
                notes.push(format!(
                    "{names} cannot read the secrets of {app} in {environment}: sortie config rewrap {app} --in {environment}"
                ));
            }
        }
    }
    for freeze in super::freezes::freezes(state, texts, false, now).into_iter().filter(|freeze| freeze.is_on) {
        let places: Vec<String> = freeze.environments.iter().map(ToString::to_string).collect();
        let apps: Vec<String> = freeze.apps.iter().map(ToString::to_string).collect();
        let apps = if apps.is_empty() { String::new() } else { format!(" for {}", apps.join(", ")) };
        let reason = freeze.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        let (number, until) = (freeze.number, super::words::moment(freeze.until));
        let is = if places.len() == 1 { "is" } else { "are" };
        notes.push(format!("{} {is} frozen{apps} until {until} (freeze {number}){reason}", places.join(", ")));
    }
    notes.extend(policy.charter.environments.keys().filter_map(|name| ends_soon(state, name, now)));
    let facts = &policy.record.facts;
    notes.extend(expiry::warnings(facts.root_expires, facts.charter_expires, now));
    let recovery: Vec<_> = policy.recovery_keys().collect();
    if recovery.iter().any(|(_, key)| !state.recovery_put_away.contains(&key.id())) {
        let then = "move it off the machine where it was made, then: sortie charter recovery --put-away";
        notes.push(format!("the recovery key is not put away: {then}"));
    } else if recovery.is_empty() && !facts.root_holders.is_empty() {
        let then = "if the owners lose their keys, nobody can name others: sortie charter root --recovery FILE";
        notes.push(format!("there is no recovery key: {then}"));
    }
    for person in &state.suspended {
        notes.push(format!("{person} is suspended until owners bring a new charter"));
    }
    notes
}

/// That the time of a throw-away environment's last target is over soon.
fn ends_soon(state: &State, name: &AudienceName, now: Timestamp) -> Option<String> {
    let ends = lifetime::last_ends(state, name).filter(|ends| lifetime::is_over_soon(state, name, *ends, now))?;
    let at = super::words::moment(ends);
    Some(match ends <= now {
        true => format!("the time of {name} was over at {at}: its targets remove everything, and leave"),
        false => {
            let left = super::words::left(ends, now);
            format!("{name} ends in {left}, at {at}: its targets remove everything, data too, and leave")
        }
    })
}

/// A live or test audience whose rule one single person can meet.
fn one_person_guards(policy: &domain::state::Policy, name: &AudienceName) -> Option<String> {
    let audience = policy.charter.audience(name)?;
    let rule = audience.approve?;
    if audience.class == Some(Class::Dev) {
        return None;
    }
    let people: BTreeSet<&PersonName> = rule.roles().iter().flat_map(|role| policy.approvers.holders(role)).collect();
    let alone: Vec<String> = people
        .into_iter()
        .filter(|person| rule.allows_alone(&policy.approvers.roles(person)))
        .map(ToString::to_string)
        .collect();
    match alone.as_slice() {
        [] => None,
        [only] if audience.excludes_author => Some(format!(
            "one person guards {name}: {only} alone can approve for it, and nothing that {only} asked for or pushed (approve = \"{rule}\")"
        )),
        [only] => Some(format!("one person guards {name}: {only} alone can release to it (approve = \"{rule}\")")),
        // In test environments, one person out of several is how it is meant to be.
        _ if audience.class == Some(Class::Test) => None,
        several => Some(format!(
            "one person guards {name}: any one of {} can release to it alone (approve = \"{rule}\")",
            several.join(", ")
        )),
    }
}

/// Whether a request stands as a permit.
pub(crate) fn is_granted(standing: &Standing) -> bool {
    matches!(standing, Standing::Granted(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::fixture::{self, World, app, audience, target};
    use domain::event::{Change, Ending, Event};
    use trust::statement::{OrderAct, Outcome, Phase, PhaseTiming};

    fn notes_of(world: &World, audience: &str) -> Vec<String> {
        let status = status(&world.state, &Filter::default(), |_| None, &|_| None, world.now()).unwrap();
        let mut cells = status.apps.into_iter().flat_map(|app| app.cells);
        cells.find(|cell| cell.audience.as_str() == audience).unwrap().notes
    }

    #[test]
    fn what_nobody_released_is_a_build_or_a_version_r2() {
        let mut world = World::new();
        let build = world.pushed("web", 7);
        world.runs("dev-1", "web", build);
        assert_eq!(notes_of(&world, "dev"), [format!("unreleased build web#{}", build.short())]);
        let numbered = world.numbered("web", "1.4.0");
        world.runs("dev-1", "web", numbered);
        assert_eq!(notes_of(&world, "dev"), ["unreleased version web@1.4.0"]);
        world.released("web", "1.4.0", "prod");
        assert!(notes_of(&world, "dev").is_empty());
    }

    /// Of a deployment to prod-1: how it ended there, with the phases it went through.
    fn finished(deployment: u64, outcome: Outcome, running: Option<Digest>, phases: &[Phase]) -> Event {
        let started = fixture::World::new().now();
        Event::TargetFinished {
            deployment,
            target: fixture::target("prod-1"),
            change: (outcome == Outcome::Verified).then_some(Change::Deployed),
            stands: matches!(outcome, Outcome::Refused { .. }),
            outcome,
            running,
            config_serial: 0,
            phases: phases.iter().map(|phase| PhaseTiming { phase: *phase, started, milliseconds: 1 }).collect(),
            endpoints: Vec::new(),
            given_up: false,
            standby: false,
            doubt: None,
            way: Default::default(),
        }
    }

    fn undone(deployment: u64) -> Event {
        let ending = Ending::Undone;
        Event::DeploymentEnded { deployment, ending, reason: None, superseded_by: None, aborted: None }
    }

    #[test]
    fn what_was_replaced_while_it_soaked_and_runs_again_does_not_settle_and_says_so_r54() {
        let mut world = World::new();
        let [first, second] = ["1.0.0", "1.1.0"].map(|number| world.released("web", number, "prod"));
        world.runs("prod-1", "web", first);
        world.runs("prod-1", "web", second);
        let (targets, absent) = (vec![fixture::target("prod-1")], Vec::new());
        let said = |world: &World| notes_of(world, "prod").into_iter().find(|note| note.contains("does not settle"));
        assert_eq!(said(&world), None);
        world.happen(Event::UndoStarted { deployment: 2, reason: "a".into(), targets, absent, aborted: None });
        world.happen(finished(2, Outcome::Verified, Some(first), &[]));
        world.happen(undone(2));
        assert!(said(&world).unwrap().starts_with("1.0.0 does not settle any more: deployment 2 took its place"));
        let view = crate::views::deployment::deployment(&world.state, &world.state, 1, world.now(), &|_| None);
        assert!(view.unwrap().unsettled.unwrap().contains("`sortie redeploy 1` brings it again"));
        // It is over once something else stands there.
        world.runs("prod-1", "web", second);
        assert_eq!(said(&world), None);
    }

    #[test]
    fn nothing_of_what_was_retired_may_be_deployed_and_channels_go_on_r36() {
        let mut world = World::new();
        world.released("web", "1.4.0", "prod");
        world.released("web", "1.4.0", "beta");
        world.happen(Event::AppRetired { app: fixture::app("web") });
        let status = status(&world.state, &Filter::default(), |_| None, &|_| None, world.now()).unwrap();
        let released = |audience: &str| {
            let cell = status.apps[0].cells.iter().find(|cell| cell.audience.as_str() == audience).unwrap();
            cell.released.len()
        };
        assert_eq!((released("prod"), released("beta")), (0, 1));
        assert!(notes_of(&world, "prod").is_empty());
    }

    #[test]
    fn what_failed_was_deployed_r3() {
        let mut world = World::new();
        let build = world.released("web", "1.4.0", "prod");
        assert_eq!(notes_of(&world, "prod"), ["1.4.0 released, never deployed"]);
        let deployment = world.ordered("prod-1", "web", build, OrderAct::Deploy);
        assert!(notes_of(&world, "prod").is_empty(), "it is under way");
        let outcome = Outcome::Undone { phase: Phase::Verify, reason: "unwell".into() };
        world.happen(finished(deployment, outcome, None, &[]));
        world.happen(undone(deployment));
        assert!(notes_of(&world, "prod").is_empty());
    }

    #[test]
    fn r17_what_ran_there_for_a_while_was_deployed() {
        let mut world = World::new();
        let build = world.released("web", "1.4.0", "prod");
        let deployment = world.ordered("prod-1", "web", build, OrderAct::Deploy);
        world.happen(finished(deployment, Outcome::Verified, Some(build), &[]));
        let (targets, absent) = (vec![fixture::target("prod-1")], Vec::new());
        world.happen(Event::UndoStarted { deployment, reason: "aborted".into(), targets, absent, aborted: None });
        let mut back = finished(deployment, Outcome::Verified, None, &[]);
        if let Event::TargetFinished { change, .. } = &mut back {
            *change = None;
        }
        world.happen(back);
        world.happen(undone(deployment));
        assert!(notes_of(&world, "prod").is_empty(), "{:?}", notes_of(&world, "prod"));
    }

    /// What stood planned when something was ordered is spoken of as long as it stands.
    #[test]
    fn a_warning_of_what_stands_planned_ends_with_it() {
        let mut world = World::new();
        let build = world.released("web", "1.4.0", "prod");
        let requested = |deployment, at, warnings, planned_there| Event::DeploymentRequested {
            deployment,
            app: app("web"),
            environment: audience("prod"),
            act: OrderAct::Deploy,
            build,
            version: Some("1.4.0".parse().unwrap()),
            targets: vec![target("prod-1")],
            awaits_permit: false,
            warnings,
            deployer: "oncall".parse().unwrap(),
            rollout: None,
            rings: Vec::new(),
            narrowed: false,
            schedule: trust::schedule::Schedule { at, ..Default::default() },
            keep_data: false,
            package: None,
            only: Default::default(),
            planned_there,
        };
        let at = Some(world.now() + jiff::SignedDuration::from_hours(10));
        world.happen(requested(1, at, Vec::new(), Vec::new()));
        let order = trust::statement::Order::new(app("web"), audience("prod"), OrderAct::Deploy);
        let (numbers, planned) = rules::schedule::planned_beside(&world.state, &order);
        let warnings = [vec!["1.4.0 is superseded".to_string()], planned.clone()].concat();
        world.happen(requested(2, None, warnings.clone(), numbers));
        let said = |world: &World| {
            crate::views::deployment::deployment(&world.state, &world.state, 2, world.now(), &|_| None)
                .unwrap()
                .warnings
        };
        assert!(planned.len() == 1 && said(&world) == warnings, "{:?}", said(&world));
        world.happen(Event::DeploymentEnded {
            deployment: 1,
            ending: Ending::Aborted,
            reason: None,
            superseded_by: None,
            aborted: None,
        });
        assert_eq!(said(&world), ["1.4.0 is superseded"]);
    }

    #[test]
    fn r27_what_is_copied_and_not_activated_is_staged_and_not_deployed() {
        use Phase::{Activate, Check, Configure, Fetch, Migrate, Stage, Verify};
        let mut world = World::new();
        let build = world.released("web", "1.4.0", "prod");
        let part = |world: &World, number| {
            let view = crate::views::deployment::deployment(&world.state, &world.state, number, world.now(), &|_| None);
            let part = view.unwrap().targets.remove(0);
            (part.state, part.detail.unwrap_or_default())
        };
        let refused = || Outcome::Refused { code: "WITHDRAWN".into(), reason: "1.4.0 was withdrawn".into() };
        let undone_at = |phase| Outcome::Undone { phase, reason: "no".into() };
        let staged = ["1.4.0 staged on prod-1, not deployed"];
        // Refused at the last look, and it gets its turn again.
        let number = world.ordered("prod-1", "web", build, OrderAct::Deploy);
        assert_eq!(part(&world, number).0, "at it");
        world.happen(finished(number, refused(), None, &[Check, Fetch, Stage, Configure, Activate]));
        assert_eq!(part(&world, number), ("staged".into(), "it is not activated yet".into()));
        assert_eq!(notes_of(&world, "prod"), staged);
        world.happen(undone(number));
        for (outcome, phases, state) in [
            (undone_at(Configure), &[Check, Fetch, Stage, Configure][..], "staged"),
            (undone_at(Migrate), &[Check, Fetch, Stage, Configure, Migrate], "staged"),
            (undone_at(Stage), &[Check, Fetch, Stage], "undone"),
            (undone_at(Activate), &[Check, Fetch, Stage, Configure, Activate, Activate], "undone"),
            (undone_at(Verify), &[Check, Fetch, Stage, Configure, Activate, Verify, Activate], "undone"),
            (refused(), &[Check], "not begun"),
        ] {
            let number = world.ordered("prod-1", "web", build, OrderAct::Deploy);
            world.happen(finished(number, outcome.clone(), None, phases));
            world.happen(undone(number));
            assert_eq!(part(&world, number).0, state, "{outcome:?}");
            let has_failed = state == "staged";
            assert_eq!(notes_of(&world, "prod").contains(&staged[0].to_owned()), has_failed, "{outcome:?}");
        }
        // What another build was brought over is kept by nobody.
        let number = world.ordered("prod-1", "web", build, OrderAct::Deploy);
        world.happen(finished(number, undone_at(Configure), None, &[Check, Fetch, Stage, Configure]));
        world.happen(undone(number));
        assert!(notes_of(&world, "prod").contains(&staged[0].to_owned()));
        let next = world.released("web", "1.5.0", "prod");
        world.runs("prod-1", "web", next);
        assert!(!notes_of(&world, "prod").contains(&staged[0].to_owned()));
        // Who refuses the way back is on it, and is told so.
        let number = world.ordered("prod-1", "web", build, OrderAct::Deploy);
        world.happen(finished(
            number,
            Outcome::Verified,
            Some(build),
            &[Check, Fetch, Stage, Configure, Activate, Verify],
        ));
        let (targets, absent) = (vec![fixture::target("prod-1")], Vec::new());
        world.happen(Event::UndoStarted { deployment: number, reason: "a".into(), targets, absent, aborted: None });
        world.happen(finished(number, refused(), Some(build), &[]));
        assert_eq!(part(&world, number).0, "refused");
    }
}
