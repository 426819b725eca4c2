//! What a permit lacks: the one evaluation of approvals, used by the server when it decides and by the agent when it
//! checks, so that the two can never disagree.

use crate::{
    charter::Audience,
    key::KeyId,
    names::PersonName,
    quorum::{Directory, Lack, Rule},
    way::Way,
};

/// Whether an approval by this key can count in the audience: it is an approver's, and held in hardware where the audience
/// demands that.
pub fn may_approve_with(key: &KeyId, audience: &Audience<'_>, approvers: &Directory) -> bool {
    approvers.person(key).is_some() && (!audience.hardware || approvers.is_in_hardware(key))
}

/// What the approvals made with `keys` lack for a request to `audience`.
///
/// A permit must satisfy the rule the request names AND the one that the charter in force has for its way; a way that the
/// charter does not have is satisfied by nobody. `approvers` must hold neither robots nor suspended people; `authors` (the
/// requester and the pusher) do not count where the way excludes them.
pub fn lacks(
    requires: &Rule,
    way: Way,
    audience: &Audience<'_>,
    approvers: &Directory,
    authors: &[&PersonName],
    keys: &[KeyId],
) -> Vec<Lack> {
    let Some(terms) = audience.terms(way) else { return requires.judge([], approvers).lacks };
    let is_author = |key: &KeyId| approvers.person(key).is_some_and(|person| authors.contains(&person));
    let counts =
        |key: &&KeyId| may_approve_with(key, audience, approvers) && !(terms.excludes_author && is_author(key));
    let counted: Vec<KeyId> = keys.iter().filter(counts).copied().collect();
    let lacks = requires.judge(counted.iter().copied(), approvers).lacks;
    match terms.approve {
        Some(rule) if lacks.is_empty() => rule.judge(counted, approvers).lacks,
        _ => lacks,
    }
}
