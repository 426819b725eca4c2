//! A team of four ships through three environments.

use crate::world::{PROJECT, World, get, until};

/// R2: dev takes what nobody released, a live environment does not.
/// R14, R43: a release installs nothing, and succeeds with every machine powered off.
/// R15, R32, R52: QA and ops must agree, the deployer must be one, and who lacks is named.
#[test]
fn r2_r14_r15_r32_r43_r52_a_version_reaches_prod_by_two_people() {
    let mut world = World::of_team(&[("dev-1", "dev"), ("test-1", "test"), ("prod-1", "prod")]);
    world.make_repository(PROJECT);
    let build = world.push();
    world.sortie("coder", 0, &format!("deploy {build} --to dev")).says("unreleased");
    world.sortie("oncall", 3, &format!("deploy {build} --to prod")).says("UNRELEASED");
    let version = world.sortie("coder", 0, &format!("number {build} next")).word("web@");
    world.sortie("coder", 0, &format!("release {version} --to test")).says("Nothing was installed");
    world.sortie("coder", 0, &format!("deploy {version} --to test"));
    world.sortie("coder", 3, &format!("release {version} --to prod")).says("request").says("qa");
    world.sortie("coder", 0, &format!("request {version} --to prod")).says("qa");
    world.power_off("prod-1");
    world.sortie("tester", 0, &format!("approve {version} --to prod --yes")).says("ops");
    world.sortie("oncall", 3, &format!("deploy {version} --to prod")).says("ops");
    world.sortie("oncall", 0, &format!("approve {version} --to prod --yes"));
    world.start_agent("prod-1");
    world.sortie("coder", 3, &format!("deploy {version} --to prod")).says("ops");
    world.sortie("oncall", 0, &format!("deploy {version} --to prod"));
    let [there] = world.endpoints("prod")[..] else { panic!("one machine, one endpoint") };
    let answer = until("an answer", || get(there, "/").ok());
    assert!(answer.contains("Hello, Ada!"), "{answer}");
}
