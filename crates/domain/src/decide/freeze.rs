//! Freezes: declared, lifted, and excepted from.

use super::Asked;
use crate::{
    command::Signed,
    event::Event,
    policy,
    refusal::Refusal,
    rules::{freezes, names, retired},
    state::{Draft, Freeze as Record},
};
use jiff::SignedDuration;
use trust::{
    Digest,
    freeze::{Exception, Freeze, Lift, Terms},
};

/// Takes what somebody says of a freeze.
pub(super) fn act(draft: &mut Draft, asked: &Asked<'_>, signed: Signed<Freeze>) -> Result<(), Refusal> {
    match signed.act {
        Freeze::Declare(terms) => declare(draft, asked, terms),
        Freeze::Lift(lifted) => lift(draft, asked, signed.subject, lifted),
        Freeze::Except(exception) => except(draft, asked, signed.subject, exception),
    }
}

fn declare(draft: &mut Draft, asked: &Asked<'_>, terms: Terms) -> Result<(), Refusal> {
    for name in &terms.environments {
        names::environment(&asked.policy, name)?;
    }
    for app in &terms.apps {
        retired::takes_something_new(app, Some(names::app(&draft.state, app)?))?;
    }
    let by = freezes::may(&asked.policy, &asked.context.actor, &terms)?.clone();
    let now = asked.context.now;
    let latest = now.saturating_add(SignedDuration::from_hours(24 * policy::FREEZE_DAYS)).unwrap_or(now);
    if terms.until <= now || terms.until <= terms.from || terms.until > latest {
        let days = policy::FREEZE_DAYS;
        let why = format!("a freeze ends after it began, after now, and within {days} days");
        return Err(Refusal::Invalid { why });
    }
    let same = |record: &&Record| {
        let known = &record.known;
        !known.lifted && Terms { reason: terms.reason, ..known.terms.clone() } == terms
    };
    if let Some(same) = draft.state.freezes.values().find(same) {
        let what = format!("freeze {} says just this", same.number);
        return Err(Refusal::AlreadyDone { what, since: Some(same.stamp.time) });
    }
    let freeze = asked.context.payload.ok_or(Refusal::Invalid { why: "a freeze is signed".into() })?;
    let number = draft.state.last_freeze + 1;
    draft.record(Event::FreezeDeclared { freeze, number, terms, by });
    Ok(())
}

/// The freeze of this digest, if it may still be spoken of.
fn in_force<'a>(draft: &'a Draft, asked: &Asked<'_>, freeze: &Digest) -> Result<&'a Record, Refusal> {
    let record = draft.state.freezes.get(freeze).ok_or(Refusal::UnknownFreeze)?;
    match record.is_over(asked.context.now) {
        Some(since) => Err(Refusal::FreezeOver { freeze: record.number, since }),
        None => Ok(record),
    }
}

fn lift(draft: &mut Draft, asked: &Asked<'_>, freeze: Digest, lift: Lift) -> Result<(), Refusal> {
    if let Some(record) = draft.state.freezes.get(&freeze).filter(|record| record.known.lifted) {
        freezes::may(&asked.policy, &asked.context.actor, &record.known.terms)?;
        let what = format!("freeze {} is lifted", record.number);
        return Err(Refusal::AlreadyDone { what, since: record.is_over(asked.context.now) });
    }
    let record = in_force(draft, asked, &freeze)?;
    let by = freezes::may(&asked.policy, &asked.context.actor, &record.known.terms)?.clone();
    let number = record.number;
    draft.record(Event::FreezeLifted { freeze, number, reason: lift.reason, by });
    Ok(())
}

fn except(draft: &mut Draft, asked: &Asked<'_>, build: Digest, exception: Exception) -> Result<(), Refusal> {
    let Exception { freeze, app, version, reason } = exception;
    let record = in_force(draft, asked, &freeze)?;
    let by = freezes::may(&asked.policy, &asked.context.actor, &record.known.terms)?.clone();
    let number = record.number;
    let (known, found) = names::version(&draft.state, &app, &version)?;
    let terms = &record.known.terms;
    if !terms.concerns(&app) {
        // Whoever excepts a package means what keeps it from being deployed, and says that by its name: another package may list
        // the same member, and this one lists others.
        let members = found.facts.package.iter().map(|(app, member)| (app, member.build, &member.version));
        let packages = draft.state.packages_of(&app, &known).into_iter();
        let is_excepted = |build: &Digest| record.exceptions.iter().any(|earlier| earlier.build == *build);
        let instead = members.chain(packages);
        let instead = instead.filter(|(app, build, _)| terms.concerns(app) && !is_excepted(build));
        let instead = instead.map(|(app, _, version)| (app.clone(), version.clone())).collect();
        return Err(Refusal::NotFrozen { freeze: number, app, instead });
    }
    if known != build {
        return Err(Refusal::NumberTaken { app, version, build: known });
    }
    if let Some(earlier) = record.exceptions.iter().find(|earlier| earlier.build == build) {
        let what = format!("{app}@{version} is excepted from freeze {number}");
        return Err(Refusal::AlreadyDone { what, since: Some(earlier.stamp.time) });
    }
    draft.record(Event::FreezeExcepted { freeze, number, app, version, build, reason, by });
    Ok(())
}
