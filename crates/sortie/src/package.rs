//! Packages: what `sortie.toml` lists becomes builds by their signed numbers, and what they list is looked at member by
//! member before anybody signs.

use crate::{
    build::Ready,
    connection::Connection,
    failure::{Failure, OrMisused},
    names::Thing,
    notes,
};
use api::read::{App, BuildName, DeploymentView, MemberView, Status};
use depot::project::package::with_builds;
use serde::Serialize;
use std::collections::BTreeMap;
use trust::{
    AppName, AudienceName, Digest, PersonName, Version,
    manifest::{Manifest, Member, steps},
};

/// Writes into a package's manifest which build each of its versions is. People of the charter signed that: it is verified on
/// this machine. What lies ready and is no package stays as it is.
pub async fn resolve(connection: &Connection, ready: &mut Ready) -> Result<(), Failure> {
    let listed = ready.project.package.clone();
    let mut builds: BTreeMap<AppName, Digest> = BTreeMap::new();
    for (app, member) in &listed {
        let thing = Thing::Version(app.clone(), member.version.clone());
        let (found, _) = connection.find(&thing, None).await.map_err(|failure| unknown(failure, app))?;
        builds.insert(app.clone(), found.build);
    }
    if listed.is_empty() {
        return Ok(());
    }
    let package = with_builds(&listed, |app, _| builds.get(app).copied()).unwrap_or_default();
    let mut manifest = ready.manifest.clone();
    manifest.run.package = package;
    manifest.validate().or_misused()?;
    ready.list(manifest)
}

/// What is to be done about a member that is not there: it is pushed and numbered first.
fn unknown(failure: Failure, app: &AppName) -> Failure {
    match failure.code() {
        "UNKNOWN_APPLICATION" => failure.next("sortie status"),
        "UNKNOWN_VERSION" => failure.next(format!("sortie status {app}")),
        _ => failure,
    }
}

/// A member as an approver sees it, or who plans a deployment.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// The application.
    pub app: AppName,
    /// The version that the package lists.
    pub version: Version,
    /// Its build.
    pub build: Digest,
    /// The members that it comes after.
    pub after: Vec<AppName>,
    /// What runs of it now.
    pub runs: Vec<String>,
    /// The version that the package before it lists.
    pub before: Option<Version>,
    /// Who pushed it.
    pub pushers: Vec<PersonName>,
    /// What is said of it, and whether that is good.
    pub evidence: Vec<String>,
    /// What came with it since what runs.
    pub notes: Vec<String>,
}

/// Looks at every member: that people of the charter pushed and numbered these very bytes, what runs there now, and what came
/// since. In the order in which they are deployed.
pub async fn inspect(
    connection: &Connection,
    package: &Manifest,
    audience: &AudienceName,
    before: Option<&Manifest>,
    status: &Status,
) -> Result<Vec<Shown>, Failure> {
    let mut members = Vec::new();
    for name in ordered(package) {
        let Some(Member { version, build, after }) = package.run.package.get(&name) else { continue };
        let thing = Thing::Version(name.clone(), version.clone());
        let (found, view) = connection.find(&thing, Some(audience)).await?;
        if found.build != *build {
            let why =
                format!("the package lists {name}#{} as {version}, and {version} is another build", build.short());
            return Err(Failure::integrity(why));
        }
        let made = crate::object::manifest(connection, build).await?;
        if made.app != name || !made.run.package.is_empty() {
            return Err(Failure::integrity(format!("the manifest of {name}@{version} is of {}", made.app)));
        }
        let app: App = connection.app(&name).await?;
        let cell = crate::order::cell(status, &name, audience);
        let runs = cell.into_iter().flat_map(|cell| &cell.runs).map(|runs| runs.build.short()).collect();
        let running = crate::order::newest_serving(status, &name, audience);
        let notes = notes::in_words(&notes::between(&app, audience, running.as_ref(), version));
        let pushers = view.dossier.push.as_ref().map(|push| connection.signers(push)).unwrap_or_default();
        let before = before.and_then(|before| Some(before.run.package.get(&name)?.version.clone()));
        let evidence = view.dossier.evidence.iter().filter_map(|envelope| said(connection, envelope, build)).collect();
        let (app, version, build) = (name, version.clone(), *build);
        let after = after.iter().cloned().collect();
        members.push(Shown { app, version, build, after, runs, before, pushers, evidence, notes });
    }
    Ok(members)
}

/// A piece of evidence that is genuine and about this very build.
fn said(connection: &Connection, envelope: &trust::dsse::Envelope, build: &Digest) -> Option<String> {
    let statement = connection.open(Some(envelope), "evidence").ok().filter(|said| said.subject == *build)?;
    let trust::statement::Act::Evidence(evidence) = statement.act else { return None };
    let issuer = connection.signers(envelope).into_iter().next()?;
    let verdict = if evidence.passed { "passed" } else { "failed" };
    let printable = trust::names::printable;
    Some(format!("{} {verdict} {} ({issuer})", printable(&evidence.kind), printable(&evidence.summary)))
}

/// The members in the order in which they are deployed.
pub fn ordered(package: &Manifest) -> Vec<AppName> {
    steps(&package.run.package).unwrap_or_default().into_iter().flatten().collect()
}

/// A line for each member: `api 1.4.0 after db   runs 1.3.0   pushed by ci`.
pub fn in_words(members: &[Shown]) -> Vec<String> {
    let width = members.iter().map(|member| member.app.as_str().len() + 1 + member.version.to_string().len()).max();
    let width = width.unwrap_or(0);
    let mut lines = Vec::new();
    for member in members {
        let name = format!("{} {}", member.app, member.version);
        let mut words = vec![format!("{name:<width$}")];
        words.push(match member.runs.as_slice() {
            [] => "nothing of it runs there".into(),
            [same] if *same == member.version.to_string() => "runs there already".into(),
            runs => format!("runs {} now", runs.join(", ")),
        });
        let names: Vec<&str> = member.after.iter().map(AppName::as_str).collect();
        words.extend((!names.is_empty()).then(|| format!("after {}", names.join(", "))));
        let pushers: Vec<&str> = member.pushers.iter().map(PersonName::as_str).collect();
        words.extend((!pushers.is_empty()).then(|| format!("pushed by {}", pushers.join(", "))));
        lines.push(words.join("   "));
        lines.extend(member.notes.iter().map(|note| format!("  + {note}")));
        lines.extend(member.evidence.iter().map(|evidence| format!("  evidence: {evidence}")));
    }
    lines
}

/// What differs between two packages, member by member: `db 1.0.0 → 2.0.1`.
pub fn differences(before: &Manifest, after: &Manifest) -> Vec<String> {
    let (old, new) = (&before.run.package, &after.run.package);
    let mut lines: Vec<String> = Vec::new();
    for (app, member) in new {
        match old.get(app) {
            None => lines.push(format!("+ {app} {}", member.version)),
            Some(other) if other.build != member.build => {
                lines.push(format!("{app} {} → {}", other.version, member.version));
            }
            Some(_) => {}
        }
    }
    lines.extend(
        old.iter()
            .filter(|(app, _)| !new.contains_key(*app))
            .map(|(app, member)| format!("− {app} {}", member.version)),
    );
    lines
}

/// A line for a member of a deployment: `db 2.0.1   done   deployment 42`.
pub fn member_in_words(view: &DeploymentView, member: &MemberView) -> String {
    let name = |member: &MemberView| format!("{} {}", member.app, BuildName::short(&member.build));
    let width = view.members.iter().map(|member| name(member).chars().count()).max().unwrap_or(0);
    let number = member.deployment.map(|number| format!("   deployment {number}")).unwrap_or_default();
    let state = match member.state.as_str() {
        "in place" => "in place already",
        state => state,
    };
    format!("step {}  {:<width$}  {state}{number}", member.step, name(member))
}

/// Whether the member has come to something.
pub fn is_over(member: &MemberView) -> bool {
    !matches!(member.state.as_str(), "waiting" | "at it" | "going back")
}

/// What people are told who would carry a package where no server is.
pub fn cannot_travel(manifest: &Manifest, audience: &AudienceName) -> Option<Failure> {
    let (app, member) = manifest.run.package.iter().next()?;
    let why =
        format!("{} is a package, and a bundle carries one application: carry its members one by one", manifest.app);
    Some(Failure::misused(why).next(format!("sortie bundle export {app}@{} --to {audience}", member.version)))
}

/// The manifest of a build, where it is a package.
pub async fn manifest_of(connection: &Connection, build: &Digest) -> Result<Option<Manifest>, Failure> {
    let manifest = crate::object::manifest(connection, build).await?;
    Ok((!manifest.run.package.is_empty()).then_some(manifest))
}
