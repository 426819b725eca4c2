//! `sortie why`: every condition, met or not, and who can meet it.

use crate::{
    connection::Connection,
    failure::{Failure, Outcome},
    follow::runs_in_words,
    invocation::Invocation,
    names::{Place, Thing},
    order,
    output::Answer,
    releasing,
};
use api::{
    read::{BuildName, Cell, Condition, Why as View},
    routes,
};
use trust::{AppName, AudienceName};

/// Say whether a version may be deployed somewhere, condition by condition; whether it runs; who sees it
#[derive(Debug, clap::Args)]
pub struct Why {
    /// The version or build: web@1.4.0, web#3fa9c1
    #[arg(value_name = "WHAT")]
    pub what: String,
    #[command(flatten)]
    pub place: Place,
}

impl Why {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let thing = Thing::parse_build("ask why of", &self.what)?;
        let connection = invocation.connect().await?;
        let audience = connection.audience(&self.place)?;
        let build = connection.look_up(&thing).await?;
        let view = ask(&connection, thing.app(), &build, &audience).await?;
        let words = in_words(&view);
        Ok(Answer::new(&view, words))
    }
}

/// Asks for the conditions. The server knows them of versions; what was never numbered was never released, and that
/// needs no asking.
pub async fn ask(
    connection: &Connection,
    app: &AppName,
    build: &BuildName,
    audience: &AudienceName,
) -> Result<View, Failure> {
    let Some(version) = build.version.as_ref().map(ToString::to_string) else {
        let status = order::status(connection, None).await?;
        return Ok(unreleased(app, build, audience, connection.is_dev(audience), order::cell(&status, app, audience)));
    };
    let query = [("app", app.as_str()), ("audience", audience.as_str()), ("version", &version)];
    let mut view: View = connection.client.get(routes::WHY, &query).await?;
    for condition in &mut view.conditions {
        let remedy = condition.remedy.take();
        condition.remedy = remedy.map(|remedy| releasing::as_signer_types(connection, remedy));
    }
    Ok(view)
}

/// The conditions of a build without a number.
fn unreleased(app: &AppName, build: &BuildName, audience: &AudienceName, is_dev: bool, cell: Option<&Cell>) -> View {
    let what = build.of(app);
    let condition = match is_dev {
        true => {
            let what = format!("{audience} accepts builds that were never released");
            Condition { met: true, what, remedy: None }
        }
        false => {
            let remedy = Some(format!("sortie number {what} next"));
            Condition { met: false, what: format!("{what} has no number, so it was never released"), remedy }
        }
    };
    let held = cell.is_some_and(|cell| cell.held.contains(build)).then(|| Condition {
        met: false,
        what: format!("{what} is held out of {audience}"),
        remedy: Some(format!("sortie hold lift {what} --in {audience}")),
    });
    let conditions: Vec<Condition> = [condition].into_iter().chain(held).collect();
    let runs: Vec<_> =
        cell.iter().flat_map(|cell| &cell.runs).map(|runs| (runs.build.clone(), runs.on.len())).collect();
    let here = if runs.iter().any(|(other, _)| other == build) { "yes" } else { "no" };
    let words = match runs.is_empty() {
        true => "nothing runs there".into(),
        false => runs_in_words(&runs, cell.map_or(0, |cell| cell.targets)),
    };
    View {
        what,
        audience: audience.clone(),
        may: conditions.iter().all(|condition| condition.met),
        conditions,
        runs: format!("{here}: {words}"),
        seen: "nobody: only a version can be exposed".into(),
    }
}

/// The three questions, three answers: may it, does it, who sees it.
pub fn in_words(view: &View) -> String {
    let mut lines = vec![format!("may it be deployed?  {}", if view.may { "yes" } else { "no" })];
    lines.extend(met(&view.conditions));
    let missing: Vec<&Condition> = view.conditions.iter().filter(|condition| !condition.met).collect();
    let width = missing.iter().map(|condition| condition.what.chars().count()).max().unwrap_or(0).min(48);
    for Condition { what, remedy, .. } in missing {
        let line = match remedy {
            Some(remedy) => format!("  ✗ {what:<width$}   {remedy}"),
            None => format!("  ✗ {what}"),
        };
        lines.push(line);
    }
    lines.push(format!("does it run?         {}", view.runs));
    lines.push(format!("who sees it?         {}", view.seen));
    lines.join("\n")
}

/// What is met needs little room: several to a line.
fn met(conditions: &[Condition]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for condition in conditions.iter().filter(|condition| condition.met) {
        let word = format!("✓ {}", condition.what);
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.chars().count() < 90 => {
                line.push_str("   ");
                line.push_str(&word);
            }
            _ => lines.push(format!("  {word}")),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r52_the_missing_condition_stands_out_with_its_remedy() {
        let condition = |met, what: &str, remedy: Option<&str>| Condition {
            met,
            what: what.into(),
            remedy: remedy.map(String::from),
        };
        let view = View {
            what: "web@1.4.0".into(),
            audience: "prod".parse().unwrap(),
            may: false,
            conditions: vec![
                condition(true, "verified in test", None),
                condition(true, "evidence", None),
                condition(false, "ops has not approved", Some("3 people can")),
                condition(true, "qa approved 10:02", None),
                condition(false, "held", None),
            ],
            runs: "no: 1.3.2 on 12/12, settled 9 days".into(),
            seen: "nobody".into(),
        };
        assert_eq!(
            in_words(&view),
            "may it be deployed?  no\n\
             \u{20} ✓ verified in test   ✓ evidence   ✓ qa approved 10:02\n\
             \u{20} ✗ ops has not approved   3 people can\n\
             \u{20} ✗ held\n\
             does it run?         no: 1.3.2 on 12/12, settled 9 days\n\
             who sees it?         nobody"
        );
    }

    #[test]
    fn r21_a_build_without_a_number_may_run_in_dev_only() {
        let status = crate::commands::samples::status();
        let (app, cells) = (&status.apps[0].app, &status.apps[0].cells);
        let build = cells[0].runs[0].build.clone();
        let dev = unreleased(app, &build, &"dev".parse().unwrap(), true, Some(&cells[0]));
        assert!(dev.may && dev.runs.starts_with("yes: #"), "{dev:?}");
        let prod = unreleased(app, &build, &"prod".parse().unwrap(), false, Some(&cells[2]));
        assert!(!prod.may && prod.runs == "no: 1.4.0 on 3/3", "{prod:?}");
        assert!(in_words(&prod).contains("has no number, so it was never released   sortie number web#"));
    }
}
