//! The human names behind handles, and erasing a person: the handle stays, everything that says who it was goes.

use super::Asked;
use crate::{
    command::Actor,
    event::Event,
    refusal::{Refusal, Right},
    rules::rights,
    state::Draft,
};
use trust::{Digest, PersonName, quorum::Rule};

/// An owner, or the person, unless suspended: a stolen key must not erase whose it was.
fn require_owner_or_self(asked: &Asked<'_>, person: &PersonName) -> Result<(), Refusal> {
    let actor = &asked.context.actor;
    let is_suspended = asked.policy.record.suspended.contains(person);
    if matches!(actor, Actor::Person { name, .. } if name == person && !is_suspended) {
        return Ok(());
    }
    let owner = "owner".parse::<Rule>().ok();
    rights::require_owner(actor, &"people's names")
        .map(|_| ())
        .map_err(|_| rights::missing(actor, Right::Own, &"people's names", owner.as_ref()))
}

/// Says who a handle is, or says it no longer.
pub(super) fn name(
    draft: &mut Draft,
    asked: &Asked<'_>,
    person: PersonName,
    name: Option<Digest>,
) -> Result<(), Refusal> {
    require_owner_or_self(asked, &person)?;
    if draft.state.people.get(&person).is_some_and(|known| known.erased.is_some()) {
        let why = format!("{person} was erased, for good: give a person who comes back another handle");
        return Err(Refusal::Invalid { why });
    }
    let charter = &asked.policy.charter;
    let is_owner = asked.policy.record.owners.iter().any(|(owner, _)| *owner == person);
    if !charter.names(&person) && !is_owner {
        return Err(Refusal::UnknownPerson { name: person });
    }
    draft.record(Event::PersonNamed { person, name });
    Ok(())
}

/// Erases a person. What is erased is not said: who, when, and which handle.
pub(super) fn erase(draft: &mut Draft, asked: &Asked<'_>, person: PersonName) -> Result<(), Refusal> {
    require_owner_or_self(asked, &person)?;
    if let Some(erased) = draft.state.people.get(&person).and_then(|known| known.erased) {
        return Err(Refusal::AlreadyDone { what: format!("{person} is erased"), since: Some(erased.time) });
    }
    draft.record(Event::PersonErased { person });
    Ok(())
}
