//! What files are called, and which bytes they are.

use crate::{
    fails,
    simulator::{Machine, Repository},
};
use serde_json::json;
use sha2::{Digest as _, Sha512};
use trust::{Digest, tuf::target_path};

#[test]
fn a_role_s_name_leads_out_of_no_folder_and_into_no_query() {
    for (role, file) in [
        ("?", "%3F.json"),
        ("#", "%23.json"),
        ("/delegated", "%2Fdelegated.json"),
        ("../delegated", "..%2Fdelegated.json"),
        ("..", "...json"),
        ("a b\\%41", "a%20b%5C%2541.json"),
        ("ü", "%C3%BC.json"),
    ] {
        let mut repository = Repository::new();
        repository.delegate("targets", role, &["*"]);
        repository.publish(&[role, "targets", "snapshot", "timestamp"]);
        let mut machine = Machine::new(&repository);
        assert_eq!(machine.find(&repository, "missing").unwrap(), None);
        assert_eq!(repository.asked(), [format!("1.{file}")]);
        assert_eq!(machine.folder.len(), 5);
        assert!(machine.folder.contains_key(file), "{:?}", machine.folder.keys());
    }
}

#[test]
fn targets_lie_beside_their_hash_in_their_folder() {
    let mut repository = Repository::new();
    for path in ["file", "a/b/file.tgz", "a b/ü?#%.txt"] {
        repository.add_target("targets", path, b"content");
    }
    repository.publish(&["targets", "snapshot", "timestamp"]);
    let mut machine = Machine::new(&repository);
    let hash = Digest::of(b"content").hex();
    for (path, location) in [
        ("file", format!("{hash}.file")),
        ("a/b/file.tgz", format!("a/b/{hash}.file.tgz")),
        ("a b/ü?#%.txt", format!("a%20b/{hash}.%C3%BC%3F%23%25.txt")),
    ] {
        assert_eq!(machine.find(&repository, path).unwrap().unwrap().location, location);
    }
    assert_eq!(target_path("a/file", None), "a/file");
}

#[test]
fn a_repository_without_consistent_snapshots_has_plain_names() {
    let mut repository = Repository::new();
    repository.set("root", "consistent_snapshot", false);
    repository.set("root", "version", 1);
    repository.publish_as_it_is("root");
    repository.add_target("targets", "a/file", b"content");
    repository.publish(&["targets", "snapshot", "timestamp"]);
    let mut machine = Machine::new(&repository);
    machine.refresh(&repository).unwrap();
    assert_eq!(repository.asked(), ["2.root.json", "timestamp.json", "snapshot.json", "targets.json"]);
    assert_eq!(machine.find(&repository, "a/file").unwrap().unwrap().location, "a/file");
}

#[test]
fn paths_that_lead_elsewhere_are_no_targets() {
    let mut repository = Repository::new();
    for path in ["", "/file", "a//file", "a/../file", "./file", "a/.."] {
        repository.add_target("targets", path, b"content");
    }
    repository.publish(&["targets", "snapshot", "timestamp"]);
    for path in ["", "/file", "a//file", "a/../file", "./file", "a/.."] {
        fails!(Machine::new(&repository).find(&repository, path), "5.6.7", "is not the path of a target");
    }
}

#[test]
fn bytes_are_kept_as_they_came() {
    let mut repository = Repository::new();
    for file in ["timestamp.json", "1.snapshot.json", "1.targets.json"] {
        let mut bytes = repository.files[file].clone();
        bytes.extend_from_slice(b" \n ");
        repository.files.insert(file.into(), bytes);
    }
    let mut machine = Machine::new(&repository);
    machine.refresh(&repository).unwrap();
    for (kept, file) in
        [("timestamp.json", "timestamp.json"), ("snapshot.json", "1.snapshot.json"), ("targets.json", "1.targets.json")]
    {
        assert_eq!(machine.folder[kept], repository.files[file]);
    }
}

#[test]
fn a_target_has_its_length_and_every_hash_that_is_listed() {
    let content = b"content";
    let sha256 = Digest::of(content).hex();
    let sha512 = hex::encode(Sha512::digest(content));
    let mut repository = Repository::new();
    let hashes = [
        ("256", json!({"sha256": sha256})),
        ("512", json!({"sha512": sha512})),
        ("both", json!({"sha256": sha256, "sha512": sha512})),
        ("more", json!({"sha256": sha256, "blake3": "00"})),
        ("unknown", json!({"blake3": "00"})),
        ("none", json!({})),
        ("one-wrong", json!({"sha256": sha256, "sha512": "0".repeat(128)})),
    ];
    for (path, hashes) in hashes {
        repository.targets_of("targets")["targets"][path] = json!({"length": 7, "hashes": hashes, "custom": {"a": 1}});
    }
    repository.publish(&["targets", "snapshot", "timestamp"]);
    let mut machine = Machine::new(&repository);
    for path in ["256", "512", "both", "more"] {
        let found = machine.find(&repository, path).unwrap().unwrap();
        found.target.check(content).unwrap();
        assert!(found.target.check(b"contend").is_err(), "{path}");
        assert!(found.target.check(b"content ").is_err(), "{path}");
        assert_eq!(found.target.custom, Some(json!({"a": 1})));
    }
    for path in ["unknown", "none", "one-wrong"] {
        let found = machine.find(&repository, path).unwrap().unwrap();
        assert!(found.target.check(content).is_err(), "{path}");
    }
    assert_eq!(machine.find(&repository, "512").unwrap().unwrap().location, format!("{sha512}.512"));
}
