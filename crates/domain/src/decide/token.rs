//! Read-only tokens: made by whoever they read for, ended by them or by an owner.

use super::Asked;
use crate::{event::Event, policy, refusal::Refusal, rules::rights, state::Draft};
use jiff::{SignedDuration, Timestamp};
use trust::{Digest, TokenName};

/// Makes a token. Anyone of the charter who holds a role may make some for themselves, customers too.
pub(super) fn create(
    draft: &mut Draft,
    asked: &Asked<'_>,
    token: Digest,
    name: TokenName,
    expires: Timestamp,
) -> Result<(), Refusal> {
    let holder = rights::require_reader(&asked.context.actor, &"the estate")?.clone();
    let now = asked.context.now;
    let longest = SignedDuration::from_hours(24 * policy::TOKEN_DAYS) + SignedDuration::from_mins(10);
    if expires <= now || expires > now.checked_add(longest).unwrap_or(Timestamp::MAX) {
        return Err(Refusal::Invalid { why: format!("a token is good for at most {} days", policy::TOKEN_DAYS) });
    }
    if draft.state.tokens.contains_key(&token) {
        return Err(Refusal::Invalid { why: "this secret was used before".into() });
    }
    let live = draft.state.tokens.values().filter(|token| token.holder == holder && token.expires > now);
    let names: Vec<&TokenName> = live.map(|token| &token.name).collect();
    if names.contains(&&name) {
        return Err(Refusal::Invalid { why: format!("you have a token {name} already: revoke it first") });
    }
    if names.len() >= policy::TOKENS_EACH {
        return Err(Refusal::Invalid { why: format!("you have {} tokens, which is all one may have", names.len()) });
    }
    draft.record(Event::TokenCreated { token, holder, name, expires });
    Ok(())
}

/// Ends a token.
pub(super) fn revoke(draft: &mut Draft, asked: &Asked<'_>, token: Digest) -> Result<(), Refusal> {
    let actor = &asked.context.actor;
    let found = draft.state.tokens.get(&token).cloned();
    let mine = found.as_ref().is_some_and(|found| found.holder.as_str() == actor.name());
    if !mine {
        rights::require_owner(actor, &"others' tokens")?;
    }
    let found = found.ok_or(Refusal::Invalid { why: "there is no such token, or it is long over".into() })?;
    draft.record(Event::TokenRevoked { token, holder: found.holder, name: found.name });
    Ok(())
}
