//! `sortie conceal`.

use crate::{failure::{Failure, Outcome}, invocation::Invocation};
use crate::names::Place;

/// Keep end users from a version; it goes on running
#[derive(Debug, clap::Args)]
pub struct Conceal {
    /// The version: web@1.4.0
    #[arg(value_name = "VERSION")]
    pub what: String,
    #[command(flatten)]
    pub place: Place,
}

impl Conceal {
    /// Does it.
    pub async fn run(self, _invocation: &Invocation) -> Outcome {
        Err(Failure::failed("`sortie conceal` is not built yet"))
    }
}
