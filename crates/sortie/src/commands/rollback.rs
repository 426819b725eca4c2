//! `sortie rollback`: back to what last settled, by a command. Undo is what happens by itself.

use crate::{
    connection::Connection,
    failure::{Failure, OrMisused, Outcome},
    follow::Following,
    invocation::Invocation,
    names::{Place, Thing},
    order::{self, Data, Wanted, only},
    rollout::Care,
};
use api::read::{BuildName, Cell, Runs};
use domain::{
    refusal::{Instead, Refusal},
    waiting::WaitingOn,
};
use trust::{AppName, AudienceName, TargetName, statement::OrderAct};

/// Go back to what last settled, under a permit not since withdrawn
#[derive(Debug, clap::Args)]
pub struct Rollback {
    /// The application
    #[arg(value_name = "APP")]
    pub app: String,
    #[command(flatten)]
    pub place: Place,
    /// To this version rather than to the one that settled last
    #[arg(long, value_name = "VERSION")]
    pub version: Option<String>,
    /// These targets only
    #[arg(long, value_name = "TARGET", value_delimiter = ',')]
    pub only: Vec<String>,
    #[command(flatten)]
    pub data: Data,
    #[command(flatten)]
    pub care: Care,
    #[command(flatten)]
    pub following: Following,
}

impl Rollback {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let app = application(&self.app)?;
        let only = only(&self.only)?;
        let rollout = self.care.terms()?;
        let connection = invocation.connect().await?;
        let environment = connection.environment(&self.place)?;
        let status = order::status(&connection, None).await?;
        let build = match &self.version {
            Some(version) => connection.look_up(&Thing::Version(app.clone(), version.parse().or_misused()?)).await?,
            None => {
                let cell = order::cell(&status, &app, &environment);
                let goes_back = |name: &TargetName| {
                    let target = status.targets.iter().find(|target| target.name == *name);
                    let is_meant = only.is_empty() || only.contains(name);
                    is_meant && target.is_some_and(|target| !target.cordoned)
                };
                let found = cell.and_then(|cell| back(cell, goes_back));
                found.cloned().ok_or_else(|| nothing(&app, &environment, cell))?
            }
        };
        check(&connection, &app, &build).await?;
        let back_to = format!("back to {}", build.of(&app));
        let keep_data = self.data.keep_data;
        let here = order::cell(&status, &app, &environment).and_then(|cell| cell.runs_of(&build));
        if only.is_empty() && here.is_some_and(Runs::all_stand_by) {
            // It is there already, and only has to be let serve.
            let wanted = Wanted { rollout, ..Wanted::new(app, build, environment, OrderAct::Switch) };
            return self.goes(invocation, &connection, &wanted, &back_to).await;
        }
        let wanted = Wanted { only, rollout, keep_data, ..Wanted::new(app, build, environment, OrderAct::Rollback) };
        self.goes(invocation, &connection, &wanted, &back_to).await
    }

    /// Orders it. Where it goes back to is said once that is accepted, and not of what is refused.
    async fn goes(
        &self,
        invocation: &Invocation,
        connection: &Connection,
        wanted: &Wanted,
        back_to: &str,
    ) -> Outcome {
        self.following.limit()?;
        let accepted = order::submit(connection, wanted).await?;
        invocation.aside(back_to);
        order::conclude_accepted(invocation, connection, wanted, &self.following, &accepted).await
    }
}

fn application(text: &str) -> Result<AppName, Failure> {
    match Thing::parse("roll back", text)? {
        Thing::App(app) => Ok(app),
        thing => {
            let app = thing.app();
            Err(Failure::misused(format!("you roll {app} back, to what settled before {thing}"))
                .next(format!("sortie rollback {app} --in ENVIRONMENT")))
        }
    }
}

/// People of the charter pushed these very bytes, and gave them this number.
async fn check(connection: &Connection, app: &AppName, build: &BuildName) -> Result<(), Failure> {
    let thing = Thing::Build(app.clone(), build.build.hex());
    connection.find(&thing, None).await.map(|_| ())
}

/// Nothing to go back to. What is held may be what was meant, or what is under way.
fn nothing(app: &AppName, environment: &AudienceName, cell: Option<&Cell>) -> Failure {
    let under_way = |waits: &WaitingOn| match waits {
        WaitingOn::Targets { deployment, .. }
        | WaitingOn::Bake { deployment, .. }
        | WaitingOn::Word { deployment, .. }
        | WaitingOn::Members { deployment, .. }
        | WaitingOn::Window { deployment, .. }
        | WaitingOn::Freeze { deployment, .. }
        | WaitingOn::Person { deployment, .. } => Some(*deployment),
        _ => None,
    };
    if let Some(deployment) = cell.and_then(|cell| cell.waiting.iter().find_map(under_way)) {
        let (app, environment, instead) = (app.clone(), environment.clone(), Some(Instead::Abort));
        return Refusal::DeploymentUnderWay { deployment, app, environment, instead }.into();
    }
    let refusal = Refusal::NothingToRollBackTo { app: app.clone(), environment: environment.clone() };
    let failure = Failure::from(refusal);
    match cell.is_some_and(|cell| cell.settled.iter().any(|settled| cell.held.contains(settled))) {
        true => failure.next(format!("sortie hold lift {app} --in {environment}")),
        false => failure,
    }
}

/// The newest build that is not held out of those that had settled before what serves on the targets that go back: of that, the one
/// that settled last counts, and most of all what has not settled.
fn back(cell: &Cell, goes_back: impl Fn(&TargetName) -> bool) -> Option<&BuildName> {
    let serves = |runs: &&Runs| runs.on.iter().any(|name| goes_back(name) && !runs.standby.contains(name));
    let place = |runs: &Runs| cell.settled.iter().position(|settled| *settled == runs.build);
    let leaves = cell.all_runs().filter(serves).map(place).min().unwrap_or(None);
    let before = leaves.map_or(0, |place| place + 1);
    cell.settled.iter().skip(before).find(|settled| !cell.held.contains(settled))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::samples;

    #[test]
    fn back_is_to_what_had_settled_before_what_serves() {
        let status = samples::status();
        let prod = order::cell(&status, &"web".parse().unwrap(), &"prod".parse().unwrap()).unwrap();
        let all = |_: &TargetName| true;
        assert_eq!(back(prod, all).unwrap().short(), "1.3.2");
        let mut bare = prod.clone();
        bare.settled[1] = samples::build("1.5.0");
        assert_eq!(back(&bare, all), None);
        // Of several that serve, the one that settled last counts; and only where something goes back.
        let mut mixed = prod.clone();
        mixed.settled = ["1.4.0", "1.3.2", "1.3.0"].map(samples::build).into();
        let one = |version: &str, on: &str| {
            let (build, on) = (samples::build(version), vec![on.parse().unwrap()]);
            Runs { build, on, ..prod.runs[0].clone() }
        };
        mixed.runs = vec![one("1.4.0", "prod-1"), one("1.3.2", "prod-2")];
        assert_eq!(back(&mixed, all).unwrap().short(), "1.3.2");
        assert_eq!(back(&mixed, |name| name.as_str() == "prod-2").unwrap().short(), "1.3.0");
        // What has not settled is the newest of all; and what was left is no way back.
        mixed.runs = vec![one("1.9.0", "prod-1"), one("1.4.0", "prod-2")];
        assert_eq!(back(&mixed, all).unwrap().short(), "1.4.0");
        (mixed.runs, mixed.held) = (vec![one("1.3.2", "prod-1")], Vec::new());
        assert_eq!(back(&mixed, all).unwrap().short(), "1.3.0");
        // Of a package it is left from where some of it is left, and never a place to go to.
        (mixed.partly, mixed.runs) = (vec![one("1.4.0", "prod-1")], Vec::new());
        assert_eq!(back(&mixed, all).unwrap().short(), "1.3.2");
        let refused = nothing(&"web".parse().unwrap(), &"prod".parse().unwrap(), Some(&bare)).problem;
        assert_eq!((refused.exit, refused.next.as_deref()), (3, Some("sortie hold lift web --in prod")));
        let lesson = application("web@1.4.0").unwrap_err().problem;
        assert_eq!((lesson.exit, lesson.next.as_deref()), (2, Some("sortie rollback web --in ENVIRONMENT")));
    }
}
