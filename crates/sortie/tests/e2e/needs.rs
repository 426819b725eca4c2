//! What a build needs of its machine is looked at before a byte moves (R9).

use crate::world::{PROJECT, World, free_address, until};
use std::{fs, net::TcpListener};

fn with(needs: &str) -> String {
    PROJECT.replace("files = \"dist\"\n", &format!("files = \"dist\"\nneeds = {{ {needs} }}\n"))
}

/// R9: what the machine told of itself the server refuses by; what changes by the hour the machine looks at itself. Either
/// way every shortage is said at once, and nothing is copied.
#[test]
fn r9_every_shortage_is_said_before_a_byte_moves() {
    let mut world = World::of_team(&[("dev-1", "dev")]);
    world.make_repository(PROJECT);
    let first = world.push();
    world.sortie("coder", 0, &format!("deploy {first} --to dev --plan")).says("; an undo returns to nothing");
    world.sortie("coder", 0, &format!("deploy {first} --to dev"));
    let releases = || fs::read_dir(world.agent_data("dev-1").join("apps/web/releases")).unwrap().count();
    let push = |needs: &str| {
        fs::write(world.repository().join("sortie.toml"), with(needs)).unwrap();
        world.commit_and_build(&format!("build: need {}", needs.replace(['"', '[', ']'], "")));
        world.push()
    };

    let build = push("kernel = \"99.1\", memory = \"900000 GiB\", arch = \"s390x\"");
    let refused = world.sortie("coder", 3, &format!("deploy {build} --to dev"));
    refused.says("NEEDS_UNMET").says("it needs the architecture s390x").says("it needs kernel 99.1, this has ");
    refused.says("it needs 878.9 TiB of memory");
    let plan = world.sortie("coder", 0, &format!("deploy {build} --to dev --plan"));
    plan.says("; an undo returns to #")
        .says("✗ it needs kernel 99.1, this has ")
        .says("✗ it needs the architecture s390x");

    let taken = free_address();
    let listener = TcpListener::bind(taken).unwrap();
    let port = taken.port();
    let build = push(&format!(
        "ports = [{port}], services = [\"nobody-has-this\"], programs = [\"sh\", \"nobody-has-this\"], disk = \"900000 GiB\""
    ));
    let refused = world.sortie("coder", 3, &format!("deploy {build} --to dev"));
    refused.says(&format!("port {port} (another program listens on it)")).says("TiB of disk");
    refused.says("the service nobody-has-this (").says("the program nobody-has-this (it is not on the search path)");
    assert_eq!(releases(), 1, "nothing was copied");

    // A port that is free, and one that the application itself listens on, are no shortages; fixed ones are implied.
    drop(listener);
    let fixed =
        with(&format!("ports = [{port}]")).replace("[process.web]\n", &format!("[process.web]\nport = {port}\n"));
    for greeting in ["Good day, {name}!", "Good evening, {name}!"] {
        fs::write(world.repository().join("sortie.toml"), &fixed).unwrap();
        world.change_greeting(greeting);
        let build = world.push();
        world.sortie("coder", 0, &format!("deploy {build} --to dev")).says("verify ✓");
    }
    let other = fixed.replace("app   = \"web\"", "app   = \"shop\"");
    fs::write(world.repository().join("sortie.toml"), other).unwrap();
    world.commit_and_build("feat: be a shop");
    let build = world.sortie("coder", 0, "push").word("shop#");
    world.sortie("coder", 3, &format!("deploy {build} --to dev")).says(&format!("port {port} (another program"));

    // What the machine is, it tells again where nobody knows what was told last.
    let facts = world.agent_data("dev-1").join("facts.json");
    world.stop_agent("dev-1");
    fs::remove_file(&facts).unwrap();
    world.start_agent("dev-1");
    until("it is told, and remembered", || facts.exists().then_some(()));
    world.sortie("coder", 0, "status dev-1").says(", kernel ");
}
