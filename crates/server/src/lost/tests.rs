//! What targets tell a server whose ledger was put back, and what becomes of it once the true one is there again.

use super::*;
use crate::ledger::{Prepared, Writing};
use domain::{
    command::{Actor, Command, Context},
    event::Event,
    refusal::Refusal,
};
use std::{path::Path, sync::Arc};
use trust::{
    PersonName,
    key::{SecretKey, Signer},
    statement::RequestId,
};

/// Suspends whoever it is told to.
fn suspends(_: &State, _: &Context, command: Command) -> Result<Vec<Event>, Refusal> {
    match command {
        Command::SuspendPerson(person) => Ok(vec![Event::PersonSuspended { person }]),
        _ => Err(Refusal::NoEstate),
    }
}

fn key() -> SecretKey {
    SecretKey::from_seed(&[7; 32])
}

fn open(folder: &Path) -> Ledger {
    let clock = Arc::new(|| Timestamp::UNIX_EPOCH);
    let writing = Writing { decide: suspends, clock, snapshot_entries: u64::MAX };
    fs::create_dir_all(folder).unwrap();
    Ledger::open_with(folder, Arc::new(key()), "sortie.example/ledger", writing).unwrap()
}

async fn append(ledger: &Ledger, person: &str) {
    let name = PersonName::new(person).unwrap();
    let prepared = Prepared {
        actor: Actor::Person { name: name.clone(), key: key().public().id(), roles: BTreeSet::new() },
        request_id: RequestId::new(person).unwrap(),
        on_behalf_of: None,
        command: Command::SuspendPerson(name),
        envelope: Some(Envelope::sign(person.into(), &key()).unwrap()),
        texts: BTreeMap::new(),
    };
    ledger.submit(prepared).await.unwrap();
}

/// A ledger, an older copy of it that went on in another way, and what a target saw of the first.
async fn put_back(folder: &Path) -> (Ledger, Ledger, Memory) {
    let (whole, older) = (open(&folder.join("whole")), open(&folder.join("older")));
    for ledger in [&whole, &older] {
        append(ledger, "ann").await;
    }
    append(&whole, "bob").await;
    append(&whole, "cat").await;
    let memory = Memory {
        epoch: 1,
        checkpoint: whole.checkpoint().to_string(),
        withdrawals: Vec::new(),
        active: BTreeMap::new(),
        numbers: Vec::new(),
        freezes: Vec::new(),
    };
    (whole, older, memory)
}

fn name() -> TargetName {
    "prod-1".parse().unwrap()
}

fn keep(memories: &Memories, ledger: &Ledger, memory: &Memory) {
    assert!(memories.keep(ledger, &[key().public()], &name(), memory, Vec::new()).unwrap());
}

#[tokio::test]
async fn what_the_ledger_holds_again_is_lost_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, older, memory) = put_back(folder.path()).await;
    let memories = Memories::open(folder.path()).unwrap();
    keep(&memories, &older, &memory);
    // As many entries as the target has seen, and others.
    append(&older, "dan").await;
    append(&older, "eve").await;
    let memories = Memories::open(folder.path()).unwrap();
    memories.review(&older).unwrap();
    assert_eq!(memories.seen(), [(1, 3)]);
    assert!(memories.warning(&older.state()).is_some());

    memories.review(&whole).unwrap();
    assert!(memories.seen().is_empty() && memories.warning(&whole.state()).is_none());
    assert!(Memories::open(folder.path()).unwrap().seen().is_empty(), "it is forgotten on the disk too");
}

/// What an earlier version kept has no root: the target says itself that it sees this ledger.
#[tokio::test]
async fn a_target_that_sees_this_ledger_has_lost_nothing_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, older, memory) = put_back(folder.path()).await;
    fs::write(folder.path().join(FILE), r#"{"prod-1":{"seen":{"1":3},"active":{},"withdrawals":[]}}"#).unwrap();
    let memories = Memories::open(folder.path()).unwrap();
    memories.review(&whole).unwrap();
    assert_eq!(memories.seen(), [(1, 3)]);
    let less = Memory { checkpoint: older.checkpoint().to_string(), ..memory.clone() };
    keep(&memories, &whole, &less);
    assert_eq!(memories.seen(), [(1, 3)], "it saw more once");
    keep(&memories, &whole, &memory);
    assert!(memories.seen().is_empty());
}

/// Only what was put back waits for an epoch, and no longer than owners take to sign one.
#[test]
fn what_was_put_back_awaits_an_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let mut memories = Memories::open(folder.path()).unwrap();
    let state = State::default();
    assert!(!memories.awaits_epoch(&state));
    let mut restored = |epoch: u64| {
        let restored = serde_json::json!({ "taken": Timestamp::UNIX_EPOCH, "epoch": epoch, "entries": 1 });
        memories.restored = serde_json::from_value(restored).unwrap();
        memories.awaits_epoch(&state)
    };
    assert!(restored(state.epoch()));
    assert!(!restored(state.epoch() - 1), "an owner has signed a new one");
}

#[tokio::test]
async fn nothing_is_written_where_nothing_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let (_, older, memory) = put_back(folder.path()).await;
    let mut memories = Memories::open(folder.path()).unwrap();
    memories.hear(&name()).unwrap();
    let [told, heard] = [FILE, HEARD].map(|file| folder.path().join(file));
    assert!(!heard.exists(), "nobody has to be heard of again where nothing was put back");
    let restored = serde_json::json!({ "taken": Timestamp::UNIX_EPOCH, "epoch": 1, "entries": 1 });
    memories.restored = serde_json::from_value(restored).unwrap();
    keep(&memories, &older, &memory);
    memories.hear(&name()).unwrap();
    for file in [&told, &heard] {
        fs::remove_file(file).unwrap();
    }
    keep(&memories, &older, &memory);
    memories.hear(&name()).unwrap();
    memories.review(&older).unwrap();
    assert!(!told.exists() && !heard.exists());
}
