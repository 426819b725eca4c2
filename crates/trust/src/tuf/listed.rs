//! What one file of metadata says of another: version, length and hashes (TUF 4.4 to 4.6).

use super::{TufError, document::read_as};
use crate::{digest::Digest, names::printable};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha512};
use std::collections::BTreeMap;

/// The hashes of a file. Those of kinds that we do not know are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hashes {
    /// SHA-256.
    pub sha256: Option<Digest>,
    /// SHA-512.
    pub sha512: Option<[u8; 64]>,
}

impl Hashes {
    pub(super) fn read(json: &BTreeMap<String, String>, of: &str) -> Result<Self, TufError> {
        let malformed = |kind| TufError::Malformed(format!("the hash of '{}' is not {kind}", printable(of)));
        let sha256 = json.get("sha256").map(|hex| Digest::from_hex(hex)).transpose();
        let sha512 = json.get("sha512").map(|hex| hex::decode(hex).ok().and_then(|bytes| bytes.try_into().ok()));
        let sha512 = sha512.map(|bytes| bytes.ok_or_else(|| malformed("SHA-512"))).transpose()?;
        Ok(Self { sha256: sha256.map_err(|_| malformed("SHA-256"))?, sha512 })
    }

    /// Whether there is one to compare with.
    pub fn is_empty(&self) -> bool {
        self.sha256.is_none() && self.sha512.is_none()
    }

    /// The one that stands in the names of files (6.2).
    pub fn for_name(&self) -> Option<String> {
        self.sha256.map(|digest| digest.hex()).or_else(|| self.sha512.map(hex::encode))
    }

    /// Whether `bytes` have every one of these hashes.
    fn check(&self, bytes: &[u8]) -> Result<(), TufError> {
        if self.sha256.is_some_and(|expected| Digest::of(bytes) != expected) {
            return Err(TufError::OtherFile("its SHA-256 differs"));
        }
        if self.sha512.is_some_and(|expected| expected != <[u8; 64]>::from(Sha512::digest(bytes))) {
            return Err(TufError::OtherFile("its SHA-512 differs"));
        }
        Ok(())
    }
}

/// A file of metadata as timestamp or snapshot lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedMetadata {
    /// Its version.
    pub version: u64,
    /// Its length in bytes, where that is said.
    pub length_bytes: Option<u64>,
    /// Its hashes, where they are said.
    pub hashes: Hashes,
}

#[derive(Deserialize)]
struct ListedJson {
    version: u64,
    length: Option<u64>,
    hashes: Option<BTreeMap<String, String>>,
}

impl ListedMetadata {
    pub(super) fn read(value: &Value, name: &str) -> Result<Self, TufError> {
        let ListedJson { version, length, hashes } = read_as(value)?;
        if version == 0 {
            return Err(TufError::VersionZero);
        }
        let said = hashes.unwrap_or_default();
        let hashes = Hashes::read(&said, name)?;
        // Hashes that cannot be compared would else be hashes that nobody compares.
        if !said.is_empty() && hashes.is_empty() {
            return Err(TufError::Malformed(format!("no hash of '{}' is of a kind that is known", printable(name))));
        }
        Ok(Self { version, length_bytes: length, hashes })
    }

    /// 5.5.2 and 5.6.2: whether `bytes` are the file that is listed, as far as its length and hashes are.
    pub(super) fn check(&self, bytes: &[u8]) -> Result<(), TufError> {
        if self.length_bytes.is_some_and(|length| length != bytes.len() as u64) {
            return Err(TufError::OtherFile("its length differs"));
        }
        self.hashes.check(bytes)
    }

    /// 5.5.4 and 5.6.4: whether the version is the one that is listed.
    pub(super) fn check_version(&self, role: &str, found: u64) -> Result<(), TufError> {
        if found == self.version {
            return Ok(());
        }
        Err(TufError::OtherVersion { role: printable(role), expected: self.version, found })
    }
}

/// A target as somebody's signature vouches for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedTarget {
    /// Its length in bytes.
    pub length_bytes: u64,
    /// Its hashes; none when all that are listed are of kinds that we do not know, and then no bytes are this target.
    pub hashes: Hashes,
    /// What the signer says about it besides.
    pub custom: Option<Value>,
}

#[derive(Deserialize)]
struct TargetJson {
    length: u64,
    hashes: BTreeMap<String, String>,
    custom: Option<Value>,
}

impl ListedTarget {
    pub(super) fn read(value: &Value, path: &str) -> Result<Self, TufError> {
        let TargetJson { length, hashes, custom } = read_as(value)?;
        Ok(Self { length_bytes: length, hashes: Hashes::read(&hashes, path)?, custom })
    }

    /// 5.7.3: whether `bytes` are this target: its length, and every hash that is listed.
    pub fn check(&self, bytes: &[u8]) -> Result<(), TufError> {
        if self.hashes.is_empty() {
            return Err(TufError::OtherFile("no hash of it is of a kind that is known"));
        }
        if self.length_bytes != bytes.len() as u64 {
            return Err(TufError::OtherFile("its length differs"));
        }
        self.hashes.check(bytes)
    }
}
