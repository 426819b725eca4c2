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
use api::{
    read::{BuildName, Runs, WayBack},
    routes,
};
use std::collections::BTreeSet;
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
        let build = match &self.version {
            Some(version) => connection.look_up(&Thing::Version(app.clone(), version.parse().or_misused()?)).await?,
            None => back(&connection, &app, &environment, &only).await?,
        };
        check(&connection, &app, &build).await?;
        let back_to = format!("back to {}", build.of(&app));
        let keep_data = self.data.keep_data;
        let status = order::status(&connection, None).await?;
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
    async fn goes(&self, invocation: &Invocation, connection: &Connection, wanted: &Wanted, back_to: &str) -> Outcome {
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

/// Where it goes back to by itself: the server says, by the rule of the domain, and whoever types it looks at what was said.
async fn back(
    connection: &Connection,
    app: &AppName,
    environment: &AudienceName,
    only: &BTreeSet<TargetName>,
) -> Result<BuildName, Failure> {
    let only = only.iter().map(TargetName::as_str).collect::<Vec<_>>().join(",");
    let mut query = vec![("app", app.as_str()), ("environment", environment.as_str())];
    query.extend((!only.is_empty()).then_some(("only", only.as_str())));
    let back: WayBack = connection.client.get(routes::ROLLBACK, &query).await?;
    Ok(back.to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_rolled_back_is_an_application() {
        let lesson = application("web@1.4.0").unwrap_err().problem;
        assert_eq!((lesson.exit, lesson.next.as_deref()), (2, Some("sortie rollback web --in ENVIRONMENT")));
    }
}
