//! From stored entries to a state: opening, looking back, and verifying, each reading, parsing and applying in parallel.

use super::{
    LedgerError, beside,
    store::{LedgerStore, RowRef, StoredTree},
};
use domain::{
    entry::Happened,
    state::{Stamp, State, apply},
};
use jiff::Timestamp;
use std::{
    num::NonZero,
    ops::RangeInclusive,
    sync::mpsc::{Receiver, Sender, channel, sync_channel},
    thread,
};
use trust::{
    Digest,
    log::{Frontier, leaf_hash},
};

/// Entries read and handed over at once: large enough that handing over costs nothing, small enough to stay in cache.
const CHUNK: u64 = 256;
/// Chunks that may wait behind each parser.
const WAITING_CHUNKS: usize = 4;
/// More parsers than this would only wait for the one who applies.
const MOST_PARSERS: usize = 4;

/// What verifying found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// The entries that are as they should be, from the first on.
    pub entries: u64,
    /// The root of the Merkle tree over them.
    pub root: Digest,
    /// The first thing that is wrong.
    pub problem: Option<String>,
}

/// Folds the entries of `range` into `state` and `frontier`, which are those of the entry before. The stored leaves are
/// believed; [`verify`] is there to doubt them.
pub(super) fn fold(
    store: &dyn LedgerStore,
    range: RangeInclusive<u64>,
    state: &mut State,
    frontier: &mut Frontier,
) -> Result<(), LedgerError> {
    let read = |row: RowRef<'_>| Ok((parse(row)?, row.leaf));
    in_parallel(store, range, read, |(entry, leaf)| {
        apply_entry(state, entry)?;
        frontier.push(*leaf);
        Ok(())
    })
}

/// The number of the last entry of the first `newest` that was accepted at `time` or before; 0 where there is none.
pub(super) fn last_at(store: &dyn LedgerStore, newest: u64, time: Timestamp) -> Result<u64, LedgerError> {
    // Times never run backwards, so they can be searched like a sorted list.
    let (mut at_or_before, mut after) = (0, newest + 1);
    while after - at_or_before > 1 {
        let middle = at_or_before + (after - at_or_before) / 2;
        let row = store.read(middle, 1)?.pop().filter(|row| row.number == middle);
        let row = row.ok_or_else(|| missing(middle))?;
        if parse(row.borrow())?.time <= time { at_or_before = middle } else { after = middle }
    }
    Ok(at_or_before)
}

/// Reads everything again from entry 1 and compares it with what is said to be so: the numbers without gaps, times that
/// never run backwards, leaves that are the hashes of the bytes, stored hashes of subtrees, the root, the state, and the
/// requests and texts that are kept beside the entries.
pub(super) fn verify(store: &dyn LedgerStore, state: &State, frontier: &Frontier) -> Verification {
    let (mut folded, mut grown) = (State::default(), Frontier::new());
    let read = |row: RowRef<'_>| {
        let leaf = leaf_hash(row.bytes);
        if leaf != row.leaf {
            return Err(LedgerError(format!("entry {} was changed: its bytes do not have its hash", row.number)));
        }
        Ok((parse(row)?, leaf, beside::trace_in(row)?))
    };
    let mut traces = Vec::new();
    let mut subtrees = SubtreeCheck { store, runs: Vec::new() };
    let result = in_parallel(store, 1..=state.head.entry, read, |(entry, leaf, trace)| {
        apply_entry(&mut folded, entry)?;
        grown.push(*leaf);
        traces.push(*trace);
        subtrees.push(*leaf)
    });
    let compare = || {
        if grown != *frontier {
            return Err(LedgerError("the entries do not lead to the root that the server signs".into()));
        }
        if folded != *state {
            return Err(LedgerError("the entries do not lead to the state that the server serves".into()));
        }
        if StoredTree(store).root(grown.size())? != grown.root() {
            return Err(LedgerError("the stored hashes of the Merkle tree do not lead to its root".into()));
        }
        beside::check(store, &traces)
    };
    let problem = result.and_then(|()| compare()).err().map(|error| error.to_string());
    Verification { entries: grown.size(), root: grown.root(), problem }
}

/// Checks the stored hash of every perfect subtree of 256, 256², … leaves against the leaves: proofs are made from those.
struct SubtreeCheck<'a> {
    store: &'a dyn LedgerStore,
    /// At each height of 8 levels, the hashes of the run of siblings that is not complete yet, and how many came before.
    runs: Vec<(Frontier, u64)>,
}

impl SubtreeCheck<'_> {
    fn push(&mut self, leaf: Digest) -> Result<(), LedgerError> {
        let (mut hash, mut height) = (leaf, 0);
        loop {
            if self.runs.len() == height {
                self.runs.push((Frontier::new(), 0));
            }
            let (run, complete) = &mut self.runs[height];
            run.push(hash);
            if run.size() < 256 {
                return Ok(());
            }
            hash = std::mem::take(run).root();
            height += 1;
            let (level, index) = (8 * height as u32, *complete);
            *complete += 1;
            if self.store.subtree(level, index)? != hash {
                let what = format!("the stored hash of subtree {index} at level {level} is not that of its entries");
                return Err(LedgerError(what));
            }
        }
    }
}

fn parse(row: RowRef<'_>) -> Result<Happened, LedgerError> {
    let entry = Happened::read(row.bytes)
        .map_err(|error| LedgerError(format!("entry {} cannot be read: {error}", row.number)))?;
    if entry.number != row.number {
        return Err(LedgerError(format!("entry {} says it is entry {}", row.number, entry.number)));
    }
    Ok(entry)
}

fn apply_entry(state: &mut State, entry: &Happened) -> Result<(), LedgerError> {
    if entry.time < state.head.time {
        return Err(LedgerError(format!("entry {} is older than the one before it", entry.number)));
    }
    state.head = Stamp { entry: entry.number, time: entry.time };
    entry.events.iter().for_each(|event| apply(state, event));
    Ok(())
}

fn missing(number: u64) -> LedgerError {
    LedgerError(format!("entry {number} is missing: the ledger is damaged; restore it from a backup"))
}

/// As many threads as there are processors read and parse, chunk by chunk in turn, and this one looks at the entries in
/// order. Each chunk goes back to the thread that made it and is freed there: allocators are slow to take back what
/// another thread was given.
fn in_parallel<T: Send>(
    store: &dyn LedgerStore,
    range: RangeInclusive<u64>,
    parse: impl Fn(RowRef<'_>) -> Result<T, LedgerError> + Sync,
    mut look_at: impl FnMut(&T) -> Result<(), LedgerError>,
) -> Result<(), LedgerError> {
    let parsers = thread::available_parallelism().map_or(1, NonZero::get).min(MOST_PARSERS);
    let (first, last) = range.into_inner();
    let chunks: Vec<_> =
        (first..=last).step_by(CHUNK as usize).map(|from| (from, CHUNK.min(last - from + 1))).collect();
    thread::scope(|scope| {
        let start = |parser: usize| {
            let (entries, parsed) = sync_channel(WAITING_CHUNKS);
            let (give_back, looked_at) = channel();
            let (chunks, parse) = (&chunks, &parse);
            scope.spawn(move || {
                for (from, count) in chunks.iter().skip(parser).step_by(parsers) {
                    looked_at.try_iter().for_each(drop);
                    let chunk = read_chunk(store, *from, *count, parse);
                    let failed = chunk.is_err();
                    if entries.send(chunk).is_err() || failed {
                        return;
                    }
                }
            });
            (parsed, give_back)
        };
        // Made in here, so that leaving early closes the channels and ends the other threads.
        let started: Vec<(Receiver<Chunk<T>>, Sender<_>)> = (0..parsers).map(start).collect();
        for at in 0..chunks.len() {
            let (parsed, give_back) = &started[at % parsers];
            let chunk = parsed.recv().map_err(|_| LedgerError("reading the ledger stopped half-way".into()))??;
            for entry in &chunk {
                look_at(entry.as_ref().map_err(LedgerError::clone)?)?;
            }
            // A parser that has made its last chunk has ended.
            give_back.send(chunk).ok();
        }
        Ok(())
    })
}

/// Entries one by one, since those before a bad one still count; or the failure to read the rows.
type Chunk<T> = Result<Vec<Result<T, LedgerError>>, LedgerError>;

fn read_chunk<T>(
    store: &dyn LedgerStore,
    from: u64,
    count: u64,
    parse: impl Fn(RowRef<'_>) -> Result<T, LedgerError>,
) -> Chunk<T> {
    let mut entries = Vec::with_capacity(count as usize);
    let mut gap = None;
    store.scan(from, count, &mut |row| {
        let expected = from + entries.len() as u64;
        if row.number != expected {
            gap.get_or_insert(expected);
        }
        entries.push(parse(row));
    })?;
    let read = entries.len() as u64;
    match gap.or((read < count).then_some(from + read)) {
        Some(expected) => Err(missing(expected)),
        None => Ok(entries),
    }
}
