//! What is planned, what begins and ends, and what of it cannot come true as it stands (R1).

use super::{build_name, words::Texts};
use api::read::{CalendarEntry, CalendarKind, DroppedView};
use domain::{
    outlook::{self, Outlook},
    plan,
    rules::{late, lifetime, owners, presence::Away, restored::Lost},
    state::State,
    waiting::WaitingOn,
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use trust::{
    AppName, AudienceName, TargetName,
    charter::Environment,
    window::{self, Opening},
};

/// How many openings of one environment's windows are listed: those of one a day for as far as a calendar looks ahead.
const OPENINGS: usize = 1_000;

/// Everything from `from` until `until`, as it is known `now`, in these environments, all where none is named, in order of time.
/// `lost` is what keeps a server that was put back from beginning anything; nothing comes to who is `away`.
pub(crate) fn calendar(
    state: &State,
    (lost, away): (&Lost, &Away),
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
    entries.extend(going_on(state, lost, now));
    entries.extend(catching_up(state, away, now));
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
        begun: false,
        missed_by: Vec::new(),
        more: false,
    }
}

/// An entry about a deployment.
fn of_deployment(state: &State, number: u64, from: Timestamp, clashes: Vec<String>) -> Option<CalendarEntry> {
    let record = state.deployments.get(&number)?;
    Some(CalendarEntry {
        number: Some(number),
        app: Some(record.app.clone()),
        build: Some(build_name(state, &record.app, &record.build)),
        clashes: clashes.iter().map(|clash| trust::names::printable(clash)).collect(),
        ..entry(CalendarKind::Deployment, &record.environment, from, None)
    })
}

/// The orders that stand, those too whose time has come while they wait.
fn deployments(state: &State, lost: &Lost, now: Timestamp) -> Vec<CalendarEntry> {
    let of_outlook = |outlook: Outlook| {
        let record = state.deployments.get(&outlook.deployment)?;
        // What will be dropped is, whether the clock may begin it or not.
        let kept = keeps_waiting(state, lost, outlook.deployment, now).filter(|_| outlook.never.is_none());
        let clashes = outlook.clashes.into_iter().chain(kept).collect();
        let entry = of_deployment(state, outlook.deployment, outlook.at, clashes)?;
        Some(CalendarEntry { until: record.schedule.expires, ..entry })
    };
    outlook::outlooks(state, now).into_iter().filter_map(of_outlook).collect()
}

/// The orders that name no time and begin whenever they are released, or something else has ended: since they were ordered, with what
/// they wait for.
fn awaiting(state: &State, now: Timestamp) -> Vec<CalendarEntry> {
    let of_order = |number: &u64| {
        let record = state.deployments.get(number)?;
        let waits = plan::waits(state, *number, now)?;
        let is_meant = matches!(waits, WaitingOn::Permit { .. } | WaitingOn::Deployment { .. });
        if !is_meant || record.schedule.at.is_some() || record.package.is_some() {
            return None;
        }
        let entry = of_deployment(state, *number, record.stamp.time, vec![waits.to_string()])?;
        Some(CalendarEntry { until: record.schedule.expires, ..entry })
    };
    state.open_deployments.iter().filter_map(of_order).collect()
}

/// What has begun, and goes on by itself.
fn going_on(state: &State, lost: &Lost, now: Timestamp) -> Vec<CalendarEntry> {
    let of_one = |one: outlook::GoesOn| {
        let kept = keeps_waiting(state, lost, one.deployment, now);
        let entry = of_deployment(state, one.deployment, one.at, one.clash.into_iter().chain(kept).collect())?;
        Some(CalendarEntry { begun: true, ..entry })
    };
    outlook::going_on(state, now).into_iter().filter_map(of_one).collect()
}

/// Who gets what it missed once a window opens or a freeze is over.
fn catching_up(state: &State, away: &Away, now: Timestamp) -> Vec<CalendarEntry> {
    let mut comers: BTreeMap<(u64, Timestamp), Vec<TargetName>> = BTreeMap::new();
    for comer in late::comers(state, away, now).filter(|comer| comer.at > now) {
        let expires = state.deployments.get(&comer.missed).and_then(|record| record.schedule.expires);
        let is_there = state.targets.get(comer.target).is_some_and(|it| !lifetime::is_over(state, it, comer.at));
        if is_there && expires.is_none_or(|expires| comer.at < expires) {
            comers.entry((comer.missed, comer.at)).or_default().push(comer.target.clone());
        }
    }
    let of_these = |((missed, at), targets)| {
        let entry = of_deployment(state, missed, at, Vec::new())?;
        Some(CalendarEntry { missed_by: targets, ..entry })
    };
    comers.into_iter().filter_map(of_these).collect()
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
        let openings = window::openings(&record.windows, from, until);
        let last = (openings.len() > OPENINGS).then_some(OPENINGS - 1);
        let open = |(place, opening): (usize, Opening)| CalendarEntry {
            more: last == Some(place),
            ..entry(CalendarKind::Window, name, opening.from, Some(opening.until))
        };
        openings.into_iter().take(OPENINGS).enumerate().map(open).collect::<Vec<_>>()
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
        fixture::{World, app, audience, target, verified},
        status,
    };
    use domain::event::{Change, Event};
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
            let entries = calendar(
                &world.state,
                (lost, &Away::new()),
                (world.now(), world.now()),
                until,
                &BTreeSet::new(),
                &|_| None,
            );
            entries.into_iter().find(|entry| entry.kind == CalendarKind::Deployment).unwrap().clashes
        };
        assert_eq!(clashes(&Lost::default()), Vec::<String>::new());
        let lost = Lost { seen: vec![(world.state.epoch(), 1_000)], ..Lost::default() };
        let said = clashes(&lost);
        assert!(said[0].starts_with("deployment 1 waits until owners sign a new epoch"), "{said:?}");
    }

    fn all(world: &World, ahead: i64) -> Vec<CalendarEntry> {
        let until = world.now() + jiff::SignedDuration::from_hours(ahead);
        let known = (&Lost::default(), &Away::new());
        calendar(&world.state, known, (world.now(), world.now()), until, &BTreeSet::new(), &|_| None)
    }

    fn deployments_of(world: &World) -> Vec<(u64, bool, Vec<TargetName>, Vec<String>)> {
        let entries = all(world, 24).into_iter().filter(|entry| entry.kind == CalendarKind::Deployment);
        entries.map(|it| (it.number.unwrap(), it.begun, it.missed_by, it.clashes)).collect()
    }

    fn freeze(world: &mut World) -> Timestamp {
        let until = world.now() + jiff::SignedDuration::from_hours(2);
        let (environments, reason) = ([audience("prod")].into(), trust::Digest::of(b"reason"));
        let terms = trust::freeze::Terms { environments, apps: Default::default(), from: world.now(), until, reason };
        let (freeze, by) = (trust::Digest::of(b"freeze"), "oncall".parse().unwrap());
        world.happen(Event::FreezeDeclared { freeze, number: 1, terms, by });
        until
    }

    /// R1: what has begun and stands, what is to follow it, and who catches up: all of it comes once the freeze is over, and is
    /// in the calendar.
    #[test]
    fn r1_what_goes_on_or_catches_up_once_a_freeze_is_over_is_in_the_calendar() {
        let mut world = World::new();
        let (one, two) = (world.released("web", "1.4.0", "prod"), world.released("web", "1.5.0", "prod"));
        world.verified_in("web", &one, "test");
        world.runs("prod-1", "web", one);
        world.enrolled("prod-2", "prod", 30);
        let until = freeze(&mut world);
        assert_eq!(deployments_of(&world), [(2, false, vec![target("prod-2")], Vec::new())]);
        let is_then = |entry: &CalendarEntry| entry.kind == CalendarKind::Freeze || entry.from == until;
        assert!(all(&world, 24).iter().all(is_then), "{:?}", all(&world, 24));

        let on = ["prod-1", "prod-2"];
        let deployment = world.stands_on(&on, "web", two, OrderAct::Deploy, Schedule::default());
        let targets = vec![target("prod-1")];
        world.happen(Event::WaveStarted { deployment, wave: 1, targets, ring: None, migrate: None });
        assert_eq!(deployments_of(&world), [], "what is being done is not planned");
        world.happen(verified(deployment, "prod-1", Some(Change::Upgraded), Some(two)));
        let goes_on = (3, true, Vec::new(), Vec::new());
        assert_eq!(deployments_of(&world), std::slice::from_ref(&goes_on));
        world.stands_on(&on, "web", one, OrderAct::Redeploy, Schedule::default());
        let [follows, goes] = &deployments_of(&world)[..] else { panic!("{:?}", deployments_of(&world)) };
        assert_eq!((follows.0, follows.1, goes), (4, false, &goes_on));
        assert!(follows.3[0].starts_with("deployment 4 waits for deployment 3 to end"), "{follows:?}");
    }

    /// R1: where more openings follow than are listed, the last one says so.
    #[test]
    fn r1_openings_that_are_not_listed_are_said_to_follow() {
        let mut world = World::new();
        world.amended("dev  = { ", "dev  = { windows = [\"daily 07:00-08:00 UTC\", \"daily 09:00-10:00 UTC\"], ");
        let windows = |ahead: i64| {
            let entries = all(&world, ahead).into_iter();
            entries.filter(|entry| entry.kind == CalendarKind::Window).map(|entry| entry.more).collect::<Vec<_>>()
        };
        let few = windows(24 * 300);
        assert!(few.len() > 500 && few.iter().all(|more| !more), "{few:?}");
        let many = windows(24 * 600);
        assert_eq!((many.len(), many.iter().filter(|more| **more).count(), many.last()), (OPENINGS, 1, Some(&true)));
    }
}
