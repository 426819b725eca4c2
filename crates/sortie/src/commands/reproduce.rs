//! `sortie reproduce`.

use crate::{
    build,
    failure::{Failure, Outcome},
    git,
    invocation::Invocation,
    names::Thing,
    object,
    output::{self, Answer},
    package, project,
};
use anyhow::Context as _;
use domain::refusal::exit;
use serde_json::json;
use std::{path::Path, process::Command};
use trust::{
    names::printable,
    statement::{Act, Commit},
};

/// Build a version again from its commit by its recipe, and compare every byte
#[derive(Debug, clap::Args)]
pub struct Reproduce {
    /// The version or build: web@1.4.0, web#3fa9c1
    #[arg(value_name = "WHAT")]
    pub what: String,
}

impl Reproduce {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let thing = Thing::parse_build("reproduce", &self.what)?;
        let connection = invocation.connect().await?;
        let (found, view) = connection.find(&thing, None).await?;
        let signed = object::manifest(&connection, &found.build).await?;
        let push = connection.open(view.dossier.push.as_ref(), "push")?;
        let Act::Push(push) = push.act else { return Err(Failure::integrity("the push is no push")) };
        let commit = push.commit.ok_or_else(|| {
            Failure::misused(format!("{} was pushed without a commit: there is nothing to build it from", found.name()))
        })?;
        let top = git::top(Path::new("."))
            .ok_or_else(|| Failure::misused("go to the application's repository first: its commit is built there"))?;
        has_commit(&top, &commit.id, &thing)?;
        if let Some(tag) = &commit.tag {
            check_tag(&top, tag, &commit.id)?;
        }
        let folder = tempfile::tempdir().context("no temporary folder").map_err(Failure::from)?;
        let tree = folder.path().join("tree");
        let tree_name = tree.to_string_lossy().into_owned();
        git::run(&top, &["worktree", "add", "--quiet", "--detach", &tree_name, &commit.id])?;
        invocation.aside(&format!("commit {} in {}", commit.id.get(..7).unwrap_or(&commit.id), tree.display()));
        let made = make(invocation, &tree, found.app.as_str(), push.recipe.as_deref());
        // The folder is gone either way; git is told so that its list of work trees stays true.
        let _ = git::run(&top, &["worktree", "remove", "--force", &tree_name]);
        let mut made = made?;
        package::resolve(&connection, &mut made).await?;
        let differing = build::differences(&signed, &made.manifest);
        // What is signed names the title by a digest; people read its words.
        let title = git::run(&top, &["show", "--no-patch", "--format=%s", &commit.id])?;
        let commit = Commit { title: printable(title.trim_end()), ..commit };
        let data = json!({ "build": found.build, "name": found.name(), "signed": found.build, "made": made.digest(), "commit": commit, "recipe": push.recipe,
            "differing": differing });
        if made.digest() == found.build {
            let words = format!(
                "{} is what its commit and recipe make: {}.",
                found.name(),
                same(signed.files.len(), signed.run.package.len())
            );
            return Ok(Answer::new(&data, words));
        }
        let words = format!(
            "✗ {} is not what its commit and recipe make here:\n  {}\nThat may be a build that is not deterministic, \
             another tool chain, or another origin than the push says.",
            found.name(),
            differing.join("\n  ")
        );
        Ok(Answer::new(&data, words).exit(exit::INTEGRITY))
    }
}

/// What was found to be the same. A package has no files, and lists what has.
fn same(files: usize, members: usize) -> String {
    match (files, members) {
        (0, 0) => "the same manifest, which has no files".into(),
        (0, members) => format!("the same {}, build for build", output::count(members as u64, "member")),
        (files, _) => format!("the same {}, byte for byte", output::count(files as u64, "file")),
    }
}

/// Fails where the repository does not know the commit, with where to go or what to fetch.
fn has_commit(top: &Path, commit: &str, thing: &Thing) -> Result<(), Failure> {
    if git::run(top, &["cat-file", "-e", &format!("{commit}^{{commit}}")]).is_ok() {
        return Ok(());
    }
    let (app, short) = (thing.app(), commit.get(..7).unwrap_or(commit));
    let lacks =
        format!("{thing} was made from commit {short}, which the repository in {} does not have", top.display());
    let is_its_own = project::find(top, Some(app.as_str())).ok().flatten().is_some();
    Err(match is_its_own {
        true => Failure::misused(format!("{lacks}: fetch it")).next("git fetch --all --tags"),
        false => Failure::misused(format!("{lacks}, nor any sortie.toml of {app}: go to {app}'s own repository"))
            .next(format!("cd REPOSITORY && sortie reproduce '{thing}'")),
    })
}

/// A build is bound to its checkpoint (R19): the tag that was signed with it must still be there, on the same commit.
fn check_tag(top: &Path, tag: &str, commit: &str) -> Result<(), Failure> {
    let now = git::run(top, &["rev-parse", "--verify", "--quiet", &format!("refs/tags/{tag}^{{commit}}")]);
    let now = now.map_err(|_| {
        Failure::integrity(format!(
            "the tag {tag}, signed with the build, is not here: fetch tags, or find out who removed it"
        ))
    })?;
    if now.trim() == commit {
        return Ok(());
    }
    let short = |id: &str| id.get(..7).unwrap_or(id).to_string();
    let (signed, now) = (short(commit), short(now.trim()));
    Err(Failure::integrity(format!("the tag {tag} was moved: it was signed on commit {signed} and is on {now} now"))
        .next(format!("git log {signed}..{now}")))
}

fn make(invocation: &Invocation, tree: &Path, app: &str, recipe: Option<&str>) -> Result<build::Ready, Failure> {
    let located = project::find(tree, Some(app))?
        .ok_or_else(|| Failure::misused(format!("the commit has no sortie.toml of {app}")))?;
    if let Some(recipe) = recipe {
        invocation.aside(&format!("$ {recipe}"));
        let status = Command::new("sh")
            .args(["-c", recipe])
            .current_dir(&located.folder)
            .stdout(std::io::stderr())
            .status()
            .context("the recipe could not be run")
            .map_err(Failure::from)?;
        if !status.success() {
            return Err(Failure::failed(format!("the recipe `{recipe}` ended with {status}")));
        }
    }
    let files = located.folder.join(&located.project.files);
    if recipe.is_none() && !located.project.has_no_files() && !files.exists() {
        return Err(Failure::misused(format!(
            "the commit holds no {}, and the push names no recipe that makes it: write `build = \"…\"` in sortie.toml, \
             so that the next build can be made again",
            located.project.files
        )));
    }
    build::prepare(Some(&located.folder), Some(app), &|_| {})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_the_same_member_by_member() {
        assert_eq!(same(2, 0), "the same 2 files, byte for byte");
        assert_eq!(same(0, 2), "the same 2 members, build for build");
        assert_eq!(same(0, 0), "the same manifest, which has no files");
    }
}
