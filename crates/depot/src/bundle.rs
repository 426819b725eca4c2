//! Bundles: everything a site without a network needs, as tar archives on as many media as it takes.
//!
//! Each volume is a plain tar archive, so that `tar tf` lists it. Its first entry, `volume.json`, says which bundle it is
//! of, which volume of how many, and the SHA-256 of all that follows it, so that an altered or missing volume is named. The
//! first volume goes on with `index.json`, whose SHA-256 names the bundle: it lists every member with its length and
//! SHA-256, in the order in which they follow, through all volumes. Objects of the depot are zstd frames
//! (`objects/HEX.zst`); whatever a volume has no room for goes on in the next one, as `NAME.part-0001`, `NAME.part-0002`.
//!
//! Nothing of that proves that the content is to be trusted. Who agreed to it stands in the signed statements inside, and
//! whoever takes a bundle in judges those.

mod read;
mod write;

pub use read::{Volumes, open};
pub use write::{MIN_VOLUME_BYTES, Written, write};

use crate::disk::{DiskError, shown};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::path::Path;
use trust::{
    AppName, AudienceName, Digest, PersonName, Version,
    json::{self, JsonError},
    manifest::check_path,
    names::printable,
};

/// The only format there is so far.
pub const FORMAT: u32 = 1;
/// The longest index, in bytes: room for as many objects as a manifest can list.
pub const MAX_INDEX_BYTES: usize = 64 << 20;
/// The most volumes.
pub const MAX_VOLUMES: u32 = 9999;
/// Members in this folder are objects of the depot, named by their digests and compressed.
pub const OBJECTS: &str = "objects/";

const BLOCK: u64 = 512;
const INDEX: &str = "index.json";
const VOLUME: &str = "volume.json";
/// How an entry's name goes on that is only a part of a member.
const PART: &str = ".part-";

/// What a bundle is for, and everything in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// [`FORMAT`].
    pub format: u32,
    /// The estate it comes from.
    pub estate: Digest,
    /// The application.
    pub app: AppName,
    /// Its version.
    pub version: Version,
    /// The build.
    pub build: Digest,
    /// The audience it is for.
    pub audience: AudienceName,
    /// When it was made.
    pub made: Timestamp,
    /// Who made it.
    pub by: PersonName,
    /// Every member, in ascending order of path.
    pub members: Vec<Member>,
}

/// One member of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its path, with `/` between its parts.
    pub path: String,
    /// Its length in bytes, before compression.
    pub size: u64,
    /// The SHA-256 of its content, before compression.
    pub digest: Digest,
}

impl Member {
    /// A member with this content.
    pub fn of(path: impl Into<String>, content: &[u8]) -> Self {
        Self { path: path.into(), size: content.len() as u64, digest: Digest::of(content) }
    }

    /// An object of the depot.
    pub fn object(digest: Digest, size: u64) -> Self {
        Self { path: format!("{OBJECTS}{}", digest.hex()), size, digest }
    }

    fn is_compressed(&self) -> bool {
        self.path.starts_with(OBJECTS)
    }

    /// The name it has in the archive.
    fn stored_name(&self) -> String {
        if self.is_compressed() { format!("{}.zst", self.path) } else { self.path.clone() }
    }

    /// The most bytes it may take in the archive: nothing compresses to much more than itself.
    fn stored_at_most(&self) -> u64 {
        if self.is_compressed() { self.size.saturating_add(self.size / 128 + 4096) } else { self.size }
    }
}

impl Index {
    /// Its bytes, whose digest names the bundle.
    pub fn to_bytes(&self) -> Result<Vec<u8>, BundleError> {
        self.validate()?;
        let bytes = json::sorted(self).map_err(|error| BundleError::Index(error.to_string()))?;
        match bytes.len() > MAX_INDEX_BYTES {
            true => {
                Err(BundleError::Index(format!("it would have {} bytes; {MAX_INDEX_BYTES} are allowed", bytes.len())))
            }
            false => Ok(bytes),
        }
    }

    /// Reads and validates an index.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BundleError> {
        let index: Self = json::from_strict(bytes).map_err(|error: JsonError| BundleError::Index(error.to_string()))?;
        index.validate()?;
        Ok(index)
    }

    /// `web@1.4.0 for site`.
    pub fn name(&self) -> String {
        format!("{}@{} for {}", self.app, self.version, self.audience)
    }

    /// The sum of all members' lengths in bytes.
    pub fn total_bytes(&self) -> u64 {
        self.members.iter().map(|member| member.size).fold(0, u64::saturating_add)
    }

    fn validate(&self) -> Result<(), BundleError> {
        let wrong = |why: String| Err(BundleError::Index(why));
        if self.format != FORMAT {
            return wrong(format!("it has format {}; this program reads format {FORMAT}", self.format));
        }
        let mut previous: Option<&str> = None;
        for member in &self.members {
            let path = member.path.as_str();
            let plain = check_path(path).is_ok() && path.len() <= 80 && path.is_ascii() && !path.contains(PART);
            if !plain || matches!(path, INDEX | VOLUME) {
                return wrong(format!("'{}' cannot be a member", printable(path)));
            }
            if previous.is_some_and(|before| before >= path || path.starts_with(&format!("{before}/"))) {
                return wrong(format!("'{path}' is out of order, stands twice, or lies inside a file"));
            }
            let object = path.strip_prefix(OBJECTS);
            if object.is_some_and(|hex| hex != member.digest.hex()) {
                return wrong(format!("'{path}' is listed under a digest that is not its name"));
            }
            previous = Some(path);
        }
        Ok(())
    }
}

/// The first entry of every volume, padded to one block so that it can be filled in at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: u32,
    bundle: Digest,
    volume: u32,
    of: u32,
    rest: Digest,
}

impl Header {
    fn to_block(&self) -> Result<[u8; BLOCK as usize], BundleError> {
        let bytes = json::sorted(self).map_err(|error| BundleError::Index(error.to_string()))?;
        let mut block = [b' '; BLOCK as usize];
        let room = block.get_mut(..bytes.len()).ok_or(BundleError::Index("a volume's header is too long".into()))?;
        room.copy_from_slice(&bytes);
        block[BLOCK as usize - 1] = b'\n';
        Ok(block)
    }

    fn from_block(block: &[u8]) -> Option<Self> {
        json::from_strict::<Self>(block.trim_ascii_end()).ok().filter(|header| {
            header.format == FORMAT
                && (1..=MAX_VOLUMES).contains(&header.of)
                && (1..=header.of).contains(&header.volume)
        })
    }
}

/// Why a bundle was not written or read.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The disk failed or is full.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// An object cannot be had while writing.
    #[error("{path} could not be put in: {why}")]
    Source {
        /// The member.
        path: String,
        /// Why.
        why: String,
    },
    /// A volume size that holds nothing.
    #[error("a volume needs at least {MIN_VOLUME_BYTES} bytes; {0} were given")]
    VolumeTooSmall(u64),
    /// More volumes than there may be.
    #[error("that would make more than {MAX_VOLUMES} volumes: give them more room")]
    TooManyVolumes,
    /// It would not fit.
    #[error("the bundle unpacks to {needed_bytes} bytes, and {free_bytes} may be used. Free some space and try again")]
    NoRoom {
        /// What it takes.
        needed_bytes: u64,
        /// What there is.
        free_bytes: u64,
    },
    /// A file that is no volume of a bundle, or whose beginning was altered.
    #[error("{0} is no volume of a bundle, or its beginning was altered")]
    NotAVolume(String),
    /// Volumes that do not belong together.
    #[error("{file} is of another bundle than {first}")]
    OtherBundle {
        /// The one that differs.
        file: String,
        /// The first one given.
        first: String,
    },
    /// One volume twice.
    #[error("volume {volume} was given twice")]
    Twice {
        /// Which.
        volume: u32,
    },
    /// Volumes that were not given.
    #[error("{} missing", missing_in_words(volumes, *of))]
    Missing {
        /// Which.
        volumes: Vec<u32>,
        /// How many there are in all.
        of: u32,
    },
    /// Volumes whose bytes are not those that were written.
    #[error("{}: copy {} again", altered_in_words(.0), if .0.len() == 1 { "it" } else { "them" })]
    Altered(Vec<(u32, String)>),
    /// A member that is not what the index says, in volumes that look whole: somebody made them so.
    #[error("volume {volume} is altered: {path} {why}")]
    Member {
        /// In which volume it is, or begins.
        volume: u32,
        /// Which.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// The index cannot be.
    #[error("the bundle's index cannot be read: {0}")]
    Index(String),
}

impl BundleError {
    /// Whether the bundle is at fault, rather than this machine.
    pub fn is_integrity(&self) -> bool {
        !matches!(
            self,
            BundleError::Disk(_)
                | BundleError::Source { .. }
                | BundleError::VolumeTooSmall(_)
                | BundleError::TooManyVolumes
                | BundleError::NoRoom { .. }
        )
    }
}

fn missing_in_words(volumes: &[u32], of: u32) -> String {
    let numbers: Vec<String> = volumes.iter().map(u32::to_string).collect();
    match numbers.as_slice() {
        [one] => format!("volume {one} of {of} is"),
        several => format!("volumes {} of {of} are", several.join(", ")),
    }
}

fn altered_in_words(volumes: &[(u32, String)]) -> String {
    let each: Vec<String> = volumes.iter().map(|(volume, file)| format!("volume {volume} ({file})")).collect();
    format!("{} {} altered", each.join(", "), if each.len() == 1 { "is" } else { "are" })
}

fn name_of(path: &Path) -> String {
    shown(path.file_name().map_or(path, Path::new))
}

#[cfg(test)]
mod tests;
