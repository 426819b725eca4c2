//! `sortie undeploy`.

use crate::{failure::{Failure, Outcome}, invocation::Invocation};
use crate::names::Place;
use crate::follow::Following;

/// Remove an application from an environment
#[derive(Debug, clap::Args)]
pub struct Undeploy {
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

impl Undeploy {
    /// Does it.
    pub async fn run(self, _invocation: &Invocation) -> Outcome {
        Err(Failure::failed("`sortie undeploy` is not built yet"))
    }
}
