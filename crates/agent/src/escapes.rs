//! Looking for escapes: whatever is in the place of applications and no journal accounts for (R37).

use crate::{
    home::Home,
    journal::{Journal, Journals},
    runtime::{Runtime, RuntimeError, ServiceSpec},
};
use depot::DifferenceKind;
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};
use trust::{
    AppName, TargetName,
    names::printable,
    statement::{Finding, FindingKind, Inventory},
};

/// The most findings in one report: whoever copied a whole system onto a target is found out by fewer.
const FINDINGS: usize = 1000;
/// What an application's folder may hold.
const OURS: &[&str] = &["releases", "current", "current.new", "data", "logs", "run", "traffic"];

/// Why a target could not be looked over.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] crate::files::FileError),
    /// A release cannot be digested.
    #[error(transparent)]
    Disk(#[from] depot::disk::DiskError),
    /// The runtime cannot be asked.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

/// Re-digests everything that is active or can be gone back to, and lists whatever else there is.
pub fn scan(
    target: &TargetName,
    home: &Home,
    journals: &Journals,
    runtime: &Runtime,
    expected_copies: impl Fn(&Journal) -> Option<Vec<ServiceSpec>>,
) -> Result<Inventory, ScanError> {
    let mut found = BTreeSet::new();
    let mut active = BTreeMap::new();
    let apps = runtime.layout().root().join("apps");
    for name in crate::files::names_in(&apps.into())? {
        let journal = AppName::new(&name).ok().map(|app| journals.get(&app));
        match journal.filter(Journal::was_here) {
            Some(journal) => scan_app(&journal, home, runtime, &expected_copies, &mut found)?,
            None => note(&mut found, &name, "", FindingKind::Extra),
        }
    }
    for journal in journals.iter() {
        // Where the journal was lost, the machine is the only one who knows: that nothing runs would be said wrongly.
        let on_machine = || if journal.has_forgotten() { runtime.layout().current(&journal.app) } else { Ok(None) };
        let build = match &journal.active {
            Some(active) => Some(active.build),
            None => on_machine()?,
        };
        if let Some(build) = build {
            active.insert(journal.app.clone(), build);
            if !runtime.layout().app(&journal.app).is_dir() {
                note(&mut found, journal.app.as_str(), "current", FindingKind::Missing);
            }
        }
    }
    let findings = found.into_iter().take(FINDINGS).collect();
    Ok(Inventory { target: target.clone(), scanned: Timestamp::now(), active, findings, facts: None, lapsed: None })
}

fn note(found: &mut BTreeSet<Finding>, app: &str, path: &str, kind: FindingKind) {
    found.insert(Finding { app: printable(app), path: printable(path), kind });
}

fn scan_app(
    journal: &Journal,
    home: &Home,
    runtime: &Runtime,
    expected_copies: &impl Fn(&Journal) -> Option<Vec<ServiceSpec>>,
    found: &mut BTreeSet<Finding>,
) -> Result<(), ScanError> {
    let app = journal.app.as_str();
    let folder = runtime.layout().app(&journal.app);
    if !folder.is_dir() {
        note(found, app, "", FindingKind::Changed);
        return Ok(());
    }
    for name in crate::files::names_in(&folder.clone().into())? {
        if !OURS.contains(&name.as_str()) {
            note(found, app, &name, FindingKind::Extra);
        }
    }
    // What is in the middle of being changed is judged when it is done.
    if journal.under_way.is_some() {
        return Ok(());
    }
    let expected = journal.active.as_ref().map(|active| active.build);
    if runtime.layout().current(&journal.app)? != expected {
        note(found, app, "current", FindingKind::Link);
    }
    scan_releases(journal, home, runtime, &folder, found)?;
    scan_copies(journal, runtime, expected_copies, found)
}

fn scan_releases(
    journal: &Journal,
    home: &Home,
    runtime: &Runtime,
    folder: &Path,
    found: &mut BTreeSet<Finding>,
) -> Result<(), ScanError> {
    let app = journal.app.as_str();
    let kept = journal.kept();
    let names: BTreeSet<String> = kept.iter().map(trust::Digest::hex).collect();
    for name in crate::files::names_in(&folder.join("releases").into())? {
        if !names.contains(&name) {
            note(found, app, &format!("releases/{name}"), FindingKind::Extra);
        }
    }
    let active = journal.active.as_ref().map(|active| active.build);
    for build in kept {
        let release = runtime.layout().release(&journal.app, &build);
        let place = format!("releases/{}", build.hex());
        if fs::symlink_metadata(&release).map_or(true, |found| !found.is_dir()) {
            // What could only be gone back to may have been removed by an order.
            if active == Some(build) {
                note(found, app, &place, FindingKind::Missing);
            }
            continue;
        }
        let Some(manifest) = home.manifest(&build)? else {
            note(found, app, &place, FindingKind::Extra);
            continue;
        };
        for difference in depot::verify_tree(&manifest, &release)? {
            note(found, app, &format!("{place}/{}", difference.path), kind_of(difference.kind));
        }
    }
    Ok(())
}

/// Copies whose keepers were told something else than the journal says: keepers run what their file says.
fn scan_copies(
    journal: &Journal,
    runtime: &Runtime,
    expected_copies: &impl Fn(&Journal) -> Option<Vec<ServiceSpec>>,
    found: &mut BTreeSet<Finding>,
) -> Result<(), ScanError> {
    let kept = runtime.kept_specs(&journal.app)?;
    let runs = journal.active.as_ref().is_some_and(|active| !active.stopped);
    if kept.is_empty() {
        return Ok(());
    }
    let expected = if runs { expected_copies(journal) } else { Some(Vec::new()) };
    let Some(expected) = expected else { return Ok(()) };
    for spec in kept.iter().filter(|spec| !expected.contains(spec)) {
        note(found, journal.app.as_str(), &format!("run/{}", spec.id), FindingKind::Process);
    }
    Ok(())
}

fn kind_of(kind: DifferenceKind) -> FindingKind {
    match kind {
        DifferenceKind::Changed => FindingKind::Changed,
        DifferenceKind::Missing => FindingKind::Missing,
        DifferenceKind::Extra => FindingKind::Extra,
        DifferenceKind::Mode => FindingKind::Mode,
        DifferenceKind::Link => FindingKind::Link,
    }
}
