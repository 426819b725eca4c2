//! What an approver sees before signing: the whole of what the request says, what changed since, how it runs, and what
//! people said of it before. Each line is checked on this machine, or says whose word it is.

use crate::{
    build,
    connection::Connection,
    failure::Failure,
    git,
    how_it_runs::{self, Change},
    object, order, output, package,
    releasing::{self, Matter, SignedRequest},
    vendor,
};
use api::read::{Build, BuildName, Maker};
use domain::{sizes, waiting::lacks_in_words};
use jiff::Timestamp;
use serde::Serialize;
use std::path::Path;
use trust::{
    Digest, PersonName, Version,
    dsse::Envelope,
    manifest::Manifest,
    names::printable,
    oidc,
    statement::{Act, Commit},
    way::Way,
};

/// What an approver sees.
pub struct Shown {
    /// In words.
    pub lines: Vec<String>,
    /// The same as data.
    pub facts: Facts,
}

/// What an approver sees, as data.
#[derive(Debug, Serialize)]
pub struct Facts {
    /// The digest of the manifest.
    build: Digest,
    /// The request's number.
    serial: u64,
    /// Who asks.
    requester: Option<PersonName>,
    /// By which way.
    way: Way,
    /// Who must agree.
    requires: String,
    /// From when it may be activated.
    not_before: Timestamp,
    /// Until when.
    not_after: Timestamp,
    /// The lowest version the audience may still activate once this is granted.
    floor: Option<Version>,
    /// Why it is asked for.
    reason: Option<String>,
    /// What was taken back of this version here before.
    withdrawals: Vec<Withdrawn>,
    /// The version that it is compared with.
    since: Option<String>,
    /// How it runs: what differs from that version, or all of it.
    run: Vec<Change>,
    /// What it lists, where it is a package.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    members: Vec<package::Shown>,
    /// What is said of the build.
    evidence: Vec<Piece>,
    /// What was checked on this machine.
    checks: Vec<&'static str>,
}

/// A withdrawal of the version, with who made it and why.
#[derive(Debug, Serialize)]
pub struct Withdrawn {
    through_serial: u64,
    by: Vec<PersonName>,
    reason: Option<String>,
    annulled: bool,
}

/// A piece of evidence, and whether it is to be believed.
#[derive(Debug, Serialize)]
pub struct Piece {
    says: String,
    standing: Standing,
}

/// What a piece of evidence is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Standing {
    /// Signed by somebody of the charter.
    Genuine,
    /// Signed by a key that is nobody's in the charter today, so it counts for nothing; nor is it known to be false.
    SignerLeft,
    /// A false signature, or about another build.
    False,
}

/// Looks at everything that the approval would be about.
pub async fn inspect(connection: &Connection, matter: &Matter, request: &SignedRequest) -> Result<Shown, Failure> {
    let found = &matter.found;
    if request.requester.is_none() {
        return Err(Failure::integrity("nobody whom the charter knows signed the request"));
    }
    let made = object::manifest(connection, &found.build).await?;
    if made.app != found.app {
        return Err(Failure::integrity(format!("the manifest is of {}", made.app)));
    }
    let app = connection.app(&found.app).await?;
    let listed = app.builds.iter().find(|build| build.name.build == found.build);
    let now = Some(Timestamp::now());
    let released = vendor::judge(connection, &found.app, found.build, &matter.view.dossier, now)?;
    let of_vendor = vendor::of(connection, &found.app).zip(released);
    let (commit, mut lines) = match &of_vendor {
        Some(((name, vendor), released)) => {
            let hex = found.build.hex();
            let first = format!("{}  sha256:{}…{}  made by {name}", matter.name(), &hex[..6], &hex[60..]);
            (released.commit.clone(), vec![first, format!("  {}", vendor::in_words(name, vendor, released))])
        }
        None => {
            let commit = match connection.open(matter.view.dossier.push.as_ref(), "push")?.act {
                Act::Push(push) => push.commit,
                _ => None,
            };
            let line = origin(matter, connection, commit.as_ref(), listed);
            (commit, vec![line])
        }
    };
    let asked = &request.request;
    let reason = releasing::reason(matter, request)?;
    lines.extend(releasing::emergency_in_words(&matter.terms(connection, asked.way)?, asked, reason));
    lines.push(format!("  {}", releasing::life_in_words(asked, Timestamp::now())));
    lines.extend(reason.filter(|_| asked.way.is_normal()).map(|why| format!("  why: {}", printable(why))));
    lines.extend(asked.floor.as_ref().map(|floor| {
        format!("  ‼ floor {floor}: once this is granted, {} activates nothing older than {floor}", matter.audience)
    }));
    let withdrawals = withdrawals(connection, matter);
    lines
        .extend(output::makers(&makers(matter, connection, listed)).map(|makers| format!("  made of parts: {makers}")));
    lines.extend(withdrawals.iter().map(Withdrawn::in_words));
    let mut checks = match of_vendor {
        Some(_) => vec!["digest ✓", "vendor's roots, charter and permit ✓", "request ✓"],
        None => vec!["digest ✓", "push ✓", "number ✓", "request ✓"],
    };
    let mut members = Vec::new();
    let run;
    if !made.run.package.is_empty() {
        let looked = package_in_words(connection, matter, &made).await?;
        lines.extend(looked.lines);
        (members, run) = (looked.members, Vec::new());
        checks.push("members: push ✓ number ✓ digest ✓");
        checks.extend(looked.permit);
    } else if let Some(since) = &matter.view.since {
        let compared = compare(connection, matter, since, &made, commit.as_ref(), &app.builds).await?;
        lines.extend(compared.lines);
        run = compared.run;
        checks.push(if compared.permit { "last permit ✓" } else { "last permit: none that is whole" });
    } else {
        lines.push(format!(
            "  the first version for {}: {}, {}. How it runs:",
            matter.audience,
            output::count(made.files.len() as u64, "file"),
            sizes::length(made.total_size_bytes())
        ));
        lines.extend(how_it_runs::whole_in_words(&made.run).iter().map(|line| format!("    {line}")));
        run = how_it_runs::changes(None, &made.run);
    }
    let evidence = evidence(connection, matter);
    // Evidence is about bytes: what a package lists has it, and was told of above.
    if members.is_empty() {
        lines.extend(evidence_in_words(&evidence));
    }
    let is_there = |standing| evidence.iter().any(|piece| piece.standing == standing);
    match (is_there(Standing::False), is_there(Standing::Genuine)) {
        (true, _) => checks.push("evidence ✗"),
        (false, true) => checks.push("evidence ✓"),
        (false, false) => {}
    }
    let standing = matter.lacks(connection, request, &[])?;
    let in_hardware = connection.policy.charter.audience(&matter.audience).is_some_and(|audience| audience.hardware);
    lines.push(format!(
        "  request {} by {}: needs {}{}; missing {}",
        request.request.serial,
        request.requester.as_ref().map_or("nobody".to_string(), ToString::to_string),
        request.request.requires,
        if in_hardware { ", by keys held in hardware" } else { "" },
        if standing.is_empty() { "nothing".into() } else { lacks_in_words(&standing) }
    ));
    lines.push(format!("  I checked on this machine: {}", checks.join(" ")));
    let facts = Facts {
        build: found.build,
        serial: asked.serial,
        requester: request.requester.clone(),
        way: asked.way,
        requires: asked.requires.to_string(),
        not_before: asked.not_before,
        not_after: asked.not_after,
        floor: asked.floor.clone(),
        reason: reason.map(printable),
        withdrawals,
        since: matter.view.since.as_ref().map(|since| since.of(&found.app)),
        run,
        members,
        evidence,
        checks,
    };
    Ok(Shown { lines, facts })
}

/// What was taken back of this version in this audience before it was asked for again: a later request is above every
/// withdrawal by its serial alone, so whoever agrees must be told what it is above.
fn withdrawals(connection: &Connection, matter: &Matter) -> Vec<Withdrawn> {
    let policy = &connection.policy;
    let of_this = |envelope: &&Envelope| {
        let kept = policy.withdrawal(envelope, &matter.audience);
        kept.is_ok_and(|kept| kept.app == matter.found.app && kept.build == matter.found.build)
    };
    let told = |envelope: &Envelope| {
        let Ok(Act::Withdrawal(withdrawal)) = connection.open(Some(envelope), "withdrawal").map(|said| said.act) else {
            return None;
        };
        let payload = Digest::of(&envelope.payload);
        let reason = withdrawal.reason.and_then(|signed| {
            let texts = &matter.view.withdrawal_reasons;
            texts.iter().find(|text| text.digest() == signed).map(|text| printable(&text.text))
        });
        Some(Withdrawn {
            through_serial: withdrawal.through_serial,
            by: policy.withdrawers(envelope),
            reason,
            annulled: policy.charter.annulled.contains(&payload),
        })
    };
    matter.view.dossier.withdrawals.iter().filter(of_this).filter_map(told).collect()
}

impl Withdrawn {
    /// `‼ withdrawn before, through request 2, by tester: it greets too loudly`.
    fn in_words(&self) -> String {
        let by: Vec<&str> = self.by.iter().map(PersonName::as_str).collect();
        let why = self.reason.as_deref().unwrap_or("no reason is known");
        let annulled = if self.annulled { " (annulled by owners since)" } else { "" };
        format!("  ‼ withdrawn before, through request {}, by {}: {why}{annulled}", self.through_serial, by.join(", "))
    }
}

/// Who made its parts, as whoever put them together signed it; which parts those were is the server's word.
fn makers(matter: &Matter, connection: &Connection, listed: Option<&Build>) -> Vec<Maker> {
    let known = listed.map(|build| &build.makers[..]).unwrap_or_default();
    let parts =
        |person: &PersonName| known.iter().find(|maker| maker.person == *person).map(|maker| maker.parts.clone());
    let signed = releasing::part_makers(connection, matter.view.dossier.push.as_ref());
    signed.into_iter().map(|person| Maker { parts: parts(&person).unwrap_or_default(), person }).collect()
}

fn origin(matter: &Matter, connection: &Connection, commit: Option<&Commit>, listed: Option<&Build>) -> String {
    let hex = matter.found.build.hex();
    let pushers = matter.view.dossier.push.as_ref().map(|push| connection.signers(push)).unwrap_or_default();
    let pusher = pushers.first().map_or("nobody".to_string(), ToString::to_string);
    let from = commit.map_or("no commit".to_string(), |commit| {
        let tag = commit.tag.as_ref().map(|tag| format!(" (tag {tag})")).unwrap_or_default();
        format!("commit {}{tag}", commit.id.get(..7).unwrap_or(&commit.id))
    });
    let when = listed.map(|build| format!(", {}", output::ago(build.pushed, Timestamp::now()))).unwrap_or_default();
    format!("{}  sha256:{}…{}  pushed by {pusher} from {from}{when}", matter.name(), &hex[..6], &hex[60..])
}

/// What a package lists, member by member.
struct OfPackage {
    lines: Vec<String>,
    members: Vec<package::Shown>,
    permit: Option<&'static str>,
}

/// The members in the order in which they are deployed, each verified on this machine, and what changed since the package
/// that was released before.
async fn package_in_words(connection: &Connection, matter: &Matter, made: &Manifest) -> Result<OfPackage, Failure> {
    let status = order::status(connection, None).await?;
    let (mut lines, mut permit, mut before) = (Vec::new(), None, None);
    if let Some(since) = &matter.view.since {
        let other = object::manifest(connection, &since.build).await?;
        let dossier = connection.dossier(&matter.found.app, since, Some(&matter.audience)).await?.dossier;
        let whole = releasing::whole_permit(connection, &dossier, &matter.audience).is_some();
        permit = Some(if whole { "last permit ✓" } else { "last permit: none that is whole" });
        let differs = package::differences(&other, made);
        let differs = if differs.is_empty() { "the same members".into() } else { differs.join(", ") };
        lines.push(format!("  since {}'s {}: {differs}", matter.audience, since.short()));
        before = Some(other);
    }
    let members = package::inspect(connection, made, &matter.audience, before.as_ref(), &status).await?;
    let all = output::count(members.len() as u64, "member");
    lines.push(format!("  a package of {all}, released by one permit and deployed in this order:"));
    lines.extend(package::in_words(&members).into_iter().map(|line| format!("    {line}")));
    Ok(OfPackage { lines, members, permit })
}

/// How a build differs from the one before.
struct Compared {
    lines: Vec<String>,
    run: Vec<Change>,
    /// Whether the permit of the one before is whole.
    permit: bool,
}

/// What changed since the version that runs or was released last.
async fn compare(
    connection: &Connection,
    matter: &Matter,
    since: &BuildName,
    made: &Manifest,
    commit: Option<&Commit>,
    builds: &[Build],
) -> Result<Compared, Failure> {
    let before = object::manifest(connection, &since.build).await?;
    let dossier = connection.dossier(&matter.found.app, since, Some(&matter.audience)).await?.dossier;
    let permit = releasing::whole_permit(connection, &dossier, &matter.audience).is_some();
    let before_commit = builds.iter().find(|build| build.name.build == since.build).and_then(|b| b.commit.as_ref());
    let commits = commits_between(before_commit, commit);
    let run = how_it_runs::changes(Some(&before.run), &made.run);
    let how = how_it_runs::changes_in_words(&run, &before.run, &made.run);
    let words = changes_in_words(&before, made, commits);
    let stays = if how.is_empty() { ", runs as before" } else { ". How it runs changed:" };
    let mut lines = vec![format!("  since {}'s {}: {words}{stays}", matter.audience, since.short())];
    lines.extend(how.iter().map(|line| format!("    {line}")));
    Ok(Compared { lines, run, permit })
}

/// How many commits lie between, where this is a clone of the repository.
fn commits_between(before: Option<&Commit>, after: Option<&Commit>) -> Option<usize> {
    let range = format!("{}..{}", before?.id, after?.id);
    let count = git::run(Path::new("."), &["rev-list", "--count", &range]).ok()?;
    count.trim().parse().ok()
}

/// `14 commits, 37 files (+2 −1), config: + FEATURE_X (default off)`.
fn changes_in_words(before: &Manifest, after: &Manifest, commits: Option<usize>) -> String {
    let differing: Vec<String> =
        build::differences(before, after).into_iter().filter(|line| !line.contains("sortie.toml)")).collect();
    let with = |mark: char| differing.iter().filter(|line| line.starts_with(mark)).count();
    let mut parts: Vec<String> = commits.map(|count| output::count(count as u64, "commit")).into_iter().collect();
    parts.push(format!("{} (+{} −{})", output::count(differing.len() as u64, "file"), with('+'), with('−')));
    let (old, new) = (&before.run.config, &after.run.config);
    for (key, declared) in new.iter().filter(|(key, _)| !old.contains_key(*key)) {
        let secret = declared.secret.then(|| "secret".to_string());
        let facts = secret.into_iter().chain(declared.default.as_ref().map(|value| format!("default {value}")));
        let facts = facts.collect::<Vec<_>>().join(", ");
        let facts = if facts.is_empty() { facts } else { format!(" ({facts})") };
        parts.push(format!("config: + {key}{facts}"));
    }
    parts.extend(old.keys().filter(|key| !new.contains_key(*key)).map(|key| format!("config: − {key}")));
    parts.join(", ")
}

/// The evidence, each piece with what it is worth.
fn evidence(connection: &Connection, matter: &Matter) -> Vec<Piece> {
    matter.view.dossier.evidence.iter().map(|envelope| piece(connection, matter, envelope)).collect()
}

fn piece(connection: &Connection, matter: &Matter, envelope: &Envelope) -> Piece {
    let opened = connection.open(Some(envelope), "evidence").ok();
    let evidence = opened.and_then(|statement| match statement.act {
        Act::Evidence(evidence) if statement.subject == matter.found.build => Some(evidence),
        _ => None,
    });
    let Some(evidence) = evidence else {
        return Piece { says: "about another build, or nothing that can be read".into(), standing: Standing::False };
    };
    let verdict = if evidence.passed { "passed" } else { "failed" };
    let says = format!("{} {verdict} {}", printable(&evidence.kind), printable(&evidence.summary));
    let standing = match connection.signers(envelope).first() {
        Some(issuer) => return Piece { says: format!("{says} ({issuer})"), standing: Standing::Genuine },
        None if names_somebody(connection, envelope) => Standing::False,
        None => Standing::SignerLeft,
    };
    Piece { says, standing }
}

/// Whether a signature claims to be by a key that the charter has today.
fn names_somebody(connection: &Connection, envelope: &Envelope) -> bool {
    let directory = &connection.policy.directory;
    envelope.signatures.iter().any(|made| match &made.proof {
        Some(_) => oidc::prove(directory, envelope, made).is_ok(),
        None => directory.key(&made.keyid).is_some(),
    })
}

fn evidence_in_words(evidence: &[Piece]) -> Vec<String> {
    let line = |piece: &Piece| match piece.standing {
        Standing::Genuine => format!("  evidence: {}", piece.says),
        Standing::SignerLeft => format!(
            "  evidence: {}, by a key that nobody of the charter has today (its issuer left, say): it counts for nothing",
            piece.says
        ),
        Standing::False => format!("  evidence that is not genuine: {}", piece.says),
    };
    match evidence.is_empty() {
        true => vec!["  evidence: none".into()],
        false => evidence.iter().map(line).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trust::{
        AppName,
        manifest::{ConfigKey, Entry, Run},
    };

    #[test]
    fn what_changed_is_said_in_a_line() {
        let file = |path: &str, content: &[u8]| Entry::File {
            path: path.into(),
            executable: false,
            size: content.len() as u64,
            digest: Digest::of(content),
        };
        let manifest =
            |files: Vec<Entry>, run: Run| Manifest { format: 1, app: AppName::new("web").unwrap(), files, run };
        let before = manifest(vec![file("a", b"1"), file("b", b"1")], Run::default());
        let mut run = Run::default();
        run.config.insert("FEATURE_X".into(), ConfigKey { secret: false, default: Some("off".into()) });
        let after = manifest(vec![file("a", b"2"), file("c", b"1")], run);
        let words = changes_in_words(&before, &after, Some(14));
        assert_eq!(words, "14 commits, 3 files (+1 −1), config: + FEATURE_X (default off)");
    }
}
