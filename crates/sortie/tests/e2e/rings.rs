//! A deployment that goes over several machines, some of which are away.

use crate::world::{ENVIRONMENTS, PROJECT, TEAM, World, get, until};

/// R40, R54: who was away when others began is no canary, is left out, and catches up; what nobody can look at does not settle.
#[test]
fn r40_r54_who_was_away_before_stops_nobody_and_settles_nothing() {
    let mut world = World::new();
    let careful = "soak_minutes = 1, rollout = { canary = 1, min_healthy = 1, progress_minutes = 20 }, ";
    let environments = ENVIRONMENTS.replace("test = { ", &format!("test = {{ {careful}"));
    world.found(TEAM, &environments);
    world.add_machines(&[("test-1", "test"), ("test-2", "test"), ("test-3", "test")]);
    world.make_repository(PROJECT);
    world.stop_server();
    let address = world.url().trim_start_matches("https://").parse().unwrap();
    world.start_server_at(address, &["--away-after", "2"]);
    let one = world.push_and_number();
    world.sortie("coder", 0, &format!("release {one} --to test"));
    world.sortie("coder", 0, &format!("deploy {one} --to test"));
    let away = |world: &World, count: usize| {
        until("the server to know who is away", || {
            get(world.board(), "/metrics").unwrap().contains(&format!("sortie_targets_away {count}\n")).then_some(())
        });
    };

    // It would have been the canary, and is left out at once.
    world.power_off("test-1");
    away(&world, 1);
    world.change_greeting("Good day, {name}!");
    let two = world.push_and_number();
    world.sortie("coder", 0, &format!("release {two} --to test"));
    let plan = world.sortie("coder", 0, &format!("deploy {two} --to test --plan"));
    plan.says("    canary  test-2\n").says("once it is heard of again: it is away, and left out");
    let deployed = world.sortie("coder", 0, &format!("deploy {two} --to test"));
    deployed.says("2/3").says("will catch up: test-1");
    let again = format!("redeploy {two} --to test --rollout min_healthy=2");
    world.sortie("tester", 0, "status web").says("nobody has heard of test-1 for a while");
    world.sortie("coder", 3, &again).says("TOO_FEW_HEALTHY").says("2 of 3 targets serve");

    // Another one dies while it soaks: nobody knows how it is, so that it does not settle.
    world.power_off("test-2");
    away(&world, 2);
    until("the soak to wait for it", || {
        let said = world.sortie("tester", 0, "status web --in test").stdout;
        said.contains("neither goes on nor settles before it is well again on test-2 (nobody has heard of it")
            .then_some(())
    });
    // While it is the only one that serves it catches up with nothing.
    world.power_off("test-3");
    away(&world, 3);
    world.start_agent("test-1");
    until("test-1 to be kept back", || {
        let said = world.sortie("tester", 0, "status web --in test").stdout;
        said.contains(&format!("test-1 gets {two} once more others serve: 1 of 3 targets serve, and 1 must"))
            .then_some(())
    });
    world.start_agent("test-2");
    world.start_agent("test-3");
    until("test-1 to catch up", || {
        let greets = |there| get(there, "/").is_ok_and(|answer| answer.contains("Good day"));
        let endpoints = world.endpoints("test");
        (endpoints.len() == 3 && endpoints.into_iter().all(greets)).then_some(())
    });
    until("it to settle", || world.sortie("tester", 0, "status 2").stdout.contains("settled").then_some(()));
    world.sortie("tester", 0, "history").says("goes on without test-1, which nobody has heard of for a while");
    world.sortie("tester", 0, "ledger verify");
}

/// R40, R41, R48: a canary first, then the others two at a time. One machine has just gone: it is left out within the budget and listed, and catches up
/// when it returns. The next deployment waits after its canary for somebody's word, and goes on without whom they exclude.
#[test]
fn r40_who_is_away_is_left_out_and_catches_up() {
    let mut world = World::new();
    let rollout = "rollout = { canary = 1, at_once = 2, failure_budget = 1, progress_minutes = 1 }, ";
    let environments = ENVIRONMENTS.replace("test = { ", &format!("test = {{ {rollout}"));
    assert_ne!(environments, ENVIRONMENTS);
    world.found(TEAM, &environments);
    world.add_machines(&[("test-1", "test"), ("test-2", "test"), ("test-3", "test"), ("test-4", "test")]);
    world.make_repository(PROJECT);
    let release = |world: &World, greeting: &str| {
        world.change_greeting(greeting);
        let version = world.push_and_number();
        world.sortie("coder", 0, &format!("release {version} --to test"));
        version
    };
    let serve = |world: &World, words: &str| {
        let answers = world.endpoints("test").into_iter().map(|there| get(there, "/"));
        answers.filter(|answer| answer.as_ref().is_ok_and(|answer| answer.contains(words))).count()
    };
    let one = release(&world, "Hello there, {name}!");
    world
        .sortie("coder", 0, &format!("deploy {one} --to test --plan --rollout rings=regoin=north"))
        .says("in 3 waves, 2 at a time\n    canary  test-1\n    rest    test-2, test-3, test-4")
        .says("mind: no target of test carries regoin=north");
    world.sortie("coder", 0, &format!("deploy {one} --to test")).says("wave 1/3 (canary)").says("wave 2/3 (rest)");
    world.sortie("tester", 0, "status 1").says("  canary:\n  test-1  fetch");
    assert_eq!(serve(&world, "Hello there"), 4);

    world.power_off("test-3");
    let two = release(&world, "Good day, {name}!");
    // It takes the minute after which the charter calls a machine absent.
    let deployed = world.sortie_command("coder").args(["deploy", &two, "--to", "test"]).output().unwrap();
    let said = String::from_utf8_lossy(&deployed.stdout);
    assert!(
        deployed.status.success() && said.contains("3/4") && said.contains("will catch up: test-3"),
        "{deployed:?}"
    );
    assert_eq!(serve(&world, "Good day"), 3);
    world.sortie("tester", 0, "status web --in test").says("3/4");
    world.start_agent("test-3");
    until("test-3 to catch up", || (serve(&world, "Good day") == 4).then_some(()));

    let three = release(&world, "Good evening, {name}!");
    let careful = format!("deploy {three} --to test --rollout advance=hand --detach");
    world.sortie("coder", 0, &careful);
    until("the canary", || (serve(&world, "Good evening") == 1).then_some(()));
    let waits = || world.sortie("tester", 0, "status 3").stdout.contains("sortie resume 3").then_some(());
    until("it to wait for a word", waits);
    world.sortie("coder", 0, "exclude 3 test-4 --reason \"its disk is being replaced\"");
    world.sortie("coder", 0, "resume 3 --detach").says("deployment 3 goes on").says("sortie status 3");
    until("the others", || (serve(&world, "Good evening") == 3).then_some(()));
    until("it to end", || world.sortie("tester", 0, "status 3").stdout.contains("succeeded").then_some(()));
    world.sortie("tester", 0, "status 3").says("its disk is being replaced").says("test-4");
    world.sortie("tester", 0, "ledger verify");
}

/// R41: a canary dies while it bakes, and that is over before anybody calls it away: the others keep what they have until it is heard of.
#[test]
fn r41_who_dies_in_a_short_bake_lets_nobody_follow() {
    let mut world = World::new();
    let rollout = "rollout = { canary = 1, bake_minutes = 1 }, ";
    world.found(TEAM, &ENVIRONMENTS.replace("test = { ", &format!("test = {{ {rollout}")));
    world.add_machines(&[("test-1", "test"), ("test-2", "test")]);
    world.make_repository(PROJECT);
    let one = world.push_and_number();
    world.sortie("coder", 0, &format!("release {one} --to test"));
    world.sortie("coder", 0, &format!("deploy {one} --to test --detach"));
    let says = |world: &World, words: &str| world.sortie("tester", 0, "status 1").stdout.contains(words).then_some(());
    until("the canary to bake", || says(&world, "bakes on canary"));
    world.power_off("test-1");
    until("it to be missed", || says(&world, "it waits to hear of test-1"));
    assert!(world.endpoints("test").len() < 2, "nobody follows");
    world.start_agent("test-1");
    until("the other to follow", || says(&world, "succeeded"));
    world.sortie("tester", 0, "ledger verify");
}
