//! `sortie deny`.

use crate::{failure::{Failure, Outcome}, invocation::Invocation};
use crate::names::Place;

/// Turn a request down that is not granted yet
#[derive(Debug, clap::Args)]
pub struct Deny {
    /// The version: web@1.4.0
    #[arg(value_name = "VERSION")]
    pub what: String,
    #[command(flatten)]
    pub place: Place,
    /// Why
    #[arg(long)]
    pub reason: Option<String>,
}

impl Deny {
    /// Does it.
    pub async fn run(self, _invocation: &Invocation) -> Outcome {
        Err(Failure::failed("`sortie deny` is not built yet"))
    }
}
