//! `sortie notes`: what changed, or would change, for one environment (R44).

use crate::{
    failure::{Failure, OrMisused, Outcome},
    invocation::Invocation,
    names::Thing,
    notes::{self, between},
    order,
    output::Answer,
};
use serde_json::json;
use trust::{AppName, AudienceName, Version};

/// Say what changed for an environment since a version, or what would with the newest
#[derive(Debug, clap::Args)]
pub struct Notes {
    /// The application
    #[arg(value_name = "APP")]
    pub app: String,
    /// The environment
    #[arg(long = "in", value_name = "ENVIRONMENT", alias = "to", alias = "from")]
    pub environment: String,
    /// Since this version, up to what runs there; without it, since what runs there, up to the newest version
    #[arg(long, value_name = "VERSION")]
    pub since: Option<String>,
}

impl Notes {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let name = AppName::new(&self.app).or_misused()?;
        let environment = AudienceName::new(&self.environment).or_misused()?;
        let since: Option<Version> = self.since.as_deref().map(str::parse).transpose().or_misused()?;
        let connection = invocation.connect().await?;
        let charter = &connection.policy.charter;
        if charter.audience(&environment).is_none() {
            return Err(crate::names::unknown_audience(charter, &environment));
        }
        let app = connection.app(&name).await?;
        if let Some(since) = &since {
            // A version that nobody knows is a mistake.
            connection.look_up(&Thing::Version(name.clone(), since.clone())).await?;
        }
        let status = order::status(&connection, None).await?;
        let runs = order::newest_serving(&status, &name, &environment);
        let newest = app.builds.iter().filter_map(|build| build.name.version.as_ref()).max().cloned();
        let (since, until) = match since {
            Some(since) => (Some(since), runs.clone().or(newest)),
            None => (runs.clone(), newest),
        };
        let until = until.ok_or_else(|| {
            Failure::misused(format!("{name} has no version yet")).next(format!("sortie number {name}#… next"))
        })?;
        let notes = between(&app, &environment, since.as_ref(), &until);
        let from = since.as_ref().map_or("the beginning".into(), ToString::to_string);
        let heading = match notes.is_empty() {
            true => format!("{name} in {environment}: nothing is newer than {from}"),
            false => format!("{name} in {environment}, since {from} up to {until}:"),
        };
        let lines = notes::in_words(&notes).into_iter().map(|line| format!("  {line}"));
        let words = std::iter::once(heading).chain(lines).collect::<Vec<_>>().join("\n");
        Ok(Answer::new(
            &json!({ "app": name, "environment": environment, "since": since, "until": until, "notes": notes }),
            words,
        ))
    }
}
