//! `sortie start`.

use crate::{commands::operate::OnWhatRuns, failure::Outcome, invocation::Invocation};
use trust::statement::OrderAct;

/// Start what was stopped
#[derive(Debug, clap::Args)]
pub struct Start {
    #[command(flatten)]
    pub on: OnWhatRuns,
}

impl Start {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        self.on.run(invocation, ("start", OrderAct::Start)).await
    }
}
