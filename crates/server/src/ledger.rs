//! The ledger: the append-only record of everything accepted, and the state folded from it.
//!
//! - `store`: where entries are kept (SQLite), behind the narrow [`store::LedgerStore`].
//! - `submit`: the one writer: the only caller of decide, append and apply.
//! - `snapshot`: the state on disk, for a quick start; verification and restore ignore it.

use api::write::{Accepted, Text};
use domain::{
    command::{Actor, Command},
    entry::Entry,
    refusal::Refusal,
    state::State,
};
use jiff::Timestamp;
use std::{collections::BTreeMap, path::Path, sync::Arc};
use trust::{Digest, dsse::Envelope, key::SecretKey, statement::RequestId};

/// The ledger of one estate, opened for writing. Cheap to clone; readers never wait for the writer.
#[derive(Clone)]
pub struct Ledger {}

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
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct LedgerError(pub String);

impl Ledger {
    /// Opens the ledger in `folder`, or makes an empty one; `key` signs its checkpoints under the name `origin`.
    pub fn open(_folder: &Path, _key: Arc<SecretKey>, _origin: &str) -> Result<Self, LedgerError> {
        Err(LedgerError("not built yet".into()))
    }

    /// The state as of the newest durable entry.
    pub fn state(&self) -> Arc<State> {
        Arc::default()
    }

    /// Decides `prepared`, makes its entry durable, folds it in, and answers. A request id seen before from the same
    /// actor is answered as it was then (same envelope) or refused (another one).
    pub async fn submit(&self, _prepared: Prepared) -> Result<Accepted, SubmitError> {
        Err(SubmitError::NotWritten("not built yet".into()))
    }

    /// Entries as stored, from `from` on, at most `count`.
    pub fn entries(&self, _from: u64, _count: u64) -> Result<Vec<Vec<u8>>, LedgerError> {
        Err(LedgerError("not built yet".into()))
    }

    /// One entry, read.
    pub fn entry(&self, _number: u64) -> Result<Option<Entry>, LedgerError> {
        Err(LedgerError("not built yet".into()))
    }

    /// The free text with this digest, unless it was erased.
    pub fn text(&self, _digest: &Digest) -> Result<Option<String>, LedgerError> {
        Err(LedgerError("not built yet".into()))
    }

    /// The state as it was at `time`, folded anew from the entries up to then.
    pub fn state_at(&self, _time: Timestamp) -> Result<State, LedgerError> {
        Err(LedgerError("not built yet".into()))
    }

    /// The newest signed checkpoint (a C2SP note).
    pub fn checkpoint(&self) -> Arc<str> {
        "".into()
    }

    /// The proof that the log of `to` entries extends that of `from` (RFC 9162, 2.1.4).
    pub fn consistency(&self, _from: u64, _to: u64) -> Result<Vec<Digest>, LedgerError> {
        Err(LedgerError("not built yet".into()))
    }

    /// Tells each new head (the newest durable entry's number). Whoever lags sees the newest only and reads entries.
    pub fn heads(&self) -> tokio::sync::watch::Receiver<u64> {
        tokio::sync::watch::channel(0).1
    }
}
