//! What runs on a target: the files of builds, their processes, ports and logs. It decides nothing: what may run was
//! verified before anything here is called.
//!
//! Every copy of a process has a keeper, a small process of its own that outlives the agent. The agent only writes
//! what a copy is to be, starts keepers and asks them to stop; a new agent finds them again by their files.
//!
//! - [`layout`]: where everything lies; data folders; the atomic switch of `current`, which for a static site is the
//!   whole deployment.
//! - [`spec`]: what one copy is, worked out from manifest and config. [`ports`], [`account`]: its port and user.
//! - [`keeper`]: the process that keeps a copy running; [`exec`]: the step that becomes the program; [`state`]: what
//!   the keeper says; [`proc`]: who is whose child.
//! - [`control`]: starting, stopping, restarting and observing copies.
//! - [`verify`]: whether the whole build is well. [`health`]: whether a copy is; [`ask`]: one question; [`measure`]: one
//!   to a Prometheus server. [`task`]: what runs once.
//! - [`replace`]: one build in the place of another, copy by copy; [`blue_green`]: all at once. [`socket`]: sockets that outlive programs;
//!   [`traffic`]: out of service before a copy stops, and back once it is healthy.
//! - [`log`], [`log_reader`]: what copies write.
//!
//! Every operation may be repeated, and may be repeated after being cut short at any point: the end is the same.
//! All of it blocks; asynchronous callers use a thread for it.

mod account;
mod ask;
mod blue_green;
mod control;
mod disk;
mod exec;
mod health;
mod keeper;
mod layout;
mod log;
mod log_reader;
mod measure;
mod ports;
mod proc;
mod replace;
mod said;
mod socket;
mod spec;
mod state;
mod task;
mod traffic;
mod verify;

pub use ask::{body_contains, status_of};
pub use control::{Observed, ObservedState};
pub use health::{Attempt, Unhealthy};
pub use keeper::{keeper_entry, keeper_main};
pub use layout::Layout;
pub use log::Stream;
pub use log_reader::{LogFollower, LogLine};
pub use measure::values_in;
pub use ports::{DEFAULT_PORTS, is_taken as is_port_taken};
pub use spec::{CopyId, ServiceSpec, Site};
pub use state::Exit;
pub use task::TaskState;
pub use traffic::Leaving;
pub use verify::{Running, Unverified, Verified};

use ports::{Ports, Side};
use spec::{KeeperFiles, Placement, expand_run};
use std::{collections::BTreeMap, io, ops::RangeInclusive, path::PathBuf, sync::Mutex, time::Instant};
use trust::{
    AppName, Digest,
    manifest::{Process, Run},
};

/// What runs on this target, and the means to change it.
#[derive(Debug)]
pub struct Runtime {
    layout: Layout,
    site: Site,
    ports: Ports,
    keeper_program: PathBuf,
    /// When whoever reads the lists of copies was told of one last.
    reloaded: Mutex<Option<Instant>>,
}

/// Why something could not be done on the target.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The system refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The build names a user this machine does not have.
    #[error("there is no user '{user}' on this machine: create it, or set another `user` in sortie.toml")]
    NoSuchUser {
        /// The name.
        user: String,
    },
    /// The agent is not root, so it can start processes as its own user alone.
    #[error("the agent may not start processes as '{user}': run the agent as root or as '{user}'")]
    MayNotSwitch {
        /// The name.
        user: String,
    },
    /// Every port of the agent's range is given out or taken.
    #[error("no port from {first} to {last} is free: give the agent a wider range")]
    NoFreePort {
        /// The first of the range.
        first: u16,
        /// The last of the range.
        last: u16,
    },
    /// Something else listens on a copy's port.
    #[error("port {port} of {copy} is taken by another program: end that one, or deploy again to get another port")]
    PortTaken {
        /// The copy.
        copy: String,
        /// Its port.
        port: u16,
    },
    /// A declared config key has neither a value nor a default.
    #[error("{key} has no value here and no default: set it with `sortie config set`")]
    ConfigMissing {
        /// The key.
        key: String,
    },
    /// Config tries to fill a variable that decides what code is loaded.
    #[error(
        "{key} decides what code a process loads and cannot be filled by config: set it in the build's environment"
    )]
    ConfigNotAllowed {
        /// The key.
        key: String,
    },
    /// An argument or variable with a zero byte in it.
    #[error("{what} contains a zero byte, which no process can be given")]
    ZeroByte {
        /// Which.
        what: String,
    },
    /// The files of the build are not on the target.
    #[error("{app}#{} is not staged on this target", build.short())]
    NoRelease {
        /// The application.
        app: AppName,
        /// The build.
        build: Digest,
    },
    /// A copy cannot be taken out of service, or put back.
    #[error("the traffic of {app} cannot be turned: {why}")]
    Traffic {
        /// The application.
        app: AppName,
        /// Why not.
        why: String,
    },
    /// Something else lies where a link or folder belongs.
    #[error("{} is in the way of a data folder: move it away", path.display())]
    InTheWay {
        /// Where.
        path: PathBuf,
    },
    /// A keeper did not do what it was asked.
    #[error("the keeper of {copy} failed: {why}")]
    Keeper {
        /// The copy.
        copy: String,
        /// What it said, or did not.
        why: String,
    },
}

impl Runtime {
    /// The runtime over `layout`. Keepers are this same binary, which must call [`keeper_entry`] first.
    pub fn open(layout: Layout, site: Site, ports: RangeInclusive<u16>) -> Result<Self, RuntimeError> {
        disk::make_folder(&layout.root().join("apps"), 0o755)?;
        let ports = Ports::open(layout.ports(), ports)?;
        let reloaded = Mutex::new(None);
        Ok(Self { layout, site, ports, keeper_program: keeper::OWN_PROGRAM.into(), reloaded })
    }

    /// As it was, but with keepers started from another binary, which must call [`keeper_entry`] first.
    pub fn with_keeper_program(self, keeper_program: PathBuf) -> Self {
        Self { keeper_program, ..self }
    }

    /// Where everything lies.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Where a build's processes run.
    fn placement<'a>(&'a self, app: &'a AppName, build: &Digest) -> Placement<'a> {
        Placement {
            app,
            build: *build,
            site: &self.site,
            working_folder: self.layout.release(app, build),
            logs: self.layout.logs(app),
        }
    }

    /// Works out every copy of a build, in order of process and copy, and gives ports to those that need one. `config`
    /// holds the environment's values, secrets decrypted; keys the build does not declare are ignored.
    pub fn specs(
        &self,
        app: &AppName,
        build: &Digest,
        run: &Run,
        config: &BTreeMap<String, String>,
    ) -> Result<Vec<ServiceSpec>, RuntimeError> {
        let on = |side| {
            expand_run(&self.placement(app, build), run, config, |id| {
                let places = KeeperFiles::places(&self.layout.run(app), id);
                // A copy that is kept may itself be what occupies its port, so its port is not looked for elsewhere.
                let may_occupy = |port| places.iter().any(|files| files.may_occupy(port));
                self.ports.port_of(app, (&id.process, id.copy, side), may_occupy)
            })
        };
        if run.is_blue_green() { self.on_its_side(app, on) } else { on(Side::First) }
    }

    /// How many ports the copies of a build would need that no port of the range can be given for.
    pub fn lacking_ports(&self, app: &AppName, run: &Run) -> u32 {
        let sides: &[Side] = if run.is_blue_green() { &[Side::First, Side::Second] } else { &[Side::First] };
        let wants = |process: &&Process| process.port.is_none() && process.wants_port(&run.environment);
        let named = run.processes.iter().filter(|(_, process)| wants(process));
        let copies = named.flat_map(|(name, process)| (1..=process.copies).map(move |copy| (name.as_str(), copy)));
        let wanted = copies.flat_map(|(name, copy)| sides.iter().map(move |side| (name, copy, *side)));
        self.ports.lacking(app, wanted)
    }

    /// Removes every release but these, the active one, and those whose copies run: what could not be ended goes on, and is found
    /// in its place when it is brought again. Answers with those that were removed.
    pub fn discard(&self, app: &AppName, keep: &[Digest]) -> Result<Vec<Digest>, RuntimeError> {
        let before = self.layout.releases(app)?;
        let runs = self.observed(app)?.into_iter().map(|copy| copy.build);
        let keep: Vec<Digest> = keep.iter().copied().chain(runs).collect();
        self.layout.discard_releases(app, &keep)?;
        let after = self.layout.releases(app)?;
        Ok(before.into_iter().filter(|build| !after.contains(build)).collect())
    }

    /// Makes the folders of the application and links its data into the release, whose files must be there.
    pub fn prepare(&self, app: &AppName, build: &Digest, run: &Run) -> Result<(), RuntimeError> {
        self.layout.prepare(app, build, run)
    }

    /// Points `current` to the build in one step. For a static site this is the deployment.
    pub fn switch(&self, app: &AppName, build: &Digest) -> Result<(), RuntimeError> {
        self.layout.switch(app, build)
    }

    /// Stops the application and removes its files, ports and logs; its data too unless `keep_data`.
    pub fn remove(&self, app: &AppName, keep_data: bool) -> Result<(), RuntimeError> {
        self.stop(app)?;
        self.layout.erase(app, keep_data)?;
        self.ports.forget(app)
    }

    /// The last `lines` lines of a copy's log, oldest first.
    pub fn tail(&self, app: &AppName, id: &CopyId, lines: usize) -> Result<Vec<LogLine>, RuntimeError> {
        let log = self.log(app, id);
        log_reader::tail(&log, lines).map_err(disk::failed("read", &log))
    }

    /// Follows a copy's log from its present end.
    pub fn follow(&self, app: &AppName, id: &CopyId) -> Result<LogFollower, RuntimeError> {
        let log = self.log(app, id);
        LogFollower::from_end(log.clone()).map_err(disk::failed("read", &log))
    }

    fn log(&self, app: &AppName, id: &CopyId) -> PathBuf {
        self.layout.logs(app).join(format!("{id}.log"))
    }
}
