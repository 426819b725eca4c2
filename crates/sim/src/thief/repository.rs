//! How whoever has taken the server shows the repository. He holds the key that signs it, so that much of what he shows
//! counts for everybody: how fresh it is, and which withdrawals there are. He has nobody's key but that one and his own.

use crate::{
    cast::{WEB, app, ledger_key, prod, thiefs_online_key},
    random::Random,
    script::Showing,
    server::TIMESTAMP,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use trust::{
    Digest,
    key::{SecretKey, Signer},
    tuf::repository::{ListedFile, PermitFile, SIGNED_FIELD, sign_online},
};

/// What he tells a target who asks for files of these names, until it begins anew; what he says nothing of is as it is.
type Face = BTreeMap<String, Option<Vec<u8>>>;

/// What is published, and was.
pub struct Archive<'a> {
    /// Every timestamp that ever was.
    pub timestamps: &'a [Vec<u8>],
    /// Reads any other file.
    pub read: &'a dyn Fn(&str) -> Option<Vec<u8>>,
}

/// Who signs what he makes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hand {
    /// The server's key, which he holds.
    Servers,
    /// A key of his own.
    His,
    /// The server's key, before he changes something.
    Nobodys,
}

/// How he shows the repository.
pub struct Forger {
    showing: Option<Showing>,
    random: Random,
    faces: BTreeMap<usize, Face>,
    /// What he has signed with the server's key since he was asked that last.
    signed: Vec<Vec<u8>>,
}

/// The files of a repository from its timestamp on, and what they say.
struct Chain {
    timestamp: Value,
    snapshot: (String, Value),
    role: (String, Value),
    permits: Option<PermitFile>,
}

impl Forger {
    /// One who has shown nothing yet.
    pub fn new(seed: u64, showing: Option<Showing>) -> Self {
        let random = Random::new(seed, "forger");
        Self { showing, random, faces: BTreeMap::new(), signed: Vec::new() }
    }

    /// What he has signed with the server's key since this was asked last.
    pub fn signed(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.signed)
    }

    /// What he shows a target under a name.
    pub fn shows(&mut self, target: usize, path: &str, archive: &Archive<'_>, now: Timestamp) -> Option<Vec<u8>> {
        if path == TIMESTAMP {
            let face = self.face(archive, now);
            self.faces.insert(target, face.unwrap_or_default());
        }
        match self.faces.get(&target).and_then(|face| face.get(path)) {
            Some(shown) => shown.clone(),
            None => (archive.read)(path),
        }
    }

    /// How he shows everything to whoever asks for the timestamp now.
    fn face(&mut self, archive: &Archive<'_>, now: Timestamp) -> Option<Face> {
        let of_once = |timestamp: &Vec<u8>| Face::from([(TIMESTAMP.to_owned(), Some(timestamp.clone()))]);
        match self.showing? {
            Showing::Frozen => archive.timestamps.first().map(of_once),
            Showing::Once if archive.timestamps.is_empty() => None,
            Showing::Once => Some(of_once(self.random.pick(archive.timestamps))),
            Showing::Mixed => self.mixed(&Chain::read(archive)?, archive),
            Showing::Forged if self.random.chance(300) => None,
            Showing::Forged => self.forged(Chain::read(archive)?, now),
        }
    }

    /// Some parts as they are, some as they were, and some not at all.
    fn mixed(&mut self, chain: &Chain, archive: &Archive<'_>) -> Option<Face> {
        let mut face = Face::new();
        for (path, signed) in [&chain.snapshot, &chain.role] {
            let (version, name) = (signed["version"].as_u64()?, path.split_once('.')?.1);
            let once = format!("metadata/{}.{name}", version.saturating_sub(self.random.between(1, 3)));
            match self.random.below(4) {
                0 => face.insert(path.clone(), None),
                1 => face.insert(path.clone(), (archive.read)(&once)),
                _ => continue,
            };
        }
        if let Some(permits) = &chain.permits
            && self.random.chance(400)
        {
            let less = PermitFile { withdrawals: Vec::new(), ..permits.clone() };
            face.insert(chain.permits_path()?, less.to_bytes().ok().filter(|_| self.random.chance(500)));
        }
        Some(face)
    }

    /// Everything as he likes it: without withdrawals and freezes, and dated as he pleases.
    fn forged(&mut self, mut chain: Chain, now: Timestamp) -> Option<Face> {
        let hand = *self.random.pick(&[Hand::Servers, Hand::Servers, Hand::His, Hand::Nobodys]);
        let key = if hand == Hand::His { thiefs_online_key() } else { ledger_key() };
        let up = *self.random.pick(&[0, 1, 1, 4]);
        let hours = *self.random.pick(&[0, 0, -2, 2]);
        let date = Timestamp::from_second((now + SignedDuration::from_hours(hours)).as_second()).ok()?;
        let mut face = Face::new();
        if let Some(mut permits) = chain.permits.take() {
            (permits.withdrawals, permits.freezes) = (Vec::new(), Vec::new());
            let bytes = permits.to_bytes().ok()?;
            let (name, digest) = (pair_name(), Digest::of(&bytes));
            chain.role.1["targets"][&name] = json!({ "length": bytes.len(), "hashes": { "sha256": digest.hex() } });
            face.insert(format!("targets/{}.{name}", digest.hex()), Some(bytes));
        }
        let role = self.sign((&mut face, &key), &role_name(), chain.role.1, up)?;
        chain.snapshot.1["meta"][format!("{}.json", role_name())] = listed(role);
        let snapshot = self.sign((&mut face, &key), "snapshot", chain.snapshot.1, up)?;
        chain.timestamp["meta"]["snapshot.json"] = listed(snapshot);
        chain.timestamp[SIGNED_FIELD] = json!(date.to_string());
        chain.timestamp["version"] = json!(chain.timestamp["version"].as_u64()? + up);
        let bytes = sign_online(&chain.timestamp, &key).ok()?;
        let bytes = match hand {
            Hand::Nobodys => {
                let another = Timestamp::from_second(date.as_second() + 1).ok()?;
                let text = String::from_utf8(bytes).ok()?;
                text.replace(&date.to_string(), &another.to_string()).into_bytes()
            }
            _ => bytes,
        };
        if hand == Hand::Servers {
            self.signed.push(bytes.clone());
        }
        face.insert(TIMESTAMP.to_owned(), Some(bytes));
        Some(face)
    }

    /// Signs a file with a version that is so much higher, and puts it under its name.
    fn sign(
        &mut self,
        (face, key): (&mut Face, &SecretKey),
        role: &str,
        mut signed: Value,
        up: u64,
    ) -> Option<ListedFile> {
        let version = signed["version"].as_u64()? + up;
        signed["version"] = json!(version);
        let bytes = sign_online(&signed, key).ok()?;
        if key.public() == ledger_key().public() {
            self.signed.push(bytes.clone());
        }
        let listed = ListedFile::of(version, &bytes);
        face.insert(format!("metadata/{version}.{role}.json"), Some(bytes));
        Some(listed)
    }
}

impl Chain {
    /// What is published now.
    fn read(archive: &Archive<'_>) -> Option<Self> {
        let signed = |path: &str| -> Option<Value> {
            let mut document: Value = serde_json::from_slice(&(archive.read)(path)?).ok()?;
            Some(document["signed"].take())
        };
        let timestamp = signed(TIMESTAMP)?;
        let path = |listed: &Value, role: &str| Some(format!("metadata/{}.{role}.json", listed["version"].as_u64()?));
        let snapshot = path(&timestamp["meta"]["snapshot.json"], "snapshot")?;
        let snapshot = (snapshot.clone(), signed(&snapshot)?);
        let role = path(&snapshot.1["meta"][format!("{}.json", role_name())], &role_name())?;
        let role = (role.clone(), signed(&role)?);
        let mut chain = Self { timestamp, snapshot, role, permits: None };
        let permits = chain.permits_path().and_then(|path| (archive.read)(&path));
        chain.permits = permits.and_then(|bytes| PermitFile::from_bytes(&bytes).ok());
        Some(chain)
    }

    fn permits_path(&self) -> Option<String> {
        let hash = self.role.1["targets"][pair_name()]["hashes"]["sha256"].as_str()?;
        Some(format!("targets/{hash}.{}", pair_name()))
    }
}

fn listed(file: ListedFile) -> Value {
    let ListedFile { version, file } = file;
    json!({ "version": version, "length": file.length_bytes, "hashes": { "sha256": file.digest.hex() } })
}

fn role_name() -> String {
    format!("permits-{}", prod())
}

fn pair_name() -> String {
    format!("permits.{}.{}.json", prod(), app(WEB))
}
