//! `sortie restart`.

use crate::{failure::{Failure, Outcome}, invocation::Invocation};
use crate::names::Place;
use crate::follow::Following;

/// Stop and start what runs
#[derive(Debug, clap::Args)]
pub struct Restart {
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

impl Restart {
    /// Does it.
    pub async fn run(self, _invocation: &Invocation) -> Outcome {
        Err(Failure::failed("`sortie restart` is not built yet"))
    }
}
