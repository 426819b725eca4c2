//! `sortie withdraw`.

use crate::{failure::{Failure, Outcome}, invocation::Invocation};
use crate::names::Place;

/// Take permission back, for good. Says how far that reaches
#[derive(Debug, clap::Args)]
pub struct Withdraw {
    /// The version: web@1.4.0
    #[arg(value_name = "VERSION")]
    pub what: String,
    #[command(flatten)]
    pub place: Place,
    /// Why
    #[arg(long)]
    pub reason: String,
    /// Stop what runs of it there as well, by an order of its own
    #[arg(long)]
    pub stop: bool,
}

impl Withdraw {
    /// Does it.
    pub async fn run(self, _invocation: &Invocation) -> Outcome {
        Err(Failure::failed("`sortie withdraw` is not built yet"))
    }
}
