//! `sortie push`.

use crate::{failure::{Failure, Outcome}, invocation::Invocation};
use std::path::PathBuf;

/// Send a build: a folder, a file or an archive, with the commit it came from. Prints its name
#[derive(Debug, clap::Args)]
pub struct Push {
    /// What to send; the `files` of sortie.toml by default
    #[arg(value_name = "DIR|FILE|ARCHIVE")]
    pub source: Option<PathBuf>,
    /// The application, where several sortie.toml are near or there is none
    #[arg(long)]
    pub app: Option<String>,
    /// Print the build's name and nothing else
    #[arg(short, long)]
    pub quiet: bool,
}

impl Push {
    /// Does it.
    pub async fn run(self, _invocation: &Invocation) -> Outcome {
        Err(Failure::failed("`sortie push` is not built yet"))
    }
}
