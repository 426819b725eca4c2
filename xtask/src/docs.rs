//! The pages in docs/ that are generated from the program itself, so that they cannot say something else than it does.

use crate::{attacks, cargo};
use anyhow::{Context, Result, bail};
use std::{fs, path::Path, process::Command};

/// What to do with the generated pages.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Change nothing, and fail if a page differs from what the program says
    #[arg(long)]
    pub(crate) check: bool,
}

/// Each page, and the arguments with which `sortie` prints it.
const PAGES: &[(&str, &[&str])] = &[
    ("CLI.md", &["man", "--markdown"]),
    ("REFUSALS.md", &["explain", "--all", "--markdown"]),
    ("GLOSSARY.md", &["vocabulary", "--markdown"]),
    ("openapi.json", &["serve", "--openapi"]),
];

/// The page of which a part is written: the table of attacks.
const SECURITY: &str = "SECURITY.md";

/// Writes the pages, or says which have drifted.
pub(crate) fn run(options: &Options) -> Result<()> {
    let programs = cargo::build(&["--package", "sortie"])?;
    let sortie = programs.get("sortie").context("cargo built no sortie")?;
    let folder = cargo::root().join("docs");
    let mut drifted = Vec::new();
    let security = folder.join(SECURITY);
    let security = fs::read_to_string(&security).with_context(|| format!("cannot read {}", security.display()))?;
    let mut pages = vec![(SECURITY, attacks::page(&security)?.into_bytes())];
    for (page, arguments) in PAGES {
        pages.push((page, ask(sortie, arguments)?));
    }
    for (page, text) in pages {
        let path = folder.join(page);
        if fs::read(&path).is_ok_and(|there| there == text) {
            continue;
        }
        if options.check {
            drifted.push(page);
        } else {
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            println!("wrote docs/{page}");
        }
    }
    if !drifted.is_empty() {
        bail!("these pages are not what the program says: {}. Write them: cargo xtask docs", drifted.join(", "));
    }
    println!("the generated pages are what the program says");
    Ok(())
}

fn ask(sortie: &Path, arguments: &[&str]) -> Result<Vec<u8>> {
    let output = Command::new(sortie).args(arguments).env("NO_COLOR", "1").output()?;
    if !output.status.success() || output.stdout.is_empty() {
        bail!("sortie {}: {}\n{}", arguments.join(" "), output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.stdout)
}
