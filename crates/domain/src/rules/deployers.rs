//! An application is deployed by us, or by the customers it was released to, or by nobody because it is built into
//! something else (R22, R24). In test and dev its makers may try it all the same.

use super::Candidate;
use crate::{refusal::Refusal, state::Policy};
use trust::{
    AppName, AudienceName,
    charter::{Charter, DeployedBy},
};

/// Who deploys the application there, where it is not us; nothing for a channel, to which nobody deploys.
pub fn others(charter: &Charter, app: &AppName, audience: &AudienceName) -> Option<DeployedBy> {
    let by = charter.deployed_by(app, charter.environments.get(audience)?.class);
    (by != DeployedBy::Us).then_some(by)
}

/// What that means, for whoever would deploy it or asks for permission to.
pub fn in_words(app: &AppName, by: DeployedBy) -> String {
    match by {
        DeployedBy::Us => format!("{app} is deployed by us"),
        DeployedBy::Customer => {
            format!("{app} is deployed by its customers: release it to their channel, and they install it")
        }
        DeployedBy::Embedded => {
            format!("{app} is embedded: it goes where the product that contains it goes, and nobody deploys it")
        }
    }
}

/// Fails where the charter says that others deploy the application.
pub fn deployed_by_us(policy: &Policy, candidate: &Candidate<'_>) -> Result<(), Refusal> {
    match others(&policy.charter, candidate.app, candidate.audience) {
        None => Ok(()),
        Some(by) => Err(Refusal::DeployedByOthers {
            app: candidate.app.clone(),
            version: candidate.version().cloned(),
            by,
            channels: policy.charter.channels.keys().cloned().collect(),
        }),
    }
}
