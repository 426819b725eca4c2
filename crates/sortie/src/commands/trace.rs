//! `sortie trace`: a code change followed to where it runs and who sees it (R16).

use crate::{
    failure::{Failure, Outcome},
    git,
    invocation::Invocation,
    output::{Answer, ago, origin},
};
use api::{
    read::{Trace as View, TracedBuild},
    routes,
};
use jiff::Timestamp;
use std::path::Path;

/// Follow a code change to the versions it is in, where they may run, where they run, and who sees them
#[derive(Debug, clap::Args)]
pub struct Trace {
    /// The commit: its id or the beginning of it; in a repository anything that git understands
    #[arg(value_name = "COMMIT")]
    pub commit: String,
}

impl Trace {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let commit = commit(&self.commit, |name| {
            git::run(
                Path::new("."),
                &["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{name}^{{commit}}")],
            )
            .ok()
        })?;
        let connection = invocation.connect().await?;
        let view: View = connection.client.get(&routes::path(routes::TRACE, &[&commit]), &[]).await?;
        let words = in_words(&view, Timestamp::now());
        Ok(Answer::new(&view, words))
    }
}

/// The commit's id: as git resolves it here, or as it was typed.
fn commit(text: &str, resolve: impl Fn(&str) -> Option<String>) -> Result<String, Failure> {
    if !text.starts_with('-')
        && let Some(id) = resolve(text)
    {
        return Ok(id.trim().to_string());
    }
    let hex = text.to_ascii_lowercase();
    match (6..=64).contains(&hex.len()) && hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        true => Ok(hex),
        false => Err(Failure::misused(format!(
            "'{}' is no commit: write its id, or its first six digits or more",
            trust::names::printable(text)
        ))),
    }
}

fn in_words(view: &View, now: Timestamp) -> String {
    let short = view.commit.get(..7).unwrap_or(&view.commit);
    if view.builds.is_empty() {
        return format!("{short}: no build was pushed from it");
    }
    let mut lines = vec![format!("commit {}", view.commit)];
    lines.extend(view.builds.iter().map(|build| build_in_words(build, now)));
    lines.join("\n")
}

fn build_in_words(traced: &TracedBuild, now: Timestamp) -> String {
    let TracedBuild { app, build, pushed, pusher, vendor, released_to, runs_in, exposed_in } = traced;
    let number = if build.version.is_some() { format!("  #{}", build.build.short()) } else { String::new() };
    let list = |names: Vec<String>| if names.is_empty() { "nobody".to_string() } else { names.join(", ") };
    let released = list(released_to.iter().map(ToString::to_string).collect());
    let runs: Vec<String> = runs_in.iter().map(|(environment, on)| format!("{environment} on {on}")).collect();
    let runs = if runs.is_empty() { "nowhere".into() } else { runs.join(", ") };
    let seen: Vec<String> = exposed_in
        .iter()
        .filter(|(_, percent)| **percent > 0)
        .map(|(environment, percent)| format!("{percent} % in {environment}"))
        .collect();
    format!(
        "{}{number}  {} {}\n  released to  {released}\n  runs in      {runs}\n  seen by      {}",
        build.of(app),
        origin(pusher, vendor.as_ref()),
        ago(*pushed, now),
        list(seen)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::samples::{build, time};
    use std::collections::BTreeMap;

    #[test]
    fn r16_a_commit_is_followed_to_permits_environments_and_exposure() {
        let view = View {
            commit: "9b1d22e0000000000000000000000000000000aa".into(),
            builds: vec![TracedBuild {
                app: "web".parse().unwrap(),
                build: build("1.4.0"),
                pushed: time("08:00:00"),
                pusher: "ci".parse().unwrap(),
                vendor: None,
                released_to: vec!["test".parse().unwrap(), "prod".parse().unwrap()],
                runs_in: BTreeMap::from([("prod".parse().unwrap(), 12)]),
                exposed_in: BTreeMap::from([("prod".parse().unwrap(), 10)]),
            }],
        };
        let words = in_words(&view, time("10:00:00"));
        assert!(
            words.contains(&format!("web@1.4.0  #{}  pushed by ci 2 h ago", build("1.4.0").build.short())),
            "{words}"
        );
        assert!(
            words.ends_with("  released to  test, prod\n  runs in      prod on 12\n  seen by      10 % in prod"),
            "{words}"
        );
        let none = View { builds: Vec::new(), ..view };
        assert_eq!(in_words(&none, time("10:00:00")), "9b1d22e: no build was pushed from it");
    }

    #[test]
    fn a_commit_is_what_git_knows_or_hexadecimal_digits() {
        assert_eq!(commit("HEAD", |_| Some("9b1d22e0\n".into())).unwrap(), "9b1d22e0");
        assert_eq!(commit("9B1D22E", |_| None).unwrap(), "9b1d22e");
        for bad in ["HEAD", "9b1d", "../estate", "--all"] {
            assert_eq!(commit(bad, |_| None).unwrap_err().problem.exit, 2, "{bad}");
        }
    }
}
