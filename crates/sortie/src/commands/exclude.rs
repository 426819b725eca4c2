//! `sortie exclude`: leaves one target out of a deployment.

use crate::{
    failure::{OrMisused, Outcome},
    invocation::Invocation,
    output::Answer,
};
use trust::{TargetName, statement::AdministrationAct};

/// Leave one target out of a deployment under way: nobody waits for it, and it is no failure
#[derive(Debug, clap::Args)]
pub struct Exclude {
    /// The deployment's number
    pub deployment: u64,
    /// The target
    pub target: String,
    /// Why; it stands in the history
    #[arg(long)]
    pub reason: String,
}

impl Exclude {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let target = TargetName::new(&self.target).or_misused()?;
        let connection = invocation.connect().await?;
        let deployment = self.deployment;
        let words = format!("{target} is left out of deployment {deployment}. What it has begun it may end.");
        let act = |reason| AdministrationAct::ExcludeTarget { deployment, target, reason };
        let accepted = connection.administer_because(&self.reason, act).await?;
        Ok(Answer::new(&accepted, words).next(format!("sortie status {deployment}")))
    }
}
