//! All traffic from one build to another by one write: nobody notices, whatever fails and whoever is killed.

use crate::target::*;
use std::{
    collections::BTreeSet,
    fs,
    io::Read,
    net::TcpStream,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};
use trust::{
    Digest,
    manifest::{Health, HealthCheck, Run, Smoke, Switch, Traffic, Upstream, Verification},
};

/// Notes what happens, and kills the agent where a test wants that; then it says so by its exit code.
const POINT: &str = r#"
point() {
  echo "$1" >> ROOT/notes
  [ "$(cat ROOT/die 2>/dev/null)" = "$1" ] || return 0
  # Of several that come to the same point one kills, and once: the next agent is another.
  mv ROOT/die ROOT/died.$$ 2>/dev/null || return 0
  kill -KILL "$(cat ROOT/agent.pid)"
  return 1
}
"#;

/// A machine whose balancer has what the last reload read.
struct Place {
    target: Target,
    first: u16,
}

impl Place {
    fn new() -> Self {
        let target = Target::new();
        let place = Self { first: first_port(), target };
        place.script("point.sh", POINT);
        place.script(
            "reload.sh",
            ". ROOT/point.sh; [ -e ROOT/refuse ] && { echo refused >&2; exit 1; }; point reload || exit 9; \
             cp ROOT/web.conf ROOT/loaded.new; mv ROOT/loaded.new ROOT/loaded; point reloaded",
        );
        place.script(
            "copy.sh",
            &format!(
                ". ROOT/point.sh; trap 'kill $!; point \"stop $1\"; exit 0' TERM; {KEEPER} serve $2 $1 & \
                 point \"start $1\"; wait $!"
            ),
        );
        place.script("check.sh", ". ROOT/point.sh; point \"$1 $2\"; [ ! -e ROOT/sick-$2 ]");
        let owner = format!(
            "[traffic]\nreload = 'sh {0}/reload.sh'\n[traffic.files]\nweb = '{0}/web.conf'\n",
            place.root().display()
        );
        fs::write(place.root().join("agent.toml"), owner).unwrap();
        place
    }

    fn root(&self) -> PathBuf {
        self.target.folder.path().to_owned()
    }

    fn script(&self, name: &str, text: &str) {
        fs::write(self.root().join(name), text.replace("ROOT", &self.root().display().to_string())).unwrap();
    }

    /// A build of two copies and a worker that serves this word.
    fn build(&self, word: &str) -> (Digest, Run) {
        let sh = |rest: &str| -> Vec<String> {
            let words = format!("/bin/sh {}/{rest}", self.root().display());
            words.split(' ').map(str::to_owned).collect()
        };
        let mut run = run_of("x");
        let process = run.processes.get_mut("web").unwrap();
        process.run = sh(&format!("copy.sh {word} $PORT"));
        process.copies = 2;
        process.stop_seconds = 30;
        process.health = Some(health(HealthCheck::Tcp, 30));
        let mut worker = process.clone();
        (worker.run, worker.copies) = (sh("-c").into_iter().take(1).collect(), 1);
        worker.health = Some(health(HealthCheck::Command(vec!["true".into()]), 30));
        worker.run.extend(["-c".to_owned(), format!("sleep 1000 # {word}")]);
        run.processes.insert("worker".into(), worker);
        let check = Health {
            check: HealthCheck::Command(sh(&format!("check.sh verify {word}"))),
            within_seconds: 1,
            consecutive: 1,
            every_seconds: None,
        };
        let page = Verification { process: Some("worker".into()), port: None, check, watch_seconds: None };
        run.verify = [("page".to_owned(), page)].into();
        let smoke = sh(&format!("check.sh smoke {word}"));
        run.smoke = Some(Smoke { run: smoke, process: Some("web".into()), within_seconds: 30 });
        run.traffic = Some(Traffic {
            upstream: Some(Upstream::Nginx),
            drain: None,
            back: None,
            drain_seconds: 0,
            switch: Some(Switch::BlueGreen),
        });
        let build = Digest::of(word.as_bytes());
        fs::create_dir_all(self.target.runtime.layout().release(&app(), &build)).unwrap();
        self.target.runtime.prepare(&app(), &build, &run).unwrap();
        (build, run)
    }

    /// Brings and verifies the build by a process that may be killed; what it said where it failed.
    fn bring(&self, build: &(Digest, Run)) -> Result<(), String> {
        let mut command = self.target.agent("bring", self.first, &[build]);
        let ended = command.output().unwrap();
        if ended.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&ended.stderr).trim_end().to_owned()) }
    }

    fn notes(&self) -> Vec<String> {
        let text = fs::read_to_string(self.root().join("notes")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The ports that the balancer has.
    fn loaded(&self) -> BTreeSet<u16> {
        let text = fs::read_to_string(self.root().join("loaded")).unwrap_or_default();
        let server = |line: &str| line.trim().strip_prefix("server 127.0.0.1:")?.strip_suffix(';')?.parse().ok();
        text.lines().filter_map(server).collect()
    }

    /// What people get from the balancer: the words of all that it has.
    fn asked(&self) -> Result<BTreeSet<String>, String> {
        let ask = |port: u16| {
            let mut word = String::new();
            let read = TcpStream::connect(("127.0.0.1", port)).and_then(|mut stream| stream.read_to_string(&mut word));
            read.map(|_| word).map_err(|error| format!("{port}: {error}"))
        };
        self.loaded().into_iter().map(ask).collect()
    }

    /// What is wrong with what people get who never stop asking while something is done.
    fn asked_meanwhile(&self, deed: impl FnOnce()) -> Vec<String> {
        let (over, wrong) = (AtomicBool::new(false), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let before = self.loaded();
                    let asked = self.asked();
                    // A list that was read anew while they were asked is asked anew.
                    if before != self.loaded() {
                        continue;
                    }
                    match asked {
                        Ok(words) if words.len() == 1 => {}
                        other => wrong.lock().unwrap().push(format!("{before:?}: {other:?}")),
                    }
                }
            });
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(deed));
            over.store(true, Ordering::Relaxed);
            done.unwrap();
        });
        wrong.into_inner().unwrap()
    }

    /// The build alone runs and serves.
    fn is_all(&self, (build, _): &(Digest, Run), word: &str, context: &str) {
        let observed = self.target.runtime.observed(&app()).unwrap();
        assert_eq!(observed.len(), 3, "{context}: {observed:?}");
        assert!(observed.iter().all(|copy| copy.build == *build), "{context}: {observed:?}");
        let ports: BTreeSet<u16> = observed.iter().filter_map(|copy| copy.port).collect();
        assert_eq!(self.loaded(), ports, "{context}");
        assert_eq!(self.asked().unwrap(), [word.to_owned()].into(), "{context}");
    }
}

#[test]
fn a_build_is_verified_beside_the_one_that_serves_and_takes_its_place_by_one_write() {
    let place = Place::new();
    let (blue, green, third) = (place.build("blue"), place.build("green"), place.build("third"));
    place.bring(&blue).unwrap();
    place.is_all(&blue, "blue", "at first");
    let at_first = place.loaded();
    let count = place.notes().len();
    let wrong = place.asked_meanwhile(|| place.bring(&green).unwrap());
    assert_eq!(wrong, [""; 0]);
    place.is_all(&green, "green", "afterwards");
    assert!(at_first.is_disjoint(&place.loaded()), "each has ports of its own");
    let notes = &place.notes()[count..];
    let expected =
        ["start green", "start green", "verify green", "smoke green", "reload", "reloaded", "stop blue", "stop blue"];
    assert_eq!(notes, expected, "there is one write, and all else is before or after it");
    // The next one has the ports of the first again; what is there already stays as it is.
    place.bring(&third).unwrap();
    assert_eq!(place.loaded(), at_first);
    let count = place.notes().len();
    place.bring(&third).unwrap();
    assert_eq!(place.notes()[count..], ["verify third", "smoke third"]);
    // Other config is brought in the same way, though the build is the same.
    let mut configured = third;
    configured.1.environment.insert("LEVEL".into(), "debug".into());
    let wrong = place.asked_meanwhile(|| place.bring(&configured).unwrap());
    assert_eq!(wrong, [""; 0]);
    place.is_all(&configured, "third", "with other config");
    assert!(at_first.is_disjoint(&place.loaded()));
}

#[test]
fn what_fails_before_the_switch_ends_and_nobody_has_noticed() {
    let place = Place::new();
    let (blue, green) = (place.build("blue"), place.build("green"));
    place.bring(&blue).unwrap();
    let pids = || place.target.runtime.observed(&app()).unwrap().iter().map(|copy| copy.pid).collect::<Vec<_>>();
    let (before, count) = (pids(), place.notes().len());
    for (file, expected) in
        [("sick-green", "verify page of worker-1"), ("refuse", "the traffic of web cannot be turned")]
    {
        fs::write(place.root().join(file), "").unwrap();
        let wrong = place.asked_meanwhile(|| {
            let why = place.bring(&green).unwrap_err();
            assert!(why.starts_with(expected), "{why}");
            place.bring(&blue).unwrap();
        });
        assert_eq!(wrong, [""; 0]);
        place.is_all(&blue, "blue", file);
        assert_eq!(pids(), before, "what served was not touched");
        fs::remove_file(place.root().join(file)).unwrap();
    }
    let reloads = place.notes()[count..].iter().filter(|note| note.starts_with("reload")).count();
    assert_eq!(reloads, 0, "the list was never read anew");
    assert!(!place.notes().contains(&"stop blue".to_owned()));
}

#[test]
fn killed_at_any_point_the_next_agent_goes_on_or_goes_back_and_nobody_has_noticed() {
    let points = ["start green", "verify green", "smoke green", "reload", "reloaded", "stop blue"];
    for point in points {
        for goes_on in [true, false] {
            let context = format!("killed at '{point}', goes {}", if goes_on { "on" } else { "back" });
            let place = Place::new();
            let (blue, green) = (place.build("blue"), place.build("green"));
            place.bring(&blue).unwrap();
            fs::write(place.root().join("die"), point).unwrap();
            let wrong = place.asked_meanwhile(|| {
                place.bring(&green).unwrap_err();
                assert!(!place.root().join("die").exists(), "{context}: was not killed there");
                place.bring(if goes_on { &green } else { &blue }).unwrap();
            });
            assert_eq!(wrong, [""; 0], "{context}");
            match goes_on {
                true => place.is_all(&green, "green", &context),
                false => place.is_all(&blue, "blue", &context),
            }
        }
    }
}

#[test]
fn what_could_not_be_ended_keeps_its_files_and_is_brought_again() {
    let place = Place::new();
    let (blue, green) = (place.build("blue"), place.build("green"));
    place.bring(&blue).unwrap();
    let owner = place.root().join("agent.toml");
    let well = fs::read(&owner).unwrap();
    fs::write(&owner, "[traffic.files]\nweb = 'nowhere'\n").unwrap();
    for build in [&green, &blue] {
        let why = place.bring(build).unwrap_err();
        assert!(why.contains("must begin with /"), "{why}");
    }
    let runtime = &place.target.runtime;
    assert_eq!(runtime.discard(&app(), &[blue.0]).unwrap(), []);
    assert!(runtime.layout().release(&app(), &green.0).is_dir());
    fs::write(&owner, well).unwrap();
    let wrong = place.asked_meanwhile(|| place.bring(&green).unwrap());
    assert_eq!(wrong, [""; 0]);
    place.is_all(&green, "green", "afterwards");
    assert_eq!(runtime.discard(&app(), &[green.0]).unwrap(), [blue.0]);
}

#[test]
fn from_one_by_one_to_blue_green_and_back() {
    let place = Place::new();
    let (mut plain, green, mut last) = (place.build("plain"), place.build("green"), place.build("last"));
    for (_, run) in [&mut plain, &mut last] {
        run.traffic.as_mut().unwrap().switch = None;
    }
    place.bring(&plain).unwrap();
    let wrong = place.asked_meanwhile(|| place.bring(&green).unwrap());
    assert_eq!(wrong, [""; 0]);
    place.is_all(&green, "green", "to blue-green");
    place.bring(&last).unwrap();
    place.is_all(&last, "last", "back");
}
