//! One entry of the ledger: one accepted command.

use crate::event::Event;
use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{SeqAccess, Visitor},
};
use std::fmt;
use trust::{Digest, dsse::Envelope};

/// One accepted command as stored. A leaf of the Merkle log is these very bytes (JSON, one line), never re-serialised.
///
/// `events` comes before `envelope`; who only folds reads [`Happened`], and skips the envelope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// From 1, without gaps.
    pub number: u64,
    /// When it was accepted; never earlier than the entry before.
    pub time: Timestamp,
    /// Who (R56): a person's name, `target:NAME`, or `clock`.
    pub actor: String,
    /// With which roles (R56).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// For whom, where that is somebody else (R56).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<String>,
    /// The request's id; unique together with the actor.
    pub request_id: String,
    /// What happened.
    pub events: Vec<Event>,
    /// The signed statement, where somebody signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envelope: Option<Envelope>,
}

/// What folding needs of an entry. Everything else, the envelope above all, is skipped unread.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Happened {
    /// As [`Entry::number`].
    pub number: u64,
    /// As [`Entry::time`].
    pub time: Timestamp,
    /// As [`Entry::events`], with what earlier programs left out of them.
    #[serde(deserialize_with = "no_roomier_than_needed")]
    pub events: Vec<Event>,
}

impl Happened {
    /// Reads the stored bytes of an entry.
    pub fn read(bytes: &[u8]) -> serde_json::Result<Self> {
        let mut happened: Self = serde_json::from_slice(bytes)?;
        happened.complete(bytes)?;
        Ok(happened)
    }

    /// Completes what earlier programs left out of their events: which statement evidence stands in, without which owners
    /// could not uphold it. It is in the envelope.
    fn complete(&mut self, bytes: &[u8]) -> serde_json::Result<()> {
        for event in &mut self.events {
            if let Event::EvidenceAttached { payload: payload @ None, .. } = event {
                let Enveloped { envelope } = serde_json::from_slice(bytes)?;
                *payload = envelope.map(|envelope| Digest::of(&envelope.payload));
            }
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Enveloped {
    #[serde(default)]
    envelope: Option<Envelope>,
}

/// Most entries have one event, and events are large: room for four, which is where vectors begin, is a size that
/// allocators are slow to give and to take back.
fn no_roomier_than_needed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Event>, D::Error> {
    struct Events;
    impl<'de> Visitor<'de> for Events {
        type Value = Vec<Event>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of events")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Event>, A::Error> {
            let mut events = Vec::new();
            while let Some(event) = seq.next_element()? {
                if events.is_empty() {
                    events.reserve_exact(1);
                }
                events.push(event);
            }
            Ok(events)
        }
    }
    deserializer.deserialize_seq(Events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_of_before_is_named_by_its_envelope() {
        let payload = b"what ci signed".to_vec();
        let envelope = Envelope { payload_type: "text/plain".into(), payload, signatures: Vec::new() };
        let build = Digest::of(b"web#A");
        let event = |payload| Event::EvidenceAttached {
            app: "web".parse().unwrap(),
            build,
            kind: "lint".into(),
            passed: true,
            summary: "clean".into(),
            document: build,
            issuer: "ci".parse().unwrap(),
            key: trust::key::Signer::public(&trust::key::SecretKey::from_seed(&[7; 32])).id(),
            predicate: None,
            facts: Default::default(),
            issued: None,
            payload,
        };
        let read = |payload| {
            let entry = Entry {
                number: 1,
                time: Timestamp::UNIX_EPOCH,
                actor: "ci".into(),
                roles: Vec::new(),
                on_behalf_of: None,
                request_id: "r1".into(),
                events: vec![event(payload)],
                envelope: Some(envelope.clone()),
            };
            Happened::read(&serde_json::to_vec(&entry).unwrap()).unwrap().events
        };
        let named = Digest::of(&envelope.payload);
        assert_eq!(read(None), [event(Some(named))]);
        assert_eq!(read(Some(build)), [event(Some(build))], "what an entry says stays as it is");
    }
}
