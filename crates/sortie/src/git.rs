//! What git knows, by the git command: the commit something was made from, and what changed since.

use crate::failure::Failure;
use std::{path::Path, process::Command};
use trust::{names::printable, statement::Commit};

/// Runs git in `folder` and gives what it printed, or what it complained of.
pub fn run(folder: &Path, arguments: &[&str]) -> Result<String, Failure> {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(arguments)
        .output()
        .map_err(|error| Failure::failed(format!("cannot run git: {error}")))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_string()),
        false => {
            let complaint = String::from_utf8_lossy(&output.stderr);
            Err(Failure::failed(format!("git {}: {}", arguments.join(" "), printable(complaint.trim()))))
        }
    }
}

/// The folder at the top of the repository, where `folder` is in one that has a commit.
pub fn top(folder: &Path) -> Option<std::path::PathBuf> {
    run(folder, &["rev-parse", "--verify", "--quiet", "HEAD"]).ok()?;
    run(folder, &["rev-parse", "--show-toplevel"]).ok().map(Into::into)
}

/// The commit checked out in `folder`, with the tag that points at it: one that names `app` before any other.
pub fn head(folder: &Path, app: &str) -> Result<Commit, Failure> {
    let id = run(folder, &["rev-parse", "HEAD"])?;
    let title = run(folder, &["show", "--no-patch", "--format=%s", "HEAD"])?;
    let tags = run(folder, &["tag", "--points-at", "HEAD"])?;
    let own = format!("{app}/v");
    let tag = tags.lines().find(|tag| tag.starts_with(&own)).or_else(|| tags.lines().find(|tag| !tag.contains('/')));
    Ok(Commit { id, tag: tag.map(printable), title: printable(&title.chars().take(200).collect::<String>()) })
}

/// A file that differs from the commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dirty {
    /// Its path below the repository's top.
    pub path: String,
    /// Whether git does not know it at all; ignored files are not told.
    pub is_untracked: bool,
    /// Whether no commit has it yet.
    pub is_new: bool,
}

/// The files that differ from the commit, below `paths` of the repository `top` where there are any.
pub fn dirty(top: &Path, paths: &[String]) -> Result<Vec<Dirty>, Failure> {
    let mut arguments = vec!["status", "--porcelain=v1", "-z", "--untracked-files=all", "--"];
    arguments.extend(paths.iter().map(String::as_str));
    Ok(read_status(&run(top, &arguments)?))
}

/// Whether a file begins as private keys do, those of OpenSSH and age among them.
pub fn is_private_key(path: &Path) -> bool {
    let mut begins = Vec::new();
    let file = std::fs::File::open(path);
    let read = file.and_then(|file| std::io::Read::read_to_end(&mut std::io::Read::take(file, 4096), &mut begins));
    let text = String::from_utf8_lossy(&begins);
    let is_one = |line: &str| {
        line.starts_with("-----BEGIN ") && line.contains("PRIVATE KEY") || line.starts_with("AGE-SECRET-KEY-")
    };
    read.is_ok() && text.lines().any(is_one)
}

fn read_status(text: &str) -> Vec<Dirty> {
    let mut files = Vec::new();
    let mut parts = text.split('\0').filter(|part| part.len() > 3);
    while let Some(part) = parts.next() {
        let path = part.get(3..).unwrap_or_default().to_string();
        let is_untracked = part.starts_with("??");
        files.push(Dirty { path, is_untracked, is_new: is_untracked || part.starts_with('A') });
        // A rename is followed by the name it had before.
        if part.starts_with('R') || part.starts_with('C') {
            parts.next();
        }
    }
    files
}

/// The full messages of the commits from `older` (not included; from the beginning where absent) to `newer`.
pub fn messages(folder: &Path, older: Option<&str>, newer: &str, paths: &[String]) -> Result<Vec<String>, Failure> {
    let range = older.map_or(newer.to_string(), |older| format!("{older}..{newer}"));
    let mut arguments = vec!["log", "--format=%B%x00", &range, "--"];
    arguments.extend(paths.iter().map(String::as_str));
    let text = run(folder, &arguments)?;
    Ok(text.split('\0').map(|message| message.trim().to_string()).filter(|message| !message.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_is_read_with_renames_and_untracked_files() {
        let dirty = read_status(" M src/a.rs\0R  new.rs\0old.rs\0?? dist/x\0A  y\0");
        let paths: Vec<_> = dirty.iter().map(|file| (file.path.as_str(), file.is_untracked, file.is_new)).collect();
        let expected =
            [("src/a.rs", false, false), ("new.rs", false, false), ("dist/x", true, true), ("y", false, true)];
        assert_eq!(paths, expected);
    }
}
