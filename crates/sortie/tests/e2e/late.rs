//! Machines that come after something was deployed.

use crate::world::{PROJECT, World, get, until};

/// R40: a machine that joins a live environment gets what stands there, by the permit and the order of before, which it
/// checks for itself; one that was cordoned gets it once it no longer is.
#[test]
fn r40_a_machine_that_joins_later_catches_up_by_itself() {
    let mut world = World::of_team(&[("test-1", "test"), ("prod-1", "prod"), ("prod-2", "prod")]);
    world.make_repository(PROJECT);
    let one = world.push_and_number();
    world.release_to_prod(&one);
    world.sortie("oncall", 0, "target cordon prod-2");
    world.sortie("oncall", 0, &format!("deploy {one} --to prod"));
    assert_eq!(world.endpoints("prod").len(), 1);
    world.sortie("oncall", 0, "target uncordon prod-2");
    world.add_machines(&[("prod-3", "prod")]);
    until("all to catch up", || (world.endpoints("prod").len() == 3).then_some(()));
    for there in world.endpoints("prod") {
        assert!(get(there, "/").unwrap().contains("Hello, "));
    }
    world.sortie("tester", 0, "history").says("prod-3 was not there for deployment").says("and gets it now");
    world.sortie("tester", 0, "ledger verify");
}
