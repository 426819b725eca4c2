//! `sortie exclude`: leaves one target out of a deployment.

use crate::{
    failure::{OrMisused, Outcome},
    invocation::Invocation,
    output::Answer,
};
use api::{read::DeploymentView, routes};
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
        let path = routes::path(routes::DEPLOYMENT, &[&deployment.to_string()]);
        let view: DeploymentView = connection.client.get(&path, &[]).await?;
        // Each member has a deployment of its own, and those whose turn comes later have none yet.
        let later = match view.members.is_empty() {
            true => "",
            false => " Members whose turn comes later go there all the same: say it again once they are at it.",
        };
        let words = format!("{target} is left out of deployment {deployment}. What it has begun it may end.{later}");
        let act = |reason| AdministrationAct::ExcludeTarget { deployment, target, reason };
        let accepted = connection.administer_because(&self.reason, act).await?;
        Ok(Answer::new(&accepted, words).next(format!("sortie status {deployment}")))
    }
}
