//! The store: immutable objects on disk, each named by the SHA-256 of its bytes.
//!
//! An object is written to `tmp/`, digested on the way, made durable, and only then renamed to its name under
//! `objects/`; so whatever stands there was whole when it was put. What the disk did to it since is found on reading.

use crate::disk::{self, DiskError, failed};
use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};
use tempfile::{NamedTempFile, TempPath};
use trust::digest::{Digest, Hasher};

/// Bytes moved at a time.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;
/// Up to this many new objects, each is made durable by itself; beyond, the filesystem is asked once for all.
pub(crate) const FEW: usize = 16;

/// Why an object was not stored or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full; nothing half-written is left.
    #[error(transparent)]
    NoSpace(DiskError),
    /// The disk failed otherwise.
    #[error(transparent)]
    Disk(DiskError),
    /// What was to be stored could not be read to its end.
    #[error("the content of {digest} could not be read to its end: {source}. Nothing was stored; send it again")]
    Source {
        /// The object that was being put.
        digest: Digest,
        /// What the sender's side said.
        source: io::Error,
    },
    /// What was sent is not what it was said to be.
    #[error("the content sent has digest {found}, not {expected} as announced. Nothing was stored; send it again")]
    Mismatch {
        /// The digest announced.
        expected: Digest,
        /// The digest of what came.
        found: Digest,
    },
    /// More bytes than the caller allows.
    #[error("{digest} is longer than the {max_bytes} bytes allowed")]
    TooLarge {
        /// The object.
        digest: Digest,
        /// The most that was allowed.
        max_bytes: u64,
    },
    /// No such object.
    #[error("{0} is not in the depot; push the build again")]
    Missing(Digest),
    /// The disk no longer holds what was stored: an integrity error (R4).
    #[error(
        "{expected} was changed in the depot after it was stored: its bytes now have digest {found}. \
         Nothing was deployed; push the build again to replace it"
    )]
    Corrupt {
        /// The object's name.
        expected: Digest,
        /// The digest of what stands there.
        found: Digest,
    },
}

impl From<DiskError> for StoreError {
    fn from(error: DiskError) -> Self {
        match error {
            DiskError::NoSpace { .. } => StoreError::NoSpace(error),
            DiskError::Io { .. } => StoreError::Disk(error),
        }
    }
}

/// A store in a folder. Cheap to share behind an `Arc`; all methods take `&self` and may run in parallel.
#[derive(Debug)]
pub struct DiskStore {
    objects: PathBuf,
    temporary: PathBuf,
    /// Held shared as long as the store is open, so that another process does not sweep what this one is writing.
    _in_use: File,
}

impl DiskStore {
    /// Opens the store in `folder`, creating it where absent, and sweeps what a crash left unfinished.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let objects = folder.join("objects");
        let temporary = folder.join("tmp");
        for path in [&objects, &temporary] {
            fs::create_dir_all(path).map_err(failed("creating", path))?;
        }
        for first in 0..=255u8 {
            let path = objects.join(format!("{first:02x}"));
            match fs::create_dir(&path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(DiskError::new("creating", &path, error).into());
                }
                _ => {}
            }
            // An object that whoever was killed had named is there from now on: nobody sends it again.
            disk::sync_folder(&path)?;
        }
        disk::sync_folder(&objects)?;
        disk::sync_folder(folder)?;
        let in_use = sweep(&temporary)?;
        Ok(Self { objects, temporary, _in_use: in_use })
    }

    /// Stores what `reader` gives under `expected`, and returns its length in bytes once it is durable.
    ///
    /// Refuses content of another digest or longer than `max_bytes`. Putting what is there already replaces it by the
    /// same bytes, which mends an object that the disk has changed.
    pub fn put(&self, reader: impl Read, expected: Digest, max_bytes: u64) -> Result<u64, StoreError> {
        let (staged, length) = self.stage(reader, expected, max_bytes, |file| file)?;
        self.sync_staged(&staged)?;
        let folder = self.publish(staged, expected)?;
        disk::sync_folder(&folder)?;
        Ok(length)
    }

    /// Stores `bytes` and returns their digest.
    pub fn put_bytes(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        self.put(bytes, digest, bytes.len() as u64)?;
        Ok(digest)
    }

    /// Begins a batch: many small objects that become visible, and durable, together at little more than the cost of one.
    pub fn batch(&self) -> Batch<'_> {
        Batch { store: self, staged: Vec::new() }
    }

    /// Whether an object of this name is there. Says nothing about its bytes: see [`DiskStore::verify`].
    pub fn has(&self, digest: &Digest) -> bool {
        self.path(digest).is_file()
    }

    /// Those of `digests` that are not there, each once, in the order given.
    pub fn missing(&self, digests: &[Digest]) -> Vec<Digest> {
        let mut seen = std::collections::HashSet::new();
        digests.iter().filter(|digest| seen.insert(**digest) && !self.has(digest)).copied().collect()
    }

    /// How long ago an object was stored, or refreshed, and its length in bytes; nothing of one that is not there.
    pub fn age(&self, digest: &Digest) -> Option<(Duration, u64)> {
        let known = fs::metadata(self.path(digest)).ok()?;
        // A moment that is still to come is now.
        let age = known.modified().ok()?.elapsed().unwrap_or_default();
        Some((age, known.len()))
    }

    /// Lets an object that is there count as stored now; says whether it does.
    pub fn refresh(&self, digest: &Digest) -> bool {
        File::open(self.path(digest)).and_then(|file| file.set_modified(SystemTime::now())).is_ok()
    }

    /// Where the objects are.
    pub fn folder(&self) -> &Path {
        &self.objects
    }

    /// The names of all objects, in order.
    pub fn objects(&self) -> Result<Vec<Digest>, StoreError> {
        let mut found = Vec::new();
        let listing = failed("listing", &self.objects);
        for folder in fs::read_dir(&self.objects).map_err(&listing)? {
            let folder = folder.map_err(&listing)?;
            for entry in fs::read_dir(folder.path()).map_err(&listing)? {
                let mut name = folder.file_name();
                name.push(entry.map_err(&listing)?.file_name());
                found.extend(name.to_str().and_then(|name| Digest::from_hex(name).ok()));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Removes an object, whose bytes nothing needs any more; says whether it was there. Whoever has it open reads on.
    pub fn remove(&self, digest: &Digest) -> Result<bool, StoreError> {
        let path = self.path(digest);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(DiskError::new("removing", &path, error).into()),
        }
    }

    /// Opens an object for streaming, with its length in bytes. The bytes are not verified: whoever reads them digests them.
    pub fn open_object(&self, digest: &Digest) -> Result<(File, u64), StoreError> {
        let path = self.path(digest);
        match disk::open_regular(&path) {
            Ok(opened) => Ok(opened),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StoreError::Missing(*digest)),
            Err(error) => Err(DiskError::new("opening", &path, error).into()),
        }
    }

    /// Reads a whole object of at most `max_bytes` and verifies it (R4).
    pub fn read_bytes(&self, digest: &Digest, max_bytes: u64) -> Result<Vec<u8>, StoreError> {
        let (file, length) = self.open_object(digest)?;
        if length > max_bytes {
            return Err(StoreError::TooLarge { digest: *digest, max_bytes });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        let path = self.path(digest);
        file.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(failed("reading", &path))?;
        match Digest::of(&bytes) {
            found if found == *digest => Ok(bytes),
            found => Err(StoreError::Corrupt { expected: *digest, found }),
        }
    }

    /// Digests an object in full and returns its length in bytes; a changed byte is [`StoreError::Corrupt`] (R4).
    pub fn verify(&self, digest: &Digest) -> Result<u64, StoreError> {
        let (file, _) = self.open_object(digest)?;
        let path = self.path(digest);
        let (found, length) = digest_reader(file, |_| ()).map_err(failed("reading", &path))?;
        if found != *digest {
            return Err(StoreError::Corrupt { expected: *digest, found });
        }
        Ok(length)
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let name = digest.hex();
        self.objects.join(&name[..2]).join(&name[2..])
    }

    /// Writes verified content to a temporary file. `wrap` is where the tests put a disk that fails.
    fn stage<W: Write>(
        &self,
        reader: impl Read,
        expected: Digest,
        max_bytes: u64,
        wrap: impl FnOnce(File) -> W,
    ) -> Result<(TempPath, u64), StoreError> {
        let (file, path) =
            NamedTempFile::new_in(&self.temporary).map_err(failed("creating a file in", &self.temporary))?.into_parts();
        let mut writer = wrap(file);
        let (found, length) = copy_digesting(reader, &mut writer, max_bytes).map_err(|error| match error {
            CopyError::Read(source) => StoreError::Source { digest: expected, source },
            CopyError::Write(source) => DiskError::new("writing", &path, source).into(),
            CopyError::TooLong => StoreError::TooLarge { digest: expected, max_bytes },
        })?;
        writer.flush().map_err(failed("writing", &path))?;
        if found != expected {
            return Err(StoreError::Mismatch { expected, found });
        }
        Ok((path, length))
    }

    fn sync_staged(&self, staged: &Path) -> Result<(), StoreError> {
        Ok(File::open(staged).and_then(|file| file.sync_all()).map_err(failed("making durable", staged))?)
    }

    /// Gives a durable temporary file its name; returns the folder that must be made durable next.
    fn publish(&self, staged: TempPath, digest: Digest) -> Result<PathBuf, StoreError> {
        let path = self.path(&digest);
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        staged.persist(&path).map_err(|error| DiskError::new("naming", &path, error.error))?;
        Ok(folder)
    }
}

/// Objects that are staged one by one and become visible together. Dropped without [`Batch::commit`], nothing stays.
#[derive(Debug)]
pub struct Batch<'a> {
    store: &'a DiskStore,
    staged: Vec<(TempPath, Digest)>,
}

impl Batch<'_> {
    /// Stages one object, verified as by [`DiskStore::put`], and returns its length in bytes. It is not visible yet.
    pub fn put(&mut self, reader: impl Read, expected: Digest, max_bytes: u64) -> Result<u64, StoreError> {
        let (staged, length) = self.store.stage(reader, expected, max_bytes, |file| file)?;
        self.staged.push((staged, expected));
        Ok(length)
    }

    /// Makes all staged objects durable, then visible; returns how many there were.
    pub fn commit(self) -> Result<usize, StoreError> {
        let count = self.staged.len();
        if count > FEW {
            disk::sync_filesystem(&self.store.temporary)?;
        } else {
            self.staged.iter().try_for_each(|(staged, _)| self.store.sync_staged(staged))?;
        }
        let mut folders = std::collections::BTreeSet::new();
        for (staged, digest) in self.staged {
            folders.insert(self.store.publish(staged, digest)?);
        }
        if count > FEW {
            disk::sync_filesystem(&self.store.objects)?;
        } else {
            folders.iter().try_for_each(|folder| disk::sync_folder(folder))?;
        }
        Ok(count)
    }
}

/// Removes what a crash left in `temporary`, unless another process has the store open, and marks the store as in use.
fn sweep(temporary: &Path) -> Result<File, StoreError> {
    use rustix::fs::{FlockOperation, flock};
    let in_use = File::open(temporary).map_err(failed("opening", temporary))?;
    if flock(&in_use, FlockOperation::NonBlockingLockExclusive).is_ok() {
        for entry in fs::read_dir(temporary).map_err(failed("listing", temporary))? {
            let path = entry.map_err(failed("listing", temporary))?.path();
            fs::remove_file(&path).map_err(failed("removing", &path))?;
        }
    }
    flock(&in_use, FlockOperation::LockShared).map_err(|e| DiskError::new("locking", temporary, e.into()))?;
    Ok(in_use)
}

/// Which side of a copy failed.
pub(crate) enum CopyError {
    Read(io::Error),
    Write(io::Error),
    TooLong,
}

/// Copies at most `max_bytes`, digesting on the way; returns digest and length.
pub(crate) fn copy_digesting(
    mut reader: impl Read,
    writer: &mut impl Write,
    max_bytes: u64,
) -> Result<(Digest, u64), CopyError> {
    let mut hasher = Hasher::new();
    let mut length = 0u64;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let count = match reader.read(&mut chunk) {
            Ok(0) => return Ok((hasher.finish(), length)),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(CopyError::Read(error)),
        };
        length += count as u64;
        if length > max_bytes {
            return Err(CopyError::TooLong);
        }
        hasher.update(&chunk[..count]);
        writer.write_all(&chunk[..count]).map_err(CopyError::Write)?;
    }
}

/// Digests all that `reader` gives, telling `progress` the bytes of each step; returns digest and length.
pub(crate) fn digest_reader(mut reader: impl Read, mut progress: impl FnMut(u64)) -> io::Result<(Digest, u64)> {
    let mut hasher = Hasher::new();
    let mut length = 0u64;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let count = match reader.read(&mut chunk) {
            Ok(0) => return Ok((hasher.finish(), length)),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        length += count as u64;
        hasher.update(&chunk[..count]);
        progress(count as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, DiskStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = DiskStore::open(folder.path()).unwrap();
        (folder, store)
    }

    fn leftovers(folder: &tempfile::TempDir) -> usize {
        fs::read_dir(folder.path().join("tmp")).unwrap().count()
    }

    #[test]
    fn what_is_put_is_there_and_reads_back() {
        let (folder, store) = store();
        let digest = store.put_bytes(b"hello").unwrap();
        assert!(store.has(&digest));
        assert_eq!(store.read_bytes(&digest, 5).unwrap(), b"hello");
        assert_eq!(store.verify(&digest).unwrap(), 5);
        assert_eq!(store.open_object(&digest).unwrap().1, 5);
        assert!(matches!(store.read_bytes(&digest, 4), Err(StoreError::TooLarge { .. })));
        let other = Digest::of(b"other");
        assert_eq!(store.missing(&[digest, other, other]), [other]);
        assert!(matches!(store.verify(&other), Err(StoreError::Missing(_))));
        let name = digest.hex();
        assert!(folder.path().join("objects").join(&name[..2]).join(&name[2..]).is_file());
        assert_eq!(leftovers(&folder), 0);
    }

    #[test]
    fn other_bytes_or_too_many_are_refused_and_leave_nothing() {
        let (folder, store) = store();
        let digest = Digest::of(b"hello");
        assert!(matches!(store.put(&b"hullo"[..], digest, 9), Err(StoreError::Mismatch { .. })));
        assert!(matches!(store.put(&b"hello"[..], digest, 4), Err(StoreError::TooLarge { .. })));
        assert!(!store.has(&digest));
        assert_eq!(leftovers(&folder), 0);
    }

    /// R4: one byte changed in the depot is found, and putting the object again mends it.
    #[test]
    fn r4_a_changed_byte_is_found_and_mended() {
        let (folder, store) = store();
        let digest = store.put_bytes(b"hello").unwrap();
        let name = digest.hex();
        fs::write(folder.path().join("objects").join(&name[..2]).join(&name[2..]), "hellp").unwrap();
        assert!(matches!(store.verify(&digest), Err(StoreError::Corrupt { .. })));
        assert!(matches!(store.read_bytes(&digest, 9), Err(StoreError::Corrupt { .. })));
        store.put_bytes(b"hello").unwrap();
        assert_eq!(store.verify(&digest).unwrap(), 5);
    }

    /// A disk with room for `left` bytes: simulated by a writer that gives the system's own error.
    struct SmallDisk {
        file: File,
        left: usize,
    }

    impl Write for SmallDisk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if bytes.len() > self.left {
                return Err(rustix::io::Errno::NOSPC.into());
            }
            self.left -= bytes.len();
            self.file.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            self.file.flush()
        }
    }

    #[test]
    fn a_full_disk_is_said_plainly_and_leaves_nothing() {
        let (folder, store) = store();
        let bytes = vec![7; CHUNK_BYTES * 3];
        let digest = Digest::of(&bytes);
        let result = store.stage(&bytes[..], digest, u64::MAX, |file| SmallDisk { file, left: CHUNK_BYTES * 2 });
        let error = result.err().unwrap();
        assert!(matches!(error, StoreError::NoSpace(_)), "{error}");
        assert!(error.to_string().contains("no space is left on the disk"), "{error}");
        assert_eq!(leftovers(&folder), 0);
        assert!(!store.has(&digest));
    }

    #[test]
    fn a_sender_that_breaks_off_leaves_nothing() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::ConnectionReset.into())
            }
        }
        let (folder, store) = store();
        let result = store.put((&b"hel"[..]).chain(Broken), Digest::of(b"hello"), 9);
        assert!(matches!(result, Err(StoreError::Source { .. })));
        assert_eq!(leftovers(&folder), 0);
    }

    #[test]
    fn what_a_crash_left_is_swept_but_not_what_another_process_is_writing() {
        let (folder, store) = store();
        let left = folder.path().join("tmp/left");
        fs::write(&left, "half").unwrap();
        let second = DiskStore::open(folder.path()).unwrap();
        assert!(left.exists(), "the first store may still be writing it");
        drop((store, second));
        DiskStore::open(folder.path()).unwrap();
        assert!(!left.exists());
    }

    #[test]
    fn a_batch_shows_all_or_nothing() {
        let (folder, store) = store();
        let contents: Vec<Vec<u8>> = (0..40u8).map(|n| vec![n; 10]).collect();
        for count in [0, 3, 40] {
            let mut batch = store.batch();
            for bytes in &contents[..count] {
                batch.put(&bytes[..], Digest::of(bytes), 10).unwrap();
            }
            assert_eq!(batch.commit().unwrap(), count);
            assert!(contents[..count].iter().all(|bytes| store.verify(&Digest::of(bytes)).is_ok()));
        }
        let mut batch = store.batch();
        batch.put(&b"late"[..], Digest::of(b"late"), 4).unwrap();
        assert!(!store.has(&Digest::of(b"late")));
        drop(batch);
        assert_eq!(leftovers(&folder), 0);
    }
}
