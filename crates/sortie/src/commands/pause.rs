//! `sortie pause`: lets no further target of a deployment begin.

use crate::{failure::Outcome, invocation::Invocation, output::Answer};
use trust::statement::AdministrationAct;

/// Let no further target of a deployment begin, until somebody lets it go on
#[derive(Debug, clap::Args)]
pub struct Pause {
    /// The deployment's number
    pub deployment: u64,
    /// Why; it stands in the history
    #[arg(long)]
    pub reason: String,
}

impl Pause {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let connection = invocation.connect().await?;
        let deployment = self.deployment;
        let act = |reason| AdministrationAct::PauseDeployment { deployment, reason };
        let accepted = connection.administer_because(&self.reason, act).await?;
        let words = format!("deployment {deployment} is paused. Targets that are at it finish; no other begins.");
        Ok(Answer::new(&accepted, words).next(format!("sortie resume {deployment}")))
    }
}
