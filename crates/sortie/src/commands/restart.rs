//! `sortie restart`.

use crate::{commands::operate::OnWhatRuns, failure::Outcome, invocation::Invocation};
use trust::statement::OrderAct;

/// Stop and start what runs
#[derive(Debug, clap::Args)]
pub struct Restart {
    #[command(flatten)]
    pub on: OnWhatRuns,
}

impl Restart {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        self.on.run(invocation, ("restart", OrderAct::Restart)).await
    }
}
