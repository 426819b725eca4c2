//! What is refused for its moment: a freeze is on, or no window is open; and what somebody said for it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
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
    /// Whether it was to be activated at a moment that is still to come.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub planned: bool,
}

/// A permit whose time is over, or has not come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expired {
    /// The application; nothing where an older server says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppName>,
    /// The version.
    pub version: Version,
    /// To whom.
    pub audience: AudienceName,
    /// From when.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// When it was to be activated; nothing where an older server says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// Whether that is still to come.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub planned: bool,
}

impl Expired {
    /// What to type next: to ask again for what is over, and to wait for what has not come.
    pub fn next(&self) -> Option<String> {
        let what = format!("{}@{}", self.app.as_ref()?, self.version);
        Some(match self.is_to_come() {
            true => format!("sortie why {what} --in {}", self.audience),
            false => format!("sortie request {what} --to {}", self.audience),
        })
    }

    fn is_to_come(&self) -> bool {
        self.at.is_some_and(|at| at < self.not_before)
    }
}

impl fmt::Display for Expired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { app, version, audience, not_before, not_after, at, planned } = self;
        let app = app.as_ref().map(|app| format!("{app}@")).unwrap_or_default();
        write!(f, "the permit of {app}{version} for {audience} ")?;
        match at {
            None => write!(f, "holds from {not_before:.0} until {not_after:.0}"),
            Some(at) if self.is_to_come() => {
                write!(f, "begins at {not_before:.0}, in {}", roughly(not_before.duration_since(*at).as_secs()))
            }
            Some(at) if *planned => write!(f, "ends at {not_after:.0}, before {at:.0}"),
            Some(at) if at == not_after => write!(f, "ended just now, at {not_after:.0}"),
            Some(at) => write!(f, "ended {} ago, at {not_after:.0}", roughly(at.duration_since(*not_after).as_secs())),
        }
    }
}

/// `2 days`, `1 hour`, `5 minutes`: as exact as it matters.
fn roughly(seconds: i64) -> String {
    let units = [(86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    let (length, unit) = units.into_iter().find(|(length, _)| seconds >= *length).unwrap_or((1, "second"));
    match seconds / length {
        1 => format!("1 {unit}"),
        many => format!("{many} {unit}s"),
    }
}
