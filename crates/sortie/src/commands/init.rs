//! `sortie init`.

use crate::{failure::{Failure, Outcome}, invocation::Invocation};
use std::path::PathBuf;

/// Write a first sortie.toml for the program in this folder, guessing what can be guessed
#[derive(Debug, clap::Args)]
pub struct Init {
    /// The folder
    #[arg(default_value = ".")]
    pub folder: PathBuf,
    /// The application's name (the folder's by default)
    #[arg(long)]
    pub app: Option<String>,
}

impl Init {
    /// Does it.
    pub async fn run(self, _invocation: &Invocation) -> Outcome {
        Err(Failure::failed("`sortie init` is not built yet"))
    }
}
