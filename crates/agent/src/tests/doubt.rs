//! What a measurement leaves in doubt runs, and is told with the outcome, so that somebody looks.

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
