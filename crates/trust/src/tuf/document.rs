//! A file of metadata: its signed part, its signatures, and the fields that every kind has (TUF 4.2 and 4.3).

use super::{MAX_TARGETS_BYTES, SPEC_VERSION, TufError, TufRole};
use crate::{
    json::{self, JsonError},
    key::{SignError, Signer},
    names::printable,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The most signatures that are looked at in one file.
const MAX_SIGNATURES: usize = 256;

/// A file of metadata with its signatures, nothing verified.
pub(super) struct Document {
    pub(super) signed: Value,
    /// The canonical form of `signed`, which signatures are made over (TUF 4.2.1). Fields that are not understood are
    /// in it.
    pub(super) message: Vec<u8>,
    pub(super) signatures: Vec<MetadataSignature>,
}

/// A signature as it stands in a file of metadata. One that cannot be genuine (empty, or under an unknown id) is no
/// error: it counts for nothing, as every signature does until a key has verified it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataSignature {
    pub(super) keyid: String,
    pub(super) sig: String,
}

/// Fields beside these are in no signature, so that whoever passes the file on may add them: they mean nothing.
#[derive(Serialize, Deserialize)]
struct DocumentJson {
    signatures: Vec<MetadataSignature>,
    signed: Value,
}

impl Document {
    pub(super) fn read(bytes: &[u8], limit_bytes: usize) -> Result<Self, TufError> {
        check_size(bytes, limit_bytes)?;
        let DocumentJson { signatures, signed } = read_as(json::strict_value(bytes)?)?;
        if signatures.len() > MAX_SIGNATURES {
            return Err(TufError::Malformed(format!("more than {MAX_SIGNATURES} signatures")));
        }
        let mut seen = BTreeSet::new();
        // 4.2.1: a key id stands once among the signatures.
        if let Some(repeated) = signatures.iter().find(|signature| !seen.insert(signature.keyid.as_str())) {
            return Err(TufError::RepeatedSignature(printable(&repeated.keyid)));
        }
        Ok(Self { message: json::canonical(&signed)?, signed, signatures })
    }

    pub(super) fn unsigned(signed: &Value) -> Result<Self, TufError> {
        Ok(Self { message: json::canonical(signed)?, signed: signed.clone(), signatures: Vec::new() })
    }

    pub(super) fn write(&self) -> Result<Vec<u8>, TufError> {
        let json = DocumentJson { signed: self.signed.clone(), signatures: self.signatures.clone() };
        let mut bytes = serde_json::to_vec_pretty(&json).map_err(JsonError::from)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// As [`Self::write`], without the white space that is for people.
    pub(super) fn write_compact(&self) -> Result<Vec<u8>, TufError> {
        let json = DocumentJson { signed: self.signed.clone(), signatures: self.signatures.clone() };
        Ok(serde_json::to_vec(&json).map_err(JsonError::from)?)
    }

    /// Adds the signer's signature, in place of an earlier one by the same key.
    pub(super) fn sign(&mut self, signer: &dyn Signer) -> Result<(), TufError> {
        let signature = self.signature(signer)?;
        self.add(signature);
        Ok(())
    }

    /// The signer's signature over `signed`.
    pub(super) fn signature(&self, signer: &dyn Signer) -> Result<MetadataSignature, TufError> {
        let public = signer.public();
        let signature = signer.sign(&self.message)?;
        if !public.verify(&self.message, &signature) {
            return Err(SignError("the signer gave a signature that its own key does not verify".into()).into());
        }
        Ok(MetadataSignature { keyid: public.id().to_string(), sig: hex::encode(signature) })
    }

    /// Adds a signature, in place of an earlier one by the same key.
    pub(super) fn add(&mut self, signature: MetadataSignature) {
        self.signatures.retain(|earlier| earlier.keyid != signature.keyid);
        self.signatures.push(signature);
    }
}

/// A file of metadata over `signed`, with a signature of each signer (none yet, where there are none).
pub fn sign_metadata(signed: &Value, signers: &[&dyn Signer]) -> Result<Vec<u8>, TufError> {
    let mut document = Document::unsigned(signed)?;
    for signer in signers {
        document.sign(*signer)?;
    }
    document.write()
}

/// Adds a signature to a file of metadata and keeps the others, so that owners can sign in their own time. Whoever
/// signs has read what the file says: this function does not judge it.
pub fn add_signature(bytes: &[u8], signer: &dyn Signer) -> Result<Vec<u8>, TufError> {
    let mut document = Document::read(bytes, MAX_TARGETS_BYTES)?;
    document.sign(signer)?;
    document.write()
}

/// What every `signed` has. Fields that are not known are tolerated here, as TUF asks; they are signed all the same.
#[derive(Deserialize)]
struct HeaderJson {
    #[serde(rename = "_type")]
    kind: String,
    spec_version: String,
    version: u64,
    expires: String,
}

/// The beginning of a `signed`.
pub(super) fn header(role: TufRole, version: u64, expires: Timestamp) -> Result<Value, TufError> {
    // Seconds are all that TUF's form of a time has room for.
    let expires = Timestamp::from_second(expires.as_second()).map_err(|e| TufError::Malformed(e.to_string()))?;
    Ok(json!({
        "_type": role.to_string(),
        "spec_version": SPEC_VERSION,
        "version": version,
        "expires": expires.to_string(),
    }))
}

/// The version and the expiry of a `signed`, which must be of this kind.
pub(super) fn read_header(signed: &Value, role: TufRole) -> Result<(u64, Timestamp), TufError> {
    let header: HeaderJson = read_as(signed)?;
    if header.kind != role.to_string() {
        return Err(TufError::WrongType { expected: role, found: printable(&header.kind) });
    }
    if !is_supported(&header.spec_version) {
        return Err(TufError::SpecVersion(printable(&header.spec_version)));
    }
    if header.version == 0 {
        return Err(TufError::VersionZero);
    }
    // The one form of a time that TUF allows is also the one that jiff writes for whole seconds.
    let expires = header.expires.parse().ok().filter(|time: &Timestamp| time.to_string() == header.expires);
    let expires = expires.ok_or_else(|| TufError::ExpiryFormat(printable(&header.expires)))?;
    if expires.subsec_nanosecond() != 0 {
        return Err(TufError::ExpiryFormat(printable(&header.expires)));
    }
    Ok((header.version, expires))
}

/// 4.3: the specification's version must match; as the reference implementation, we compare the major one. Some
/// repositories state two parts and not three.
fn is_supported(spec_version: &str) -> bool {
    let parts: Vec<&str> = spec_version.split('.').collect();
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    matches!(parts.len(), 2 | 3) && parts.iter().all(is_number) && parts[0] == "1"
}

pub(super) fn read_as<'de, T: DeserializeOwned>(
    value: impl serde::Deserializer<'de, Error = serde_json::Error>,
) -> Result<T, TufError> {
    T::deserialize(value)
        .map_err(|e| TufError::Malformed(printable(&e.to_string().chars().take(300).collect::<String>())))
}

pub(super) fn check_size(bytes: &[u8], limit_bytes: usize) -> Result<(), TufError> {
    if bytes.len() > limit_bytes {
        return Err(TufError::Oversized { size_bytes: bytes.len(), limit_bytes });
    }
    Ok(())
}

/// Whether metadata is still good: its expiry must be later than the time at which the update began (5.1).
pub(super) fn check_expiry(role: &str, version: u64, expires: Timestamp, now: Timestamp) -> Result<(), TufError> {
    if expires > now { Ok(()) } else { Err(TufError::Expired { role: role.to_owned(), version, expires }) }
}
