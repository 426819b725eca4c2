//! `sortie abort`: ends an unfinished deployment.

use crate::{
    failure::{Failure, Outcome},
    follow::{Following, follow, runs_in_words},
    invocation::Invocation,
    order,
    output::Answer,
};
use api::read::{Cell, DeploymentView};
use domain::event::Ending;
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
        let accepted = match connection.administer_perhaps_because(self.reason.as_deref(), act).await {
            Err(failure) if failure.code() == "DEPLOYMENT_OVER" => {
                return Err(match order::deployment(&connection, deployment).await {
                    Ok(view) => over(failure, &view),
                    Err(_) => failure,
                });
            }
            accepted => accepted?,
        };
        if self.following.detach {
            let words = format!("deployment {} is being ended; what it brought goes back.", self.deployment);
            return Ok(Answer::new(&accepted, words).next(format!("sortie status {}", self.deployment)));
        }
        let view = follow(invocation, &connection, self.deployment, limit).await?;
        let status = order::status(&connection, None).await?;
        let cell = order::cell(&status, &view.app, &view.environment);
        // Somebody could not go back.
        if view.ending == Some(Ending::Failed) {
            return Ok(order::ended_badly(&view, cell));
        }
        let words = in_words(&view, cell);
        Ok(Answer::new(&view, words).next(format!("sortie status {} --in {}", view.app, view.environment)))
    }
}

/// What is over and brought something is taken back by a rollback.
fn over(failure: Failure, view: &DeploymentView) -> Failure {
    match view.ending == Some(Ending::Succeeded) && view.act.deploys() {
        true => failure.next(format!("sortie rollback {} --in {}", view.app, view.environment)),
        false => failure,
    }
}

/// That it is over, and what of the application runs there. Other applications may run beside it.
fn in_words(view: &DeploymentView, cell: Option<&Cell>) -> String {
    let (app, environment) = (&view.app, &view.environment);
    let runs = match cell.filter(|cell| !cell.runs.is_empty()) {
        Some(cell) => {
            let runs: Vec<_> = cell.runs.iter().map(|runs| (runs.build.clone(), runs.on.len())).collect();
            format!("{app} {}", runs_in_words(&runs, cell.targets))
        }
        None => format!("nothing of {app}"),
    };
    let remains: String = view.remains.iter().map(|remains| format!("\nmind: {remains}.")).collect();
    format!("deployment {} is over; {environment} runs {runs}.{remains}", view.deployment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::samples;

    #[test]
    fn what_runs_is_said_of_the_application_alone() {
        let view = samples::deployment(&[("prod-1", "undone")]);
        let status = samples::status();
        let cell = order::cell(&status, &view.app, &view.environment);
        assert_eq!(in_words(&view, cell), "deployment 41 is over; prod runs web 1.4.0 on 3/3.");
        assert_eq!(in_words(&view, None), "deployment 41 is over; prod runs nothing of web.");
        let mut view = view;
        view.remains = vec!["the data stays as web@1.4.0 changed it, which has no undo".into()];
        assert!(in_words(&view, None).ends_with("\nmind: the data stays as web@1.4.0 changed it, which has no undo."));
    }

    #[test]
    fn what_is_over_and_stands_is_taken_back_by_a_rollback() {
        let mut view = samples::deployment(&[("prod-1", "verified")]);
        let next = |view: &DeploymentView| over(Failure::misused("deployment 41 is over"), view).problem.next;
        assert_eq!(next(&view), None);
        view.ending = Some(Ending::Succeeded);
        assert_eq!(next(&view).as_deref(), Some("sortie rollback web --in prod"));
    }
}
