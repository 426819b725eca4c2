//! What begins, ends or is planned, and the freezes.

use super::BuildName;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use trust::{AppName, AudienceName, Digest, PersonName, TargetName, Version};
use utoipa::ToSchema;

/// How far a calendar looks ahead unless asked otherwise.
pub const CALENDAR_AHEAD: SignedDuration = SignedDuration::from_hours(24 * 14);

/// How far a calendar looks ahead at most.
pub const LONGEST_CALENDAR: SignedDuration = SignedDuration::from_hours(24 * 731);

/// Something that begins, ends or is planned (R1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CalendarEntry {
    /// What it is.
    pub kind: CalendarKind,
    /// Where.
    #[schema(value_type = String)]
    pub environment: AudienceName,
    /// When it begins, or is.
    #[schema(value_type = String)]
    pub from: Timestamp,
    /// When it ends; of a planned deployment, when it is dropped if it has not begun.
    #[schema(value_type = Option<String>)]
    pub until: Option<Timestamp>,
    /// The number of the deployment or freeze.
    pub number: Option<u64>,
    /// The application.
    #[schema(value_type = Option<String>)]
    pub app: Option<AppName>,
    /// The build.
    pub build: Option<BuildName>,
    /// The applications that a freeze is about; empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub apps: Vec<AppName>,
    /// Why it will not come true as it stands.
    #[serde(default)]
    pub clashes: Vec<String>,
    /// Why a freeze was declared, unless that was erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether the deployment has begun, and goes on then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub begun: bool,
    /// Where a deployment that is over comes then: these targets missed it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub missed_by: Vec<TargetName>,
    /// Whether the windows open further times that are not listed, after this.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

/// What stands in a calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CalendarKind {
    /// A deployment that is planned.
    Deployment,
    /// Nothing new is activated.
    Freeze,
    /// A window is open.
    Window,
    /// From then on a version may run.
    PermitBegins,
    /// From then on a version may not be activated any more.
    PermitEnds,
    /// The time of an environment's last target is over, and everything there is removed.
    EnvironmentEnds,
}

/// A time in which nothing new is activated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FreezeView {
    /// Its number.
    pub number: u64,
    /// The digest of its signed declaration: its identity.
    #[schema(value_type = String)]
    pub freeze: Digest,
    /// The environments it reaches by the charter in force.
    #[schema(value_type = Vec<String>)]
    pub environments: Vec<AudienceName>,
    /// Whether it was declared for everything live.
    pub all_live: bool,
    /// The applications it is about; empty means all.
    #[schema(value_type = Vec<String>)]
    pub apps: Vec<AppName>,
    /// From when.
    #[schema(value_type = String)]
    pub from: Timestamp,
    /// Until when.
    #[schema(value_type = String)]
    pub until: Timestamp,
    /// Why, unless it was erased.
    pub reason: Option<String>,
    /// Who declared it.
    #[schema(value_type = String)]
    pub by: PersonName,
    /// The versions that pass.
    pub exceptions: Vec<FreezeException>,
    /// Who lifted it, and when.
    #[schema(value_type = Option<(String, String)>)]
    pub lifted: Option<(PersonName, Timestamp)>,
    /// Whether it stops anything now.
    pub is_on: bool,
    /// Who may lift it or except from it: all of these rules.
    pub may_lift: Vec<String>,
    /// What was signed about it, where it was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub statements: Vec<trust::dsse::Envelope>,
}

impl FreezeView {
    /// Whether it is on at that moment and keeps this build of the application out of an environment, as far as the build by itself goes:
    /// what comes with a package passes with that.
    pub fn stops(&self, app: &AppName, build: &Digest, environment: &AudienceName, at: Timestamp) -> bool {
        let is_on = self.lifted.is_none() && self.from <= at && at < self.until;
        let is_meant = self.environments.contains(environment) && (self.apps.is_empty() || self.apps.contains(app));
        is_on && is_meant && !self.excepts(build)
    }

    /// Whether this build passes.
    pub fn excepts(&self, build: &Digest) -> bool {
        self.exceptions.iter().any(|passes| passes.build == *build)
    }
}

/// A version that passes a freeze.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FreezeException {
    /// The application.
    #[schema(value_type = String)]
    pub app: AppName,
    /// The version.
    #[schema(value_type = String)]
    pub version: Version,
    /// The build.
    #[schema(value_type = String)]
    pub build: Digest,
    /// Who says so.
    #[schema(value_type = String)]
    pub by: PersonName,
    /// Why, unless it was erased.
    pub reason: Option<String>,
    /// Since when.
    #[schema(value_type = String)]
    pub since: Timestamp,
}
