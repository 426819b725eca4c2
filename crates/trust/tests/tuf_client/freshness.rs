//! Versions that must not fall, times that must not pass, and files that belong together.

use crate::{
    fails,
    simulator::{Machine, Repository, TOP_LEVEL, in_days, now},
};
use jiff::SignedDuration;
use serde_json::json;

fn refreshed(prepare: impl FnOnce(&mut Repository)) -> (Repository, Machine) {
    let mut repository = Repository::new();
    let mut machine = Machine::new(&repository);
    prepare(&mut repository);
    machine.refresh(&repository).unwrap();
    repository.asked();
    (repository, machine)
}

const ONLINE: [&str; 3] = ["targets", "snapshot", "timestamp"];

#[test]
fn an_older_timestamp_is_a_rollback() {
    let (mut repository, mut machine) = refreshed(|repository| repository.publish(&["timestamp"]));
    repository.set("timestamp", "version", 1);
    repository.publish_as_it_is("timestamp");
    fails!(machine.refresh(&repository), "5.4.3.1", "version 1 of timestamp is older than version 2");
    assert_eq!(repository.asked().last().unwrap(), "timestamp.json");
    assert_eq!(machine.version("timestamp"), Some(2));
}

#[test]
fn a_timestamp_of_the_same_version_is_discarded_whatever_it_says() {
    let (mut repository, mut machine) = refreshed(|_| {});
    repository.meta("timestamp", "snapshot.json")["version"] = json!(100);
    repository.publish_as_it_is("timestamp");
    machine.refresh(&repository).unwrap();
    assert_eq!(repository.asked().last().unwrap(), "timestamp.json");
    // The one that is kept must still be good, though.
    fails!(machine.refresh_at(&repository, in_days(40)), "5.3.10", "expired");
    repository.set("root", "expires", in_days(90).to_string());
    repository.publish(&["root"]);
    fails!(machine.refresh_at(&repository, in_days(40)), "5.4.4", "expired");
}

#[test]
fn an_older_snapshot_is_a_rollback_with_hashes_and_without() {
    for with_hashes in [false, true] {
        let (mut repository, mut machine) = refreshed(|repository| {
            repository.with_hashes = with_hashes;
            repository.publish(&["snapshot", "timestamp"]);
        });
        repository.set("snapshot", "version", 1);
        repository.publish_as_it_is("snapshot");
        repository.publish(&["timestamp"]);
        fails!(machine.refresh(&repository), "5.4.3.2", "version 1 of snapshot is older than version 2");
        assert_eq!(repository.asked().last().unwrap(), "timestamp.json");
        assert_eq!(machine.versions(), [1, 1, 2, 2]);
    }
}

#[test]
fn older_targets_are_a_rollback_with_hashes_and_without() {
    for with_hashes in [false, true] {
        let (mut repository, mut machine) = refreshed(|repository| {
            repository.with_hashes = with_hashes;
            repository.publish(&ONLINE);
        });
        repository.set("targets", "version", 1);
        repository.publish_as_it_is("targets");
        repository.publish(&["snapshot", "timestamp"]);
        fails!(machine.refresh(&repository), "5.5.5", "version 1 of targets.json is older than version 2");
        assert_eq!(machine.versions(), [1, 2, 2, 3]);
    }
}

#[test]
fn a_role_that_was_listed_stays_listed() {
    let (mut repository, mut machine) = refreshed(|repository| {
        repository.delegate("targets", "delegated", &["folder/*"]);
        repository.publish(&["delegated", "targets", "snapshot", "timestamp"]);
    });
    repository.signed.get_mut("snapshot").unwrap()["meta"].as_object_mut().unwrap().remove("delegated.json");
    repository.publish(&["snapshot", "timestamp"]);
    fails!(machine.refresh(&repository), "5.5.5", "delegated.json was listed before and no longer is");
    assert_eq!(machine.version("snapshot"), Some(2));
}

#[test]
fn expired_metadata_is_not_taken_and_a_newer_one_mends_it() {
    for (role, section, kept) in
        [("timestamp", "5.4.4", [1, 1, 1, 1]), ("snapshot", "5.5.6", [1, 1, 1, 2]), ("targets", "5.6.5", [1, 1, 2, 2])]
    {
        let (mut repository, mut machine) = refreshed(|_| {});
        repository.set(role, "expires", in_days(-5).to_string());
        repository.publish(&ONLINE);
        let result = machine.refresh(&repository);
        let error = result.expect_err(role);
        assert!(error.section == section && error.to_string().contains("expired"), "{error}");
        assert_eq!(machine.versions(), kept, "{role}");
        repository.set(role, "expires", in_days(5).to_string());
        repository.publish(&ONLINE);
        machine.refresh(&repository).unwrap();
        assert_eq!(machine.versions(), [1, 3, 3, 3], "{role}");
    }
}

#[test]
fn the_clock_is_what_the_caller_says_it_is() {
    for (role, section) in [("root", "5.3.10"), ("timestamp", "5.4.4"), ("snapshot", "5.5.6"), ("targets", "5.6.5")] {
        let (repository, mut machine) = refreshed(|repository| {
            for other in TOP_LEVEL {
                let expires = if other == role { in_days(7) } else { in_days(60) };
                repository.set(other, "expires", expires.to_string());
            }
            repository.publish(&["root", "targets", "snapshot", "timestamp"]);
        });
        let last_moment = in_days(7) - SignedDuration::from_millis(1);
        machine.refresh_at(&repository, last_moment).unwrap();
        let error = machine.refresh_at(&repository, in_days(7)).expect_err(role);
        assert!(error.section == section && error.to_string().contains("expired"), "{role}: {error}");
        // Nothing was lost by it.
        machine.refresh_at(&repository, now()).unwrap();
    }
}

#[test]
fn what_is_kept_may_have_expired_when_newer_ones_are_there() {
    let (mut repository, mut machine) = refreshed(|repository| {
        repository.set("timestamp", "expires", in_days(7).to_string());
        repository.publish(&["timestamp"]);
    });
    repository.set("timestamp", "expires", in_days(21).to_string());
    repository.publish(&ONLINE);
    machine.refresh_at(&repository, in_days(18)).unwrap();
    assert_eq!(machine.versions(), [1, 2, 2, 3]);
}

#[test]
fn files_that_are_not_there_end_the_refresh_and_what_came_before_stays() {
    let (mut repository, mut machine) = refreshed(|_| {});
    repository.meta("timestamp", "snapshot.json")["version"] = json!(2);
    repository.publish(&["timestamp"]);
    fails!(machine.refresh(&repository), "5.5.1", "the repository does not have it");
    assert_eq!(machine.versions(), [1, 1, 1, 2]);
    // With the same timestamp, the snapshot is asked for again: it may be there by now.
    repository.publish(&["targets", "snapshot"]);
    machine.refresh(&repository).unwrap();
    assert_eq!(machine.versions(), [1, 2, 2, 2]);

    repository.meta("snapshot", "targets.json")["version"] = json!(3);
    repository.publish(&["snapshot", "timestamp"]);
    fails!(machine.refresh(&repository), "5.6.1", "the repository does not have it");
    assert_eq!(machine.versions(), [1, 2, 3, 3]);

    repository.files.remove("timestamp.json");
    fails!(machine.refresh(&repository), "5.4.1", "the repository does not have it");
}

#[test]
fn a_version_that_is_not_the_listed_one_is_refused() {
    for (role, section, kept) in [("snapshot", "5.5.4", [1, 1, 1, 2]), ("targets", "5.6.4", [1, 1, 2, 2])] {
        let (mut repository, mut machine) = refreshed(|_| {});
        repository.publish(&ONLINE);
        repository.set(role, "version", 3);
        repository.publish_as_it_is(role);
        let bytes = repository.files[&format!("3.{role}.json")].clone();
        repository.files.insert(format!("2.{role}.json"), bytes);
        let error = machine.refresh(&repository).expect_err(role);
        assert!(error.section == section && error.to_string().contains("is listed, and this is version 3"), "{error}");
        assert_eq!(machine.versions(), kept);
    }
}

#[test]
fn length_and_hashes_hold_where_they_are_listed() {
    let (mut repository, mut machine) = refreshed(|repository| {
        repository.with_hashes = true;
        repository.publish(&ONLINE);
    });
    for change in [json!({"hashes": {"sha256": "0".repeat(64)}}), json!({"hashes": {"sha512": "0".repeat(128)}})] {
        repository.publish(&["targets"]);
        repository.meta("snapshot", "targets.json")["hashes"] = change["hashes"].clone();
        repository.publish(&["snapshot", "timestamp"]);
        fails!(machine.refresh(&repository), "5.6.2", "differs");
        repository.publish(&["snapshot"]);
        repository.meta("timestamp", "snapshot.json")["hashes"] = change["hashes"].clone();
        repository.publish(&["timestamp"]);
        fails!(machine.refresh(&repository), "5.5.2", "differs");
    }
    repository.publish(&["snapshot"]);
    repository.meta("timestamp", "snapshot.json")["hashes"] = json!({"md5": "00"});
    repository.publish(&["timestamp"]);
    fails!(machine.refresh(&repository), "5.4.2", "no hash of 'snapshot.json' is of a kind that is known");
    repository.publish(&ONLINE);
    machine.refresh(&repository).unwrap();
    // One byte more than is listed is not even read.
    repository.publish(&ONLINE);
    let version = machine.version("targets").unwrap() + 1;
    repository.files.get_mut(&format!("{version}.targets.json")).unwrap().push(b' ');
    fails!(machine.refresh(&repository), "5.6.1", "the repository does not have it");
}

#[test]
fn a_snapshot_is_no_timestamp() {
    let mut repository = Repository::new();
    let mut machine = Machine::new(&repository);
    // The timestamp's key signs the snapshot too, which lists itself as a timestamp would.
    let key = std::rc::Rc::clone(&repository.signers["timestamp"][0]);
    repository.add_key("snapshot", key);
    repository.meta("snapshot", "snapshot.json")["version"] = json!(1);
    repository.publish(&["root", "snapshot"]);
    let snapshot = repository.files["2.snapshot.json"].clone();
    repository.files.insert("timestamp.json".into(), snapshot);
    fails!(machine.refresh(&repository), "5.4.2", "timestamp metadata was expected, and this says it is 'snapshot'");
    assert_eq!(machine.versions(), [2, 0, 0, 0]);
}

#[test]
fn a_kept_file_that_was_changed_on_disk_is_as_if_it_were_not_there() {
    for role in ["timestamp", "snapshot", "targets"] {
        let (repository, mut machine) = refreshed(|repository| repository.publish(&ONLINE));
        let file = format!("{role}.json");
        let honest = machine.folder[&file].clone();
        for damaged in [
            honest[..honest.len() / 2].to_vec(),
            String::from_utf8(honest.clone()).unwrap().replace("\"version\": 2", "\"version\": 9").into_bytes(),
        ] {
            machine.folder.insert(file.clone(), damaged);
            machine.refresh(&repository).unwrap();
            assert_eq!(machine.folder[&file], honest, "{file}");
        }
    }
}
