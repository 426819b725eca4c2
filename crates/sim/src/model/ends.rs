//! Targets that end: after a while by themselves, or gone without a word. What has ended holds nothing and gets nothing new,
//! no server ends it early, and the silence of what comes and goes is no failure.

use super::{Model, SEES_WITHIN, Violation, broken};
use crate::{
    cast::{self, Cast, target},
    process::Installed,
    script::Setting,
};
use domain::{event::Departure, plan, state::State};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use trust::{Digest, TargetName};

type Verdict = Result<(), Violation>;

/// How long after its time a target's own word is waited for.
const HEARD_WITHIN: SignedDuration = SignedDuration::from_mins(5);
/// How long it may take a target to see that its time is over, and to end what it was at.
const LOOKS_WITHIN: SignedDuration = SignedDuration::from_mins(4);
/// By how much two readings of one clock may differ.
const A_MOMENT: SignedDuration = SignedDuration::from_secs(1);

/// Who lives for how long, by the charter and by what was heard.
#[derive(Default)]
pub struct Ends {
    lives: Option<SignedDuration>,
    silent: SignedDuration,
    /// When each target joined, by its own clock, and by the ledger.
    joined: Vec<Timestamp>,
    enrolled: BTreeMap<TargetName, Timestamp>,
    /// Those that come and go, and when each was last heard of, by the time that passes.
    passing: BTreeSet<TargetName>,
    heard: BTreeMap<TargetName, SignedDuration>,
    /// Those whose own clock has shown that their time is over, and those that have removed everything.
    over: BTreeSet<usize>,
    /// When each one's clock was set last, by the time that passes.
    set: BTreeMap<usize, SignedDuration>,
    ended: BTreeSet<usize>,
    /// Those that said so, and were heard.
    told: BTreeSet<TargetName>,
    /// When each left for good, by the number of the entry.
    left: BTreeMap<TargetName, u64>,
}

impl Ends {
    /// What is known at the beginning.
    pub fn new(setting: &Setting) -> Self {
        let all = 0..setting.targets;
        let there = all.clone().filter(|index| setting.is_there(*index, 0));
        Self {
            lives: setting.lives.map(|minutes| SignedDuration::from_mins(minutes as i64)),
            silent: SignedDuration::from_mins(setting.silent_minutes as i64),
            joined: all.clone().map(|index| cast::after_beginning(setting.joins(index))).collect(),
            enrolled: there.map(|index| (target(index), cast::beginning())).collect(),
            passing: all.filter(|index| setting.is_passing(*index)).map(target).collect(),
            ..Self::default()
        }
    }

    /// Whether a target comes and goes.
    pub fn is_passing(&self, name: &TargetName) -> bool {
        self.passing.contains(name)
    }

    /// Those that come and go.
    pub fn passing(&self) -> &BTreeSet<TargetName> {
        &self.passing
    }

    /// A target has joined.
    pub fn joins(&mut self, name: &TargetName, time: Timestamp) {
        self.enrolled.insert(name.clone(), time);
    }

    /// A target has left, in this entry.
    pub fn leaves(&mut self, name: &TargetName, entry: u64) {
        self.left.insert(name.clone(), entry);
    }

    /// How many have left since an entry that were to stay.
    pub fn left_since(&self, entry: u64) -> usize {
        let stayed = self.left.iter().filter(|(name, _)| !self.passing.contains(*name));
        stayed.filter(|(_, left)| **left > entry).count()
    }

    /// Whether a target's time is over, by the ledger's time.
    fn is_over(&self, name: &TargetName, now: Timestamp) -> bool {
        self.ends(name).is_some_and(|ends| ends <= now)
    }

    fn ends(&self, name: &TargetName) -> Option<Timestamp> {
        Some(*self.enrolled.get(name)? + self.lives?)
    }

    /// Whether it has found its time to be over; what it says of that may be still to come.
    pub fn is_ending(&self, index: usize) -> bool {
        self.over.contains(&index)
    }
}

impl Model {
    /// A target looks at its clock.
    pub fn looks_at_clock(&mut self, index: usize, clock: Timestamp) {
        self.repository.looks_at_clock(index, clock);
        if self.ends.lives.is_some_and(|lives| self.ends.joined[index] + lives <= clock) {
            self.ends.over.insert(index);
        }
    }

    /// A target's clock is set, after so much time.
    pub fn clock_is_set(&mut self, index: usize, elapsed: SignedDuration) {
        self.ends.set.insert(index, elapsed);
    }

    /// The server hears of a target, after so much time.
    pub fn hears_of(&mut self, index: usize, elapsed: SignedDuration) {
        self.ends.heard.insert(target(index), elapsed);
    }

    /// Everything is removed from a target, its data too: for its time is over, and for nothing else.
    pub fn erases(&mut self, index: usize) -> Verdict {
        if !self.ends.over.contains(&index) {
            return broken("LAPSED", format!("{} removes everything before its time is over", target(index)));
        }
        self.sees("a target that ended");
        self.ends.ended.insert(index);
        Ok(())
    }

    /// Something is laid out or started on a target.
    pub fn comes_to(
        &self,
        cast: &Cast,
        index: usize,
        build: Digest,
        (clock, elapsed): (Timestamp, SignedDuration),
    ) -> Verdict {
        let name = cast.name(&build);
        if self.ends.ended.contains(&index) {
            return broken("LAPSED", format!("{name} comes to {}, which has ended", target(index)));
        }
        let Some(ends) = self.ends.lives.map(|lives| self.ends.joined[index] + lives) else { return Ok(()) };
        // Whose clock has just been set has not seen it yet.
        let has_seen = self.ends.set.get(&index).is_none_or(|set| elapsed > *set + LOOKS_WITHIN);
        match clock > ends + LOOKS_WITHIN && has_seen {
            true => broken("LAPSED", format!("{name} comes to {}, whose time was over at {ends}", target(index))),
            false => Ok(()),
        }
    }

    /// A target says that nothing is left there.
    pub fn says_last_word(&self, index: usize, installed: &Installed) -> Verdict {
        match self.ends.ended.contains(&index) {
            _ if !installed.is_clean() => {
                broken("LAPSED", format!("{} says that nothing is left there, and something is", target(index)))
            }
            true => Ok(()),
            // Nothing ever came to it.
            false if self.ends.over.contains(&index) => Ok(()),
            false => broken("LAPSED", format!("{} says that its time is over before it is", target(index))),
        }
    }

    /// A target has left, and nobody said that it is to: its time was over, or nothing was heard of it for long enough.
    pub fn departs(&mut self, name: &TargetName, why: Departure, time: Timestamp, elapsed: SignedDuration) -> Verdict {
        let ends = self.ends.ends(name);
        match why {
            Departure::Lapsed => {
                self.sees("a target that said that it ended");
                self.ends.told.insert(name.clone());
            }
            Departure::LapsedUnheard => {
                self.sees("a target that did not say that it ended");
                if ends.is_none_or(|ends| time + A_MOMENT < ends + HEARD_WITHIN) {
                    return broken("LAPSED", format!("{name} is taken out at {time}, and its time ends at {ends:?}"));
                }
            }
            Departure::Vanished => {
                self.sees("a target gone without a word");
                let heard = self.ends.heard.get(name).copied().unwrap_or_default();
                let silent = elapsed - heard + A_MOMENT;
                if !self.ends.passing.contains(name) || silent < self.ends.silent {
                    return broken("LAPSED", format!("{name} is taken for gone, and was heard of {silent:#} ago"));
                }
            }
        }
        if self.courses.values().any(|course| course.ended.is_none() && course.targets.contains(name)) {
            self.sees("a deployment that goes on without a target that ended");
        }
        self.leaves(name);
        if self.ends.lives.is_some() && self.ends.enrolled.keys().all(|name| self.retired.contains(name)) {
            // Whoever joins then begins anew.
            self.sees("all targets ended");
            self.courses.values_mut().for_each(|course| course.is_thrown_away = true);
        }
        Ok(())
    }

    /// Nothing new is for a target whose time is over.
    pub fn is_not_over(&self, number: u64, targets: &[TargetName], now: Timestamp) -> Verdict {
        match targets.iter().find(|name| self.ends.is_over(name, now)) {
            Some(name) => broken("LAPSED", format!("deployment {number} is for {name}, whose time is over")),
            None => Ok(()),
        }
    }

    /// A deployment fails for this reason: that nothing is heard of what comes and goes is none. But where it was to change the data,
    /// nobody knows how that is, and no other target may begin.
    pub fn is_no_silence(&self, number: u64, reason: &str) -> Verdict {
        let silence = [": check: no answer within", ": check: not done within"];
        let Some((name, _)) = silence.into_iter().find_map(|words| reason.split_once(words)) else { return Ok(()) };
        let elected = self.courses.get(&number).and_then(|course| course.elected.as_ref());
        let counts_for_nothing = |passing: &&TargetName| elected != Some(*passing);
        match self.ends.passing.iter().filter(counts_for_nothing).any(|passing| name.ends_with(passing.as_str())) {
            true => broken("SILENCE", format!("deployment {number} fails: {reason}, which comes and goes")),
            false => Ok(()),
        }
    }

    /// Whether somebody's time is over who has not left, and may do so any moment.
    pub fn waits_for_an_end(&self, now: Timestamp) -> bool {
        let mut there = self.ends.enrolled.keys().filter(|name| !self.retired.contains(*name));
        let leaves_by = |ends: Timestamp| ends + HEARD_WITHIN + SEES_WITHIN + A_MOMENT;
        there.any(|name| self.ends.ends(name).is_some_and(|ends| ends <= now && now <= leaves_by(ends)))
    }

    /// Nothing is told to whoever has ended, and whoever should have been taken out was.
    pub fn all_have_ended(&self, state: &State, now: Timestamp) -> Verdict {
        for name in &self.ends.told {
            if state.running(&self.app, name).is_some() || !plan::assignments(state, name).is_empty() {
                return broken("LAPSED", format!("{name} has removed everything, and is said to run something"));
            }
        }
        for name in self.ends.enrolled.keys().filter(|name| !self.retired.contains(*name)) {
            if let Some(ends) = self.ends.ends(name)
                && ends + HEARD_WITHIN + SEES_WITHIN < now
            {
                return broken("LAPSED", format!("{name} is there at {now}, and its time was over at {ends}"));
            }
        }
        Ok(())
    }

    /// What is on a target in the end: nothing, once its time is over.
    pub fn is_left(&self, index: usize, installed: &Installed, clock: Timestamp) -> Verdict {
        let Some(ends) = self.ends.lives.map(|lives| self.ends.joined[index] + lives) else { return Ok(()) };
        let is_over = clock > ends + LOOKS_WITHIN || self.ends.ended.contains(&index);
        match is_over && !installed.is_clean() {
            true => {
                broken("LAPSED", format!("the time of {} was over at {ends}, and not all is removed", target(index)))
            }
            false => Ok(()),
        }
    }
}
