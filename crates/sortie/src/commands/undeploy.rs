//! `sortie undeploy`.

use crate::{
    commands::operate::{OnWhatRuns, Running, act_on_running},
    failure::{Failure, Outcome},
    follow::Following,
    invocation::Invocation,
    names::Place,
    order::{self, only},
    output::Answer,
};
use api::read::{AppStatus, Status};
use domain::refusal::{Refusal, Right, exit};
use serde_json::json;
use trust::{AppName, AudienceName, charter::Class, statement::OrderAct};

/// Remove an application from an environment, or all of them
#[derive(Debug, clap::Args)]
pub struct Undeploy {
    /// The application; web@1.4.0 where several versions run and one is meant
    #[arg(value_name = "APP", required_unless_present = "all", conflicts_with = "all")]
    pub app: Option<String>,
    /// Every application that runs there, by an order each. Not in a live environment, where each must be named
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub place: Place,
    /// These targets only
    #[arg(long, value_name = "TARGET", value_delimiter = ',')]
    pub only: Vec<String>,
    #[command(flatten)]
    pub following: Following,
}

impl Undeploy {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let Self { app, all: _, place, only, following } = self;
        match app {
            Some(app) => {
                let on = OnWhatRuns { app, place, only, following };
                on.run(invocation, ("undeploy", OrderAct::Undeploy)).await
            }
            None => all(invocation, &place, &only, &following).await,
        }
    }
}

/// Gives an order for each application that runs there, one after the other, and stops at the first that does not succeed.
async fn all(invocation: &Invocation, place: &Place, targets: &[String], following: &Following) -> Outcome {
    let only = only(targets)?;
    following.limit()?;
    let connection = invocation.connect().await?;
    let environment = connection.environment(place)?;
    let terms = connection.charter_environment(&environment);
    // Whoever may not do it at all is told that, and not how it would be done.
    if let Some(terms) = terms {
        let roles = connection.me().map(|(_, roles)| roles).unwrap_or_default();
        if !terms.deploy.allows_alone(&roles) {
            let roles = roles.iter().map(ToString::to_string).collect();
            let (right, place, needs) = (Right::Deploy, environment.to_string(), Some(terms.deploy.clone()));
            return Err(Refusal::RoleMissing { right, place, needs, roles }.into());
        }
    }
    let status = order::status(&connection, None).await?;
    let runs = |status: &Status, app: &AppName| {
        let mut runs = order::cell(status, app, &environment).into_iter().flat_map(|cell| &cell.runs);
        runs.any(|runs| only.is_empty() || runs.on.iter().any(|name| only.contains(name)))
    };
    // A package takes its members along, the last first.
    let mut running: Vec<&AppStatus> = status.apps.iter().filter(|app| runs(&status, &app.app)).collect();
    running.sort_by_key(|app| app.package.is_none());
    let apps: Vec<AppName> = running.into_iter().map(|app| app.app.clone()).collect();
    if terms.is_some_and(|terms| terms.class == Class::Live) {
        return Err(each_is_named(&environment, &apps));
    }
    for app in &apps {
        // What went with its package is gone.
        if !runs(&order::status(&connection, None).await?, app) {
            continue;
        }
        let running = Running { app: app.clone(), environment: environment.clone(), only: only.clone(), thing: None };
        let answer = act_on_running(invocation, &connection, &running, OrderAct::Undeploy, following).await?;
        if !answer.is_good() {
            return Ok(answer);
        }
    }
    let names: Vec<String> = apps.iter().map(ToString::to_string).collect();
    let words = match (names.is_empty(), following.detach) {
        (true, _) => format!("nothing runs in {environment}."),
        (false, true) => format!("{} are ordered to be removed from {environment}; their data stays.", names.join(", ")),
        (false, false) => format!("{environment} runs nothing any more: {} removed; their data stays.", names.join(", ")),
    };
    Ok(Answer::new(&json!({ "environment": environment, "removed": apps }), words))
}

fn each_is_named(environment: &AudienceName, apps: &[AppName]) -> Failure {
    let why = format!("{environment} is of class live: what is removed there is named, one application at a time");
    let failure = Failure::new("INVALID", exit::MISUSED, why);
    match apps.first() {
        Some(app) => failure.next(format!("sortie undeploy {app} --in {environment}")),
        None => failure,
    }
}
