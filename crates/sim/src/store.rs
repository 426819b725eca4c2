//! The ledger's disk: a batch is stored whole or not at all. The server may die just before or just after; there may be
//! no room.

use crate::{disk::die, fault::Fault};
use api::write::Text;
use server::ledger::store::{LedgerStore, NewEntry, Row, RowRef, Seen, StoreError};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use trust::{Digest, log::node_hash};

/// When the server dies while it stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeathInAppend {
    /// Nothing of the batch is stored.
    Before,
    /// All of it is, and nobody was told.
    After,
}

/// What stays when the server dies. Clones are the same disk.
#[derive(Clone, Default)]
pub struct SimStore(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    rows: Vec<Row>,
    requests: BTreeMap<(String, String), Seen>,
    texts: BTreeMap<Digest, Text>,
    dies: Option<DeathInAppend>,
    is_full: bool,
    /// What is wrong with it, on purpose.
    fault: Option<Fault>,
    /// Whether there was no room for something.
    has_been_full: bool,
    /// How many entries survive a death of a disk that says too early that it has stored them.
    stored: usize,
}

impl SimStore {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the server die at the next batch, or not.
    pub fn dies(&self, death: Option<DeathInAppend>) {
        self.lock().dies = death;
    }

    /// Puts a fault into it.
    pub fn break_by(&self, fault: Option<Fault>) {
        let mut inner = self.lock();
        (inner.fault, inner.stored) = (fault, inner.rows.len());
    }

    /// The server is gone: what a faulty disk makes of what it was given.
    pub fn is_left(&self) {
        let inner = &mut *self.lock();
        inner.dies = None;
        match inner.fault {
            Some(Fault::AcknowledgedTooEarly) => {
                inner.rows.truncate(inner.stored);
                let stored = inner.stored as u64;
                inner.requests.retain(|_, seen| seen.number <= stored);
            }
            Some(Fault::EntryDamaged) => {
                if let Some(byte) = inner.rows.get_mut(3).and_then(|row| row.bytes.get_mut(40)) {
                    *byte ^= 1;
                }
            }
            _ => {}
        }
    }

    /// Whether there was no room for something.
    pub fn has_been_full(&self) -> bool {
        self.lock().has_been_full
    }

    /// Fills the disk up, or makes room.
    pub fn fill(&self, is_full: bool) {
        self.lock().is_full = is_full;
    }
}

impl LedgerStore for SimStore {
    fn head(&self) -> Result<u64, StoreError> {
        Ok(self.lock().rows.len() as u64)
    }

    fn append(&self, batch: &[NewEntry]) -> Result<(), StoreError> {
        let mut inner = self.lock();
        let death = inner.dies.take();
        if death == Some(DeathInAppend::Before) {
            drop(inner);
            die();
        }
        if inner.is_full {
            inner.has_been_full = true;
            return Err(StoreError::Full("no room".into()));
        }
        inner.stored = inner.rows.len();
        for entry in batch {
            let expected = inner.rows.len() as u64 + 1;
            if entry.row.number != expected {
                return Err(StoreError::NotNext { expected, found: entry.row.number });
            }
            inner.rows.push(entry.row.clone());
            let seen = Seen { number: entry.row.number, payload: entry.payload };
            inner.requests.insert((entry.actor.clone(), entry.request_id.clone()), seen);
            for (digest, text) in &entry.texts {
                inner.texts.entry(*digest).or_insert_with(|| text.clone());
            }
            let erases = &entry.erases;
            inner.texts.retain(|digest, text| !erases.digests.contains(digest) && !erases.saying.contains(&text.text));
        }
        drop(inner);
        if death == Some(DeathInAppend::After) {
            die();
        }
        Ok(())
    }

    fn scan(&self, from: u64, count: u64, take: &mut dyn FnMut(RowRef<'_>)) -> Result<(), StoreError> {
        let inner = self.lock();
        let rows = inner.rows.iter().skip(from.saturating_sub(1) as usize).take(count as usize);
        rows.for_each(|row| take(row.borrow()));
        Ok(())
    }

    fn requests(&self, asked: &[(String, String)]) -> Result<Vec<Option<Seen>>, StoreError> {
        let inner = self.lock();
        if inner.fault == Some(Fault::RequestsForgotten) {
            return Ok(vec![None; asked.len()]);
        }
        Ok(asked.iter().map(|request| inner.requests.get(request).copied()).collect())
    }

    fn each_request(&self, take: &mut dyn FnMut((&str, &str), Seen)) -> Result<(), StoreError> {
        self.lock().requests.iter().for_each(|((actor, request_id), seen)| take((actor, request_id), *seen));
        Ok(())
    }

    fn entries_by(&self, actor: &str) -> Result<Vec<u64>, StoreError> {
        let inner = self.lock();
        let theirs = inner.requests.iter().filter(|((by, _), _)| by == actor).map(|(_, seen)| seen.number);
        let mut numbers: Vec<u64> = theirs.collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn subtree(&self, level: u32, index: u64) -> Result<Digest, StoreError> {
        let inner = self.lock();
        let width = 1 << level;
        let leaves = inner.rows.iter().skip((index * width) as usize).take(width as usize);
        let mut hashes: Vec<Digest> = leaves.map(|row| row.leaf).collect();
        while hashes.len() > 1 {
            hashes = hashes.chunks(2).map(|pair| node_hash(&pair[0], &pair[pair.len() - 1])).collect();
        }
        hashes.pop().ok_or_else(|| StoreError::Unusable("no such subtree".into()))
    }

    fn text(&self, digest: &Digest) -> Result<Option<Text>, StoreError> {
        Ok(self.lock().texts.get(digest).cloned())
    }

    fn each_text(&self, take: &mut dyn FnMut(&Digest, Text)) -> Result<(), StoreError> {
        self.lock().texts.iter().for_each(|(digest, text)| take(digest, text.clone()));
        Ok(())
    }
}
