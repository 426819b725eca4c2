//! A failing script is told without what does not matter, and what is left of it fails in the same way.

use sim::{Fault, Script, replay, run, shrink};

/// What is wrong in the world, on purpose, and a world in which that is found soon.
const FAULT: Fault = Fault::AcknowledgedTooEarly;

fn failing() -> (Script, &'static str) {
    let broken = (1..).find_map(|seed| {
        let script = Script::new(seed);
        let end = replay(&script, Some(FAULT), false).expect("the world begins");
        end.violation.map(|violation| (script, violation.invariant))
    });
    broken.expect("a world in which the fault is found")
}

#[test]
fn a_failing_script_shrinks_to_a_smaller_one_that_breaks_the_same_and_replays_exactly() {
    let (script, invariant) = failing();
    let small = shrink(&script, Some(FAULT), invariant);
    let size = (script.steps.len(), small.steps.len());
    assert!(size.1 < size.0, "of {} steps {} are left", size.0, size.1);
    assert!(small.steps.iter().all(|step| script.steps.contains(step)), "nothing is tried that was not tried before");
    let once = replay(&small, Some(FAULT), true).expect("the world begins");
    let broken = once.violation.as_ref().map(|violation| violation.invariant);
    assert_eq!(broken, Some(invariant));
    assert_eq!(once, replay(&small, Some(FAULT), true).expect("the world begins"), "the same story, twice");
    // Each step that is left matters.
    for index in 0..small.steps.len() {
        let mut less = small.clone();
        less.steps.remove(index);
        let end = replay(&less, Some(FAULT), false).expect("the world begins");
        assert_ne!(end.violation.map(|violation| violation.invariant), Some(invariant), "{}", small.steps[index]);
    }
}

#[test]
fn a_script_that_breaks_nothing_is_left_alone() {
    let (script, invariant) = failing();
    assert_eq!(run(&script, false).expect("the world begins").violation, None, "it fails by the fault alone");
    assert_eq!(shrink(&script, None, invariant), script);
    assert_eq!(shrink(&script, Some(FAULT), "ANOTHER"), script);
}
