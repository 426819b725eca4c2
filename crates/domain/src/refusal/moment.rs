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
