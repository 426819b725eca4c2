//! `sortie release`.

use crate::{failure::{Failure, Outcome}, invocation::Invocation};
use crate::names::Place;

/// Give an audience permission over a version, where you may do so alone. Installs nothing
#[derive(Debug, clap::Args)]
pub struct Release {
    /// The version: web@1.4.0
    #[arg(value_name = "VERSION")]
    pub what: String,
    #[command(flatten)]
    pub place: Place,
    /// Deploy it as well: two acts, two entries
    #[arg(long)]
    pub deploy: bool,
    /// The lowest version the audience may still activate once this is granted
    #[arg(long, value_name = "VERSION")]
    pub floor: Option<String>,
}

impl Release {
    /// Does it.
    pub async fn run(self, _invocation: &Invocation) -> Outcome {
        Err(Failure::failed("`sortie release` is not built yet"))
    }
}
