//! A ledger written by hand, whole at first, and then changed in one place at a time.

use super::*;
use domain::event::BuildFacts;
use jiff::Timestamp;
use trust::{
    key::{SecretKey, Signer},
    manifest::{Driver, Needs},
    quorum::Rule,
    statement::{self, Administration, Header, RequestId},
    tuf::{RootBuilder, TargetFile, Targets, sign_metadata},
};

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

const OWNER: u8 = 1;
const CODER: u8 = 2;
const TESTER: u8 = 3;
const ONCALL: u8 = 4;

fn time(minute: u64) -> Timestamp {
    format!("2026-11-22T10:{minute:02}:00Z").parse().unwrap()
}

struct Story {
    estate: Digest,
    documents: BTreeMap<Digest, Vec<u8>>,
    entries: Vec<Entry>,
}

impl Story {
    fn founded() -> Self {
        let expires: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
        let owner: PersonName = "ann".parse().unwrap();
        let signed = RootBuilder::first(expires).owner(&owner, key(OWNER).public()).online(key(9).public()).build();
        let root = sign_metadata(&signed.unwrap(), &[&key(OWNER)]).unwrap();
        let charter = format!(
            "charter = \"acme\"\n[people]\n\
             coder = {{ roles = [\"developer\"], keys = [\"{}\"] }}\n\
             tester = {{ roles = [\"qa\"], keys = [\"{}\"] }}\n\
             oncall = {{ roles = [\"ops\"], keys = [\"{}\"] }}\n\
             [environments]\nprod = {{ class = \"live\", approve = \"qa and ops\", deploy = \"ops\" }}\n",
            key(CODER).public().to_openssh(),
            key(TESTER).public().to_openssh(),
            key(ONCALL).public().to_openssh(),
        );
        let listed = TargetFile { length_bytes: charter.len() as u64, digest: Digest::of(charter.as_bytes()) };
        let listed = BTreeMap::from([("charter.toml".to_string(), listed)]);
        let targets = sign_metadata(&Targets::unsigned(1, expires, &listed, None).unwrap(), &[&key(OWNER)]).unwrap();
        let (estate, targets_digest) = (Digest::of(&root), Digest::of(&targets));
        let act = AdministrationAct::ApplyCharter {
            roots: vec![estate],
            targets: targets_digest,
            charter: Digest::of(charter.as_bytes()),
        };
        let applied = Event::CharterApplied {
            estate,
            root_version: 1,
            owners: vec![(owner, key(OWNER).public())],
            version: 1,
            charter,
            roots: vec![estate],
            targets: targets_digest,
            facts: Default::default(),
        };
        let documents = BTreeMap::from([(estate, root), (targets_digest, targets)]);
        let mut story = Self { estate, documents, entries: Vec::new() };
        story.add(OWNER, "founder", estate, Act::Administration(Administration { act }), |_| vec![applied.clone()]);
        story
    }

    /// Adds an entry; the events may name the digest of the signed payload.
    fn add(
        &mut self,
        signer: u8,
        actor: &str,
        subject: Digest,
        act: Act,
        events: impl Fn(Digest) -> Vec<Event>,
    ) -> Digest {
        let number = self.entries.len() as u64 + 1;
        let header = Header {
            estate: self.estate,
            request_id: RequestId::new(format!("r{number}")).unwrap(),
            submit_before: time(59),
            on_behalf_of: None,
        };
        let envelope = Statement { subject_name: "x".into(), subject, header, act }.sign(&[&key(signer)]).unwrap();
        let payload = Digest::of(&envelope.payload);
        self.entries.push(Entry {
            number,
            time: time(number),
            actor: actor.into(),
            roles: Vec::new(),
            on_behalf_of: None,
            request_id: format!("r{number}"),
            events: events(payload),
            envelope: Some(envelope),
        });
        payload
    }

    /// Pushed, numbered, requested, approved by both, deployed; then the deployment ends by the clock.
    fn whole() -> Self {
        let mut story = Self::founded();
        let (app, version): (AppName, Version) = ("web".parse().unwrap(), "1.0.0".parse().unwrap());
        let (prod, build): (AudienceName, Digest) = ("prod".parse().unwrap(), Digest::of(b"manifest"));
        let push = statement::Push { app: app.clone(), commit: None, recipe: None, makers: vec![] };
        let facts = BuildFacts {
            driver: Driver::Process,
            files: 1,
            size_bytes: 1,
            processes: vec!["web".into()],
            on: BTreeMap::new(),
            config: BTreeMap::new(),
            needs: Needs::default(),
            migrate: None,
            takes_seconds: 0,
            can_stand_by: false,
            package: std::collections::BTreeMap::new(),
        };
        let pusher: PersonName = "coder".parse().unwrap();
        story.add(CODER, "coder", build, Act::Push(push), |_| {
            let (app, pusher, facts) = (app.clone(), pusher.clone(), facts.clone());
            vec![Event::BuildPushed { app, build, pusher, commit: None, recipe: None, facts }]
        });
        let number = statement::Number { app: app.clone(), version: version.clone() };
        story.add(CODER, "coder", build, Act::Number(number), |_| {
            vec![Event::BuildNumbered { app: app.clone(), build, version: version.clone() }]
        });
        let request = story.request(&app, &version, &prod, build);
        for (seed, name) in [(TESTER, "tester"), (ONCALL, "oncall")] {
            story.approve(seed, name, request, name == "oncall");
        }
        let order = statement::Order {
            version: Some(version.clone()),
            ..statement::Order::new(app.clone(), prod.clone(), OrderAct::Deploy)
        };
        story.add(ONCALL, "oncall", build, Act::Order(order), |_| {
            vec![Event::DeploymentRequested {
                deployment: 1,
                app: app.clone(),
                environment: prod.clone(),
                act: OrderAct::Deploy,
                build,
                version: Some(version.clone()),
                targets: Vec::new(),
                awaits_permit: false,
                warnings: Vec::new(),
                deployer: "oncall".parse().unwrap(),
                rollout: None,
                rings: Vec::new(),
                narrowed: false,
                schedule: Default::default(),
                keep_data: false,
                package: None,
                only: std::collections::BTreeSet::new(),
                planned_there: Vec::new(),
            }]
        });
        story.entries.push(Entry {
            number: 8,
            time: time(8),
            actor: "clock".into(),
            roles: Vec::new(),
            on_behalf_of: None,
            request_id: "settle:1".into(),
            events: vec![Event::DeploymentSettled { deployment: 1 }],
            envelope: None,
        });
        story
    }

    fn request(&mut self, app: &AppName, version: &Version, prod: &AudienceName, build: Digest) -> Digest {
        let (not_before, not_after) = (time(0), time(59));
        let requires: Rule = "qa and ops".parse().unwrap();
        let wish = statement::Request {
            app: app.clone(),
            version: version.clone(),
            audience: prod.clone(),
            way: Default::default(),
            reason: None,
            charter_version: 1,
            requires: requires.clone(),
            serial: 1,
            not_before,
            not_after,
            floor: None,
        };
        self.add(CODER, "coder", build, Act::Request(wish), |request| {
            vec![Event::ReleaseRequested {
                request,
                app: app.clone(),
                version: version.clone(),
                build,
                audience: prod.clone(),
                serial: 1,
                requires: requires.clone(),
                not_before,
                not_after,
                floor: None,
                requester: "coder".parse().unwrap(),
                way: Default::default(),
                reason: None,
            }]
        })
    }

    fn approve(&mut self, seed: u8, name: &str, request: Digest, grants: bool) {
        let (app, version): (AppName, Version) = ("web".parse().unwrap(), "1.0.0".parse().unwrap());
        let audience: AudienceName = "prod".parse().unwrap();
        let yes = statement::Approval { app: app.clone(), version: version.clone(), audience: audience.clone() };
        self.add(seed, name, request, Act::Approval(yes), |_| {
            let approver = name.parse().unwrap();
            let mut events = vec![Event::RequestApproved { request, approver, key: key(seed).public().id() }];
            if grants {
                let (app, version, audience) = (app.clone(), version.clone(), audience.clone());
                events.push(Event::PermitGranted { request, app, version, audience });
            }
            events
        });
    }

    fn verify(&self) -> Result<Verifier, Wrong> {
        let mut verifier = Verifier::new(self.estate);
        for entry in &self.entries {
            verifier.take(&serde_json::to_vec(entry).unwrap(), &self.documents)?;
        }
        Ok(verifier)
    }
}

#[test]
fn a_whole_ledger_is_found_whole() {
    let verifier = Story::whole().verify().map_err(|wrong| wrong.to_string()).unwrap();
    assert_eq!((verifier.size(), verifier.signatures(), verifier.permits()), (8, 7, 1));
    assert_eq!(verifier.charter().unwrap().0, 1);
    let first = serde_json::to_vec(&Story::founded().entries[0]).unwrap();
    assert_eq!(Verifier::needs(&first).len(), 2);
}

/// Changes the whole story and gives the entry that is found wrong, with the reason.
fn changed(change: impl Fn(&mut Story)) -> (u64, String) {
    let mut story = Story::whole();
    change(&mut story);
    let wrong = story.verify().err().expect("the change was not found");
    (wrong.entry, wrong.why)
}

#[test]
fn the_first_entry_that_does_not_hold_is_named() {
    let (entry, why) = changed(|story| story.entries[1].actor = "tester".into());
    assert_eq!((entry, why.as_str()), (2, "it says tester acted, and coder signed"));
    let (entry, why) = changed(|story| story.entries[2].roles = vec!["ops".into()]);
    assert_eq!((entry, why.as_str()), (3, "coder did not hold the role ops"));
    let (entry, _) = changed(|story| drop(story.entries.remove(4)));
    assert_eq!(entry, 5, "an entry is missing");
    let (entry, why) = changed(|story| story.entries[5].time = time(1));
    assert!(entry == 6 && why.contains("before the last entry's"), "{why}");
    let (entry, why) = changed(|story| story.entries[3].request_id = "other".into());
    assert!(entry == 4 && why.contains("request id"), "{why}");
    let (entry, why) = changed(|story| story.documents.clear());
    assert!(entry == 1 && why.contains("not to be had"), "{why}");
}

#[test]
fn what_happened_must_be_what_was_signed() {
    let (entry, why) = changed(|story| {
        if let Event::BuildNumbered { version, .. } = &mut story.entries[2].events[0] {
            *version = "2.0.0".parse().unwrap();
        }
    });
    assert_eq!((entry, why.as_str()), (3, "build-numbered is not what the signed number asks for"));
    let (entry, why) = changed(|story| {
        story.entries[7].events = vec![Event::HoldLifted {
            app: "web".parse().unwrap(),
            environment: "prod".parse().unwrap(),
            build: None,
            reason: None,
        }];
    });
    assert_eq!((entry, why.as_str()), (8, "hold-lifted cannot happen by itself, and nobody signed"));
    let (entry, why) = changed(|story| {
        let mut envelope = story.entries[4].envelope.clone().unwrap();
        envelope.signatures[0].sig[0] ^= 1;
        story.entries[4].envelope = Some(envelope);
    });
    assert!(entry == 5 && why.contains("a signature is false"), "{why}");
    let (entry, why) = changed(|story| {
        let other = story.entries[1].clone();
        story.entries[2].events.extend(other.events);
    });
    assert_eq!((entry, why.as_str()), (3, "build-pushed is not what the signed number asks for"));
}

#[test]
fn r31_r52_permits_are_counted_anew_and_nothing_is_deployed_without_one() {
    let (entry, why) = changed(|story| {
        // The server grants with QA alone.
        let granted = story.entries[5].events.pop().unwrap();
        story.entries[4].events.push(granted);
    });
    assert_eq!((entry, why.as_str()), (5, "web@1.0.0 was released to prod without ops"));
    let (entry, why) = changed(|story| drop(story.entries[5].events.pop()));
    assert_eq!((entry, why.as_str()), (7, "web@1.0.0 was deployed to prod without a permit"));
    let (entry, why) = changed(|story| {
        let order = story.entries[6].clone();
        story.entries.truncate(6);
        let statement = Statement::read(order.envelope.as_ref().unwrap()).unwrap();
        story.add(CODER, "coder", statement.subject, statement.act, |_| order.events.clone());
    });
    assert_eq!((entry, why.as_str()), (7, "coder may not order: the charter asks for ops"));
}

#[test]
fn r32_whoever_may_not_withdraw_or_invite_is_found_though_the_server_let_them() {
    let (entry, why) = changed(|story| {
        let (app, version): (AppName, Version) = ("web".parse().unwrap(), "1.0.0".parse().unwrap());
        let (audience, build) = ("prod".parse::<AudienceName>().unwrap(), Digest::of(b"build"));
        let act = statement::Withdrawal { app, version, audience, through_serial: 1, reason: None };
        story.entries.truncate(7);
        story.add(CODER, "coder", build, Act::Withdrawal(act), |_| Vec::new());
    });
    assert_eq!((entry, why.as_str()), (8, "coder may not withdraw from prod: no role of theirs counts there"));
    let (entry, why) = changed(|story| {
        let act = AdministrationAct::InviteTarget {
            invitation: key(7).public(),
            environment: "prod".parse().unwrap(),
            labels: BTreeMap::new(),
            name: None,
            uses: 1,
            expires: time(59),
            ephemeral: false,
        };
        story.entries.truncate(7);
        let estate = story.estate;
        story.add(ONCALL, "oncall", estate, Act::Administration(Administration { act }), |_| Vec::new());
    });
    assert_eq!((entry, why.as_str()), (8, "oncall may not change that: the charter asks for owner"));
}

#[test]
fn r30_no_target_leaves_by_the_clock_whose_time_is_not_over() {
    for why in [Departure::Lapsed, Departure::LapsedUnheard, Departure::Vanished] {
        let (_, found) = changed(|story| {
            let entry = story.entries.iter_mut().rfind(|entry| entry.actor == "clock").unwrap();
            entry.events = vec![Event::TargetRetired { target: "prod-1".parse().unwrap(), why: Some(why) }];
        });
        assert_eq!(found, "target-retired cannot happen by itself, and nobody signed", "{why:?}");
    }
}

#[test]
fn another_estate_s_ledger_is_not_this_one() {
    let story = Story::whole();
    let mut verifier = Verifier::new(Digest::of(b"another root"));
    let wrong = verifier.take(&serde_json::to_vec(&story.entries[0]).unwrap(), &story.documents).unwrap_err();
    assert_eq!(wrong.why, "its statement is of another estate");
    let wrong = Verifier::new(story.estate).take(b"{}", &story.documents).unwrap_err();
    assert!(wrong.why.starts_with("it cannot be read"), "{}", wrong.why);
}
