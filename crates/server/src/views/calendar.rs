//! What is planned, what begins and ends, and what of it cannot come true as it stands (R1).

use super::{build_name, words::Texts};
use api::read::{CalendarEntry, CalendarKind, DroppedView};
use domain::{
    outlook::{self, Outlook},
    plan,
    rules::{lifetime, owners, restored::Lost},
    state::State,
    waiting::WaitingOn,
};
use jiff::Timestamp;
use std::collections::BTreeSet;
use trust::{
    AppName, AudienceName,
    charter::Environment,
    window::{self, Opening},
};

/// How many openings of one environment's windows are listed.
const OPENINGS: usize = 100;

/// Everything from `from` until `until`, as it is known `now`, in these environments, all where none is named, in order of time.
/// `lost` is what keeps a server that was put back from beginning anything.
pub(crate) fn calendar(
    state: &State,
    lost: &Lost,
    (now, from): (Timestamp, Timestamp),
    until: Timestamp,
    environments: &BTreeSet<AudienceName>,
    texts: Texts<'_>,
) -> Vec<CalendarEntry> {
    let is_meant = |name: &AudienceName| {
        (environments.is_empty() || environments.contains(name)) && !lifetime::is_gone(state, name)
    };
    let mut entries = deployments(state, lost, now);
    entries.extend(awaiting(state, now));
    // What stands past its time is of the present.
    entries.retain(|entry| entry.from >= from || from <= now);
    entries.extend(freezes(state, texts, from));
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
        reason: None,
    }
}

/// The orders that stand, those too whose time has come while they wait.
fn deployments(state: &State, lost: &Lost, now: Timestamp) -> Vec<CalendarEntry> {
    let of_outlook = |outlook: Outlook| {
        let record = state.deployments.get(&outlook.deployment)?;
        // What will be dropped is, whether the clock may begin it or not.
        let kept = keeps_waiting(state, lost, outlook.deployment, now).filter(|_| outlook.never.is_none());
        Some(CalendarEntry {
            number: Some(outlook.deployment),
            app: Some(record.app.clone()),
            build: Some(build_name(state, &record.app, &record.build)),
            clashes: outlook.clashes.iter().chain(&kept).map(|clash| trust::names::printable(clash)).collect(),
            ..entry(CalendarKind::Deployment, &record.environment, outlook.at, record.schedule.expires)
        })
    };
    outlook::outlooks(state, now).into_iter().filter_map(of_outlook).collect()
}

/// The orders that name no time and begin whenever they are released: since they were ordered, with what they wait for.
fn awaiting(state: &State, now: Timestamp) -> Vec<CalendarEntry> {
    let of_order = |number: &u64| {
        let record = state.deployments.get(number)?;
        let waits = plan::waits(state, *number, now).filter(|waits| matches!(waits, WaitingOn::Permit { .. }))?;
        (record.schedule.at.is_none() && record.package.is_none()).then(|| CalendarEntry {
            number: Some(*number),
            app: Some(record.app.clone()),
            build: Some(build_name(state, &record.app, &record.build)),
            clashes: vec![trust::names::printable(&waits.to_string())],
            ..entry(CalendarKind::Deployment, &record.environment, record.stamp.time, record.schedule.expires)
        })
    };
    state.open_deployments.iter().filter_map(of_order).collect()
}

/// What keeps an order from its time where owners must sign first, in words that stand by themselves.
fn keeps_waiting(state: &State, lost: &Lost, number: u64, now: Timestamp) -> Option<String> {
    let until = owners::until(state, (lost, now), &plan::waits(state, number, now)?)?;
    Some(format!("deployment {number} waits until {until}"))
}

/// Those of an application's orders that stand in an environment and will be dropped.
pub(crate) fn dropped(
    state: &State,
    app: &AppName,
    environment: &AudienceName,
    outlooks: &[Outlook],
) -> Vec<DroppedView> {
    let view = |outlook: &Outlook| {
        let record = state.deployments.get(&outlook.deployment)?;
        let is_meant = record.app == *app && record.environment == *environment;
        let why = outlook.never.as_ref().filter(|_| is_meant)?;
        Some(DroppedView {
            build: build_name(state, app, &record.build),
            deployment: outlook.deployment,
            why: trust::names::printable(why),
        })
    };
    outlooks.iter().filter_map(view).collect()
}

fn freezes(state: &State, texts: Texts<'_>, from: Timestamp) -> Vec<CalendarEntry> {
    let Some(policy) = &state.policy else { return Vec::new() };
    let on = state.freezes.values().filter(|freeze| freeze.is_over(from).is_none());
    let of_freeze = |freeze: &domain::state::Freeze| {
        let terms = &freeze.known.terms;
        let reached = policy.charter.environments.iter().filter(|(name, record)| terms.reaches(name, record.class));
        let frozen = |(name, _): (&AudienceName, _)| CalendarEntry {
            number: Some(freeze.number),
            apps: terms.apps.iter().cloned().collect(),
            reason: texts(&terms.reason).map(|reason| trust::names::printable(&reason)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::{
        fixture::{World, app, audience},
        status,
    };
    use trust::{schedule::Schedule, statement::OrderAct};

    /// What the calendar says of an order that stands, whoever looks at the deployment or at the board is told as well.
    #[test]
    fn r1_an_order_whose_permit_was_withdrawn_is_said_to_be_dropped_wherever_it_is_shown() {
        let mut world = World::new();
        let build = world.released("web", "1.4.0", "test");
        let at = Some(world.now() + jiff::SignedDuration::from_hours(2));
        let number = world.stands("test-1", "web", build, OrderAct::Deploy, Schedule { at, ..Schedule::default() });
        let said = |world: &World| {
            let (state, now) = (&world.state, world.now());
            let view = crate::views::deployment::deployment(state, state, number, now, &|_| None).unwrap();
            let all = status::status(state, &status::Filter::default(), |_| None, &|_| None, now).unwrap();
            let mut cells = all.apps.into_iter().filter(|one| one.app == app("web")).flat_map(|app| app.cells);
            let cell = cells.find(|cell| cell.audience == audience("test")).unwrap();
            (view.never, cell.dropped.iter().map(DroppedView::in_words).collect::<Vec<_>>())
        };
        assert_eq!(said(&world), (None, Vec::new()));
        world.withdraw("web", "1.4.0", "test");
        let (never, dropped) = said(&world);
        assert!(never.unwrap().starts_with("web@1.4.0 was withdrawn from test"), "the deployment says it");
        assert!(dropped[0].starts_with("deployment 1 will be dropped: web@1.4.0 was withdrawn"), "{dropped:?}");
    }

    /// R34: after a restore the clock begins nothing, so that no planned order stands there as if it came in its time.
    #[test]
    fn r34_what_the_clock_will_not_begin_after_a_restore_clashes_with_that() {
        let mut world = World::new();
        let build = world.released("web", "1.4.0", "test");
        let at = Some(world.now() + jiff::SignedDuration::from_hours(2));
        world.stands("test-1", "web", build, OrderAct::Deploy, Schedule { at, ..Schedule::default() });
        let clashes = |lost: &Lost| {
            let until = world.now() + jiff::SignedDuration::from_hours(24);
            let entries = calendar(&world.state, lost, (world.now(), world.now()), until, &BTreeSet::new(), &|_| None);
            entries.into_iter().find(|entry| entry.kind == CalendarKind::Deployment).unwrap().clashes
        };
        assert_eq!(clashes(&Lost::default()), Vec::<String>::new());
        let lost = Lost { seen: vec![(world.state.epoch(), 1_000)], ..Lost::default() };
        let said = clashes(&lost);
        assert!(said[0].starts_with("deployment 1 waits until owners sign a new epoch"), "{said:?}");
    }
}
