//! `sortie redeploy`.

use crate::{failure::{Failure, Outcome}, invocation::Invocation};
use crate::follow::Following;

/// Deploy again what was superseded or has failed
#[derive(Debug, clap::Args)]
pub struct Redeploy {
    /// The version (web@1.4.0, with --to), or the number of a deployment
    #[arg(value_name = "VERSION|NUMBER")]
    pub what: String,
    /// The environment (--to, --in and --from are taken alike)
    #[arg(long = "to", visible_aliases = ["in", "from"], value_name = "ENVIRONMENT")]
    pub audience: Option<String>,
    /// These targets only
    #[arg(long, value_name = "TARGET", value_delimiter = ',')]
    pub only: Vec<String>,
    #[command(flatten)]
    pub following: Following,
}

impl Redeploy {
    /// Does it.
    pub async fn run(self, _invocation: &Invocation) -> Outcome {
        Err(Failure::failed("`sortie redeploy` is not built yet"))
    }
}
