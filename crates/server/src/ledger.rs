//! The ledger: the append-only record of everything accepted, and the state folded from it.
//!
//! - `store`: where entries are kept (`sqlite`), behind the narrow [`store::LedgerStore`].
//! - `submit`: the one writer: the only caller of decide, append and apply.
//! - `fold`: from stored entries to a state: opening, looking back, verifying.
//! - `beside`: requests and texts, held against the entries, when a ledger is verified.
//! - `snapshot`: the state on disk, for a quick start; verification and restore ignore it.

use api::write::{Accepted, Text};
use arc_swap::ArcSwap;
use domain::{
    command::{Actor, Command},
    entry::Entry,
    refusal::Refusal,
    rules::{presence::Away, restored::Lost},
    state::State,
};
use jiff::Timestamp;
use serde::{Deserialize, de::DeserializeOwned};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use store::{LedgerStore, StoreError, StoredTree};
use tokio::sync::watch;
use trust::{
    Digest,
    dsse::Envelope,
    key::SecretKey,
    log::{Frontier, consistency_proof},
    note::{Checkpoint, NoteError, sign_checkpoint},
    statement::RequestId,
};

mod beside;
mod fold;
mod snapshot;
pub mod sqlite;
pub mod store;
mod submit;
#[cfg(test)]
mod tests;

pub use fold::Verification;
pub use submit::{Clock, Decide, HandWriter, Writing};

/// The ledger of one estate, opened for writing. Cheap to clone; readers never wait for the writer.
///
/// Dropping the last clone, like [`Ledger::close`], waits for the writer.
#[derive(Clone)]
pub struct Ledger {
    shared: Arc<Shared>,
    door: Arc<submit::Door>,
}

/// How many entries are read from the store at a time.
const ENTRIES_AT_ONCE: u64 = 500;

/// What the writer and all readers share.
struct Shared {
    store: Box<dyn LedgerStore>,
    folder: PathBuf,
    published: ArcSwap<Published>,
    heads: watch::Sender<u64>,
    key: Arc<SecretKey>,
    origin: String,
    /// The newest checkpoint that was asked for. Most batches are never asked for theirs.
    signed: Mutex<(u64, Arc<str>)>,
    opened: Opened,
    /// Who is away, as far as this server knows: what is decided takes it into account, and what is recorded does not hold it.
    away: ArcSwap<Away>,
    /// What targets have shown that the ledger has lost, in the same way.
    lost: ArcSwap<Lost>,
}

impl Shared {
    fn away(&self) -> Arc<Away> {
        self.away.load_full()
    }

    fn lost(&self) -> Arc<Lost> {
        self.lost.load_full()
    }
}

/// What everyone may see: the state as of the newest durable entry, and the log's frontier there.
struct Published {
    state: Arc<State>,
    frontier: Frontier,
}

/// How the ledger was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// How many entries it had.
    pub entries: u64,
    /// The entry that the snapshot reached, where one was used.
    pub snapshot: Option<u64>,
    /// How long it took.
    pub took: Duration,
}

/// A command whose signatures were checked, ready to be decided.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Who asks.
    pub actor: Actor,
    /// Under which id.
    pub request_id: RequestId,
    /// For whom, where that is somebody else.
    pub on_behalf_of: Option<String>,
    /// What is asked.
    pub command: Command,
    /// The signed statement; absent for the clock.
    pub envelope: Option<Envelope>,
    /// Free texts for the side table, by digest; stored only if the command is accepted.
    pub texts: BTreeMap<Digest, Text>,
}

/// Why a command was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The domain said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The entry could not be made durable: disk full, I/O. Nothing was recorded; the ledger is whole.
    #[error("the ledger could not be written: {0}")]
    NotWritten(String),
}

/// Why a ledger cannot be opened or read.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct LedgerError(pub String);

/// Copies the ledger in `folder`, which may be served, as of one moment into the new file `copy`.
pub(crate) fn snapshot_of(folder: &Path, copy: &Path) -> Result<(), LedgerError> {
    Ok(sqlite::snapshot_of(folder, copy)?)
}

impl From<StoreError> for LedgerError {
    fn from(error: StoreError) -> Self {
        Self(error.to_string())
    }
}

impl Ledger {
    /// Opens the ledger in `folder`, or makes an empty one; `key` signs its checkpoints under the name `origin`.
    pub fn open(folder: &Path, key: Arc<SecretKey>, origin: &str) -> Result<Self, LedgerError> {
        Self::open_with(folder, key, origin, Writing::default())
    }

    /// [`Ledger::open`], with another way to decide and another clock.
    pub fn open_with(folder: &Path, key: Arc<SecretKey>, origin: &str, writing: Writing) -> Result<Self, LedgerError> {
        let store = sqlite::SqliteStore::open(folder)?;
        Self::over(Box::new(store), folder, key, origin, writing)
    }

    /// The ledger over an opened store. Snapshots are kept in `folder`.
    fn over(
        store: Box<dyn LedgerStore>,
        folder: &Path,
        key: Arc<SecretKey>,
        origin: &str,
        writing: Writing,
    ) -> Result<Self, LedgerError> {
        let shared = Self::read(store, folder, key, origin)?;
        let door = Arc::new(submit::Door::open(shared.clone(), writing)?);
        Ok(Self { shared, door })
    }

    /// The ledger over an opened store, with its writer, for whoever brings their own time: commands wait until
    /// [`HandWriter::turn`] is called, and nothing happens besides. A snapshot in `folder` is read, and none written.
    pub fn by_hand(
        store: Box<dyn LedgerStore>,
        folder: &Path,
        key: Arc<SecretKey>,
        origin: &str,
        writing: Writing,
    ) -> Result<(Self, HandWriter), LedgerError> {
        let shared = Self::read(store, folder, key, origin)?;
        let (door, writer) = submit::Door::by_hand(shared.clone(), writing);
        Ok((Self { shared, door: Arc::new(door) }, writer))
    }

    fn read(
        store: Box<dyn LedgerStore>,
        folder: &Path,
        key: Arc<SecretKey>,
        origin: &str,
    ) -> Result<Arc<Shared>, LedgerError> {
        let began = Instant::now();
        let from_snapshot = snapshot::read(folder, store.as_ref()).unwrap_or_else(|error| {
            tracing::warn!("{error}: every entry is folded anew");
            None
        });
        let snapshot = from_snapshot.as_ref().map(|(state, _)| state.head.entry);
        let (mut state, mut frontier) = from_snapshot.unwrap_or_default();
        let entries = store.head()?;
        fold::fold(store.as_ref(), state.head.entry + 1..=entries, &mut state, &mut frontier)?;
        let opened = Opened { entries, snapshot, took: began.elapsed() };
        tracing::info!(entries, ?snapshot, took = ?opened.took, "the ledger is open");
        // Signing once now shows that the origin can name a log.
        let signed =
            Mutex::new((entries, sign(&frontier, &key, origin).map_err(|error| LedgerError(error.to_string()))?));
        Ok(Arc::new(Shared {
            store,
            folder: folder.to_owned(),
            published: ArcSwap::from_pointee(Published { state: Arc::new(state), frontier }),
            heads: watch::Sender::new(entries),
            key,
            origin: origin.to_owned(),
            signed,
            opened,
            away: ArcSwap::default(),
            lost: ArcSwap::default(),
        }))
    }

    /// How the ledger was opened: how many entries it had, from which snapshot, and how long it took.
    pub fn opened(&self) -> &Opened {
        &self.shared.opened
    }

    /// The state as of the newest durable entry.
    pub fn state(&self) -> Arc<State> {
        self.shared.published.load().state.clone()
    }

    /// Says who is away from now on, which decisions take into account.
    pub fn tell_away(&self, away: Away) {
        self.shared.away.store(Arc::new(away));
    }

    /// Who was said to be away last.
    pub fn away(&self) -> Arc<Away> {
        self.shared.away()
    }

    /// Says what targets have shown that the ledger has lost, which decisions take into account from now on.
    pub fn tell_lost(&self, lost: Lost) {
        self.shared.lost.store(Arc::new(lost));
    }

    /// What was said to be lost last.
    pub fn lost(&self) -> Arc<Lost> {
        self.shared.lost()
    }

    /// Decides `prepared`, makes its entry durable, folds it in, and answers. A request id seen before from the same
    /// actor is answered as it was then (same payload) or refused (another one). A caller that stops waiting does not
    /// stop the command.
    pub async fn submit(&self, prepared: Prepared) -> Result<Accepted, SubmitError> {
        self.door.submit(prepared).await
    }

    /// Entries as stored, from `from` on, at most `count`; none that [`Ledger::state`] does not hold.
    pub fn entries(&self, from: u64, count: u64) -> Result<Vec<Vec<u8>>, LedgerError> {
        let from = from.max(1);
        let count = count.min((self.state().head.entry + 1).saturating_sub(from));
        if count == 0 {
            return Ok(Vec::new());
        }
        Ok(self.shared.store.read(from, count)?.into_iter().map(|row| row.bytes).collect())
    }

    /// Shows `take` every entry from `from` on, in order, and answers with the number of the last one; `from - 1` where there
    /// is none.
    pub fn each_from(&self, from: u64, mut take: impl FnMut(Entry)) -> Result<u64, LedgerError> {
        let mut last = from.saturating_sub(1);
        loop {
            let entries = self.entries(last + 1, ENTRIES_AT_ONCE)?;
            if entries.is_empty() {
                return Ok(last);
            }
            for bytes in entries {
                last += 1;
                let entry = serde_json::from_slice(&bytes);
                take(entry.map_err(|error| LedgerError(format!("entry {last} cannot be read: {error}")))?);
            }
        }
    }

    /// One entry, read.
    pub fn entry(&self, number: u64) -> Result<Option<Entry>, LedgerError> {
        if number == 0 || number > self.state().head.entry {
            return Ok(None);
        }
        self.shared.read_as(number)
    }

    /// The signed statement of one entry, where somebody signed. What happened is not read.
    pub fn envelope(&self, number: u64) -> Result<Option<Envelope>, LedgerError> {
        #[derive(Deserialize)]
        struct Signed {
            #[serde(default)]
            envelope: Option<Envelope>,
        }
        if number == 0 || number > self.state().head.entry {
            return Ok(None);
        }
        Ok(self.shared.read_as::<Signed>(number)?.and_then(|signed| signed.envelope))
    }

    /// The free text with this digest, unless it was erased.
    pub fn text(&self, digest: &Digest) -> Result<Option<String>, LedgerError> {
        Ok(self.salted_text(digest)?.map(|text| text.text))
    }

    /// The free text with its salt, for whoever checks the digest.
    pub fn salted_text(&self, digest: &Digest) -> Result<Option<Text>, LedgerError> {
        Ok(self.shared.store.text(digest)?)
    }

    /// The state as it was at `time`, folded anew from the entries up to then: seconds for a million of them.
    pub fn state_at(&self, time: Timestamp) -> Result<State, LedgerError> {
        let newest = self.state();
        if newest.head.time <= time {
            return Ok(State::clone(&newest));
        }
        let store = self.shared.store.as_ref();
        let last = fold::last_at(store, newest.head.entry, time)?;
        let mut state = State::default();
        fold::fold(store, 1..=last, &mut state, &mut Frontier::new())?;
        Ok(state)
    }

    /// The newest signed checkpoint (a C2SP note). It is signed when it is first asked for.
    pub fn checkpoint(&self) -> Arc<str> {
        let Shared { published, key, origin, signed, .. } = &*self.shared;
        let mut signed = signed.lock().unwrap_or_else(PoisonError::into_inner);
        let published = published.load();
        if published.frontier.size() > signed.0 {
            match sign(&published.frontier, key, origin) {
                Ok(note) => *signed = (published.frontier.size(), note),
                Err(error) => tracing::error!("the checkpoint could not be signed: {error}"),
            }
        }
        signed.1.clone()
    }

    /// The proof that the log of `to` entries extends that of `from` (RFC 9162, 2.1.4).
    pub fn consistency(&self, from: u64, to: u64) -> Result<Vec<Digest>, LedgerError> {
        let newest = self.state().head.entry;
        if to > newest {
            return Err(LedgerError(format!("the ledger has {newest} entries, fewer than {to}")));
        }
        Ok(consistency_proof(&StoredTree(self.shared.store.as_ref()), from, to)?)
    }

    /// The root that the log had when it had `size` entries.
    pub fn root_at(&self, size: u64) -> Result<Digest, LedgerError> {
        Ok(trust::log::root_at(&StoredTree(self.shared.store.as_ref()), size)?)
    }

    /// Where it is kept.
    pub fn folder(&self) -> &Path {
        &self.shared.folder
    }

    /// Tells each new head (the newest durable entry's number). Whoever lags sees the newest only and reads entries.
    pub fn heads(&self) -> watch::Receiver<u64> {
        self.shared.heads.subscribe()
    }

    /// Reads everything again from the first entry and compares it with the root and the state that are served. The
    /// signatures in the envelopes are for those to check who hold the root of trust.
    pub fn verify(&self) -> Verification {
        let published = self.shared.published.load_full();
        fold::verify(self.shared.store.as_ref(), &published.state, &published.frontier)
    }

    /// Takes no more commands, answers those that wait, writes a snapshot. Blocks until all is done, so it is not for
    /// async code; reading goes on working.
    pub fn close(&self) {
        self.door.close();
    }
}

impl Shared {
    fn read_as<T: DeserializeOwned>(&self, number: u64) -> Result<Option<T>, LedgerError> {
        let row = self.store.read(number, 1)?.pop().filter(|row| row.number == number);
        let read = row.map(|row| serde_json::from_slice(&row.bytes)).transpose();
        read.map_err(|error| LedgerError(format!("entry {number} cannot be read: {error}")))
    }
}

fn sign(frontier: &Frontier, key: &SecretKey, origin: &str) -> Result<Arc<str>, NoteError> {
    let checkpoint = Checkpoint { origin: origin.to_owned(), size: frontier.size(), root: frontier.root() };
    Ok(sign_checkpoint(&checkpoint, origin, key)?.into())
}
