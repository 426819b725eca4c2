//! Two applications that need each other reach prod as one package: one request, one order, and back together.

use crate::world::{ENVIRONMENTS, Output, PROJECT, TEAM, World, get, read_text, until};
use std::{fs, path::PathBuf};

/// Writes an application's folder, which is a repository of its own, and commits it.
fn written(world: &World, app: &str, project: &str, files: &[(&str, &str)]) -> PathBuf {
    let folder = world.root().join(app);
    let git = |line: &str| world.git("coder", &format!("-C {} {line}", folder.display()));
    fs::create_dir_all(folder.join("dist")).unwrap();
    fs::write(folder.join("sortie.toml"), project).unwrap();
    for (path, text) in files {
        fs::write(folder.join("dist").join(path), text).unwrap();
    }
    if !folder.join(".git").exists() {
        git("init -q");
    }
    git("add --all");
    git("commit -q -m \"feat: go on\"");
    folder
}

/// Pushes and numbers what lies in a folder of its own; answers with the version.
fn pushed(world: &World, app: &str, project: &str, files: &[(&str, &str)]) -> String {
    let folder = written(world, app, project, files);
    let build = world.sortie("coder", 0, &format!("push {}", folder.display())).word(&format!("{app}#"));
    world.sortie("coder", 0, &format!("number {build} next")).word(&format!("{app}@"))
}

fn database(world: &World, schema: &str) -> String {
    pushed(world, "db", "app = \"db\"\nfiles = \"dist\"\n", &[("schema.sql", schema)])
}

fn shop_of(db: &str, web: &str) -> String {
    let number = |version: &str| version.split_once('@').unwrap().1.to_string();
    let (db, web) = (number(db), number(web));
    format!("app = \"shop\"\n[package]\ndb  = \"{db}\"\nweb = {{ version = \"{web}\", after = [\"db\"] }}\n")
}

/// What of the database is active on a machine.
fn schema(world: &World, machine: &str) -> String {
    read_text(&world.active(machine, "db").join("schema.sql"))
}

/// R4, R33: what is approved once goes in the order of what comes after what, and only where it is not there yet.
/// R3: a member that fails on one machine takes the other back on all of them.
/// R3: a rollback brings the package before it back, as one.
#[test]
fn r3_r4_r33_a_package_goes_as_one_and_comes_back_as_one() {
    let world = World::of_team(&[("dev-1", "dev"), ("test-1", "test"), ("prod-1", "prod"), ("prod-2", "prod")]);
    world.make_repository(PROJECT);
    let machine = |name: &str| world.agent_data(name).parent().unwrap().to_path_buf();
    for name in ["dev-1", "test-1", "prod-1", "prod-2"] {
        fs::write(machine(name).join("people.csv"), "name,plan\nAda,free\n").unwrap();
    }
    let first = world.push_and_number();
    for (who, environment) in [("coder", "dev"), ("coder", "test"), ("oncall", "prod")] {
        world.sortie(who, 0, &format!("config set web DATABASE=../../../../../people.csv --in {environment}"));
    }
    let db = database(&world, "one");

    // What it lists must be there, under that number.
    let folder = written(&world, "shop", &shop_of("db@7.0.0", &first), &[]);
    let unknown = world.sortie("coder", 2, &format!("push {}", folder.display()));
    unknown.says("UNKNOWN_VERSION").says("db has no version 7.0.0").says("sortie status db");
    written(&world, "shop", "app = \"shop\"\nfiles = \".\"\n[package]\ndb = \"0.1.0\"\n", &[]);
    world.sortie("coder", 2, &format!("push {}", folder.display())).says("a package only lists versions of others");

    let shop = pushed(&world, "shop", &shop_of(&db, &first), &[]);
    let again = world.ask("coder", &format!("push {}", world.root().join("shop").display()));
    assert_eq!(again["members"]["db"]["version"], "0.1.0", "{again}");
    world.sortie("coder", 0, &format!("deploy {shop} --to dev")).says("runs in dev").says("2 members");
    world.sortie("coder", 0, &format!("release {shop} --to test")).says("Nothing was installed");
    world.sortie("coder", 0, &format!("deploy {shop} --to test"));
    world.sortie("coder", 0, &format!("request {shop} --to prod"));
    let shown = world.sortie("tester", 0, &format!("approve {shop} --to prod --yes"));
    shown.says("a package of 2 members").says("db 0.1.0").says("web 0.1.0").says("after db").says("members: push ✓");
    world.sortie("oncall", 3, &format!("deploy {first} --to prod")).says("PERMIT_MISSING");
    world.sortie("oncall", 0, &format!("approve {shop} --to prod --yes")).says("ops may now deploy shop@");
    world.sortie("oncall", 0, &format!("why {first} --in prod")).says("released to prod with shop@0.1.0");
    world
        .sortie("oncall", 0, &format!("deploy {shop} --to prod --plan"))
        .says("in 2 steps")
        .says("nothing of it runs there")
        .says("prod-1  nothing → 0.1.0; an undo returns to nothing")
        .says("where nothing runs: 1 file");
    let deployed = world.sortie("oncall", 0, &format!("deploy {shop} --to prod"));
    deployed.says("step 1  db 0.1.0").says("step 2  web 0.1.0").says("shop@0.1.0 runs in prod, 2 members");
    let history = world.sortie("tester", 0, "history").stdout;
    let place = |words: &str| history.find(words).unwrap_or_else(|| panic!("{words} is not in\n{history}"));
    let (web, db_there) = (place("web@0.1.0 in prod"), place("db@0.1.0 in prod"));
    assert!(web < db_there, "the newest stands first, and the database went first:\n{history}");
    world.sortie("tester", 0, "status shop").says("0.1.0 on 2/2");
    world.sortie("tester", 0, "escapes");

    // The second member fails on the second machine: the first, which had succeeded, goes back on both.
    world.change_greeting("Hello, {name}! Your plan: {plan}.");
    let second = world.push_and_number();
    let second_db = database(&world, "two");
    let second_shop = pushed(&world, "shop", &shop_of(&second_db, &second), &[]);
    world.release_to_prod(&second_shop);
    fs::write(machine("prod-2").join("people.csv"), "name\nAda\n").unwrap();
    let failed = world.sortie("oncall", 4, &format!("deploy {second_shop} --to prod"));
    failed.says("no such column: plan").says("went back: db, web").says(&format!("hold on {second_shop} in prod"));
    assert_eq!(["prod-1", "prod-2"].map(|name| schema(&world, name)), ["one", "one"]);
    world.sortie("tester", 0, "status shop --in prod").says("0.1.0 on 2/2").says("0.1.1 held out");
    world.sortie("oncall", 3, &format!("deploy {second_shop} --to prod")).says("HELD");

    // Mended and let in again, it runs; and goes back by one command, as one.
    fs::write(machine("prod-2").join("people.csv"), "name,plan\nAda,free\n").unwrap();
    world.sortie("oncall", 0, &format!("hold lift {second_shop} --in prod"));
    world.sortie("oncall", 0, &format!("deploy {second_shop} --to prod")).says(&format!("{second_shop} runs in prod"));
    assert_eq!(["prod-1", "prod-2"].map(|name| schema(&world, name)), ["two", "two"]);
    let back = world.sortie("oncall", 0, "rollback shop --in prod");
    back.says("back to shop@0.1.0").says("step 1  web 0.1.0").says("step 2  db 0.1.0").says("runs again in prod");
    assert_eq!(["prod-1", "prod-2"].map(|name| schema(&world, name)), ["one", "one"]);
    for there in world.endpoints("prod") {
        let answer = until("an answer", || get(there, "/").ok());
        assert!(answer.contains("Hello, Ada!") && !answer.contains("plan"), "{answer}");
    }
    world.sortie("oncall", 3, &format!("deploy {second} --to prod")).says("HELD");

    // Withdrawn as one, none of it has permission any more; and the ledger tells it all.
    world.sortie("tester", 0, &format!("withdraw {shop} --from prod --reason \"a leak\"")).says("still runs");
    world.sortie("oncall", 7, "escapes").says("web@0.1.0").says("db@0.1.0");
    world.sortie("oncall", 0, "undeploy shop --in prod").says("shop@0.1.0 is removed from prod");
    // A machine that is emptied stops what comes last first, and starts it last.
    let order = |output: &Output| output.stdout.find("web:\n").unwrap() < output.stdout.find("db:\n").unwrap();
    let drained = world.sortie("coder", 0, "target drain test-1");
    assert!(order(drained.says("web, db stopped there")), "{drained}");
    let started = world.sortie("coder", 0, "target uncordon test-1 --start");
    assert!(!order(&started), "{started}");
    // Elsewhere, with all there is: the package takes its members along.
    let removed = world.sortie("coder", 0, "undeploy --all --in test");
    removed.says("step 1  web").says("step 2  db").says("nothing runs in test any more: shop").lacks("already so");
    // Not waited for: its members are there still, and go with it.
    let ordered = world.sortie("coder", 0, "undeploy --all --in dev --detach");
    ordered.says("ordered to be removed in dev: shop").says("under way: db, web");
    let gone = || world.endpoints("dev").is_empty().then_some(());
    until("all of it to be removed", gone);
    world.sortie("tester", 0, "escapes");
    world.sortie("tester", 0, "ledger verify");
    assert!(!read_text(&world.root().join("server.log")).contains("panicked"));
}

/// R3, R40: members that come after nothing go side by side on one machine, which tells of each; and what it tells when they
/// go back is heard of each. R8: what is left of a package is removed.
#[test]
fn r3_r40_members_side_by_side_on_one_machine_are_both_heard() {
    let mut world = World::new();
    world.found(TEAM, ENVIRONMENTS);
    world.add_machines(&[("test-1", "test"), ("test-2", "test")]);
    world.make_repository("app = \"web\"\nfiles = \"dist\"\n");
    let side_by_side = |members: [&str; 2]| {
        let lines = members.map(|member| {
            let (app, number) = member.split_once('@').unwrap();
            format!("{app} = \"{number}\"\n")
        });
        format!("app = \"shop\"\n[package]\n{}", lines.concat())
    };
    let files = |app: &str, text: &str| {
        let project = format!("app = \"{app}\"\nfiles = \"dist\"\n");
        pushed(&world, app, &project, &[("schema.sql", text)])
    };
    let on_disk = |app: &str| read_text(&world.active("test-1", app).join("schema.sql"));
    let release = |shop: &str| world.sortie("coder", 0, &format!("release {shop} --to test"));

    let first = pushed(&world, "shop", &side_by_side([&files("db", "one"), &files("mail", "one")]), &[]);
    release(&first);
    world.sortie("coder", 0, &format!("deploy {first} --to test")).says("runs in test, 2 members");
    assert_eq!(["db", "mail"].map(on_disk), ["one", "one"]);

    // Both go back at once, too: what they had been before is what is reported, and nothing waits for ever.
    let second = pushed(&world, "shop", &side_by_side([&files("db", "two"), &files("mail", "two")]), &[]);
    release(&second);
    world.sortie("coder", 0, &format!("deploy {second} --to test")).says("runs in test, 2 members");
    world.sortie("coder", 0, "rollback shop --in test").says("back to shop@0.1.0").says("runs again in test");
    assert_eq!(["db", "mail"].map(on_disk), ["one", "one"]);

    // One that cannot run takes the other back, which had succeeded beside it.
    let check = "[smoke]\nrun = \"sh check\"\nwithin = \"2s\"\n";
    let bad = format!("app = \"mail\"\nfiles = \"dist\"\n{check}");
    let bad = pushed(&world, "mail", &bad, &[("schema.sql", "three"), ("check", "exit 1\n")]);
    let third = pushed(&world, "shop", &side_by_side([&files("db", "three"), &bad]), &[]);
    release(&third);
    let failed = world.sortie("coder", 4, &format!("deploy {third} --to test"));
    failed.says("went back: db, mail").says(&format!("hold on {third} in test"));
    assert_eq!(["db", "mail"].map(on_disk), ["one", "one"]);

    // What is left of a package where one machine has none of it any more is removed as the whole would be.
    world.sortie("tester", 0, "status shop --in test").says("0.1.0 on 2/2").lacks("0.1.0 released, never deployed");
    world.sortie("coder", 0, "undeploy shop --in test --only test-1");
    world.sortie("tester", 0, "status db --in test").says("0.1.0 on 1/2");
    world.sortie("coder", 0, "undeploy shop --in test").says("shop@0.1.0 is removed from test");
    world.sortie("tester", 0, "status db --in test").lacks("0.1.0 on");
    world.sortie("coder", 0, "undeploy shop --in test").says("shop is not deployed in test");
    // What was retired meanwhile is listed by no package any more.
    world.sortie("owner", 0, "app retire mail --yes");
    let folder = written(&world, "shop", &side_by_side(["db@0.1.0", "mail@0.1.0"]), &[]);
    let refused = world.sortie("coder", 3, &format!("push {}", folder.display()));
    refused.says("APP_RETIRED").says("'mail' in package: mail was retired on").says("take the line away");
    world.sortie("tester", 0, "escapes");
    world.sortie("tester", 0, "ledger verify");
}
