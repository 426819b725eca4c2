//! The config in force.

use api::read::ConfigView;
use domain::{
    refusal::Refusal,
    rules::names,
    state::{InAudience, State},
};
use std::collections::BTreeMap;
use trust::{AppName, AudienceName, Digest, TargetName, config::ConfigDocument};

/// The serial and document of a set, where there is one: of that with a serial, or of that in force.
pub(crate) fn set(
    state: &State,
    app: &AppName,
    environment: &AudienceName,
    serial: Option<u64>,
) -> Option<(u64, Digest)> {
    let here = state.in_audience(app, environment)?;
    match serial {
        Some(serial) => Some((serial, *here.config_sets.get(&serial)?)),
        None => here.config.as_ref().map(|config| (config.serial, config.document)),
    }
}

/// A set of config with its document, and what the newest build declares.
pub(crate) fn config(
    state: &State,
    app: &AppName,
    environment: &AudienceName,
    serial: u64,
    document: Option<ConfigDocument>,
) -> Result<ConfigView, Refusal> {
    let policy = state.policy.as_ref().ok_or(Refusal::NoEstate)?;
    let record = names::app(state, app)?;
    names::environment(policy, environment)?;
    let newest = record.builds.values().max_by_key(|build| build.stamp.entry);
    let in_audience = record.audiences.get(environment);
    let recipients = state.targets_in(environment).map(|(name, target)| (name.clone(), target.recipient.clone()));
    Ok(ConfigView {
        serial,
        document,
        declared: newest.map(|build| build.facts.config.clone()).unwrap_or_default(),
        recipients: recipients.collect::<BTreeMap<_, _>>(),
        vouched: BTreeMap::new(),
        lacking: in_audience.map(|record| lacking(state, record, environment)).unwrap_or_default(),
    })
}

/// The targets of the environment for whom the secrets in force were not encrypted.
pub(crate) fn lacking(state: &State, record: &InAudience, environment: &AudienceName) -> Vec<TargetName> {
    let Some(config) = &record.config else { return Vec::new() };
    if !config.keys.values().any(|is_secret| *is_secret) {
        return Vec::new();
    }
    let names = state.targets_in(environment).map(|(name, _)| name);
    names.filter(|name| !config.recipients.contains(*name)).cloned().collect()
}
