//! The values an environment gives to the config keys that a manifest declares.

use crate::{
    digest::Digest,
    json::{self, JsonError},
    manifest::{Run, config_may_fill},
    names::{AppName, AudienceName},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The longest config document that is read, in bytes.
pub const MAX_CONFIG_BYTES: usize = 1 << 20;

/// The document whose digest a config statement signs. It lives in the depot, never in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigDocument {
    /// The application.
    pub app: AppName,
    /// Where it holds.
    pub environment: AudienceName,
    /// The values by key.
    pub values: BTreeMap<String, ConfigValue>,
    /// Random hexadecimal digits, so that the digest in the ledger betrays no guessable value.
    pub salt: String,
}

/// One value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfigValue {
    /// Shown to anyone who may read.
    Plain(String),
    /// An ASCII-armoured age file, encrypted to the environment's targets.
    Secret(String),
}

/// Why config and manifest do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The manifest declares no such key.
    #[error("the build declares no config key {0}")]
    Undeclared(String),
    /// A key that decides what code is loaded.
    #[error("{0} decides what code a process loads, so config may not set it: put it in [environment] of sortie.toml")]
    Loader(String),
    /// A secret given in the clear, or the reverse.
    #[error("{0} is declared as a secret: set it with --secret")]
    NotSecret(String),
    /// Keys without a default that nothing sets.
    #[error("{} has no value", .0.join(", "))]
    Missing(Vec<String>),
}

impl ConfigDocument {
    /// The document's bytes: what is digested and stored.
    pub fn to_bytes(&self) -> Result<Vec<u8>, JsonError> {
        json::sorted(self)
    }

    /// Reads a document's bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, JsonError> {
        json::from_strict(bytes)
    }

    /// The digest of [`Self::to_bytes`].
    pub fn digest(&self) -> Result<Digest, JsonError> {
        Ok(Digest::of(&self.to_bytes()?))
    }

    /// Which keys the document sets, and whether each is a secret.
    pub fn keys(&self) -> BTreeMap<String, bool> {
        let is_secret = |value: &ConfigValue| matches!(value, ConfigValue::Secret(_));
        self.values.iter().map(|(key, value)| (key.clone(), is_secret(value))).collect()
    }
}

/// Checks the keys of a config set against what a build declares. Keys set but not declared by this build are ignored:
/// an environment's set outlives builds, and only declared keys reach a process.
pub fn check_keys(run: &Run, set: &BTreeMap<String, bool>) -> Result<(), ConfigError> {
    for (key, declared) in &run.config {
        match set.get(key) {
            Some(_) if !config_may_fill(key) => return Err(ConfigError::Loader(key.clone())),
            Some(false) if declared.secret => return Err(ConfigError::NotSecret(key.clone())),
            _ => {}
        }
    }
    let unset = |(key, declared): (&String, &crate::manifest::ConfigKey)| {
        (declared.default.is_none() && !set.contains_key(key)).then(|| key.clone())
    };
    let missing: Vec<String> = run.config.iter().filter_map(unset).collect();
    if missing.is_empty() { Ok(()) } else { Err(ConfigError::Missing(missing)) }
}
