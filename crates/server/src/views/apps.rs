//! Applications with their builds.

use super::{build_name, packages};
use api::read::{App, Build};
use domain::{refusal::Refusal, rules::names, state::State};
use trust::AppName;

/// One application, its builds newest first.
pub(crate) fn app(state: &State, app: &AppName) -> Result<App, Refusal> {
    let record = names::app(state, app)?;
    let mut builds: Vec<_> = record.builds.iter().collect();
    builds.sort_by_key(|(_, build)| std::cmp::Reverse(build.stamp.entry));
    let build = |(digest, build): (&trust::Digest, &domain::state::Build)| Build {
        name: build_name(state, app, digest),
        pushed: build.stamp.time,
        pusher: state.shown(&build.pusher),
        vendor: build.vendor.as_ref().map(|imported| imported.word.vendor.clone()),
        commit: build.commit.clone(),
        recipe: build.recipe.clone(),
        package: (!build.facts.package.is_empty()).then(|| packages::members_in_words(&build.facts.package)),
        files: build.facts.files,
        size_bytes: build.facts.size_bytes,
        ran_in: build.verified_in.keys().cloned().collect(),
        evidence: build.evidence.iter().map(|e| (e.kind.clone(), e.passed, e.summary.clone())).collect(),
    };
    Ok(App { app: app.clone(), builds: builds.into_iter().map(build).collect() })
}
