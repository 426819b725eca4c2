//! What may stand until what is under way has ended: it is not refused for that, begins once it can, and gives way to
//! nothing but what is newer.

use super::{Course, Model, Violation, broken, packages::Packages};
use crate::cast::Cast;
use jiff::{SignedDuration, Timestamp};
use trust::{Digest, statement::Order};

type Verdict = Result<(), Violation>;

/// How long it may take the server to see that something has ended, and to begin what stands.
const BEGINS_WITHIN: SignedDuration = SignedDuration::from_mins(2);

impl Model {
    /// Whether this is an order that may stand until what is under way has ended.
    pub fn may_follow(&self, payload: &Digest) -> bool {
        self.orders.get(payload).is_some_and(|(_, order)| order.after_current)
    }

    /// Something was ordered: whether it stands until something else has ended.
    pub fn is_to_follow(&mut self, order: &Order, course: &mut Course, packages: &Packages) {
        let is_in_the_way = self.courses.values().any(Course::has_its_place) || packages.is_any_under_way();
        course.follows = order.after_current && is_in_the_way;
        if course.follows {
            self.sees("stood until something else had ended");
        }
    }

    /// A deployment ends since another takes its place: that is newer.
    pub fn gives_way(&self, number: u64, to: Option<u64>) -> Verdict {
        match to.is_some_and(|other| other > number) {
            true => Ok(()),
            false => broken("FOLLOWS", format!("deployment {number} gives way to {to:?}, which is not newer")),
        }
    }

    /// Troubles are over for long: what stood until something else had ended has begun, or something else is against it.
    pub fn nothing_stands_for_nothing(&self, cast: &Cast, now: Timestamp, packages: &Packages) -> Verdict {
        if self.courses.values().any(Course::has_its_place) || packages.is_any_under_way() {
            return Ok(());
        }
        let stands = |course: &&Course| course.is_queued() && course.follows && course.paused.is_none();
        let earlier = now - BEGINS_WITHIN;
        for (number, course) in self.courses.iter().filter(|(_, course)| stands(course)) {
            let is_granted = self.is_granted(&course.build, earlier, now);
            if is_granted && [earlier, now].into_iter().all(|at| self.may_begin(cast, *number, at).is_ok()) {
                return broken("FOLLOWS", format!("deployment {number} stands, and nothing is in its way"));
            }
        }
        Ok(())
    }
}
