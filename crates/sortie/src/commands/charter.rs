//! `sortie charter`.

use crate::{failure::{Failure, Outcome}, invocation::Invocation};
use std::path::PathBuf;

/// The signed policy: people, roles, audiences and who must agree
#[derive(Debug, clap::Args)]
pub struct Charter {
    #[command(subcommand)]
    pub act: CharterAct,
}

/// What is to be done.
#[derive(Debug, clap::Subcommand)]
pub enum CharterAct {
    /// Write a first charter.toml, with you as the owner
    Init {
        /// The organisation's name
        #[arg(long)]
        organisation: Option<String>,
        /// Your name in the charter
        #[arg(long)]
        name: Option<String>,
        /// Where to
        #[arg(long, default_value = "charter.toml")]
        file: PathBuf,
    },
    /// Say what a changed charter.toml would tighten and loosen
    Plan {
        /// The file
        #[arg(default_value = "charter.toml")]
        file: PathBuf,
    },
    /// Sign a charter.toml and put it in force
    Apply {
        /// The file
        #[arg(default_value = "charter.toml")]
        file: PathBuf,
        /// The one-time claim of a server without an estate
        #[arg(long)]
        claim: Option<String>,
        /// Sign, and write the signatures to this file instead of applying
        #[arg(long, value_name = "FILE")]
        sign_only: Option<PathBuf>,
        /// Files with other owners' signatures
        #[arg(long, value_name = "FILE", num_args = 1..)]
        with: Vec<PathBuf>,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Print the charter in force
    Show {},
}

impl Charter {
    /// Does it.
    pub async fn run(self, _invocation: &Invocation) -> Outcome {
        Err(Failure::failed("`sortie charter` is not built yet"))
    }
}
