//! A few hundred worlds, and that a world is the same whenever its seed is.

use sim::{SIGHTS, Script, run};
use std::collections::BTreeSet;

/// Worlds a test. There are several tests, so that they run beside each other.
const WORLDS: u64 = 50;

#[track_caller]
fn no_invariant_breaks_from(seed: u64) {
    let (mut activations, mut seen) = (0, BTreeSet::new());
    for seed in seed..seed + WORLDS {
        let end = run(&Script::new(seed), false).expect("the world begins");
        if let Some(violation) = end.violation {
            let (invariant, what) = (violation.invariant, violation.what);
            panic!("seed {seed} breaks {invariant}: {what}\nits story: cargo xtask sim --seed {seed}");
        }
        activations += end.activations;
        seen.extend(end.seen);
    }
    assert!(activations > WORLDS, "worlds in which nothing happens show nothing: {activations} activations");
    let missing: Vec<_> = SIGHTS.iter().filter(|kind| !seen.contains(*kind)).collect();
    assert!(missing.is_empty(), "what happens in none of {WORLDS} worlds is not shown by them: {missing:?}");
}

#[test]
fn no_invariant_breaks_in_the_first_worlds() {
    no_invariant_breaks_from(1);
}

#[test]
fn no_invariant_breaks_in_the_second_worlds() {
    no_invariant_breaks_from(1 + WORLDS);
}

#[test]
fn no_invariant_breaks_in_the_third_worlds() {
    no_invariant_breaks_from(1 + 2 * WORLDS);
}

#[test]
fn no_invariant_breaks_in_the_fourth_worlds() {
    no_invariant_breaks_from(1 + 3 * WORLDS);
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
