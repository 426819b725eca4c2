//! Only a dev environment accepts builds that were never released (R2, R21); they are marked as such everywhere.

use super::Candidate;
use crate::{refusal::Refusal, state::Policy};
use trust::{AudienceName, charter::Class};

/// Whether the audience is an environment of class dev.
pub fn accepted(policy: &Policy, audience: &AudienceName) -> bool {
    policy.charter.environments.get(audience).is_some_and(|environment| environment.class == Class::Dev)
}

/// The refusal of a build without a release.
pub fn refusal(policy: &Policy, candidate: &Candidate<'_>) -> Refusal {
    let class =
        policy.charter.environments.get(candidate.audience).map_or(Class::Live, |environment| environment.class);
    Refusal::Unreleased {
        app: candidate.app.clone(),
        build: candidate.build,
        version: candidate.version().cloned(),
        environment: candidate.audience.clone(),
        class,
    }
}
