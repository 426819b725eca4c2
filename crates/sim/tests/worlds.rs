//! A few hundred worlds, and that a world is the same whenever its seed is.

use sim::{SIGHTS, Script, run};
use std::collections::BTreeSet;

/// How many worlds there are.
const WORLDS: u64 = 200;
/// How many of them run beside each other.
const BESIDE: u64 = 4;

/// Runs one in so many of the worlds: how much was activated, and what kinds of things happened.
fn some_worlds(first: u64) -> (u64, BTreeSet<&'static str>) {
    let (mut activations, mut seen) = (0, BTreeSet::new());
    for seed in (first..=WORLDS).step_by(BESIDE as usize) {
        let end = run(&Script::new(seed), false).expect("the world begins");
        if let Some(violation) = end.violation {
            let (invariant, what) = (violation.invariant, violation.what);
            panic!("seed {seed} breaks {invariant}: {what}\nits story: cargo xtask sim --seed {seed}");
        }
        activations += end.activations;
        seen.extend(end.seen);
    }
    (activations, seen)
}

#[test]
fn no_invariant_breaks_in_a_few_hundred_worlds_in_which_everything_happens() {
    let (mut activations, mut seen) = (0, BTreeSet::new());
    std::thread::scope(|scope| {
        let running: Vec<_> = (1..=BESIDE).map(|first| scope.spawn(move || some_worlds(first))).collect();
        for worlds in running {
            let (more, kinds) = worlds.join().expect("no invariant breaks");
            activations += more;
            seen.extend(kinds);
        }
    });
    assert!(activations > WORLDS, "worlds in which nothing happens show nothing: {activations} activations");
    let missing: Vec<_> = SIGHTS.iter().filter(|kind| !seen.contains(*kind)).collect();
    assert!(missing.is_empty(), "what happens in none of {WORLDS} worlds is not shown by them: {missing:?}");
}

#[test]
fn the_same_seed_is_the_same_world_and_another_is_another() {
    for seed in [7, 23, 100] {
        let script = Script::new(seed);
        assert_eq!(script, Script::new(seed));
        let (once, twice) = (run(&script, true).unwrap(), run(&script, true).unwrap());
        assert_eq!(once, twice);
        assert_ne!(once.story, run(&Script::new(seed + 1), true).unwrap().story);
    }
}
