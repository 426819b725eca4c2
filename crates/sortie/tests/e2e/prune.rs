//! Releasing goes on for years, and the disk does not fill up.

use crate::world::{PROJECT, World, files, until};

/// R36: prune keeps what runs, what can be rolled back to, and all history; what two builds share stays with the one that
/// stays; and the same bytes, pushed again, are whole again.
#[test]
fn r36_what_nothing_needs_goes_and_everything_else_stays() {
    let mut world = World::of_team(&[("test-1", "test"), ("prod-1", "prod")]);
    world.make_repository(PROJECT);
    let first = world.push_and_number();
    world.release_to_prod(&first);
    world.sortie("oncall", 0, &format!("deploy {first} --to prod"));
    let objects = || files(&world.server_data().join("depot/objects")).len();
    // A file of the build that will go has the very bytes of a document that history names.
    let report = world.home("tester").join("report.txt");
    std::fs::write(&report, "all is well").unwrap();
    let attach = format!("evidence attach {first} --type test-result --passed --file {}", report.display());
    world.sortie("tester", 0, &attach);
    world.change_greeting("Never seen, {name}!");
    let same = world.repository().join("dist/report.txt");
    std::fs::copy(&report, &same).unwrap();
    let unneeded = world.push_and_number();
    let commit = world.git("coder", "rev-parse HEAD").stdout.trim().to_string();
    std::fs::remove_file(&same).unwrap();
    world.change_greeting("Good morning, {name}!");
    let second = world.push_and_number();
    world.release_to_prod(&second);
    world.sortie("oncall", 0, &format!("deploy {second} --to prod"));
    let before = objects();

    world.sortie("coder", 0, "prune").says("nothing to prune").says("younger than 30 days");
    world.sortie("coder", 2, "prune wbe --keep 0 --days 0").says("web");
    let all = "prune --keep 0 --days 0";
    let planned = world.sortie("coder", 0, &format!("{all} --dry-run"));
    planned.says(&unneeded).says("2 builds stay").says(&format!("{second} stays: prod-1 runs it"));
    planned.says(&format!("{first} stays: it settled in prod")).lacks(&format!("{unneeded} stays"));
    world.sortie("tester", 3, &format!("{all} --yes")).says("ROLE_MISSING");
    world.sortie("coder", 1, all).says("nothing was pruned");
    world.sortie("coder", 0, &format!("{all} --yes")).says("1 build pruned");
    until("the bytes to go", || (objects() < before).then_some(()));
    let name = trust::Digest::of(b"all is well").hex();
    let document = world.server_data().join("depot/objects").join(&name[..2]).join(&name[2..]);
    assert!(document.exists(), "a document of history went with a build that had the same bytes");
    world.sortie("coder", 0, &format!("{all} --yes")).says("nothing to prune");
    world.sortie("coder", 0, "status web").says("pruned");
    world.sortie("coder", 0, &format!("status {unneeded}")).says("its bytes were pruned").says("sortie push");
    world.sortie("coder", 3, &format!("release {unneeded} --to test")).says("BUILD_PRUNED").says("sortie push");
    world.sortie("coder", 0, "history").says(&format!("pruned the bytes of {unneeded}"));

    // Everything else goes on: a rollback to what settled before, a deployment to a machine that has nothing yet.
    world.sortie("oncall", 0, "rollback web --in prod").says(&first[4..]);
    world.add_machines(&[("prod-2", "prod")]);
    world.sortie("oncall", 0, "hold lift web --in prod");
    world.sortie("oncall", 0, &format!("deploy {second} --to prod")).says("2/2");
    world.sortie("owner", 0, "ledger verify").says("ledger whole");
    world.sortie("owner", 0, "escapes");

    world.git("coder", &format!("checkout -q {commit}"));
    world.build();
    std::fs::copy(&report, &same).unwrap();
    world.push();
    world.sortie("coder", 0, &format!("release {unneeded} --to test"));
    world.sortie("coder", 0, &format!("deploy {unneeded} --to test")).says("1/1");

    // In the end the application itself goes.
    world.sortie("owner", 3, "app retire web --yes").says("APP_RUNS").says("prod-1");
    // Only what runs is removed: another version that was named is no reason to say that nothing runs.
    let other = world.sortie("oncall", 3, &format!("undeploy {first} --in prod"));
    other.says("NOTHING_RUNS").says(&format!("{first} does not run in prod; {} does", &second[4..]));
    world.sortie("oncall", 2, "stop web@9.0.0 --in prod").says("UNKNOWN_VERSION").says("web has no version 9.0.0");
    for verb in ["restart", "stop", "undeploy"] {
        world
            .sortie("oncall", 2, &format!("{verb} web --in prod --only nope"))
            .says("UNKNOWN_TARGET")
            .says("no target is called nope");
    }
    world.sortie("oncall", 0, "undeploy web --in prod");
    world.sortie("coder", 0, "undeploy web --in test");
    world.sortie("coder", 0, "undeploy web --in test").says("already so: web is not deployed in test");
    world.sortie("coder", 2, "undeploy wbe --in test").says("UNKNOWN_APPLICATION");
    world.sortie("coder", 2, "undeploy web@9.0.0 --in test").says("UNKNOWN_VERSION");
    world.sortie("coder", 3, "app retire web --yes").says("ROLE_MISSING");
    world.sortie("coder", 0, "push --into late --part one");
    world.sortie("owner", 0, "app retire web --yes").says("nothing new of it comes in");
    world.sortie("owner", 0, "status web").says("draft late is left: one").lacks("push --seal");
    world.sortie("coder", 0, "push --discard late").says("is discarded").lacks("begins anew").lacks("push --into");
    world.sortie("owner", 0, "status").says("every application was retired: web").lacks("nothing was pushed yet");
    world.sortie("owner", 0, "status web").says("web was retired on");
    // Permits and what settled keep nothing any more.
    world.sortie("coder", 0, "prune web --keep 0 --days 0 --yes").says("pruned");
    world.sortie("coder", 0, "prune web --keep 0 --days 0 --yes").says("nothing to prune");
    world.change_greeting("Too late, {name}!");
    world.sortie("coder", 3, "push").says("APP_RETIRED");
    world.sortie("owner", 0, "ledger verify").says("ledger whole");
}
