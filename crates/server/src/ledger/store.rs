//! Where entries are kept: the narrow door behind which SQLite stands, and one day PostgreSQL.
//!
//! The ledger has one writer, so looking up a request and appending need not share a transaction; a batch of entries
//! with their requests and texts does. [`conformance`] holds every implementation to what is written here.

use api::write::Text;
use trust::{
    Digest,
    log::{ProofError, Subtrees},
};

#[cfg(test)]
pub(crate) mod conformance;

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no room. Nothing of the batch was stored.
    #[error("the disk is full; free some space and submit again, nothing needs repair ({0})")]
    Full(String),
    /// The batch does not follow the newest entry: somebody else has written.
    #[error(
        "the next entry is {expected} and not {found}: another process has written to this ledger; stop it, then start again"
    )]
    NotNext {
        /// The number that would follow the newest entry.
        expected: u64,
        /// The number that was to be stored.
        found: u64,
    },
    /// A proof that the stored hashes cannot make.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The store was made by a program this one does not understand, or is held by another process.
    #[error("{0}")]
    Unusable(String),
    /// Reading or writing failed.
    #[error("{doing} failed: {source}")]
    Failed {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// One entry as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// From 1, without gaps.
    pub number: u64,
    /// The hash of the bytes as a leaf of the log, as it was when they were appended.
    pub leaf: Digest,
    /// The entry's bytes, never re-serialised.
    pub bytes: Vec<u8>,
}

impl Row {
    /// The row, lent.
    pub fn borrow(&self) -> RowRef<'_> {
        RowRef { number: self.number, leaf: self.leaf, bytes: &self.bytes }
    }
}

/// One entry as stored, lent by the store while it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowRef<'a> {
    /// As [`Row::number`].
    pub number: u64,
    /// As [`Row::leaf`].
    pub leaf: Digest,
    /// As [`Row::bytes`].
    pub bytes: &'a [u8],
}

/// One entry to be appended, with everything that must become durable together with it.
#[derive(Clone, Debug)]
pub struct NewEntry {
    /// The entry.
    pub row: Row,
    /// Who asked; together with the request id it names the request for ever.
    pub actor: String,
    /// Under which id.
    pub request_id: String,
    /// The digest of what was signed; absent for the clock.
    pub payload: Option<Digest>,
    /// Free texts for the side table. One that is there already stays as it is.
    pub texts: Vec<(Digest, Text)>,
    /// What leaves the side table together with it.
    pub erases: Erases,
}

/// Texts to be erased.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erases {
    /// Those with these digests.
    pub digests: Vec<Digest>,
    /// Those that say just this: a handle or a name that somebody else wrote down.
    pub saying: Vec<String>,
}

impl Erases {
    /// Whether nothing is to be erased.
    pub fn is_empty(&self) -> bool {
        self.digests.is_empty() && self.saying.is_empty()
    }
}

/// A request that was accepted before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The entry that holds it.
    pub number: u64,
    /// The digest of what was signed; absent for the clock.
    pub payload: Option<Digest>,
}

/// The ledger's storage: entries for ever, texts until they are erased.
pub trait LedgerStore: Send + Sync + 'static {
    /// The newest entry's number; 0 while there is none.
    fn head(&self) -> Result<u64, StoreError>;

    /// Appends a batch that follows the newest entry without a gap: all of it, durable when this returns, or nothing.
    fn append(&self, batch: &[NewEntry]) -> Result<(), StoreError>;

    /// Shows `take` the entries from `from` on, at most `count`, in order. Never waits for the writer.
    fn scan(&self, from: u64, count: u64, take: &mut dyn FnMut(RowRef<'_>)) -> Result<(), StoreError>;

    /// The entries that [`LedgerStore::scan`] shows.
    fn read(&self, from: u64, count: u64) -> Result<Vec<Row>, StoreError> {
        let mut rows = Vec::new();
        let mut keep = |row: RowRef<'_>| rows.push(Row { number: row.number, leaf: row.leaf, bytes: row.bytes.into() });
        self.scan(from, count, &mut keep)?;
        Ok(rows)
    }

    /// For each actor and id, in order, the request that was accepted before. For the writer, who asks once a batch.
    fn requests(&self, asked: &[(String, String)]) -> Result<Vec<Option<Seen>>, StoreError>;

    /// Shows `take` every request that was accepted, with who asked and under which id. Never waits for the writer.
    fn each_request(&self, take: &mut dyn FnMut((&str, &str), Seen)) -> Result<(), StoreError>;

    /// The entries that somebody asked for, in order.
    fn entries_by(&self, actor: &str) -> Result<Vec<u64>, StoreError>;

    /// The hash of the perfect subtree over the `2^level` leaves from `index * 2^level` on (leaf 0 is entry 1), in a
    /// time that does not grow with the ledger.
    fn subtree(&self, level: u32, index: u64) -> Result<Digest, StoreError>;

    /// The free text with this digest, unless it was erased.
    fn text(&self, digest: &Digest) -> Result<Option<Text>, StoreError>;

    /// Shows `take` every free text with the digest that it is kept under. Never waits for the writer.
    fn each_text(&self, take: &mut dyn FnMut(&Digest, Text)) -> Result<(), StoreError>;
}

/// The Merkle tree over the stored leaves, for making proofs.
pub(super) struct StoredTree<'a>(pub &'a dyn LedgerStore);

impl Subtrees for StoredTree<'_> {
    type Error = StoreError;

    fn subtree(&self, level: u32, index: u64) -> Result<Digest, StoreError> {
        self.0.subtree(level, index)
    }
}

impl StoredTree<'_> {
    /// The root over the first `size` leaves, from the stored hashes of its perfect subtrees.
    pub fn root(&self, size: u64) -> Result<Digest, StoreError> {
        let mut root = None;
        // The smallest subtree stands at the right edge, and each larger one to the left of all smaller ones.
        for level in (0..u64::BITS).filter(|level| size >> level & 1 == 1) {
            let peak = self.subtree(level, (size >> level) - 1)?;
            root = Some(root.map_or(peak, |right| trust::log::node_hash(&peak, &right)));
        }
        Ok(root.unwrap_or_else(trust::log::empty_root))
    }
}
