//! `sortie serve`.

use crate::{
    failure::{Failure, Outcome},
    invocation::Invocation,
};
use std::path::PathBuf;

/// Run the server
#[derive(Debug, clap::Args)]
pub struct Serve {
    /// The data folder
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The address to listen on
    #[arg(long, default_value = "127.0.0.1:7440", value_name = "ADDRESS")]
    pub listen: String,
    /// A server with agents dev-1, test-1 and prod-1 on this machine, for trying things out
    #[arg(long)]
    pub dev: bool,
}

impl Serve {
    /// Does it.
    pub async fn run(self, _invocation: &Invocation) -> Outcome {
        Err(Failure::failed("`sortie serve` is not built yet"))
    }
}
