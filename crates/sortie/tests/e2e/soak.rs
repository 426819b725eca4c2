//! What was verified must stay well: a deployment settles only then, and goes back where it does not.

use crate::world::{ENVIRONMENTS, PROJECT, TEAM, World, get, until};
use std::fs;

/// R54, R3: a version is well when it is verified. While it soaks its database loses what it needs; nobody looks, and the
/// environment goes back by itself to what ran before.
#[test]
fn r54_what_is_unwell_while_it_soaks_does_not_settle_and_goes_back() {
    let mut world = World::new();
    let soaks = ENVIRONMENTS.replace("test = { ", "test = { soak_minutes = 1, ");
    assert_ne!(soaks, ENVIRONMENTS);
    world.found(TEAM, &soaks);
    world.add_machines(&[("test-1", "test"), ("test-2", "test")]);
    for machine in ["test-1", "test-2"] {
        world.stop_agent(machine);
        world.start_agent_with(machine, &["--watch-seconds", "1"]);
    }
    world.make_repository(PROJECT);
    let database = world.root().join("people.csv");
    fs::write(&database, "name,plan\nAda,free\n").unwrap();
    world.push();
    world.sortie("coder", 0, &format!("config set web --in test DATABASE={}", database.display()));
    let release = |world: &World| {
        let version = world.push_and_number();
        world.sortie("coder", 0, &format!("release {version} --to test"));
        world.sortie("coder", 0, &format!("deploy {version} --to test")).says("verify ✓");
        version
    };
    let one = release(&world);
    world.sortie("tester", 0, "status web").says("soaks until");

    world.change_greeting("Hello, {name}! Your plan: {plan}.");
    let two = release(&world);
    fs::write(&database, "name\nAda\n").unwrap();
    until("it goes back", || world.sortie("tester", 0, "status web").stdout.contains("held out").then_some(()));
    world.sortie("tester", 0, "history web").says("is unwell on test-").says("/healthz 503").says("was undone");
    world.sortie("tester", 0, "status 2").says("unwell").says("undone");
    for there in world.endpoints("test") {
        assert!(get(there, "/").unwrap().contains("Hello, Ada!"), "it serves as it did before");
    }
    world.sortie("coder", 3, &format!("deploy {two} --to test")).says("HELD").says("deployment 2");
    let carried = world.root().join("carried");
    let export = format!("bundle export {two} --to test --out {}", carried.display());
    world.sortie("coder", 3, &export).says("HELD").says(&format!("sortie hold lift {two} --in test"));
    assert!(!carried.exists(), "nothing was written, and no order was signed");
    world.sortie("tester", 0, "status web --in test").says(one.trim_start_matches("web@"));
    world.sortie("tester", 0, "ledger verify");
}
