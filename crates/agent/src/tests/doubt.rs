//! What people should look at though it is done is told with the outcome.

use super::{crash::live, world::*};
use trust::statement::{OrderAct, Outcome};

#[test]
fn killed_anywhere_what_was_in_doubt_runs_and_is_told_once() {
    for points in 0.. {
        let context = format!("killed at point {points}");
        let world = World::new();
        world.deploy(&mut world.agent(), 1, "one", "1.0.0");
        let journal = |world: &World| world.agent().journals().get(&app());
        assert!(!journal(&world).active.unwrap().doubted, "{context}");
        world.machine.disk.borrow_mut().unclear.insert(build("two"));
        world.say(2, released("two", "2.0.0", OrderAct::Deploy));
        let offered = assignment(2, "two", OrderAct::Deploy);
        let follow = |engine: &mut TestEngine| {
            let _died = engine.follow(&offered.app, Some(&offered));
        };
        let died = live(&world, Some(points), follow);
        live(&world, None, |engine| engine.recover());
        live(&world, None, follow);
        let says = world.server.says.borrow();
        let [_, told] = &says.reports[..] else { panic!("{context}: {:?}", says.reports) };
        assert_eq!((&told.outcome, told.running), (&Outcome::Verified, Some(build("two"))), "{context}");
        assert_eq!(told.doubt.as_deref(), Some("verify errors: inconclusive: measured NaN"), "{context}");
        // From then on it is no news to those who looked that it goes on deciding nothing.
        assert!(journal(&world).active.unwrap().doubted, "{context}");
        if !died {
            assert!(points >= 8, "the story has no points to die at");
            break;
        }
    }
}

/// A stop that people ordered is done, and does not say that all was well with it.
#[test]
fn what_could_not_be_taken_out_of_service_is_stopped_and_told() {
    for act in [OrderAct::Stop, OrderAct::Undeploy] {
        let world = World::new();
        let mut agent = world.agent();
        world.deploy(&mut agent, 1, "one", "1.0.0");
        world.machine.disk.borrow_mut().drains_fail = true;
        world.say(2, released("one", "1.0.0", act));
        assert_eq!(world.follow(&mut agent, &assignment(2, "one", act)), Some(Outcome::Verified), "{act:?}");
        assert_eq!(world.machine.disk.borrow().running, None, "{act:?}");
        let says = world.server.says.borrow();
        let told = says.reports[1].doubt.as_deref();
        assert_eq!(told, Some("stopped though it may still have been asked: drain ended with 1"), "{act:?}");
        let active = agent.journals().get(&app()).active;
        assert!(!active.is_some_and(|active| active.doubted), "{act:?}: nothing is left to be measured");
    }
}
