//! What changes the application's data: once by an order, on one target, before anything of the build runs anywhere.

use super::{Model, Violation, broken};
use crate::cast::{Cast, target};
use domain::plan::Migration;
use jiff::Timestamp;
use trust::{Digest, TargetName, statement::OrderAct};

impl Model {
    /// A build is about to change the data on a target, or to take that back.
    pub fn migrates(
        &mut self,
        cast: &Cast,
        index: usize,
        current: Option<Digest>,
        (build, migration): (Digest, Migration),
        clock: Timestamp,
    ) -> Result<(), Violation> {
        let newest = self.targets[index].newest().and_then(|order| self.orders.get(&order));
        let is_asked_for = newest
            .is_some_and(|(of, order)| self.with_packages(&build).contains(of) && order.act != OrderAct::Rollback);
        if migration == Migration::Undo || !is_asked_for {
            self.sees("data changed back");
            return Ok(());
        }
        let name = cast.name(&build);
        let order = match self.may_go_forward(index, build, current, clock) {
            Ok((order, _)) => order,
            Err(why) => return broken("AUTHORITY", format!("{} changes the data for {name}: {why}", target(index))),
        };
        if let Some(first) = self.changes.insert(order, index) {
            let (first, second) = (target(first), target(index));
            let what = format!("one order for {name} has the data changed twice, on {first} and on {second}");
            return broken("DATA", what);
        }
        self.changed.insert(build);
        self.sees("data changed");
        Ok(())
    }

    /// Nothing of a build that changes the data runs before it has.
    pub fn has_its_data(&self, cast: &Cast, index: usize, build: Digest) -> Result<(), Violation> {
        if !self.changing.contains(&build) || self.changed.contains(&build) {
            return Ok(());
        }
        broken("DATA", format!("{} switches to {} before the data is as it wants it", target(index), cast.name(&build)))
    }

    /// One target changes the data for a deployment, or takes that back.
    pub fn elects(&mut self, number: u64, targets: &[TargetName], migration: Option<Migration>) {
        let course = self.courses.get_mut(&number).filter(|_| migration.is_some());
        if let Some(course) = course {
            course.elected = targets.first().cloned();
        }
    }

    /// What changes the data begins on one target alone.
    pub fn begins_alone(&self, number: u64, targets: &[TargetName]) -> Result<(), Violation> {
        let begins = self.courses.get(&number).filter(|course| course.brings() && !course.has_begun);
        match begins.is_some_and(|course| self.changing.contains(&course.build)) && targets.len() > 1 {
            true => broken("DATA", format!("deployment {number} changes the data, and begins on {targets:?}")),
            false => Ok(()),
        }
    }
}
