//! A TUF repository in memory, which publishes whatever a test wants, and a machine that refreshes from it.

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PSS_SHA256},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};
use trust::{
    Digest, json,
    key::{SecretKey, Signer as _},
    tuf::{
        Root,
        client::{Change, Client, ClientError, Found, Kept, Next, Wanted},
        role_path,
    },
};

pub const TOP_LEVEL: [&str; 4] = ["root", "targets", "snapshot", "timestamp"];

/// The time at which every test begins.
pub fn now() -> Timestamp {
    "2030-01-01T00:00:00Z".parse().unwrap()
}

pub fn in_days(days: i64) -> Timestamp {
    now() + SignedDuration::from_hours(24 * days)
}

/// A key of whoever publishes.
pub struct Key {
    pub id: String,
    pub object: Value,
    sign: Sign,
}

/// Gives a signature over a message.
type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

impl Key {
    fn new(object: Value, sign: impl Fn(&[u8]) -> Vec<u8> + 'static) -> Rc<Self> {
        let id = Digest::of(&json::canonical(&object).unwrap()).hex();
        Rc::new(Self { id, object, sign: Box::new(sign) })
    }

    pub fn ed25519(seed: u8) -> Rc<Self> {
        let secret = SecretKey::from_seed(&[seed; 32]);
        Self::new(json!(secret.public()), move |message| secret.sign(message).unwrap())
    }

    pub fn ecdsa(keytype: &str) -> Rc<Self> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let info: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let object = pem_key(keytype, "ecdsa-sha2-nistp256", info.as_ref());
        Self::new(object, move |message| pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec())
    }

    pub fn rsa() -> Rc<Self> {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let info: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let object = pem_key("rsa", "rsassa-pss-sha256", info.as_ref());
        Self::new(object, move |message| {
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(&RSA_PSS_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
            signature
        })
    }

    /// The same key under another id.
    pub fn under_another_id(self: &Rc<Self>, id: &str) -> Rc<Self> {
        let own = Rc::clone(self);
        Rc::new(Self { id: id.into(), object: self.object.clone(), sign: Box::new(move |message| (own.sign)(message)) })
    }

    pub fn signature(&self, signed: &Value) -> Value {
        json!({"keyid": self.id, "sig": hex::encode((self.sign)(&json::canonical(signed).unwrap()))})
    }
}

fn pem_key(keytype: &str, scheme: &str, info: &[u8]) -> Value {
    let body = STANDARD.encode(info);
    let lines: Vec<&str> = body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"));
    json!({"keytype": keytype, "scheme": scheme, "keyval": {"public": pem}})
}

/// The repository. Tests change `signed` and `signers`, and publish.
pub struct Repository {
    /// What each role will say when it is published next.
    pub signed: BTreeMap<String, Value>,
    pub signers: BTreeMap<String, Vec<Rc<Key>>>,
    /// What anybody can fetch, by its path.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Whether length and hashes of metadata are listed.
    pub with_hashes: bool,
    published: BTreeSet<String>,
    next_seed: u8,
    asked: RefCell<Vec<String>>,
}

impl Repository {
    /// One key a role, every threshold 1, everything published as version 1.
    pub fn new() -> Self {
        let roles: BTreeMap<&str, Value> =
            TOP_LEVEL.map(|role| (role, json!({"keyids": [], "threshold": 1}))).into_iter().collect();
        let mut repository = Self {
            signed: BTreeMap::new(),
            signers: BTreeMap::new(),
            files: BTreeMap::new(),
            with_hashes: false,
            published: BTreeSet::new(),
            next_seed: 0,
            asked: RefCell::default(),
        };
        for role in TOP_LEVEL {
            let mut signed = empty(role);
            match role {
                "root" => {
                    signed["consistent_snapshot"] = json!(true);
                    (signed["keys"], signed["roles"]) = (json!({}), json!(roles));
                }
                "targets" => signed["targets"] = json!({}),
                _ => signed["meta"] = json!({}),
            }
            repository.signed.insert(role.into(), signed);
        }
        for role in TOP_LEVEL {
            let key = repository.new_key();
            repository.add_key(role, key);
        }
        repository.publish(&["targets", "snapshot", "timestamp", "root"]);
        repository
    }

    pub fn new_key(&mut self) -> Rc<Key> {
        self.next_seed += 1;
        Key::ed25519(self.next_seed)
    }

    /// Lists a key in a top-level role, and signs with it.
    pub fn add_key(&mut self, role: &str, key: Rc<Key>) {
        let root = self.signed.get_mut("root").unwrap();
        root["keys"][&key.id] = key.object.clone();
        root["roles"][role]["keyids"].as_array_mut().unwrap().push(json!(key.id));
        self.signers.entry(role.into()).or_default().push(key);
    }

    /// Replaces every key of a top-level role by a new one.
    pub fn rotate(&mut self, role: &str) {
        self.signed.get_mut("root").unwrap()["roles"][role]["keyids"] = json!([]);
        self.signers.remove(role);
        let key = self.new_key();
        self.add_key(role, key);
    }

    pub fn threshold(&mut self, role: &str, threshold: u32) {
        self.signed.get_mut("root").unwrap()["roles"][role]["threshold"] = json!(threshold);
    }

    /// Delegates `paths` to a role with a new key. The role's targets are made when there are none yet.
    pub fn delegate(&mut self, delegator: &str, role: &str, paths: &[&str]) {
        let key = self.new_key();
        let delegated = json!({
            "name": role, "keyids": [key.id], "threshold": 1, "terminating": false, "paths": paths,
        });
        let targets = self.targets_of(delegator);
        if targets["delegations"].is_null() {
            targets["delegations"] = json!({"keys": {}, "roles": []});
        }
        targets["delegations"]["keys"][&key.id] = key.object.clone();
        targets["delegations"]["roles"].as_array_mut().unwrap().push(delegated);
        self.targets_of(role);
        self.signers.entry(role.into()).or_default().push(key);
    }

    /// The last delegation that a role made, to be changed.
    pub fn last_delegation(&mut self, delegator: &str) -> &mut Value {
        self.targets_of(delegator)["delegations"]["roles"].as_array_mut().unwrap().last_mut().unwrap()
    }

    pub fn targets_of(&mut self, role: &str) -> &mut Value {
        self.signed.entry(role.into()).or_insert_with(|| {
            let mut signed = empty("targets");
            signed["targets"] = json!({});
            signed
        })
    }

    pub fn add_target(&mut self, role: &str, path: &str, content: &[u8]) {
        let hashes = json!({"sha256": Digest::of(content).hex()});
        self.targets_of(role)["targets"][path] = json!({"length": content.len(), "hashes": hashes});
    }

    pub fn set(&mut self, role: &str, field: &str, value: impl Into<Value>) {
        self.signed.get_mut(role).unwrap()[field] = value.into();
    }

    /// What `role` lists of `file`, to be changed.
    pub fn meta(&mut self, role: &str, file: &str) -> &mut Value {
        &mut self.signed.get_mut(role).unwrap()["meta"][file]
    }

    /// Publishes each role as its next version, and lists it where it belongs.
    pub fn publish(&mut self, roles: &[&str]) {
        for role in roles {
            if !self.published.insert((*role).into()) {
                let version = self.signed[*role]["version"].as_u64().unwrap();
                self.set(role, "version", version + 1);
            }
            self.publish_as_it_is(role);
        }
    }

    /// Publishes a role without another version.
    pub fn publish_as_it_is(&mut self, role: &str) {
        let signed = self.signed[role].clone();
        let signatures: Vec<Value> =
            self.signers.get(role).into_iter().flatten().map(|key| key.signature(&signed)).collect();
        let bytes = serde_json::to_vec_pretty(&json!({"signed": signed, "signatures": signatures})).unwrap();
        let version = signed["version"].as_u64().unwrap();
        let mut listed = json!({"version": version});
        if self.with_hashes {
            listed["length"] = json!(bytes.len());
            listed["hashes"] = json!({"sha256": Digest::of(&bytes).hex()});
        }
        let consistent = self.signed["root"]["consistent_snapshot"] == json!(true);
        match role {
            "root" => {}
            "timestamp" => {}
            "snapshot" => *self.meta("timestamp", "snapshot.json") = listed,
            _ => *self.meta("snapshot", &format!("{role}.json")) = listed,
        }
        let versioned = role == "root" || (consistent && role != "timestamp");
        self.files.insert(role_path(role, versioned.then_some(version)), bytes);
    }

    /// Changes a published file as somebody in between would.
    pub fn tamper(&mut self, path: &str, change: impl FnOnce(&mut Value)) {
        let mut document: Value = serde_json::from_slice(&self.files[path]).unwrap();
        change(&mut document);
        self.files.insert(path.into(), serde_json::to_vec(&document).unwrap());
    }

    pub fn first_root(&self) -> Vec<u8> {
        self.files["1.root.json"].clone()
    }

    /// What was asked for since this was last called.
    pub fn asked(&self) -> Vec<String> {
        self.asked.take()
    }

    fn fetch(&self, wanted: &Wanted) -> Option<&[u8]> {
        self.asked.borrow_mut().push(wanted.path.clone());
        self.files.get(&wanted.path).map(Vec::as_slice).filter(|bytes| bytes.len() as u64 <= wanted.limit_bytes)
    }
}

fn empty(kind: &str) -> Value {
    json!({"_type": kind, "spec_version": "1.0.31", "version": 1, "expires": in_days(30).to_string()})
}

/// A machine that trusts a first root. It forgets all but its folder between refreshes; beside it runs a client that lives
/// on and is asked again, which must come to the same.
pub struct Machine {
    pub folder: BTreeMap<String, Vec<u8>>,
    running: Client,
    running_folder: BTreeMap<String, Vec<u8>>,
    /// Every change that was asked for, in order: `root 2`, `keep timestamp.json`, `forget snapshot.json`.
    pub changes: Vec<String>,
}

impl Machine {
    pub fn new(repository: &Repository) -> Self {
        Self::trusting(&repository.first_root())
    }

    pub fn trusting(root: &[u8]) -> Self {
        let folder = BTreeMap::from([("root.json".to_owned(), root.to_vec())]);
        let running = Client::start(Root::of_any_repository(root).unwrap(), Kept::default(), now());
        Self { running_folder: folder.clone(), folder, running, changes: Vec::new() }
    }

    fn started(&self, now: Timestamp) -> Client {
        let root = Root::of_any_repository(&self.folder["root.json"]).unwrap();
        let kept = |name: &str| self.folder.get(name).cloned();
        Client::start(root, Kept { timestamp: kept("timestamp.json"), snapshot: kept("snapshot.json") }, now)
    }

    pub fn refresh(&mut self, repository: &Repository) -> Result<(), ClientError> {
        self.refresh_at(repository, now())
    }

    pub fn refresh_at(&mut self, repository: &Repository, now: Timestamp) -> Result<(), ClientError> {
        self.running.again(now);
        let running = refresh(&mut self.running, repository, &mut self.running_folder, &mut Vec::new());
        repository.asked();
        let mut started = self.started(now);
        let result = refresh(&mut started, repository, &mut self.folder, &mut self.changes);
        let words = |result: &Result<(), ClientError>| result.as_ref().err().map(ToString::to_string);
        assert_eq!(words(&running), words(&result), "a client that runs on comes to the same as one that starts anew");
        for role in TOP_LEVEL {
            let file = format!("{role}.json");
            assert_eq!(self.running_folder.get(&file), self.folder.get(&file), "{file}");
        }
        result
    }

    /// Refreshes, and searches for targets one after the other with the same client.
    pub fn find_all(&mut self, repository: &Repository, paths: &[&str]) -> Vec<Result<Option<Found>, ClientError>> {
        let mut client = self.started(now());
        refresh(&mut client, repository, &mut self.folder, &mut self.changes).unwrap();
        repository.asked();
        let mut find = |path: &&str| loop {
            match client.find(path)? {
                Next::Done(found) => return Ok(found),
                Next::Wants(wanted) => supply(&mut client, repository, &wanted, &mut self.folder, &mut self.changes)?,
            }
        };
        paths.iter().map(&mut find).collect()
    }

    pub fn find(&mut self, repository: &Repository, path: &str) -> Result<Option<Found>, ClientError> {
        self.find_all(repository, &[path]).remove(0)
    }

    /// The version of a role that is kept.
    pub fn version(&self, role: &str) -> Option<u64> {
        let document: Value = serde_json::from_slice(self.folder.get(&format!("{role}.json"))?).unwrap();
        document["signed"]["version"].as_u64()
    }

    /// The kept versions of root, targets, snapshot and timestamp; 0 for what is not kept.
    pub fn versions(&self) -> [u64; 4] {
        TOP_LEVEL.map(|role| self.version(role).unwrap_or_default())
    }
}

fn refresh(
    client: &mut Client,
    repository: &Repository,
    folder: &mut BTreeMap<String, Vec<u8>>,
    changes: &mut Vec<String>,
) -> Result<(), ClientError> {
    while let Next::Wants(wanted) = client.refresh()? {
        supply(client, repository, &wanted, folder, changes)?;
    }
    Ok(())
}

fn supply(
    client: &mut Client,
    repository: &Repository,
    wanted: &Wanted,
    folder: &mut BTreeMap<String, Vec<u8>>,
    changes: &mut Vec<String>,
) -> Result<(), ClientError> {
    if let Some(bytes) = wanted.kept_as().and_then(|name| folder.get(&name))
        && client.take(wanted, Some(bytes)).is_ok()
    {
        return Ok(());
    }
    for change in client.take(wanted, repository.fetch(wanted))? {
        match change {
            Change::Root { version, bytes } => {
                changes.push(format!("root {version}"));
                folder.insert("root.json".into(), bytes);
            }
            Change::Keep { name, bytes } => {
                changes.push(format!("keep {name}"));
                folder.insert(name, bytes);
            }
            Change::Forget { name } => {
                changes.push(format!("forget {name}"));
                folder.remove(&name);
            }
        }
    }
    Ok(())
}
