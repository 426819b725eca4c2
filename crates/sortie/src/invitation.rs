//! An invitation as it travels to a machine: a token that holds what the agent pins, and the secret half of a key.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use trust::{AppName, AudienceName, Digest, TargetName, charter::Class};

const PREFIX: &str = "sortie-join-";

/// What an invited machine is told, and pins for good.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invitation {
    /// The server's address.
    pub url: String,
    /// The pin of its TLS key.
    pub pin: Digest,
    /// The estate.
    pub estate: Digest,
    /// Where the machine is to join.
    pub environment: AudienceName,
    /// That environment's class, as the inviter's own charter says.
    pub class: Class,
    /// The labels it will get.
    pub labels: BTreeMap<String, String>,
    /// The applications it is to accept; empty means all.
    pub apps: BTreeSet<AppName>,
    /// The only name it may take, where that is fixed.
    pub name: Option<TargetName>,
    /// The seed of the invitation's key.
    pub seed: [u8; 32],
}

impl Invitation {
    /// The token: one word that survives copying.
    pub fn encode(&self) -> String {
        format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default()))
    }
}
