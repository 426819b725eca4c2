//! Targets metadata (TUF 4.6): what the owners, or those they delegate to, signed about files.

use super::{
    MAX_TARGETS_BYTES, Root, TufError, TufRole,
    delegations::Delegations,
    document::{Document, check_expiry, header, read_as, read_header},
    listed::ListedTarget,
    repository,
    root::Form,
};
use crate::{digest::Digest, names::printable};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Verified targets metadata: of the owners, above all the charter; or of a role that is delegated to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Targets {
    digest: Digest,
    version: u64,
    expires: Timestamp,
    signed_at: Option<Timestamp>,
    targets: BTreeMap<String, ListedTarget>,
    delegations: Option<(Value, Delegations)>,
}

/// A file's length and digest, for the owners to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetFile {
    /// Its length in bytes.
    pub length_bytes: u64,
    /// The digest of its content.
    pub digest: Digest,
}

#[derive(Deserialize)]
struct TargetsJson {
    targets: BTreeMap<String, Value>,
    delegations: Option<Value>,
}

impl Targets {
    /// TUF 5.6.1 to 5.6.4 without a snapshot, for whoever has the owners' documents from elsewhere than a repository:
    /// takes targets signed by the owners whom `root` names, no older than `minimum_version` (the version last
    /// accepted; 0 when none was).
    pub fn verify(bytes: &[u8], root: &Root, minimum_version: u64) -> Result<Self, TufError> {
        let targets = Self::top_level(bytes, root)?;
        // 5.6.4 asks for the version that snapshot lists, and 5.5.5 that this never falls; without a snapshot the
        // version last accepted is what it must not fall below.
        if targets.version < minimum_version {
            let role = TufRole::Targets.to_string();
            return Err(TufError::Rollback { role, minimum: minimum_version, found: targets.version });
        }
        Ok(targets)
    }

    /// 5.6.1 and 5.6.3: takes top-level targets that are signed as `root` asks.
    pub(super) fn top_level(bytes: &[u8], root: &Root) -> Result<Self, TufError> {
        let document = Document::read(bytes, MAX_TARGETS_BYTES)?;
        root.check_signatures(&document, TufRole::Targets)?;
        Self::read(&document.signed, Digest::of(bytes), root.form())
    }

    /// 5.6.1 and 5.6.3: takes the targets of `role` that are signed as these targets, those of the role `own_name`, ask.
    pub(super) fn delegated(&self, own_name: &str, role: &str, bytes: &[u8], form: Form) -> Result<Self, TufError> {
        let document = Document::read(bytes, MAX_TARGETS_BYTES)?;
        match &self.delegations {
            Some((_, delegations)) => delegations.check(role, own_name, self.version, &document)?,
            None => return Err(TufError::Malformed(format!("'{}' delegates to nobody", printable(own_name)))),
        }
        Self::read(&document.signed, Digest::of(bytes), form)
    }

    fn read(signed: &Value, digest: Digest, form: Form) -> Result<Self, TufError> {
        let (version, expires) = read_header(signed, TufRole::Targets)?;
        let json: TargetsJson = read_as(signed)?;
        let mut targets = BTreeMap::new();
        for (path, value) in json.targets {
            let target = ListedTarget::read(&value, &path)?;
            if form == Form::Estate && target.hashes.sha256.is_none() {
                return Err(TufError::Malformed(format!("'{}' has no SHA-256", printable(&path))));
            }
            targets.insert(path, target);
        }
        let read_delegations = |value: Value| Delegations::read(&value, form).map(|delegations| (value, delegations));
        let delegations = json.delegations.map(read_delegations).transpose()?;
        let signed_at = repository::signed_at(signed)?;
        Ok(Self { digest, version, expires, signed_at, targets, delegations })
    }

    /// TUF 5.6.5: whether the targets are still good at `now`.
    pub fn check_expiry(&self, now: Timestamp) -> Result<(), TufError> {
        self.check_expiry_of(TufRole::Targets.as_str(), now)
    }

    pub(super) fn check_expiry_of(&self, role: &str, now: Timestamp) -> Result<(), TufError> {
        check_expiry(&printable(role), self.version, self.expires, now)
    }

    /// The length in bytes and the digest of a file by its name, `charter.toml` for one.
    pub fn target(&self, name: &str) -> Option<(u64, Digest)> {
        self.targets.get(name).and_then(|target| Some((target.length_bytes, target.hashes.sha256?)))
    }

    /// What is signed about a file.
    pub(super) fn listed(&self, path: &str) -> Option<&ListedTarget> {
        self.targets.get(path)
    }

    /// Every file that is signed for here, by its path.
    pub fn all(&self) -> impl Iterator<Item = (&str, &ListedTarget)> {
        self.targets.iter().map(|(path, target)| (path.as_str(), target))
    }

    /// The delegations as they were signed.
    pub fn delegations(&self) -> Option<&Value> {
        self.delegations.as_ref().map(|(value, _)| value)
    }

    /// To whom is delegated, in order.
    pub(super) fn delegates(&self) -> &[super::delegations::DelegatedRole] {
        self.delegations.as_ref().map_or(&[], |(_, delegations)| &delegations.roles)
    }

    /// The digest of the file's exact bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Its version, from 1.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// When it expires.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// When its first signature was made, as the owners say; nothing in files from before they said so.
    pub fn signed_at(&self) -> Option<Timestamp> {
        self.signed_at
    }

    /// A `signed` for owners to sign with [`super::sign_metadata`].
    pub fn unsigned(
        version: u64,
        expires: Timestamp,
        targets: &BTreeMap<String, TargetFile>,
        delegations: Option<&Value>,
    ) -> Result<Value, TufError> {
        let entry = |(name, target): (&String, &TargetFile)| {
            let value = json!({"length": target.length_bytes, "hashes": {"sha256": target.digest.hex()}});
            (name.clone(), value)
        };
        let mut signed = header(TufRole::Targets, version, expires)?;
        signed["targets"] = Value::Object(targets.iter().map(entry).collect());
        if let Some(delegations) = delegations {
            signed["delegations"] = delegations.clone();
        }
        Self::read(&signed, Digest::of(b""), Form::Estate)?;
        Ok(signed)
    }
}
