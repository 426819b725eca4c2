//! Somebody has taken the server: its address, its keys and its disk.

use crate::world::{PROJECT, World, files, until};
use std::{path::PathBuf, process::Command};

/// R31: a live target runs neither what was withdrawn nor what was never released, whatever the server says. And what
/// the thief made up is forgotten: the very next genuine deployment is followed.
/// Attack: arbitrary installation.
/// Attack: withheld withdrawal.
/// Attack: repeated order.
/// Attack: stolen online keys.
#[test]
fn r2_r31_a_stolen_server_moves_no_live_target() {
    let mut world = World::of_team(&[("test-1", "test"), ("prod-1", "prod")]);
    world.make_repository(PROJECT);
    let one = world.push_and_number();
    world.release_to_prod(&one);
    world.sortie("oncall", 0, &format!("deploy {one} --to prod"));
    world.change_greeting("Good day, {name}!");
    let two = world.push_and_number();
    world.release_to_prod(&two);
    world.sortie("oncall", 0, &format!("deploy {two} --to prod"));
    world.change_greeting("Good evening, {name}!");
    let three = world.push_and_number();
    world.release_to_prod(&three);
    world.sortie("tester", 0, &format!("withdraw {one} --from prod --reason \"it greets at the wrong time\""));
    until("the withdrawal on the machine", || {
        let trust = files(&world.agent_data("prod-1").join("trust"));
        let text = String::from_utf8_lossy(trust.get(&PathBuf::from("withdrawals.json"))?).into_owned();
        text.contains("through_serial").then_some(())
    });
    let before = world.active("prod-1", "web");
    world.stop_server();
    let address = world.url().trim_start_matches("https://").to_string();
    let data = world.server_data();
    let mut thief = Command::new(example());
    thief.arg("--data").arg(&data).args(["--listen", &address, "--environment", "prod", "--order", &one]);
    let told = world.run("the thief".into(), &mut thief, 0);
    told.says("prod-1 refused: PERMIT_WITHDRAWN").says("prod-1 refused: UNRELEASED").lacks("obeyed");
    assert_eq!(world.active("prod-1", "web"), before);
    world.start_server();
    // Its number is one that the thief has used: the machine must not have taken his word for it.
    world.sortie("oncall", 0, &format!("deploy {three} --to prod"));
    assert_ne!(world.active("prod-1", "web"), before);
    world.sortie("tester", 0, "ledger verify");
}

/// The example: beside our own program, built once if it is not there.
pub fn example() -> PathBuf {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_sortie")).with_file_name("examples").join("hostile");
    if !program.exists() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--package", "server", "--example", "hostile"]);
        assert!(build.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap().success(), "it cannot be built");
    }
    program
}
