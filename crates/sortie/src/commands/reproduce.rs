//! `sortie reproduce`.

use crate::{failure::{Failure, Outcome}, invocation::Invocation};

/// Build a version again from its commit by its recipe, and compare every byte
#[derive(Debug, clap::Args)]
pub struct Reproduce {
    /// The version or build: web@1.4.0, web#3fa9c1
    #[arg(value_name = "WHAT")]
    pub what: String,
}

impl Reproduce {
    /// Does it.
    pub async fn run(self, _invocation: &Invocation) -> Outcome {
        Err(Failure::failed("`sortie reproduce` is not built yet"))
    }
}
