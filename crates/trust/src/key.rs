//! Public keys, their ids, and making and checking signatures.
//!
//! Four kinds of key sign: Ed25519 (RFC 8032), ECDSA on P-256 (smart cards), and the two kinds of FIDO security key that
//! OpenSSH makes. One key has one form, hence one id, and its kind alone says how its signatures are checked.

use crate::{digest::Digest, oidc::Proof};
use ed25519_dalek::{Signature as DalekSignature, VerifyingKey};
use serde::{Deserialize, Serialize};
use std::fmt;

mod ecdsa;
mod openssh;
mod secret;
mod security;
mod tuf_form;

pub use openssh::signature_from_openssh;
pub use secret::SecretKey;
pub use security::Application;

/// A public key, as TUF and in-toto documents carry it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "tuf_form::TufKey", into = "tuf_form::TufKey")]
pub struct PublicKey(Kind);

/// The kinds of key. The points in them were checked when the key was made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    /// A point on edwards25519.
    Ed25519([u8; 32]),
    /// A compressed point on P-256.
    EcdsaP256([u8; 33]),
    /// An Ed25519 key in a security key, and the application it was made for.
    SkEd25519([u8; 32], Application),
    /// A P-256 key in a security key, and the application it was made for.
    SkEcdsaP256([u8; 33], Application),
}

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
    #[error(
        "keys of type {0} are not supported: use Ed25519 (ssh-keygen -t ed25519), P-256 (ecdsa-sha2-nistp256, for \
         smart cards) or a security key (ssh-keygen -t ed25519-sk)"
    )]
    Unsupported(String),
    /// Bytes that are no point on the curve, or a weak one.
    #[error("not a valid public key: its bytes are no acceptable point on the curve")]
    Invalid,
    /// A security key that was made for something else than signing as OpenSSH does.
    #[error(
        "not a security key of OpenSSH: its application must be 'ssh:' or begin with it, in at most {} plain characters",
        Application::MAX_BYTES
    )]
    Application,
    /// A key in another than the one accepted spelling, under which it would have another id.
    #[error("the key is not spelled in the one accepted way")]
    Spelling,
    /// A private key that needs a passphrase which was not given, or was wrong.
    #[error("the key is encrypted: add it to ssh-agent (ssh-add) or give its passphrase")]
    Encrypted,
    /// A private key that cannot be read.
    #[error("not an OpenSSH private key: {0}")]
    NotPrivate(String),
    /// The file of a security key, which holds no key that could sign without the device.
    #[error("this is the file of a security key: add it to ssh-agent (ssh-add), which speaks to the device")]
    OnDevice(Box<PublicKey>),
}

impl PublicKey {
    /// Takes 32 bytes that are a point on edwards25519 and not of small order.
    pub fn from_ed25519(bytes: [u8; 32]) -> Result<Self, KeyError> {
        check_ed25519(&bytes)?;
        Ok(Self(Kind::Ed25519(bytes)))
    }

    /// Takes a point on P-256 in either form of SEC 1.
    pub fn from_ecdsa_p256(point: &[u8]) -> Result<Self, KeyError> {
        Ok(Self(Kind::EcdsaP256(ecdsa::compressed(point)?)))
    }

    /// Takes the Ed25519 key of a security key.
    pub fn from_sk_ed25519(bytes: [u8; 32], application: Application) -> Result<Self, KeyError> {
        check_ed25519(&bytes)?;
        Ok(Self(Kind::SkEd25519(bytes, application)))
    }

    /// Takes the P-256 key of a security key.
    pub fn from_sk_ecdsa_p256(point: &[u8], application: Application) -> Result<Self, KeyError> {
        Ok(Self(Kind::SkEcdsaP256(ecdsa::compressed(point)?, application)))
    }

    /// The point on the curve: 32 bytes of Ed25519, or 33 of a compressed point on P-256. The same point makes the same
    /// signatures, whatever kind of key it is written as.
    pub fn point(&self) -> &[u8] {
        match &self.0 {
            Kind::Ed25519(bytes) | Kind::SkEd25519(bytes, _) => bytes,
            Kind::EcdsaP256(bytes) | Kind::SkEcdsaP256(bytes, _) => bytes,
        }
    }

    /// The 32 bytes of a plain Ed25519 key; nothing for every other kind.
    pub fn ed25519(&self) -> Option<&[u8; 32]> {
        match &self.0 {
            Kind::Ed25519(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Whether the key is in a FIDO security key, which signs only when somebody touches it.
    pub fn is_security_key(&self) -> bool {
        matches!(self.0, Kind::SkEd25519(..) | Kind::SkEcdsaP256(..))
    }

    /// The tag that a signature of this key bears where it is not made over the bare message: OpenSSH's name of it.
    pub fn signature_scheme(&self) -> Option<&'static str> {
        self.is_security_key().then(|| self.openssh_type())
    }

    /// The key's id.
    pub fn id(&self) -> KeyId {
        KeyId(Digest::of(&tuf_form::canonical(self)))
    }

    /// What the device of a security key signed when it was asked to sign `message`, and its bare signature over that, for
    /// those who check with other programs. Nothing for other keys, and where nobody touched the device.
    pub fn signed_by_device<'a>(&self, message: &[u8], signature: &'a [u8]) -> Option<(Vec<u8>, &'a [u8])> {
        match &self.0 {
            Kind::Ed25519(_) | Kind::EcdsaP256(_) => None,
            Kind::SkEd25519(_, application) | Kind::SkEcdsaP256(_, application) => {
                security::unwrapped(application, message, signature)
            }
        }
    }

    /// Whether `signature` is this key's over exactly `message`. Only one encoding of a signature is accepted: nobody can
    /// turn a genuine one into another.
    ///
    /// - Ed25519: the 64 bytes, verified strictly.
    /// - P-256: DER, over SHA-256, the lower of both values of s.
    /// - Security keys: such a signature, then a byte of flags and four of the device's counter. It is made over
    ///   SHA-256(application) ‖ flags ‖ counter ‖ SHA-256(message), as OpenSSH's PROTOCOL.u2f has it, and the flags must
    ///   say that somebody was present.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.0 {
            Kind::Ed25519(key) => verify_ed25519(key, message, signature),
            Kind::EcdsaP256(point) => ecdsa::verify(point, message, signature),
            Kind::SkEd25519(key, _) => self
                .signed_by_device(message, signature)
                .is_some_and(|(message, signature)| verify_ed25519(key, &message, signature)),
            Kind::SkEcdsaP256(point, _) => self
                .signed_by_device(message, signature)
                .is_some_and(|(message, signature)| ecdsa::verify(point, &message, signature)),
        }
    }
}

fn check_ed25519(bytes: &[u8; 32]) -> Result<(), KeyError> {
    let key = VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::Invalid)?;
    if key.is_weak() { Err(KeyError::Invalid) } else { Ok(()) }
}

fn verify_ed25519(key: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    let Ok(key) = VerifyingKey::from_bytes(key) else { return false };
    let Ok(signature) = DalekSignature::from_slice(signature) else { return false };
    key.verify_strict(message, &signature).is_ok()
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}…", self.openssh_type(), hex::encode(&self.point()[..4]))
    }
}

impl KeyId {
    /// The id of a key that only TUF metadata of other people has: the digest of its bytes.
    pub(crate) fn of_material(bytes: &[u8]) -> Self {
        Self(Digest::of(bytes))
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
    /// The signature over exactly `message`, in the form that [`PublicKey::verify`] takes; an error says what stopped the
    /// signer.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;
    /// What speaks for the key, where it is in no charter: an issuer's token.
    fn proof(&self) -> Result<Option<Proof>, SignError> {
        Ok(None)
    }
}

/// A signer that could not sign.
#[derive(Debug, thiserror::Error)]
#[error("could not sign: {0}")]
pub struct SignError(pub String);

#[cfg(test)]
mod tests;
