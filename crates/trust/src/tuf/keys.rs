//! The keys that a delegator lists, whose they are, and whether enough of their holders signed.
//!
//! Estates list only the kinds of key that [`PublicKey`] has. Other repositories also use RSA and ECDSA keys written as
//! PEM: those are read for verification alone. A key of any other kind is a key that nobody can sign with, and no error.

use super::{TufError, document::Document, root::Form};
use crate::{
    key::{KeyId, PublicKey},
    names::{PersonName, RoleName, printable},
    quorum::{Directory, Rule},
};
use aws_lc_rs::signature::{self, ParsedPublicKey, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The most keys that are looked at in one role.
const MAX_KEYS_OF_ROLE: usize = 256;
/// What a SubjectPublicKeyInfo of an uncompressed point on P-256 begins with (RFC 5480), up to the point itself.
const P256_INFO: &[u8] =
    b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
/// The identifier of an RSA key in a SubjectPublicKeyInfo (RFC 3279).
const RSA_IDENTIFIER: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";

/// A key that can be verified with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// A key of a kind that estates have.
    Own(PublicKey),
    /// The 65 bytes of a point on P-256.
    EcdsaP256(Vec<u8>),
    /// A SubjectPublicKeyInfo of an RSA key, for RSASSA-PSS with SHA-256.
    RsaPss(Vec<u8>),
}

#[derive(Deserialize)]
struct KeyJson {
    keytype: String,
    scheme: String,
    keyval: KeyValueJson,
}

#[derive(Deserialize)]
struct KeyValueJson {
    public: String,
}

impl Key {
    /// Reads a key of anybody's repository; nothing for a key that we cannot verify with.
    fn read(value: &Value) -> Option<Self> {
        let KeyJson { keytype, scheme, keyval } = KeyJson::deserialize(value).ok()?;
        match (keytype.as_str(), scheme.as_str()) {
            ("ed25519", "ed25519") => {
                // Fields that are not known are part of the key's id, and not of the key.
                let plain = json!({"keytype": keytype, "scheme": scheme, "keyval": {"public": keyval.public}});
                PublicKey::deserialize(plain).ok().map(Key::Own)
            }
            // The second is the older name of the first.
            ("ecdsa" | "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256") => {
                let point = public_key_info(&keyval.public)?.strip_prefix(P256_INFO)?.to_vec();
                ParsedPublicKey::new(&signature::ECDSA_P256_SHA256_ASN1, &point).ok()?;
                (point.len() == 65).then_some(Key::EcdsaP256(point))
            }
            ("rsa", "rsassa-pss-sha256") => {
                let info = public_key_info(&keyval.public)?;
                ParsedPublicKey::new(&signature::RSA_PSS_2048_8192_SHA256, &info).ok()?;
                // The outer sequence has a length of two bytes from 2048 bits on.
                info.get(4..)?.starts_with(RSA_IDENTIFIER).then_some(Key::RsaPss(info))
            }
            _ => None,
        }
    }

    /// The id of the key itself, however its delegator calls it: one key under two ids is one key.
    pub(super) fn id(&self) -> KeyId {
        match self {
            Key::Own(key) => key.id(),
            Key::EcdsaP256(bytes) | Key::RsaPss(bytes) => KeyId::of_material(bytes),
        }
    }

    fn verify(&self, message: &[u8], sig: &[u8]) -> bool {
        match self {
            Key::Own(key) => key.verify(message, sig),
            Key::EcdsaP256(point) => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_ASN1, point).verify(message, sig).is_ok()
            }
            Key::RsaPss(info) => {
                UnparsedPublicKey::new(&signature::RSA_PSS_2048_8192_SHA256, info).verify(message, sig).is_ok()
            }
        }
    }
}

/// The DER of a public key in PEM (RFC 7468).
fn public_key_info(pem: &str) -> Option<Vec<u8>> {
    let body = pem.trim().strip_prefix("-----BEGIN PUBLIC KEY-----")?.strip_suffix("-----END PUBLIC KEY-----")?;
    STANDARD.decode(body.split_ascii_whitespace().collect::<String>()).ok()
}

/// Reads a key object of an estate and checks that it is listed under its own id (TUF 4.3: clients must calculate it).
fn read_own(listed: &str, value: &Value) -> Result<PublicKey, TufError> {
    let key: PublicKey = super::document::read_as(value)?;
    // The id is a hash of the key object as it stands, so another spelling of the same key would have another id.
    if json!(key) != *value {
        return Err(TufError::Malformed(format!("key {} is not spelled in the one accepted way", printable(listed))));
    }
    let computed = key.id();
    if listed != computed.to_string() {
        return Err(TufError::WrongKeyId { listed: printable(listed), computed });
    }
    if key.is_security_key() {
        return Err(TufError::SecurityKey(computed));
    }
    Ok(key)
}

/// Which keys are in a role, and how many of their holders must sign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RoleKeys {
    pub(super) keyids: Vec<String>,
    pub(super) threshold: u32,
}

/// Every key that a delegator lists and that can be verified with, by its id there, and the names of their holders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Keyring {
    pub(super) keys: BTreeMap<String, Key>,
    /// Holders whom the delegator names. A key that it names nobody for counts as a person of its own.
    pub(super) people: BTreeMap<String, PersonName>,
}

/// Who says whose signatures a file needs.
#[derive(Clone, Copy)]
pub(super) struct Delegator<'a> {
    pub(super) name: &'a str,
    pub(super) version: u64,
    pub(super) keyring: &'a Keyring,
}

impl Keyring {
    /// In an estate every key is one of ours under its own id. Elsewhere, ids are names that the delegator chose:
    /// repositories are found whose ids are not hashes, and what must hold is that one id stands for one key (4.3),
    /// which it does in a map, and that one key counts once, which [`Delegator::check`] sees to.
    pub(super) fn read(keys: BTreeMap<String, Value>, form: Form) -> Result<Self, TufError> {
        let keys = match form {
            Form::Estate => {
                let read = |(id, value): (String, Value)| read_own(&id, &value).map(|key| (id, Key::Own(key)));
                keys.into_iter().map(read).collect::<Result<_, _>>()?
            }
            Form::Plain => keys.into_iter().filter_map(|(id, value)| Some((id, Key::read(&value)?))).collect(),
        };
        Ok(Self { keys, people: BTreeMap::new() })
    }

    /// The keys themselves that are in a role, by their own ids.
    pub(super) fn material(&self, role: &RoleKeys) -> BTreeSet<KeyId> {
        role.keyids.iter().filter_map(|id| self.keys.get(id)).map(Key::id).collect()
    }

    fn holder(&self, listed: &str, key: &Key) -> Result<PersonName, TufError> {
        if let Some(person) = self.people.get(listed) {
            return Ok(person.clone());
        }
        // A name has at most 63 characters. Were two keys to share the shortened one, they would count as one.
        let name: String = key.id().to_string().chars().take(48).collect();
        PersonName::new(&format!("key-{name}")).map_err(|error| TufError::Malformed(error.to_string()))
    }
}

impl Delegator<'_> {
    /// Whether `document` bears genuine signatures of enough distinct holders of the keys in `role`: 5.3.4, 5.4.2,
    /// 5.5.3 and 5.6.3. They are counted by [`Rule::judge`], over a directory that holds this role's keys and no others.
    pub(super) fn check(&self, name: &str, role: &RoleKeys, document: &Document) -> Result<(), TufError> {
        if role.keyids.len() > MAX_KEYS_OF_ROLE {
            return Err(TufError::Malformed(format!("the role {} has too many keys", printable(name))));
        }
        let signer = RoleName::new("signer").map_err(|e| TufError::Malformed(e.to_string()))?;
        let mut directory = Directory::default();
        for id in &role.keyids {
            let Some(key) = self.keyring.keys.get(id) else { continue };
            let holder = self.keyring.holder(id, key)?;
            match key {
                Key::Own(own) => directory.add(&holder, Some(*own), [signer.clone()])?,
                Key::EcdsaP256(_) | Key::RsaPss(_) => directory.add_id(&holder, key.id(), [signer.clone()])?,
            }
        }
        let genuine = document.signatures.iter().filter(|signature| role.keyids.contains(&signature.keyid));
        let genuine = genuine.filter_map(|signature| {
            let key = self.keyring.keys.get(&signature.keyid)?;
            key.verify(&document.message, &hex::decode(&signature.sig).ok()?).then(|| key.id())
        });
        // A threshold that all its keys cannot reach is never met; counting up to one more than them shows that.
        let threshold = role.threshold.min(role.keyids.len() as u32 + 1);
        let judgement = Rule::people_in(threshold, signer).judge(genuine, &directory);
        if judgement.is_met() && role.threshold > 0 {
            return Ok(());
        }
        Err(TufError::NotEnoughSignatures {
            role: printable(name),
            by: printable(self.name),
            by_version: self.version,
            lacking: judgement.lacks.iter().map(|lack| lack.count).sum(),
            signed_by: judgement.people,
        })
    }
}
