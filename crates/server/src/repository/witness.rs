//! What waits for the witness's signature, and what is heard of the witness.

use super::Stamp;
use api::witness::WitnessStatus;
use jiff::Timestamp;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::watch;
use trust::{Digest, key::PublicKey};

/// A witness that was heard of within this time is there: it asks for what is new all the time.
const THERE: Duration = Duration::from_secs(45);
/// The longest word of why it does not sign, in characters.
const WHY_CHARACTERS: usize = 500;

/// A timestamp that waits for the witness.
pub(super) struct Waiting {
    pub stamp: Stamp,
    /// Up to which entry of the ledger it tells of everything.
    pub entry: u64,
    /// The file, signed by the server alone.
    pub bytes: Vec<u8>,
}

/// A timestamp as it is shown to the witness.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// The file's digest.
    pub digest: Digest,
    /// The file, signed by the server alone.
    pub bytes: Arc<[u8]>,
}

/// Where the witness is heard and shown what waits for it.
pub(crate) struct Desk {
    newest: watch::Sender<Option<Shown>>,
    heard: Mutex<Heard>,
}

#[derive(Default)]
struct Heard {
    key: Option<PublicKey>,
    seen: Option<Timestamp>,
    refuses: Option<String>,
}

impl Default for Desk {
    fn default() -> Self {
        Self { newest: watch::Sender::new(None), heard: Mutex::default() }
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The witness that root names.
    pub fn key(&self) -> Option<PublicKey> {
        self.lock().key
    }

    /// The newest timestamp that waits.
    pub fn newest(&self) -> watch::Receiver<Option<Shown>> {
        self.newest.subscribe()
    }

    /// Shows what waits to this witness.
    pub(super) fn show(&self, key: Option<PublicKey>, waiting: Option<&Waiting>) {
        let mut heard = self.lock();
        if heard.key != key {
            *heard = Heard { key, ..Heard::default() };
        }
        drop(heard);
        self.newest.send_if_modified(|shown| {
            let show = |bytes: &[u8]| Shown { digest: Digest::of(bytes), bytes: bytes.into() };
            let next = waiting.map(|waiting| show(&waiting.bytes));
            let is_new = shown.as_ref().map(|shown| shown.digest) != next.as_ref().map(|next| next.digest);
            *shown = next;
            is_new
        });
    }

    /// It was heard of.
    pub fn heard(&self, now: Timestamp) {
        self.lock().seen = Some(now);
    }

    /// It signed, or says why not.
    pub fn says(&self, refuses: Option<String>) {
        let short = |why: String| trust::names::printable(&why.chars().take(WHY_CHARACTERS).collect::<String>());
        self.lock().refuses = refuses.map(short);
    }

    /// Whether nothing will be signed in a moment: root names a witness that is not there, or does not sign.
    pub fn is_of_no_help(&self, now: Timestamp) -> bool {
        let heard = self.lock();
        let is_away = heard.seen.is_none_or(|seen| now.duration_since(seen).unsigned_abs() > THERE);
        heard.key.is_some() && (is_away || heard.refuses.is_some())
    }

    /// Adds what is heard of it.
    pub(super) fn tell(&self, status: &mut WitnessStatus) {
        let heard = self.lock();
        (status.seen, status.refuses) = (heard.seen, heard.refuses.clone());
    }
}
