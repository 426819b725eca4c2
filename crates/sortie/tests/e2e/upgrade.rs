//! Sortie itself is upgraded: the server first, then one agent after the other, while deployments are under way.
//!
//! `cargo xtask upgrade REVISION` plays this with the program of an earlier commit in the place of the older one. Without one, the same
//! program is put in its own place, so that at least every step of the story is taken in each run of the tests.

use crate::world::{PROJECT, World, find, get, until};
use std::{env, path::PathBuf};

/// Which program is the older one.
const OLDER: &str = "SORTIE_OLDER";

/// R3, R8: what runs goes on running, what is under way is carried on by those who come after, and nothing that was recorded is
/// lost.
#[test]
fn r3_server_and_agents_are_upgraded_under_deployments() {
    let newer = PathBuf::from(env!("CARGO_BIN_EXE_sortie"));
    let older = env::var_os(OLDER).map_or_else(|| newer.clone(), PathBuf::from);
    let mut world = World::new();
    world.install(&older);
    world.found(crate::world::TEAM, crate::world::ENVIRONMENTS);
    world.add_machines(&[("test-1", "test"), ("prod-1", "prod"), ("prod-2", "prod")]);
    world.make_repository(PROJECT);
    let release = |world: &World, greeting: &str| {
        world.change_greeting(greeting);
        let version = world.push_and_number();
        world.release_to_prod(&version);
        version
    };
    let serve = |world: &World, words: &str| {
        let answers = world.endpoints("prod").into_iter().filter_map(|there| get(there, "/").ok());
        answers.filter(|answer| answer.contains(words)).count()
    };
    let one = release(&world, "Hello there, {name}!");
    world.sortie("oncall", 0, &format!("deploy {one} --to prod"));
    assert_eq!(serve(&world, "Hello there"), 2);

    // A deployment is under way, for prod-2 is away; then the server is upgraded, and prod-2 returns as it was.
    let two = release(&world, "Good day, {name}!");
    world.stop_agent("prod-2");
    world.sortie("oncall", 0, &format!("deploy {two} --to prod --detach"));
    until("prod-1", || (serve(&world, "Good day") == 1).then_some(()));
    world.stop_server();
    world.install(&newer);
    world.start_server();
    world.start_agent("prod-2");
    until("prod-2", || (serve(&world, "Good day") == 2).then_some(()));
    world.sortie("tester", 0, "ledger verify");

    // The agents follow, the first in the middle of the next deployment; what they keep goes on running.
    let three = release(&world, "Good evening, {name}!");
    world.stop_agent("prod-1");
    world.sortie("oncall", 0, &format!("deploy {three} --to prod --detach"));
    assert_eq!(serve(&world, "Good day"), 2);
    world.install_on("prod-1", &newer);
    world.start_agent("prod-1");
    until("both", || (serve(&world, "Good evening") == 2).then_some(()));
    for name in ["prod-2", "test-1"] {
        world.stop_agent(name);
        world.install_on(name, &newer);
        assert_eq!(serve(&world, "Good evening"), 2);
        world.start_agent(name);
    }
    world.await_machines(&["prod-1", "prod-2", "test-1"]);

    let targets = world.ask("tester", "target list");
    for name in ["prod-1", "prod-2", "test-1"] {
        let target = find(&targets, &|value| value["name"] == name).unwrap();
        assert_eq!(target["agent_version"], env!("CARGO_PKG_VERSION"));
    }

    // What the older ones installed can be gone back to, restarted and removed by the newer ones.
    world.sortie("oncall", 0, "restart web --in prod");
    world.sortie("oncall", 0, "rollback web --in prod");
    assert_eq!(serve(&world, "Good day"), 2);
    world.sortie("tester", 0, "escapes");
    world.sortie("oncall", 0, "undeploy web --from prod");
    assert_eq!(serve(&world, ""), 0);
    world.sortie("tester", 0, "history").says("web@0.1.0").says("web@0.3.0");
    world.sortie("tester", 0, "ledger verify");
}
