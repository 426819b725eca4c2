//! A release needs every role its audience asks for, by distinct people (R32, R52). The last required approval is the
//! release. Requester and pusher do not count in live environments and channels unless the charter says so. Where the
//! charter demands hardware, approvals count by keys held in it only.

use crate::{
    refusal::Refusal,
    state::{Policy, Request, State},
};
use trust::{AppName, AudienceName, Digest, PersonName, charter::Audience, key::KeyId, permit, quorum::Lack};

/// What a request still lacks under the charter in force.
pub fn lacks(state: &State, policy: &Policy, request: &Request) -> Vec<Lack> {
    let Some(audience) = policy.charter.audience(&request.audience) else { return request_rule_lacks(policy, request) };
    let keys: Vec<KeyId> = request.approvals.iter().map(|approval| approval.key).collect();
    let approvers = policy.approvers_of(&request.digest);
    permit::lacks(&request.requires, request.way, &audience, &approvers, &authors(state, policy, request), &keys)
}

/// An audience that left the charter can be satisfied by nobody.
fn request_rule_lacks(policy: &Policy, request: &Request) -> Vec<Lack> {
    request.requires.judge([], &policy.approvers).lacks
}

/// The requester, the pusher, and whoever pushed a part of it, or a member of a package. Whoever brought a vendor's build made nothing of it.
pub fn authors<'a>(state: &'a State, policy: &Policy, request: &'a Request) -> Vec<&'a PersonName> {
    if policy.charter.vendor_of(&request.app).is_some() {
        return vec![&request.requester];
    }
    let known = |app: &AppName, build: &Digest| state.apps.get(app).and_then(|record| record.builds.get(build));
    let build = known(&request.app, &request.build);
    let listed = build.into_iter().flat_map(|build| &build.facts.package);
    let ours = listed.filter(|(name, _)| policy.charter.vendor_of(name).is_none());
    let members = ours.filter_map(|(name, member)| known(name, &member.build));
    let makers = build.into_iter().chain(members).flat_map(|build| build.makers.iter().chain([&build.pusher]));
    std::iter::once(&request.requester).chain(makers).collect()
}

/// Fails if the audience takes approvals by keys in hardware only, and this is another key.
pub fn in_hardware(policy: &Policy, name: &AudienceName, audience: &Audience<'_>, key: &KeyId) -> Result<(), Refusal> {
    match permit::may_approve_with(key, audience, &policy.approvers) {
        true => Ok(()),
        false => Err(Refusal::HardwareKeyNeeded { audience: name.clone() }),
    }
}

/// Fails if `person` may not count as an approver because of what they did before.
pub fn not_author(
    state: &State,
    policy: &Policy,
    audience: &Audience<'_>,
    request: &Request,
    person: &PersonName,
) -> Result<(), Refusal> {
    let excludes_author = audience.terms(request.way).is_none_or(|terms| terms.excludes_author);
    if !excludes_author || !authors(state, policy, request).contains(&person) {
        return Ok(());
    }
    let did = if *person == request.requester { "requested" } else { "pushed" };
    Err(Refusal::ApproverIsAuthor { audience: request.audience.clone(), did: did.into() })
}
