use super::*;
use crate::{
    digest::Digest,
    key::{PublicKey, SecretKey, SignError, Signer},
    names::PersonName,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const EXPIRES: &str = "2030-01-01T00:00:00Z";

fn secret(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

fn id(seed: u8) -> String {
    secret(seed).public().id().to_string()
}

fn person(name: &str) -> PersonName {
    PersonName::new(name).unwrap()
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Ann has keys 1 and 2, Ben 3, Cat 4; the server's is 9.
fn builder(threshold: u32) -> RootBuilder {
    RootBuilder::first(time(EXPIRES))
        .owner(&person("ann"), secret(1).public())
        .owner(&person("ann"), secret(2).public())
        .owner(&person("ben"), secret(3).public())
        .owner(&person("cat"), secret(4).public())
        .online(secret(9).public())
        .thresholds(threshold, threshold)
}

fn signed_by(signed: &Value, seeds: &[u8]) -> Vec<u8> {
    let secrets: Vec<SecretKey> = seeds.iter().map(|seed| secret(*seed)).collect();
    let signers: Vec<&dyn Signer> = secrets.iter().map(|secret| secret as &dyn Signer).collect();
    sign_metadata(signed, &signers).unwrap()
}

/// Root 1 of an estate in which two people of three must sign.
fn root_one() -> Root {
    Root::bootstrap(&signed_by(&builder(2).build().unwrap(), &[1, 3])).unwrap()
}

/// Root 1's `signed`, changed, and signed by enough people all the same.
fn bootstrap_changed(change: impl FnOnce(&mut Value)) -> Result<Root, TufError> {
    let mut signed = builder(2).build().unwrap();
    change(&mut signed);
    Root::bootstrap(&signed_by(&signed, &[1, 3, 4]))
}

fn charter_targets(version: u64) -> Value {
    let charter = TargetFile { length_bytes: 7, digest: Digest::of(b"charter") };
    Targets::unsigned(version, time(EXPIRES), &BTreeMap::from([("charter.toml".into(), charter)]), None).unwrap()
}

macro_rules! refused {
    ($result:expr, $pattern:pat $(if $guard:expr)?) => {
        match $result.map(|_| ()) {
            Err($pattern) $(if $guard)? => {}
            other => panic!("expected {}, got {other:?}", stringify!($pattern)),
        }
    };
}

#[test]
fn a_first_root_names_the_estate_and_its_owners() {
    let bytes = signed_by(&builder(2).build().unwrap(), &[1, 3]);
    let root = Root::bootstrap(&bytes).unwrap();
    assert_eq!(root.estate(), Digest::of(&bytes));
    assert_eq!((root.version(), root.expires()), (1, time(EXPIRES)));
    let owners: Vec<_> = root.owners().into_iter().map(|(person, key)| (person.to_string(), key)).collect();
    let expected = [("ann", 1), ("ann", 2), ("ben", 3), ("cat", 4)];
    assert_eq!(owners, expected.map(|(name, seed)| (name.to_owned(), secret(seed).public())));
    assert_eq!(root.keys(TufRole::Timestamp), (vec![secret(9).public()], 1));
    assert_eq!(Root::pinned(&bytes, &root.estate()).unwrap(), root);
    refused!(Root::pinned(&bytes, &Digest::of(b"")), TufError::OtherEstate { .. });
    // One more genuine signature makes other bytes, and so another estate.
    let more = add_signature(&bytes, &secret(4)).unwrap();
    refused!(Root::pinned(&more, &root.estate()), TufError::OtherEstate { .. });
}

#[test]
fn the_first_root_is_version_1_and_signed_by_its_own_threshold() {
    refused!(bootstrap_changed(|signed| signed["version"] = json!(2)), TufError::NotFirst(2));
    let signed = builder(2).build().unwrap();
    refused!(Root::bootstrap(&signed_by(&signed, &[])), TufError::NotEnoughSignatures { lacking: 2, .. });
    refused!(Root::bootstrap(&signed_by(&signed, &[3])), TufError::NotEnoughSignatures { lacking: 1, .. });
    refused!(Root::bootstrap(&signed_by(&signed, &[3, 9, 77])), TufError::NotEnoughSignatures { lacking: 1, .. });
}

/// Both files were written and signed by python-tuf 7.0.1, with the keys of Ann (1) and Ben (3).
#[test]
fn what_python_tuf_signs_is_taken() {
    let root = root_one().next(include_bytes!("python-tuf.2.root.json")).unwrap();
    assert_eq!((root.version(), root.expires()), (2, time("2031-01-01T00:00:00Z")));
    let targets = Targets::verify(include_bytes!("python-tuf.7.targets.json"), &root, 7).unwrap();
    assert_eq!(targets.target("ünï\"\\\n.toml"), Some((2, Digest::of(b"hi"))));
}

#[test]
fn two_keys_of_one_person_count_once() {
    let error = Root::bootstrap(&signed_by(&builder(2).build().unwrap(), &[1, 2])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "not signed as version 1 of root asks of the role root: 1 more people must sign (signed by ann)"
    );
    let targets = signed_by(&charter_targets(1), &[1, 2]);
    refused!(Targets::verify(&targets, &root_one(), 0), TufError::NotEnoughSignatures { lacking: 1, .. });
}

#[test]
fn owners_sign_in_their_own_time_and_a_second_signature_replaces_the_first() {
    let bytes = signed_by(&builder(2).build().unwrap(), &[]);
    let bytes = add_signature(&bytes, &secret(3)).unwrap();
    let bytes = add_signature(&bytes, &secret(3)).unwrap();
    refused!(Root::bootstrap(&bytes), TufError::NotEnoughSignatures { lacking: 1, .. });
    assert!(Root::bootstrap(&add_signature(&bytes, &secret(1)).unwrap()).is_ok());
}

#[test]
fn a_chain_of_roots_is_walked_and_changes_the_owners() {
    let one = root_one();
    // Dan replaces Ann: the old threshold and the new one both sign.
    let two = RootBuilder::after(&one, time(EXPIRES)).without(&person("ann")).owner(&person("dan"), secret(5).public());
    let two = signed_by(&two.build().unwrap(), &[3, 4, 5]);
    let root_two = one.next(&two).unwrap();
    let three = signed_by(&RootBuilder::after(&root_two, time(EXPIRES)).build().unwrap(), &[4, 5]);
    let last = walk(one.clone(), &[two.clone(), three.clone()]).unwrap();
    assert_eq!((last.version(), last.estate(), last.digest()), (3, one.estate(), Digest::of(&three)));
    let names: Vec<_> = last.owners().iter().map(|(person, _)| person.to_string()).collect();
    assert_eq!(names, ["ben", "cat", "dan"]);
    assert_eq!(walk(one.clone(), &[]).unwrap(), one);
    refused!(walk(one.clone(), &[three.clone(), two]), TufError::NotEnoughSignatures { by_version: 1, .. });
    refused!(walk(one, &vec![three; MAX_ROOTS_WALKED + 1]), TufError::TooManyRoots(1025));
}

#[test]
fn the_next_root_needs_the_threshold_of_the_old_and_of_the_new() {
    let one = root_one();
    let two = RootBuilder::after(&one, time(EXPIRES))
        .without(&person("ann"))
        .without(&person("cat"))
        .owner(&person("dan"), secret(5).public())
        .build()
        .unwrap();
    // Ben and Dan suffice for version 2, not for 1; Ann and Ben suffice for 1, not for 2.
    refused!(one.next(&signed_by(&two, &[3, 5])), TufError::NotEnoughSignatures { by_version: 1, lacking: 1, .. });
    refused!(one.next(&signed_by(&two, &[1, 3])), TufError::NotEnoughSignatures { by_version: 2, lacking: 1, .. });
    assert!(one.next(&signed_by(&two, &[1, 3, 5])).is_ok());
}

#[test]
fn a_root_that_skips_repeats_or_goes_back_is_refused() {
    let one = root_one();
    let two = one.next(&signed_by(&RootBuilder::after(&one, time(EXPIRES)).build().unwrap(), &[1, 3])).unwrap();
    for version in [1, 2, 4, u64::MAX] {
        let mut signed = builder(2).build().unwrap();
        signed["version"] = json!(version);
        let bytes = signed_by(&signed, &[1, 3, 4]);
        refused!(two.next(&bytes), TufError::NotNext { expected: 3, found } if found == version);
    }
}

#[test]
fn the_owners_sign_the_charter_and_an_older_one_is_a_rollback() {
    let root = root_one();
    let bytes = signed_by(&charter_targets(5), &[3, 4]);
    let targets = Targets::verify(&bytes, &root, 5).unwrap();
    assert_eq!(targets.target("charter.toml"), Some((7, Digest::of(b"charter"))));
    assert_eq!(targets.target("other"), None);
    assert_eq!((targets.version(), targets.digest()), (5, Digest::of(&bytes)));
    assert_eq!(targets.delegations(), None);
    refused!(Targets::verify(&bytes, &root, 6), TufError::Rollback { minimum: 6, found: 5, .. });
    refused!(
        Targets::verify(&signed_by(&charter_targets(5), &[3]), &root, 0),
        TufError::NotEnoughSignatures { role, lacking: 1, .. } if role == "targets"
    );
}

#[test]
fn a_key_in_root_alone_does_not_sign_the_charter() {
    let signed = builder(1).root_holder(&person("eve"), secret(6).public()).build().unwrap();
    let root = Root::bootstrap(&signed_by(&signed, &[6])).unwrap();
    let targets = signed_by(&charter_targets(1), &[6]);
    refused!(Targets::verify(&targets, &root, 0), TufError::NotEnoughSignatures { .. });
    assert_eq!(root.root_holders().len(), root.owners().len() + 1);
}

#[test]
fn delegations_are_kept_as_they_are() {
    let role = json!({"name": "permits-prod", "keyids": [], "threshold": 1, "paths": ["permits/*"], "x-new": 1});
    let delegations = json!({"keys": {}, "roles": [role]});
    let signed = Targets::unsigned(1, time(EXPIRES), &BTreeMap::new(), Some(&delegations)).unwrap();
    let targets = Targets::verify(&signed_by(&signed, &[1, 3]), &root_one(), 0).unwrap();
    assert_eq!(targets.delegations(), Some(&delegations));
}

#[test]
fn a_signature_over_other_content_counts_for_nothing() {
    let root = root_one();
    let bytes = String::from_utf8(signed_by(&charter_targets(1), &[1, 3])).unwrap();
    let changed = bytes.replace("\"length\": 7", "\"length\": 8");
    assert_ne!(changed, bytes);
    refused!(Targets::verify(changed.as_bytes(), &root, 0), TufError::NotEnoughSignatures { lacking: 2, .. });
    // A field that nobody knows is signed too.
    let added = bytes.replace("\"_type\"", "\"x-new\": 1, \"_type\"");
    refused!(Targets::verify(added.as_bytes(), &root, 0), TufError::NotEnoughSignatures { lacking: 2, .. });
    let mut signed = charter_targets(1);
    signed["x-new"] = json!(1);
    assert!(Targets::verify(&signed_by(&signed, &[1, 3]), &root, 0).is_ok());
    // White space is not signed: the signature is over the canonical form.
    let spaced = bytes.replace(": ", " :  ");
    assert!(Targets::verify(spaced.as_bytes(), &root, 0).is_ok());
}

#[test]
fn a_signature_under_another_s_key_id_counts_for_nothing() {
    let bytes = String::from_utf8(signed_by(&charter_targets(1), &[1, 2])).unwrap();
    let relabelled = bytes.replace(&id(2), &id(3));
    refused!(Targets::verify(relabelled.as_bytes(), &root_one(), 0), TufError::NotEnoughSignatures { lacking: 1, .. });
}

#[test]
fn a_key_id_stands_once_among_the_signatures() {
    let mut document: Value = serde_json::from_slice(&signed_by(&charter_targets(1), &[3])).unwrap();
    let signature = document["signatures"][0].clone();
    document["signatures"].as_array_mut().unwrap().push(signature);
    let bytes = serde_json::to_vec(&document).unwrap();
    refused!(Targets::verify(&bytes, &root_one(), 0), TufError::RepeatedSignature(keyid) if keyid == id(3));
}

#[test]
fn metadata_of_another_kind_is_refused() {
    let one = root_one();
    let root = signed_by(&builder(2).build().unwrap(), &[1, 3]);
    refused!(Targets::verify(&root, &one, 0), TufError::WrongType { expected: TufRole::Targets, .. });
    let targets = signed_by(&charter_targets(1), &[1, 3]);
    refused!(Root::bootstrap(&targets), TufError::WrongType { expected: TufRole::Root, .. });
}

#[test]
fn expiry_is_judged_when_asked_and_to_the_second() {
    let root = root_one();
    assert!(root.check_expiry(time("2029-12-31T23:59:59Z")).is_ok());
    refused!(root.check_expiry(time(EXPIRES)), TufError::Expired { role, version: 1, .. } if role == "root");
    let targets = Targets::verify(&signed_by(&charter_targets(3), &[1, 3]), &root, 0).unwrap();
    assert!(targets.check_expiry(time("2029-12-31T23:59:59.999Z")).is_ok());
    refused!(targets.check_expiry(time(EXPIRES)), TufError::Expired { role, version: 3, .. } if role == "targets");
    // 5.3.6: an expired root on the way is walked over.
    let two = signed_by(&RootBuilder::after(&root, time("2001-01-01T00:00:00Z")).build().unwrap(), &[1, 3]);
    let two = root.next(&two).unwrap();
    let three = signed_by(&RootBuilder::after(&two, time(EXPIRES)).build().unwrap(), &[1, 3]);
    assert!(two.next(&three).unwrap().check_expiry(time("2029-01-01T00:00:00Z")).is_ok());
}

#[test]
fn a_builder_s_expiry_is_cut_to_whole_seconds() {
    let signed = Targets::unsigned(1, time("2030-01-01T00:00:00.75Z"), &BTreeMap::new(), None).unwrap();
    assert_eq!(signed["expires"], EXPIRES);
}

#[test]
fn oversized_metadata_is_not_read() {
    let large = vec![b' '; MAX_ROOT_BYTES + 1];
    let one = root_one();
    refused!(Root::bootstrap(&large), TufError::Oversized { limit_bytes: MAX_ROOT_BYTES, .. });
    refused!(Root::pinned(&large, &Digest::of(&large)), TufError::Oversized { .. });
    refused!(one.next(&large), TufError::Oversized { .. });
    let large = vec![b' '; MAX_TARGETS_BYTES + 1];
    refused!(Targets::verify(&large, &one, 0), TufError::Oversized { limit_bytes: MAX_TARGETS_BYTES, .. });
    refused!(add_signature(&large, &secret(1)), TufError::Oversized { .. });
}

#[test]
fn what_two_readers_could_read_differently_is_refused() {
    let one = root_one();
    let bytes = String::from_utf8(signed_by(&charter_targets(1), &[1, 3])).unwrap();
    for (from, to) in [
        ("\"version\": 1", "\"version\": 1, \"version\": 9"),
        ("\"version\": 1", "\"version\": 1.0"),
        ("\"signatures\"", "\"signed\": {}, \"signatures\""),
        ("\n}\n", "\n} {}"),
    ] {
        let changed = bytes.replace(from, to);
        assert_ne!(changed, bytes);
        refused!(Targets::verify(changed.as_bytes(), &one, 0), TufError::Json(_));
    }
    // One key under two people would be a key that stands twice in the map.
    let bytes = String::from_utf8(signed_by(&builder(2).build().unwrap(), &[1, 3])).unwrap();
    let shared = bytes.replace("\"x-sortie-people\": {", &format!("\"x-sortie-people\": {{\"{}\": \"eve\",", id(1)));
    assert_ne!(shared, bytes);
    refused!(Root::bootstrap(shared.as_bytes()), TufError::Json(_));
}

#[test]
fn malformed_metadata_is_refused() {
    let one = root_one();
    let bytes = signed_by(&charter_targets(1), &[1, 3]);
    let document: Value = serde_json::from_slice(&bytes).unwrap();
    let changes: [fn(&mut Value); 5] = [
        |document| document["signatures"][0]["sig"] = json!(1),
        |document| document["signatures"][0] = json!({}),
        |document| document["signatures"] = json!({}),
        |document| *document = json!([]),
        |document| document["signatures"] = Value::Null,
    ];
    for change in changes {
        let mut document = document.clone();
        change(&mut document);
        refused!(Targets::verify(&serde_json::to_vec(&document).unwrap(), &one, 0), TufError::Malformed(_));
    }
    // What cannot be a signature counts for nothing, and what no signature covers means nothing.
    for (field, value) in [("sig", "xyz"), ("sig", ""), ("keyid", "3f")] {
        let mut document = document.clone();
        document["signatures"][0][field] = json!(value);
        let result = Targets::verify(&serde_json::to_vec(&document).unwrap(), &one, 0);
        refused!(result, TufError::NotEnoughSignatures { lacking: 1, .. });
    }
    let mut more = document.clone();
    (more["x-outside"], more["signatures"][0]["extra"]) = (json!(1), json!(1));
    assert!(Targets::verify(&serde_json::to_vec(&more).unwrap(), &one, 0).is_ok());
    for (field, value) in [
        ("version", json!(-1)),
        ("version", json!("1")),
        ("targets", json!({"a": {"length": 1, "hashes": {"sha512": "00"}}})),
        ("targets", json!({"a": {"length": 1, "hashes": {"sha256": "00"}}})),
        ("targets", json!({"a": {"length": -1, "hashes": {"sha256": Digest::of(b"").hex()}}})),
        ("targets", Value::Null),
    ] {
        let mut signed = charter_targets(1);
        signed[field] = value;
        refused!(Targets::verify(&signed_by(&signed, &[1, 3]), &one, 0), TufError::Malformed(_));
    }
}

#[test]
fn the_header_is_held_to_the_specification() {
    for text in ["2.0.0", "1", "one", "0.9.0"] {
        refused!(bootstrap_changed(|signed| signed["spec_version"] = json!(text)), TufError::SpecVersion(_));
    }
    assert!(bootstrap_changed(|signed| signed["spec_version"] = json!("1.0.0")).is_ok());
    refused!(bootstrap_changed(|signed| signed["version"] = json!(0)), TufError::VersionZero);
    for text in ["2030-01-01T00:00:00+00:00", "2030-01-01T00:00:00.5Z", "2030-01-01", "2030-01-01 00:00:00Z", "soon"] {
        refused!(bootstrap_changed(|signed| signed["expires"] = json!(text)), TufError::ExpiryFormat(_));
    }
    refused!(bootstrap_changed(|signed| signed["consistent_snapshot"] = json!(false)), TufError::NotConsistent);
}

#[test]
fn a_key_stands_under_its_own_id_in_its_one_spelling() {
    refused!(
        bootstrap_changed(|signed| signed["keys"][id(1)] = json!(secret(5).public())),
        TufError::WrongKeyId { listed, computed } if (listed.to_string(), computed.to_string()) == (id(1), id(5))
    );
    refused!(
        bootstrap_changed(|signed| {
            let public = hex::encode_upper(secret(1).public().point());
            signed["keys"][id(1)]["keyval"]["public"] = json!(public);
        }),
        TufError::Malformed(_)
    );
    refused!(bootstrap_changed(|signed| signed["keys"][id(1)]["scheme"] = json!("rsa")), TufError::Malformed(_));
    refused!(
        bootstrap_changed(|signed| {
            let value = signed["keys"][id(1)].take();
            signed["keys"].as_object_mut().unwrap().remove(&id(1));
            signed["keys"][id(1).to_uppercase()] = value;
        }),
        TufError::WrongKeyId { listed, .. } if listed == id(1).to_uppercase()
    );
}

#[test]
fn roles_hold_known_keys_and_thresholds_that_mean_something() {
    for role in ["root", "targets", "snapshot", "timestamp"] {
        refused!(
            bootstrap_changed(|signed| signed["roles"][role]["threshold"] = json!(0)),
            TufError::ThresholdZero(found) if found.to_string() == role
        );
        refused!(
            bootstrap_changed(|signed| signed["roles"][role]["threshold"] = json!(u32::MAX)),
            TufError::ThresholdUnreachable { threshold: u32::MAX, .. }
        );
        refused!(
            bootstrap_changed(|signed| {
                let keyids = signed["roles"][role]["keyids"].as_array_mut().unwrap();
                keyids.push(keyids[0].clone());
            }),
            TufError::RepeatedKey { role: found, .. } if found.to_string() == role
        );
        refused!(
            bootstrap_changed(|signed| {
                signed["roles"].as_object_mut().unwrap().remove(role);
            }),
            TufError::Malformed(_)
        );
    }
    for role in ["snapshot", "timestamp"] {
        refused!(
            bootstrap_changed(|signed| signed["roles"][role]["keyids"] = json!([])),
            TufError::EmptyRole(found) if found.to_string() == role
        );
    }
    // Four keys of three people do not make a threshold of four.
    refused!(builder(4).build(), TufError::ThresholdUnreachable { threshold: 4, available: 3, .. });
    refused!(RootBuilder::first(time(EXPIRES)).build(), TufError::EmptyRole(TufRole::Root));
    refused!(bootstrap_changed(|signed| signed["roles"]["mirrors"] = json!({})), TufError::Malformed(_));
    refused!(
        bootstrap_changed(|signed| signed["roles"]["timestamp"]["keyids"] = json!([id(8)])),
        TufError::UnknownKey { role: TufRole::Timestamp, keyid } if keyid == id(8)
    );
}

#[test]
fn every_owner_s_key_has_one_person_and_nobody_else_is_named() {
    let without_ann = bootstrap_changed(|signed| {
        signed[PEOPLE_FIELD].as_object_mut().unwrap().remove(&id(1));
    });
    refused!(without_ann, TufError::NobodysKey(keyid) if keyid == id(1));
    let stray = bootstrap_changed(|signed| signed[PEOPLE_FIELD][id(9)] = json!("ann"));
    refused!(stray, TufError::StrayPerson { keyid, .. } if keyid == id(9));
    let nameless = bootstrap_changed(|signed| signed[PEOPLE_FIELD][id(1)] = json!("Ann \u{1b}[2J"));
    let error = nameless.unwrap_err();
    assert!(matches!(error, TufError::Malformed(_)) && !error.to_string().contains('\u{1b}'), "{error}");
    refused!(
        bootstrap_changed(|signed| {
            signed.as_object_mut().unwrap().remove(PEOPLE_FIELD);
        }),
        TufError::Malformed(_)
    );
    refused!(builder(2).owner(&person("eve"), secret(1).public()).build(), TufError::SharedKey(_));
}

struct Forger(SecretKey);
impl Signer for Forger {
    fn public(&self) -> PublicKey {
        self.0.public()
    }
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, SignError> {
        self.0.sign(b"something else")
    }
}

#[test]
fn a_signer_that_signs_something_else_is_caught() {
    refused!(sign_metadata(&charter_targets(1), &[&Forger(secret(1))]), TufError::Sign(_));
}
