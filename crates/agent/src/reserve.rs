//! Room that the agent keeps for its own small files: on a full disk it is given up bit by bit, so that what runs can still
//! be stopped, removed or taken back, and what comes of that written down.

use crate::files::Disk;
use rustix::fs::FallocateFlags;
use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// How much is kept, in bytes.
const WHOLE: u64 = 1 << 20;
/// As much is taken at a time.
const PIECE: u64 = 64 << 10;
/// What a file's bytes are counted in, and what its folder may need besides.
const BLOCK: u64 = 4096;

/// A file of nothing, whose room is for others.
#[derive(Clone, Debug)]
pub struct Reserve {
    path: PathBuf,
}

impl Reserve {
    /// The reserve of a data folder.
    pub fn of(root: &Path) -> Self {
        Self { path: root.join("reserve") }
    }

    fn length(&self) -> u64 {
        std::fs::symlink_metadata(&self.path).map_or(0, |found| found.len())
    }

    /// Gives up as much as a file of so many bytes needs; whether there was as much.
    fn give_up(&self, bytes: usize) -> bool {
        let needed = (bytes as u64).next_multiple_of(BLOCK) + BLOCK;
        let Some(left) = self.length().checked_sub(needed) else { return false };
        let file = OpenOptions::new().write(true).open(&self.path);
        file.and_then(|file| file.set_len(left)).is_ok()
    }

    /// Gives up all of it where the disk has less than that left: for what is brought back and writes its files by itself.
    pub fn make_room(&self) {
        let left = rustix::fs::statvfs(&self.path).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        if left.is_ok_and(|left| left < WHOLE) && std::fs::remove_file(&self.path).is_ok() {
            tracing::warn!("the disk is full: what was kept for that is used");
        }
    }

    /// Takes again what was given up, as far as there is room.
    pub fn refill(&self) {
        if self.length() >= WHOLE {
            return;
        }
        if let Err(error) = self.grow() {
            tracing::debug!(%error, "no room is kept for a full disk");
        }
    }

    fn grow(&self) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let file: File = options.write(true).create(true).truncate(false).mode(0o600).open(&self.path)?;
        let mut length = file.metadata()?.len();
        while length < WHOLE {
            let piece = PIECE.min(WHOLE - length);
            rustix::fs::fallocate(&file, FallocateFlags::empty(), length, piece)?;
            length += piece;
        }
        Ok(())
    }
}

/// A disk whose writes take from the reserve where there is no room.
#[derive(Debug)]
pub struct Reserving<D> {
    disk: D,
    reserve: Reserve,
}

impl<D: Disk> Reserving<D> {
    /// `disk`, with a reserve on it.
    pub fn new(disk: D, reserve: Reserve) -> Self {
        Self { disk, reserve }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl<D: Disk> Disk for Reserving<D> {
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        self.disk.make_folder(folder)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        loop {
            match self.disk.write(path, bytes) {
                // Somebody else may have been faster, as whoever fills the disk.
                Err(error) if is_full(&error) && self.reserve.give_up(bytes.len()) => {}
                written => return written,
            }
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.disk.sync_folder(folder)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.disk.read(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<String>> {
        self.disk.names(folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{self, Place, watched::Watch};
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    /// A disk with room for so many bytes, those of the reserve among them.
    #[derive(Debug)]
    struct Small {
        folder: PathBuf,
        room: Arc<AtomicU64>,
    }

    impl Watch for Small {
        fn writes(&self, bytes: usize) -> io::Result<()> {
            let sizes = std::fs::read_dir(&self.folder)?.map(|entry| entry.unwrap().metadata().unwrap().len());
            match sizes.sum::<u64>() + bytes as u64 > self.room.load(Ordering::Relaxed) {
                true => Err(io::ErrorKind::StorageFull.into()),
                false => Ok(()),
            }
        }
    }

    #[test]
    fn on_a_full_disk_small_files_are_written_until_the_reserve_is_used_up() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = Reserve::of(folder.path());
        reserve.refill();
        if reserve.length() < WHOLE {
            println!("not tried: this file system keeps no room");
            return;
        }
        let room = Arc::new(AtomicU64::new(WHOLE));
        let small = Small { folder: folder.path().to_owned(), room: room.clone() };
        let place = Place::on(Arc::new(Reserving::new(small, reserve.clone())), folder.path().join("web.json"));
        let write = |bytes: &[u8]| files::replace(&place, bytes);
        write(b"one").unwrap();
        assert_eq!(files::read(&place).unwrap().unwrap(), b"one");
        assert_eq!(reserve.length(), WHOLE - 2 * BLOCK, "only what was needed is given up");
        // What is larger than all of it gets nothing of it.
        assert!(write(&vec![0; WHOLE as usize + 1]).is_err());
        assert_eq!(reserve.length(), WHOLE - 2 * BLOCK);
        // Somebody takes whatever becomes free.
        room.store(0, Ordering::Relaxed);
        assert!(write(b"two").unwrap_err().to_string().contains("cannot write"));
        assert_eq!(files::read(&place).unwrap().unwrap(), b"one");
        assert!(reserve.length() < 2 * BLOCK);
        room.store(u64::MAX, Ordering::Relaxed);
        reserve.refill();
        assert_eq!(reserve.length(), WHOLE);
        write(b"three").unwrap();
        assert_eq!(reserve.length(), WHOLE, "where there is room nothing is taken of it");
    }
}
