//! What was verified must stay well: a deployment settles only then, and goes back where it does not.

use crate::world::{ENVIRONMENTS, PROJECT, TEAM, World, get, until};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    sync::{Arc, Mutex},
};

/// A Prometheus server of this story, which measures what the story says; with its port.
fn prometheus(measured: &str) -> (u16, Arc<Mutex<String>>) {
    let measured = Arc::new(Mutex::new(measured.to_owned()));
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let now = measured.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let lines = BufReader::new(&stream).lines();
            lines.take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty())).for_each(drop);
            let value = now.lock().unwrap().clone();
            let series = format!(r#"{{"metric":{{}},"value":[1,"{value}"]}}"#);
            let body = format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{series}]}}}}"#);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close", body.len());
            let _whoever_asked_is_gone = write!(stream, "{head}\r\n\r\n{body}");
        }
    });
    (port, measured)
}

/// R54: a canary passes every verification; while it bakes, what it measures turns bad. It goes back by itself, and nobody
/// else was ever touched.
#[test]
fn r54_a_canary_whose_errors_rise_while_it_bakes_goes_back_and_the_others_were_never_touched() {
    let mut world = World::new();
    world.found(TEAM, ENVIRONMENTS);
    let machines = ["test-1", "test-2", "test-3"];
    world.add_machines(&machines.map(|machine| (machine, "test")));
    for machine in machines {
        world.stop_agent(machine);
        world.start_agent_with(machine, &["--watch-seconds", "1"]);
    }
    let (port, measured) = prometheus("0.001");
    let errors = format!(
        "[verify.errors]\nprometheus = \"http://127.0.0.1:{port}\"\nquery = \"rate(errors[1m])\"\nsuccess = \"< 0.01\"\n\
         every = \"1s\"\nwatch = \"1s\"\n"
    );
    world.make_repository(&format!("{PROJECT}{errors}"));
    let one = world.push_and_number();
    world.sortie("coder", 0, &format!("release {one} --to test"));
    world.sortie("coder", 0, &format!("deploy {one} --to test")).says("verify ✓");
    let releases = |machine: &str| {
        let folder = world.agent_data(machine).join("apps/web/releases");
        fs::read_dir(folder).unwrap().count()
    };
    assert_eq!(machines.map(releases), [1; 3]);

    world.change_greeting("Good day, {name}!");
    let two = world.push_and_number();
    world.sortie("coder", 0, &format!("release {two} --to test"));
    world.sortie("coder", 0, &format!("deploy {two} --to test --canary 1 --bake 30m --detach"));
    until("the canary bakes", || world.sortie("tester", 0, "status 2").stdout.contains("bakes on").then_some(()));
    // It goes on being bad for a while after the canary went back, as rates do.
    *measured.lock().unwrap() = "0.09".into();
    until("it goes back", || world.sortie("tester", 0, "status web").stdout.contains("held out").then_some(()));
    world
        .sortie("tester", 0, "history web")
        .says("is unwell on test-")
        .says("verify errors: measured 0.09, not < 0.01");
    for there in world.endpoints("test") {
        assert!(get(there, "/").unwrap().contains("Hello, Ada!"), "it serves as it did before");
    }
    let touched = machines.map(releases).iter().filter(|count| **count > 1).count();
    assert!(touched <= 1, "the canary alone has ever had it: {:?}", machines.map(releases));
}

/// R54, R3: a version is well when it is verified. While it soaks its database loses what it needs; nobody looks, and the
/// environment goes back by itself to what ran before.
#[test]
fn r54_what_is_unwell_while_it_soaks_does_not_settle_and_goes_back() {
    let mut world = World::new();
    let soaks = ENVIRONMENTS.replace("test = { ", "test = { soak_minutes = 1, ");
    assert_ne!(soaks, ENVIRONMENTS);
    world.found(TEAM, &soaks);
    world.add_machines(&[("test-1", "test"), ("test-2", "test")]);
    for machine in ["test-1", "test-2"] {
        world.stop_agent(machine);
        world.start_agent_with(machine, &["--watch-seconds", "1"]);
    }
    world.make_repository(PROJECT);
    let database = world.root().join("people.csv");
    fs::write(&database, "name,plan\nAda,free\n").unwrap();
    world.push();
    world.sortie("coder", 0, &format!("config set web --in test DATABASE={}", database.display()));
    let release = |world: &World| {
        let version = world.push_and_number();
        world.sortie("coder", 0, &format!("release {version} --to test"));
        world.sortie("coder", 0, &format!("deploy {version} --to test")).says("verify ✓");
        version
    };
    let one = release(&world);
    world.sortie("tester", 0, "status web").says("soaks until");

    world.change_greeting("Hello, {name}! Your plan: {plan}.");
    let two = release(&world);
    fs::write(&database, "name\nAda\n").unwrap();
    until("it goes back", || world.sortie("tester", 0, "status web").stdout.contains("held out").then_some(()));
    world.sortie("tester", 0, "history web").says("is unwell on test-").says("/healthz 503").says("was undone");
    world.sortie("tester", 0, "status 2").says("unwell").says("undone");
    for there in world.endpoints("test") {
        assert!(get(there, "/").unwrap().contains("Hello, Ada!"), "it serves as it did before");
    }
    world.sortie("coder", 3, &format!("deploy {two} --to test")).says("HELD").says("deployment 2");
    let carried = world.root().join("carried");
    let export = format!("bundle export {two} --to test --out {}", carried.display());
    world.sortie("coder", 3, &export).says("HELD").says(&format!("sortie hold lift {two} --in test"));
    assert!(!carried.exists(), "nothing was written, and no order was signed");
    world.sortie("tester", 0, "status web --in test").says(one.trim_start_matches("web@"));
    world.sortie("tester", 0, "ledger verify");
}

/// R3: nothing is measured where the build says that people shall look at that. Whoever deployed hears of it at once, no other
/// machine is touched before somebody has looked, and whoever is not content takes it back.
#[test]
fn r3_what_a_measurement_leaves_in_doubt_waits_until_somebody_has_looked() {
    let mut world = World::of_team(&[("test-1", "test"), ("test-2", "test"), ("dev-1", "dev")]);
    for machine in ["test-1", "test-2"] {
        world.stop_agent(machine);
        world.start_agent_with(machine, &["--watch-seconds", "1"]);
    }
    let (port, measured) = prometheus("NaN");
    let errors = format!(
        "[verify.errors]\nprometheus = \"http://127.0.0.1:{port}\"\nquery = \"rate(errors[1m])\"\nsuccess = \"< 0.01\"\n\
         within = \"2s\"\nevery = \"1s\"\nwatch = \"1s\"\nfailure = \"> 0.05\"\ninconclusive = \"pause\"\n"
    );
    world.make_repository(&format!("{PROJECT}{errors}"));
    let release = |world: &World| {
        let version = world.push_and_number();
        world.sortie("coder", 0, &format!("release {version} --to test"));
        version
    };
    let one = release(&world);
    world
        .sortie("coder", 4, &format!("deploy {one} --to test"))
        .says("deployment 1 is paused: test-1: verify errors: inconclusive: measured NaN")
        .says("sortie resume 1")
        .says("sortie abort 1");
    world.sortie("tester", 0, "status 1").says("somebody should look").says("test-2  waiting");
    assert_eq!(world.endpoints("test").len(), 1);
    let looked = "resume 1 --reason \"the numbers come at noon\"";
    world.sortie("coder", 4, looked).says("test-2: verify errors: inconclusive");
    world.sortie("coder", 0, looked).says("runs in test, 2/2");
    world.sortie("tester", 0, "status 1").says("somebody has looked").says("the numbers come at noon");
    world.sortie("tester", 0, "history web").says("somebody should look: verify errors").says("let deployment 1");
    // That it goes on deciding nothing is no news to those who have looked.
    assert!(!world.sortie("tester", 0, "status web").stdout.contains("unwell"));

    world.change_greeting("Good day, {name}!");
    let two = release(&world);
    world.sortie("coder", 4, &format!("deploy {two} --to test")).says("deployment 2 is paused");
    world.sortie("coder", 0, "abort 2 --reason \"too slow\"");
    world.sortie("tester", 0, "status 2").says("undone").says("test-2  not begun").says("too slow");
    assert!(!world.sortie("tester", 0, "status web").stdout.contains("never deployed"), "it ran on test-1");
    for there in world.endpoints("test") {
        assert!(get(there, "/").unwrap().contains("Hello, Ada!"), "it serves as it did before");
    }
    // What fails outright pauses where the order says so, and is tried again, with a reason, once it can go well.
    *measured.lock().unwrap() = "0.09".into();
    world.change_greeting("Good evening, {name}!");
    let three = release(&world);
    let deploy = format!("deploy {three} --to dev --rollout on_failure=pause");
    world.sortie("coder", 4, &deploy).says("deployment 3 is paused").says("sortie retry 3").says("exclude 3 dev-1");
    *measured.lock().unwrap() = "0.001".into();
    world.sortie("coder", 0, "retry 3 --reason \"the database was cold\"").says("runs in dev, 1/1");
    world.sortie("tester", 0, "status 3").says("retried dev-1").says("the database was cold");
    world.sortie("tester", 0, "ledger verify");
}
