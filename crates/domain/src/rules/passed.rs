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

/// The versions that came to an environment, in their order.
pub struct Came {
    /// Those that run there on any target, or were verified there on all that they are for.
    versions: BTreeSet<Version>,
    /// Those that failed when they were last brought: others came instead, and they were not passed over.
    failed: BTreeSet<Version>,
}

/// What came to an environment.
pub fn came(state: &State, app: &AppName, environment: &AudienceName) -> Came {
    let here = state.in_audience(app, environment);
    let running = state.targets_in(environment).filter_map(|(name, _)| state.running(app, name)).map(|r| r.build);
    let running: BTreeSet<Digest> = running.collect();
    let record = state.apps.get(app);
    let has_come = |build: &Digest| {
        let build_record = record.and_then(|record| record.builds.get(build));
        let was_verified = || build_record.is_some_and(|build| build.verified_in.contains_key(environment));
        running.contains(build) || was_verified() || here.is_some_and(|here| here.ran.contains(build))
    };
    let has_failed = |build: &Digest| here.is_some_and(|here| here.failed.contains_key(build));
    let of = |is: &dyn Fn(&Digest) -> bool| {
        let versions = record.into_iter().flat_map(|record| record.versions.iter());
        versions.filter(|(_, numbered)| is(&numbered.build)).map(|(version, _)| version.clone()).collect()
    };
    Came { versions: of(&has_come), failed: of(&has_failed) }
}

impl Came {
    /// The first of the later versions by which a version was passed over.
    pub fn instead_of(&self, version: &Version) -> Option<&Version> {
        let later = (Bound::Excluded(version), Bound::Unbounded);
        let was_tried = self.versions.contains(version) || self.failed.contains(version);
        if was_tried { None } else { self.versions.range::<Version, _>(later).next() }
    }
}
