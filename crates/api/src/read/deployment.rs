//! Deployments, with their targets and members.

use super::BuildName;
use domain::event::Ending;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use trust::{
    AppName, AudienceName, PersonName, TargetName,
    rollout::Rollout,
    statement::{OrderAct, Phase, PhaseTiming},
};
use utoipa::ToSchema;

/// One deployment.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DeploymentView {
    /// Its number.
    pub deployment: u64,
    /// The application.
    #[schema(value_type = String)]
    pub app: AppName,
    /// Where.
    #[schema(value_type = String)]
    pub environment: AudienceName,
    /// What was to be done.
    #[schema(value_type = String)]
    pub act: OrderAct,
    /// The build.
    #[serde(flatten)]
    pub build: BuildName,
    /// Who ordered it.
    #[schema(value_type = String)]
    pub deployer: PersonName,
    /// When.
    #[schema(value_type = String)]
    pub requested: Timestamp,
    /// How it ended, if it has.
    #[schema(value_type = Option<String>)]
    pub ending: Option<Ending>,
    /// When it ended.
    #[schema(value_type = Option<String>)]
    pub ended: Option<Timestamp>,
    /// Since when it is settled.
    #[schema(value_type = Option<String>)]
    pub settled: Option<Timestamp>,
    /// Why it was undone.
    pub reason: Option<String>,
    /// What it waits on, in words.
    pub waits: Option<String>,
    /// Whether that is its time, its permit, a window or the end of a freeze, so that nothing is done about it before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stands: bool,
    /// Why it will be dropped when its time comes, as things stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub never: Option<String>,
    /// Why it does not settle any more, though it succeeded and stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsettled: Option<String>,
    /// What is left of it where it goes back, failed or was ended: data that stays changed, and targets that have not said how it ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remains: Vec<String>,
    /// Why it paused by itself, while it stands like that: what went wrong, or what is in doubt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// The time it was planned for, where it was.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub at: Option<Timestamp>,
    /// When it is dropped if it has not begun.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub expires: Option<Timestamp>,
    /// Whether the data stays as later migrations left it.
    #[serde(default)]
    pub keep_data: bool,
    /// What the deployer was warned of.
    pub warnings: Vec<String>,
    /// How it goes over its targets.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub rollout: Rollout,
    /// Its rings and how many targets each has, in order; empty where there is one only.
    #[serde(default)]
    pub rings: Vec<(String, u32)>,
    /// How many waves it takes, as far as can be known.
    #[serde(default)]
    pub waves: u32,
    /// What people said about it while it was under way, oldest first.
    #[serde(default)]
    pub guided: Vec<GuidanceView>,
    /// Its targets.
    pub targets: Vec<PartView>,
    /// The members, where it is a package that is deployed; it has no targets then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<MemberView>,
    /// The deployment of a package that it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<u64>,
}

impl DeploymentView {
    /// Whether it is taken back: it has not ended, and says why.
    pub fn goes_back(&self) -> bool {
        self.ending.is_none() && self.reason.is_some()
    }
}

/// One member's part in the deployment of a package.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MemberView {
    /// The member.
    #[schema(value_type = String)]
    pub app: AppName,
    /// The build that the package lists.
    #[serde(flatten)]
    pub build: BuildName,
    /// The members that it comes after.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub after: Vec<AppName>,
    /// `waiting`, `at it`, `in place`, `done`, `going back`, `undone`, `failed`, `ended`, `not begun`.
    pub state: String,
    /// Its own deployment, once it has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<u64>,
    /// The step in which it begins, from 1.
    pub step: u32,
}

/// What somebody said about a deployment under way.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct GuidanceView {
    /// When.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// Who.
    #[schema(value_type = String)]
    pub by: PersonName,
    /// `paused`, `resumed`, `retried`, `excluded`, `aborted`.
    pub word: String,
    /// With which targets, where with some only.
    #[schema(value_type = Vec<String>)]
    pub targets: Vec<TargetName>,
    /// Why, where a reason was given and not erased.
    pub reason: Option<String>,
}

/// One target's part in a deployment.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PartView {
    /// The target.
    #[schema(value_type = String)]
    pub target: TargetName,
    /// `waiting`, `at it`, `staged`, `verified`, `undone`, `failed`, `refused`, `going back`, `absent`, `left out`, `not begun`.
    pub state: String,
    /// What there is to say about it: how far it is, why it failed, why the target refused, what somebody should look at.
    pub detail: Option<String>,
    /// The phase that failed, where one did.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub failed_in: Option<Phase>,
    /// The code by which the target refused, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// What is wrong since it verified, where somebody has still to say whether it goes on in spite of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unwell: Option<String>,
    /// What becomes of it once it is heard of, where it is `absent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub once_heard: Option<String>,
    /// In which wave it had its turn, once it had.
    #[serde(default)]
    pub wave: Option<u32>,
    /// What ran there before.
    pub before: Option<BuildName>,
    /// Its phases.
    #[schema(value_type = Vec<Object>)]
    pub phases: Vec<PhaseTiming>,
    /// Where its processes listen.
    pub endpoints: Vec<String>,
}
