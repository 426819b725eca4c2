//! What was planned is what is done.

use crate::world::{PROJECT, World, until};
use std::{fs, process::Stdio};

/// R1: a plan has an id, by which exactly it is ordered; what has changed since is found out before anything is written.
#[test]
fn r1_exactly_what_was_planned_is_done() {
    let world = World::of_team(&[("dev-1", "dev"), ("dev-2", "dev")]);
    world.make_repository(PROJECT);
    let one = world.push();
    let deploy = format!("deploy {one} --to dev");
    let plan = || -> String {
        let plan = world.sortie("coder", 0, &format!("{deploy} --plan --json")).json();
        plan["id"].as_str().unwrap().to_owned()
    };
    let first = plan();
    assert_eq!(first, plan());
    world.sortie("coder", 0, &format!("{deploy} --plan")).says(&format!("sortie {deploy} --plan-id {first}"));
    // Whoever may not deploy gets no id, and is told why.
    world.sortie("tester", 0, &format!("{deploy} --plan")).says("it would be refused now").lacks("--plan-id");
    world.sortie("coder", 2, &format!("{deploy} --plan-id web@1")).says("no plan's id").says("--plan");
    world.sortie("coder", 6, &format!("{deploy} --plan-id 0123456789ab")).says("PLAN_STALE");
    // The same plan over fewer machines is another one.
    world.sortie("coder", 6, &format!("{deploy} --only dev-1 --plan-id {first}")).says("PLAN_STALE");
    world.sortie("coder", 0, "target cordon dev-2");
    world
        .sortie("coder", 6, &format!("{deploy} --plan-id {first}"))
        .says("PLAN_STALE")
        .says(&format!("{deploy} --plan"));
    assert!(world.endpoints("dev").is_empty());
    // A time from now is another one by the time that it is typed again, and the next command says which was meant.
    let later = world.sortie("coder", 0, &format!("{deploy} --at 2h --expires 3h --plan --json")).json();
    let next = later["next"].as_str().unwrap().trim_start_matches("sortie ").to_owned();
    let planned = world.sortie("coder", 0, &format!("{next} --json")).json();
    world.sortie("coder", 0, &format!("abort {}", planned["deployment"]));
    let second = plan();
    world.sortie("coder", 0, &format!("{deploy} --plan-id {second}"));
    assert_eq!(world.endpoints("dev").len(), 1);
}

/// R1: a plan names the files and the config keys that change, what a superseded version is warned of, and a change of config
/// is planned like anything else.
#[test]
fn r1_a_plan_names_files_and_config() {
    let world = World::of_team(&[("test-1", "test")]);
    world.make_repository(PROJECT);
    let one = world.push_and_number();
    world.sortie("coder", 0, &format!("release {one} --to test"));
    let first = world.sortie("coder", 0, &format!("deploy {one} --to test --plan"));
    first.says("where nothing runs").lacks("config 1");
    world.sortie("coder", 0, &format!("deploy {one} --to test"));
    world.change_greeting("Good day, {name}!");
    let two = world.push_and_number();
    world.sortie("coder", 0, &format!("release {two} --to test"));
    world.sortie("coder", 0, "config set web DATABASE=people.csv --in test");
    let plan = format!("deploy {two} --to test --plan");
    world.sortie("coder", 0, &plan).says("2 files changed").says("    commit, greeting.txt").says("config 1: DATABASE");
    let json = world.ask("coder", &plan);
    assert_eq!(json["files"][0]["paths"]["changed"][1], "greeting.txt", "{json}");
    assert_eq!(json["config"][0]["keys"][0]["to"], "people.csv", "{json}");
    // What the order would warn of, its plan does too.
    let back = world.sortie("coder", 0, &format!("deploy {one} --to test --plan"));
    back.says(&format!("mind: {} is superseded", one.trim_start_matches("web@")));

    let planned = world.sortie("coder", 0, "deploy web --to test --config-only --plan");
    planned.says("config 0 → 1").says("DATABASE");
    let next = planned.next();
    world.sortie("coder", 0, "config set web DATABASE=./people.csv --in test");
    world.sortie("coder", 6, &next).says("PLAN_STALE").says("--config-only --plan");
    world.sortie("coder", 0, &world.sortie("coder", 0, "deploy web --to test --config-only --plan").next());
    world.sortie("coder", 0, "config set web DATABASE=people.csv --in test");
    world.sortie("coder", 0, "deploy web --to test --config-only --plan").says("config 2 → 3: DATABASE");
}

/// R1, R46: while something is under way nothing is "already so": a rollback is told what takes it back. What is to follow stands
/// until it has ended; a newer order takes its place, and begins by itself.
#[test]
fn r1_what_is_to_follow_stands_until_the_other_has_ended() {
    let world = World::of_team(&[("dev-1", "dev"), ("dev-2", "dev")]);
    world.make_repository(PROJECT);
    let pushed = |greeting: &str| {
        world.change_greeting(greeting);
        world.push()
    };
    let one = pushed("Hello there, {name}!");
    world.sortie("coder", 0, &format!("deploy {one} --to dev"));
    let two = pushed("Good day, {name}!");
    world.sortie("coder", 0, &format!("deploy {two} --to dev --canary 1 --rollout advance=hand --detach"));
    until("the canary", || world.sortie("coder", 0, "status 2").stdout.contains("sortie resume 2").then_some(()));
    world.sortie("coder", 6, "rollback web --in dev").says("is under way").says("sortie abort 2").lacks("back to");
    let (three, four) = (pushed("Good evening, {name}!"), pushed("Good night, {name}!"));
    let follow = format!("deploy {three} --to dev --after-current");
    world.sortie("coder", 6, &format!("deploy {three} --to dev")).says(&format!("sortie {follow}"));
    world.sortie("coder", 0, &format!("{follow} --detach")).says("stands").says("sortie abort 3");
    world.sortie("coder", 0, "status 3").says("waits for deployment 2 to end");
    world.sortie("coder", 0, "calendar").says("(deployment 3)").says("‼ deployment 3 waits for deployment 2 to end");

    let mut newer = world.sortie_command("coder");
    newer.args(["deploy", &four, "--to", "dev", "--after-current"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let newer = newer.spawn().unwrap();
    until("it to be superseded", || world.sortie("coder", 0, "status 3").stdout.contains("superseded").then_some(()));
    world.sortie("coder", 0, "resume 2");
    let newer = newer.wait_with_output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&newer.stderr), String::from_utf8_lossy(&newer.stdout));
    assert!(newer.status.success(), "{said}");
    assert!(said.contains("waits for deployment 2 to end") && said.contains(&four), "{said}");
    world.sortie("coder", 0, "status web --in dev").says("2/2");
    let ordered = world.ask("coder", "status 4")["requested"].as_str().unwrap().to_owned();
    let then = world.sortie("coder", 0, &format!("status 4 --at {ordered}"));
    then.says("waits for deployment 2 to end").lacks("succeeded").lacks("next:");
    world.sortie("tester", 0, "ledger verify");
}

/// R1: what stands until it is released begins with the release, which says so before it is signed and after; it does not stand for
/// ever, and says until when.
#[test]
fn r1_whoever_releases_what_a_deployment_waits_for_is_told_that_it_begins() {
    let world = World::of_team(&[("test-1", "test"), ("prod-1", "prod")]);
    world.make_repository(PROJECT);
    let one = world.push_and_number();
    let order = |place: &str| format!("deploy {one} --to {place} --when-released");
    let stands = world.sortie("coder", 0, &format!("{} --detach", order("test")));
    stands.says("is released to test, and is dropped if it has not begun by").says("sortie abort 1");
    world.sortie("coder", 0, "status test").says("deployment 1 waits until").says("is dropped if it has not begun by");
    world.sortie("coder", 0, "status 1").says("it is dropped if it has not begun by");
    world.sortie("coder", 0, &format!("why {one} --in test")).says("is dropped if it has not begun by");
    let calendar = world.sortie("coder", 0, "calendar --in test");
    calendar.says("now").says("(deployment 1); dropped if it has not begun by").says("‼ deployment 1 waits until");
    let released = world.sortie("coder", 0, &format!("release {one} --to test"));
    released.says("deployment 1 stands until").says("it begins with this").says("deployment 1 begins.");
    released.lacks("Nothing was installed");
    assert_eq!(released.next(), "status 1");
    until("it to begin", || world.sortie("coder", 0, "status 1").stdout.contains("succeeded").then_some(()));
    // Nothing waits for what is released: it ends at no time.
    world.sortie("coder", 0, &order("test")).says("already so");
    let plan = world.sortie("oncall", 0, &format!("{} --plan", order("prod")));
    assert!(plan.next().contains("--expires"), "{plan}");
    let planned = world.ask("oncall", &format!("{} --detach", plan.next()));
    assert!(planned["deployment"] == 2 && planned["expires"].is_string(), "{planned}");
    world.sortie("coder", 0, &format!("request {one} --to prod")).says("deployment 2 stands").lacks("neither installs");
    let first = world.sortie("tester", 0, &format!("approve {one} --to prod --yes"));
    first.says("it begins with the last approval").says("Still missing: ops");
    let last = world.ask("oncall", &format!("approve {one} --to prod --yes"));
    assert_eq!((&last["begins"][0], &last["next"]), (&2.into(), &"sortie status 2".into()), "{last}");
    until("it to begin", || world.sortie("coder", 0, "status 2").stdout.contains("succeeded").then_some(()));
}

/// R1: what is about several builds is looked at as a whole: what is refused of one is done to none.
#[test]
fn r1_what_is_refused_of_one_build_is_done_to_none() {
    let world = World::of_team(&[("dev-1", "dev"), ("dev-2", "dev"), ("dev-3", "dev")]);
    world.make_repository(PROJECT);
    let one = world.push();
    world.sortie("coder", 0, &format!("deploy {one} --to dev --only dev-1,dev-2"));
    fs::write(world.repository().join("sortie.toml"), format!("{PROJECT}LIMIT = {{}}\n")).unwrap();
    world.commit_and_build("feat: no more than so many");
    let two = world.push();
    world.sortie("coder", 0, "config set web LIMIT=5 --in dev");
    world.sortie("coder", 0, &format!("deploy {two} --to dev --only dev-3"));
    world.sortie("coder", 0, "config unset web LIMIT --in dev");
    let before = world.sortie("tester", 0, "history").stdout;
    // The other one, which more machines run, would come first and lacks nothing.
    world.sortie("coder", 3, "deploy web --to dev --config-only").says("LIMIT");
    assert_eq!(world.sortie("tester", 0, "history").stdout.lines().count(), before.lines().count());
}
