//! `sortie stop`.

use crate::{commands::operate::OnWhatRuns, failure::Outcome, invocation::Invocation};
use trust::statement::OrderAct;

/// Stop what runs
#[derive(Debug, clap::Args)]
pub struct Stop {
    #[command(flatten)]
    pub on: OnWhatRuns,
}

impl Stop {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        self.on.run(invocation, ("stop", OrderAct::Stop)).await
    }
}
