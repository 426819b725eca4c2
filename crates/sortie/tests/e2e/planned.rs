//! What was planned is what is done.

use crate::world::{PROJECT, World};

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
