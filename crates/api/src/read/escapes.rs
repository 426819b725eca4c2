//! What runs without permission, with what targets signed.

use super::{BuildName, Vouched};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use trust::{AppName, AudienceName, Digest, TargetName, statement::Finding};
use utoipa::ToSchema;

/// What runs without permission, and what is not as it should be (R37).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Escapes {
    /// What was found.
    pub escapes: Vec<Escape>,
    /// How fresh each target's answer is.
    #[schema(value_type = BTreeMap<String, Option<String>>)]
    pub scanned: BTreeMap<TargetName, Option<Timestamp>>,
    /// What each target itself signed, for whoever would rather not take the server's word.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub signed: BTreeMap<TargetName, SignedInventory>,
    /// The statements behind each build that those inventories name.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    pub active: Vec<ActiveBuild>,
}

/// One escape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Escape {
    /// On which target.
    #[schema(value_type = String)]
    pub target: TargetName,
    /// In which environment.
    #[schema(value_type = String)]
    pub environment: AudienceName,
    /// What is wrong, in words.
    pub what: String,
    /// The finding behind it, where it is one of files.
    #[schema(value_type = Option<Object>)]
    pub finding: Option<Finding>,
    /// The build that runs without permission, where it is one.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub build: Option<Digest>,
}

/// A target's newest inventory, and what vouches for the key that signed it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SignedInventory {
    /// The statements by which it joined.
    pub vouched: Option<Vouched>,
    /// The inventory.
    pub inventory: Option<trust::dsse::Envelope>,
}

/// A build that is active somewhere, with what permits it there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ActiveBuild {
    /// The application.
    pub app: AppName,
    /// The build.
    pub name: BuildName,
    /// In which environment.
    pub environment: AudienceName,
    /// The statements behind it. Where permits are for some targets only, the build stands in several, each with another.
    pub dossier: trust::authority::Dossier,
}
