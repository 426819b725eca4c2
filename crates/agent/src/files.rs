//! Reading and writing the agent's own small files, so that a crash leaves the old content or the new.
//!
//! A [`Place`] is a path on a [`Disk`]: the machine's own, or one that loses what a loss of power loses.

use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

/// A file of the agent that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {}: {source}", path.display())]
pub struct FileError {
    doing: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// Attaches to an I/O error what was being done, and to what.
pub fn failed<'a>(doing: &'static str, path: &'a Path) -> impl Fn(io::Error) -> FileError + 'a {
    move |source| FileError { doing, path: path.to_owned(), source }
}

/// What small files stand on. Each operation is what the system offers, with the promises that the system gives.
pub trait Disk: std::fmt::Debug + Send + Sync {
    /// Creates a folder and what is missing above it; only the agent's own user may look into what it creates.
    fn make_folder(&self, folder: &Path) -> io::Result<()>;
    /// Writes a file of these bytes, which the agent's own user alone may read. Once this returns, the bytes survive a
    /// loss of power; whether the file's name does is up to its folder.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Gives a file another name, in place of the file that had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Once this returns, the names in the folder survive a loss of power.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
    /// A file's bytes.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Removes a file, or a folder with all it holds.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// The names in a folder.
    fn names(&self, folder: &Path) -> io::Result<Vec<String>>;
}

/// The machine's disk with something done before its writes: for tests.
#[cfg(test)]
pub(crate) mod watched {
    use super::*;

    /// What is done before an operation; nothing, unless it says so.
    pub trait Watch: std::fmt::Debug + Send + Sync {
        /// Before a file of so many bytes is written; an error is what comes of it.
        fn writes(&self, _bytes: usize) -> io::Result<()> {
            Ok(())
        }
        /// Before a folder is synced.
        fn syncs(&self, _folder: &Path) {}
    }

    impl<W: Watch> Disk for W {
        fn make_folder(&self, folder: &Path) -> io::Result<()> {
            OwnDisk.make_folder(folder)
        }
        fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
            self.writes(bytes.len())?;
            OwnDisk.write(path, bytes)
        }
        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            OwnDisk.rename(from, to)
        }
        fn sync_folder(&self, folder: &Path) -> io::Result<()> {
            self.syncs(folder);
            OwnDisk.sync_folder(folder)
        }
        fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
            OwnDisk.read(path)
        }
        fn remove(&self, path: &Path) -> io::Result<()> {
            OwnDisk.remove(path)
        }
        fn names(&self, folder: &Path) -> io::Result<Vec<String>> {
            OwnDisk.names(folder)
        }
    }
}

/// The disk of the machine this process runs on.
#[derive(Clone, Copy, Debug, Default)]
pub struct OwnDisk;

impl Disk for OwnDisk {
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if fs::symlink_metadata(path)?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<String>> {
        let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
        fs::read_dir(folder)?.map(name).collect()
    }
}

/// A path on a disk.
#[derive(Clone, Debug)]
pub struct Place {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

impl Place {
    /// A path on `disk`.
    pub fn on(disk: Arc<dyn Disk>, path: PathBuf) -> Self {
        Self { disk, path }
    }

    /// What is below it.
    pub fn join(&self, name: impl AsRef<Path>) -> Self {
        Self { disk: self.disk.clone(), path: self.path.join(name) }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl From<PathBuf> for Place {
    fn from(path: PathBuf) -> Self {
        Self { disk: Arc::new(OwnDisk), path }
    }
}

/// Creates a folder and what is missing above it; only the agent's own user may look into what it creates. Once this returns,
/// the names in it survive a loss of power: whoever was killed in [`replace`] may have left one that does not yet, and it is
/// about to be read and relied on.
pub fn make_private_folder(folder: &Place) -> Result<(), FileError> {
    let Place { disk, path } = folder;
    disk.make_folder(path).map_err(failed("create", path))?;
    disk.sync_folder(path).map_err(failed("sync", path))
}

/// Replaces what is at `place` by `bytes`, readable by the agent's own user alone. Once this returns, the content
/// survives a loss of power.
pub fn replace(place: &Place, bytes: &[u8]) -> Result<(), FileError> {
    let Place { disk, path } = place;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let write = || {
        disk.write(&beside, bytes)?;
        disk.rename(&beside, path)?;
        disk.sync_folder(path.parent().unwrap_or(Path::new("/")))
    };
    write().map_err(failed("write", path))
}

/// Replaces what is at `place` by `value` as JSON.
pub fn replace_json<T: Serialize>(place: &Place, value: &T) -> Result<(), FileError> {
    let bytes = serde_json::to_vec(value).map_err(|error| failed("write", &place.path)(error.into()))?;
    replace(place, &bytes)
}

/// The file's bytes; nothing if there is no such file.
pub fn read(place: &Place) -> Result<Option<Vec<u8>>, FileError> {
    match place.disk.read(&place.path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", &place.path)(error)),
    }
}

/// The file's JSON; nothing if there is no such file.
pub fn read_json<T: DeserializeOwned>(place: &Place) -> Result<Option<T>, FileError> {
    let parse =
        |bytes: Vec<u8>| serde_json::from_slice(&bytes).map_err(|error| failed("read", &place.path)(error.into()));
    read(place)?.map(parse).transpose()
}

/// What the name of a file ends with that was set aside, before the number that tells it from one set aside earlier.
pub const DAMAGED: &str = ".damaged";

/// Gives a file the name that it is kept under where its content cannot be read, and says which that is. What was set aside
/// earlier stays: people may want to look at either.
pub fn set_aside(place: &Place) -> Result<PathBuf, FileError> {
    let Place { disk, path } = place;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let rename = || {
        let taken = disk.names(folder)?;
        let mut aside = format!("{name}{DAMAGED}");
        let mut number = 1u64;
        while taken.contains(&aside) {
            number += 1;
            aside = format!("{name}{DAMAGED}.{number}");
        }
        let aside = folder.join(aside);
        disk.rename(path, &aside)?;
        disk.sync_folder(folder)?;
        Ok(aside)
    };
    rename().map_err(failed("set aside", path))
}

/// Removes a file or a folder with all it holds; what is not there counts as removed.
pub fn remove(place: &Place) -> Result<(), FileError> {
    match place.disk.remove(&place.path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", &place.path)(error)),
        _ => Ok(()),
    }
}

/// As [`remove`]; once this returns, it does not come back after a loss of power.
pub fn remove_durably(place: &Place) -> Result<(), FileError> {
    remove(place)?;
    let folder = place.path.parent().unwrap_or(Path::new("/"));
    place.disk.sync_folder(folder).map_err(failed("remove", &place.path))
}

/// The names in a folder, in order; none if there is no such folder.
pub fn names_in(folder: &Place) -> Result<Vec<String>, FileError> {
    let mut names = match folder.disk.names(&folder.path) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(failed("read", &folder.path)(error)),
    };
    names.sort();
    Ok(names)
}
