//! Delegations: who is asked about a target, in which order, and who cannot get in the way.

use crate::{
    fails,
    simulator::{Machine, Repository},
};
use serde_json::json;
use std::collections::BTreeSet;
use trust::Digest;

/// `(delegator, role, paths, terminating)`
type Delegation<'a> = (&'a str, &'a str, &'a str, bool);

fn delegated(delegations: &[Delegation<'_>]) -> Repository {
    let mut repository = Repository::new();
    for (delegator, role, paths, terminating) in delegations {
        repository.delegate(delegator, role, &paths.split(' ').collect::<Vec<_>>());
        repository.last_delegation(delegator)["terminating"] = json!(terminating);
    }
    publish_all(&mut repository);
    repository
}

fn publish_all(repository: &mut Repository) {
    let roles: BTreeSet<String> = repository.signed.keys().cloned().collect();
    for role in roles.iter().filter(|role| !["root", "snapshot", "timestamp"].contains(&role.as_str())) {
        repository.publish(&[role.as_str()]);
    }
    repository.publish(&["snapshot", "timestamp"]);
}

/// The roles that are asked for in order; every one of them is published once.
fn asked(repository: &Repository) -> String {
    let names = repository.asked().into_iter();
    let names = names.map(|path| path.trim_start_matches("1.").trim_end_matches(".json").to_owned());
    names.collect::<Vec<_>>().join(" ")
}

const T: &str = "targets";

#[test]
fn roles_are_asked_depth_first_in_their_order() {
    let cases: &[(&str, &[Delegation<'_>], &str)] = &[
        ("one", &[(T, "A", "*", false)], "A"),
        ("two", &[(T, "A", "*", false), (T, "B", "*", false)], "A B"),
        ("below the second", &[(T, "A", "*", false), (T, "B", "*", false), ("B", "C", "*", false)], "A B C"),
        (
            "below the first",
            &[(T, "A", "*", false), (T, "B", "*", false), ("A", "C", "*", false), ("A", "D", "*", false)],
            "A C D B",
        ),
        (
            "two below the first",
            &[(T, "A", "*", false), (T, "B", "*", false), ("A", "C", "*", false), ("C", "D", "*", false)],
            "A C D B",
        ),
        (
            "a terminating one ends the search of all that stand after it",
            &[(T, "A", "*", false), (T, "B", "*", false), ("A", "C", "*", true), ("A", "D", "*", false)],
            "A C",
        ),
        (
            "but not of those below it",
            &[(T, "A", "*", false), (T, "B", "*", false), ("A", "C", "*", true), ("C", "D", "*", false)],
            "A C D",
        ),
        (
            "a terminating one for other paths ends nothing",
            &[(T, "A", "*.py", true), (T, "B", "*", false), ("A", "C", "*", false)],
            "B",
        ),
        (
            "nobody below other paths",
            &[(T, "A", "*", false), (T, "B", "*", false), ("A", "C", "*.py", false), ("C", "D", "*", false)],
            "A B",
        ),
        (
            "a role under two delegators is asked once",
            &[(T, "A", "*", false), (T, "B", "*", false), ("B", "C", "*.py", false), ("A", "C", "*", false)],
            "A C B",
        ),
    ];
    for (what, delegations, order) in cases {
        let repository = delegated(delegations);
        let mut machine = Machine::new(&repository);
        let found = machine.find(&repository, "missing").unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(found, None, "{what}");
        assert_eq!(asked(&repository), *order, "{what}");
    }
}

#[test]
fn a_cycle_ends_where_it_began() {
    let mut repository =
        delegated(&[(T, "A", "*", false), (T, "B", "*", false), ("B", "C", "*", false), ("C", "D", "*", false)]);
    // D delegates to B, with the key that B has.
    let delegation = repository.signed["targets"]["delegations"]["roles"][1].clone();
    let keys = repository.signed["targets"]["delegations"]["keys"].clone();
    repository.targets_of("D")["delegations"] = json!({"keys": keys, "roles": [delegation]});
    // And A to itself.
    let delegation = repository.signed["targets"]["delegations"]["roles"][0].clone();
    let keys = repository.signed["targets"]["delegations"]["keys"].clone();
    repository.targets_of("A")["delegations"] = json!({"keys": keys, "roles": [delegation]});
    publish_all(&mut repository);
    let mut machine = Machine::new(&repository);
    assert_eq!(machine.find(&repository, "missing").unwrap(), None);
    assert_eq!(repository.asked(), ["2.A.json", "2.B.json", "2.C.json", "2.D.json"]);
}

#[test]
fn a_search_does_not_go_on_for_ever() {
    let names: Vec<String> = (0..40).map(|number| format!("role-{number}")).collect();
    let wide: Vec<Delegation<'_>> = names.iter().map(|name| (T, name.as_str(), "*", false)).collect();
    let deep = names.iter().enumerate().map(|(number, name)| {
        let delegator = if number == 0 { T } else { names[number - 1].as_str() };
        (delegator, name.as_str(), "*", false)
    });
    for delegations in [wide, deep.collect()] {
        let repository = delegated(&delegations);
        let mut machine = Machine::new(&repository);
        fails!(machine.find(&repository, "missing"), "5.6.7.1", "more than 32 delegated roles");
        assert_eq!(repository.asked().len(), 32);
    }
}

#[test]
fn a_target_is_found_where_every_delegator_above_it_lets_it_be() {
    let mut repository = Repository::new();
    for (delegator, role, paths) in [
        (T, "A", "*.doc *.md foo-?.tgz"),
        (T, "B", "releases/*/*"),
        ("B", "C", "releases/x/*"),
        ("B", "D", "releases/y/*.zip"),
    ] {
        repository.delegate(delegator, role, &paths.split(' ').collect::<Vec<_>>());
    }
    for (role, path) in [
        (T, "file"),
        ("A", "README.md"),
        // These two stand outside of what their roles may vouch for, and must not get in anybody's way.
        ("A", "releases/README.md"),
        ("A", "foo-alpha.tgz"),
        ("A", "foo-1.tgz"),
        ("C", "releases/x/x_v1"),
        ("D", "releases/y/y_v1.zip"),
        ("D", "releases/z/z_v1.zip"),
    ] {
        repository.add_target(role, path, path.as_bytes());
    }
    publish_all(&mut repository);
    for (path, found, order) in [
        ("file", Some("targets"), ""),
        ("README.md", Some("A"), "A"),
        ("releases/x/x_v1", Some("C"), "B C"),
        ("releases/y/y_v1.zip", Some("D"), "B D"),
        ("releases/z/z_v1.zip", None, "B"),
        ("releases/README.md", None, ""),
        ("foo-1.tgz", Some("A"), "A"),
        ("foo-alpha.tgz", None, ""),
        ("README.MD", None, ""),
    ] {
        let mut machine = Machine::new(&repository);
        let target = machine.find(&repository, path).unwrap();
        assert_eq!(target.as_ref().map(|target| target.role.as_str()), found, "{path}");
        assert_eq!(asked(&repository).replace("2.", ""), order, "{path}");
        if let Some(target) = target {
            target.target.check(path.as_bytes()).unwrap();
            assert!(target.target.check(b"something else").is_err());
        }
    }
}

#[test]
fn targets_are_shared_out_by_the_hash_of_their_path() {
    let mut repository = Repository::new();
    for bin in ["0", "1", "2", "3"] {
        let role = format!("bin-{bin}");
        repository.delegate(T, &role, &[]);
        let prefixes: Vec<String> = (0..4).map(|part| format!("{:x}", bin.parse::<u8>().unwrap() * 4 + part)).collect();
        let delegation = repository.last_delegation(T);
        delegation.as_object_mut().unwrap().remove("paths");
        delegation["path_hash_prefixes"] = json!(prefixes);
    }
    let path = "folder/file";
    let digit = u8::from_str_radix(&Digest::of(path.as_bytes()).hex()[..1], 16).unwrap();
    let bin = format!("bin-{}", digit / 4);
    repository.add_target(&bin, path, b"content");
    publish_all(&mut repository);
    let mut machine = Machine::new(&repository);
    assert_eq!(machine.find(&repository, path).unwrap().unwrap().role, bin);
    assert_eq!(repository.asked().len(), 1);
}

/// Two delegators name one role, with different keys: what the one vouches for is not thereby vouched for by the other.
#[test]
fn one_role_under_two_delegators_is_verified_under_each() {
    let mut repository = Repository::new();
    repository.delegate(T, "team-a", &["a/*"]);
    repository.delegate(T, "team-b", &["b/*"]);
    repository.delegate("team-a", "release", &["a/*"]);
    repository.delegate("team-b", "release", &["b/*"]);
    repository.add_target("release", "a/file", b"good");
    repository.add_target("release", "b/file", b"bad");
    // The role's file is signed with the key that team A knows, alone.
    let known_to_b = repository.signers.get_mut("release").unwrap().pop().unwrap();
    publish_all(&mut repository);
    for order in [["a/file", "b/file"], ["b/file", "a/file"]] {
        let mut machine = Machine::new(&repository);
        for (path, result) in order.into_iter().zip(machine.find_all(&repository, &order)) {
            match path {
                "a/file" => assert_eq!(result.unwrap().unwrap().role, "release"),
                _ => fails!(result, "5.6.3", "version 1 of team-b asks of the role release: 1 more people must sign"),
            }
        }
    }
    repository.signers.get_mut("release").unwrap().push(known_to_b);
    publish_all(&mut repository);
    let mut machine = Machine::new(&repository);
    let both = machine.find_all(&repository, &["a/file", "b/file"]);
    assert!(both.into_iter().all(|found| found.unwrap().is_some()));
}

#[test]
fn a_role_that_snapshot_does_not_list_is_not_asked_for() {
    let mut repository = Repository::new();
    repository.delegate(T, "hidden", &["folder/*"]);
    repository.delegate(T, "other", &["*/*"]);
    repository.add_target("other", "folder/file", b"what the first role might not want");
    publish_all(&mut repository);
    repository.signed.get_mut("snapshot").unwrap()["meta"].as_object_mut().unwrap().remove("hidden.json");
    repository.publish(&["snapshot", "timestamp"]);
    let mut machine = Machine::new(&repository);
    // Nor is the next one asked in its place: who hides a role must not choose who answers instead.
    fails!(machine.find(&repository, "folder/file"), "5.6.1", "the snapshot does not list it");
    assert_eq!(asked(&repository), "");
}

#[test]
fn what_is_wrong_with_a_delegated_role_ends_the_search() {
    let mut repository = Repository::new();
    repository.delegate(T, "A", &["*"]);
    repository.delegate(T, "B", &["*"]);
    repository.add_target("B", "file", b"content");
    publish_all(&mut repository);
    let good = repository.files["1.A.json"].clone();

    repository.files.remove("1.A.json");
    fails!(Machine::new(&repository).find(&repository, "file"), "5.6.1", "the repository does not have it");
    repository.files.insert("1.A.json".into(), good);
    repository.tamper("1.A.json", |document| document["signed"]["version"] = json!(2));
    fails!(Machine::new(&repository).find(&repository, "file"), "5.6.3", "1 more people must sign");

    repository.set("A", "expires", "2029-12-31T00:00:00Z");
    publish_all(&mut repository);
    fails!(Machine::new(&repository).find(&repository, "file"), "5.6.5", "version 2 of A expired");

    repository.set("A", "expires", "2030-12-31T00:00:00Z");
    publish_all(&mut repository);
    repository.meta("snapshot", "A.json")["version"] = json!(4);
    repository.publish(&["snapshot", "timestamp"]);
    let third = repository.files["3.A.json"].clone();
    repository.files.insert("4.A.json".into(), third);
    fails!(Machine::new(&repository).find(&repository, "file"), "5.6.4", "version 4 of A is listed");
}

/// Changes a delegation.
type Change = fn(&mut serde_json::Value);

#[test]
fn delegations_that_mean_two_things_are_refused() {
    let changes: [(&str, Change); 7] = [
        ("either paths or path_hash_prefixes", |role| role["path_hash_prefixes"] = json!(["0"])),
        ("either paths or path_hash_prefixes", |role| role["paths"] = json!(null)),
        ("threshold 0", |role| role["threshold"] = json!(0)),
        ("'snapshot' is no name for a delegated role", |role| role["name"] = json!("snapshot")),
        ("'targets' is no name for a delegated role", |role| role["name"] = json!("targets")),
        ("is no name for a delegated role", |role| role["name"] = json!("x".repeat(300))),
        ("'' is no name for a delegated role", |role| role["name"] = json!("")),
    ];
    for (words, change) in changes {
        let mut repository = Repository::new();
        repository.delegate(T, "A", &["*"]);
        change(repository.last_delegation(T));
        repository.publish(&["targets", "snapshot", "timestamp"]);
        let error = Machine::new(&repository).refresh(&repository).expect_err(words);
        assert!(error.section == "5.6.3" && error.to_string().contains(words), "{error}");
    }
    let mut repository = Repository::new();
    repository.delegate(T, "A", &["a/*"]);
    repository.delegate(T, "A", &["b/*"]);
    repository.publish(&["targets", "snapshot", "timestamp"]);
    fails!(Machine::new(&repository).refresh(&repository), "5.6.3", "the role 'A' is delegated to twice");
}

#[test]
fn a_kept_role_is_not_fetched_again_until_it_changes() {
    let mut repository = delegated(&[(T, "A", "*", false)]);
    let mut machine = Machine::new(&repository);
    machine.find(&repository, "missing").unwrap();
    assert_eq!(asked(&repository), "A");
    machine.find(&repository, "missing").unwrap();
    assert_eq!(asked(&repository), "");
    repository.add_target("A", "file", b"content");
    repository.publish(&["A", "snapshot", "timestamp"]);
    assert!(machine.find(&repository, "file").unwrap().is_some());
    assert_eq!(repository.asked(), ["2.A.json"]);
}
