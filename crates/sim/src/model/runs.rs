//! What runs on targets by what the server was told, and which deployment brought it there.

use super::{Model, course::Course, target};
use domain::event::Change;
use jiff::Timestamp;
use trust::{Digest, TargetName, statement::OrderAct};

impl Model {
    /// What a target runs from now on, and which deployment brought it.
    pub(super) fn runs_now(&mut self, number: u64, name: &TargetName, running: Option<Digest>, change: Option<Change>) {
        self.unwell.remove(name);
        let before = self.running.get(name).copied();
        match running {
            // A target that goes on running the same build has it from where it had it.
            Some(build) if before == Some(build) && change != Some(Change::Repeated) => {
                let switches = self.courses.get(&number).is_some_and(|course| course.act == OrderAct::Switch);
                if switches && change.is_some() {
                    self.brought.insert(name.clone(), number);
                }
            }
            Some(build) => {
                self.running.insert(name.clone(), build);
                self.brought.insert(name.clone(), number);
            }
            None => {
                self.running.remove(name);
                self.brought.remove(name);
            }
        }
    }

    /// What a target runs no more says nothing about what it runs.
    pub(super) fn is_replaced_on(&mut self, name: &TargetName, brought: Option<u64>, time: Timestamp) {
        let is_replaced = self.brought.get(name).copied() != brought;
        let course = brought.filter(|_| is_replaced).and_then(|number| self.courses.get_mut(&number));
        if let Some(course) = course {
            course.is_replaced_on(name, time);
        }
    }

    /// What soaks still where nothing replaced it, and had brought a target what it goes back to now.
    pub(super) fn comes_back_to(&self, number: u64, name: &TargetName, running: Option<Digest>) -> Option<u64> {
        self.courses.get(&number).filter(|course| course.undoing.contains(name))?;
        let soaks = |(number, course): &(&u64, &Course)| {
            Some(course.build) == running
                && course.replaced.contains(name)
                && course.soaks_somewhere()
                && !self.settled_ones.contains(number)
        };
        self.courses.iter().filter(soaks).map(|(number, _)| *number).max()
    }

    /// What a target goes back to was brought by this again, and soaks there again.
    pub(super) fn is_there_again(&mut self, name: &TargetName, back: Option<u64>, time: Timestamp) {
        let Some(number) = back else { return };
        self.brought.insert(name.clone(), number);
        if let Some(course) = self.courses.get_mut(&number) {
            course.is_there_again(name, time);
            self.sees("what was replaced while it soaked there again");
        }
    }

    /// What was started anew is well, whatever brought it to the target.
    pub(super) fn is_started_anew(&mut self, name: &TargetName, running: Option<Digest>, time: Timestamp) {
        let was_unwell = self.unwell.contains_key(name) && running.is_some();
        let brought = self.brought.get(name).filter(|_| was_unwell && running == self.running.get(name).copied());
        if let Some(course) = brought.and_then(|number| self.courses.get_mut(number)) {
            course.says_how_it_is(name, false, time);
        }
    }

    /// What is stopped on a target does not soak, whatever brought it there.
    pub(super) fn is_stopped_there(&mut self, name: &TargetName, running: Option<Digest>, time: Timestamp) {
        let stopped = self.sides.is_stopped(name);
        let course = self.brought.get(name).and_then(|number| self.courses.get_mut(number));
        if let Some(course) = course.filter(|course| Some(course.build) == running) {
            course.is_stopped(name, stopped, time);
        }
    }

    /// A target says how it is with what runs there.
    pub(super) fn says_how_it_is(&mut self, name: &TargetName, build: &Digest, is_unwell: bool, time: Timestamp) {
        if self.running.get(name) != Some(build) {
            return;
        }
        match is_unwell {
            true => drop(self.unwell.entry(name.clone()).or_insert(self.looked)),
            false => drop(self.unwell.remove(name)),
        }
        let Some(course) = self.brought.get(name).and_then(|number| self.courses.get_mut(number)) else { return };
        // What stands by serves nobody.
        course.says_how_it_is(name, is_unwell && !self.sides.stands_by(name), time);
        match (is_unwell, course.has_succeeded, course.ended) {
            (false, _, _) => self.sees("well again"),
            (true, true, _) => self.sees("unwell while it soaks"),
            (true, _, None) => self.sees("unwell while others wait"),
            (true, _, Some(_)) => {}
        }
    }

    pub(super) fn silent(&self, name: &TargetName) -> bool {
        (0..self.targets.len()).any(|index| target(index) == *name && self.targets[index].is_silent)
    }
}
