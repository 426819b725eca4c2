//! From a build to a permit: push, number, evidence, request, approval, withdrawal. None of them touches a target.

use super::{Asked, deployment};
use crate::{
    command::{Actor, Signed},
    event::{BuildFacts, Event},
    policy,
    refusal::{Refusal, Right},
    rules::{
        Candidate, approvals, evidence, names, numbering, packages, permits, promotion, restored, retention, retired,
        rights, vendors, ways,
    },
    state::{Draft, Request, Standing, Withdrawal},
};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;
use trust::{
    AppName, Digest,
    authority::may_withdraw,
    permit::may_approve_with,
    statement::{self, OrderAct},
};

/// Records a build. The first one creates the application.
pub(super) fn push(
    draft: &mut Draft,
    asked: &Asked<'_>,
    signed: Signed<statement::Push>,
    facts: &BuildFacts,
) -> Result<(), Refusal> {
    let statement::Push { app, commit, recipe, makers: _ } = signed.act;
    vendors::makes_it_ourselves(&asked.policy, &app, &signed.subject)?;
    let pusher =
        rights::require(&asked.context.actor, Right::Push, &app, asked.policy.charter.push_rule(&app))?.clone();
    retired::takes_something_new(&app, draft.state.apps.get(&app))?;
    packages::can_be_pushed(&draft.state, &app, facts)?;
    // What was pruned may be brought again: the same bytes, under the same name.
    let known = draft.state.apps.get(&app).and_then(|record| record.builds.get(&signed.subject));
    if let Some(build) = known.filter(|build| build.pruned.is_none()) {
        let what = format!("{app}#{} is known", signed.subject.short());
        return Err(Refusal::AlreadyDone { what, since: Some(build.stamp.time) });
    }
    draft.record(Event::BuildPushed { app, build: signed.subject, pusher, commit, recipe, facts: facts.clone() });
    Ok(())
}

/// Lets the bytes of builds go that nothing needs (R36).
pub(super) fn prune(
    draft: &mut Draft,
    asked: &Asked<'_>,
    app: &AppName,
    builds: &BTreeSet<Digest>,
) -> Result<(), Refusal> {
    rights::require(&asked.context.actor, Right::Push, app, asked.policy.charter.push_rule(app))?;
    let mut gone = Vec::new();
    for build in builds {
        if names::build(&draft.state, app, build)?.pruned.is_some() {
            continue;
        }
        if let Some(why) = retention::needed(&draft.state, app, build, asked.context.now) {
            return Err(Refusal::BuildNeeded { app: app.clone(), build: *build, why });
        }
        gone.push(*build);
    }
    if gone.is_empty() {
        return Err(Refusal::AlreadyDone { what: format!("nothing of {app} is left to prune"), since: None });
    }
    draft.record(Event::BuildPruned { app: app.clone(), builds: gone });
    Ok(())
}

/// Gives a build its number.
pub(super) fn number(draft: &mut Draft, asked: &Asked<'_>, signed: Signed<statement::Number>) -> Result<(), Refusal> {
    let statement::Number { app, version } = signed.act;
    vendors::makes_it_ourselves(&asked.policy, &app, &signed.subject)?;
    rights::require(&asked.context.actor, Right::Push, &app, asked.policy.charter.push_rule(&app))?;
    let record = names::app(&draft.state, &app)?;
    retired::takes_something_new(&app, Some(record))?;
    let build = names::build(&draft.state, &app, &signed.subject)?;
    numbering::next(&app, record, &signed.subject, build, &version, asked.policy.charter.numbering(&app))?;
    restored::not_given(&asked.context.lost, &app, &version, &signed.subject)?;
    // A number is given once, for good: one that nobody could ever release would be spent on nothing.
    retention::has_bytes(&app, signed.subject, build)?;
    draft.record(Event::BuildNumbered { app, build: signed.subject, version });
    Ok(())
}

/// Attaches evidence. Where an audience asks for its type, the issuer must be one that counts somewhere.
pub(super) fn attach_evidence(
    draft: &mut Draft,
    asked: &Asked<'_>,
    signed: Signed<statement::Evidence>,
) -> Result<(), Refusal> {
    let statement::Evidence { app, kind, passed, summary, document, predicate, facts, issued } = signed.act;
    let actor = &asked.context.actor;
    let issuer = rights::require_member(actor, Right::Attest, &kind)?.clone();
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if kind.is_empty() || kind.len() > 63 || !kind.bytes().all(plain) || summary.len() > policy::TEXT_BYTES {
        let why = "evidence has a type of up to 63 lower-case letters, digits and hyphens, and a short summary".into();
        return Err(Refusal::Invalid { why });
    }
    evidence::measured(predicate.as_deref(), &facts, issued, asked.context.now)?;
    let charter = &asked.policy.charter;
    let asked_for =
        charter.audience_names().filter_map(|name| charter.audience(name)?.evidence.get(&kind).map(|gate| &gate.from));
    let rules: Vec<_> = asked_for.collect();
    if let Some(rule) = rules.first()
        && !rules.iter().any(|rule| rights::require(actor, Right::Attest, &kind, rule).is_ok())
    {
        return Err(rights::missing(actor, Right::Attest, &kind, Some(rule)));
    }
    names::build(&draft.state, &app, &signed.subject)?;
    let Actor::Person { key, .. } = actor else { return Err(rights::missing(actor, Right::Attest, &kind, None)) };
    draft.record(Event::EvidenceAttached {
        app,
        build: signed.subject,
        kind,
        passed,
        summary: trust::names::printable(&summary),
        document,
        issuer,
        key: *key,
        predicate: predicate.as_deref().map(trust::names::printable),
        facts,
        issued,
        payload: asked.context.payload,
    });
    Ok(())
}

/// Asks for a release. What the audience's gates ask for must be there before people are asked.
pub(super) fn request(draft: &mut Draft, asked: &Asked<'_>, signed: Signed<statement::Request>) -> Result<(), Refusal> {
    let wish = signed.act;
    let policy = &asked.policy;
    let requester = rights::require_member(&asked.context.actor, Right::Request, &wish.audience)?.clone();
    let audience = names::audience(policy, &wish.audience)?;
    let terms = ways::terms(&audience, &wish)?;
    let rule = terms.approve.ok_or_else(|| Refusal::NoReleaseNeeded { audience: wish.audience.clone() })?;
    let (build, record) = names::version(&draft.state, &wish.app, &wish.version)?;
    if build != signed.subject {
        return Err(Refusal::NumberTaken { app: wish.app, version: wish.version, build });
    }
    if !record.facts.package.is_empty() && !policy.charter.environments.contains_key(&wish.audience) {
        let members = record.facts.package.iter().map(|(name, member)| format!("{name}@{}", member.version));
        let members = members.collect::<Vec<_>>().join(", ");
        let why =
            format!("{} is deployed, and {} installs for itself: release {members} there", wish.app, wish.audience);
        return Err(Refusal::Invalid { why });
    }
    permits::above_floor(&draft.state, &wish.app, &wish.version, &wish.audience)?;
    if let Some((_, request)) = draft.state.waiting_request(&wish.app, &wish.version, &wish.audience)
        && asked.context.now < request.not_after
        && request.way == wish.way
    {
        let lacks = approvals::lacks(&draft.state, policy, request);
        return Err(Refusal::RequestWaiting { version: wish.version, audience: wish.audience, lacks });
    }
    not_granted(draft, asked, &wish)?;
    let stale = |what: String| Err(Refusal::RequestStale { what });
    let next_serial = draft.state.next_serial(&wish.app, &wish.version, &wish.audience);
    if wish.serial != next_serial {
        return stale(format!("its serial is {}, the next is {next_serial}", wish.serial));
    }
    if wish.charter_version != policy.record.version || wish.requires != *rule {
        return stale(format!("charter {} is in force and asks for {rule}", policy.record.version));
    }
    let now = asked.context.now;
    let longest = SignedDuration::from_hours(24 * i64::from(audience.permit_days)) + SignedDuration::from_mins(10);
    let latest = now.checked_add(longest).unwrap_or(Timestamp::MAX);
    if wish.not_after <= now || wish.not_after > latest || wish.not_before >= wish.not_after {
        return stale(format!(
            "a permit for {} holds for at most {} days from now",
            wish.audience, audience.permit_days
        ));
    }
    ways::may_ask(&draft.state, &terms, &wish, &requester, now)?;
    if let Some(floor) = &wish.floor
        && *floor > wish.version
    {
        return Err(Refusal::Invalid { why: format!("the floor {floor} would keep out {} itself", wish.version) });
    }
    let candidate =
        Candidate { app: &wish.app, build, record, audience: &wish.audience, act: OrderAct::Deploy, package: None };
    retired::takes_something_new(&wish.app, draft.state.apps.get(&wish.app))?;
    retention::bytes_are_here(&candidate)?;
    vendors::released(&draft.state, policy, &candidate, now)?;
    promotion::verified_before(&draft.state, policy, &candidate, wish.way)?;
    packages::may_be_released(&draft.state, policy, &candidate, now)?;
    evidence::of_all(&draft.state, policy, &candidate, wish.way, now).into_iter().collect::<Result<Vec<_>, _>>()?;
    let request = asked.context.payload.ok_or(Refusal::UnknownRequest)?;
    draft.record(Event::ReleaseRequested {
        request,
        app: wish.app,
        version: wish.version,
        build,
        audience: wish.audience,
        serial: wish.serial,
        requires: wish.requires,
        not_before: wish.not_before,
        not_after: wish.not_after,
        floor: wish.floor,
        requester,
        way: wish.way,
        reason: wish.reason,
    });
    Ok(())
}

/// Fails if the version is released to the audience already, by a permit of the same way that still holds. An emergency
/// does not stand in the way of asking in the normal way, nor the other way round: it may be about a gate.
fn not_granted(draft: &Draft, asked: &Asked<'_>, wish: &statement::Request) -> Result<(), Refusal> {
    let holds = |request: &Request| {
        request.way == wish.way
            && asked.context.now < request.not_after
            && approvals::lacks(&draft.state, &asked.policy, request).is_empty()
    };
    let mut granted = draft.state.all_granted(&wish.app, &wish.version, &wish.audience);
    let Some((_, request)) = granted.find(|(_, request)| holds(request)) else { return Ok(()) };
    let Standing::Granted(stamp) = request.standing else { return Ok(()) };
    let what = format!("{}@{} is released to {}", wish.app, wish.version, wish.audience);
    Err(Refusal::AlreadyDone { what, since: Some(stamp.time) })
}

/// Takes one person's yes. The last required one is the release, and starts what waited for it.
pub(super) fn approve(
    draft: &mut Draft,
    asked: &Asked<'_>,
    signed: Signed<statement::Approval>,
) -> Result<(), Refusal> {
    let digest: Digest = signed.subject;
    let request: Request = draft.state.requests.get(&digest).cloned().ok_or(Refusal::UnknownRequest)?;
    let statement::Approval { app, version, audience } = signed.act;
    if app != request.app || version != request.version || audience != request.audience {
        return Err(Refusal::UnknownRequest);
    }
    let policy = &asked.policy;
    let charter_audience = names::audience(policy, &audience)?;
    let (approver, key) = approver(asked, &request)?;
    if matches!(request.standing, Standing::Withdrawn(_)) {
        return Err(Refusal::RequestClosed { standing: "withdrawn".into() });
    }
    // An approval by a key that has left the charter counts no more, and its person may approve again by another.
    approvals::in_hardware(policy, &audience, &charter_audience, &key)?;
    let approvers = policy.approvers_of(&digest);
    let counts = |approval: &&crate::state::Approved| {
        approvers.person(&approval.key) == Some(&approver)
            && may_approve_with(&approval.key, &charter_audience, &approvers)
    };
    if let Some(earlier) = request.approvals.iter().find(counts) {
        let what = format!("you approved {app}@{version} → {audience}");
        return Err(Refusal::AlreadyDone { what, since: Some(earlier.stamp.time) });
    }
    // A permit that a newer charter asks more of, or that lost an approval with its key, takes what it lacks.
    if request.standing != Standing::Waiting && approvals::lacks(&draft.state, policy, &request).is_empty() {
        return Err(Refusal::RequestClosed { standing: "granted".into() });
    }
    if asked.context.now >= request.not_after {
        return Err(Refusal::RequestStale { what: format!("its time was over at {:.0}; ask anew", request.not_after) });
    }
    approvals::not_author(&draft.state, policy, &charter_audience, &request, &approver)?;
    // Another permit may have brought a floor since this was asked for.
    permits::above_floor(&draft.state, &app, &version, &audience)?;
    draft.record(Event::RequestApproved { request: digest, approver, key });
    let Some(request) = draft.state.requests.get(&digest).cloned() else { return Ok(()) };
    if approvals::lacks(&draft.state, policy, &request).is_empty() {
        draft.record(Event::PermitGranted {
            request: digest,
            app: app.clone(),
            version: version.clone(),
            audience: audience.clone(),
        });
        deployment::start_awaiting(draft, asked, &app, &version, &audience);
        let members = packages::listed(&draft.state, &app, &request.build).map(|facts| facts.package.clone());
        for (name, member) in members.into_iter().flatten() {
            deployment::start_awaiting(draft, asked, &name, &member.version, &audience);
        }
    }
    Ok(())
}

/// Who approves, if they hold a role that either rule asks for. Robots never count as people.
fn approver(asked: &Asked<'_>, request: &Request) -> Result<(trust::PersonName, trust::key::KeyId), Refusal> {
    let actor = &asked.context.actor;
    let terms = asked.policy.charter.audience(&request.audience).and_then(|audience| audience.terms(request.way));
    let rule = terms.and_then(|terms| terms.approve);
    let wanted = rule.into_iter().chain([&request.requires]).flat_map(|rule| rule.roles());
    let roles: Vec<_> = wanted.collect();
    match actor {
        Actor::Person { name, key, .. }
            if asked.policy.approvers.person(key) == Some(name)
                && asked.policy.approvers.roles(name).iter().any(|role| roles.contains(role)) =>
        {
            Ok((name.clone(), *key))
        }
        _ => Err(rights::missing(actor, Right::Approve, &request.audience, rule.or(Some(&request.requires)))),
    }
}

/// Takes permission back, for ever, up to a serial. Anyone who holds a role the audience requires may do it alone.
pub(super) fn withdraw(
    draft: &mut Draft,
    asked: &Asked<'_>,
    signed: Signed<statement::Withdrawal>,
    remembered: bool,
) -> Result<(), Refusal> {
    let statement::Withdrawal { app, version, audience, through_serial, reason } = signed.act;
    names::audience(&asked.policy, &audience)?;
    let (build, _) = names::version(&draft.state, &app, &version)?;
    if build != signed.subject {
        return Err(Refusal::NumberTaken { app, version, build });
    }
    let actor = &asked.context.actor;
    let may = matches!(actor, Actor::Person { roles, .. } if may_withdraw(&asked.policy.charter, &audience, roles));
    if !may {
        let rule = asked.policy.charter.audience(&audience).and_then(|audience| audience.approve);
        return Err(rights::missing(actor, Right::Withdraw, &audience, rule));
    }
    let record = draft.state.in_audience(&app, &audience);
    let requests = record.and_then(|record| record.requests.get(&version)).cloned().unwrap_or_default();
    let of_state = |digest: &Digest| draft.state.requests.get(digest);
    let newest = requests.last().and_then(of_state).map_or(0, |request| request.serial);
    // What comes by a package alone is withdrawn as if it had been asked for once.
    let newest = newest.max(u64::from(packages::asks_for(&draft.state, &app, &build, &audience)));
    // What a target kept may be about requests that this ledger lost: they are dead all the same.
    if through_serial == 0 || (through_serial > newest && !remembered) {
        return Err(Refusal::Invalid {
            why: format!("{app}@{version} → {audience} has requests 1 to {newest}, not {through_serial}"),
        });
    }
    let dying = requests.iter().filter_map(of_state).filter(|request| request.serial <= through_serial);
    let standings: Vec<Standing> = dying.map(|request| request.standing).collect();
    // Another withdrawal of the same requests is kept for itself: owners annul them one by one.
    let payload = asked.context.payload;
    let is_same = |known: &Withdrawal| match known.payload {
        Some(digest) => Some(digest) == payload,
        None => known.version == version && known.through_serial >= through_serial,
    };
    let is_known = record.is_some_and(|record| record.withdrawals.iter().any(is_same));
    if remembered && is_known {
        return Err(Refusal::AlreadyDone {
            what: format!("{app}@{version} is withdrawn from {audience}"),
            since: None,
        });
    }
    if !remembered
        && let Some(Standing::Withdrawn(stamp)) = standings.iter().rev().find(|s| matches!(s, Standing::Withdrawn(_)))
        && standings.iter().all(|standing| matches!(standing, Standing::Withdrawn(_)))
    {
        let what = format!("{app}@{version} is withdrawn from {audience}");
        return Err(Refusal::AlreadyDone { what, since: Some(stamp.time) });
    }
    let was_granted = draft.state.all_permits(&app, &version, &audience).next().is_some();
    draft.record(Event::PermissionWithdrawn {
        app,
        version,
        build,
        audience,
        through_serial,
        was_granted,
        reason,
        payload,
    });
    Ok(())
}
