//! What the owners delegate to the server's online key, and how large what it signs becomes.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use trust::{
    AppName, AudienceName, Digest, PersonName,
    charter::Charter,
    key::{SecretKey, Signer},
    tuf::{
        Root, RootBuilder, TargetFile, Targets,
        repository::{self, DelegationError, ListedFile, Listing},
        sign_metadata,
    },
};

const ONLINE: u8 = 8;
const OWNER: u8 = 9;

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

fn time() -> Timestamp {
    "2030-01-01T00:00:00Z".parse().unwrap()
}

fn root() -> Root {
    let owner: PersonName = "owner".parse().unwrap();
    let signed = RootBuilder::first(time()).owner(&owner, key(OWNER).public()).online(key(ONLINE).public()).build();
    Root::bootstrap(&sign_metadata(&signed.unwrap(), &[&key(OWNER)]).unwrap()).unwrap()
}

fn charter(audiences: &[&str]) -> Charter {
    let environments: String =
        audiences.iter().map(|name| format!("{name} = {{ class = \"dev\", deploy = \"owner\" }}\n")).collect();
    Charter::from_bytes(format!("charter = \"acme\"\n[environments]\n{environments}").as_bytes()).unwrap()
}

fn targets(delegations: Option<&Value>) -> Targets {
    let unsigned = Targets::unsigned(1, time(), &BTreeMap::new(), delegations).unwrap();
    Targets::verify(&sign_metadata(&unsigned, &[&key(OWNER)]).unwrap(), &root(), 0).unwrap()
}

#[test]
fn a_charter_has_exactly_the_delegations_that_fit_its_audiences() {
    let prod: AudienceName = "prod".parse().unwrap();
    let charter_of_two = charter(&["prod", "test"]);
    let good = repository::delegations(&charter_of_two, &root());
    let delegated = repository::delegated(&targets(Some(&good)), &charter_of_two).unwrap().unwrap();
    assert_eq!(delegated[&prod].keyids, [key(ONLINE).public().id()]);
    assert_eq!(repository::delegated(&targets(None), &charter_of_two), Ok(None), "charters from before there was any");

    let too_few = repository::delegations(&charter(&["test"]), &root());
    let error = repository::delegated(&targets(Some(&too_few)), &charter_of_two).unwrap_err();
    assert_eq!(error, DelegationError::Absent(prod));

    // Every way to give the online key more than its own folder, or to ask for less than one signature.
    let wrong: [(&str, Value); 6] = [
        ("/roles/0/paths", json!(["permits.*"])),
        ("/roles/0/paths", json!(["permits.prod.*", "charter.toml"])),
        ("/roles/0/terminating", json!(false)),
        ("/roles/0/name", json!("permits-other")),
        ("/roles/0/name", json!("charter")),
        ("/roles/0/threshold", json!(2)),
    ];
    for (pointer, value) in wrong {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        assert!(repository::delegated(&targets(Some(&bad)), &charter_of_two).is_err(), "{bad} was taken");
    }
    let mut twice = good.clone();
    twice["roles"][1] = twice["roles"][0].clone();
    let unsigned = Targets::unsigned(1, time(), &BTreeMap::new(), Some(&twice));
    let bytes = unsigned.and_then(|unsigned| sign_metadata(&unsigned, &[&key(OWNER)]));
    let read = bytes.and_then(|bytes| Targets::verify(&bytes, &root(), 0));
    assert!(read.is_err() || repository::delegated(&read.unwrap(), &charter_of_two).is_err(), "one role twice");
}

/// Each role stays under 1 MB at 1,000 applications, with names as long as they may be.
#[test]
fn every_role_is_under_a_megabyte_at_a_thousand_applications() {
    let prod: AudienceName = format!("p{}", "x".repeat(62)).parse().unwrap();
    let entry = |number: u32| {
        let app: AppName = format!("application-{number:04}-{}", "x".repeat(46)).parse().unwrap();
        let file = TargetFile { length_bytes: 54_321, digest: Digest::of(&number.to_le_bytes()) };
        let versions: Vec<String> = (0..32).map(|patch| format!("10.{number}.{patch}")).collect();
        let custom = json!({ "versions": versions, "withdrawals": 12 });
        (repository::permits_target(&prod, &app), (file, custom))
    };
    let files: Listing = (0..1000).map(entry).collect();
    let role = repository::permits_role(7, time(), &repository::listing(&files)).unwrap();
    let bytes = repository::sign_online(&role, &key(ONLINE)).unwrap();
    assert!(bytes.len() < 1_000_000, "{} bytes", bytes.len());
    let listed = (0..200).map(|number| (format!("permits-audience-{number}.json"), ListedFile::of(3, &bytes)));
    let snapshot = repository::snapshot(9, time(), &listed.collect()).unwrap();
    assert!(repository::sign_online(&snapshot, &key(ONLINE)).unwrap().len() < 1_000_000);
}
