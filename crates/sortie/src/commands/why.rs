//! `sortie why`: every condition, met or not, and who can meet it.

use crate::{
    connection::Connection,
    failure::{Failure, Outcome},
    invocation::Invocation,
    names::{Place, Thing},
    output::Answer,
    releasing, table,
};
use api::{
    read::{BuildName, Condition, Why as View},
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

/// Asks for the conditions.
pub async fn ask(
    connection: &Connection,
    app: &AppName,
    build: &BuildName,
    audience: &AudienceName,
) -> Result<View, Failure> {
    let (which, name) = match &build.version {
        Some(version) => ("version", version.to_string()),
        None => ("build", build.build.to_string()),
    };
    let query = [("app", app.as_str()), ("audience", audience.as_str()), (which, &name)];
    let mut view: View = connection.client.get(routes::WHY, &query).await?;
    for condition in &mut view.conditions {
        let remedy = condition.remedy.take();
        condition.remedy = remedy.map(|remedy| releasing::as_signer_types(connection, remedy));
    }
    Ok(view)
}

/// The three questions, three answers: may it, does it, who sees it.
pub fn in_words(view: &View) -> String {
    let mut lines = vec![format!("may it be deployed?  {}", if view.may { "yes" } else { "no" })];
    lines.extend(met(&view.conditions));
    let room = table::room().unwrap_or(usize::MAX);
    let missing: Vec<&Condition> = view.conditions.iter().filter(|condition| !condition.met).collect();
    let width = missing.iter().map(|condition| condition.what.chars().count()).max().unwrap_or(0).min(48);
    for Condition { what, remedy, .. } in missing {
        let line = match remedy {
            Some(remedy) if width.max(what.chars().count()) + remedy.chars().count() + 7 > room => {
                format!("{}\n      {remedy}", hanging("  ✗ ", what, room))
            }
            Some(remedy) => format!("  ✗ {what:<width$}   {remedy}"),
            None => hanging("  ✗ ", what, room),
        };
        lines.push(line);
    }
    lines.push(hanging("does it run?         ", &view.runs, room));
    lines.push(hanging("who sees it?         ", &view.seen, room));
    lines.join("\n")
}

/// A text after its mark, whose further lines begin where it does.
fn hanging(mark: &str, text: &str, room: usize) -> String {
    let indent = mark.chars().count();
    let lines = table::wrapped(text, room.saturating_sub(indent));
    format!("{mark}{}", lines.join(&format!("\n{:indent$}", "")))
}

/// What is met needs little room: several to a line.
fn met(conditions: &[Condition]) -> Vec<String> {
    let room = table::room().unwrap_or(usize::MAX).min(90);
    let mut lines: Vec<String> = Vec::new();
    for condition in conditions.iter().filter(|condition| condition.met) {
        let word = format!("✓ {}", condition.what);
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.chars().count() + 3 <= room => {
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
}
