//! Starting, stopping, restarting and observing copies: the agent's side of the keepers.

use super::{
    CopyId, Exit, Leaving, Runtime, RuntimeError, ServiceSpec,
    disk::{failed, make_folder, open_lock, replace_durably},
    keeper::{KEPT_ALREADY, READY, launch_command, short_path},
    log_reader::last_line_of_process,
    ports::is_taken,
    socket::{listening_inodes, sockets_below},
    spec::KeeperFiles,
    state::{CopyState, Phase},
};
use jiff::Timestamp;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    process::Stdio,
    time::{Duration, Instant},
};
use trust::{AppName, Digest, names::printable};

/// How long a keeper may take to answer what costs it nothing.
const ANSWER: Duration = Duration::from_secs(2);
/// How much longer than the copy's own grace a keeper may take to stop it: it kills after the grace.
const STOP_MARGIN: Duration = Duration::from_secs(15);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What a copy is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObservedState {
    /// Its process runs.
    Running,
    /// Its process has exited and will be started again.
    Backoff,
    /// It is being stopped. A copy that has stopped is no longer observed at all.
    Stopping,
    /// Its keeper is gone, and with it the process: [`Runtime::revive`] starts it again.
    Dead,
}

/// One copy as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Which copy.
    pub id: CopyId,
    /// The build it runs.
    pub build: Digest,
    /// What it is doing.
    pub state: ObservedState,
    /// Its main process, if one runs.
    pub pid: Option<i32>,
    /// The port it was given.
    pub port: Option<u16>,
    /// How often it was started again after exiting by itself.
    pub restarts: u32,
    /// How its process last ended, if it did.
    pub last_exit: Option<Exit>,
    /// When its process was last started.
    pub started_at: Option<Timestamp>,
    /// What the copy last wrote, fit to be shown.
    pub last_log_line: Option<String>,
    /// Log lines lost so far because they could not be written.
    pub dropped_log_lines: u64,
}

/// One keeper on disk: its specification and files.
pub(super) struct Kept {
    pub spec: ServiceSpec,
    pub files: KeeperFiles,
}

impl Runtime {
    /// Starts a copy and returns once its keeper watches over it; whether the copy is well is asked by
    /// [`Runtime::check_health`]. A copy that already runs as specified is left alone; one that runs otherwise is
    /// stopped first.
    pub fn start(&self, spec: &ServiceSpec) -> Result<(), RuntimeError> {
        let _turn = self.turn(&spec.app)?;
        let (same, others) = self.kept_of(spec)?;
        stop_all(&others)?;
        match same {
            Some(_) => Ok(()),
            None => self.begin(spec, &[]),
        }
    }

    /// Whoever keeps the copy just as specified and goes on doing so, and the other keepers of it.
    pub(super) fn kept_of(&self, spec: &ServiceSpec) -> Result<(Option<Kept>, Vec<Kept>), RuntimeError> {
        let mut same = None;
        let mut others = Vec::new();
        for kept in self.kept(&spec.app)?.into_iter().filter(|kept| kept.spec.id == spec.id) {
            if same.is_none() && kept.spec == *spec && kept.files.is_kept()? && kept.stays() {
                same = Some(kept);
            } else {
                others.push(kept);
            }
        }
        Ok((same, others))
    }

    /// Starts a keeper for the copy, in a place that none of `beside` has; those on its port hand their socket on.
    pub(super) fn begin(&self, spec: &ServiceSpec, beside: &[Kept]) -> Result<(), RuntimeError> {
        if let Some(user) = &spec.user {
            super::account::Account::find(user)?;
        }
        make_folder(&spec.logs, 0o750)?;
        let places = KeeperFiles::places(&self.layout.run(&spec.app), &spec.id);
        let is_free = |files: &KeeperFiles| !beside.iter().any(|kept| kept.files.spec == files.spec);
        let kept = match places.into_iter().find(is_free) {
            Some(files) => Kept { spec: spec.clone(), files },
            None => {
                let why = "both places of the copy are taken".to_owned();
                return Err(RuntimeError::Keeper { copy: format!("{} {}", spec.app, spec.id), why });
            }
        };
        let bytes = serde_json::to_vec(spec).map_err(|error| failed("write", &kept.files.spec)(error.into()))?;
        let lock = loop {
            if kept.files.is_kept()? {
                if kept.stays() {
                    return Ok(());
                }
                stop_all(std::slice::from_ref(&kept))?;
            }
            // A keeper launched by an agent that was killed since may come late and take the lock first.
            if let Some(lock) = kept.files.hold()? {
                break lock;
            }
        };
        let hands_on = beside.iter().any(|kept| kept.spec.port == spec.port);
        if let Some(port) = spec.port.filter(|port| !hands_on && is_taken(*port)) {
            return Err(RuntimeError::PortTaken { copy: format!("{} {}", spec.app, spec.id), port });
        }
        replace_durably(&kept.files.spec, &bytes, 0o600)?;
        drop(lock);
        self.launch(&kept)
    }

    /// The files of the keeper that keeps the copy as specified; else of one that keeps its build, else of its usual
    /// place.
    pub(super) fn files_of(&self, spec: &ServiceSpec) -> KeeperFiles {
        let places = KeeperFiles::places(&self.layout.run(&spec.app), &spec.id);
        let kept = |files: &KeeperFiles| ServiceSpec::read(&files.spec).ok();
        let found = places.iter().find(|files| kept(files).as_ref() == Some(spec));
        let found = found.or_else(|| places.iter().find(|files| kept(files).is_some_and(|is| is.build == spec.build)));
        found.unwrap_or(&places[0]).clone()
    }

    /// Stops every copy of the application: asks each by its signal, waits as long as each may take, kills what is
    /// left, and forgets them. Those that are in service leave it first; what cannot leave it is stopped all the same, and the
    /// answer is why it could not.
    pub fn stop(&self, app: &AppName) -> Result<Option<String>, RuntimeError> {
        if !self.layout.run(app).is_dir() {
            return Ok(None);
        }
        let _turn = self.turn(app)?;
        let all = self.kept(app)?;
        let unleft = self.leave(app, &all, Leaving::IsTried)?;
        stop_all(&all)?;
        Ok(unleft)
    }

    /// Stops one copy, as [`Runtime::stop`] does all.
    pub fn stop_copy(&self, app: &AppName, id: &CopyId) -> Result<(), RuntimeError> {
        if !self.layout.run(app).is_dir() {
            return Ok(());
        }
        let _turn = self.turn(app)?;
        let kept: Vec<Kept> = self.kept(app)?.into_iter().filter(|kept| kept.spec.id == *id).collect();
        stop_all(&kept)
    }

    /// Stops and starts one copy, and returns when its new process has started.
    pub fn restart_copy(&self, app: &AppName, id: &CopyId) -> Result<(), RuntimeError> {
        let _turn = self.turn(app)?;
        for kept in self.kept(app)?.iter().filter(|kept| kept.spec.id == *id) {
            if kept.files.is_kept()? {
                let patience = kept.patience();
                let answer = ask(&kept.files, "restart", patience).map_err(|error| kept.failed(&error.to_string()))?;
                if answer != "restarted" {
                    return Err(kept.failed(&answer));
                }
            } else {
                self.launch(kept)?;
            }
        }
        Ok(())
    }

    /// Starts every copy whose keeper is gone, and completes the stop of those that were being stopped. To be called
    /// when the agent starts and every now and then. Returns the copies that were started again.
    pub fn revive(&self, app: &AppName) -> Result<Vec<CopyId>, RuntimeError> {
        if !self.layout.run(app).is_dir() {
            return Ok(Vec::new());
        }
        let _turn = self.turn(app)?;
        let mut revived = Vec::new();
        for kept in self.kept(app)? {
            if kept.files.is_kept()? {
                continue;
            }
            match CopyState::read(&kept.files.state) {
                Some(state) if state.phase == Phase::Stopping => stop_all(&[kept])?,
                _ => {
                    self.launch(&kept)?;
                    revived.push(kept.spec.id);
                }
            }
        }
        Ok(revived)
    }

    /// Every copy that runs or should run, in order.
    pub fn observed(&self, app: &AppName) -> Result<Vec<Observed>, RuntimeError> {
        self.kept(app)?.iter().map(observe).collect()
    }

    /// Whether a copy of the application, or its keeper for it, listens on the port.
    pub fn occupies(&self, app: &AppName, port: u16) -> bool {
        let kept = self.kept(app).unwrap_or_default();
        if kept.iter().any(|kept| kept.spec.port == Some(port) && kept.files.is_kept().unwrap_or(false)) {
            return true;
        }
        let keepers = kept.iter().filter_map(|kept| Some(CopyState::read(&kept.files.state)?.keeper?.pid));
        let sockets: std::collections::BTreeSet<u32> = keepers.flat_map(sockets_below).collect();
        listening_inodes(port).iter().any(|inode| sockets.contains(inode))
    }

    /// What the application's copies were started with, in order: what a new agent finds of its predecessor's work.
    pub fn kept_specs(&self, app: &AppName) -> Result<Vec<ServiceSpec>, RuntimeError> {
        Ok(self.kept(app)?.into_iter().map(|kept| kept.spec).collect())
    }

    /// One start or stop of an application at a time, whoever asks: held until the file is dropped.
    pub(super) fn turn(&self, app: &AppName) -> Result<File, RuntimeError> {
        let run = self.layout.run(app);
        make_folder(&run, 0o700)?;
        let path = run.join("turn.lock");
        let file = open_lock(&path).map_err(failed("open", &path))?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive).map_err(|error| failed("lock", &path)(error.into()))?;
        Ok(file)
    }

    pub(super) fn kept(&self, app: &AppName) -> Result<Vec<Kept>, RuntimeError> {
        let run = self.layout.run(app);
        let entries = match std::fs::read_dir(&run) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("read", &run)(error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed("read", &run))?.path();
            let Some(files) = KeeperFiles::beside_spec(&path) else { continue };
            match ServiceSpec::read(&path) {
                Ok(spec) => found.push(Kept { spec, files }),
                // It stopped between listing and reading.
                Err(RuntimeError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        found.sort_by(|one, other| one.spec.id.cmp(&other.spec.id));
        Ok(found)
    }

    pub(super) fn launch(&self, kept: &Kept) -> Result<(), RuntimeError> {
        let mut command = launch_command(&self.keeper_program, &kept.files.spec);
        let cannot = |error: io::Error| kept.failed(&format!("it cannot be started: {error}"));
        let mut launcher = command.stdout(Stdio::piped()).spawn().map_err(cannot)?;
        let mut said = String::new();
        let read = launcher.stdout.take().map_or(Ok(0), |out| BufReader::new(out).read_line(&mut said));
        // The launcher leaves at once; waiting for it is what keeps it from staying as a zombie.
        launcher.wait().and(read).map_err(cannot)?;
        match said.trim_end() {
            READY => Ok(()),
            // Late or not, it has read the same specification, for that was written before the lock was free.
            said if said.ends_with(KEPT_ALREADY) => Ok(()),
            "" => Err(kept.failed("it ended before it watched")),
            why => Err(kept.failed(&printable(why))),
        }
    }
}

impl Kept {
    fn failed(&self, why: &str) -> RuntimeError {
        RuntimeError::Keeper { copy: format!("{} {}", self.spec.app, self.spec.id), why: why.to_owned() }
    }

    /// Whether the keeper runs the copy as specified and goes on doing so. The keeper itself is asked, for a request to
    /// stop by an agent that was killed since may still be before it, and requests are answered in their order.
    pub(super) fn stays(&self) -> bool {
        let told = ask(&self.files, "status", ANSWER).ok();
        let state = told.and_then(|answer| serde_json::from_str::<CopyState>(&answer).ok());
        let same = ServiceSpec::read(&self.files.spec).is_ok_and(|running| running == self.spec);
        same && state.is_some_and(|state| state.phase != Phase::Stopping)
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(self.spec.stop_seconds.into()) + STOP_MARGIN
    }
}

/// Asks all to stop, so that their graces pass together, then waits for each.
pub(super) fn stop_all(all: &[Kept]) -> Result<(), RuntimeError> {
    let mut asked = Vec::new();
    for kept in all {
        asked.push((kept, ask_to_stop(kept)?));
    }
    for (kept, stream) in asked {
        if let Some(stream) = stream {
            let _judged_by_the_lock = receive(stream);
        }
        finish_stop(kept)?;
    }
    Ok(())
}

/// Asks a keeper that lives, which may have only just begun and not listen yet.
fn ask_to_stop(kept: &Kept) -> Result<Option<UnixStream>, RuntimeError> {
    let give_up = Instant::now() + ANSWER;
    while kept.files.is_kept()? && Instant::now() < give_up {
        if let Ok(stream) = send(&kept.files, "stop", kept.patience()) {
            return Ok(Some(stream));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    Ok(None)
}

/// Waits for the keeper to be gone, kills one that does not answer, and removes what a killed one left. It does so
/// under the keeper's lock, so that none can begin in between with what is about to be removed.
fn finish_stop(kept: &Kept) -> Result<(), RuntimeError> {
    let mut lock = kept.files.hold()?;
    if lock.is_none() {
        let holder = kept.files.holder().filter(super::proc::ProcessMark::is_alive);
        let holder =
            holder.ok_or_else(|| kept.failed("it does not answer, and it is not known which process it is"))?;
        super::proc::signal(holder.pid, rustix::process::Signal::KILL);
        lock = kept.files.hold()?;
    }
    let _lock = lock.ok_or_else(|| kept.failed("it does not stop, not even when killed"))?;
    if let Some(state) = CopyState::read(&kept.files.state) {
        state.kill_leftovers();
    }
    kept.files.remove()
}

/// Whether a keeper lives, and what it says or last said.
pub(super) fn look(files: &KeeperFiles) -> Result<(bool, Option<CopyState>), RuntimeError> {
    let is_kept = files.is_kept()?;
    // The keeper's own word is newer than its file where a full disk kept it from writing.
    let asked = if is_kept { ask(files, "status", ANSWER).ok() } else { None };
    let told = asked.and_then(|answer| serde_json::from_str::<CopyState>(&answer).ok());
    Ok((is_kept, told.or_else(|| CopyState::read(&files.state))))
}

fn observe(kept: &Kept) -> Result<Observed, RuntimeError> {
    let (is_kept, state) = look(&kept.files)?;
    let observed_state = match state.as_ref().map(|state| state.phase) {
        _ if !is_kept => ObservedState::Dead,
        Some(Phase::Running) => ObservedState::Running,
        Some(Phase::Stopping) => ObservedState::Stopping,
        Some(Phase::Backoff | Phase::Ended) | None => ObservedState::Backoff,
    };
    let process = state.as_ref().and_then(|state| state.process).filter(|_| is_kept);
    Ok(Observed {
        id: kept.spec.id.clone(),
        build: kept.spec.build,
        state: observed_state,
        pid: process.map(|process| process.pid),
        port: kept.spec.port,
        restarts: state.as_ref().map_or(0, |state| state.restarts),
        last_exit: state.as_ref().and_then(|state| state.last_exit),
        started_at: state.as_ref().and_then(|state| state.started_at),
        last_log_line: last_line_of_process(&kept.spec.log()),
        dropped_log_lines: state.map_or(0, |state| state.dropped_log_lines),
    })
}

/// The main process of a copy that runs this build now, and how it last ended.
pub(super) fn running_process(runtime: &Runtime, spec: &ServiceSpec) -> (Option<i32>, Option<Exit>) {
    match look(&runtime.files_of(spec)) {
        Ok((is_kept, Some(state))) => {
            let runs = is_kept && state.phase == Phase::Running && state.build == spec.build;
            // A process that has just ended may not have been missed yet by its keeper.
            (state.process.filter(|process| runs && process.is_alive()).map(|process| process.pid), state.last_exit)
        }
        _ => (None, None),
    }
}

fn ask(files: &KeeperFiles, request: &str, patience: Duration) -> io::Result<String> {
    receive(send(files, request, patience)?)
}

fn send(files: &KeeperFiles, request: &str, patience: Duration) -> io::Result<UnixStream> {
    let (_folder, short) = short_path(&files.socket)?;
    let mut stream = UnixStream::connect(short)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(ANSWER))?;
    writeln!(stream, "{request}")?;
    Ok(stream)
}

fn receive(stream: UnixStream) -> io::Result<String> {
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(answer.trim_end().to_owned())
}
