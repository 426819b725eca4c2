//! Removes the bytes of builds that were pruned (R36): no object that another build has, and no document that the ledger names,
//! whatever it is called. `unnamed` removes what no build was ever made of: objects that nothing names, a day old.
//!
//! The entry is what counts: it says that the bytes may go, and this makes it so, again after each start. What is swept is
//! found without anybody waiting; only the last look and the removal keep commands out, so that no push relies on an
//! object while it goes.

use crate::{
    http::{Shared, objects::files_of},
    ledger::LedgerError,
    views::build_name,
};
use api::read::{KeptBuild, Prunable, PrunableBuild};
use depot::{DiskStore, StoreError};
use domain::{
    rules::retention,
    state::{App, Build, State},
};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeSet, HashMap, HashSet};
use trust::{AppName, Digest};

pub(crate) mod unnamed;

/// Why nothing was swept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SweepError {
    #[error("the ledger cannot be read: {0}")]
    Ledger(#[from] LedgerError),
    #[error("the sweep broke off: {0}")]
    Broken(#[from] tokio::task::JoinError),
    #[error(transparent)]
    Depot(#[from] StoreError),
    #[error("the manifest of {0} cannot be read, so nobody knows what it needs: {1}")]
    Manifest(Digest, String),
}

/// Runs until the server stops: sweeps at its start, and whenever something was pruned.
pub(crate) async fn run(serving: Shared) {
    loop {
        match sweep(&serving).await {
            Ok((0, _)) => {}
            Ok((objects, bytes)) => tracing::info!(objects, bytes, "pruned"),
            Err(error) => tracing::error!(%error, "nothing was pruned; it is tried again at the next occasion"),
        }
        tokio::select! {
            () = serving.pruned.notified() => {}
            () = serving.stopped() => return,
        }
    }
}

/// Removes what may go; says how many objects, and how many bytes.
async fn sweep(serving: &Shared) -> Result<(u64, u64), SweepError> {
    let reader = serving.clone();
    let (mut candidates, seen) = tokio::task::spawn_blocking(move || find(&reader)).await??;
    if candidates.is_empty() {
        return Ok((0, 0));
    }
    let _alone = serving.pruning.write().await;
    let sweeper = serving.clone();
    let removed = tokio::task::spawn_blocking(move || {
        // What came in the meantime needs what it needs.
        let named = named(&sweeper, seen + 1)?;
        for digest in named.documents {
            candidates.remove(&digest);
        }
        for build in named.came {
            for (file, _) in files(&sweeper.depot, &build)? {
                candidates.remove(&file);
            }
        }
        let mut removed = (0, 0);
        for (digest, bytes) in candidates {
            if sweeper.depot.remove(&digest)? {
                removed = (removed.0 + 1, removed.1 + bytes);
            }
        }
        Ok(removed)
    });
    removed.await?
}

/// The objects of pruned builds that are still here and that nothing needs as of an entry, with their lengths.
fn find(serving: &Shared) -> Result<(HashMap<Digest, u64>, u64), SweepError> {
    let state = serving.ledger.state();
    let mut candidates = HashMap::new();
    for (build, _) in builds(&state).filter(|(_, pruned)| *pruned) {
        let here = files(&serving.depot, &build)?.into_iter().filter(|(digest, _)| serving.depot.has(digest));
        candidates.extend(here);
    }
    if candidates.is_empty() {
        return Ok((candidates, state.head.entry));
    }
    for (build, _) in builds(&state).filter(|(_, pruned)| !pruned) {
        for (file, _) in files(&serving.depot, &build)? {
            candidates.remove(&file);
        }
    }
    for part in parts(&state) {
        for (file, _) in files(&serving.depot, &part)? {
            candidates.remove(&file);
        }
    }
    let named = named(serving, 1)?;
    for digest in named.documents {
        candidates.remove(&digest);
    }
    Ok((candidates, named.last))
}

fn builds(state: &State) -> impl Iterator<Item = (Digest, bool)> + '_ {
    let of_app = |record: &'_ App| -> Vec<(Digest, bool)> {
        record.builds.iter().map(|(build, record)| (*build, record.pruned.is_some())).collect()
    };
    state.apps.values().flat_map(of_app)
}

/// The manifests of parts of builds under way, and of those that became one not long ago.
fn parts(state: &State) -> impl Iterator<Item = Digest> + '_ {
    let drafts = state.apps.values().flat_map(|record| record.drafts.values());
    drafts.flat_map(|draft| draft.parts.values().map(|part| part.manifest))
}

fn files(depot: &DiskStore, build: &Digest) -> Result<Vec<(Digest, u64)>, SweepError> {
    files_of(depot, build).map_err(|error| SweepError::Manifest(*build, error))
}

/// What entries name.
struct Named {
    /// Documents, every build's manifest among them.
    documents: HashSet<Digest>,
    /// Builds that came, or came again, and parts of builds.
    came: BTreeSet<Digest>,
    /// The last entry that was looked at.
    last: u64,
}

/// What the entries from `from` on name.
fn named(serving: &Shared, from: u64) -> Result<Named, SweepError> {
    let (mut documents, mut came) = (HashSet::new(), BTreeSet::new());
    let last = serving.ledger.each_from(from, |entry| {
        for event in &entry.events {
            documents.extend(event.documents());
            came.extend(unnamed::manifest_of(event));
        }
    })?;
    Ok(Named { documents, came, last })
}

/// What may be pruned of each application, or of one: builds that nothing needs, neither among the newest `keep` nor younger
/// than `days`; and what would become free.
pub(crate) fn prunable(
    serving: &Shared,
    app: Option<&AppName>,
    keep: usize,
    days: u32,
    now: Timestamp,
) -> Result<Vec<Prunable>, SweepError> {
    let state = serving.ledger.state();
    let young = now.checked_sub(SignedDuration::from_hours(24 * i64::from(days))).unwrap_or(Timestamp::MIN);
    let came = |build: &Build| build.brought_again.unwrap_or(build.stamp);
    let mut answers = Vec::new();
    let mut kept_objects: HashSet<Digest> = HashSet::new();
    for part in parts(&state) {
        kept_objects.extend(files(&serving.depot, &part)?.into_iter().map(|(digest, _)| digest));
    }
    let mut chosen: Vec<(AppName, Vec<Digest>, Vec<KeptBuild>)> = Vec::new();
    for (name, record) in &state.apps {
        let mut builds: Vec<_> = record.builds.iter().filter(|(_, build)| build.pruned.is_none()).collect();
        builds.sort_by_key(|(_, build)| std::cmp::Reverse(came(build).entry));
        let asked = app.is_none_or(|app| app == name);
        let stays = |place: usize, build: &Digest, known: &Build| {
            // What is needed is said first: the rest would change with another number.
            retention::needed(&state, name, build, now)
                .or_else(|| (place < keep).then(|| format!("it is among the newest {keep}")))
                .or_else(|| (came(known).time > young).then(|| format!("it is younger than {days} days")))
        };
        let (mut go, mut stay) = (Vec::new(), Vec::new());
        for (place, (build, known)) in builds.into_iter().enumerate() {
            let why = if asked { stays(place, build, known) } else { None };
            if asked && why.is_none() {
                go.push(*build);
                continue;
            }
            kept_objects.extend(files(&serving.depot, build)?.into_iter().map(|(digest, _)| digest));
            stay.extend(why.map(|why| KeptBuild { name: build_name(&state, name, build), why }));
        }
        if asked {
            chosen.push((name.clone(), go, stay));
        }
    }
    let mut counted = HashSet::new();
    for (name, builds, kept) in chosen {
        let mut bytes = 0;
        for build in &builds {
            for (digest, length) in files(&serving.depot, build)? {
                let is_new = !kept_objects.contains(&digest) && counted.insert(digest);
                bytes += if is_new { length } else { 0 };
            }
        }
        let view = |build: &Digest| {
            let known = state.apps.get(&name)?.builds.get(build)?;
            Some(PrunableBuild { build: *build, version: known.version.clone(), pushed: known.stamp.time })
        };
        let builds = builds.iter().filter_map(view).collect();
        answers.push(Prunable { app: name, builds, kept: kept.len() as u64, kept_builds: kept, bytes });
    }
    Ok(answers)
}
