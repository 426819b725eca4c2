//! Writing the repository that agents and other people's TUF clients read: what the owners delegate to the server's
//! online key, and the metadata that key signs. Pure: the server keeps the files and the counters.
//!
//! The owners' targets delegate one terminating role `permits-<audience>` an audience. Each lists one file a pair of
//! application and audience, a [`PermitFile`]: what a target needs to judge that pair without asking the server. The
//! online key gives freshness and never authority: every statement in such a file is checked as if a stranger had
//! brought it.

use super::{
    MAX_TIMESTAMP_BYTES, MetadataSignature, Root, TargetFile, Targets, TufError, TufRole,
    document::{Document, check_size, header, read_as},
};
use crate::{
    authority::Dossier,
    charter::Charter,
    digest::Digest,
    dsse::Envelope,
    json::{self, JsonError},
    key::{KeyId, PublicKey, Signer},
    names::{AppName, AudienceName},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The field of timestamp and of the owners' targets that says when they were signed: TUF itself says only until when
/// they are good.
pub const SIGNED_FIELD: &str = "x-sortie-signed";
/// What the names of permits among the targets begin with.
const PERMITS: &str = "permits";
/// The largest file of permits that is read, in bytes.
pub const MAX_PERMITS_BYTES: usize = 4 << 20;
/// The format of a file of permits.
const PERMITS_FORMAT: u32 = 1;

/// The role that lists what is permitted to an audience.
pub fn role_name(audience: &AudienceName) -> String {
    format!("permits-{audience}")
}

/// The audience a role lists permits to; nothing for a role of another kind.
pub fn role_audience(role: &str) -> Option<AudienceName> {
    role.strip_prefix("permits-").and_then(|name| AudienceName::new(name).ok())
}

/// The name among the targets of the file for one application and audience. It leads into no folder: where files are
/// found by their hashes, not all clients agree on which side of a folder the hash stands. Names of people's own have no
/// dot in them, so none reaches into those of another audience.
pub fn permits_target(audience: &AudienceName, app: &AppName) -> String {
    format!("{PERMITS}.{audience}.{app}.json")
}

/// The pattern of these names for an audience.
fn permits_pattern(audience: &AudienceName) -> String {
    format!("{PERMITS}.{audience}.*")
}

/// What `charter` makes the owners delegate: a terminating role an audience, to the server's ledger keys. A charter
/// that names none leaves it to the keys that root has for snapshots.
pub fn delegations(charter: &Charter, root: &Root) -> Value {
    let keys = match charter.server.ledger.is_empty() {
        true => root.keys(TufRole::Snapshot).0,
        false => charter.server.ledger.clone(),
    };
    let by_id: BTreeMap<String, &PublicKey> = keys.iter().map(|key| (key.id().to_string(), key)).collect();
    let role = |audience: &AudienceName| {
        json!({
            "name": role_name(audience),
            "keyids": by_id.keys().collect::<Vec<_>>(),
            "threshold": 1,
            "terminating": true,
            "paths": [permits_pattern(audience)],
        })
    };
    let mut audiences: Vec<&AudienceName> = charter.audience_names().collect();
    audiences.sort();
    let roles: Vec<Value> = audiences.into_iter().map(role).collect();
    json!({ "keys": by_id, "roles": roles })
}

/// Why delegations are not those that a charter asks for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DelegationError {
    /// They cannot be read.
    #[error("the delegations cannot be read: {0}")]
    Unreadable(String),
    /// An audience without a role.
    #[error("no role is delegated for {0}")]
    Absent(AudienceName),
    /// A role that is not as it should be.
    #[error("the role '{0}' is not one the charter asks for: one terminating role an audience, over its own files")]
    Unfit(String),
}

/// The keys that may sign for a role of permits, and how many must.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegated {
    /// The keys.
    pub keyids: Vec<KeyId>,
    /// How many must sign.
    pub threshold: u32,
}

#[derive(Deserialize)]
struct DelegationsJson {
    keys: BTreeMap<KeyId, PublicKey>,
    roles: Vec<RoleJson>,
}

#[derive(Deserialize)]
struct RoleJson {
    name: String,
    keyids: Vec<KeyId>,
    threshold: u32,
    terminating: bool,
    paths: Vec<String>,
}

/// The delegations of `targets` by audience, if they are what `charter` asks for; nothing where the owners have signed
/// no delegations at all, as they did before there was a repository.
pub fn delegated(
    targets: &Targets,
    charter: &Charter,
) -> Result<Option<BTreeMap<AudienceName, Delegated>>, DelegationError> {
    let Some(value) = targets.delegations() else { return Ok(None) };
    let read = read_as::<DelegationsJson>(value).map_err(|error| DelegationError::Unreadable(error.to_string()))?;
    let mut found = BTreeMap::new();
    for role in read.roles {
        let audience = role_audience(&role.name).filter(|audience| charter.audience(audience).is_some());
        let Some(audience) = audience else { return Err(DelegationError::Unfit(role.name)) };
        let is_sound = role.terminating
            && role.paths == [permits_pattern(&audience)]
            && (1..=role.keyids.len()).contains(&(role.threshold as usize))
            && role.keyids.iter().all(|id| read.keys.get(id).is_some_and(|key| key.id() == *id));
        let known = Delegated { keyids: role.keyids, threshold: role.threshold };
        if !is_sound || found.insert(audience, known).is_some() {
            return Err(DelegationError::Unfit(role.name));
        }
    }
    match charter.audience_names().find(|audience| !found.contains_key(*audience)) {
        Some(absent) => Err(DelegationError::Absent(absent.clone())),
        None => Ok(Some(found)),
    }
}

/// All that a target needs to judge one application in one audience, as the repository publishes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PermitFile {
    /// 1.
    pub format: u32,
    /// The estate.
    pub estate: Digest,
    /// The application.
    pub app: AppName,
    /// The audience.
    pub audience: AudienceName,
    /// The live permits, the newest first.
    pub permits: Vec<PublishedPermit>,
    /// Every withdrawal there ever was.
    pub withdrawals: Vec<Envelope>,
    /// What is said of freezes there: declared, lifted, excepted from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freezes: Vec<Envelope>,
}

/// The signed statements behind one live permit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedPermit {
    /// Who pushed the build.
    pub push: Envelope,
    /// Who numbered it.
    pub number: Envelope,
    /// The request.
    pub request: Envelope,
    /// Its approvals.
    pub approvals: Vec<Envelope>,
    /// What was found out about the build.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Envelope>,
}

impl PermitFile {
    /// A file of this format.
    pub fn new(estate: Digest, app: AppName, audience: AudienceName) -> Self {
        let (permits, withdrawals, freezes) = Default::default();
        Self { format: PERMITS_FORMAT, estate, app, audience, permits, withdrawals, freezes }
    }

    /// Reads a file. Nothing in it is trusted yet.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TufError> {
        check_size(bytes, MAX_PERMITS_BYTES)?;
        let file: Self = read_as(json::strict_value(bytes)?)?;
        match file.format {
            PERMITS_FORMAT => Ok(file),
            other => Err(TufError::Malformed(format!("a file of permits of format {other} is not known"))),
        }
    }

    /// The bytes that are published.
    pub fn to_bytes(&self) -> Result<Vec<u8>, JsonError> {
        json::sorted(self)
    }
}

impl PublishedPermit {
    /// The statements in the form in which a target judges them, without an order and without config.
    pub fn into_dossier(self, withdrawals: Vec<Envelope>) -> Dossier {
        let Self { push, number, request, approvals, evidence } = self;
        Dossier {
            push: Some(push),
            number: Some(number),
            request: Some(request),
            approvals,
            evidence,
            withdrawals,
            ..Dossier::default()
        }
    }
}

/// One file of metadata as another lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedFile {
    /// Its version.
    pub version: u64,
    /// Its length and digest.
    pub file: TargetFile,
}

impl ListedFile {
    /// Lists `bytes` as `version`.
    pub fn of(version: u64, bytes: &[u8]) -> Self {
        Self { version, file: TargetFile { length_bytes: bytes.len() as u64, digest: Digest::of(bytes) } }
    }

    fn json(&self) -> Value {
        let TargetFile { length_bytes, digest } = self.file;
        json!({ "version": self.version, "length": length_bytes, "hashes": { "sha256": digest.hex() } })
    }
}

/// A role's list of files: each with what people may want to know of it.
pub type Listing = BTreeMap<String, (TargetFile, Value)>;

/// The `targets` value of a role of permits.
pub fn listing(files: &Listing) -> Value {
    let entry = |(name, (file, custom)): (&String, &(TargetFile, Value))| {
        let mut value = json!({ "length": file.length_bytes, "hashes": { "sha256": file.digest.hex() } });
        if !custom.is_null() {
            value["custom"] = custom.clone();
        }
        (name.clone(), value)
    };
    Value::Object(files.iter().map(entry).collect())
}

/// The `signed` of a role of permits.
pub fn permits_role(version: u64, expires: Timestamp, targets: &Value) -> Result<Value, TufError> {
    let mut signed = header(TufRole::Targets, version, expires)?;
    signed["targets"] = targets.clone();
    Ok(signed)
}

/// The `signed` of a snapshot: which versions of the roles belong together. `files` are named like `targets.json`.
pub fn snapshot(version: u64, expires: Timestamp, files: &BTreeMap<String, ListedFile>) -> Result<Value, TufError> {
    let mut signed = header(TufRole::Snapshot, version, expires)?;
    let meta: Map<String, Value> = files.iter().map(|(name, file)| (name.clone(), file.json())).collect();
    signed["meta"] = Value::Object(meta);
    Ok(signed)
}

/// The `signed` of a timestamp: which snapshot is the newest, and that somebody said so at `signed_at`.
pub fn timestamp(
    version: u64,
    expires: Timestamp,
    signed_at: Timestamp,
    snapshot: &ListedFile,
) -> Result<Value, TufError> {
    let mut signed = header(TufRole::Timestamp, version, expires)?;
    signed["meta"] = json!({ "snapshot.json": snapshot.json() });
    signed[SIGNED_FIELD] = json!(whole_seconds(signed_at)?.to_string());
    Ok(signed)
}

/// Says in the owners' targets when they were signed.
pub fn date_targets(signed: &mut Value, signed_at: Timestamp) -> Result<(), TufError> {
    signed[SIGNED_FIELD] = json!(whole_seconds(signed_at)?.to_string());
    Ok(())
}

/// When metadata says that it was signed; nothing where it does not say.
pub fn signed_at(signed: &Value) -> Result<Option<Timestamp>, TufError> {
    let Some(value) = signed.get(SIGNED_FIELD) else { return Ok(None) };
    let written = value.as_str().unwrap_or_default();
    let time = written.parse().ok().filter(|time: &Timestamp| time.to_string() == written);
    let time = time.filter(|time| time.subsec_nanosecond() == 0);
    time.map(Some).ok_or_else(|| TufError::Malformed(format!("{SIGNED_FIELD} is not a time in whole seconds")))
}

/// Signs metadata that machines read often: without the white space that is for people.
pub fn sign_online(signed: &Value, signer: &dyn Signer) -> Result<Vec<u8>, TufError> {
    sign_online_by(signed, &[signer])
}

/// As [`sign_online`], with several keys.
pub fn sign_online_by(signed: &Value, signers: &[&dyn Signer]) -> Result<Vec<u8>, TufError> {
    let mut document = Document::unsigned(signed)?;
    signers.iter().try_for_each(|signer| document.sign(*signer))?;
    document.write_compact()
}

/// Adds somebody's signature to a file of metadata that machines read often. Whether it is genuine says whoever verifies
/// the file.
pub fn with_signature(bytes: &[u8], signature: MetadataSignature) -> Result<Vec<u8>, TufError> {
    let mut document = Document::read(bytes, MAX_TIMESTAMP_BYTES)?;
    document.add(signature);
    document.write_compact()
}

/// The withdrawals from one audience that a witness has heard of, by any road: a file of its own beside the repository's,
/// because it has no need of being fresh. Each proves itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WithdrawalsFile {
    /// 1.
    pub format: u32,
    /// The estate.
    pub estate: Digest,
    /// The audience.
    pub audience: AudienceName,
    /// The signed withdrawals.
    pub withdrawals: Vec<Envelope>,
}

/// Where the withdrawals from an audience lie at a witness, below its address.
pub fn withdrawals_path(audience: &AudienceName) -> String {
    format!("withdrawals/{audience}.json")
}

impl WithdrawalsFile {
    /// A file of this format.
    pub fn new(estate: Digest, audience: AudienceName, withdrawals: Vec<Envelope>) -> Self {
        Self { format: PERMITS_FORMAT, estate, audience, withdrawals }
    }

    /// Reads a file. Nothing in it is trusted yet.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TufError> {
        check_size(bytes, MAX_PERMITS_BYTES)?;
        let file: Self = read_as(json::strict_value(bytes)?)?;
        match file.format {
            PERMITS_FORMAT => Ok(file),
            other => Err(TufError::Malformed(format!("a file of withdrawals of format {other} is not known"))),
        }
    }

    /// The bytes that are served.
    pub fn to_bytes(&self) -> Result<Vec<u8>, JsonError> {
        json::sorted(self)
    }
}

fn whole_seconds(time: Timestamp) -> Result<Timestamp, TufError> {
    Timestamp::from_second(time.as_second()).map_err(|error| TufError::Malformed(error.to_string()))
}
