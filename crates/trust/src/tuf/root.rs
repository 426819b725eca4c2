//! Root metadata (TUF 4.3): whose keys are in which role, and the chain from one root to the next (5.2 and 5.3).

use super::{
    MAX_ROOT_BYTES, MAX_ROOTS_WALKED, PEOPLE_FIELD, TufError, TufRole,
    document::{Document, check_expiry, check_size, read_as, read_header},
    keys::{Delegator, Key, Keyring, RoleKeys},
};
use crate::{
    digest::Digest,
    key::PublicKey,
    names::{PersonName, printable},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What a root must be like, which the first root decides for all that follow it and for all they vouch for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// An estate's: every owner's key has a person, every key one spelling, every role a threshold it can reach.
    Estate,
    /// That of any TUF repository.
    Plain,
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
pub(super) struct RootContent {
    form: Form,
    version: u64,
    expires: Timestamp,
    consistent_snapshot: bool,
    keyring: Keyring,
    roles: RolesJson,
}

impl Root {
    /// Takes root 1 on its own word: it must be signed by its own threshold. Its digest becomes the estate's id, so no
    /// signature may be added to the file afterwards. A client that was given an estate uses [`Root::pinned`].
    pub fn bootstrap(bytes: &[u8]) -> Result<Self, TufError> {
        let root = Self::read(bytes, Form::Estate)?;
        match root.version() {
            1 => Ok(root),
            version => Err(TufError::NotFirst(version)),
        }
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

    /// TUF 5.2, for a repository that is no estate: takes a root of any version that the caller trusts already, without
    /// people and with every kind of key. Roots that follow it may be like that too.
    pub fn of_any_repository(bytes: &[u8]) -> Result<Self, TufError> {
        Self::read(bytes, Form::Plain)
    }

    fn read(bytes: &[u8], form: Form) -> Result<Self, TufError> {
        let document = Document::read(bytes, MAX_ROOT_BYTES)?;
        let content = RootContent::read(&document.signed, form)?;
        content.check_signatures(&document, TufRole::Root)?;
        let digest = Digest::of(bytes);
        Ok(Self { estate: digest, digest, content })
    }

    /// TUF 5.3.3 to 5.3.7: takes the next version of root, signed by this root's threshold and by its own.
    pub fn next(&self, bytes: &[u8]) -> Result<Self, TufError> {
        // 5.3.3: no more than W bytes are read.
        let document = Document::read(bytes, MAX_ROOT_BYTES)?;
        let content = RootContent::read(&document.signed, self.content.form)?;
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
        check_expiry(TufRole::Root.as_str(), self.content.version, self.content.expires, now)
    }

    /// The estate: the digest of the exact bytes of root 1. (Of the root that was trusted first, where there is no estate.)
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

    /// Whether files are named by version and digest (5.3.12 and 6.2). In an estate they always are.
    pub fn consistent_snapshot(&self) -> bool {
        self.content.consistent_snapshot
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
        let RoleKeys { keyids, threshold } = self.content.roles.of(role);
        (keyids.iter().filter_map(|id| self.content.own_key(id)).collect(), *threshold)
    }

    /// The witness: whose signature every timestamp needs, and who may not sign snapshot. Nobody where the others suffice.
    pub fn witness(&self) -> Option<PublicKey> {
        let (snapshot, _) = self.keys(TufRole::Snapshot);
        let (timestamp, threshold) = self.keys(TufRole::Timestamp);
        let mut witnesses = timestamp.iter().filter(|key| !snapshot.contains(key));
        let witness = *witnesses.next()?;
        (witnesses.next().is_none() && threshold as usize == timestamp.len()).then_some(witness)
    }

    /// This root as the witness `key` looks at a timestamp that it has not signed: everybody else must have. Nothing that
    /// this vouches for counts for anybody else.
    pub(super) fn before_the_witness(&self, key: &PublicKey) -> Option<Self> {
        if self.witness() != Some(*key) {
            return None;
        }
        let mut root = self.clone();
        let timestamp = &mut root.content.roles.timestamp;
        timestamp.keyids.retain(|id| *id != key.id().to_string());
        timestamp.threshold -= 1;
        Some(root)
    }

    pub(super) fn form(&self) -> Form {
        self.content.form
    }

    /// Whether `document` is signed as this root asks of the role.
    pub(super) fn check_signatures(&self, document: &Document, role: TufRole) -> Result<(), TufError> {
        self.content.check_signatures(document, role)
    }

    /// 5.3.11: whether a key that could sign for timestamp or snapshot here no longer can in `next`. A key that is
    /// merely added, for a witness say, replaces nobody who could have signed versions too high.
    pub(super) fn is_rotated_by(&self, next: &Root) -> bool {
        [TufRole::Timestamp, TufRole::Snapshot].into_iter().any(|role| {
            let before = self.content.keyring.material(self.content.roles.of(role));
            !before.is_subset(&next.content.keyring.material(next.content.roles.of(role)))
        })
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

impl RootContent {
    pub(super) fn read(signed: &Value, form: Form) -> Result<Self, TufError> {
        let (version, expires) = read_header(signed, TufRole::Root)?;
        let json: RootJson = read_as(signed)?;
        let keyring = Keyring::read(json.keys, form)?;
        let consistent_snapshot = json.consistent_snapshot.unwrap_or_default();
        let mut content = Self { form, version, expires, consistent_snapshot, keyring, roles: json.roles };
        for role in TufRole::ALL {
            if content.roles.of(role).threshold == 0 {
                return Err(TufError::ThresholdZero(role));
            }
        }
        if form == Form::Estate {
            content.keyring.people = read_as(&signed[PEOPLE_FIELD])
                .map_err(|error| TufError::Malformed(format!("{PEOPLE_FIELD}: {error}")))?;
            content.check_estate(signed)?;
        }
        Ok(content)
    }

    /// What an estate's root promises beyond what TUF asks.
    fn check_estate(&self, signed: &Value) -> Result<(), TufError> {
        if !self.consistent_snapshot {
            return Err(TufError::NotConsistent);
        }
        if json!(self.roles) != signed["roles"] {
            return Err(TufError::Malformed("the roles have fields that an estate's have not".into()));
        }
        self.check_people()?;
        TufRole::ALL.into_iter().try_for_each(|role| self.check_role(role))
    }

    /// Every key of root and targets has a person, and nobody else is named.
    fn check_people(&self) -> Result<(), TufError> {
        let of_people: BTreeSet<&String> = self.roles.root.keyids.iter().chain(&self.roles.targets.keyids).collect();
        if let Some(nobodys) = of_people.iter().find(|id| !self.keyring.people.contains_key(**id)) {
            return Err(TufError::NobodysKey(printable(nobodys)));
        }
        match self.keyring.people.iter().find(|(id, _)| !of_people.contains(id)) {
            Some((keyid, person)) => Err(TufError::StrayPerson { person: person.clone(), keyid: printable(keyid) }),
            None => Ok(()),
        }
    }

    /// The role has known keys, once each, and a threshold that can be met.
    fn check_role(&self, role: TufRole) -> Result<(), TufError> {
        let RoleKeys { keyids, threshold } = self.roles.of(role);
        if keyids.is_empty() {
            return Err(TufError::EmptyRole(role));
        }
        let mut seen = BTreeSet::new();
        for keyid in keyids {
            if !self.keyring.keys.contains_key(keyid) {
                return Err(TufError::UnknownKey { role, keyid: printable(keyid) });
            }
            if !seen.insert(keyid) {
                return Err(TufError::RepeatedKey { role, keyid: printable(keyid) });
            }
        }
        let available = if role.is_of_people() {
            keyids.iter().filter_map(|id| self.keyring.people.get(id)).collect::<BTreeSet<_>>().len()
        } else {
            keyids.len()
        };
        if (*threshold as usize) > available {
            return Err(TufError::ThresholdUnreachable { role, threshold: *threshold, available });
        }
        Ok(())
    }

    fn own_key(&self, id: &str) -> Option<PublicKey> {
        match self.keyring.keys.get(id)? {
            Key::Own(key) => Some(*key),
            Key::EcdsaP256(_) | Key::RsaPss(_) => None,
        }
    }

    fn people_of(&self, role: TufRole) -> Vec<(PersonName, PublicKey)> {
        let named = |id: &String| Some((self.keyring.people.get(id)?.clone(), self.own_key(id)?));
        self.roles.of(role).keyids.iter().filter_map(named).collect()
    }

    fn check_signatures(&self, document: &Document, role: TufRole) -> Result<(), TufError> {
        let delegator = Delegator { name: TufRole::Root.as_str(), version: self.version, keyring: &self.keyring };
        delegator.check(role.as_str(), self.roles.of(role), document)
    }
}

#[derive(Deserialize)]
struct RootJson {
    consistent_snapshot: Option<bool>,
    keys: BTreeMap<String, Value>,
    roles: RolesJson,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct RolesJson {
    root: RoleKeys,
    targets: RoleKeys,
    snapshot: RoleKeys,
    timestamp: RoleKeys,
}

impl RolesJson {
    fn of(&self, role: TufRole) -> &RoleKeys {
        match role {
            TufRole::Root => &self.root,
            TufRole::Targets => &self.targets,
            TufRole::Snapshot => &self.snapshot,
            TufRole::Timestamp => &self.timestamp,
        }
    }
}
