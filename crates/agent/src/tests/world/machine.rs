//! A machine that only remembers what was done to it, and can die.

use super::{Fuse, app};
use crate::{
    drivers::{Bringing, Machine, MachineError},
    runtime::{Exit, TaskState, Verified},
};
use domain::plan::Migration;
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    rc::Rc,
};
use trust::{AppName, Digest, manifest::Manifest};

/// What a machine is like: it outlives agents.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Disk {
    pub staged: BTreeSet<Digest>,
    pub current: Option<Digest>,
    /// What runs, with its LEVEL.
    pub running: Option<(Digest, Option<String>)>,
    pub sick: BTreeSet<Digest>,
    /// Builds of which a measurement decides nothing, where people shall look at that.
    pub unclear: BTreeSet<Digest>,
    pub touched: u32,
    /// What was done to the data, in order, and how it is with the last of it.
    pub migrated: Vec<(Digest, Migration)>,
    pub task: Option<TaskState>,
    /// Whether migrations fail.
    pub migrations_fail: bool,
    /// Whether anybody is sent to what runs.
    pub serves: bool,
    /// Whether what serves cannot be taken out of service.
    pub drains_fail: bool,
    /// Whether the application has left data.
    pub data: bool,
}

#[derive(Clone, Default)]
pub struct FakeMachine {
    pub disk: Rc<RefCell<Disk>>,
    pub fuse: Fuse,
}

impl FakeMachine {
    fn touch(&self, deed: impl FnOnce(&mut Disk)) -> Result<(), MachineError> {
        self.fuse.around(|| {
            let mut disk = self.disk.borrow_mut();
            disk.touched += 1;
            deed(&mut disk);
        });
        Ok(())
    }
}

impl Machine for FakeMachine {
    fn stage(&self, manifest: &Manifest, _sources: &BTreeMap<Digest, PathBuf>) -> Result<(), MachineError> {
        let build = Digest::of(&manifest.to_bytes().unwrap());
        self.fuse.around(|| self.disk.borrow_mut().staged.insert(build));
        Ok(())
    }

    fn is_staged(&self, _app: &AppName, build: &Digest) -> bool {
        self.disk.borrow().staged.contains(build)
    }

    fn prepare(&self, bringing: &Bringing) -> Result<(), MachineError> {
        if !self.is_staged(&app(), &bringing.build) {
            return Err(MachineError("not staged".into()));
        }
        self.touch(|_| ())
    }

    fn switch(&self, _app: &AppName, build: Option<&Digest>) -> Result<(), MachineError> {
        self.touch(|disk| disk.current = build.copied())
    }

    fn start(&self, bringing: &Bringing) -> Result<(), MachineError> {
        // The old copy stops before the new one starts.
        self.touch(|disk| disk.running = None)?;
        let level = bringing.values.get("LEVEL").cloned();
        self.touch(|disk| disk.running = Some((bringing.build, level)))
    }

    fn stop(&self, _app: &AppName) -> Result<Option<String>, MachineError> {
        let unleft = self.disk.borrow().running.is_some() && self.disk.borrow().drains_fail;
        self.touch(|disk| (disk.running, disk.serves) = (None, false))?;
        Ok(unleft.then(|| "stopped though it may still have been asked: drain ended with 1".into()))
    }

    fn stand_by(&self, _app: &AppName) -> Result<(), MachineError> {
        let fails = self.disk.borrow().drains_fail;
        match fails {
            true => Err(MachineError("drain ended with 1".into())),
            false => self.touch(|disk| disk.serves = false),
        }
    }

    fn restart(&self, _bringing: &Bringing) -> Result<(), MachineError> {
        self.touch(|_| ())
    }

    fn verify(&self, bringing: &Bringing, _heard: &mut dyn FnMut(&str)) -> Result<Verified, MachineError> {
        self.fuse.point();
        let runs = self.disk.borrow().running.as_ref().is_some_and(|(build, _)| *build == bringing.build);
        // Whatever runs is listed before it is asked.
        self.fuse.around(|| self.disk.borrow_mut().serves = runs && !bringing.standby);
        if !runs || self.disk.borrow().sick.contains(&bringing.build) {
            return Err(MachineError("web-1 /healthz 503 × 5 (last log: \"no such column\")".into()));
        }
        let doubt = self.disk.borrow().unclear.contains(&bringing.build);
        let doubt = doubt.then(|| "verify errors: inconclusive: measured NaN".into());
        Ok(Verified { endpoints: vec!["http://127.0.0.1:20001".into()], doubt })
    }

    fn begin_migration(&self, bringing: &Bringing, migration: Migration) -> Result<(), MachineError> {
        // What is to run is on disk before it runs, and whoever dies in between does not know whether it did.
        self.fuse.around(|| self.disk.borrow_mut().task = Some(TaskState::Lost));
        self.fuse.around(|| {
            let mut disk = self.disk.borrow_mut();
            disk.migrated.push((bringing.build, migration));
            disk.task = Some(TaskState::Ended(Exit::Code(i32::from(disk.migrations_fail))));
        });
        Ok(())
    }

    fn migration(&self, _app: &AppName) -> Result<TaskState, MachineError> {
        Ok(self.disk.borrow().task.unwrap_or(TaskState::Absent))
    }

    fn await_migration(&self, _bringing: &Bringing, _migration: Migration) -> Result<(), MachineError> {
        self.fuse.point();
        match self.disk.borrow().task {
            Some(TaskState::Ended(Exit::Code(0))) => Ok(()),
            Some(TaskState::Ended(exit)) => Err(MachineError(exit.to_string())),
            _ => Err(MachineError("it is not known how far it came".into())),
        }
    }

    fn forget_migration(&self, _app: &AppName) -> Result<(), MachineError> {
        self.fuse.around(|| self.disk.borrow_mut().task = None);
        Ok(())
    }

    fn remove(&self, _app: &AppName) -> Result<(), MachineError> {
        self.touch(|disk| disk.staged.clear())
    }

    fn erase(&self, _app: &AppName) -> Result<(), MachineError> {
        self.touch(|disk| disk.staged.clear())?;
        self.touch(|disk| disk.data = false)
    }

    fn apps(&self) -> Result<Vec<AppName>, MachineError> {
        let disk = self.disk.borrow();
        Ok(if disk.data || !disk.staged.is_empty() { vec![app()] } else { Vec::new() })
    }

    fn discard(&self, _app: &AppName, keep: &[Digest]) -> Result<Vec<Digest>, MachineError> {
        let mut gone = Vec::new();
        self.fuse.around(|| {
            let mut disk = self.disk.borrow_mut();
            gone = disk.staged.iter().filter(|build| !keep.contains(build)).copied().collect();
            disk.staged.retain(|build| keep.contains(build));
        });
        Ok(gone)
    }

    fn revive(&self, _app: &AppName) -> Result<(), MachineError> {
        Ok(())
    }

    fn current(&self, _app: &AppName) -> Option<Digest> {
        self.disk.borrow().current
    }

    fn releases(&self, _app: &AppName) -> Result<Vec<Digest>, MachineError> {
        Ok(Vec::new())
    }

    fn release_folder(&self, _app: &AppName, build: &Digest) -> PathBuf {
        PathBuf::from("/nowhere").join(build.hex())
    }
}
