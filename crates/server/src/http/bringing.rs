//! Who may bring objects into the depot: whoever may do something that needs them there. What nobody may use would only fill
//! the disk.

use super::{failure::Failure, sessions::KnownPerson};
use domain::{
    refusal::{Refusal, Right},
    state::State,
};
use std::collections::BTreeSet;
use trust::{
    RoleName,
    charter::{Charter, OWNER},
    evidence::MAX_DOCUMENT_BYTES,
    quorum::Rule,
};

/// The longest object, in bytes.
const OBJECT_BYTES: u64 = 16 << 30;

/// How long an object may be that this person brings; or why they bring none.
pub(crate) fn most_bytes(state: &State, person: &KnownPerson) -> Result<u64, Failure> {
    let policy = state.policy.as_ref().ok_or(Refusal::NoEstate)?;
    let charter = &policy.charter;
    if may_bring_builds(charter, &person.roles) {
        return Ok(OBJECT_BYTES);
    }
    // Evidence of a type that nobody asks for is taken of anyone whose role counts for something.
    if person.roles.iter().any(|role| counts(charter, role)) {
        return Ok(MAX_DOCUMENT_BYTES);
    }
    let roles = person.roles.iter().map(ToString::to_string).collect();
    let place = "any application, and needs no objects here".to_string();
    Err(Refusal::RoleMissing { right: Right::Push, place, needs: Some(charter.push.clone()), roles }.into())
}

/// Fails unless this person may bring builds: in packs, and of any length.
pub(crate) fn require_builds(state: &State, person: &KnownPerson) -> Result<(), Failure> {
    let policy = state.policy.as_ref().ok_or(Refusal::NoEstate)?;
    if may_bring_builds(&policy.charter, &person.roles) {
        return Ok(());
    }
    let roles = person.roles.iter().map(ToString::to_string).collect();
    let (place, needs) = ("any application".to_string(), Some(policy.charter.push.clone()));
    Err(Refusal::RoleMissing { right: Right::Push, place, needs, roles }.into())
}

/// Whether somebody with these roles may push some application, or bring in what a vendor released.
fn may_bring_builds(charter: &Charter, roles: &BTreeSet<RoleName>) -> bool {
    let own = charter.applications.values().filter_map(|application| application.push.as_ref());
    let pushes = own.chain([&charter.push]).any(|rule| rule.allows_alone(roles));
    pushes || (!charter.vendors.is_empty() && !roles.is_empty())
}

/// Whether some rule of the charter names the role.
fn counts(charter: &Charter, role: &RoleName) -> bool {
    let names = |rule: &Rule| rule.roles().contains(role);
    let in_environment = charter.environments.values().any(|environment| {
        let optional = [&environment.configure, &environment.invite, &environment.hasten, &environment.freeze];
        names(&environment.deploy) || optional.into_iter().flatten().any(names)
    });
    let in_audience = charter.audience_names().filter_map(|name| charter.audience(name)).any(|audience| {
        audience.approve.is_some_and(names)
            || audience.evidence.values().any(|gate| names(&gate.from))
            || audience.ways.values().any(|way| names(&way.approve))
    });
    role.as_str() == OWNER || in_environment || in_audience
}
