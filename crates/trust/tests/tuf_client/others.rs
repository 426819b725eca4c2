//! A repository that python-tuf made (`python-tuf/make.py`), read as it is.

use crate::simulator::now;
use trust::tuf::{
    Root,
    client::{Client, ClientError, Kept, Next},
};

fn file(path: &str) -> Option<&'static [u8]> {
    Some(match path {
        "2.root.json" => include_bytes!("python-tuf/2.root.json"),
        "timestamp.json" => include_bytes!("python-tuf/timestamp.json"),
        "7.snapshot.json" => include_bytes!("python-tuf/7.snapshot.json"),
        "5.targets.json" => include_bytes!("python-tuf/5.targets.json"),
        "3.nightly%20builds.json" => include_bytes!("python-tuf/3.nightly%20builds.json"),
        _ => return None,
    })
}

/// RSA, ECDSA and Ed25519 keys, a second root that replaces the online key, SHA-512 beside SHA-256, and a delegation to
/// two keys of different kinds.
#[test]
fn what_python_tuf_published_is_read() {
    let root = Root::of_any_repository(include_bytes!("python-tuf/1.root.json")).unwrap();
    let mut client = Client::start(root, Kept::default(), now());
    while let Next::Wants(wanted) = client.refresh().unwrap() {
        client.take(&wanted, file(&wanted.path)).unwrap();
    }
    assert_eq!(client.root().version(), 2);
    assert_eq!(client.timestamp().unwrap().0.version(), 9);
    let mut find = |path: &str| -> Result<_, ClientError> {
        loop {
            match client.find(path)? {
                Next::Done(found) => return Ok(found),
                Next::Wants(wanted) => client.take(&wanted, file(&wanted.path))?,
            };
        }
    };
    let stable = find("tool.tgz").unwrap().unwrap();
    assert_eq!(stable.role, "targets");
    stable.target.check(b"stable").unwrap();
    let nightly = find("nightly/tool ü.tgz").unwrap().unwrap();
    assert_eq!(nightly.role, "nightly builds");
    nightly.target.check(b"nightly").unwrap();
    assert!(nightly.location.starts_with("nightly/") && nightly.location.ends_with(".tool%20%C3%BC.tgz"));
    assert_eq!(find("nightly/other").unwrap(), None);
}
