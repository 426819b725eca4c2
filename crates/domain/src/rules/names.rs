//! Unknown names are answered with the nearest known one.

use crate::{
    refusal::Refusal,
    state::{App, Build, DraftBuild, Policy, State, Target},
};
use trust::{
    AppName, AudienceName, Digest, DraftName, TargetName, Version,
    charter::{Audience, Environment},
};

/// A build as people name it: `web@1.4.0`, or `web#3fa9c1d2` before it has a version.
pub fn of_build(app: &AppName, version: Option<&Version>, build: &Digest) -> String {
    match version {
        Some(version) => format!("{app}@{version}"),
        None => format!("{app}#{}", build.short()),
    }
}

/// A build where its application is plain: `1.4.0`, or `#3fa9c1d2` before it has a version.
pub fn in_short(version: Option<&Version>, build: &Digest) -> String {
    version.map_or_else(|| format!("#{}", build.short()), ToString::to_string)
}

/// The candidate most like `name`, if any is like it at all.
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |candidate: &&str| strsim::damerau_levenshtein(name, candidate);
    candidates.min_by_key(likeness).filter(|candidate| likeness(candidate) <= 2.max(name.len() / 3))
}

/// The application of this name.
pub fn app<'a>(state: &'a State, name: &AppName) -> Result<&'a App, Refusal> {
    state.apps.get(name).ok_or_else(|| Refusal::UnknownApplication {
        name: name.clone(),
        nearest: nearest(name.as_str(), state.apps.keys().map(AppName::as_str)).and_then(|name| name.parse().ok()),
    })
}

/// The build of this digest.
pub fn build<'a>(state: &'a State, name: &AppName, build: &Digest) -> Result<&'a Build, Refusal> {
    let unknown = || Refusal::UnknownBuild { app: name.clone(), build: *build };
    app(state, name)?.builds.get(build).ok_or_else(unknown)
}

/// The build under way of this name.
pub fn draft<'a>(state: &'a State, name: &AppName, draft: &DraftName) -> Result<&'a DraftBuild, Refusal> {
    let drafts = &app(state, name)?.drafts;
    let open = || drafts.iter().filter(|(_, draft)| draft.sealed.is_none()).map(|(name, _)| name);
    drafts.get(draft).ok_or_else(|| Refusal::UnknownDraft {
        app: name.clone(),
        draft: draft.clone(),
        nearest: nearest(draft.as_str(), open().map(DraftName::as_str)).and_then(|name| name.parse().ok()),
        open: open().cloned().collect(),
    })
}

/// The build that has this number.
pub fn version<'a>(state: &'a State, name: &AppName, version: &Version) -> Result<(Digest, &'a Build), Refusal> {
    let record = app(state, name)?;
    let unknown = || Refusal::UnknownVersion {
        app: name.clone(),
        version: version.clone(),
        newest: record.versions.keys().next_back().cloned(),
    };
    let numbered = record.versions.get(version).ok_or_else(unknown)?;
    Ok((numbered.build, build(state, name, &numbered.build)?))
}

/// The audience of this name.
pub fn audience<'a>(policy: &'a Policy, name: &AudienceName) -> Result<Audience<'a>, Refusal> {
    policy.charter.audience(name).ok_or_else(|| unknown_audience(policy, name))
}

/// The environment of this name; a channel is told apart.
pub fn environment<'a>(policy: &'a Policy, name: &AudienceName) -> Result<&'a Environment, Refusal> {
    if policy.charter.channels.contains_key(name) {
        return Err(Refusal::NotAnEnvironment { channel: name.clone() });
    }
    policy.charter.environments.get(name).ok_or_else(|| unknown_audience(policy, name))
}

fn unknown_audience(policy: &Policy, name: &AudienceName) -> Refusal {
    let known = policy.charter.audience_names().map(AudienceName::as_str);
    let nearest = nearest(name.as_str(), known).and_then(|name| name.parse().ok());
    Refusal::UnknownAudience { name: name.clone(), nearest }
}

/// The target of this name, unless it left.
pub fn target<'a>(state: &'a State, name: &TargetName) -> Result<&'a Target, Refusal> {
    state.targets.get(name).filter(|target| !target.retired).ok_or_else(|| {
        let known = state.targets.iter().filter(|(_, target)| !target.retired).map(|(name, _)| name.as_str());
        let nearest = nearest(name.as_str(), known).and_then(|name| name.parse().ok());
        Refusal::UnknownTarget { name: name.clone(), nearest }
    })
}
