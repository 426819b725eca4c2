//! What targets say: that they join, how what they were told to do ended, what they have, and how it is.

use crate::{
    digest::Digest,
    key::PublicKey,
    names::{AppName, AudienceName, TargetName},
    way::Way,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A machine joins an environment. Signed by the invitation's key and by the target's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// Where.
    pub environment: AudienceName,
    /// Under which name.
    pub target: TargetName,
    /// The invitation it was given.
    pub invitation: PublicKey,
    /// The target's own key.
    pub key: PublicKey,
    /// The age recipient that secrets are encrypted to.
    pub recipient: String,
    /// What the machine is.
    pub facts: Facts,
    /// What it runs already, where it has joined before and the server knows it no more.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub active: BTreeMap<AppName, Digest>,
}

/// What a target says of its machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// Operating system (`linux`).
    pub os: String,
    /// Processor architecture (`x86_64`).
    pub arch: String,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// The agent's version.
    pub agent_version: String,
    /// The version of its kernel (`6.1.0-18-amd64`); empty where it was not told.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kernel: String,
}

/// How an assignment ended on one target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Who reports.
    pub target: TargetName,
    /// About which application.
    pub app: AppName,
    /// The epoch of the assignment.
    #[serde(default = "first_epoch", skip_serializing_if = "is_first_epoch")]
    pub epoch: u64,
    /// Which assignment of that epoch.
    pub generation: u64,
    /// Which deployment.
    pub deployment: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// What runs now.
    pub running: Option<Digest>,
    /// The serial of the config it runs with.
    pub config_serial: u64,
    /// The phases that were gone through, with their times (R7).
    pub phases: Vec<PhaseTiming>,
    /// Where its processes listen: `http://127.0.0.1:20001`.
    #[serde(default)]
    pub endpoints: Vec<String>,
    /// Where the assignment came from, if not from a server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carried: Option<Carried>,
    /// The way of the permit it acted under; not written for the normal one.
    #[serde(default, skip_serializing_if = "Way::is_normal")]
    pub way: Way,
    /// Whether what runs stands by: it is in no list of what serves.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub standby: bool,
    /// What decided nothing while it was verified, where the build says that people shall look at that; or why what was
    /// stopped could not be taken out of service before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<String>,
}

/// An assignment that reached a target by a bundle, over an air gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carried {
    /// The bundle: the digest of its index.
    pub bundle: Digest,
    /// The order in it: the digest of its payload.
    pub order: Digest,
}

fn first_epoch() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_first_epoch(epoch: &u64) -> bool {
    *epoch == first_epoch()
}

/// How an assignment ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Outcome {
    /// Done and verified.
    Verified,
    /// A phase failed; the target is back on what ran before.
    Undone {
        /// The phase that failed.
        phase: Phase,
        /// Why, in a line.
        reason: String,
    },
    /// A phase failed and so did going back.
    Failed {
        /// The phase that failed.
        phase: Phase,
        /// Why, in a line.
        reason: String,
    },
    /// The target refused: the authority for it was lacking.
    Refused {
        /// The stable code of the check that failed.
        code: String,
        /// Why, in a line.
        reason: String,
    },
}

/// The phases of a deployment on one target (R7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Checking authority and needs.
    Check,
    /// Fetching what is not there yet.
    Fetch,
    /// Laying the release out beside the one that runs.
    Stage,
    /// Writing its config.
    Configure,
    /// Changing its data, on the one target that was elected for it.
    Migrate,
    /// Switching to it.
    Activate,
    /// Finding out that it is well.
    Verify,
    /// Removing it.
    Remove,
}

impl Phase {
    /// Whether something that runs may have been touched once it has begun.
    pub fn touches(self) -> bool {
        matches!(self, Phase::Activate | Phase::Verify | Phase::Remove)
    }

    /// The phase in a word.
    pub fn word(self) -> &'static str {
        match self {
            Phase::Check => "check",
            Phase::Fetch => "fetch",
            Phase::Stage => "stage",
            Phase::Configure => "configure",
            Phase::Migrate => "migrate",
            Phase::Activate => "activate",
            Phase::Verify => "verify",
            Phase::Remove => "remove",
        }
    }
}

/// One phase and when it ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhaseTiming {
    /// Which.
    pub phase: Phase,
    /// When it began, by the target's clock.
    pub started: Timestamp,
    /// How long it took, in milliseconds.
    pub milliseconds: u64,
}

/// How the applications on a target are, while nothing is done with them (R54).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Who looked.
    pub target: TargetName,
    /// When, by its own clock.
    pub looked: Timestamp,
    /// What is unwell. Whatever else runs there is well.
    pub unwell: BTreeMap<AppName, Unwell>,
}

/// An application that is not as well as it was when it was verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unwell {
    /// The build that is active.
    pub build: Digest,
    /// What its copies said, or how they ended: `web-1 /healthz 503`.
    pub reason: String,
    /// Whether nobody can tell how it is, and its build asks that people look then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unclear: bool,
}

/// What a target found when it re-digested what is active on it (R37).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// Who reports.
    pub target: TargetName,
    /// When it looked, by its own clock.
    pub scanned: Timestamp,
    /// What is active, by application.
    pub active: BTreeMap<AppName, Digest>,
    /// What is there and should not be, or is not as it should be.
    pub findings: Vec<Finding>,
    /// Since when the target's time is over, by its own clock: everything was removed, and this is its last word (R30).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lapsed: Option<Timestamp>,
    /// What the machine is, where that is not what the server was told last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<Facts>,
}

/// One thing that is not as its manifest says, or that no manifest accounts for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// The application in whose place it was found.
    pub app: String,
    /// The path below the application's folder.
    pub path: String,
    /// What is wrong with it.
    pub kind: FindingKind,
}

/// What can be wrong with a path on a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// Its content differs from the manifest.
    Changed,
    /// The manifest has it, the target does not.
    Missing,
    /// The target has it, no manifest does.
    Extra,
    /// Its mode differs.
    Mode,
    /// It is a link that leads elsewhere.
    Link,
    /// A running process whose program no manifest accounts for.
    Process,
}
