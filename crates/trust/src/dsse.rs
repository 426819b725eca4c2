//! Dead Simple Signing Envelopes (DSSE v1.0.2): the one form in which people, robots and targets sign.

use crate::{
    key::{KeyId, PublicKey, SignError, Signer},
    oidc::Proof,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};

/// The media type of every payload Sortie signs: an in-toto statement.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// A signed payload. The bytes that were signed are kept as they came; nothing is ever re-serialised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Envelope {
    /// The payload's media type, part of what is signed.
    pub payload_type: String,
    /// The payload's bytes.
    #[serde(with = "base64_bytes")]
    pub payload: Vec<u8>,
    /// At least one signature.
    pub signatures: Vec<Signature>,
}

/// One signature over the envelope's pre-authentication encoding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// Which key signed: a hint that selects the key, never a proof.
    pub keyid: KeyId,
    /// The signature's bytes.
    #[serde(with = "base64_bytes")]
    pub sig: Vec<u8>,
    /// How the signature is made, where it is not over the bare encoding: `sk-ssh-ed25519@openssh.com` for one kind of
    /// security key, `sk-ecdsa-sha2-nistp256@openssh.com` for the other. `sig` is then the device's signature, its byte
    /// of flags and the four bytes of its counter, in that order (OpenSSH's PROTOCOL.u2f). The key alone decides how a
    /// signature is checked; one whose tag says anything else is no signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// What speaks for a key that is in no charter. A signature with a proof counts as its proof says, and never as its
    /// key's alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

impl Signature {
    /// Signs a payload.
    pub fn make(payload_type: &str, payload: &[u8], signer: &dyn Signer) -> Result<Self, SignError> {
        let key = signer.public();
        let sig = signer.sign(&pre_authentication_encoding(payload_type, payload))?;
        Ok(Self { keyid: key.id(), sig, scheme: key.signature_scheme().map(Into::into), proof: signer.proof()? })
    }

    /// Whether the key that a proof speaks for made this over exactly the payload.
    pub(crate) fn is_by_key_of_proof(&self, payload_type: &str, payload: &[u8]) -> bool {
        let message = pre_authentication_encoding(payload_type, payload);
        self.proof.as_ref().is_some_and(|proof| self.is_by(&proof.key, &message))
    }

    /// Whether `key` made this over exactly `message`, and its tag says so.
    fn is_by(&self, key: &PublicKey, message: &[u8]) -> bool {
        key.id() == self.keyid && self.scheme.as_deref() == key.signature_scheme() && key.verify(message, &self.sig)
    }
}

impl Envelope {
    /// Signs `payload` with one signer.
    pub fn sign(payload: Vec<u8>, signer: &dyn Signer) -> Result<Self, SignError> {
        let signatures = vec![Signature::make(PAYLOAD_TYPE, &payload, signer)?];
        Ok(Self { payload_type: PAYLOAD_TYPE.into(), payload, signatures })
    }

    /// The key ids, in order of first appearance, whose key (looked up by `key_of`) signed this very payload.
    /// A key that signed twice is listed once.
    pub fn signers(&self, key_of: impl Fn(&KeyId) -> Option<PublicKey>) -> Vec<KeyId> {
        let message = pre_authentication_encoding(&self.payload_type, &self.payload);
        let mut signers = Vec::new();
        for signature in &self.signatures {
            let bare = signature.proof.is_none();
            let genuine = bare && key_of(&signature.keyid).is_some_and(|key| signature.is_by(&key, &message));
            if genuine && !signers.contains(&signature.keyid) {
                signers.push(signature.keyid);
            }
        }
        signers
    }
}

/// `PAE(type, payload)` of the DSSE protocol: what a signature is made over.
pub fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out
}

/// The payload in a message that was encoded by [`pre_authentication_encoding`]; nothing for any other message.
pub fn payload_of(message: &[u8]) -> Option<&[u8]> {
    let length = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<usize>().ok();
    let mut parts = message.strip_prefix(b"DSSEv1 ")?.splitn(2, |byte| *byte == b' ');
    let (kind_bytes, rest) = (length(parts.next()?)?, parts.next()?);
    let rest = rest.get(kind_bytes..)?.strip_prefix(b" ")?;
    let mut parts = rest.splitn(2, |byte| *byte == b' ');
    let (payload_bytes, payload) = (length(parts.next()?)?, parts.next()?);
    (payload.len() == payload_bytes).then_some(payload)
}

/// Serde form of byte strings: standard base64 with padding.
pub mod base64_bytes {
    use super::{BASE64_STANDARD, Engine};
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes base64.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(bytes))
    }

    /// Reads base64.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        BASE64_STANDARD.decode(text.as_bytes()).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SecretKey;

    #[test]
    fn the_specification_s_example_encodes_as_written_there() {
        assert_eq!(
            pre_authentication_encoding("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
        assert_eq!(payload_of(b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"), Some(&b"hello world"[..]));
        assert_eq!(payload_of(b"DSSEv1 29 http://example.com/HelloWorld 12 hello world"), None);
        assert_eq!(payload_of(b"{\"signed\":{}}"), None);
    }

    #[test]
    fn a_signature_counts_for_its_own_key_over_its_own_payload_only() {
        let (one, two) = (SecretKey::from_seed(&[1; 32]), SecretKey::from_seed(&[2; 32]));
        let mut envelope = Envelope::sign(b"{}".to_vec(), &one).unwrap();
        envelope.signatures.push(envelope.signatures[0].clone());
        let keys = [one.public(), two.public()];
        let key_of = |id: &KeyId| keys.iter().find(|k| k.id() == *id).copied();
        assert_eq!(envelope.signers(key_of), vec![one.public().id()]);
        envelope.signatures[0].keyid = two.public().id();
        envelope.signatures.truncate(1);
        assert!(envelope.signers(key_of).is_empty());
        let mut changed = Envelope::sign(b"{}".to_vec(), &one).unwrap();
        changed.payload = b"[]".to_vec();
        assert!(changed.signers(key_of).is_empty());
    }
}
