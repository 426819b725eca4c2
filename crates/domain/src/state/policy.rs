//! The charter in force, and whose key is whose under it.

use crate::event::RootFacts;
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::BTreeSet};
use trust::{
    Digest, PersonName,
    charter::{Charter, CharterError},
    key::{KeyId, PublicKey},
    quorum::Directory,
};

/// The charter in force and everything derived from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "PolicyRecord", into = "PolicyRecord")]
pub struct Policy {
    /// What it is made from.
    pub record: PolicyRecord,
    /// The charter, parsed.
    pub charter: Charter,
    /// Whose key is whose, robots included, suspended people left out.
    pub directory: Directory,
    /// Whose signatures count as approvals.
    pub approvers: Directory,
    /// Whose key is whose among the customers, who stand apart.
    pub customers: Directory,
}

/// The parts of a policy that are stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyRecord {
    /// The estate: the digest of root 1.
    pub estate: Digest,
    /// The root's version.
    pub root_version: u64,
    /// The owners and their keys.
    pub owners: Vec<(PersonName, PublicKey)>,
    /// The charter's version.
    pub version: u64,
    /// The charter's text.
    pub charter: String,
    /// All roots from the first, as digests of files in the depot.
    pub roots: Vec<Digest>,
    /// The targets metadata in the depot.
    pub targets: Digest,
    /// Who is suspended under it.
    pub suspended: BTreeSet<PersonName>,
    /// What else the owners signed.
    pub facts: RootFacts,
}

impl TryFrom<PolicyRecord> for Policy {
    type Error = CharterError;
    fn try_from(record: PolicyRecord) -> Result<Self, CharterError> {
        let charter = Charter::from_bytes(record.charter.as_bytes())?;
        let directory = charter.directory(&record.owners, &record.suspended)?;
        let approvers = charter.approvers(&record.owners, &record.suspended)?;
        let customers = charter.customers(&record.suspended)?;
        Ok(Self { record, charter, directory, approvers, customers })
    }
}

impl Policy {
    /// Whose key this is: a person's or robot's of the charter, an owner's, or one that may sign the next root and
    /// nothing else. Somebody suspended has none but those that stand in the root of trust, which any one owner could
    /// otherwise shut out: they read, and bring what owners signed together. They hold no role.
    pub fn holder(&self, id: &KeyId) -> Option<(&PersonName, PublicKey)> {
        if let (Some(person), Some(key)) = (self.directory.person(id), self.directory.key(id)) {
            return Some((person, key));
        }
        let mut holders = self.record.owners.iter().chain(&self.record.facts.root_holders);
        holders.find(|(_, key)| key.id() == *id).map(|(person, key)| (person, *key))
    }

    /// Whether this is an owner's key, suspended or not.
    pub fn is_owners(&self, id: &KeyId) -> bool {
        self.record.owners.iter().any(|(_, key)| key.id() == *id)
    }

    /// The customer whose key this is, and who is not suspended.
    pub fn customer(&self, id: &KeyId) -> Option<(&PersonName, PublicKey)> {
        Some((self.customers.person(id)?, self.customers.key(id)?))
    }

    /// The keys that may sign the next root and nothing else: they are for when the owners' are lost.
    pub fn recovery_keys(&self) -> impl Iterator<Item = &(PersonName, PublicKey)> {
        let is_owner = |key: &PublicKey| self.record.owners.iter().any(|(_, owner)| owner == key);
        self.record.facts.root_holders.iter().filter(move |(_, key)| !is_owner(key))
    }

    /// Whose key is whose for the statement of this name: what owners uphold is in it.
    pub fn directory_of(&self, statement: &Digest) -> Cow<'_, Directory> {
        self.charter.directory_of(&self.directory, &self.record.suspended, statement)
    }

    /// Whose signatures count as approvals of this request: what owners uphold for it is in it.
    pub fn approvers_of(&self, request: &Digest) -> Cow<'_, Directory> {
        self.charter.approvers_of(&self.approvers, &self.record.suspended, request)
    }
}

impl From<Policy> for PolicyRecord {
    fn from(policy: Policy) -> Self {
        policy.record
    }
}
