//! `sortie approve`.

use crate::{
    build,
    connection::Connection,
    failure::{Failure, Outcome},
    git,
    invocation::Invocation,
    names::Place,
    object,
    output::{self, Answer},
    releasing::{self, Matter, SignedRequest},
    vendor,
};
use api::read::{Build, BuildName};
use domain::{refusal::Refusal, waiting::lacks_in_words};
use jiff::Timestamp;
use std::path::Path;
use trust::{
    RoleName,
    manifest::Manifest,
    statement::{Act, Commit},
};

/// Agree to a release, after this machine has checked what is to be signed
#[derive(Debug, clap::Args)]
pub struct Approve {
    /// The version: web@1.4.0
    #[arg(value_name = "VERSION")]
    pub what: String,
    #[command(flatten)]
    pub place: Place,
    /// Sign without asking
    #[arg(short, long)]
    pub yes: bool,
}

impl Approve {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let connection = invocation.connect().await?;
        let matter = Matter::find(&connection, "approve", &self.what, &self.place).await?;
        let (name, audience) = (matter.name(), matter.audience.clone());
        let nothing = || Failure::from(Refusal::UnknownRequest).next(format!("sortie request {name} --to {audience}"));
        let request = matter.request(&connection)?.ok_or_else(nothing)?;
        let shown = inspect(&connection, &matter, &request).await?;
        invocation.say(&shown.join("\n"));
        let role = role_in_words(&connection, &matter, &request);
        if !self.yes {
            let question = format!("sign with {} as {role}?", connection.identity.label);
            if !invocation.confirm(&question) {
                return Err(Failure::failed(format!(
                    "{name} is not approved, nothing was signed: {}",
                    invocation.unconfirmed()
                ))
                .next(format!("sortie approve {name} --to {audience} --yes")));
            }
        }
        let accepted = matter.approve(&connection, &request).await?;
        let cell = releasing::cell(&connection, &matter).await?;
        if releasing::is_granted(&accepted) {
            let words =
                format!("approved as {role}. {}", releasing::granted_in_words(&connection, &matter, cell.as_ref()));
            return Ok(Answer::new(&accepted, words).next(releasing::deploy_command(&connection, &matter)));
        }
        let lacks = matter.lacks(&connection, &request, &[connection.identity.signer.public().id()])?;
        let runs = releasing::runs_in_words(&audience, cell.as_ref());
        let words =
            format!("approved as {role}. Still missing: {}. {runs}; nothing was installed.", lacks_in_words(&lacks));
        Ok(Answer::new(&accepted, words).next(format!("sortie why {name} --in {audience}")))
    }
}

/// The signer's roles that the request asks for.
fn role_in_words(connection: &Connection, matter: &Matter, request: &SignedRequest) -> String {
    let mine = connection.me().map(|(_, roles)| roles).unwrap_or_default();
    let missing = matter.lacks(connection, request, &[]).unwrap_or_default();
    let asked = request.request.requires.roles();
    let fits = |role: &&RoleName| mine.contains(*role);
    let wanted: Vec<&RoleName> = missing.iter().map(|lack| &lack.role).filter(fits).collect();
    let all: Vec<&RoleName> = if wanted.is_empty() { asked.iter().filter(fits).collect() } else { wanted };
    match all.is_empty() {
        true => connection.my_roles(),
        false => all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or "),
    }
}

/// What an approver should see, each line checked on this machine or marked as the server's word.
async fn inspect(connection: &Connection, matter: &Matter, request: &SignedRequest) -> Result<Vec<String>, Failure> {
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
    let way = request.request.way;
    lines.extend(releasing::emergency_in_words(&matter.terms(connection, way)?, way, reason(matter, request)?));
    let mut checks = match of_vendor {
        Some(_) => vec!["digest ✓", "vendor's roots, charter and permit ✓", "request ✓"],
        None => vec!["digest ✓", "push ✓", "number ✓", "request ✓"],
    };
    if let Some(since) = &matter.view.since {
        let (line, permit) = compare(connection, matter, since, &made, commit.as_ref(), &app.builds).await?;
        lines.push(line);
        checks.push(if permit { "last permit ✓" } else { "last permit: none that is whole" });
    } else {
        lines.push(format!(
            "  the first version for {}: {}, {}",
            matter.audience,
            output::count(made.files.len() as u64, "file"),
            output::bytes(made.total_size_bytes())
        ));
    }
    let (evidence, genuine) = evidence_in_words(connection, matter);
    lines.extend(evidence);
    match (genuine, matter.view.dossier.evidence.is_empty()) {
        (_, true) => {}
        (true, false) => checks.push("evidence ✓"),
        (false, false) => checks.push("evidence ✗"),
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
    Ok(lines)
}

/// Why it was requested: the text whose digest the requester signed.
fn reason<'a>(matter: &'a Matter, request: &SignedRequest) -> Result<Option<&'a str>, Failure> {
    match (&matter.view.reason, request.request.reason) {
        (Some(text), Some(signed)) if text.digest() == signed => Ok(Some(&text.text)),
        (Some(_), _) => Err(Failure::integrity("the server gave another reason than the one that was signed")),
        (None, _) => Ok(None),
    }
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

/// What changed since the version that runs or was released last, and whether that one's permit was whole.
async fn compare(
    connection: &Connection,
    matter: &Matter,
    since: &BuildName,
    made: &Manifest,
    commit: Option<&Commit>,
    builds: &[Build],
) -> Result<(String, bool), Failure> {
    let before = object::manifest(connection, &since.build).await?;
    let dossier = connection.dossier(&matter.found.app, since, Some(&matter.audience)).await?.dossier;
    let permit = releasing::whole_permit(connection, &dossier, &matter.audience).is_some();
    let before_commit = builds.iter().find(|build| build.name.build == since.build).and_then(|b| b.commit.as_ref());
    let commits = commits_between(before_commit, commit);
    let words = changes_in_words(&before, made, commits);
    Ok((format!("  since {}'s {}: {words}", matter.audience, since.short()), permit))
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
        let default = declared.default.as_ref().map(|value| format!(" (default {value})")).unwrap_or_default();
        parts.push(format!("config: + {key}{default}"));
    }
    parts.extend(old.keys().filter(|key| !new.contains_key(*key)).map(|key| format!("config: − {key}")));
    let others = |run: &trust::manifest::Run| trust::manifest::Run { config: Default::default(), ..run.clone() };
    if others(&before.run) != others(&after.run) {
        parts.push("how it runs changed".into());
    }
    parts.join(", ")
}

/// The evidence, with who signed it; whether all that is there is genuinely signed and about this build.
fn evidence_in_words(connection: &Connection, matter: &Matter) -> (Vec<String>, bool) {
    let mut genuine = true;
    let mut lines = Vec::new();
    for envelope in &matter.view.dossier.evidence {
        let opened = connection.open(Some(envelope), "evidence").ok();
        let issuer = connection.signers(envelope).into_iter().next();
        match (opened.map(|statement| (statement.subject, statement.act)), issuer) {
            (Some((subject, Act::Evidence(evidence))), Some(issuer)) if subject == matter.found.build => {
                let verdict = if evidence.passed { "passed" } else { "failed" };
                lines.push(format!("  evidence: {} {verdict} {} ({issuer})", evidence.kind, evidence.summary));
            }
            _ => genuine = false,
        }
    }
    if !genuine {
        lines.push("  some evidence the server gave is not genuine, or about another build".into());
    }
    if lines.is_empty() {
        lines.push("  evidence: none".into());
    }
    (lines, genuine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use trust::{
        AppName, Digest,
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
