//! Sortie upgraded from an earlier commit, with deployments under way: the end-to-end story, with that commit's own program.

use crate::cargo;
use anyhow::{Context, Result, bail};
use std::process::Command;

/// From what.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The commit whose program is the older one
    #[arg(value_name = "REVISION")]
    revision: String,
}

/// Builds the earlier commit apart from this one, and plays the story with it.
pub(crate) fn run(options: &Options) -> Result<()> {
    let root = cargo::root();
    let mut find = Command::new("git");
    find.args(["rev-parse", "--short", "--verify"]).arg(format!("{}^{{commit}}", options.revision)).current_dir(&root);
    let found = find.output().context("cannot run git")?;
    if !found.status.success() {
        bail!("git knows no commit '{}'", options.revision);
    }
    let commit = String::from_utf8(found.stdout)?.trim().to_owned();
    let folder = cargo::target_folder()?.join("older").join(&commit);
    if !folder.exists() {
        let mut add = Command::new("git");
        cargo::run(add.args(["worktree", "add", "--detach"]).arg(&folder).arg(&commit).current_dir(&root))?;
    }
    let target = cargo::target_folder()?.join("older/target");
    let mut build = cargo::cargo();
    build.args(["build", "--package", "sortie", "--bins", "--target-dir"]).arg(&target).current_dir(&folder);
    cargo::run(&mut build)?;
    let mut story = cargo::cargo();
    story.args(["nextest", "run", "--package", "sortie", "--test", "e2e", "upgrade::"]);
    cargo::run(story.env("SORTIE_OLDER", target.join("debug/sortie")))?;
    let mut remove = Command::new("git");
    cargo::run(remove.args(["worktree", "remove", "--force"]).arg(&folder).current_dir(&root))
}
