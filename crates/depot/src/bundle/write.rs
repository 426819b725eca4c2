//! Writing a bundle: volume after volume, streaming, with bounded memory.

use super::{BLOCK, BundleError, Header, INDEX, Index, MAX_VOLUMES, Member, PART, VOLUME};
use crate::disk::{DiskError, failed, sync_folder};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};
use trust::digest::{Digest, Hasher};

/// The smallest volume, in bytes.
pub const MIN_VOLUME_BYTES: u64 = 64 << 10;
/// Less room than this at the end of a volume is left empty rather than filled with a sliver of a member.
const SLIVER_BYTES: u64 = 16 << 10;
/// Two blocks of zeros end a tar archive.
const END_BYTES: u64 = 2 * BLOCK;
/// zstd's own default: what an air gap costs is days, not megabytes.
const LEVEL: i32 = 3;
/// Compressed members up to this length are held in memory; longer ones beside the volumes.
const IN_MEMORY_BYTES: usize = 1 << 20;

/// A volume as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Where.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
}

/// Writes the bundle as `NAME.1.sortie`, `NAME.2.sortie` … in `folder`; none is longer than `volume_bytes`. `open` gives a
/// member's content, which is digested on the way; `heard` is told how many bytes of content are in. When it fails,
/// nothing stays behind.
pub fn write<R: Read>(
    index: &Index,
    folder: &Path,
    name: &str,
    volume_bytes: Option<u64>,
    mut open: impl FnMut(&Member) -> io::Result<R>,
    heard: &mut dyn FnMut(u64),
) -> Result<(Digest, Vec<Written>), BundleError> {
    if let Some(bytes) = volume_bytes.filter(|bytes| *bytes < MIN_VOLUME_BYTES) {
        return Err(BundleError::VolumeTooSmall(bytes));
    }
    let index_bytes = index.to_bytes()?;
    let bundle = Digest::of(&index_bytes);
    fs::create_dir_all(folder).map_err(failed("creating", folder))?;
    let mut tape =
        Tape { folder, name, bundle, limit_bytes: volume_bytes.unwrap_or(u64::MAX), done: Vec::new(), open: None };
    tape.next_volume()?;
    tape.put(INDEX, &index_bytes[..], index_bytes.len() as u64)?;
    let mut bytes = 0;
    for member in &index.members {
        let source = open(member).map_err(|error| source_error(member, &error))?;
        tape.put_member(member, source)?;
        bytes += member.size;
        heard(bytes);
    }
    Ok((bundle, tape.finish()?))
}

fn source_error(member: &Member, error: &io::Error) -> BundleError {
    BundleError::Source { path: member.path.clone(), why: trust::names::printable(&error.to_string()) }
}

struct Tape<'a> {
    folder: &'a Path,
    name: &'a str,
    bundle: Digest,
    limit_bytes: u64,
    /// The volumes that are full: where they lie for now, how long they are, and what follows their headers.
    done: Vec<(Unfinished, u64, Digest)>,
    open: Option<Open>,
}

/// The volume that is being written.
struct Open {
    unfinished: Unfinished,
    file: BufWriter<File>,
    bytes: u64,
    hasher: Hasher,
}

/// A file that is removed again unless it gets its final name.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // One that has its final name is not here any more.
        let _ = fs::remove_file(&self.0);
    }
}

impl Tape<'_> {
    fn next_volume(&mut self) -> Result<(), BundleError> {
        self.close()?;
        let number = self.done.len() + 1;
        if number > MAX_VOLUMES as usize {
            return Err(BundleError::TooManyVolumes);
        }
        let path = self.folder.join(format!(".{}.{number}.sortie.part", self.name));
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path);
        let file = file.map_err(failed("creating", &path))?;
        let mut file = BufWriter::with_capacity(1 << 18, file);
        let blank = [b' '; BLOCK as usize];
        file.write_all(&tar_header(VOLUME, BLOCK))
            .and_then(|()| file.write_all(&blank))
            .map_err(failed("writing", &path))?;
        self.open = Some(Open { unfinished: Unfinished(path), file, bytes: 2 * BLOCK, hasher: Hasher::new() });
        Ok(())
    }

    /// Ends the volume that is open.
    fn close(&mut self) -> Result<(), BundleError> {
        if self.open.is_some() {
            self.write(&[0; END_BYTES as usize])?;
        }
        let Some(mut open) = self.open.take() else { return Ok(()) };
        open.file.flush().map_err(failed("writing", &open.unfinished.0))?;
        self.done.push((open.unfinished, open.bytes, open.hasher.finish()));
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), BundleError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        open.file.write_all(bytes).map_err(failed("writing", &open.unfinished.0))?;
        open.hasher.update(bytes);
        open.bytes += bytes.len() as u64;
        Ok(())
    }

    /// The most content that one more entry of this volume may have.
    fn room(&self) -> u64 {
        let used = self.open.as_ref().map_or(0, |open| open.bytes);
        self.limit_bytes.saturating_sub(used + BLOCK + END_BYTES) / BLOCK * BLOCK
    }

    /// Puts in a member of which `stored_bytes` are to be read, in parts where one volume has no room for it.
    fn put(&mut self, name: &str, mut content: impl Read, stored_bytes: u64) -> Result<(), BundleError> {
        let mut left = stored_bytes;
        let mut part = 0;
        loop {
            let whole = part == 0 && left <= self.room();
            if !whole && self.room() < SLIVER_BYTES {
                self.next_volume()?;
                continue;
            }
            let bytes = left.min(self.room());
            part += 1;
            let name = if whole { name.to_string() } else { format!("{name}{PART}{part:04}") };
            self.entry(&name, &mut content, bytes)?;
            left -= bytes;
            if left == 0 {
                return Ok(());
            }
        }
    }

    fn entry(&mut self, name: &str, content: &mut impl Read, bytes: u64) -> Result<(), BundleError> {
        self.write(&tar_header(name, bytes))?;
        let mut left = bytes;
        let mut chunk = vec![0; 64 << 10];
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
            let count = content.read(&mut chunk[..most]).map_err(|error| BundleError::Source {
                path: name.into(),
                why: trust::names::printable(&error.to_string()),
            })?;
            if count == 0 {
                return Err(BundleError::Source { path: name.into(), why: "it ends too early".into() });
            }
            self.write(&chunk[..count])?;
            left -= count as u64;
        }
        let padding = bytes.next_multiple_of(BLOCK) - bytes;
        self.write(&[0; BLOCK as usize][..usize::try_from(padding).unwrap_or(0)])
    }

    fn put_member(&mut self, member: &Member, source: impl Read) -> Result<(), BundleError> {
        let mut source = Digesting { source: source.take(member.size + 1), hasher: Hasher::new(), bytes: 0 };
        let name = member.stored_name();
        if member.is_compressed() {
            let spool = tempfile::spooled_tempfile_in(IN_MEMORY_BYTES, self.folder);
            let spooled = || -> io::Result<_> {
                let mut encoder = zstd::Encoder::new(spool, LEVEL)?;
                io::copy(&mut source, &mut encoder)?;
                let mut spool = encoder.finish()?;
                let bytes = spool.stream_position()?;
                spool.seek(SeekFrom::Start(0))?;
                Ok((spool, bytes))
            };
            let (spool, bytes) = spooled().map_err(|error| source_error(member, &error))?;
            self.put(&name, spool, bytes)?;
        } else {
            self.put(&name, &mut source, member.size)?;
        }
        let (found, bytes) = (source.hasher.finish(), source.bytes);
        if bytes != member.size || found != member.digest {
            let why = format!("its bytes are not those that were listed ({found})");
            return Err(BundleError::Source { path: member.path.clone(), why });
        }
        Ok(())
    }

    /// Fills in every volume's header, and gives the volumes their final names.
    fn finish(mut self) -> Result<Vec<Written>, BundleError> {
        self.close()?;
        let of = u32::try_from(self.done.len()).map_err(|_| BundleError::TooManyVolumes)?;
        let mut written = Vec::new();
        for (number, (unfinished, bytes, rest)) in (1..).zip(std::mem::take(&mut self.done)) {
            let block = Header { format: super::FORMAT, bundle: self.bundle, volume: number, of, rest }.to_block()?;
            let path = self.folder.join(format!("{}.{number}.sortie", self.name));
            let fill_in = || -> io::Result<()> {
                let mut file = OpenOptions::new().write(true).open(&unfinished.0)?;
                file.seek(SeekFrom::Start(BLOCK))?;
                file.write_all(&block)?;
                file.sync_all()?;
                fs::rename(&unfinished.0, &path)
            };
            fill_in().map_err(|error| DiskError::new("writing", &path, error))?;
            written.push(Written { path, bytes });
        }
        sync_folder(self.folder)?;
        Ok(written)
    }
}

struct Digesting<R> {
    source: R,
    hasher: Hasher,
    bytes: u64,
}

impl<R: Read> Read for Digesting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.bytes += count as u64;
        Ok(count)
    }
}

fn tar_header(name: &str, bytes: u64) -> [u8; BLOCK as usize] {
    let mut header = tar::Header::new_ustar();
    // Names are at most 100 bytes of ASCII by the index's own rules.
    if let Some(room) = header.as_old_mut().name.get_mut(..name.len()) {
        room.copy_from_slice(name.as_bytes());
    }
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(bytes);
    header.set_cksum();
    *header.as_bytes()
}
