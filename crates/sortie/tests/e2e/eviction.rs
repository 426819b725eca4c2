//! Somebody took the server and its keys. The operator starts it with others, owners sign a new epoch, and everybody
//! follows; what the thief has is worth nothing from then on.

use crate::world::{PROJECT, World, read_text, until};
use std::{fs, path::Path, process::Command};

/// What an agent says of a server that owners did not name.
const NOT_NAMED: &str = "has a key that owners did not name";
/// What an agent says of a server that shows an older charter.
const NOT_FOLLOWED: &str = "a server with a key that is not known here is not followed";

/// The story of docs/emergencies.md. Before owners have signed, nobody follows a server with other keys, whatever documents
/// it shows; once they have, nobody has to touch a target or tell the people; and the old keys open nothing any more, not
/// even with the newest documents.
/// Attack: stranger in the server's place.
/// Holds: the network or the name of the server, and a server of his own with his own keys; he may have a copy of
/// everything that the genuine one ever held, and after an eviction its former keys too.
/// Left to him: to be asked for a charter, and to get a session statement that is good for his own key alone. He is
/// followed by whoever has not heard of the eviction yet and finds him under the former key, as before it.
#[test]
fn everybody_follows_a_server_whose_stolen_keys_were_replaced_and_nobody_follows_the_thief() {
    let mut world = World::of_team(&[("test-1", "test"), ("prod-1", "prod")]);
    world.make_repository(PROJECT);
    let first = world.push_and_number();
    world.release_to_prod(&first);
    world.sortie("oncall", 0, &format!("deploy {first} --to prod"));
    world.stop_server();
    let (data, stolen) = (world.server_data(), world.root().join("stolen"));
    copy(&data, &stolen);
    let before = world.url_and_pin.clone();

    // A server with other keys, over the genuine data: the operator's, or the thief's.
    let address = world.url().trim_start_matches("https://").parse().unwrap();
    world.start_server_at(address, &["--new-keys"]);
    let new = world.url_and_pin.clone();
    assert_ne!(before, new);
    await_word(&world, "prod-1", NOT_NAMED);
    world.sortie("coder", 5, "status").says("No charter that owners signed names that key");
    world.sortie("coder", 5, &format!("login {new}")).says("has a key that the charter does not name");
    world.sortie("owner", 5, "status").says("sortie login URL#PIN");

    // Owners get the pin by another road, and sign.
    world.sortie("owner", 0, &format!("login {new}"));
    world.sortie("owner", 0, "status").says("owners have not signed for this server's keys");
    world.sortie("owner", 0, "charter epoch --reason eviction --yes").says("the keys of this server and no others");
    world.sortie("coder", 0, "status").says(first.trim_start_matches("web@"));
    world.await_machines(&["test-1", "prod-1"]);
    world.change_greeting("Good morning, {name}!");
    let second = world.push_and_number();
    world.release_to_prod(&second);
    world.sortie("oncall", 0, &format!("deploy {second} --to prod")).says("1/1");
    world.sortie("owner", 2, "charter epoch --reason eviction").says("sortie serve --new-keys");

    // The thief comes back with what he has: the old keys and the old charter.
    world.stop_server();
    let genuine = world.root().join("genuine");
    fs::rename(&data, &genuine).unwrap();
    copy(&stolen, &data);
    world.start_server();
    assert_eq!(world.url_and_pin, before);
    await_word(&world, "prod-1", NOT_FOLLOWED);
    world.sortie("coder", 5, "status").says("does not count");
    world.sortie("coder", 5, &format!("login {before}"));

    // And with the newest documents, which are no secret.
    world.stop_server();
    fs::remove_dir_all(&data).unwrap();
    copy(&genuine, &data);
    fs::remove_dir_all(data.join("keys")).unwrap();
    copy(&stolen.join("keys"), &data.join("keys"));
    let said = words_of(&world, "prod-1", NOT_NAMED);
    world.start_server();
    until("prod-1 to see through him", || (words_of(&world, "prod-1", NOT_NAMED) > said).then_some(()));
    world.sortie("coder", 5, "status").says("No charter that owners signed names that key");
    world.sortie("coder", 5, &format!("login {before}")).says("has a key that the charter does not name");

    world.stop_server();
    fs::remove_dir_all(&data).unwrap();
    fs::rename(&genuine, &data).unwrap();
    world.start_server();
    assert_eq!(world.url_and_pin, new);
    world.sortie("oncall", 0, &format!("redeploy {first} --in prod")).says("1/1");
    world.sortie("owner", 0, "ledger verify").says("ledger whole");
}

fn log(world: &World, machine: &str) -> String {
    read_text(&world.root().join("machines").join(machine).join("log"))
}

fn words_of(world: &World, machine: &str, words: &str) -> usize {
    log(world, machine).matches(words).count()
}

#[track_caller]
fn await_word(world: &World, machine: &str, words: &str) {
    until(&format!("{machine} to say that it {words}"), || log(world, machine).contains(words).then_some(()));
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(copied.success());
}
