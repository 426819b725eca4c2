//! The public conformance suite of TUF, run on the agent's own client from a checkout that the reader has.
//!
//! The suite (theupdateframework/tuf-conformance on GitHub) is in no package registry, so that nothing here fetches it.
//! What it shows, our own tests show too: `crates/trust/tests/tuf_client`.

use crate::cargo;
use anyhow::{Context, Result, bail};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Where the suite is, and what to pass on to it.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// A checkout of theupdateframework/tuf-conformance
    checkout: PathBuf,
    /// Options for pytest, after --
    #[arg(last = true)]
    pytest: Vec<String>,
}

/// Builds the client, installs the suite's own dependencies into `target/conformance`, and runs the suite.
pub(crate) fn run(options: &Options) -> Result<()> {
    let suite = options.checkout.join("tuf_conformance");
    if !suite.is_dir() {
        bail!("{} is no checkout of theupdateframework/tuf-conformance", options.checkout.display());
    }
    if !cargo::is_installed("faketime") {
        bail!("the suite sets the clock with faketime. Install it as root: apt-get install faketime");
    }
    let programs = cargo::build(&["-p", "agent", "--example", "tuf-conformance-client"])?;
    let client = programs.get("tuf-conformance-client").context("cargo built no tuf-conformance-client")?;
    let folder = cargo::target_folder()?.join("conformance");
    let python = folder.join("bin/python");
    if !python.is_file() {
        cargo::run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    }
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--editable"];
    cargo::run(Command::new(&python).args(pip).arg(&options.checkout))?;
    let mut pytest = Command::new(&python);
    pytest.args(["-m", "pytest", "--quiet"]).arg(&suite).arg("--entrypoint").arg(Path::new(client));
    cargo::run(pytest.args(&options.pytest))
}
