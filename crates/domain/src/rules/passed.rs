//! How a version stands to those that came after it in an audience (R44, R45): superseded once a later one is released there,
//! skipped once a later one runs or ran there and it never did. Neither takes anything from its permit.

use crate::state::State;
use std::{collections::BTreeSet, ops::Bound};
use trust::{AppName, AudienceName, Digest, Version};

/// The latest of the versions that supersede a version: it is later, and released to the same audience.
pub fn superseded_by<'a>(
    state: &'a State,
    app: &AppName,
    version: &Version,
    audience: &AudienceName,
) -> Option<&'a Version> {
    let released = |other: &&Version| state.granted(app, other, audience).is_some();
    state.apps.get(app)?.versions.keys().filter(|other| *other > version).rfind(released)
}

/// The versions that run in an environment on any target, or were verified there on all that they are for.
pub fn came(state: &State, app: &AppName, environment: &AudienceName) -> BTreeSet<Version> {
    let Some(record) = state.apps.get(app) else { return BTreeSet::new() };
    let running = state.targets_in(environment).filter_map(|(name, _)| state.running(app, name)).map(|r| r.build);
    let running: BTreeSet<Digest> = running.collect();
    let has_come = |build: &Digest| {
        let was_verified = || record.builds.get(build).is_some_and(|build| build.verified_in.contains_key(environment));
        let has_run = || state.in_audience(app, environment).is_some_and(|here| here.ran.contains(build));
        running.contains(build) || was_verified() || has_run()
    };
    record
        .versions
        .iter()
        .filter(|(_, numbered)| has_come(&numbered.build))
        .map(|(version, _)| version.clone())
        .collect()
}

/// The first of the later versions by which a version was passed over, where `came` are those that came there.
pub fn skipped_for<'a>(came: &'a BTreeSet<Version>, version: &Version) -> Option<&'a Version> {
    let later = (Bound::Excluded(version), Bound::Unbounded);
    if came.contains(version) { None } else { came.range::<Version, _>(later).next() }
}
