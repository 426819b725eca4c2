//! Two sides, one of which serves: a target lets serve what an order to switch names, and nothing else; what is new comes to
//! the other side; and nobody is left unserved.

use super::{Course, Model, Violation, broken, course::installs};
use crate::{
    cast::{Cast, SIDES, is_early, target},
    script::Setting,
};
use domain::event::Change;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use trust::{
    Digest, TargetName,
    statement::{OrderAct, Outcome},
};

type Verdict = Result<(), Violation>;

/// What is known of the sides, by the ledger.
#[derive(Default)]
pub struct Sides {
    pub are_there: bool,
    /// The targets that run something and stand by, and those where it was stopped.
    standby: BTreeSet<TargetName>,
    stopped: BTreeSet<TargetName>,
    /// In which entry each deployment began on a target, and whether what ran there was stopped then: it goes back to that.
    begun: BTreeMap<(u64, TargetName), (u64, bool)>,
    /// In which deployment each build was first let serve.
    first_served: BTreeMap<Digest, u64>,
    settled: BTreeSet<Digest>,
    /// The switches that were ordered while somebody served.
    from: BTreeMap<u64, Before>,
}

/// How it was when a switch was ordered.
#[derive(Clone)]
struct Before {
    /// Who served by then what it lets serve.
    already: BTreeSet<TargetName>,
    /// Whether somebody was sure to serve: who was told to do something, and has not said how that ended, may stand by.
    is_served: bool,
}

impl Sides {
    /// What is known at the beginning.
    pub fn new(setting: &Setting) -> Self {
        Self { are_there: setting.sides, ..Self::default() }
    }

    /// Whether what runs on a target stands by.
    pub fn stands_by(&self, name: &TargetName) -> bool {
        self.standby.contains(name)
    }

    /// Whether what runs on a target was stopped.
    pub fn is_stopped(&self, name: &TargetName) -> bool {
        self.stopped.contains(name)
    }

    /// Whether what runs on a target is sure to serve.
    pub fn is_sure_to_serve(&self, name: &TargetName) -> bool {
        !self.standby.contains(name) && !self.stopped.contains(name)
    }

    /// A deployment begins on a target.
    pub fn begins(&mut self, deployment: u64, name: &TargetName, entry: u64) {
        self.begun.insert((deployment, name.clone()), (entry, self.stopped.contains(name)));
    }

    /// What a target runs stands by or serves from now on, and may be stopped or started.
    fn hears(&mut self, name: &TargetName, standby: bool, runs: bool, stopped: Option<bool>) {
        match standby && runs {
            true => self.standby.insert(name.clone()),
            false => self.standby.remove(name),
        };
        match stopped {
            Some(true) if runs => self.stopped.insert(name.clone()),
            Some(false) => self.stopped.remove(name),
            _ => !runs && self.stopped.remove(name),
        };
    }

    /// Whether a build has settled.
    pub fn has_settled(&self, build: &Digest) -> bool {
        self.settled.contains(build)
    }

    /// A deployment has settled.
    pub fn settles(&mut self, build: Digest) {
        self.settled.insert(build);
    }
}

/// The side of a target.
pub fn side_of(name: &TargetName) -> &'static str {
    let early = (0..4).any(|index| target(index) == *name && is_early(index));
    SIDES[usize::from(early)]
}

impl Model {
    /// The targets that serve, by what they said.
    fn serving(&self) -> impl Iterator<Item = (&TargetName, &Digest)> {
        let serves = |name: &TargetName| !self.sides.stands_by(name) && !self.sides.stopped.contains(name);
        self.running.iter().filter(move |(name, _)| serves(name) && !self.retired.contains(*name))
    }

    fn serving_sides(&self) -> BTreeSet<&'static str> {
        self.serving().map(|(name, _)| side_of(name)).collect()
    }

    /// A target says what its part came to.
    pub fn says_what_serves(
        &mut self,
        number: u64,
        name: &TargetName,
        (running, standby): (Option<Digest>, bool),
        (outcome, change): (&Outcome, Option<Change>),
    ) {
        let course = self.courses.get(&number);
        let is_back = || course.is_some_and(|course| course.before.get(name) == Some(&running));
        let stopped = match (course.map(|course| course.act), change) {
            (Some(OrderAct::Stop), Some(_)) => Some(true),
            // Who went back is as it was when that began: what was stopped or started since counts no more.
            (_, None) if *outcome == Outcome::Verified => {
                let begun = self.sides.begun.get(&(number, name.clone()));
                Some(is_back() && begun.is_some_and(|(_, was_stopped)| *was_stopped))
            }
            (Some(OrderAct::Configure), _) | (_, None) => None,
            (_, Some(_)) => Some(false),
        };
        self.sides.hears(name, standby, running.is_some(), stopped);
        // What it says late is what it was like when something else began.
        let is_at = |course: &Course| course.unfinished.contains(name) && !course.undoing.contains(name);
        let others = self.courses.range(number + 1..).filter(|(_, course)| is_at(course));
        for (other, _) in others {
            if let Some((_, was_stopped)) = self.sides.begun.get_mut(&(*other, name.clone())) {
                *was_stopped = self.sides.stopped.contains(name);
            }
        }
    }

    /// Something was ordered: what is new comes to the side that does not serve, and a switch lets one side serve.
    pub fn sides_ordered(&mut self, number: u64, act: OrderAct, build: Digest, targets: &[TargetName]) -> Verdict {
        if !self.sides.are_there {
            return Ok(());
        }
        if installs(act) {
            return self.comes_to_the_other_side(number, build, targets);
        }
        if act != OrderAct::Switch {
            return Ok(());
        }
        if self.held.contains_key(&build) {
            return broken("HOLD", format!("deployment {number} lets serve what is held out"));
        }
        let left: Vec<Digest> = self.serving().map(|(_, build)| *build).filter(|other| *other != build).collect();
        let first = self.sides.first_served.get(&build).copied();
        let comes_later = |left: &Digest| first.is_some() && self.sides.first_served.get(left).copied() > first;
        let behind: Vec<Digest> = left.into_iter().filter(comes_later).collect();
        self.sees(if first.is_some() { "switched back" } else { "switched" });
        if !behind.is_empty() {
            self.sees("a switch that leaves something behind");
        }
        for build in behind {
            self.held.entry(build).or_insert(number);
        }
        if self.serving().next().is_some() {
            let has_it = |(name, other): (&TargetName, &Digest)| (*other == build).then(|| name.clone());
            let already = self.serving().filter_map(has_it).collect();
            let is_served = self.serving().any(|(name, _)| !self.owes_a_word(name));
            self.sides.from.insert(number, Before { already, is_served });
        }
        Ok(())
    }

    fn comes_to_the_other_side(&mut self, number: u64, build: Digest, targets: &[TargetName]) -> Verdict {
        let is_of = |name: &&TargetName| side_of(name) != side_of(&targets[0]);
        if let Some(other) = targets.iter().find(is_of) {
            return broken(
                "SIDES",
                format!("deployment {number} is for {} and for {other}, on both sides", targets[0]),
            );
        }
        let serving: BTreeMap<&TargetName, &Digest> = self.serving().collect();
        if let Some(name) = targets.iter().find(|name| serving.contains_key(name)) {
            return broken("SIDES", format!("deployment {number} is for {name}, which serves"));
        }
        let sides = self.serving_sides();
        let serves_it = serving.values().any(|other| **other == build);
        if sides.contains(side_of(&targets[0])) && !serves_it {
            return broken("SIDES", format!("deployment {number} is for {}, whose side serves another", targets[0]));
        }
        if !sides.is_empty() {
            self.sees("brought to the side that does not serve");
        }
        Ok(())
    }

    /// Whether what a deployment brought may be taken back while it soaks: where another has been at a target since, though it went
    /// back, no target remembers any more what served before a switch.
    pub fn leads_back(&self, number: u64) -> bool {
        let Some(course) = self.courses.get(&number).filter(|course| course.act == OrderAct::Switch) else {
            return true;
        };
        let is_there = |name: &&TargetName| course.outcomes.get(*name) == Some(&Outcome::Verified);
        let by_it = |name: &TargetName| self.brought.get(name) == Some(&number);
        let has_left = |other: &Course, name: &TargetName| {
            let went_back = matches!(other.outcomes.get(name), Some(Outcome::Undone { .. } | Outcome::Failed { .. }));
            !other.act.controls() && (went_back || other.undone.contains(name))
        };
        let told =
            |number: u64, name: &TargetName| self.sides.begun.get(&(number, name.clone())).map(|(entry, _)| *entry);
        let stays = |name: &TargetName| {
            let is_later = |other: u64| told(other, name) > told(number, name);
            by_it(name) && !self.courses.iter().any(|(other, course)| is_later(*other) && has_left(course, name))
        };
        course.targets.iter().filter(is_there).all(|name| self.retired.contains(name) || stays(name))
    }

    /// A switch is over: one side serves, and if somebody was served before, somebody is.
    pub fn switch_is_over(&mut self, number: u64, has_succeeded: bool) -> Verdict {
        let Some(course) = self.courses.get(&number).filter(|course| course.act == OrderAct::Switch) else {
            return Ok(());
        };
        let could_not = |name: &TargetName| matches!(course.outcomes.get(name), Some(Outcome::Failed { .. }));
        let is_whole = course.left_out.is_empty() && !course.targets.iter().any(could_not) && !self.is_taken;
        let (build, was_taken_back) = (course.build, course.taken_back);
        let before = self.sides.from.get(&number).cloned();
        let had_served = before.as_ref().is_some_and(|before| before.is_served);
        if has_succeeded {
            self.sides.first_served.entry(build).or_insert(number);
            if is_whole && self.serving().any(|(_, other)| *other != build) {
                return broken("SIDES", format!("switch {number} has succeeded, and both sides serve"));
            }
        }
        if !has_succeeded && self.sides.first_served.get(&build) == Some(&number) {
            // What was taken back has not served.
            self.sides.first_served.remove(&build);
        }
        // Who served it before it was let serve elsewhere besides goes on.
        let is_let_serve =
            |before: &Before| self.serving().any(|(name, other)| *other == build && !before.already.contains(name));
        if was_taken_back && is_whole && before.as_ref().is_some_and(is_let_serve) {
            return broken("SIDES", format!("switch {number} was taken back, and what it let serve serves"));
        }
        if is_whole && had_served && self.serving().next().is_none() {
            return broken("UNSERVED", format!("switch {number} is over, and nobody serves"));
        }
        if was_taken_back && had_served {
            self.sees("a switch taken back");
        }
        Ok(())
    }

    /// Whether what a deployment brings settles by itself: what stands by does not.
    pub fn settles(&mut self, number: u64) -> Verdict {
        let Some(course) = self.courses.get(&number) else { return Ok(()) };
        if self.sides.are_there && course.act != OrderAct::Switch {
            return broken("SIDES", format!("deployment {number} settles, and nobody was served by it"));
        }
        self.sides.settles(course.build);
        Ok(())
    }

    /// Whether what a switch goes to has settled here, so that it goes back.
    pub fn goes_back_to(&self, build: &Digest) -> bool {
        self.is_taken || self.sides.settled.contains(build)
    }

    /// What runs on a target is about to serve, or to be started while it does.
    pub fn lets_serve(&mut self, cast: &Cast, index: usize, build: Digest, clock: Timestamp) -> Verdict {
        if !self.sides.are_there || self.targets[index].serves == Some(build) {
            return Ok(());
        }
        let verdict = self.may_go_forward(index, build, Some(build), clock);
        let switches = |order: &Digest| self.orders.get(order).is_some_and(|(_, order)| order.act == OrderAct::Switch);
        let verdict = verdict.and_then(|(order, generation)| match switches(&order) {
            true => Ok((order, generation)),
            false => Err("the order is for something else".into()),
        });
        let on_target = &mut self.targets[index];
        match verdict {
            Ok((order, generation)) => {
                on_target.performed.insert(order, generation);
                on_target.goes_from(generation, Some(build));
                on_target.serves = Some(build);
                Ok(())
            }
            Err(_) if on_target.back.as_ref().is_some_and(|back| back.serves == Some(build)) => {
                on_target.serves = Some(build);
                Ok(())
            }
            Err(why) => broken("SERVES", format!("{} lets {} serve: {why}", target(index), cast.name(&build))),
        }
    }

    /// What runs on a target is started, and serves nobody.
    pub fn stays_back(&mut self, index: usize) {
        self.targets[index].serves = None;
    }

    /// What runs on a target is about to stand by. `others` says whether anybody else serves.
    pub fn makes_way(&mut self, index: usize, current: Option<Digest>, others: bool) -> Verdict {
        let on_target = &self.targets[index];
        let Some((generation, newest, _)) = on_target.last else {
            return broken("UNSERVED", format!("{} stands by without an order", target(index)));
        };
        let makes_way = self.orders.get(&newest).filter(|(build, order)| {
            let unused = on_target.performed.get(&newest).is_none_or(|under| *under == generation);
            order.act == OrderAct::Switch && Some(*build) != current && unused
        });
        let is_ordered = makes_way.is_some();
        let goes_back = on_target.back.as_ref().is_some_and(|back| back.serves.is_none());
        let serves = on_target.serves.is_some();
        if serves && !is_ordered && !goes_back {
            return broken("UNSERVED", format!("{} stands by, and nobody ordered it", target(index)));
        }
        // Where nobody was served before, nobody is when that is taken back.
        let before = on_target.follows.and_then(|number| self.sides.from.get(&number));
        let was_served = before.is_some_and(|before| before.is_served);
        if serves && !others && was_served && !self.is_taken {
            return broken("UNSERVED", format!("{} stands by, and nobody else serves", target(index)));
        }
        let on_target = &mut self.targets[index];
        if is_ordered {
            on_target.performed.insert(newest, generation);
            on_target.goes_from(generation, current);
        }
        on_target.serves = None;
        Ok(())
    }
}
