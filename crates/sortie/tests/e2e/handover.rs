//! A release hands responsibility over: it names who receives it, and they take it over or turn it down.

use crate::world::{PROJECT, TEAM, World, files};

/// QA receives what is released to test.
const QA_RECEIVES: &str = r#"
[environments]
test = { class = "test", approve = "qa", deploy = "qa or ops" }
"#;

/// R13: a release to QA names QA as its receiver; QA rejects or accepts it; nothing is installed by either.
#[test]
fn r13_a_release_names_its_receiver_who_accepts_or_rejects_it_and_nothing_is_installed() {
    let mut world = World::new();
    world.found(TEAM, QA_RECEIVES);
    world.add_machines(&[("test-1", "test")]);
    world.make_repository(PROJECT);
    let version = world.push_and_number();
    let untouched = || assert!(files(&world.agent_data("test-1").join("apps")).is_empty(), "something was installed");

    world.sortie("coder", 0, &format!("request {version} --to test")).says("waiting for qa (1 person)");
    world.sortie("coder", 0, "status test").says("waits for qa");
    for somebody_else in ["coder", "oncall", "owner"] {
        world.sortie(somebody_else, 3, &format!("approve {version} --to test --yes")).says("needs qa");
    }
    world.sortie("coder", 2, &format!("accept {version} --to test")).says("approve");
    world.sortie("coder", 2, &format!("reject {version} --to test")).says("deny");
    world.sortie("tester", 0, &format!("deny {version} --to test --reason \"no notes came along\"")).says("is denied");
    world.sortie("coder", 0, "history web").says("tester denied").says("no notes came along");
    world.sortie("tester", 3, &format!("deploy {version} --to test"));
    untouched();

    // Rejected for good is the request, not the version: it is handed over anew.
    world.sortie("coder", 0, &format!("request {version} --to test")).says("request 2");
    world.sortie("tester", 0, &format!("approve {version} --to test --yes")).says("nothing was installed");
    world.sortie("coder", 0, "history web").says("tester approved").says("as qa").says("released to test");
    world.sortie("coder", 0, &format!("status {version}")).says("by tester").says("released, never deployed");
    untouched();
    // From here on it is QA's to deploy, and not the developer's any more.
    world.sortie("coder", 3, &format!("deploy {version} --to test")).says("needs qa or ops");
    world.sortie("tester", 0, &format!("deploy {version} --to test")).says("test-1");
}
