//! Attacks on a target's checks. Each says what the attacker holds, tries it, and finds the target's no.
//!
//! The attacker always holds the server: its disk, its keys, and every envelope ever signed. What he lacks are the
//! private keys of people.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its scene should stop there")]

use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use trust::{
    AppName, AudienceName, Digest, PersonName, TargetName, Version,
    authority::{
        Denial, Dossier, KeptWithdrawal, Pinned, TrustedPolicy, VerifiedAuthority, Wanted, authorise, check_config,
        check_manifest,
    },
    charter::{Charter, Class},
    config::{ConfigDocument, ConfigValue},
    dsse::Envelope,
    key::{SecretKey, Signer},
    manifest::{ConfigKey, FORMAT, Manifest, Run},
    statement::{
        Act, Administration, AdministrationAct, Approval, Config, Header, Number, Order, OrderAct, Push, Request,
        RequestId, Statement, Withdrawal,
    },
};

const CODER: u8 = 1;
const ONCALL: u8 = 2;
const TESTER: u8 = 3;
const CI: u8 = 4;
const OWNER: u8 = 5;
const STRANGER: u8 = 9;

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

fn app() -> AppName {
    AppName::new("web").unwrap()
}

fn audience(name: &str) -> AudienceName {
    AudienceName::new(name).unwrap()
}

fn estate() -> Digest {
    Digest::of(b"root 1")
}

fn version() -> Version {
    "1.0.0".parse().unwrap()
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    time("2026-11-22T12:00:00Z")
}

fn manifest() -> Manifest {
    let config = BTreeMap::from([("LEVEL".to_string(), ConfigKey { secret: false, default: Some("info".into()) })]);
    Manifest { format: FORMAT, app: app(), files: vec![], run: Run { config, ..Run::default() } }
}

fn build() -> Digest {
    Digest::of(&manifest().to_bytes().unwrap())
}

fn charter_text(prod: &str) -> String {
    let line = |seed: u8| key(seed).public().to_openssh();
    format!(
        r#"charter = "acme"
[people]
coder  = {{ roles = ["developer"], keys = ["{}"] }}
oncall = {{ roles = ["developer", "ops"], keys = ["{}"] }}
tester = {{ roles = ["qa"], keys = ["{}"] }}
[robots]
ci = {{ roles = ["ci"], keys = ["{}"] }}
[environments]
dev  = {{ class = "dev", deploy = "developer or ci" }}
test = {{ class = "test", approve = "developer", deploy = "developer or ci" }}
prod = {{ {prod} }}
"#,
        line(CODER),
        line(ONCALL),
        line(TESTER),
        line(CI)
    )
}

const PROD: &str = r#"class = "live", approve = "qa and ops", deploy = "ops", after = "test""#;

fn policy_of(text: &str, suspensions: &[Envelope]) -> TrustedPolicy {
    let owners = [(PersonName::new("owner").unwrap(), key(OWNER).public())];
    TrustedPolicy::new(estate(), 1, Charter::from_bytes(text.as_bytes()).unwrap(), &owners, suspensions).unwrap()
}

fn policy() -> TrustedPolicy {
    policy_of(&charter_text(PROD), &[])
}

fn pinned(environment: &str, class: Class) -> Pinned {
    Pinned {
        estate: estate(),
        environment: audience(environment),
        class,
        target: TargetName::new("prod-1").unwrap(),
        apps: BTreeSet::new(),
    }
}

fn signed_in(estate: Digest, subject: Digest, act: Act, seeds: &[u8]) -> Envelope {
    let header = Header {
        estate,
        request_id: RequestId::new("1").unwrap(),
        submit_before: time("2026-11-22T12:05:00Z"),
        on_behalf_of: None,
    };
    let keys: Vec<SecretKey> = seeds.iter().map(|seed| key(*seed)).collect();
    let signers: Vec<&dyn Signer> = keys.iter().map(|key| key as &dyn Signer).collect();
    Statement { subject_name: "web".into(), subject, header, act }.sign(&signers).unwrap()
}

fn signed(subject: Digest, act: Act, seeds: &[u8]) -> Envelope {
    signed_in(estate(), subject, act, seeds)
}

fn push(seed: u8) -> Envelope {
    signed(build(), Act::Push(Push { app: app(), commit: None, recipe: None }), &[seed])
}

fn number(seed: u8) -> Envelope {
    signed(build(), Act::Number(Number { app: app(), version: version() }), &[seed])
}

fn request_for(to: &str, serial: u64, seed: u8) -> Envelope {
    let act = Act::Request(Request {
        app: app(),
        version: version(),
        audience: audience(to),
        way: "normal".into(),
        charter_version: 1,
        requires: "qa and ops".parse().unwrap(),
        serial,
        not_before: time("2026-11-01T00:00:00Z"),
        not_after: time("2026-12-01T00:00:00Z"),
        floor: None,
    });
    signed(build(), act, &[seed])
}

fn approval(request: &Envelope, seed: u8) -> Envelope {
    let act = Act::Approval(Approval { app: app(), version: version(), audience: audience("prod") });
    signed(Digest::of(&request.payload), act, &[seed])
}

fn order_in(environment: &str, act: OrderAct, seed: u8) -> Envelope {
    let order = Order {
        app: app(),
        environment: audience(environment),
        act,
        version: Some(version()),
        only: BTreeSet::new(),
        when_released: false,
    };
    signed(build(), Act::Order(order), &[seed])
}

fn withdrawal(through_serial: u64, seed: u8) -> Envelope {
    let act = Withdrawal { app: app(), version: version(), audience: audience("prod"), through_serial, reason: None };
    signed(build(), Act::Withdrawal(act), &[seed])
}

/// Everything as it should be: pushed by ci, requested by coder, approved by tester and oncall, ordered by oncall.
fn whole() -> Dossier {
    let request = request_for("prod", 1, CODER);
    Dossier {
        push: Some(push(CI)),
        number: Some(number(CODER)),
        approvals: vec![approval(&request, TESTER), approval(&request, ONCALL)],
        request: Some(request),
        order: Some(order_in("prod", OrderAct::Deploy, ONCALL)),
        ..Dossier::default()
    }
}

struct Attempt {
    policy: TrustedPolicy,
    pinned: Pinned,
    dossier: Dossier,
    act: OrderAct,
    kept: Vec<KeptWithdrawal>,
    floor: Option<Version>,
    now: Timestamp,
    settled: Vec<Digest>,
    active: Option<Digest>,
    performed: Vec<Digest>,
}

impl Attempt {
    fn new(dossier: Dossier) -> Self {
        Attempt {
            policy: policy(),
            pinned: pinned("prod", Class::Live),
            dossier,
            act: OrderAct::Deploy,
            kept: vec![],
            floor: None,
            now: now(),
            settled: vec![],
            active: None,
            performed: vec![],
        }
    }

    fn run(&self) -> Result<VerifiedAuthority, Denial> {
        let name = app();
        let wanted = Wanted {
            app: &name,
            build: build(),
            act: self.act,
            settled: &self.settled,
            active: self.active,
            performed: &self.performed,
        };
        authorise(&self.policy, &self.pinned, &self.dossier, &wanted, &self.kept, self.floor.as_ref(), self.now)
    }

    fn denied(&self) -> &'static str {
        self.run().expect_err("the target let it pass").code()
    }
}

#[test]
fn r31_what_all_agreed_on_is_let_through() {
    assert!(matches!(Attempt::new(whole()).run(), Ok(VerifiedAuthority::Permit(_))));
}

/// Holds: the server and its keys. Arbitrary installation: he signs everything with keys of his own.
#[test]
fn arbitrary_installation() {
    let request = request_for("prod", 1, STRANGER);
    let dossier = Dossier {
        push: Some(push(STRANGER)),
        number: Some(number(STRANGER)),
        approvals: vec![approval(&request, STRANGER), approval(&request, STRANGER)],
        request: Some(request),
        order: Some(order_in("prod", OrderAct::Deploy, STRANGER)),
        ..Dossier::default()
    };
    assert_eq!(Attempt::new(dossier).denied(), "STATEMENT_INVALID");
}

/// Holds: the server. He leaves out the request, so that the build looks like a dev build.
#[test]
fn r2_unreleased_to_live() {
    let dossier = Dossier { request: None, approvals: vec![], number: None, ..whole() };
    assert_eq!(Attempt::new(dossier).denied(), "UNRELEASED");
}

/// Holds: the server and a developer's key: enough for dev, and for nothing else.
#[test]
fn key_compromise_below_the_threshold() {
    let request = request_for("prod", 1, CODER);
    let dossier = Dossier {
        approvals: vec![approval(&request, CODER), approval(&request, TESTER)],
        request: Some(request),
        ..whole()
    };
    assert_eq!(Attempt::new(dossier).denied(), "APPROVALS_MISSING");
}

/// Holds: the server. R52: one approval twice, and one approval with the same signature twice, are one person.
#[test]
fn duplicate_signer() {
    let request = request_for("prod", 1, CODER);
    let mut twice = approval(&request, TESTER);
    twice.signatures.push(twice.signatures[0].clone());
    let dossier = Dossier { approvals: vec![twice.clone(), twice], request: Some(request), ..whole() };
    assert_eq!(Attempt::new(dossier).denied(), "APPROVALS_MISSING");
}

/// Holds: the server and one person's two roles. Oncall is developer and ops, and is one person.
#[test]
fn self_approval() {
    let request = request_for("prod", 1, ONCALL);
    let dossier = Dossier {
        approvals: vec![approval(&request, TESTER), approval(&request, ONCALL)],
        request: Some(request),
        ..whole()
    };
    assert_eq!(Attempt::new(dossier).denied(), "APPROVALS_MISSING");
}

/// Holds: the server. He writes a request that asks for fewer roles than the charter: both must be satisfied.
#[test]
fn a_request_cannot_lower_the_charter() {
    let mut attempt = Attempt::new(whole());
    attempt.policy = policy_of(&charter_text(r#"class = "live", approve = "2 qa and ops", deploy = "ops""#), &[]);
    assert_eq!(attempt.denied(), "APPROVALS_MISSING");
}

/// Holds: the server. R31: withheld withdrawal: he leaves it out, but the target has seen it once.
#[test]
fn withheld_withdrawal() {
    let mut attempt = Attempt::new(whole());
    let kept = attempt.policy.withdrawal(&withdrawal(1, TESTER), &audience("prod")).unwrap();
    attempt.kept = vec![kept];
    assert_eq!(attempt.denied(), "PERMIT_WITHDRAWN");
}

/// Holds: the server and every earlier approval. R53: a new request is not granted by the approvals of an old one.
#[test]
fn regrant_with_mixed_approvals() {
    let (old, new) = (request_for("prod", 1, CODER), request_for("prod", 2, CODER));
    let mut attempt = Attempt::new(Dossier {
        approvals: vec![approval(&old, TESTER), approval(&new, ONCALL)],
        request: Some(new),
        ..whole()
    });
    attempt.kept = vec![KeptWithdrawal { app: app(), build: build(), through_serial: 1 }];
    assert_eq!(attempt.denied(), "APPROVALS_MISSING");
}

/// Holds: nothing but a wish to stop a release. A withdrawal by somebody without a role is not taken.
#[test]
fn forged_withdrawal() {
    let policy = policy();
    for seed in [STRANGER, CI, CODER] {
        assert!(policy.withdrawal(&withdrawal(1, seed), &audience("prod")).is_err());
    }
    assert!(policy.withdrawal(&withdrawal(1, OWNER), &audience("prod")).is_ok());
}

/// Holds: the server. Replay to another environment: the request and order for test, shown to prod.
#[test]
fn replay_to_another_environment() {
    let request = request_for("test", 1, CODER);
    let dossier = Dossier {
        approvals: vec![approval(&request, TESTER), approval(&request, ONCALL)],
        request: Some(request),
        ..whole()
    };
    assert_eq!(Attempt::new(dossier).denied(), "STATEMENT_INVALID");
    let dossier = Dossier { order: Some(order_in("test", OrderAct::Deploy, ONCALL)), ..whole() };
    assert_eq!(Attempt::new(dossier).denied(), "STATEMENT_INVALID");
}

/// Holds: the server. Replay to another target: an order for prod-2 only, shown to prod-1.
#[test]
fn replay_to_another_target() {
    let act = Act::Order(Order {
        app: app(),
        environment: audience("prod"),
        act: OrderAct::Deploy,
        version: Some(version()),
        only: BTreeSet::from([TargetName::new("prod-2").unwrap()]),
        when_released: false,
    });
    let dossier = Dossier { order: Some(signed(build(), act, &[ONCALL])), ..whole() };
    assert_eq!(Attempt::new(dossier).denied(), "STATEMENT_INVALID");
}

/// Holds: another estate in which the same people work.
#[test]
fn replay_to_another_estate() {
    let act = Act::Push(Push { app: app(), commit: None, recipe: None });
    let dossier = Dossier { push: Some(signed_in(Digest::of(b"another"), build(), act, &[CI])), ..whole() };
    assert_eq!(Attempt::new(dossier).denied(), "STATEMENT_INVALID");
}

/// Holds: the server. R15: a permit without the deployer's order, or with a developer's, activates nothing.
#[test]
fn r15_no_order_or_one_by_the_wrong_role() {
    assert_eq!(Attempt::new(Dossier { order: None, ..whole() }).denied(), "STATEMENT_MISSING");
    let dossier = Dossier { order: Some(order_in("prod", OrderAct::Deploy, CODER)), ..whole() };
    assert_eq!(Attempt::new(dossier).denied(), "STATEMENT_INVALID");
}

/// Holds: the server. Bytes swapped under a name: the signed number and push are of another digest.
#[test]
fn bytes_swapped_under_a_name() {
    let other = Digest::of(b"other bytes");
    let act = Act::Push(Push { app: app(), commit: None, recipe: None });
    let dossier = Dossier { push: Some(signed(other, act, &[CI])), ..whole() };
    assert_eq!(Attempt::new(dossier).denied(), "STATEMENT_INVALID");
    let act = Act::Number(Number { app: app(), version: version() });
    let dossier = Dossier { number: Some(signed(other, act, &[CODER])), ..whole() };
    assert_eq!(Attempt::new(dossier).denied(), "STATEMENT_INVALID");
}

/// Holds: the server. Changed command, user, hook or variable: the manifest has another digest then.
#[test]
fn changed_run_specification() {
    let authority = Attempt::new(whole()).run().unwrap();
    let mut changed = manifest();
    changed.run.user = Some("root".into());
    assert!(check_manifest(&authority, &changed.to_bytes().unwrap()).is_err());
    assert!(check_manifest(&authority, &manifest().to_bytes().unwrap()).is_ok());
}

/// Holds: the server. A signature over another kind of statement is no approval.
#[test]
fn signature_over_another_statement() {
    let request = request_for("prod", 1, CODER);
    let dossier = Dossier {
        approvals: vec![withdrawal(1, TESTER), order_in("prod", OrderAct::Deploy, ONCALL)],
        request: Some(request),
        ..whole()
    };
    assert_eq!(Attempt::new(dossier).denied(), "APPROVALS_MISSING");
}

/// Holds: the server and an owner's old charter edit. The class an agent pinned at enrolment stays.
#[test]
fn class_changed_from_live_to_dev() {
    let mut attempt = Attempt::new(Dossier { request: None, approvals: vec![], ..whole() });
    attempt.policy = policy_of(&charter_text(r#"class = "dev", deploy = "ops""#), &[]);
    assert_eq!(attempt.denied(), "CLASS_CHANGED");
}

/// Holds: the server. R31: time passes; the permit is over, or has not begun.
#[test]
fn r31_out_of_its_time() {
    for at in ["2026-12-01T00:00:00Z", "2026-10-01T00:00:00Z"] {
        let attempt = Attempt { now: time(at), ..Attempt::new(whole()) };
        assert_eq!(attempt.denied(), "PERMIT_EXPIRED");
    }
}

/// Holds: the server. Rollback to an old version that is permitted but below the signed floor.
#[test]
fn below_the_floor() {
    let attempt = Attempt { floor: Some("1.0.1".parse().unwrap()), ..Attempt::new(whole()) };
    assert_eq!(attempt.denied(), "BELOW_FLOOR");
}

/// Holds: the server and a deployer's order to roll back. The target goes only where it has been.
#[test]
fn rollback_to_what_never_settled_here() {
    let dossier = Dossier { order: Some(order_in("prod", OrderAct::Rollback, ONCALL)), ..whole() };
    let mut attempt = Attempt { act: OrderAct::Rollback, ..Attempt::new(dossier) };
    assert_eq!(attempt.denied(), "NOT_HERE");
    attempt.settled = vec![build()];
    assert!(matches!(attempt.run(), Ok(VerifiedAuthority::Rollback(_))));
    // Expiry does not stop going back; a withdrawal does.
    attempt.now = time("2027-01-01T00:00:00Z");
    assert!(attempt.run().is_ok());
    attempt.kept = vec![KeptWithdrawal { app: app(), build: build(), through_serial: 1 }];
    assert_eq!(attempt.denied(), "PERMIT_WITHDRAWN");
}

/// Holds: the server. An approver who left the charter, or was suspended, takes their approvals along.
#[test]
fn approver_removed_meanwhile() {
    let suspension = |seeds: &[u8]| {
        let act = AdministrationAct::SuspendPerson { person: PersonName::new("tester").unwrap() };
        signed(estate(), Act::Administration(Administration { act }), seeds)
    };
    let with = |suspension: Envelope| Attempt {
        policy: policy_of(&charter_text(PROD), &[suspension]),
        ..Attempt::new(whole())
    };
    assert_eq!(with(suspension(&[OWNER])).denied(), "APPROVALS_MISSING");
    assert_eq!(with(suspension(&[TESTER])).denied(), "APPROVALS_MISSING");
    // A colleague cannot suspend somebody else.
    assert!(with(suspension(&[CODER])).run().is_ok());
}

/// Holds: the server. R33: the charter asks for evidence; the dossier has none, and evidence of other bytes.
#[test]
fn r33_no_evidence_for_this_digest() {
    let evidence = |subject: Digest, seed: u8| {
        let act = trust::statement::Evidence {
            app: app(),
            kind: "test-result".into(),
            passed: true,
            summary: "812/812".into(),
            document: Digest::of(b"report"),
        };
        signed(subject, Act::Evidence(act), &[seed])
    };
    let strict = r#"class = "live", approve = "qa and ops", deploy = "ops", evidence = { test-result = "ci" }"#;
    let with = |evidence: Vec<Envelope>| Attempt {
        policy: policy_of(&charter_text(strict), &[]),
        ..Attempt::new(Dossier { evidence, ..whole() })
    };
    assert_eq!(with(vec![]).denied(), "EVIDENCE_MISSING");
    assert_eq!(with(vec![evidence(Digest::of(b"other"), CI)]).denied(), "EVIDENCE_MISSING");
    assert_eq!(with(vec![evidence(build(), CODER)]).denied(), "EVIDENCE_MISSING");
    assert!(with(vec![evidence(build(), CI)]).run().is_ok());
}

/// Holds: the server. Config: older, by somebody without the right, with other values, with a loader variable.
#[test]
fn config_that_was_not_signed_for() {
    let document = |key: &str| ConfigDocument {
        app: app(),
        environment: audience("prod"),
        values: BTreeMap::from([(key.to_string(), ConfigValue::Plain("x".into()))]),
        salt: "00".into(),
    };
    let config = |document: &ConfigDocument, serial: u64, seed: u8| {
        let act = Config {
            app: app(),
            environment: audience("prod"),
            serial,
            keys: document.keys(),
            recipients: BTreeSet::new(),
        };
        signed(document.digest().unwrap(), Act::Config(act), &[seed])
    };
    let check = |manifest: &Manifest, document: &ConfigDocument, envelope: &Envelope, last: u64| {
        let bytes = document.to_bytes().unwrap();
        check_config(&policy(), &pinned("prod", Class::Live), manifest, Some(envelope), Some(&bytes), last)
    };
    let good = document("LEVEL");
    assert!(check(&manifest(), &good, &config(&good, 2, ONCALL), 1).is_ok());
    assert!(check(&manifest(), &good, &config(&good, 2, ONCALL), 3).is_err(), "an older set");
    assert!(check(&manifest(), &good, &config(&good, 2, CODER), 1).is_err(), "by one who may not");
    assert!(check(&manifest(), &document("OTHER"), &config(&good, 2, ONCALL), 1).is_err(), "other values");
    let mut hostile = manifest();
    hostile.run.config.insert("LD_PRELOAD".into(), ConfigKey { secret: false, default: Some(String::new()) });
    let loader = document("LD_PRELOAD");
    assert!(check(&hostile, &loader, &config(&loader, 2, ONCALL), 1).is_err(), "a loader variable");
    assert!(
        check_config(&policy(), &pinned("prod", Class::Live), &manifest(), None, None, 2).is_err(),
        "none any more"
    );
}

/// Holds: a target's enrolment for other applications.
#[test]
fn an_application_the_target_does_not_accept() {
    let mut attempt = Attempt::new(whole());
    attempt.pinned.apps = BTreeSet::from([AppName::new("shop").unwrap()]);
    assert_eq!(attempt.denied(), "APP_NOT_ACCEPTED");
}

/// Holds: a charter that needs more than this agent can do: it refuses rather than passing over what it does not know.
#[test]
fn a_feature_the_agent_lacks() {
    let mut attempt = Attempt::new(whole());
    let text = charter_text(PROD).replacen("[people]", "requires = [\"quorum-clocks\"]\n[people]", 1);
    attempt.policy = policy_of(&text, &[]);
    assert_eq!(attempt.denied(), "FEATURE_MISSING");
}

/// R2: dev takes unreleased builds, of somebody who may push, by order of somebody who may deploy.
#[test]
fn r2_unreleased_in_dev() {
    let dossier =
        Dossier { push: Some(push(CI)), order: Some(order_in("dev", OrderAct::Deploy, CODER)), ..Dossier::default() };
    let mut attempt = Attempt::new(dossier);
    attempt.pinned = pinned("dev", Class::Dev);
    assert!(matches!(attempt.run(), Ok(VerifiedAuthority::Unreleased(_))));
    attempt.dossier.push = Some(push(TESTER));
    assert_eq!(attempt.denied(), "STATEMENT_INVALID");
}

/// What is removed, stopped or restarted needs the deployer's order and nothing else: expiry never stops it.
#[test]
fn removal_and_control_need_an_order_only() {
    let dossier = |act| Dossier { order: Some(order_in("prod", act, ONCALL)), ..Dossier::default() };
    let attempt = |act| Attempt { act, active: Some(build()), ..Attempt::new(dossier(act)) };
    assert!(matches!(attempt(OrderAct::Undeploy).run(), Ok(VerifiedAuthority::Removal(_))));
    for act in [OrderAct::Stop, OrderAct::Start, OrderAct::Restart, OrderAct::Configure] {
        assert!(matches!(attempt(act).run(), Ok(VerifiedAuthority::Control(_))));
        assert_eq!(Attempt { active: None, ..attempt(act) }.denied(), "NOT_HERE");
    }
    // An order to deploy is no order to remove.
    let mut replayed = attempt(OrderAct::Undeploy);
    replayed.dossier.order = Some(order_in("prod", OrderAct::Deploy, ONCALL));
    assert_eq!(replayed.denied(), "STATEMENT_INVALID");
}

/// Holds: the server, and every genuine statement. He repeats an order that was carried out, under a permit that lives.
#[test]
fn repeated_order() {
    let mut attempt = Attempt::new(whole());
    let carried_out = |dossier: &Dossier| Digest::of(&dossier.order.as_ref().unwrap().payload);
    attempt.performed = vec![carried_out(&attempt.dossier)];
    assert_eq!(attempt.denied(), "ORDER_REPEATED");
    // What else is wrong with it is said first.
    let released = attempt.dossier.clone();
    attempt.dossier = Dossier { request: None, approvals: vec![], number: None, ..released.clone() };
    assert_eq!(attempt.denied(), "UNRELEASED");
    attempt.dossier = released;
    attempt.kept = vec![KeptWithdrawal { app: app(), build: build(), through_serial: 1 }];
    assert_eq!(attempt.denied(), "PERMIT_WITHDRAWN");
    // Stopping and removing are carried out once, too.
    for act in [OrderAct::Undeploy, OrderAct::Stop] {
        let dossier = Dossier { order: Some(order_in("prod", act, ONCALL)), ..Dossier::default() };
        let performed = vec![carried_out(&dossier)];
        let repeated = Attempt { act, performed, active: Some(build()), ..Attempt::new(dossier) };
        assert_eq!(repeated.denied(), "ORDER_REPEATED");
    }
    // The deployer's next order for the same build is another one, whatever was carried out before.
    let mut attempt = Attempt::new(whole());
    attempt.performed = vec![Digest::of(b"an earlier order")];
    assert!(attempt.run().is_ok());
}
