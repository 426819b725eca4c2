//! What a document of evidence says: an in-toto statement, bare or in a DSSE envelope, or any JSON. Its issuer signs what
//! is read here together with the document's digest; a signature inside the envelope is kept with it, and not counted:
//! who counts stands in the charter.

use crate::failure::Failure;
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use trust::{
    Digest,
    evidence::{MAX_FACTS, MAX_NAME_BYTES},
    manifest::Manifest,
    names::printable,
};

/// How deep numbers are looked for.
const DEPTH: usize = 4;

/// What was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attestation {
    /// The predicate type, of an in-toto statement.
    pub predicate: Option<String>,
    /// The SHA-256 digests it is about, of an in-toto statement.
    pub subjects: BTreeSet<String>,
    /// Its own verdict, where it has one.
    pub result: Option<bool>,
    /// The whole numbers in it, by their place: `failed`, `summary.critical`.
    pub facts: BTreeMap<String, i64>,
}

impl Attestation {
    /// Reads a document; nothing where it is no JSON. `wanted` are the numbers that gates ask for: they come first where
    /// there are more than can be carried.
    pub fn read(document: &[u8], wanted: &BTreeSet<&str>) -> Option<Self> {
        let mut value: Value = serde_json::from_slice(document).ok()?;
        if let (Some(_), Some(payload)) = (value["payloadType"].as_str(), value["payload"].as_str()) {
            value = serde_json::from_slice(&BASE64_STANDARD.decode(payload).ok()?).ok()?;
        }
        let is_statement =
            value["_type"].as_str().is_some_and(|kind| kind.starts_with("https://in-toto.io/Statement/"));
        let mut attestation = Attestation::default();
        let said = if is_statement { &value["predicate"] } else { &value };
        if is_statement {
            attestation.predicate = value["predicateType"].as_str().map(str::to_string);
            let subjects = value["subject"].as_array().into_iter().flatten();
            attestation.subjects =
                subjects.filter_map(|subject| Some(subject["digest"]["sha256"].as_str()?.to_lowercase())).collect();
        }
        attestation.result = match said["result"].as_str() {
            Some("PASSED" | "WARNED") => Some(true),
            Some("FAILED") => Some(false),
            _ => None,
        };
        let mut all = BTreeMap::new();
        numbers(said, "", DEPTH, &mut all);
        let (asked, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|(name, _)| wanted.contains(name.as_str()));
        attestation.facts = asked.into_iter().chain(others).take(MAX_FACTS).collect();
        Some(attestation)
    }

    /// Fails unless an in-toto statement is about this build: its manifest, or one of its files (R51).
    pub fn check_subject(&self, build: &Digest, manifest: &Manifest) -> Result<(), Failure> {
        if self.predicate.is_none() {
            return Ok(());
        }
        let mut ours = manifest.objects().map(|(digest, _)| digest.hex()).chain([build.hex()]);
        match ours.any(|hex| self.subjects.contains(&hex)) {
            true => Ok(()),
            false => Err(Failure::integrity(
                "the statement is about other bytes: none of its subjects is this build's manifest or one of its files",
            )),
        }
    }
}

/// The whole numbers in `value` and below it.
fn numbers(value: &Value, place: &str, depth: usize, found: &mut BTreeMap<String, i64>) {
    let Some(object) = value.as_object().filter(|_| depth > 0) else { return };
    for (key, value) in object {
        let name = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
        if name.len() > MAX_NAME_BYTES || printable(&name) != name || name.contains(char::is_whitespace) {
            continue;
        }
        match value.as_i64() {
            Some(number) => drop(found.insert(name, number)),
            None => numbers(value, &name, depth - 1, found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATEMENT: &str = r#"{"_type":"https://in-toto.io/Statement/v1",
        "subject":[{"name":"web","digest":{"sha256":"AB12"}}],
        "predicateType":"https://in-toto.io/attestation/test-result/v0.1",
        "predicate":{"result":"FAILED","failed":2,"ratio":0.5,"summary":{"critical":1},"failedTests":["a"]}}"#;

    #[test]
    fn r51_statements_are_read_bare_and_in_their_envelope() {
        let bare = Attestation::read(STATEMENT.as_bytes(), &BTreeSet::new()).unwrap();
        assert_eq!(bare.predicate.as_deref(), Some("https://in-toto.io/attestation/test-result/v0.1"));
        assert_eq!(bare.result, Some(false));
        assert_eq!(bare.facts, BTreeMap::from([("failed".into(), 2), ("summary.critical".into(), 1)]));
        let payload = BASE64_STANDARD.encode(STATEMENT);
        let envelope =
            format!(r#"{{"payloadType":"application/vnd.in-toto+json","payload":"{payload}","signatures":[]}}"#);
        assert_eq!(Attestation::read(envelope.as_bytes(), &BTreeSet::new()), Some(bare));
        assert_eq!(Attestation::read(b"<testsuite/>", &BTreeSet::new()), None);
    }

    #[test]
    fn what_gates_ask_for_is_carried_before_the_rest() {
        let many: BTreeMap<String, i64> = (0..100).map(|at| (format!("n{at:03}"), at)).collect();
        let text = serde_json::to_vec(&many).unwrap();
        let read = Attestation::read(&text, &BTreeSet::from(["n099"])).unwrap();
        assert_eq!(read.facts.len(), MAX_FACTS);
        assert_eq!(read.facts["n099"], 99);
    }
}
