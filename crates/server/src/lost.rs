//! What targets remember and this ledger has lost. A server whose data folder was put back from an older copy cannot know
//! by itself that it is behind; the targets can, and show it the checkpoint that it signed itself.
//!
//! What is told is kept in a file of its own beside the ledger: it is about what the ledger does not hold.

use crate::{
    backup::Restored,
    durable,
    ledger::{Ledger, LedgerError},
};
use api::{
    agent::Memory,
    read::{Lost, LostNumber, LostRun, LostSight, UnknownMachine},
};
use domain::{
    rules::restored,
    state::{Running, State},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Instant,
};
use trust::{
    AppName, Digest, TargetName,
    dsse::Envelope,
    key::PublicKey,
    note::{Checkpoint, verify_checkpoint},
    oidc,
    statement::{self, Act, Statement},
};

pub(crate) mod strangers;
#[cfg(test)]
mod tests;

use strangers::Strangers;

const FILE: &str = "lost.json";
/// Of a server that was put back from a backup: who has spoken to it since. It is no part of a backup.
const HEARD: &str = "heard.json";
/// How many numbers are kept of what one target told.
const NUMBERS_OF_ONE: usize = 1024;

/// What the targets told, by target.
pub(crate) struct Memories {
    path: PathBuf,
    /// Where the whole data folder came from, if it was put back.
    restored: Option<Restored>,
    /// Who has spoken to it since then.
    heard: Mutex<BTreeSet<TargetName>>,
    heard_path: PathBuf,
    told: Mutex<BTreeMap<TargetName, Told>>,
    /// Machines that the ledger does not know.
    strangers: Strangers,
}

/// What one target told last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    /// The newest checkpoint of each epoch that this ledger does not hold, by its number of entries.
    seen: BTreeMap<u64, u64>,
    /// The roots of these, by which they are known again where the ledger comes back. What was kept by an earlier version has none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    roots: BTreeMap<u64, Digest>,
    active: BTreeMap<AppName, Digest>,
    withdrawals: Vec<Envelope>,
    /// The signed numbers of all that was ever told to be active.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    numbers: Vec<Envelope>,
}

impl Told {
    /// Keeps what was seen in an epoch, if it is the newest.
    fn sees(&mut self, epoch: u64, seen: &Checkpoint) {
        if self.seen.get(&epoch).is_none_or(|size| *size <= seen.size) {
            self.seen.insert(epoch, seen.size);
            self.roots.insert(epoch, seen.root);
        }
    }

    /// Forgets what was seen in an epoch up to an entry.
    fn forget(&mut self, epoch: u64, size: u64) {
        if self.seen.get(&epoch).is_some_and(|seen| *seen <= size) {
            self.seen.remove(&epoch);
            self.roots.remove(&epoch);
        }
    }
}

impl Memories {
    /// Reads what was told before from the data folder.
    pub fn open(data: &std::path::Path) -> io::Result<Self> {
        let path = data.join(FILE);
        let heard_path = data.join(HEARD);
        let (told, heard) = (Mutex::new(read(&path)?), Mutex::new(read(&heard_path)?));
        Ok(Self { path, restored: Restored::read(data)?, heard, heard_path, told, strangers: Strangers::default() })
    }

    /// Forgets what the ledger holds again, which was put back whole: a running one never comes to hold it.
    pub fn review(&self, ledger: &Ledger) -> Result<(), LedgerError> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = told.clone();
        for known in next.values_mut() {
            for (epoch, root) in known.roots.clone() {
                let size = known.seen.get(&epoch).copied().unwrap_or_default();
                if holds(ledger, size, &root)? {
                    known.forget(epoch, size);
                    // It takes them again, and tells of those that it cannot.
                    known.withdrawals.clear();
                }
            }
        }
        self.replace(&mut told, next)
    }

    /// The moment of the backup by which alone it is known what a target runs: it has not spoken to this server since the server
    /// was put back. What is carried here by receipts has its own moment.
    pub fn as_of(&self, state: &State, target: &TargetName) -> Option<Timestamp> {
        let restored = self.restored.as_ref()?;
        let joined = state.targets.get(target).filter(|record| !record.retired)?.stamp.entry;
        let has_spoken = || self.heard.lock().unwrap_or_else(PoisonError::into_inner).contains(target);
        (joined <= restored.entries && !has_spoken()).then_some(restored.taken)
    }

    /// Whether the server was put back from a backup, and owners have signed no new epoch since.
    pub fn awaits_epoch(&self, state: &State) -> bool {
        self.restored.as_ref().is_some_and(|restored| restored.is_open(state.epoch()))
    }

    /// Whether the server was ever put back from an older copy, as far as it can know.
    pub fn was_put_back(&self) -> bool {
        self.restored.is_some() || !self.seen().is_empty()
    }

    /// Something was refused here whose signer nobody knows.
    pub fn hear_stranger(&self, state: &State, envelope: &Envelope) {
        self.strangers.hear(state, envelope, Instant::now());
    }

    /// The machines that this ledger does not know and that spoke a short while ago.
    pub fn unknown(&self, state: &State) -> Vec<UnknownMachine> {
        self.strangers.there(state, Instant::now())
    }

    /// A target speaks. That is kept, so that it is known after the server's next start too.
    pub fn hear(&self, target: &TargetName) -> io::Result<()> {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if self.restored.is_none() || !heard.insert(target.clone()) {
            return Ok(());
        }
        let written = serde_json::to_vec(&*heard).map_err(io::Error::other);
        let written = written.and_then(|bytes| durable::replace(&self.heard_path, &bytes));
        if written.is_err() {
            // It is tried again when the target speaks next.
            heard.remove(target);
        }
        written
    }

    /// What targets say that they run, and is lost here: the ledger shows what ran when the backup was taken.
    pub fn runs_otherwise(&self, state: &State) -> Vec<LostRun> {
        let lost = self.lost(state);
        let is_over = |target: &TargetName| !lost.seen.iter().any(|sight| sight.target == *target && !sight.is_over);
        let taken = self.restored.as_ref().map(|restored| restored.taken);
        let is_otherwise = |run: &&LostRun| run.recorded != Some(run.active);
        let is_old = |run: &LostRun| match (state.running(&run.app, &run.target), taken) {
            (Some(running), Some(taken)) => running.since <= taken,
            _ => !is_over(&run.target),
        };
        lost.runs.iter().filter(is_otherwise).filter(|run| is_old(run)).cloned().collect()
    }

    /// Keeps what a target tells, where its checkpoint is genuine and not of this ledger. `refused` are withdrawals that
    /// could not be taken again. Says whether the checkpoint, where there is one, was this server's own word, or of an epoch
    /// that is over.
    pub fn keep(
        &self,
        ledger: &Ledger,
        keys: &[PublicKey],
        target: &TargetName,
        memory: &Memory,
        refused: Vec<Envelope>,
    ) -> Result<bool, LedgerError> {
        let origin = memory.checkpoint.lines().next().unwrap_or_default();
        let genuine = keys.iter().find_map(|key| verify_checkpoint(&memory.checkpoint, origin, key).ok());
        // What was seen in an epoch that is over may be of keys that are gone; nothing can be said of it any more.
        let is_over = memory.epoch < ledger.state().epoch();
        let is_ours = memory.checkpoint.is_empty() || genuine.is_some() || is_over;
        let is_held =
            genuine.as_ref().map(|seen| holds(ledger, seen.size, &seen.root)).transpose()?.unwrap_or_default();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = told.clone();
        let known = next.entry(target.clone()).or_default();
        match genuine {
            // A target follows one ledger: what it saw before is a beginning of what it sees now.
            Some(seen) if is_held => known.forget(memory.epoch, seen.size),
            Some(seen) => known.sees(memory.epoch, &seen),
            None => {}
        }
        known.active = memory.active.clone();
        known.withdrawals = refused;
        let news = memory.numbers.iter().filter(|number| !known.numbers.contains(number)).cloned();
        let news: Vec<Envelope> = news.take(NUMBERS_OF_ONE.saturating_sub(known.numbers.len())).collect();
        known.numbers.extend(news);
        self.replace(&mut told, next)?;
        Ok(is_ours)
    }

    /// Writes what is known now, where that differs from what was.
    fn replace(
        &self,
        told: &mut BTreeMap<TargetName, Told>,
        next: BTreeMap<TargetName, Told>,
    ) -> Result<(), LedgerError> {
        if *told == next {
            return Ok(());
        }
        let written = serde_json::to_vec(&next).map_err(io::Error::other);
        let written = written.and_then(|bytes| durable::replace(&self.path, &bytes));
        written.map_err(|error| LedgerError(format!("{}: {error}", self.path.display())))?;
        *told = next;
        Ok(())
    }

    /// What everyone should know while owners have not signed a new epoch.
    pub fn warning(&self, state: &State) -> Option<String> {
        let put_back = restored::put_back(state, &self.seen()).map(|refusal| refusal.to_string());
        put_back.or_else(|| self.restored.as_ref()?.warning(state.epoch()))
    }

    /// What decisions take into account.
    pub fn told(&self, state: &State) -> restored::Lost {
        let numbers = self.lost(state).numbers.into_iter();
        restored::Lost {
            seen: self.seen(),
            numbers: numbers.map(|lost| ((lost.app, lost.version), lost.build)).collect(),
        }
    }

    /// The epochs in which targets have seen what the ledger does not hold, and the newest entry that each has.
    fn seen(&self) -> Vec<(u64, u64)> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.values().flat_map(|told| &told.seen).map(|(epoch, entry)| (*epoch, *entry)).collect()
    }

    /// Everything that is known to be lost.
    pub fn lost(&self, state: &State) -> Lost {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lost = Lost {
            epoch: state.epoch(),
            entries: state.head.entry,
            seen: Vec::new(),
            runs: Vec::new(),
            numbers: Vec::new(),
            withdrawals: Vec::new(),
            unknown: self.unknown(state),
        };
        for (target, told) in told.iter() {
            let sight = |(epoch, entries): (&u64, &u64)| LostSight {
                target: target.clone(),
                epoch: *epoch,
                entries: *entries,
                is_over: *epoch < state.epoch(),
            };
            lost.seen.extend(told.seen.iter().map(sight));
            for (app, active) in told.active.iter().filter(|_| !told.seen.is_empty()) {
                let running = state.running(app, target);
                let recorded = running.map(|running| running.build);
                let is_explained = running.is_some_and(|running| running.deployment != Running::BROUGHT_BY_NONE);
                let is_known = state.apps.get(app).is_some_and(|record| record.builds.contains_key(active));
                if recorded != Some(*active) || !is_explained {
                    let (target, app, active) = (target.clone(), app.clone(), *active);
                    lost.runs.push(LostRun { target, app, active, recorded, is_known });
                }
            }
            lost.numbers.extend(told.numbers.iter().filter_map(|envelope| lost_number(state, envelope)));
            lost.withdrawals.extend(told.withdrawals.iter().filter_map(in_words));
        }
        lost.numbers.sort();
        lost.numbers.dedup();
        lost.withdrawals.sort();
        lost.withdrawals.dedup();
        lost
    }
}

/// What stands in a file; nothing where there is none.
fn read<T: serde::de::DeserializeOwned + Default>(path: &std::path::Path) -> io::Result<T> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
        Err(error) => Err(error),
    }
}

/// Whether the ledger that had this root at this size is a beginning of this one.
fn holds(ledger: &Ledger, size: u64, root: &Digest) -> Result<bool, LedgerError> {
    Ok(size <= ledger.state().head.entry && ledger.root_at(size)? == *root)
}

/// The number that a statement gives, where that counts here and this ledger does not have it.
fn lost_number(state: &State, envelope: &Envelope) -> Option<LostNumber> {
    let statement = Statement::read(envelope).ok()?;
    let Act::Number(statement::Number { app, version }) = statement.act else { return None };
    if state.apps.get(&app).is_some_and(|record| record.versions.contains_key(&version)) {
        return None;
    }
    let policy = state.policy.as_ref()?;
    let push = policy.charter.push_rule(&app);
    let directory = policy.directory_of(&Digest::of(&envelope.payload));
    let by = oidc::signers(&directory, envelope);
    let may = |key| directory.person(key).is_some_and(|person| push.allows_alone(&directory.roles(person)));
    let is_ours = statement.header.estate == policy.record.estate && by.iter().any(may);
    is_ours.then_some(LostNumber { app, version, build: statement.subject })
}

fn in_words(envelope: &Envelope) -> Option<String> {
    let Act::Withdrawal(withdrawal) = Statement::read(envelope).ok()?.act else { return None };
    Some(format!("{}@{} from {}", withdrawal.app, withdrawal.version, withdrawal.audience))
}
