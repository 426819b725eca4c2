//! `sortie hold`: a build that failed, was undone or was rolled back stays out until somebody lifts the hold.

use crate::{
    failure::Outcome,
    invocation::Invocation,
    names::{self, Place, Thing},
    order,
    output::{self, Answer},
    table,
};
use api::read::{AppStatus, Cell, HoldView};
use domain::event::Event;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeSet;
use trust::{AppName, AudienceName, statement::AdministrationAct};

/// What is kept out after it failed, was undone or was rolled back
#[derive(Debug, clap::Args)]
pub struct Hold {
    #[command(subcommand)]
    pub act: HoldAct,
}

/// What is to be done.
#[derive(Debug, clap::Subcommand)]
pub enum HoldAct {
    /// List what is held out, of an application or of all
    List {
        /// The application
        #[arg(value_name = "APP")]
        app: Option<String>,
        /// An environment only (--to, --in and --from are taken alike)
        #[arg(long = "in", aliases = ["to", "from"], value_name = "ENVIRONMENT")]
        audience: Option<String>,
    },
    /// Let a version that is held out come again
    Lift {
        /// The version (web@1.5.0) or build (web#3fa9c1); `web` alone means all that are held
        #[arg(value_name = "WHAT")]
        what: String,
        #[command(flatten)]
        place: Place,
        /// Why; it stands in the history
        #[arg(long)]
        reason: Option<String>,
    },
}

impl Hold {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        match self.act {
            HoldAct::List { app, audience } => list(invocation, app.as_deref(), audience.as_deref()).await,
            HoldAct::Lift { what, place, reason } => lift(invocation, &what, &place, reason.as_deref()).await,
        }
    }
}

async fn lift(invocation: &Invocation, what: &str, place: &Place, reason: Option<&str>) -> Outcome {
    let thing = Thing::parse("hold", what)?;
    let connection = invocation.connect().await?;
    let environment = connection.environment(place)?;
    let (app, build, what) = match &thing {
        Thing::App(app) => (app.clone(), None, format!("nothing of {app} is")),
        thing => {
            let (found, _) = connection.find(thing, Some(&environment)).await?;
            (found.app, Some(found.build), format!("{thing} is no longer"))
        }
    };
    let held = |reason| {
        let (app, environment) = (app.clone(), environment.clone());
        AdministrationAct::LiftHold { app, environment, build, reason }
    };
    let accepted = connection.administer_perhaps_because(reason, held).await?;
    let more = if build.is_none() { " any more" } else { "" };
    let members = lifted_with(&app, &accepted.events);
    let words = format!("{what} held out of {environment}{more}{members}. Nothing was installed.");
    Ok(Answer::new(&accepted, words).next(format!("sortie status {app} --in {environment}")))
}

/// The members of a package that come again with it.
fn lifted_with(package: &AppName, events: &[Event]) -> String {
    let of_member = |event: &Event| match event {
        Event::HoldLifted { app, .. } if app != package => Some(app.to_string()),
        _ => None,
    };
    let members: BTreeSet<String> = events.iter().filter_map(of_member).collect();
    if members.is_empty() {
        return String::new();
    }
    format!(", nor is what was held out with it of {}", members.into_iter().collect::<Vec<_>>().join(", "))
}

/// One hold and where it is.
#[derive(Debug, Serialize)]
struct Held {
    app: AppName,
    environment: AudienceName,
    #[serde(flatten)]
    hold: HoldView,
}

async fn list(invocation: &Invocation, app: Option<&str>, audience: Option<&str>) -> Outcome {
    let app = app.map(names::app_name).transpose()?;
    let audience = audience.map(names::audience_name).transpose()?;
    let connection = invocation.connect().await?;
    let status = order::status(&connection, None).await?;
    let meant = |record: &&AppStatus, cell: &&Cell| {
        app.as_ref().is_none_or(|app| record.app == *app) && audience.as_ref().is_none_or(|name| cell.audience == *name)
    };
    let mut held = Vec::new();
    for record in &status.apps {
        for cell in record.cells.iter().filter(|cell| meant(&record, cell)) {
            held.extend(cell.holds.iter().map(|hold| Held {
                app: record.app.clone(),
                environment: cell.audience.clone(),
                hold: hold.clone(),
            }));
        }
    }
    let Some(first) = held.first() else { return Ok(Answer::new(&held, "nothing is held out")) };
    let next = format!("sortie hold lift {} --in {} --reason …", first.hold.build.of(&first.app), first.environment);
    let words = in_words(&held, Timestamp::now());
    Ok(Answer::new(&held, words).next(next))
}

fn in_words(held: &[Held], now: Timestamp) -> String {
    let row = |held: &Held| {
        let by = held.hold.deployment.map(|number| format!("deployment {number}")).unwrap_or_default();
        let why = held.hold.why.clone().unwrap_or_default();
        let (what, since) = (held.hold.build.of(&held.app), output::ago(held.hold.since, now));
        vec![what, held.environment.to_string(), since, by, why]
    };
    table::table(&["held out", "of", "since", "by", "why"], &held.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::samples::build;

    #[test]
    fn a_hold_says_where_since_when_and_by_which_deployment() {
        let since: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let hold =
            HoldView { build: build("1.5.0"), since, deployment: Some(41), why: Some("rolled back by oncall".into()) };
        let held = Held { app: "web".parse().unwrap(), environment: "prod".parse().unwrap(), hold };
        let words = in_words(&[held], since);
        assert!(words.contains("web@1.5.0") && words.contains("prod") && words.contains("deployment 41"), "{words}");
        assert!(words.contains("rolled back by oncall"), "{words}");
    }
}
