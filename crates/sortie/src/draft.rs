//! A build that several jobs make: each pushes its part, and one of them seals the whole.
//!
//! A part is a manifest with this job's files, signed by who made it. Whoever seals verifies each part against the pinned
//! charter, puts the manifests together, and pushes the result as any other build: no bytes of the server's are signed.

use crate::{
    build::{self, Ready, Sent},
    connection::Connection,
    failure::{Failure, OrMisused, Outcome},
    invocation::Invocation,
    object, order,
    output::{self, Answer},
    project::{self, Located},
    releasing, sign,
};
use api::{read::DraftView, routes};
use domain::{refusal::Refusal, sizes};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};
use trust::{
    AppName, Digest, DraftName, PartName,
    manifest::Manifest,
    statement::{self, Act, AdministrationAct, Commit},
};

/// The names that were typed.
pub fn names(draft: &str, part: &str) -> Result<(DraftName, PartName), Failure> {
    Ok((DraftName::new(draft).or_misused()?, PartName::new(part).or_misused()?))
}

/// Adds a part whose files were sent.
pub async fn add(connection: &Connection, ready: &Ready, (draft, part): (DraftName, PartName), sent: Sent) -> Outcome {
    let (app, digest) = (&ready.project.app, ready.digest());
    // Titles are people's words; the whole build carries them.
    let commit = ready.commit.clone().map(|commit| Commit { title: String::new(), ..commit });
    let act = Act::Part(statement::Part { app: app.clone(), draft: draft.clone(), part: part.clone(), commit });
    let name = format!("{part} of {app} {draft}");
    let known = match connection.submit(&name, digest, act).await {
        Ok(_) => false,
        Err(failure) if failure.code() == "ALREADY_DONE" => true,
        Err(failure) => return Err(failure),
    };
    let data =
        json!({ "app": app, "draft": draft, "part": part, "manifest": digest, "sent": sent, "already_known": known });
    let how = if known { "the same part as before" } else { "added" };
    let files = output::count(ready.files(), "file");
    let words = format!("{name}: {files}, {}   {how}", sizes::length(ready.manifest.total_size_bytes()));
    Ok(Answer::new(&data, words).next(format!("when all parts are there: sortie push --seal {draft}")))
}

/// Makes one build of the parts.
pub async fn seal(
    invocation: &Invocation,
    app: Option<&str>,
    draft: &str,
    expected: &[String],
    quiet: bool,
) -> Outcome {
    let draft = DraftName::new(draft).or_misused()?;
    let located = project::find(Path::new("."), app)?;
    let app = of_which(app, located.as_ref())?;
    let connection = invocation.connect().await?;
    let path = routes::path(routes::DRAFT, &[app.as_str(), draft.as_str()]);
    let view: Result<DraftView, _> = connection.client.get(&path, &[]).await;
    let view = view.map_err(|error| unknown(error.into(), &app, &draft, "--seal"))?;
    let mut parts: BTreeMap<PartName, (Manifest, Option<Commit>)> = BTreeMap::new();
    let mut makers = BTreeSet::new();
    for envelope in &view.parts {
        let (name, manifest, commit) = part(&connection, &app, &draft, envelope).await?;
        parts.insert(name, (manifest, commit));
        makers.extend(connection.signers(envelope));
    }
    for expected in expected {
        let expected = PartName::new(expected).or_misused()?;
        if let Some(build) = view.sealed.filter(|_| !parts.contains_key(&expected)) {
            let sealed = Failure::from(Refusal::DraftSealed { app, draft, build });
            return Err(sealed.after(&format!("{expected} is no part of it: ")));
        }
        if !parts.contains_key(&expected) {
            let there = parts.keys().map(PartName::to_string).collect::<Vec<_>>().join(", ");
            let why = format!("{expected} is not there yet: {draft} of {app} has {there}. Nothing was sealed");
            return Err(Failure::failed(why).next(format!("sortie push --into {draft} --part {expected}")));
        }
    }
    let commits: Vec<&Option<Commit>> = parts.values().map(|(_, commit)| commit).collect();
    let id = |commit: &Option<Commit>| commit.as_ref().map(|commit| commit.id.clone());
    if commits.windows(2).any(|pair| id(pair[0]) != id(pair[1])) {
        return Err(Failure::integrity("the server mixes parts of different commits"));
    }
    let commit = commits.first().and_then(|commit| (*commit).clone());
    let whole = Manifest::of_parts(parts.iter().map(|(name, (manifest, _))| (name.as_str(), manifest)));
    let whole = whole.map_err(|error| Failure::misused(format!("{draft} of {app}: {error}. Nothing was sealed")))?;
    let bytes = whole.to_bytes().or_misused()?;
    let build = Digest::of(&bytes);
    let name = format!("{app}#{}", build.short());
    // Title and recipe are known where the commit is, as it is there and not as somebody changed it since.
    let head = match &located {
        Some(located) => build::checkpoint(&located.folder, &located.project)?.0,
        None => None,
    };
    let head = head.filter(|head| commit.as_ref().is_some_and(|commit| commit.id == head.id));
    let located = located.filter(|_| head.is_some() || commit.is_none());
    // What is signed names the title by its digest; what is printed has its words, where they are known here.
    let title = head.as_ref().map(|head| sign::title(&head.title)).transpose()?;
    let named = title.iter().map(|text| trust::text::reference(&text.digest())).collect();
    let words = head.map(|head| head.title);
    let printed = commit.as_ref().map(|commit| json!({ "id": commit.id, "tag": commit.tag, "title": words }));
    let commit = commit.map(|commit| Commit { title: named, ..commit });
    let recipe = located.and_then(|located| located.project.build);
    let push = Act::Push(statement::Push {
        app: app.clone(),
        commit: commit.clone(),
        recipe,
        makers: makers.into_iter().collect(),
    });
    let attached = [bytes];
    let known = match connection.submit_with(&name, build, push, &attached, title.as_slice()).await {
        Ok(_) => false,
        Err(failure) if failure.code() == "ALREADY_DONE" => true,
        Err(failure) => return Err(failure),
    };
    let act = AdministrationAct::SealDraft { app: app.clone(), draft: draft.clone(), build };
    match connection.administer(act).await {
        Ok(_) => {}
        Err(failure) if failure.code() == "ALREADY_DONE" => {}
        Err(failure) if failure.code() == "DRAFT_CHANGED" && !known => {
            return Err(failure.after(&format!("{name} was pushed, of the parts that were there before: leave it. ")));
        }
        Err(failure) => return Err(failure),
    }
    let names: Vec<&PartName> = parts.keys().collect();
    let data = json!({
        "app": app, "build": build, "name": name, "draft": draft, "parts": names, "commit": printed,
        "files": whole.files.len(), "size_bytes": whole.total_size_bytes(), "already_known": known,
    });
    if quiet {
        return Ok(Answer::new(&data, name));
    }
    let of = names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let files = output::count(whole.files.len() as u64, "file");
    let words = format!("{name}   {files}, {}   of {of}", sizes::length(whole.total_size_bytes()));
    Ok(Answer::new(&data, words).next(releasing::first_place(&connection, &name)))
}

/// Lets the parts of a draft go.
pub async fn discard(invocation: &Invocation, app: Option<&str>, draft: &str) -> Outcome {
    let draft = DraftName::new(draft).or_misused()?;
    let app = of_which(app, project::find(Path::new("."), app)?.as_ref())?;
    let connection = invocation.connect().await?;
    let act = AdministrationAct::DiscardDraft { app: app.clone(), draft: draft.clone() };
    connection.administer(act).await.map_err(|failure| unknown(failure, &app, &draft, "--discard"))?;
    // The draft is gone, whatever else could not be found out.
    let status = order::status(&connection, None).await;
    let is_retired =
        status.is_ok_and(|status| status.apps.iter().any(|other| other.app == app && other.retired.is_some()));
    let (anew, next) = match is_retired {
        true => ("", format!("sortie status {app}")),
        false => (", and the name begins anew", format!("sortie push --into {draft} --part NAME")),
    };
    let words = format!("{draft} of {app} is discarded: its parts make no build{anew}.");
    Ok(Answer::new(&json!({ "app": app, "draft": draft, "discarded": true }), words).next(next))
}

/// The application of a draft: the one that was typed, or the one whose project this is.
fn of_which(app: Option<&str>, located: Option<&Located>) -> Result<AppName, Failure> {
    match (app, located) {
        (Some(app), _) => AppName::new(app).or_misused(),
        (None, Some(located)) => Ok(located.project.app.clone()),
        (None, None) => Err(Failure::misused("which application? There is no sortie.toml here").next("--app APP")),
    }
}

/// What to type where no draft has the name: the same verb with a name that there is. An application begins with its first
/// build, and a draft may be from before that.
fn unknown(failure: Failure, app: &AppName, draft: &DraftName, verb: &str) -> Failure {
    let is_known = failure.code() != "UNKNOWN_APPLICATION";
    let failure = match failure.code() {
        "UNKNOWN_APPLICATION" => {
            let (app, draft) = (app.clone(), draft.clone());
            Refusal::UnknownDraft { app, draft, nearest: None, open: Vec::new() }.into()
        }
        _ => failure,
    };
    let Some(Refusal::UnknownDraft { nearest, open, .. }) = &failure.problem.refusal else { return failure };
    let next = match (nearest, open.as_slice()) {
        (Some(one), _) | (None, [one]) => format!("sortie push {verb} {one} --app {app}"),
        (None, [_, ..]) => format!("sortie push {verb} DRAFT --app {app}"),
        // Nobody wants to begin what is to be discarded.
        (None, []) if verb == "--discard" && is_known => format!("sortie status {app}"),
        (None, []) if verb == "--discard" => "sortie status".into(),
        (None, []) => return failure,
    };
    failure.next(next)
}

/// One part, believed for its signature and its digest alone.
async fn part(
    connection: &Connection,
    app: &AppName,
    draft: &DraftName,
    envelope: &trust::dsse::Envelope,
) -> Result<(PartName, Manifest, Option<Commit>), Failure> {
    let signed = connection.open(Some(envelope), "a part")?;
    let Act::Part(part) = signed.act else {
        return Err(Failure::integrity("the server shows something else as a part"));
    };
    let rule = connection.policy.charter.push_rule(app);
    if part.app != *app || part.draft != *draft || !connection.signed_by(Some(envelope), rule) {
        let why = format!("{} of {app} {draft} is not signed by anybody who may push", part.part);
        return Err(Failure::integrity(why));
    }
    let manifest = object::manifest(connection, &signed.subject).await?;
    Ok((part.part, manifest, part.commit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_mistyped_is_not_proposed_again() {
        let name = |name: &str| name.parse::<DraftName>().unwrap();
        let app: AppName = "web".parse().unwrap();
        let next = |verb: &str, nearest: Option<&str>, open: &[&str]| {
            let open = open.iter().map(|draft| name(draft)).collect();
            let nearest = nearest.map(name);
            let refusal = Refusal::UnknownDraft { app: app.clone(), draft: name("ic-12"), nearest, open };
            unknown(refusal.into(), &app, &name("ic-12"), verb).problem.next.unwrap()
        };
        assert_eq!(next("--discard", Some("ci-12"), &["ci-12", "main"]), "sortie push --discard ci-12 --app web");
        assert_eq!(next("--seal", Some("ci-12"), &["ci-12", "main"]), "sortie push --seal ci-12 --app web");
        assert_eq!(next("--discard", None, &["main"]), "sortie push --discard main --app web");
        assert_eq!(next("--discard", None, &["main", "next"]), "sortie push --discard DRAFT --app web");
        assert_eq!(next("--discard", None, &[]), "sortie status web");
        assert_eq!(next("--seal", None, &[]), "sortie push --into ic-12 --part NAME");
        let none = Refusal::UnknownApplication { name: app.clone(), nearest: None };
        assert_eq!(unknown(none.into(), &app, &name("ic-12"), "--discard").code(), "UNKNOWN_DRAFT");
    }
}
