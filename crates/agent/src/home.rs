//! The agent's data folder: where everything lies that it must not forget.
//!
//! ```text
//! <data>/agent.lock        held while an agent uses the folder
//!        pinned.json       the estate, environment and class it was enrolled with; the server's address and pin
//!        target.key        its Ed25519 key          identity.age   its age identity: secrets are encrypted to it
//!        trust/            estate documents, withdrawals, floors, the last checkpoint
//!        journal/<app>.json
//!        manifests/<hex>   config/<app>-<serial>-<hex>     what active and earlier builds were and ran with
//!        incoming/<hex>/   objects on their way
//!        inbox/<hex>/      bundles that were unpacked here and wait to be followed
//!        facts.json        what the server was told last of what this machine is
//!        carried/<n>.json  what came of each, for the receipt      enrolment.json  how it joined without a network
//!        apps/, ports.json what runs: see [`crate::runtime`]
//!        lapsed.json       that its time is over, and how far it is with removing everything
//!        reserve           nothing: room for the small files above, on a full disk
//!        agent.toml        what the machine's owner decides: see [`crate::local`]
//! ```

use crate::{
    files::{self, FileError, OwnDisk, Place, failed},
    reserve::{Reserve, Reserving},
};
use age::secrecy::ExposeSecret;
use jiff::Timestamp;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use std::{
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};
use trust::{AppName, Digest, authority::Pinned, key::SecretKey, manifest::Manifest, statement::Facts};

/// What the agent has known since its enrolment and takes from nobody, and where its server is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolled {
    /// Estate, environment, class, name and applications.
    pub pinned: Pinned,
    /// The server's address.
    pub url: String,
    /// The pin of the server's TLS key, as the invitation said.
    pub pin: Digest,
    /// When it joined, by its own clock; for one that joined before this was written down, when that was first missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joined: Option<Timestamp>,
}

/// An agent's data folder, held by this process alone.
#[derive(Debug)]
pub struct Home {
    root: Place,
    /// Room for small files; none where nobody else can reach the disk.
    reserve: Option<Reserve>,
    /// Released by the system when the process ends, however it ends; none where nobody else can reach the disk.
    _lock: Option<File>,
}

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Another agent has it.
    #[error("another agent{} uses {path}: end it, or give this one a data folder of its own (--data)", by(*.pid))]
    InUse {
        /// Which folder.
        path: PathBuf,
        /// The process that has it, where it said so.
        pid: Option<u32>,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A key in it cannot be read.
    #[error("{path} is no key this agent can use: {why}. Restore it, or retire the target and join anew")]
    Key {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

fn by(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

/// The file that an agent holds while it uses a folder, with its process's number in it for whoever finds it held.
const LOCK: &str = "agent.lock";

fn written_pid(lock: &Path) -> Option<u32> {
    std::fs::read_to_string(lock).ok()?.trim().parse().ok()
}

impl Home {
    /// The agent that uses a folder, if one does: its process, where it said so.
    pub fn user(root: &Path) -> Option<Option<u32>> {
        let path = root.join(LOCK);
        let lock = File::open(&path).ok()?;
        let held = rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared);
        (held == Err(rustix::io::Errno::WOULDBLOCK)).then(|| written_pid(&path))
    }

    /// Takes the folder, creating it where it is missing; fails when another agent has it.
    pub fn take(root: &Path) -> Result<Self, HomeError> {
        let root = std::path::absolute(root).map_err(failed("find", root))?;
        // Processes that run as other users must be able to pass through to their release.
        std::fs::create_dir_all(&root).map_err(failed("create", &root))?;
        let path = root.join(LOCK);
        let mut options = OpenOptions::new();
        let lock = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut lock = lock.map_err(failed("open", &path))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(HomeError::InUse { path: root, pid: written_pid(&path) }),
            Err(error) => return Err(failed("lock", &path)(error.into()).into()),
        }
        let pid = std::process::id().to_string();
        lock.set_len(0).and_then(|()| lock.write_all(pid.as_bytes())).map_err(failed("write", &path))?;
        let reserve = Reserve::of(&root);
        let disk = Reserving::new(OwnDisk, reserve.clone());
        Ok(Self { reserve: Some(reserve), ..Self::open(Place::on(Arc::new(disk), root), Some(lock))? })
    }

    /// A data folder on a disk that no other agent can reach.
    pub fn alone(root: Place) -> Result<Self, HomeError> {
        Self::open(root, None)
    }

    fn open(root: Place, lock: Option<File>) -> Result<Self, HomeError> {
        for folder in ["trust", "journal", "manifests", "config", "incoming", "inbox", "carried"] {
            files::make_private_folder(&root.join(folder))?;
        }
        // Last, so that the folders just made survive as well.
        files::make_private_folder(&root)?;
        Ok(Self { root, reserve: None, _lock: lock })
    }

    /// The room that is kept for a full disk.
    pub fn reserve(&self) -> Option<&Reserve> {
        self.reserve.as_ref()
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// The same, as a place of files that survive.
    pub fn place(&self) -> &Place {
        &self.root
    }

    /// The folder of the trust documents.
    pub fn trust(&self) -> Place {
        self.root.join("trust")
    }

    /// The folder of the journals.
    pub fn journal(&self) -> Place {
        self.root.join("journal")
    }

    /// Where the objects of a build are gathered before it is staged.
    pub fn incoming(&self, build: &Digest) -> PathBuf {
        self.root().join("incoming").join(build.hex())
    }

    /// Who this agent is; nothing before it has joined.
    pub fn enrolled(&self) -> Result<Option<Enrolled>, HomeError> {
        Ok(files::read_json(&self.root.join("pinned.json"))?)
    }

    /// Remembers who this agent is.
    pub fn enrol(&self, enrolled: &Enrolled) -> Result<(), HomeError> {
        Ok(files::replace_json(&self.root.join("pinned.json"), enrolled)?)
    }

    /// When this target joined, by its own clock. What was not written down then is from `now` on.
    pub fn joined(&self, now: Timestamp) -> Result<Timestamp, HomeError> {
        match self.enrolled()? {
            Some(Enrolled { joined: Some(joined), .. }) => Ok(joined),
            Some(enrolled) => {
                self.enrol(&Enrolled { joined: Some(now), ..enrolled })?;
                Ok(now)
            }
            None => Ok(now),
        }
    }

    /// What the server was told last of what this machine is; nothing where that was never kept.
    pub fn facts(&self) -> Result<Option<Facts>, HomeError> {
        Ok(files::read_json(&self.root.join("facts.json"))?)
    }

    /// Remembers what the server was told of what this machine is.
    pub fn keep_facts(&self, facts: &Facts) -> Result<(), HomeError> {
        Ok(files::replace_json(&self.root.join("facts.json"), facts)?)
    }

    /// The target's own key, made when there is none yet.
    pub fn key(&self) -> Result<SecretKey, HomeError> {
        let place = self.root.join("target.key");
        let wrong = |why: String| HomeError::Key { path: place.path().to_owned(), why };
        if let Some(bytes) = files::read(&place)? {
            let text = String::from_utf8(bytes).map_err(|error| wrong(error.to_string()))?;
            return SecretKey::from_openssh(&text, None).map_err(|error| wrong(error.to_string()));
        }
        let key = SecretKey::generate().map_err(|error| wrong(error.to_string()))?;
        let text = key.to_openssh("sortie target").map_err(|error| wrong(error.to_string()))?;
        files::replace(&place, text.as_bytes())?;
        Ok(key)
    }

    /// The identity that secrets are encrypted to, made when there is none yet.
    pub fn identity(&self) -> Result<age::x25519::Identity, HomeError> {
        let place = self.root.join("identity.age");
        if let Some(bytes) = files::read(&place)? {
            let text = String::from_utf8_lossy(&bytes);
            let wrong = |why: &str| HomeError::Key { path: place.path().to_owned(), why: why.into() };
            return text.trim().parse().map_err(wrong);
        }
        let identity = age::x25519::Identity::generate();
        files::replace(&place, identity.to_string().expose_secret().as_bytes())?;
        Ok(identity)
    }

    /// Keeps a manifest's bytes, which the caller has checked.
    pub fn keep_manifest(&self, build: &Digest, bytes: &[u8]) -> Result<(), FileError> {
        if self.manifest_bytes(build)?.is_some() {
            return Ok(());
        }
        files::replace(&self.root.join("manifests").join(build.hex()), bytes)
    }

    /// A kept manifest; nothing if it is not here, or no longer what its name says.
    pub fn manifest(&self, build: &Digest) -> Result<Option<Manifest>, FileError> {
        Ok(self.manifest_bytes(build)?.and_then(|bytes| Manifest::from_bytes(&bytes).ok()))
    }

    /// A kept manifest's bytes; nothing if it is not here, or no longer what its name says.
    pub fn manifest_bytes(&self, build: &Digest) -> Result<Option<Vec<u8>>, FileError> {
        let place = self.root.join("manifests").join(build.hex());
        Ok(files::read(&place)?.filter(|bytes| Digest::of(bytes) == *build))
    }

    /// Where the enrolment is kept from before it is sent until it is known to have been accepted.
    pub fn joining(&self) -> Place {
        self.root.join("joining.json")
    }

    /// Where the enrolment of a target that joined without a network is kept, for its receipts.
    pub fn enrolment(&self) -> Place {
        self.root.join("enrolment.json")
    }

    fn config_path(&self, app: &AppName, serial: u64, document: &Digest) -> Place {
        self.root.join("config").join(format!("{app}-{serial}-{}", document.hex()))
    }

    /// Keeps a config document's bytes. Its secrets are encrypted in it.
    pub fn keep_config(&self, app: &AppName, serial: u64, bytes: &[u8]) -> Result<(), FileError> {
        files::replace(&self.config_path(app, serial, &Digest::of(bytes)), bytes)
    }

    /// A kept config document's bytes; nothing if it is not here, or no longer what its name says.
    pub fn config(&self, app: &AppName, serial: u64, document: &Digest) -> Result<Option<Vec<u8>>, FileError> {
        let bytes = files::read(&self.config_path(app, serial, document))?;
        Ok(bytes.filter(|bytes| Digest::of(bytes) == *document))
    }

    /// Forgets the manifests and config documents of one application that nothing needs any more.
    pub fn forget(&self, app: &AppName, manifests: &[Digest], keep_configs: &[(u64, Digest)]) -> Result<(), FileError> {
        for build in manifests {
            files::remove(&self.root.join("manifests").join(build.hex()))?;
        }
        let keep: Vec<PathBuf> = keep_configs
            .iter()
            .map(|(serial, document)| self.config_path(app, *serial, document).path().to_owned())
            .collect();
        let folder = self.root.join("config");
        for name in files::names_in(&folder)? {
            // `web-2-…` must not pass for one of an application `web` whose name merely begins alike.
            let mut parts = name.rsplitn(3, '-');
            let is_ours = parts.nth(2) == Some(app.as_str());
            if is_ours && !keep.iter().any(|kept| kept == folder.join(&name).path()) {
                files::remove(&folder.join(&name))?;
            }
        }
        Ok(())
    }
}

/// A line of the machine's memory account (`MemTotal`, `MemAvailable`), in bytes; nothing where the system keeps none.
pub fn memory_bytes(line: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let rest = text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(':'))?;
    Some(rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.saturating_mul(1024))
}

/// The version of this machine's kernel (`6.1.0-18-amd64`); nothing where the system does not tell.
pub fn kernel_version() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    Some(trust::names::printable(text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::watched::Watch;
    use std::{collections::BTreeSet, sync::Mutex};

    #[test]
    fn whoever_finds_a_folder_in_use_is_told_by_whom() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Home::user(folder.path()), None);
        let home = Home::take(folder.path()).unwrap();
        assert_eq!(Home::user(folder.path()), Some(Some(std::process::id())));
        let refused = Home::take(folder.path()).unwrap_err().to_string();
        assert!(refused.contains(&format!("(process {})", std::process::id())), "{refused}");
        drop(home);
        assert_eq!(Home::user(folder.path()), None);
    }

    /// A disk that remembers of which folders the names survive a loss of power.
    #[derive(Debug, Default)]
    struct Watched(Mutex<BTreeSet<PathBuf>>);

    impl Watch for Watched {
        fn syncs(&self, folder: &Path) {
            self.0.lock().unwrap().insert(folder.to_owned());
        }
    }

    /// What an agent that was killed had renamed and not synced is synced before the next one reads it: it acts on it, so that
    /// no loss of power may take it back.
    #[test]
    fn what_is_read_at_the_start_survives_a_loss_of_power() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(Watched::default());
        let root = folder.path().join("data");
        Home::alone(Place::on(disk.clone(), root.clone())).unwrap();
        let synced = disk.0.lock().unwrap().clone();
        for read in [".", "trust", "journal", "manifests", "config"] {
            assert!(synced.iter().any(|folder| *folder == root.join(read)), "{read} in {synced:?}");
        }
    }
}
