//! How fresh a target's knowledge is: a mirror or a server that freezes, mixes, holds back or goes back, and withdrawals
//! that come by any road.

use super::world::*;
use crate::withdraw::carry;
use jiff::{SignedDuration, Timestamp};
use trust::{
    AppName,
    dsse::Envelope,
    statement::{OrderAct, Outcome},
};

fn hours_ago(hours: i64) -> Timestamp {
    Timestamp::now() - SignedDuration::from_hours(hours)
}

/// A target whose owners delegated a repository, and a server that publishes this.
fn world(version: u64, dated: Timestamp, withdrawn: &[Envelope]) -> World {
    let world = World::of(estate_with_repository(1));
    world.publish(version, dated, withdrawn);
    world
}

impl World {
    fn publish(&self, version: u64, dated: Timestamp, withdrawn: &[Envelope]) {
        let files = published(&estate_with_repository(1), version, dated, withdrawn);
        // Old versions stay, as they do on a web server.
        self.server.says.borrow_mut().repository.extend(files);
    }

    /// Orders build `one`; answers with what the target reports.
    fn order_one(&self, engine: &mut TestEngine, generation: u64) -> Option<Outcome> {
        self.say(generation, released("one", "1.0.0", OrderAct::Deploy));
        self.follow(engine, &assignment(generation, "one", OrderAct::Deploy))
    }
}

#[track_caller]
fn refused(outcome: Option<Outcome>, expected: &str) {
    match outcome {
        Some(Outcome::Refused { code, reason }) => assert_eq!(code, expected, "{reason}"),
        other => panic!("expected {expected}, got {other:?}"),
    }
}

/// Attack: freeze.
#[test]
fn a_server_that_shows_an_old_word_for_ever_gets_nothing_new_activated() {
    let world = world(1, hours_ago(25), &[]);
    let mut engine = world.agent();
    refused(world.order_one(&mut engine, 5), "STALE");
    assert_eq!(world.touched(), 0);
    world.publish(2, hours_ago(1), &[]);
    assert_eq!(world.order_one(&mut engine, 6), Some(Outcome::Verified));
    // What runs is restarted and removed by whoever may, however old the word.
    world.server.says.borrow_mut().repository.clear();
    world.say(7, released("one", "1.0.0", OrderAct::Restart));
    assert_eq!(world.follow(&mut engine, &assignment(7, "one", OrderAct::Restart)), Some(Outcome::Verified));
}

/// The server tells of no withdrawal, in its polls and in its dossiers; its repository, which it must date to stay
/// fresh, has it.
/// Attack: withheld withdrawal.
#[test]
fn r31_a_withdrawal_that_only_the_repository_tells_of_counts() {
    let world = world(1, hours_ago(0), &[withdrawal("one", "1.0.0")]);
    let mut engine = world.agent();
    refused(world.order_one(&mut engine, 5), "PERMIT_WITHDRAWN");
    // Seen once, it is kept whatever is shown later.
    world.publish(2, hours_ago(0), &[]);
    drop(engine);
    refused(world.order_one(&mut world.agent(), 6), "PERMIT_WITHDRAWN");
}

/// As above, of a package: its withdrawals stand under the package's name, and against what it brings.
/// Attack: withheld withdrawal.
#[test]
fn r31_a_withdrawal_of_a_package_that_only_the_repository_tells_of_counts_for_its_members() {
    let withdrawn = [withdrawal_of_package("one", "1.0.0")];
    let (shop, nothing): (AppName, &[Envelope]) = ("shop".parse().unwrap(), &[]);
    for (told, expected) in [(nothing, None), (&withdrawn[..], Some("PERMIT_WITHDRAWN"))] {
        let world = World::of(estate_with_repository(1));
        let files =
            published_of(&estate_with_repository(1), 1, hours_ago(0), &[(app(), nothing), (shop.clone(), told)]);
        world.server.says.borrow_mut().repository.extend(files);
        world.say(5, brought("one", "1.0.0"));
        let outcome = world.follow(&mut world.agent(), &assignment(5, "one", OrderAct::Deploy));
        match expected {
            Some(code) => refused(outcome, code),
            None => assert_eq!(outcome, Some(Outcome::Verified)),
        }
    }
}

/// The mirror is so old that nothing else of it counts; withdrawals speak for themselves.
/// Attack: withheld withdrawal.
#[test]
fn r31_a_withdrawal_is_taken_from_a_mirror_that_is_too_old_for_anything_else() {
    let world = world(9, hours_ago(0), &[]);
    let mirror = published(&estate_with_repository(1), 3, hours_ago(24 * 30), &[withdrawal("one", "1.0.0")]);
    world.server.says.borrow_mut().mirrors.push(mirror);
    refused(world.order_one(&mut world.agent(), 5), "PERMIT_WITHDRAWN");
}

/// A new date over the lists of yesterday, or over files that cannot be had, makes nothing fresh.
/// Attack: mix-and-match.
#[test]
fn a_new_date_over_old_or_missing_lists_makes_nothing_fresh() {
    for missing in ["metadata/2.permits-prod.json", "metadata/2.snapshot.json", "targets/"] {
        let world = world(1, hours_ago(25), &[]);
        let mut engine = world.agent();
        engine.refresh_repository();
        let mut today = published(&estate_with_repository(1), 2, hours_ago(0), &[withdrawal("three", "3.0.0")]);
        today.retain(|path, _| !path.starts_with(missing));
        world.server.says.borrow_mut().repository.extend(today);
        refused(world.order_one(&mut engine, 5), "STALE");
        // The old list under the new name.
        let old = world.server.says.borrow().repository.get("metadata/1.permits-prod.json").cloned().unwrap();
        world.server.says.borrow_mut().repository.insert("metadata/2.permits-prod.json".into(), old);
        refused(world.order_one(&mut engine, 6), "STALE");
    }
}

/// Attack: rollback.
/// Attack: fast-forward.
#[test]
fn versions_never_fall_whatever_their_date_and_a_server_that_is_away_is_waited_for() {
    let world = world(u64::from(u32::MAX), hours_ago(23), &[]);
    let mut engine = world.agent();
    assert_eq!(world.order_one(&mut engine, 5), Some(Outcome::Verified));
    // A thief of the online key who wrote a huge version cannot be followed by an honest smaller one, until owners
    // replace the key; nothing is activated by what is older than what was seen.
    world.publish(2, hours_ago(0), &[]);
    drop(engine);
    let mut engine = world.agent();
    assert_eq!(engine.refreshed().map(|signed| signed < hours_ago(22)), Some(true));
    engine.refresh_repository();
    assert_eq!(engine.refreshed().map(|signed| signed < hours_ago(22)), Some(true), "a rollback was taken");
}

#[test]
fn an_estate_from_before_there_was_a_repository_goes_on_until_owners_sign_that_there_is_one() {
    let world = World::new();
    let mut engine = world.agent();
    assert_eq!(world.order_one(&mut engine, 5), Some(Outcome::Verified));
    world.server.says.borrow_mut().estate = Some(estate_with_repository(2));
    engine.refresh();
    world.say(6, released("two", "2.0.0", OrderAct::Deploy));
    refused(world.follow(&mut engine, &assignment(6, "two", OrderAct::Deploy)), "STALE");
    // And the server cannot go back to before.
    world.server.says.borrow_mut().estate = Some(estate(1, "live"));
    refused(world.order_one(&mut engine, 7), "STALE");
}

/// A mirror brings a newer charter, with the server away.
#[test]
fn a_mirror_carries_what_the_owners_signed() {
    let world = world(1, hours_ago(1), &[]);
    let mut engine = world.agent();
    let mirror = published(&estate_with_repository(2), 2, hours_ago(0), &[]);
    world.server.says.borrow_mut().mirrors.push(mirror);
    world.server.says.borrow_mut().away = true;
    engine.refresh_repository();
    assert_eq!(engine.documents.version(), 2);
}

/// Carried by hand to a target whose server tells of nothing, to an agent that runs or one that does not.
/// Attack: withheld withdrawal.
#[test]
fn r31_a_withdrawal_that_is_carried_to_the_target_counts_without_any_server() {
    let world = world(1, hours_ago(0), &[]);
    let mut engine = world.agent();
    let data = world.folder.path();
    let envelope = serde_json::to_vec(&withdrawal("one", "1.0.0")).unwrap();
    let kept = carry(data, &envelope).unwrap();
    assert_eq!((kept[0].build, kept[0].through_serial), (build("one"), 1));
    refused(world.order_one(&mut engine, 5), "PERMIT_WITHDRAWN");
    drop(engine);
    refused(world.order_one(&mut world.agent(), 6), "PERMIT_WITHDRAWN");

    // Nobody's word is taken for a withdrawal: not a stranger's, not that of another estate's file, not any bytes.
    let Envelope { payload, .. } = withdrawal("two", "2.0.0");
    let forged = Envelope::sign(payload, &trust::key::SecretKey::from_seed(&[77; 32])).unwrap();
    assert!(carry(data, &serde_json::to_vec(&forged).unwrap()).is_err());
    assert!(carry(data, b"{}").is_err());
    assert!(carry(&data.join("elsewhere"), &envelope).is_err());
}
