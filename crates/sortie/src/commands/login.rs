//! `sortie login`.

use crate::{failure::{Failure, Outcome}, invocation::Invocation};

/// Get to know a server by its address and the pin of its key, and save it as a context
#[derive(Debug, clap::Args)]
pub struct Login {
    /// As `sortie serve` prints it
    #[arg(value_name = "URL#PIN")]
    pub server: String,
    /// The one-time claim of a server without an estate
    #[arg(long)]
    pub claim: Option<String>,
    /// The context's name (the organisation's, or the host's, by default)
    #[arg(long)]
    pub name: Option<String>,
}

impl Login {
    /// Does it.
    pub async fn run(self, _invocation: &Invocation) -> Outcome {
        Err(Failure::failed("`sortie login` is not built yet"))
    }
}
