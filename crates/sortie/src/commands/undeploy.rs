//! `sortie undeploy`.

use crate::{
    commands::operate::{OnWhatRuns, Running, act_on_running, are_there},
    connection::Connection,
    failure::{Failure, Outcome},
    follow::Following,
    invocation::Invocation,
    names::Place,
    order::{self, only},
    output::Answer,
};
use api::read::{AppStatus, Cell, Status};
use domain::refusal::{Refusal, Right, exit};
use serde_json::json;
use trust::{
    AppName, AudienceName,
    charter::{Class, Environment},
    statement::OrderAct,
};

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
    if let Some(terms) = terms {
        may_deploy(&connection, &environment, terms)?;
    }
    let status = order::status(&connection, None).await?;
    are_there(&status, &environment, &only)?;
    let runs = |status: &Status, app: &AppName| {
        let mut runs = order::cell(status, app, &environment).into_iter().flat_map(Cell::all_runs);
        runs.any(|runs| only.is_empty() || runs.on.iter().any(|name| only.contains(name)))
    };
    // A package takes its members along, the last first.
    let mut running: Vec<&AppStatus> = status.apps.iter().filter(|app| runs(&status, &app.app)).collect();
    running.sort_by_key(|app| app.package.is_none());
    let apps: Vec<AppName> = running.into_iter().map(|app| app.app.clone()).collect();
    if terms.is_some_and(|terms| terms.class == Class::Live) {
        return Err(each_is_named(&environment, &apps));
    }
    let (mut ordered, mut passed_over): (Vec<&AppName>, Vec<&AppName>) = Default::default();
    let mut refused = None;
    for app in &apps {
        // What went with its package is gone.
        if !runs(&order::status(&connection, None).await?, app) {
            continue;
        }
        let running = Running { app: app.clone(), environment: environment.clone(), only: only.clone(), thing: None };
        match act_on_running(invocation, &connection, &running, OrderAct::Undeploy, following).await {
            Ok(answer) if !answer.is_good() => return Ok(answer),
            Ok(_) => ordered.push(app),
            // It went with its package since it was looked at.
            Err(failure) if failure.problem.exit == exit::DONE => {}
            // A package's order is only accepted by then, and its members are still there: they go with it.
            Err(failure) if following.detach && failure.code() == UNDER_WAY => {
                passed_over.push(app);
                refused = refused.or(Some(failure));
            }
            Err(failure) => return Err(failure),
        }
    }
    if let (true, Some(refused)) = (ordered.is_empty(), refused) {
        return Err(refused);
    }
    let place = match targets {
        [] => format!("in {environment}"),
        only => format!("on {} in {environment}", listed(only)),
    };
    if following.detach {
        let words = ordered_in_words(&place, &ordered, &passed_over);
        let data = json!({
            "environment": environment, "only": only, "removed": ordered, "not_ordered": passed_over,
        });
        return Ok(Answer::new(&data, words));
    }
    let words = match apps.is_empty() {
        true => format!("nothing runs {place}."),
        false => format!("nothing runs {place} any more: {} removed; their data stays.", listed(&apps)),
    };
    Ok(Answer::new(&json!({ "environment": environment, "only": only, "removed": apps }), words))
}

/// Whoever may not do it at all is told that, and not how it would be done.
fn may_deploy(connection: &Connection, environment: &AudienceName, terms: &Environment) -> Result<(), Failure> {
    let roles = connection.me().map(|(_, roles)| roles).unwrap_or_default();
    if terms.deploy.allows_alone(&roles) {
        return Ok(());
    }
    let roles = roles.iter().map(ToString::to_string).collect();
    let (right, place, needs) = (Right::Deploy, environment.to_string(), Some(terms.deploy.clone()));
    Err(Refusal::RoleMissing { right, place, needs, roles }.into())
}

/// The code by which an order is refused while another deployment of the same application is open.
const UNDER_WAY: &str = "DEPLOYMENT_UNDER_WAY";

fn listed(apps: &[impl ToString]) -> String {
    apps.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What was ordered `in dev` and is not waited for, and what was passed over.
fn ordered_in_words(place: &str, ordered: &[&AppName], passed_over: &[&AppName]) -> String {
    if ordered.is_empty() {
        return format!("nothing runs {place}.");
    }
    let said = format!("ordered to be removed {place}: {}; their data stays.", listed(ordered));
    match passed_over {
        [] => said,
        them => format!("{said}\nnot ordered, since a deployment of it is under way: {}", listed(them)),
    }
}

fn each_is_named(environment: &AudienceName, apps: &[AppName]) -> Failure {
    let why = format!("{environment} is of class live: what is removed there is named, one application at a time");
    let failure = Failure::new("INVALID", exit::MISUSED, why);
    match apps.first() {
        Some(app) => failure.next(format!("sortie undeploy {app} --in {environment}")),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R8: a package takes its members along, which are there still when its order is accepted.
    #[test]
    fn what_is_under_way_already_is_passed_over_and_named() {
        let dev: AudienceName = "dev".parse().unwrap();
        let [shop, web]: [AppName; 2] = ["shop", "web"].map(|name| name.parse().unwrap());
        assert_eq!(
            ordered_in_words("on d2 in dev", &[&shop], &[&web]),
            "ordered to be removed on d2 in dev: shop; their data stays.\n\
             not ordered, since a deployment of it is under way: web"
        );
        assert_eq!(ordered_in_words("in dev", &[], &[]), "nothing runs in dev.");
        let under_way =
            Refusal::DeploymentUnderWay { deployment: 1, app: shop, environment: dev, instead: None, retires: None };
        assert_eq!(Failure::from(under_way).code(), UNDER_WAY);
    }
}
