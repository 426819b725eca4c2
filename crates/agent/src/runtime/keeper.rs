//! The keeper: one small process for each running copy, which starts it, starts it again, writes its log and ends it.
//!
//! It is the same binary, re-executed: `sortie keeper launch SPEC` starts `sortie keeper watch SPEC` and leaves, so
//! that the watching keeper belongs to nobody and outlives the agent; `sortie keeper exec SPEC PARENT` is the step
//! that becomes the program. It has one thread, no asynchronous runtime, and forgets nothing that matters when killed:
//! its lock says that it lives, its specification what to run, its state what it did last.

use super::{
    RuntimeError,
    disk::{failed, is_locked, open_lock, or_absent, replace, replace_durably},
    exec,
    log::{LIMITS, LineSplitter, LogWriter, Stream, append_line},
    proc::{self, ProcessMark, boot_id, descendants},
    socket,
    spec::{KeeperFiles, ServiceSpec},
    state::{CopyState, Exit, Phase},
};
use jiff::Timestamp;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FlockOperation, OFlags},
    process::{Pid, Signal, WaitOptions, WaitStatus, kill_process_group},
};
use std::{
    ffi::OsString,
    fs::File,
    io::{self, BufRead, BufReader, PipeReader, PipeWriter, Read, Write},
    net::{SocketAddr, TcpListener},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            net::{UnixListener, UnixStream},
            process::CommandExt,
        },
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use trust::manifest::StopSignal;

/// The binary that runs now, even if its file has been replaced since.
pub(super) const OWN_PROGRAM: &str = "/proc/self/exe";
/// What a keeper says once it watches.
pub(super) const READY: &str = "ready";
/// What a keeper says when another one was faster.
pub(super) const KEPT_ALREADY: &str = "kept already";

const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_MOST: Duration = Duration::from_secs(60);
/// A copy that ran this long is well: the next wait after an exit is the shortest again.
const WELL_AFTER: Duration = Duration::from_secs(60);
/// How long killed processes may take to be gone before the keeper goes on without them.
const KILL_PATIENCE: Duration = Duration::from_secs(10);
/// How often the keeper looks about without being woken.
const IDLE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
const ENDING: Duration = Duration::from_millis(50);
const BRIEFLY: Duration = Duration::from_millis(250);

/// Performs a hidden keeper step if that is what this process was started for, and says with which code to exit.
/// The binary calls this before anything else in `main`.
pub fn keeper_entry() -> Option<i32> {
    let mut arguments = std::env::args_os().skip(1);
    (arguments.next()? == "keeper").then(|| keeper_main(arguments.collect()))
}

/// The keeper steps; `arguments` are those behind `keeper`.
pub fn keeper_main(arguments: Vec<OsString>) -> i32 {
    let words: Vec<&str> = arguments.iter().filter_map(|argument| argument.to_str()).collect();
    match words[..] {
        ["launch", spec] => launch(Path::new(spec)),
        ["watch", spec] => watch(Path::new(spec)),
        ["exec", spec, parent, ref argv @ ..] if words.len() == arguments.len() => {
            let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
            parent.parse().map_or(2, |parent| exec::run(Path::new(spec), parent, &argv))
        }
        _ => {
            eprintln!("'sortie keeper' is started by the agent, not by people: see 'sortie restart' and 'sortie stop'");
            2
        }
    }
}

/// The command that starts a keeper for `spec_file`; it exits at once, and the keeper says [`READY`] or why not on
/// the standard output it inherits.
pub(super) fn launch_command(program: &Path, spec_file: &Path) -> Command {
    keeper_command(program, "launch", spec_file)
}

fn keeper_command(program: &Path, step: &str, spec_file: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg0("sortie").args(["keeper", step]).arg(spec_file);
    command.env_clear().current_dir("/").stdin(Stdio::null()).stderr(Stdio::null());
    command
}

fn launch(spec_file: &Path) -> i32 {
    match keeper_command(Path::new(OWN_PROGRAM), "watch", spec_file).spawn() {
        Ok(_left_to_itself) => 0,
        Err(error) => {
            println!("cannot start the keeper: {error}");
            1
        }
    }
}

fn watch(spec_file: &Path) -> i32 {
    let watched = Keeper::new(spec_file).map(|mut keeper| {
        // The first start comes before the answer, so that whoever looks after it finds a process.
        keeper.advance();
        keeper.save_state();
        keeper
    });
    let mut said = io::stdout();
    let answer = match &watched {
        Ok(_) => READY.to_owned(),
        Err(error) => error.to_string(),
    };
    // The agent that asked may be gone; that changes nothing.
    let _agent_may_be_gone = writeln!(said, "{answer}").and_then(|()| said.flush());
    match watched {
        Ok(mut keeper) => {
            keeper.run();
            0
        }
        Err(_) => 1,
    }
}

/// What happens once everything of the copy has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// Wait this long, then start again.
    Wait(Duration),
    /// Start again at once, as asked.
    Start,
    /// Remove the keeper's files and exit, as asked: the copy is to run no more.
    Leave,
    /// Exit and keep the files: the machine goes down, and the copy runs again when it is back.
    Pause,
    /// Record how the task ended, and exit.
    Record,
}

/// What the keeper is doing.
enum Doing {
    Running {
        pid: i32,
        since: Instant,
    },
    Waiting {
        until: Instant,
    },
    Ending {
        kill_at: Instant,
        then: Then,
    },
    /// The end of a task stands to be recorded, next at this time.
    Recording {
        again: Instant,
    },
    Left,
}

struct Keeper {
    spec: ServiceSpec,
    spec_file: PathBuf,
    files: KeeperFiles,
    /// Held, never read: its lock is what says that this keeper lives.
    _lock: File,
    listener: UnixListener,
    /// What the copy listens on, where it takes its socket from outside.
    socket: Option<TcpListener>,
    /// Woken when a child ends, and when this process is asked to end.
    child_ended: UnixStream,
    asked_to_end: UnixStream,
    pipes: [Pipe; 2],
    log: LogWriter,
    state: CopyState,
    saved: Option<CopyState>,
    doing: Doing,
    /// Exits in a row without a minute of health between them.
    failures: u32,
    /// The main process, until its end has been seen.
    main: Option<i32>,
    /// Who asked for the end or restart, and waits to hear that it is done.
    askers: Vec<UnixStream>,
}

/// One output stream. The keeper holds both ends, so that it never ends however often the process is started.
struct Pipe {
    reader: PipeReader,
    writer: PipeWriter,
    lines: LineSplitter,
}

impl Pipe {
    fn new(stream: Stream) -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        rustix::fs::fcntl_setfl(&reader, OFlags::NONBLOCK)?;
        Ok(Self { reader, writer, lines: LineSplitter::new(stream) })
    }
}

impl Keeper {
    fn new(spec_file: &Path) -> Result<Self, RuntimeError> {
        let refused = |why: &str| RuntimeError::Keeper { copy: spec_file.display().to_string(), why: why.to_owned() };
        let files = KeeperFiles::beside_spec(spec_file).ok_or_else(|| refused("a specification is named otherwise"))?;
        let broken = |error: io::Error| failed("keep", spec_file)(error);
        let mut lock = files.hold()?.ok_or_else(|| refused(KEPT_ALREADY))?;
        // Read only now: the agent changes and removes it under the same lock, so a keeper that comes late finds what
        // is wanted by then, or nothing.
        let spec = ServiceSpec::read(spec_file)?;
        let mark = ProcessMark::of(std::process::id() as i32);
        let written = lock.set_len(0).and_then(|()| lock.write_all(&serde_json::to_vec(&mark)?));
        // Only needed to kill a keeper that does not answer; a full disk must not keep it from its work.
        drop(written);

        // Its own session makes it independent of the agent's, and names what is left of it should it be killed.
        rustix::process::setsid().map_err(|error| broken(error.into()))?;
        // Whatever its service leaves behind becomes the keeper's child, so that it can be found and ended.
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).map_err(|error| broken(error.into()))?;
        let child_ended = wake_on(&[signal_hook::consts::SIGCHLD]).map_err(broken)?;
        let asked_to_end = wake_on(&[signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT]).map_err(broken)?;

        let earlier = CopyState::read(&files.state);
        if let Some(earlier) = &earlier {
            earlier.kill_leftovers();
        }
        let socket = spec.socket.map(|address| obtain(&files, &spec, address)).transpose()?;
        let listener = listen(&files.socket).map_err(failed("listen on", &files.socket))?;
        let mut log = LogWriter::new(spec.log(), LIMITS);
        note(&mut log, &format!("keeps {} of {}#{}", spec.id, spec.app, spec.build.short()));
        let earlier = earlier.filter(|earlier| earlier.build == spec.build);
        let state = CopyState {
            build: spec.build,
            boot_id: boot_id(),
            keeper: mark,
            process: None,
            phase: Phase::Backoff,
            restarts: earlier.as_ref().map_or(0, |earlier| earlier.restarts),
            last_exit: earlier.and_then(|earlier| earlier.last_exit),
            started_at: None,
            port: spec.port,
            dropped_log_lines: log.dropped(),
        };
        let pipes = [Pipe::new(Stream::Out).map_err(broken)?, Pipe::new(Stream::Err).map_err(broken)?];
        Ok(Self {
            spec_file: spec_file.to_owned(),
            files,
            _lock: lock,
            listener,
            socket,
            child_ended,
            asked_to_end,
            pipes,
            log,
            state,
            saved: None,
            doing: Doing::Waiting { until: Instant::now() },
            failures: 0,
            main: None,
            askers: Vec::new(),
            spec,
        })
    }

    fn run(&mut self) {
        loop {
            self.advance();
            self.save_state();
            if matches!(self.doing, Doing::Left) {
                return;
            }
            self.wait();
            self.read_pipes();
            self.reap();
            self.answer_askers();
            if drain(&mut self.asked_to_end) {
                self.end(Then::Pause);
            }
        }
    }

    /// Does what is due now.
    fn advance(&mut self) {
        let now = Instant::now();
        match self.doing {
            Doing::Waiting { until } if until <= now => self.start(),
            Doing::Running { pid, since } if self.main.is_none() => self.exited(pid, since),
            Doing::Ending { kill_at, then } => self.continue_ending(kill_at, then, now),
            Doing::Recording { again } if again <= now => self.record(),
            _ => {}
        }
    }

    fn start(&mut self) {
        match self.spawn() {
            Ok(pid) => {
                self.main = Some(pid);
                self.state.process = ProcessMark::of(pid);
                self.state.phase = Phase::Running;
                self.state.started_at = Some(Timestamp::now());
                self.doing = Doing::Running { pid, since: Instant::now() };
                note(&mut self.log, &format!("started process {pid}"));
            }
            Err(error) => {
                note(&mut self.log, &format!("cannot start: {error}"));
                self.state.last_exit = Some(Exit::Code(exec::EXIT_NOT_STARTED));
                if self.spec.once {
                    return self.record();
                }
                let wait = self.next_wait();
                self.doing = Doing::Waiting { until: Instant::now() + wait };
            }
        }
    }

    fn spawn(&self) -> io::Result<i32> {
        let [out, err] = &self.pipes;
        let mut command = exec::command(Path::new(OWN_PROGRAM), &self.spec_file, &[]);
        command.stdout(out.writer.try_clone()?).stderr(err.writer.try_clone()?);
        if let Some(socket) = &self.socket {
            command.stdin(OwnedFd::from(socket.try_clone()?));
        }
        Ok(command.spawn()?.id() as i32)
    }

    /// How long to wait before the next start, after one more failure.
    fn next_wait(&mut self) -> Duration {
        let wait = backoff(self.failures);
        self.failures = self.failures.saturating_add(1);
        self.state.restarts = self.state.restarts.saturating_add(1);
        wait
    }

    /// The main process ended by itself: what it leaves behind is ended too, for it may hold its port.
    fn exited(&mut self, pid: i32, since: Instant) {
        if since.elapsed() >= WELL_AFTER {
            self.failures = 0;
        }
        self.finish_lines();
        let how = self.state.last_exit.map_or_else(|| "unknown".into(), |exit| exit.to_string());
        if self.spec.once {
            note(&mut self.log, &format!("process {pid} ended ({how})"));
            self.doing = Doing::Ending { kill_at: Instant::now(), then: Then::Record };
            return self.advance();
        }
        let wait = self.next_wait();
        note(&mut self.log, &format!("process {pid} ended ({how}); starts again in {} s", wait.as_secs()));
        self.state.phase = Phase::Backoff;
        self.doing = Doing::Ending { kill_at: Instant::now(), then: Then::Wait(wait) };
        self.advance();
    }

    /// Begins to end the copy, or changes what follows an end that is under way: a stop is never taken back.
    fn end(&mut self, then: Then) {
        let grace = Duration::from_secs(self.spec.stop_seconds.into());
        match &mut self.doing {
            Doing::Left => return,
            Doing::Ending { then: Then::Leave, .. } => return,
            Doing::Recording { .. } if then != Then::Leave => return,
            Doing::Ending { then: next, .. } => *next = then,
            Doing::Waiting { .. } | Doing::Recording { .. } => {
                self.doing = Doing::Ending { kill_at: Instant::now(), then }
            }
            Doing::Running { pid, .. } => {
                let pid = *pid;
                self.doing = Doing::Ending { kill_at: Instant::now() + grace, then };
                note(&mut self.log, &format!("asks process {pid} to end; kills it after {} s", grace.as_secs()));
                self.signal_all(stop_signal(self.spec.stop_signal));
            }
        }
        if then == Then::Leave {
            self.state.phase = Phase::Stopping;
            // On disk before the end is certain, so that an agent that finds the keeper dead does not start it again.
            self.save_state();
        }
    }

    /// Signals the process group, and those who have left it.
    fn signal_all(&self, signal: Signal) {
        if let Some(group) = self.main.and_then(Pid::from_raw) {
            let _already_gone = kill_process_group(group, signal);
        }
        let own = |pid: &i32| rustix::process::getpgid(Pid::from_raw(*pid)).ok().map(Pid::as_raw_pid) == self.main;
        for pid in descendants(std::process::id() as i32).into_iter().filter(|pid| self.main.is_none() || !own(pid)) {
            proc::signal(pid, signal);
        }
    }

    fn continue_ending(&mut self, kill_at: Instant, then: Then, now: Instant) {
        if !self.reap() {
            if now < kill_at {
                return;
            }
            if now < kill_at + KILL_PATIENCE {
                self.signal_all(Signal::KILL);
                return;
            }
            note(&mut self.log, "some processes cannot be killed; goes on without them");
        }
        self.finish_lines();
        self.main = None;
        self.state.process = None;
        match then {
            Then::Wait(wait) => self.doing = Doing::Waiting { until: now + wait },
            Then::Start => {
                self.failures = 0;
                self.start();
                self.tell_askers("restarted");
            }
            Then::Leave => self.leave(),
            // What a task did before the machine went down is over, and must be known.
            Then::Pause if self.spec.once => self.record(),
            Then::Pause => self.doing = Doing::Left,
            Then::Record => self.record(),
        }
    }

    /// Writes how the task ended, and leaves once that is durable: it may be what must not be done twice.
    fn record(&mut self) {
        self.state.phase = Phase::Ended;
        let written = serde_json::to_vec(&self.state)
            .map_err(|error| failed("write", &self.files.state)(error.into()))
            .and_then(|bytes| replace_durably(&self.files.state, &bytes, 0o600));
        self.doing = match written {
            Ok(()) => {
                self.saved = Some(self.state.clone());
                Doing::Left
            }
            // A full disk: until there is room, whoever asks is told.
            Err(_) => Doing::Recording { again: Instant::now() + BACKOFF_FIRST },
        };
    }

    /// Removes what says that the copy should run. The specification goes first: without it nothing starts again.
    fn leave(&mut self) {
        note(&mut self.log, "stopped");
        self.doing = Doing::Left;
        let answer = match self.files.remove() {
            Ok(()) => "stopped".to_owned(),
            Err(error) => error.to_string(),
        };
        self.saved = Some(self.state.clone());
        self.tell_askers(&answer);
    }

    fn tell_askers(&mut self, answer: &str) {
        for mut asker in self.askers.drain(..) {
            let _asker_may_be_gone = writeln!(asker, "{answer}");
        }
    }

    /// Sleeps until something happens or is due.
    fn wait(&mut self) {
        let timeout = match self.doing {
            Doing::Running { .. } if self.main.is_none() => Duration::ZERO,
            Doing::Waiting { until } => until.saturating_duration_since(Instant::now()).min(IDLE),
            Doing::Ending { .. } => ENDING,
            Doing::Recording { again } => again.saturating_duration_since(Instant::now()),
            _ => IDLE,
        };
        let timeout = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() };
        let [out, err] = &self.pipes;
        let fds = [
            self.child_ended.as_fd(),
            self.asked_to_end.as_fd(),
            self.listener.as_fd(),
            out.reader.as_fd(),
            err.reader.as_fd(),
        ];
        let mut fds = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        let _interrupted_or_woken = poll(&mut fds, Some(&timeout));
        drain(&mut self.child_ended);
    }

    /// Moves what the copy wrote into the log, at most a megabyte at a time so that a talkative one starves nothing.
    fn read_pipes(&mut self) {
        let mut piece = [0; 32 << 10];
        let mut lines = Vec::new();
        let now = Timestamp::now();
        for pipe in &mut self.pipes {
            for _ in 0..32 {
                match pipe.reader.read(&mut piece) {
                    Ok(length) if length > 0 => pipe.lines.push(&piece[..length], now, &mut lines),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    _ => break,
                }
            }
            self.log.write(&lines);
            lines.clear();
        }
        self.state.dropped_log_lines = self.log.dropped();
    }

    fn finish_lines(&mut self) {
        self.read_pipes();
        let mut lines = Vec::new();
        for pipe in &mut self.pipes {
            pipe.lines.finish(Timestamp::now(), &mut lines);
        }
        self.log.write(&lines);
    }

    /// Collects every child that has ended. True when there is none left, not even an adopted one.
    fn reap(&mut self) -> bool {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if Some(pid.as_raw_pid()) == self.main => {
                    self.main = None;
                    self.state.process = None;
                    self.state.last_exit = Some(exit_of(status));
                }
                Ok(Some(_adopted)) => {}
                Ok(None) => return false,
                Err(rustix::io::Errno::INTR) => {}
                Err(_no_children) => return true,
            }
        }
    }

    fn answer_askers(&mut self) {
        if let Doing::Left = self.doing {
            return;
        }
        while let Ok((mut asker, _)) = self.listener.accept() {
            match read_request(&asker).as_deref() {
                Some("status") => {
                    let state = serde_json::to_string(&self.state).unwrap_or_default();
                    let _asker_may_be_gone = writeln!(asker, "{state}");
                }
                Some("stop") => {
                    self.askers.push(asker);
                    self.end(Then::Leave);
                }
                Some("restart") => {
                    self.askers.push(asker);
                    self.end(Then::Start);
                }
                Some(socket::ASK) if self.socket.is_some() => {
                    let _asker_may_be_gone = self.socket.as_ref().map(|socket| socket::give(&asker, socket));
                }
                _ => {
                    let _asker_may_be_gone = writeln!(asker, "what a keeper can be asked: status, stop, restart");
                }
            }
        }
    }

    /// Writes the state if it changed; on a full disk it is tried again at every turn.
    fn save_state(&mut self) {
        if self.saved.as_ref() == Some(&self.state) {
            return;
        }
        let written = serde_json::to_vec(&self.state)
            .map_err(io::Error::from)
            .and_then(|bytes| replace(&self.files.state, &bytes, 0o600));
        if written.is_ok() {
            self.saved = Some(self.state.clone());
        }
    }
}

fn note(log: &mut LogWriter, text: &str) {
    let mut line = Vec::new();
    append_line(Stream::Keeper, text.as_bytes(), Timestamp::now(), &mut line);
    log.write(&line);
}

fn backoff(failures: u32) -> Duration {
    BACKOFF_FIRST.saturating_mul(1 << failures.min(10)).min(BACKOFF_MOST)
}

fn stop_signal(signal: StopSignal) -> Signal {
    match signal {
        StopSignal::Term => Signal::TERM,
        StopSignal::Int => Signal::INT,
        StopSignal::Quit => Signal::QUIT,
        StopSignal::Hup => Signal::HUP,
    }
}

fn exit_of(status: WaitStatus) -> Exit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, signal) => Exit::Signal(signal.unwrap_or_default()),
    }
}

/// A stream that becomes readable when one of the signals arrives.
fn wake_on(signals: &[i32]) -> io::Result<UnixStream> {
    let (reader, writer) = UnixStream::pair()?;
    reader.set_nonblocking(true)?;
    for signal in signals {
        signal_hook::low_level::pipe::register(*signal, writer.try_clone()?)?;
    }
    Ok(reader)
}

/// Empties a stream of [`wake_on`]; true if there was anything in it.
fn drain(stream: &mut UnixStream) -> bool {
    let mut bytes = [0; 64];
    let mut any = false;
    while matches!(stream.read(&mut bytes), Ok(1..)) {
        any = true;
    }
    any
}

/// A socket's address may have 107 bytes only; through an open folder the path is short wherever the folder lies.
pub(super) fn short_path(socket: &Path) -> io::Result<(File, PathBuf)> {
    use std::os::fd::AsRawFd;
    let folder = File::open(socket.parent().unwrap_or(Path::new("/")))?;
    let short =
        PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(socket.file_name().unwrap_or_default());
    Ok((folder, short))
}

/// The socket that another keeper of the copy holds, or a new one.
fn obtain(own: &KeeperFiles, spec: &ServiceSpec, address: SocketAddr) -> Result<TcpListener, RuntimeError> {
    let folder = own.spec.parent().unwrap_or(Path::new("/"));
    for other in KeeperFiles::places(folder, &spec.id).iter().filter(|other| other.spec != own.spec) {
        if other.is_kept()?
            && let Some(socket) = socket::take(other, address).map_err(failed("ask", &other.socket))?
        {
            return Ok(socket);
        }
    }
    socket::listen(address).map_err(failed("listen on", Path::new(&address.to_string())))
}

fn listen(socket: &Path) -> io::Result<UnixListener> {
    or_absent(std::fs::remove_file(socket))?;
    let (_folder, short) = short_path(socket)?;
    let listener = UnixListener::bind(short)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// One short line; whoever connects and says nothing is not waited for.
fn read_request(asker: &UnixStream) -> Option<String> {
    asker.set_nonblocking(false).ok()?;
    asker.set_read_timeout(Some(BRIEFLY)).ok()?;
    asker.set_write_timeout(Some(BRIEFLY)).ok()?;
    let mut line = String::new();
    BufReader::new(asker.take(64)).read_line(&mut line).ok()?;
    Some(line.trim_end().to_owned())
}

impl KeeperFiles {
    /// Whether a keeper lives.
    pub fn is_kept(&self) -> Result<bool, RuntimeError> {
        is_locked(&self.lock).map_err(failed("look at", &self.lock))
    }

    /// Takes the keeper's lock, waiting a little for someone who only looks whether it is held. Absent if a keeper has
    /// it.
    pub fn hold(&self) -> Result<Option<File>, RuntimeError> {
        let file = open_lock(&self.lock).map_err(failed("open", &self.lock))?;
        let give_up = Instant::now() + Duration::from_secs(2);
        loop {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Some(file)),
                Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < give_up => std::thread::sleep(LOOK_AGAIN),
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
                Err(error) => return Err(failed("lock", &self.lock)(error.into())),
            }
        }
    }

    /// The keeper that holds the lock, or held it last.
    pub fn holder(&self) -> Option<ProcessMark> {
        serde_json::from_slice(&std::fs::read(&self.lock).ok()?).ok()
    }

    /// Removes all but the lock, which is held by whoever calls this or by nobody, and is of no weight.
    pub fn remove(&self) -> Result<(), RuntimeError> {
        for file in [&self.spec, &self.state, &self.socket] {
            or_absent(std::fs::remove_file(file)).map_err(failed("remove", file))?;
        }
        self.spec.parent().map_or(Ok(()), super::disk::sync_folder)
    }
}

impl CopyState {
    /// Reads a keeper's last state; one that is missing or damaged says nothing.
    pub fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }

    /// Kills what a killed keeper's service left running, so that it cannot hold the port of its successor.
    pub fn kill_leftovers(&self) {
        let Some(keeper) = self.keeper.filter(|_| self.boot_id == boot_id()) else { return };
        let give_up = Instant::now() + KILL_PATIENCE;
        loop {
            let left = proc::left_of_session(keeper);
            if left.is_empty() || Instant::now() >= give_up {
                return;
            }
            left.into_iter().for_each(|pid| proc::signal(pid, Signal::KILL));
            std::thread::sleep(ENDING);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute() {
        let waits: Vec<u64> = (0..8).map(|failures| backoff(failures).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff(u32::MAX), BACKOFF_MOST);
    }
}
