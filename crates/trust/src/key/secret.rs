//! Private keys that are held in memory: Ed25519, and P-256 from a file.

use super::{KeyError, Kind, PublicKey, SignError, Signer, ecdsa};
use ed25519_dalek::Signer as _;
use p256::ecdsa::{Signature, SigningKey as EcdsaSigningKey, signature::Signer as _};
use ssh_key::private::{EcdsaKeypair, Ed25519Keypair, KeypairData};

/// A private key held in memory.
pub struct SecretKey(Secret);

enum Secret {
    Ed25519(ed25519_dalek::SigningKey),
    EcdsaP256(EcdsaSigningKey),
}

impl SecretKey {
    /// A fresh Ed25519 key from the operating system's randomness; fails only when that has none.
    pub fn generate() -> Result<Self, SignError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|e| SignError(e.to_string()))?;
        Ok(Self::from_seed(&seed))
    }

    /// The Ed25519 key that a 32-byte seed stands for (RFC 8032, 5.1.5).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(Secret::Ed25519(ed25519_dalek::SigningKey::from_bytes(seed)))
    }

    /// The P-256 key with this private number, big-endian.
    pub fn from_ecdsa_p256(number: &[u8]) -> Result<Self, KeyError> {
        Ok(Self(Secret::EcdsaP256(EcdsaSigningKey::from_slice(number).map_err(|_| KeyError::Invalid)?)))
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
            KeypairData::Ed25519(pair) => Ok(Self::from_seed(&pair.private.to_bytes())),
            KeypairData::Ecdsa(EcdsaKeypair::NistP256 { private, .. }) => Self::from_ecdsa_p256(private.as_slice()),
            KeypairData::SkEd25519(_) | KeypairData::SkEcdsaSha2NistP256(_) => {
                let public = PublicKey::from_key_data(key.public_key().key_data())?;
                Err(KeyError::OnDevice(Box::new(public)))
            }
            _ => Err(KeyError::Unsupported(key.algorithm().to_string())),
        }
    }

    /// Writes the key as an unencrypted OpenSSH private key file.
    pub fn to_openssh(&self, comment: &str) -> Result<String, KeyError> {
        let unwritable = |error: ssh_key::Error| KeyError::NotPrivate(error.to_string());
        let pair = match &self.0 {
            Secret::Ed25519(key) => KeypairData::Ed25519(Ed25519Keypair::from_seed(&key.to_bytes())),
            Secret::EcdsaP256(key) => KeypairData::Ecdsa(EcdsaKeypair::NistP256 {
                public: key.verifying_key().to_encoded_point(false),
                private: p256::SecretKey::from(key).into(),
            }),
        };
        let key = ssh_key::PrivateKey::new(pair, comment).map_err(unwritable)?;
        key.to_openssh(ssh_key::LineEnding::LF).map(|text| text.to_string()).map_err(unwritable)
    }
}

impl Signer for SecretKey {
    fn public(&self) -> PublicKey {
        match &self.0 {
            Secret::Ed25519(key) => PublicKey(Kind::Ed25519(key.verifying_key().to_bytes())),
            Secret::EcdsaP256(key) => {
                let mut point = [0; 33];
                point.copy_from_slice(key.verifying_key().to_encoded_point(true).as_bytes());
                PublicKey(Kind::EcdsaP256(point))
            }
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        match &self.0 {
            Secret::Ed25519(key) => Ok(key.sign(message).to_bytes().to_vec()),
            Secret::EcdsaP256(key) => {
                let signature: Signature = key.try_sign(message).map_err(|error| SignError(error.to_string()))?;
                Ok(ecdsa::to_der(signature))
            }
        }
    }
}
