//! What the tests of the runtime re-execute: the hidden keeper steps; `serve PORT WORD`, which answers every connection
//! with the word; and `bring ROOT PORT BUILD RUN`, which brings and verifies a build as an agent does that may be killed.

#![expect(clippy::unwrap_used, reason = "a test's own program that cannot go on has failed")]

use agent::runtime::{Layout, Leaving, Running, Runtime, Site};
use std::{collections::BTreeMap, io::Write, net::TcpListener, path::Path};
use trust::{AppName, AudienceName, Digest, TargetName, manifest::Run};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["serve", port, word] => serve(port.parse().unwrap(), word),
        ["bring", root, port, build, run] => {
            std::fs::write(Path::new(root).join("agent.pid"), std::process::id().to_string()).unwrap();
            if let Err(why) = bring(root, port.parse().unwrap(), build, run) {
                eprintln!("{why}");
                std::process::exit(1);
            }
        }
        _ => std::process::exit(agent::runtime::keeper_entry().unwrap_or(2)),
    }
}

fn serve(port: u16, word: &str) {
    for stream in TcpListener::bind(("127.0.0.1", port)).unwrap().incoming() {
        let _whoever_asked_is_gone = stream.and_then(|mut stream| stream.write_all(word.as_bytes()));
    }
}

fn bring(root: &str, first: u16, build: &str, run: &str) -> Result<(), String> {
    let site = Site { environment: AudienceName::new("prod").unwrap(), target: TargetName::new("prod-1").unwrap() };
    let runtime = Runtime::open(Layout::new(Path::new(root)).unwrap(), site, first..=first + 15);
    let runtime = runtime.map_err(|error| error.to_string())?.with_keeper_program("/proc/self/exe".into());
    let run: Run = serde_json::from_slice(&std::fs::read(run).unwrap()).unwrap();
    let (app, build, values) = (AppName::new("web").unwrap(), Digest::from_hex(build).unwrap(), BTreeMap::new());
    let running =
        Running { app: &app, build: &build, run: &run, values: &values, leaving: Leaving::MustSucceed, standby: false };
    let brought = runtime.bring(running).and_then(|()| runtime.verify(running, &mut |_| ()));
    brought.map(|_| ()).map_err(|why| why.to_string())
}
