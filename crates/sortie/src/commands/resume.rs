//! `sortie resume`: lets a deployment go on that was paused, or that waits for somebody's word between two rings.

use crate::{
    failure::Outcome,
    follow::{Following, follow},
    invocation::Invocation,
    order,
    output::Answer,
};
use api::{read::DeploymentView, routes};
use trust::statement::AdministrationAct;

/// Let a deployment go on that was paused, or that waits for somebody's word
#[derive(Debug, clap::Args)]
pub struct Resume {
    /// The deployment's number
    pub deployment: u64,
    /// Why; it stands in the history
    #[arg(long)]
    pub reason: Option<String>,
    #[command(flatten)]
    pub following: Following,
}

impl Resume {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let limit = self.following.limit()?;
        let connection = invocation.connect().await?;
        let deployment = self.deployment;
        let act = |reason| AdministrationAct::ResumeDeployment { deployment, reason };
        let accepted = connection.administer_perhaps_because(self.reason.as_deref(), act).await?;
        if self.following.detach {
            // What was paused for too long is dropped in the same moment, and may not go on for other reasons: it pauses anew
            // where what it would go on with is no better.
            let path = routes::path(routes::DEPLOYMENT, &[&deployment.to_string()]);
            let view: DeploymentView = connection.client.get(&path, &[]).await?;
            if view.ending.is_some() || view.failure.is_some() {
                return order::conclude(&connection, &view).await;
            }
            let words = format!("deployment {deployment} goes on.");
            return Ok(Answer::new(&accepted, words).next(format!("sortie status {deployment}")));
        }
        let view = follow(invocation, &connection, deployment, limit).await?;
        order::conclude(&connection, &view).await
    }
}
