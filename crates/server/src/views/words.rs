//! Events in plain lines, for the history and the board: what happened, to what, by whom.

use super::{build_name, packages};
use api::read::HistoryEntry;
use domain::{
    entry::Entry,
    event::{Change, Ending, Event, Migration, VendorWord},
    plan,
    rules::rollout,
    sizes,
    state::{Aside, Deployment, DeploymentPhase, Part, Progress, Request, State},
};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use trust::{
    AppName, Digest, PersonName, TargetName, Version,
    names::printable,
    statement::{Facts, Finding, OrderAct, Outcome, PhaseTiming},
    way::Way,
};

/// How many names a line lists before it counts the rest.
const NAMES_SHOWN: usize = 4;

/// Finds a free text by its digest, unless it was erased.
pub(crate) type Texts<'a> = &'a dyn Fn(&Digest) -> Option<String>;

/// An actor's name as it is shown: an erased person's is replaced.
pub(crate) fn shown(state: &State, actor: &str) -> String {
    PersonName::new(actor).map_or_else(|_| actor.to_string(), |person| state.shown(&person).to_string())
}

/// The text that stands in the side table, where the words refer to one.
pub(crate) fn readable(words: String, texts: Texts<'_>) -> String {
    match trust::text::referred(&words) {
        Some(digest) => texts(&digest).unwrap_or_else(|| "(erased)".into()),
        None => words,
    }
}

/// An entry without its envelope, with what happened in words. `state` is any state from the entry on.
pub(crate) fn history_entry(state: &State, entry: Entry, texts: Texts<'_>) -> HistoryEntry {
    let mut entry = entry;
    entry.on_behalf_of = entry.on_behalf_of.map(|whom| readable(whom, texts));
    let lines = lines(state, &entry, texts);
    entry.actor = shown(state, &entry.actor);
    HistoryEntry { entry: Entry { envelope: None, ..entry }, lines }
}

/// One line for each event of an entry. `state` is any state from the entry on: it knows what numbers refer to.
pub(crate) fn lines(state: &State, entry: &Entry, texts: Texts<'_>) -> Vec<String> {
    let teller = Teller { state, entry, texts };
    entry.events.iter().map(|event| printable(&teller.line(event))).collect()
}

/// `dev-1, dev-2` or `dev-1, dev-2, dev-3, dev-4 and 8 more`.
pub(crate) fn names(names: &[impl std::fmt::Display]) -> String {
    let shown: Vec<String> = names.iter().take(NAMES_SHOWN).map(ToString::to_string).collect();
    match names.len().saturating_sub(NAMES_SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// `1 target`, `12 targets`.
pub(crate) fn count(n: usize, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}

/// How long ago, to one unit: `just now`, `5 min`, `2 h`, `9 days`.
pub(crate) fn ago(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs();
    match seconds {
        ..45 => "just now".into(),
        45..5_400 => format!("{} min", (seconds + 30) / 60),
        5_400..172_800 => format!("{} h", (seconds + 1_800) / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// How long until then, to one unit: `a moment`, `5 min`, `2 h`.
pub(crate) fn left(until: Timestamp, now: Timestamp) -> String {
    if until.duration_since(now).as_secs() < 45 { "a moment".into() } else { ago(now, until) }
}

/// `10 % of end users`, `all end users`.
pub(crate) fn size_of_share(percent: u8) -> String {
    if percent >= 100 { "all end users".into() } else { format!("{percent} % of end users") }
}

/// A moment to the second: `2026-11-22 10:02:17 UTC`.
pub(crate) fn moment(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// A way that must not be overread: `HOTFIX`, `BREAK-GLASS`.
pub(crate) fn loud(way: Way) -> String {
    way.word().to_uppercase()
}

struct Teller<'a> {
    state: &'a State,
    entry: &'a Entry,
    texts: Texts<'a>,
}

impl Teller<'_> {
    fn line(&self, event: &Event) -> String {
        let actor = self.actor();
        match event {
            Event::RecoveryKeyPutAway { .. } => format!("{actor} says that the recovery key is put away"),
            Event::CharterApplied { version, .. } => format!("charter {version} is in force, applied by {actor}"),
            Event::PersonSuspended { person } => {
                let person = self.state.shown(person);
                format!("{actor} suspended {person}, who has no powers until a new charter gives them back")
            }
            Event::PersonNamed { person, name: Some(_) } => format!("{actor} said who {} is", self.state.shown(person)),
            Event::PersonNamed { person, name: None } => {
                format!("{actor} took the name of {} away", self.state.shown(person))
            }
            Event::PersonErased { person } => {
                format!("{actor} erased {}: the name, and every text that person wrote", self.state.shown(person))
            }
            Event::BuildPushed { .. } => self.pushed(event),
            Event::PartAdded { app, draft, part, pusher, files, size_bytes, .. } => {
                let pusher = self.state.shown(pusher);
                let files = count(*files as usize, "file");
                format!(
                    "{pusher} pushed the part {part} into {draft} of {app}: {files}, {}",
                    sizes::length(*size_bytes)
                )
            }
            Event::DraftSealed { app, draft, build } => {
                format!("{actor} sealed {draft} of {app}: its parts make {}", self.named(app, build))
            }
            Event::DraftDiscarded { app, draft } => {
                format!("{actor} discarded {draft} of {app}: its parts make no build")
            }
            Event::AppRetired { app } => format!("{actor} retired {app}, for good: nothing new of it comes in"),
            Event::BuildPruned { app, builds } => {
                let names: Vec<String> = builds.iter().map(|build| self.named(app, build)).collect();
                format!("{actor} pruned the bytes of {}; what they were stays known", self::names(&names))
            }
            Event::BuildNumbered { app, build, version } => {
                format!("{actor} numbered {app}#{}: it is {app}@{version}, for good", build.short())
            }
            Event::ReleaseImported { .. } => self.imported(event),
            Event::BuildDelivered { app, version, channel, to, .. } => {
                format!("{app}@{version} was handed to {} from {channel}", self.state.shown(to))
            }
            Event::VendorWithdrew { app, build, word, .. } => {
                format!("{} has withdrawn {} from us; {actor} brought word of it", word.vendor, self.named(app, build))
            }
            Event::EvidenceAttached { app, build, kind, passed, summary, issuer, .. } => {
                let verdict = if *passed { "passed" } else { "failed" };
                let issuer = self.state.shown(issuer);
                format!("{issuer} attached {kind} to {}: {verdict}, {summary}", self.named(app, build))
            }
            Event::ReleaseRequested { app, version, audience, serial, requires, requester, way, reason, .. } => {
                let by = if way.is_normal() { String::new() } else { format!(" by {}", loud(*way)) };
                let reason = self.text(reason.as_ref());
                let requester = self.state.shown(requester);
                format!(
                    "{requester} requested {app}@{version} → {audience}{by} (request {serial}); it needs {requires}{reason}"
                )
            }
            Event::RequestApproved { request, approver, .. } => self.approved(request, &self.state.shown(approver)),
            Event::PermitGranted { request, app, version, audience } => {
                let way = self.state.requests.get(request).map(|request| request.way).unwrap_or_default();
                match way.is_normal() {
                    true => format!("{app}@{version} released to {audience}: the last required approval came"),
                    false => format!(
                        "{app}@{version} released to {audience} by {}: somebody who had no part in it must review it",
                        loud(way)
                    ),
                }
            }
            Event::EmergencyReviewed { app, version, audience, way, reviewer, finding, .. } => {
                let finding = self.text(finding.as_ref());
                let reviewer = self.state.shown(reviewer);
                format!("{reviewer} reviewed {app}@{version} → {audience} by {}{finding}", loud(*way))
            }
            Event::PermissionWithdrawn { app, version, audience, was_granted, reason, .. } => {
                let reason = self.text(reason.as_ref());
                match was_granted {
                    true => format!("{actor} withdrew {app}@{version} from {audience}{reason}"),
                    false => format!("{actor} denied {app}@{version} → {audience}{reason}"),
                }
            }
            Event::ConfigSet { app, environment, serial, keys, .. } => {
                let key = |(key, secret): (&String, &bool)| format!("{key}{}", if *secret { " (secret)" } else { "" });
                let keys: Vec<String> = keys.iter().map(key).collect();
                let keys = if keys.is_empty() { "no key".into() } else { names(&keys) };
                format!("{actor} set config {serial} of {app} in {environment}: {keys}; nothing that runs changed")
            }
            Event::FreezeDeclared { number, terms, .. } => {
                let names: Vec<String> = terms.environments.iter().map(ToString::to_string).collect();
                let what = if names.is_empty() { "everything live".into() } else { names.join(", ") };
                let apps: Vec<String> = terms.apps.iter().map(ToString::to_string).collect();
                let apps = if apps.is_empty() { String::new() } else { format!(" for {}", apps.join(", ")) };
                let (from, until) = (moment(terms.from), moment(terms.until));
                format!(
                    "{actor} froze {what}{apps} from {from} until {until} (freeze {number}){}",
                    self.text(Some(&terms.reason))
                )
            }
            Event::FreezeExcepted { number, app, version, reason, .. } => {
                format!("{actor} excepted {app}@{version} from freeze {number}{}", self.text(Some(reason)))
            }
            Event::FreezeLifted { number, reason, .. } => {
                format!("{actor} lifted freeze {number}{}", self.text(reason.as_ref()))
            }
            Event::TargetInvited { environment, labels, name, uses, expires, ephemeral, .. } => {
                let whom = name.as_ref().map_or_else(|| count(*uses as usize, "machine"), ToString::to_string);
                let goes = if *ephemeral { ", to come and go" } else { "" };
                format!("{actor} invited {whom} to {environment}{} until {}{goes}", labelled(labels), moment(*expires))
            }
            Event::TargetEnrolled { target, environment, labels, facts, .. } => {
                let (os, arch) = (&facts.os, &facts.arch);
                format!("{target} joined {environment}{} ({os} {arch})", labelled(labels))
            }
            Event::TargetLabelled { target, labels } if labels.is_empty() => format!("{actor} unlabelled {target}"),
            Event::TargetLabelled { target, labels } => format!("{actor} labelled {target}{}", labelled(labels)),
            Event::TargetCordoned { target, cordoned: true, reason } => {
                format!("{actor} cordoned {target}, and new deployments stay away{}", self.text(reason.as_ref()))
            }
            Event::TargetCordoned { target, cordoned: false, .. } => {
                format!("{actor} uncordoned {target}: deployments come again")
            }
            Event::TokenCreated { name, expires, .. } => {
                format!("{actor} made the read-only token {name}, good until {}", moment(*expires))
            }
            Event::TokenRevoked { holder, name, .. } => format!("{actor} revoked {holder}'s read-only token {name}"),
            Event::TargetRetired { target, why: None } => format!("{actor} retired {target}, for good"),
            Event::TargetRetired { target, why: Some(why) } => format!("{target} left for good: {}", why.in_words()),
            Event::DeploymentRequested { package: Some(package), .. } => self.ordered_of(event, *package),
            Event::DeploymentRequested { .. } => self.ordered(event),
            Event::StepStarted { deployment, step, members, in_place } => {
                let list = |names: Vec<&AppName>| names.into_iter().map(AppName::as_str).collect::<Vec<_>>().join(", ");
                let begun = list(members.keys().collect());
                let there = list(in_place.iter().collect());
                let said = match (members.is_empty(), in_place.is_empty()) {
                    (false, true) => format!("{begun} began"),
                    (false, false) => format!("{begun} began; in place already: {there}"),
                    (true, _) => format!("in place already: {there}"),
                };
                format!("{}: step {step}: {said}", self.deployment(*deployment))
            }
            Event::WaveStarted { deployment, wave, targets, ring, migrate } => {
                let ring = ring.as_ref().map(|ring| format!(" ({ring})")).unwrap_or_default();
                let migrate = match migrate {
                    Some(Migration::Run) => ", which changes the data before anything else",
                    Some(Migration::Undo) => ", which takes the change of the data back before anything else",
                    None => "",
                };
                format!("{}: wave {wave}{ring} began on {}{migrate}", self.deployment(*deployment), names(targets))
            }
            Event::RingVerified { deployment, ring } => {
                let word = self.word_to_go_on(*deployment);
                format!("{} is well on {ring}; the next ring waits{word}", self.deployment(*deployment))
            }
            Event::DeploymentPaused { deployment, failure: Some(failure), .. } => {
                format!("{} is paused until somebody looks: {failure}", self.deployment(*deployment))
            }
            Event::DeploymentPaused { deployment, reason, .. } => {
                format!("{actor} paused {}{}", self.deployment(*deployment), self.text(reason.as_ref()))
            }
            Event::DeploymentResumed { deployment, reason, .. } => {
                format!("{actor} let {} go on{}", self.deployment(*deployment), self.text(reason.as_ref()))
            }
            Event::TargetFinished { deployment, target, outcome, change, running, phases, way, doubt, .. } => {
                let finished = Finished { outcome, change: *change, running, phases };
                let by = if way.is_normal() { String::new() } else { format!(", by {}", loud(*way)) };
                let doubt = doubt.as_ref().map(|doubt| format!("; somebody should look: {doubt}")).unwrap_or_default();
                format!("{}{by}{doubt}", self.finished(*deployment, target, &finished))
            }
            Event::UndoStarted { deployment, reason, targets, absent, aborted } => {
                let on = if targets.is_empty() { String::new() } else { format!(" on {}", names(targets)) };
                let later = match absent.is_empty() {
                    true => String::new(),
                    false => format!("; {} when it is heard of again", names(absent)),
                };
                let said = self.text(aborted.as_ref().and_then(|aborted| aborted.reason.as_ref()));
                format!("{} goes back{on}: {reason}{said}{later}", self.deployment(*deployment))
            }
            Event::TargetExcluded { deployment, target, by: None, away: true, .. } => {
                let of = self.deployment(*deployment);
                format!(
                    "{of} goes on without {target}, which nobody has heard of for a while: it gets it once it is back"
                )
            }
            Event::TargetExcluded { deployment, target, by: None, .. } => {
                format!("{target} is left out of {}, since it is cordoned", self.deployment(*deployment))
            }
            Event::TargetExcluded { deployment, target, reason, .. } => {
                format!("{actor} left {target} out of {}{}", self.deployment(*deployment), self.text(reason.as_ref()))
            }
            Event::TargetAdded { deployment, target } => {
                format!("{target} was not there for {}, and gets it now", self.deployment(*deployment))
            }
            Event::RetryOrdered { deployment, targets, reason, .. } => {
                let (what, why) = (self.deployment(*deployment), self.text(reason.as_ref()));
                format!("{actor} ordered {what} to try again on {}{why}", names(targets))
            }
            Event::DeploymentEnded { deployment, superseded_by: Some(by), .. } => {
                format!("{} was superseded by deployment {by} before it began", self.deployment(*deployment))
            }
            Event::DeploymentEnded { deployment, ending, reason, aborted, .. } => {
                let why = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
                let said = self.text(aborted.as_ref().and_then(|aborted| aborted.reason.as_ref()));
                format!("{}{why}{said}", self.ended(*deployment, *ending))
            }
            Event::DeploymentSettled { deployment } => format!("{} settled", self.deployment(*deployment)),
            Event::HoldPlaced { app, environment, build, .. } => {
                format!("{} is held out of {environment} until somebody lifts the hold", self.named(app, build))
            }
            Event::HoldLifted { app, environment, build, reason } => {
                let what = build.map_or_else(|| app.to_string(), |build| self.named(app, &build));
                format!("{actor} lifted the hold on {what} in {environment}{}", self.text(reason.as_ref()))
            }
            Event::HealthChanged { target, app, build, unwell: Some(why), unclear: true } => {
                format!("nobody can tell how {} is on {target}: {why}", self.named(app, build))
            }
            Event::HealthChanged { target, app, build, unwell: Some(why), .. } => {
                format!("{} is unwell on {target}: {why}", self.named(app, build))
            }
            Event::HealthChanged { target, app, build, unwell: None, .. } => {
                format!("{} is well again on {target}", self.named(app, build))
            }
            Event::FactsChanged { target, facts } => {
                let Facts { os, arch, kernel, memory_bytes, agent_version } = facts;
                let kernel = if kernel.is_empty() { String::new() } else { format!(", kernel {kernel}") };
                let memory = sizes::room(*memory_bytes);
                format!("{target} is now {os} {arch}{kernel}, {memory} memory, agent {agent_version}")
            }
            Event::EscapesChanged { target, findings } if findings.is_empty() => {
                format!("{target}: everything is as it was released again")
            }
            Event::EscapesChanged { target, findings } => {
                let found: Vec<String> = findings.iter().take(1).map(Finding::in_words).collect();
                let more = match findings.len() {
                    0 | 1 => String::new(),
                    n => format!(", and {} more", n - 1),
                };
                format!("{target}: escape: {}{more}", found.join(""))
            }
            Event::TargetRunsOtherwise { target, app, build: Some(build) } => {
                format!("{target} itself says that it runs {}", self.named(app, build))
            }
            Event::TargetRunsOtherwise { target, app, build: None } => {
                format!("{target} itself says that it runs no {app}")
            }
            Event::ReceiptTaken { .. } => self.carried(event),
            Event::ExposureChanged { app, environment, version, percent: 0 } => {
                format!("{actor} concealed {app}@{version} in {environment}: no end user sees it")
            }
            Event::ExposureChanged { app, environment, version, percent } => {
                format!("{actor} exposed {app}@{version} to {percent} % of end users in {environment}")
            }
        }
    }

    /// Who did it: `ann`, `ann for bob`, `prod-1`, `the clock`.
    fn actor(&self) -> String {
        let actor = match self.entry.actor.as_str() {
            "clock" => "the clock".to_string(),
            "founder" => "the founder".into(),
            name => name.strip_prefix("target:").map_or_else(|| shown(self.state, name), str::to_string),
        };
        match &self.entry.on_behalf_of {
            Some(other) => format!("{actor} for {other}"),
            None => actor,
        }
    }

    /// `: the reason`, where there is one and it was not erased.
    fn text(&self, digest: Option<&Digest>) -> String {
        digest.and_then(self.texts).map(|text| format!(": {text}")).unwrap_or_default()
    }

    fn named(&self, app: &AppName, build: &Digest) -> String {
        build_name(self.state, app, build).of(app)
    }

    /// `1.4.0` or `#3fa9c1`.
    fn short(&self, app: &AppName, build: &Digest) -> String {
        build_name(self.state, app, build).short()
    }

    /// `deployment 17 (web@1.4.0 → prod)`, `deployment 18 (removal of web@1.4.0 from prod)`, or less where it was closed so long ago
    /// that the state forgot it.
    fn deployment(&self, number: u64) -> String {
        match self.state.deployments.get(&number) {
            Some(Deployment { app, build, environment, act, .. }) => {
                let what = self.named(app, build);
                match act {
                    OrderAct::Deploy | OrderAct::Redeploy => format!("deployment {number} ({what} → {environment})"),
                    OrderAct::Rollback => format!("deployment {number} (rollback to {what} in {environment})"),
                    OrderAct::Undeploy => format!("deployment {number} (removal of {what} from {environment})"),
                    act => format!("deployment {number} ({} of {what} in {environment})", act_noun(*act)),
                }
            }
            None => format!("deployment {number}"),
        }
    }

    fn pushed(&self, event: &Event) -> String {
        let Event::BuildPushed { app, build, pusher, commit, recipe: _, facts } = event else { return String::new() };
        let commit = commit.as_ref().map(|commit| {
            let id = commit.id.get(..7).unwrap_or(&commit.id);
            let tag = commit.tag.as_ref().map(|tag| format!(" (tag {tag})")).unwrap_or_default();
            format!(", from commit {id}{tag}")
        });
        let what = match facts.package.is_empty() {
            true => format!("{}, {}", count(facts.files as usize, "file"), sizes::length(facts.size_bytes)),
            false => format!("a package of {}", packages::members_in_words(&facts.package)),
        };
        let of = format!("{what}{}", commit.unwrap_or_default());
        let pusher = self.state.shown(pusher);
        format!("{pusher} pushed {app}#{}: {of}", build.short())
    }

    /// The vendor's release and its arrival here: two signatures, one line.
    fn imported(&self, event: &Event) -> String {
        let Event::ReleaseImported { app, build, version, importer, facts, word, permit, .. } = event else {
            return String::new();
        };
        let VendorWord { vendor, audience, .. } = word;
        let people: Vec<String> = permit.approvers.iter().map(|person| format!("{person} of {vendor}")).collect();
        let by = if permit.way.is_normal() { String::new() } else { format!(" by {}", loud(permit.way)) };
        let importer = self.state.shown(importer);
        let of =
            format!("#{}, {}, {}", build.short(), count(facts.files as usize, "file"), sizes::length(facts.size_bytes));
        let until = moment(permit.not_after);
        format!(
            "{importer} brought in {app}@{version} ({of}), which {vendor} released to {audience}{by} on {:.0}: approved by \
             {}; it may be activated until {until}",
            permit.not_before.strftime("%Y-%m-%d"),
            names(&people)
        )
    }

    /// With the roles that the request asks for, out of all that the approver holds.
    fn approved(&self, request: &Digest, approver: &impl std::fmt::Display) -> String {
        let Some(Request { app, version, audience, requires, .. }) = self.state.requests.get(request) else {
            return format!("{approver} approved a request");
        };
        let wanted: BTreeSet<String> = requires.roles().iter().map(ToString::to_string).collect();
        let roles: Vec<&str> =
            self.entry.roles.iter().map(String::as_str).filter(|role| wanted.contains(*role)).collect();
        let roles = if roles.is_empty() { String::new() } else { format!(" as {}", roles.join(" and ")) };
        format!("{approver} approved {app}@{version} → {audience}{roles}")
    }

    fn carried(&self, event: &Event) -> String {
        let Event::ReceiptTaken { deployment, target, deployer, outcome, change, running, phases, at, .. } = event
        else {
            return String::new();
        };
        let by = deployer.as_ref().map_or(String::new(), |deployer| format!(", ordered by {deployer}"));
        let finished = Finished { outcome, change: *change, running, phases };
        let what = self.finished(*deployment, target, &finished);
        format!("{what}; by a bundle{by}, at {at:.0} (deployment {deployment}); {} brought the receipt", self.actor())
    }

    fn ordered(&self, event: &Event) -> String {
        let Event::DeploymentRequested {
            deployment,
            app,
            environment,
            act,
            build,
            targets,
            awaits_permit,
            deployer,
            keep_data,
            schedule,
            ..
        } = event
        else {
            return String::new();
        };
        let what = self.named(app, build);
        let members = domain::rules::packages::listed(self.state, app, build).map(|facts| facts.package.len());
        let on = members.map_or_else(|| count(targets.len(), "target"), |members| count(members, "member"));
        let ordered = match act {
            OrderAct::Deploy => format!("{what} to be deployed to {environment}, {on}"),
            OrderAct::Redeploy => format!("{what} to be deployed to {environment} again, {on}"),
            OrderAct::Rollback => format!("{environment} to go back to {what}, {on}"),
            OrderAct::Configure => format!("{app} in {environment} to get its newest config, {on}"),
            OrderAct::Undeploy => format!("{app} to be removed from {environment}, {on}"),
            OrderAct::Stop => format!("{app} in {environment} to stop, {on}"),
            OrderAct::Start => format!("{app} in {environment} to start, {on}"),
            OrderAct::Restart => format!("{app} in {environment} to restart, {on}"),
            OrderAct::Switch => format!("{what} to serve in {environment}, and what serves to stand by, {on}"),
        };
        let waits = if *awaits_permit { "; it waits for its permit" } else { "" };
        let data = if *keep_data { "; the data stays as it is" } else { "" };
        let at = schedule.at.map(|at| format!(" at {at:.0}")).unwrap_or_default();
        let deployer = self.state.shown(deployer);
        format!("{deployer} ordered {ordered}{at} (deployment {deployment}){data}{waits}")
    }

    /// A part of a package's deployment: nobody ordered it for itself.
    fn ordered_of(&self, event: &Event, package: u64) -> String {
        let Event::DeploymentRequested { deployment, app, environment, act, build, targets, .. } = event else {
            return String::new();
        };
        let (what, on) = (self.named(app, build), count(targets.len(), "target"));
        let act = act_noun(*act);
        format!("{act} of {what} in {environment}, {on}, with deployment {package} (deployment {deployment})")
    }

    fn finished(&self, deployment: u64, target: &TargetName, finished: &Finished<'_>) -> String {
        let Some(record) = self.state.deployments.get(&deployment) else {
            return format!("{target}: its part of deployment {deployment} {}", told(finished.outcome));
        };
        let Deployment { app, build, act, .. } = record;
        let (short, name) = (self.short(app, build), self.named(app, build));
        let now = match finished.running {
            Some(running) if running == build => format!("{short} runs there all the same"),
            Some(running) => format!("{} runs there", self.short(app, running)),
            None => "nothing of it runs there".into(),
        };
        match finished.outcome {
            Outcome::Verified => {
                format!("{target}: {}{}", self.change(record, target, finished, &short), took(finished.phases))
            }
            Outcome::Undone { phase, reason } => {
                format!("{target}: {} of {name} failed at {}: {reason}; undone, {now}", act_noun(*act), phase.word())
            }
            Outcome::Failed { phase, reason } => {
                format!("{target}: {} of {name} failed at {}: {reason}; {now}", act_noun(*act), phase.word())
            }
            Outcome::Refused { code, reason } => format!("{target}: refused {name}: {code}, {reason}; {now}"),
        }
    }

    /// Whether a later version ran on a target before a deployment came.
    fn goes_down(&self, record: &Deployment, target: &TargetName) -> bool {
        let before = record.parts.get(target).and_then(|part| part.before);
        let known = self.state.apps.get(&record.app).zip(before);
        let before = known.and_then(|(app, before)| app.builds.get(&before)?.version.as_ref());
        before.is_some_and(|before| record.version.as_ref().is_some_and(|version| version < before))
    }

    /// R57: `deployed` the first time, `upgraded` after that, or `downgraded` where a later version ran before.
    fn change(&self, record: &Deployment, target: &TargetName, finished: &Finished<'_>, short: &str) -> String {
        let app = &record.app;
        match finished.change {
            Some(Change::Deployed) => format!("{app} deployed, {short}"),
            Some(Change::Upgraded) if self.goes_down(record, target) => format!("{app} downgraded to {short}"),
            Some(Change::Upgraded) => format!("{app} upgraded to {short}"),
            Some(Change::Repeated) => format!("{app} {short} deployed again"),
            Some(Change::RolledBack) => format!("{app} rolled back to {short}"),
            Some(Change::Configured) => format!("{app} {short} got its newest config"),
            Some(Change::Removed) => format!("{app} removed"),
            Some(Change::Controlled) => match record.act {
                OrderAct::Stop => format!("{app} {short} stopped"),
                OrderAct::Start => format!("{app} {short} started"),
                OrderAct::Switch if finished.running == &Some(record.build) => format!("{app} {short} serves"),
                OrderAct::Switch => {
                    let made_way = finished.running.as_ref().map(|build| self.short(app, build)).unwrap_or_default();
                    format!("{app} {made_way} stands by")
                }
                _ => format!("{app} {short} restarted"),
            },
            // A verified part that changed nothing took the deployment back.
            None => match finished.running {
                Some(running) => format!("{app} is back on {}", self.short(app, running)),
                None => format!("{app} removed again: nothing of it ran before"),
            },
        }
    }

    /// What lets the next ring begin where that is somebody's word, and from when on it is taken: while the ring that this entry is
    /// about bakes, it is not yet.
    fn word_to_go_on(&self, number: u64) -> String {
        let record = self.state.deployments.get(&number);
        let Some(record) = record.filter(|record| rollout::goes_on_by_hand(self.state, record)) else {
            return String::new();
        };
        let is_this_one = matches!(record.phase, DeploymentPhase::Baking(since) if since.entry == self.entry.number);
        let until = plan::bakes_until(self.state, record).filter(|until| is_this_one && *until > self.entry.time);
        let from = until.map(|until| format!(" from {}", moment(until))).unwrap_or_default();
        format!(" for somebody's word{from}: sortie resume {number}")
    }

    /// Whether a target verified by this entry what it is about, even if it has gone back or left since. Who had left by then, or
    /// was left out, is none of them.
    fn was_verified(&self, target: &TargetName, part: &Part) -> bool {
        let left = || self.state.targets.get(target).and_then(|target| target.departed);
        let counts = match part.aside {
            Some(Aside::Excluded) => false,
            Some(Aside::Left) => left().is_some_and(|(_, stamp)| stamp.entry > self.entry.number),
            _ => true,
        };
        // Who tried again or caught up afterwards had not verified it then: an entry says the same however late it is read.
        let is_or_was =
            matches!(part.progress, Progress::Finished(Outcome::Verified) | Progress::Undoing(_) | Progress::Undone);
        let has_verified = if part.verified == 0 { is_or_was } else { part.verified <= self.entry.number };
        counts && part.begun <= self.entry.number && has_verified
    }

    fn ended(&self, number: u64, ending: Ending) -> String {
        let Some(record) = self.state.deployments.get(&number) else {
            return format!("deployment {number} {}", ending_word(ending));
        };
        let Deployment { app, build, environment, act, parts, members, .. } = record;
        let what = self.named(app, build);
        let on = match members.len() {
            0 => count(parts.iter().filter(|(target, part)| self.was_verified(target, part)).count(), "target"),
            members => count(members, "member"),
        };
        match (ending, act) {
            (Ending::Succeeded, OrderAct::Undeploy) => {
                format!("deployment {number} succeeded: {app} is removed from {environment}, {on}")
            }
            (Ending::Succeeded, OrderAct::Stop) => {
                format!("deployment {number} succeeded: {app} is stopped in {environment}, {on}")
            }
            (Ending::Succeeded, OrderAct::Switch) => {
                format!("deployment {number} succeeded: {what} serves in {environment}, {on}")
            }
            (Ending::Succeeded, _) => {
                format!("deployment {number} succeeded: {what} is verified in {environment}, {on}")
            }
            (ending, _) => format!("{} {}", self.deployment(number), ending_word(ending)),
        }
    }
}

/// What a target's report says.
struct Finished<'a> {
    outcome: &'a Outcome,
    change: Option<Change>,
    running: &'a Option<Digest>,
    phases: &'a [PhaseTiming],
}

fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Verified => "is verified".into(),
        Outcome::Undone { phase, reason } => format!("failed at {} and was undone: {reason}", phase.word()),
        Outcome::Failed { phase, reason } => format!("failed at {}: {reason}", phase.word()),
        Outcome::Refused { code, reason } => format!("was refused: {code}, {reason}"),
    }
}

/// How a deployment ended, in a few words.
pub(crate) fn ending_word(ending: Ending) -> &'static str {
    match ending {
        Ending::Succeeded => "succeeded",
        Ending::Undone => "was undone",
        Ending::Failed => "failed",
        Ending::Aborted => "was aborted",
        Ending::Dropped => "was dropped before it began",
        Ending::Superseded => "was superseded",
    }
}

fn act_noun(act: OrderAct) -> &'static str {
    match act {
        OrderAct::Deploy | OrderAct::Redeploy => "deployment",
        OrderAct::Rollback => "rollback",
        OrderAct::Configure => "new config",
        OrderAct::Undeploy => "removal",
        OrderAct::Stop => "stop",
        OrderAct::Start => "start",
        OrderAct::Restart => "restart",
        OrderAct::Switch => "switch",
    }
}

fn labelled(labels: &BTreeMap<String, String>) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!(" [{}]", names(&labels))
}

/// ` in 0.9 s`: from the begin of the first phase to the end of the last, by the target's clock.
fn took(phases: &[PhaseTiming]) -> String {
    let length = |phase: &PhaseTiming| SignedDuration::from_millis(i64::try_from(phase.milliseconds).unwrap_or(0));
    let begin = phases.iter().map(|phase| phase.started).min();
    let end = phases.iter().filter_map(|phase| phase.started.checked_add(length(phase)).ok()).max();
    match (begin, end) {
        (Some(begin), Some(end)) => format!(" in {:.1} s", end.duration_since(begin).as_secs_f64().max(0.0)),
        _ => String::new(),
    }
}

/// `web@1.4.0`.
pub(crate) fn versioned(app: &AppName, version: &Version) -> String {
    format!("{app}@{version}")
}

#[cfg(test)]
#[path = "words_tests.rs"]
mod tests;
