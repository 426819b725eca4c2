//! From the state to the answers of the reads. Pure: whatever else a view needs (the time, when a target was seen, an
//! entry of the ledger) is handed to it.

use api::read::BuildName;
use domain::{refusal::Refusal, state::State};
use std::collections::BTreeMap;
use trust::{AppName, AudienceName, Digest, TargetName, Version};

pub(crate) mod apps;
pub(crate) mod board;
pub(crate) mod config;
pub(crate) mod deployment;
pub(crate) mod dossier;
pub(crate) mod escapes;
pub(crate) mod feed;
#[cfg(test)]
pub(crate) mod fixture;
pub(crate) mod history;
#[cfg(test)]
pub(crate) mod fixture;
pub(crate) mod permits;
pub(crate) mod status;
pub(crate) mod targets;
#[cfg(test)]
pub(crate) mod tests;
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

/// Fails unless the application is known.
pub(crate) fn known_app<'a>(state: &'a State, app: &AppName) -> Result<&'a domain::state::App, Refusal> {
    state.apps.get(app).ok_or_else(|| Refusal::UnknownApplication {
        name: app.clone(),
        nearest: nearest(app.as_str(), state.apps.keys()),
    })
}

/// Fails unless the target is known.
pub(crate) fn known_target<'a>(
    state: &'a State,
    target: &TargetName,
) -> Result<&'a domain::state::Target, Refusal> {
    state.targets.get(target).ok_or_else(|| Refusal::UnknownTarget {
        name: target.clone(),
        nearest: nearest(target.as_str(), state.targets.keys()),
    })
}

/// Fails unless the charter in force has the audience.
pub(crate) fn known_audience<'a>(
    state: &'a State,
    audience: &AudienceName,
) -> Result<trust::charter::Audience<'a>, Refusal> {
    let policy = state.policy.as_ref().ok_or(Refusal::NoEstate)?;
    policy.charter.audience(audience).ok_or_else(|| Refusal::UnknownAudience {
        name: audience.clone(),
        nearest: nearest(audience.as_str(), policy.charter.audience_names()),
    })
}

/// Fails unless the application has the version; answers with its build.
pub(crate) fn known_version(state: &State, app: &AppName, version: &Version) -> Result<Digest, Refusal> {
    let record = known_app(state, app)?;
    let numbered = record.versions.get(version).ok_or_else(|| Refusal::UnknownVersion {
        app: app.clone(),
        version: version.clone(),
        newest: record.versions.keys().next_back().cloned(),
    })?;
    Ok(numbered.build)
}

/// The known name nearest to `text`, if one is near.
pub(crate) fn nearest<'a, T: Clone + std::borrow::Borrow<str> + 'a>(
    text: &str,
    known: impl Iterator<Item = &'a T>,
) -> Option<T> {
    let near = known.map(|name| (strsim::damerau_levenshtein(text, name.borrow()), name));
    let near = near.filter(|(distance, _)| *distance <= text.len().div_ceil(3));
    near.min_by_key(|(distance, _)| *distance).map(|(_, name)| name.clone())
}
