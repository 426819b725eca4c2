//! Applications and builds, where each came from, and what may be pruned.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use trust::{AppName, AudienceName, Digest, PersonName, VendorName, Version, dsse::Envelope, statement::Commit};
use utoipa::ToSchema;

/// A build, named as people name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BuildName {
    /// The manifest's digest.
    #[schema(value_type = String)]
    pub build: Digest,
    /// The number, where it has one.
    #[schema(value_type = Option<String>)]
    pub version: Option<Version>,
}

impl BuildName {
    /// `web@1.4.0`, or `web#3fa9c1` for a build without a number.
    pub fn of(&self, app: &AppName) -> String {
        match &self.version {
            Some(version) => format!("{app}@{version}"),
            None => format!("{app}#{}", self.build.short()),
        }
    }

    /// `1.4.0`, or `#3fa9c1` for a build without a number.
    pub fn short(&self) -> String {
        match &self.version {
            Some(version) => version.to_string(),
            None => format!("#{}", self.build.short()),
        }
    }
}

/// What a rollback goes back to where nobody names it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WayBack {
    /// The build.
    pub to: BuildName,
}

/// One application.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct App {
    /// Its name.
    #[schema(value_type = String)]
    pub app: AppName,
    /// Its builds, newest first.
    pub builds: Vec<Build>,
    /// The drafts that are not sealed, with the parts that each has.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub drafts: BTreeMap<String, Vec<String>>,
}

/// One build.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Build {
    /// The build.
    #[serde(flatten)]
    pub name: BuildName,
    /// When it was pushed.
    #[schema(value_type = String)]
    pub pushed: Timestamp,
    /// By whom.
    #[schema(value_type = String)]
    pub pusher: PersonName,
    /// Who made its parts, where it was put together from some.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub makers: Vec<Maker>,
    /// Since when its bytes are gone, where they were pruned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub pruned: Option<Timestamp>,
    /// The vendor that made it, where it was brought in and not pushed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub vendor: Option<VendorName>,
    /// What it was made from.
    #[schema(value_type = Option<Object>)]
    pub commit: Option<Commit>,
    /// By which command.
    pub recipe: Option<String>,
    /// How many files it has.
    pub files: u64,
    /// Their length in bytes.
    pub size_bytes: u64,
    /// Its evidence: type, verdict, summary.
    pub evidence: Vec<(String, bool, String)>,
    /// In which environments it was verified on every target that it is for.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub ran_in: Vec<AudienceName>,
    /// What it lists, where it is a package: `api 1.4.0, db 2.0.1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// Where it is released and a later version is too, and which: it is superseded there (R45).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub superseded: BTreeMap<AudienceName, Version>,
    /// Where a later version came though this one never did, and which: it was skipped there (R44).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub skipped: BTreeMap<AudienceName, Version>,
}

/// Who made parts of a build, and which, as far as that is known still.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Maker {
    /// Who.
    #[schema(value_type = String)]
    pub person: PersonName,
    /// The names of the parts.
    pub parts: Vec<String>,
}

/// A build that several jobs make.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DraftView {
    /// What its parts make together, once somebody said so.
    #[schema(value_type = Option<String>)]
    pub sealed: Option<Digest>,
    /// The signed statement of each part, in the order of their names.
    #[schema(value_type = Vec<Object>)]
    pub parts: Vec<Envelope>,
}

/// Objects of the depot that nothing names, and that nobody brought within a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Unnamed {
    /// How many.
    pub objects: u64,
    /// Their length in bytes, all together.
    pub bytes: u64,
}

/// What may be pruned of one application (R36).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Prunable {
    /// The application.
    #[schema(value_type = String)]
    pub app: AppName,
    /// The builds that may go, the newest first.
    pub builds: Vec<PrunableBuild>,
    /// How many builds stay.
    pub kept: u64,
    /// The builds that stay, the newest first, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept_builds: Vec<KeptBuild>,
    /// What would become free, in bytes.
    pub bytes: u64,
}

/// A build that may be pruned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrunableBuild {
    /// The build.
    #[schema(value_type = String)]
    pub build: Digest,
    /// Its number, where it has one.
    #[schema(value_type = Option<String>)]
    pub version: Option<Version>,
    /// When it was pushed.
    #[schema(value_type = String)]
    pub pushed: Timestamp,
}

/// A build that is not pruned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeptBuild {
    /// The build.
    #[serde(flatten)]
    pub name: BuildName,
    /// Why, in words.
    pub why: String,
}

/// Where a code change has got to (R16).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Trace {
    /// The full commit id.
    pub commit: String,
    /// The builds made from it.
    pub builds: Vec<TracedBuild>,
}

/// One build made from a commit.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TracedBuild {
    /// The application.
    #[schema(value_type = String)]
    pub app: AppName,
    /// The build.
    #[serde(flatten)]
    pub build: BuildName,
    /// When it was pushed.
    #[schema(value_type = String)]
    pub pushed: Timestamp,
    /// By whom.
    #[schema(value_type = String)]
    pub pusher: PersonName,
    /// The vendor that made it, where it was brought in and not pushed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub vendor: Option<VendorName>,
    /// The audiences that have a live permit.
    #[schema(value_type = Vec<String>)]
    pub released_to: Vec<AudienceName>,
    /// Where it runs, and on how many targets.
    #[schema(value_type = BTreeMap<String, u32>)]
    pub runs_in: BTreeMap<AudienceName, u32>,
    /// Where end users see it, and how many of them in percent.
    #[schema(value_type = BTreeMap<String, u8>)]
    pub exposed_in: BTreeMap<AudienceName, u8>,
}
