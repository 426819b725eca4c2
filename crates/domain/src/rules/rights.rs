//! Each right belongs to roles of the charter (R15, R32): who may push, request, approve, withdraw, deploy, configure,
//! invite. No right implies another.

use crate::{
    command::Actor,
    refusal::{Refusal, Right},
};
use std::fmt::Display;
use trust::{PersonName, charter::OWNER, quorum::Rule};

/// The person or robot who acts, if `rule` allows one with their roles to act alone.
pub fn require<'a>(
    actor: &'a Actor,
    right: Right,
    place: &dyn Display,
    rule: &Rule,
) -> Result<&'a PersonName, Refusal> {
    match actor {
        Actor::Person { name, roles, .. } if rule.allows_alone(roles) => Ok(name),
        _ => Err(missing(actor, right, place, Some(rule))),
    }
}

/// The owner who acts.
pub fn require_owner<'a>(actor: &'a Actor, place: &dyn Display) -> Result<&'a PersonName, Refusal> {
    match actor {
        Actor::Person { name, roles, .. } if roles.iter().any(|role| role.as_str() == OWNER) => Ok(name),
        _ => Err(missing(actor, Right::Own, place, OWNER.parse().ok().as_ref())),
    }
}

/// Anyone of the charter who holds some role.
pub fn require_member<'a>(actor: &'a Actor, right: Right, place: &dyn Display) -> Result<&'a PersonName, Refusal> {
    match actor {
        Actor::Person { name, roles, .. } if !roles.is_empty() => Ok(name),
        _ => Err(missing(actor, right, place, None)),
    }
}

/// Anyone who may read something: of the charter's members and customers.
pub fn require_reader<'a>(actor: &'a Actor, place: &dyn Display) -> Result<&'a PersonName, Refusal> {
    match actor {
        Actor::Customer { name, roles } if !roles.is_empty() => Ok(name),
        actor => require_member(actor, Right::Read, place),
    }
}

/// The refusal for an actor who lacks the role.
pub fn missing(actor: &Actor, right: Right, place: &dyn Display, needs: Option<&Rule>) -> Refusal {
    let roles = match actor {
        Actor::Person { roles, .. } | Actor::Customer { roles, .. } => roles.iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    };
    Refusal::RoleMissing { right, place: place.to_string(), needs: needs.cloned(), roles }
}
