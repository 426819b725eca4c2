//! An application is deployed by us, or by the customers it was released to, or by nobody because it is built into
//! something else (R22, R24). In test and dev its makers may try it all the same.

use super::Candidate;
use crate::{refusal::Refusal, state::Policy};
use trust::charter::DeployedBy;

/// Fails where the charter says that others deploy the application.
pub fn deployed_by_us(policy: &Policy, candidate: &Candidate<'_>) -> Result<(), Refusal> {
    let Some(environment) = policy.charter.environments.get(candidate.audience) else {
        return Ok(());
    };
    match policy.charter.deployed_by(candidate.app, environment.class) {
        DeployedBy::Us => Ok(()),
        by => Err(Refusal::DeployedByOthers {
            app: candidate.app.clone(),
            version: candidate.version().cloned(),
            by,
            channels: policy.charter.channels.keys().cloned().collect(),
        }),
    }
}
