//! The repository's files on disk: each written whole, synced and renamed, so that whoever copies or serves the folder
//! meanwhile never sees half a file.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};
use trust::{AppName, AudienceName, Digest, tuf::repository::permits_target};

/// A file or folder of the repository that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub(crate) struct FileError {
    path: PathBuf,
    source: io::Error,
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

/// Removes a file; one that is gone is what is wanted.
pub(crate) fn remove(root: &Path, below: &Path) -> Result<(), FileError> {
    let path = root.join(below);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FileError { path, source: error }),
        _ => Ok(()),
    }
}
