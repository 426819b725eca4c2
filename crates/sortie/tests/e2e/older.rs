//! What earlier programs stored is read for ever.
//!
//! Each archive in `older/` is the data folder of a server as some commit left it, named after that commit, after the story
//! in [`STORY`]; with it the key of its only person, olga, and what `sortie history` said then. A commit that changes what is
//! stored adds one; none is ever changed.

use crate::world::{World, read_text};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What olga did with each of them, in words that every program since has for it.
const STORY: [&str; 12] = [
    "charter 1 is in force",
    "prod-1 joined prod",
    "olga pushed web#",
    "olga attached test-result to web@0.1.0: passed",
    "web@0.1.0 released to test",
    "olga requested web@0.1.0 → prod",
    "prod-1: web deployed, 0.1.0",
    "olga set config 1 of web in prod: LEVEL",
    "prod-1: web 0.1.0 restarted",
    "test-1: web rolled back to 0.1.0",
    "olga denied web@0.1.1 → prod: not yet",
    "olga exposed web@0.1.0 to 10 % of end users in prod",
];

fn archives() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/older");
    let mut found: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

/// The ledger opens, verifies signature by signature, says what it said, and goes on.
#[test]
fn a_server_of_any_earlier_commit_starts_and_its_ledger_verifies() {
    for archive in archives() {
        let mut world = World::new();
        let unpacked = world.root().join("older");
        fs::create_dir(&unpacked).unwrap();
        let tar = Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(&unpacked).status().unwrap();
        assert!(tar.success(), "{}", archive.display());
        let _gone = fs::remove_dir_all(world.server_data());
        fs::rename(unpacked.join("server"), world.server_data()).unwrap();
        let home = world.person("olga");
        fs::copy(unpacked.join("olga.key"), home.join(".ssh/id_ed25519")).unwrap();
        fs::remove_file(home.join(".ssh/id_ed25519.pub")).unwrap();

        world.start_server();
        let login = format!("login {}", world.url_and_pin);
        world.sortie("olga", 0, &login);
        let then = read_text(&unpacked.join("history.txt"));
        let now = world.sortie("olga", 0, "history --limit 1000");
        for words in STORY {
            assert!(then.contains(words), "{}: the story is another one: {words}", archive.display());
            now.says(words);
        }
        let entries = |text: &str| text.lines().filter(|line| line.starts_with("20")).count();
        assert_eq!(entries(&now.stdout), entries(&then), "{}", archive.display());
        world.sortie("olga", 0, "ledger verify").says("ledger whole").says("permits counted anew");
        world.sortie("olga", 0, "status web").says("0.1.0");
        world.sortie("olga", 0, "withdraw web@0.1.0 --from prod --reason \"it is old\"").says("still runs");
        // Nothing is asked here whose answer changes with the years: permits end, and so do signatures of owners.
        world.sortie("olga", 0, "charter renew --yes");
        world.sortie("olga", 0, "ledger verify").says("ledger whole");
    }
}
