//! The server's data folder is put back from an older copy: it is noticed, said, and mended by a new epoch.

use crate::world::{ENVIRONMENTS, PROJECT, TEAM, World, read_text, until};
use std::{path::Path, process::Command};

/// What happened after the copy was made is gone from the server, and not from the targets: they refuse what is new and
/// show the server its own signature. Owners sign a new epoch, and everybody follows. What was lost is listed; a
/// withdrawal is not lost, because targets keep it and bring it back.
#[test]
fn r31_a_restored_server_is_noticed_and_owners_sign_a_new_epoch() {
    let mut world = World::of_team(&[("test-1", "test"), ("prod-1", "prod")]);
    world.make_repository(PROJECT);
    let first = world.push_and_number();
    world.release_to_prod(&first);
    world.sortie("oncall", 0, &format!("deploy {first} --to prod"));
    world.stop_server();
    let backup = world.root().join("backup");
    copy(&world.server_data(), &backup);
    world.start_server();

    // This is what will be lost.
    world.change_greeting("Good morning, {name}!");
    let second = world.push_and_number();
    world.release_to_prod(&second);
    world.sortie("oncall", 0, &format!("deploy {second} --to prod"));
    world.sortie("tester", 0, &format!("withdraw {first} --from prod --reason \"it greets too late\""));
    world.sortie("owner", 0, "ledger verify").says("ledger whole");
    let kept = world.agent_data("prod-1").join("trust/withdrawals.json");
    until("the withdrawal to reach prod-1", || read_text(&kept).contains("through_serial").then_some(()));
    world.sortie("oncall", 0, "freeze prod --until 30d --reason \"the year ends\"");
    let kept = world.agent_data("prod-1").join("trust/freezes.json");
    until("the freeze to reach prod-1", || read_text(&kept).contains("until").then_some(()));

    world.stop_server();
    std::fs::remove_dir_all(world.server_data()).unwrap();
    copy(&backup, &world.server_data());
    world.start_server();
    until("the targets to tell", || {
        let said = world.sortie("coder", 0, "status").text();
        said.contains("put back from an older copy").then_some(())
    });
    let page = crate::world::get(world.board(), "/").unwrap();
    assert!(page.contains("put back from an older copy"), "{page}");
    let metrics = crate::world::get(world.board(), "/metrics").unwrap();
    assert!(metrics.contains("sortie_ledger_put_back 1"), "{metrics}");
    world.sortie("owner", 5, "ledger verify").says("the ledger has shrunk");
    // The withdrawal came back by itself.
    until("the withdrawal to come back", || {
        let mut command = world.sortie_command("oncall");
        let output = command.args(["why", &first, "--in", "prod"]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).contains("withdrawn").then_some(())
    });
    // So did the freeze, and people can lift it.
    until("the freeze to come back", || world.sortie("tester", 0, "freeze list").stdout.contains("prod").then_some(()));
    world.sortie("tester", 0, &format!("why {first} --in prod")).says("frozen").says("LEDGER");
    world.change_greeting("Good evening, {name}!");
    let third = world.push_and_number();
    world.sortie("coder", 0, &format!("release {third} --to test"));
    let refused = world.sortie("coder", 3, &format!("deploy {third} --to test"));
    refused.says("LEDGER_PUT_BACK").says("next: sortie charter epoch --reason restore");

    world.sortie("coder", 3, "charter epoch --reason restore --yes").says("SIGNATURES_MISSING");
    let begun = world.sortie("owner", 0, "charter epoch --reason restore --yes");
    begun.says("is in force").lacks("nothing is known to be lost");
    let lost = world.sortie("owner", 0, "ledger lost");
    lost.says("owners signed a new epoch since").says("prod-1 runs web#").says("does not know: push it again");
    world.sortie("coder", 0, "status").lacks("put back from an older copy");

    // What runs there is what the machine says, and nothing here knows what that is.
    world.sortie("coder", 0, &format!("deploy {third} --to test --plan")).says("→ 0.2.1; an undo returns to #");
    world.sortie("tester", 0, "status web --in prod").says("web#");
    world.sortie("oncall", 0, "target list").says("web#");
    let deployed = world.sortie("coder", 0, &format!("deploy {third} --to test --json"));
    assert!(deployed.stdout.contains("1000"), "deployments of the new epoch are counted on\n{deployed}");
    world.sortie("coder", 0, &format!("request {third} --to prod"));
    world.sortie("tester", 0, &format!("approve {third} --to prod --yes"));
    world.sortie("oncall", 0, &format!("approve {third} --to prod --yes"));
    world.sortie("oncall", 0, &format!("deploy {third} --to prod --plan")).says("FROZEN").says(" → 0.2.1");
    world.sortie("oncall", 3, &format!("deploy {third} --to prod")).says("FROZEN");
    world.sortie("oncall", 0, "freeze lift 1 --reason \"it has ended\"");
    world.sortie("oncall", 0, &format!("deploy {third} --to prod")).says("1/1");
    world.sortie("oncall", 3, &format!("deploy {first} --to prod")).says("withdrawn");
    world.sortie("owner", 0, "ledger verify").says("ledger whole");
    world.sortie("owner", 0, "ledger verify").says("the same as was seen last");
    world.sortie("owner", 0, "charter epoch --reason restore --yes").says("! nothing is known to be lost");
    // Given again, it is not dead by the old withdrawal: its serial is above.
    world.sortie("coder", 0, &format!("request {first} --to prod")).says("request 2");
}

/// A charter was lost too, and everything that was published since. People's commands notice and say how it comes back; an
/// owner brings it, signed as it was. What says the same as before gets new versions with the epoch, so that machines that
/// had seen higher ones follow.
#[test]
fn a_lost_charter_is_brought_back_and_machines_follow_below_the_versions_they_had_seen() {
    let mut world = World::of_team(&[("test-1", "test"), ("prod-1", "prod")]);
    world.make_repository(PROJECT);
    let first = world.push_and_number();
    world.release_to_prod(&first);
    world.sortie("oncall", 0, &format!("deploy {first} --to prod"));
    world.stop_server();
    let backup = world.root().join("backup");
    copy(&world.server_data(), &backup);
    world.start_server();

    // Lost: a version that both have and run, and a charter.
    world.change_greeting("Good morning, {name}!");
    let second = world.push_and_number();
    world.release_to_prod(&second);
    world.sortie("oncall", 0, &format!("deploy {second} --to prod"));
    world.amend(TEAM, &ENVIRONMENTS.replace("class = \"live\",", "class = \"live\", at_once = 2,"));
    let charter = world.ask("owner", "charter show")["version"].as_u64().unwrap();
    for machine in ["test-1", "prod-1"] {
        let documents = world.agent_data(machine).join("trust/documents.json");
        until("the machines to have the charter", || read_text(&documents).contains("at_once").then_some(()));
    }
    world.sortie("oncall", 0, "status");

    world.stop_server();
    std::fs::remove_dir_all(world.server_data()).unwrap();
    copy(&backup, &world.server_data());
    world.start_server();
    world.sortie("oncall", 5, "status").says("sortie charter restore");
    world.sortie("owner", 0, "charter restore").says(&format!("charter {charter} is in force again"));
    world.sortie("owner", 0, "charter restore").says("has none that is newer");
    world.sortie("oncall", 0, "status");
    world.sortie("owner", 0, "charter epoch --reason restore --yes").says("is in force");

    // Nothing about test and prod is new, and it is taken for fresh all the same.
    let since = jiff::Timestamp::now();
    world.sortie("oncall", 0, &format!("redeploy {first} --in prod")).says("1/1");
    until("prod-1 to have refreshed", || {
        let targets = world.ask("owner", "target list");
        let target = crate::world::find(&targets, &|value| value["name"] == "prod-1")?;
        let refreshed: jiff::Timestamp = target["refreshed"].as_str()?.parse().ok()?;
        (refreshed.as_second() >= since.as_second() - 1).then_some(())
    });
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(copied.success());
}
