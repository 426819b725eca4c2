//! What every part of the depot needs of a disk: errors that say what was being done, durability, and free space.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};
use trust::names::printable;

/// A disk that did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// No space, or the quota is used up. Nothing half-written is left behind.
    #[error(
        "no space is left on the disk: {doing} {path} failed ({source}). Nothing was kept; free some space and try again"
    )]
    NoSpace {
        /// What was being done, as in "writing".
        doing: &'static str,
        /// The file or folder, made printable.
        path: String,
        /// The system's own words.
        source: io::Error,
    },
    /// Anything else.
    #[error("{doing} {path} failed: {source}")]
    Io {
        /// What was being done, as in "reading".
        doing: &'static str,
        /// The file or folder, made printable.
        path: String,
        /// The system's own words.
        source: io::Error,
    },
}

impl DiskError {
    /// Says of `source` what was being done to which path, and tells a full disk from other failures.
    pub fn new(doing: &'static str, path: &Path, source: io::Error) -> Self {
        let path = shown(path);
        if is_no_space(&source) {
            return Self::NoSpace { doing, path, source };
        }
        Self::Io { doing, path, source }
    }
}

/// Whether an error means that the disk is full or the quota is used up.
pub fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A path as it may be shown to people.
pub(crate) fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy())
}

/// For `map_err`: what was being done, to what.
pub(crate) fn failed<'a>(doing: &'static str, path: &'a Path) -> impl Fn(io::Error) -> DiskError + 'a {
    move |source| DiskError::new(doing, path, source)
}

/// Makes the names in `folder` durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), DiskError> {
    File::open(folder).and_then(|opened| opened.sync_all()).map_err(failed("making durable", folder))
}

/// Makes everything written so far to the filesystem of `folder` durable: one wait instead of thousands.
pub(crate) fn sync_filesystem(folder: &Path) -> Result<(), DiskError> {
    let sync = || -> io::Result<()> {
        let opened = File::open(folder)?;
        #[cfg(target_os = "linux")]
        rustix::fs::syncfs(&opened)?;
        #[cfg(not(target_os = "linux"))]
        {
            drop(opened);
            rustix::fs::sync();
        }
        Ok(())
    };
    sync().map_err(failed("making durable", folder))
}

/// The bytes that may still be written to the filesystem of `folder`.
pub fn free_bytes(folder: &Path) -> Result<u64, DiskError> {
    let figures =
        rustix::fs::statvfs(folder).map_err(|e| DiskError::new("asking the free space of", folder, e.into()))?;
    Ok(figures.f_bavail.saturating_mul(figures.f_frsize))
}

/// Opens a regular file for reading: never through a link in the last part of its path, never waiting on a pipe.
pub(crate) fn open_regular(path: &Path) -> io::Result<(File, u64)> {
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    Ok((file, metadata.len()))
}

/// A folder that is removed again unless the work in it ends well.
pub(crate) struct UnfinishedFolder(Option<PathBuf>);

impl UnfinishedFolder {
    /// Creates the folder, which must not exist yet.
    pub(crate) fn create(path: &Path) -> Result<Self, DiskError> {
        std::fs::create_dir(path).map_err(failed("creating", path))?;
        Ok(Self(Some(path.to_owned())))
    }

    /// Keeps the folder.
    pub(crate) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for UnfinishedFolder {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            // A folder that cannot be removed now is found and removed by the next attempt.
            let _ = std::fs::remove_dir_all(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_kernels_own_no_space_is_recognised() {
        let mut full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let error = full.write_all(b"x").unwrap_err();
        assert!(matches!(DiskError::new("writing", Path::new("x"), error), DiskError::NoSpace { .. }));
    }

    #[test]
    fn what_is_shown_cannot_drive_a_terminal() {
        let error = DiskError::new("reading", Path::new("a\u{1b}[2J"), io::Error::other("no"));
        assert!(!error.to_string().contains('\u{1b}'));
    }

    #[test]
    fn pipes_and_links_are_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), "x").unwrap();
        std::os::unix::fs::symlink("file", at("link")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), rustix::fs::Mode::RUSR).unwrap();
        assert_eq!(open_regular(&at("file")).unwrap().1, 1);
        assert!(open_regular(&at("link")).is_err());
        assert!(open_regular(&at("pipe")).is_err());
    }
}
