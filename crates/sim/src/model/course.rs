//! How one deployment goes, by the rules: what a wave may take, what may fail, what has its turn when.

use super::{Violation, broken};
use crate::cast;
use domain::rules::presence::Away;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use trust::{
    Digest, TargetName,
    freeze::brings_something_new,
    rollout::{Advance, Rollout, Share},
    schedule::Schedule,
    statement::{AdministrationAct, Order, OrderAct, Outcome},
};

/// Why a deployment is paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paused {
    /// Somebody said so.
    ByWord,
    /// More failed than may.
    ByFailure,
}

/// What is known of one deployment.
pub struct Course {
    pub act: OrderAct,
    pub build: Digest,
    /// The deployment of a package that it is a part of.
    pub package: Option<u64>,
    /// The package that brings it.
    pub brought_by: Option<Digest>,
    pub targets: Vec<TargetName>,
    /// The target that changes the data for it, or takes that back, before anything of it runs anywhere.
    pub elected: Option<TargetName>,
    /// Whether there are sides, so that it depends on theirs what whoever comes late has missed.
    pub has_sides: bool,
    /// Whether it was for some of those that there were.
    pub is_narrowed: bool,
    /// How many targets there were when it was ordered, whether it is for them or not.
    pub of: usize,
    pub rollout: Rollout,
    pub schedule: Schedule,
    /// Those that have their turn before others; one where nobody has.
    rings: Vec<Vec<TargetName>>,
    /// The ring of its last wave, and the one up to which somebody let it go on, whoever vouches for those before.
    ring: usize,
    let_begin: usize,
    /// Whether it stands until what was under way when it was ordered has ended.
    pub follows: bool,
    /// Whether it leaves its place to others until its time comes.
    pub is_planned: bool,
    pub has_begun: bool,
    /// The targets that are at it, or go back.
    pub unfinished: BTreeSet<TargetName>,
    pub outcomes: BTreeMap<TargetName, Outcome>,
    /// What each target ran when it was told to begin.
    pub before: BTreeMap<TargetName, Option<Digest>>,
    /// When each target that did not fall silent ended its part.
    finished: BTreeMap<TargetName, Timestamp>,
    /// The targets that left it in doubt whether it is well there, until somebody has looked.
    pub doubts: BTreeSet<TargetName>,
    /// The targets that somebody left out, and those whose failure somebody accepted.
    pub left_out: BTreeSet<TargetName>,
    /// Those of them that only a cordon keeps out.
    kept_out: BTreeSet<TargetName>,
    /// Those of them of which nobody had heard when it began, and who have not got it since.
    away: BTreeSet<TargetName>,
    pub accepted: BTreeSet<TargetName>,
    pub paused: Option<Paused>,
    /// When somebody last said that the next ring may begin.
    word: Option<Timestamp>,
    pub taken_back: bool,
    /// Those told to go back, and those that did.
    pub undoing: BTreeSet<TargetName>,
    pub undone: BTreeSet<TargetName>,
    /// Those that refused to.
    pub stays: BTreeSet<TargetName>,
    /// Those on which something else runs since, or nothing: how it is with this is for the others to show.
    pub replaced: BTreeSet<TargetName>,
    /// Whether that is so on all that had it.
    runs_nowhere: bool,
    pub ended: Option<Timestamp>,
    pub has_succeeded: bool,
    /// Whether all targets are gone since, so that it stands for nobody who comes.
    pub is_thrown_away: bool,
    /// The targets that come and go, and those of them of which nothing was heard in time.
    passing: BTreeSet<TargetName>,
    silent: BTreeSet<TargetName>,
    /// The targets that verified it and are unwell since, and when the last of those was well again.
    unwell: BTreeSet<TargetName>,
    /// Those where it was stopped since.
    stopped: BTreeSet<TargetName>,
    well_since: Option<Timestamp>,
    /// When somebody last let targets try again.
    pub retried: Option<Timestamp>,
}

/// Whether an act has targets run a build that they need not have.
pub fn installs(act: OrderAct) -> bool {
    matches!(act, OrderAct::Deploy | OrderAct::Redeploy | OrderAct::Rollback)
}

/// So many of `total`, rounded down.
pub fn at_most(share: Share, total: usize) -> usize {
    match share {
        Share::Count(count) => (count as usize).min(total),
        Share::Percent(percent) => total * percent as usize / 100,
        Share::All => total,
    }
}

/// So many of `total`, rounded up.
pub fn at_least(share: Share, total: usize) -> usize {
    match share {
        Share::Percent(percent) => (total * percent as usize).div_ceil(100),
        share => at_most(share, total),
    }
}

impl Course {
    /// A deployment that was ordered just now.
    pub fn new(
        charter: &Rollout,
        order: &Order,
        build: Digest,
        targets: &[TargetName],
        (passing, away): (&BTreeSet<TargetName>, &Away),
        now: Timestamp,
    ) -> Self {
        let mut rollout = charter.with(&order.rollout);
        let plain = Rollout::default();
        if !brings_something_new(order.act) {
            (rollout.canary, rollout.rings) = (plain.canary, plain.rings);
            (rollout.bake_minutes, rollout.advance) = (plain.bake_minutes, plain.advance);
        }
        if order.act == OrderAct::Switch {
            let Rollout { progress_minutes, on_failure, .. } = rollout;
            rollout = Rollout { progress_minutes, on_failure, at_once: Share::All, ..Rollout::default() };
        }
        if matches!(order.act, OrderAct::Stop | OrderAct::Undeploy) {
            rollout.min_healthy = plain.min_healthy;
        }
        let rings = rings(&rollout, targets, passing, away);
        Self {
            act: order.act,
            build,
            package: None,
            brought_by: None,
            targets: targets.to_vec(),
            elected: None,
            has_sides: false,
            is_narrowed: !order.only.is_empty(),
            of: targets.len(),
            rollout,
            is_planned: order.schedule.at.is_some_and(|at| at > now),
            follows: false,
            schedule: order.schedule.clone(),
            rings,
            ring: 0,
            let_begin: 0,
            has_begun: false,
            unfinished: BTreeSet::new(),
            outcomes: BTreeMap::new(),
            before: BTreeMap::new(),
            finished: BTreeMap::new(),
            doubts: BTreeSet::new(),
            left_out: BTreeSet::new(),
            kept_out: BTreeSet::new(),
            away: BTreeSet::new(),
            accepted: BTreeSet::new(),
            paused: None,
            word: None,
            taken_back: false,
            undoing: BTreeSet::new(),
            undone: BTreeSet::new(),
            stays: BTreeSet::new(),
            replaced: BTreeSet::new(),
            runs_nowhere: false,
            ended: None,
            has_succeeded: false,
            is_thrown_away: false,
            passing: passing.clone(),
            silent: BTreeSet::new(),
            unwell: BTreeSet::new(),
            stopped: BTreeSet::new(),
            well_since: None,
            retried: None,
        }
    }

    /// Whether what somebody says of its package is about it too.
    pub fn is_reached_by(&self, act: &AdministrationAct) -> bool {
        match act {
            AdministrationAct::PauseDeployment { .. } => self.paused.is_none() && !self.taken_back,
            AdministrationAct::ResumeDeployment { .. } => self.paused.is_some(),
            _ => false,
        }
    }

    /// It is a switch: these begin to serve, and the others make way once all of them do.
    pub fn switches(&mut self, makes_way: impl Fn(&TargetName) -> bool) {
        let (leave, enter): (Vec<_>, Vec<_>) = self.targets.iter().cloned().partition(makes_way);
        self.rings = vec![enter, leave];
        self.rings.retain(|ring| !ring.is_empty());
    }

    /// Whether it brings something new.
    pub fn brings(&self) -> bool {
        brings_something_new(self.act)
    }

    /// Whether everything in the environment has what it says from its good end on: a build, or nothing.
    pub fn stands(&self) -> bool {
        let says_what_stands = installs(self.act) && !self.has_sides || self.act == OrderAct::Undeploy;
        self.has_succeeded && !self.is_narrowed && !self.is_thrown_away && says_what_stands
    }

    /// Whether it is under way, and in the way of others: what has not begun is in nobody's.
    pub fn has_its_place(&self) -> bool {
        self.ended.is_none() && self.has_begun
    }

    /// Whether it stands until it may begin, and the next of its kind takes its place.
    pub fn is_queued(&self) -> bool {
        let takes_place = installs(self.act) || matches!(self.act, OrderAct::Undeploy | OrderAct::Switch);
        self.ended.is_none() && !self.has_begun && !self.is_planned && takes_place
    }

    /// Whether it is divided into rings.
    pub fn is_divided(&self) -> bool {
        self.rings.len() > 1
    }

    /// The ring of a target.
    pub fn ring_of(&self, name: &TargetName) -> usize {
        self.rings.iter().position(|ring| ring.contains(name)).unwrap_or(0)
    }

    /// Whether a target has not had its turn, and will.
    pub fn waits(&self, name: &TargetName) -> bool {
        !self.unfinished.contains(name) && !self.outcomes.contains_key(name) && !self.left_out.contains(name)
    }

    /// The targets that failed, refused or are silent, without those that count no more.
    pub fn bad(&self) -> impl Iterator<Item = &TargetName> {
        let is_bad = |(name, outcome): &(&TargetName, &Outcome)| {
            **outcome != Outcome::Verified || self.unwell.contains(*name) && !self.undone.contains(*name)
        };
        let bad = self.outcomes.iter().filter(is_bad).map(|(name, _)| name);
        let counts = |name: &&TargetName| !self.left_out.contains(*name) && !self.accepted.contains(*name);
        bad.filter(counts).filter(|name| !self.silent.contains(*name))
    }

    /// Whether a target that it brought something to is unwell.
    pub fn is_unwell(&self) -> bool {
        self.bad().any(|name| self.outcomes.get(name) == Some(&Outcome::Verified))
    }

    /// Whether nothing is heard in time of a target that comes and goes.
    pub fn is_gone_silent(&self, name: &TargetName) -> bool {
        self.silent.contains(name)
    }

    /// The same, though somebody let it go on all the same: it does not settle with them.
    fn ails(&self) -> bool {
        let is_there = |name: &&TargetName| {
            let verified = self.outcomes.get(*name) == Some(&Outcome::Verified);
            verified && !self.undone.contains(*name) && !self.left_out.contains(*name) && !self.silent.contains(*name)
        };
        self.unwell.iter().any(|name| is_there(&name))
    }

    /// A target says how it is with what this brought.
    pub fn says_how_it_is(&mut self, name: &TargetName, is_unwell: bool, now: Timestamp) {
        if self.outcomes.get(name) == Some(&Outcome::Verified) && !self.undoing.contains(name) {
            match is_unwell {
                true => self.unwell.insert(name.clone()),
                false => self.unwell.remove(name),
            };
        }
        if !self.ails() {
            self.well_since = Some(now);
        }
    }

    /// What this brought to a target is stopped there, and shows nobody any more how it is, or is started again.
    pub fn is_stopped(&mut self, name: &TargetName, stopped: bool, now: Timestamp) {
        if stopped {
            // What was unwell is not any more: it shows nobody how it is, and is looked at anew once it is started.
            self.unwell.remove(name);
            self.stopped.insert(name.clone());
        } else if self.stopped.remove(name) {
            self.well_since = Some(now);
        }
    }

    /// Something else runs on a target since, or nothing.
    pub fn is_replaced_on(&mut self, name: &TargetName, now: Timestamp) {
        let was_well = !self.ails() && self.stopped.is_empty();
        if self.has_succeeded {
            self.replaced.insert(name.clone());
            let is_there = |name: &&TargetName| self.outcomes.get(*name) == Some(&Outcome::Verified);
            self.runs_nowhere |= self.targets.iter().filter(is_there).all(|name| self.replaced.contains(name));
        }
        self.unwell.remove(name);
        self.stopped.remove(name);
        if !was_well && self.has_succeeded {
            self.well_since = Some(now);
        }
    }

    /// Whether what it brought soaks anywhere: what nothing runs any more has settled nowhere, and does not come to.
    pub fn soaks_somewhere(&self) -> bool {
        self.has_succeeded && !self.runs_nowhere
    }

    /// A target went back to what this had brought it.
    pub fn is_there_again(&mut self, name: &TargetName, now: Timestamp) {
        self.replaced.remove(name);
        self.well_since = Some(now);
    }

    /// Since when all is well that it brought, and nothing of it stopped, once it has come to a good end.
    pub fn soaks_from(&self) -> Option<Timestamp> {
        let is_well = self.has_succeeded && !self.ails() && self.stopped.is_empty();
        let ended = self.ended.filter(|_| is_well)?;
        Some(self.well_since.map_or(ended, |well| well.max(ended)))
    }

    /// It had come to a good end, and is taken back.
    pub fn reopens(&mut self) {
        (self.ended, self.has_succeeded) = (None, false);
    }

    /// Why it may not go on, by what failed.
    pub fn is_beyond_budget(&self) -> Option<String> {
        let (bad, may) = (self.bad().count(), at_most(self.rollout.failure_budget, self.targets.len()));
        let canaries = if self.rollout.canary > 0 && self.is_divided() { &self.rings[0][..] } else { &[] };
        if let Some(canary) = self.bad().find(|name| canaries.contains(name)) {
            return Some(format!("the canary {canary} failed"));
        }
        (bad > may).then(|| format!("{bad} of {} targets failed, and {may} may", self.targets.len()))
    }

    /// Somebody lets it go on: what failed so far is accepted, or the next ring may begin.
    pub fn resumed(&mut self, now: Timestamp) {
        let next = self.targets.iter().filter(|name| self.waits(name)).map(|name| self.ring_of(name)).min();
        if let Some(next) = next.filter(|next| self.unfinished.is_empty() && self.unvouched(*next).is_some()) {
            self.let_begin = self.let_begin.max(next);
        }
        match self.paused.take() {
            // Where somebody was asked of a doubt alone, nothing else is forgiven.
            Some(Paused::ByFailure) if self.doubted().is_some() && self.is_beyond_budget().is_none() => {
                self.doubts.clear();
            }
            Some(Paused::ByFailure) => {
                self.doubts.clear();
                let bad: Vec<TargetName> = self.bad().cloned().collect();
                self.accepted.extend(bad);
            }
            Some(Paused::ByWord) => {}
            None => self.word = Some(now),
        }
    }

    /// Somebody lets targets try again.
    pub fn retried(&mut self, targets: &BTreeSet<TargetName>, now: Timestamp) {
        self.retried = Some(now);
        for name in targets {
            self.outcomes.remove(name);
            self.finished.remove(name);
            self.silent.remove(name);
            self.left_out.remove(name);
            self.kept_out.remove(name);
            self.away.remove(name);
            self.replaced.remove(name);
            self.accepted.remove(name);
        }
        if self.paused == Some(Paused::ByFailure) {
            self.paused = None;
        }
    }

    /// Somebody leaves a target out.
    pub fn excluded(&mut self, name: &TargetName) {
        self.left_out.insert(name.clone());
        self.kept_out.remove(name);
        self.away.remove(name);
    }

    /// It begins without a target of which nobody has heard for a while.
    pub fn goes_without(&mut self, name: &TargetName) {
        self.left_out.insert(name.clone());
        self.away.insert(name.clone());
    }

    /// Those that it began without, and who have not got it since.
    pub fn missed_by(&self) -> impl Iterator<Item = &TargetName> {
        self.away.iter()
    }

    /// A target is gone for good: nobody waits for it, and it is counted on no more.
    pub fn leaves(&mut self, name: &TargetName) {
        self.unwell.remove(name);
        self.stopped.remove(name);
        if self.ended.is_none() || self.has_succeeded {
            self.of = self.of.saturating_sub(usize::from(!self.passing.contains(name)));
            self.excluded(name);
            self.unfinished.remove(name);
            self.undoing.remove(name);
        }
    }

    /// A target was cordoned, or is so no longer: it has no turn in what has not come to it yet, or has it again.
    pub fn cordoned(&mut self, name: &TargetName, cordoned: bool) {
        let concerns = self.ended.is_none() && self.targets.contains(name);
        if concerns && cordoned && self.waits(name) {
            self.left_out.insert(name.clone());
            self.kept_out.insert(name.clone());
        } else if concerns && !cordoned && self.kept_out.remove(name) {
            self.left_out.remove(name);
        }
    }

    /// A target gets late what it missed.
    pub fn comes_late(&mut self, name: &TargetName) {
        if !self.targets.contains(name) {
            self.targets.push(name.clone());
        }
        self.left_out.remove(name);
        self.kept_out.remove(name);
        self.away.remove(name);
        self.replaced.remove(name);
        self.unfinished.insert(name.clone());
    }

    /// Nothing is heard of a target in time, or it is: the silence of what comes and goes counts for nothing.
    pub fn falls_silent(&mut self, name: &TargetName, is_silent: bool) {
        match is_silent && self.passing.contains(name) {
            true => self.silent.insert(name.clone()),
            false => self.silent.remove(name),
        };
    }

    /// A target ended its part; `stands` if it waits for its turn again.
    pub fn ends_its_part(&mut self, name: &TargetName, outcome: &Outcome, stands: bool, is_late: bool, now: Timestamp) {
        self.unfinished.remove(name);
        if self.undoing.contains(name) {
            match outcome {
                Outcome::Refused { .. } => self.stays.insert(name.clone()),
                _ => self.stays.remove(name),
            };
            match outcome {
                Outcome::Verified => {
                    self.undoing.remove(name);
                    self.undone.insert(name.clone());
                }
                // Who was given up on may say later that it is back.
                outcome => drop(self.outcomes.insert(name.clone(), outcome.clone())),
            }
            return;
        }
        self.unwell.remove(name);
        if stands {
            self.outcomes.remove(name);
            return;
        }
        if *outcome == Outcome::Verified {
            self.left_out.remove(name);
            self.accepted.remove(name);
        }
        self.outcomes.insert(name.clone(), outcome.clone());
        if !is_late {
            self.finished.insert(name.clone(), now);
        }
    }

    /// The first ring from that of its last wave on, and before this one, of which nobody is left who verified it.
    fn unvouched(&self, ring: usize) -> Option<usize> {
        let is_well = |name: &TargetName| self.outcomes.get(name) == Some(&Outcome::Verified);
        let vouches = |name: &TargetName| is_well(name) && !self.left_out.contains(name) && !self.unwell.contains(name);
        (self.ring..ring).find(|before| !self.rings[*before].iter().any(vouches))
    }

    /// A wave of these targets begins.
    pub fn begins_on(&mut self, targets: &[TargetName]) {
        self.ring = targets.iter().map(|name| self.ring_of(name)).max().unwrap_or(0);
    }

    /// Whether a wave of these targets may begin now, by its rollout.
    pub fn may_begin(&self, number: u64, targets: &[TargetName], now: Timestamp) -> Result<(), Violation> {
        if self.ended.is_some() {
            return broken("ENDED", format!("a wave of deployment {number} begins, which has ended"));
        }
        if self.paused.is_some() {
            return broken("PAUSED", format!("a wave of deployment {number} begins, which is paused"));
        }
        if let Some(name) = targets.iter().find(|name| self.left_out.contains(*name)) {
            return broken("LEFT_OUT", format!("deployment {number} begins on {name}, which was left out of it"));
        }
        let busy = self.unfinished.iter().chain(targets).collect::<BTreeSet<_>>().len();
        let may = at_most(self.rollout.at_once, self.targets.len()).max(1);
        if busy > may {
            let what = format!("deployment {number} changes {busy} targets at a time, and {may} may");
            return broken("AT_ONCE", what);
        }
        if let Some(why) = self.is_beyond_budget() {
            return broken("BUDGET", format!("deployment {number} goes on to the next wave although {why}"));
        }
        self.rings_before(number, targets, now)
    }

    /// Every ring before these targets' own has had its turn, was well for long enough, and was spoken of.
    fn rings_before(&self, number: u64, targets: &[TargetName], now: Timestamp) -> Result<(), Violation> {
        let ring = targets.iter().map(|name| self.ring_of(name)).max().unwrap_or(0);
        let before: Vec<&TargetName> = self.rings.iter().take(ring).flatten().collect();
        if let Some(name) = before.iter().find(|name| self.waits(name) || self.unfinished.contains(**name)) {
            return broken("RINGS", format!("ring {ring} of deployment {number} begins before {name} had its turn"));
        }
        let bad: BTreeSet<&TargetName> = self.bad().collect();
        let is_well = |name: &TargetName| self.outcomes.get(name) == Some(&Outcome::Verified);
        for ring in self.rings.iter().take(ring) {
            if ring.iter().any(|name| bad.contains(name)) && !ring.iter().any(is_well) {
                return broken("BUDGET", format!("deployment {number} goes on after a ring of which none is well"));
            }
        }
        // Whoever let it go on where nothing was well said all that can be said: there is nothing to bake.
        if self.let_begin >= ring {
            return Ok(());
        }
        if let Some(empty) = self.unvouched(ring) {
            let what = format!("ring {ring} of deployment {number} begins, and nobody of ring {empty} vouches for it");
            return broken("RINGS", what);
        }
        let Some(last) = before.iter().filter_map(|name| self.finished.get(*name)).max() else { return Ok(()) };
        if now < *last + SignedDuration::from_mins(i64::from(self.rollout.bake_minutes)) {
            return broken("RINGS", format!("ring {ring} of deployment {number} begins before the last one has baked"));
        }
        if self.rollout.advance == Advance::Hand && self.word.is_none_or(|word| word < *last) {
            return broken("RINGS", format!("ring {ring} of deployment {number} begins without anybody's word"));
        }
        Ok(())
    }
}

/// Targets in the rings that a rollout divides them into.
fn rings(
    rollout: &Rollout,
    targets: &[TargetName],
    passing: &BTreeSet<TargetName>,
    away: &Away,
) -> Vec<Vec<TargetName>> {
    let mut sorted = targets.to_vec();
    // Whoever comes and goes has its turn after those that stay, and who is away after everybody else.
    sorted.sort_by_key(|name| (away.contains(name), passing.contains(name), name.clone()));
    let is_early = |name: &TargetName| (0..4).any(|index| cast::target(index) == *name && cast::is_early(index));
    let mut rings = match rollout.rings.is_empty() {
        true => vec![sorted],
        false => {
            let (early, rest) = sorted.into_iter().partition(is_early);
            vec![early, rest]
        }
    };
    rings.retain(|ring: &Vec<TargetName>| !ring.is_empty());
    if let Some(first) = rings.first_mut()
        && rollout.canary > 0
    {
        let others = first.split_off((rollout.canary as usize).min(first.len()));
        let canaries = std::mem::replace(first, others);
        rings.insert(0, canaries);
    }
    rings.retain(|ring| !ring.is_empty());
    rings
}
