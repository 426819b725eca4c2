//! `sortie logout`.

use crate::{failure::{Failure, Outcome}, invocation::Invocation};

/// Forget a context and what was verified in it
#[derive(Debug, clap::Args)]
pub struct Logout {
    /// Which; the current one by default
    pub name: Option<String>,
}

impl Logout {
    /// Does it.
    pub async fn run(self, _invocation: &Invocation) -> Outcome {
        Err(Failure::failed("`sortie logout` is not built yet"))
    }
}
