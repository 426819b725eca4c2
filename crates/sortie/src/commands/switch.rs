//! `sortie switch`: what stands by on one side of an environment serves, and what serves stands by.

use crate::{
    failure::{Failure, Outcome},
    follow::Following,
    invocation::Invocation,
    names::{Place, Thing},
    order::{self, Wanted},
};
use api::read::{BuildName, Runs};
use domain::refusal::Refusal;
use trust::{AudienceName, statement::OrderAct};

/// Let what stands by on the other side of an environment serve
#[derive(Debug, clap::Args)]
pub struct Switch {
    /// The application; web@1.4.0 where it must be this version and no other
    #[arg(value_name = "APP")]
    pub app: String,
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub following: Following,
}

impl Switch {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let thing = Thing::parse("switch to", &self.app)?;
        let connection = invocation.connect().await?;
        let environment = connection.environment(&self.place)?;
        let charter = connection.charter_environment(&environment);
        if charter.is_some_and(|charter| charter.sides.is_none()) {
            let why = format!(
                "{environment} has no sides to switch between: where it has, the charter says sides = \"LABEL\""
            );
            return Err(Failure::misused(why).next("sortie charter show"));
        }
        let app = thing.app().clone();
        let build = match &thing {
            Thing::App(_) => {
                let status = order::status(&connection, None).await?;
                let runs = order::cell(&status, &app, &environment).map(|cell| &cell.runs[..]).unwrap_or_default();
                only_one(runs, |build| build.of(&app), &environment)?.cloned().ok_or_else(|| {
                    let (app, environment) = (app.clone(), environment.clone());
                    Failure::from(Refusal::NothingRuns { app, environment, act: OrderAct::Switch, instead: None })
                })?
            }
            named => connection.look_up(named).await?,
        };
        let wanted = Wanted::new(app, build, environment, OrderAct::Switch);
        order::order(invocation, &connection, &wanted, &self.following).await
    }
}

/// The one build that stands by, if one does.
fn only_one<'a>(
    runs: &'a [Runs],
    name: impl Fn(&BuildName) -> String,
    environment: &AudienceName,
) -> Result<Option<&'a BuildName>, Failure> {
    let standing: Vec<&BuildName> =
        runs.iter().filter(|runs| !runs.standby.is_empty() && !runs.stopped).map(|runs| &runs.build).collect();
    match standing[..] {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        [one, ..] => {
            let names: Vec<String> = standing.iter().map(|build| name(build)).collect();
            Err(Failure::misused(format!("{} stand by: say which is to serve", names.join(" and ")))
                .next(format!("sortie switch {} --in {environment}", name(one))))
        }
    }
}
