//! `sortie approve`.

use crate::{failure::{Failure, Outcome}, invocation::Invocation};
use crate::names::Place;

/// Agree to a release, after this machine has checked what is to be signed
#[derive(Debug, clap::Args)]
pub struct Approve {
    /// The version: web@1.4.0
    #[arg(value_name = "VERSION")]
    pub what: String,
    #[command(flatten)]
    pub place: Place,
    /// Sign without asking
    #[arg(short, long)]
    pub yes: bool,
}

impl Approve {
    /// Does it.
    pub async fn run(self, _invocation: &Invocation) -> Outcome {
        Err(Failure::failed("`sortie approve` is not built yet"))
    }
}
