//! An audience may come after an environment: the same bytes were verified there first (R51), unless a way waives it.

use super::{Candidate, ways};
use crate::{refusal::Refusal, state::Policy};
use trust::{
    Version,
    way::{Waiver, Way},
};

/// Fails if the charter names an earlier environment in which this build was not verified by a whole deployment.
pub fn verified_before(policy: &Policy, candidate: &Candidate<'_>, way: Way) -> Result<String, Refusal> {
    let after = policy.charter.audience(candidate.audience).and_then(|audience| audience.after);
    let Some(after) = after else { return Ok("comes after no other environment".into()) };
    match candidate.record.verified_in.get(after) {
        Some(since) => Ok(format!("verified in {after} at {since:.0} by the same bytes")),
        None if ways::waives(policy, candidate, way, &Waiver::After) => {
            Ok(format!("not verified in {after}: waived by {way}"))
        }
        None => Err(Refusal::NotVerifiedBefore {
            app: candidate.app.clone(),
            version: candidate.version().cloned().unwrap_or_else(Version::first),
            after: after.clone(),
            audience: candidate.audience.clone(),
        }),
    }
}
