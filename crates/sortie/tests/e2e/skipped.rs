//! Releases that are never deployed are part of the story all the same.

use crate::world::{PROJECT, World};

/// R44: a deployment passes over a version; it says what comes with it, what it passes over, and the views say so ever after.
#[test]
fn r44_a_deployment_says_what_it_passes_over() {
    let world = World::of_team(&[("test-1", "test")]);
    world.make_repository(PROJECT);
    let released = |greeting: &str| {
        world.change_greeting(greeting);
        let version = world.push_and_number();
        world.sortie("coder", 0, &format!("release {version} --to test"));
        version
    };
    let one = released("Hello there, {name}!");
    world.sortie("coder", 0, &format!("deploy {one} --to test"));
    let (two, three) = (released("Good day, {name}!"), released("Good evening, {name}!"));
    let number = |version: &str| version.trim_start_matches("web@").to_owned();
    let passed = format!("{} (skipped)  feat: say 'Good day, {{name}}!'", number(&two));
    let comes = format!("{}  feat: say 'Good evening, {{name}}!'", number(&three));
    world.sortie("tester", 0, "notes web --in test").says(&passed).says(&comes);
    world.sortie("coder", 0, &format!("deploy {three} --to test --plan")).says(&passed).says(&comes);
    world
        .sortie("coder", 0, &format!("deploy {three} --to test"))
        .says(&format!("+ {passed}"))
        .says(&format!("+ {comes}"));
    world.sortie("tester", 0, &format!("notes web --in test --since {}", number(&one))).says(&passed).says(&comes);
    world.sortie("tester", 0, "notes web --in test").says("nothing is newer than");
    let same = world.sortie("tester", 0, &format!("notes web --in test --since {}", number(&three)));
    same.says("runs there: nothing changed since");
    world.sortie("tester", 2, "notes web --in test --since 9.0.0").says("UNKNOWN_VERSION").says("status web");
    world.sortie("tester", 0, &format!("status {two}")).says("released, never deployed").says("skipped");
    world.sortie("tester", 2, "notes web --in tset").says("did you mean test");
    world.sortie("tester", 2, "notes wob --in test").says("UNKNOWN_APPLICATION");
}
