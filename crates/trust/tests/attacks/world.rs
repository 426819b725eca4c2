//! The scene: an estate with four people, a robot and an owner, one application, and everything they signed.

use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
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
    manifest::{ConfigKey, FORMAT, Manifest, Run},
    statement::{Act, Approval, Header, Number, Order, OrderAct, Push, Request, RequestId, Statement, Withdrawal},
    tuf::{Root, RootBuilder, TargetFile, Targets, TufError, sign_metadata},
    vendor::Heard,
};

pub const CODER: u8 = 1;
pub const ONCALL: u8 = 2;
pub const TESTER: u8 = 3;
pub const CI: u8 = 4;
pub const OWNER: u8 = 5;
pub const SECOND_OWNER: u8 = 6;
/// Oncall's other key, where a charter gives them one.
pub const SECOND_KEY: u8 = 7;
/// The key that the server holds.
pub const SERVER: u8 = 8;
pub const STRANGER: u8 = 9;
/// The key in an invitation's token, and that of the target that joins by it.
pub const INVITATION: u8 = 10;
pub const TARGET: u8 = 11;
/// When the owners' metadata expires.
pub const EXPIRES: &str = "2030-01-01T00:00:00Z";

pub fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

/// A key's line in a charter.
pub fn line(seed: u8) -> String {
    key(seed).public().to_openssh()
}

pub fn hex_of(key: &SecretKey) -> String {
    Digest::from_bytes(*key.public().ed25519().unwrap()).hex()
}

pub fn app() -> AppName {
    AppName::new("web").unwrap()
}

pub fn audience(name: &str) -> AudienceName {
    AudienceName::new(name).unwrap()
}

pub fn estate() -> Digest {
    Digest::of(b"root 1")
}

pub fn version() -> Version {
    "1.0.0".parse().unwrap()
}

pub fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub fn now() -> Timestamp {
    time("2026-11-22T12:00:00Z")
}

pub fn manifest() -> Manifest {
    let config = BTreeMap::from([("LEVEL".to_string(), ConfigKey { secret: false, default: Some("info".into()) })]);
    Manifest { format: FORMAT, app: app(), files: vec![], run: Run { config, ..Run::default() } }
}

pub fn build() -> Digest {
    Digest::of(&manifest().to_bytes().unwrap())
}

pub fn charter_text(prod: &str) -> String {
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

pub const PROD: &str = r#"class = "live", approve = "qa and ops", deploy = "ops", after = "test""#;

pub fn policy_of(text: &str, suspensions: &[Envelope]) -> TrustedPolicy {
    let owners = [(PersonName::new("owner").unwrap(), key(OWNER).public())];
    TrustedPolicy::new(estate(), 1, Charter::from_bytes(text.as_bytes()).unwrap(), &owners, suspensions).unwrap()
}

pub fn policy() -> TrustedPolicy {
    policy_of(&charter_text(PROD), &[])
}

pub fn pinned(environment: &str, class: Class) -> Pinned {
    Pinned {
        estate: estate(),
        environment: audience(environment),
        class,
        target: TargetName::new("prod-1").unwrap(),
        apps: BTreeSet::new(),
    }
}

pub fn signed_in(estate: Digest, subject: Digest, act: Act, seeds: &[u8]) -> Envelope {
    signed_at(estate, subject, act, time("2026-11-22T12:05:00Z"), seeds)
}

fn signed_at(estate: Digest, subject: Digest, act: Act, submit_before: Timestamp, seeds: &[u8]) -> Envelope {
    let header = Header { estate, request_id: RequestId::new("1").unwrap(), submit_before, on_behalf_of: None };
    let keys: Vec<SecretKey> = seeds.iter().map(|seed| key(*seed)).collect();
    let signers: Vec<&dyn Signer> = keys.iter().map(|key| key as &dyn Signer).collect();
    Statement { subject_name: "web".into(), subject, header, act }.sign(&signers).unwrap()
}

pub fn signed(subject: Digest, act: Act, seeds: &[u8]) -> Envelope {
    signed_in(estate(), subject, act, seeds)
}

pub fn push(seed: u8) -> Envelope {
    push_by(&[seed])
}

pub fn push_by(seeds: &[u8]) -> Envelope {
    push_of(build(), seeds)
}

fn push_of(build: Digest, seeds: &[u8]) -> Envelope {
    signed(build, Act::Push(Push { app: app(), commit: None, recipe: None, makers: vec![] }), seeds)
}

pub fn number(seed: u8) -> Envelope {
    signed(build(), Act::Number(Number { app: app(), version: version() }), &[seed])
}

pub fn request_for(to: &str, serial: u64, seed: u8) -> Envelope {
    request_by(to, serial, &[seed])
}

pub fn request_by(to: &str, serial: u64, seeds: &[u8]) -> Envelope {
    request_of(app(), build(), to, serial, seeds)
}

pub fn request_of(app: AppName, build: Digest, to: &str, serial: u64, seeds: &[u8]) -> Envelope {
    let act = Act::Request(Request {
        app,
        version: version(),
        audience: audience(to),
        way: Default::default(),
        reason: None,
        charter_version: 1,
        requires: "qa and ops".parse().unwrap(),
        serial,
        not_before: time("2026-11-01T00:00:00Z"),
        not_after: time("2026-12-01T00:00:00Z"),
        floor: None,
    });
    signed(build, act, seeds)
}

pub fn approval(request: &Envelope, seed: u8) -> Envelope {
    let act = Act::Approval(Approval { app: app(), version: version(), audience: audience("prod") });
    signed(Digest::of(&request.payload), act, &[seed])
}

pub fn order_in(environment: &str, act: OrderAct, seed: u8) -> Envelope {
    order_until(environment, act, time("2026-11-22T12:05:00Z"), seed)
}

/// An order that could be submitted until then.
pub fn order_until(environment: &str, act: OrderAct, submit_before: Timestamp, seed: u8) -> Envelope {
    let order = Order { version: Some(version()), ..Order::new(app(), audience(environment), act) };
    signed_at(estate(), build(), Act::Order(order), submit_before, &[seed])
}

pub fn withdrawal(through_serial: u64, seed: u8) -> Envelope {
    let act = Withdrawal { app: app(), version: version(), audience: audience("prod"), through_serial, reason: None };
    signed(build(), Act::Withdrawal(act), &[seed])
}

/// Everything as it should be: pushed by ci, requested by coder, approved by tester and oncall, ordered by oncall.
pub fn whole() -> Dossier {
    whole_of(build())
}

/// The same for another build.
pub fn whole_of(build: Digest) -> Dossier {
    let request = request_of(app(), build, "prod", 1, &[CODER]);
    let order = Order { version: Some(version()), ..Order::new(app(), audience("prod"), OrderAct::Deploy) };
    Dossier {
        push: Some(push_of(build, &[CI])),
        number: Some(signed(build, Act::Number(Number { app: app(), version: version() }), &[CODER])),
        approvals: vec![approval(&request, TESTER), approval(&request, ONCALL)],
        request: Some(request),
        order: Some(signed(build, Act::Order(order), &[ONCALL])),
        ..Dossier::default()
    }
}

/// The content of a first root with two owners' keys, as canonical JSON, to be changed and signed.
pub fn root_signed(threshold: u32) -> String {
    let person = |name: &str| PersonName::new(name).unwrap();
    let builder = RootBuilder::first(time(EXPIRES))
        .owner(&person("owner"), key(OWNER).public())
        .owner(&person("second"), key(SECOND_OWNER).public())
        .online(key(SERVER).public())
        .thresholds(threshold, threshold);
    String::from_utf8(trust::json::canonical(&builder.build().unwrap()).unwrap()).unwrap()
}

/// The content with another threshold for one role.
pub fn with_threshold(signed: &str, role: &str, threshold: u32) -> String {
    let mut value: serde_json::Value = serde_json::from_str(signed).unwrap();
    value["roles"][role]["threshold"] = threshold.into();
    value.to_string()
}

/// Signed by owners, as a file.
pub fn signed_root(signed: &str, seeds: &[u8]) -> Vec<u8> {
    sign_file(&serde_json::from_str(signed).unwrap(), seeds)
}

fn sign_file(signed: &serde_json::Value, seeds: &[u8]) -> Vec<u8> {
    let keys: Vec<SecretKey> = seeds.iter().map(|seed| key(*seed)).collect();
    let signers: Vec<&dyn Signer> = keys.iter().map(|key| key as &dyn Signer).collect();
    sign_metadata(signed, &signers).unwrap()
}

/// Targets metadata whose one target is this charter.
pub fn targets_bytes(charter: &[u8], version: u64, seeds: &[u8]) -> Vec<u8> {
    let listed = TargetFile { length_bytes: charter.len() as u64, digest: Digest::of(charter) };
    let listed = BTreeMap::from([("charter.toml".to_string(), listed)]);
    sign_file(&Targets::unsigned(version, time(EXPIRES), &listed, None).unwrap(), seeds)
}

pub fn targets_for(root: &Root, charter: &[u8], version: u64, seeds: &[u8]) -> Result<Targets, TufError> {
    Targets::verify(&targets_bytes(charter, version, seeds), root, 0)
}

/// A target that has refreshed a moment ago.
pub fn fresh_at(now: Timestamp) -> Freshness {
    Freshness { road: Road::Network, owners_signed: Some(now), is_demanded: true, signed: Some(now) }
}

/// One assignment, as a target would check it.
pub struct Attempt {
    pub app: AppName,
    pub policy: TrustedPolicy,
    pub pinned: Pinned,
    pub dossier: Dossier,
    pub act: OrderAct,
    pub kept: Vec<KeptWithdrawal>,
    pub freezes: Vec<Known>,
    pub floor: Option<Version>,
    pub package_floor: Option<Version>,
    pub now: Timestamp,
    pub settled: Vec<Digest>,
    pub active: Option<Digest>,
    pub performed: Vec<Digest>,
    /// As a target reckons the newest order that it has carried out.
    pub newest: Option<Timestamp>,
    /// The order that was begun under this very assignment.
    pub begun: Option<Digest>,
    /// What the target ever heard of the application's vendor.
    pub heard: Option<Heard>,
    /// How fresh the target's knowledge is; as fresh as can be where nothing is said.
    pub freshness: Option<Freshness>,
}

impl Attempt {
    pub fn new(dossier: Dossier) -> Self {
        Attempt {
            app: app(),
            policy: policy(),
            pinned: pinned("prod", Class::Live),
            dossier,
            act: OrderAct::Deploy,
            kept: vec![],
            freezes: vec![],
            floor: None,
            package_floor: None,
            now: now(),
            settled: vec![],
            active: None,
            performed: vec![],
            newest: None,
            begun: None,
            heard: None,
            freshness: None,
        }
    }

    pub fn run(&self) -> Result<VerifiedAuthority, Denial> {
        self.run_of(build())
    }

    /// The same with another build assigned.
    pub fn run_of(&self, build: Digest) -> Result<VerifiedAuthority, Denial> {
        let wanted = Wanted {
            app: &self.app,
            build,
            act: self.act,
            settled: &self.settled,
            active: self.active,
            carried_out: CarriedOut { performed: &self.performed, begun: self.begun, newest: self.newest },
            emergencies: &[],
            heard: self.heard.as_ref(),
            package_floor: self.package_floor.as_ref(),
            freezes: &self.freezes,
            freshness: self.freshness.unwrap_or(fresh_at(self.now)),
        };
        authorise(&self.policy, &self.pinned, &self.dossier, &wanted, &self.kept, self.floor.as_ref(), self.now)
    }

    pub fn denied(&self) -> &'static str {
        self.run().expect_err("the target let it pass").code()
    }
}
