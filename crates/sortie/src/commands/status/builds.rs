//! The builds of an application, and its drafts that make none yet.

use crate::{output::ago, table::table};
use api::read::{App, Build};
use domain::sizes;
use jiff::Timestamp;
use std::collections::BTreeMap;
use trust::{AudienceName, VendorName, Version};

/// How many builds of an application are listed.
const BUILDS_LISTED: usize = 12;

/// The newest builds, a line each.
pub(super) fn listed(app: &App, now: Timestamp) -> String {
    let row = |build: &Build| {
        let commit = build.commit.as_ref().map(|commit| {
            format!(
                "{} {}",
                commit.id.get(..7).unwrap_or(&commit.id),
                commit.title.chars().take(48).collect::<String>()
            )
        });
        let number = build.name.version.as_ref().map_or("unreleased".into(), ToString::to_string);
        vec![
            number,
            format!("#{}", build.name.build.short()),
            format!(
                "{} {}",
                build.vendor.as_ref().map_or(build.pusher.as_str(), VendorName::as_str),
                ago(build.pushed, now)
            ),
            build.package.as_ref().map_or_else(|| sizes::length(build.size_bytes), |_| "a package".into()),
            commit.unwrap_or_else(|| "no commit".into()),
            passed(build).join("; "),
        ]
    };
    let rows: Vec<Vec<String>> = app.builds.iter().take(BUILDS_LISTED).map(row).collect();
    let mut words = table(&["version", "build", "by", "size", "commit", "what became of it"], &rows);
    if app.builds.len() > BUILDS_LISTED {
        words.push_str(&format!("\n… and {} older", app.builds.len() - BUILDS_LISTED));
    }
    words
}

/// `withdrawn from prod`, `superseded in test, prod`, `skipped in prod`, and `pruned`.
fn passed(build: &Build) -> Vec<String> {
    let there = |word: &str, places: &BTreeMap<AudienceName, Version>| {
        let names: Vec<&str> = places.keys().map(AudienceName::as_str).collect();
        (!names.is_empty()).then(|| format!("{word} in {}", names.join(", ")))
    };
    let from: Vec<&str> = build.withdrawn.iter().map(AudienceName::as_str).collect();
    let withdrawn = (!from.is_empty()).then(|| format!("withdrawn from {}", from.join(", ")));
    let pruned = build.pruned.map(|_| "pruned".to_string());
    [withdrawn, there("superseded", &build.superseded), there("skipped", &build.skipped), pruned]
        .into_iter()
        .flatten()
        .collect()
}

/// A line each, with what may be typed: of what was retired nothing is sealed any more.
pub(super) fn drafts(app: &App, is_retired: bool) -> Vec<String> {
    let line = |(draft, parts): (&String, &Vec<String>)| {
        let parts = if parts.is_empty() { "no part yet".into() } else { parts.join(", ") };
        match is_retired {
            true => format!(
                "\ndraft {draft} is left: {parts}; `sortie push --discard {draft} --app {}` lets it go",
                app.app
            ),
            false => format!("\ndraft {draft} is open: {parts}; `sortie push --seal {draft}` makes a build of it"),
        }
    };
    app.drafts.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_of_what_was_retired_is_only_let_go() {
        let parts = [("ci-1".to_string(), vec!["linux".to_string()])].into();
        let app = App { app: "web".parse().unwrap(), builds: Vec::new(), drafts: parts, released_with: Vec::new() };
        let open = "\ndraft ci-1 is open: linux; `sortie push --seal ci-1` makes a build of it";
        assert_eq!(drafts(&app, false), [open]);
        let left = "\ndraft ci-1 is left: linux; `sortie push --discard ci-1 --app web` lets it go";
        assert_eq!(drafts(&app, true), [left]);
    }
}
