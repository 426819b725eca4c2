//! What is recorded of the root of trust.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use trust::{PersonName, authority::VerifiedDocuments, key::PublicKey};

/// What the owners' signed metadata say besides the charter. Entries of before this was recorded say nothing of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RootFacts {
    /// When the root of trust expires.
    pub root_expires: Option<Timestamp>,
    /// When the owners' signature under the charter expires.
    pub charter_expires: Option<Timestamp>,
    /// Whoever may sign the next root: the owners, and keys for recovery.
    pub root_holders: Vec<(PersonName, PublicKey)>,
}

impl RootFacts {
    /// What these documents say.
    pub fn of(verified: &VerifiedDocuments) -> Self {
        Self {
            root_expires: Some(verified.root.expires()),
            charter_expires: Some(verified.targets.expires()),
            root_holders: verified.root.root_holders(),
        }
    }
}
