//! Who is there and has not got what it missed, and who has not said what came of what is over.

use super::{build_name, words};
use api::read::Status;
use domain::{
    rules::{
        late,
        presence::{self, Away},
        schedule::Moment,
    },
    state::{Deployment, DeploymentPhase, Part, Progress, State},
    waiting::WaitingOn,
};
use jiff::Timestamp;
use std::collections::BTreeMap;
use trust::TargetName;

/// Notes where a target has not caught up yet, and when it does, and whose word is missing.
pub(crate) fn tell(state: &State, away: &Away, now: Timestamp, status: &mut Status) {
    tell_lagging(state, away, now, status);
    tell_unsaid(state, away, status);
}

/// Who has not caught up: too few others serve, or the time is wrong.
fn tell_lagging(state: &State, away: &Away, now: Timestamp, status: &mut Status) {
    let mut lagging: BTreeMap<(u64, String), Vec<&TargetName>> = BTreeMap::new();
    for comer in late::comers(state, away, now) {
        let Some(why) = comer.kept_back else { continue };
        lagging.entry((comer.missed, format!("once more others serve: {why}"))).or_default().push(comer.target);
    }
    for (target, missed, moment) in late::untimely(state, away, now) {
        let when = match moment {
            Moment::Now => continue,
            Moment::Later(WaitingOn::Freeze { freeze, until, .. }) => {
                format!("after freeze {freeze}, which ends at {}", words::moment(until))
            }
            Moment::Later(WaitingOn::Window { opens_at: Some(at), .. }) => {
                format!("when a window opens, at {}", words::moment(at))
            }
            Moment::Later(waiting) => format!("later: {waiting}"),
            Moment::Never(why) => format!("by a new order only: {why}"),
        };
        lagging.entry((missed, when)).or_default().push(target);
    }
    for ((missed, when), targets) in lagging {
        let Some(record) = state.deployments.get(&missed) else { continue };
        let what = build_name(state, &record.app, &record.build).of(&record.app);
        let gets = if targets.len() == 1 { "gets" } else { "get" };
        let note = format!("{} {gets} {what} {when}", words::names(&targets));
        note_in(status, record, &note);
    }
}

/// Notes whose word is missing on how a deployment ended there that is over.
fn tell_unsaid(state: &State, away: &Away, status: &mut Status) {
    let mut missing: BTreeMap<u64, Vec<&TargetName>> = BTreeMap::new();
    for (name, target) in state.targets.iter().filter(|(_, target)| !target.retired) {
        let unsaid = target.apps.keys().filter_map(|app| presence::unsaid(state, name, app));
        // Who is at it since that was over is not done yet, and says so then.
        for number in unsaid.filter(|number| away.contains(name) || !began_afterwards(state, *number, name)) {
            missing.entry(number).or_default().push(name);
        }
    }
    for (number, targets) in missing {
        let Some(record) = state.deployments.get(&number) else { continue };
        note_in(status, record, &unsaid(&targets, &format!("deployment {number}")));
    }
}

/// Whether a target began its part of a deployment when that was over, as who catches up or tries again does, and is at it.
fn began_afterwards(state: &State, number: u64, name: &TargetName) -> bool {
    let Some(record) = state.deployments.get(&number) else { return false };
    let DeploymentPhase::Ended { stamp, .. } = &record.phase else { return false };
    let is_at_it = |part: &Part| matches!(part.progress, Progress::Assigned(_)) && part.begun > stamp.entry;
    record.parts.get(name).is_some_and(is_at_it)
}

/// That the word of targets is missing on how `what` ended there.
pub(super) fn unsaid(targets: &[&TargetName], what: &str) -> String {
    let have = if targets.len() == 1 { "has" } else { "have" };
    let names = words::names(targets);
    format!("{names} {have} not said how {what} ended there: what runs and serves there may be otherwise")
}

fn note_in(status: &mut Status, record: &Deployment, note: &str) {
    let apps = status.apps.iter_mut().filter(|app| app.app == record.app).flat_map(|app| &mut app.cells);
    apps.filter(|cell| cell.audience == record.environment).for_each(|cell| cell.notes.push(note.to_owned()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::{
        fixture::{World, audience, verified},
        status::{Filter, status},
    };
    use domain::event::{Change, Ending, Event};
    use jiff::SignedDuration;
    use trust::{schedule::Schedule, statement::OrderAct};

    /// R40, R1: a freeze keeps back whoever comes late; what an order brings that has an end it brings to nobody afterwards. Whoever looks
    /// is told what is waited for.
    #[test]
    fn r40_who_comes_in_a_freeze_or_when_the_order_is_over_is_named() {
        let mut world = World::new();
        let build = world.released("web", "1.4.0", "prod");
        let expires = Some(world.now() + SignedDuration::from_hours(1));
        let deployment =
            world.stands("prod-1", "web", build, OrderAct::Deploy, Schedule { expires, ..Schedule::default() });
        let targets = vec!["prod-1".parse().unwrap()];
        world.happen(Event::WaveStarted { deployment, wave: 1, targets, ring: None, migrate: None });
        world.happen(verified(deployment, "prod-1", Some(Change::Deployed), Some(build)));
        let ending = Ending::Succeeded;
        world.happen(Event::DeploymentEnded { deployment, ending, reason: None, superseded_by: None, aborted: None });
        world.enrolled("prod-2", "prod", 30);
        let said = |world: &World, now: Timestamp| {
            let mut status = status(&world.state, &Filter::default(), |_| None, &|_| None, now).unwrap();
            let before = status.clone();
            tell(&world.state, &Away::new(), now, &mut status);
            let notes = |status: &Status| {
                let cell = status.apps[0].cells.iter().find(|cell| cell.audience == audience("prod")).unwrap();
                cell.notes.clone()
            };
            notes(&status).split_off(notes(&before).len())
        };
        assert!(said(&world, world.now()).is_empty());
        let terms = trust::freeze::Terms {
            environments: [audience("prod")].into(),
            apps: Default::default(),
            from: world.now(),
            until: world.now() + SignedDuration::from_mins(30),
            reason: trust::Digest::of(b"reason"),
        };
        let by = "oncall".parse().unwrap();
        world.happen(Event::FreezeDeclared { freeze: trust::Digest::of(b"freeze"), number: 1, terms, by });
        let [note] = &said(&world, world.now())[..] else { panic!("one note") };
        assert!(note.starts_with("prod-2 gets web@1.4.0 after freeze 1, which ends at "), "{note}");
        let [note] = &said(&world, world.now() + SignedDuration::from_hours(2))[..] else { panic!("one note") };
        assert!(note.starts_with("prod-2 gets web@1.4.0 by a new order only: its order expired at "), "{note}");
    }

    /// R46: who was left out in the middle of its part may have come to serve by it: what is told of it is its last word.
    #[test]
    fn r46_whose_word_is_missing_is_named() {
        let mut world = World::new();
        let build = world.released("web", "1.4.0", "prod");
        let deployment = world.stands("prod-1", "web", build, OrderAct::Deploy, Schedule::default());
        let targets = vec!["prod-1".parse().unwrap()];
        world.happen(Event::WaveStarted { deployment, wave: 1, targets, ring: None, migrate: None });
        let said = |world: &World| {
            let mut status = status(&world.state, &Filter::default(), |_| None, &|_| None, world.now()).unwrap();
            tell(&world.state, &Away::new(), world.now(), &mut status);
            let cell = status.apps[0].cells.iter().find(|cell| cell.audience == audience("prod")).unwrap();
            cell.notes.iter().any(|note| note.starts_with("prod-1 has not said how deployment 1 ended there"))
        };
        assert!(!said(&world), "it is under way");
        let ending = Ending::Aborted;
        world.happen(Event::DeploymentEnded { deployment, ending, reason: None, superseded_by: None, aborted: None });
        assert!(said(&world));
        world.happen(verified(deployment, "prod-1", Some(Change::Deployed), Some(build)));
        assert!(!said(&world));
    }

    /// R40: who catches up is at it, and is missed only where nothing is heard of it.
    #[test]
    fn r40_who_is_at_what_it_missed_is_not_said_to_owe_a_word() {
        let mut world = World::new();
        let build = world.released("web", "1.4.0", "prod");
        world.runs("prod-1", "web", build);
        world.enrolled("prod-2", "prod", 30);
        let late: TargetName = "prod-2".parse().unwrap();
        world.happen(Event::TargetAdded { deployment: 1, target: late.clone() });
        let said = |away: &Away| {
            let mut status = status(&world.state, &Filter::default(), |_| None, &|_| None, world.now()).unwrap();
            tell(&world.state, away, world.now(), &mut status);
            let cell = status.apps[0].cells.iter().find(|cell| cell.audience == audience("prod")).unwrap();
            cell.notes.iter().any(|note| note.starts_with("prod-2 has not said how deployment 1 ended there"))
        };
        assert!(!said(&Away::new()));
        assert!(said(&[late].into()));
    }
}
