//! Data that changes with a release.

use crate::world::{PROJECT, World, get};
use std::{fs, path::PathBuf};

/// What changes the table: `plan` comes and goes. Every run says so beside it.
const MIGRATE: &str = r#"set -e
echo "$1" >> "$DATABASE.migrations"
case "$1" in
  up)   printf 'name,plan\nAda,free\n' > "$DATABASE" ;;
  down) printf 'name\nAda\n' > "$DATABASE" ;;
  lost) echo "no such table: people" >&2; exit 1 ;;
esac
"#;

fn project(run: &str) -> String {
    format!("{PROJECT}[migrate]\nrun = \"sh migrate.sh {run}\"\nundo = \"sh migrate.sh down\"\n")
}

fn says_on_each(world: &World, words: &str) {
    let endpoints = world.endpoints("test");
    assert_eq!(endpoints.len(), 3);
    for there in endpoints {
        let answer = get(there, "/").unwrap();
        assert!(answer.contains(words), "{answer}");
    }
}

/// R3, R41: a version that needs another table brings it along: once, on one of three machines, before any process changes. A
/// rollback takes it back; a migration that fails changes nothing else.
#[test]
fn r3_data_is_changed_once_and_before_any_process() {
    let world = World::of_team(&[("test-1", "test"), ("test-2", "test"), ("test-3", "test")]);
    world.make_repository(PROJECT);
    let database: PathBuf = world.root().join("table");
    fs::write(&database, "name\nAda\n").unwrap();
    let migrations = || fs::read_to_string(world.root().join("table.migrations")).unwrap_or_default();
    let release = |greeting: &str, project: &str| {
        fs::write(world.repository().join("sortie.toml"), project).unwrap();
        world.change_greeting(greeting);
        fs::write(world.repository().join("dist/migrate.sh"), MIGRATE).unwrap();
        let version = world.push_and_number();
        world.sortie("coder", 0, &format!("release {version} --to test"));
        version
    };
    let one = release("Hello there, {name}!", PROJECT);
    world.sortie("coder", 0, &format!("config set web --in test DATABASE={}", database.display()));
    world.sortie("coder", 0, &format!("deploy {one} --to test --at-once 1"));
    says_on_each(&world, "Hello there, Ada!");

    let two = release("Good day, {name}! Your plan: {plan}.", &project("up"));
    world.sortie("coder", 0, &format!("deploy {two} --to test"));
    says_on_each(&world, "Your plan: free.");
    assert_eq!(migrations(), "up\n");

    let three = release("Good evening, {name}!", &project("lost"));
    let before: Vec<_> = ["test-1", "test-2", "test-3"].map(|name| world.processes_on(name)).into();
    world.sortie("coder", 4, &format!("deploy {three} --to test")).says("no such table: people");
    says_on_each(&world, "Your plan: free.");
    assert_eq!(migrations(), "up\nlost\n");
    let after: Vec<_> = ["test-1", "test-2", "test-3"].map(|name| world.processes_on(name)).into();
    assert_eq!(before, after, "no process has changed");
    world.sortie("coder", 0, "logs web --on test-1 --process migrate").says("no such table: people");

    world.sortie("coder", 0, "rollback web --in test");
    says_on_each(&world, "Hello there, Ada!");
    assert_eq!(migrations(), "up\nlost\ndown\n");

    // What goes back and has no undo leaves the data changed, and says so for as long as anybody asks.
    let project = format!("{PROJECT}[migrate]\nrun = \"sh migrate.sh down\"\n");
    let four = release("Good night, {name}! Your plan: {plan}.", &project);
    let stays = format!("the data stays as {four} changed it, which has no undo");
    world.sortie("coder", 4, &format!("deploy {four} --to test")).says(&format!("mind: {stays}"));
    says_on_each(&world, "Hello there, Ada!");
    world.sortie("tester", 0, "status 5").says(&stays);
    world.sortie("tester", 0, "ledger verify");
}
