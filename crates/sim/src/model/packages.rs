//! The models of all applications, and what goes together: a package's members go in their order or side by side, and come
//! back together. What is so of one application is so of the other.

use super::{
    Model, Runs, Violation, broken,
    course::{Course, installs},
    has_not_come,
    roots::Roots,
};
use crate::{
    cast::{Cast, DB, SHOP, WEB, Who, app, listed, place_of, target},
    process::Installed,
    script::Setting,
};
use api::{agent::Orders, read::Estate};
use domain::{
    entry::Entry,
    event::{Ending, Event},
    plan,
    planned::Planned,
    rules::presence::Away,
    state::State,
    waiting::WaitingOn,
};
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use trust::{
    AppName, Digest, TargetName,
    authority::Dossier,
    dsse::Envelope,
    rollout::OnFailure,
    statement::{AdministrationAct, Order, OrderAct, Outcome},
};

type Verdict = Result<(), Violation>;

/// How long it may take the server to see that all of a package has settled.
const SEEN_WITHIN: SignedDuration = SignedDuration::from_mins(2);

/// The models, by the places of their applications.
pub struct Models {
    each: Vec<Model>,
    packages: Packages,
    pub(super) roots: Roots,
}

/// What is known of the package.
#[derive(Default)]
pub struct Packages {
    courses: BTreeMap<u64, Together>,
    /// Whether the first application comes after the second.
    in_order: bool,
    on_failure: OnFailure,
    soak_seconds: i64,
    /// The packages that are held out.
    held: BTreeMap<Digest, u64>,
    /// Whether somebody else has answered for the server.
    is_taken: bool,
    /// What runs on each target, of each application.
    running: [BTreeMap<TargetName, Digest>; 2],
    seen: BTreeSet<&'static str>,
}

/// The deployment of a package.
struct Together {
    build: Digest,
    /// What it lists, of each application.
    listed: [Digest; 2],
    order: Order,
    /// The deployments of the members that have begun, and the members that were as it says.
    members: BTreeMap<usize, u64>,
    in_place: BTreeSet<usize>,
    has_begun: bool,
    is_paused: bool,
    taken_back: bool,
    ended: Option<(Ending, Timestamp)>,
    has_settled: bool,
    /// Whether a member runs that something else had replaced everywhere, or that has settled: that would stay.
    would_stay_in_part: bool,
}

impl Together {
    fn is_under_way(&self) -> bool {
        self.ended.is_none() && self.has_begun
    }
}

impl Packages {
    /// Whether another package has come in the place of one that succeeded, or comes there: its members soak on by themselves then.
    fn is_replaced(&self, number: u64, package: &Together) -> bool {
        let Some((Ending::Succeeded, ended)) = package.ended else { return false };
        let comes_after = |(other, it): (&u64, &Together)| {
            let is_whole = it.order.only.is_empty() && *other != number;
            is_whole
                && match it.ended {
                    Some((Ending::Succeeded, later)) => (later, *other) > (ended, number),
                    Some(_) => false,
                    None => it.has_begun,
                }
        };
        self.courses.iter().any(comes_after)
    }

    /// The build of the package that a deployment is of.
    pub fn build_of(&self, number: u64) -> Option<Digest> {
        self.courses.get(&number).map(|package| package.build)
    }

    /// Whether what a deployment came with could go back in part only: nothing of it does by itself then.
    pub fn would_stay_in_part(&self, course: &Course) -> bool {
        let package = course.package.and_then(|number| Some((number, self.courses.get(&number)?)));
        package.is_some_and(|(number, package)| package.would_stay_in_part && !self.is_replaced(number, package))
    }

    /// Whether a deployment is that of a package, and under way.
    pub fn is_under_way(&self, number: u64) -> bool {
        self.courses.get(&number).is_some_and(Together::is_under_way)
    }

    /// Whether any is: all packages have the same members.
    pub fn is_any_under_way(&self) -> bool {
        self.courses.values().any(Together::is_under_way)
    }

    /// Whether a member comes to a target later, once what it comes after runs there.
    pub fn misses(&self, course: &Course, name: &TargetName) -> bool {
        let package = course.package.and_then(|number| self.courses.get(&number));
        let is_last = |package: &Together| package.listed[WEB] == course.build;
        let before = package.filter(|package| self.in_order && is_last(package)).map(|package| package.listed[DB]);
        before.is_some_and(|before| self.running[DB].get(name) != Some(&before))
    }

    fn sees(&mut self, kind: &'static str) {
        debug_assert!(super::SIGHTS.contains(&kind), "{kind} stands in no list");
        self.seen.insert(kind);
    }
}

impl Models {
    /// Models of a world in which nothing has happened.
    pub fn new(setting: &Setting, cast: &Cast) -> Self {
        let places = if setting.package.is_some() { WEB..SHOP } else { WEB..DB };
        let packages = Packages {
            in_order: setting.package.is_some_and(|in_order| in_order.0),
            on_failure: setting.rollout.on_failure,
            soak_seconds: i64::from(setting.soak_minutes) * 60,
            ..Packages::default()
        };
        let each = places.map(|place| Model::new(setting, cast, place)).collect();
        Self { each, packages, roots: Roots::new(cast, setting.targets) }
    }

    /// The model of an application, by its place.
    pub fn of(&mut self, place: usize) -> &mut Model {
        &mut self.each[place]
    }

    /// Whether a target is gone for good.
    pub fn is_retired(&self, index: usize) -> bool {
        self.each[WEB].is_retired(index)
    }

    /// What kinds of things happened.
    pub fn seen(&self) -> BTreeSet<&'static str> {
        self.each.iter().flat_map(Model::seen).chain(self.packages.seen.iter().copied()).collect()
    }

    /// Something of this kind happened.
    pub fn sees(&mut self, kind: &'static str) {
        self.each[WEB].sees(kind);
    }

    /// Somebody signed something: from now on it exists, wherever it goes.
    pub fn signed(&mut self, who: Who, envelope: &Envelope) {
        self.each.iter_mut().for_each(|model| model.signed(who, envelope));
    }

    /// Somebody has seen what an order would do.
    pub fn plans(&mut self, planned: &Planned) {
        self.each.iter_mut().for_each(|model| model.plans(planned.clone()));
    }

    /// Somebody was told that what they signed is entry `number`.
    pub fn acknowledge(&mut self, number: u64, payload: Digest) {
        self.each[WEB].acknowledge(number, payload);
    }

    /// Somebody was told no.
    pub fn refused(&mut self, code: &str) {
        self.each[WEB].refused(code);
    }

    /// Whoever asks again for what was recorded hears the first answer, and not a no.
    pub fn is_not_recorded(&self, payload: Digest, code: &str) -> Verdict {
        self.each[WEB].is_not_recorded(payload, code)
    }

    /// Somebody else answers for the server from now on.
    pub fn somebody_else_answers(&mut self) {
        self.packages.is_taken = true;
    }

    /// The server came back with this state and these entries behind it.
    pub fn reopened(&self, state: &State, read: impl Fn(u64) -> Option<Entry>) -> Verdict {
        self.each[WEB].reopened(state, read)
    }

    /// Everything that was acknowledged is there.
    pub fn nothing_is_lost(&self, read: impl Fn(u64) -> Option<Entry>) -> Verdict {
        self.each[WEB].nothing_is_lost(read)
    }

    /// What is decided from now on takes these for away.
    pub fn is_told_who_is_away(&mut self, away: &Away) {
        self.each.iter_mut().for_each(|model| model.is_told_who_is_away(away));
    }

    /// A target was handed withdrawals, or what was said of freezes.
    pub fn told(&mut self, index: usize, envelopes: &[Envelope]) {
        self.each.iter_mut().for_each(|model| model.told(index, envelopes));
    }

    /// A target hears of some withdrawals, and not of one that somebody withholds and that it does not know.
    pub fn is_kept_from(&mut self, index: usize, withheld: &BTreeMap<Digest, &'static str>, told: &Orders) {
        self.each.iter_mut().for_each(|model| model.is_kept_from(index, withheld, told));
    }

    /// A target is shown documents of trust, whoever shows them.
    pub fn shows(&mut self, cast: &Cast, index: usize, estate: &Estate) {
        self.each.iter_mut().for_each(|model| model.shows(cast, index, estate));
    }

    /// A target was handed the statements behind an assignment of an application.
    pub fn handed(&mut self, index: usize, app: &AppName, generation: u64, dossier: &Dossier, clock: Timestamp) {
        for (place, model) in self.each.iter_mut().enumerate() {
            match place == place_of(app) {
                true => model.handed(index, generation, dossier, clock),
                // What it hears of withdrawals and freezes is not about one application.
                false => {
                    model.told(index, &dossier.withdrawals);
                    model.told(index, &dossier.freezes);
                }
            }
        }
    }

    /// A target went on after what it was told: it must have kept it by now, unless its disk is full.
    pub fn went_on(&mut self, index: usize, disk_is_full: bool) {
        self.each.iter_mut().for_each(|model| model.went_on(index, disk_is_full));
    }

    /// A process died with what it had not kept yet.
    pub fn died(&mut self, index: usize) {
        self.each.iter_mut().for_each(|model| model.died(index));
    }

    /// A target looks at its clock.
    pub fn looks_at_clock(&mut self, index: usize, clock: Timestamp) {
        self.each.iter_mut().for_each(|model| model.looks_at_clock(index, clock));
    }

    /// A target's clock is set, after so much time.
    pub fn clock_is_set(&mut self, index: usize, elapsed: SignedDuration) {
        self.each.iter_mut().for_each(|model| model.clock_is_set(index, elapsed));
    }

    /// The server hears of a target, after so much time.
    pub fn hears_of(&mut self, index: usize, elapsed: SignedDuration) {
        self.each.iter_mut().for_each(|model| model.hears_of(index, elapsed));
    }

    /// Everything is removed from a target, its data too: for its time is over, and for nothing else.
    pub fn erases(&mut self, index: usize) -> Verdict {
        self.each.iter_mut().try_for_each(|model| model.erases(index))
    }

    /// A target says that nothing is left there.
    pub fn says_last_word(&self, index: usize, installed: &Installed) -> Verdict {
        self.each[WEB].says_last_word(index, installed)
    }

    /// What is on a target in the end: nothing, once its time is over.
    pub fn is_left(&self, index: usize, installed: &Installed, clock: Timestamp) -> Verdict {
        self.each[WEB].is_left(index, installed, clock)
    }

    /// Whether somebody's time is over who has not left, and may do so any moment.
    pub fn waits_for_an_end(&self, now: Timestamp) -> bool {
        self.each[WEB].waits_for_an_end(now)
    }

    /// `current` of an application is about to be pointed at a build, or at nothing; `others` says what of each other is current.
    pub fn switches(
        &mut self,
        cast: &Cast,
        (index, place): (usize, usize),
        is: (Option<Digest>, bool),
        to: Option<Digest>,
        (clock, others): (Timestamp, [Option<Digest>; 2]),
    ) -> Verdict {
        let goes_forward = self.each[place].switches(cast, index, is, to, clock)?;
        let Some(build) = to.filter(|_| goes_forward && place == WEB && self.packages.in_order) else { return Ok(()) };
        let package = self.each[place].goes_with(index, &build).and_then(|package| cast.version_of(&package));
        let Some(before) = package.map(|package| cast.builds[listed(package)[DB]]) else { return Ok(()) };
        if others[DB] != Some(before) && self.packages.is_taken {
            // When each member has its turn is the server's to say: whoever has it may hold one back and not the other.
            self.packages.sees("a member before what it comes after");
        } else if others[DB] != Some(before) {
            let (name, before) = (cast.name(&build), cast.name(&before));
            return broken("ORDER", format!("{} switches to {name}, and {before} is not there", target(index)));
        }
        Ok(())
    }

    /// The server published more: what it decided is compared with the rules.
    pub fn published(&mut self, cast: &Cast, state: Arc<State>, entries: &[Entry], elapsed: SignedDuration) -> Verdict {
        for entry in entries {
            if self.each[WEB].has_looked_at(entry) {
                continue;
            }
            let mut order = None;
            for model in &mut self.each {
                order = model.begins_with_entry(cast, entry)?;
            }
            self.packages.guided(entry);
            let applies = matches!(super::administered(entry), Some(AdministrationAct::ApplyCharter { .. }));
            if applies && self.roots.are_accepted() {
                self.sees("a root that follows another");
            }
            for event in &entry.events {
                self.happened(cast, event, entry.time, elapsed, order.as_ref())?;
            }
            for (place, model) in self.each.iter().enumerate() {
                self.packages.running[place].clone_from(&model.running);
            }
        }
        self.see_what_would_stay();
        for model in &mut self.each {
            model.stands(&state, &self.packages)?;
        }
        self.package_stands(&state)?;
        self.each.iter_mut().for_each(|model| model.has_come_to(state.clone()));
        Ok(())
    }

    fn happened(
        &mut self,
        cast: &Cast,
        event: &Event,
        time: Timestamp,
        elapsed: SignedDuration,
        order: Option<&Order>,
    ) -> Verdict {
        if let Event::TargetRetired { target, why: Some(why) } = event {
            self.each.iter_mut().try_for_each(|model| model.departs(target, *why, time, elapsed))?;
        }
        self.package_happened(cast, event, time, order)?;
        // Nobody orders a member for itself that goes with a package.
        let of_package = match event {
            Event::DeploymentRequested { package: Some(number), .. } => self.packages.courses.get(number),
            _ => None,
        };
        let order = of_package.map(|package| &package.order).or(order);
        self.each.iter_mut().try_for_each(|model| model.happened(cast, event, time, order, &self.packages))
    }

    /// Troubles are over for long: everything has ended, or waits for what has not come, and everyone says the same.
    pub fn settled(&self, cast: &Cast, state: &State, now: Timestamp, actual: &[Vec<Runs>; 2]) -> Verdict {
        for (model, runs) in self.each.iter().zip(actual) {
            model.settled(cast, state, now, runs, &self.packages)?;
        }
        for (number, package) in &self.packages.courses {
            let Some((Ending::Succeeded, ended)) = package.ended else { continue };
            let settled =
                |place: &usize| package.members.get(place).is_none_or(|member| self.has_settled(*place, *member));
            let is_time = ended + SignedDuration::from_secs(self.packages.soak_seconds) + SEEN_WITHIN < now;
            // What it found in place may have been replaced before it settled.
            let is_owed = package.in_place.is_empty() && [WEB, DB].iter().all(settled);
            if installs(package.order.act) && is_time && is_owed && !package.has_settled {
                return broken("PROGRESS", format!("all of deployment {number} has settled, and it has not"));
            }
        }
        Ok(())
    }
}

/// What is a package's own.
impl Models {
    fn course(&self, place: usize, number: u64) -> Option<&Course> {
        self.each.get(place)?.courses.get(&number)
    }

    fn has_settled(&self, place: usize, number: u64) -> bool {
        self.each[place].settled_ones.contains(&number)
    }

    /// Whether any deployment that brought a build has settled.
    fn has_ever_settled(&self, place: usize, build: Digest) -> bool {
        let Model { courses, settled_ones, .. } = &self.each[place];
        settled_ones.iter().any(|number| courses.get(number).is_some_and(|course| course.build == build))
    }

    fn see_what_would_stay(&mut self) {
        let stays = |(place, member): (&usize, &u64)| {
            let Some(course) = self.course(*place, *member) else { return false };
            let runs = |name: &TargetName| {
                let model = &self.each[*place];
                let is_there = model.running.get(name) == Some(&course.build) && !model.retired.contains(name);
                is_there && course.outcomes.get(name) == Some(&Outcome::Verified)
            };
            let soaks = course.soaks_somewhere() && !self.has_settled(*place, *member);
            course.has_succeeded && !soaks && course.targets.iter().any(runs)
        };
        let stay: BTreeSet<u64> = (self.packages.courses.iter())
            .filter(|(_, package)| package.members.iter().any(stays))
            .map(|(number, _)| *number)
            .collect();
        for (number, package) in &mut self.packages.courses {
            package.would_stay_in_part = stay.contains(number);
        }
    }

    fn package_happened(&mut self, cast: &Cast, event: &Event, time: Timestamp, order: Option<&Order>) -> Verdict {
        match event {
            Event::DeploymentRequested { deployment, app: name, build, .. } if *name == app(SHOP) => {
                self.is_ordered(cast, *deployment, *build, order)
            }
            Event::DeploymentRequested { deployment, app: name, build, package: Some(number), .. } => {
                self.member_begins(cast, *number, place_of(name), (*deployment, *build))
            }
            Event::StepStarted { deployment, members, in_place, .. } => {
                let begins: BTreeSet<usize> = members.keys().map(place_of).collect();
                self.step(*deployment, &begins, &in_place.iter().map(place_of).collect())
            }
            Event::WaveStarted { deployment, targets, .. } => self.member_goes_on(*deployment, targets),
            Event::TargetAdded { deployment, target } => self.member_goes_on(*deployment, std::slice::from_ref(target)),
            Event::UndoStarted { deployment, reason, aborted, .. } => {
                self.goes_back(*deployment, reason, aborted.is_some())
            }
            Event::DeploymentEnded { deployment, ending, .. } => self.package_ends(*deployment, *ending, time),
            Event::DeploymentSettled { deployment } => self.package_settles(*deployment, time),
            Event::HoldLifted { app: name, build, .. } if *name == app(SHOP) => {
                self.packages.held.retain(|held, _| build.is_some_and(|build| build != *held));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Somebody ordered something of a package.
    fn is_ordered(&mut self, cast: &Cast, number: u64, build: Digest, order: Option<&Order>) -> Verdict {
        let Some(order) = order else { return broken("ONCE", format!("nobody ordered deployment {number}")) };
        let Some(version) = cast.version_of(&build) else {
            return broken("ONCE", format!("deployment {number} brings what nobody pushed"));
        };
        if installs(order.act) && self.packages.held.contains_key(&build) {
            return broken("HOLD", format!("deployment {number} brings {}, which is held out", cast.name(&build)));
        }
        match order.act {
            OrderAct::Rollback => self.packages.sees("a package rolled back"),
            OrderAct::Undeploy | OrderAct::Stop => self.packages.sees("a package stopped or removed"),
            _ => {}
        }
        let package = Together {
            build,
            listed: listed(version).map(|version| cast.builds[version]),
            order: order.clone(),
            members: BTreeMap::new(),
            in_place: BTreeSet::new(),
            has_begun: false,
            is_paused: false,
            taken_back: false,
            ended: None,
            has_settled: false,
            would_stay_in_part: false,
        };
        self.packages.courses.insert(number, package);
        Ok(())
    }

    /// Members begin whose turn it is: what they come after is done.
    fn step(&mut self, number: u64, begins: &BTreeSet<usize>, in_place: &BTreeSet<usize>) -> Verdict {
        let others: Vec<u64> =
            self.packages.courses.iter().filter(|(_, it)| it.is_under_way()).map(|(n, _)| *n).collect();
        if let Some(other) = others.into_iter().find(|other| *other != number) {
            return broken("PLACE", format!("deployment {number} begins while {other} is under way"));
        }
        let Some(package) = self.packages.courses.get(&number) else {
            return broken("ONCE", format!("a step of deployment {number} begins, which nobody ordered"));
        };
        if package.is_paused {
            return broken("PAUSED", format!("a step of deployment {number} begins, which is paused"));
        }
        if package.ended.is_some() || package.taken_back {
            return broken("ENDED", format!("a step of deployment {number} begins, which is over or goes back"));
        }
        let (first, last) = match package.order.act {
            OrderAct::Rollback | OrderAct::Undeploy | OrderAct::Stop => (WEB, DB),
            _ => (DB, WEB),
        };
        let is_done = |place: usize| {
            package.in_place.contains(&place)
                || package.members.get(&place).is_some_and(|member| self.is_done(place, *member))
        };
        let is_new = begins.contains(&last) || in_place.contains(&last);
        if self.packages.in_order && is_new && !is_done(first) {
            let what = format!("{} of deployment {number} has its turn before {} is done", app(last), app(first));
            return broken("ORDER", what);
        }
        let is_first = !package.has_begun;
        if self.packages.in_order && begins.contains(&last) && package.members.contains_key(&first) {
            self.packages.sees("members one after the other");
        }
        if begins.len() > 1 {
            self.packages.sees("members side by side");
        }
        if !in_place.is_empty() {
            self.packages.sees("a member passed over");
        }
        if let Some(package) = self.packages.courses.get_mut(&number) {
            package.has_begun = true;
            package.in_place.extend(in_place);
            let (rolls_back, build) = (package.order.act == OrderAct::Rollback, package.build);
            if is_first && rolls_back {
                self.hold_what_is_left(number, build);
            }
        }
        Ok(())
    }

    /// A rollback sticks: the package that it leaves is held out.
    fn hold_what_is_left(&mut self, number: u64, build: Digest) {
        let stands = |(_, it): &(&u64, &Together)| {
            let is_whole = it.order.only.is_empty() && installs(it.order.act);
            is_whole && matches!(it.ended, Some((Ending::Succeeded, _)))
        };
        let ended = |it: &Together| it.ended.map(|(_, ended)| ended);
        let standing = self.packages.courses.iter().filter(stands).max_by_key(|(number, it)| (ended(it), **number));
        if let Some(left) = standing.map(|(_, it)| it.build).filter(|left| *left != build) {
            self.packages.held.entry(left).or_insert(number);
        }
    }

    fn is_done(&self, place: usize, member: u64) -> bool {
        self.course(place, member).is_some_and(|course| course.has_succeeded)
    }

    /// A member of a package gets a deployment of its own: of what the package lists, and once.
    fn member_begins(&mut self, cast: &Cast, number: u64, place: usize, (member, build): (u64, Digest)) -> Verdict {
        let Some(package) = self.packages.courses.get_mut(&number).filter(|package| package.is_under_way()) else {
            return broken("ONCE", format!("deployment {member} goes with {number}, which is not under way"));
        };
        if package.listed[place] != build {
            let name = cast.name(&build);
            return broken(
                "AUTHORITY",
                format!("deployment {member} of {name} goes with {number}, which lists another"),
            );
        }
        match package.members.insert(place, member) {
            Some(first) => {
                broken("ONCE", format!("deployments {first} and {member} are both of one member of {number}"))
            }
            None => Ok(()),
        }
    }

    /// Targets begin with what a member brings: what it comes after runs there, and nothing else is done with a member.
    fn member_goes_on(&self, number: u64, targets: &[TargetName]) -> Verdict {
        let found = (0..self.each.len()).find_map(|place| Some((place, self.course(place, number)?)));
        let Some((place, course)) = found else {
            return broken("ONCE", format!("deployment {number} goes on, which nobody ordered"));
        };
        let under_way = self.packages.courses.iter().find(|(_, package)| package.is_under_way()).map(|(it, _)| *it);
        if let Some(other) = under_way.filter(|other| course.package != Some(*other)) {
            return broken("PLACE", format!("deployment {number} goes on while the package of {other} is under way"));
        }
        let package = course.package.and_then(|package| self.packages.courses.get(&package));
        let Some(package) = package.filter(|package| package.order.act.deploys()) else { return Ok(()) };
        if !self.packages.in_order || place != WEB {
            return Ok(());
        }
        let runs = |name: &&TargetName| self.each[DB].running.get(*name) == Some(&package.listed[DB]);
        match targets.iter().find(|name| !runs(name)) {
            Some(name) => broken("ORDER", format!("deployment {number} begins on {name} before what it comes after")),
            None => Ok(()),
        }
    }

    /// Something goes back: a package, or a member of it after those that come after it.
    fn goes_back(&mut self, number: u64, reason: &str, by_word: bool) -> Verdict {
        if let Some(package) = self.packages.courses.get_mut(&number) {
            let had_succeeded = package.ended.take().is_some();
            (package.taken_back, package.is_paused) = (true, false);
            self.packages.sees("a package taken back");
            if had_succeeded {
                self.packages.sees("a package taken back while it soaked");
            }
            if by_word {
                self.packages.sees("a package aborted");
            }
            return Ok(());
        }
        let is_with_package = reason.starts_with(&format!("{}: ", app(SHOP)));
        let member = (0..self.each.len()).find_map(|place| self.course(place, number));
        let own = member.filter(|member| member.has_succeeded).and_then(|member| member.package);
        if own.is_some_and(|own| self.packages.is_under_way(own)) && !is_with_package {
            return broken("TOGETHER", format!("deployment {number} goes back while its package goes on"));
        }
        let Some(course) = self.course(DB, number) else { return Ok(()) };
        let package = course.package.and_then(|package| self.packages.courses.get(&package));
        // What a member's own failure takes back asks for nobody's turn.
        let Some(package) = package.filter(|_| is_with_package) else { return Ok(()) };
        let last = package.members.get(&WEB).and_then(|member| self.course(WEB, *member));
        let is_back = |course: &Course| course.ended.is_some() && !course.has_succeeded;
        let deploys = package.order.act.deploys();
        if self.packages.in_order && deploys && last.is_some_and(|last| !is_back(last)) {
            return broken("ORDER", format!("deployment {number} goes back before what comes after it"));
        }
        if course.has_succeeded {
            self.packages.sees("a member taken back since another failed");
        }
        Ok(())
    }

    fn package_ends(&mut self, number: u64, ending: Ending, time: Timestamp) -> Verdict {
        let Some(package) = self.packages.courses.get(&number) else { return Ok(()) };
        if package.ended.is_some() {
            return broken("ENDED", format!("deployment {number} ends twice"));
        }
        let members: Vec<(usize, u64, &Course)> = (package.members.iter())
            .filter_map(|(place, member)| Some((*place, *member, self.course(*place, *member)?)))
            .collect();
        let is_there = |place: &usize| package.in_place.contains(place) || package.members.contains_key(place);
        let succeeded = |(_, _, course): &(usize, u64, &Course)| course.has_succeeded;
        if ending == Ending::Succeeded && !([WEB, DB].iter().all(is_there) && members.iter().all(succeeded)) {
            return broken("TRUTH", format!("deployment {number} is said to have succeeded, and not every member has"));
        }
        if ending == Ending::Undone || package.taken_back {
            // What nobody is left for cannot go back.
            let remains = |(place, _, course): &&(usize, u64, &Course)| {
                let is_left = |name: &TargetName| {
                    self.each[*place].running.get(name) == Some(&course.build)
                        && course.outcomes.get(name) == Some(&Outcome::Verified)
                        && !course.undone.contains(name)
                };
                course.has_succeeded && course.targets.iter().any(is_left)
            };
            if let Some((_, member, _)) = members.iter().find(remains) {
                return broken("TOGETHER", format!("deployment {number} is taken back, and {member} of it stays"));
            }
        }
        let failed = |(_, _, course): &(usize, u64, &Course)| {
            let is_refused = |name: &TargetName| matches!(course.outcomes.get(name), Some(Outcome::Refused { .. }));
            let is_bad = |name: &TargetName| !is_refused(name) && !course.undone.contains(name);
            course.bad().any(is_bad) && !course.has_succeeded
        };
        let is_held = package.order.act.deploys()
            && matches!(ending, Ending::Undone | Ending::Failed)
            && members.iter().any(failed);
        // Who went back nowhere keeps nothing out.
        let stands = |(_, _, course): &(usize, u64, &Course)| {
            let is_there = |name: &TargetName| !course.undone.contains(name) && !self.each[WEB].retired.contains(name);
            course.targets.iter().any(|name| course.outcomes.get(name) == Some(&Outcome::Verified) && is_there(name))
        };
        let went_nowhere =
            package.order.act == OrderAct::Rollback && ending != Ending::Succeeded && !members.iter().any(stands);
        let of_members: Vec<(usize, u64)> = members.iter().map(|(place, member, _)| (*place, *member)).collect();
        let (build, stops) = (package.build, !package.taken_back);
        if is_held {
            self.packages.held.insert(build, number);
        }
        if went_nowhere {
            self.packages.held.retain(|_, placed| *placed != number);
            for (place, member) in of_members {
                self.each[place].held.retain(|_, placed| *placed != member);
            }
        }
        match ending {
            Ending::Succeeded => self.packages.sees("a package done"),
            Ending::Failed if stops && self.packages.on_failure == OnFailure::Stop => {
                self.packages.sees("a package that stops where it is");
            }
            _ => {}
        }
        if let Some(package) = self.packages.courses.get_mut(&number) {
            (package.ended, package.is_paused) = (Some((ending, time)), false);
        }
        Ok(())
    }

    fn package_settles(&mut self, number: u64, time: Timestamp) -> Verdict {
        let Some(package) = self.packages.courses.get(&number) else { return Ok(()) };
        let mut members = package.members.iter();
        if let Some((_, member)) = members.find(|(place, member)| !self.has_settled(**place, **member)) {
            return broken("SOAK", format!("deployment {number} settles, and {member} of it has not"));
        }
        // An order for some targets only is not held to what it found, which others may have to settle.
        let mut found = package.in_place.iter().filter(|_| package.order.only.is_empty());
        if let Some(place) = found.find(|place| !self.has_ever_settled(**place, package.listed[**place])) {
            let member = app(*place);
            return broken("SOAK", format!("deployment {number} settles, and {member} that it found has not"));
        }
        let ended = package.ended.filter(|(ending, _)| *ending == Ending::Succeeded).map(|(_, ended)| ended);
        // Nothing soaks for it where it found everything in place.
        let soaks = if package.members.is_empty() { 0 } else { self.packages.soak_seconds };
        if ended.is_none_or(|ended| time.duration_since(ended).as_secs() < soaks) {
            return broken("SOAK", format!("deployment {number} settles before its time"));
        }
        self.packages.sees("a package settled");
        if let Some(package) = self.packages.courses.get_mut(&number) {
            package.has_settled = true;
        }
        Ok(())
    }

    /// Every package that has not ended is open, and says what it waits on, which is so.
    fn package_stands(&mut self, state: &State) -> Verdict {
        let open: BTreeSet<u64> =
            self.packages.courses.iter().filter(|(_, it)| it.ended.is_none()).map(|(number, _)| *number).collect();
        let is_package = |number: &&u64| state.deployments.get(*number).is_some_and(|it| it.app == app(SHOP));
        let known: BTreeSet<u64> = state.open_deployments.iter().filter(is_package).copied().collect();
        if let Some(number) = open.symmetric_difference(&known).next() {
            return broken("ENDED", format!("deployment {number} is open here and has ended there"));
        }
        for (number, package) in &self.packages.courses {
            let is_open = |(place, member): &(&usize, &u64)| {
                self.course(**place, **member).is_some_and(|course| course.ended.is_none())
            };
            let is_over = package.ended.is_some() && !self.packages.is_replaced(*number, package);
            if let Some((_, member)) = package.members.iter().find(is_open).filter(|_| is_over) {
                return broken("TOGETHER", format!("deployment {number} has ended, and {member} of it is under way"));
            }
        }
        let now = state.head.time;
        for number in &open {
            let package = &self.packages.courses[number];
            let Some(waits) = plan::waits(state, *number, now) else {
                return broken("PROGRESS", format!("deployment {number} stands and does not say what it waits on"));
            };
            let deployment = state.deployments.get(number);
            let begins = deployment.and_then(|deployment| plan::starts(state, *number, deployment, now));
            if begins.is_some_and(|begins| begins <= now) {
                continue;
            }
            let is_open = |(name, member): &(AppName, u64)| {
                self.course(place_of(name), *member).is_some_and(|course| course.ended.is_none())
            };
            let is_so = match &waits {
                WaitingOn::Person { .. } => package.is_paused,
                _ if package.is_paused => false,
                WaitingOn::Members { members, .. } => !members.is_empty() && members.iter().all(is_open),
                WaitingOn::Time { .. } => has_not_come(&waits, now),
                WaitingOn::Targets { .. } => false,
                _ => true,
            };
            if !is_so {
                return broken("WAITS", format!("it is not so that {waits}"));
            }
        }
        Ok(())
    }
}

impl Packages {
    /// Somebody says how the deployment of a package is to go on.
    fn guided(&mut self, entry: &Entry) {
        let Some(act) = super::administered(entry) else { return };
        let (number, is_paused, kind) = match act {
            AdministrationAct::PauseDeployment { deployment, .. } => (deployment, Some(true), "a package paused"),
            AdministrationAct::ResumeDeployment { deployment, .. } => (deployment, Some(false), "a package resumed"),
            AdministrationAct::ExcludeTarget { deployment, .. } => (deployment, None, "left out of a package"),
            _ => return,
        };
        let Some(package) = self.courses.get_mut(&number) else { return };
        package.is_paused = is_paused.unwrap_or(package.is_paused);
        self.sees(kind);
    }
}
