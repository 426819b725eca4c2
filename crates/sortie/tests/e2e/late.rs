//! Machines that come after something was deployed.

use crate::world::{PROJECT, World, get, until};
use std::fs;

/// R40: a machine that joins a live environment gets what stands there, by the permit and the order of before, which it
/// checks for itself; one that was cordoned gets it once it no longer is.
#[test]
fn r40_a_machine_that_joins_later_catches_up_by_itself() {
    let mut world = World::of_team(&[("test-1", "test"), ("prod-1", "prod"), ("prod-2", "prod")]);
    world.make_repository(PROJECT);
    let one = world.push_and_number();
    world.release_to_prod(&one);
    world.sortie("oncall", 0, "target cordon prod-2");
    world.sortie("oncall", 0, &format!("deploy {one} --to prod"));
    assert_eq!(world.endpoints("prod").len(), 1);
    world.sortie("oncall", 0, "target uncordon prod-2");
    world.add_machines(&[("prod-3", "prod")]);
    until("all to catch up", || (world.endpoints("prod").len() == 3).then_some(()));
    for there in world.endpoints("prod") {
        assert!(get(there, "/").unwrap().contains("Hello, "));
    }
    world.sortie("tester", 0, "history").says("prod-3 was not there for deployment").says("and gets it now");
    world.sortie("tester", 0, "ledger verify");
}

/// R8, R40: a machine is drained for work on it and comes back; what was deployed meanwhile it gets then.
#[test]
fn r8_a_machine_is_drained_and_comes_back() {
    let world = World::of_team(&[("dev-1", "dev"), ("dev-2", "dev")]);
    world.make_repository(PROJECT);
    let one = world.push();
    world.sortie("coder", 0, &format!("deploy {one} --to dev"));
    // Where nobody has cordoned it, it is started all the same.
    world.sortie("coder", 0, "stop web --in dev --only dev-1");
    let started = world.sortie("coder", 0, "target uncordon dev-1 --start");
    started.says("takes deployments as it did, and web started there").lacks("nothing was written");
    world.sortie("coder", 2, "target drain dev-9").says("UNKNOWN_TARGET");
    world.sortie("tester", 3, "target drain dev-1").says("ROLE_MISSING");
    let drained = "target drain dev-1 --reason the-disk-is-changed";
    world.sortie("coder", 0, drained).says("web stopped there").says("target uncordon dev-1 --start");
    assert_eq!(world.endpoints("dev").iter().filter(|there| get(**there, "/").is_ok()).count(), 1);
    world.sortie("coder", 0, "target drain dev-1").says("gets no new deployments");
    world.sortie("coder", 0, "target cordon dev-1").says("is cordoned since");
    world.sortie("tester", 0, "target list").says("cordoned just now: the-disk-is-changed");
    world.sortie("tester", 0, "status dev-1").says("cordoned just now: the-disk-is-changed");
    world.sortie("tester", 0, "history").says("coder cordoned dev-1").says("the-disk-is-changed");
    world.sortie("tester", 0, "ledger verify");
    world.change_greeting("Good day, {name}!");
    let two = world.push();
    world.sortie("coder", 0, &format!("deploy {two} --to dev"));
    world.sortie("coder", 0, "target uncordon dev-1 --start").says("takes deployments again");
    let both =
        || world.endpoints("dev").iter().all(|there| get(*there, "/").is_ok_and(|said| said.contains("Good day")));
    until("it to catch up", || (world.endpoints("dev").len() == 2 && both()).then_some(()));
}

/// R40, R46: what fails within the budget is marked wherever its version is told, as long as it does not run there; whoever lets
/// it try again hears how that ended, and history says what it said.
#[test]
fn r40_r46_what_failed_within_the_budget_is_marked_until_it_runs() {
    let world = World::of_team(&[("dev-1", "dev"), ("dev-2", "dev")]);
    world.make_repository(PROJECT);
    let people = |machine: &str, text: &str| {
        let folder = world.agent_data(machine).parent().unwrap().to_path_buf();
        fs::write(folder.join("people.csv"), text).unwrap();
    };
    people("dev-1", "name,plan\nAda,free\n");
    people("dev-2", "name\nAda\n");
    world.push();
    world.sortie("coder", 0, "config set web DATABASE=../../../../../people.csv --in dev");
    world.change_greeting("Hello, {name}! Your plan: {plan}.");
    let build = world.push();
    let deployed = world.sortie("coder", 0, &format!("deploy {build} --to dev --rollout failure_budget=1"));
    deployed.says("1 of 2 failed and were left out: dev-2").says("to let them try again: sortie retry 1");
    let marked = format!("{} failed on dev-2 (deployment 1)", build.strip_prefix("web").unwrap());
    world.sortie("tester", 0, "status web").says(&marked);
    world.sortie("tester", 0, &format!("status {build}")).says("failed on dev-2 in deployment 1");
    world.sortie("tester", 0, "status dev-2").says(&format!("{build} failed here in deployment 1"));
    world.sortie("tester", 0, &format!("why {build} --in dev")).says("it failed on dev-2 (deployment 1)");
    let one = format!("{build} is verified in dev, 1 target");
    world.sortie("tester", 0, "history").says(&one);

    let again = world.sortie("coder", 4, "retry 1");
    again.says("no such column: plan").says("failed again on 1 of 1: dev-2").lacks("dev-1");
    assert_eq!(again.next(), "logs web --on dev-2");
    people("dev-2", "name,plan\nAda,free\n");
    world.sortie("coder", 0, "retry 1 --reason \"the column is there\"").says("deployment 1 is verified on dev-2 too");
    assert_eq!(world.endpoints("dev").len(), 2);
    world.sortie("tester", 0, "status web").lacks("failed");
    world.sortie("tester", 0, "history").says(&one).lacks("in dev, 2 targets");

    // Whoever is cordoned would be refused: nobody is told to let it try.
    world.sortie("coder", 0, "target cordon dev-2");
    world.sortie("coder", 0, &format!("deploy {build} --to dev --plan")).says("1 cordoned and left alone: dev-2");
    world.sortie("tester", 0, "ledger verify");
}
