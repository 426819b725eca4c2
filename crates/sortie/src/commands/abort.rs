//! `sortie abort`.

use crate::{failure::{Failure, Outcome}, invocation::Invocation};
use crate::follow::Following;

/// End an unfinished deployment; targets that had switched go back
#[derive(Debug, clap::Args)]
pub struct Abort {
    /// The deployment's number
    pub deployment: u64,
    #[command(flatten)]
    pub following: Following,
}

impl Abort {
    /// Does it.
    pub async fn run(self, _invocation: &Invocation) -> Outcome {
        Err(Failure::failed("`sortie abort` is not built yet"))
    }
}
