//! No outcome is lost on its way to the server.

use super::world::*;
use trust::statement::{OrderAct, Outcome};

/// A conflict says that this very report was never heard, whatever had its id.
#[test]
fn a_report_whose_id_was_spent_on_another_is_told_under_an_id_of_its_own() {
    let world = World::new();
    let mut engine = world.agent();
    world.server.says.borrow_mut().ids_to_spend = 1;
    world.say(1, released("one", "1.0.0", OrderAct::Deploy));
    let offered = assignment(1, "one", OrderAct::Deploy);
    assert_eq!(world.follow(&mut engine, &offered), None, "its id was spent");
    assert!(engine.journals().get(&app()).unreported.is_some(), "it is still to be told");
    assert_eq!(world.follow(&mut engine, &offered), Some(Outcome::Verified));
    assert!(engine.journals().get(&app()).unreported.is_none());
}

/// The server hears of this target all the time, and is told what keeps it: until it goes on.
#[test]
fn what_cannot_be_written_down_is_told() {
    let world = World::new();
    let mut engine = world.agent();
    world.say(1, released("one", "1.0.0", OrderAct::Deploy));
    let offered = assignment(1, "one", OrderAct::Deploy);
    // A folder in the place of a file refuses every write, as a full disk does.
    let in_the_way = world.folder.path().join(format!("journal/{}.json.new", app()));
    std::fs::create_dir(&in_the_way).unwrap();
    let error = engine.follow(&app(), Some(&offered)).unwrap_err().to_string();
    let told = world.server.says.borrow_mut().told.pop().unwrap();
    assert!(told.stuck && !told.done && told.deployment == offered.deployment, "{told:?}");
    assert!(error.starts_with("cannot write ") && told.note == error, "{told:?}");
    std::fs::remove_dir(&in_the_way).unwrap();
    assert_eq!(world.follow(&mut engine, &offered), Some(Outcome::Verified));
    assert!(world.server.says.borrow().told.iter().all(|told| !told.stuck));
}

/// A server that has replaced an assignment gives out no statements for it: that is no failure of the machine.
#[test]
fn what_a_newer_assignment_has_replaced_is_not_reported() {
    let world = World::new();
    let mut engine = world.agent();
    world.deploy(&mut engine, 1, "one", "1.0.0");
    let outdated = assignment(2, "one", OrderAct::Undeploy);
    assert_eq!(world.follow(&mut engine, &outdated), None);
    assert!(engine.journals().get(&app()).under_way.is_none(), "nothing of it was begun");
    world.say(3, released("two", "1.1.0", OrderAct::Deploy));
    let newest = assignment(3, "two", OrderAct::Deploy);
    assert_eq!(world.follow(&mut engine, &newest), Some(Outcome::Verified));
}
