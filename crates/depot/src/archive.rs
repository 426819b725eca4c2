//! From an archive (tar, tar.gz, tar.zst) to a folder that can be scanned. Archives come from anywhere: nothing in one
//! is believed.
//!
//! Names are checked before anything is created; links are made last of all, so that no file is ever written through
//! one; sizes, counts and headers are bounded while unpacking, and nothing stays behind when something is refused.

use crate::{
    disk::{self, DiskError, UnfinishedFolder, failed},
    store::CHUNK_BYTES,
};
use std::{
    cell::Cell,
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    rc::Rc,
};
use tar::EntryType;
use trust::{
    links::{LinkError, check_links},
    manifest::{Entry, check_link, check_path},
    names::printable,
};

const BLOCK_BYTES: u64 = 512;
/// The most that may stand between two entries' contents: headers, long names, extended attributes, padding.
const MAX_HEADER_BYTES: u64 = 1 << 20;

/// The kinds of archive that are understood, told by their first bytes, never by their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveKind {
    /// Plain tar.
    Tar,
    /// tar within gzip.
    TarGzip,
    /// tar within zstd.
    TarZstd,
}

/// Bounds on what is unpacked.
#[derive(Clone, Copy, Debug)]
pub struct UnpackLimits {
    /// The most bytes of content, all files together.
    pub max_bytes: u64,
    /// The most entries.
    pub max_entries: u64,
    /// Bytes that stay free on the disk.
    pub keep_free_bytes: u64,
}

impl Default for UnpackLimits {
    /// 64 GiB, 300,000 entries (what a manifest can list), 64 MiB kept free.
    fn default() -> Self {
        Self { max_bytes: 64 << 30, max_entries: 300_000, keep_free_bytes: 64 << 20 }
    }
}

/// What was unpacked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Files and links.
    pub entries: u64,
    /// Bytes of content.
    pub bytes: u64,
}

/// Why an archive was not unpacked. Nothing of it stays behind.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The disk failed or is full.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Not tar, tar.gz or tar.zst.
    #[error("{0} is no tar, tar.gz or tar.zst archive")]
    NotAnArchive(String),
    /// Damaged, cut off, or no tar inside the compression.
    #[error("the archive cannot be read to its end: {0}. Nothing was unpacked; make or fetch it again")]
    Unreadable(String),
    /// An entry that may not be in a build.
    #[error("the archive was refused for its entry '{entry}': {reason}. Nothing was unpacked")]
    Entry {
        /// The entry's name, made printable.
        entry: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Links that lead out through others.
    #[error("the archive was refused: {0}. Nothing was unpacked")]
    Link(#[from] LinkError),
    /// More entries than allowed.
    #[error("the archive has more than {0} entries, the most allowed. Nothing was unpacked")]
    TooMany(u64),
    /// More bytes than allowed.
    #[error("the archive unpacks to more than {0} bytes, the most allowed. Nothing was unpacked")]
    TooLarge(u64),
    /// It would not fit.
    #[error(
        "the archive would not fit on the disk: it needs at least {needed_bytes} bytes and {free_bytes} may be used. \
         Nothing was unpacked; free some space and try again"
    )]
    NoRoom {
        /// What is known to be needed.
        needed_bytes: u64,
        /// What may be used.
        free_bytes: u64,
    },
}

/// Tells by its first bytes whether a file is an archive. `None`: it is not, and is pushed as the one file it is.
pub fn detect(archive: &Path) -> Result<Option<ArchiveKind>, DiskError> {
    let (file, _) = disk::open_regular(archive).map_err(failed("opening", archive))?;
    let mut head = Vec::new();
    file.take(BLOCK_BYTES).read_to_end(&mut head).map_err(failed("reading", archive))?;
    Ok(match head.as_slice() {
        [0x1f, 0x8b, ..] => Some(ArchiveKind::TarGzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(ArchiveKind::TarZstd),
        block if is_tar_header(block) => Some(ArchiveKind::Tar),
        _ => None,
    })
}

/// A tar header carries its own checksum, which also the oldest formats have; other files match it by no accident.
fn is_tar_header(block: &[u8]) -> bool {
    let Ok(block): Result<&[u8; 512], _> = block.try_into() else { return false };
    let (before, sum, after) = (&block[..148], &block[148..156], &block[156..]);
    let digits: String = sum.iter().map(|b| char::from(*b)).filter(|c| c.is_ascii_digit()).collect();
    let real: u32 = before.iter().chain(after).map(|b| u32::from(*b)).sum::<u32>() + 8 * 32;
    u32::from_str_radix(&digits, 8) == Ok(real)
}

/// Unpacks `archive` into the folder `into`, which is created and must not exist.
pub fn unpack(archive: &Path, into: &Path, limits: &UnpackLimits) -> Result<Unpacked, ArchiveError> {
    let kind = detect(archive)?.ok_or_else(|| ArchiveError::NotAnArchive(disk::shown(archive)))?;
    let (file, _) = disk::open_regular(archive).map_err(failed("opening", archive))?;
    let file = BufReader::with_capacity(CHUNK_BYTES, file);
    let unfinished = UnfinishedFolder::create(into)?;
    let unpacked = match kind {
        ArchiveKind::Tar => unpack_tar(file, into, limits),
        ArchiveKind::TarGzip => unpack_tar(flate2::bufread::MultiGzDecoder::new(file), into, limits),
        ArchiveKind::TarZstd => {
            let decoder = zstd::Decoder::with_buffer(file).map_err(|e| ArchiveError::Unreadable(e.to_string()))?;
            unpack_tar(decoder, into, limits)
        }
    }?;
    unfinished.keep();
    Ok(unpacked)
}

/// What the reader below tells, and is told, while the tar library holds it.
#[derive(Default)]
struct Gauge {
    /// Bytes read so far.
    read: Cell<u64>,
    /// How many bytes at the end of those were zero.
    zeros: Cell<u64>,
    /// Bytes that may still be read before somebody says otherwise: it bounds the headers that the library buffers.
    allowance: Cell<u64>,
}

struct Gauged<R> {
    reader: R,
    gauge: Rc<Gauge>,
}

impl<R: Read> Read for Gauged<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let gauge = &self.gauge;
        let most = buffer.len().min(usize::try_from(gauge.allowance.get()).unwrap_or(usize::MAX));
        if most == 0 && !buffer.is_empty() {
            return Err(io::Error::other("a header is longer than 1 MiB"));
        }
        let count = self.reader.read(&mut buffer[..most])?;
        gauge.allowance.set(gauge.allowance.get() - count as u64);
        gauge.read.set(gauge.read.get() + count as u64);
        let trailing = buffer[..count].iter().rev().take_while(|b| **b == 0).count();
        gauge.zeros.set(if trailing == count { gauge.zeros.get() + count as u64 } else { trailing as u64 });
        Ok(count)
    }
}

fn unpack_tar(reader: impl Read, into: &Path, limits: &UnpackLimits) -> Result<Unpacked, ArchiveError> {
    let gauge = Rc::new(Gauge::default());
    let mut archive = tar::Archive::new(Gauged { reader, gauge: gauge.clone() });
    let mut unpacking = Unpacking::new(into, limits)?;
    let mut end_of_last = 0;
    gauge.allowance.set(MAX_HEADER_BYTES);
    for entry in archive.entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        let size = entry.size();
        gauge.allowance.set(size.saturating_add(MAX_HEADER_BYTES));
        unpacking.take(&mut entry)?;
        // What nobody read (a global header) is read here, so that the allowance below is for headers alone.
        io::copy(&mut entry, &mut io::sink()).map_err(unreadable)?;
        end_of_last = entry.raw_file_position() + size.next_multiple_of(BLOCK_BYTES);
        gauge.allowance.set(MAX_HEADER_BYTES);
    }
    read_to_end_mark(&mut archive.into_inner(), &gauge, end_of_last)?;
    unpacking.make_links()
}

fn unreadable(error: io::Error) -> ArchiveError {
    ArchiveError::Unreadable(printable(&error.to_string()))
}

/// The library ends gladly where the bytes end. An archive that was cut off between two entries would pass for a whole
/// one, so the zero block that ends every archive is insisted on, and nothing but zeros may follow.
fn read_to_end_mark(rest: &mut Gauged<impl Read>, gauge: &Gauge, end_of_last: u64) -> Result<(), ArchiveError> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let after = gauge.read.get().saturating_sub(end_of_last);
        if gauge.zeros.get() < after {
            return Err(ArchiveError::Unreadable("something follows its end".into()));
        }
        gauge.allowance.set(CHUNK_BYTES as u64);
        match rest.read(&mut chunk) {
            Ok(0) if after < BLOCK_BYTES => return Err(ArchiveError::Unreadable("it is cut off".into())),
            Ok(0) => return Ok(()),
            Ok(_) if after > MAX_HEADER_BYTES => {
                return Err(ArchiveError::Unreadable("more than 1 MiB of nothing follows its end".into()));
            }
            Ok(_) => {}
            Err(error) => return Err(unreadable(error)),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Placed {
    Folder,
    File,
    Link,
}

/// The state of one unpacking.
struct Unpacking<'a> {
    into: &'a Path,
    limits: &'a UnpackLimits,
    placed: BTreeMap<String, Placed>,
    links: Vec<Entry>,
    unpacked: Unpacked,
    /// Bytes that may still be written, as last asked of the disk.
    room: u64,
    /// Bytes written since the disk was last asked.
    since_asked: u64,
}

impl<'a> Unpacking<'a> {
    fn new(into: &'a Path, limits: &'a UnpackLimits) -> Result<Self, ArchiveError> {
        let mut new = Self {
            into,
            limits,
            placed: BTreeMap::new(),
            links: Vec::new(),
            unpacked: Unpacked::default(),
            room: 0,
            since_asked: 0,
        };
        new.ask_room()?;
        Ok(new)
    }

    fn ask_room(&mut self) -> Result<(), DiskError> {
        self.room = disk::free_bytes(self.into)?.saturating_sub(self.limits.keep_free_bytes);
        self.since_asked = 0;
        Ok(())
    }

    fn take(&mut self, entry: &mut tar::Entry<'_, impl Read>) -> Result<(), ArchiveError> {
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            return Ok(());
        }
        let name = entry.path_bytes().into_owned();
        let refused = |reason: &str| ArchiveError::Entry {
            entry: printable(&String::from_utf8_lossy(&name)),
            reason: reason.to_owned(),
        };
        if self.placed.len() as u64 >= self.limits.max_entries {
            return Err(ArchiveError::TooMany(self.limits.max_entries));
        }
        let text = std::str::from_utf8(&name).map_err(|_| refused("its name is not UTF-8"))?;
        let Some(path) = plain_path(text).map_err(refused)? else { return Ok(()) };
        self.check_place(&path, kind).map_err(refused)?;
        let mode = entry.header().mode().map_err(|_| refused("its mode is no number"))?;
        if mode & 0o6000 != 0 && !kind.is_dir() {
            return Err(refused("its setuid or setgid bit is set, which no build may carry"));
        }
        if is_sparse(entry)? {
            return Err(refused("it is a sparse file; make the archive without --sparse"));
        }
        match kind {
            EntryType::Directory => self.make_folder(&path)?,
            EntryType::Regular | EntryType::Continuous => {
                let size = entry.size();
                self.write_file(&path, mode & 0o111 != 0, size, entry, &refused)?;
            }
            EntryType::Symlink => {
                let target =
                    link_text(entry).ok_or_else(|| refused("it is a link to nothing, or its target is not UTF-8"))?;
                check_link(&path, &target).map_err(|_| refused("it is a link that leads out of the archive"))?;
                self.links.push(Entry::Link { path: path.clone(), target });
                self.unpacked.entries += 1;
            }
            EntryType::Link => {
                let target = link_text(entry).and_then(|text| plain_path(&text).ok().flatten());
                let source = target.filter(|target| self.placed.get(target) == Some(&Placed::File));
                let source = source.ok_or_else(|| {
                    refused("it is a hard link to something that is no file before it in the archive")
                })?;
                let full = self.into.join(source);
                let (file, size) = disk::open_regular(&full).map_err(failed("opening", &full))?;
                self.write_file(&path, mode & 0o111 != 0, size, file, &refused)?;
            }
            EntryType::Fifo => return Err(refused("it is a pipe; only files, folders and links can be in a build")),
            EntryType::Block | EntryType::Char => {
                return Err(refused("it is a device; only files, folders and links can be in a build"));
            }
            _ => return Err(refused("it is of an unknown kind; only files, folders and links can be in a build")),
        }
        let placed = match kind {
            EntryType::Directory => Placed::Folder,
            EntryType::Symlink => Placed::Link,
            _ => Placed::File,
        };
        self.placed.insert(path, placed);
        Ok(())
    }

    /// Whether something of this kind may stand at `path`, after all that stands already.
    fn check_place(&self, path: &str, kind: EntryType) -> Result<(), &'static str> {
        for (at, _) in path.match_indices('/') {
            match self.placed.get(&path[..at]) {
                Some(Placed::Link) => return Err("its path leads through a link"),
                Some(Placed::File) => return Err("its path leads through a file"),
                Some(Placed::Folder) | None => {}
            }
        }
        match self.placed.get(path) {
            Some(Placed::Folder) if kind.is_dir() => return Ok(()),
            Some(_) => return Err("it stands twice in the archive"),
            None => {}
        }
        let inside = format!("{path}/");
        let has_content = self.placed.range(inside.clone()..).next().is_some_and(|(next, _)| next.starts_with(&inside));
        if has_content && !kind.is_dir() { Err("it stands twice in the archive, once as a folder") } else { Ok(()) }
    }

    fn make_folder(&self, path: &str) -> Result<(), DiskError> {
        let full = self.into.join(path);
        fs::create_dir_all(&full).map_err(failed("creating", &full))
    }

    fn write_file(
        &mut self,
        path: &str,
        executable: bool,
        size: u64,
        mut content: impl Read,
        refused: &dyn Fn(&str) -> ArchiveError,
    ) -> Result<(), ArchiveError> {
        if self.unpacked.bytes.saturating_add(size) > self.limits.max_bytes {
            return Err(ArchiveError::TooLarge(self.limits.max_bytes));
        }
        if self.since_asked.saturating_add(size) > 16 << 20 {
            self.ask_room()?;
        }
        let needed = self.since_asked.saturating_add(size);
        if needed > self.room {
            return Err(ArchiveError::NoRoom { needed_bytes: needed, free_bytes: self.room });
        }
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.make_folder(parent)?;
        }
        let full = self.into.join(path);
        let mode = if executable { 0o755 } else { 0o644 };
        // Exclusive creation neither follows a link nor replaces anything.
        let mut file: File =
            OpenOptions::new().write(true).create_new(true).mode(mode).open(&full).map_err(|error| {
                match error.kind() {
                    io::ErrorKind::AlreadyExists => refused("it stands twice in the archive"),
                    _ => DiskError::new("creating", &full, error).into(),
                }
            })?;
        let mut chunk = vec![0; CHUNK_BYTES.min(usize::try_from(size).unwrap_or(CHUNK_BYTES)).max(1)];
        let mut left = size;
        while left > 0 {
            let most = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let count = content.read(&mut chunk[..most]).map_err(unreadable)?;
            if count == 0 {
                return Err(ArchiveError::Unreadable("it is cut off".into()));
            }
            file.write_all(&chunk[..count]).map_err(failed("writing", &full))?;
            left -= count as u64;
        }
        self.unpacked.bytes += size;
        self.unpacked.entries += 1;
        self.since_asked += size;
        Ok(())
    }

    /// Makes all links, now that nothing more is written, and ends the unpacking.
    fn make_links(self) -> Result<Unpacked, ArchiveError> {
        check_links(&self.links, &[])?;
        for link in &self.links {
            if let Entry::Link { path, target } = link {
                if let Some((parent, _)) = path.rsplit_once('/') {
                    self.make_folder(parent)?;
                }
                let full = self.into.join(path);
                std::os::unix::fs::symlink(target, &full).map_err(failed("linking", &full))?;
            }
        }
        Ok(self.unpacked)
    }
}

/// The entry's path without `./` in front and `/` behind; `None` for the archive's own top folder.
fn plain_path(text: &str) -> Result<Option<String>, &'static str> {
    if text.starts_with('/') {
        return Err("its path is absolute");
    }
    let mut plain = text;
    while let Some(rest) = plain.strip_prefix("./") {
        plain = rest.trim_start_matches('/');
    }
    let plain = plain.trim_end_matches('/');
    if plain.is_empty() || plain == "." {
        return Ok(None);
    }
    if plain.split('/').any(|part| part == "..") {
        return Err("its path leads out of the archive by '..'");
    }
    check_path(plain).map_err(|_| "its path has an empty part, a backslash or a control character, or is too long")?;
    Ok(Some(plain.to_owned()))
}

fn link_text(entry: &tar::Entry<'_, impl Read>) -> Option<String> {
    String::from_utf8(entry.link_name_bytes()?.into_owned()).ok()
}

/// Sparse files, in either notation: their content is not what the archive's bytes are.
fn is_sparse(entry: &mut tar::Entry<'_, impl Read>) -> Result<bool, ArchiveError> {
    if entry.header().entry_type() == EntryType::GNUSparse {
        return Ok(true);
    }
    let Some(extensions) = entry.pax_extensions().map_err(unreadable)? else { return Ok(false) };
    for extension in extensions {
        if extension.map_err(unreadable)?.key_bytes().starts_with(b"GNU.sparse") {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
