//! A small file that is replaced whole: synced under another name, renamed, and its folder synced, so that a power cut leaves
//! the old content or the new. And whole folders of such files, at the start.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Writes `bytes` in place of what `path` held, readable by its owner alone.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = path.file_name().unwrap_or_default().to_os_string();
    beside.push(".new");
    let beside = path.with_file_name(beside);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Makes the names durable that `folder` and the folders in it hold, but for one of them. Whoever was killed in [`replace`] may
/// have left some that are not: they are about to be read and relied on, and no loss of power may take them back any more.
pub(crate) fn settle(folder: &Path, but: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() && entry.path() != but {
            settle(&entry.path(), but)?;
        }
    }
    File::open(folder)?.sync_all()
}
