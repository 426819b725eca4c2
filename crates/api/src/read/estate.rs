//! Who the server is, what it is trusted by, and who asks.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use trust::{
    Digest, PersonName,
    dsse::{Envelope, base64_bytes},
};
use utoipa::ToSchema;

/// Who the server is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Hello {
    /// The estate, once it has one.
    #[schema(value_type = Option<String>)]
    pub estate: Option<Digest>,
    /// The organisation's name, once it has one.
    pub name: Option<String>,
    /// The server's version.
    pub version: String,
    /// The pin of its TLS key: SHA-256 of the SubjectPublicKeyInfo.
    #[schema(value_type = String)]
    pub pin: Digest,
    /// The key that signs checkpoints, as an OpenSSH line.
    pub ledger_key: String,
    /// The pin of the TLS key that comes next, which the server keeps ready.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub next_pin: Option<Digest>,
    /// The key that signs checkpoints next, as an OpenSSH line.
    #[serde(default)]
    pub next_ledger_key: Option<String>,
}

/// The documents of trust, as files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Estate {
    /// All roots from the first.
    #[schema(value_type = Vec<String>)]
    pub roots: Vec<crate::write::Attachment>,
    /// The targets metadata in force.
    #[serde(with = "base64_bytes")]
    #[schema(value_type = String)]
    pub targets: Vec<u8>,
    /// The charter in force.
    pub charter: String,
    /// The signed suspensions in force.
    #[schema(value_type = Vec<Object>)]
    pub suspensions: Vec<Envelope>,
}

/// The signer as the server knows them.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Whoami {
    /// The name.
    pub name: String,
    /// The roles.
    pub roles: Vec<String>,
    /// The organisation's name.
    pub estate_name: String,
    /// The estate.
    #[schema(value_type = String)]
    pub estate: Digest,
    /// Their read-only tokens.
    #[serde(default)]
    pub tokens: Vec<TokenView>,
}

/// A read-only token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// SHA-256 of its secret.
    #[schema(value_type = String)]
    pub token: Digest,
    /// Whose it is.
    pub holder: String,
    /// What it is for.
    pub name: String,
    /// Until when it is good.
    #[schema(value_type = String)]
    pub expires: Timestamp,
}

/// Who a handle is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PersonView {
    /// The handle; another in its place once the person was erased.
    #[schema(value_type = String)]
    pub handle: PersonName,
    /// The name, where somebody said it.
    pub name: Option<String>,
    /// When the person was erased.
    #[schema(value_type = Option<String>)]
    pub erased: Option<Timestamp>,
}

/// How the TUF repository for agents and mirrors stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RepositoryStatus {
    /// The newest entry of the ledger that is published.
    pub entry: u64,
    /// The timestamp's version; 0 where nothing is published.
    pub version: u64,
    /// When the timestamp was signed.
    #[schema(value_type = Option<String>)]
    pub signed: Option<Timestamp>,
    /// Until when it is good.
    #[schema(value_type = Option<String>)]
    pub expires: Option<Timestamp>,
    /// Snapshot and the roles of permits.
    pub roles: BTreeMap<String, RepositoryRole>,
    /// Why nothing (new) is published, if so.
    pub problem: Option<String>,
    /// The witness without whose signature nothing new is published, where root names one.
    #[serde(default)]
    pub witness: Option<crate::witness::WitnessStatus>,
}

/// One file of metadata that the server signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RepositoryRole {
    /// Its version.
    pub version: u64,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// How many files it lists.
    pub files: u64,
    /// Until when it is good.
    #[schema(value_type = String)]
    pub expires: Timestamp,
}
