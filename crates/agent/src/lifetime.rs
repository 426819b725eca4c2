//! The end of a target that lives for a time only (R30): what it remembers of it, from when its time was found to be over.
//!
//! The charter that the owners signed says how long, and this machine knows for itself since when: no server takes part.
//! `lapsed.json` is written before anything is removed, so that what was begun is finished, however often the agent is
//! killed; [`crate::run`] does the removing. Once nothing is left and that was told, this agent does nothing more.

use crate::files::{self, FileError, Place};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use trust::authority::Lapsed;

/// What a target remembers of its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// What was found.
    pub found: Lapsed,
    /// Whether everything was removed.
    #[serde(default)]
    pub removed: bool,
    /// Whether the server was told, or listens to this target no more.
    #[serde(default)]
    pub told: bool,
}

/// A target's time, as far as it has one.
#[derive(Debug)]
pub struct Lifetime {
    place: Place,
    joined: Timestamp,
    end: Option<End>,
}

impl Lifetime {
    /// Reads what is remembered in the data folder `root` of a target that joined at `joined`.
    pub fn open(root: &Place, joined: Timestamp) -> Result<Self, FileError> {
        let place = root.join("lapsed.json");
        let end = files::read_json(&place)?;
        Ok(Self { place, joined, end })
    }

    /// When the target joined, by its own clock.
    pub fn joined(&self) -> Timestamp {
        self.joined
    }

    /// What is remembered of the end, once it has begun.
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// Whether the end has begun: nothing is followed any more.
    pub fn is_over(&self) -> bool {
        self.end.is_some()
    }

    /// Whether nothing is left to be done, for ever.
    pub fn is_done(&self) -> bool {
        self.end.as_ref().is_some_and(|end| end.removed && end.told)
    }

    /// Remembers how far the end is; once this returns, it survives.
    pub fn remember(&mut self, end: End) -> Result<(), FileError> {
        files::replace_json(&self.place, &end)?;
        self.end = Some(end);
        Ok(())
    }
}
