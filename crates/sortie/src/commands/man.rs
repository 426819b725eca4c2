//! `sortie man`.

use crate::{failure::{Failure, Outcome}, invocation::Invocation};
use std::path::PathBuf;

/// Write the manual pages
#[derive(Debug, clap::Args)]
pub struct Man {
    /// Where to
    #[arg(default_value = ".")]
    pub folder: PathBuf,
}

impl Man {
    /// Does it.
    pub async fn run(self, _invocation: &Invocation) -> Outcome {
        Err(Failure::failed("`sortie man` is not built yet"))
    }
}
