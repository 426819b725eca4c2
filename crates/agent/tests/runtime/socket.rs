//! Sockets that outlive programs: an upgrade under load drops nothing.

use crate::target::*;
use agent::runtime::{Leaving, Running, Unverified};
use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use trust::{
    Digest,
    manifest::{Health, HealthCheck, Run},
};

/// How many clients ask at the same time.
const CLIENTS: usize = 6;

/// The example service, built anew: it takes sockets from outside since not so long ago.
fn greeter() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--package", "greeter"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    assert!(build.status().unwrap().success(), "the greeter cannot be built");
    Path::new(KEEPER).with_file_name("greeter")
}

/// A build of the greeter that says which one it is; with `broken`, one that is never well.
fn build(target: &Target, commit: &str, socket: bool, broken: bool) -> (Digest, Run) {
    let digest = Digest::of(commit.as_bytes());
    let release = target.runtime.layout().release(&app(), &digest);
    fs::create_dir_all(&release).unwrap();
    fs::copy(greeter(), release.join("greeter")).unwrap();
    fs::write(release.join("commit"), commit).unwrap();
    fs::write(release.join("people.csv"), "name\nAda\n").unwrap();
    fs::write(release.join("greeting.txt"), if broken { "Your {plan}" } else { "Hello, {name}!" }).unwrap();
    let mut run = run_of("");
    run.environment.insert("DATABASE".into(), "people.csv".into());
    let process = run.processes.get_mut("web").unwrap();
    process.run = ["./greeter", "--port", "$PORT"].map(str::to_owned).to_vec();
    process.socket = socket.then_some(Ipv4Addr::LOCALHOST.into());
    let check = HealthCheck::Http("/healthz".into());
    process.health = Some(Health { check, within_seconds: 5, consecutive: 2, every_seconds: None });
    target.runtime.prepare(&app(), &digest, &run).unwrap();
    (digest, run)
}

fn bring(target: &Target, (build, run): &(Digest, Run)) -> Result<(), Unverified> {
    let values = BTreeMap::new();
    target.runtime.bring(Running {
        app: &app(),
        build,
        run,
        values: &values,
        leaving: Leaving::MustSucceed,
        standby: false,
    })
}

/// `GET /version`, which every build answers.
fn ask(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.write_all(b"GET /version HTTP/1.1\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.strip_prefix("HTTP/1.1 200 OK").and_then(|rest| rest.split_once("\r\n\r\n"));
    body.map(|(_, body)| body.trim().to_owned()).ok_or_else(|| std::io::Error::other(format!("answered {answer:?}")))
}

/// What clients that never rest got while something was done.
fn under_load(port: u16, deed: impl FnOnce()) -> (BTreeMap<String, usize>, Vec<String>) {
    let over = AtomicBool::new(false);
    let (answered, dropped) = (Mutex::new(BTreeMap::new()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    match ask(port) {
                        Ok(commit) => *answered.lock().unwrap().entry(commit).or_insert(0) += 1,
                        Err(error) => dropped.lock().unwrap().push(error.to_string()),
                    }
                }
            });
        }
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(deed));
        over.store(true, Ordering::Relaxed);
        done.unwrap();
    });
    (answered.into_inner().unwrap(), dropped.into_inner().unwrap())
}

#[test]
fn an_upgrade_with_a_handed_on_socket_drops_no_request() {
    let target = Target::new();
    let (one, two) = (build(&target, "one", true, false), build(&target, "two", true, false));
    bring(&target, &one).unwrap();
    let port = target.observed().port.unwrap();
    until("it answers", || ask(port).is_ok());
    let (answered, dropped) = under_load(port, || {
        for round in 0..6 {
            let next = if round % 2 == 0 { &two } else { &one };
            bring(&target, next).unwrap();
            let copies = target.runtime.observed(&app()).unwrap();
            assert_eq!(copies.len(), 1, "the old program is gone");
            assert_eq!((copies[0].build, copies[0].port, copies[0].restarts), (next.0, Some(port), 0));
            assert_eq!(ask(port).unwrap(), if round % 2 == 0 { "two" } else { "one" });
        }
        // A restart keeps the socket as well: whoever comes meanwhile waits.
        target.runtime.restart_copy(&app(), &target.observed().id).unwrap();
        ask(port).unwrap();
    });
    assert_eq!(dropped, [""; 0], "of {answered:?}");
    assert!(answered["one"] > 0 && answered["two"] > 0, "{answered:?}");
}

/// What the one above is worth: the same upgrade of the same program drops requests where it listens by itself.
#[test]
fn without_a_socket_from_outside_an_upgrade_drops_requests() {
    let target = Target::new();
    let (one, two) = (build(&target, "one", false, false), build(&target, "two", false, false));
    bring(&target, &one).unwrap();
    let port = target.observed().port.unwrap();
    until("it answers", || ask(port).is_ok());
    let (_, dropped) = under_load(port, || {
        bring(&target, &two).unwrap();
        until("the new one answers", || ask(port).is_ok_and(|commit| commit == "two"));
    });
    assert!(!dropped.is_empty());
}

#[test]
fn a_new_program_that_is_never_well_leaves_the_old_one_serving() {
    let target = Target::new();
    let (good, broken) = (build(&target, "good", true, false), build(&target, "broken", true, true));
    bring(&target, &good).unwrap();
    let before = target.observed();
    let port = before.port.unwrap();
    until("it answers", || ask(port).is_ok());
    let (_, dropped) = under_load(port, || {
        let why = bring(&target, &broken).unwrap_err().to_string();
        assert!(why.starts_with("web-1 /healthz 503"), "{why}");
        // Going back finds the old program where it was.
        bring(&target, &good).unwrap();
    });
    assert_eq!(dropped, [""; 0]);
    let after = target.observed();
    assert_eq!((after.pid, after.build, after.restarts), (before.pid, good.0, 0));
}

#[test]
fn an_agent_that_is_killed_between_two_programs_leaves_one_to_its_successor() {
    let target = Target::new();
    let good = build(&target, "good", true, false);
    bring(&target, &good).unwrap();
    let port = target.observed().port.unwrap();
    until("it answers", || ask(port).is_ok());
    // Killed while it waits for a program that never is well: both are there.
    let broken = build(&target, "broken", true, true);
    let mut agent = Killed::spawn(&mut target.agent("keep", port, &[&broken]));
    let running = || target.runtime.observed(&app()).unwrap().iter().filter(|copy| copy.pid.is_some()).count();
    until("both run", || running() == 2);
    agent.end();
    assert!(ask(port).is_ok());
    let third = build(&target, "third", true, false);
    let (_, dropped) = under_load(port, || bring(&target, &third).unwrap());
    assert_eq!(dropped, [""; 0]);
    let copies = target.runtime.observed(&app()).unwrap();
    assert_eq!(copies.iter().map(|copy| copy.build).collect::<Vec<_>>(), [third.0]);
}

#[test]
fn a_program_that_listens_by_itself_and_one_that_does_not_take_turns() {
    let target = Target::new();
    let (own, given) = (build(&target, "own", false, false), build(&target, "given", true, false));
    for next in [&own, &given, &own, &given] {
        bring(&target, next).unwrap();
        let port = target.observed().port.unwrap();
        until("it answers", || ask(port).is_ok());
        assert_eq!(target.runtime.observed(&app()).unwrap().len(), 1);
        assert_eq!(target.observed().build, next.0);
    }
}

#[test]
fn one_of_several_copies_always_serves() {
    let target = Target::new();
    let copies_of = |commit: &str| {
        let (digest, mut run) = build(&target, commit, false, false);
        run.processes.get_mut("web").unwrap().copies = 3;
        (digest, run)
    };
    let (one, two) = (copies_of("one"), copies_of("two"));
    bring(&target, &one).unwrap();
    let ports: Vec<u16> = target.runtime.observed(&app()).unwrap().iter().map(|copy| copy.port.unwrap()).collect();
    until("all answer", || ports.iter().all(|port| ask(*port).is_ok()));
    let (over, gaps) = (AtomicBool::new(false), Mutex::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // A balancer: whoever does not answer is passed over.
            while !over.load(Ordering::Relaxed) {
                if !ports.iter().any(|port| ask(*port).is_ok()) {
                    *gaps.lock().unwrap() += 1;
                }
            }
        });
        let brought = bring(&target, &two);
        over.store(true, Ordering::Relaxed);
        brought.unwrap();
    });
    assert_eq!(gaps.into_inner().unwrap(), 0);
    assert!(target.runtime.observed(&app()).unwrap().iter().all(|copy| copy.build == two.0));
}
