//! Keys and signatures as OpenSSH writes them: the lines of `.pub` files, and what ssh-agent answers.

use super::{Application, KeyError, Kind, PublicKey, SignError, ecdsa};
use crate::names::printable;
use ssh_key::{
    Algorithm, EcdsaCurve, Signature,
    public::{EcdsaPublicKey, Ed25519PublicKey, KeyData, SkEcdsaSha2NistP256, SkEd25519},
};

impl PublicKey {
    /// Reads an OpenSSH public key line (`ssh-ed25519 AAAA… comment`).
    pub fn from_openssh(line: &str) -> Result<Self, KeyError> {
        let kind = line.split_whitespace().next().unwrap_or_default();
        let is_key = ["ssh-", "ecdsa-", "sk-"].iter().any(|prefix| kind.starts_with(prefix));
        let unreadable = |_| if is_key && !is_taken(kind) { unsupported(kind) } else { KeyError::NotOpenSsh };
        let key = ssh_key::PublicKey::from_openssh(line.trim()).map_err(unreadable)?;
        Self::from_key_data(key.key_data())
    }

    /// Takes a key as ssh-agent lists it.
    pub fn from_key_data(data: &KeyData) -> Result<Self, KeyError> {
        match data {
            KeyData::Ed25519(key) => Self::from_ed25519(key.0),
            KeyData::Ecdsa(EcdsaPublicKey::NistP256(point)) => Self::from_ecdsa_p256(point.as_bytes()),
            KeyData::SkEd25519(key) => Self::from_sk_ed25519(key.public_key().0, Application::new(key.application())?),
            KeyData::SkEcdsaSha2NistP256(key) => {
                Self::from_sk_ecdsa_p256(key.ec_point().as_bytes(), Application::new(key.application())?)
            }
            other => Err(unsupported(other.algorithm().as_str())),
        }
    }

    /// Writes an OpenSSH public key line without a comment.
    pub fn to_openssh(&self) -> String {
        let data = self.key_data().map(ssh_key::PublicKey::from);
        data.and_then(|key| key.to_openssh().ok()).unwrap_or_default()
    }

    /// OpenSSH's name for this kind of key, which is also its name for the key's signatures.
    pub fn openssh_type(&self) -> &'static str {
        match self.0 {
            Kind::Ed25519(_) => "ssh-ed25519",
            Kind::EcdsaP256(_) => "ecdsa-sha2-nistp256",
            Kind::SkEd25519(..) => "sk-ssh-ed25519@openssh.com",
            Kind::SkEcdsaP256(..) => "sk-ecdsa-sha2-nistp256@openssh.com",
        }
    }

    fn key_data(&self) -> Option<KeyData> {
        let point = |point: &[u8; 33]| p256::EncodedPoint::from_bytes(ecdsa::uncompressed(point).ok()?).ok();
        Some(match &self.0 {
            Kind::Ed25519(bytes) => KeyData::Ed25519(Ed25519PublicKey(*bytes)),
            Kind::EcdsaP256(bytes) => KeyData::Ecdsa(EcdsaPublicKey::NistP256(point(bytes)?)),
            Kind::SkEd25519(bytes, application) => {
                KeyData::SkEd25519(SkEd25519::new(Ed25519PublicKey(*bytes), application.as_str()))
            }
            Kind::SkEcdsaP256(bytes, application) => {
                KeyData::SkEcdsaSha2NistP256(SkEcdsaSha2NistP256::new(point(bytes)?, application.as_str()))
            }
        })
    }
}

fn is_taken(kind: &str) -> bool {
    let taken =
        ["ssh-ed25519", "ecdsa-sha2-nistp256", "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"];
    taken.contains(&kind)
}

fn unsupported(kind: &str) -> KeyError {
    KeyError::Unsupported(printable(kind))
}

/// The signature that ssh-agent made with `key`, in the form that [`PublicKey::verify`] takes.
pub fn signature_from_openssh(key: &PublicKey, signature: &Signature) -> Result<Vec<u8>, SignError> {
    let algorithm = signature.algorithm();
    if algorithm.as_str() != key.openssh_type() {
        let made = printable(algorithm.as_str());
        return Err(SignError(format!("the agent made a signature of type {made} with a {} key", key.openssh_type())));
    }
    let bytes = signature.as_bytes();
    match key.0 {
        Kind::Ed25519(_) | Kind::SkEd25519(..) => Ok(bytes.to_vec()),
        Kind::EcdsaP256(_) => ecdsa_from_openssh(bytes),
        Kind::SkEcdsaP256(..) => {
            let malformed = || SignError("the security key's signature is too short".into());
            let (inner, trailer) = bytes.split_last_chunk::<5>().ok_or_else(malformed)?;
            let mut made = ecdsa_from_openssh(inner)?;
            made.extend_from_slice(trailer);
            Ok(made)
        }
    }
}

/// Two multiple-precision integers (RFC 5656, 3.1.2), as DER.
fn ecdsa_from_openssh(bytes: &[u8]) -> Result<Vec<u8>, SignError> {
    let malformed = |error: ssh_key::Error| SignError(format!("the agent's ECDSA signature is malformed: {error}"));
    let signature = Signature::new(Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 }, bytes).map_err(malformed)?;
    p256::ecdsa::Signature::try_from(&signature).map(ecdsa::to_der).map_err(malformed)
}
