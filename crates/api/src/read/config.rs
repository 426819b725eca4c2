//! The config in force, and what vouches for the targets that it is encrypted for.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use trust::TargetName;
use utoipa::ToSchema;

/// The config in force; secrets as they are encrypted.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ConfigView {
    /// Counts the sets; 0 where there is none.
    pub serial: u64,
    /// The document, where there is one.
    #[schema(value_type = Option<Object>)]
    pub document: Option<trust::config::ConfigDocument>,
    /// The keys the newest build declares: whether each is a secret, and its default.
    #[schema(value_type = Object)]
    pub declared: BTreeMap<String, trust::manifest::ConfigKey>,
    /// The age recipients of the environment's targets.
    #[schema(value_type = BTreeMap<String, String>)]
    pub recipients: BTreeMap<TargetName, String>,
    /// What vouches for each of those targets: whoever encrypts to one checks it.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub vouched: BTreeMap<TargetName, Vouched>,
    /// The targets that still lack the secrets.
    #[schema(value_type = Vec<String>)]
    pub lacking: Vec<TargetName>,
}

/// The signed statements by which a target joined.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Vouched {
    /// The invitation, by somebody who may invite.
    pub invitation: trust::dsse::Envelope,
    /// The enrolment, by the invitation's key and the target's own.
    pub enrolment: trust::dsse::Envelope,
}
