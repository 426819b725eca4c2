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
    /// Why new activations are refused for now: the server shows less than was seen.
    behind: Option<String>,
    verified: Option<Verified>,
    place: Place,
    seen: Seen,
}

/// The note that was found genuine last, and by which keys.
#[derive(Debug)]
struct Verified {
    note: String,
    keys: Vec<PublicKey>,
    checkpoint: Checkpoint,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    epoch: u64,
    checkpoint: Option<SeenCheckpoint>,
    fork: Option<String>,
    /// The last checkpoint of the epoch before, until the server was told.
    #[serde(default)]
    untold: Option<Note>,
}

/// A checkpoint as the server signed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// The epoch it was seen in.
    pub epoch: u64,
    /// The signed note.
    pub text: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeenCheckpoint {
    origin: String,
    size: u64,
    root: Digest,
    /// The note it came in: the server's own word, which it cannot deny.
    #[serde(default)]
    note: String,
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
        Ok(Self { behind: None, verified: None, place, seen })
    }

    /// Why new activations are refused: the fork that was found.
    pub fn fork(&self) -> Option<&str> {
        self.seen.fork.as_deref()
    }

    /// Reads a note by the charter's ledger keys. A new epoch, which owners sign, starts anew.
    pub fn look(&mut self, note: &str, keys: &[PublicKey], epoch: u64) -> Result<Look, FileError> {
        if epoch > self.seen.epoch {
            let (before, seen) = (self.seen.epoch, self.seen.checkpoint.clone());
            let untold = seen.filter(|seen| !seen.note.is_empty()).map(|seen| Note { epoch: before, text: seen.note });
            self.behind = None;
            self.save(Seen { epoch, untold, ..Seen::default() })?;
        }
        if keys.is_empty() || note.is_empty() {
            return Ok(Look::Known);
        }
        let shown = match self.genuine(note, keys) {
            Ok(shown) => shown,
            Err(complaint) => return Ok(Look::Invalid(complaint)),
        };
        let Some(seen) = self.seen.checkpoint.clone() else {
            self.take(&shown, note)?;
            return Ok(Look::Known);
        };
        if seen.origin != shown.origin {
            return Ok(Look::Invalid(format!("it is of the log {}, not {}", shown.origin, seen.origin)));
        }
        if seen.size == shown.size {
            if seen.root != shown.root {
                self.accuse(format!("two different ledgers of {} entries were shown", seen.size))?;
            }
            self.behind = None;
            return Ok(Look::Known);
        }
        Ok(Look::Prove { from: seen.size.min(shown.size), to: seen.size.max(shown.size), shown })
    }

    /// What a note says, if one of the keys signed it. A quiet ledger shows the same note at every poll, and it is verified once.
    fn genuine(&mut self, note: &str, keys: &[PublicKey]) -> Result<Checkpoint, String> {
        if let Some(verified) = self.verified.as_ref().filter(|verified| verified.note == note && verified.keys == keys)
        {
            return Ok(verified.checkpoint.clone());
        }
        let origin = note.lines().next().unwrap_or_default();
        let mut complaint = String::new();
        for key in keys {
            match verify_checkpoint(note, origin, key) {
                Ok(checkpoint) => {
                    let (note, keys) = (note.to_owned(), keys.to_vec());
                    self.verified = Some(Verified { note, keys, checkpoint: checkpoint.clone() });
                    return Ok(checkpoint);
                }
                Err(error) => complaint = error.to_string(),
            }
        }
        Err(complaint)
    }

    /// The server gives no proof for [`Look::Prove`]. One that shows less than was seen here and cannot prove that it
    /// has the rest was put back from an older copy: nothing new is activated until it has caught up, or owners sign a
    /// new epoch.
    pub fn unproved(&mut self, shown: &Checkpoint) {
        if let Some(seen) = self.seen.checkpoint.as_ref().filter(|seen| seen.size > shown.size) {
            let (had, has) = (seen.size, shown.size);
            let why = format!("this target has seen entry {had} of the ledger, and the server shows {has}");
            self.behind = Some(format!("{why}: was it put back from an older copy? Owners must sign a new epoch"));
        }
    }

    /// Why new activations are refused for now: the server's ledger lacks what was seen here.
    pub fn behind(&self) -> Option<&str> {
        self.behind.as_deref()
    }

    /// The newest checkpoint seen, for a server that has lost it or shows another history.
    pub fn newest(&self) -> Option<Note> {
        let seen = self.seen.checkpoint.as_ref().filter(|seen| !seen.note.is_empty())?;
        Some(Note { epoch: self.seen.epoch, text: seen.note.clone() })
    }

    /// The last checkpoint of the epoch before, while the server was not told.
    pub fn untold(&self) -> Option<&Note> {
        self.seen.untold.as_ref()
    }

    /// The server was told.
    pub fn told(&mut self) -> Result<(), FileError> {
        self.save(Seen { untold: None, ..self.seen.clone() })
    }

    /// Judges the proof for [`Look::Prove`]; `note` is what showed it.
    pub fn judge(&mut self, shown: &Checkpoint, note: &str, proof: &[Digest]) -> Result<(), FileError> {
        self.behind = None;
        let Some(seen) = self.seen.checkpoint.clone() else { return self.take(shown, note) };
        let (older, newer) = ((seen.size, seen.root), (shown.size, shown.root));
        // A lagging answer shows an earlier size; the log seen before must then extend that one.
        let (older, newer) = if older.0 <= newer.0 { (older, newer) } else { (newer, older) };
        match verify_consistency(older.0, newer.0, &older.1, &newer.1, proof) {
            Ok(()) if shown.size > seen.size => self.take(shown, note),
            Ok(()) => Ok(()),
            Err(error) => self.accuse(format!(
                "the ledger of {} entries does not extend the one of {} that was seen here: {error}",
                newer.0, older.0
            )),
        }
    }

    fn take(&mut self, shown: &Checkpoint, note: &str) -> Result<(), FileError> {
        let Checkpoint { origin, size, root, .. } = shown.clone();
        let checkpoint = SeenCheckpoint { origin, size, root, note: note.into() };
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

#[cfg(test)]
mod tests {
    use super::*;
    use trust::{
        key::{SecretKey, Signer},
        log::{Frontier, consistency_proof, leaf_hash},
        note::sign_checkpoint,
    };

    const ORIGIN: &str = "ledger.example/acme";

    fn leaves(entries: &[&str]) -> Vec<Digest> {
        entries.iter().map(|entry| leaf_hash(entry.as_bytes())).collect()
    }

    /// Shows a target these histories one after the other, with the best proofs there are; gives the fork it found.
    fn shown(histories: &[&[&str]]) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.json");
        let key = SecretKey::from_seed(&[7; 32]);
        let mut longest: Vec<Digest> = Vec::new();
        for entries in histories {
            // A process of its own each time: what was seen is on disk.
            let mut follower = Follower::open(path.clone().into()).unwrap();
            let leaves = leaves(entries);
            let mut frontier = Frontier::new();
            leaves.iter().for_each(|leaf| frontier.push(*leaf));
            let checkpoint = Checkpoint { origin: ORIGIN.into(), size: frontier.size(), root: frontier.root() };
            let note = sign_checkpoint(&checkpoint, ORIGIN, &key).unwrap();
            match follower.look(&note, &[key.public()], 1).unwrap() {
                Look::Known => {}
                Look::Prove { from, to, shown } => {
                    // An answer that lags behind is proved by the longer ledger.
                    let tree = if leaves.len() as u64 == to { &leaves } else { &longest };
                    let proof = consistency_proof(&tree[..], from, to).unwrap_or_default();
                    follower.judge(&shown, &note, &proof).unwrap();
                }
                Look::Invalid(why) => panic!("{why}"),
            }
            if leaves.len() > longest.len() {
                longest = leaves;
            }
        }
        Follower::open(path.into()).unwrap().fork().map(String::from)
    }

    /// Attack: split view.
    /// Attack: truncated ledger.
    /// Attack: reordered ledger.
    #[test]
    fn a_history_that_does_not_extend_the_one_seen_is_told_for_ever() {
        let seen: &[&str] = &["charter", "permit", "withdrawal"];
        assert_eq!(shown(&[seen, &["charter", "permit", "withdrawal", "order"], seen]), None);
        for other in [
            &["charter", "permit", "order"][..],
            &["charter", "withdrawal", "permit"],
            &["charter", "permit", "order", "more"],
            &["charter", "order"],
        ] {
            assert!(shown(&[seen, other]).is_some(), "{other:?}");
            // What comes afterwards does not make it good.
            assert!(shown(&[seen, other, seen]).is_some(), "{other:?}");
        }
    }
}
