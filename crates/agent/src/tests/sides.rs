//! An environment with two sides: what is new stands by, and serves by an order to switch that names it, and by nothing else.

use super::{crash::live, world::*};
use domain::plan::Assignment;
use trust::{
    authority::Dossier,
    statement::{OrderAct, Outcome},
};

fn world() -> World {
    World::of(estate_with_sides())
}

fn serves(world: &World) -> bool {
    world.machine.disk.borrow().serves
}

/// What was reported last says of standing by.
fn said_to_stand_by(world: &World) -> bool {
    world.server.says.borrow().reports.last().unwrap().standby
}

/// An order to switch to a build, with all that lets it into prod.
fn switch(world: &World, generation: u64, content: &str, number: &str) -> Assignment {
    world.say(generation, released(content, number, OrderAct::Switch));
    assignment(generation, content, OrderAct::Switch)
}

#[test]
fn what_is_new_stands_by_until_it_is_let_serve_and_makes_way_for_another() {
    let world = world();
    let mut engine = world.agent();
    world.deploy(&mut engine, 1, "blue", "1.0.0");
    assert!(!serves(&world) && said_to_stand_by(&world));
    let wanted = switch(&world, 2, "blue", "1.0.0");
    assert_eq!(world.follow(&mut engine, &wanted), Some(Outcome::Verified));
    assert!(serves(&world) && !said_to_stand_by(&world));
    // It goes on serving whatever is done to it in place.
    for (generation, act) in [(3, OrderAct::Restart), (4, OrderAct::Stop), (5, OrderAct::Start)] {
        world.say(generation, Dossier { order: Some(order("blue", act)), ..Dossier::default() });
        assert_eq!(world.follow(&mut engine, &assignment(generation, "blue", act)), Some(Outcome::Verified));
        assert!(!said_to_stand_by(&world));
    }
    assert!(serves(&world));
    // The other side's version serves now, whatever this one thinks of that version: nothing but the order counts.
    world.say(6, Dossier { order: Some(order("green", OrderAct::Switch)), ..Dossier::default() });
    let wanted = assignment(6, "green", OrderAct::Switch);
    assert_eq!(world.follow(&mut engine, &wanted), Some(Outcome::Verified));
    assert!(!serves(&world) && said_to_stand_by(&world));
    assert_eq!(super::crash::runs(&world), Some(build("blue")), "it goes on running");
    // And takes what is new again.
    world.deploy(&mut engine, 7, "green", "2.0.0");
    assert!(!serves(&world));
}

/// A stolen server shows nobody what was never let serve.
#[test]
fn a_server_that_holds_all_keys_lets_nothing_serve() {
    let world = world();
    let mut engine = world.agent();
    world.deploy(&mut engine, 1, "blue", "1.0.0");
    let code = |outcome: Option<Outcome>| match outcome {
        Some(Outcome::Refused { code, .. }) => code,
        other => panic!("{other:?}"),
    };
    // An order to deploy is none to switch.
    world.say(2, released("blue", "1.0.0", OrderAct::Deploy));
    let outcome = world.follow(&mut engine, &assignment(2, "blue", OrderAct::Switch));
    assert_eq!(code(outcome), "STATEMENT_INVALID");
    // Nor is one to switch to something else, or what was withdrawn since.
    world.say(3, released("green", "2.0.0", OrderAct::Switch));
    let outcome = world.follow(&mut engine, &assignment(3, "blue", OrderAct::Switch));
    assert_eq!(code(outcome), "STATEMENT_INVALID");
    let withdrawn = released("blue", "1.0.0", OrderAct::Switch);
    world.say(4, Dossier { withdrawals: vec![withdrawal("blue", "1.0.0")], ..withdrawn });
    let outcome = world.follow(&mut engine, &assignment(4, "blue", OrderAct::Switch));
    assert_eq!(code(outcome), "PERMIT_WITHDRAWN");
    assert!(!serves(&world));
}

#[test]
fn nothing_new_comes_to_a_side_that_serves() {
    let world = world();
    let mut engine = world.agent();
    world.deploy(&mut engine, 1, "blue", "1.0.0");
    let wanted = switch(&world, 2, "blue", "1.0.0");
    assert_eq!(world.follow(&mut engine, &wanted), Some(Outcome::Verified));
    world.say(3, released("green", "2.0.0", OrderAct::Deploy));
    let outcome = world.follow(&mut engine, &assignment(3, "green", OrderAct::Deploy));
    assert!(matches!(outcome, Some(Outcome::Refused { ref code, .. }) if code == "SERVES"), "{outcome:?}");
    assert!(serves(&world));
    // What cannot stand by is deployed in place, as anywhere.
    world.deploy(&mut engine, 4, "two", "3.0.0");
    assert!(serves(&world));
}

/// A switch is taken back: what had begun to serve stands by again, and what had made way serves.
#[test]
fn a_switch_that_is_taken_back_leaves_all_as_it_was() {
    for (content, serves_before) in [("blue", false), ("green", true)] {
        let world = world();
        let mut engine = world.agent();
        world.deploy(&mut engine, 1, "blue", "1.0.0");
        if serves_before {
            let wanted = switch(&world, 2, "blue", "1.0.0");
            assert_eq!(world.follow(&mut engine, &wanted), Some(Outcome::Verified));
        }
        let wanted = switch(&world, 3, content, "1.0.0");
        assert_eq!(world.follow(&mut engine, &wanted), Some(Outcome::Verified));
        assert_eq!(serves(&world), !serves_before);
        let back = Assignment { undo: true, generation: 4, ..wanted };
        assert_eq!(world.follow(&mut engine, &back), Some(Outcome::Verified));
        assert_eq!((serves(&world), said_to_stand_by(&world)), (serves_before, !serves_before));
    }
}

/// A stolen server gives a deployment's number to a switch: what goes back from it goes back to what ran, and says what runs.
#[test]
fn what_is_taken_back_as_a_switch_and_was_none_leaves_what_ran() {
    let world = world();
    let mut engine = world.agent();
    world.deploy(&mut engine, 1, "blue", "1.0.0");
    world.deploy(&mut engine, 2, "green", "2.0.0");
    let deployed = assignment(2, "green", OrderAct::Switch);
    let back = Assignment { undo: true, generation: 3, ..deployed };
    assert_eq!(world.follow(&mut engine, &back), Some(Outcome::Verified));
    assert_eq!(super::crash::runs(&world), Some(build("blue")));
    assert_eq!(world.server.says.borrow().reports.last().unwrap().running, Some(build("blue")));
    assert!(!serves(&world) && said_to_stand_by(&world));
}

#[test]
fn a_switch_that_has_settled_is_not_taken_back() {
    let world = world();
    let mut engine = world.agent();
    world.deploy(&mut engine, 1, "blue", "1.0.0");
    let wanted = switch(&world, 2, "blue", "1.0.0");
    assert_eq!(world.follow(&mut engine, &wanted), Some(Outcome::Verified));
    assert!(engine.journals().get(&app()).is_unsettled(), "what it measures is asked again until it has settled");
    engine.settle(&[(app(), build("blue"))]).unwrap();
    let back = Assignment { undo: true, generation: 3, ..wanted };
    let outcome = world.follow(&mut engine, &back);
    assert!(matches!(outcome, Some(Outcome::Refused { ref code, .. }) if code == "NOT_HERE"), "{outcome:?}");
    assert!(serves(&world));
}

/// What is sick when it is let serve stands by again by itself.
#[test]
fn what_fails_as_it_begins_to_serve_stands_by_again() {
    let world = world();
    let mut engine = world.agent();
    world.deploy(&mut engine, 1, "blue", "1.0.0");
    world.machine.disk.borrow_mut().sick.insert(build("blue"));
    let wanted = switch(&world, 2, "blue", "1.0.0");
    let outcome = world.follow(&mut engine, &wanted);
    assert!(matches!(outcome, Some(Outcome::Undone { .. })), "{outcome:?}");
    assert!(!serves(&world) && said_to_stand_by(&world));
}

/// What is sick and cannot leave service again is said to serve, so that nothing new comes to it.
#[test]
fn what_cannot_leave_service_again_is_said_to_serve() {
    let world = world();
    let mut engine = world.agent();
    world.deploy(&mut engine, 1, "blue", "1.0.0");
    world.machine.disk.borrow_mut().sick.insert(build("blue"));
    world.machine.disk.borrow_mut().drains_fail = true;
    let wanted = switch(&world, 2, "blue", "1.0.0");
    let outcome = world.follow(&mut engine, &wanted);
    assert!(matches!(outcome, Some(Outcome::Failed { .. })), "{outcome:?}");
    assert!(!said_to_stand_by(&world));
    world.say(3, released("green", "2.0.0", OrderAct::Deploy));
    let outcome = world.follow(&mut engine, &assignment(3, "green", OrderAct::Deploy));
    assert!(matches!(outcome, Some(Outcome::Refused { ref code, .. }) if code == "SERVES"), "{outcome:?}");
}

/// Killed at every point there is, a target ends a switch as it began, or as it was ordered, and says which.
#[test]
fn killed_at_any_point_of_a_switch() {
    for (content, serves_before) in [("blue", false), ("green", true)] {
        for points in 1..200 {
            let world = world();
            let mut engine = world.agent();
            world.deploy(&mut engine, 1, "blue", "1.0.0");
            if serves_before {
                let wanted = switch(&world, 2, "blue", "1.0.0");
                world.follow(&mut engine, &wanted);
            }
            drop(engine);
            let wanted = switch(&world, 3, content, "1.0.0");
            let died = live(&world, Some(points), |engine| engine.follow(&wanted.app, Some(&wanted)).unwrap());
            let mut engine = world.agent();
            engine.recover();
            engine.follow(&wanted.app, Some(&wanted)).unwrap();
            assert_eq!(serves(&world), !serves_before, "{content}, killed at {points}");
            assert_eq!(said_to_stand_by(&world), serves_before, "{content}, killed at {points}");
            if !died {
                assert!(points > 5, "a switch has more points than {points}");
                break;
            }
        }
    }
}
