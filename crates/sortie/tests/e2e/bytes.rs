//! What runs is what was approved, byte for byte, from the repository to the machine.

use crate::stolen_disk;
use crate::world::{PROJECT, World, files, find, read_text, until};
use api::{
    client::{Client, ClientError},
    routes,
};
use domain::{entry::Entry, event::Event};
use std::fs;
use trust::{Digest, key::SecretKey};

/// R20: what a commit and its recipe make again is equal, or the files that differ are named.
#[test]
fn r20_a_build_is_made_again() {
    let world = World::of_team(&[]);
    let recipe = "rm -rf dist && mkdir dist && sort greeting.txt people.csv > dist/all.txt";
    world.make_repository(&format!("app = \"web\"\nfiles = \"dist\"\nbuild = \"{recipe}\"\n"));
    let make = |recipe: &str| {
        let mut shell = world.command("coder", "sh");
        shell.args(["-c", recipe]);
        world.run(format!("coder $ {recipe}"), &mut shell, 0);
    };
    make(recipe);
    let build = world.push();
    world.sortie("coder", 0, &format!("reproduce {build}")).says("byte for byte");
    let moody = format!("{recipe} && date +%s%N > dist/made-at");
    fs::write(
        world.repository().join("sortie.toml"),
        format!("app = \"web\"\nfiles = \"dist\"\nbuild = \"{moody}\"\n"),
    )
    .unwrap();
    world.git("coder", "add --all");
    world.git("coder", "commit -q -m \"feat: say when\"");
    make(&moody);
    let build = world.push();
    world.sortie("coder", 5, &format!("reproduce {build}")).says("≠ made-at").lacks("≠ all.txt");

    // Elsewhere, or where the commit was not fetched yet, it is said what is lacking and where to go.
    let other = world.root().join("other");
    let in_other = |exit: i32| {
        let mut command = world.sortie_command("coder");
        command.current_dir(&other).args(["reproduce", &build]);
        world.run(format!("coder in other $ sortie reproduce {build}"), &mut command, exit)
    };
    let git = |line: &str| world.git("coder", &format!("-C {} {line}", other.display()));
    fs::create_dir_all(&other).unwrap();
    git("init -q");
    git("commit -q --allow-empty -m \"feat: something else\"");
    let lost = in_other(2);
    lost.says("was made from commit").says("nor any sortie.toml of web: go to web's own repository").lacks("fatal");
    fs::write(other.join("sortie.toml"), "app = \"web\"\nfiles = \"dist\"\n").unwrap();
    git("add --all");
    git("commit -q -m \"feat: an old clone\"");
    in_other(2).says("does not have: fetch it").says("git fetch --all --tags");

    let told = world.sortie("coder", 5, &format!("reproduce {build} --json")).json();
    assert_eq!((&told["name"], &told["commit"]["title"]), (&build.into(), &"feat: say when".into()));
    assert!(told["build"] == told["signed"] && told["build"] != told["made"], "{told}");
}

/// R19: a version is bound to a checkpoint in version control: once its tag is moved, checking it says so.
#[test]
fn r19_a_moved_tag_is_found() {
    let world = World::of_team(&[]);
    world.make_repository("app = \"web\"\nfiles = \"site\"\n");
    fs::create_dir_all(world.repository().join("site")).unwrap();
    fs::write(world.repository().join("site/index.html"), "hello").unwrap();
    world.git("coder", "add --all");
    world.git("coder", "commit -q -m \"feat: a site\"");
    world.git("coder", "tag web/v1.0.0");
    let build = world.push();
    world.sortie("coder", 0, &format!("reproduce {build}")).says("byte for byte");
    world.git("coder", "commit -q --allow-empty -m \"fix: nothing\"");
    world.git("coder", "tag --force web/v1.0.0");
    world.sortie("coder", 5, &format!("reproduce {build}")).says("the tag web/v1.0.0 was moved");
}

/// R33, R51: a gate asks for evidence of this very digest, from whom it trusts.
#[test]
fn r33_r51_a_gate_asks_for_evidence_of_these_bytes() {
    let mut world = World::new();
    let people = [("coder", "developer"), ("tester", "qa"), ("ci", "ci")];
    let gate = r#"
[environments]
test = { class = "test", approve = "developer", deploy = "developer", evidence = { test-result = "ci" } }
"#;
    world.found(&people, gate);
    world.make_repository("app = \"web\"\nfiles = \"dist\"\n");
    let first = world.push_and_number();
    world.change_greeting("Good morning, {name}!");
    let second = world.push_and_number();
    let report = world.root().join("report.xml");
    fs::write(
        &report,
        "<testsuite tests=\"2\" failures=\"0\"><testcase name=\"a\"/><testcase name=\"b\"/></testsuite>",
    )
    .unwrap();
    world.sortie("coder", 3, &format!("release {second} --to test")).says("test-result");
    world.sortie("ci", 0, &format!("evidence attach {first} --type test-result --file {}", report.display()));
    world.sortie("coder", 3, &format!("release {second} --to test")).says("test-result");
    world.sortie("coder", 0, &format!("release {first} --to test"));
    world
        .sortie("ci", 0, &format!("evidence attach {second} --type test-result --file {}", report.display()))
        .says("2");
    world.sortie("coder", 0, &format!("release {second} --to test"));
}

/// R35: a machine may read what it has a permit for, and nothing else.
#[tokio::test]
async fn r35_no_permit_no_bytes() {
    let world = World::of_team(&[("test-1", "test")]);
    world.make_repository(PROJECT);
    let version = world.push_and_number();
    let app: serde_json::Value = world.ask("coder", &format!("status {version}"));
    let build = find(&app, &|value| value["build"].is_string()).unwrap()["build"].as_str().unwrap().to_string();
    let (url, pin) = world.url_and_pin.split_once('#').unwrap();
    let machine = Client::new(url, Some(Digest::from_hex(pin.trim_start_matches("sha256:")).unwrap())).unwrap();
    let key = SecretKey::from_openssh(&read_text(&world.agent_data("test-1").join("target.key")), None).unwrap();
    machine.log_in(machine.hello().await.unwrap().estate.unwrap(), &key).await.unwrap();
    let path = routes::path(routes::OBJECT, &[&build]);
    let Err(ClientError::Refused(problem)) = machine.open(&path, &[]).await else { panic!("it got the bytes") };
    assert_eq!(problem.code, "PERMIT_MISSING");
    assert_eq!(machine.request(reqwest::Method::GET, &path).send().await.unwrap().status(), 403);
    world.sortie("coder", 0, &format!("release {version} --to test"));
    assert!(machine.open(&path, &[]).await.is_ok());
}

/// R4: one byte changed in the depot: the deployment is refused as a breach of integrity, and the machine is untouched.
#[test]
fn r4_a_byte_changed_in_the_depot_is_found() {
    let world = World::of_team(&[("dev-1", "dev")]);
    world.make_repository(PROJECT);
    let first = world.push();
    world.sortie("coder", 0, &format!("deploy {first} --to dev"));
    world.change_greeting("Good morning, {name}!");
    let second = world.push();
    let before = files(&world.active("dev-1", "web"));
    let digest = Digest::of(b"Good morning, {name}!\n").hex();
    let depot = files(&world.server_data());
    let (object, bytes) = depot
        .iter()
        .find(|(path, _)| path.to_string_lossy().replace('/', "").contains(&digest[4..]))
        .expect("the object");
    let mut changed = bytes.clone();
    *changed.last_mut().unwrap() ^= 1;
    let object = world.server_data().join(object);
    fs::remove_file(&object).unwrap();
    fs::write(&object, changed).unwrap();
    let found = world.sortie("coder", 5, &format!("deploy {second} --to dev"));
    found.says("greeting.txt").says("No target was contacted");
    assert!(files(&world.active("dev-1", "web")) == before, "the machine was touched");
    world.sortie("coder", 0, "status dev").says("on 1/1");
}

/// R25: a release that is only a checkpoint has nothing to install.
#[test]
fn r25_a_checkpoint_is_released_and_not_deployed() {
    let world = World::of_team(&[("test-1", "test")]);
    world.make_repository("app = \"web\"\ncheckpoint = true\n");
    let version = world.push_and_number();
    world.sortie("coder", 0, &format!("release {version} --to test"));
    world.sortie("coder", 3, &format!("deploy {version} --to test")).says("nothing to install");
}

/// He writes into the ledger that nothing is wrong. The target's own signature says otherwise, also after a restart; and
/// where he withholds it, that is said.
fn whoever_holds_the_server_cannot_hide_what_a_target_signed(world: &mut World) {
    let signed = |entries: &[Entry]| {
        let told = |entry: &&Entry| entry.events.iter().any(|event| matches!(event, Event::EscapesChanged { .. }));
        entries.iter().rev().find(told).and_then(|entry| entry.envelope.clone())
    };
    let hidden = || Event::EscapesChanged { target: "dev-1".parse().unwrap(), findings: vec![] };
    world.stop_server();
    world.start_server();
    world.sortie("coder", 7, "escapes").says("quick-fix.sh").says("the oldest signed look");
    // A target that finds the server again takes stock anew by itself, which would undo the forgery.
    world.stop_agent("dev-1");
    stolen_disk::forge_beside(world, |entries| (hidden(), signed(entries)));
    let found_out = world.sortie("coder", 5, "escapes");
    found_out.says("dev-1 signed \"web: ").says("quick-fix.sh").says("the server does not tell of it");
    stolen_disk::forge_beside(world, |_| (hidden(), None));
    world.sortie("coder", 0, "escapes").says("by the server's word alone, for want of a signed inventory: dev-1");
    world.start_agent("dev-1");
    world.await_machines(&["dev-1"]);
    world.sortie("coder", 7, "escapes --scan").says("quick-fix.sh").says("the oldest signed look");
}

/// R37: a file copied by hand is found. R8: what is removed leaves a clean machine and a record.
/// Attack: forged inventory.
#[test]
fn r8_r37_what_escaped_is_found_and_what_is_removed_is_gone() {
    let mut world = World::of_team(&[("dev-1", "dev")]);
    world.make_repository(PROJECT);
    let build = world.push();
    world.sortie("coder", 0, &format!("deploy {build} --to dev"));
    world.sortie("coder", 0, "escapes --scan").says("the oldest signed look").lacks("word alone");
    // A server that starts anew holds no signed look at a machine on which nothing was ever found: it gets one by itself.
    world.stop_server();
    world.start_server();
    until("a fresh look", || world.sortie("coder", 0, "escapes").text().contains("oldest signed look").then_some(()));
    let log = read_text(&world.agent_data("dev-1").with_file_name("log"));
    assert!(!log.contains("the inventory was not taken"), "{log}");
    let by_hand = world.active("dev-1", "web").join("quick-fix.sh");
    fs::write(&by_hand, "#!/bin/sh\n").unwrap();
    world.sortie("coder", 7, "escapes --scan").says("quick-fix.sh").says("dev-1");
    whoever_holds_the_server_cannot_hide_what_a_target_signed(&mut world);
    fs::remove_file(&by_hand).unwrap();
    world.sortie("coder", 0, "escapes --scan");

    world.sortie("coder", 0, "undeploy web --from dev");
    let left: Vec<_> = world.processes_on("dev-1").into_iter().filter(|(_, at)| at.ends_with("web")).collect();
    assert!(left.is_empty(), "these still run: {left:?}");
    let files = files(&world.agent_data("dev-1").join("apps/web"));
    assert!(files.is_empty(), "these files are left: {:?}", files.keys());
    world.sortie("coder", 0, "history web").says("removed");
    world.sortie("coder", 0, "status dev").lacks("on 1/1");
}
