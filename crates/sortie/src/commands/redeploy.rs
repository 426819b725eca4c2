//! `sortie redeploy`: a new deployment of a superseded version, or of what an earlier deployment brought.

use crate::{
    failure::{Failure, OrMisused, Outcome},
    follow::Following,
    invocation::Invocation,
    names::{self, Thing},
    order::{self, Data, Wanted, only},
    rollout::Care,
    when::When,
};
use api::{
    read::{BuildName, DeploymentView},
    routes,
};
use jiff::Timestamp;
use std::collections::BTreeSet;
use trust::{TargetName, statement::OrderAct};

/// Deploy again what was superseded or has failed
#[derive(Debug, clap::Args)]
pub struct Redeploy {
    /// The version (web@1.4.0, with --to), or the number of a deployment
    #[arg(value_name = "VERSION|NUMBER")]
    pub what: String,
    /// The environment (--to, --in and --from are taken alike)
    #[arg(long = "to", visible_aliases = ["in", "from"], value_name = "ENVIRONMENT")]
    pub audience: Option<String>,
    /// These targets only
    #[arg(long, value_name = "TARGET", value_delimiter = ',')]
    pub only: Vec<String>,
    #[command(flatten)]
    pub data: Data,
    #[command(flatten)]
    pub care: Care,
    #[command(flatten)]
    pub when: When,
    #[command(flatten)]
    pub following: Following,
}

impl Redeploy {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let only = only(&self.only)?;
        let rollout = self.care.terms()?;
        let again = read(&self.what, self.audience.as_deref())?;
        let connection = invocation.connect().await?;
        let (thing, place, only) = match again {
            Again::Version(thing, place) => (thing, place, only),
            Again::Deployment(number, place) => {
                let path = routes::path(routes::DEPLOYMENT, &[&number.to_string()]);
                let view: DeploymentView = connection.client.get(&path, &[]).await?;
                if !view.act.installs() {
                    return Err(brought_nothing(&view));
                }
                let place = place.unwrap_or_else(|| view.environment.to_string());
                let only = if only.is_empty() { part_of(&view, &place) } else { only };
                (Thing::Build(view.app.clone(), view.build.build.hex()), place, only)
            }
        };
        let environment = connection.environment(&names::Place { audience: place })?;
        let (found, _) = connection.find(&thing, Some(&environment)).await?;
        let build = BuildName { build: found.build, version: found.version };
        let keep_data = self.data.keep_data;
        let mut wanted =
            Wanted { only, rollout, keep_data, ..Wanted::new(found.app, build, environment, OrderAct::Redeploy) };
        wanted.schedule = self.when.schedule(&connection, &wanted, Timestamp::now()).await?;
        order::order(invocation, &connection, &wanted, &self.following).await
    }
}

/// What is to be deployed again.
#[derive(Debug, PartialEq, Eq)]
enum Again {
    Version(Thing, String),
    Deployment(u64, Option<String>),
}

fn read(what: &str, place: Option<&str>) -> Result<Again, Failure> {
    if !what.is_empty() && what.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(Again::Deployment(what.parse().or_misused()?, place.map(String::from)));
    }
    let thing = Thing::parse_build("redeploy", what)?;
    match place {
        Some(place) => Ok(Again::Version(thing, place.into())),
        None => Err(Failure::misused(format!("where? {thing} may be in several environments"))
            .next(format!("sortie redeploy {thing} --to ENVIRONMENT"))),
    }
}

/// What stops or removes something is not to end in its being brought.
fn brought_nothing(view: &DeploymentView) -> Failure {
    let DeploymentView { deployment, act, app, environment, .. } = view;
    let why = format!("deployment {deployment} ({} {app} in {environment}) brought nothing", act.word());
    Failure::misused(why).next(format!("sortie status {deployment}"))
}

/// A deployment that was for some of the targets is repeated on those.
fn part_of(view: &DeploymentView, place: &str) -> BTreeSet<TargetName> {
    match view.environment.as_str() == place {
        true => view.targets.iter().map(|part| part.target.clone()).collect(),
        false => BTreeSet::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_deployment_and_a_version_needs_its_place() {
        assert_eq!(read("17", None).unwrap(), Again::Deployment(17, None));
        let version = Thing::Version("web".parse().unwrap(), "1.4.0".parse().unwrap());
        assert_eq!(read("web@1.4.0", Some("prod")).unwrap(), Again::Version(version, "prod".into()));
        let misused = read("web@1.4.0", None).unwrap_err().problem;
        assert_eq!(misused.next.as_deref(), Some("sortie redeploy web@1.4.0 --to ENVIRONMENT"));
        assert_eq!(read("web", Some("prod")).unwrap_err().problem.exit, 2);
    }
}
