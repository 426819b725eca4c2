//! What is planned, what begins and ends, and what of it cannot come true as it stands (R1).

use super::build_name;
use api::read::{CalendarEntry, CalendarKind};
use domain::{
    rules::{self, Candidate, lifetime, schedule, schedule::Moment},
    state::{Deployment, State},
};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;
use trust::{
    AppName, AudienceName,
    charter::Environment,
    window::{self, Opening},
};

/// How many openings of one environment's windows are listed.
const OPENINGS: usize = 100;
/// Two deployments of one application to one place that are planned nearer than this are meant for the same time.
const SAME_TIME: SignedDuration = SignedDuration::from_hours(1);

/// Everything from `from` until `until` in these environments, all where none is named, in order of time.
pub(crate) fn calendar(
    state: &State,
    from: Timestamp,
    until: Timestamp,
    environments: &BTreeSet<AudienceName>,
) -> Vec<CalendarEntry> {
    let is_meant = |name: &AudienceName| {
        (environments.is_empty() || environments.contains(name)) && !lifetime::is_gone(state, name)
    };
    let mut entries = deployments(state, from);
    entries.extend(freezes(state, from));
    entries.extend(windows(state, from, until));
    entries.extend(permits(state, from));
    entries.extend(ends(state, from));
    entries.retain(|entry| is_meant(&entry.environment) && entry.from < until);
    entries.sort_by(|one, other| {
        (one.from, one.number, &one.environment).cmp(&(other.from, other.number, &other.environment))
    });
    entries
}

fn entry(kind: CalendarKind, environment: &AudienceName, from: Timestamp, until: Option<Timestamp>) -> CalendarEntry {
    CalendarEntry {
        kind,
        environment: environment.clone(),
        from,
        until,
        number: None,
        app: None,
        build: None,
        apps: Vec::new(),
        clashes: Vec::new(),
    }
}

/// The deployments that stand until a time that is to come.
fn planned(state: &State, from: Timestamp) -> impl Iterator<Item = (u64, &Deployment, Timestamp)> {
    let open = state.open_deployments.iter().filter_map(|number| Some((*number, state.deployments.get(number)?)));
    open.filter(|(_, record)| record.waves == 0)
        .filter_map(move |(number, record)| Some((number, record, record.schedule.at.filter(|at| *at >= from)?)))
}

fn deployments(state: &State, from: Timestamp) -> Vec<CalendarEntry> {
    let planned_entry = |(number, record, at): (u64, &Deployment, Timestamp)| CalendarEntry {
        number: Some(number),
        app: Some(record.app.clone()),
        build: Some(build_name(state, &record.app, &record.build)),
        clashes: clashes(state, number, record, at),
        ..entry(CalendarKind::Deployment, &record.environment, at, record.schedule.expires)
    };
    planned(state, from).map(planned_entry).collect()
}

/// Why a planned deployment will not begin at its time, as far as is known.
fn clashes(state: &State, number: u64, record: &Deployment, at: Timestamp) -> Vec<String> {
    let mut said = Vec::new();
    match schedule::moment(state, number, record, at) {
        Moment::Later(waiting) => said.push(waiting.to_string()),
        Moment::Never(reason) => said.push(reason),
        Moment::Now => {}
    }
    let candidate = Candidate::of(state, record).ok();
    if let (Some(policy), Some(candidate)) = (state.policy.as_deref(), candidate)
        && let Err(refusal) = rules::may_run(state, policy, &candidate, at)
    {
        said.push(refusal.to_string());
    }
    let same = |other: &Deployment| other.app == record.app && other.environment == record.environment;
    let near = planned(state, Timestamp::MIN).filter(|(other, planned, time)| {
        *other != number && same(planned) && time.duration_since(at).abs() < SAME_TIME
    });
    said.extend(
        near.map(|(other, _, time)| {
            format!("deployment {other} of {} is planned there too, for {time:.0}", record.app)
        }),
    );
    said
}

fn freezes(state: &State, from: Timestamp) -> Vec<CalendarEntry> {
    let Some(policy) = &state.policy else { return Vec::new() };
    let on = state.freezes.values().filter(|freeze| freeze.is_over(from).is_none());
    let of_freeze = |freeze: &domain::state::Freeze| {
        let terms = &freeze.known.terms;
        let reached = policy.charter.environments.iter().filter(|(name, record)| terms.reaches(name, record.class));
        let frozen = |(name, _): (&AudienceName, _)| CalendarEntry {
            number: Some(freeze.number),
            apps: terms.apps.iter().cloned().collect(),
            ..entry(CalendarKind::Freeze, name, terms.from, Some(terms.until))
        };
        reached.map(frozen).collect::<Vec<_>>()
    };
    on.flat_map(of_freeze).collect()
}

fn windows(state: &State, from: Timestamp, until: Timestamp) -> Vec<CalendarEntry> {
    let Some(policy) = &state.policy else { return Vec::new() };
    let of_environment = |(name, record): (&AudienceName, &Environment)| {
        let openings = window::openings(&record.windows, from, until).into_iter().take(OPENINGS);
        let open = |opening: Opening| entry(CalendarKind::Window, name, opening.from, Some(opening.until));
        openings.map(open).collect::<Vec<_>>()
    };
    policy.charter.environments.iter().flat_map(of_environment).collect()
}

/// The throw-away environments whose time is over.
fn ends(state: &State, from: Timestamp) -> Vec<CalendarEntry> {
    let Some(policy) = &state.policy else { return Vec::new() };
    let ends = |name: &AudienceName| {
        let at = lifetime::last_ends(state, name).filter(|at| *at > from)?;
        Some(entry(CalendarKind::EnvironmentEnds, name, at, None))
    };
    policy.charter.environments.keys().filter_map(ends).collect()
}

/// The permits that begin or end.
fn permits(state: &State, from: Timestamp) -> Vec<CalendarEntry> {
    let mut entries = Vec::new();
    for (app, record) in &state.apps {
        for (name, here) in &record.audiences {
            for version in here.requests.keys() {
                let Some((_, request)) = state.granted(app, version, name) else { continue };
                let of_permit = |kind, at| CalendarEntry {
                    app: Some(AppName::clone(app)),
                    build: Some(build_name(state, app, &request.build)),
                    ..entry(kind, name, at, None)
                };
                let begins = Some(request.not_before).filter(|at| *at > from);
                entries.extend(begins.map(|at| of_permit(CalendarKind::PermitBegins, at)));
                let ends = Some(request.not_after).filter(|at| *at > from);
                entries.extend(ends.map(|at| of_permit(CalendarKind::PermitEnds, at)));
            }
        }
    }
    entries
}
