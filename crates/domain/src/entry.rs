//! One entry of the ledger: one accepted command.

use crate::event::Event;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use trust::dsse::Envelope;

/// One accepted command as stored. A leaf of the Merkle log is these very bytes (JSON, one line), never re-serialised.
///
/// `events` comes before `envelope`, and readers that only fold skip the envelope.
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
