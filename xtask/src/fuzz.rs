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
    /// The parser to feed, by its name in fuzz/src/lib.rs; all of them where none is named
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// How long each parser is fed
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

/// The toolchain that cargo-fuzz compiles with.
const TOOLCHAIN: &str = "nightly";

/// Writes the seeds, builds the targets, and feeds one after the other. What makes one fail is kept in fuzz/artifacts.
pub(crate) fn run(options: &Options) -> Result<()> {
    if !cargo::is_installed("cargo-fuzz") {
        bail!("cargo-fuzz is not installed: cargo install --locked cargo-fuzz");
    }
    let nightly = Command::new("rustup").args(["run", TOOLCHAIN, "rustc", "--version"]).output();
    if !nightly.is_ok_and(|output| output.status.success()) {
        bail!("cargo-fuzz needs the {TOOLCHAIN} toolchain: rustup toolchain install {TOOLCHAIN} --profile minimal");
    }
    let folder = cargo::root().join("fuzz");
    // The same versions of everything as the workspace has, most of it compiled already.
    fs::copy(cargo::root().join("Cargo.lock"), folder.join("Cargo.lock")).context("cannot copy Cargo.lock")?;
    let mut seeds = cargo::cargo();
    seeds.args(["run", "--quiet", "--example", "seeds", "--target-dir"]).arg(cargo::target_folder()?);
    let seeds = seeds.current_dir(&folder).output()?;
    if !seeds.status.success() {
        bail!("the seeds could not be written:\n{}", String::from_utf8_lossy(&seeds.stderr));
    }
    let names = String::from_utf8(seeds.stdout)?;
    let all: Vec<&str> = names.lines().collect();
    if let Some(unknown) = options.targets.iter().find(|name| !all.contains(&name.as_str())) {
        bail!("there is no parser '{unknown}'. There are: {}", all.join(", "));
    }
    let wanted = |name: &&str| options.targets.is_empty() || options.targets.iter().any(|wanted| wanted == name);
    let names: Vec<&str> = all.into_iter().filter(wanted).collect();
    build(&folder)?;
    let mut failed = Vec::new();
    println!("{:<14} {:>12} {:>12}", "parser", "inputs", "a second");
    for name in &names {
        let fed = feed(&folder, name, options.seconds)?;
        let verdict = if fed.stands { "stands" } else { "FAILS" };
        println!("{name:<14} {:>12} {:>12} {verdict:>10}", fed.inputs, fed.inputs_per_second);
        if !fed.stands {
            failed.push(*name);
        }
    }
    if !failed.is_empty() {
        bail!("these parsers fail: {}. What they were fed is in fuzz/artifacts", failed.join(", "));
    }
    Ok(())
}

/// Builds the targets, with cargo's progress in view.
fn build(folder: &Path) -> Result<()> {
    let mut build = Command::new("rustup");
    build.args(["run", TOOLCHAIN, "cargo", "fuzz", "build", "--fuzz-dir", ".", "--sanitizer", "none"]);
    cargo::run(build.current_dir(folder))
}

/// What came of feeding one parser.
struct Fed {
    inputs: String,
    inputs_per_second: String,
    stands: bool,
}

fn feed(folder: &Path, name: &str, seconds: u64) -> Result<Fed> {
    // The code here has no unsafe of its own, so that what a sanitizer would find is left to the libraries' own tests.
    let output = Command::new("rustup")
        .args(["run", TOOLCHAIN, "cargo", "fuzz", "run", "--fuzz-dir", ".", "--sanitizer", "none", name, "--"])
        .args([&format!("-max_total_time={seconds}"), "-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .context("cannot run cargo fuzz")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let counted =
        |what: &str| said.lines().find_map(|line| line.strip_prefix("stat::")?.strip_prefix(what)).map(str::trim);
    let inputs = counted("number_of_executed_units:");
    let stands = output.status.success() && inputs.is_some();
    if !stands {
        let log = folder.join("artifacts").join(format!("{name}.log"));
        fs::create_dir_all(folder.join("artifacts"))?;
        fs::write(&log, said.as_bytes())?;
        println!("{name}: {} (see {})", output.status, log.display());
    }
    let inputs_per_second = counted("average_exec_per_sec:").unwrap_or("-").to_owned();
    Ok(Fed { inputs: inputs.unwrap_or("-").to_owned(), inputs_per_second, stands })
}
