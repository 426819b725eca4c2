//! An estate with its people, and the repository of it.

use api::{read::Estate, write::Attachment};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::collections::BTreeMap;
use trust::{
    AppName, AudienceName, Digest, PersonName,
    charter::{CHARTER_TARGET, Charter},
    dsse::Envelope,
    key::{SecretKey, Signer},
    tuf::{
        self, Root, RootBuilder, TargetFile, Targets,
        repository::{self, ListedFile, PermitFile},
    },
};

pub fn app() -> AppName {
    AppName::new("web").unwrap()
}

pub fn prod() -> AudienceName {
    AudienceName::new("prod").unwrap()
}

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

pub fn owner() -> SecretKey {
    key(1)
}

pub fn coder() -> SecretKey {
    key(2)
}

pub fn tester() -> SecretKey {
    key(3)
}

pub fn oncall() -> SecretKey {
    key(4)
}

pub(super) fn far() -> Timestamp {
    Timestamp::now() + SignedDuration::from_hours(24 * 300)
}

fn root() -> Vec<u8> {
    let name = PersonName::new("boss").unwrap();
    let built = RootBuilder::first(far()).owner(&name, owner().public()).online(key(9).public()).build().unwrap();
    tuf::sign_metadata(&built, &[&owner()]).unwrap()
}

/// The charter, with prod of this class, from before there was a repository.
pub fn estate(version: u64, class: &str) -> Estate {
    estate_with(version, class, "", &owner())
}

/// The charter with a prod of two sides.
pub fn estate_with_sides() -> Estate {
    estate(1, "live\", sides = \"side")
}

/// The charter with a first line more, signed by `signer`.
pub fn estate_with(version: u64, class: &str, first: &str, signer: &SecretKey) -> Estate {
    estate_delegating(version, class, None, first, signer)
}

/// The charter with which the owners delegate a repository to the server's key.
pub fn estate_with_repository(version: u64) -> Estate {
    let plain = estate(version, "live");
    let root = Root::bootstrap(&plain.roots[0].0).unwrap();
    let charter = Charter::from_bytes(plain.charter.as_bytes()).unwrap();
    estate_delegating(version, "live", Some(&repository::delegations(&charter, &root)), "", &owner())
}

/// A repository of `estate` as the server's key signs it: version, date, and what is withdrawn. By path.
pub fn published(estate: &Estate, version: u64, dated: Timestamp, withdrawn: &[Envelope]) -> BTreeMap<String, Vec<u8>> {
    published_of(estate, version, dated, &[(app(), withdrawn)])
}

/// The same, with what was withdrawn of several applications.
pub fn published_of(
    estate: &Estate,
    version: u64,
    dated: Timestamp,
    withdrawn: &[(AppName, &[Envelope])],
) -> BTreeMap<String, Vec<u8>> {
    let good_until = dated + SignedDuration::from_hours(24 * 7);
    let sign = |signed: Result<Value, tuf::TufError>| repository::sign_online(&signed.unwrap(), &key(9)).unwrap();
    let mut files = BTreeMap::new();
    let charter = Digest::of(estate.charter.as_bytes());
    files.insert(format!("targets/{}.charter.toml", charter.hex()), estate.charter.as_bytes().to_vec());
    let targets_version =
        serde_json::from_slice::<Value>(&estate.targets).unwrap()["signed"]["version"].as_u64().unwrap();
    files.insert(format!("metadata/{targets_version}.targets.json"), estate.targets.clone());
    let mut listing = BTreeMap::new();
    for (app, withdrawn) in withdrawn {
        let mut permits = PermitFile::new(estate_digest(), app.clone(), prod());
        permits.withdrawals = withdrawn.to_vec();
        let bytes = permits.to_bytes().unwrap();
        let digest = Digest::of(&bytes);
        let listed = TargetFile { length_bytes: bytes.len() as u64, digest };
        files.insert(format!("targets/{}.permits.prod.{app}.json", digest.hex()), bytes);
        listing.insert(repository::permits_target(&prod(), app), (listed, Value::Null));
    }
    let mut meta = BTreeMap::from([("targets.json".to_string(), ListedFile::of(targets_version, &estate.targets))]);
    for audience in ["dev", "prod"] {
        let files_of =
            if audience == "prod" { repository::listing(&listing) } else { Value::Object(Default::default()) };
        let bytes = sign(repository::permits_role(version, good_until, &files_of));
        meta.insert(format!("permits-{audience}.json"), ListedFile::of(version, &bytes));
        files.insert(format!("metadata/{version}.permits-{audience}.json"), bytes);
    }
    let snapshot = sign(repository::snapshot(version, good_until, &meta));
    let timestamp = repository::timestamp(version, good_until, dated, &ListedFile::of(version, &snapshot));
    files.insert(format!("metadata/{version}.snapshot.json"), snapshot);
    files.insert("metadata/timestamp.json".into(), sign(timestamp));
    files
}

fn estate_delegating(
    version: u64,
    class: &str,
    delegations: Option<&Value>,
    first: &str,
    signer: &SecretKey,
) -> Estate {
    thread_local! {
        // Its expiry is taken from the clock, and root 1 is what the estate's digest is of.
        static ROOT: Vec<u8> = root();
    }
    let root = ROOT.with(Clone::clone);
    let line = |key: SecretKey| key.public().to_openssh();
    let charter = format!(
        r#"{first}
charter = "acme"
[people]
coder  = {{ roles = ["developer"], keys = ["{}"] }}
tester = {{ roles = ["qa"], keys = ["{}"] }}
oncall = {{ roles = ["ops"], keys = ["{}"] }}
[environments]
dev  = {{ class = "dev", deploy = "developer" }}
prod = {{ class = "{class}", approve = "qa and ops", deploy = "ops" }}
"#,
        line(coder()),
        line(tester()),
        line(oncall())
    );
    let file = TargetFile { length_bytes: charter.len() as u64, digest: Digest::of(charter.as_bytes()) };
    let targets = [(CHARTER_TARGET.to_owned(), file)].into();
    let mut unsigned = Targets::unsigned(version, far(), &targets, delegations).unwrap();
    if delegations.is_some() {
        repository::date_targets(&mut unsigned, Timestamp::now()).unwrap();
    }
    let targets = tuf::sign_metadata(&unsigned, &[signer]).unwrap();
    Estate { roots: vec![Attachment(root)], targets, charter, suspensions: Vec::new() }
}

pub(super) fn estate_digest() -> Digest {
    Digest::of(&estate(1, "live").roots[0].0)
}
