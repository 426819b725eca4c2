//! A failing script without what does not matter: steps are left out, in halves, quarters and so on, as long as the same
//! invariant breaks.

use crate::{run, script::Script};

/// How many worlds are tried at most.
const TRIES: u32 = 300;

/// The smallest script found that breaks `invariant`.
pub fn shrink(script: &Script, invariant: &str) -> Script {
    let breaks = |script: &Script| {
        run(script, false).is_ok_and(|end| end.violation.is_some_and(|violation| violation.invariant == invariant))
    };
    let mut best = script.clone();
    let mut tries = 0;
    let mut size = best.steps.len().div_ceil(2).max(1);
    loop {
        let mut from = 0;
        let mut is_smaller = false;
        while from < best.steps.len() && tries < TRIES {
            let mut less = best.clone();
            less.steps.drain(from..(from + size).min(best.steps.len()));
            tries += 1;
            if breaks(&less) {
                (best, is_smaller) = (less, true);
            } else {
                from += size;
            }
        }
        if tries >= TRIES || size == 1 && !is_smaller {
            break;
        }
        size = if is_smaller { size } else { size.div_ceil(2) };
    }
    for simpler in calmer(&best) {
        if breaks(&simpler) {
            best = simpler;
        }
    }
    best
}

/// The same script with an honest server, with a quieter network, with clocks that run alike.
fn calmer(script: &Script) -> [Script; 3] {
    let mut honest = script.clone();
    honest.setting.taken = None;
    let mut quiet = script.clone();
    (quiet.setting.loss, quiet.setting.duplicates, quiet.setting.slowest) = (0, 0, 50);
    let mut even = quiet.clone();
    even.setting.drift.iter_mut().for_each(|drift| *drift = 0);
    [honest, quiet, even]
}
