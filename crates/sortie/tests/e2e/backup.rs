//! A server in one file: taken while it serves, checked in full, put back where there is none.

use crate::world::{PROJECT, World, read_text, until};
use std::fs;

/// What was acknowledged before the backup is there after the restore, and the machine that saw more than that says so
/// until owners sign a new epoch. A file that is cut off or changed is named, and leaves nothing behind.
#[test]
fn a_backup_taken_while_serving_comes_back_whole_and_as_a_new_epoch() {
    let mut world = World::of_team(&[("test-1", "test"), ("prod-1", "prod")]);
    world.make_repository(PROJECT);
    let first = world.push_and_number();
    world.release_to_prod(&first);
    world.sortie("oncall", 0, &format!("deploy {first} --to prod"));
    let planned = world.ask("oncall", &format!("redeploy {first} --to test --at 20s"));
    let planned = planned["deployment"].as_u64().unwrap();
    let passphrase = world.root().join("passphrase");
    fs::write(&passphrase, "an afternoon by the lake\n").unwrap();
    let file = world.root().join("sortie.backup");
    let data = world.server_data();
    let take = format!("backup {} --data {}", file.display(), data.display());
    world.sortie("owner", 2, &take).says("--passphrase-file");
    let take = format!("{take} --passphrase-file {}", passphrase.display());
    world.sortie("owner", 0, &take).says("keys sealed").says("sortie restore");
    world.sortie("owner", 2, &take).says("is there already");
    let beside: Vec<_> = fs::read_dir(world.root()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!beside.iter().any(|name| name.to_string_lossy().contains("sortie-backup-")), "{beside:?}");
    let elsewhere = format!("backup {0}/b --data {0} --passphrase-file {0}/passphrase", world.root().display());
    world.sortie("owner", 2, &elsewhere).says("holds no server's data");
    let taken = fs::read(&file).unwrap();
    assert!(!taken.windows(8).any(|window| window == b"OPENSSH "), "a key lies in it for everybody");

    // This is what will be lost: prod-1 runs it.
    world.change_greeting("Good morning, {name}!");
    let second = world.push_and_number();
    world.release_to_prod(&second);
    world.sortie("oncall", 0, &format!("deploy {second} --to prod"));

    // What stood planned when it was taken is over, and overdue where that is put back.
    let stands =
        |world: &World| world.sortie("owner", 0, &format!("status {planned}")).text().contains("test-1  waiting");
    until("the time of the planned deployment", || (!stands(&world)).then_some(()));
    world.stop_server();
    let put_back = |exit: i32, file: &std::path::Path, options: &str| {
        let line = format!("restore {} --data {} {options}", file.display(), data.display());
        world.sortie("owner", exit, &line)
    };
    let opened = format!("--passphrase-file {}", passphrase.display());
    put_back(2, &file, &opened).says("is not empty");
    let (cut, changed) = (world.root().join("cut"), world.root().join("changed"));
    fs::write(&cut, &taken[..taken.len() * 2 / 3]).unwrap();
    let mut bytes = taken.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&changed, bytes).unwrap();
    let longer = world.root().join("longer");
    fs::write(&longer, [&taken[..], b"and more"].concat()).unwrap();
    fs::remove_dir_all(&data).unwrap();
    put_back(5, &cut, &opened).says("not whole").says("checking every object").lacks("is checked");
    put_back(5, &changed, &opened);
    put_back(5, &longer, &opened).says("not whole");
    fs::write(world.root().join("other"), "a morning in the hills\n").unwrap();
    put_back(2, &file, &format!("--passphrase-file {}", world.root().join("other").display())).says("does not open");
    put_back(2, &passphrase, &opened).says("no backup");
    assert!(!data.exists(), "what is not whole leaves nothing");
    fs::write(&data, "no folder").unwrap();
    put_back(2, &file, &opened).says("is no folder");
    fs::remove_file(&data).unwrap();
    put_back(0, &file, &opened).says("all as they were").says("charter epoch --reason restore");

    // Until a machine has spoken to it, the server knows by the backup alone what runs there, after another start too.
    let agents = ["test-1", "prod-1"];
    agents.iter().for_each(|name| world.stop_agent(name));
    for _ in 0..2 {
        world.start_server();
        world.sortie("owner", 0, "status").says("what prod-1 runs is as of the backup of").says("not heard since");
        world.sortie("owner", 0, "status prod-1").says("seen as of the backup, ").says("; not heard since");
        let targets = world.sortie("owner", 0, "target list --json").json();
        assert!(targets["result"].as_array().unwrap().iter().all(|target| target["as_of"].is_string()), "{targets}");
        // What is overdue does not come before they could show what is lost.
        assert!(stands(&world), "deployment {planned} is not as it was");
        world.stop_server();
    }
    world.start_server();
    agents.iter().for_each(|name| world.start_agent(name));
    until("prod-1 to be heard of", || {
        let status = world.sortie("owner", 0, "status").text();
        (!status.contains("not heard since") && status.contains("prod-1 itself says that it runs web#")).then_some(())
    });
    world.sortie("owner", 0, "status").says("charter epoch --reason restore");
    until("prod-1 to tell what it saw", || {
        world.sortie("owner", 0, "ledger lost").text().contains("prod-1 runs web#").then_some(())
    });
    world.sortie("owner", 0, "status").says("put back from an older copy");
    let refused = world.sortie("oncall", 3, &format!("redeploy {first} --to prod"));
    refused.says("LEDGER_PUT_BACK").says("next: sortie charter epoch --reason restore");
    world.sortie("owner", 0, &format!("status {planned}")).says("until owners sign a new epoch");
    world.sortie("owner", 0, "charter epoch --reason restore --yes").says("is in force");
    world.sortie("owner", 0, "status").lacks("put back");
    world.sortie("owner", 0, "ledger lost").says("prod-1 runs web#");
    world.change_greeting("Good evening, {name}!");
    // R34, R39: what targets run has its number for good, though the ledger has lost it.
    world.sortie("owner", 0, "ledger lost").says(&format!("(numbered {second})"));
    let build = world.push();
    let (_, number) = second.split_once('@').unwrap();
    let taken = world.sortie("coder", 6, &format!("number {build} {number}"));
    taken.says("NUMBER_TAKEN").says(&format!("{second} is web#"));
    let third = world.push_and_number();
    assert_ne!(third, second);
    until("what was overdue to come", || (!stands(&world)).then_some(()));
    world.release_to_prod(&third);
    world.sortie("oncall", 0, &format!("deploy {third} --to prod")).says("1/1");
    world.sortie("owner", 0, "status").lacks("itself says").lacks("as of the backup");
    world.sortie("owner", 0, "ledger verify").says("ledger whole");
}

/// R31, R40: a machine joined after the backup was taken, and runs on while the server that was put back has never heard of it. Both
/// say so; it joins anew with the key and the data that it has, and what it runs is known again and was never touched.
#[test]
fn a_machine_that_joined_after_the_backup_is_missed_and_joins_anew() {
    let mut world = World::of_team(&[("test-1", "test"), ("prod-1", "prod")]);
    world.make_repository(PROJECT);
    let first = world.push_and_number();
    world.release_to_prod(&first);
    world.sortie("oncall", 0, &format!("deploy {first} --to prod"));
    let (file, passphrase, data) =
        (world.root().join("sortie.backup"), world.root().join("passphrase"), world.server_data());
    fs::write(&passphrase, "an afternoon by the lake\n").unwrap();
    let options = format!("{} --data {} --passphrase-file {}", file.display(), data.display(), passphrase.display());
    world.sortie("owner", 0, &format!("backup {options}"));

    world.add_machines(&[("prod-3", "prod")]);
    world.change_greeting("Good morning, {name}!");
    let second = world.push_and_number();
    world.release_to_prod(&second);
    world.sortie("oncall", 0, &format!("deploy {second} --to prod")).says("2/2");
    let web = |world: &World| -> Vec<u32> {
        let processes = world.processes_on("prod-3").into_iter();
        processes.filter(|(_, program)| program.ends_with("web")).map(|(id, _)| id).collect()
    };
    let (running, active) = (web(&world), world.active("prod-3", "web"));
    assert!(!running.is_empty());

    world.stop_server();
    fs::remove_dir_all(&data).unwrap();
    world.sortie("owner", 0, &format!("restore {options}"));
    world.start_server();
    until("the server to notice a machine that it does not know", || {
        let status = world.sortie("owner", 0, "status").text();
        status.contains("1 machine that this server does not know asks for orders: prod-3").then_some(())
    });
    let log = world.agent_data("prod-3").with_file_name("log");
    until("the machine to say so too", || read_text(&log).contains("the server does not know prod-3").then_some(()));
    world.sortie("owner", 0, "charter epoch --reason restore --yes").says("is in force");
    let lost = world.sortie("owner", 0, "ledger lost");
    lost.says("prod-3 asks for orders").says("next: sortie target invite --name prod-3 --in ");

    let invited = world.ask("owner", "target invite --name prod-3 --in prod");
    let token = invited["token"].as_str().unwrap();
    world.stop_agent("prod-3");
    world.start_agent_with("prod-3", &["--join", token]);
    world.await_machines(&["prod-3"]);
    world.sortie("owner", 0, "status").lacks("does not know");
    world.sortie("owner", 0, "history").says("prod-3 itself says that it runs web#");
    world.sortie("owner", 0, "target list").says("prod-3").says("web#");
    assert_eq!((web(&world), world.active("prod-3", "web")), (running.clone(), active), "what runs was touched");

    // The invitation that it was given is not asked for again, and what comes next comes there too.
    world.stop_agent("prod-3");
    world.start_agent_with("prod-3", &["--join", token]);
    until("the invitation not to be needed", || {
        read_text(&log).contains("the invitation was not needed").then_some(())
    });
    assert_eq!(web(&world), running);
    world.change_greeting("Good evening, {name}!");
    let third = world.push_and_number();
    world.release_to_prod(&third);
    world.sortie("oncall", 0, &format!("deploy {third} --to prod")).says("2/2");
    world.sortie("owner", 0, "ledger verify").says("ledger whole");
}
