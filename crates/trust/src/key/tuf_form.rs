//! Keys as TUF and in-toto documents carry them. Ed25519 and P-256 have the form that other people's tools read;
//! security keys, which those tools do not know, are written as the line that OpenSSH has for them.

use super::{KeyError, Kind, PublicKey};
use crate::{digest::Digest, json::olpc_string, names::printable, pem::public_key_pem};
use p256::pkcs8::DecodePublicKey as _;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

const ED25519: (&str, &str) = ("ed25519", "ed25519");
const ECDSA: (&str, &str) = ("ecdsa", "ecdsa-sha2-nistp256");
const SK_ED25519: (&str, &str) = ("sk-ed25519", "sk-ssh-ed25519@openssh.com");
const SK_ECDSA: (&str, &str) = ("sk-ecdsa", "sk-ecdsa-sha2-nistp256@openssh.com");

/// A key object of TUF (4.3).
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TufKey {
    keytype: Cow<'static, str>,
    scheme: Cow<'static, str>,
    keyval: TufKeyValue,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TufKeyValue {
    public: String,
}

/// A key's object in the canonical form of TUF, written at once: ids are asked for far more often than keys are read.
pub(super) fn canonical(key: &PublicKey) -> Vec<u8> {
    let TufKey { keytype, scheme, keyval } = TufKey::from(*key);
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(br#"{"keytype":"#);
    olpc_string(&keytype, &mut out);
    out.extend_from_slice(br#","keyval":{"public":"#);
    olpc_string(&keyval.public, &mut out);
    out.extend_from_slice(br#"},"scheme":"#);
    olpc_string(&scheme, &mut out);
    out.push(b'}');
    out
}

impl From<PublicKey> for TufKey {
    fn from(key: PublicKey) -> Self {
        let ((keytype, scheme), public) = match &key.0 {
            Kind::Ed25519(bytes) => (ED25519, hex::encode(bytes)),
            Kind::EcdsaP256(_) => (ECDSA, public_key_pem(&key)),
            Kind::SkEd25519(..) => (SK_ED25519, key.to_openssh()),
            Kind::SkEcdsaP256(..) => (SK_ECDSA, key.to_openssh()),
        };
        TufKey { keytype: keytype.into(), scheme: scheme.into(), keyval: TufKeyValue { public } }
    }
}

impl TryFrom<TufKey> for PublicKey {
    type Error = KeyError;
    fn try_from(object: TufKey) -> Result<Self, KeyError> {
        let public = &object.keyval.public;
        let kind = (&*object.keytype, &*object.scheme);
        let key = match kind {
            ED25519 => {
                let bytes = Digest::from_hex(public).map_err(|_| KeyError::Invalid)?;
                Self::from_ed25519(*bytes.as_bytes())?
            }
            ECDSA => {
                let key = p256::PublicKey::from_public_key_pem(public).map_err(|_| KeyError::Invalid)?;
                Self::from_ecdsa_p256(&key.to_sec1_bytes())?
            }
            SK_ED25519 | SK_ECDSA => Self::from_openssh(public)?,
            _ => return Err(KeyError::Unsupported(printable(&object.keytype))),
        };
        // One key has one spelling, so that it has one id: whatever reads as this key must be written as it is.
        let written = TufKey::from(key);
        if (&*written.keytype, &*written.scheme) != kind || written.keyval.public != *public {
            return Err(KeyError::Spelling);
        }
        Ok(key)
    }
}
