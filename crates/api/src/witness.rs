//! What a witness of the repository and the server say to each other, and what a witness tells whoever asks it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use trust::{Digest, tuf::MetadataSignature};
use utoipa::ToSchema;

/// What a witness says of a timestamp that the server alone has signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Word {
    /// It was looked at in full, and signed.
    Signed {
        /// The timestamp's version.
        version: u64,
        /// The signature over its signed part.
        #[schema(value_type = Object)]
        signature: MetadataSignature,
    },
    /// It is not signed.
    Refused {
        /// Why, in words for people.
        why: String,
    },
}

/// How the server stands to the witness that root names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WitnessStatus {
    /// Its public key, as an OpenSSH line.
    pub key: String,
    /// When it was heard of last, since the server runs.
    #[schema(value_type = Option<String>)]
    pub seen: Option<Timestamp>,
    /// Since when something waits for its signature, if anything does.
    #[schema(value_type = Option<String>)]
    pub waiting_since: Option<Timestamp>,
    /// Why it did not sign the newest that it was shown, if so.
    pub refuses: Option<String>,
}

/// The answer of a witness that took a withdrawal: it is kept for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Taken {
    /// The digest of the withdrawal's payload.
    pub payload: Digest,
    /// What it says: `web@1.4.0 from prod`.
    pub what: String,
    /// Whether the witness had it already.
    pub known: bool,
    /// Whether the server was reached the last time that the witness tried.
    pub server_answers: bool,
}

/// How a witness stands, by its own word.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WitnessView {
    /// Its public key, as an OpenSSH line.
    pub key: String,
    /// The estate it is a witness of.
    pub estate: Option<Digest>,
    /// Whether owners have named it in root.
    pub named: bool,
    /// The version of the last timestamp that it signed.
    pub version: Option<u64>,
    /// The date of that.
    pub signed: Option<Timestamp>,
    /// How many withdrawals it keeps.
    pub withdrawals: usize,
    /// Why it did not sign the newest that it was shown, or could not be shown any.
    pub problem: Option<String>,
}
