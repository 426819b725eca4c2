//! What of all that happens is one application's, and what permits it: its own requests, and those of the packages that list it.

use super::{Model, Violation, course::Course};
use crate::cast::Cast;
use domain::{command::Actor, entry::Entry, event::Event, state::State};
use jiff::Timestamp;
use std::sync::Arc;
use trust::{Digest, statement::Order};

impl Model {
    /// An entry that has not been looked at is about to be: the order in it, where it is one.
    pub(super) fn begins_with_entry(&mut self, cast: &Cast, entry: &Entry) -> Result<Option<Order>, Violation> {
        self.looked = entry.number;
        self.by_itself = entry.actor == Actor::Clock.name() || entry.actor.starts_with("target:");
        self.in_doubt = false;
        self.recorded(cast, entry)
    }

    /// Whether an entry was looked at before.
    pub(super) fn has_looked_at(&self, entry: &Entry) -> bool {
        entry.number <= self.looked
    }

    /// All was looked at that led to this.
    pub(super) fn has_come_to(&mut self, state: Arc<State>) {
        self.published = Some(state);
    }

    /// Whether something happened to another application.
    pub(super) fn is_of_another(&self, event: &Event) -> bool {
        match event {
            Event::DeploymentRequested { app, .. }
            | Event::HealthChanged { app, .. }
            | Event::HoldLifted { app, .. } => *app != self.app,
            Event::WaveStarted { deployment, .. }
            | Event::UndoStarted { deployment, .. }
            | Event::TargetFinished { deployment, .. }
            | Event::TargetAdded { deployment, .. }
            | Event::TargetExcluded { deployment, .. }
            | Event::DeploymentPaused { deployment, .. }
            | Event::DeploymentEnded { deployment, .. }
            | Event::DeploymentSettled { deployment } => !self.courses.contains_key(deployment),
            _ => false,
        }
    }

    /// Whether qa and ops agreed to a build, and nobody has taken that back: to it itself, or to a package that lists it, as
    /// long as nobody withdrew it by itself.
    pub(super) fn is_permitted(&self, build: &Digest) -> bool {
        let lives = |build: &Digest| {
            let dead_through = self.dead.get(build).copied().unwrap_or(0);
            let mut wishes = self.wishes.values().filter(|wish| wish.build == *build);
            wishes.any(|wish| wish.serial > dead_through && wish.is_granted(self.charter))
        };
        lives(build) || !self.dead.contains_key(build) && self.packages_of(build).iter().any(lives)
    }

    /// The packages that list a build.
    pub(super) fn packages_of(&self, build: &Digest) -> &[Digest] {
        self.listed.get(build).map_or(&[], Vec::as_slice)
    }

    /// What is excepted from a freeze that lets a deployment pass: its build, or the package that brings it. Another package that lists
    /// the same build is none of its business.
    pub(super) fn let_pass_with(&self, course: &Course, at: Timestamp) -> Vec<Digest> {
        let package = course.brought_by.or_else(|| self.permitting(&course.build, at));
        std::iter::once(course.build).chain(package).collect()
    }

    /// The package by whose permit a build that is ordered by itself may run at a moment: the newest, and only where its own does not
    /// let it.
    fn permitting(&self, build: &Digest, at: Timestamp) -> Option<Digest> {
        let holds = |build: &Digest| {
            let dead_through = self.dead.get(build).copied().unwrap_or(0);
            let mut wishes = self.wishes.values().filter(|wish| wish.build == *build && wish.serial > dead_through);
            wishes.any(|wish| wish.is_granted(self.charter) && wish.not_before <= at && at < wish.not_after)
        };
        let by_itself = holds(build) || self.dead.contains_key(build);
        self.packages_of(build).iter().rev().find(|package| !by_itself && holds(package)).copied()
    }

    /// A build, and the packages that list it.
    pub(super) fn with_packages(&self, build: &Digest) -> Vec<Digest> {
        std::iter::once(*build).chain(self.packages_of(build).iter().copied()).collect()
    }
}
