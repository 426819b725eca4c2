//! When something new may be activated in prod: windows and freezes, by what people signed.

use crate::cast;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use trust::{
    Digest,
    freeze::{Freeze, Terms},
    schedule::Schedule,
    window::Opening,
};

/// By how much a target's clock may be wrong.
pub const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_mins(5);

/// Windows, and everything that was signed of freezes, recorded or not.
#[derive(Default)]
pub struct Calendar {
    openings: Vec<Opening>,
    declared: BTreeMap<Digest, Terms>,
    /// By the digest of what says so: which freeze is lifted, and which build passes which freeze.
    lifted: BTreeMap<Digest, Digest>,
    excepted: BTreeMap<Digest, (Digest, Digest)>,
}

impl Calendar {
    /// One with a setting's windows and no freeze.
    pub fn new(windows: &[(u64, u64)]) -> Self {
        Self { openings: cast::openings(windows), ..Self::default() }
    }

    /// Somebody signed something about a freeze.
    pub fn signed(&mut self, payload: Digest, subject: Digest, act: Freeze) {
        match act {
            Freeze::Declare(terms) => drop(self.declared.insert(payload, terms)),
            Freeze::Lift(_) => drop(self.lifted.insert(payload, subject)),
            Freeze::Except(exception) => drop(self.excepted.insert(payload, (exception.freeze, subject))),
        }
    }

    /// Whether this declares a freeze.
    pub fn declares(&self, payload: &Digest) -> bool {
        self.declared.contains_key(payload)
    }

    /// Whether a window is open at a moment, where the clock that shows it may be wrong by so much.
    pub fn is_open(&self, slack: SignedDuration, at: Timestamp) -> bool {
        let (soon, just) = (at + slack, at - slack);
        self.openings.is_empty() || self.openings.iter().any(|opening| opening.from <= soon && just < opening.until)
    }

    /// Why an order's own times and the windows are against a moment.
    pub fn is_no_moment(&self, schedule: &Schedule, slack: SignedDuration, at: Timestamp) -> Option<String> {
        if let Some(begins) = schedule.at.filter(|begins| *begins > at + slack) {
            return Some(format!("its order is for {begins}"));
        }
        if let Some(expires) = schedule.expires.filter(|expires| *expires <= at - slack) {
            return Some(format!("its order expired at {expires}"));
        }
        (!self.is_open(slack, at)).then(|| "no window is open".to_owned())
    }

    /// Whether a freeze that was recorded stops a build at a moment, by what of it was recorded; `builds` are it and the package
    /// that brings it, for who excepts that excepts what it brings.
    pub fn is_frozen(&self, recorded: &BTreeMap<Digest, u64>, builds: &[Digest], at: Timestamp) -> bool {
        let counts = |payload: &Digest| recorded.contains_key(payload);
        self.declared.iter().any(|(freeze, terms)| {
            let is_on = counts(freeze) && terms.from <= at && at < terms.until;
            is_on && !self.is_let_be(freeze, builds, counts)
        })
    }

    /// Whether one of the freezes that a target has kept stops a build there; what may have come to its ears of them
    /// being over counts.
    pub fn stops_there(&self, kept: &BTreeSet<Digest>, builds: &[Digest], clock: Timestamp) -> bool {
        kept.iter().filter_map(|freeze| Some((freeze, self.declared.get(freeze)?))).any(|(freeze, terms)| {
            let is_on = terms.from <= clock && clock + CLOCKS_DIFFER < terms.until;
            is_on && !self.is_let_be(freeze, builds, |_| true)
        })
    }

    /// Whether the freeze was lifted, or lets the build pass, by what counts.
    fn is_let_be(&self, freeze: &Digest, builds: &[Digest], counts: impl Fn(&Digest) -> bool) -> bool {
        self.lifted.iter().any(|(payload, lifted)| lifted == freeze && counts(payload))
            || (self.excepted.iter())
                .any(|(payload, (of, build))| of == freeze && builds.contains(build) && counts(payload))
    }
}

/// Whether an order's own windows leave a moment out: they were written out for the time in which it was signed.
pub fn is_outside(schedule: &Schedule, at: Timestamp) -> bool {
    let contains = |opening: &Opening| opening.from <= at && at < opening.until;
    !schedule.windows.is_empty() && !schedule.windows.iter().any(contains)
}
