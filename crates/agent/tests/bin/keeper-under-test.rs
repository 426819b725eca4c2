//! What the tests of the runtime re-execute: the hidden keeper steps; `serve PORT WORD`, which answers every connection
//! with the word; and what an agent does that may be killed: `bring ROOT PORT BUILD RUN` brings and verifies a build,
//! `keep` does so until it is killed, and `turn ROOT PORT BUILD RUN BUILD RUN` starts and stops two by turns until then.

#![expect(clippy::unwrap_used, reason = "a test's own program that cannot go on has failed")]

use agent::runtime::{Layout, Leaving, Running, Runtime, Site, Unverified};
use std::{collections::BTreeMap, io::Write, net::TcpListener, path::Path};
use trust::{AppName, AudienceName, Digest, TargetName, manifest::Run};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["serve", port, word] => serve(port.parse().unwrap(), word),
        ["bring", root, port, build, run] => {
            std::fs::write(Path::new(root).join("agent.pid"), std::process::id().to_string()).unwrap();
            if let Err(why) = bring(&open(root, port), &read(build, run)) {
                eprintln!("{why}");
                std::process::exit(1);
            }
        }
        ["keep", root, port, build, run] => {
            let (runtime, build) = (open(root, port), read(build, run));
            loop {
                let _never_well = bring(&runtime, &build);
            }
        }
        ["turn", root, port, one, run_of_one, two, run_of_two] => {
            turn(&open(root, port), [read(one, run_of_one), read(two, run_of_two)])
        }
        _ => std::process::exit(agent::runtime::keeper_entry().unwrap_or(2)),
    }
}

fn serve(port: u16, word: &str) {
    for stream in TcpListener::bind(("127.0.0.1", port)).unwrap().incoming() {
        let _whoever_asked_is_gone = stream.and_then(|mut stream| stream.write_all(word.as_bytes()));
    }
}

fn open(root: &str, first: &str) -> Runtime {
    let site = Site { environment: AudienceName::new("prod").unwrap(), target: TargetName::new("prod-1").unwrap() };
    let first: u16 = first.parse().unwrap();
    let runtime = Runtime::open(Layout::new(Path::new(root)).unwrap(), site, first..=first + 15).unwrap();
    runtime.with_keeper_program("/proc/self/exe".into())
}

fn read(build: &str, run: &str) -> (Digest, Run) {
    (Digest::from_hex(build).unwrap(), serde_json::from_slice(&std::fs::read(run).unwrap()).unwrap())
}

fn bring(runtime: &Runtime, (build, run): &(Digest, Run)) -> Result<(), Unverified> {
    let (app, values) = (AppName::new("web").unwrap(), BTreeMap::new());
    let running = Running { app: &app, build, run, values: &values, leaving: Leaving::MustSucceed, standby: false };
    runtime.bring(running).and_then(|()| runtime.verify(running, &mut |_| ())).map(|_| ())
}

fn turn(runtime: &Runtime, builds: [(Digest, Run); 2]) -> ! {
    let app = AppName::new("web").unwrap();
    let specs = builds.map(|(build, run)| runtime.specs(&app, &build, &run, &BTreeMap::new()).unwrap().remove(0));
    loop {
        for spec in &specs {
            runtime.start(spec).unwrap();
            runtime.switch(&app, &spec.build).unwrap();
        }
        runtime.stop(&app).unwrap();
    }
}
