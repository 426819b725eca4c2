//! Machines that nobody has heard of for a while: a deployment begins without them, they get it once they are back, and
//! what they run neither settles unseen nor lets the next ring begin by itself.

use super::{
    Course, Model, Violation, broken,
    course::{at_least, at_most, installs},
    packages::Packages,
};
use crate::cast::Cast;
use domain::{rules::presence::Away, state::State};
use jiff::{SignedDuration, Timestamp};
use trust::{
    Digest, TargetName,
    statement::{OrderAct, Outcome},
};

type Verdict = Result<(), Violation>;

/// How long it may take the server to see that somebody is back and can have what they missed.
const SEEN_BACK_WITHIN: SignedDuration = SignedDuration::from_mins(2);

impl Model {
    /// What is decided from now on takes these for away.
    pub fn is_told_who_is_away(&mut self, away: &Away) {
        self.away.clone_from(away);
    }

    /// A target is left out of a deployment, since nobody has heard of it for a while.
    pub fn is_left_out(&mut self, number: u64, name: &TargetName) -> Verdict {
        self.sees("left out since it was away");
        let Some(course) = self.courses.get(&number) else { return Ok(()) };
        if !self.away.contains(name) {
            return broken("AWAY", format!("{name} is left out of deployment {number} as away, and was heard of"));
        }
        if course.has_begun || self.has_its_turn_all_the_same(course, name) {
            return broken(
                "AWAY",
                format!("{name} is left out of deployment {number} as away, and has its turn there"),
            );
        }
        if let Some(course) = self.courses.get_mut(&number) {
            course.goes_without(name);
        }
        Ok(())
    }

    /// Whether a target has its turn though it is away: it would not catch up, or nobody else is in its ring.
    fn has_its_turn_all_the_same(&self, course: &Course, name: &TargetName) -> bool {
        let is_here = |other: &&TargetName| !course.left_out.contains(*other) && !self.away.contains(*other);
        let ring = course.ring_of(name);
        let mut others = course.targets.iter().filter(|other| course.ring_of(other) == ring);
        let is_alone = others.find(is_here).is_none();
        !installs(course.act) || course.is_narrowed || course.has_sides || is_alone
    }

    /// A deployment begins: without those that are away, and they are not counted among those that serve.
    pub fn begins_with(&mut self, number: u64, targets: &[TargetName]) -> Verdict {
        let Some(course) = self.courses.get(&number).filter(|course| !course.has_begun) else { return Ok(()) };
        // What takes a change of the data back is for whoever has that change.
        let may_change_back = course.act == OrderAct::Rollback && !self.changing.is_empty();
        let is_missed = |name: &&TargetName| course.waits(name) && self.away.contains(*name);
        let missed = course.targets.iter().filter(is_missed).find(|name| !self.has_its_turn_all_the_same(course, name));
        if let Some(name) = missed.filter(|_| !may_change_back) {
            return broken("AWAY", format!("deployment {number} begins with {name}, of which nobody has heard"));
        }
        // Whether a target serves may not be known for sure: here it is taken to, and there it is not.
        let may_serve = self.running.keys().filter(|name| self.may_serve(name)).count();
        let taken = targets.iter().filter(|name| self.surely_serves(name)).count();
        let must = at_least(course.rollout.min_healthy, course.of);
        if taken > may_serve.saturating_sub(must) && must > 0 {
            let what = format!("deployment {number} begins on {taken} that serve, of {may_serve}, and {must} must");
            return broken("MINIMUM", what);
        }
        if targets.iter().any(|name| self.away.contains(name)) {
            self.sees("had its turn though it was away");
        }
        Ok(())
    }

    /// Whether a target counts among those that serve, as far as anybody knows.
    fn may_serve(&self, name: &TargetName) -> bool {
        let counts = !self.retired.contains(name) && !self.away.contains(name) && !self.ends.is_passing(name);
        counts && self.running.contains_key(name)
    }

    /// Whether it does beyond doubt: who was told to stop may do so though that was aborted meanwhile.
    fn surely_serves(&self, name: &TargetName) -> bool {
        let is_doubtful = self.unwell.contains_key(name) || self.silent(name) || !self.sides.is_sure_to_serve(name);
        self.may_serve(name) && !is_doubtful && !self.owes_a_word(name)
    }

    /// Whether a target can leave what it runs for what it has missed: beyond doubt as many others serve as must.
    fn can_be_spared(&self, course: &Course, name: &TargetName) -> bool {
        let others = self.running.keys().filter(|other| *other != name && self.surely_serves(other)).count();
        !self.may_serve(name) || others >= at_least(course.rollout.min_healthy, self.joined)
    }

    /// The targets whose silence keeps a deployment from going on and from settling by itself, which are more than may fail.
    pub fn keep_silent<'a>(&'a self, course: &'a Course) -> Vec<&'a TargetName> {
        let is_back = |name: &TargetName| course.undoing.contains(name) || course.undone.contains(name);
        let is_looked_after = |name: &TargetName| self.cordoned.contains(name) || self.retired.contains(name);
        let counts = |name: &&TargetName| {
            let is_verified = course.outcomes.get(*name) == Some(&Outcome::Verified) && !is_back(name);
            is_verified && !is_looked_after(name) && !course.replaced.contains(*name) && !self.ends.is_passing(name)
        };
        let silent: Vec<&TargetName> = self.away.iter().filter(counts).collect();
        let may = at_most(course.rollout.failure_budget, course.targets.len());
        if silent.len() > may { silent } else { Vec::new() }
    }

    /// The next ring begins, or what was brought settles: by itself not while too many are silent that have it.
    pub fn is_seen(&self, number: u64, what: &str) -> Verdict {
        let Some(course) = self.courses.get(&number).filter(|_| self.by_itself) else { return Ok(()) };
        match self.keep_silent(course).first() {
            Some(name) => broken("UNSEEN", format!("{what} of deployment {number}, and nobody has heard of {name}")),
            None => Ok(()),
        }
    }

    /// Whether these targets are of a ring that has not begun.
    pub fn is_next_ring(&self, number: u64, targets: &[TargetName]) -> bool {
        let Some(course) = self.courses.get(&number).filter(|course| course.has_begun) else { return false };
        let ring = targets.iter().map(|name| course.ring_of(name)).max();
        course.act != OrderAct::Switch && ring > course.before.keys().map(|name| course.ring_of(name)).max()
    }

    /// What a silence keeps waiting, at a moment.
    pub fn silences_are_seen(&mut self, state: &State, now: Timestamp) {
        let has_soaked = |course: &&Course| {
            let since = course.soaks_from().map(|from| now.duration_since(from).as_secs());
            since.is_some_and(|since| since > self.soak_seconds)
        };
        let soaking = state.soaking.iter().filter_map(|number| self.courses.get(number));
        let is_kept = soaking.filter(has_soaked).any(|course| !self.keep_silent(course).is_empty());
        if is_kept {
            self.sees("kept from settling by a silence");
        }
    }

    /// Whether qa and ops agreed to a build for all this time.
    pub fn is_granted(&self, build: &Digest, from: Timestamp, until: Timestamp) -> bool {
        self.wishes.values().any(|wish| {
            let is_granted = self.with_packages(build).contains(&wish.build) && wish.is_granted(self.charter);
            is_granted && wish.not_before <= from && until < wish.not_after
        })
    }

    /// Troubles are over for long: whoever was left out has what they missed, if it may run there still.
    pub fn nobody_is_forgotten(&self, cast: &Cast, now: Timestamp, packages: &Packages) -> Verdict {
        let Some((number, course)) = self.standing() else { return Ok(()) };
        let earlier = now - SEEN_BACK_WITHIN;
        let mut moments = [earlier, now].into_iter();
        let may_run = self.is_granted(&course.build, earlier, now)
            && moments.all(|at| self.may_begin(cast, number, at).is_ok())
            && course.ended.is_some_and(|ended| ended < earlier);
        let is_free = !self.courses.values().any(Course::has_its_place) && !packages.is_any_under_way();
        let is_kept_out = |name: &TargetName| self.cordoned.contains(name) || self.away.contains(name);
        let forgotten = |name: &&TargetName| {
            let has_it = self.running.get(*name) == Some(&course.build);
            let comes_later = packages.misses(course, name);
            !has_it
                && !is_kept_out(name)
                && !comes_later
                && self.can_be_spared(course, name)
                && self.is_not_over(number, std::slice::from_ref(*name), now).is_ok()
        };
        match course.missed_by().find(forgotten).filter(|_| may_run && is_free) {
            Some(name) => broken("AWAY", format!("{name} was left out of deployment {number}, and never got it")),
            None => Ok(()),
        }
    }
}
