//! What is refused for its moment: a freeze is on, or no window is open; and what somebody said for it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use trust::{AppName, AudienceName, Digest, Version, quorum::Rule};

/// What a freeze stops.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Frozen {
    /// The application; a package, where what it brings is frozen by its name.
    pub app: AppName,
    /// The version, where it has one.
    pub version: Option<Version>,
    /// Whether the freeze is about that application by name, and not about everything there.
    #[serde(default)]
    pub by_name: bool,
    /// Where.
    pub environment: AudienceName,
    /// The freeze's number.
    pub freeze: u64,
    /// The salted digest of its reason.
    pub reason: Digest,
    /// The reason itself, once whoever answers has read it in the side table.
    pub said: Option<String>,
    /// Until when it is on.
    pub until: Timestamp,
    /// When the application may be activated there next, as far as is known.
    pub opens: Option<Timestamp>,
    /// Who may lift it, or except from it.
    pub lift: Option<Rule>,
}

impl Frozen {
    /// The sentence, with what came of it, if anything is to be said of that.
    pub fn in_words(&self, outcome: &str) -> String {
        let Frozen { app, by_name, environment, freeze, said, until, opens, lift, .. } = self;
        let app = if *by_name { format!("{app} in ") } else { String::new() };
        let said = said.as_ref().map(|said| format!(" ({said})")).unwrap_or_default();
        let opens = opens.map(|opens| format!(". It opens at {opens:.0}")).unwrap_or_default();
        let outcome = came_to(outcome, opens.is_empty());
        let lift = lift.as_ref().map(|rule| format!(". {rule} may lift it, or except a version from it"));
        let lift = lift.unwrap_or_default();
        format!("{app}{environment} is frozen until {until:.0} by freeze {freeze}{said}{opens}{outcome}{lift}")
    }
}

impl Closed {
    /// The sentence, with what came of it, if anything is to be said of that.
    pub fn in_words(&self, outcome: &str) -> String {
        let Closed { environment, windows, opens, .. } = self;
        let next = match opens {
            Some(opens) => format!(". It opens at {opens:.0}"),
            None => ", and none opens again".into(),
        };
        let outcome = came_to(outcome, opens.is_none());
        format!("no window of {environment} is open ({}){next}{outcome}", windows.join(", "))
    }
}

/// `; nothing was changed`, or `. Nothing was changed` where it is a sentence of its own.
fn came_to(outcome: &str, is_sentence: bool) -> String {
    let mut letters = outcome.chars();
    match (letters.next(), is_sentence) {
        (None, _) => String::new(),
        (Some(first), true) => format!(". {}{}", first.to_uppercase(), letters.as_str()),
        (Some(_), false) => format!("; {outcome}"),
    }
}

/// What somebody said for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Because {
    /// The salted digest of the reason.
    pub reason: Digest,
    /// The reason itself, once whoever answers has read it in the side table.
    pub said: Option<String>,
}

/// What comes while no window is open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Closed {
    /// The application.
    pub app: AppName,
    /// The version, where it has one.
    pub version: Option<Version>,
    /// Where.
    pub environment: AudienceName,
    /// Its windows, as the charter says them.
    pub windows: Vec<String>,
    /// When the application may be activated there next, as far as is known.
    pub opens: Option<Timestamp>,
}
