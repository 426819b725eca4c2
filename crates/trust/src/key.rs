//! Public keys, their ids, and making and checking signatures (Ed25519, RFC 8032).

use crate::{digest::Digest, json};
use ed25519_dalek::{Signature as DalekSignature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A public key, as TUF and in-toto documents carry it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "TufKey", into = "TufKey")]
pub struct PublicKey([u8; 32]);

/// The id of a key: SHA-256 of its canonical TUF form (TUF specification 4.2), in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Digest);

/// Why a text or byte string is not an acceptable public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not an OpenSSH public key line.
    #[error("not an OpenSSH public key: expected a line like 'ssh-ed25519 AAAA… comment'")]
    NotOpenSsh,
    /// A key of a kind Sortie does not take.
    #[error("keys of type {0} are not supported: use an Ed25519 key (ssh-keygen -t ed25519)")]
    Unsupported(String),
    /// Bytes that are no point on the curve, or a weak one.
    #[error("not a valid Ed25519 public key")]
    Invalid,
    /// A private key that needs a passphrase which was not given, or was wrong.
    #[error("the key is encrypted: add it to ssh-agent (ssh-add) or give its passphrase")]
    Encrypted,
    /// A private key that cannot be read.
    #[error("not an OpenSSH private key: {0}")]
    NotPrivate(String),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TufKey {
    keytype: String,
    scheme: String,
    keyval: TufKeyValue,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TufKeyValue {
    public: String,
}

impl From<PublicKey> for TufKey {
    fn from(key: PublicKey) -> Self {
        TufKey {
            keytype: "ed25519".into(),
            scheme: "ed25519".into(),
            keyval: TufKeyValue { public: hex::encode(key.0) },
        }
    }
}

impl TryFrom<TufKey> for PublicKey {
    type Error = KeyError;
    fn try_from(key: TufKey) -> Result<Self, KeyError> {
        if key.keytype != "ed25519" || key.scheme != "ed25519" {
            return Err(KeyError::Unsupported(crate::names::printable(&key.keytype)));
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(&key.keyval.public, &mut bytes).map_err(|_| KeyError::Invalid)?;
        Self::from_bytes(bytes)
    }
}

impl PublicKey {
    /// Takes 32 bytes that are a point on the curve and not of small order.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, KeyError> {
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| KeyError::Invalid)?;
        if key.is_weak() {
            return Err(KeyError::Invalid);
        }
        Ok(Self(bytes))
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads an OpenSSH public key line (`ssh-ed25519 AAAA… comment`).
    pub fn from_openssh(line: &str) -> Result<Self, KeyError> {
        let kind = line.split_whitespace().next().unwrap_or_default();
        if kind != "ssh-ed25519" && (kind.starts_with("ssh-") || kind.starts_with("ecdsa-") || kind.starts_with("sk-"))
        {
            return Err(KeyError::Unsupported(crate::names::printable(kind)));
        }
        let key = ssh_key::PublicKey::from_openssh(line.trim()).map_err(|_| KeyError::NotOpenSsh)?;
        let ed25519 = key.key_data().ed25519().ok_or(KeyError::NotOpenSsh)?;
        Self::from_bytes(ed25519.0)
    }

    /// Writes an OpenSSH public key line without a comment.
    pub fn to_openssh(&self) -> String {
        ssh_key::PublicKey::from(ssh_key::public::KeyData::Ed25519(ssh_key::public::Ed25519PublicKey(self.0)))
            .to_openssh()
            .unwrap_or_default()
    }

    /// The key's id.
    pub fn id(&self) -> KeyId {
        let canonical = json::canonical(&TufKey::from(*self)).unwrap_or_default();
        KeyId(Digest::of(&canonical))
    }

    /// Whether `signature` is this key's over exactly `message` (strict verification: no malleable encodings).
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let Ok(key) = VerifyingKey::from_bytes(&self.0) else { return false };
        let Ok(signature) = DalekSignature::from_slice(signature) else { return false };
        key.verify_strict(message, &signature).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ed25519:{}…", hex::encode(&self.0[..4]))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.hex())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {}…", self.0.short())
    }
}

impl Serialize for KeyId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Digest::from_hex(&text).map(KeyId).map_err(|_| serde::de::Error::custom("a key id is 64 hexadecimal digits"))
    }
}

/// Something that can sign: a key file, ssh-agent, a target's own key.
pub trait Signer: Send + Sync {
    /// The public half.
    fn public(&self) -> PublicKey;
    /// The 64-byte Ed25519 signature over exactly `message`; an error says what stopped the signer.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;
}

/// A signer that could not sign.
#[derive(Debug, thiserror::Error)]
#[error("could not sign: {0}")]
pub struct SignError(pub String);

/// An Ed25519 key held in memory.
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// A fresh key from the operating system's randomness; fails only when that has none.
    pub fn generate() -> Result<Self, SignError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|e| SignError(e.to_string()))?;
        Ok(Self::from_seed(&seed))
    }

    /// The key that a 32-byte seed stands for (RFC 8032, 5.1.5).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Reads an OpenSSH private key file's text, with its passphrase where it is encrypted.
    pub fn from_openssh(text: &str, passphrase: Option<&str>) -> Result<Self, KeyError> {
        let mut key =
            ssh_key::PrivateKey::from_openssh(text.trim()).map_err(|e| KeyError::NotPrivate(e.to_string()))?;
        if key.is_encrypted() {
            let passphrase = passphrase.ok_or(KeyError::Encrypted)?;
            key = key.decrypt(passphrase).map_err(|_| KeyError::Encrypted)?;
        }
        match key.key_data() {
            ssh_key::private::KeypairData::Ed25519(pair) => Ok(Self::from_seed(&pair.private.to_bytes())),
            _ => Err(KeyError::Unsupported(key.algorithm().to_string())),
        }
    }

    /// Writes the key as an unencrypted OpenSSH private key file.
    pub fn to_openssh(&self, comment: &str) -> Result<String, KeyError> {
        let pair = ssh_key::private::Ed25519Keypair::from_seed(&self.0.to_bytes());
        ssh_key::PrivateKey::new(ssh_key::private::KeypairData::Ed25519(pair), comment)
            .and_then(|key| key.to_openssh(ssh_key::LineEnding::LF))
            .map(|text| text.to_string())
            .map_err(|e| KeyError::NotPrivate(e.to_string()))
    }
}

impl Signer for SecretKey {
    fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(self.0.sign(message).to_bytes().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openssh_forms_round_trip_and_signatures_verify() {
        let secret = SecretKey::from_seed(&[7; 32]);
        let again = SecretKey::from_openssh(&secret.to_openssh("me").unwrap(), None).unwrap();
        assert_eq!(again.public(), secret.public());
        assert_eq!(PublicKey::from_openssh(&secret.public().to_openssh()).unwrap(), secret.public());
        let signature = secret.sign(b"message").unwrap();
        assert!(secret.public().verify(b"message", &signature));
        assert!(!secret.public().verify(b"massage", &signature));
    }

    #[test]
    fn other_kinds_of_key_are_named() {
        let rsa = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQ== me";
        assert_eq!(PublicKey::from_openssh(rsa), Err(KeyError::Unsupported("ssh-rsa".into())));
        assert_eq!(PublicKey::from_openssh("nonsense"), Err(KeyError::NotOpenSsh));
        assert_eq!(PublicKey::from_bytes([0; 32]), Err(KeyError::Invalid));
    }
}
