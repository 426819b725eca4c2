//! Who signed: keys that count once however often they are listed, and every kind of key that TUF names.

use crate::{
    fails,
    simulator::{Key, Machine, Repository},
};
use serde_json::json;
use std::rc::Rc;

#[test]
fn what_is_not_signed_is_not_taken_and_what_came_before_stays() {
    for (role, section, kept) in [
        ("root", "5.3.4", [1, 0, 0, 0]),
        ("timestamp", "5.4.2", [2, 0, 0, 0]),
        ("snapshot", "5.5.3", [2, 0, 0, 2]),
        ("targets", "5.6.3", [2, 0, 2, 2]),
    ] {
        let mut repository = Repository::new();
        let mut machine = Machine::new(&repository);
        repository.signers.remove(role);
        repository.publish(&["root", "targets", "snapshot", "timestamp"]);
        let error = machine.refresh(&repository).expect_err(role);
        assert!(error.section == section && error.to_string().contains("1 more people must sign"), "{error}");
        assert_eq!(machine.versions(), kept, "{role}");
    }
}

#[test]
fn as_many_keys_sign_as_the_threshold_says() {
    for role in ["timestamp", "snapshot", "targets"] {
        let mut repository = Repository::new();
        for _ in 0..2 {
            let key = repository.new_key();
            repository.add_key(role, key);
        }
        repository.threshold(role, 3);
        let mut machine = Machine::new(&repository);
        repository.publish(&["root", "targets", "snapshot", "timestamp"]);
        machine.refresh(&repository).unwrap();
        repository.signers.get_mut(role).unwrap().pop();
        repository.publish(&["targets", "snapshot", "timestamp"]);
        let error = machine.refresh(&repository).expect_err(role);
        assert!(error.to_string().contains("1 more people must sign"), "{error}");
        assert_eq!(machine.version(role), Some(2));
    }
}

#[test]
fn a_threshold_that_no_keys_reach_is_met_by_nobody() {
    for threshold in [6, u32::MAX] {
        let mut repository = Repository::new();
        for _ in 0..4 {
            let key = repository.new_key();
            repository.add_key("snapshot", key);
        }
        repository.threshold("snapshot", threshold);
        repository.publish(&["root", "snapshot", "timestamp"]);
        let mut machine = Machine::trusting(&repository.first_root());
        fails!(machine.refresh(&repository), "5.5.3", "more people must sign");
        assert_eq!(machine.versions(), [2, 0, 0, 2]);
    }
}

#[test]
fn a_threshold_of_zero_is_no_root() {
    let mut repository = Repository::new();
    let mut machine = Machine::new(&repository);
    repository.threshold("timestamp", 0);
    repository.publish(&["root"]);
    fails!(machine.refresh(&repository), "5.3.4", "the role timestamp has threshold 0");
}

/// Each of these once let one key count as many in some client.
#[test]
fn one_key_counts_once() {
    // Under one id that is listed nine times.
    let mut repository = Repository::new();
    let key = Key::ed25519(200);
    for _ in 0..9 {
        repository.add_key("snapshot", Rc::clone(&key));
    }
    repository.threshold("snapshot", 3);
    repository.signers.insert("snapshot".into(), vec![key]);
    repository.publish(&["root", "snapshot", "timestamp"]);
    let mut machine = Machine::new(&repository);
    fails!(machine.refresh(&repository), "5.5.3", "2 more people must sign");

    // Under two ids.
    for key in [Key::ed25519(200), Key::ecdsa("ecdsa"), Key::rsa()] {
        let mut repository = Repository::new();
        repository.add_key("timestamp", key.under_another_id("the-same-key"));
        repository.add_key("timestamp", key);
        repository.threshold("timestamp", 3);
        repository.publish(&["root", "timestamp"]);
        let mut machine = Machine::new(&repository);
        fails!(machine.refresh(&repository), "5.4.2", "1 more people must sign");
        // With another key there are three.
        let third = repository.new_key();
        repository.add_key("timestamp", third);
        repository.publish(&["root", "timestamp"]);
        machine.refresh(&repository).unwrap();
    }
}

#[test]
fn one_key_in_another_spelling_is_the_same_key() {
    let mut repository = Repository::new();
    let key = Key::ecdsa("ecdsa");
    let mut object = key.object.clone();
    object["keytype"] = json!("ecdsa-sha2-nistp256");
    object["keyval"]["public"] = json!(object["keyval"]["public"].as_str().unwrap().replace('\n', "\r\n"));
    let respelled = key.under_another_id("respelled");
    repository.add_key("timestamp", respelled);
    repository.signed.get_mut("root").unwrap()["keys"]["respelled"] = object;
    repository.add_key("timestamp", key);
    repository.threshold("timestamp", 3);
    repository.publish(&["root", "timestamp"]);
    fails!(Machine::new(&repository).refresh(&repository), "5.4.2", "1 more people must sign");
}

#[test]
fn a_key_id_stands_once_among_signatures_even_where_enough_signed() {
    let mut repository = Repository::new();
    repository.tamper("1.snapshot.json", |document| {
        let signature = document["signatures"][0].clone();
        document["signatures"].as_array_mut().unwrap().push(signature);
    });
    let mut machine = Machine::new(&repository);
    fails!(machine.refresh(&repository), "5.5.3", "stands twice among the signatures");
    assert_eq!(machine.version("snapshot"), None);
}

#[test]
fn signatures_that_are_not_genuine_take_nothing_from_those_that_are() {
    for worthless in ["", "not hexadecimal", "00", &"ab".repeat(64)] {
        let mut repository = Repository::new();
        let second = repository.new_key();
        repository.add_key("timestamp", second);
        repository.publish(&["root", "timestamp"]);
        repository.tamper("timestamp.json", |document| document["signatures"][0]["sig"] = json!(worthless));
        Machine::new(&repository).refresh(&repository).unwrap();
        repository.tamper("timestamp.json", |document| document["signatures"][1]["sig"] = json!(worthless));
        fails!(Machine::new(&repository).refresh(&repository), "5.4.2", "1 more people must sign");
    }
}

#[test]
fn every_kind_of_key_in_the_specification_signs() {
    for key in [Key::rsa(), Key::ecdsa("ecdsa"), Key::ecdsa("ecdsa-sha2-nistp256"), Key::ed25519(200)] {
        let mut repository = Repository::new();
        repository.add_key("root", Rc::clone(&key));
        repository.threshold("root", 2);
        repository.publish(&["root"]);
        let mut machine = Machine::new(&repository);
        machine.refresh(&repository).unwrap();
        // ECDSA has two forms of each signature, and others choose either.
        for version in 3..=8 {
            repository.publish(&["root"]);
            machine.refresh(&repository).unwrap_or_else(|error| panic!("{}: {error}", key.object["keytype"]));
            assert_eq!(machine.version("root"), Some(version));
        }
        // The signature of one version is none of the next.
        let earlier: serde_json::Value = serde_json::from_slice(&repository.files["8.root.json"]).unwrap();
        repository.publish(&["root"]);
        repository.tamper("9.root.json", |document| document["signatures"][1] = earlier["signatures"][1].clone());
        fails!(machine.refresh(&repository), "5.3.4", "1 more people must sign");
        assert_eq!(machine.version("root"), Some(8));
    }
}

#[test]
fn a_key_that_we_cannot_use_is_a_key_that_does_not_sign() {
    let unusable = [
        json!({"keytype": "sphincs", "scheme": "sphincs-shake-128s", "keyval": {"public": "00"}}),
        json!({"keytype": "rsa", "scheme": "rsassa-pss-sha256", "keyval": {"public": "not a key"}}),
        json!({"keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp256", "keyval": {"public": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"}}),
        json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": "00"}}),
        json!({"keytype": "ed25519", "scheme": "other", "keyval": {"public": "00".repeat(32)}}),
        json!({"keytype": "sigstore-oidc", "scheme": "Fulcio", "keyval": {"identity": "a", "issuer": "b"}}),
        json!("nothing like a key"),
    ];
    for object in unusable {
        let mut repository = Repository::new();
        let root = repository.signed.get_mut("root").unwrap();
        root["keys"]["unusable"] = object;
        root["roles"]["timestamp"]["keyids"].as_array_mut().unwrap().push(json!("unusable"));
        repository.publish(&["root", "timestamp"]);
        let mut machine = Machine::new(&repository);
        machine.refresh(&repository).unwrap();
        repository.threshold("timestamp", 2);
        repository.publish(&["root", "timestamp"]);
        fails!(machine.refresh(&repository), "5.4.2", "1 more people must sign");
    }
}

#[test]
fn fields_that_nobody_knows_are_signed_and_mean_nothing() {
    let mut repository = Repository::new();
    let mut machine = Machine::new(&repository);
    let mut object = repository.new_key().object.clone();
    object["keyid_hash_algorithms"] = json!("md5");
    object["x-owner"] = json!({"a": 1});
    let root = repository.signed.get_mut("root").unwrap();
    root["keys"]["any name"] = object;
    root["x-custom"] = json!(["value"]);
    root["roles"]["root"]["x-more"] = json!("value");
    root["roles"]["mirrors"] = json!({"keyids": [], "threshold": 1});
    repository.publish(&["root"]);
    machine.refresh(&repository).unwrap();
    assert_eq!(machine.version("root"), Some(2));
    repository.publish(&["root"]);
    repository.tamper("3.root.json", |document| document["signed"]["x-custom"] = json!(["other"]));
    fails!(machine.refresh(&repository), "5.3.4", "1 more people must sign");
}
