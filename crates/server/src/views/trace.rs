//! A code change followed to where it runs (R16): commit → builds → versions → permits → environments → end users.

use super::build_name;
use crate::http::failure::Failure;
use api::read::{Trace, TracedBuild};
use axum::http::StatusCode;
use domain::{
    refusal::exit,
    state::{App, Build, State},
};
use std::collections::{BTreeMap, BTreeSet};
use trust::{AppName, AudienceName, Digest, names::printable};

/// The shortest beginning of a commit id that is looked for.
const PREFIX_DIGITS: usize = 4;
/// The longest commit id there is.
const COMMIT_DIGITS: usize = 64;
/// How many commits an answer names when several begin alike.
const CANDIDATES: usize = 8;

/// Where the commit that begins with `prefix` has got to.
///
/// # Errors
/// When `prefix` is no beginning of a commit id, of none that was pushed, or of several.
pub(crate) fn trace(state: &State, prefix: &str) -> Result<Trace, Failure> {
    let prefix = prefix.to_ascii_lowercase();
    let hexadecimal = prefix.bytes().all(|b| b.is_ascii_hexdigit());
    if !hexadecimal || !(PREFIX_DIGITS..=COMMIT_DIGITS).contains(&prefix.len()) {
        let shown: String = prefix.chars().take(COMMIT_DIGITS).collect();
        let message = format!(
            "'{}' is no commit id: write at least its first {PREFIX_DIGITS} hexadecimal digits",
            printable(&shown)
        );
        return Err(Failure::new(StatusCode::BAD_REQUEST, "COMMIT_ID", message).exit(exit::MISUSED));
    }
    let commit = only_commit(state, &prefix)?;
    let mut builds: Vec<TracedBuild> = all_builds(state)
        .filter(|(_, _, _, build)| build.commit.as_ref().is_some_and(|of| of.id == commit))
        .map(|(app, record, digest, build)| traced(state, app, record, digest, build))
        .collect();
    builds.sort_by(|a, b| (b.pushed, &a.app, a.build.build).cmp(&(a.pushed, &b.app, b.build.build)));
    Ok(Trace { commit: commit.to_owned(), builds })
}

fn all_builds(state: &State) -> impl Iterator<Item = (&AppName, &App, &Digest, &Build)> {
    state
        .apps
        .iter()
        .flat_map(|(app, record)| record.builds.iter().map(move |(digest, build)| (app, record, digest, build)))
}

/// The one commit that begins with `prefix`.
fn only_commit<'a>(state: &'a State, prefix: &str) -> Result<&'a str, Failure> {
    let ids = all_builds(state).filter_map(|(_, _, _, build)| build.commit.as_ref());
    let alike: BTreeSet<&str> = ids.map(|commit| commit.id.as_str()).filter(|id| id.starts_with(prefix)).collect();
    let mut candidates = alike.iter();
    match (candidates.next(), candidates.next()) {
        (Some(commit), None) => Ok(commit),
        (None, _) => {
            let message = format!("no build was pushed from a commit that begins with {prefix}");
            let failure = Failure::new(StatusCode::NOT_FOUND, "UNKNOWN_COMMIT", message);
            Err(failure.exit(exit::MISUSED).next("sortie history"))
        }
        (Some(first), Some(_)) => {
            let shown: Vec<&str> = alike.iter().take(CANDIDATES).copied().collect();
            let more = alike.len().saturating_sub(CANDIDATES);
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            let message = format!("{} commits begin with {prefix}: {}{more}", alike.len(), shown.join(", "));
            let failure = Failure::new(StatusCode::CONFLICT, "AMBIGUOUS_COMMIT", message);
            Err(failure.exit(exit::MISUSED).next(format!("sortie trace {first}")))
        }
    }
}

fn traced(state: &State, app: &AppName, record: &App, digest: &Digest, build: &Build) -> TracedBuild {
    let mut released_to = Vec::new();
    let mut exposed_in = BTreeMap::new();
    if let Some(version) = &build.version {
        for (audience, here) in &record.audiences {
            if state.granted(app, version, audience).is_some() {
                released_to.push(audience.clone());
            }
            if let Some((seen, percent, _)) = &here.exposure
                && seen == version
                && *percent > 0
            {
                exposed_in.insert(audience.clone(), *percent);
            }
        }
    }
    let mut runs_in: BTreeMap<AudienceName, u32> = BTreeMap::new();
    for target in state.targets.values().filter(|target| !target.retired) {
        let running = target.apps.get(app).and_then(|on_target| on_target.running.as_ref());
        if running.is_some_and(|running| running.build == *digest && !running.stopped) {
            *runs_in.entry(target.environment.clone()).or_default() += 1;
        }
    }
    TracedBuild {
        app: app.clone(),
        build: build_name(state, app, digest),
        pushed: build.stamp.time,
        pusher: state.shown(&build.pusher),
        vendor: build.vendor.as_ref().map(|imported| imported.word.vendor.clone()),
        released_to,
        runs_in,
        exposed_in,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::fixture::World;

    #[test]
    fn a_commit_is_followed_to_where_it_runs_r16() {
        let mut world = World::new();
        let build = world.released("web", "1.4.0", "prod");
        world.runs("prod-1", "web", build);
        world.expose("web", "1.4.0", "prod", 10);
        let commit = world.commit_of("web", &build);
        let trace = trace(&world.state, &commit[..7].to_uppercase()).unwrap();
        assert_eq!(trace.commit, commit);
        let [traced] = &trace.builds[..] else { panic!("{trace:?}") };
        assert_eq!(traced.build.of(&traced.app), "web@1.4.0");
        assert_eq!(traced.released_to, ["prod".parse().unwrap()]);
        assert_eq!(traced.runs_in.values().copied().collect::<Vec<_>>(), [1]);
        assert_eq!(traced.exposed_in.values().copied().collect::<Vec<_>>(), [10]);
    }

    #[test]
    fn a_beginning_that_is_short_unknown_or_of_several_commits_is_answered_with_what_helps() {
        let mut world = World::new();
        world.pushed_from("web", 1, &format!("abcd1{}", "0".repeat(35)));
        world.pushed_from("web", 2, &format!("abcd2{}", "0".repeat(35)));
        assert_eq!(trace(&world.state, "abc").unwrap_err().code(), "COMMIT_ID");
        assert_eq!(trace(&world.state, "HEAD").unwrap_err().code(), "COMMIT_ID");
        assert_eq!(trace(&world.state, "0000000").unwrap_err().code(), "UNKNOWN_COMMIT");
        let several = trace(&world.state, "abcd").unwrap_err();
        assert_eq!(several.code(), "AMBIGUOUS_COMMIT");
        assert!(format!("{several:?}").contains("abcd20000"), "{several:?}");
        assert!(trace(&world.state, "abcd1").is_ok());
    }
}
