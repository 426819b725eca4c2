//! `sortie rollback`.

use crate::{failure::{Failure, Outcome}, invocation::Invocation};
use crate::names::Place;
use crate::follow::Following;

/// Go back to what last settled, under a permit not since withdrawn
#[derive(Debug, clap::Args)]
pub struct Rollback {
    /// The application
    #[arg(value_name = "APP")]
    pub app: String,
    #[command(flatten)]
    pub place: Place,
    /// These targets only
    #[arg(long, value_name = "TARGET", value_delimiter = ',')]
    pub only: Vec<String>,
    #[command(flatten)]
    pub following: Following,
}

impl Rollback {
    /// Does it.
    pub async fn run(self, _invocation: &Invocation) -> Outcome {
        Err(Failure::failed("`sortie rollback` is not built yet"))
    }
}
