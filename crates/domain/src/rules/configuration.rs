//! Every config key a build declares has a value before anything is copied (R10); config never decides what code loads.

use crate::{event::BuildFacts, refusal::Refusal, state::InAudience};
use std::collections::BTreeMap;
use trust::{
    AppName, AudienceName,
    config::{ConfigError, check_keys},
    manifest::{Run, config_may_fill},
};

/// Fails if a declared key without a default has no value in the environment.
pub fn complete(
    app: &AppName,
    environment: &AudienceName,
    facts: &BuildFacts,
    in_audience: Option<&InAudience>,
) -> Result<(), Refusal> {
    let set =
        in_audience.and_then(|record| record.config.as_ref()).map(|config| config.keys.clone()).unwrap_or_default();
    let run = Run { config: facts.config.clone(), ..Run::default() };
    check_keys(&run, &set).map_err(|error| match error {
        ConfigError::Missing(keys) => {
            let is_secret = |key: &&String| facts.config.get(*key).is_some_and(|declared| declared.secret);
            let secret = keys.iter().find(is_secret).cloned();
            Refusal::ConfigMissing { app: app.clone(), environment: environment.clone(), keys, secret }
        }
        other => Refusal::ConfigRefused { why: other.to_string() },
    })
}

/// Fails if a config set has a key that no build of the application declares, that may not be filled, or that shows a
/// secret in the clear. `declared` are the keys of all builds.
pub fn acceptable(set: &BTreeMap<String, bool>, declared: &BTreeMap<String, bool>) -> Result<(), Refusal> {
    for (key, is_secret) in set {
        if !config_may_fill(key) {
            return Err(Refusal::ConfigRefused { why: ConfigError::Loader(key.clone()).to_string() });
        }
        match declared.get(key) {
            None => return Err(Refusal::ConfigRefused { why: undeclared(key, declared) }),
            Some(true) if !is_secret => {
                return Err(Refusal::ConfigRefused { why: ConfigError::NotSecret(key.clone()).to_string() });
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn undeclared(key: &str, declared: &BTreeMap<String, bool>) -> String {
    let nearest = super::names::nearest(key, declared.keys().map(String::as_str));
    let hint = nearest.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
    format!("no build declares the config key {}{hint}", trust::names::printable(key))
}
