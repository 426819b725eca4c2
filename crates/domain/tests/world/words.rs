//! Events and states in words, short enough to be read at a glance.

use super::{World, brings, read};
use domain::{
    event::{Change, Event, Migration},
    state::DeploymentPhase,
};
use std::fmt::Display;
use trust::{
    AppName, AudienceName, Digest, TargetName, Version,
    charter::Class,
    statement::{Finding, Outcome},
};

fn list(items: impl IntoIterator<Item: Display>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(" ")
}

fn labels(labels: &std::collections::BTreeMap<String, String>) -> String {
    let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if labels.is_empty() { "nothing".into() } else { labels.join(" ") }
}

/// A word as it stands in JSON: `rolled_back`.
fn word(value: impl serde::Serialize) -> String {
    serde_json::to_string(&value).expect("a word can be written").trim_matches('"').replace('_', " ")
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Verified => "verified".into(),
        Outcome::Undone { phase, reason } => format!("undone in {}: {reason}", phase.word()),
        Outcome::Failed { phase, reason } => format!("failed in {}: {reason}", phase.word()),
        Outcome::Refused { code, reason } => format!("refused {code}: {reason}"),
    }
}

fn findings(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return "is as it should be".into();
    }
    let one = |finding: &Finding| format!("{} {}/{}", word(finding.kind), finding.app, finding.path);
    format!("shows escapes: {}", findings.iter().map(one).collect::<Vec<_>>().join(", "))
}

impl World {
    /// Replaces the short digests of builds by the letters of the story.
    pub(super) fn with_letters(&self, text: String) -> String {
        self.letters
            .iter()
            .fold(text, |text, (short, letter)| text.replace(&format!("#{short}"), &format!("#{letter}")))
    }

    fn called(&self, app: &AppName, build: &Digest) -> String {
        self.with_letters(format!("{app}#{}", build.short()))
    }

    /// The version where there is one, and the build where not.
    fn number_of(&self, app: &AppName, build: Digest) -> String {
        let version = self.state.apps.get(app).and_then(|app| app.builds.get(&build)?.version.clone());
        version.map_or_else(|| self.with_letters(format!("#{}", build.short())), |version| version.to_string())
    }

    /// One event.
    pub(super) fn event_in_words(&self, event: &Event) -> String {
        match event {
            Event::CharterApplied { version, .. } => format!("charter {version} is in force"),
            Event::RecoveryKeyPutAway { .. } => "the recovery key is put away".into(),
            Event::PersonNamed { person, name: Some(_) } => format!("it is known who {person} is"),
            Event::PersonNamed { person, name: None } => format!("{person} has no name"),
            Event::PersonErased { person } => format!("{person} is erased"),
            Event::PersonSuspended { person } => format!("{person} is suspended"),
            Event::BuildPushed { app, build, pusher, commit, recipe, .. } => {
                let commit = commit.as_ref().map(|commit| format!(", commit {}", commit.id)).unwrap_or_default();
                let recipe = recipe.as_ref().map(|recipe| format!(", made by {recipe}")).unwrap_or_default();
                format!("{} pushed by {pusher}{commit}{recipe}", self.called(app, build))
            }
            Event::PartAdded { app, draft, part, pusher, .. } => {
                format!("{pusher} pushed {part} into {draft} of {app}")
            }
            Event::DraftSealed { app, draft, build } => format!("{draft} of {app} is {}", self.called(app, build)),
            Event::DraftDiscarded { app, draft } => format!("{draft} of {app} is discarded"),
            Event::AppRetired { app } => format!("{app} is retired"),
            Event::BuildPruned { app, builds } => {
                let builds: Vec<String> = builds.iter().map(|build| self.called(app, build)).collect();
                format!("{} pruned", builds.join(", "))
            }
            Event::FreezeDeclared { number, terms, by, .. } => {
                let names = list(&terms.environments);
                let environments = if names.is_empty() { "everything live".into() } else { names };
                let apps = if terms.apps.is_empty() { String::new() } else { format!(" for {}", list(&terms.apps)) };
                format!(
                    "{by} froze {environments}{apps} from {:.0} until {:.0} (freeze {number})",
                    terms.from, terms.until
                )
            }
            Event::FreezeExcepted { number, app, version, by, .. } => {
                format!("{by} excepted {app}@{version} from freeze {number}")
            }
            Event::FreezeLifted { number, by, .. } => format!("{by} lifted freeze {number}"),
            Event::BuildNumbered { app, build, version } => {
                format!("{} is {app}@{version}", self.called(app, build))
            }
            Event::ReleaseImported { app, build, version, importer, word, permit, .. } => format!(
                "{importer} brought {app}@{version} ({}) by {}, approved there by {}",
                self.called(app, build),
                word.vendor,
                list(&permit.approvers)
            ),
            Event::BuildDelivered { app, version, channel, to, .. } => {
                format!("{to} has {app}@{version} from {channel}")
            }
            Event::VendorWithdrew { app, build, through_serial, word, .. } => {
                format!("{} withdrew {} through its request {through_serial}", word.vendor, self.called(app, build))
            }
            Event::EvidenceAttached { app, build, kind, passed, summary, issuer, .. } => {
                let passed = if *passed { "passed" } else { "failed" };
                format!("{kind} of {} {passed}: {summary} ({issuer})", self.called(app, build))
            }
            Event::ReleaseRequested { app, version, audience, serial, requires, floor, requester, way, .. } => {
                let by = if way.is_normal() { String::new() } else { format!("{way}, ") };
                let floor = floor.as_ref().map(|floor| format!(", floor {floor}")).unwrap_or_default();
                format!("{requester} asks for {app}@{version} → {audience} (request {serial}, {by}{requires}{floor})")
            }
            Event::RequestApproved { approver, .. } => format!("{approver} approved"),
            Event::PermitGranted { app, version, audience, .. } => {
                format!("{app}@{version} is released to {audience}")
            }
            Event::EmergencyReviewed { app, version, audience, way, reviewer, .. } => {
                format!("{reviewer} reviewed {app}@{version} → {audience} by {way}")
            }
            Event::PermissionWithdrawn { app, version, audience, through_serial, was_granted, .. } => {
                let what = if *was_granted { "withdrawn" } else { "denied" };
                format!("{app}@{version} → {audience} is {what} through request {through_serial}")
            }
            Event::ConfigSet { app, environment, serial, keys, .. } => {
                let key = |(key, secret): (&String, &bool)| format!("{key}{}", if *secret { " (secret)" } else { "" });
                let keys: Vec<String> = keys.iter().map(key).collect();
                format!("config {serial} of {app} in {environment}: {}", keys.join(", "))
            }
            _ => self.machine_event_in_words(event),
        }
    }

    /// The events about targets and deployments.
    fn machine_event_in_words(&self, event: &Event) -> String {
        match event {
            Event::TargetInvited { environment, uses, name, ephemeral, .. } => {
                let name = name.as_ref().map(|name| format!(" as {name}")).unwrap_or_default();
                let comes_and_goes = if *ephemeral { " and leave again" } else { "" };
                format!("{uses} may join {environment}{name}{comes_and_goes}")
            }
            Event::TargetEnrolled { target, environment, labels: given, .. } if given.is_empty() => {
                format!("{target} joined {environment}")
            }
            Event::TargetEnrolled { target, environment, labels: given, .. } => {
                format!("{target} joined {environment} with {}", labels(given))
            }
            Event::TargetLabelled { target, labels: given } => format!("{target} carries {}", labels(given)),
            Event::TargetCordoned { target, cordoned, .. } => {
                format!("{target} is {}cordoned", if *cordoned { "" } else { "no longer " })
            }
            Event::TokenCreated { holder, name, .. } => format!("{holder} has a token {name}"),
            Event::TokenRevoked { holder, name, .. } => format!("{holder}'s token {name} is over"),
            Event::TargetRetired { target, why: None } => format!("{target} left for good"),
            Event::TargetRetired { target, why: Some(why) } => format!("{target} left for good: {}", why.in_words()),
            Event::StepStarted { deployment, step, members, in_place } => {
                let begun: Vec<String> = members.keys().map(ToString::to_string).collect();
                let begun = if begun.is_empty() { "nothing begins".into() } else { begun.join(", ") };
                let in_place: Vec<&str> = in_place.iter().map(|name| name.as_str()).collect();
                let in_place = match in_place.is_empty() {
                    true => String::new(),
                    false => format!("; in place: {}", in_place.join(", ")),
                };
                format!("deployment {deployment}, step {step}: {begun}{in_place}")
            }
            Event::DeploymentRequested { deployment, app, environment, act, build, targets, warnings, .. } => {
                let waits = if matches!(event, Event::DeploymentRequested { awaits_permit: true, .. }) {
                    ", once it is released"
                } else {
                    ""
                };
                let warned: String = warnings.iter().map(|warning| format!("; warned: {warning}")).collect();
                let what = format!("{app} {}", self.number_of(app, *build));
                let targets = list(targets);
                let Event::DeploymentRequested { schedule, .. } = event else { return String::new() };
                let at = schedule.at.map(|at| format!(" at {at:.0}")).unwrap_or_default();
                let expires = schedule.expires.map(|expires| format!(", until {expires:.0}")).unwrap_or_default();
                let Event::DeploymentRequested { package, only, .. } = event else { return String::new() };
                let of = package.map(|package| format!(", for deployment {package}")).unwrap_or_default();
                let only: Vec<TargetName> = only.iter().cloned().collect();
                let on = match (targets.is_empty(), only.is_empty()) {
                    (false, _) => format!(" on {targets}"),
                    (true, false) => format!(" on {}", list(&only)),
                    (true, true) => String::new(),
                };
                let what = format!("{} {what} in {environment}{on}{at}{expires}", word(act));
                format!("deployment {deployment}: {what}{of}{waits}{warned}")
            }
            Event::WaveStarted { deployment, wave, targets, ring, migrate } => {
                let ring = ring.as_ref().map(|ring| format!(" ({ring})")).unwrap_or_default();
                let migrate = match migrate {
                    Some(Migration::Run) => ", which migrates",
                    Some(Migration::Undo) => ", which takes the migration back",
                    None => "",
                };
                format!("deployment {deployment}, wave {wave}{ring}: {}{migrate}", list(targets))
            }
            Event::RingVerified { deployment, ring } => format!("deployment {deployment} is well on {ring}"),
            Event::DeploymentPaused { deployment, failure: Some(why), .. } => {
                format!("deployment {deployment} is paused: {why}")
            }
            Event::DeploymentPaused { deployment, by, .. } => {
                let by = by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
                format!("deployment {deployment} is paused{by}")
            }
            Event::DeploymentResumed { deployment, by, .. } => format!("{by} lets deployment {deployment} go on"),
            Event::TargetFinished {
                deployment,
                target,
                outcome: how,
                change,
                running,
                way,
                stands,
                standby,
                doubt,
                ..
            } => {
                let by = if way.is_normal() { String::new() } else { format!(" by {way}") };
                let app = self.state.deployments.get(deployment).map(|deployment| deployment.app.clone());
                let runs = app.zip(*running).map(|(app, build)| self.number_of(&app, build));
                let change = change.map(|change: Change| format!(" ({})", word(change))).unwrap_or_default();
                let stands = if *stands { "; it gets its turn again" } else { "" };
                let standby = if *standby { ", stands by" } else { "" };
                let doubt = doubt.as_ref().map(|doubt| format!("; in doubt: {doubt}")).unwrap_or_default();
                format!(
                    "{target} {}{change}{by}; runs {}{standby}{stands}{doubt}",
                    outcome(how),
                    runs.unwrap_or("nothing".into())
                )
            }
            Event::UndoStarted { deployment, reason, targets, absent, .. } => {
                let how = match targets.is_empty() {
                    true => "goes no further".to_owned(),
                    false => format!("goes back on {}", list(targets)),
                };
                let later = match absent.is_empty() {
                    true => String::new(),
                    false => format!("; {} goes back when heard of again", list(absent)),
                };
                format!("deployment {deployment} {how}: {reason}{later}")
            }
            Event::TargetExcluded { deployment, target, by, away, .. } => {
                let why = if *away { "since it is away" } else { "since it is cordoned" };
                let by = by.as_ref().map_or(why.into(), |by| format!("by {by}"));
                format!("{target} is left out of deployment {deployment} {by}")
            }
            Event::TargetAdded { deployment, target } => {
                format!("{target} gets what it missed, deployment {deployment}")
            }
            Event::RetryOrdered { deployment, targets, by, reason } => {
                let why = if reason.is_some() { ", and says why" } else { "" };
                format!("{by} lets {} try deployment {deployment} again{why}", list(targets))
            }
            Event::DeploymentEnded { deployment, superseded_by: Some(by), .. } => {
                format!("deployment {deployment} is superseded by deployment {by}")
            }
            Event::DeploymentEnded { deployment, ending, reason, .. } => {
                let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
                format!("deployment {deployment} {}{reason}", word(*ending))
            }
            Event::DeploymentSettled { deployment } => format!("deployment {deployment} settled"),
            Event::HoldPlaced { app, environment, build, .. } => {
                format!("{app} {} is held out of {environment}", self.number_of(app, *build))
            }
            Event::HoldLifted { app, environment, build: Some(build), .. } => {
                format!("{app} {} is no longer held out of {environment}", self.number_of(app, *build))
            }
            Event::HoldLifted { app, environment, .. } => format!("nothing of {app} is held out of {environment}"),
            Event::HealthChanged { target, app, build, unwell, unclear } => {
                let word = if *unclear { "unclear" } else { "unwell" };
                let how = unwell.as_ref().map_or("well again".into(), |why| format!("{word}: {why}"));
                format!("{app} {} on {target} is {how}", self.number_of(app, *build))
            }
            Event::EscapesChanged { target, findings: found } => format!("{target} {}", findings(found)),
            Event::TargetRunsOtherwise { target, app, build: Some(build) } => {
                format!("{target} says that it runs {app} {}", self.number_of(app, *build))
            }
            Event::TargetRunsOtherwise { target, app, build: None } => {
                format!("{target} says that it runs nothing of {app}")
            }
            Event::FactsChanged { target, facts } => {
                format!(
                    "{target} is {} {}, {} MiB, kernel {}",
                    facts.os,
                    facts.arch,
                    facts.memory_bytes >> 20,
                    facts.kernel
                )
            }
            Event::ReceiptTaken { deployment, target, app, build, outcome, change, .. } => {
                let what = format!("{app} {}", self.number_of(app, *build));
                let how = match outcome {
                    trust::statement::Outcome::Verified => {
                        format!("{} there", change.map_or("is".into(), word))
                    }
                    _ => "did not go well there".to_string(),
                };
                format!("deployment {deployment}, by a bundle: {target} says that {what} {how}")
            }
            Event::ExposureChanged { app, environment, version, percent } => {
                format!("{percent} % see {app}@{version} in {environment}")
            }
            other => panic!("no words for {}", other.name()),
        }
    }

    /// One line for each audience: what is released, what runs, who sees it, what is held, what escaped.
    pub(super) fn status(&self, app: &str) -> Vec<String> {
        let app: AppName = read(app);
        let policy = self.policy();
        let names: Vec<AudienceName> = policy.charter.audience_names().cloned().collect();
        names.iter().map(|audience| self.status_in(&app, audience)).collect()
    }

    fn status_in(&self, app: &AppName, audience: &AudienceName) -> String {
        let versions = self.state.apps.get(app).map(|record| record.versions.clone()).unwrap_or_default();
        let released: Vec<&Version> = versions
            .iter()
            .filter(|(_, numbered)| self.is_released(app, numbered.build, audience))
            .map(|(version, _)| version)
            .collect();
        let mut parts = Vec::new();
        if !released.is_empty() {
            parts.push(format!("released {}", list(&released)));
        }
        let on_target = |name: &TargetName| {
            let running = self.state.running(app, name);
            let what = running.map_or("nothing".into(), |running| {
                let class = self.policy().charter.environments.get(audience).map(|environment| environment.class);
                let unreleased = match class {
                    _ if self.is_released(app, running.build, audience) => "",
                    Some(Class::Dev) => " (unreleased build)",
                    _ => " (no live permit)",
                };
                let stopped = if running.stopped { " (stopped)" } else { "" };
                format!("{}{unreleased}{stopped}", self.number_of(app, running.build))
            });
            format!("{name} runs {what}")
        };
        parts.extend(self.state.targets_in(audience).map(|(name, _)| on_target(name)));
        let record = self.state.in_audience(app, audience).cloned().unwrap_or_default();
        if let Some((version, percent, _)) = &record.exposure {
            parts.push(format!("{percent} % see {version}"));
        }
        if !record.held.is_empty() {
            let held = record.held.keys().map(|build| self.number_of(app, *build));
            parts.push(format!("held out {}", list(held)));
        }
        if parts.is_empty() {
            parts.push("nothing".into());
        }
        format!("{audience}: {}", parts.join(", "))
    }

    /// What a rollback goes back to: of the whole, or of the targets that are named after `on`.
    pub(super) fn back(&mut self, app: &str, environment: &str, rest: &[&str]) -> Vec<String> {
        let only = rest.iter().skip(1).map(|name| read(name)).collect();
        let app: AppName = read(app);
        match domain::rules::rollback::back(&self.state, &app, &read(environment), &only) {
            Ok(build) => vec![format!("back to {}", self.number_of(&app, build))],
            Err(refusal) => vec![self.refusal_in_words(&refusal)],
        }
    }

    /// What a target should do now.
    pub(super) fn assignments(&self, target: &str) -> Vec<String> {
        let assignments = domain::plan::assignments(&self.state, &read(target));
        let one = |assignment: &domain::plan::Assignment| {
            let undo = if assignment.undo { "go back from " } else { "" };
            let what = self.number_of(&assignment.app, assignment.build);
            let config = assignment.config.map(|(serial, _)| format!(", config {serial}")).unwrap_or_default();
            let (number, act) = (assignment.deployment, word(assignment.act));
            format!("{target} should {undo}{act} {} {what} (deployment {number}{config})", assignment.app)
        };
        if assignments.is_empty() {
            return vec![format!("{target} has nothing to do")];
        }
        assignments.iter().map(one).collect()
    }

    /// What every deployment that is open, or soaks, waits on.
    pub(super) fn waits(&self) -> Vec<String> {
        let waits = self.state.deployments.keys().filter_map(|number| {
            let waits = domain::plan::waits(&self.state, *number, self.now)?;
            Some(domain::rules::presence::waits(&self.state, *number, &self.away, waits))
        });
        let said: Vec<String> = waits.map(|waiting| waiting.to_string()).collect();
        if said.is_empty() { vec!["nothing waits".into()] } else { said }
    }

    /// What will become of the orders that stand.
    pub(super) fn calendar(&self) -> Vec<String> {
        let outlooks = domain::outlook::outlooks(&self.state, self.now);
        let lines = outlooks.into_iter().flat_map(|outlook| {
            let clashes = outlook.clashes.into_iter().map(|clash| format!("  but {clash}"));
            std::iter::once(format!("deployment {} at {}", outlook.deployment, outlook.at)).chain(clashes)
        });
        let going_on = domain::outlook::going_on(&self.state, self.now).into_iter().flat_map(|one| {
            let clash = one.clash.map(|clash| format!("  but {clash}"));
            std::iter::once(format!("deployment {} goes on at {}", one.deployment, one.at)).chain(clash)
        });
        let said: Vec<String> = lines.chain(going_on).collect();
        if said.is_empty() { vec!["nothing is planned".into()] } else { said }
    }

    /// The phases of each target's part in a deployment.
    pub(super) fn phases(&self, number: u64) -> Vec<String> {
        let Some(deployment) = self.state.deployments.get(&number) else { return vec!["forgotten".into()] };
        let phase =
            |timing: &trust::statement::PhaseTiming| format!("{} {} ms", timing.phase.word(), timing.milliseconds);
        let part = |(name, part): (&TargetName, &domain::state::Part)| {
            format!("{name}: {}", part.phases.iter().map(phase).collect::<Vec<_>>().join(", "))
        };
        let kind = if brings(deployment.act) { "brought" } else { "acted on" };
        let over = matches!(deployment.phase, DeploymentPhase::Ended { .. });
        let over = if over { "over" } else { "open" };
        let head = format!("{kind} {} and is {over}", self.number_of(&deployment.app, deployment.build));
        std::iter::once(head).chain(deployment.parts.iter().map(part)).collect()
    }
}
