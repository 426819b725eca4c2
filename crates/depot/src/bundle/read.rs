//! Reading a bundle: nothing in it is believed. No path of the archive is ever used: each entry must be the one that the
//! index says comes next.

use super::{BLOCK, BundleError, Header, INDEX, Index, MAX_INDEX_BYTES, Member, OBJECTS, PART, VOLUME, name_of};
use crate::disk::{self, UnfinishedFolder, failed, sync_filesystem};
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read, Write},
    path::{Path, PathBuf},
};
use trust::digest::{Digest, Hasher};

/// Bytes that stay free on the disk.
const KEEP_FREE_BYTES: u64 = 64 << 20;
/// The largest window that decompression allows, as a power of two (8 MiB): it bounds memory.
const MAX_WINDOW_LOG: u32 = 23;

/// All volumes of one bundle, each with the bytes that were written.
#[derive(Debug)]
pub struct Volumes {
    bundle: Digest,
    files: Vec<PathBuf>,
}

/// Opens a bundle by all its volumes, or by any one of them where the others lie beside it. Every volume is read and
/// digested: missing, strange and altered ones are named. `heard` is told the bytes read so far.
pub fn open(given: &[PathBuf], heard: &mut dyn FnMut(u64)) -> Result<Volumes, BundleError> {
    let mut known: BTreeMap<u32, (PathBuf, Header)> = BTreeMap::new();
    let mut first: Option<(String, Header)> = None;
    for file in given {
        let header = read_header(file)?;
        let (first_name, like) = first.get_or_insert_with(|| (name_of(file), header.clone()));
        if (like.bundle, like.of) != (header.bundle, header.of) {
            return Err(BundleError::OtherBundle { file: name_of(file), first: first_name.clone() });
        }
        if known.insert(header.volume, (file.clone(), header.clone())).is_some() {
            return Err(BundleError::Twice { volume: header.volume });
        }
    }
    let Some((first_name, like)) = first else { return Err(BundleError::NotAVolume("nothing".into())) };
    if given.len() == 1 {
        for (volume, file) in (1..=like.of).filter_map(|volume| Some((volume, beside(&given[0], like.volume, volume)?)))
        {
            if volume == like.volume || !file.exists() {
                continue;
            }
            let header = read_header(&file)?;
            if (like.bundle, like.of, volume) != (header.bundle, header.of, header.volume) {
                return Err(BundleError::OtherBundle { file: name_of(&file), first: first_name });
            }
            known.insert(volume, (file, header));
        }
    }
    let missing: Vec<u32> = (1..=like.of).filter(|volume| !known.contains_key(volume)).collect();
    if !missing.is_empty() {
        return Err(BundleError::Missing { volumes: missing, of: like.of });
    }
    let mut altered = Vec::new();
    let mut bytes = 0;
    for (volume, (file, header)) in &known {
        if digest_rest(file, &mut bytes, heard)? != header.rest {
            altered.push((*volume, name_of(file)));
        }
    }
    match altered.is_empty() {
        true => Ok(Volumes { bundle: like.bundle, files: known.into_values().map(|(file, _)| file).collect() }),
        false => Err(BundleError::Altered(altered)),
    }
}

/// The file that another volume has when it lies beside `file`.
fn beside(file: &Path, volume: u32, other: u32) -> Option<PathBuf> {
    let name = file.file_name()?.to_str()?;
    let stem = name.strip_suffix(&format!(".{volume}.sortie"))?;
    Some(file.with_file_name(format!("{stem}.{other}.sortie")))
}

fn read_header(file: &Path) -> Result<Header, BundleError> {
    let not = || BundleError::NotAVolume(name_of(file));
    let (mut opened, _) = disk::open_regular(file).map_err(failed("opening", file))?;
    let mut blocks = [0; 2 * BLOCK as usize];
    opened.read_exact(&mut blocks).map_err(|_| not())?;
    let (header, block) = blocks.split_at(BLOCK as usize);
    match entry_of(header) {
        Some((name, BLOCK)) if name == VOLUME => Header::from_block(block).ok_or_else(not),
        _ => Err(not()),
    }
}

fn digest_rest(file: &Path, bytes: &mut u64, heard: &mut dyn FnMut(u64)) -> Result<Digest, BundleError> {
    let reading = failed("reading", file);
    let mut opened = after_header(file)?;
    let mut hasher = Hasher::new();
    let mut chunk = vec![0; 256 << 10];
    loop {
        match opened.read(&mut chunk).map_err(&reading)? {
            0 => return Ok(hasher.finish()),
            count => {
                hasher.update(&chunk[..count]);
                *bytes += count as u64;
                heard(*bytes);
            }
        }
    }
}

fn after_header(file: &Path) -> Result<BufReader<File>, BundleError> {
    let (mut opened, _) = disk::open_regular(file).map_err(failed("opening", file))?;
    opened.read_exact(&mut [0; 2 * BLOCK as usize]).map_err(failed("reading", file))?;
    Ok(BufReader::with_capacity(256 << 10, opened))
}

/// The name and length in a block that is the header of a plain file, with a right checksum.
fn entry_of(block: &[u8]) -> Option<(String, u64)> {
    let header = tar::Header::from_byte_slice(block);
    let mut plain = header.clone();
    plain.set_cksum();
    let genuine = header.as_ustar().is_some() && plain.as_bytes() == header.as_bytes();
    if !genuine || header.entry_type() != tar::EntryType::Regular {
        return None;
    }
    let name = std::str::from_utf8(&header.path_bytes()).ok()?.to_string();
    Some((name, header.size().ok()?))
}

impl Volumes {
    /// The digest of the index: what names the bundle.
    pub fn bundle(&self) -> Digest {
        self.bundle
    }

    /// How many volumes there are.
    pub fn count(&self) -> usize {
        self.files.len()
    }

    /// The index alone.
    pub fn index(&self) -> Result<Index, BundleError> {
        let mut tape = Tape::new(&self.files)?;
        self.read_index(&mut tape)
    }

    fn read_index(&self, tape: &mut Tape<'_>) -> Result<Index, BundleError> {
        let mut bytes = Vec::new();
        let mut reader = tape.member(INDEX, MAX_INDEX_BYTES as u64)?;
        reader.read_to_end(&mut bytes).map_err(|error| BundleError::Index(error.to_string()))?;
        if Digest::of(&bytes) != self.bundle {
            return Err(BundleError::Index("it is not the one that names the bundle".into()));
        }
        Index::from_bytes(&bytes)
    }

    /// Unpacks everything into the new folder `into`, where each member lies under its path, objects decompressed. What
    /// does not have the length and digest that the index says is refused, and nothing stays behind. `heard` is told the
    /// bytes unpacked so far.
    pub fn unpack(&self, into: &Path, heard: &mut dyn FnMut(u64)) -> Result<Index, BundleError> {
        let unfinished = UnfinishedFolder::create(into)?;
        let mut tape = Tape::new(&self.files)?;
        let index = self.read_index(&mut tape)?;
        let needed_bytes = index.total_bytes();
        let free_bytes = disk::free_bytes(into)?.saturating_sub(KEEP_FREE_BYTES);
        if needed_bytes > free_bytes {
            return Err(BundleError::NoRoom { needed_bytes, free_bytes });
        }
        let mut bytes = 0;
        for member in &index.members {
            let volume = tape.volume();
            let refused = |why: String| BundleError::Member { volume, path: member.path.clone(), why };
            let stored = tape.member(&member.stored_name(), member.stored_at_most())?;
            let path = into.join(&member.path);
            copy(member, stored, &path).map_err(|error| match error {
                CopyError::Content(why) => refused(why),
                CopyError::Disk(error) => disk::DiskError::new("writing", &path, error).into(),
            })?;
            bytes += member.size;
            heard(bytes);
        }
        tape.end()?;
        sync_filesystem(into)?;
        unfinished.keep();
        Ok(index)
    }
}

enum CopyError {
    /// What came is not what it should be.
    Content(String),
    /// It cannot be written here.
    Disk(io::Error),
}

fn copy(member: &Member, mut stored: Parts<'_, '_>, path: &Path) -> Result<(), CopyError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(CopyError::Disk)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(CopyError::Disk)?;
    let unreadable =
        |error: io::Error| CopyError::Content(trust::names::printable(&format!("cannot be read: {error}")));
    let mut hasher = Hasher::new();
    let mut bytes = 0;
    let mut pour = |reader: &mut dyn Read| -> Result<(), CopyError> {
        let mut chunk = vec![0; 64 << 10];
        loop {
            let count = match reader.read(&mut chunk).map_err(unreadable)? {
                0 => return Ok(()),
                count => count,
            };
            bytes += count as u64;
            if bytes > member.size {
                return Err(CopyError::Content(format!("is longer than the {} bytes that were listed", member.size)));
            }
            hasher.update(&chunk[..count]);
            file.write_all(&chunk[..count]).map_err(CopyError::Disk)?;
        }
    };
    if member.path.starts_with(OBJECTS) {
        let mut decoder = zstd::Decoder::new(&mut stored).map_err(unreadable)?;
        decoder.window_log_max(MAX_WINDOW_LOG).map_err(unreadable)?;
        pour(&mut decoder)?;
        drop(decoder);
    } else {
        pour(&mut stored)?;
    }
    if hasher.finish() != member.digest {
        return Err(CopyError::Content("is not what the index lists under that name".into()));
    }
    Ok(())
}

/// The volumes as one tape of entries.
struct Tape<'a> {
    files: &'a [PathBuf],
    at: usize,
    file: BufReader<File>,
    /// The header that was read ahead.
    ahead: Option<(String, u64)>,
}

impl<'a> Tape<'a> {
    fn new(files: &'a [PathBuf]) -> Result<Self, BundleError> {
        let first = files.first().ok_or(BundleError::NotAVolume("nothing".into()))?;
        Ok(Self { files, at: 0, file: after_header(first)?, ahead: None })
    }

    fn volume(&self) -> u32 {
        u32::try_from(self.at).unwrap_or(u32::MAX).saturating_add(1)
    }

    fn wrong(&self, path: &str, why: impl Into<String>) -> BundleError {
        BundleError::Member { volume: self.volume(), path: path.into(), why: why.into() }
    }

    /// The next entry's name and length; nothing at the end of the last volume.
    fn peek(&mut self) -> Result<Option<(String, u64)>, BundleError> {
        while self.ahead.is_none() {
            let mut block = [0; BLOCK as usize];
            let reading = failed("reading", &self.files[self.at]);
            self.file.read_exact(&mut block).map_err(&reading)?;
            if block.iter().any(|byte| *byte != 0) {
                let entry = entry_of(&block).ok_or_else(|| self.wrong("an entry", "is no plain file"))?;
                self.ahead = Some(entry);
                break;
            }
            let mut rest = Vec::new();
            (&mut self.file).take(2 * BLOCK).read_to_end(&mut rest).map_err(&reading)?;
            if rest != [0; BLOCK as usize] {
                return Err(self.wrong("its end", "is followed by something"));
            }
            let Some(next) = self.files.get(self.at + 1) else { return Ok(None) };
            self.at += 1;
            self.file = after_header(next)?;
        }
        Ok(self.ahead.clone())
    }

    /// A reader of the member that must come next, whole or in parts, of at most `at_most` bytes.
    fn member<'t>(&'t mut self, name: &str, at_most: u64) -> Result<Parts<'t, 'a>, BundleError> {
        let found = self.peek()?;
        let part = match &found {
            Some((found, _)) if found == name => None,
            Some((found, _)) if *found == part_name(name, 1) => Some(1),
            Some((found, _)) => {
                let why = format!("is not there, but {} is", trust::names::printable(found));
                return Err(self.wrong(name, why));
            }
            None => return Err(self.wrong(name, "is not there")),
        };
        let mut parts = Parts { tape: self, name: name.into(), part, left: 0, padding: 0, allowance: at_most };
        parts.begin()?;
        Ok(parts)
    }

    /// Nothing may follow the last member.
    fn end(&mut self) -> Result<(), BundleError> {
        match self.peek()? {
            None => Ok(()),
            Some((name, _)) => Err(self.wrong(&trust::names::printable(&name), "is in no index")),
        }
    }
}

fn part_name(name: &str, part: u32) -> String {
    format!("{name}{PART}{part:04}")
}

/// The content of one member, which may be in several parts.
struct Parts<'t, 'a> {
    tape: &'t mut Tape<'a>,
    name: String,
    part: Option<u32>,
    left: u64,
    padding: u64,
    allowance: u64,
}

impl Parts<'_, '_> {
    /// Begins with the entry that was read ahead.
    fn begin(&mut self) -> Result<(), BundleError> {
        let Some((_, bytes)) = self.tape.ahead.take() else { return Ok(()) };
        if bytes > self.allowance {
            return Err(self.tape.wrong(&self.name, "takes more room than it can need"));
        }
        self.allowance -= bytes;
        (self.left, self.padding) = (bytes, bytes.next_multiple_of(BLOCK) - bytes);
        Ok(())
    }

    /// Goes on to the next part; false when there is none.
    fn go_on(&mut self) -> Result<bool, BundleError> {
        let mut padding = [0; BLOCK as usize];
        let padding = &mut padding[..usize::try_from(self.padding).unwrap_or(0)];
        self.tape.file.read_exact(padding).map_err(failed("reading", &self.tape.files[self.tape.at]))?;
        self.padding = 0;
        let Some(part) = &mut self.part else { return Ok(false) };
        let next = part_name(&self.name, *part + 1);
        if self.tape.peek()?.is_none_or(|(name, _)| name != next) {
            self.part = None;
            return Ok(false);
        }
        *part += 1;
        self.begin()?;
        Ok(true)
    }
}

impl Read for Parts<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.left == 0 {
            if self.padding == 0 && self.part.is_none() {
                return Ok(0);
            }
            if !self.go_on().map_err(io::Error::other)? {
                return Ok(0);
            }
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.tape.file.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= count as u64;
        Ok(count)
    }
}
