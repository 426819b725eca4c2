//! Out of service before a copy stops, and back once it is healthy.

use crate::target::*;
use agent::runtime::{Leaving, Running, Unverified};
use std::{collections::BTreeMap, fs, path::PathBuf};
use trust::{
    Digest,
    manifest::{Health, HealthCheck, Run, Traffic, Upstream},
};

/// Everything that happens notes a line here, in its order.
fn notes(target: &Target) -> Vec<String> {
    let text = fs::read_to_string(target.path("notes")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn sh(script: &str) -> Vec<String> {
    ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
}

/// A build of so many copies that note their starts and ends.
fn build(target: &Target, number: u32, copies: u32, traffic: Option<Traffic>) -> (Digest, Run) {
    let notes = target.path("notes");
    let script = format!(
        "trap 'echo stop {number} >> {0}; exit 0' TERM; echo start {number} >> {0}; while :; do sleep 0.02; done # $PORT",
        notes.display()
    );
    let mut run = run_of(&script);
    let process = run.processes.get_mut("web").unwrap();
    process.copies = copies;
    process.stop_seconds = 30;
    let check = HealthCheck::Command(sh(&format!("grep -q 'start {number}' {}", notes.display())));
    process.health = Some(Health { check, within_seconds: 30, consecutive: 1, every_seconds: None });
    run.traffic = traffic;
    let spec = target.specs(&run, &number.to_string()).remove(0);
    (spec.build, run)
}

fn nginx() -> Option<Traffic> {
    Some(Traffic { upstream: Some(Upstream::Nginx), drain: None, back: None, drain_seconds: 0, switch: None })
}

fn running<'a>(
    (build, run): &'a (Digest, Run),
    app: &'a trust::AppName,
    values: &'a BTreeMap<String, String>,
) -> Running<'a> {
    Running { app, build, run, values, leaving: Leaving::MustSucceed, standby: false }
}

/// Brings the build, and verifies it.
fn deploy(target: &Target, build: &(Digest, Run)) -> Result<(), Unverified> {
    let (app, values) = (app(), BTreeMap::new());
    target.runtime.bring(running(build, &app, &values))?;
    target.runtime.verify(running(build, &app, &values), &mut |_| ()).map(|_| ())
}

/// Has the machine's owner allow a file outside the data folder, and note each of its lists in one line.
fn owner(target: &Target, reload: Option<&str>) -> PathBuf {
    let list = target.path("upstreams").join("web.conf");
    fs::create_dir_all(list.parent().unwrap()).unwrap();
    let note =
        format!("grep server {} | tr -d '\\n' >> {1}; echo >> {1}", list.display(), target.path("notes").display());
    let reload = reload.map_or(format!("sh -c {}", depot::project::words::quote_word(&note)), str::to_owned);
    let quoted = toml::Value::String(reload);
    let text = format!("[traffic]\nreload = {quoted}\n[traffic.files]\nweb = '{}'\n", list.display());
    fs::write(target.path("agent.toml"), text).unwrap();
    list
}

fn port(target: &Target, copy: usize) -> u16 {
    target.runtime.observed(&app()).unwrap()[copy].port.unwrap()
}

#[test]
fn a_copy_leaves_the_list_before_it_stops_and_comes_back_once_it_is_healthy() {
    let target = Target::new();
    let list = owner(&target, None);
    let programs = Some(Traffic {
        drain: Some(sh(&format!("echo drain $PORT >> {}", target.path("notes").display()))),
        back: Some(sh(&format!("echo back $PORT >> {}", target.path("notes").display()))),
        ..nginx().unwrap()
    });
    let (one, two) = (build(&target, 1, 1, programs.clone()), build(&target, 2, 1, programs));
    deploy(&target, &one).unwrap();
    let port = port(&target, 0);
    deploy(&target, &two).unwrap();
    let (up, down) = (format!("    server 127.0.0.1:{port};"), format!("    server 127.0.0.1:{port} down;"));
    let (drain, back) = (format!("drain {port}"), format!("back {port}"));
    assert_eq!(notes(&target), ["start 1", &up, &back, &down, &drain, "stop 1", "start 2", &up, &back]);
    // Nothing changes for a build that is there already.
    deploy(&target, &two).unwrap();
    assert_eq!(notes(&target).len(), 9);
    assert!(fs::read_to_string(&list).unwrap().contains(&format!("upstream web-web {{\n{up}\n}}\n")));
    // An order to stop takes it out as well.
    target.runtime.stop(&app()).unwrap();
    assert_eq!(notes(&target)[9..], [down, drain, "stop 2".into()]);
}

/// On the side of an environment that does not serve, copies run, are listed as such that do not serve, and nobody waits for
/// them when they are replaced. Let serve, they enter the list as any do; and what makes way leaves it and goes on running.
#[test]
fn what_stands_by_is_listed_as_down_until_it_is_let_serve() {
    let target = Target::new();
    owner(&target, None);
    let programs = Some(Traffic {
        drain: Some(sh(&format!("echo drain >> {}", target.path("notes").display()))),
        back: Some(sh(&format!("echo back >> {}", target.path("notes").display()))),
        ..nginx().unwrap()
    });
    let (one, two) = (build(&target, 1, 1, programs.clone()), build(&target, 2, 1, programs));
    let (app, values) = (app(), BTreeMap::new());
    let stand_by = |build: &(Digest, Run)| {
        let standing = Running { standby: true, ..running(build, &app, &values) };
        target.runtime.bring(standing).unwrap();
        target.runtime.verify(standing, &mut |_| ()).unwrap();
    };
    stand_by(&one);
    let port = port(&target, 0);
    let (up, down) = (format!("    server 127.0.0.1:{port};"), format!("    server 127.0.0.1:{port} down;"));
    assert_eq!(notes(&target), ["start 1", &down]);
    // Whoever serves nobody has nothing to leave.
    stand_by(&two);
    assert_eq!(notes(&target)[2..], ["stop 1", "start 2"]);
    let pid = target.runtime.observed(&app).unwrap()[0].pid;
    deploy(&target, &two).unwrap();
    assert_eq!(notes(&target)[4..], [&up, "back"]);
    let before = notes(&target).len();
    target.runtime.stand_by(&app).unwrap();
    assert_eq!(notes(&target)[before..], [&down, "drain"]);
    assert!(pid.is_some() && target.runtime.observed(&app).unwrap()[0].pid.is_some(), "it goes on running");
}

#[test]
fn of_several_copies_each_is_back_before_the_next_one_leaves() {
    let target = Target::new();
    owner(&target, None);
    let (one, two) = (build(&target, 1, 2, nginx()), build(&target, 2, 2, nginx()));
    deploy(&target, &one).unwrap();
    let ports = [port(&target, 0), port(&target, 1)];
    deploy(&target, &two).unwrap();
    let line = |serve: [bool; 2]| {
        let word = |serves: bool| if serves { ";" } else { " down;" };
        let server = |at: usize| format!("    server 127.0.0.1:{}{}", ports[at], word(serve[at]));
        format!("{}{}", server(0), server(1))
    };
    let all: Vec<String> = notes(&target).into_iter().skip_while(|note| *note != line([false, true])).collect();
    let expected = [
        line([false, true]),
        "stop 1".into(),
        "start 2".into(),
        line([true, true]),
        line([true, false]),
        "stop 1".into(),
        "start 2".into(),
        line([true, true]),
    ];
    assert_eq!(all, expected);
}

#[test]
fn where_the_owner_says_nothing_the_list_lies_in_the_data_folder() {
    let target = Target::new();
    let traffic = Some(Traffic { upstream: Some(Upstream::Haproxy), ..nginx().unwrap() });
    deploy(&target, &build(&target, 1, 1, traffic)).unwrap();
    let list = fs::read_to_string(target.runtime.layout().traffic(&app()).join("upstream.conf")).unwrap();
    let expected = format!("backend web-web\n    server web-1 127.0.0.1:{}\n", port(&target, 0));
    assert!(list.ends_with(&expected), "{list}");
}

#[test]
fn a_copy_that_cannot_be_taken_out_of_service_is_not_stopped_under_those_whom_it_serves() {
    let target = Target::new();
    let list = owner(&target, None);
    let (one, two) = (build(&target, 1, 1, nginx()), build(&target, 2, 1, nginx()));
    deploy(&target, &one).unwrap();
    let before = (target.observed().pid, fs::read_to_string(&list).unwrap());
    owner(&target, Some("sh -c 'echo unexpected end of file >&2; exit 1'"));
    let why = deploy(&target, &two).unwrap_err().to_string();
    assert!(why.starts_with("the traffic of web cannot be turned: 'sh -c") && why.contains("unexpected end"), "{why}");
    // It goes on, and is listed as it was.
    assert_eq!((target.observed().pid, fs::read_to_string(&list).unwrap()), before);
    // Going back and stopping are not kept from happening.
    let values = BTreeMap::new();
    let app = app();
    let back = Running { leaving: Leaving::IsTried, ..running(&two, &app, &values) };
    target.runtime.bring(back).unwrap();
    assert_eq!(target.observed().build, two.0);
    let unleft = target.runtime.stop(&app).unwrap().unwrap();
    let expected = "stopped though it may still have been asked: the traffic of web cannot be turned: 'sh -c";
    assert!(unleft.starts_with(expected) && unleft.contains("unexpected end"), "{unleft}");
    assert_eq!(target.runtime.observed(&app).unwrap(), []);
    assert_eq!(target.runtime.stop(&app).unwrap(), None, "what does not run is asked by nobody");
}

#[test]
fn what_could_not_drain_is_stopped_all_the_same_and_that_is_said() {
    let target = Target::new();
    let drain = Some(Traffic { upstream: None, drain: Some(sh("echo nobody is home; exit 4")), ..nginx().unwrap() });
    let one = build(&target, 1, 1, drain);
    deploy(&target, &one).unwrap();
    let unleft = target.runtime.stop(&app()).unwrap().unwrap();
    assert!(unleft.ends_with("drain of web-1: /bin/sh exit code 4 (nobody is home)"), "{unleft}");
    assert_eq!(target.runtime.observed(&app()).unwrap(), []);
}

#[test]
fn a_slip_in_the_owners_file_is_told_before_anything_stops() {
    let target = Target::new();
    let (one, two) = (build(&target, 1, 1, nginx()), build(&target, 2, 1, nginx()));
    deploy(&target, &one).unwrap();
    fs::write(target.path("agent.toml"), "[trafic]\n").unwrap();
    let why = deploy(&target, &two).unwrap_err().to_string();
    assert!(why.contains("agent.toml") && why.contains("unknown field `trafic`"), "{why}");
    assert_eq!(target.observed().build, one.0);
    fs::remove_file(target.path("agent.toml")).unwrap();
}
