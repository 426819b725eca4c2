//! Worlds in seeds: everything real but time, network, disks and machines.

use crate::cargo;
use anyhow::{Context, Result, bail};
use std::process::Command;

/// Which worlds to run.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The world of this seed, or the first of several
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many worlds, each of the next seed
    #[arg(long, default_value_t = 1)]
    worlds: u64,
    /// Tell the whole story of each world
    #[arg(long)]
    story: bool,
    /// Put a fault into each world, by its name in crates/sim/src/fault.rs, to see how it is found
    #[arg(long)]
    fault: Option<String>,
}

/// Runs the worlds. Many are worth an optimised build; one tells more in an ordinary one.
pub(crate) fn run(options: &Options) -> Result<()> {
    let (seed, worlds) = (options.seed.to_string(), options.worlds.to_string());
    let mut arguments = vec!["--seed", &seed, "--worlds", &worlds];
    if options.story {
        arguments.push("--story");
    }
    if let Some(fault) = &options.fault {
        arguments.extend(["--fault", fault]);
    }
    let profile: &[&str] = if options.worlds > 500 { &["--release"] } else { &[] };
    cargo::run(cargo::cargo().args(["run", "--quiet", "--package", "sim"]).args(profile).arg("--").args(arguments))
}

/// How many worlds an optimised build runs in a second.
pub(crate) fn worlds_a_second() -> Result<f64> {
    let built = cargo::build(&["--release", "--package", "sim", "--bins"])?;
    let program = built.get("sim").context("cargo built no sim")?;
    let output = Command::new(program).args(["--worlds", "500"]).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("an invariant broke: {said}");
    }
    let number = said.trim_end().strip_suffix(" worlds a second").and_then(|said| said.rsplit(' ').next());
    Ok(number.context("the worlds said nothing of their speed")?.parse()?)
}
