//! A version that is well on one machine and not on the next.

use crate::world::{PROJECT, World, files, find, get, read_text, until};
use std::fs;

/// R3, R40: verification fails on the second of two machines: both go back, the old version serves, its files digest as
/// before. R7, R27: every phase of every machine is recorded with its time, and what was copied is not active.
/// R41: the wave after the one that failed is never touched.
#[test]
fn r3_r7_r27_r40_r41_what_fails_on_one_is_undone_on_all() {
    let world = World::of_team(&[("test-1", "test"), ("prod-1", "prod"), ("prod-2", "prod"), ("prod-3", "prod")]);
    world.make_repository(PROJECT);
    let machine = |name: &str| world.agent_data(name).parent().unwrap().to_path_buf();
    // Every machine has a database of its own, beside its agent's data folder.
    for (name, people) in [
        ("test-1", "name,plan\nAda,free\n"),
        ("prod-1", "name,plan\nAda,free\n"),
        ("prod-2", "name\nAda\n"),
        ("prod-3", "name,plan\nAda,free\n"),
    ] {
        fs::write(machine(name).join("people.csv"), people).unwrap();
    }
    let first = world.push_and_number();
    let database = "DATABASE=../../../../../people.csv";
    world.sortie("coder", 0, &format!("config set web {database} --in test"));
    world.sortie("oncall", 0, &format!("config set web {database} --in prod"));
    world.release_to_prod(&first);
    world.sortie("oncall", 0, &format!("deploy {first} --to prod"));
    let before: Vec<_> = ["prod-1", "prod-2", "prod-3"].map(|name| (world.active(name, "web"), name)).into();
    let bytes_before: Vec<_> = before.iter().map(|(active, _)| files(active)).collect();

    world.change_greeting("Hello, {name}! Your plan: {plan}.");
    let second = world.push_and_number();
    world.release_to_prod(&second);
    let failed = world.sortie("oncall", 4, &format!("deploy {second} --to prod"));
    failed.says("undone").says("no such column: plan").says("prod-2");
    for ((active, name), bytes) in before.iter().zip(&bytes_before) {
        assert_eq!(&world.active(name, "web"), active, "{name} runs another release");
        assert!(&files(active) == bytes, "the files on {name} changed");
    }
    let there = world.endpoints("prod");
    assert_eq!(there.len(), 3);
    for address in there {
        let answer = until("an answer", || get(address, "/").ok());
        assert!(answer.contains("Hello, Ada!") && !answer.contains("plan"), "{answer}");
    }

    let history = world.ask("tester", "history web");
    let number = find(&history, &|value| value["deployment"].is_u64()).expect("a deployment")["deployment"].clone();
    let view = world.ask("tester", &format!("status {number}"));
    assert_eq!(view["ending"], "undone");
    let part = |name: &str| find(&view, &|value| value["target"] == *name).unwrap().clone();
    let phases = |name: &str| {
        let phases = part(name)["phases"].as_array().unwrap().clone();
        phases.iter().map(|phase| phase["phase"].as_str().unwrap().to_string()).collect::<Vec<_>>()
    };
    // The last activation is that of the version it went back to.
    assert_eq!(phases("prod-1"), ["check", "fetch", "stage", "configure", "activate", "verify", "activate"]);
    assert_eq!(part("prod-2")["failed_in"], "verify");
    assert!(phases("prod-3").is_empty(), "the last wave was touched: {view}");

    world.sortie("oncall", 3, &format!("deploy {second} --to prod")).says("hold");
    world.sortie("oncall", 0, &format!("hold lift {second} --in prod"));
    fs::write(machine("prod-2").join("people.csv"), "name,plan\nAda,free\n").unwrap();
    world.sortie("oncall", 0, &format!("deploy {second} --to prod"));
    world.sortie("tester", 0, "status prod").says("0.2.0 on 3/3");
    assert!(!read_text(&world.root().join("server.log")).contains("panicked"));
}

/// R3: a version that settled once, was replaced, and is brought again fails on the second machine: the first goes back all the
/// same. R40: a machine that joins after a rollback gets what the others went back to, though it never was there.
#[test]
fn r3_what_settled_once_can_be_taken_back_when_it_is_brought_again() {
    let mut world = World::of_team(&[("test-1", "test"), ("test-2", "test")]);
    world.make_repository(PROJECT);
    let database = |world: &World, name: &str, rows: &str| {
        fs::write(world.agent_data(name).parent().unwrap().join("people.csv"), rows).unwrap();
    };
    let (with_plan, without) = ("name,plan\nAda,free\n", "name\nAda\n");
    ["test-1", "test-2"].into_iter().for_each(|name| database(&world, name, with_plan));
    let release = |world: &World, greeting: &str| {
        world.change_greeting(greeting);
        let version = world.push_and_number();
        world.sortie("coder", 0, &format!("release {version} --to test"));
        version
    };
    let serve = |world: &World, words: &str| {
        let answers = world.endpoints("test").into_iter().filter_map(|there| get(there, "/").ok());
        answers.filter(|answer| answer.contains(words)).count()
    };
    let one = release(&world, "Hello, {name}! Your plan: {plan}.");
    world.sortie("coder", 0, "config set web DATABASE=../../../../../people.csv --in test");
    world.sortie("coder", 0, &format!("deploy {one} --to test"));
    let two = release(&world, "Good day, {name}!");
    world.sortie("coder", 0, &format!("deploy {two} --to test"));

    database(&world, "test-2", without);
    world.sortie("coder", 4, &format!("redeploy {one} --to test")).says("no such column: plan").lacks("NOT_HERE");
    assert_eq!(serve(&world, "Good day"), 2);

    database(&world, "test-2", with_plan);
    world.sortie("coder", 0, &format!("hold lift {one} --in test"));
    world.sortie("coder", 0, &format!("redeploy {one} --to test"));
    world.sortie("coder", 0, "rollback web --in test");
    assert_eq!(serve(&world, "Good day"), 2);
    let invited = world.ask("owner", "target invite --name test-3 --in test");
    world.join("test-3", invited["token"].as_str().unwrap());
    database(&world, "test-3", without);
    until("test-3 to get it", || (serve(&world, "Good day") == 3).then_some(()));
    world.sortie("tester", 0, "ledger verify");
}

/// R3: a release that orders its deployment as well is followed as a deployment is, and fails as one does.
#[test]
fn r3_a_release_with_its_deployment_ends_as_that_does() {
    let world = World::of_team(&[("test-1", "test")]);
    world.make_repository(PROJECT);
    let first = world.push_and_number();
    world.sortie("coder", 2, &format!("release {first} --to test --detach")).says("go with --deploy");
    let release = |version: &str| format!("release {version} --to test --deploy");
    let done = world.sortie("coder", 0, &release(&first));
    done.says("Nothing was installed: test runs nothing").says(&format!("{first} runs in test, 1/1."));
    world.change_greeting("Hello, {name}! Your plan: {plan}.");
    let second = world.push_and_number();
    let failed = world.sortie("coder", 4, &release(&second));
    failed.says("undone on 1 of 1").says("no such column: plan");
    // What is released is not released again, and its deployment is ordered all the same.
    world.sortie("coder", 3, &release(&second)).says("is already released").says("HELD");
    // What stood until it is released is the deployment that is meant, and no other is ordered.
    world.change_greeting("Good day, {name}!");
    let third = world.push_and_number();
    world.sortie("coder", 0, &format!("deploy {third} --to test --when-released --detach"));
    let done = world.sortie("coder", 0, &release(&third));
    done.says("deployment 3 begins.").says(&format!("{third} runs in test, 1/1."));
    let ordered = world.sortie("coder", 0, &format!("{} --detach", release(&third)));
    ordered.says("already so");
}
