//! Other people's programs that check what Sortie publishes: Python's `tuf`, `securesystemslib`, `in-toto` and `icalendar`, and
//! npm's `tuf-js`, unmodified, at pinned versions.
//!
//! They are installed into `target/clients/`, `python/` and `node/`, once; tests find them there.

use crate::cargo;
use anyhow::{Context, Result};
use std::{fs, path::Path, process::Command};

/// The Python packages, pinned; `cryptography` is what they check signatures with.
const PYTHON: &[&str] =
    &["tuf==7.0.1", "securesystemslib==1.6.0", "in-toto==3.1.0", "cryptography==50.0.2", "icalendar==7.3.2"];
/// The npm packages, pinned.
const NODE: &[&str] = &["tuf-js@5.0.1"];

/// Installs the clients, unless these very versions are there already.
pub(crate) fn install() -> Result<()> {
    let folder = cargo::target_folder()?.join("clients");
    once(&folder.join("python"), PYTHON, |folder| {
        cargo::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder))?;
        let pip = folder.join("bin/pip");
        cargo::run(Command::new(pip).args(["install", "--quiet", "--disable-pip-version-check"]).args(PYTHON))
    })?;
    once(&folder.join("node"), NODE, |folder| {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("package.json"), "{\"private\": true, \"type\": \"module\"}\n")?;
        let mut npm = Command::new("npm");
        cargo::run(npm.current_dir(folder).args(["install", "--silent", "--no-audit", "--no-fund"]).args(NODE))
    })
}

/// Runs `install` unless the folder says that these packages are in it.
fn once(folder: &Path, packages: &[&str], install: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let mark = folder.join("installed");
    let wanted = packages.join("\n");
    if fs::read_to_string(&mark).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    install(folder)?;
    fs::write(&mark, wanted).with_context(|| format!("cannot write {}", mark.display()))
}
