//! Targets: invited, enrolled, labelled, cordoned, retired, over.

use super::{Asked, deployment};
use crate::{
    command::Actor,
    event::{Departure, Event},
    refusal::{Refusal, Right},
    rules::{lifetime, names, rights},
    state::{Draft, Progress, Target},
};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use trust::{
    AudienceName, Digest, PersonName, TargetName,
    charter::{Class, OWNER},
    quorum::Rule,
    statement::{AdministrationAct, Enrolment, Inventory},
};

/// The longest an invitation may stand, in hours: thirty days.
const LONGEST_INVITATION_HOURS: i64 = 30 * 24;

/// Who may manage the targets of an environment: by its `invite` rule, owners where it has none.
fn require_inviter<'a>(asked: &'a Asked<'_>, environment: &AudienceName) -> Result<&'a PersonName, Refusal> {
    let record = names::environment(&asked.policy, environment)?;
    let actor = &asked.context.actor;
    match &record.invite {
        Some(rule) => rights::require(actor, Right::Invite, environment, rule),
        None => rights::require_owner(actor, environment)
            .map_err(|_| rights::missing(actor, Right::Invite, environment, OWNER.parse::<Rule>().ok().as_ref())),
    }
}

/// Lets machines join.
pub(super) fn invite(draft: &mut Draft, asked: &Asked<'_>, act: AdministrationAct) -> Result<(), Refusal> {
    let AdministrationAct::InviteTarget { invitation, environment, labels, name, uses, expires, ephemeral } = act
    else {
        return Err(Refusal::Invalid { why: "not an invitation".into() });
    };
    require_inviter(asked, &environment)?;
    let now = asked.context.now;
    let latest = now.checked_add(SignedDuration::from_hours(LONGEST_INVITATION_HOURS)).unwrap_or(Timestamp::MAX);
    if !(1..=10_000).contains(&uses) || expires <= now || expires > latest || (name.is_some() && uses != 1) {
        let why = "an invitation is for 1 to 10000 machines (1 if it gives a name) and at most 30 days".into();
        return Err(Refusal::Invalid { why });
    }
    check_labels(&labels)?;
    if let Some(name) = &name
        && draft.state.targets.contains_key(name)
    {
        return Err(Refusal::NameTaken { target: name.clone() });
    }
    if draft.state.invitations.contains_key(&invitation.id()) {
        return Err(Refusal::InvitationInvalid { why: "its key was used before".into() });
    }
    draft.record(Event::TargetInvited { invitation, environment, labels, name, uses, expires, ephemeral });
    Ok(())
}

/// A machine joins. The server has checked that the invitation's key and the target's own signed.
pub(super) fn enrol(draft: &mut Draft, asked: &Asked<'_>, enrolment: Enrolment) -> Result<(), Refusal> {
    if asked.context.actor != Actor::Invited {
        return Err(Refusal::InvitationInvalid { why: "the enrolment is not signed with its key".into() });
    }
    let now = asked.context.now;
    let (target, active) = (enrolment.target.clone(), enrolment.active.clone());
    admit(draft, asked, enrolment, now)?;
    // A machine that joined before and was forgotten says so in one breath with what it runs: what it is known to run already
    // is not brought to it again.
    let known: Vec<_> = active.into_iter().filter(|(app, _)| draft.state.apps.contains_key(app)).collect();
    for (app, build) in known {
        draft.record(Event::TargetRunsOtherwise { target: target.clone(), app, build: Some(build) });
    }
    Ok(())
}

/// Lets a machine in whose enrolment was found genuine, and which joined at `joined`.
pub(super) fn admit(
    draft: &mut Draft,
    asked: &Asked<'_>,
    enrolment: Enrolment,
    joined: Timestamp,
) -> Result<(), Refusal> {
    let invalid = |why: String| Err(Refusal::InvitationInvalid { why });
    let Some(invitation) = draft.state.invitations.get(&enrolment.invitation.id()) else {
        return invalid("nobody made it".into());
    };
    if invitation.uses_left == 0 {
        return invalid("it is used up".into());
    }
    if invitation.expires <= joined {
        return invalid(format!("it expired at {:.0}", invitation.expires));
    }
    if invitation.environment != enrolment.environment {
        return invalid(format!("it is for {}", invitation.environment));
    }
    if let Some(name) = &invitation.name
        && *name != enrolment.target
    {
        return invalid(format!("it is for {name}"));
    }
    names::environment(&asked.policy, &enrolment.environment)?;
    let key = enrolment.key.id();
    let key_known = draft.state.target_keys.contains_key(&key) || asked.policy.directory.person(&key).is_some();
    if draft.state.targets.contains_key(&enrolment.target) {
        return Err(Refusal::NameTaken { target: enrolment.target });
    }
    if key_known {
        let why = format!("the key that {} brings belongs to somebody else already", enrolment.target);
        return Err(Refusal::Invalid { why });
    }
    let labels = invitation.labels.clone();
    draft.record(Event::TargetEnrolled {
        target: enrolment.target,
        environment: enrolment.environment,
        invitation: enrolment.invitation,
        key: enrolment.key,
        recipient: trust::names::printable(&enrolment.recipient),
        labels,
        facts: enrolment.facts,
    });
    Ok(())
}

/// Changes a target's labels: people give them, machines never claim them.
pub(super) fn label(
    draft: &mut Draft,
    asked: &Asked<'_>,
    name: &TargetName,
    changes: &BTreeMap<String, String>,
) -> Result<(), Refusal> {
    let target = names::target(&draft.state, name)?;
    require_inviter(asked, &target.environment)?;
    let mut labels = target.labels.clone();
    for (key, value) in changes {
        match value.as_str() {
            "" => labels.remove(key),
            value => labels.insert(key.clone(), value.into()),
        };
    }
    check_labels(&labels)?;
    if labels == target.labels {
        let what = format!("{name} carries these labels");
        return Err(Refusal::AlreadyDone { what, since: Some(target.stamp.time) });
    }
    draft.record(Event::TargetLabelled { target: name.clone(), labels });
    Ok(())
}

/// Keeps new deployments away from a target, or lets them come again. Deployers may do it too.
pub(super) fn cordon(
    draft: &mut Draft,
    asked: &Asked<'_>,
    name: &TargetName,
    cordoned: bool,
    reason: Option<Digest>,
) -> Result<(), Refusal> {
    let target = names::target(&draft.state, name)?;
    let environment = names::environment(&asked.policy, &target.environment)?;
    // Whoever may deploy there may, and whoever invites its targets: who may neither is told of the first.
    let deployer = rights::require(&asked.context.actor, Right::Deploy, &target.environment, &environment.deploy);
    deployer.or_else(|refusal| require_inviter(asked, &target.environment).map_err(|_| refusal))?;
    if target.cordoned == cordoned {
        let what = format!("{name} is {}cordoned", if cordoned { "" } else { "not " });
        let since = target.cordon.as_ref().map(|cordon| cordon.stamp.time);
        return Err(Refusal::AlreadyDone { what, since });
    }
    draft.record(Event::TargetCordoned { target: name.clone(), cordoned, reason });
    let waits = |number: &u64| {
        let part = draft.state.deployments.get(number).and_then(|deployment| deployment.parts.get(name));
        part.is_some_and(|part| part.progress == Progress::Waiting && part.aside.is_none())
    };
    // It stays away from those under way too, unless it has begun its part.
    let numbers: Vec<u64> = draft.state.open_deployments.iter().copied().filter(|n| cordoned && waits(n)).collect();
    for deployment in numbers {
        draft.record(Event::TargetExcluded { deployment, target: name.clone(), by: None, reason: None, away: false });
        deployment::go_on(draft, asked, deployment);
    }
    Ok(())
}

/// Takes a target out for good. Its name stays taken.
pub(super) fn retire(draft: &mut Draft, asked: &Asked<'_>, name: &TargetName) -> Result<(), Refusal> {
    let target = names::target(&draft.state, name)?;
    require_inviter(asked, &target.environment)?;
    leave(draft, asked, name, None);
    Ok(())
}

/// A target says that its time is over, and that nothing is left of what ran there. It is the one to know; where its
/// environment is live, whose targets never end by themselves, something is wrong with it.
pub(super) fn lapsed(draft: &mut Draft, asked: &Asked<'_>, inventory: &Inventory) -> Result<(), Refusal> {
    let name = &inventory.target;
    let target = names::target(&draft.state, name)?;
    let environment = asked.policy.charter.environments.get(&target.environment);
    let is_live = environment.is_some_and(|environment| environment.class == Class::Live);
    if is_live || !inventory.active.is_empty() || !inventory.findings.is_empty() {
        let why = match is_live {
            true => format!("{name} says that its time is over, and {} is of class live", target.environment),
            false => format!("{name} says that its time is over and everything removed, and names what is left"),
        };
        return Err(Refusal::Invalid { why });
    }
    if !target.findings.is_empty() {
        draft.record(Event::EscapesChanged { target: name.clone(), findings: Vec::new() });
    }
    leave(draft, asked, name, Some(Departure::Lapsed));
    Ok(())
}

/// The clock says that a target's time is over, and that it had long enough to say so itself.
pub(super) fn lapse(draft: &mut Draft, asked: &Asked<'_>, name: &TargetName) -> Result<(), Refusal> {
    let target = of_clock(draft, asked, name)?;
    match lifetime::retires(&draft.state, target) {
        Some(at) if at <= asked.context.now => {}
        _ => return Err(Refusal::Invalid { why: format!("the time of {name} is not over") }),
    }
    leave(draft, asked, name, Some(Departure::LapsedUnheard));
    Ok(())
}

/// The clock says that nothing was heard of an ephemeral target since `silent`.
pub(super) fn lose(draft: &mut Draft, asked: &Asked<'_>, name: &TargetName, silent: Timestamp) -> Result<(), Refusal> {
    let target = of_clock(draft, asked, name)?;
    match lifetime::vanishes(&draft.state, target, silent) {
        Some(at) if at <= asked.context.now => {}
        _ => return Err(Refusal::Invalid { why: format!("{name} is not gone yet") }),
    }
    leave(draft, asked, name, Some(Departure::Vanished));
    Ok(())
}

fn of_clock<'a>(draft: &'a Draft, asked: &Asked<'_>, name: &TargetName) -> Result<&'a Target, Refusal> {
    match &asked.context.actor {
        Actor::Clock => names::target(&draft.state, name),
        actor => Err(rights::missing(actor, Right::Invite, name, None)),
    }
}

fn leave(draft: &mut Draft, asked: &Asked<'_>, name: &TargetName, why: Option<Departure>) {
    draft.record(Event::TargetRetired { target: name.clone(), why });
    let waits_for_it = |number: &u64| {
        let deployment = draft.state.deployments.get(number);
        deployment.is_some_and(|deployment| deployment.parts.get(name).is_some())
    };
    let numbers: Vec<u64> = draft.state.open_deployments.iter().copied().filter(waits_for_it).collect();
    for number in numbers {
        if why.is_some() {
            deployment::end_deserted(draft, number);
        }
        deployment::go_on(draft, asked, number);
    }
}

fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), Refusal> {
    let plain = |text: &str| {
        !text.is_empty() && text.len() <= 63 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b))
    };
    if labels.len() <= 64 && labels.iter().all(|(key, value)| plain(key) && plain(value)) {
        return Ok(());
    }
    Err(Refusal::Invalid {
        why: "a label is key=value of letters, digits, '-', '_', '.' and '/', 63 at most each".into(),
    })
}
