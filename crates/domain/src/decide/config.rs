//! Setting config: signed, numbered, and without any effect on what runs.

use super::Asked;
use crate::{
    command::Signed,
    event::Event,
    refusal::{Refusal, Right},
    rules::{configuration, names, rights},
    state::Draft,
};
use std::collections::BTreeMap;
use trust::statement::Config;

/// Sets config for an application in an environment.
pub(super) fn set(draft: &mut Draft, asked: &Asked<'_>, signed: Signed<Config>) -> Result<(), Refusal> {
    let Config { app, environment, serial, keys, recipients } = signed.act;
    let charter_environment = names::environment(&asked.policy, &environment)?;
    let rule = charter_environment.configure.as_ref().unwrap_or(&charter_environment.deploy);
    rights::require(&asked.context.actor, Right::Configure, &environment, rule)?;
    let record = names::app(&draft.state, &app)?;
    let mut declared = BTreeMap::new();
    for build in record.builds.values() {
        // Once a secret, always a secret: an older build's word is not taken back by a newer one's.
        for (key, config_key) in &build.facts.config {
            *declared.entry(key.clone()).or_insert(false) |= config_key.secret;
        }
    }
    configuration::acceptable(&keys, &declared)?;
    let current = record.audiences.get(&environment).and_then(|record| record.config.as_ref());
    let next = current.map_or(0, |config| config.serial) + 1;
    if serial != next {
        return Err(Refusal::ConfigStale { next });
    }
    for target in &recipients {
        let target_record = names::target(&draft.state, target)?;
        if target_record.environment != environment {
            return Err(Refusal::ConfigRefused { why: format!("{target} is not in {environment}") });
        }
    }
    draft.record(Event::ConfigSet { app, environment, serial, document: signed.subject, keys, recipients });
    Ok(())
}
