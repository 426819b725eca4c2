//! What changed from one version to another, for one environment (R44): the versions between, each by the first line of its
//! commit, and which of them never ran there.

use api::read::{App, Build, BuildName};
use serde::Serialize;
use trust::{AudienceName, Version};

/// One version of those between.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// The version.
    #[serde(flatten)]
    pub build: BuildName,
    /// The first line of the commit it was made from, where there was one and it was not erased.
    pub title: Option<String>,
    /// Whether it never ran in the environment, though a later one comes there.
    pub skipped: bool,
}

/// The versions after `since` up to `until`, the newest first; from the first one where nothing ran before.
pub fn between(app: &App, environment: &AudienceName, since: Option<&Version>, until: &Version) -> Vec<Note> {
    let is_between = |version: &Version| since.is_none_or(|since| version > since) && version <= until;
    let mut notes: Vec<(&Version, &Build)> =
        app.builds.iter().filter_map(|build| Some((build.name.version.as_ref()?, build))).collect();
    notes.retain(|(version, _)| is_between(version));
    notes.sort_by(|(one, _), (other, _)| other.cmp(one));
    let note = |(version, build): (&Version, &Build)| Note {
        build: build.name.clone(),
        title: build.commit.as_ref().map(|commit| commit.title.clone()).filter(|title| !title.is_empty()),
        skipped: version < until && !build.ran_in.contains(environment),
    };
    notes.into_iter().map(note).collect()
}

/// A line each: `1.4.0 (skipped)  feat: greet in the evening`.
pub fn in_words(notes: &[Note]) -> Vec<String> {
    let line = |note: &Note| {
        let skipped = if note.skipped { " (skipped)" } else { "" };
        let title = note.title.as_deref().map(trust::names::printable).unwrap_or_else(|| "no commit".into());
        format!("{}{skipped}  {}", note.build.short(), title.chars().take(100).collect::<String>())
    };
    notes.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::samples;

    #[test]
    fn what_a_deployment_passes_over_is_skipped() {
        let build = |version: &str, ran_in: &[&str]| {
            let mut build = samples::known_build(version);
            build.ran_in = ran_in.iter().map(|name| name.parse().unwrap()).collect();
            build
        };
        let builds =
            vec![build("1.3.0", &["prod"]), build("1.4.0", &["test"]), build("1.5.0", &[]), build("1.6.0", &[])];
        let app = App { app: "web".parse().unwrap(), builds, drafts: Default::default() };
        let version = |text: &str| text.parse::<Version>().unwrap();
        let said = |since: Option<&str>, until: &str, place: &str| {
            let since = since.map(version);
            let notes = between(&app, &place.parse().unwrap(), since.as_ref(), &version(until));
            notes
                .iter()
                .map(|note| format!("{}{}", note.build.short(), if note.skipped { " skipped" } else { "" }))
                .collect::<Vec<_>>()
        };
        assert_eq!(said(Some("1.3.0"), "1.5.0", "prod"), ["1.5.0", "1.4.0 skipped"]);
        assert_eq!(said(Some("1.3.0"), "1.5.0", "test"), ["1.5.0", "1.4.0"]);
        assert_eq!(said(None, "1.3.0", "prod"), ["1.3.0"]);
        assert_eq!(said(Some("1.5.0"), "1.3.0", "prod"), [""; 0]);
    }
}
