//! Packs: many small objects in one stream, so that a tree of thousands of files does not cost thousands of requests.
//!
//! A pack is one zstd stream of: the eight bytes [`MAGIC`], the number of objects (u32, big-endian), then for each
//! object its 32-byte digest, its length (u64, big-endian) and its bytes. Nothing follows.

use crate::{
    disk::failed,
    store::{CopyError, StoreError, copy_digesting},
};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufReader, Read, Write},
    path::Path,
};
use trust::digest::{Digest, Hasher};

/// The first bytes of a pack.
pub const MAGIC: &[u8; 8] = b"sortpk01";
/// Objects up to this length, in bytes, travel in packs; longer ones travel alone.
pub const SMALL_OBJECT_BYTES: u64 = 1 << 20;
/// zstd's own default: 9 gains a tenth in size and costs five times the time.
const LEVEL: i32 = 3;
/// The largest window that a reader allows, as a power of two (8 MiB): it bounds the reader's memory.
const MAX_WINDOW_LOG: u32 = 23;

/// Bounds on a pack that is read.
#[derive(Clone, Copy, Debug)]
pub struct PackLimits {
    /// The most objects.
    pub max_objects: u32,
    /// The longest object in bytes; each is held in memory while it is verified.
    pub max_object_bytes: u64,
    /// The most bytes, all objects together.
    pub max_total_bytes: u64,
}

impl Default for PackLimits {
    /// 4,096 objects of at most 1 MiB, 64 MiB together.
    fn default() -> Self {
        Self { max_objects: 4096, max_object_bytes: SMALL_OBJECT_BYTES, max_total_bytes: 64 << 20 }
    }
}

/// Why a pack was not written or read.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// An object could not be opened or stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The pack ends early or is damaged.
    #[error("the pack cannot be read to its end: {0}. Send it again")]
    Unreadable(io::Error),
    /// The pack could not be sent on.
    #[error("the pack could not be written: {0}")]
    Unwritable(io::Error),
    /// Not a pack at all, or with something behind its end.
    #[error("this is no pack: {0}")]
    Malformed(&'static str),
    /// An object is not what its name says.
    #[error("the pack holds {found} under the name {expected}. Send it again")]
    Mismatch {
        /// The name.
        expected: Digest,
        /// What its bytes digest to.
        found: Digest,
    },
    /// Beyond [`PackLimits`].
    #[error("the pack has {0}")]
    TooLarge(String),
    /// More objects than a pack can count.
    #[error("{0} objects are too many for one pack")]
    TooMany(usize),
}

/// Writes a pack of `digests` to `out` and returns `out`.
///
/// `open` gives an object's content and length in bytes. What is sent is digested on the way: an object that changed
/// since it was named is an error here, not at the receiver.
pub fn write_pack<R: Read, W: Write>(
    digests: &[Digest],
    mut open: impl FnMut(&Digest) -> Result<(R, u64), StoreError>,
    out: W,
) -> Result<W, PackError> {
    let mut out = zstd::Encoder::new(out, LEVEL).map_err(PackError::Unwritable)?;
    let count = u32::try_from(digests.len()).map_err(|_| PackError::TooMany(digests.len()))?;
    out.write_all(MAGIC).map_err(PackError::Unwritable)?;
    out.write_all(&count.to_be_bytes()).map_err(PackError::Unwritable)?;
    for digest in digests {
        let (reader, length) = open(digest)?;
        out.write_all(digest.as_bytes()).map_err(PackError::Unwritable)?;
        out.write_all(&length.to_be_bytes()).map_err(PackError::Unwritable)?;
        let found = copy(reader.take(length), &mut out, *digest)?;
        if found != *digest {
            return Err(StoreError::Corrupt { expected: *digest, found }.into());
        }
    }
    out.finish().map_err(PackError::Unwritable)
}

/// Copies and digests. A source that ends early is noticed by its digest.
fn copy(mut reader: impl Read, out: &mut impl Write, digest: Digest) -> Result<Digest, PackError> {
    let mut hasher = Hasher::new();
    let mut chunk = [0; 64 << 10];
    loop {
        match reader.read(&mut chunk) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(count) => {
                hasher.update(&chunk[..count]);
                out.write_all(&chunk[..count]).map_err(PackError::Unwritable)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(StoreError::Source { digest, source }.into()),
        }
    }
}

/// Reads a pack and hands each object, already verified, to `take`; returns how many there were.
///
/// After an error the objects already handed over are genuine, but there may be more that never came.
pub fn read_pack(
    reader: impl Read,
    limits: &PackLimits,
    mut take: impl FnMut(Digest, &[u8]) -> Result<(), StoreError>,
) -> Result<u32, PackError> {
    let mut total = 0u64;
    let mut bytes = Vec::new();
    walk(reader, limits.max_objects, |expected, length, content| {
        if length > limits.max_object_bytes {
            let most = limits.max_object_bytes;
            return Err(PackError::TooLarge(format!("an object of {length} bytes; {most} are allowed")));
        }
        total = total.saturating_add(length);
        if total > limits.max_total_bytes {
            return Err(PackError::TooLarge(format!("more than {} bytes in all", limits.max_total_bytes)));
        }
        bytes.clear();
        content.read_to_end(&mut bytes).map_err(PackError::Unreadable)?;
        if bytes.len() as u64 != length {
            return Err(PackError::Unreadable(io::ErrorKind::UnexpectedEof.into()));
        }
        let found = Digest::of(&bytes);
        if found != expected {
            return Err(PackError::Mismatch { expected, found });
        }
        Ok(take(expected, &bytes)?)
    })
}

/// Reads a pack of just these objects, named with their lengths, into files of `folder` named by their hexadecimal digest.
/// An object is never held in memory, whatever its length. Every file there is genuine.
pub fn unpack(reader: impl Read, expected: &BTreeMap<Digest, u64>, folder: &Path) -> Result<u32, PackError> {
    let most = u32::try_from(expected.len()).map_err(|_| PackError::TooMany(expected.len()))?;
    let count = walk(reader, most, |digest, length, content| {
        if expected.get(&digest) != Some(&length) {
            return Err(PackError::Malformed("it holds something that was not asked for"));
        }
        let partial = folder.join("object.part");
        let file = File::create(&partial).map_err(failed("creating", &partial)).map_err(StoreError::from)?;
        let (found, _) = copy_digesting(content, &mut &file, length).map_err(|error| match error {
            CopyError::Read(source) => PackError::Unreadable(source),
            CopyError::Write(source) => StoreError::from(failed("writing", &partial)(source)).into(),
            CopyError::TooLong => PackError::Malformed("an object is longer than it says"),
        })?;
        if found != digest {
            return Err(PackError::Mismatch { expected: digest, found });
        }
        let done = folder.join(digest.hex());
        fs::rename(&partial, &done).map_err(failed("naming", &done)).map_err(StoreError::from)?;
        Ok(())
    })?;
    match count == most {
        true => Ok(count),
        false => Err(PackError::Malformed("it lacks something that was asked for")),
    }
}

/// Goes through the objects of a pack, at most so many: their names, their lengths, and their content to be read.
fn walk(
    reader: impl Read,
    max_objects: u32,
    mut each: impl FnMut(Digest, u64, &mut dyn Read) -> Result<(), PackError>,
) -> Result<u32, PackError> {
    let mut reader = zstd::Decoder::new(reader).map_err(PackError::Unreadable)?;
    reader.window_log_max(MAX_WINDOW_LOG).map_err(PackError::Unreadable)?;
    let mut reader = BufReader::new(reader);
    if &read_array::<8>(&mut reader)? != MAGIC {
        return Err(PackError::Malformed("it does not begin like one"));
    }
    let count = u32::from_be_bytes(read_array(&mut reader)?);
    if count > max_objects {
        return Err(PackError::TooLarge(format!("{count} objects; {max_objects} are allowed")));
    }
    for _ in 0..count {
        let digest = Digest::from_bytes(read_array(&mut reader)?);
        let length = u64::from_be_bytes(read_array(&mut reader)?);
        each(digest, length, &mut reader.by_ref().take(length))?;
    }
    match reader.read(&mut [0]).map_err(PackError::Unreadable)? {
        0 => Ok(count),
        _ => Err(PackError::Malformed("something follows its last object")),
    }
}

fn read_array<const N: usize>(reader: &mut impl Read) -> Result<[u8; N], PackError> {
    let mut array = [0; N];
    reader.read_exact(&mut array).map_err(PackError::Unreadable)?;
    Ok(array)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn pack(objects: &[Vec<u8>]) -> Vec<u8> {
        let by_digest: BTreeMap<_, _> = objects.iter().map(|bytes| (Digest::of(bytes), bytes)).collect();
        let digests: Vec<_> = objects.iter().map(|bytes| Digest::of(bytes)).collect();
        write_pack(&digests, |digest| Ok((&by_digest[digest][..], by_digest[digest].len() as u64)), Vec::new()).unwrap()
    }

    fn unpack(pack: &[u8], limits: &PackLimits) -> Result<Vec<Vec<u8>>, PackError> {
        let mut objects = Vec::new();
        read_pack(pack, limits, |digest, bytes| {
            assert_eq!(digest, Digest::of(bytes));
            objects.push(bytes.to_vec());
            Ok(())
        })?;
        Ok(objects)
    }

    /// A pack made by hand from what would stand inside the compression.
    fn forged(parts: &[&[u8]]) -> Vec<u8> {
        zstd::encode_all(&parts.concat()[..], 1).unwrap()
    }

    proptest! {
        #[test]
        fn what_is_packed_unpacks(
            objects in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..2000), 0..20),
        ) {
            prop_assert_eq!(unpack(&pack(&objects), &PackLimits::default()).unwrap(), objects);
        }

        #[test]
        fn a_pack_cut_off_is_refused(
            objects in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..5),
            at: prop::sample::Index,
        ) {
            let whole = pack(&objects);
            prop_assert!(unpack(&whole[..at.index(whole.len())], &PackLimits::default()).is_err());
        }

        #[test]
        fn a_damaged_pack_gives_genuine_objects_or_none(
            objects in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..5),
            at: prop::sample::Index,
            value: u8,
        ) {
            let mut damaged = pack(&objects);
            let at = at.index(damaged.len());
            damaged[at] = value;
            // The check that what is handed over has its digest stands in `unpack`.
            let _ = unpack(&damaged, &PackLimits::default());
        }
    }

    #[test]
    fn limits_hold() {
        let objects = vec![vec![1; 100], vec![2; 100], vec![3; 100]];
        let whole = pack(&objects);
        let limits = PackLimits { max_objects: 3, max_object_bytes: 100, max_total_bytes: 300 };
        assert!(unpack(&whole, &limits).is_ok());
        for tight in [
            PackLimits { max_objects: 2, ..limits },
            PackLimits { max_object_bytes: 99, ..limits },
            PackLimits { max_total_bytes: 299, ..limits },
        ] {
            assert!(matches!(unpack(&whole, &tight), Err(PackError::TooLarge(_))));
        }
    }

    #[test]
    fn a_pack_is_unpacked_into_files_and_only_what_was_asked_for() {
        let objects = vec![vec![1; 100], vec![2; 200_000], Vec::new()];
        let whole = pack(&objects);
        let asked: BTreeMap<Digest, u64> = objects.iter().map(|o| (Digest::of(o), o.len() as u64)).collect();
        let unpacked = |pack: &[u8], asked: &BTreeMap<Digest, u64>| {
            let folder = tempfile::tempdir().unwrap();
            let count = super::unpack(pack, asked, folder.path())?;
            for object in &objects {
                assert_eq!(&fs::read(folder.path().join(Digest::of(object).hex())).unwrap(), object);
            }
            Ok::<u32, PackError>(count)
        };
        assert_eq!(unpacked(&whole, &asked).unwrap(), 3);
        let mut fewer = asked.clone();
        fewer.remove(&Digest::of(&objects[0]));
        assert!(unpacked(&whole, &fewer).is_err());
        let mut more = asked.clone();
        more.insert(Digest::of(b"more"), 4);
        assert!(matches!(unpacked(&whole, &more), Err(PackError::Malformed(_))));
        let mut longer = asked.clone();
        longer.insert(Digest::of(&objects[0]), 101);
        assert!(matches!(unpacked(&whole, &longer), Err(PackError::Malformed(_))));
        for cut in [whole.len() / 2, whole.len() - 1] {
            assert!(unpacked(&whole[..cut], &asked).is_err());
        }
        let digest = Digest::of(b"hello");
        let lie = forged(&[MAGIC, &1u32.to_be_bytes(), digest.as_bytes(), &5u64.to_be_bytes(), b"hellp"]);
        let result = unpacked(&lie, &BTreeMap::from([(digest, 5)]));
        assert!(matches!(result, Err(PackError::Mismatch { .. })));
    }

    #[test]
    fn lies_are_found() {
        let limits = PackLimits::default();
        let one = 1u32.to_be_bytes();
        let length = 5u64.to_be_bytes();
        let digest = Digest::of(b"hello");
        let name = digest.as_bytes();
        assert!(unpack(&forged(&[MAGIC, &one, name, &length, b"hello"]), &limits).is_ok());
        let result = unpack(&forged(&[MAGIC, &one, name, &length, b"hellp"]), &limits);
        assert!(matches!(result, Err(PackError::Mismatch { .. })));
        let result = unpack(&forged(&[MAGIC, &one, name, &length, b"hello", b"more"]), &limits);
        assert!(matches!(result, Err(PackError::Malformed(_))));
        assert!(matches!(unpack(&forged(&[b"sortpk99", &one]), &limits), Err(PackError::Malformed(_))));
        let result = unpack(&forged(&[MAGIC, &2u32.to_be_bytes(), name, &length, b"hello"]), &limits);
        assert!(matches!(result, Err(PackError::Unreadable(_))));
        assert!(unpack(b"no pack at all", &limits).is_err());
        assert!(unpack(b"", &limits).is_err());
        let huge = forged(&[MAGIC, &one, name, &u64::MAX.to_be_bytes()]);
        assert!(matches!(unpack(&huge, &limits), Err(PackError::TooLarge(_))));
    }

    #[test]
    fn r4_an_object_that_changed_is_found_before_it_is_sent() {
        let digest = Digest::of(b"hello");
        for changed in [&b"hellp"[..], b"hell"] {
            let result = write_pack(&[digest], |_| Ok((changed, 5)), Vec::new());
            assert!(matches!(result, Err(PackError::Store(StoreError::Corrupt { .. }))));
        }
    }
}
