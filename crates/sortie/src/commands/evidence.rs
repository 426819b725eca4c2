//! `sortie evidence`.

use crate::{
    failure::{Failure, Outcome},
    invocation::Invocation,
};
use std::path::PathBuf;

/// Attach signed evidence to a build: test results, a scan, a bill of materials
#[derive(Debug, clap::Args)]
pub struct Evidence {
    #[command(subcommand)]
    pub act: EvidenceAct,
}

/// What is to be done.
#[derive(Debug, clap::Subcommand)]
pub enum EvidenceAct {
    /// Attach a document to a build
    Attach {
        /// The version or build: web@1.4.0, web#3fa9c1
        what: String,
        /// Its type: test-result, scan, sbom, provenance or a word of your own
        #[arg(long = "type", value_name = "TYPE")]
        kind: String,
        /// The document; counts are read from JUnit XML
        #[arg(long)]
        file: PathBuf,
        /// It says that all is well
        #[arg(long, conflicts_with = "failed")]
        passed: bool,
        /// It says that something is wrong
        #[arg(long)]
        failed: bool,
        /// What it says, in a line
        #[arg(long)]
        summary: Option<String>,
    },
}

impl Evidence {
    /// Does it.
    pub async fn run(self, _invocation: &Invocation) -> Outcome {
        Err(Failure::failed("`sortie evidence` is not built yet"))
    }
}
