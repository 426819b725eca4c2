//! `sortie undeploy`.

use crate::{commands::operate::OnWhatRuns, failure::Outcome, invocation::Invocation};
use trust::statement::OrderAct;

/// Remove an application from an environment
#[derive(Debug, clap::Args)]
pub struct Undeploy {
    #[command(flatten)]
    pub on: OnWhatRuns,
}

impl Undeploy {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        self.on.run(invocation, ("undeploy", OrderAct::Undeploy)).await
    }
}
