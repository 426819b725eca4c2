//! What is recorded of a deployment, and of what it did on a target.

use serde::{Deserialize, Serialize};
use trust::{Digest, PersonName};

/// What is done to an application's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Migration {
    /// The migration of the build that is brought.
    Run,
    /// The migration of the build that is left is taken back.
    Undo,
}

/// A ring of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingOf {
    /// Its name: `canary`, `ring=early`, `rest`.
    pub name: String,
    /// How many targets it has.
    pub targets: u32,
}

/// Who ended a deployment by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aborted {
    /// Who.
    pub by: PersonName,
    /// The salted digest of the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Digest>,
}

/// How a deployment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Every target is verified.
    Succeeded,
    /// A target failed, and every target is back on what ran before.
    Undone,
    /// A target failed, and not every target could be brought back, or the charter says to stop there.
    Failed,
    /// Somebody ended it.
    Aborted,
    /// It stood and never began: its time was over, or what it was about had changed.
    Dropped,
    /// A newer order took its place before it began.
    Superseded,
}

/// Whether a target got an application for the first time (R57).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It ran nothing of it before.
    Deployed,
    /// It ran another build of it before.
    Upgraded,
    /// It ran this very build before.
    Repeated,
    /// It went back to a build that ran before.
    RolledBack,
    /// It got new config only.
    Configured,
    /// It was removed.
    Removed,
    /// It was stopped, started or restarted.
    Controlled,
}
