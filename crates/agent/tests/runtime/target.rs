//! A machine with a runtime, for one test.

use agent::runtime::{Layout, Observed, Runtime, ServiceSpec, Site};
use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::TcpListener,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};
use trust::{
    AppName, AudienceName, Digest, TargetName,
    manifest::{Health, HealthCheck, Process, Run, StopSignal},
};

pub const KEEPER: &str = env!("CARGO_BIN_EXE_keeper-under-test");

/// A target of its own in a temporary folder, whose processes end with the test.
pub struct Target {
    pub folder: tempfile::TempDir,
    pub runtime: Runtime,
}

impl Target {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Copies that run as another user must be able to reach their release.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let runtime = open(folder.path());
        Self { folder, runtime }
    }

    /// One copy of `script`, run by a shell in a release of its own.
    pub fn spec(&self, script: &str) -> ServiceSpec {
        self.specs(&run_of(script), script).remove(0)
    }

    pub fn specs(&self, run: &Run, content: &str) -> Vec<ServiceSpec> {
        let build = Digest::of(content.as_bytes());
        let release = self.runtime.layout().release(&app(), &build);
        fs::create_dir_all(&release).unwrap();
        fs::write(release.join("service.sh"), content).unwrap();
        self.runtime.prepare(&app(), &build, run).unwrap();
        self.runtime.specs(&app(), &build, run, &BTreeMap::new()).unwrap()
    }

    pub fn observed(&self) -> Observed {
        self.runtime.observed(&app()).unwrap().remove(0)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.runtime.layout().logs(&app()).join("web-1.log")).unwrap_or_default()
    }

    /// A file that the script writes a process number into.
    pub fn pid_in(&self, path: &Path) -> i32 {
        until("the process wrote its number", || fs::read_to_string(path).is_ok_and(|text| text.ends_with('\n')));
        fs::read_to_string(path).unwrap().trim().parse().unwrap()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A process of its own that does to this target what an agent would: see the program.
    pub fn agent(&self, deed: &str, first_port: u16, builds: &[&(Digest, Run)]) -> Command {
        let mut command = Command::new(KEEPER);
        command.arg(deed).arg(self.folder.path()).arg(first_port.to_string());
        for (build, run) in builds {
            let file = self.path(&format!("{}.json", build.hex()));
            fs::write(&file, serde_json::to_vec(run).unwrap()).unwrap();
            command.arg(build.hex()).arg(file);
        }
        command
    }

    pub fn keeper_pid(&self) -> i32 {
        let state = fs::read(self.runtime.layout().run(&app()).join("web-1.state.json")).unwrap();
        let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
        state["keeper"]["pid"].as_i64().unwrap() as i32
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let stopped = self.runtime.stop(&app());
        assert!(stopped.is_ok() || std::thread::panicking(), "{stopped:?}");
    }
}

/// A process that ends with the test, at the latest.
pub struct Killed(Child);

impl Killed {
    pub fn spawn(command: &mut Command) -> Self {
        Self(command.stdout(Stdio::null()).spawn().unwrap())
    }

    pub fn end(&mut self) {
        let _gone = (self.0.kill(), self.0.wait());
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        self.end();
    }
}

pub fn app() -> AppName {
    AppName::new("web").unwrap()
}

pub fn open(root: &Path) -> Runtime {
    open_at(root, first_port())
}

/// Tests run side by side, as threads or as processes: each gets ports of its own.
pub fn first_port() -> u16 {
    static OPENED: AtomicU32 = AtomicU32::new(0);
    20_000 + ((std::process::id() + OPENED.fetch_add(1, Ordering::Relaxed) * 37) % 600 * 16) as u16
}

/// The same with the ports of another.
pub fn open_at(root: &Path, first: u16) -> Runtime {
    let site = Site { environment: AudienceName::new("prod").unwrap(), target: TargetName::new("prod-1").unwrap() };
    let runtime = Runtime::open(Layout::new(root).unwrap(), site, first..=first + 15).unwrap();
    runtime.with_keeper_program(KEEPER.into())
}

pub fn run_of(script: &str) -> Run {
    let process = Process {
        run: vec!["/bin/sh".into(), "-c".into(), script.into()],
        copies: 1,
        port: None,
        health: None,
        stop_signal: StopSignal::Term,
        stop_seconds: 1,
        socket: None,
    };
    Run { processes: [("web".to_owned(), process)].into(), ..Run::default() }
}

/// Waits for the thing itself; the limit only keeps a broken test from hanging.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < give_up, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
}

pub fn kill(pid: i32) {
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
}

pub fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Answers every request on the port with this status until the test ends.
pub fn answer_with(port: u16, status: &'static str) {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _request = stream.read(&mut [0; 1024]);
            let _answer = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        }
    });
}

pub fn health(check: HealthCheck, within_seconds: u32) -> Health {
    Health { check, within_seconds, consecutive: 2, every_seconds: None }
}
