//! What stands behind a version in an audience: its conditions, and what was signed.

use super::BuildName;
use serde::{Deserialize, Serialize};
use trust::{AudienceName, PersonName, authority::Dossier, dsse::Envelope};
use utoipa::ToSchema;

/// Every condition of deploying a version to an environment.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Why {
    /// `web@1.4.0`.
    pub what: String,
    /// Where.
    #[schema(value_type = String)]
    pub audience: AudienceName,
    /// Whether it may be deployed now.
    pub may: bool,
    /// The conditions.
    pub conditions: Vec<Condition>,
    /// The orders that stand there, for this version or another one of the application, or that somebody paused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub standing: Vec<StandingOrder>,
    /// What runs there, in words.
    pub runs: String,
    /// Who sees it, in words.
    pub seen: String,
}

/// An order that stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StandingOrder {
    /// The deployment's number.
    pub deployment: u64,
    /// What it brings and waits for, in words.
    pub what: String,
    /// What may be done about it, in words with the commands to type.
    pub remedy: String,
}

/// One condition.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Condition {
    /// Whether it is met.
    pub met: bool,
    /// What it is, in words.
    pub what: String,
    /// Who can meet it, or what to type.
    pub remedy: Option<String>,
}

/// Every signed statement behind a version in an audience.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DossierView {
    /// The build.
    #[serde(flatten)]
    pub name: BuildName,
    /// The statements.
    #[schema(value_type = Object)]
    pub dossier: Dossier,
    /// The serial the next request for it gets.
    pub next_serial: u64,
    /// The version that runs or was last released there, to compare with.
    pub since: Option<BuildName>,
    /// The requests before the newest one, the oldest first.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    pub earlier_requests: Vec<Envelope>,
    /// Why it was requested, where a reason was given and not erased: its digest stands in the request.
    #[serde(default)]
    pub reason: Option<crate::write::Text>,
    /// The reasons of the dossier's withdrawals, as far as they were given and not erased; their digests stand in them.
    #[serde(default)]
    pub withdrawal_reasons: Vec<crate::write::Text>,
    /// Why it may not be activated there now, whatever permit it has: the audience's floor, a hold.
    #[serde(default)]
    pub barred: Vec<crate::problem::Problem>,
    /// The packages that list it and were asked for there: `shop@1.0.0`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<String>,
    /// Whoever pushed a member of it, where it is a package: where authors do not count, they do not either.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub makers: Vec<PersonName>,
}
