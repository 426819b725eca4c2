//! A target that lives for a time only removes everything by itself when that is over, and does nothing more (R30).

use super::{
    crash::{live, runs},
    world::*,
};
use crate::drivers::Drivers;
use jiff::{SignedDuration, Timestamp};
use trust::{authority::VerifiedAuthority, charter::Class, statement::OrderAct};

/// The class of prod in a charter that lets its targets live for so long.
fn lives(length: &str) -> String {
    format!(r#"test", lives = "{length}"#)
}

/// A target that joined so many hours ago, where build `one` runs and has left data.
fn installed(hours: i64) -> World {
    let world = World::of_class(estate(1, &lives("48h")), Class::Test);
    world.deploy(&mut world.agent(), 1, "one", "1.0.0");
    world.machine.disk.borrow_mut().data = true;
    world.joined(Timestamp::now() - SignedDuration::from_hours(hours));
    world
}

fn is_clean(world: &World) -> bool {
    let disk = world.machine.disk.borrow();
    let nothing = disk.running.is_none() && disk.current.is_none() && disk.staged.is_empty() && !disk.data;
    let kept = ["manifests", "config"].map(|name| std::fs::read_dir(world.folder.path().join(name)).unwrap().count());
    nothing && kept == [0, 0]
}

#[test]
fn r30_killed_anywhere_and_without_a_server_everything_goes_once_and_it_is_told_once() {
    for points in 0.. {
        let context = format!("killed at point {points}");
        let world = installed(49);
        world.server.says.borrow_mut().away = true;
        let died = live(&world, Some(points), |engine| engine.recover());
        live(&world, None, |engine| engine.recover());
        assert!(is_clean(&world), "{context}: {:?}", world.machine.disk.borrow());
        assert!(world.agent().is_over() && !world.agent().is_done(), "{context}: nobody was told yet");

        world.server.says.borrow_mut().away = false;
        live(&world, None, |engine| engine.recover());
        let touched = world.touched();
        let mut engine = world.agent();
        assert!(engine.is_done(), "{context}");
        engine.recover();
        let says = world.server.says.borrow();
        let [word] = &says.inventories[..] else { panic!("{context}: {:?}", says.inventories) };
        assert!(word.lapsed.is_some() && word.active.is_empty() && word.findings.is_empty(), "{context}: {word:?}");
        drop(says);

        // Whatever a server wants now is let lie, and nothing comes back.
        world.say(2, released("two", "2.0.0", OrderAct::Deploy));
        assert_eq!(world.follow(&mut engine, &assignment(2, "two", OrderAct::Deploy)), None, "{context}");
        assert_eq!((world.touched(), is_clean(&world)), (touched, true), "{context}");
        if !died {
            assert!(points >= 8, "the story has no points to die at");
            break;
        }
    }
}

#[test]
fn r30_killed_while_telling_the_last_word_it_is_told_all_the_same() {
    for points in 0.. {
        let world = installed(49);
        world.server.says.borrow_mut().away = true;
        live(&world, None, |engine| engine.recover());
        world.server.says.borrow_mut().away = false;
        let died = live(&world, Some(points), |engine| engine.recover());
        live(&world, None, |engine| engine.recover());
        assert!(world.agent().is_done() && !world.server.says.borrow().inventories.is_empty(), "at point {points}");
        if !died {
            break;
        }
    }
}

#[test]
fn r30_a_change_that_was_under_way_ends_with_the_target() {
    for points in 0.. {
        let world = installed(0);
        world.say(2, released("two", "2.0.0", OrderAct::Deploy));
        let wanted = assignment(2, "two", OrderAct::Deploy);
        let died = live(&world, Some(points), |engine| engine.follow(&app(), Some(&wanted)).unwrap());
        world.joined(Timestamp::now() - SignedDuration::from_hours(49));
        live(&world, None, |engine| engine.recover());
        assert!(is_clean(&world), "killed at point {points}");
        let journal = world.agent().journals().get(&app());
        assert!(journal.under_way.is_none() && journal.active.is_none(), "killed at point {points}: {journal:?}");
        if !died {
            break;
        }
    }
}

#[test]
fn r30_nothing_goes_before_its_time() {
    let world = installed(47);
    let mut engine = world.agent();
    engine.recover();
    assert!(!engine.is_over() && runs(&world) == Some(build("one")));
    drop(engine);

    // Owners gave it more time while the agent was not running: it hears that before anything is lost.
    world.joined(Timestamp::now() - SignedDuration::from_hours(49));
    world.server.says.borrow_mut().estate = Some(estate(2, &lives("30d")));
    let mut engine = world.agent();
    engine.recover();
    assert!(!engine.is_over() && runs(&world) == Some(build("one")));
}

/// A later charter calls the environment another class, by mistake or not.
/// Attack: a target ended early, or kept.
#[test]
fn r30_what_joined_a_live_environment_never_ends_by_itself() {
    let world = World::new();
    world.deploy(&mut world.agent(), 1, "one", "1.0.0");
    world.joined(Timestamp::now() - SignedDuration::from_hours(24 * 300));
    world.server.says.borrow_mut().estate = Some(estate(2, &lives("1m")));
    let mut engine = world.agent();
    engine.refresh();
    assert_eq!(engine.documents.version(), 2);
    engine.recover();
    assert!(!engine.is_over() && runs(&world) == Some(build("one")));
}

#[test]
fn r30_data_goes_by_no_other_authority() {
    let world = installed(0);
    let drivers = Drivers::new(world.machine.clone());
    let refused = drivers.erase(&VerifiedAuthority::undo(&app(), None), &app()).unwrap_err();
    assert!(refused.to_string().contains("is for no data"), "{refused}");
    assert!(world.machine.disk.borrow().data && runs(&world).is_some());
}
