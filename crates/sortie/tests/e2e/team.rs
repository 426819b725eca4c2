//! A team ships through dev, test and prod; prod needs QA and ops.

use crate::world::{ENVIRONMENTS, PROJECT, World, find, get, until};

const EVERYWHERE: &[(&str, &str)] = &[("dev-1", "dev"), ("test-1", "test"), ("prod-1", "prod")];

/// R2, R21: dev takes what nobody released and says so; a live environment does not.
/// R14, R17, R43: a release installs nothing, says so, and succeeds with every machine powered off.
/// R15, R32, R52: QA and ops must agree, the deployer must be ops, and whoever is missing is named.
/// R5: a deployment's number is taught to be none. R46: the status says what is where.
#[test]
fn r2_r5_r14_r15_r17_r21_r32_r43_r46_r52_a_version_reaches_prod_by_two_people() {
    let mut world = World::of_team(EVERYWHERE);
    world.make_repository(PROJECT);
    let build = world.push();
    world.sortie("coder", 0, &format!("deploy {build} --to dev")).says("unreleased");
    world.sortie("coder", 0, "status").says("unreleased build");
    world.sortie("oncall", 3, &format!("deploy {build} --to prod")).says("UNRELEASED");
    world
        .sortie("coder", 0, &format!("why {build} --in dev"))
        .says("✓ dev accepts")
        .says("fits: dev-1")
        .says("yes: on 1");
    world.sortie("coder", 0, &format!("why {build} --in prod")).says("has no number").says("✗ prod comes after test");

    let version = world.sortie("coder", 0, &format!("number {build} next")).word("web@");
    world.sortie("coder", 0, &format!("release {version} --to test")).says("Nothing was installed");
    world.sortie("coder", 0, &format!("status {version}")).says("released, never deployed");
    world.sortie("coder", 0, &format!("deploy {version} --to test"));

    let asked = world.sortie("coder", 3, &format!("release {version} --to prod"));
    asked.says("ROLE_MISSING").says("qa").says("ops").says(&format!("sortie request {version} --to prod"));
    world.sortie("coder", 0, &format!("request {version} --to prod")).says("waiting for");
    world.power_off("prod-1");
    world.sortie("tester", 0, &format!("approve {version} --to prod --yes")).says("ops");
    world.sortie("oncall", 3, &format!("deploy {version} --to prod")).says("APPROVALS_MISSING").says("ops");
    world.sortie("oncall", 0, &format!("approve {version} --to prod --yes")).says("nothing was installed");
    world.sortie("coder", 3, &format!("deploy {version} --to prod")).says("ROLE_MISSING").says("ops");

    world.start_agent("prod-1");
    let deployed = world.sortie("oncall", 0, &format!("deploy {version} --to prod --json"));
    let number = find(&deployed.json(), &|value| value["deployment"].is_u64()).unwrap()["deployment"].clone();
    let taught = world.sortie("oncall", 2, &format!("deploy {number} --to prod"));
    taught.says("is a deployment").says(&format!("sortie redeploy {number}"));
    let [there] = world.endpoints("prod")[..] else { panic!("one machine, one endpoint") };
    let answer = until("an answer", || get(there, "/").ok());
    assert!(answer.contains("Hello, Ada!"), "{answer}");

    world.change_greeting("Good morning, {name}!");
    let second = world.push_and_number();
    world.sortie("coder", 0, &format!("release {second} --to test"));
    world.sortie("coder", 0, &format!("deploy {second} --to test"));
    world.sortie("coder", 0, "status web").says("0.2.0 on 1/1").says("0.1.0 on 1/1");
    let board = get(world.board(), "/").unwrap();
    assert!(board.contains("0.2.0") && board.contains("0.1.0"), "{board}");
}

/// R52: two people of QA are not QA and ops, and whoever pushed does not count.
#[test]
fn r52_two_of_a_kind_are_not_one_of_each() {
    let mut world = World::new();
    let people = [("coder", "developer qa ops"), ("tester", "qa"), ("second", "qa"), ("oncall", "ops")];
    world.found(&people, "[environments]\nprod = { class = \"live\", approve = \"qa and ops\", deploy = \"ops\" }\n");
    world.make_repository(PROJECT);
    let version = world.push_and_number();
    world.sortie("tester", 0, &format!("request {version} --to prod"));
    world.sortie("coder", 3, &format!("approve {version} --to prod --yes"));
    world.sortie("second", 0, &format!("approve {version} --to prod --yes")).says("ops");
    world.sortie("oncall", 3, &format!("deploy {version} --to prod")).says("APPROVALS_MISSING").says("ops");
    world.sortie("oncall", 0, &format!("approve {version} --to prod --yes"));
    world.sortie("oncall", 0, &format!("status {version}")).says("second").says("oncall");
}

/// R16, R19: a code change is followed to where it runs; a tree that differs from its commit is refused.
/// R34, R39: a number belongs to its bytes. R45: what was superseded is deployed again, with a warning.
/// R56: every act has an actor, a role and whom it was for. R57: a first deployment is told from an upgrade.
#[test]
fn r16_r19_r34_r39_r45_r56_r57_what_happened_can_be_told() {
    let world = World::of_team(&[("test-1", "test")]);
    world.make_repository(PROJECT);
    world.git("coder", "tag web/v1.0.0");
    let build = world.push();
    let first = world.sortie("coder", 0, &format!("number {build} next")).word("web@");
    assert_eq!(first, "web@1.0.0", "the tag at the commit is the number");
    let commit = world.git("coder", "rev-parse HEAD").stdout.trim().to_string();
    world.sortie("coder", 0, &format!("release {first} --to test --on-behalf-of \"the shop\""));
    world.sortie("coder", 0, &format!("deploy {first} --to test"));

    std::fs::write(world.repository().join("greeting.txt"), "half done").unwrap();
    world.sortie("coder", 3, "push").says("TREE_DIRTY").says("greeting.txt");
    world.change_greeting("Good morning, {name}!");
    let other = world.push();
    assert_ne!(other, build);
    world.sortie("coder", 6, &format!("number {other} 1.0.0"));
    let second = world.sortie("coder", 0, &format!("number {other} next")).word("web@");
    assert_eq!(second, "web@1.1.0", "a feature makes a new minor version");
    world.sortie("coder", 0, &format!("release {second} --to test"));
    world.sortie("coder", 0, &format!("deploy {second} --to test"));

    world.sortie("tester", 0, &format!("trace {}", &commit[..10])).says("1.0.0").says("test");
    world.sortie("coder", 0, "trace HEAD").says("1.1.0").says("runs");
    world.sortie("coder", 0, &format!("deploy {first} --to test")).says("superseded");
    world.sortie("tester", 0, "status test").says("1.0.0 on 1/1");

    let history = world.sortie("tester", 0, "history web");
    history.says("coder (developer)").says("the shop").says("deployed").says("upgraded");
}

/// R31: what was withdrawn is not deployed. R53: withdrawing it here leaves it there. R50, R26: who sees it is a third
/// act, which only what runs and is verified can have.
#[test]
fn r26_r31_r50_r53_permission_is_taken_back_in_one_place() {
    let world = World::of_team(EVERYWHERE);
    world.make_repository(PROJECT);
    let version = world.push_and_number();
    world.release_to_prod(&version);
    world.sortie("oncall", 3, &format!("expose {version} --in prod --percent 10")).says("NOT_DEPLOYED");
    world.sortie("oncall", 0, &format!("deploy {version} --to prod"));
    world.sortie("oncall", 0, &format!("expose {version} --in prod --percent 10")).says("10 %");
    world.sortie("coder", 0, "status web").says("10 %");
    world
        .sortie("tester", 0, &format!("withdraw {version} --from prod --reason \"it greets too loudly\""))
        .says("runs")
        .says("next: sortie undeploy web --in prod");
    world.sortie("oncall", 3, &format!("deploy {version} --to prod")).says("withdrawn");
    world.sortie("coder", 0, &format!("deploy {version} --to test"));
    world.sortie("oncall", 7, "escapes").says("prod-1");
}

/// R31, R52: the approvals of a person who leaves the charter leave with them, before anything is deployed by them.
#[test]
fn r31_r52_who_leaves_takes_their_approvals_along() {
    let world = World::of_team(EVERYWHERE);
    world.make_repository(PROJECT);
    let version = world.push_and_number();
    world.release_to_prod(&version);
    world.sortie("oncall", 0, &format!("why {version} --in prod")).says("yes");
    world.amend(&[("coder", "developer"), ("oncall", "developer ops"), ("nightly", "ops qa")], ENVIRONMENTS);
    world.sortie("oncall", 3, &format!("deploy {version} --to prod")).says("qa");
    world.sortie("tester", 3, &format!("approve {version} --to prod --yes"));
    world.sortie("nightly", 0, &format!("approve {version} --to prod --yes"));
    world.sortie("oncall", 0, &format!("deploy {version} --to prod"));
}

/// R46: what runs goes on without server and agent, and both take up where they were.
#[test]
fn r46_a_service_needs_neither_server_nor_agent() {
    let mut world = World::of_team(&[("dev-1", "dev")]);
    world.make_repository(PROJECT);
    let build = world.push();
    world.sortie("coder", 0, &format!("deploy {build} --to dev"));
    let [there] = world.endpoints("dev")[..] else { panic!("one machine, one endpoint") };
    world.stop_server();
    world.stop_agent("dev-1");
    assert!(get(there, "/").unwrap().contains("Hello"));
    world.start_agent("dev-1");
    world.start_server();
    world.await_machines(&["dev-1"]);
    world.sortie("coder", 0, "status dev").says("on 1/1");
    assert_eq!(world.endpoints("dev"), [there]);
    assert!(get(there, "/").unwrap().contains("Hello"));
    world.change_greeting("Good morning, {name}!");
    let build = world.push();
    world.sortie("coder", 0, &format!("deploy {build} --to dev"));
    assert!(until("an answer", || get(there, "/").ok()).contains("Good morning"));
}
