//! The server moves to another place, with its data and other keys. Nobody touches a target.

use crate::world::{World, read_text, until};

const CHARTER: &str = r#"
[environments]
dev = { class = "dev", deploy = "developer" }
"#;

/// Owners announce the next keys and the next place in the charter; people's command lines and machines follow by
/// themselves. Keys that nobody announced are not taken, and the old ones are forgotten at the end.
#[test]
fn everybody_follows_a_server_that_moves_and_changes_its_keys() {
    let mut world = World::new();
    world.found(&[("coder", "developer"), ("nightly", "developer")], CHARTER);
    world.add_machines(&[("dev-1", "dev"), ("dev-2", "dev")]);
    let before = world.url_and_pin.clone();

    world.stop_server();
    let mut serve = world.sortie_command("owner");
    serve.args(["serve", "--rotate-keys", "--listen", "127.0.0.1:0", "--board", "127.0.0.1:0", "--data"]);
    serve.arg(world.server_data());
    world.run("serve --rotate-keys".into(), &mut serve, 1).says("does not announce");
    world.start_server();

    let there = World::another_address();
    world.sortie("coder", 3, "server rotate --yes").says("SIGNATURES_MISSING");
    world.sortie("owner", 0, "server rotate --yes").says("announced");
    world.sortie("owner", 0, "server rotate --yes").says("announced already");
    world.sortie("owner", 2, "server move http://elsewhere --yes").says("https://");
    world.sortie("owner", 0, &format!("server move https://{there} --yes")).says("is in force");
    let known = world.agent_data("dev-1").join("trust/documents.json");
    until("dev-1 to know the new place", || read_text(&known).contains(&there.to_string()).then_some(()));
    world.stop_agent("dev-2");

    // A command line knows what its last command has seen.
    world.sortie("coder", 0, "status");
    world.stop_server();
    world.start_server_at(there, &["--rotate-keys"]);
    assert_ne!(before.split('#').next_back(), world.url_and_pin.split('#').next_back(), "the key is another");
    world.sortie("coder", 0, "status").says("nothing was pushed yet");
    // Who ran no command since the move was announced cannot know of it, and is told what helps.
    world
        .sortie("nightly", 1, "status")
        .says("SERVER_AWAY")
        .says("where it has moved to another address: sortie login");
    world.sortie("nightly", 0, &format!("login {}", world.url_and_pin)).says("you are nightly (developer)");
    world.await_machines(&["dev-1"]);
    world.make_repository("app = \"web\"\nfiles = \"dist\"\n");
    let build = world.push();
    world.sortie("coder", 0, &format!("deploy {build} --to dev --only dev-1"));

    let finished = world.sortie("owner", 0, "server rotate --finish --yes");
    finished.says("only the keys in use").says("1 target not seen since the server started: dev-2").lacks("dev-1");
    world.start_agent("dev-2");
    world.await_machines(&["dev-2"]);
    world.sortie("owner", 0, "server show").says(&there.to_string()).says("next");
    world.stop_agent("dev-1");
    world.start_agent("dev-1");
    world.change_greeting("Good morning, {name}!");
    let build = world.push();
    world.sortie("coder", 0, &format!("deploy {build} --to dev")).says("2/2");
    world.sortie("coder", 0, "ledger verify").says("ledger whole");
}
