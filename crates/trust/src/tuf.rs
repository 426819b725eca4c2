//! The root of trust as TUF metadata (The Update Framework 1.0.x): [`Root`] and the owners' [`Targets`].
//!
//! A client's order of checks, by the sections of the TUF specification, and who does each:
//! 1. 5.1, fix the start time: the caller takes `now` once and gives it to every expiry check.
//! 2. 5.2, load the trusted root: [`Root::pinned`] for root 1, by the digest that names the estate.
//! 3. 5.3, update the root: [`walk`], then [`Root::check_expiry`] on the last root alone.
//! 4. 5.4 timestamp, 5.5 snapshot: not in this module yet. They stand between the root and targets and say which
//!    version of targets is the newest (5.6.2, 5.6.4). 5.3.11, forgetting them when their keys were replaced, is theirs
//!    too. Until they come, what a client has is rollback protection by the version it last accepted, and expiry.
//! 5. 5.6, update targets: [`Targets::verify`], then [`Targets::check_expiry`].
//! 6. 5.7, fetch a target: the caller compares length and digest with [`Targets::target`].
//!
//! Keeping files durably (5.3.8, 5.6.6) is the caller's. Sortie adds one field to root, `x-sortie-people`, which says
//! whose each owner's key is; TUF clients that do not know it keep it and count keys, Sortie counts people.

use crate::{
    digest::Digest,
    json::{self, JsonError},
    key::{KeyId, PublicKey, SignError, Signer},
    names::{PersonName, RoleName, printable},
    quorum::{Directory, Rule, SharedKeyError},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

mod builder;
pub mod repository;

pub use builder::RootBuilder;

/// The largest root file that is read (the W of 5.3.3).
pub const MAX_ROOT_BYTES: usize = 512 * 1024;
/// The largest targets file that is read (the Z of 5.6.1).
pub const MAX_TARGETS_BYTES: usize = 8 * 1024 * 1024;
/// The most roots that one [`walk`] takes (the Y of 5.3.3).
pub const MAX_ROOTS_WALKED: usize = 1024;
/// The version of the TUF specification that written metadata follows.
pub const SPEC_VERSION: &str = "1.0.31";
/// The field of root that maps key ids to the people whose keys they are.
pub const PEOPLE_FIELD: &str = "x-sortie-people";

/// A top-level role of TUF, not to be confused with the roles of a charter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TufRole {
    /// Owners, who say which keys may do what.
    Root,
    /// Owners, who sign the charter.
    Targets,
    /// The server's online key: which versions belong together.
    Snapshot,
    /// The server's online key: that all this is fresh.
    Timestamp,
}

impl TufRole {
    const ALL: [TufRole; 4] = [TufRole::Root, TufRole::Targets, TufRole::Snapshot, TufRole::Timestamp];

    /// Whether its keys belong to people, who are counted, and not to the server.
    fn is_of_people(self) -> bool {
        matches!(self, TufRole::Root | TufRole::Targets)
    }
}

impl fmt::Display for TufRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TufRole::Root => "root",
            TufRole::Targets => "targets",
            TufRole::Snapshot => "snapshot",
            TufRole::Timestamp => "timestamp",
        })
    }
}

/// Which check a piece of TUF metadata failed.
#[derive(Debug, thiserror::Error)]
pub enum TufError {
    /// More bytes than metadata of this kind may have.
    #[error("the metadata has {size_bytes} bytes, more than the {limit_bytes} it may have")]
    Oversized {
        /// What was given, in bytes.
        size_bytes: usize,
        /// The most that is read, in bytes.
        limit_bytes: usize,
    },
    /// Not JSON that every reader takes for the same thing.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A field is absent or of the wrong form.
    #[error("not TUF metadata: {0}")]
    Malformed(String),
    /// Metadata of another kind.
    #[error("{expected} metadata was expected, and this says it is '{found}'")]
    WrongType {
        /// What was wanted.
        expected: TufRole,
        /// The `_type` it states.
        found: String,
    },
    /// Written for another major version of TUF.
    #[error("TUF version '{0}' is not supported: 1.x is")]
    SpecVersion(String),
    /// Versions count from 1.
    #[error("version 0 does not exist: versions count from 1")]
    VersionZero,
    /// An expiry that is not to the second and in UTC.
    #[error("'{0}' is not a time written like 2030-01-31T12:00:00Z")]
    ExpiryFormat(String),
    /// Root metadata that does not promise consistent snapshots.
    #[error("root must say \"consistent_snapshot\": true")]
    NotConsistent,
    /// A security key, which other people's TUF clients do not know.
    #[error(
        "key {0} is a security key, whose signatures only Sortie verifies: owners sign with Ed25519 or P-256, of a \
         smart card for instance, so that any TUF client can check them"
    )]
    SecurityKey(KeyId),
    /// A key is listed under an id that is not its own.
    #[error("a key is listed as {listed}, and its id is {computed}")]
    WrongKeyId {
        /// The id in the file.
        listed: KeyId,
        /// The id of the key.
        computed: KeyId,
    },
    /// A role lists a key that the file does not hold.
    #[error("the role {role} lists key {keyid}, which is not among the keys")]
    UnknownKey {
        /// The role.
        role: TufRole,
        /// The id that is listed.
        keyid: KeyId,
    },
    /// A role lists one key twice.
    #[error("the role {role} lists key {keyid} twice")]
    RepeatedKey {
        /// The role.
        role: TufRole,
        /// The id that is listed.
        keyid: KeyId,
    },
    /// A role without keys.
    #[error("the role {0} has no keys")]
    EmptyRole(TufRole),
    /// A threshold that everyone meets.
    #[error("the role {0} has threshold 0: at least one signature must be needed")]
    ThresholdZero(TufRole),
    /// A threshold that nobody can meet.
    #[error("the role {role} needs {threshold} to sign, and has {available}")]
    ThresholdUnreachable {
        /// The role.
        role: TufRole,
        /// How many must sign.
        threshold: u32,
        /// How many distinct people (for the server's roles: keys) could.
        available: usize,
    },
    /// An owner's key without a name to it.
    #[error("key {0} may sign for root or targets, and x-sortie-people does not say whose it is")]
    NobodysKey(KeyId),
    /// A name for a key that is no owner's.
    #[error("x-sortie-people names {person} for key {keyid}, which is in neither root nor targets")]
    StrayPerson {
        /// Who is named.
        person: PersonName,
        /// The id that is listed.
        keyid: KeyId,
    },
    /// One key under two people.
    #[error(transparent)]
    SharedKey(#[from] SharedKeyError),
    /// Two signatures under one key id.
    #[error("key {0} stands twice among the signatures")]
    RepeatedSignature(KeyId),
    /// Too few people signed.
    #[error(
        "not signed as version {by_version} of root asks of the role {role}: {lacking} more people must sign \
         (signed by {})",
        list(signed_by)
    )]
    NotEnoughSignatures {
        /// The role that must sign.
        role: TufRole,
        /// The version of root that says who is in that role.
        by_version: u64,
        /// How many more distinct people must sign.
        lacking: u32,
        /// Whose genuine signatures it bears.
        signed_by: BTreeSet<PersonName>,
    },
    /// The chain of roots begins elsewhere than at 1.
    #[error("the first root is version 1, and this is version {0}")]
    NotFirst(u64),
    /// The first root of another estate.
    #[error("this is the root of another estate: {expected} is pinned, and this is {found}")]
    OtherEstate {
        /// The estate that is pinned.
        expected: Digest,
        /// The digest of the file.
        found: Digest,
    },
    /// A root that does not follow the trusted one.
    #[error("version {expected} of root must come next, and this is version {found}")]
    NotNext {
        /// The version that follows the trusted root's.
        expected: u64,
        /// The version it has.
        found: u64,
    },
    /// More roots than one walk takes.
    #[error("{0} roots are more than the {MAX_ROOTS_WALKED} that are taken at once: take them in parts")]
    TooManyRoots(usize),
    /// Targets older than what was accepted before.
    #[error("version {found} of targets is older than version {minimum}, which was accepted before: a rollback")]
    Rollback {
        /// The oldest version that may be accepted.
        minimum: u64,
        /// The version it has.
        found: u64,
    },
    /// The metadata's time is over.
    #[error("version {version} of {role} expired at {expires}: an owner must sign a new one, or new ones are withheld")]
    Expired {
        /// The kind of metadata.
        role: TufRole,
        /// Its version.
        version: u64,
        /// When it expired.
        expires: Timestamp,
    },
    /// The signer failed.
    #[error(transparent)]
    Sign(#[from] SignError),
}

fn list(people: &BTreeSet<PersonName>) -> String {
    if people.is_empty() {
        return "nobody".into();
    }
    people.iter().map(PersonName::as_str).collect::<Vec<_>>().join(", ")
}

/// A verified root: who the owners are, and how many of them must sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    estate: Digest,
    digest: Digest,
    content: RootContent,
}

/// The checked content of root's `signed`, without a word on who signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RootContent {
    version: u64,
    expires: Timestamp,
    keys: BTreeMap<KeyId, PublicKey>,
    people: BTreeMap<KeyId, PersonName>,
    roles: RolesJson,
}

impl Root {
    /// Takes root 1 on its own word: it must be signed by its own threshold. Its digest becomes the estate's id, so no
    /// signature may be added to the file afterwards. A client that was given an estate uses [`Root::pinned`].
    pub fn bootstrap(bytes: &[u8]) -> Result<Self, TufError> {
        let document = Document::read(bytes, MAX_ROOT_BYTES)?;
        let content = RootContent::read(&document.signed)?;
        content.check_signatures(&document, TufRole::Root)?;
        if content.version != 1 {
            return Err(TufError::NotFirst(content.version));
        }
        let digest = Digest::of(bytes);
        Ok(Self { estate: digest, digest, content })
    }

    /// TUF 5.2: takes root 1 of the estate that is pinned, and no other file.
    pub fn pinned(bytes: &[u8], estate: &Digest) -> Result<Self, TufError> {
        check_size(bytes, MAX_ROOT_BYTES)?;
        let found = Digest::of(bytes);
        if found != *estate {
            return Err(TufError::OtherEstate { expected: *estate, found });
        }
        Self::bootstrap(bytes)
    }

    /// TUF 5.3.3 to 5.3.7: takes the next version of root, signed by this root's threshold and by its own.
    pub fn next(&self, bytes: &[u8]) -> Result<Self, TufError> {
        // 5.3.3: no more than W bytes are read.
        let document = Document::read(bytes, MAX_ROOT_BYTES)?;
        let content = RootContent::read(&document.signed)?;
        // 5.3.4: signed by (1) a threshold of version N and (2) a threshold of version N+1.
        self.content.check_signatures(&document, TufRole::Root)?;
        content.check_signatures(&document, TufRole::Root)?;
        // 5.3.5: exactly N+1.
        let expected = self.content.version.saturating_add(1);
        if content.version != expected {
            return Err(TufError::NotNext { expected, found: content.version });
        }
        // 5.3.6: an intermediate root may be expired. 5.3.7: the new root is the trusted one.
        Ok(Self { estate: self.estate, digest: Digest::of(bytes), content })
    }

    /// TUF 5.3.10: whether the root is still good at `now`. Asked of the last root of a walk only.
    pub fn check_expiry(&self, now: Timestamp) -> Result<(), TufError> {
        check_expiry(TufRole::Root, self.content.version, self.content.expires, now)
    }

    /// The estate: the digest of the exact bytes of root 1.
    pub fn estate(&self) -> Digest {
        self.estate
    }

    /// The digest of this root's exact bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Its version, from 1.
    pub fn version(&self) -> u64 {
        self.content.version
    }

    /// When it expires.
    pub fn expires(&self) -> Timestamp {
        self.content.expires
    }

    /// The owners: everyone whose key may sign the charter, one pair a key.
    pub fn owners(&self) -> Vec<(PersonName, PublicKey)> {
        self.content.people_of(TufRole::Targets)
    }

    /// Everyone whose key may sign the next root, one pair a key.
    pub fn root_holders(&self) -> Vec<(PersonName, PublicKey)> {
        self.content.people_of(TufRole::Root)
    }

    /// The keys that may sign for a role, and how many must.
    pub fn keys(&self, role: TufRole) -> (Vec<PublicKey>, u32) {
        let RoleJson { keyids, threshold } = self.content.roles.of(role);
        (keyids.iter().filter_map(|id| self.content.keys.get(id).copied()).collect(), *threshold)
    }
}

/// TUF 5.3.2 to 5.3.9: takes a chain of roots in order, each the next of the one before, and gives the last.
/// The roots before a bad one are good: call with fewer, or use [`Root::next`], to keep them.
pub fn walk(trusted: Root, chain: &[Vec<u8>]) -> Result<Root, TufError> {
    // 5.3.3: no more than Y files.
    if chain.len() > MAX_ROOTS_WALKED {
        return Err(TufError::TooManyRoots(chain.len()));
    }
    chain.iter().try_fold(trusted, |root, bytes| root.next(bytes))
}

/// Verified top-level targets: what the owners signed, above all the charter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Targets {
    digest: Digest,
    version: u64,
    expires: Timestamp,
    signed_at: Option<Timestamp>,
    targets: BTreeMap<String, TargetFile>,
    delegations: Option<Value>,
}

/// What the owners signed about one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetFile {
    /// Its length in bytes.
    pub length_bytes: u64,
    /// The digest of its content.
    pub digest: Digest,
}

impl Targets {
    /// TUF 5.6.1 to 5.6.4: takes targets signed by the owners whom `root` names, no older than `minimum_version`
    /// (the version last accepted; 0 when none was).
    pub fn verify(bytes: &[u8], root: &Root, minimum_version: u64) -> Result<Self, TufError> {
        // 5.6.1: no more than Z bytes are read. 5.6.2 compares with snapshot's hash, once there is a snapshot.
        let document = Document::read(bytes, MAX_TARGETS_BYTES)?;
        // 5.6.3: signed by a threshold of the role as the trusted root has it.
        root.content.check_signatures(&document, TufRole::Targets)?;
        let targets = Self::read(&document.signed, Digest::of(bytes))?;
        // 5.6.4 asks for the version that snapshot lists, and 5.5.5 that this never falls; without a snapshot the
        // version last accepted is what it must not fall below.
        if targets.version < minimum_version {
            return Err(TufError::Rollback { minimum: minimum_version, found: targets.version });
        }
        Ok(targets)
    }

    fn read(signed: &Value, digest: Digest) -> Result<Self, TufError> {
        let (version, expires) = read_header(signed, TufRole::Targets)?;
        let json: TargetsJson = read_as(signed)?;
        let signed_at = repository::signed_at(signed)?;
        let read_target = |(name, target): (String, TargetJson)| {
            let digest = Digest::from_hex(&target.hashes.sha256)
                .map_err(|_| TufError::Malformed(format!("the hash of '{}' is not SHA-256", printable(&name))))?;
            Ok((name, TargetFile { length_bytes: target.length, digest }))
        };
        let targets = json.targets.into_iter().map(read_target).collect::<Result<_, TufError>>()?;
        Ok(Self { digest, version, expires, signed_at, targets, delegations: json.delegations })
    }

    /// TUF 5.6.5: whether the targets are still good at `now`.
    pub fn check_expiry(&self, now: Timestamp) -> Result<(), TufError> {
        check_expiry(TufRole::Targets, self.version, self.expires, now)
    }

    /// The length in bytes and the digest of a file by its name, `charter.toml` for one.
    pub fn target(&self, name: &str) -> Option<(u64, Digest)> {
        self.targets.get(name).map(|target| (target.length_bytes, target.digest))
    }

    /// The delegations as they were signed. Nothing in this module follows them.
    pub fn delegations(&self) -> Option<&Value> {
        self.delegations.as_ref()
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

    /// A `signed` for owners to sign with [`sign_metadata`].
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
        Self::read(&signed, Digest::of(b""))?;
        Ok(signed)
    }
}

impl RootContent {
    fn read(signed: &Value) -> Result<Self, TufError> {
        let (version, expires) = read_header(signed, TufRole::Root)?;
        let json: RootJson = read_as(signed)?;
        if !json.consistent_snapshot {
            return Err(TufError::NotConsistent);
        }
        let keys = json.keys.into_iter().map(|(id, key)| read_key(id, key)).collect::<Result<_, _>>()?;
        let content = Self { version, expires, keys, people: json.people, roles: json.roles };
        content.check_people()?;
        for role in TufRole::ALL {
            content.check_role(role)?;
        }
        Ok(content)
    }

    /// Every key of root and targets has a person, and nobody else is named.
    fn check_people(&self) -> Result<(), TufError> {
        let of_people: BTreeSet<&KeyId> = self.roles.root.keyids.iter().chain(&self.roles.targets.keyids).collect();
        if let Some(nobodys) = of_people.iter().find(|id| !self.people.contains_key(**id)) {
            return Err(TufError::NobodysKey(**nobodys));
        }
        match self.people.iter().find(|(id, _)| !of_people.contains(id)) {
            Some((keyid, person)) => Err(TufError::StrayPerson { person: person.clone(), keyid: *keyid }),
            None => Ok(()),
        }
    }

    /// The role has known keys, once each, and a threshold that is more than nothing and can be met.
    fn check_role(&self, role: TufRole) -> Result<(), TufError> {
        let RoleJson { keyids, threshold } = self.roles.of(role);
        if keyids.is_empty() {
            return Err(TufError::EmptyRole(role));
        }
        let mut seen = BTreeSet::new();
        for keyid in keyids {
            if !self.keys.contains_key(keyid) {
                return Err(TufError::UnknownKey { role, keyid: *keyid });
            }
            if !seen.insert(keyid) {
                return Err(TufError::RepeatedKey { role, keyid: *keyid });
            }
        }
        if *threshold == 0 {
            return Err(TufError::ThresholdZero(role));
        }
        let available = if role.is_of_people() {
            keyids.iter().filter_map(|id| self.people.get(id)).collect::<BTreeSet<_>>().len()
        } else {
            keyids.len()
        };
        if (*threshold as usize) > available {
            return Err(TufError::ThresholdUnreachable { role, threshold: *threshold, available });
        }
        Ok(())
    }

    fn people_of(&self, role: TufRole) -> Vec<(PersonName, PublicKey)> {
        let named = |id: &KeyId| Some((self.people.get(id)?.clone(), *self.keys.get(id)?));
        self.roles.of(role).keyids.iter().filter_map(named).collect()
    }

    /// Whether `document` bears genuine signatures of enough distinct people of `role`. The people are counted by
    /// [`Rule::judge`], over a directory that holds this role's keys and no others.
    fn check_signatures(&self, document: &Document, role: TufRole) -> Result<(), TufError> {
        let owner = RoleName::new("owner").map_err(|e| TufError::Malformed(e.to_string()))?;
        let mut directory = Directory::default();
        for (person, key) in self.people_of(role) {
            directory.add(&person, Some(key), [owner.clone()])?;
        }
        let genuine = document.signatures.iter().filter_map(|(keyid, signature)| {
            directory.key(keyid)?.verify(&document.message, signature).then_some(*keyid)
        });
        let judgement = Rule::people_in(self.roles.of(role).threshold, owner).judge(genuine, &directory);
        if judgement.is_met() {
            return Ok(());
        }
        let lacking = judgement.lacks.iter().map(|lack| lack.count).sum();
        Err(TufError::NotEnoughSignatures { role, by_version: self.version, lacking, signed_by: judgement.people })
    }
}

/// A file of metadata with its signatures, nothing verified.
struct Document {
    signed: Value,
    /// The canonical form of `signed`, which signatures are made over (TUF 4.2.1). Fields that are not understood are
    /// in it.
    message: Vec<u8>,
    signatures: Vec<(KeyId, Vec<u8>)>,
}

impl Document {
    fn read(bytes: &[u8], limit_bytes: usize) -> Result<Self, TufError> {
        check_size(bytes, limit_bytes)?;
        let json: DocumentJson = read_as(&json::strict_value(bytes)?)?;
        let mut signatures: Vec<(KeyId, Vec<u8>)> = Vec::new();
        let mut seen = BTreeSet::new();
        for SignatureJson { keyid, sig } in json.signatures {
            // 4.2.1: a key id stands once among the signatures.
            if !seen.insert(keyid) {
                return Err(TufError::RepeatedSignature(keyid));
            }
            let sig = hex::decode(sig).map_err(|_| TufError::Malformed("a signature is not hexadecimal".into()))?;
            signatures.push((keyid, sig));
        }
        Ok(Self { message: json::canonical(&json.signed)?, signed: json.signed, signatures })
    }

    fn write(&self) -> Result<Vec<u8>, TufError> {
        let signatures = self.signatures.iter().map(|(id, sig)| SignatureJson { keyid: *id, sig: hex::encode(sig) });
        let json = DocumentJson { signed: self.signed.clone(), signatures: signatures.collect() };
        let mut bytes = serde_json::to_vec_pretty(&json).map_err(JsonError::from)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    fn write_compact(&self) -> Result<Vec<u8>, TufError> {
        let signatures = self.signatures.iter().map(|(id, sig)| SignatureJson { keyid: *id, sig: hex::encode(sig) });
        let json = DocumentJson { signed: self.signed.clone(), signatures: signatures.collect() };
        Ok(serde_json::to_vec(&json).map_err(JsonError::from)?)
    }

    /// Adds the signer's signature, in place of an earlier one by the same key.
    fn sign(&mut self, signer: &dyn Signer) -> Result<(), TufError> {
        let public = signer.public();
        let signature = signer.sign(&self.message)?;
        if !public.verify(&self.message, &signature) {
            return Err(SignError("the signer gave a signature that its own key does not verify".into()).into());
        }
        self.signatures.retain(|(keyid, _)| *keyid != public.id());
        self.signatures.push((public.id(), signature));
        Ok(())
    }
}

/// A file of metadata over `signed`, with a signature of each signer (none yet, where there are none).
pub fn sign_metadata(signed: &Value, signers: &[&dyn Signer]) -> Result<Vec<u8>, TufError> {
    let mut document = Document { message: json::canonical(signed)?, signed: signed.clone(), signatures: Vec::new() };
    for signer in signers {
        document.sign(*signer)?;
    }
    document.write()
}

/// Adds a signature to a file of metadata and keeps the others, so that owners can sign in their own time. Whoever
/// signs has read what the file says: this function does not judge it.
pub fn add_signature(bytes: &[u8], signer: &dyn Signer) -> Result<Vec<u8>, TufError> {
    let mut document = Document::read(bytes, MAX_TARGETS_BYTES)?;
    document.sign(signer)?;
    document.write()
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DocumentJson {
    signatures: Vec<SignatureJson>,
    signed: Value,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignatureJson {
    keyid: KeyId,
    sig: String,
}

/// What every `signed` has. Fields that are not known are tolerated here, as TUF asks; they are signed all the same.
#[derive(Deserialize)]
struct HeaderJson {
    #[serde(rename = "_type")]
    kind: String,
    spec_version: String,
    version: u64,
    expires: String,
}

#[derive(Deserialize)]
struct RootJson {
    consistent_snapshot: bool,
    keys: BTreeMap<KeyId, Value>,
    roles: RolesJson,
    #[serde(rename = "x-sortie-people")]
    people: BTreeMap<KeyId, PersonName>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RolesJson {
    root: RoleJson,
    targets: RoleJson,
    snapshot: RoleJson,
    timestamp: RoleJson,
}

impl RolesJson {
    fn of(&self, role: TufRole) -> &RoleJson {
        match role {
            TufRole::Root => &self.root,
            TufRole::Targets => &self.targets,
            TufRole::Snapshot => &self.snapshot,
            TufRole::Timestamp => &self.timestamp,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RoleJson {
    keyids: Vec<KeyId>,
    threshold: u32,
}

#[derive(Deserialize)]
struct TargetsJson {
    targets: BTreeMap<String, TargetJson>,
    delegations: Option<Value>,
}

#[derive(Deserialize)]
struct TargetJson {
    length: u64,
    hashes: HashesJson,
}

#[derive(Deserialize)]
struct HashesJson {
    sha256: String,
}

fn header(role: TufRole, version: u64, expires: Timestamp) -> Result<Value, TufError> {
    // Seconds are all that TUF's form of a time has room for.
    let expires = Timestamp::from_second(expires.as_second()).map_err(|e| TufError::Malformed(e.to_string()))?;
    Ok(json!({
        "_type": role.to_string(),
        "spec_version": SPEC_VERSION,
        "version": version,
        "expires": expires.to_string(),
    }))
}

fn read_header(signed: &Value, role: TufRole) -> Result<(u64, Timestamp), TufError> {
    let header: HeaderJson = read_as(signed)?;
    if header.kind != role.to_string() {
        return Err(TufError::WrongType { expected: role, found: printable(&header.kind) });
    }
    // 4.3: the specification's version must match; as the reference implementation, we compare the major one.
    if !semver::Version::parse(&header.spec_version).is_ok_and(|version| version.major == 1) {
        return Err(TufError::SpecVersion(printable(&header.spec_version)));
    }
    if header.version == 0 {
        return Err(TufError::VersionZero);
    }
    // The one form of a time that TUF allows is also the one that jiff writes for whole seconds.
    let expires = header.expires.parse().ok().filter(|time: &Timestamp| time.to_string() == header.expires);
    let expires = expires.ok_or_else(|| TufError::ExpiryFormat(printable(&header.expires)))?;
    if expires.subsec_nanosecond() != 0 {
        return Err(TufError::ExpiryFormat(printable(&header.expires)));
    }
    Ok((header.version, expires))
}

/// Reads a key object and checks that it is listed under its own id (TUF 4.3: clients must calculate it).
fn read_key(listed: KeyId, value: Value) -> Result<(KeyId, PublicKey), TufError> {
    let key: PublicKey = read_as(&value)?;
    // The id is a hash of the key object as it stands, so another spelling of the same key would have another id.
    if json!(key) != value {
        return Err(TufError::Malformed(format!("key {listed} is not spelled in the one accepted way")));
    }
    let computed = key.id();
    if listed != computed {
        return Err(TufError::WrongKeyId { listed, computed });
    }
    if key.is_security_key() {
        return Err(TufError::SecurityKey(listed));
    }
    Ok((listed, key))
}

fn read_as<T: DeserializeOwned>(value: &Value) -> Result<T, TufError> {
    T::deserialize(value)
        .map_err(|e| TufError::Malformed(printable(&e.to_string().chars().take(300).collect::<String>())))
}

fn check_size(bytes: &[u8], limit_bytes: usize) -> Result<(), TufError> {
    if bytes.len() > limit_bytes {
        return Err(TufError::Oversized { size_bytes: bytes.len(), limit_bytes });
    }
    Ok(())
}

fn check_expiry(role: TufRole, version: u64, expires: Timestamp, now: Timestamp) -> Result<(), TufError> {
    if expires > now { Ok(()) } else { Err(TufError::Expired { role, version, expires }) }
}

#[cfg(test)]
mod tests;
