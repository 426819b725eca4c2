//! A live environment with gates and ways, a build for it, and the statements of the people around it, for tests that
//! change one thing at a time and ask the target.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its scene should stop there")]
#![allow(dead_code, reason = "each test file uses a part of the scene")]

use jiff::Timestamp;
use std::collections::BTreeSet;
use trust::{
    AppName, AudienceName, Digest, PersonName, TargetName, Version,
    authority::{
        CarriedOut, Denial, Dossier, Freshness, KeptWithdrawal, Pinned, Road, TrustedPolicy, VerifiedAuthority, Wanted,
        authorise,
    },
    charter::{Charter, Class},
    dsse::Envelope,
    freeze::Known,
    key::{SecretKey, Signer},
    schedule::Schedule,
    statement::{Act, Approval, Header, Number, Order, OrderAct, Push, Request, RequestId, Statement},
    way::{KeptEmergency, Way},
};

pub fn key(person: &str) -> SecretKey {
    SecretKey::from_seed(Digest::of(person.as_bytes()).as_bytes())
}

pub fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub fn app() -> AppName {
    AppName::new("web").unwrap()
}

pub fn version() -> Version {
    "1.4.1".parse().unwrap()
}

pub fn audience() -> AudienceName {
    AudienceName::new("prod").unwrap()
}

pub fn build() -> Digest {
    Digest::of(b"a manifest")
}

/// Prod is what `prod` says; coder develops, oncall and night are ops, tester is qa, ci and scanner are robots.
pub fn charter(prod: &str) -> String {
    let entry = |name: &str, roles: &str| {
        format!("{name} = {{ roles = [{roles}], keys = [\"{}\"] }}\n", key(name).public().to_openssh())
    };
    format!(
        "charter = \"acme\"\n[people]\n{}{}{}{}[robots]\n{}{}[environments]\ntest = {{ class = \"test\", approve = \
         \"developer\", deploy = \"developer\" }}\nprod = {{ class = \"live\", approve = \"qa and ops\", deploy = \"ops\", \
         {prod} }}\n",
        entry("coder", "\"developer\""),
        entry("oncall", "\"ops\""),
        entry("night", "\"ops\""),
        entry("tester", "\"qa\""),
        entry("ci", "\"ci\""),
        entry("scanner", "\"scanner\""),
    )
}

pub fn policy(prod: &str) -> TrustedPolicy {
    let owners = [(PersonName::new("olga").unwrap(), key("olga").public())];
    let charter = Charter::from_bytes(charter(prod).as_bytes()).unwrap();
    TrustedPolicy::new(Digest::of(b"root 1"), 1, charter, &owners, &[]).unwrap()
}

pub fn signed(subject: Digest, act: Act, person: &str) -> Envelope {
    let header = Header {
        estate: Digest::of(b"root 1"),
        request_id: RequestId::new("1").unwrap(),
        submit_before: time("2026-11-22T12:05:00Z"),
        on_behalf_of: None,
    };
    let key = key(person);
    Statement { subject_name: "web".into(), subject, header, act }.sign(&[&key as &dyn Signer]).unwrap()
}

/// One attempt to have the build run on prod-1, with everything that speaks for it.
pub struct Attempt {
    pub policy: TrustedPolicy,
    pub target: &'static str,
    pub way: Way,
    pub requester: &'static str,
    pub approvers: Vec<&'static str>,
    pub serial: u64,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    pub reason: Option<Digest>,
    pub pusher: &'static str,
    pub evidence: Vec<Envelope>,
    pub withdrawn_through: u64,
    pub emergencies: Vec<KeptEmergency>,
    pub freezes: Vec<Known>,
    pub schedule: Schedule,
    pub now: Timestamp,
}

impl Attempt {
    /// Coder asks by break-glass at noon for a day, and oncall agrees.
    pub fn new(prod: &str) -> Self {
        Self {
            policy: policy(prod),
            target: "prod-1",
            way: Way::BreakGlass,
            requester: "coder",
            approvers: vec!["oncall"],
            serial: 1,
            not_before: time("2026-11-22T12:00:00Z"),
            not_after: time("2026-11-23T12:00:00Z"),
            reason: Some(Digest::of(b"the house is on fire")),
            pusher: "ci",
            evidence: Vec::new(),
            withdrawn_through: 0,
            emergencies: Vec::new(),
            freezes: Vec::new(),
            schedule: Schedule::default(),
            now: time("2026-11-22T13:00:00Z"),
        }
    }

    fn dossier(&self) -> Dossier {
        let rule = self.policy.charter.audience(&audience()).unwrap().terms(self.way).and_then(|terms| terms.approve);
        let request = Request {
            app: app(),
            version: version(),
            audience: audience(),
            way: self.way,
            charter_version: 1,
            requires: rule.cloned().unwrap_or_else(|| "ops".parse().unwrap()),
            serial: self.serial,
            not_before: self.not_before,
            not_after: self.not_after,
            floor: None,
            reason: self.reason,
        };
        let request = signed(build(), Act::Request(request), self.requester);
        let approval = || Act::Approval(Approval { app: app(), version: version(), audience: audience() });
        let order = Order {
            version: Some(version()),
            schedule: self.schedule.clone(),
            ..Order::new(app(), audience(), OrderAct::Deploy)
        };
        let approve = |who: &&str| signed(Digest::of(&request.payload), approval(), who);
        Dossier {
            push: Some(signed(
                build(),
                Act::Push(Push { app: app(), commit: None, recipe: None, makers: vec![] }),
                self.pusher,
            )),
            number: Some(signed(build(), Act::Number(Number { app: app(), version: version() }), "coder")),
            approvals: self.approvers.iter().map(approve).collect(),
            order: Some(signed(build(), Act::Order(order), "oncall")),
            evidence: self.evidence.clone(),
            request: Some(request),
            ..Dossier::default()
        }
    }

    pub fn run(&self) -> Result<VerifiedAuthority, Denial> {
        let name = app();
        let wanted = Wanted {
            app: &name,
            build: build(),
            act: OrderAct::Deploy,
            settled: &[],
            active: None,
            carried_out: CarriedOut::default(),
            emergencies: &self.emergencies,
            package_floor: None,
            heard: None,
            freezes: &self.freezes,
            freshness: Freshness {
                road: Road::Network,
                owners_signed: Some(self.now),
                is_demanded: true,
                signed: Some(self.now),
            },
        };
        let pinned = Pinned {
            estate: Digest::of(b"root 1"),
            environment: audience(),
            class: Class::Live,
            target: TargetName::new(self.target).unwrap(),
            apps: BTreeSet::new(),
        };
        let kept =
            [KeptWithdrawal { app: app(), build: build(), through_serial: self.withdrawn_through, payload: None }];
        authorise(&self.policy, &pinned, &self.dossier(), &wanted, &kept, None, self.now)
    }

    pub fn denied(&self) -> &'static str {
        self.run().expect_err("the target let it pass").code()
    }
}
