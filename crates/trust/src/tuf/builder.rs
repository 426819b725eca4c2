//! Building root metadata, for the owners' own commands.

use super::{
    PEOPLE_FIELD, Root, TufError, TufRole,
    document::header,
    root::{Form, RootContent},
};
use crate::{key::PublicKey, names::PersonName, quorum::Directory};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Builds root's `signed` for owners to sign with [`super::sign_metadata`].
#[derive(Clone, Debug)]
pub struct RootBuilder {
    version: u64,
    expires: Timestamp,
    root: Vec<(PersonName, PublicKey)>,
    targets: Vec<(PersonName, PublicKey)>,
    snapshot: Vec<PublicKey>,
    timestamp: Vec<PublicKey>,
    /// In the order of [`TufRole::ALL`].
    thresholds: [u32; 4],
}

impl RootBuilder {
    /// Root 1, with nobody in it and every threshold 1.
    pub fn first(expires: Timestamp) -> Self {
        let (root, targets, snapshot, timestamp) = Default::default();
        Self { version: 1, expires, root, targets, snapshot, timestamp, thresholds: [1; 4] }
    }

    /// The root that follows `root`, with the same people, keys and thresholds.
    pub fn after(root: &Root, expires: Timestamp) -> Self {
        let keys = TufRole::ALL.map(|role| root.keys(role));
        Self {
            version: root.version().saturating_add(1),
            expires,
            root: root.root_holders(),
            targets: root.owners(),
            thresholds: keys.each_ref().map(|(_, threshold)| *threshold),
            snapshot: keys[2].0.clone(),
            timestamp: keys[3].0.clone(),
        }
    }

    /// Adds an owner's key to root and to targets.
    pub fn owner(mut self, person: &PersonName, key: PublicKey) -> Self {
        self.targets.push((person.clone(), key));
        self.root_holder(person, key)
    }

    /// Adds a key to root alone: it may help to change the owners, and cannot sign a charter.
    pub fn root_holder(mut self, person: &PersonName, key: PublicKey) -> Self {
        self.root.push((person.clone(), key));
        self
    }

    /// Takes every key of a person out.
    pub fn without(mut self, person: &PersonName) -> Self {
        self.root.retain(|(other, _)| other != person);
        self.targets.retain(|(other, _)| other != person);
        self
    }

    /// How many distinct people must sign the next root, and how many the charter.
    pub fn thresholds(mut self, root: u32, targets: u32) -> Self {
        (self.thresholds[0], self.thresholds[1]) = (root, targets);
        self
    }

    /// The server's key for snapshot and timestamp, in place of any before.
    pub fn online(self, key: PublicKey) -> Self {
        self.online_keys(&[key])
    }

    /// As [`Self::online`], with several keys, any one of which suffices: the current one and the next. A witness stays.
    pub fn online_keys(mut self, keys: &[PublicKey]) -> Self {
        let witness = self.timestamp.iter().find(|key| !self.snapshot.contains(key)).copied();
        self.snapshot = keys.to_vec();
        self.thresholds[2] = 1;
        self.witness(witness)
    }

    /// The witness without whose signature no timestamp counts, in place of any before; nobody where none is given. Its
    /// key must be no online key. All online keys sign beside it: the server has the next one too, and any two of its
    /// own must not do without the witness.
    pub fn witness(mut self, key: Option<PublicKey>) -> Self {
        self.timestamp = self.snapshot.iter().copied().chain(key).collect();
        self.thresholds[3] = match key {
            Some(_) => u32::try_from(self.timestamp.len()).unwrap_or(u32::MAX),
            None => 1,
        };
        self
    }

    /// The `signed` value, held to every rule that a reader holds it to.
    pub fn build(&self) -> Result<Value, TufError> {
        let mut directory = Directory::default();
        let mut people = serde_json::Map::new();
        for (person, key) in self.root.iter().chain(&self.targets) {
            directory.add(person, Some(*key), [])?;
            people.insert(key.id().to_string(), json!(person));
        }
        let online = self.snapshot.iter().chain(&self.timestamp);
        let keys = self.root.iter().chain(&self.targets).map(|(_, key)| key).chain(online);
        let keys: serde_json::Map<_, _> = keys.map(|key| (key.id().to_string(), json!(key))).collect();
        let ids = |keys: &[(PersonName, PublicKey)]| keys.iter().map(|(_, key)| key.id()).collect::<Vec<_>>();
        let online_ids = |keys: &[PublicKey]| keys.iter().map(PublicKey::id).collect::<Vec<_>>();
        let [root, targets, snapshot, timestamp] = self.thresholds;
        let mut signed = header(TufRole::Root, self.version, self.expires)?;
        signed["consistent_snapshot"] = json!(true);
        signed["keys"] = Value::Object(keys);
        signed["roles"] = json!({
            "root": {"keyids": ids(&self.root), "threshold": root},
            "targets": {"keyids": ids(&self.targets), "threshold": targets},
            "snapshot": {"keyids": online_ids(&self.snapshot), "threshold": snapshot},
            "timestamp": {"keyids": online_ids(&self.timestamp), "threshold": timestamp},
        });
        signed[PEOPLE_FIELD] = Value::Object(people);
        RootContent::read(&signed, Form::Estate)?;
        Ok(signed)
    }
}
