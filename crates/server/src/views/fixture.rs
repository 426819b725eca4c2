//! A small estate for the tests of the views, made by folding events as the ledger would.

use domain::{
    event::{BuildFacts, Change, Ending, Event},
    state::{Standing, State, apply},
};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use trust::{
    AppName, AudienceName, Digest, TargetName, Version,
    key::{PublicKey, SecretKey, Signer},
    manifest::{ConfigKey, Driver, Needs},
    schedule::Schedule,
    statement::{Commit, Facts, Finding, OrderAct, Outcome},
    way::Way,
};

/// Three environments and two channels; coder, oncall and second (ops), tester (qa).
pub(crate) const CHARTER: &str = r#"charter = "acme"
[people]
coder  = { roles = ["developer"],        keys = ["KEY1"] }
oncall = { roles = ["developer", "ops"], keys = ["KEY2"] }
tester = { roles = ["qa"],               keys = ["KEY3"] }
second = { roles = ["ops"],              keys = ["KEY4"] }
[environments]
dev  = { class = "dev",  deploy = "developer" }
test = { class = "test", approve = "developer", deploy = "developer" }
prod = { class = "live", approve = "qa and ops", deploy = "ops", after = "test", ways = { break-glass = { approve = "ops", waives = ["after"], hours = 24 } } }
[channels]
beta   = { approve = "qa", public = true }
friend = { approve = "qa" }
"#;

/// A state and the means to let things happen in it.
pub(crate) struct World {
    /// What is so now.
    pub state: State,
}

pub(crate) fn key(seed: u8) -> PublicKey {
    SecretKey::from_seed(&[seed; 32]).public()
}

fn person_key(person: &str) -> PublicKey {
    key(["", "coder", "oncall", "tester", "second"].iter().position(|name| *name == person).unwrap() as u8)
}

pub(crate) fn app(name: &str) -> AppName {
    name.parse().unwrap()
}

pub(crate) fn audience(name: &str) -> AudienceName {
    name.parse().unwrap()
}

pub(crate) fn target(name: &str) -> TargetName {
    name.parse().unwrap()
}

/// What a target says that did its part: what that changed, and what runs there now.
pub(crate) fn verified(deployment: u64, on: &str, change: Option<Change>, running: Option<Digest>) -> Event {
    Event::TargetFinished {
        deployment,
        target: target(on),
        outcome: Outcome::Verified,
        change,
        running,
        config_serial: 0,
        phases: Vec::new(),
        endpoints: Vec::new(),
        given_up: false,
        stands: false,
        standby: false,
        doubt: None,
        way: Way::Normal,
    }
}

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

impl World {
    /// The estate with one target in each environment.
    pub fn new() -> Self {
        let mut world = World { state: State::default() };
        let charter = (1..=4)
            .fold(CHARTER.to_owned(), |charter, seed| charter.replace(&format!("KEY{seed}"), &key(seed).to_openssh()));
        world.happen(Event::CharterApplied {
            estate: Digest::of(b"root 1"),
            root_version: 1,
            owners: vec![("owner".parse().unwrap(), key(9))],
            version: 1,
            charter,
            roots: vec![Digest::of(b"root 1")],
            targets: Digest::of(b"targets"),
            facts: Default::default(),
        });
        assert!(world.state.policy.is_some(), "the charter of the tests is no charter");
        for (place, environment) in ["dev", "test", "prod"].into_iter().enumerate() {
            world.enrolled(&format!("{environment}-1"), environment, 20 + place as u8);
        }
        world
    }

    /// Puts the same charter in force with one thing changed.
    pub fn amended(&mut self, what: &str, into: &str) {
        let record = self.state.policy.as_ref().unwrap().record.clone();
        assert!(record.charter.contains(what), "the charter of the tests says nothing like {what}");
        self.happen(Event::CharterApplied {
            estate: record.estate,
            root_version: record.root_version,
            owners: record.owners,
            version: record.version + 1,
            charter: record.charter.replace(what, into),
            roots: Vec::new(),
            targets: record.targets,
            facts: record.facts,
        });
        let policy = self.state.policy.as_ref().unwrap();
        assert_eq!(policy.record.version, record.version + 1, "the changed charter is no charter");
    }

    /// Folds an event in, one minute after the one before.
    pub fn happen(&mut self, event: Event) {
        let start: Timestamp = "2026-11-22T09:00:00Z".parse().unwrap();
        self.state.head.entry += 1;
        self.state.head.time = start + SignedDuration::from_mins(self.state.head.entry as i64);
        apply(&mut self.state, &event);
    }

    /// One minute after the last event.
    pub fn now(&self) -> Timestamp {
        self.state.head.time + SignedDuration::from_mins(1)
    }

    pub fn enrolled(&mut self, name: &str, environment: &str, seed: u8) {
        self.happen(Event::TargetEnrolled {
            target: target(name),
            environment: audience(environment),
            invitation: key(8),
            key: key(seed),
            recipient: "age1".into(),
            labels: BTreeMap::new(),
            facts: Facts {
                os: "linux".into(),
                arch: "x86_64".into(),
                memory_bytes: 1 << 30,
                agent_version: "0.1.0".into(),
                kernel: String::new(),
            },
        });
    }

    fn push(&mut self, name: &str, bytes: &str, commit: String, config: BTreeMap<String, ConfigKey>) -> Digest {
        let build = Digest::of(bytes.as_bytes());
        let facts = BuildFacts {
            driver: Driver::Process,
            files: 12,
            size_bytes: 4_100_000,
            processes: vec!["web".into()],
            on: BTreeMap::new(),
            config,
            needs: Needs::default(),
            migrate: None,
            takes_seconds: 0,
            can_stand_by: false,
            package: std::collections::BTreeMap::new(),
        };
        self.happen(Event::BuildPushed {
            app: app(name),
            build,
            pusher: "coder".parse().unwrap(),
            commit: Some(Commit { id: commit, tag: None, title: "Change".into() }),
            recipe: None,
            facts,
        });
        build
    }

    pub fn pushed_from(&mut self, name: &str, seed: u8, commit: &str) -> Digest {
        self.push(name, &format!("{name}{seed}"), commit.into(), BTreeMap::new())
    }

    pub fn pushed(&mut self, name: &str, seed: u8) -> Digest {
        self.pushed_from(name, seed, &format!("{seed:040x}"))
    }

    pub fn number(&mut self, name: &str, text: &str, build: Digest) {
        self.happen(Event::BuildNumbered { app: app(name), build, version: version(text) });
    }

    /// A build with this number, pushed unless it was.
    pub fn numbered(&mut self, name: &str, text: &str) -> Digest {
        let known = self.state.apps.get(&app(name)).and_then(|app| app.versions.get(&version(text)).copied());
        if let Some(known) = known {
            return known.build;
        }
        let commit = Digest::of(text.as_bytes()).hex()[..40].to_owned();
        let build = self.push(name, text, commit, BTreeMap::new());
        self.number(name, text, build);
        build
    }

    /// A build with this number that declares a config key without a default.
    pub fn declared(&mut self, name: &str, text: &str, config_key: &str) -> Digest {
        let declared = ConfigKey { secret: true, default: None };
        let build = self.push(name, text, "d".repeat(40), BTreeMap::from([(config_key.to_owned(), declared)]));
        self.number(name, text, build);
        build
    }

    /// A build without a number that declares a config key without a default.
    pub fn pushed_with(&mut self, name: &str, bytes: &str, config_key: &str) -> Digest {
        let declared = ConfigKey { secret: true, default: None };
        self.push(name, bytes, "e".repeat(40), BTreeMap::from([(config_key.to_owned(), declared)]))
    }

    fn newest_request(&self, name: &str, text: &str, to: &str) -> Digest {
        let here = self.state.in_audience(&app(name), &audience(to)).unwrap();
        *here.requests.get(&version(text)).unwrap().last().unwrap()
    }

    pub fn requested(&mut self, name: &str, text: &str, to: &str, requester: &str) -> Digest {
        self.requested_by(Way::Normal, name, text, to, requester)
    }

    pub fn requested_by(&mut self, way: Way, name: &str, text: &str, to: &str, requester: &str) -> Digest {
        let build = self.numbered(name, text);
        let here = self.state.in_audience(&app(name), &audience(to));
        let serial = 1 + here.and_then(|here| here.requests.get(&version(text))).map_or(0, |all| all.len() as u64);
        let request = Digest::of(format!("{name}@{text} to {to} {serial}").as_bytes());
        let now = self.now();
        let charter = &self.state.policy.as_ref().unwrap().charter;
        let requires = charter.audience(&audience(to)).unwrap().approve.unwrap().clone();
        self.happen(Event::ReleaseRequested {
            request,
            app: app(name),
            version: version(text),
            build,
            audience: audience(to),
            serial,
            requires,
            not_before: now,
            not_after: now + SignedDuration::from_hours(24 * 90),
            floor: None,
            requester: requester.parse().unwrap(),
            way,
            reason: (!way.is_normal()).then(|| Digest::of(b"the house is on fire")),
        });
        request
    }

    pub fn approved(&mut self, name: &str, text: &str, to: &str, approver: &str) {
        let request = self.newest_request(name, text, to);
        let approver_name = approver.parse().unwrap();
        self.happen(Event::RequestApproved { request, approver: approver_name, key: person_key(approver).id() });
    }

    /// A version with a permit: requested, approved by everybody needed, granted.
    pub fn released(&mut self, name: &str, text: &str, to: &str) -> Digest {
        self.released_by(Way::Normal, name, text, to)
    }

    /// As [`Self::released`], by another way: the charter here has break-glass in prod.
    pub fn released_by(&mut self, way: Way, name: &str, text: &str, to: &str) -> Digest {
        let build = self.numbered(name, text);
        let request = self.requested_by(way, name, text, to, "coder");
        for approver in ["tester", "oncall"] {
            self.approved(name, text, to, approver);
        }
        self.happen(Event::PermitGranted { request, app: app(name), version: version(text), audience: audience(to) });
        assert!(matches!(self.state.requests[&request].standing, Standing::Granted(_)));
        build
    }

    pub fn withdraw(&mut self, name: &str, text: &str, from: &str) {
        self.happen(Event::PermissionWithdrawn {
            app: app(name),
            version: version(text),
            build: self.state.apps[&app(name)].versions[&version(text)].build,
            audience: audience(from),
            through_serial: self.state.next_serial(&app(name), &version(text), &audience(from)) - 1,
            was_granted: true,
            reason: None,
            payload: None,
        });
    }

    pub fn ordered(&mut self, on: &str, name: &str, build: Digest, act: OrderAct) -> u64 {
        let deployment = self.stands(on, name, build, act, Schedule::default());
        self.happen(Event::WaveStarted { deployment, wave: 1, targets: vec![target(on)], ring: None, migrate: None });
        deployment
    }

    /// An order that has not begun.
    pub fn stands(&mut self, on: &str, name: &str, build: Digest, act: OrderAct, schedule: Schedule) -> u64 {
        self.stands_on(&[on], name, build, act, schedule)
    }

    /// As [`Self::stands`], for several targets of one environment.
    pub fn stands_on(&mut self, on: &[&str], name: &str, build: Digest, act: OrderAct, schedule: Schedule) -> u64 {
        let deployment = self.state.last_deployment + 1;
        let version = self.state.apps.get(&app(name)).and_then(|app| app.builds.get(&build)?.version.clone());
        self.happen(Event::DeploymentRequested {
            deployment,
            app: app(name),
            environment: self.state.targets[&target(on[0])].environment.clone(),
            act,
            build,
            version,
            targets: on.iter().map(|name| target(name)).collect(),
            awaits_permit: false,
            warnings: Vec::new(),
            deployer: "oncall".parse().unwrap(),
            rollout: None,
            rings: Vec::new(),
            narrowed: false,
            schedule,
            keep_data: false,
            package: None,
            only: std::collections::BTreeSet::new(),
            planned_there: Vec::new(),
        });
        deployment
    }

    /// A whole deployment of `build` to one target, which says that it runs there.
    pub fn runs(&mut self, on: &str, name: &str, build: Digest) {
        let deployment = self.ordered(on, name, build, OrderAct::Deploy);
        self.happen(verified(deployment, on, Some(Change::Deployed), Some(build)));
        self.happen(Event::DeploymentEnded {
            deployment,
            ending: Ending::Succeeded,
            reason: None,
            superseded_by: None,
            aborted: None,
        });
    }

    pub fn verified_in(&mut self, name: &str, build: &Digest, environment: &str) {
        self.runs(&format!("{environment}-1"), name, *build);
    }

    pub fn found(&mut self, on: &str, findings: Vec<Finding>) {
        self.happen(Event::EscapesChanged { target: target(on), findings });
    }

    pub fn expose(&mut self, name: &str, text: &str, environment: &str, percent: u8) {
        let (app, environment, version) = (app(name), audience(environment), version(text));
        self.happen(Event::ExposureChanged { app, environment, version, percent });
    }

    pub fn commit_of(&self, name: &str, build: &Digest) -> String {
        self.state.apps[&app(name)].builds[build].commit.as_ref().unwrap().id.clone()
    }
}
