//! From the state to the answers of the reads. Pure: whatever else a view needs (the time, when a target was seen, an
//! entry of the ledger) is handed to it.

use api::read::BuildName;
use domain::state::State;
use std::collections::BTreeMap;
use trust::{AppName, Digest};

pub(crate) mod apps;
pub mod board;
pub(crate) mod calendar;
pub(crate) mod config;
pub(crate) mod deployment;
pub(crate) mod dossier;
pub(crate) mod emergencies;
pub(crate) mod escapes;
pub(crate) mod failed;
pub(crate) mod feed;
#[cfg(test)]
pub(crate) mod fixture;
pub(crate) mod freezes;
pub(crate) mod history;
pub(crate) mod lags;
pub(crate) mod packages;
pub(crate) mod permits;
pub(crate) mod repository;
pub(crate) mod status;
pub(crate) mod targets;
pub(crate) mod trace;
pub(crate) mod why;
pub(crate) mod words;

/// A build with its number, where it has one.
pub(crate) fn build_name(state: &State, app: &AppName, build: &Digest) -> BuildName {
    let version = state.apps.get(app).and_then(|app| app.builds.get(build)).and_then(|build| build.version.clone());
    BuildName { build: *build, version }
}

/// Whether a target carries every label that an application asks for.
pub(crate) fn carries(labels: &BTreeMap<String, String>, on: &BTreeMap<String, String>) -> bool {
    on.iter().all(|(key, value)| labels.get(key) == Some(value))
}
