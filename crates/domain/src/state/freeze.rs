//! Freezes, as the ledger tells of them.

use super::Stamp;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use trust::{AppName, Digest, PersonName, Version, freeze::Known};

/// A freeze as the ledger tells of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Freeze {
    /// Its number.
    pub number: u64,
    /// What it says, and what was said of it since: what targets know of it too.
    pub known: Known,
    /// Who declared it.
    pub by: PersonName,
    /// The entry that declared it.
    pub stamp: Stamp,
    /// The versions that pass.
    pub exceptions: Vec<Excepted>,
    /// Who lifted it, in which entry.
    pub lifted: Option<(PersonName, Stamp)>,
}

/// A version that passes a freeze.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Excepted {
    /// The application.
    pub app: AppName,
    /// The version.
    pub version: Version,
    /// The build.
    pub build: Digest,
    /// The salted digest of the reason.
    pub reason: Digest,
    /// Who excepts it.
    pub by: PersonName,
    /// The entry that says so.
    pub stamp: Stamp,
}

impl Freeze {
    /// Since when it stops nothing any more, if it does not.
    pub fn is_over(&self, now: Timestamp) -> Option<Timestamp> {
        let until = self.known.terms.until;
        let lifted = self.lifted.as_ref().map(|(_, stamp)| stamp.time);
        lifted.or((until <= now).then_some(until))
    }

    /// The entries in which something is said of it.
    pub fn entries(&self) -> impl Iterator<Item = u64> + '_ {
        let excepted = self.exceptions.iter().map(|excepted| excepted.stamp.entry);
        [self.stamp.entry].into_iter().chain(excepted).chain(self.lifted.iter().map(|(_, stamp)| stamp.entry))
    }
}
