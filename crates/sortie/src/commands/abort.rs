//! `sortie abort`: ends an unfinished deployment.

use crate::{
    failure::Outcome,
    follow::{Following, follow, runs_in_words},
    invocation::Invocation,
    order,
    output::Answer,
};
use trust::statement::AdministrationAct;

/// End an unfinished deployment; targets that had activated it go back
#[derive(Debug, clap::Args)]
pub struct Abort {
    /// The deployment's number
    pub deployment: u64,
    /// Why; it stands in the history
    #[arg(long)]
    pub reason: Option<String>,
    #[command(flatten)]
    pub following: Following,
}

impl Abort {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let limit = self.following.limit()?;
        let connection = invocation.connect().await?;
        let deployment = self.deployment;
        let act = |reason| AdministrationAct::AbortDeployment { deployment, reason };
        let accepted = connection.administer_perhaps_because(self.reason.as_deref(), act).await?;
        if self.following.detach {
            let words =
                format!("deployment {} is being ended; targets that had activated it go back.", self.deployment);
            return Ok(Answer::new(&accepted, words).next(format!("sortie status {}", self.deployment)));
        }
        let view = follow(invocation, &connection, self.deployment, limit).await?;
        let status = order::status(&connection, None).await?;
        let runs = order::cell(&status, &view.app, &view.environment).map(|cell| {
            let runs: Vec<_> = cell.runs.iter().map(|runs| (runs.build.clone(), runs.on.len())).collect();
            runs_in_words(&runs, cell.targets)
        });
        let runs = runs.unwrap_or_else(|| "nothing".into());
        let words = format!("deployment {} is over; {} runs {runs}.", view.deployment, view.environment);
        Ok(Answer::new(&view, words).next(format!("sortie status {} --in {}", view.app, view.environment)))
    }
}
