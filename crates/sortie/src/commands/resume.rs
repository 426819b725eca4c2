//! `sortie resume`: lets a deployment go on that was paused, or that waits for somebody's word between two rings.

use crate::{
    failure::{Failure, Outcome},
    follow::{Following, follow, is_at_it},
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
        let path = routes::path(routes::DEPLOYMENT, &[&deployment.to_string()]);
        // The word is recorded: that nobody can look on now does not take it back.
        let view: DeploymentView = match connection.client.get(&path, &[]).await {
            Ok(view) => view,
            Err(error) if self.following.detach => {
                let why = Failure::from(error).problem.message;
                let words = format!("deployment {deployment} was told to go on; how it is cannot be seen now: {why}");
                return Ok(Answer::new(&accepted, words).next(format!("sortie status {deployment}")));
            }
            Err(_) => {
                let view = follow(invocation, &connection, deployment, limit).await?;
                return order::conclude(&connection, &view).await;
            }
        };
        // What was paused for too long is dropped in the same moment, and may not go on for other reasons: it pauses anew where what
        // it would go on with is no better.
        let is_over = view.ending.is_some() || view.failure.is_some();
        // What stands may do so for days, and needs nobody who looks on.
        let stands = view.stands && !view.targets.iter().any(is_at_it) && self.following.wait.is_none();
        if !is_over && (self.following.detach || stands) {
            let words = goes_on(&view);
            return Ok(Answer::new(&accepted, words).next(format!("sortie status {deployment}")));
        }
        if is_over && self.following.detach {
            return order::conclude(&connection, &view).await;
        }
        let view = follow(invocation, &connection, deployment, limit).await?;
        order::conclude(&connection, &view).await
    }
}

/// What was said for it, and what it still waits for where nothing is being done.
fn goes_on(view: &DeploymentView) -> String {
    let number = view.deployment;
    // What is to begin once another has ended stands as well as what waits for its time.
    let another = format!("deployment {number} waits for deployment ");
    let stands = view.stands || view.waits.as_deref().is_some_and(|waits| waits.starts_with(&another));
    match view.waits.as_ref().filter(|_| stands) {
        Some(waits) => {
            let itself = format!("deployment {number} ");
            let waits = waits.strip_prefix(&itself).map_or_else(|| waits.clone(), |waits| format!("it {waits}"));
            format!("deployment {number} is not paused any more, and goes on by itself: {waits}.")
        }
        None => format!("deployment {number} goes on."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::samples::deployment;

    #[test]
    fn what_stands_says_what_it_waits_for() {
        let mut view = deployment(&[("prod-1", "waiting")]);
        view.waits = Some("deployment 41 waits for its time, 2027-01-04T06:00:00Z".into());
        assert_eq!(goes_on(&view), "deployment 41 goes on.");
        view.stands = true;
        assert_eq!(
            goes_on(&view),
            "deployment 41 is not paused any more, and goes on by itself: it waits for its time, \
             2027-01-04T06:00:00Z."
        );
        view.stands = false;
        view.waits = Some("deployment 41 waits for deployment 40 to end".into());
        assert_eq!(
            goes_on(&view),
            "deployment 41 is not paused any more, and goes on by itself: it waits for deployment 40 to end."
        );
    }
}
