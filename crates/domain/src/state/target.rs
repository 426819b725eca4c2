//! Targets: what they are, what they were told, what they say they run.

use super::Stamp;
use crate::event::Departure;
use imbl::OrdMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use trust::{
    AppName, AudienceName, Digest, TargetName,
    key::PublicKey,
    statement::{Facts, Finding},
};

/// An invitation for machines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Invitation {
    /// Where.
    pub environment: AudienceName,
    /// The labels they get.
    pub labels: BTreeMap<String, String>,
    /// The only name they may take.
    pub name: Option<TargetName>,
    /// How many may still join.
    pub uses_left: u32,
    /// Until when.
    pub expires: Timestamp,
    /// The entry that holds it.
    pub stamp: Stamp,
    /// Whether they come and go.
    #[serde(default)]
    pub ephemeral: bool,
}

/// One target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Where it is.
    pub environment: AudienceName,
    /// Its key.
    pub key: PublicKey,
    /// The age recipient for its secrets.
    pub recipient: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What it is.
    pub facts: Facts,
    /// Whether new deployments stay away.
    pub cordoned: bool,
    /// Since when they do, and why, as far as that is known.
    #[serde(default)]
    pub cordon: Option<Cordon>,
    /// Whether it left for good.
    pub retired: bool,
    /// The entry that enrolled it.
    pub stamp: Stamp,
    /// What it was assigned and what it runs, by application.
    pub apps: OrdMap<AppName, OnTarget>,
    /// What is wrong there.
    pub findings: Vec<Finding>,
    /// The entry with the inventory that says so.
    #[serde(default)]
    pub inventory: Option<u64>,
    /// Whether it comes and goes: it counts in no minimum, and its silence is no failure.
    #[serde(default)]
    pub ephemeral: bool,
    /// Why it left by itself, where it did, and in which entry.
    #[serde(default)]
    pub departed: Option<(Departure, Stamp)>,
}

/// Since when new deployments stay away from a target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cordon {
    /// The entry that says so.
    pub stamp: Stamp,
    /// The salted digest of why.
    pub reason: Option<Digest>,
}

/// One application on one target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OnTarget {
    /// What it should do, by its newest assignment.
    pub assigned: Option<Assigned>,
    /// What it said it runs.
    pub running: Option<Running>,
}

/// An assignment as the state holds it: immutable, numbered by generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assigned {
    /// The number of the entry that made it: it only grows.
    pub generation: u64,
    /// The deployment it belongs to.
    pub deployment: u64,
    /// Whether it takes the deployment back.
    pub undo: bool,
    /// Whether the target has reported how it ended, or was given up on.
    pub finished: bool,
    /// Whether it was given up on: what it says later is heard all the same.
    #[serde(default)]
    pub given_up: bool,
    /// The entry with the order it is by; the deployment's own where absent.
    #[serde(default)]
    pub order: Option<u64>,
}

/// What a target said it runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Running {
    /// The build.
    pub build: Digest,
    /// Since when.
    pub since: Timestamp,
    /// By which deployment.
    pub deployment: u64,
    /// The serial of its config.
    pub config_serial: u64,
    /// Where its processes listen.
    pub endpoints: Vec<String>,
    /// Whether it was stopped by an order.
    pub stopped: bool,
    /// What is wrong with it, where it is not as well as it was when it was verified.
    #[serde(default)]
    pub unwell: Option<Unwell>,
    /// Whether it stands by: it is in no list of what serves.
    #[serde(default)]
    pub standby: bool,
}

impl Running {
    /// The number that stands for no deployment: a target said by itself what it runs.
    pub const BROUGHT_BY_NONE: u64 = 0;

    /// Whether people are served by it: it was not stopped, does not stand by, and is well.
    pub fn serves(&self) -> bool {
        self.is_in_service() && self.wrong().is_none()
    }

    /// What is wrong with it, where that is clear.
    pub fn wrong(&self) -> Option<&Unwell> {
        self.unwell.as_ref().filter(|unwell| !unwell.unclear)
    }

    /// Whether people are sent to it, well or not.
    pub fn is_in_service(&self) -> bool {
        !self.stopped && !self.standby
    }
}

/// That something that runs is not well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unwell {
    /// Since when that is known.
    pub since: Timestamp,
    /// What is wrong.
    pub reason: String,
    /// Whether nobody can tell how it is, and people should look: it serves as far as is known.
    #[serde(default)]
    pub unclear: bool,
}
