//! `sortie history`: who did what, when, in which role (R56).

use crate::{
    failure::{Failure, Outcome},
    invocation::Invocation,
    moment,
    names::app_name,
    output::Answer,
    table,
};
use api::{read::HistoryEntry, routes};
use domain::entry::Entry;
use jiff::{Timestamp, tz::TimeZone};

/// Who did what, when, in which role; the newest first
#[derive(Debug, clap::Args)]
pub struct History {
    /// An application only
    #[arg(value_name = "APP")]
    pub app: Option<String>,
    /// Since a moment (2026-11-22, 10:30, or a time ago such as 2h), or after an entry's number
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// At most so many entries
    #[arg(long, default_value_t = 50)]
    pub limit: u32,
}

impl History {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let zone = TimeZone::system();
        let app = self.app.as_deref().map(app_name).transpose()?;
        let since = self.since.as_deref().map(|text| since(text, Timestamp::now(), &zone)).transpose()?;
        let limit = self.limit.to_string();
        let mut query = vec![("limit", limit.as_str())];
        query.extend(app.iter().map(|app| ("app", app.as_str())));
        query.extend(since.iter().map(|since| ("since", since.as_str())));
        let connection = invocation.connect().await?;
        let entries: Vec<HistoryEntry> = connection.client.get(routes::HISTORY, &query).await?;
        let mut words = in_words(&entries, &zone);
        if entries.len() == self.limit as usize {
            words.push_str("\nthere may be more: see --limit and --since");
        }
        Ok(Answer::new(&serde_json::json!({ "entries": entries }), words))
    }
}

/// A moment, or the number of an entry.
fn since(text: &str, now: Timestamp, zone: &TimeZone) -> Result<String, Failure> {
    match text.parse::<u64>() {
        Ok(number) => Ok(number.to_string()),
        Err(_) => Ok(moment::read(text, now, zone)?.to_string()),
    }
}

fn in_words(entries: &[HistoryEntry], zone: &TimeZone) -> String {
    if entries.is_empty() {
        return "nothing happened".into();
    }
    let mut rows = Vec::new();
    for entry in entries {
        let mut what = entry.lines.iter().cloned();
        let when = moment::written(entry.entry.time, zone);
        rows.push(vec![when, who(&entry.entry), what.next().unwrap_or_default()]);
        // What followed by itself from the same act stands below it.
        rows.extend(what.map(|line| vec![String::new(), String::new(), line]));
    }
    table::table(&[], &rows)
}

/// `oncall (ops) for acme`.
fn who(entry: &Entry) -> String {
    let roles = if entry.roles.is_empty() { String::new() } else { format!(" ({})", entry.roles.join(", ")) };
    let whom = entry.on_behalf_of.as_ref().map(|whom| format!(" for {whom}")).unwrap_or_default();
    format!("{}{roles}{whom}", entry.actor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::samples::time;

    #[test]
    fn r56_history_names_actor_roles_and_for_whom() {
        let entry = |number, actor: &str, roles: &[&str], whom: Option<&str>, lines: &[&str]| HistoryEntry {
            entry: Entry {
                number,
                time: time("10:02:00"),
                actor: actor.into(),
                roles: roles.iter().map(ToString::to_string).collect(),
                on_behalf_of: whom.map(String::from),
                request_id: "1".into(),
                events: Vec::new(),
                envelope: None,
            },
            lines: lines.iter().map(ToString::to_string).collect(),
        };
        let entries = [
            entry(2, "oncall", &["ops"], Some("acme"), &["approved web@1.4.0 → prod", "web@1.4.0 is released to prod"]),
            entry(1, "clock", &[], None, &["deployment 40 settled"]),
        ];
        assert_eq!(
            in_words(&entries, &TimeZone::UTC),
            "2026-11-22 10:02:00 UTC  oncall (ops) for acme  approved web@1.4.0 → prod\n\
             \u{20}                                               web@1.4.0 is released to prod\n\
             2026-11-22 10:02:00 UTC  clock                  deployment 40 settled"
        );
        assert_eq!(in_words(&[], &TimeZone::UTC), "nothing happened");
        assert_eq!(since("17", time("10:00:00"), &TimeZone::UTC).unwrap(), "17");
        assert_eq!(since("2h", time("10:00:00"), &TimeZone::UTC).unwrap(), "2026-11-22T08:00:00Z");
    }
}
