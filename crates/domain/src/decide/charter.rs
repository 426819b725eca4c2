//! Putting a charter in force, and suspending people.

use super::Asked;
use crate::{
    command::{Actor, Context},
    event::Event,
    refusal::{Refusal, Right},
    rules::rights,
    state::{Draft, Policy},
};
use trust::{PersonName, key::KeyId};

/// Puts a charter in force. Its owners' signatures were verified; who brings it must be an owner too, suspended or not, or
/// hold the claim of a server without an estate.
pub(super) fn apply(draft: &mut Draft, context: &Context, new: &Policy) -> Result<(), Refusal> {
    let mut known_roots = 0;
    match &draft.state.policy {
        None if context.actor != Actor::Founder => return Err(Refusal::NoEstate),
        None => {}
        Some(old) => {
            if !owns(&context.actor, old) && !recovers(&context.actor, old, new) {
                rights::require_owner(&context.actor, &"the charter")?;
            }
            if new.record.estate != old.record.estate {
                return Err(Refusal::OtherEstate);
            }
            if new.record.version <= old.record.version || new.record.root_version < old.record.root_version {
                return Err(Refusal::CharterStale { in_force: old.record.version });
            }
            if new.charter.epoch < old.charter.epoch {
                let why = format!(
                    "the epoch cannot go back from {}: begin with the charter that is in force, sortie charter show > charter.toml",
                    old.charter.epoch
                );
                return Err(Refusal::Invalid { why });
            }
            known_roots = old.record.roots.len();
        }
    }
    if let Some((name, window)) = new.charter.unknown_zone() {
        let zone = window.unknown_zone().unwrap_or_default();
        let why = format!("{name}: no time zone is called {} (window \"{window}\")", trust::names::printable(zone));
        return Err(Refusal::Invalid { why });
    }
    let record = &new.record;
    draft.record(Event::CharterApplied {
        estate: record.estate,
        root_version: record.root_version,
        owners: record.owners.clone(),
        version: record.version,
        charter: record.charter.clone(),
        roots: record.roots.get(known_roots..).unwrap_or_default().to_vec(),
        targets: record.targets,
        facts: record.facts.clone(),
    });
    Ok(())
}

/// Whether an owner brings it. One of them may suspend all the others, and what they sign together gives the power back:
/// so whoever is suspended brings it all the same.
fn owns(actor: &Actor, old: &Policy) -> bool {
    matches!(actor, Actor::Person { key, .. } if old.is_owners(key))
}

/// Whether a holder of the root in force brings the next root. Owners whose keys are lost can bring nothing themselves;
/// who may sign the next root may bring it, and with it the charter that its owners signed.
fn recovers(actor: &Actor, old: &Policy, new: &Policy) -> bool {
    let Actor::Person { key, .. } = actor else { return false };
    new.record.root_version > old.record.root_version
        && old.holder(key).is_some()
        && old.record.facts.root_holders.iter().any(|(_, holder)| holder.id() == *key)
}

/// Records that a recovery key is not any more where it was made.
pub(super) fn put_recovery_away(draft: &mut Draft, asked: &Asked<'_>, key: &KeyId) -> Result<(), Refusal> {
    let owner = rights::require_owner(&asked.context.actor, &"the recovery key")?.clone();
    if !asked.policy.recovery_keys().any(|(_, known)| known.id() == *key) {
        return Err(Refusal::Invalid { why: "the root of trust has no such recovery key".into() });
    }
    if draft.state.recovery_put_away.contains(key) {
        return Err(Refusal::AlreadyDone { what: "the recovery key is put away".into(), since: None });
    }
    draft.record(Event::RecoveryKeyPutAway { key: *key, owner });
    Ok(())
}

/// Any one owner, or the person, may suspend a person at once.
pub(super) fn suspend(draft: &mut Draft, asked: &Asked<'_>, person: &PersonName) -> Result<(), Refusal> {
    let actor = &asked.context.actor;
    let charter = &asked.policy.charter;
    let is_owner = asked.policy.record.owners.iter().any(|(owner, _)| owner == person);
    if !charter.names(person) && !is_owner {
        return Err(Refusal::UnknownPerson { name: person.clone() });
    }
    let is_self = matches!(actor, Actor::Person { name, .. } if name == person);
    if !is_self {
        rights::require_owner(actor, &"people's powers")
            .map_err(|_| rights::missing(actor, Right::Own, &"people's powers", "owner".parse().ok().as_ref()))?;
    }
    if draft.state.suspended.contains(person) {
        let what = format!("{person} is suspended");
        return Err(Refusal::AlreadyDone { what, since: None });
    }
    draft.record(Event::PersonSuspended { person: person.clone() });
    Ok(())
}
