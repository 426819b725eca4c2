//! Following the ledger: each checkpoint must extend the last one seen here.

use crate::files::{self, FileError, Place};
use serde::{Deserialize, Serialize};
use trust::{
    Digest,
    key::PublicKey,
    log::verify_consistency,
    note::{Checkpoint, verify_checkpoint},
};

/// The last checkpoint seen, and whether the ledger was ever found to have forked.
#[derive(Debug)]
pub struct Follower {
    place: Place,
    seen: Seen,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    epoch: u64,
    checkpoint: Option<SeenCheckpoint>,
    fork: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeenCheckpoint {
    origin: String,
    size: u64,
    root: Digest,
}

/// What a new checkpoint asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// It is what was seen last, or nobody named a key to check it by.
    Known,
    /// It has to be proved that the log of the second size extends that of the first.
    Prove {
        /// The smaller size.
        from: u64,
        /// The larger size.
        to: u64,
        /// What the note says.
        shown: Checkpoint,
    },
    /// It is not by a key of the charter, or no checkpoint.
    Invalid(String),
}

impl Follower {
    /// Reads what was seen last from `place`.
    pub fn open(place: Place) -> Result<Self, FileError> {
        let seen = files::read_json(&place)?.unwrap_or_default();
        Ok(Self { place, seen })
    }

    /// Why new activations are refused: the fork that was found.
    pub fn fork(&self) -> Option<&str> {
        self.seen.fork.as_deref()
    }

    /// Reads a note by the charter's ledger keys. A new epoch, which owners sign, starts anew.
    pub fn look(&mut self, note: &str, keys: &[PublicKey], epoch: u64) -> Result<Look, FileError> {
        if epoch > self.seen.epoch {
            self.save(Seen { epoch, ..Seen::default() })?;
        }
        if keys.is_empty() || note.is_empty() {
            return Ok(Look::Known);
        }
        let origin = note.lines().next().unwrap_or_default();
        let genuine = keys.iter().map(|key| verify_checkpoint(note, origin, key));
        let mut complaint = String::new();
        let mut shown = None;
        for result in genuine {
            match result {
                Ok(checkpoint) => shown = Some(checkpoint),
                Err(error) => complaint = error.to_string(),
            }
        }
        let Some(shown) = shown else { return Ok(Look::Invalid(complaint)) };
        let Some(seen) = self.seen.checkpoint.clone() else {
            self.take(&shown)?;
            return Ok(Look::Known);
        };
        if seen.origin != shown.origin {
            return Ok(Look::Invalid(format!("it is of the log {}, not {}", shown.origin, seen.origin)));
        }
        if seen.size == shown.size {
            if seen.root != shown.root {
                self.accuse(format!("two different ledgers of {} entries were shown", seen.size))?;
            }
            return Ok(Look::Known);
        }
        Ok(Look::Prove { from: seen.size.min(shown.size), to: seen.size.max(shown.size), shown })
    }

    /// Judges the proof for [`Look::Prove`].
    pub fn judge(&mut self, shown: &Checkpoint, proof: &[Digest]) -> Result<(), FileError> {
        let Some(seen) = self.seen.checkpoint.clone() else { return self.take(shown) };
        let (older, newer) = ((seen.size, seen.root), (shown.size, shown.root));
        // A lagging answer shows an earlier size; the log seen before must then extend that one.
        let (older, newer) = if older.0 <= newer.0 { (older, newer) } else { (newer, older) };
        match verify_consistency(older.0, newer.0, &older.1, &newer.1, proof) {
            Ok(()) if shown.size > seen.size => self.take(shown),
            Ok(()) => Ok(()),
            Err(error) => self.accuse(format!(
                "the ledger of {} entries does not extend the one of {} that was seen here: {error}",
                newer.0, older.0
            )),
        }
    }

    fn take(&mut self, shown: &Checkpoint) -> Result<(), FileError> {
        let checkpoint = SeenCheckpoint { origin: shown.origin.clone(), size: shown.size, root: shown.root };
        self.save(Seen { checkpoint: Some(checkpoint), ..self.seen.clone() })
    }

    fn accuse(&mut self, fork: String) -> Result<(), FileError> {
        tracing::error!(%fork, "the server's history was rewritten; nothing new is activated here");
        self.save(Seen { fork: Some(fork), ..self.seen.clone() })
    }

    fn save(&mut self, seen: Seen) -> Result<(), FileError> {
        files::replace_json(&self.place, &seen)?;
        self.seen = seen;
        Ok(())
    }
}
