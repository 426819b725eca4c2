//! `sortie why`: every condition, met or not, and who can meet it.

use crate::{
    connection::Connection,
    failure::{Failure, Outcome},
    invocation::Invocation,
    moment,
    names::{Place, Thing},
    output::Answer,
    releasing, table,
};
use api::{
    read::{BuildName, Condition, StandingOrder, Why as View},
    routes,
};
use jiff::tz::TimeZone;
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
    within(&told(view.clone(), &TimeZone::system()), table::room().unwrap_or(usize::MAX))
}

/// The same by the clock on the wall: moments change their width by it, and are measured as they are read.
fn told(mut view: View, zone: &TimeZone) -> View {
    let tell = |text: &mut String| *text = moment::on_the_wall(text, zone);
    for condition in &mut view.conditions {
        tell(&mut condition.what);
        condition.remedy.iter_mut().for_each(tell);
    }
    for order in &mut view.standing {
        tell(&mut order.what);
        tell(&mut order.remedy);
    }
    tell(&mut view.runs);
    tell(&mut view.seen);
    view
}

fn within(view: &View, room: usize) -> String {
    let mut lines = vec![format!("may it be deployed?  {}", if view.may { "yes" } else { "no" })];
    lines.extend(met(&view.conditions, room.min(90)));
    let missing: Vec<&Condition> = view.conditions.iter().filter(|condition| !condition.met).collect();
    let width = missing.iter().map(|condition| condition.what.chars().count()).max().unwrap_or(0).min(48);
    for Condition { what, remedy, .. } in missing {
        lines.push(with_remedy("  ✗ ", &format!("{what:<width$}"), remedy.as_deref(), room));
    }
    for (place, StandingOrder { what, remedy, .. }) in view.standing.iter().enumerate() {
        let heading = if place == 0 { "what stands there?" } else { "" };
        lines.push(with_remedy(&format!("{heading:<20} "), what, Some(remedy), room));
    }
    lines.push(hanging("does it run?         ", &view.runs, room));
    lines.push(hanging("who sees it?         ", &view.seen, room));
    lines.join("\n")
}

/// What is so after its mark, and what to type beside it; below it where there is no room, for commands are never broken.
fn with_remedy(mark: &str, what: &str, remedy: Option<&str>, room: usize) -> String {
    let indent = mark.chars().count();
    match remedy {
        Some(remedy) if indent + what.chars().count() + remedy.chars().count() + 3 > room => {
            format!("{}\n{:indent$}  {remedy}", hanging(mark, what.trim_end(), room), "")
        }
        Some(remedy) => format!("{mark}{what}   {remedy}"),
        None => hanging(mark, what.trim_end(), room),
    }
}

/// A text after its mark, whose further lines begin where it does.
fn hanging(mark: &str, text: &str, room: usize) -> String {
    let indent = mark.chars().count();
    let lines = table::wrapped(text, room.saturating_sub(indent));
    format!("{mark}{}", lines.join(&format!("\n{:indent$}", "")))
}

/// What is met needs little room: several to a line.
fn met(conditions: &[Condition], room: usize) -> Vec<String> {
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
            standing: vec![StandingOrder {
                deployment: 17,
                what: "deployment 17 (web@1.5.0) waits for its time, 2027-01-04T06:00:00Z".into(),
                remedy: "`sortie abort 17` takes it off".into(),
            }],
            runs: "no: 1.3.2 on 12/12, settled 9 days".into(),
            seen: "nobody".into(),
        };
        let view = told(view, &TimeZone::get("Europe/Berlin").unwrap());
        assert_eq!(
            within(&view, usize::MAX),
            "may it be deployed?  no\n\
             \u{20} ✓ verified in test   ✓ evidence   ✓ qa approved 10:02\n\
             \u{20} ✗ ops has not approved   3 people can\n\
             \u{20} ✗ held\n\
             what stands there?   deployment 17 (web@1.5.0) waits for its time, 2027-01-04 07:00:00 CET   `sortie abort 17` takes it off\n\
             does it run?         no: 1.3.2 on 12/12, settled 9 days\n\
             who sees it?         nobody"
        );
    }
}
