//! A person asks to be forgotten. The ledger cannot forget; what it holds was never the person.

use crate::world::{PROJECT, World, files, until};
use std::fs;

fn holds(world: &World, words: &str) -> Vec<String> {
    let found = |bytes: &Vec<u8>| bytes.windows(words.len()).any(|window| window == words.as_bytes());
    let data = files(&world.server_data());
    data.iter().filter(|(_, bytes)| found(bytes)).map(|(path, _)| path.display().to_string()).collect()
}

/// R56: names, reasons, titles and on whose behalf are erased from the disk; every proof holds before and after, and an
/// auditor who kept a checkpoint from before finds the same history.
#[test]
fn r56_an_erased_person_leaves_every_proof_valid() {
    let mut world = World::of_team(&[]);
    world.make_repository(PROJECT);
    fs::write(world.repository().join("notes.txt"), "not part of the build").unwrap();
    world.commit_and_build("Say hello to Zacharias");
    let build = world.sortie("coder", 0, "--on-behalf-of Quentin-from-sales push").word("web#");
    let version = world.sortie("coder", 0, &format!("number {build} next")).word("web@");
    world.sortie("coder", 0, &format!("release {version} --to test"));
    world.sortie("coder", 0, &format!("withdraw {version} --from test --reason \"Zacharias was ill\""));
    world.sortie("owner", 0, "person name tester \"Xanthippe Example\"");
    world.sortie("owner", 0, "person name coder \"Yorick Example\"");
    world
        .sortie("owner", 2, "person name coder \"\"")
        .says("an empty name says nothing")
        .says("sortie person name coder");
    world.sortie("owner", 0, "person list").says("Xanthippe Example").says("Yorick Example");
    world.sortie("owner", 0, "history").says("Zacharias was ill").says("Quentin-from-sales");
    world.sortie("coder", 0, "status web").says("Say hello to Zacharias");
    world.sortie("owner", 0, "ledger verify").lacks("does not hold");

    world.sortie("coder", 3, "person erase tester --yes").says("needs owner");
    world.sortie("owner", 0, "person erase tester --yes").says("tester is erased");
    world.sortie("coder", 0, "person erase coder --yes").says("every proof");

    world.sortie("owner", 0, "ledger verify").lacks("does not hold");
    world.sortie("owner", 0, "history").lacks("Zacharias").lacks("Quentin").says("erased-").lacks("coder");
    world.sortie("owner", 0, "status web").lacks("Zacharias");
    world.sortie("owner", 0, "person list").lacks("Xanthippe").lacks("Yorick").says("erased");
    world.sortie("owner", 2, "person name tester \"Xanthippe Example\"").says("for good");
    // Nor is anything of it on the server's disk, in the write-ahead log or a page that was let go.
    for words in ["Xanthippe", "Yorick", "Zacharias", "Quentin-from-sales"] {
        until(words, || holds(&world, words).is_empty().then_some(()));
    }
    // And it stays so: a server that starts anew folds the same history.
    world.stop_server();
    world.start_server();
    world.sortie("owner", 0, "ledger verify").lacks("does not hold");
    world.sortie("owner", 0, "person list").lacks("Xanthippe").says("erased");
}
