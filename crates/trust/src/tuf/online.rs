//! Timestamp and snapshot metadata (TUF 4.4 and 4.5): what is the newest, and which versions belong together.

use super::{
    MAX_SNAPSHOT_BYTES, MAX_TIMESTAMP_BYTES, Root, TufError, TufRole,
    document::{Document, check_expiry, read_as, read_header},
    listed::ListedMetadata,
    repository,
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Verified timestamp metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimestampMetadata {
    version: u64,
    expires: Timestamp,
    signed_at: Option<Timestamp>,
    snapshot: ListedMetadata,
}

/// Verified snapshot metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotMetadata {
    version: u64,
    expires: Timestamp,
    listed: BTreeMap<String, ListedMetadata>,
}

#[derive(Deserialize)]
struct MetaJson {
    meta: BTreeMap<String, Value>,
}

impl TimestampMetadata {
    /// TUF 5.4.1 and 5.4.2: takes timestamp metadata that is signed as `root` asks. Whether it is newer than what was
    /// taken before, and whether it is still good, the caller asks.
    pub fn verify(bytes: &[u8], root: &Root) -> Result<Self, TufError> {
        let document = Document::read(bytes, MAX_TIMESTAMP_BYTES)?;
        root.check_signatures(&document, TufRole::Timestamp)?;
        let (version, expires) = read_header(&document.signed, TufRole::Timestamp)?;
        let MetaJson { meta } = read_as(&document.signed)?;
        let snapshot = meta.get("snapshot.json");
        let snapshot = snapshot.ok_or_else(|| TufError::Malformed("it lists no snapshot.json".into()))?;
        let snapshot = ListedMetadata::read(snapshot, "snapshot.json")?;
        Ok(Self { version, expires, signed_at: repository::signed_at(&document.signed)?, snapshot })
    }

    /// TUF 5.4.4: whether it is still good at `now`.
    pub fn check_expiry(&self, now: Timestamp) -> Result<(), TufError> {
        check_expiry(TufRole::Timestamp.as_str(), self.version, self.expires, now)
    }

    /// Its version, from 1.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// When it expires.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// When it was signed, where it says so.
    pub fn signed_at(&self) -> Option<Timestamp> {
        self.signed_at
    }

    /// The newest snapshot.
    pub fn snapshot(&self) -> &ListedMetadata {
        &self.snapshot
    }
}

impl SnapshotMetadata {
    /// TUF 5.5.1 and 5.5.3: takes snapshot metadata that is signed as `root` asks. Whether it is the one that timestamp
    /// lists, no step back and still good, the caller asks.
    pub fn verify(bytes: &[u8], root: &Root) -> Result<Self, TufError> {
        let document = Document::read(bytes, MAX_SNAPSHOT_BYTES)?;
        root.check_signatures(&document, TufRole::Snapshot)?;
        let (version, expires) = read_header(&document.signed, TufRole::Snapshot)?;
        let MetaJson { meta } = read_as(&document.signed)?;
        let read = |(name, value): (String, Value)| ListedMetadata::read(&value, &name).map(|listed| (name, listed));
        Ok(Self { version, expires, listed: meta.into_iter().map(read).collect::<Result<_, _>>()? })
    }

    /// TUF 5.5.6: whether it is still good at `now`.
    pub fn check_expiry(&self, now: Timestamp) -> Result<(), TufError> {
        check_expiry(TufRole::Snapshot.as_str(), self.version, self.expires, now)
    }

    /// Its version, from 1.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// When it expires.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// Which version of a role belongs to this snapshot. Repositories list a role by its bare name.
    pub fn role(&self, role: &str) -> Option<&ListedMetadata> {
        self.listed.get(&format!("{role}.json"))
    }

    /// Every file it lists, by its name.
    pub(super) fn listed(&self) -> impl Iterator<Item = (&str, &ListedMetadata)> {
        self.listed.iter().map(|(name, listed)| (name.as_str(), listed))
    }

    /// The version of every file it lists.
    pub(super) fn versions(&self) -> BTreeMap<String, u64> {
        self.listed.iter().map(|(name, listed)| (name.clone(), listed.version)).collect()
    }
}
