//! Deployments: what was ordered, where each stands, what people said of it.

use super::{Parts, Stamp};
use crate::event::{Ending, Migration, RingOf};
use imbl::{OrdMap, Vector};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, sync::Arc};
use trust::{
    AppName, AudienceName, Digest, PersonName, TargetName, Version, rollout::Rollout, schedule::Schedule,
    statement::OrderAct,
};

/// One deployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    /// The application.
    pub app: AppName,
    /// Where.
    pub environment: AudienceName,
    /// What is to be done.
    pub act: OrderAct,
    /// The build it brings or acts on.
    pub build: Digest,
    /// Its version.
    pub version: Option<Version>,
    /// Who ordered it.
    pub deployer: PersonName,
    /// The entry with the order.
    pub stamp: Stamp,
    /// What the deployer was warned of.
    pub warnings: Vec<String>,
    /// The deployments that the last of the warnings are about: they stood planned there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub planned_there: Vec<u64>,
    /// The parts of its targets, in order.
    pub parts: Parts,
    /// How it goes over them; nothing where its entry is from before this was recorded.
    pub rollout: Option<Arc<Rollout>>,
    /// Its rings, which divide the parts in their order; none where there is one only.
    pub rings: Arc<[RingOf]>,
    /// Which ring has begun, counted from 0.
    pub ring: usize,
    /// Up to which ring somebody let it go on, though nobody vouches for those before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub let_begin: Option<usize>,
    /// The targets that the build is for and that have no part in it.
    pub others: Others,
    /// Whether the order names its targets, so that it is for no others.
    pub narrowed: bool,
    /// When it is to be carried out, by the order.
    #[serde(default)]
    pub schedule: Schedule,
    /// The waves that have started.
    pub waves: u32,
    /// Whether the data stays as later migrations left it.
    pub keep_data: bool,
    /// The target that was elected to do something to the data, and what.
    pub elected: Option<(TargetName, Migration)>,
    /// Whether it stands still by somebody's word, or by the charter's.
    pub paused: Option<Pause>,
    /// When the last of its targets that was unwell became well again; nothing where none was.
    #[serde(default)]
    pub well_since: Option<Timestamp>,
    /// What people said about it while it was under way, oldest first.
    pub guided: Vector<Guidance>,
    /// Where it stands.
    pub phase: DeploymentPhase,
    /// The members, where it is a package that is deployed: each has a deployment of its own, and this one no targets.
    #[serde(default, skip_serializing_if = "OrdMap::is_empty")]
    pub members: OrdMap<AppName, MemberPart>,
    /// The deployment of a package that it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<InPackage>,
    /// The targets that the order for a package names; empty means all.
    #[serde(default, skip_serializing_if = "std::collections::BTreeSet::is_empty")]
    pub only: BTreeSet<TargetName>,
}

impl Deployment {
    /// Whether it is a package that is deployed.
    pub fn is_of_package(&self) -> bool {
        !self.members.is_empty()
    }
}

/// A member's part in the deployment of a package.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberPart {
    /// Not its turn yet.
    #[default]
    Waiting,
    /// It was as the package says when its turn came.
    InPlace,
    /// It has begun, as this deployment.
    Begun(u64),
}

/// The deployment of a package that a deployment is a part of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InPackage {
    /// Its number.
    pub deployment: u64,
    /// The package.
    pub app: AppName,
    /// The package's build.
    pub build: Digest,
    /// The entry with the order, which is for all members.
    pub order: u64,
}

/// How many targets have no part in a deployment, though the build is for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Others {
    /// How many there were when it was ordered.
    pub targets: u32,
    /// How many of them were serving.
    pub serving: u32,
}

/// Where a deployment stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentPhase {
    /// It stands and waits for its permit.
    AwaitingPermit,
    /// Targets are at it.
    Running,
    /// A ring is well since this entry, and the next waits for its time or for somebody's word.
    Baking(Stamp),
    /// Targets go back.
    Undoing {
        /// Why.
        reason: String,
    },
    /// It is over.
    Ended {
        /// How.
        ending: Ending,
        /// When.
        stamp: Stamp,
        /// Since when it is settled.
        settled: Option<Stamp>,
        /// Why it was undone, where it was.
        reason: Option<String>,
    },
}

/// Why no further target of a deployment begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Since when.
    pub stamp: Stamp,
    /// Who says so; nobody where the charter does.
    pub by: Option<PersonName>,
    /// The salted digest of the reason.
    pub reason: Option<Digest>,
    /// What went wrong, where the charter says so, or what is in doubt, where the build does.
    pub failure: Option<String>,
}

/// What somebody said about a deployment under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guidance {
    /// When.
    pub stamp: Stamp,
    /// Who.
    pub by: PersonName,
    /// What is to be done.
    pub word: GuidanceWord,
    /// With which targets, where with some only.
    pub targets: Vec<TargetName>,
    /// The salted digest of the reason.
    pub reason: Option<Digest>,
}

/// What is to be done with a deployment under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuidanceWord {
    /// No further target begins.
    Paused,
    /// It goes on.
    Resumed,
    /// Some targets try again.
    Retried,
    /// Some targets are left out.
    Excluded,
    /// It is over.
    Aborted,
}

impl GuidanceWord {
    /// It in a word.
    pub fn word(self) -> &'static str {
        match self {
            GuidanceWord::Paused => "paused",
            GuidanceWord::Resumed => "resumed",
            GuidanceWord::Retried => "retried",
            GuidanceWord::Excluded => "excluded",
            GuidanceWord::Aborted => "aborted",
        }
    }
}
