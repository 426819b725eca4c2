//! Backups that were changed, in every place and on purpose, and those of earlier programs.

use super::*;
use crate::ledger::{Prepared, Writing};
use api::write::Text;
use domain::{
    command::{Actor, Command},
    event::Event,
    refusal::Refusal,
};
use std::collections::BTreeMap;
use tempfile::TempDir;
use trust::{AppName, AudienceName, statement::AdministrationAct};

/// A server's data: some entries with a text each, and two objects.
async fn data() -> TempDir {
    let data = tempfile::tempdir().unwrap();
    let keys = Keys::open(&data.path().join("keys")).unwrap();
    let decide = |_: &_, _: &_, command| match command {
        Command::Administer(AdministrationAct::LiftHold { app, environment, .. }) => {
            Ok(vec![Event::HoldLifted { app, environment, reason: None, build: None }])
        }
        _ => Err(Refusal::RequestIdReused),
    };
    let writing = Writing { decide, ..Writing::default() };
    let ledger = Ledger::open_with(&data.path().join("ledger"), keys.ledger.clone(), &keys.origin, writing).unwrap();
    for number in 0..4 {
        let text = Text { salt: "00".into(), text: format!("the reason {number}") };
        let (app, environment) = (AppName::new("web").unwrap(), AudienceName::new("prod").unwrap());
        let command = Command::Administer(AdministrationAct::LiftHold { app, environment, build: None, reason: None });
        let prepared = Prepared {
            actor: Actor::Clock,
            request_id: trust::statement::RequestId::new(format!("request-{number}")).unwrap(),
            on_behalf_of: None,
            command,
            envelope: None,
            texts: BTreeMap::from([(text.digest(), text)]),
        };
        ledger.submit(prepared).await.unwrap();
    }
    ledger.close();
    let depot = DiskStore::open(&data.path().join("depot")).unwrap();
    depot.put_bytes(b"one object").unwrap();
    depot.put_bytes(b"another object").unwrap();
    data
}

/// What the seal of a test adds: enough to be known, and no secret.
const LOCK: &[u8] = b"sealed:";

fn seal(bytes: &[u8]) -> Result<Vec<u8>, SealError> {
    Ok([LOCK, bytes].concat())
}

fn open(sealed: &[u8]) -> Result<Vec<u8>, SealError> {
    let opened = sealed.strip_prefix(LOCK).ok_or_else(|| SealError::Damaged("no lock".into()))?;
    Ok(opened.to_vec())
}

fn taken(data: &Path, seal: Seal<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    take(data, &mut out, seal, &mut |_| ()).unwrap();
    out
}

/// Puts it back, and sees that nothing stays of what is refused.
fn restored(bytes: &[u8], unseal: Option<Seal<'_>>) -> Result<Done, BackupError> {
    let folder = tempfile::tempdir().unwrap();
    let done = put_back(bytes, &folder.path().join("data"), unseal, &mut |_| ());
    let left = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, usize::from(done.is_ok()));
    done
}

/// The backup as a program took it that put no digest at its end.
fn of_an_earlier_program(data: &Path) -> Vec<u8> {
    let unbound = |bytes: &[u8]| {
        let mut secrets: BTreeMap<String, String> = serde_json::from_slice(bytes).unwrap();
        secrets.remove(BINDING).unwrap();
        seal(&serde_json::to_vec(&secrets).unwrap())
    };
    changed(&taken(data, &unbound), &[("\"format\":2", "\"format\":1")])
}

/// The archive with other words of the same length in it, packed anew, with no digest at its end.
fn changed(backup: &[u8], words: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = zstd::decode_all(backup).unwrap();
    for (from, to) in words {
        let places: Vec<_> =
            archive.windows(from.len()).enumerate().filter(|(_, part)| *part == from.as_bytes()).collect();
        let places: Vec<usize> = places.into_iter().map(|(at, _)| at).collect();
        assert!(!places.is_empty(), "{from} is nowhere");
        places.into_iter().for_each(|at| archive[at..at + to.len()].copy_from_slice(to.as_bytes()));
    }
    zstd::encode_all(archive.as_slice(), 3).unwrap()
}

#[tokio::test]
async fn a_bit_that_flips_and_a_byte_that_is_missing_are_found_and_leave_nothing_behind() {
    let data = data().await;
    let backup = taken(data.path(), &seal);
    assert_eq!(restored(&backup, Some(&open)).unwrap().vouched, Vouched::Sealed);
    assert_eq!(restored(&backup, None).unwrap().vouched, Vouched::Digest);
    // `bound` is held to every bit; here are all parts of the file, its first bytes and those behind the archive.
    let end = backup.len();
    let places = (0..end).step_by(end / 12).chain([0, 3, 4, 5, 6, end - 72, end - 68, end - 64, end - 32, end - 1]);
    for at in places {
        let mut flipped = backup.clone();
        flipped[at] ^= 1 << (at % 8);
        let unseal = if at % 2 == 0 { Some(&open as Seal<'_>) } else { None };
        let error = restored(&flipped, unseal).expect_err("a flipped bit was not seen");
        assert!(error.is_integrity(), "byte {at}: {error}");
    }
    for length in [end - 1, end - 72, end / 2] {
        assert!(restored(&backup[..length], Some(&open)).unwrap_err().is_integrity(), "{length}");
    }
}

/// Attack: changed backup.
/// Holds: the file, and not what opens its sealed part; he makes the digest at its end anew, or takes it away.
/// Left to him: a backup with keys of his own making, whose word no machine takes; and, where the server is put back with new
/// keys and the sealed part stays shut, what the file says besides objects and ledger.
#[tokio::test]
async fn what_somebody_changes_on_purpose_is_found_by_what_is_sealed() {
    let data = data().await;
    let backup = taken(data.path(), &seal);
    let version = env!("CARGO_PKG_VERSION");
    let other = version.replace(|digit: char| digit.is_ascii_digit(), "9");
    let versions = (format!("\"version\":\"{version}\""), format!("\"version\":\"{other}\""));
    // The facts are in no ledger, so that the digest alone stands for them.
    let packed = changed(&backup, &[(&versions.0, &versions.1)]);
    let mut forged = Vec::new();
    let mut again = Sum::new(&mut forged);
    again.write_all(&packed).unwrap();
    again.finish(&Binding::new().unwrap()).unwrap();
    let error = restored(&forged, Some(&open)).unwrap_err();
    assert!(error.is_integrity() && error.to_string().contains("not bound to the keys"), "{error}");
    // Nor can it be passed for one that never had a digest.
    for words in [vec![], vec![("\"format\":2", "\"format\":1")]] {
        let error = restored(&changed(&backup, &words), Some(&open)).unwrap_err();
        assert!(error.is_integrity() && error.to_string().contains("digest at its end is missing"), "{error}");
    }
}

#[tokio::test]
async fn a_backup_of_an_earlier_program_comes_back_and_its_texts_and_requests_are_checked() {
    let data = data().await;
    let old = of_an_earlier_program(data.path());
    let done = restored(&old, Some(&open)).unwrap();
    assert_eq!((done.vouched, done.facts.entries, done.objects), (Vouched::Nothing, 4, 2));
    for (words, expected) in [
        (("the reason 2", "the reason 7"), "was changed: it has another digest"),
        (("SQLite format 3", "SQLite format 9"), "its ledger"),
        (("one object", "ONE object"), "was changed in it"),
        (("sealed:", "sealen:"), "its sealed part"),
    ] {
        let error = restored(&changed(&old, &[words]), Some(&open)).unwrap_err();
        assert!(error.is_integrity() && error.to_string().contains(expected), "{words:?}: {error}");
    }
}

#[tokio::test]
async fn what_opens_another_backup_is_refused_and_is_no_damage() {
    let data = data().await;
    let shut = |_: &[u8]| Err(SealError::Refused("that passphrase does not open its keys".into()));
    for backup in [taken(data.path(), &seal), of_an_earlier_program(data.path())] {
        assert!(matches!(restored(&backup, Some(&shut)), Err(BackupError::Seal(_))));
    }
}
