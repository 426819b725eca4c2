//! Everything that must hold before a change is taken.

use crate::{arrows, cargo, clients, docs};
use anyhow::{Result, bail};
use std::{fs, path::Path, process::Command};

/// A program that the tests run, and the Debian package it is in.
const NEEDED: &[(&str, &str)] = &[
    ("nginx", "nginx-light"),
    ("haproxy", "haproxy"),
    ("ssh-keygen", "openssh-client"),
    ("ssh-agent", "openssh-client"),
    ("git", "git"),
    ("ps", "procps"),
    ("python3", "python3-venv"),
    ("npm", "npm"),
];

/// The checks that need no test run.
pub(crate) fn check() -> Result<()> {
    cargo::run(cargo::cargo().args(["fmt", "--all", "--check"]))?;
    check_format_of_verbs()?;
    cargo::run(cargo::cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    arrows::check()?;
    println!("the crates lean as the design draws");
    docs::run(&docs::Options { check: true })?;
    if cargo::is_installed("cargo-deny") {
        cargo::run(cargo::cargo().args(["deny", "--workspace", "check"]))?;
    } else {
        println!("licences and advisories: not checked, because cargo-deny is not installed");
    }
    Ok(())
}

/// A macro declares the modules of the verbs, where `cargo fmt` does not find them.
fn check_format_of_verbs() -> Result<()> {
    let root = cargo::root();
    let folder = Path::new("crates/sortie/src/commands");
    let mut command = Command::new("rustfmt");
    command.current_dir(&root).args(["--check", "--edition", "2024", "--config-path", "rustfmt.toml"]);
    let mut files = Vec::new();
    for entry in fs::read_dir(root.join(folder))? {
        files.push(folder.join(entry?.file_name()));
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rs"));
    files.sort_unstable();
    cargo::run(command.args(files))
}

/// All checks and all tests.
pub(crate) fn test() -> Result<()> {
    install()?;
    clients::install()?;
    check()?;
    if cargo::is_installed("cargo-nextest") {
        cargo::run(cargo::cargo().args(["nextest", "run", "--workspace", "--no-fail-fast"]))?;
        cargo::run(cargo::cargo().args(["test", "--workspace", "--doc", "--quiet"]))?;
    } else {
        println!("cargo-nextest is not installed (cargo install --locked cargo-nextest): cargo test does it too");
        cargo::run(cargo::cargo().args(["test", "--workspace", "--no-fail-fast"]))?;
    }
    println!("all checks and all tests passed");
    Ok(())
}

/// Installs from Debian what the tests need and this machine lacks.
fn install() -> Result<()> {
    let mut packages: Vec<&str> =
        NEEDED.iter().filter(|(program, _)| !cargo::is_installed(program)).map(|(_, package)| *package).collect();
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    let wanted = packages.join(" ");
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    if !root || !cargo::is_installed("apt-get") {
        bail!("the tests need programs that are not installed. Install them as root: apt-get install {wanted}");
    }
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        // In runlevel 1 Debian's packages do not start the services they bring: the tests start their own.
        command.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1").args(arguments);
        cargo::run(&mut command)
    };
    apt(&["update", "-qq"])?;
    apt(&[&["install", "-y", "-qq", "--no-install-recommends"], &packages[..]].concat())
}
