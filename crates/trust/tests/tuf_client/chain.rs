//! Roots: from one to the next, and what their keys take with them when they go.

use crate::{
    fails,
    simulator::{Key, Machine, Repository, in_days},
};
use serde_json::json;
use std::rc::Rc;
use trust::tuf::Root;

#[test]
fn a_first_refresh_takes_everything_in_order() {
    let repository = Repository::new();
    let mut machine = Machine::new(&repository);
    machine.refresh(&repository).unwrap();
    assert_eq!(repository.asked(), ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"]);
    assert_eq!(machine.changes, ["keep timestamp.json", "keep snapshot.json", "keep targets.json"]);
    assert_eq!(machine.versions(), [1, 1, 1, 1]);
}

#[test]
fn an_unchanged_repository_costs_two_requests() {
    let repository = Repository::new();
    let mut machine = Machine::new(&repository);
    machine.refresh(&repository).unwrap();
    repository.asked();
    machine.changes.clear();
    machine.refresh(&repository).unwrap();
    assert_eq!(repository.asked(), ["2.root.json", "timestamp.json"]);
    assert!(machine.changes.is_empty(), "{:?}", machine.changes);
}

#[test]
fn what_is_not_a_root_is_not_trusted() {
    let mut repository = Repository::new();
    assert!(Root::of_any_repository(&repository.files["1.targets.json"]).is_err());
    repository.tamper("1.root.json", |document| document["signatures"] = json!([]));
    assert!(Root::of_any_repository(&repository.first_root()).is_err());
}

/// One version of root: which keys are in it, how many must sign, and which sign.
type Version<'a> = (&'a [usize], u32, &'a [usize]);

#[test]
fn each_root_is_signed_as_the_one_before_and_it_itself_ask() {
    let all = &[0, 1, 2, 3, 4];
    let later = &[5, 6, 7, 8, 9];
    let cases: &[(&[Version<'_>], bool)] = &[
        (&[(&[1], 1, &[1]), (&[2], 1, &[2, 1]), (&[2], 1, &[2])], true),
        (&[(&[1], 1, &[3, 1, 4]), (&[2], 1, &[3, 2, 1, 4])], true),
        (&[(all, 3, &[0, 2, 4]), (all, 3, &[0, 4, 1]), (all, 3, &[0, 1, 3])], true),
        (&[(all, 3, &[0, 2, 4]), (&[0, 1, 3, 4, 5], 3, &[0, 4, 1])], true),
        (&[(all, 3, &[0, 2, 4]), (later, 3, &[0, 2, 4, 5, 6, 7]), (later, 3, &[7, 8, 9])], true),
        (&[(&[1, 2, 3], 1, &[1]), (&[1, 2, 3], 2, &[1, 2])], true),
        (&[(&[1, 2, 3], 2, &[1, 2]), (&[1, 2, 3], 1, &[1, 2]), (&[1, 2, 3], 1, &[1])], true),
        // Not by the one before.
        (&[(&[1], 1, &[1]), (&[2], 1, &[2, 3])], false),
        (&[(all, 3, &[0, 2, 4]), (&[0, 1, 3, 4, 5], 3, &[0, 4, 5])], false),
        (&[(&[1, 2, 3], 2, &[1, 2]), (&[1, 2, 3], 1, &[1])], false),
        // Not by itself.
        (&[(&[1], 1, &[1]), (&[2], 1, &[1, 3])], false),
        (&[(all, 3, &[0, 2, 4]), (&[0, 1, 3, 4, 5], 3, &[0, 2, 4])], false),
        (&[(&[1, 2, 3], 1, &[1]), (&[1, 2, 3], 2, &[2])], false),
    ];
    let keys: Vec<Rc<Key>> = (100..110).map(Key::ed25519).collect();
    for (case, (versions, is_good)) in cases.iter().enumerate() {
        let mut repository = Repository::new();
        for (number, (listed, threshold, signing)) in versions.iter().enumerate() {
            repository.signed.get_mut("root").unwrap()["roles"]["root"]["keyids"] = json!([]);
            for key in *listed {
                repository.add_key("root", Rc::clone(&keys[*key]));
            }
            repository.threshold("root", *threshold);
            repository.signers.insert("root".into(), signing.iter().map(|key| Rc::clone(&keys[*key])).collect());
            repository.set("root", "version", number + 1);
            repository.publish_as_it_is("root");
        }
        let mut machine = Machine::new(&repository);
        let last = versions.len() as u64;
        if *is_good {
            machine.refresh(&repository).unwrap_or_else(|error| panic!("case {case}: {error}"));
            assert_eq!(machine.version("root"), Some(last), "case {case}");
        } else {
            fails!(machine.refresh(&repository), "5.3.4", "more people must sign");
            assert_eq!(machine.version("root"), Some(last - 1), "case {case}");
        }
    }
}

#[test]
fn a_root_of_another_version_than_the_next_is_refused() {
    for version in [1, 3] {
        let mut repository = Repository::new();
        let mut machine = Machine::new(&repository);
        repository.set("root", "version", version);
        repository.publish_as_it_is("root");
        let bytes = repository.files[&format!("{version}.root.json")].clone();
        repository.files.insert("2.root.json".into(), bytes);
        fails!(machine.refresh(&repository), "5.3.4", "version 2 of root must come next");
        assert_eq!(machine.versions(), [1, 0, 0, 0]);
    }
}

#[test]
fn an_expired_root_is_taken_and_then_ends_the_refresh() {
    let mut repository = Repository::new();
    let mut machine = Machine::new(&repository);
    machine.refresh(&repository).unwrap();
    repository.set("root", "expires", in_days(-1).to_string());
    repository.publish(&["root", "targets", "snapshot", "timestamp"]);
    fails!(machine.refresh(&repository), "5.3.10", "expired");
    assert_eq!(machine.versions(), [2, 1, 1, 1]);
    // The next root mends it, even where the kept one has expired.
    repository.set("root", "expires", in_days(30).to_string());
    repository.publish(&["root"]);
    machine.refresh(&repository).unwrap();
    assert_eq!(machine.versions(), [3, 2, 2, 2]);
}

#[test]
fn a_chain_without_end_is_walked_in_parts() {
    let mut repository = Repository::new();
    let mut machine = Machine::new(&repository);
    for _ in 0..1100 {
        repository.publish(&["root"]);
    }
    machine.refresh(&repository).unwrap();
    assert_eq!(machine.version("root"), Some(1025));
    machine.refresh(&repository).unwrap();
    assert_eq!(machine.version("root"), Some(1101));
}

/// A thief of online keys signs versions so high that nothing honest would follow; the owners replace the keys.
#[test]
fn replaced_keys_take_their_versions_with_them() {
    for (rotated, rolled_back) in
        [(&["timestamp"][..], "timestamp"), (&["snapshot", "timestamp"], "snapshot"), (&["snapshot"], "targets")]
    {
        let mut repository = Repository::new();
        let mut machine = Machine::new(&repository);
        repository.set(rolled_back, "version", 1_000_000);
        repository.publish(&["targets", "snapshot", "timestamp"]);
        machine.refresh(&repository).unwrap();
        // Without new keys, to go back is an attack.
        repository.set(rolled_back, "version", 1);
        repository.publish(&["targets", "snapshot", "timestamp"]);
        machine.refresh(&repository).unwrap_err();
        machine.changes.clear();
        for role in rotated {
            repository.rotate(role);
        }
        repository.publish(&["root", "targets", "snapshot", "timestamp"]);
        machine.refresh(&repository).unwrap();
        assert!(machine.version(rolled_back).unwrap() < 10, "{rolled_back}");
        // What must be forgotten is forgotten before the root is kept: a crash between them must not lose it.
        assert_eq!(machine.changes[..3], ["forget timestamp.json", "forget snapshot.json", "root 2"]);
    }
}

#[test]
fn a_key_that_is_added_makes_nobody_forget() {
    let mut repository = Repository::new();
    repository.publish(&["snapshot", "timestamp"]);
    let mut machine = Machine::new(&repository);
    machine.refresh(&repository).unwrap();
    // A witness joins, and from now on both must sign.
    let witness = repository.new_key();
    repository.add_key("timestamp", witness);
    repository.threshold("timestamp", 2);
    repository.publish(&["root"]);
    repository.set("timestamp", "version", 1);
    repository.publish_as_it_is("timestamp");
    fails!(machine.refresh(&repository), "5.4.3.1", "a rollback");
    assert!(machine.changes.iter().all(|change| !change.starts_with("forget")));
}

#[test]
fn targets_that_the_new_root_does_not_vouch_for_are_not_trusted_on() {
    let mut repository = Repository::new();
    let mut machine = Machine::new(&repository);
    machine.refresh(&repository).unwrap();
    repository.rotate("targets");
    repository.publish(&["root"]);
    fails!(machine.refresh(&repository), "5.6.3", "more people must sign");
    repository.publish(&["targets", "snapshot", "timestamp"]);
    machine.refresh(&repository).unwrap();
    assert_eq!(machine.versions(), [2, 2, 2, 2]);
}
