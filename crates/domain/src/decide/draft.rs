//! A build that several jobs make: each adds its part, and whoever seals it says what they make together.

use super::Asked;
use crate::{
    command::Signed,
    event::{BuildFacts, Event},
    policy,
    refusal::{Refusal, Right},
    rules::{names, retired, rights, vendors},
    state::{Draft, DraftBuild, DraftPart},
};
use std::collections::BTreeMap;
use trust::{AppName, Digest, DraftName, PartName, statement};

/// Adds a part. Another one under the same name takes its place, for jobs are run again; not once it is sealed.
pub(super) fn add(
    draft: &mut Draft,
    asked: &Asked<'_>,
    signed: Signed<statement::Part>,
    facts: &BuildFacts,
) -> Result<(), Refusal> {
    let statement::Part { app, draft: name, part, commit } = signed.act;
    vendors::makes_it_ourselves(&asked.policy, &app, &signed.subject)?;
    let pusher =
        rights::require(&asked.context.actor, Right::Push, &app, asked.policy.charter.push_rule(&app))?.clone();
    let record = draft.state.apps.get(&app);
    retired::takes_something_new(&app, record)?;
    let known = record.and_then(|record| record.drafts.get(&name));
    not_sealed(&app, &name, known)?;
    if let Some(same) = known.and_then(|known| known.parts.get(&part)).filter(|same| same.manifest == signed.subject) {
        let what = format!("{part} of {app} {name} is there");
        return Err(Refusal::AlreadyDone { what, since: Some(same.stamp.time) });
    }
    let id = |commit: &Option<statement::Commit>| commit.as_ref().map(|commit| commit.id.clone());
    if let Some(known) = known {
        let is_of_another =
            |(other, before): &(&PartName, &DraftPart)| **other != part && id(&before.commit) != id(&commit);
        if let Some((other, before)) = known.parts.iter().find(is_of_another) {
            let (part, other) = ((part, id(&commit)), (other.clone(), id(&before.commit)));
            return Err(Refusal::DraftOfAnotherCommit { app, draft: name, part, other });
        }
        if known.parts.len() >= policy::DRAFT_PARTS {
            return Err(Refusal::Invalid { why: format!("a build has at most {} parts", policy::DRAFT_PARTS) });
        }
    }
    draft.record(Event::PartAdded {
        app,
        draft: name,
        part,
        manifest: signed.subject,
        pusher,
        commit,
        files: facts.files,
        size_bytes: facts.size_bytes,
    });
    Ok(())
}

/// Says which build the parts make together. That these parts do was looked at when the statement came in; that they are the
/// parts still is looked at here.
pub(super) fn seal(
    draft: &mut Draft,
    asked: &Asked<'_>,
    app: &AppName,
    name: &DraftName,
    build: Digest,
    parts: &BTreeMap<PartName, Digest>,
) -> Result<(), Refusal> {
    rights::require(&asked.context.actor, Right::Push, app, asked.policy.charter.push_rule(app))?;
    names::build(&draft.state, app, &build)?;
    let known = names::draft(&draft.state, app, name)?;
    if known.sealed == Some(build) {
        let what = format!("{app} {name} is sealed as {app}#{}", build.short());
        return Err(Refusal::AlreadyDone { what, since: Some(known.stamp.time) });
    }
    not_sealed(app, name, Some(known))?;
    if !known.parts.iter().map(|(name, part)| (name, &part.manifest)).eq(parts) {
        return Err(Refusal::DraftChanged { app: app.clone(), draft: name.clone() });
    }
    draft.record(Event::DraftSealed { app: app.clone(), draft: name.clone(), build });
    Ok(())
}

/// Lets the parts go. What is sealed is a build, and stays.
pub(super) fn discard(draft: &mut Draft, asked: &Asked<'_>, app: &AppName, name: &DraftName) -> Result<(), Refusal> {
    rights::require(&asked.context.actor, Right::Push, app, asked.policy.charter.push_rule(app))?;
    not_sealed(app, name, Some(names::draft(&draft.state, app, name)?))?;
    draft.record(Event::DraftDiscarded { app: app.clone(), draft: name.clone() });
    Ok(())
}

fn not_sealed(app: &AppName, name: &DraftName, known: Option<&DraftBuild>) -> Result<(), Refusal> {
    match known.and_then(|known| known.sealed) {
        None => Ok(()),
        Some(build) => Err(Refusal::DraftSealed { app: app.clone(), draft: name.clone(), build }),
    }
}
