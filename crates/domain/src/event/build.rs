//! What is recorded of a build.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use trust::{
    AppName,
    manifest::{ConfigKey, Driver, Member, Needs},
};

/// What the domain must know of a build's manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BuildFacts {
    /// What installs it.
    pub driver: Driver,
    /// How many files and links it has.
    pub files: u64,
    /// The sum of the files' lengths.
    pub size_bytes: u64,
    /// The names of its processes.
    pub processes: Vec<String>,
    /// The labels a target must carry.
    pub on: BTreeMap<String, String>,
    /// The config keys it declares.
    pub config: BTreeMap<String, ConfigKey>,
    /// What a target must be and have.
    pub needs: Needs,
    /// Whether and how it changes the application's data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrate: Option<MigrateFacts>,
    /// How long it may take on a target by what its own manifest says, besides what any build may, in seconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub takes_seconds: u32,
    /// Whether its copies can run and serve nobody.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub can_stand_by: bool,
    /// The versions of others that it lists, where it is a package.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub package: BTreeMap<AppName, Member>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What the domain must know of a build's migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrateFacts {
    /// Whether the build says how it is taken back.
    pub has_undo: bool,
}
