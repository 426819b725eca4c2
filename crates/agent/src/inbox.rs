//! Bundles that wait to be followed, and what came of each: how a target lives without a network.
//!
//! `inbox/<hex>/` holds an unpacked bundle from when it is whole until its outcome stands in `carried/<n>.json`. Whoever
//! puts one there, the agent judges it exactly as it judges what a server sends.

use crate::{
    bundle::{Sources, Unpacked},
    escapes,
    files::{self, FileError, Place},
    home::{Enrolled, Home},
    journal::{Journal, Journals},
    local::Local,
    poll::sign_own,
    run::{Engine, EngineError},
    runtime::Runtime,
    supply::{Supply, SupplyError},
};
use depot::bundle::{BundleError, Index, Volumes};
use domain::plan::{Assignment, Migration};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{fs, path::Path, sync::Arc};
use trust::{
    AppName, Digest, Version,
    authority::Pinned,
    dsse::Envelope,
    receipt::{self, Document, MAX_OUTCOMES, SignedOutcome},
    statement::{Act, Outcome},
};

/// The index, kept beside what it lists.
const INDEX: &str = "bundle.json";
/// What the target is to do by a bundle, once it has begun.
const ASSIGNMENT: &str = "assignment.json";

/// What came of one bundle: what the receipt is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carried {
    /// The digest of its index.
    pub bundle: Digest,
    /// The application.
    pub app: AppName,
    /// Its version.
    pub version: Version,
    /// The build.
    pub build: Digest,
    /// When it was followed to its end, by this machine's clock.
    pub at: Timestamp,
    /// The deployer's order that was in it.
    pub order: Option<Envelope>,
    /// How it ended; nothing where it could not even begin.
    pub outcome: Option<Outcome>,
    /// Why it did not begin, or did not end well.
    pub reason: Option<String>,
    /// The outcome, signed by the target.
    pub report: Option<Envelope>,
    /// What was found on the target afterwards, signed by it.
    pub inventory: Option<Envelope>,
}

fn at(data: &Path) -> Place {
    data.to_path_buf().into()
}

fn inbox(data: &Path) -> Place {
    at(data).join("inbox")
}

fn carried_folder(data: &Path) -> Place {
    at(data).join("carried")
}

/// Unpacks a bundle into the inbox of a target's data folder, where it becomes visible whole.
pub fn put(data: &Path, volumes: &Volumes, heard: &mut dyn FnMut(u64)) -> Result<Index, PutError> {
    let inbox = inbox(data);
    files::make_private_folder(&inbox)?;
    let place = inbox.join(volumes.bundle().hex());
    let partial = inbox.join(format!("{}.{}.part", volumes.bundle().hex(), std::process::id()));
    if let Some(index) = files::read_json::<Index>(&place.join(INDEX))? {
        return Ok(index);
    }
    let index = volumes.unpack(partial.path(), heard)?;
    files::replace_json(&partial.join(INDEX), &index)?;
    fs::rename(partial.path(), place.path()).map_err(files::failed("rename", place.path()))?;
    Ok(index)
}

/// Why a bundle did not get into the inbox.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The bundle is at fault, or the disk.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// What came of all bundles so far, oldest first.
pub fn carried(data: &Path) -> Result<Vec<Carried>, FileError> {
    let folder = carried_folder(data);
    let mut found = Vec::new();
    for number in numbers(data)? {
        found.extend(files::read_json(&folder.join(format!("{number}.json")))?);
    }
    Ok(found)
}

fn numbers(data: &Path) -> Result<Vec<u64>, FileError> {
    let names = files::names_in(&carried_folder(data))?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| name.strip_suffix(".json")?.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// What this target has to tell of bundles; nothing where none was followed here.
pub fn receipt(data: &Path) -> Result<Option<Document>, FileError> {
    let Some(pinned) = pinned(data)? else { return Ok(None) };
    let carried = carried(data)?;
    let outcomes = carried.iter().filter_map(|carried| {
        let (order, report) = (carried.order.clone()?, carried.report.clone()?);
        Some(SignedOutcome { order, report })
    });
    let mut outcomes: Vec<SignedOutcome> = outcomes.collect();
    // Those of long ago were brought home long ago.
    outcomes.drain(..outcomes.len().saturating_sub(MAX_OUTCOMES));
    let document = Document {
        format: receipt::FORMAT,
        target: pinned.target,
        enrolment: files::read_json(&at(data).join("enrolment.json"))?,
        inventory: carried.last().and_then(|carried| carried.inventory.clone()),
        outcomes,
    };
    Ok((!document.outcomes.is_empty() || document.enrolment.is_some()).then_some(document))
}

/// Who the target is whose data folder this is; nothing where none has joined.
pub fn pinned(data: &Path) -> Result<Option<Pinned>, FileError> {
    Ok(files::read_json::<Enrolled>(&at(data).join("pinned.json"))?.map(|enrolled| enrolled.pinned))
}

/// What is active of an application in this data folder.
pub fn active_build(data: &Path, app: &AppName) -> Result<Option<Digest>, FileError> {
    let journal: Option<Journal> = files::read_json(&at(data).join("journal").join(format!("{app}.json")))?;
    Ok(journal.and_then(|journal| journal.active).map(|active| active.build))
}

/// Takes a bundle that waits out again, undone.
pub fn discard(data: &Path, bundle: &Digest) -> Result<(), FileError> {
    files::remove(&inbox(data).join(bundle.hex()))
}

/// The bundles that wait.
pub fn waiting(data: &Path) -> Result<Vec<Digest>, FileError> {
    let names = files::names_in(&inbox(data))?;
    Ok(names.iter().filter_map(|name| Digest::from_hex(name).ok()).collect())
}

/// A bundle that waits.
pub fn first(data: &Path) -> Result<Option<Unpacked>, FileError> {
    for bundle in waiting(data)? {
        let folder = inbox(data).join(bundle.hex());
        if let Some(index) = files::read_json::<Index>(&folder.join(INDEX))? {
            return Ok(Some(Unpacked { folder: folder.path().to_path_buf(), bundle, index }));
        }
    }
    Ok(None)
}

/// The last thing that came of this bundle here.
pub fn outcome_of(data: &Path, bundle: &Digest) -> Result<Option<Carried>, FileError> {
    Ok(carried(data)?.into_iter().rev().find(|carried| carried.bundle == *bundle))
}

/// Follows every bundle that waits to its end. What could not be decided now is tried again the next time.
pub fn follow_all<S: Supply>(engine: &mut Engine<Sources<S>, Arc<Runtime>>) -> Result<(), EngineError> {
    let data = engine.home().root().to_path_buf();
    if engine.lapse()? {
        // Nothing waits any more: what did went with everything else.
        return Ok(());
    }
    for bundle in waiting(&data)? {
        let place = inbox(&data).join(bundle.hex());
        let Some(index) = files::read_json::<Index>(&place.join(INDEX))? else {
            files::remove(&place)?;
            continue;
        };
        let unpacked = Unpacked { folder: place.path().to_path_buf(), bundle, index };
        engine.supply().open(unpacked.clone());
        let followed = follow(engine, &unpacked);
        let report = engine.supply().close();
        let (number, ended) = followed?;
        let carried = record(engine, &unpacked, report, ended);
        files::replace_json(&carried_folder(&data).join(format!("{number}.json")), &carried)?;
        files::remove(&place)?;
    }
    Ok(())
}

/// How following a bundle ended, where no report says it.
enum Ended {
    Decided,
    NotBegun(String),
}

fn follow<S: Supply>(
    engine: &mut Engine<Sources<S>, Arc<Runtime>>,
    bundle: &Unpacked,
) -> Result<(u64, Ended), EngineError> {
    let data = engine.home().root().to_path_buf();
    // Withdrawals count whatever becomes of the rest, and newer documents come first: the charter's epoch may be new.
    engine.refresh();
    match bundle.dossier() {
        Ok(dossier) => {
            if let Err(error) = engine.keep_withdrawals(&dossier.withdrawals) {
                tracing::error!(%error, "cannot keep a withdrawal");
            }
        }
        Err(error) => return Ok((next_number(&data)?, Ended::NotBegun(error.to_string()))),
    }
    let (number, assignment) = match assignment(engine, bundle)? {
        Ok(begun) => begun,
        Err(error) => return Ok((next_number(&data)?, Ended::NotBegun(error.to_string()))),
    };
    let app = assignment.app.clone();
    engine.follow(&app, Some(&assignment))?;
    let journal = engine.journals().get(&app);
    Ok(match (&journal.unreported, &journal.under_way) {
        (Some(_), _) => (number, Ended::NotBegun("an earlier outcome has still to be told to the server".into())),
        (None, Some(_)) => return Err(EngineError::Journal(app, "a bundle was left in the middle")),
        (None, None) => (number, Ended::Decided),
    })
}

/// What the target is to do by this bundle: numbered once, so that a process after this one goes on with the same.
fn assignment<S: Supply>(
    engine: &Engine<Sources<S>, Arc<Runtime>>,
    bundle: &Unpacked,
) -> Result<Result<(u64, Assignment), SupplyError>, EngineError> {
    let path = at(&bundle.folder).join(ASSIGNMENT);
    if let Some(begun) = files::read_json::<(u64, Assignment)>(&path)? {
        return Ok(Ok(begun));
    }
    let number = next_number(engine.home().root())?;
    let epoch = engine.documents.verified().charter.epoch;
    let mut assignment = match bundle.assignment(number, epoch) {
        Ok(assignment) => assignment,
        Err(error) => return Ok(Err(error)),
    };
    // No server elects anybody here, so the machine's owner does.
    let elected = Local::read(engine.home().root()).is_ok_and(|local| local.bundles.migrate == Some(true));
    assignment.migrate = elected.then_some(Migration::Run);
    files::replace_json(&path, &(number, &assignment))?;
    Ok(Ok((number, assignment)))
}

fn next_number(data: &Path) -> Result<u64, FileError> {
    Ok(numbers(data)?.last().map_or(1, |last| last + 1))
}

fn record<S: Supply>(
    engine: &Engine<Sources<S>, Arc<Runtime>>,
    bundle: &Unpacked,
    report: Option<Envelope>,
    ended: Ended,
) -> Carried {
    use trust::statement::{Act, Statement};
    let outcome = report.as_ref().and_then(|envelope| match Statement::read(envelope).ok()?.act {
        Act::Report(report) => Some(report.outcome),
        _ => None,
    });
    let reason = match (&outcome, ended) {
        (Some(Outcome::Verified), _) => None,
        (Some(Outcome::Undone { reason, .. } | Outcome::Failed { reason, .. }), _) => Some(reason.clone()),
        (Some(Outcome::Refused { reason, .. }), _) => Some(reason.clone()),
        (None, Ended::NotBegun(why)) => Some(why),
        (None, Ended::Decided) => Some("this target has followed something newer: nothing was done".into()),
    };
    Carried {
        bundle: bundle.bundle,
        app: bundle.index.app.clone(),
        version: bundle.index.version.clone(),
        build: bundle.index.build,
        at: Timestamp::now(),
        order: bundle.dossier().ok().and_then(|dossier| dossier.order),
        outcome,
        reason,
        report,
        inventory: take_stock(engine),
    }
}

/// What is on the target now, signed. An installation is not undone because that could not be found out.
fn take_stock<S: Supply>(engine: &Engine<Sources<S>, Arc<Runtime>>) -> Option<Envelope> {
    let copies = |journal: &Journal| engine.expected_copies(journal);
    let target = &engine.documents.pinned().target;
    let journals: &Journals = engine.journals();
    let home: &Home = engine.home();
    let signed = escapes::scan(target, home, journals, engine.machine(), copies)
        .map_err(|error| error.to_string())
        .and_then(|inventory| sign_own(engine, Act::Inventory(inventory)).map_err(|error| error.to_string()));
    signed.inspect_err(|error| tracing::error!(%error, "cannot take stock")).ok()
}
