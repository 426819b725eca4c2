//! What was verified and left in doubt: whatever a failure would lead to, it waits until somebody has looked.

use super::{Course, Model, Violation, broken};
use crate::cast::DOUBT;
use trust::{
    TargetName,
    statement::{OrderAct, Outcome},
};

type Verdict = Result<(), Violation>;

impl Course {
    /// Whether somebody has to look at what a target left in doubt: not where it only goes back, or is started again.
    fn asks_to_look(&self) -> bool {
        matches!(self.act, OrderAct::Deploy | OrderAct::Redeploy | OrderAct::Configure | OrderAct::Switch)
    }

    /// The target where nobody has looked yet.
    pub fn doubted(&self) -> Option<&TargetName> {
        let counts = |name: &&TargetName| {
            let is_verified = self.outcomes.get(*name) == Some(&Outcome::Verified);
            is_verified && !self.undone.contains(*name) && !self.left_out.contains(*name)
        };
        self.doubts.iter().find(counts)
    }
}

impl Model {
    /// A target has said what its part came to.
    pub fn is_doubted(&mut self, number: u64, name: &TargetName, doubt: Option<&str>, changes: bool) -> Verdict {
        if changes && doubt.is_some() != self.in_doubt {
            let said = if self.in_doubt { "is" } else { "is not" };
            return broken("DOUBT", format!("{name} {said} in doubt of deployment {number}, and that is not recorded"));
        }
        let Some(course) = self.courses.get_mut(&number) else { return Ok(()) };
        match doubt.is_some() && course.asks_to_look() {
            true => course.doubts.insert(name.clone()),
            false => course.doubts.remove(name),
        };
        if doubt.is_some() {
            self.sees("in doubt");
        }
        Ok(())
    }

    /// A deployment goes on, or has come to a good end: nothing of it is in doubt.
    pub fn somebody_has_looked(&self, number: u64, what: &str) -> Verdict {
        match self.courses.get(&number).and_then(Course::doubted) {
            Some(name) => broken("DOUBT", format!("deployment {number} {what}, and nobody has looked at {name}")),
            None => Ok(()),
        }
    }

    /// A deployment is taken back for this reason: that something is in doubt is none.
    pub fn is_no_doubt(&self, number: u64, reason: &str) -> Verdict {
        match reason.contains(DOUBT) {
            true => broken("DOUBT", format!("deployment {number} goes back for a doubt: {reason}")),
            false => Ok(()),
        }
    }

    /// Nothing stands in doubt and waits for nobody.
    pub fn doubts_wait_for_people(&self) -> Verdict {
        let is_left = |(_, course): &(&u64, &Course)| {
            let goes_forward = course.ended.is_none() && course.has_begun && !course.taken_back;
            goes_forward && course.unfinished.is_empty() && course.paused.is_none() && course.doubted().is_some()
        };
        match self.courses.iter().find(is_left) {
            Some((number, _)) => broken("DOUBT", format!("deployment {number} is in doubt, and waits for nobody")),
            None => Ok(()),
        }
    }
}
