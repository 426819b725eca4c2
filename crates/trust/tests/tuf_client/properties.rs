//! Whatever a repository does, in whatever order: what a machine trusts never goes back, and belongs together.

use crate::simulator::{Machine, Repository, TOP_LEVEL, in_days};
use proptest::prelude::*;
use serde_json::Value;
use std::collections::BTreeMap;

/// Something that whoever holds the repository, and some of its keys, may do.
#[derive(Clone, Debug)]
enum Deed {
    Publish(usize),
    PublishAll,
    SetVersion(usize, u64),
    SetExpiry(usize, i64),
    /// The owners replace a role's key: versions may begin anew.
    Rotate(usize),
    WithHashes(bool),
    Remove(usize),
    /// Swaps a byte of a file for another.
    Damage(usize, usize, u8),
    /// Serves one file under the name of another.
    Confuse(usize, usize),
    Refresh,
}

fn deed() -> impl Strategy<Value = Deed> {
    let role = 0..TOP_LEVEL.len();
    prop_oneof![
        1 => role.clone().prop_map(Deed::Publish),
        3 => Just(Deed::PublishAll),
        1 => (role.clone(), 1..6u64).prop_map(|(role, version)| Deed::SetVersion(role, version)),
        1 => (role.clone(), prop_oneof![Just(-1i64), Just(30)]).prop_map(|(role, days)| Deed::SetExpiry(role, days)),
        1 => (1..TOP_LEVEL.len()).prop_map(Deed::Rotate),
        1 => any::<bool>().prop_map(Deed::WithHashes),
        1 => any::<usize>().prop_map(Deed::Remove),
        1 => (any::<usize>(), any::<usize>(), any::<u8>()).prop_map(|(file, at, byte)| Deed::Damage(file, at, byte)),
        1 => (any::<usize>(), any::<usize>()).prop_map(|(from, to)| Deed::Confuse(from, to)),
        5 => Just(Deed::Refresh),
    ]
}

fn perform(deed: &Deed, repository: &mut Repository) {
    let name = |repository: &Repository, index: usize| {
        repository.files.keys().nth(index % repository.files.len()).unwrap().clone()
    };
    match *deed {
        Deed::Publish(role) => repository.publish(&[TOP_LEVEL[role]]),
        Deed::PublishAll => repository.publish(&TOP_LEVEL),
        Deed::SetVersion(role, version) => repository.set(TOP_LEVEL[role], "version", version),
        Deed::SetExpiry(role, days) => repository.set(TOP_LEVEL[role], "expires", in_days(days).to_string()),
        Deed::Rotate(role) => repository.rotate(TOP_LEVEL[role]),
        Deed::WithHashes(with_hashes) => repository.with_hashes = with_hashes,
        Deed::Remove(file) if repository.files.len() > 2 => {
            let file = name(repository, file);
            repository.files.remove(&file);
        }
        Deed::Damage(file, at, byte) => {
            let file = name(repository, file);
            let bytes = repository.files.get_mut(&file).unwrap();
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        Deed::Confuse(from, to) => {
            let bytes = repository.files[&name(repository, from)].clone();
            let to = name(repository, to);
            repository.files.insert(to, bytes);
        }
        Deed::Remove(_) | Deed::Refresh => {}
    }
}

fn signed(machine: &Machine, role: &str) -> Option<Value> {
    let document: Value = serde_json::from_slice(machine.folder.get(&format!("{role}.json"))?).unwrap();
    Some(document["signed"].clone())
}

/// Every version that must not fall: of timestamp, of snapshot as timestamp says, and of what snapshot lists.
fn floor(machine: &Machine) -> BTreeMap<String, u64> {
    let mut floor = BTreeMap::new();
    if let Some(timestamp) = signed(machine, "timestamp") {
        floor.insert("timestamp".to_owned(), timestamp["version"].as_u64().unwrap());
        floor.insert("snapshot".to_owned(), timestamp["meta"]["snapshot.json"]["version"].as_u64().unwrap());
    }
    for (name, listed) in signed(machine, "snapshot").iter().flat_map(|snapshot| snapshot["meta"].as_object().unwrap())
    {
        floor.insert(name.clone(), listed["version"].as_u64().unwrap());
    }
    floor
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_trusted_never_goes_back_and_belongs_together(deeds in proptest::collection::vec(deed(), 1..30)) {
        let mut repository = Repository::new();
        let mut machine = Machine::new(&repository);
        for deed in &deeds {
            perform(deed, &mut repository);
            if !matches!(deed, Deed::Refresh) {
                continue;
            }
            let (root, before) = (machine.version("root").unwrap(), floor(&machine));
            machine.changes.clear();
            let result = machine.refresh(&repository);
            prop_assert!(machine.version("root").unwrap() >= root);
            if !machine.changes.iter().any(|change| change.starts_with("forget")) {
                let after = floor(&machine);
                for (what, version) in &before {
                    prop_assert!(after.get(what).is_some_and(|now| now >= version), "{what} went back from {version}");
                }
            }
            if result.is_ok() {
                let [timestamp, snapshot, targets] =
                    ["timestamp", "snapshot", "targets"].map(|role| signed(&machine, role).unwrap());
                prop_assert_eq!(&timestamp["meta"]["snapshot.json"]["version"], &snapshot["version"]);
                prop_assert_eq!(&snapshot["meta"]["targets.json"]["version"], &targets["version"]);
                for role in TOP_LEVEL {
                    let expires = signed(&machine, role).unwrap()["expires"].clone();
                    prop_assert_eq!(expires.as_str().unwrap(), in_days(30).to_string());
                }
            }
        }
    }
}
