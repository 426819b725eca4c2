//! Feeds every parser of untrusted bytes with what cargo-fuzz comes up with.

use crate::cargo;
use anyhow::{Context, Result, bail};
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

/// For how long, and which.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How long each parser is fed
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Feed only the parsers whose name contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

/// Writes the seeds, builds the targets, and feeds one after the other. What makes one fail is kept in fuzz/artifacts.
pub(crate) fn run(options: &Options) -> Result<()> {
    if !cargo::is_installed("cargo-fuzz") {
        bail!("cargo-fuzz is not installed: cargo install --locked cargo-fuzz");
    }
    let folder = cargo::root().join("fuzz");
    // The same versions of everything as the workspace has, most of it compiled already.
    fs::copy(cargo::root().join("Cargo.lock"), folder.join("Cargo.lock")).context("cannot copy Cargo.lock")?;
    let mut seeds = cargo::cargo();
    seeds.args(["run", "--quiet", "--bin", "seeds", "--target-dir"]).arg(cargo::target_folder()?);
    let seeds = seeds.current_dir(&folder).output()?;
    if !seeds.status.success() {
        bail!("the seeds could not be written:\n{}", String::from_utf8_lossy(&seeds.stderr));
    }
    let names = String::from_utf8(seeds.stdout)?;
    let wanted = |name: &&str| options.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let names: Vec<&str> = names.lines().filter(wanted).collect();
    let mut failed = Vec::new();
    println!("{:<14} {:>12} {:>10}", "parser", "inputs", "");
    for name in &names {
        let (inputs, passed) = feed(&folder, name, options.seconds)?;
        println!("{name:<14} {inputs:>12} {:>10}", if passed { "stands" } else { "FAILS" });
        if !passed {
            failed.push(*name);
        }
    }
    if !failed.is_empty() {
        bail!("these parsers fail: {}. What they were fed is in fuzz/artifacts", failed.join(", "));
    }
    Ok(())
}

/// How many inputs it took, and whether it stood them all.
fn feed(folder: &Path, name: &str, seconds: u64) -> Result<(String, bool)> {
    // The code here has no unsafe of its own, so that what a sanitizer would find is left to the libraries' own tests.
    let output = Command::new(env!("CARGO"))
        .args(["fuzz", "run", "--fuzz-dir", ".", "--sanitizer", "none", name, "--"])
        .args([&format!("-max_total_time={seconds}"), "-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .context("cannot run cargo fuzz")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let count = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:")).map(str::trim);
    if count.is_none() || !output.status.success() {
        let log = folder.join("artifacts").join(format!("{name}.log"));
        fs::create_dir_all(folder.join("artifacts"))?;
        fs::write(&log, said.as_bytes())?;
        println!("{name}: {} (see {})", output.status, log.display());
    }
    Ok((count.unwrap_or("-").to_string(), output.status.success()))
}
