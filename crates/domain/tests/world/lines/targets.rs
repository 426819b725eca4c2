//! Targets: invited, joined, and what they say.

use super::reading::{after, facts_in, hours, labels, outcome};
use crate::world::{OWNER, World, public, read};
use domain::{
    command::{Actor, Command, Signed},
    plan::{self, Assignment},
    policy::CARRIED_FROM,
    rules::sides,
};
use jiff::{SignedDuration, Timestamp};
use std::{collections::BTreeMap, sync::Arc};
use trust::{
    AppName, Digest, TargetName,
    receipt::{self, VerifiedReceipt},
    statement::{
        Act, AdministrationAct, Carried, Enrolment, Facts, Finding, FindingKind, Health, Inventory, Order, OrderAct,
        Outcome, Phase, PhaseTiming, Receipt, Report, Unwell,
    },
    way::Way,
};

/// What a line says of a report that was carried back.
#[derive(Clone, Copy)]
pub(super) struct CarriedFacts<'a> {
    pub target: &'a str,
    pub app: &'a str,
    pub letter: &'a str,
    pub environment: &'a str,
    pub at: Timestamp,
}

impl World {
    /// `prod-1 prod-2 in prod with role=web and 1024 MiB`: invited by the owner, and joined.
    pub(super) fn targets(&mut self, words: &[&str]) -> Vec<String> {
        let at = words.iter().position(|word| *word == "in").expect("targets are in an environment");
        let (names, rest) = words.split_at(at);
        let environment = rest[1];
        let mut said = self.invites(OWNER, u32::try_from(names.len()).expect("few targets"), environment, &rest[2..]);
        said.clear();
        for name in names {
            said.extend(self.joins(name, environment, &rest[2..]));
        }
        said
    }

    pub(super) fn invites(&mut self, who: &str, uses: u32, environment: &str, rest: &[&str]) -> Vec<String> {
        self.requests_made += 1;
        let word = after(rest, "by").map_or_else(|| format!("invitation {}", self.requests_made), str::to_string);
        let life = after(rest, "hours").or(after(rest, "for")).map_or(24, read);
        let act = AdministrationAct::InviteTarget {
            invitation: public(&word),
            environment: read(environment),
            labels: labels(rest),
            name: after(rest, "as").map(read),
            uses,
            expires: self.now.checked_add(hours(life)).expect("in this era"),
            ephemeral: rest.contains(&"ephemeral"),
        };
        self.last_invitation = Some(word);
        self.administer(who, act)
    }

    pub(super) fn joins(&mut self, name: &str, environment: &str, rest: &[&str]) -> Vec<String> {
        let word = after(rest, "by").map(str::to_string).or_else(|| self.last_invitation.clone());
        let facts = facts_in(rest);
        let running = after(rest, "running").and_then(|app| Some((app, after(rest, app)?)));
        let enrolment = Enrolment {
            environment: read(environment),
            target: read(name),
            invitation: public(&word.unwrap_or("none".into())),
            key: public(after(rest, "key").unwrap_or(name)),
            recipient: format!("age1{name}"),
            facts,
            active: running.map(|(app, letter)| (read(app), self.build(app, letter))).into_iter().collect(),
        };
        self.act(name, Digest::of(b"estate"), Act::Enrolment(enrolment))
    }

    pub(super) fn busy_target(&self) -> Option<TargetName> {
        self.state.targets.keys().find(|name| !plan::assignments(&self.state, name).is_empty()).cloned()
    }

    /// All targets report that they did what they were told, until none has anything left to do.
    pub(super) fn everyone_reports(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        loop {
            let Some(name) = self.busy_target() else { return said };
            said.extend(self.reports(name.as_str(), "verified", &[]));
        }
    }

    /// `verified`, `undone verify no answer`, `failed activate disk full`, `refused PERMIT_EXPIRED too late`, about the
    /// first thing the target has to do, or `about web`; `for prod-2` as another, `running nothing` against its own word,
    /// `untouched` where it came to no phase.
    pub(super) fn reports(&mut self, target: &str, how: &str, rest: &[&str]) -> Vec<String> {
        let name: TargetName = read(after(rest, "for").unwrap_or(target));
        let assignments = plan::assignments(&self.state, &name);
        let app = after(rest, "about").map(read::<AppName>);
        let earlier = after(rest, "of").map(read::<u64>);
        let is_chosen = |assignment: &Assignment| app.as_ref().is_none_or(|app| assignment.app == *app);
        let chosen = assignments.into_iter().find(|assignment| earlier.is_none() && is_chosen(assignment));
        let Some(assigned) = chosen.map(|a| (a.app, a.generation, a.deployment, a.act, a.undo, a.build, a.config))
        else {
            let (app, generation, deployment) = self.last_assigned(&name);
            // Of a deployment that a newer one has replaced, it speaks by the generation that it got with it.
            let (generation, deployment) = earlier.map_or((generation, deployment), |number| (generation - 1, number));
            let said = after(rest, "running").filter(|letter| *letter != "nothing");
            let running = said.map(|letter| self.build(app.as_str(), letter));
            let report = Report {
                target: name,
                app,
                epoch: after(rest, "epoch").map_or(self.state.epoch(), read),
                generation,
                deployment,
                outcome: Outcome::Verified,
                running,
                config_serial: 0,
                phases: Vec::new(),
                endpoints: Vec::new(),
                carried: None,
                way: Way::Normal,
                standby: false,
                doubt: None,
            };
            return self.act(target, Digest::of(b"nobody knows"), Act::Report(report));
        };
        let (app, generation, deployment, act, undo, build, config) = assigned;
        let outcome = outcome(how, rest);
        let before = self.state.deployments[&deployment].parts.get(&name).and_then(|part| part.before);
        let current = self.runs(&app, &name);
        let running = match (&outcome, act, undo) {
            (Outcome::Verified, _, true) => before,
            (Outcome::Verified, OrderAct::Deploy | OrderAct::Redeploy | OrderAct::Rollback, _) => Some(build),
            (Outcome::Verified, OrderAct::Undeploy, _) => None,
            (Outcome::Undone { .. }, ..) => before,
            _ => current,
        };
        let running = match after(rest, "running") {
            Some("nothing") => None,
            Some(letter) => Some(self.build(app.as_str(), letter)),
            None => running,
        };
        let standby = self.stands_by(&name, &app, (act, undo, build), &outcome, running);
        let report = Report {
            target: name,
            app,
            epoch: after(rest, "epoch").map_or(self.state.epoch(), read),
            generation,
            deployment,
            // It may say that it never came to touch anything.
            phases: if rest.contains(&"untouched") { Vec::new() } else { self.phases_through(&outcome) },
            outcome,
            running,
            config_serial: config.map_or(0, |(serial, _)| serial),
            endpoints: running.map(|_| "http://127.0.0.1:20001".to_string()).into_iter().collect(),
            carried: None,
            way: match rest {
                ["by", way, ..] => read(way),
                _ => Way::Normal,
            },
            standby,
            doubt: rest.iter().position(|word| *word == "doubting").map(|at| rest[at + 1..].join(" ")),
        };
        self.act(target, build, Act::Report(report))
    }

    /// Whether what runs on a target then stands by, as its agent would have it.
    fn stands_by(
        &self,
        name: &TargetName,
        app: &AppName,
        (act, undo, build): (OrderAct, bool, Digest),
        outcome: &Outcome,
        running: Option<Digest>,
    ) -> bool {
        let stood_by = self.state.running(app, name).is_some_and(|running| running.standby);
        let facts = self.state.apps.get(app).and_then(|app| app.builds.get(&build)).map(|build| &build.facts);
        let environment = self.state.targets.get(name).map(|target| &target.environment);
        let has_sides = || {
            let label =
                environment.zip(facts).map(|(environment, facts)| sides::label(&self.state, environment, facts));
            label.flatten().is_some()
        };
        match (outcome, act) {
            (Outcome::Verified, OrderAct::Switch) => (running == Some(build)) == undo,
            (Outcome::Verified, OrderAct::Deploy | OrderAct::Redeploy | OrderAct::Rollback) if !undo => has_sides(),
            _ => stood_by,
        }
    }

    /// What a target was last told, for reports that come too late.
    pub(super) fn last_assigned(&self, name: &TargetName) -> (AppName, u64, u64) {
        let apps = self.state.targets.get(name).map(|target| target.apps.clone()).unwrap_or_default();
        let last = apps.iter().find_map(|(app, on)| Some((app.clone(), on.assigned?)));
        last.map_or((read("web"), 0, 0), |(app, assigned)| (app, assigned.generation, assigned.deployment))
    }

    pub(super) fn phases_through(&self, outcome: &Outcome) -> Vec<PhaseTiming> {
        let all = [Phase::Fetch, Phase::Stage, Phase::Configure, Phase::Activate, Phase::Verify];
        let last = match outcome {
            Outcome::Verified => Phase::Verify,
            Outcome::Undone { phase, .. } | Outcome::Failed { phase, .. } => *phase,
            Outcome::Refused { .. } => return Vec::new(),
        };
        let timing = |(at, phase): (u64, Phase)| PhaseTiming { phase, started: self.now, milliseconds: 100 * at };
        (1..).zip(all).filter(|(_, phase)| *phase <= last).map(timing).collect()
    }

    /// A target behind an air gap, known already or joined `by letter-1`, has its report carried back.
    pub(super) fn carries(&mut self, who: &str, facts: &CarriedFacts<'_>, how: &str, rest: &[&str]) -> Vec<String> {
        let CarriedFacts { target, app, letter, environment, at } = *facts;
        let build = self.build(app, letter);
        let outcome = outcome(how, rest);
        let report = Report {
            target: read(target),
            app: read(app),
            generation: CARRIED_FROM + 1,
            deployment: CARRIED_FROM + 1,
            running: (outcome == Outcome::Verified).then_some(build),
            outcome,
            config_serial: 0,
            phases: Vec::new(),
            endpoints: Vec::new(),
            epoch: 1,
            carried: Some(Carried { bundle: Digest::of(b"bundle"), order: Digest::of(b"order") }),
            way: Way::Normal,
            standby: false,
            doubt: None,
        };
        let order = Order::new(read(app), read(environment), OrderAct::Deploy);
        let enrolment = after(rest, "by").map(|letter| Enrolment {
            environment: read(environment),
            target: read(target),
            invitation: public(letter),
            key: public(target),
            recipient: format!("age1{target}"),
            facts: Facts { os: "linux".into(), arch: "x86_64".into(), ..Facts::default() },
            active: BTreeMap::new(),
        });
        let payload = Digest::of(format!("{target} {app} {letter} {at} {how}").as_bytes());
        let told = receipt::Outcome {
            payload,
            bundle: Digest::of(b"bundle"),
            build,
            order,
            deployer: Some(read("oncall")),
            report,
            at,
        };
        let receipt = VerifiedReceipt {
            target: read(target),
            enrolment,
            enrolled_before: Some(at),
            outcomes: vec![told],
            inventory: None,
        };
        let signed = Signed { subject: payload, act: Receipt { target: read(target) } };
        let id = self.next_id();
        self.submit(self.actor(who), None, id, Command::TakeReceipt(signed, Arc::new(receipt)))
    }

    /// `finds nothing`, or `finds changed web/bin/web, extra web/tool`; `for prod-2` as another. `finds that web 1.4.0 runs`, or `that
    /// web does not run`, where that is not what is known; `since` some minutes ago it looked.
    pub(super) fn finds(&mut self, target: &str, line: &str) -> Vec<String> {
        let (head, found) = line.split_once(" finds ").unwrap_or((line, "nothing"));
        assert_eq!(head, target);
        let (found, name) = found.split_once(" for ").unwrap_or((found, target));
        let (found, minutes) = found.split_once(" since ").unwrap_or((found, "0 minutes"));
        let minutes: i64 = minutes.trim_end_matches(" minutes").parse().expect("a number of minutes");
        let mut active = self.active(name);
        let found = match found.strip_prefix("that ") {
            Some(found) => {
                match found.split(' ').collect::<Vec<_>>()[..] {
                    [app, letter, "runs"] => drop(active.insert(read(app), self.build(app, letter))),
                    [app, "does", "not", "run"] => drop(active.remove(&read::<AppName>(app))),
                    _ => panic!("an application and what of it runs: {found}"),
                }
                "nothing"
            }
            None => found,
        };
        let finding = |text: &str| {
            let (kind, place) = text.split_once(' ').expect("a kind and a place");
            let (app, path) = place.split_once('/').expect("an application and a path");
            let kind: FindingKind = serde_json::from_value(kind.into()).expect("a kind of finding");
            Finding { app: app.into(), path: path.into(), kind }
        };
        let findings = if found == "nothing" { Vec::new() } else { found.split(", ").map(finding).collect() };
        let scanned = self.now - SignedDuration::from_mins(minutes);
        let inventory = Inventory { target: read(name), scanned, active, findings, facts: None, lapsed: None };
        self.act(target, Digest::of(b"estate"), Act::Inventory(inventory))
    }

    /// `is now 4096 MiB kernel 5.10`: what a machine says of itself when it starts anew.
    pub(super) fn is_now(&mut self, target: &str, rest: &[&str]) -> Vec<String> {
        let facts = Some(facts_in(rest));
        let (target_name, findings) = (read(target), Vec::new());
        let inventory = Inventory {
            target: target_name,
            scanned: self.now,
            active: self.active(target),
            findings,
            facts,
            lapsed: None,
        };
        self.act(target, Digest::of(b"estate"), Act::Inventory(inventory))
    }

    /// What is known to run on a target.
    fn active(&self, target: &str) -> BTreeMap<AppName, Digest> {
        let apps = self.state.targets.get(&read::<TargetName>(target)).map(|target| target.apps.clone());
        let runs = |(app, on_target): (AppName, domain::state::OnTarget)| Some((app, on_target.running?.build));
        apps.into_iter().flatten().filter_map(runs).collect()
    }

    /// How what runs on a target is, by its own word unless another says it.
    pub(super) fn says_how_it_is(
        &mut self,
        who: &str,
        target: &str,
        unwell: Option<(&str, Digest, String)>,
    ) -> Vec<String> {
        let said = |(app, build, reason): (&str, Digest, String)| {
            let unclear = reason.starts_with("inconclusive");
            (read(app), Unwell { build, reason, unclear })
        };
        let unwell = unwell.into_iter().map(said).collect();
        self.act(who, Digest::of(b"estate"), Act::Health(Health { target: read(target), looked: self.now, unwell }))
    }

    /// A target's last word; with something active it contradicts itself.
    pub(super) fn lapses(&mut self, target: &str, left: Option<(&str, &str)>) -> Vec<String> {
        let active = left.map(|(app, letter)| (read(app), self.build(app, letter))).into_iter().collect();
        let (target_name, scanned, lapsed) = (read(target), self.now, Some(self.now));
        let inventory = Inventory { target: target_name, scanned, active, findings: Vec::new(), facts: None, lapsed };
        self.act(target, Digest::of(b"estate"), Act::Inventory(inventory))
    }

    /// Lets a target be silent for so long, and does what the clock asks for then.
    pub(super) fn vanishes(&mut self, target: &str, minutes: i64) -> Vec<String> {
        let silent = self.now;
        let mut said = self.time_passes(minutes, "minutes");
        let (name, now) = (read::<TargetName>(target), self.now);
        let heard = |other: &TargetName| if *other == name { silent } else { now };
        let (commands, _) = plan::vanished(&self.state, now, heard);
        said.extend(
            commands
                .into_iter()
                .flat_map(|(id, command)| self.submit(Actor::Clock, None, id, command))
                .collect::<Vec<_>>(),
        );
        if said.is_empty() { vec!["nobody minds".into()] } else { said }
    }
}
