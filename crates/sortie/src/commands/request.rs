//! `sortie request`.

use crate::{failure::{Failure, Outcome}, invocation::Invocation};
use crate::names::Place;

/// Ask that a version be released to an audience
#[derive(Debug, clap::Args)]
pub struct Request {
    /// The version: web@1.4.0
    #[arg(value_name = "VERSION")]
    pub what: String,
    #[command(flatten)]
    pub place: Place,
    /// Wait until it is granted or denied, this long
    #[arg(long, value_name = "DURATION")]
    pub wait: Option<String>,
    /// The lowest version the audience may still activate once this is granted
    #[arg(long, value_name = "VERSION")]
    pub floor: Option<String>,
}

impl Request {
    /// Does it.
    pub async fn run(self, _invocation: &Invocation) -> Outcome {
        Err(Failure::failed("`sortie request` is not built yet"))
    }
}
