//! An audience may come after an environment: the same bytes were verified there first (R51), unless a way waives it.

use super::{Candidate, packages, ways};
use crate::{
    refusal::Refusal,
    state::{Aside, Policy, State},
};
use std::collections::BTreeSet;
use trust::{
    AudienceName, TargetName, Version,
    way::{Waiver, Way},
};

/// Fails if the charter names an earlier environment in which this build was not verified by a whole deployment.
pub fn verified_before(state: &State, policy: &Policy, candidate: &Candidate<'_>, way: Way) -> Result<String, Refusal> {
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
            away: away(state, candidate, after),
        }),
    }
}

/// Those that the deployment that stands there left out, since nobody had heard of them, where it brought this build; of a package,
/// those that its members' did.
fn away(state: &State, candidate: &Candidate<'_>, there: &AudienceName) -> Vec<TargetName> {
    let standing = state.in_audience(candidate.app, there).and_then(|here| here.standing);
    let deployment = standing.and_then(|number| state.deployments.get(&number));
    let Some(deployment) = deployment.filter(|deployment| deployment.build == candidate.build) else {
        return Vec::new();
    };
    let of_members = packages::begun(state, deployment).map(|(_, _, member)| member);
    let parts = std::iter::once(deployment).chain(of_members).flat_map(|deployment| deployment.parts.iter());
    let away: BTreeSet<&TargetName> =
        parts.filter(|(_, part)| part.aside == Some(Aside::Away)).map(|(name, _)| name).collect();
    away.into_iter().cloned().collect()
}
