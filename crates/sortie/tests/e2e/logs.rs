//! What a service writes can be read from afar.

use crate::world::{Ended, PROJECT, World, get, read_text, until};
use std::fs;

/// R46: the lines are those of the process that runs there; with `--follow`, they come as they are written.
#[test]
fn r46_logs_come_and_go_on_coming() {
    let world = World::of_team(&[("dev-1", "dev")]);
    world.make_repository(PROJECT);
    let database = world.root().join("people.csv");
    fs::write(&database, "name\nAda\n").unwrap();
    let build = world.push();
    world.sortie("coder", 0, &format!("config set web DATABASE={} --in dev", database.display()));
    world.sortie("coder", 0, &format!("deploy {build} --to dev"));
    world.sortie("coder", 0, "logs web --on dev-1").says("listens on http://127.0.0.1:");
    let refused = world.sortie("coder", 2, "logs web --on dev-1 --process wbe");
    refused.says("web on dev-1 has no process wbe; it has web").says("next: sortie logs web --on dev-1 --process web");
    world.sortie("coder", 2, "logs web --on dev-1 --process worker --follow").says("no process worker");
    world.sortie("coder", 0, "logs web --on dev-1 --process web").says("listens on");

    let log = world.root().join("followed.log");
    let mut command = world.sortie_command("coder");
    command.args(["logs", "web", "--on", "dev-1", "--follow"]);
    let mut follower = Ended::start(&mut command, &log);
    until("the first lines", || read_text(&log).contains("listens on").then_some(()));
    fs::remove_file(&database).unwrap();
    let [there] = world.endpoints("dev")[..] else { panic!("one machine, one endpoint") };
    until("a new line", || {
        get(there, "/").ok();
        read_text(&log).contains("people.csv: No such file").then_some(())
    });
    assert!(follower.runs());
    follower.interrupt();
}
