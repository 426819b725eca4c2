//! A failing script without what does not matter: the setting is made plainer, and steps are left out, in halves, quarters
//! and so on, as long as the same invariant breaks.

use crate::{
    fault::Fault,
    replay,
    script::{Script, Setting, Tricks},
};
use trust::rollout::Rollout;

/// How many worlds are tried at most.
const TRIES: u32 = 300;

/// The smallest script found that breaks `invariant` where the script itself does, with what is wrong in its world on
/// purpose. A script that does not break it is answered as it is.
pub fn shrink(script: &Script, fault: Option<Fault>, invariant: &str) -> Script {
    let mut shrinking = Shrinking { best: script.clone(), fault, invariant, tries: 0 };
    let mut goes_on = shrinking.breaks(script);
    while goes_on {
        let before = shrinking.best.clone();
        shrinking.simplify();
        shrinking.leave_out();
        // What a step needed of the setting may matter no more without it, and the other way round.
        goes_on = shrinking.best != before;
    }
    shrinking.best
}

struct Shrinking<'a> {
    best: Script,
    fault: Option<Fault>,
    invariant: &'a str,
    tries: u32,
}

impl Shrinking<'_> {
    fn breaks(&mut self, script: &Script) -> bool {
        self.tries += 1;
        let end = replay(script, self.fault, false);
        end.is_ok_and(|end| end.violation.is_some_and(|violation| violation.invariant == self.invariant))
    }

    /// Takes a script in the place of the best one, if it is another and breaks the same.
    fn takes(&mut self, other: Script) -> bool {
        let is_taken = other != self.best && self.tries < TRIES && self.breaks(&other);
        if is_taken {
            self.best = other;
        }
        is_taken
    }

    fn simplify(&mut self) {
        for plainer in PLAINER {
            let mut other = self.best.clone();
            plainer(&mut other.setting);
            self.takes(other);
        }
    }

    fn leave_out(&mut self) {
        let mut size = self.best.steps.len().div_ceil(2).max(1);
        loop {
            let mut from = 0;
            let mut is_smaller = false;
            while from < self.best.steps.len() && self.tries < TRIES {
                let mut less = self.best.clone();
                less.steps.drain(from..(from + size).min(less.steps.len()));
                match self.takes(less) {
                    true => is_smaller = true,
                    false => from += size,
                }
            }
            if self.tries >= TRIES || size == 1 && !is_smaller {
                return;
            }
            size = if is_smaller { size } else { size.div_ceil(2) };
        }
    }
}

/// What makes a setting plainer, each by itself: an honest server, no repository, a quiet network, clocks that run alike, builds that come
/// up and stay well, a plain rollout. None takes targets away, which the steps name.
const PLAINER: [fn(&mut Setting); 12] = [
    |setting| (setting.taken, setting.tricks) = (None, Tricks::default()),
    |setting| setting.tricks = Tricks::default(),
    |setting| setting.tricks.showing = None,
    |setting| setting.repository = false,
    |setting| setting.rotates = false,
    |setting| (setting.loss, setting.duplicates, setting.slowest) = (0, 0, 50),
    |setting| setting.drift.iter_mut().for_each(|drift| *drift = 0),
    |setting| setting.sick.clear(),
    |setting| setting.ailing.clear(),
    |setting| setting.changes_data.clear(),
    |setting| setting.windows.clear(),
    |setting| setting.rollout = Rollout::default(),
];
