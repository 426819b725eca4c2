//! The one write door.

use domain::event::Event;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use trust::{Digest, dsse::Envelope};
use utoipa::ToSchema;

/// A signed statement, with the documents and texts it names by digest.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// The signed statement, in a DSSE envelope.
    #[schema(value_type = Object)]
    pub envelope: Envelope,
    /// Small documents the statement names by digest (roots, a charter, a config document), in base64.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub attachments: BTreeMap<Digest, Attachment>,
    /// Free text the statement names by digest; it goes to the erasable side table.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, Text>)]
    pub texts: BTreeMap<Digest, Text>,
    /// The one-time claim of a server without an estate; only with its first charter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
}

/// A small document in base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String)]
pub struct Attachment(
    /// The document's bytes.
    #[serde(with = "trust::dsse::base64_bytes")]
    pub Vec<u8>,
);

/// Free text with the salt that keeps its digest from being guessed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// Random hexadecimal digits.
    pub salt: String,
    /// The text.
    pub text: String,
}

impl Text {
    /// The digest a statement names: of the salt, a line feed and the text.
    pub fn digest(&self) -> Digest {
        Digest::of(format!("{}\n{}", self.salt, self.text).as_bytes())
    }
}

/// The answer to an accepted command.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Accepted {
    /// The entry that holds it.
    pub entry: u64,
    /// When it was accepted.
    #[schema(value_type = String)]
    pub time: Timestamp,
    /// What happened.
    #[schema(value_type = Vec<Object>)]
    pub events: Vec<Event>,
    /// Whether this very command had been accepted before.
    pub repeated: bool,
}

/// A signed session statement.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The statement, in a DSSE envelope.
    #[schema(value_type = Object)]
    pub envelope: Envelope,
}

/// A token for reads.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LoggedIn {
    /// To be sent as `Authorization: Bearer …`.
    pub token: String,
    /// Until when it is good.
    #[schema(value_type = String)]
    pub expires: Timestamp,
}

/// The answer to objects that were sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Stored {
    /// How many objects were stored.
    pub objects: u64,
    /// Their length in bytes, all together.
    pub size_bytes: u64,
}
