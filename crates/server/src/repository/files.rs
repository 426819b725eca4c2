//! The repository's files on disk: each written whole, synced and renamed, so that whoever copies or serves the folder
//! meanwhile never sees half a file.

use domain::policy;
use jiff::Timestamp;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};
use trust::{AppName, AudienceName, Digest, tuf::repository::permits_target};

/// A file or folder of the repository that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub struct FileError {
    path: PathBuf,
    source: io::Error,
}

impl FileError {
    /// A file that says something else than it should.
    pub fn unreadable(path: &Path, why: serde_json::Error) -> Self {
        Self { path: path.to_path_buf(), source: why.into() }
    }
}

/// The names of the files in a folder; none where it is not there.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>, FileError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(folder)(error)),
    };
    let name =
        |entry: io::Result<fs::DirEntry>| Ok(entry.map_err(failed(folder))?.file_name().to_string_lossy().into());
    entries.map(name).collect()
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_path_buf();
    |source| FileError { path, source }
}

/// Where a version of a role lies (`3.snapshot.json`), below the repository's folder.
pub(crate) fn metadata(version: u64, role: &str) -> PathBuf {
    PathBuf::from(format!("metadata/{version}.{role}.json"))
}

/// Where the timestamp lies: the one file whose name says nothing of its version.
pub(crate) fn timestamp() -> PathBuf {
    PathBuf::from("metadata/timestamp.json")
}

/// Where a target lies: with its digest before the last part of its name.
pub(crate) fn target(name: &str, digest: &Digest) -> PathBuf {
    let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
    Path::new("targets").join(folder).join(format!("{}.{file}", digest.hex()))
}

/// Where the permits of an application for an audience lie.
pub(crate) fn permits(audience: &AudienceName, app: &AppName, digest: &Digest) -> PathBuf {
    target(&permits_target(audience, app), digest)
}

/// Files that become visible together with their folders synced once.
pub(crate) struct Stage<'a> {
    root: &'a Path,
    folders: BTreeSet<PathBuf>,
}

impl<'a> Stage<'a> {
    /// A stage of the repository in `root`.
    pub fn new(root: &'a Path) -> Self {
        Self { root, folders: BTreeSet::new() }
    }

    /// Writes a file below the root unless these very bytes are there.
    pub fn write(&mut self, below: &Path, bytes: &[u8]) -> Result<(), FileError> {
        let path = self.root.join(below);
        if fs::read(&path).is_ok_and(|there| there == bytes) {
            return Ok(());
        }
        let folder = path.parent().unwrap_or(self.root).to_path_buf();
        if !folder.is_dir() {
            fs::create_dir_all(&folder).map_err(failed(&folder))?;
            // A folder that is new is an entry of the one above it.
            self.folders.extend(folder.ancestors().skip(1).take_while(|above| *above != self.root).map(PathBuf::from));
            self.folders.insert(self.root.to_path_buf());
        }
        // Web servers and copiers pass dotted names over.
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let beside = folder.join(format!(".{name}.new"));
        let written = File::create(&beside)
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&beside, &path));
        written.map_err(failed(&path))?;
        self.folders.insert(folder);
        Ok(())
    }

    /// Makes all that was written durable under its names.
    pub fn finish(self) -> Result<(), FileError> {
        for folder in &self.folders {
            File::open(folder).and_then(|open| open.sync_all()).map_err(failed(folder))?;
        }
        Ok(())
    }
}

/// A file's bytes; nothing where there is none.
pub(crate) fn read(root: &Path, below: &Path) -> Result<Option<Vec<u8>>, FileError> {
    let path = root.join(below);
    match fs::read(&path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FileError { path, source }),
    }
}

/// Every file of the repository, by its path below `root`.
pub(crate) fn all(root: &Path) -> Result<Vec<PathBuf>, FileError> {
    let mut found = Vec::new();
    let mut folders = vec![root.join("metadata"), root.join("targets")];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(FileError { path: folder, source }),
        };
        for entry in entries {
            let entry = entry.map_err(failed(&folder))?;
            match entry.file_type().map_err(failed(&folder))?.is_dir() {
                true => folders.push(entry.path()),
                false => found.extend(entry.path().strip_prefix(root).map(PathBuf::from)),
            }
        }
    }
    Ok(found)
}

/// Every file that the timestamp leads to: what clients read now. Roots and what is not there yet are left out.
pub(crate) fn reachable(root: &Path) -> Result<BTreeSet<PathBuf>, FileError> {
    let mut found = BTreeSet::from([timestamp()]);
    let json = |below: &Path| -> Result<Value, FileError> {
        let bytes = read(root, below)?.unwrap_or_default();
        Ok(serde_json::from_slice::<Value>(&bytes).map(|mut document| document["signed"].take()).unwrap_or_default())
    };
    let version = |listed: &Value| listed["version"].as_u64();
    let Some(snapshot) = version(&json(&timestamp())?["meta"]["snapshot.json"]) else { return Ok(found) };
    let snapshot = metadata(snapshot, "snapshot");
    let roles = json(&snapshot)?["meta"].as_object().cloned().unwrap_or_default();
    found.insert(snapshot);
    for (name, listed) in roles {
        let (Some(role), Some(version)) = (name.strip_suffix(".json"), version(&listed)) else { continue };
        let role = metadata(version, role);
        for (name, listed) in json(&role)?["targets"].as_object().into_iter().flatten() {
            let digest = listed["hashes"]["sha256"].as_str().and_then(|hex| Digest::from_hex(hex).ok());
            found.extend(digest.map(|digest| target(name, &digest)));
        }
        found.insert(role);
    }
    Ok(found)
}

/// Removes the files that are not `named` and have not been for a while; `leaving` says since when each is not.
pub(crate) fn prune(
    root: &Path,
    named: &BTreeSet<PathBuf>,
    leaving: &mut BTreeMap<PathBuf, Timestamp>,
    now: Timestamp,
) -> Result<(), FileError> {
    leaving.retain(|path, _| !named.contains(path));
    for path in all(root)?.into_iter().filter(|path| !named.contains(path)) {
        let since = *leaving.entry(path.clone()).or_insert(now);
        if now.duration_since(since).as_secs() >= policy::REPOSITORY_PRUNED_AFTER_SECONDS {
            remove(root, &path)?;
            leaving.remove(&path);
        }
    }
    Ok(())
}

/// Removes a file; one that is gone is what is wanted.
pub(crate) fn remove(root: &Path, below: &Path) -> Result<(), FileError> {
    let path = root.join(below);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FileError { path, source: error }),
        _ => Ok(()),
    }
}
