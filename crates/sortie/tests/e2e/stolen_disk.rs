//! Somebody has taken the server's disk, writes into the ledger what nobody signed, and lets the real server run on it:
//! what the people's own machines make of it.

use crate::world::{PROJECT, World};
use domain::{entry::Entry, event::Event, state::Stamp};
use server::ledger::{
    sqlite::SqliteStore,
    store::{LedgerStore, NewEntry, Row},
};
use trust::{
    Digest,
    dsse::Envelope,
    key::{SecretKey, Signer},
    log::leaf_hash,
    statement::Facts,
};

/// Appends an entry that nobody signed, as whoever holds the disk can, and starts the server on it.
fn forge(world: &mut World, event: impl FnOnce(&[Entry]) -> Event) {
    forge_beside(world, |entries| (event(entries), None));
}

/// As [`forge`], with an envelope beside the event.
pub fn forge_beside(world: &mut World, forged: impl FnOnce(&[Entry]) -> (Event, Option<Envelope>)) {
    world.stop_server();
    let store = SqliteStore::open(&world.server_data().join("ledger")).unwrap();
    let entries: Vec<Entry> =
        store.read(1, 10_000).unwrap().iter().map(|row| serde_json::from_slice(&row.bytes).unwrap()).collect();
    let last = entries.last().unwrap();
    let (event, envelope) = forged(&entries);
    let Stamp { entry: number, time } = Stamp { entry: last.number + 1, time: last.time };
    let entry = Entry {
        number,
        time,
        actor: "clock".into(),
        roles: vec![],
        on_behalf_of: None,
        request_id: format!("forged-{number}"),
        events: vec![event],
        envelope,
    };
    let bytes = serde_json::to_vec(&entry).unwrap();
    let row = Row { number, leaf: leaf_hash(&bytes), bytes };
    let (actor, request_id) = (entry.actor, entry.request_id);
    store
        .append(&[NewEntry { row, actor, request_id, payload: None, texts: vec![], erases: Default::default() }])
        .unwrap();
    drop(store);
    world.start_server();
}

fn build_of(entries: &[Entry], nth: usize) -> Digest {
    let pushed = entries.iter().flat_map(|entry| &entry.events).filter_map(|event| match event {
        Event::BuildPushed { build, .. } => Some(*build),
        _ => None,
    });
    pushed.collect::<Vec<_>>()[nth]
}

/// He moves a version's number to bytes of his choice, before anybody approves it.
/// Attack: bytes swapped under a name before approval.
#[test]
fn r53_an_approver_s_machine_finds_swapped_bytes() {
    let mut world = World::of_team(&[]);
    world.make_repository(PROJECT);
    let version = world.push_and_number();
    world.sortie("coder", 0, &format!("request {version} --to test"));
    world.change_greeting("Good morning, {name}!");
    world.push();
    let number = version.trim_start_matches("web@").to_string();
    forge(&mut world, |entries| Event::BuildNumbered {
        app: "web".parse().unwrap(),
        build: build_of(entries, 1),
        version: number.parse().unwrap(),
    });
    world.sortie("oncall", 5, &format!("approve {version} --to test --yes")).lacks("approved as");
    world.sortie("oncall", 5, &format!("release {version} --to test")).lacks("released");
    world.sortie("tester", 5, "ledger verify").says("nobody signed");
}

/// He puts a machine of his own among the targets, so that the next secret is encrypted for it too.
/// Attack: forged invitation.
#[test]
fn r10_no_secret_is_encrypted_for_a_machine_that_nobody_invited() {
    let mut world = World::of_team(&[("dev-1", "dev")]);
    world.make_repository(&PROJECT.replace("{ default = \"people.csv\" }", "\"secret\""));
    world.push();
    world.sortie_reading("coder", 0, "config set web DATABASE --secret --in dev", "first").says("dev-1");
    let invited = |entries: &[Entry]| {
        let invited = entries.iter().flat_map(|entry| &entry.events).find_map(|event| match event {
            Event::TargetInvited { invitation, .. } => Some(*invitation),
            _ => None,
        });
        invited.unwrap()
    };
    forge(&mut world, |entries| Event::TargetEnrolled {
        target: "dev-7".parse().unwrap(),
        environment: "dev".parse().unwrap(),
        invitation: invited(entries),
        key: SecretKey::from_seed(&[66; 32]).public(),
        recipient: "age1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg".into(),
        labels: Default::default(),
        facts: Facts::default(),
    });
    for line in ["config set web DATABASE --secret --in dev", "config rewrap web --in dev"] {
        let refused = world.sortie_reading("coder", 5, line, "second");
        refused.says("dev-7").says("nobody who may invite").says("--vouch dev-7").lacks("signed by you");
    }
    // Whoever knows better says so, and answers for it.
    world.sortie_reading("coder", 0, "config rewrap web --in dev --vouch dev-7", "second").says("dev-7");
    world.sortie("tester", 5, "ledger verify").says("nobody signed");
}
