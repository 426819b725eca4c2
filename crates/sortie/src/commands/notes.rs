//! `sortie notes`: what changed, or would change, for one environment (R44).

use crate::{
    failure::{Failure, OrMisused, Outcome},
    invocation::Invocation,
    names::Thing,
    notes::{self, between},
    order,
    output::Answer,
};
use api::read::Cell;
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
        let asked = self.since.as_ref().and(since.as_ref());
        let heading = match notes.is_empty() {
            true => nothing(&name, &environment, asked, runs.as_ref()),
            false => {
                let from = since.as_ref().map_or("the beginning".into(), ToString::to_string);
                let where_to = if asked.is_some() && runs.is_none() { ", the newest: nothing runs there" } else { "" };
                format!("{name} in {environment}, since {from} up to {until}{where_to}:")
            }
        };
        let lines = notes::in_words(&notes).into_iter().map(|line| format!("  {line}"));
        let older = order::cell(&status, &name, &environment).and_then(|cell| older(cell, runs.as_ref()?));
        let words = std::iter::once(heading).chain(lines).chain(older).collect::<Vec<_>>().join("\n");
        Ok(Answer::new(
            &json!({ "app": name, "environment": environment, "since": since, "until": until, "notes": notes }),
            words,
        ))
    }
}

/// What there is to say where nothing changed. Asked since when, it is about what runs there, and not about what could come.
fn nothing(app: &AppName, environment: &AudienceName, asked: Option<&Version>, runs: Option<&Version>) -> String {
    match (asked, runs) {
        (Some(since), Some(runs)) if since > runs => {
            format!("{app} in {environment}: {runs} runs there, which is older than {since}: nothing came since")
        }
        (Some(_), Some(runs)) => format!("{app} in {environment}: {runs} runs there: nothing changed since"),
        (Some(since), None) => {
            format!("{app} in {environment}: nothing runs there, and nothing is newer than {since}")
        }
        (None, runs) => {
            let from = runs.map_or("the beginning".into(), ToString::to_string);
            format!("{app} in {environment}: nothing is newer than {from}")
        }
    }
}

/// Which older versions serve there beside the newest one, from which is counted.
fn older(cell: &Cell, newest: &Version) -> Option<String> {
    let serves = cell.runs.iter().filter(|runs| !runs.all_stand_by());
    let older = serves.filter(|runs| runs.build.version.as_ref().is_some_and(|version| version < newest));
    let each: Vec<String> =
        older.map(|runs| format!("{} on {} of {}", runs.build.short(), runs.on.len(), cell.targets)).collect();
    (!each.is_empty()).then(|| format!("mind: {newest} is the newest that runs there; so does {}", each.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::samples;

    #[test]
    fn r44_where_nothing_changed_the_notes_say_what_runs() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        let said = |since: Option<&str>, runs: Option<&str>| {
            let (since, runs) = (since.map(version), runs.map(version));
            nothing(&"web".parse().unwrap(), &"prod".parse().unwrap(), since.as_ref(), runs.as_ref())
        };
        assert_eq!(said(None, Some("1.0.0")), "web in prod: nothing is newer than 1.0.0");
        assert_eq!(said(Some("1.0.0"), Some("1.0.0")), "web in prod: 1.0.0 runs there: nothing changed since");
        assert!(
            said(Some("1.1.0"), Some("1.0.0"))
                .ends_with("1.0.0 runs there, which is older than 1.1.0: nothing came since")
        );
        assert!(said(Some("1.1.0"), None).ends_with("nothing runs there, and nothing is newer than 1.1.0"));
    }

    #[test]
    fn what_is_older_beside_the_newest_is_named() {
        let cell = &samples::status().apps[0].cells[2];
        assert_eq!(older(cell, &"1.4.0".parse().unwrap()), None);
        let told = older(cell, &"1.5.0".parse().unwrap());
        assert_eq!(told.as_deref(), Some("mind: 1.5.0 is the newest that runs there; so does 1.4.0 on 3 of 3"));
    }
}
