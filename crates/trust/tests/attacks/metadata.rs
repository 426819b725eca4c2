//! He answers for the repository of metadata: as a mirror with what was ever signed, or with the server's online key.

use crate::world::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use trust::{
    Digest,
    key::Signer,
    tuf::{
        Root, RootBuilder,
        client::{Client, ClientError, Kept, Next},
    },
};

/// The files of a repository by their paths.
type Files = BTreeMap<String, Vec<u8>>;

/// Which versions are published together, and until when.
#[derive(Clone, Copy)]
struct Set {
    timestamp: u64,
    snapshot: u64,
    targets: u64,
    expires: &'static str,
}

const NOW: Set = Set { timestamp: 5, snapshot: 5, targets: 5, expires: "2026-11-23T00:00:00Z" };

fn header(role: &str, version: u64, expires: &str) -> Value {
    json!({"_type": role, "spec_version": "1.0.31", "version": version, "expires": expires})
}

fn listed(version: u64, bytes: &[u8]) -> Value {
    json!({"version": version, "length": bytes.len(), "hashes": {"sha256": Digest::of(bytes).hex()}})
}

fn first_root() -> Root {
    Root::bootstrap(&signed_root(&root_signed(1), &[OWNER])).unwrap()
}

/// A whole repository, its timestamp and snapshot signed with one key.
fn publish(set: Set, online: u8) -> Files {
    let Set { timestamp, snapshot, targets, expires } = set;
    let targets_file = targets_bytes(format!("charter {targets}").as_bytes(), targets, &[OWNER]);
    let mut content = header("snapshot", snapshot, expires);
    content["meta"] = json!({"targets.json": listed(targets, &targets_file)});
    let snapshot_file = signed_root(&content.to_string(), &[online]);
    let mut content = header("timestamp", timestamp, expires);
    content["meta"] = json!({"snapshot.json": listed(snapshot, &snapshot_file)});
    Files::from([
        ("timestamp.json".into(), signed_root(&content.to_string(), &[online])),
        (format!("{snapshot}.snapshot.json"), snapshot_file),
        (format!("{targets}.targets.json"), targets_file),
    ])
}

/// A whole refresh against these files; the section of the specification whose check refused one.
fn refresh(client: &mut Client, files: &Files, at: &str) -> Result<(), &'static str> {
    client.again(time(at));
    let section = |error: ClientError| error.section;
    while let Next::Wants(wanted) = client.refresh().map_err(section)? {
        let bytes = files.get(&wanted.path).map(Vec::as_slice);
        client.take(&wanted, bytes).map_err(section)?;
    }
    Ok(())
}

const NOON: &str = "2026-11-22T12:00:00Z";

/// A target that has what is published now.
fn fresh() -> Client {
    let mut client = Client::start(first_root(), Kept::default(), time(NOON));
    refresh(&mut client, &publish(NOW, SERVER), NOON).unwrap();
    client
}

/// The mirror shows metadata of last week, whole and genuine.
/// Attack: rollback.
#[test]
fn an_older_repository_is_refused() {
    let mut client = fresh();
    assert_eq!(refresh(&mut client, &publish(Set { timestamp: 4, ..NOW }, SERVER), NOON), Err("5.4.3.1"));
    let older_snapshot = Set { timestamp: 6, snapshot: 4, ..NOW };
    assert_eq!(refresh(&mut client, &publish(older_snapshot, SERVER), NOON), Err("5.4.3.2"));
    // With the online key he dates an old charter anew: its version is in the snapshot that was seen.
    let older_targets = Set { timestamp: 6, snapshot: 6, targets: 4, ..NOW };
    assert_eq!(refresh(&mut client, &publish(older_targets, SERVER), NOON), Err("5.5.5"));
}

/// The mirror shows the same metadata for ever.
/// Attack: freeze.
#[test]
fn a_repository_that_stands_still_goes_stale() {
    let (mut client, files) = (fresh(), publish(NOW, SERVER));
    assert_eq!(refresh(&mut client, &files, "2026-11-22T23:00:00Z"), Ok(()));
    assert_eq!(refresh(&mut client, &files, NOW.expires), Err("5.4.4"));
}

/// Attack: fast-forward.
/// Holds: the online keys for a while; he signs timestamp and snapshot with the highest version there is, so that nothing
/// honest can ever follow.
/// Left to him: to keep targets from anything fresh until owners sign a root with new online keys. That root makes
/// targets forget what the old keys said, and nothing else.
#[test]
fn fast_forward() {
    let mut client = fresh();
    let forward = Set { timestamp: u64::MAX, snapshot: u64::MAX, ..NOW };
    assert_eq!(refresh(&mut client, &publish(forward, SERVER), NOON), Ok(()));
    let mut honest = publish(Set { timestamp: 6, snapshot: 6, ..NOW }, SERVER);
    assert_eq!(refresh(&mut client, &honest, NOON), Err("5.4.3.1"));
    // The owners put another key in the thief's place.
    honest = publish(Set { timestamp: 6, snapshot: 6, ..NOW }, SECOND_KEY);
    let rotated = RootBuilder::after(&first_root(), time(EXPIRES)).online(key(SECOND_KEY).public()).build().unwrap();
    honest.insert("2.root.json".into(), signed_root(&rotated.to_string(), &[OWNER]));
    assert_eq!(refresh(&mut client, &honest, NOON), Ok(()));
    // What the thief signs counts no longer, however high.
    assert_eq!(refresh(&mut client, &publish(forward, SERVER), NOON), Err("5.4.2"));
}

/// Attack: mix-and-match.
/// Holds: every file that was ever published, each genuine; he puts together what never was together: today's timestamp
/// with yesterday's permits.
/// Left to him: nothing; the timestamp lists the one snapshot by version, length and digest, and that every other file.
#[test]
fn mix_and_match() {
    let next = Set { timestamp: 6, snapshot: 6, targets: 6, ..NOW };
    let (old, new) = (publish(NOW, SERVER), publish(next, SERVER));
    let mixed = |path: &str, from: &str| {
        let mut files = new.clone();
        files.insert(path.into(), old[from].clone());
        refresh(&mut fresh(), &files, NOON)
    };
    assert_eq!(refresh(&mut fresh(), &new, NOON), Ok(()));
    assert_eq!(mixed("6.snapshot.json", "5.snapshot.json"), Err("5.5.2"));
    assert_eq!(mixed("6.targets.json", "5.targets.json"), Err("5.6.2"));
    // Two sets of the same versions, both signed by the server: they do not mix either.
    let other = publish(Set { expires: "2026-11-24T00:00:00Z", ..next }, SERVER);
    let mut files = new.clone();
    files.insert("6.snapshot.json".into(), other["6.snapshot.json"].clone());
    assert_eq!(refresh(&mut fresh(), &files, NOON), Err("5.5.2"));
}

/// He sends more than was announced: the client says beforehand how much may be read.
/// Attack: endless data.
#[test]
fn no_file_is_longer_than_announced() {
    let files = publish(Set { timestamp: 6, snapshot: 6, targets: 6, ..NOW }, SERVER);
    let mut client = fresh();
    client.again(time(NOON));
    while let Next::Wants(wanted) = client.refresh().unwrap() {
        let bytes = files.get(&wanted.path);
        if let Some(bytes) = bytes {
            assert!(bytes.len() as u64 <= wanted.limit_bytes && wanted.limit_bytes < 64 << 20, "{}", wanted.path);
            let endless = [bytes.as_slice(), &vec![b' '; (wanted.limit_bytes as usize + 1) - bytes.len()]].concat();
            assert!(client.clone().take(&wanted, Some(&endless)).is_err(), "{}", wanted.path);
        }
        client.take(&wanted, bytes.map(Vec::as_slice)).unwrap();
    }
}

/// He changes one byte, anywhere: it is refused, or was only in how the file is written.
/// Attack: malicious mirror.
#[test]
fn one_changed_byte_in_the_metadata() {
    let files = publish(Set { timestamp: 6, snapshot: 6, targets: 6, ..NOW }, SERVER);
    for (path, bytes) in &files {
        for at in 0..bytes.len() {
            let mut changed = files.clone();
            changed.get_mut(path).unwrap()[at] ^= 1;
            let mut client = fresh();
            let taken = refresh(&mut client, &changed, NOON);
            assert!(taken.is_err() || path == "timestamp.json", "{path} at {at}");
            if taken.is_ok() {
                assert_eq!(refresh(&mut client, &files, NOON), Ok(()));
            }
        }
    }
}
