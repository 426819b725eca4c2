//! Writing small files so that a crash leaves either the old content or the new.

use super::RuntimeError;
use rustix::fs::FlockOperation;
use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Attaches to an I/O error what was being done, as "cannot write /a/b: No space left on device".
pub(super) fn failed<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> RuntimeError + 'a {
    move |source| RuntimeError::Io { doing, path: path.to_owned(), source }
}

/// Replaces `path` by a file of these bytes and mode; the new content is on disk before the name points to it, and
/// the name is on disk before this returns.
pub(super) fn replace_durably(path: &Path, bytes: &[u8], mode: u32) -> Result<(), RuntimeError> {
    write_beside(path, bytes, mode, true).map_err(failed("write", path))?;
    sync_folder(parent(path))
}

/// As [`replace_durably`] without waiting for the disk, for what is only of use while the machine is up.
pub(super) fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    write_beside(path, bytes, mode, false)
}

fn write_beside(path: &Path, bytes: &[u8], mode: u32, sync: bool) -> io::Result<()> {
    let beside = beside(path);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&beside)?;
    // A file left by an interrupted write may carry another mode than the one asked for.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    if sync {
        file.sync_all()?;
    }
    fs::rename(&beside, path)
}

/// The temporary name next to `path`: one fixed name, so that interrupted writes never pile up.
pub(super) fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

/// Makes renames and removals inside `folder` durable.
pub(super) fn sync_folder(folder: &Path) -> Result<(), RuntimeError> {
    File::open(folder).and_then(|opened| opened.sync_all()).map_err(failed("sync", folder))
}

/// Creates `folder` and what is missing above it, and gives it the mode whatever the umask says.
pub(super) fn make_folder(folder: &Path, mode: u32) -> Result<(), RuntimeError> {
    let made = fs::DirBuilder::new().recursive(true).mode(mode).create(folder);
    made.and_then(|()| fs::set_permissions(folder, Permissions::from_mode(mode))).map_err(failed("create", folder))
}

/// Treats "there is no such file" as done.
pub(super) fn or_absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Opens a file that exists to be locked, creating it where it is missing.
pub(super) fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Whether some process holds the exclusive lock on `path`. A missing file is held by nobody.
pub(super) fn is_locked(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(error.into()),
    }
}
