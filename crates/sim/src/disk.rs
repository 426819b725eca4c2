//! A target's disk, with the promises of a real one and no more: bytes are safe once written, names once their folder is
//! synced. A loss of power takes what was not; a process may die in the middle of a write; the disk may be full.

use crate::{
    cast::{SHOP, app},
    fault::Fault,
    random::Random,
};
use agent::files::Disk;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The end of a process: whatever unwinds with this was killed.
pub struct Died;

/// Stops a process here and now.
pub fn die() -> ! {
    std::panic::resume_unwind(Box::new(Died))
}

/// A disk in memory.
#[derive(Debug)]
pub struct SimDisk(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    /// What the system shows.
    shown: BTreeMap<PathBuf, Vec<u8>>,
    /// What a loss of power leaves.
    durable: BTreeMap<PathBuf, Vec<u8>>,
    /// Changes of names that are not durable yet, in order.
    unsynced: Vec<Change>,
    /// After how many more operations the process dies, in the middle of the last.
    dies_in: Option<u32>,
    is_full: bool,
    random: Random,
    /// What is wrong with it, on purpose.
    fault: Option<Fault>,
    /// What kinds of troubles it had.
    seen: BTreeSet<&'static str>,
}

#[derive(Clone, Debug)]
enum Change {
    Put(PathBuf, Vec<u8>),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

impl Change {
    fn is_in(&self, folder: &Path) -> bool {
        let path = match self {
            Change::Put(path, _) | Change::Rename(_, path) | Change::Remove(path) => path,
        };
        path.parent() == Some(folder)
    }

    fn make(self, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
        match self {
            Change::Put(path, bytes) => {
                files.insert(path, bytes);
            }
            Change::Rename(from, to) => {
                if let Some(bytes) = files.remove(&from) {
                    files.insert(to, bytes);
                }
            }
            Change::Remove(path) => files.retain(|found, _| !found.starts_with(&path)),
        }
    }
}

impl SimDisk {
    /// An empty disk.
    pub fn new(random: Random, fault: Option<Fault>) -> Self {
        let (shown, durable, unsynced) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let seen = BTreeSet::new();
        Self(Mutex::new(Inner { shown, durable, unsynced, dies_in: None, is_full: false, random, fault, seen }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the process that uses it die within so many operations from now, or not at all.
    pub fn dies_in(&self, operations: Option<u32>) {
        self.lock().dies_in = operations;
    }

    /// Fills it up, or makes room.
    pub fn fill(&self, is_full: bool) {
        self.lock().is_full = is_full;
    }

    /// Whether there is no room.
    pub fn is_full(&self) -> bool {
        self.lock().is_full
    }

    /// What lies there, as whoever holds the disk sees it.
    pub fn shows(&self, path: &Path) -> Option<Vec<u8>> {
        self.lock().shown.get(path).cloned()
    }

    /// What kinds of troubles it had.
    pub fn seen(&self) -> BTreeSet<&'static str> {
        self.lock().seen.clone()
    }

    /// The power fails: of what was not synced, a part survives, in the order it was done.
    pub fn lose_power(&self) {
        let inner = &mut *self.lock();
        let survive = inner.random.below(inner.unsynced.len() as u64 + 1) as usize;
        if survive < inner.unsynced.len() {
            inner.seen.insert("a write lost with the power");
        }
        for change in inner.unsynced.drain(..).take(survive) {
            change.make(&mut inner.durable);
        }
        inner.shown = inner.durable.clone();
    }

    /// Does something to the disk, unless the process dies before, in the middle or after.
    fn change(&self, change: Change) -> io::Result<()> {
        let mut inner = self.lock();
        let dies = inner.step();
        let how = if dies { inner.random.below(3) } else { 2 };
        let torn = match (how, change) {
            (0, _) => None,
            (1, Change::Put(path, mut bytes)) => {
                let left = inner.random.below(bytes.len() as u64 + 1) as usize;
                if left < bytes.len() {
                    inner.seen.insert("a write torn");
                }
                bytes.truncate(left);
                Some(Change::Put(path, bytes))
            }
            (_, change) => Some(change),
        };
        if let Some(change) = torn {
            change.clone().make(&mut inner.shown);
            inner.unsynced.push(change);
        }
        drop(inner);
        if dies {
            die()
        }
        Ok(())
    }
}

impl Inner {
    /// Counts an operation; answers whether the process dies in it.
    fn step(&mut self) -> bool {
        match self.dies_in {
            Some(0) => {
                self.dies_in = None;
                true
            }
            Some(left) => {
                self.dies_in = Some(left - 1);
                false
            }
            None => false,
        }
    }
}

/// What a target with a fault writes down.
fn forgetful(fault: Option<Fault>, path: &Path, bytes: &[u8]) -> Vec<u8> {
    let is_journal = path.parent().is_some_and(|folder| folder.ends_with("journal"));
    let forgets: fn(&mut Value) = match fault {
        Some(Fault::OrdersForgotten) if is_journal => |value| value["performed"] = json!([]),
        Some(Fault::StopForgotten) if is_journal => |value| {
            if value["active"].is_object() {
                value["active"]["stopped"] = json!(false);
            }
        },
        Some(Fault::StandbyForgotten) if is_journal => |value| {
            if value["active"].is_object() {
                value["active"]["standby"] = json!(false);
            }
        },
        Some(Fault::WithdrawalsForgotten) if path.ends_with("withdrawals.json.new") => {
            |value| value["withdrawals"] = json!([])
        }
        Some(Fault::WithdrawnPackagesForgotten) if path.ends_with("withdrawals.json.new") => |value| {
            let of_package = json!(app(SHOP));
            if let Some(withdrawals) = value["withdrawals"].as_array_mut() {
                withdrawals.retain(|withdrawal| withdrawal["app"] != of_package);
            }
        },
        Some(Fault::FreezesForgotten) if path.ends_with("freezes.json.new") => |value| value["said"] = json!({}),
        _ => return bytes.to_owned(),
    };
    let Ok(mut value) = serde_json::from_slice::<Value>(bytes) else { return bytes.to_owned() };
    forgets(&mut value);
    serde_json::to_vec(&value).unwrap_or_default()
}

fn absent() -> io::Error {
    io::Error::from(io::ErrorKind::NotFound)
}

impl Disk for SimDisk {
    fn make_folder(&self, _folder: &Path) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if self.is_full() {
            // What was there is cut off before the lack of room is noticed, as on a real disk.
            self.lock().seen.insert("a target's disk full");
            self.change(Change::Put(path.to_owned(), Vec::new()))?;
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let fault = self.lock().fault;
        if fault == Some(Fault::CharterForgotten) && path.ends_with("documents.json.new") {
            let first = self.read(&path.with_extension("")).unwrap_or_else(|_| bytes.to_owned());
            return self.change(Change::Put(path.to_owned(), first));
        }
        self.change(Change::Put(path.to_owned(), forgetful(fault, path, bytes)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if !self.lock().shown.contains_key(from) {
            return Err(absent());
        }
        self.change(Change::Rename(from.to_owned(), to.to_owned()))
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        let dies = inner.step();
        let forgets = inner.fault == Some(Fault::NamesUnsynced);
        let (synced, left): (Vec<_>, Vec<_>) =
            inner.unsynced.drain(..).partition(|change| change.is_in(folder) && !forgets);
        inner.unsynced = left;
        for change in synced {
            change.make(&mut inner.durable);
        }
        drop(inner);
        if dies {
            die()
        }
        Ok(())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let is_version = || ["timestamp.json", "snapshot.json"].iter().any(|name| path.ends_with(name));
        if self.lock().fault == Some(Fault::VersionsForgotten) && is_version() {
            return Err(absent());
        }
        self.lock().shown.get(path).cloned().ok_or_else(absent)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if !self.lock().shown.keys().any(|found| found.starts_with(path)) {
            return Err(absent());
        }
        self.change(Change::Remove(path.to_owned()))
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<String>> {
        let inner = self.lock();
        let names = inner.shown.keys().filter(|path| path.parent() == Some(folder));
        Ok(names.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }
}
