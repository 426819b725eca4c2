//! The only way from a decision to the machine: whoever wants something changed here shows a [`VerifiedAuthority`] for
//! the very application and build.
//!
//! [`Drivers`] checks that, and says in which order things happen; [`Machine`] is what they happen to: a
//! [`Runtime`], or in tests something that can be killed between any two of them.

use crate::{
    clock::{Clock, SystemClock},
    runtime::{Leaving, Running, Runtime, RuntimeError, ServiceSpec, TaskState, Verified},
};
use depot::materialise::MaterialiseError;
use domain::plan::Migration;
use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use trust::{
    AppName, Digest,
    authority::VerifiedAuthority,
    manifest::{Driver, Manifest, Run},
};

/// A build with everything it runs with.
#[derive(Clone, PartialEq)]
pub struct Bringing {
    /// The build.
    pub build: Digest,
    /// What it is.
    pub manifest: Manifest,
    /// The values of its config keys, secrets in the clear.
    pub values: BTreeMap<String, String>,
    /// Whether it ran before and comes back, which nothing may keep from happening.
    pub comes_back: bool,
    /// Whether it stands by: it runs and is in no list of what serves.
    pub standby: bool,
}

/// What a migration is called among an application's tasks and logs.
const MIGRATE: &str = "migrate";

impl Bringing {
    /// Whether the build says how this is done.
    pub fn can_migrate(&self, migration: Migration) -> bool {
        self.migration(migration).is_some()
    }

    fn migration(&self, migration: Migration) -> Option<&[String]> {
        let migrate = self.manifest.run.migrate.as_ref()?;
        match migration {
            Migration::Run => Some(&migrate.run),
            Migration::Undo => migrate.undo.as_deref(),
        }
    }

    /// The same as the runtime has it.
    pub(crate) fn running(&self) -> Running<'_> {
        let Self { build, manifest, values, comes_back, standby } = self;
        let leaving = if *comes_back { Leaving::IsTried } else { Leaving::MustSucceed };
        Running { app: &manifest.app, build, run: &manifest.run, values, leaving, standby: *standby }
    }
}

/// What builds are installed on and run by. Every operation may be repeated, and repeated after being cut short.
pub trait Machine {
    /// Lays the build's files out beside what runs. `sources` say where an object's bytes can be read.
    fn stage(&self, manifest: &Manifest, sources: &BTreeMap<Digest, PathBuf>) -> Result<(), MachineError>;
    /// Whether the build's files are laid out already.
    fn is_staged(&self, app: &AppName, build: &Digest) -> bool;
    /// Makes the application's folders and links its data into the release.
    fn prepare(&self, bringing: &Bringing) -> Result<(), MachineError>;
    /// Points `current` to the build, or to nothing.
    fn switch(&self, app: &AppName, build: Option<&Digest>) -> Result<(), MachineError>;
    /// Sees to it that exactly the build's copies run, each as its manifest and config say.
    fn start(&self, bringing: &Bringing) -> Result<(), MachineError>;
    /// Stops every copy of the application. Answers with why they could not be taken out of service before, where that is so.
    fn stop(&self, app: &AppName) -> Result<Option<String>, MachineError>;
    /// Takes every copy of the application out of service; they go on running.
    fn stand_by(&self, app: &AppName) -> Result<(), MachineError>;
    /// Stops and starts every copy of the build, which runs.
    fn restart(&self, bringing: &Bringing) -> Result<(), MachineError>;
    /// Waits until every copy is well, and everything that the build asks besides.
    fn verify(&self, bringing: &Bringing, heard: &mut dyn FnMut(&str)) -> Result<Verified, MachineError>;
    /// Begins a migration of the build, or what takes it back; it must not have begun.
    fn begin_migration(&self, bringing: &Bringing, migration: Migration) -> Result<(), MachineError>;
    /// How it is with the application's migration.
    fn migration(&self, app: &AppName) -> Result<TaskState, MachineError>;
    /// Waits until the migration that was begun has ended; anything but a good end is an error.
    fn await_migration(&self, bringing: &Bringing, migration: Migration) -> Result<(), MachineError>;
    /// Forgets how an earlier migration ended.
    fn forget_migration(&self, app: &AppName) -> Result<(), MachineError>;
    /// Removes the application's files. Its data stays: people's data is not part of any build.
    fn remove(&self, app: &AppName) -> Result<(), MachineError>;
    /// Removes everything of the application, its data too.
    fn erase(&self, app: &AppName) -> Result<(), MachineError>;
    /// The applications of which anything is here.
    fn apps(&self) -> Result<Vec<AppName>, MachineError>;
    /// Removes every release but these and the active one; answers with those that were removed.
    fn discard(&self, app: &AppName, keep: &[Digest]) -> Result<Vec<Digest>, MachineError>;
    /// Starts again the copies whose keepers died.
    fn revive(&self, app: &AppName) -> Result<(), MachineError>;
    /// The build that `current` points to.
    fn current(&self, app: &AppName) -> Option<Digest>;
    /// The builds whose files are laid out here.
    fn releases(&self, app: &AppName) -> Result<Vec<Digest>, MachineError>;
    /// Where a build's files lie, or would.
    fn release_folder(&self, app: &AppName, build: &Digest) -> PathBuf;
    /// Whether a copy of the application listens on the port.
    fn occupies(&self, _app: &AppName, _port: u16) -> bool {
        false
    }
    /// How many ports the application's copies would need that cannot be given to them.
    fn lacking_ports(&self, _app: &AppName, _run: &Run) -> u32 {
        0
    }
    /// Its clock.
    fn clock(&self) -> &dyn Clock {
        &SystemClock
    }
}

/// Why something could not be done on the machine, in a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MachineError(pub String);

impl From<RuntimeError> for MachineError {
    fn from(error: RuntimeError) -> Self {
        Self(error.to_string())
    }
}

/// Changes what runs, for those who may.
#[derive(Debug)]
pub struct Drivers<M>(M);

impl<M: Machine> Drivers<M> {
    /// Drivers for `machine`.
    pub fn new(machine: M) -> Self {
        Self(machine)
    }

    /// The machine, for looking and for what changes nothing that runs.
    pub fn machine(&self) -> &M {
        &self.0
    }

    /// Switches to a build and starts it, stopping what ran before.
    pub fn activate(&self, authority: &VerifiedAuthority, bringing: &Bringing) -> Result<(), MachineError> {
        check(authority, &bringing.manifest.app, Some(bringing.build))?;
        match bringing.manifest.driver() {
            Driver::Package => Err(MachineError("the build is a package: its members are installed".into())),
            Driver::Checkpoint => Err(MachineError("the build is a checkpoint: there is nothing to install".into())),
            Driver::Process | Driver::Files => {
                self.0.prepare(bringing)?;
                self.0.switch(&bringing.manifest.app, Some(&bringing.build))?;
                self.0.start(bringing)
            }
        }
    }

    /// Switches to a build that stays stopped.
    pub fn activate_stopped(&self, authority: &VerifiedAuthority, bringing: &Bringing) -> Result<(), MachineError> {
        let app = &bringing.manifest.app;
        check(authority, app, Some(bringing.build))?;
        self.0.stop(app)?;
        self.0.prepare(bringing)?;
        self.0.switch(app, Some(&bringing.build))
    }

    /// Makes the application run nothing, as it was before its first deployment. Its files stay until they are
    /// discarded.
    pub fn deactivate(&self, authority: &VerifiedAuthority, app: &AppName) -> Result<(), MachineError> {
        check(authority, app, None)?;
        self.0.stop(app)?;
        self.0.switch(app, None)
    }

    /// Begins what changes the application's data: the migration of the build that is authorised, or for a rollback what
    /// takes back that of the build which is left.
    pub fn migrate(
        &self,
        authority: &VerifiedAuthority,
        bringing: &Bringing,
        migration: Migration,
    ) -> Result<(), MachineError> {
        match migration {
            Migration::Run => check(authority, &bringing.manifest.app, Some(bringing.build))?,
            Migration::Undo => check(authority, &bringing.manifest.app, authority.build())?,
        }
        self.0.begin_migration(bringing, migration)
    }

    /// Begins to take back what a deployment did to the data, once nothing of the application runs any more.
    pub fn take_back_migration(
        &self,
        authority: &VerifiedAuthority,
        bringing: &Bringing,
        back: Migration,
    ) -> Result<(), MachineError> {
        let app = &bringing.manifest.app;
        check(authority, app, authority.build())?;
        self.0.stop(app)?;
        self.0.begin_migration(bringing, back)
    }

    /// Stops every copy of the active build. Answers as [`Machine::stop`] does.
    pub fn stop(
        &self,
        authority: &VerifiedAuthority,
        app: &AppName,
        build: Digest,
    ) -> Result<Option<String>, MachineError> {
        check(authority, app, Some(build))?;
        self.0.stop(app)
    }

    /// Takes every copy of the active build out of service.
    pub fn stand_by(&self, authority: &VerifiedAuthority, app: &AppName, build: Digest) -> Result<(), MachineError> {
        check(authority, app, Some(build))?;
        self.0.stand_by(app)
    }

    /// Stops and starts every copy of the active build.
    pub fn restart(&self, authority: &VerifiedAuthority, bringing: &Bringing) -> Result<(), MachineError> {
        check(authority, &bringing.manifest.app, Some(bringing.build))?;
        self.0.restart(bringing)
    }

    /// Removes the application. Answers as [`Machine::stop`] does.
    pub fn remove(&self, authority: &VerifiedAuthority, app: &AppName) -> Result<Option<String>, MachineError> {
        check(authority, app, None)?;
        let unleft = self.0.stop(app)?;
        self.0.switch(app, None)?;
        self.0.remove(app)?;
        Ok(unleft)
    }

    /// Removes everything of the application, its data too: the target's time is over, and nothing less allows it.
    pub fn erase(&self, authority: &VerifiedAuthority, app: &AppName) -> Result<(), MachineError> {
        check(authority, app, None)?;
        if !matches!(authority, VerifiedAuthority::Lapse(_)) {
            return Err(MachineError(format!("the authority ({}) is for no data; nothing was done", authority.word())));
        }
        self.0.stop(app)?;
        self.0.switch(app, None)?;
        self.0.erase(app)
    }
}

/// The proof must be for this application, and for this very build or for none.
fn check(authority: &VerifiedAuthority, app: &AppName, build: Option<Digest>) -> Result<(), MachineError> {
    if authority.app() == app && authority.build() == build {
        return Ok(());
    }
    Err(MachineError(format!("the authority ({}) is for something else; nothing was done", authority.word())))
}

impl Machine for Arc<Runtime> {
    fn stage(&self, manifest: &Manifest, sources: &BTreeMap<Digest, PathBuf>) -> Result<(), MachineError> {
        let releases = self.layout().app(&manifest.app).join("releases");
        let open = |digest: &Digest| {
            let path = sources.get(digest).ok_or(depot::StoreError::Missing(*digest))?;
            let opened = File::open(path);
            opened.map_err(|source| depot::StoreError::Source { digest: *digest, source })
        };
        match materialise(manifest, &releases, open) {
            Ok(()) => Ok(()),
            Err(MaterialiseError::Damaged { folder, .. }) => {
                let build = Digest::of(&manifest.to_bytes().map_err(|error| MachineError(error.to_string()))?);
                let is_active = self.layout().current(&manifest.app)? == Some(build);
                if is_active {
                    return Err(MachineError(format!(
                        "{folder} was changed since it was installed, and processes may be running from it: \
                         see `sortie escapes`"
                    )));
                }
                // Nothing runs from it, so it is laid out anew.
                std::fs::remove_dir_all(&folder).map_err(|error| MachineError(error.to_string()))?;
                materialise(manifest, &releases, open).map_err(|error| MachineError(error.to_string()))
            }
            Err(error) => Err(MachineError(error.to_string())),
        }
    }

    fn is_staged(&self, app: &AppName, build: &Digest) -> bool {
        self.layout().release(app, build).is_dir()
    }

    fn prepare(&self, bringing: &Bringing) -> Result<(), MachineError> {
        Ok(Runtime::prepare(self, &bringing.manifest.app, &bringing.build, &bringing.manifest.run)?)
    }

    fn switch(&self, app: &AppName, build: Option<&Digest>) -> Result<(), MachineError> {
        match build {
            Some(build) => Ok(Runtime::switch(self, app, build)?),
            None => Ok(self.layout().unlink_current(app)?),
        }
    }

    fn start(&self, bringing: &Bringing) -> Result<(), MachineError> {
        self.bring(bringing.running()).map_err(|unverified| MachineError(unverified.to_string()))
    }

    fn stop(&self, app: &AppName) -> Result<Option<String>, MachineError> {
        Ok(Runtime::stop(self, app)?)
    }

    fn stand_by(&self, app: &AppName) -> Result<(), MachineError> {
        Ok(Runtime::stand_by(self, app)?)
    }

    fn restart(&self, bringing: &Bringing) -> Result<(), MachineError> {
        self.restart_build(bringing.running()).map_err(|unverified| MachineError(unverified.to_string()))
    }

    fn verify(&self, bringing: &Bringing, heard: &mut dyn FnMut(&str)) -> Result<Verified, MachineError> {
        Runtime::verify(self, bringing.running(), heard).map_err(|unverified| MachineError(unverified.to_string()))
    }

    fn begin_migration(&self, bringing: &Bringing, migration: Migration) -> Result<(), MachineError> {
        // Its data folders and its user's access to them must be there before any of its processes is.
        self.prepare(bringing)?;
        Ok(self.begin_task(&self.migration_task(bringing, migration)?)?)
    }

    fn migration(&self, app: &AppName) -> Result<TaskState, MachineError> {
        Ok(self.task_state(app, MIGRATE)?)
    }

    fn await_migration(&self, bringing: &Bringing, migration: Migration) -> Result<(), MachineError> {
        let within = bringing.manifest.run.migrate.as_ref().map_or(0, |migrate| migrate.within_seconds);
        let task = self.migration_task(bringing, migration)?;
        self.wait_for_task(&task, Duration::from_secs(within.into())).map_err(MachineError)
    }

    fn forget_migration(&self, app: &AppName) -> Result<(), MachineError> {
        Ok(self.clear_task(app, MIGRATE)?)
    }

    fn remove(&self, app: &AppName) -> Result<(), MachineError> {
        Ok(Runtime::remove(self, app, true)?)
    }

    fn erase(&self, app: &AppName) -> Result<(), MachineError> {
        self.clear_tasks(app)?;
        Ok(Runtime::remove(self, app, false)?)
    }

    fn apps(&self) -> Result<Vec<AppName>, MachineError> {
        Ok(self.layout().apps()?)
    }

    fn discard(&self, app: &AppName, keep: &[Digest]) -> Result<Vec<Digest>, MachineError> {
        Ok(Runtime::discard(self, app, keep)?)
    }

    fn revive(&self, app: &AppName) -> Result<(), MachineError> {
        let revived = Runtime::revive(self, app)?;
        for id in revived {
            tracing::info!(%app, copy = %id, "started again: its keeper was gone");
        }
        Ok(())
    }

    fn current(&self, app: &AppName) -> Option<Digest> {
        self.layout().current(app).ok().flatten()
    }

    fn releases(&self, app: &AppName) -> Result<Vec<Digest>, MachineError> {
        Ok(self.layout().releases(app)?)
    }

    fn release_folder(&self, app: &AppName, build: &Digest) -> PathBuf {
        self.layout().release(app, build)
    }

    fn occupies(&self, app: &AppName, port: u16) -> bool {
        Runtime::occupies(self, app, port)
    }

    fn lacking_ports(&self, app: &AppName, run: &Run) -> u32 {
        Runtime::lacking_ports(self, app, run)
    }
}

impl Runtime {
    fn migration_task(&self, bringing: &Bringing, migration: Migration) -> Result<ServiceSpec, MachineError> {
        let argv =
            bringing.migration(migration).ok_or_else(|| MachineError("the build has no such migration".into()))?;
        let process = bringing.manifest.run.migrate.as_ref().and_then(|migrate| migrate.process.as_deref());
        let Bringing { build, manifest, values, .. } = bringing;
        Ok(self.task(&manifest.app, build, &manifest.run, values, (MIGRATE, argv, process))?)
    }
}

fn materialise(
    manifest: &Manifest,
    releases: &Path,
    open: impl FnMut(&Digest) -> Result<File, depot::StoreError>,
) -> Result<(), MaterialiseError> {
    depot::materialise(manifest, releases, open, &|_| ()).map(|_| ())
}
