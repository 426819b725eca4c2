//! Somebody is suspended while a machine is off that was told to install what they agreed to.

use crate::world::{PROJECT, World, read_text, until};

/// R31, R52: the machine hears of it before it does anything, and lacks an approval; what was running goes on. Power comes
/// back by a charter that owners sign, and the very same permit counts again.
#[test]
fn r31_r52_what_somebody_agreed_to_who_was_suspended_meanwhile_is_refused_by_the_machine_itself() {
    let mut world = World::of_team(&[("test-1", "test"), ("prod-1", "prod")]);
    world.make_repository(PROJECT);
    let first = world.push_and_number();
    world.release_to_prod(&first);
    world.sortie("oncall", 0, &format!("deploy {first} --to prod"));
    world.change_greeting("Good morning, {name}!");
    let second = world.push_and_number();
    world.release_to_prod(&second);
    let before = world.active("prod-1", "web");

    world.stop_agent("prod-1");
    world.sortie("oncall", 0, &format!("deploy {second} --to prod --detach"));
    world.sortie("coder", 3, "person suspend tester").says("ROLE_MISSING");
    let said = world.sortie("owner", 0, "person suspend tester");
    said.says("what tester approved lacks an approval").says("goes on running").lacks("stays released");
    world.sortie("owner", 0, "person list").says("suspended; was qa");
    world.start_agent("prod-1");
    let log = world.root().join("machines/prod-1/log");
    until("prod-1 to refuse", || read_text(&log).contains("Refused { code: \"APPROVALS_MISSING\"").then_some(()));
    assert_eq!(world.active("prod-1", "web"), before);
    world.sortie("oncall", 3, &format!("deploy {second} --to prod")).says("qa");
    world.sortie("tester", 3, "status");

    let charter = world.home("owner").join("charter.toml");
    let text = read_text(&charter).replace("class = \"live\",", "class = \"live\", at_once = 2,");
    std::fs::write(&charter, text).unwrap();
    world.sortie("owner", 0, "charter apply --yes").says("in force");
    world.sortie("oncall", 0, &format!("deploy {second} --to prod")).says("1/1");
    assert_ne!(world.active("prod-1", "web"), before);
}
