//! The recipes of this repository: `cargo xtask` lists them.
//!
//! - [`demo`]: the main job, live, with separate processes
//! - [`checks`]: everything that must hold before a change is taken
//! - [`clients`]: other people's programs that check what is published
//! - [`conformance`]: the public conformance suite of TUF, from a checkout
//! - [`requirements`]: which test shows which requirement
//! - [`docs`]: the generated pages, and whether they have drifted
//! - [`attacks`]: the table of attacks in docs/SECURITY.md
//! - [`fuzz`]: every parser of untrusted bytes, fed for a while
//! - [`bench`]: the measurements
//! - [`sim`]: worlds in seeds
//! - [`upgrade`]: from an earlier commit, under deployments

mod arrows;
mod attacks;
mod bench;
mod cargo;
mod checks;
mod clients;
mod conformance;
mod demo;
mod docs;
mod fuzz;
mod processes;
mod requirements;
mod sim;
mod upgrade;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// The recipes of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", arg_required_else_help = true, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    recipe: Recipe,
}

#[derive(Subcommand)]
enum Recipe {
    /// Build everything and perform the main job live: from a build to a verified deployment nobody could have forced
    Demo(demo::Options),
    /// Install what the tests need from Debian, then run every check and every test
    Test,
    /// The checks without the tests: format, lints, arrows between crates, generated pages, licences and advisories
    Check,
    /// Install the clients of other people (python-tuf, tuf-js, in-toto) that tests run on what Sortie publishes
    Clients,
    /// Run the public conformance suite of TUF on the agent's own client, from a checkout you have
    Conformance(conformance::Options),
    /// List every requirement with the tests that quote it, and those that no test quotes
    Requirements,
    /// Write the generated pages in docs/, or with --check say which have drifted
    Docs(docs::Options),
    /// Feed every parser of untrusted bytes with what cargo-fuzz comes up with
    Fuzz(fuzz::Options),
    /// Measure what the product should reach, as a table and JSON
    Bench(bench::Options),
    /// Run simulated worlds, each from its seed; one that breaks an invariant tells how
    Sim(sim::Options),
    /// Upgrade server and agents from an earlier commit while deployments are under way
    Upgrade(upgrade::Options),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().recipe {
        Recipe::Demo(options) => demo::run(&options),
        Recipe::Test => checks::test(),
        Recipe::Check => checks::check(),
        Recipe::Clients => clients::install(),
        Recipe::Conformance(options) => conformance::run(&options),
        Recipe::Requirements => requirements::run(),
        Recipe::Docs(options) => docs::run(&options),
        Recipe::Fuzz(options) => fuzz::run(&options),
        Recipe::Bench(options) => bench::run(&options),
        Recipe::Sim(options) => sim::run(&options),
        Recipe::Upgrade(options) => upgrade::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}
