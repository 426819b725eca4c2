//! What the server decided, held against the rules.

use super::{
    Model, Violation, broken, calendar,
    course::{Course, Paused, at_most, installs},
    has_not_come,
    packages::Packages,
};
use crate::cast::{Cast, DOUBT, prod, target};
use domain::{
    entry::Entry,
    event::{Change, Ending, Event},
    plan,
    state::State,
    waiting::WaitingOn,
};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;
use trust::{
    Digest, TargetName,
    rollout::{Advance, OnFailure, Share},
    statement::{Act, AdministrationAct, Order, OrderAct, Outcome, Statement},
};

type Verdict = Result<(), Violation>;

impl Model {
    /// What was signed is recorded once, and does what it says. The order, where it is one.
    pub(super) fn recorded(&mut self, cast: &Cast, entry: &Entry) -> Result<Option<Order>, Violation> {
        let Some(envelope) = &entry.envelope else { return Ok(None) };
        let payload = Digest::of(&envelope.payload);
        if let Some(first) = self.recorded.insert(payload, entry.number) {
            return broken("ONCE", format!("entries {first} and {} hold the same statement", entry.number));
        }
        if let Some((build, through)) = self.withdrawals.get(&payload) {
            let dead = self.dead.entry(*build).or_default();
            *dead = (*dead).max(*through);
        }
        match Statement::read(envelope).map(|statement| statement.act) {
            Ok(Act::Administration(administration)) => self.guided(&administration.act, entry.time),
            Ok(Act::Report(report)) => self.in_doubt = report.app == self.app && report.doubt.is_some(),
            Ok(Act::Order(order)) => {
                if let Some(number) = order.retries {
                    self.tried_again(cast, number, &order, entry.time)?;
                }
                return Ok(Some(order));
            }
            _ => {}
        }
        Ok(None)
    }

    /// Somebody says how a deployment is to go on.
    fn guided(&mut self, act: &AdministrationAct, time: Timestamp) {
        if matches!(act, AdministrationAct::ApplyCharter { .. }) {
            if !self.has_two_charters {
                return;
            }
            self.charter += 1;
            return self.sees("a charter that takes power from somebody");
        }
        if let AdministrationAct::CordonTarget { target: name, cordoned, .. } = act {
            self.sees(if *cordoned { "cordoned" } else { "no longer cordoned" });
            if *cordoned {
                self.cordoned.insert(name.clone());
            } else {
                self.cordoned.remove(name);
            }
            self.courses.values_mut().for_each(|course| course.cordoned(name, *cordoned));
            return;
        }
        if let AdministrationAct::RetireTarget { target: name } = act {
            self.leaves(name);
            return;
        }
        let (number, kind) = match act {
            AdministrationAct::PauseDeployment { deployment, .. } => (deployment, "paused"),
            AdministrationAct::ResumeDeployment { deployment, .. } => (deployment, "resumed"),
            AdministrationAct::ExcludeTarget { deployment, .. } => (deployment, "left out"),
            AdministrationAct::AbortDeployment { deployment, .. } => (deployment, "aborted"),
            _ => return,
        };
        self.sees(kind);
        let is_meant = |(other, course): &(&u64, &mut Course)| {
            *other == number || course.package == Some(*number) && course.ended.is_none()
        };
        let Some((own, course)) = self.courses.iter_mut().find(is_meant) else { return };
        if own != number && !course.is_reached_by(act) {
            return;
        }
        match act {
            AdministrationAct::PauseDeployment { .. } => course.paused = Some(Paused::ByWord),
            AdministrationAct::ResumeDeployment { .. } => {
                let failed = course.paused == Some(Paused::ByFailure);
                let in_doubt = course.doubted().is_some();
                course.resumed(time);
                if failed {
                    self.sees(if in_doubt { "resumed in spite of a doubt" } else { "resumed in spite of a failure" });
                }
            }
            AdministrationAct::ExcludeTarget { target: name, .. } => {
                course.excluded(name);
                if course.unfinished.remove(name) {
                    self.fell_silent(name, true);
                }
            }
            _ => {}
        }
    }

    /// A target is gone for good.
    pub(super) fn leaves(&mut self, name: &TargetName) {
        self.sees("retired");
        if self.courses.values().any(|course| course.ended.is_none() && course.targets.contains(name)) {
            self.sees("retired in a deployment");
        }
        self.retired.insert(name.clone());
        self.unwell.remove(name);
        self.running.remove(name);
        self.ends.leaves(name, self.looked);
        self.joined = self.joined.saturating_sub(usize::from(!self.ends.is_passing(name)));
        self.courses.values_mut().for_each(|course| course.leaves(name));
    }

    /// Somebody lets targets try again: at once where all was over, and else when it is their turn.
    fn tried_again(&mut self, cast: &Cast, number: u64, order: &Order, time: Timestamp) -> Verdict {
        let Some(course) = self.courses.get_mut(&number) else { return Ok(()) };
        let was_left_out = order.only.iter().any(|name| course.left_out.contains(name));
        course.retried(&order.only, time);
        let (is_over, brings) = (course.ended.is_some(), installs(course.act));
        self.sees(if is_over { "tried again when all was over" } else { "tried again" });
        if was_left_out {
            self.sees("tried again though left out");
        }
        let only: Vec<TargetName> = order.only.iter().cloned().collect();
        if brings {
            self.is_not_cordoned(number, &only)?;
        }
        if is_over {
            if let Some(course) = self.courses.get_mut(&number) {
                course.unfinished.extend(order.only.iter().cloned());
                course.schedule = order.schedule.clone();
            }
            self.follow(number, order.only.iter());
            self.may_begin(cast, number, time)?;
        }
        Ok(())
    }

    /// Nothing is known of a target any more, or something is again.
    fn fell_silent(&mut self, name: &TargetName, is_silent: bool) {
        if let Some(index) = (0..self.targets.len()).find(|index| target(*index) == *name) {
            self.targets[index].is_silent = is_silent;
        }
    }

    /// Something happened. `order` is the one behind what is ordered, whoever ordered it when.
    pub(super) fn happened(
        &mut self,
        cast: &Cast,
        event: &Event,
        time: Timestamp,
        order: Option<&Order>,
        packages: &Packages,
    ) -> Verdict {
        if self.is_of_another(event) {
            return Ok(());
        }
        match event {
            Event::DeploymentRequested { deployment, act, build, targets, package, .. } => {
                let Some(order) = order else {
                    return broken("ONCE", format!("nobody ordered deployment {deployment}"));
                };
                if *act == OrderAct::Rollback {
                    if self.held.contains_key(build) {
                        return broken(
                            "HOLD",
                            format!("deployment {deployment} goes back to what is held out of prod"),
                        );
                    }
                    let running = targets.iter().filter_map(|name| self.running.get(name));
                    let left: Vec<Digest> =
                        running.copied().filter(|other| cast.version_of(other) > cast.version_of(build)).collect();
                    for build in left {
                        self.held.entry(build).or_insert(*deployment);
                    }
                }
                if installs(*act) {
                    self.is_not_cordoned(*deployment, targets)?;
                    self.is_not_over(*deployment, targets, time)?;
                }
                if package.is_none() {
                    self.is_as_planned(*deployment, order, targets)?;
                }
                let mut course =
                    Course::new(&self.rollout, order, *build, targets, (self.ends.passing(), &self.away), time);
                course.of = self.joined;
                course.package = *package;
                course.brought_by = package.and_then(|number| packages.build_of(number));
                if self.sides.are_there {
                    course.has_sides = true;
                    // What stands by serves nobody, and is not counted on.
                    let others = self.running.keys().filter(|name| !targets.contains(name));
                    let counts = |name: &&TargetName| self.sides.stands_by(name) && !self.ends.is_passing(name);
                    course.of -= others.filter(|name| !self.retired.contains(*name)).filter(counts).count();
                    if *act == OrderAct::Switch {
                        course.switches(|name| self.running.get(name) != Some(build));
                    }
                }
                self.sides_ordered(*deployment, *act, *build, targets)?;
                self.is_to_follow(order, &mut course, packages);
                self.ordered(order, &course);
                self.courses.insert(*deployment, course);
            }
            Event::TargetEnrolled { target, .. } => {
                self.joined += usize::from(!self.ends.is_passing(target));
                self.ends.joins(target, time);
                self.newcomers.insert(target.clone());
            }
            Event::TargetExcluded { deployment, target, away: true, .. } => {
                return self.is_left_out(*deployment, target);
            }
            Event::TargetExcluded { deployment, target, by: Some(_), .. } => {
                // Somebody left it out of a package, and so of those members that it has a part in.
                let course = self.courses.get_mut(deployment).filter(|course| course.package.is_some());
                if let Some(course) = course {
                    course.excluded(target);
                    if course.unfinished.remove(target) {
                        self.fell_silent(target, true);
                    }
                }
            }
            Event::TargetAdded { deployment, target } => return self.catches_up(cast, *deployment, target, time),
            Event::WaveStarted { deployment, targets, migrate, .. } => {
                self.wave(cast, *deployment, targets, time)?;
                self.elects(*deployment, targets, *migrate);
            }
            Event::UndoStarted { deployment, reason, targets, absent, aborted } => {
                self.is_no_silence(*deployment, reason)?;
                self.is_no_doubt(*deployment, reason)?;
                if aborted.is_none() {
                    self.sees("a failure undone");
                }
                let soaked = self.courses.get(deployment).is_some_and(|course| course.has_succeeded);
                if soaked {
                    self.sees("taken back while it soaked");
                }
                if let Some(course) = self.courses.get_mut(deployment) {
                    course.reopens();
                    (course.taken_back, course.paused) = (true, None);
                    course.unfinished = targets.iter().cloned().collect();
                    course.undoing.extend(targets.iter().chain(absent).cloned());
                }
                self.follow(*deployment, targets.iter().chain(absent));
            }
            Event::DeploymentPaused { deployment, failure: Some(failure), .. } => {
                self.is_no_silence(*deployment, failure)?;
                self.sees(if failure.contains(DOUBT) { "a doubt that pauses" } else { "a failure that pauses" });
                if let Some(course) = self.courses.get_mut(deployment) {
                    course.paused = Some(Paused::ByFailure);
                }
            }
            Event::HealthChanged { target, build, unwell, .. } => {
                self.says_how_it_is(target, build, unwell.is_some(), time);
            }
            Event::TargetFinished {
                deployment,
                target,
                outcome,
                change,
                running,
                given_up,
                stands,
                standby,
                doubt,
                ..
            } => {
                let is_stopped = self.courses.get(deployment).is_some_and(|course| course.act == OrderAct::Stop);
                if *change == Some(Change::Controlled) && !is_stopped {
                    self.is_started_anew(target, *running, time);
                }
                let brought = self.brought.get(target).copied();
                // Who could not go back may run what it was to go back to all the same.
                let before = self.courses.get(deployment).and_then(|course| course.before.get(target));
                let has_failed = matches!(outcome, Outcome::Failed { .. }) && !given_up;
                let is_there = *outcome == Outcome::Verified || has_failed && before == Some(running);
                let back = self.comes_back_to(*deployment, target, *running).filter(|_| is_there);
                self.runs_now(*deployment, target, *running, *change);
                self.is_there_again(target, back, time);
                self.is_replaced_on(target, brought, time);
                self.says_what_serves(*deployment, target, (*running, *standby), (outcome, *change));
                self.is_stopped_there(target, *running, time);
                let was_silent = self.silent(target);
                self.fell_silent(target, *given_up);
                self.says_how_it_ended(*deployment, target, *given_up);
                if *given_up {
                    self.sees("a target given up on");
                } else if was_silent && *outcome == Outcome::Verified {
                    self.sees("a target that catches up");
                }
                if let Some(course) = self.courses.get_mut(deployment) {
                    course.falls_silent(target, *given_up);
                    course.ends_its_part(target, outcome, *stands, was_silent, time);
                }
                self.is_doubted(*deployment, target, doubt.as_deref(), change.is_some())?;
            }
            Event::DeploymentEnded { deployment, ending, superseded_by, .. } => {
                if *ending == Ending::Superseded {
                    self.gives_way(*deployment, *superseded_by)?;
                }
                if *ending == Ending::Succeeded {
                    self.somebody_has_looked(*deployment, "has succeeded")?;
                }
                self.ended(*deployment, *ending, time)?;
                return self.switch_is_over(*deployment, *ending == Ending::Succeeded);
            }
            Event::DeploymentSettled { deployment } => {
                self.settles(*deployment)?;
                self.settled_ones.insert(*deployment);
                self.is_seen(*deployment, "the build settles")?;
                let from = self.courses.get(deployment).and_then(Course::soaks_from);
                if from.is_none_or(|from| time.duration_since(from).as_secs() < self.soak_seconds) {
                    return broken("SOAK", format!("deployment {deployment} settled before its time"));
                }
            }
            Event::HoldLifted { build, .. } => {
                self.sees("a hold lifted");
                self.held.retain(|held, _| build.is_some_and(|build| build != *held));
            }
            Event::FreezeDeclared { .. } => self.sees("a freeze"),
            Event::FreezeLifted { .. } => self.sees("a freeze lifted"),
            Event::FreezeExcepted { .. } => self.sees("an exception from a freeze"),
            _ => {}
        }
        Ok(())
    }

    /// What was ordered by a plan is what the plan showed, and meets what it showed.
    fn is_as_planned(&mut self, number: u64, order: &Order, targets: &[TargetName]) -> Verdict {
        let Some(planned) = order.plan.and_then(|id| self.plans.get(&id)) else { return Ok(()) };
        let shown: Vec<(&TargetName, Option<Digest>)> =
            planned.targets.iter().map(|target| (&target.target, target.running)).collect();
        let is: Vec<(&TargetName, Option<Digest>)> =
            targets.iter().map(|name| (name, self.running.get(name).copied())).collect();
        if shown != is {
            return broken("PLAN", format!("deployment {number} was ordered for {shown:?}, and is for {is:?}"));
        }
        self.sees("ordered exactly as planned");
        Ok(())
    }

    /// What kind of deployment was ordered.
    fn ordered(&mut self, order: &Order, course: &Course) {
        match course.act {
            OrderAct::Redeploy => self.sees("deployed again"),
            OrderAct::Rollback => self.sees("rolled back"),
            OrderAct::Stop => self.sees("stopped"),
            OrderAct::Start | OrderAct::Restart => self.sees("started again"),
            OrderAct::Undeploy => self.sees("removed"),
            OrderAct::Deploy | OrderAct::Configure | OrderAct::Switch => {}
        }
        let is_removed = self.standing().is_some_and(|(_, course)| course.act == OrderAct::Undeploy);
        if is_removed && installs(course.act) {
            self.sees("brought again after it was removed");
        }
        if course.is_planned {
            self.sees("planned");
        }
        if course.brings() && !order.rollout.is_empty() {
            let is_eased = !course.rollout.eased(&self.rollout, course.targets.len()).is_empty();
            self.sees(if is_eased { "less care by order" } else { "more care by order" });
        }
    }

    /// A wave begins: by its rollout, at its moment, and with the permission that it needs.
    fn wave(&mut self, cast: &Cast, number: u64, targets: &[TargetName], time: Timestamp) -> Verdict {
        let Some(course) = self.courses.get(&number) else {
            return broken("ONCE", format!("a wave of deployment {number} begins, which nobody ordered"));
        };
        if installs(course.act) {
            self.is_not_cordoned(number, targets)?;
        }
        course.may_begin(number, targets, time)?;
        self.somebody_has_looked(number, "goes on")?;
        self.begins_with(number, targets)?;
        if self.is_next_ring(number, targets) {
            self.is_seen(number, "the next ring begins by itself")?;
        }
        self.begins_alone(number, targets)?;
        self.may_begin(cast, number, time)?;
        self.wave_seen(number, targets);
        self.follow(number, targets.iter());
        let Some(course) = self.courses.get_mut(&number) else { return Ok(()) };
        course.begins_on(targets);
        course.unfinished.extend(targets.iter().cloned());
        let before = targets.iter().map(|name| (name.clone(), self.running.get(name).copied()));
        course.before.extend(before);
        if !std::mem::replace(&mut course.has_begun, true) {
            // Whoever fell silent is looked at anew.
            self.targets.iter_mut().for_each(|on_target| on_target.is_silent = false);
        }
        Ok(())
    }

    /// Nothing new comes to a target that is cordoned, or gone.
    fn is_not_cordoned(&self, number: u64, targets: &[TargetName]) -> Verdict {
        if let Some(name) = targets.iter().find(|name| self.retired.contains(*name)) {
            return broken("RETIRED", format!("deployment {number} is for {name}, which is gone for good"));
        }
        match targets.iter().find(|name| self.cordoned.contains(*name)) {
            Some(name) => broken("CORDON", format!("deployment {number} is for {name}, which is cordoned")),
            None => Ok(()),
        }
    }

    /// A target that was not there gets what stands: the newest that came to a good end, if it may run there still.
    fn catches_up(&mut self, cast: &Cast, number: u64, name: &TargetName, time: Timestamp) -> Verdict {
        self.is_not_cordoned(number, std::slice::from_ref(name))?;
        self.is_not_over(number, std::slice::from_ref(name), time)?;
        let stands = self.standing().map(|(number, _)| number);
        if stands != Some(number) {
            return broken("ENDED", format!("{name} gets deployment {number}, and {stands:?} is what stands"));
        }
        if let Some((other, _)) = self.courses.iter().find(|(_, course)| course.has_its_place()) {
            return broken("PLACE", format!("{name} gets deployment {number} while {other} is under way"));
        }
        self.may_begin(cast, number, time)?;
        if self.away.contains(name) {
            return broken("AWAY", format!("{name} gets deployment {number}, and nobody has heard of it"));
        }
        let was_away = self.courses.get(&number).is_some_and(|course| course.missed_by().any(|other| other == name));
        self.sees(match self.newcomers.contains(name) {
            _ if was_away => "caught up after it was away",
            true => "caught up after joining",
            false => "caught up after a cordon",
        });
        if let Some(course) = self.courses.get_mut(&number) {
            course.comes_late(name);
        }
        self.follow(number, std::iter::once(name));
        Ok(())
    }

    /// What everything in the environment is to have: what came to a good end last.
    pub(super) fn standing(&self) -> Option<(u64, &Course)> {
        let stands = self.courses.iter().filter(|(_, course)| course.stands());
        stands.max_by_key(|(number, course)| (course.ended, **number)).map(|(number, course)| (*number, course))
    }

    /// Whether something may be activated for a deployment now.
    pub(super) fn may_begin(&self, cast: &Cast, number: u64, time: Timestamp) -> Verdict {
        let Some(course) = self.courses.get(&number) else { return Ok(()) };
        // Once those serve that are to, the others make way at any time.
        let switches = course.act == OrderAct::Switch && !course.has_begun;
        if !installs(course.act) && !switches {
            return Ok(());
        }
        let build = cast.name(&course.build);
        if course.brings() && !(switches && self.goes_back_to(&course.build)) {
            let closed = self.calendar.is_no_moment(&course.schedule, SignedDuration::ZERO, time);
            let frozen = self.calendar.is_frozen(&self.recorded, &self.let_pass_with(course, time), time);
            if let Some(why) = closed.or(frozen.then(|| "a freeze is on".into())) {
                return broken("MOMENT", format!("deployment {number} brings {build} at {time}, though {why}"));
            }
        }
        if course.act != OrderAct::Rollback && !switches && self.held.contains_key(&course.build) {
            return broken("HOLD", format!("deployment {number} brings {build}, which is held out of prod"));
        }
        if !self.is_permitted(&course.build) {
            return broken("AUTHORITY", format!("a wave of deployment {number} brings {build} without a permit"));
        }
        Ok(())
    }

    /// What kind of wave begins.
    fn wave_seen(&mut self, number: u64, targets: &[TargetName]) {
        let Some(course) = self.courses.get(&number) else { return };
        let rollout = &course.rollout;
        let ring = targets.first().map_or(0, |name| course.ring_of(name));
        let size = at_most(rollout.at_once, course.targets.len()).max(1);
        let others = |name: &&TargetName| course.waits(name) && course.ring_of(name) == ring && !targets.contains(name);
        let is_small = targets.len() < size && course.targets.iter().any(|name| others(&name));
        let kinds = [
            ("a share of the targets at a time", matches!(rollout.at_once, Share::Percent(_))),
            ("canaries", rollout.canary > 0 && course.is_divided()),
            ("rings", !rollout.rings.is_empty() && course.is_divided()),
            ("a ring after the last has baked", ring > 0 && rollout.bake_minutes > 0),
            ("a ring by somebody's word", ring > 0 && rollout.advance == Advance::Hand),
            ("a wave made smaller by the minimum", is_small && rollout.min_healthy != Share::Count(0)),
            ("begun once something else had ended", course.follows && !course.has_begun),
            ("begun at its time", course.is_planned && !course.has_begun),
        ];
        kinds.into_iter().filter(|(_, is_so)| *is_so).for_each(|(kind, _)| self.sees(kind));
    }

    fn ended(&mut self, number: u64, ending: Ending, time: Timestamp) -> Verdict {
        let Some(course) = self.courses.get_mut(&number) else { return Ok(()) };
        if course.ended.replace(time).is_some() {
            return broken("ENDED", format!("deployment {number} ends twice"));
        }
        (course.paused, course.has_succeeded) = (None, ending == Ending::Succeeded);
        let verified = |name: &TargetName| course.outcomes.get(name) == Some(&Outcome::Verified);
        let bad: BTreeSet<&TargetName> = course.bad().collect();
        let may = at_most(course.rollout.failure_budget, course.targets.len());
        if ending == Ending::Succeeded {
            let is_open = |name: &TargetName| course.waits(name) || course.unfinished.contains(name);
            if course.targets.iter().any(is_open) || bad.len() > may || !course.targets.iter().any(verified) {
                let what = format!("deployment {number} is said to have succeeded, and not every target verified it");
                return broken("TRUTH", what);
            }
        }
        let is_gone = |name: &TargetName| self.retired.contains(name) || course.replaced.contains(name);
        let mut switched = course.targets.iter().filter(|name| verified(name));
        if ending == Ending::Undone
            && let Some(left) = switched.find(|name| !course.undone.contains(*name) && !is_gone(name))
        {
            return broken("TRUTH", format!("deployment {number} is said to be undone, and {left} never went back"));
        }
        let has_it = |name: &TargetName| {
            self.brought.get(name) == Some(&number) && self.running.get(name) == Some(&course.build)
        };
        // A target may have had it from an earlier deployment, and have said so too late.
        let came_earlier = |name: &TargetName| {
            let found = (0..self.targets.len()).find(|index| target(*index) == *name);
            let came_by = found.and_then(|index| self.targets[index].came_by);
            came_by.is_some_and(|(build, by)| build == course.build && by != number)
        };
        let keeps = |name: &&TargetName| {
            let is_new = course.before.get(*name) != Some(&Some(course.build));
            has_it(name)
                && is_new
                && !came_earlier(name)
                && !course.left_out.contains(*name)
                && !self.retired.contains(*name)
                // What comes and goes may be gone without a word.
                && !course.is_gone_silent(name)
        };
        if ending == Ending::Undone
            && !self.is_taken
            && let Some(left) = course.targets.iter().find(keeps)
        {
            return broken(
                "TRUTH",
                format!("deployment {number} is said to be undone, and {left} runs what it brought"),
            );
        }
        // Who refuses to go back has it still, and says nothing of it.
        let stays = |name: &&TargetName| course.stays.contains(*name) && has_it(name);
        if ending == Ending::Undone
            && let Some(left) = course.targets.iter().find(stays)
        {
            return broken("TRUTH", format!("deployment {number} is said to be undone, and {left} refused to go back"));
        }
        let outcomes = || bad.iter().filter(|name| !stays(name)).filter_map(|name| course.outcomes.get(*name));
        let goes_back = !course.undone.is_empty() || course.targets.iter().any(|name| stays(&name));
        let failed = outcomes().any(|outcome| !matches!(outcome, Outcome::Refused { .. })) || goes_back;
        let refused = outcomes().any(|outcome| matches!(outcome, Outcome::Refused { .. }));
        let refused_only = refused && outcomes().all(|outcome| matches!(outcome, Outcome::Refused { .. }));
        let goes_back = course.act == OrderAct::Switch && self.sides.has_settled(&course.build);
        let is_new = course.brings() && !goes_back;
        // What went back because another member of its package failed is not to blame, nor is it for whoever was silent and went
        // back after all.
        let is_bad = |name: &&&TargetName| !matches!(course.outcomes.get(**name), Some(Outcome::Refused { .. }));
        let is_blamed =
            course.package.is_none() || bad.iter().filter(is_bad).any(|name| !course.undone.contains(*name));
        if is_new && matches!(ending, Ending::Undone | Ending::Failed) && failed && !refused_only && is_blamed {
            self.held.insert(course.build, number);
        }
        // Who went back nowhere keeps nothing out.
        let is_there = |name: &&TargetName| !course.undone.contains(*name) && !self.retired.contains(*name);
        let stands = course.targets.iter().filter(|name| verified(name)).any(|name| is_there(&name));
        let goes_back = matches!(course.act, OrderAct::Rollback | OrderAct::Switch);
        if goes_back && ending != Ending::Succeeded && !stands {
            self.held.retain(|build, placed| *placed != number || *build == course.build);
        }
        let (within, stopped) = (!bad.is_empty(), !course.taken_back);
        match ending {
            Ending::Succeeded if within => self.sees("success within the budget"),
            Ending::Failed if stopped => self.sees("a failure that stops"),
            Ending::Superseded => self.sees("superseded"),
            Ending::Dropped => self.sees("dropped"),
            _ => {}
        }
        Ok(())
    }

    /// Every deployment that has not ended is open, and says what it waits on, which is so; one has its place at a time.
    pub(super) fn stands(&mut self, state: &State, packages: &Packages) -> Verdict {
        let open = |(number, course): (&u64, &Course)| course.ended.is_none().then_some(*number);
        let courses: BTreeSet<u64> = self.courses.iter().filter_map(open).collect();
        let is_of_this = |number: &u64| state.deployments.get(number).is_some_and(|other| other.app == self.app);
        let known: BTreeSet<u64> = state.open_deployments.iter().copied().filter(is_of_this).collect();
        if let Some(number) = courses.symmetric_difference(&known).next() {
            return broken("ENDED", format!("deployment {number} is open here and has ended there"));
        }
        let placed: Vec<u64> = courses.iter().copied().filter(|number| self.courses[number].has_its_place()).collect();
        if placed.len() > 1 {
            return broken("PLACE", format!("deployments {placed:?} are all under way"));
        }
        let queued: Vec<u64> = courses.iter().copied().filter(|number| self.courses[number].is_queued()).collect();
        if queued.len() > 1 {
            return broken("PLACE", format!("deployments {queued:?} all stand for the same place"));
        }
        let now = state.head.time;
        for number in &courses {
            let Some(waits) = plan::waits(state, *number, now) else {
                return broken("PROGRESS", format!("deployment {number} stands and does not say what it waits on"));
            };
            let course = &self.courses[number];
            // What is due is begun by the clock, which looks in a moment.
            let deployment = state.deployments.get(number);
            let begins = deployment.and_then(|deployment| plan::starts(state, *number, deployment, now));
            let is_due = begins.is_some_and(|begins| begins <= now);
            if !is_due && !self.is_so(course, &waits, now, packages) {
                return broken("WAITS", format!("it is not so that {waits}"));
            }
            let goes_forward = course.has_begun && !course.taken_back && course.paused.is_none();
            if let Some(why) = course.is_beyond_budget().filter(|_| goes_forward) {
                return broken("BUDGET", format!("{why} in deployment {number}, and nothing follows"));
            }
            let between = course.has_begun;
            match waits {
                WaitingOn::Window { .. } => self.sees("waited for a window"),
                WaitingOn::Freeze { .. } => self.sees("waited for a freeze"),
                _ => continue,
            }
            if between {
                self.sees("waited between two waves");
            }
        }
        let in_the_way = state.in_audience(&self.app, &prod()).and_then(|record| record.open_deployment);
        // As long as a package is under way, that says what follows: whatever came with it, or with the one before.
        let in_the_way = in_the_way.is_some() || packages.is_any_under_way();
        for number in state.soaking.iter().filter(|_| !in_the_way) {
            let Some(course) = self.courses.get(number) else { continue };
            let undoes = course.is_unwell()
                && course.rollout.on_failure == OnFailure::Undo
                && self.leads_back(*number)
                && !packages.would_stay_in_part(course);
            if let Some(why) = course.is_beyond_budget().filter(|_| undoes) {
                return broken("BUDGET", format!("{why} in deployment {number} while it soaks, and nothing follows"));
            }
        }
        self.silences_are_seen(state, now);
        self.doubts_wait_for_people()?;
        self.left_out_stay_out(state)?;
        self.removed_stays_away(state)
    }

    /// Whether what a deployment says it waits on is so.
    fn is_so(&self, course: &Course, waits: &WaitingOn, now: Timestamp, packages: &Packages) -> bool {
        if course.paused.is_some() != matches!(waits, WaitingOn::Person { .. }) {
            return false;
        }
        match waits {
            WaitingOn::Window { .. } => {
                !self.calendar.is_open(SignedDuration::ZERO, now) || calendar::is_outside(&course.schedule, now)
            }
            WaitingOn::Freeze { .. } => self.calendar.is_frozen(&self.recorded, &self.let_pass_with(course, now), now),
            WaitingOn::Targets { targets, .. } => {
                !targets.is_empty() && targets.iter().all(|name| course.unfinished.contains(name))
            }
            WaitingOn::Word { .. } => course.rollout.advance == Advance::Hand && course.is_divided(),
            WaitingOn::Deployment { other, .. } => {
                self.courses.get(other).is_some_and(Course::has_its_place) || packages.is_under_way(*other)
            }
            WaitingOn::Time { .. } => has_not_come(waits, now),
            _ => true,
        }
    }

    /// What was removed everywhere comes again by somebody's word, and not by what was ordered before.
    fn removed_stays_away(&self, state: &State) -> Verdict {
        let Some((by, removal)) = self.standing().filter(|(_, course)| course.act == OrderAct::Undeploy) else {
            return Ok(());
        };
        for index in 0..self.targets.len() {
            for assignment in self.assignments(state, index) {
                let number = assignment.deployment;
                let Some(course) = self.courses.get(&number) else { continue };
                let is_older =
                    course.ended < removal.ended && course.retried <= removal.ended && course.ended.is_some();
                if !assignment.undo && installs(course.act) && is_older {
                    let what = format!("{} is told to follow deployment {number} after {by} removed it", target(index));
                    return broken("REMOVED", what);
                }
            }
        }
        Ok(())
    }

    fn assignments(&self, state: &State, index: usize) -> impl Iterator<Item = plan::Assignment> {
        plan::assignments(state, &target(index)).into_iter().filter(|assignment| assignment.app == self.app)
    }

    /// No target is told to go forward in a deployment that it was left out of.
    fn left_out_stay_out(&self, state: &State) -> Verdict {
        for index in 0..self.targets.len() {
            for assignment in self.assignments(state, index) {
                if self.is_retired(index) {
                    return broken("RETIRED", format!("{} is told what to do, and is gone for good", target(index)));
                }
                let course = self.courses.get(&assignment.deployment);
                let is_left_out = course.is_some_and(|course| course.left_out.contains(&target(index)));
                if is_left_out && !assignment.undo {
                    let number = assignment.deployment;
                    let what = format!("{} is told to follow deployment {number}, and was left out", target(index));
                    return broken("LEFT_OUT", what);
                }
            }
        }
        Ok(())
    }
}
