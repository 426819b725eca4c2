//! What a target may do, by what people signed and what came to its ears; and how many targets may be out of service.

use super::{
    Model, Violation, Wish, broken,
    calendar::CLOCKS_DIFFER,
    course::{at_least, installs},
};
use crate::cast::{Cast, Who, target};
use api::{agent::Orders, read::Estate};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use trust::{
    Digest, TargetName,
    authority::Dossier,
    dsse::Envelope,
    statement::{OrderAct, Outcome, Report},
};

/// What is known of one target.
#[derive(Default)]
pub struct OnTarget {
    /// The orders it was handed, by digest.
    handed: BTreeSet<Digest>,
    /// The generation of the dossier it was handed last, its order, and what the target's clock showed.
    pub last: Option<(u64, Digest, Timestamp)>,
    /// Whether it has said how that ended.
    has_told: bool,
    /// Which orders it carried out, under which generation.
    pub performed: BTreeMap<Digest, u64>,
    /// Under which generation it left what ran before, and what that was.
    pub back: Option<Back>,
    /// What serves there, where there are sides: stopped or not.
    pub serves: Option<Digest>,
    /// Which charter it was shown and may not have taken yet, and which it must have taken; the first where there is none.
    shown: u64,
    charter: u64,
    /// Withdrawals and freezes it was told of and may not have kept yet, and those it must have kept.
    told: Vec<Digest>,
    kept: BTreeSet<Digest>,
    /// Every build that ever ran there.
    ran: BTreeSet<Digest>,
    /// What it runs by its own reports, and by which deployment it came there.
    pub came_by: Option<(Digest, u64)>,
    /// The newest generation of which it said how it ended.
    reported: u64,
    /// The deployment it was last told to follow, and in which entry.
    pub follows: Option<u64>,
    pub told_in: u64,
    /// Whether what it had was known to be unwell by then: it went as one that does not serve.
    told_unwell: bool,
    /// Whether it has left what ran before and not said yet how that ended; and whether it went out of service for that,
    /// in going back.
    is_at_it: bool,
    goes_back: bool,
    /// Whether the server has good reason to think that it does not serve: it fell silent in the deployment under way.
    pub is_silent: bool,
    /// The deployment it was told of and has said nothing of yet; and whether it was told of another before that and may be at
    /// that still, so that nobody counts on it.
    pub owes: Option<u64>,
    pub is_counted_out: bool,
}

/// Whether an act is on what is there already.
fn acts_on_it(act: OrderAct) -> bool {
    starts(act) || act == OrderAct::Switch
}

/// What a target goes back to.
pub struct Back {
    /// The generation under which it left that.
    pub under: u64,
    /// What ran there.
    pub before: Option<Digest>,
    /// What of it served.
    pub serves: Option<Digest>,
}

/// Whether an act has processes run of what is there already.
fn starts(act: OrderAct) -> bool {
    matches!(act, OrderAct::Start | OrderAct::Restart)
}

impl OnTarget {
    /// The order behind the statements that it was handed last.
    pub fn newest(&self) -> Option<Digest> {
        self.last.map(|(_, order, _)| order)
    }

    /// Under a generation it leaves what runs there, unless it has left something under it already: whatever orders it is shown
    /// with one generation, they are one attempt to it.
    pub fn goes_from(&mut self, under: u64, before: Option<Digest>) {
        if self.back.as_ref().is_none_or(|back| back.under != under) {
            self.back = Some(Back { under, before, serves: self.serves });
        }
    }
}

impl Model {
    /// A target was handed withdrawals, or what was said of freezes.
    pub fn told(&mut self, index: usize, envelopes: &[Envelope]) {
        let payloads = envelopes.iter().map(|envelope| Digest::of(&envelope.payload));
        // Who may freeze, and by which charter a target judges that, is not known for certain of one person.
        let is_sure = |payload: &Digest| !self.has_two_charters || self.signers.get(payload) != Some(&Who::Second);
        let freezes = |payload: &Digest| self.calendar.declares(payload) && is_sure(payload);
        let genuine = payloads.filter(|payload| self.withdrawals.contains_key(payload) || freezes(payload));
        self.targets[index].told.extend(genuine);
    }

    /// A target hears of some withdrawals, and not of one that somebody withholds and that it does not know.
    pub fn is_kept_from(&mut self, index: usize, withheld: &BTreeMap<Digest, &'static str>, told: &Orders) {
        let told: Vec<&Envelope> = told.withdrawals.iter().chain(&told.freezes).collect();
        let is_told = |said: &Digest| told.iter().any(|envelope| Digest::of(&envelope.payload) == *said);
        let kept = &self.targets[index].kept;
        let lacking = withheld.iter().filter(|(said, _)| !kept.contains(said) && !is_told(said));
        let kinds: BTreeSet<&'static str> = lacking.map(|(_, kind)| *kind).collect();
        kinds.into_iter().for_each(|kind| self.sees(kind));
    }

    /// A target is shown documents of trust, whoever shows them.
    pub fn shows(&mut self, cast: &Cast, index: usize, estate: &Estate) {
        let is = |documents: &Estate| {
            (&documents.charter, &documents.targets) == (&estate.charter, &estate.targets)
                && documents.roots.iter().map(|root| &root.0).eq(estate.roots.iter().map(|root| &root.0))
        };
        let is_newest = cast.later.as_ref().is_some_and(is);
        let has_taken = self.targets[index].charter > 1;
        if is_newest {
            self.takes_charter(index);
        } else if is(&cast.documents) && has_taken {
            self.sees("an old charter refused");
        } else if is(&cast.documents) && self.charter > 1 {
            self.sees("a charter withheld");
        } else if cast.thiefs.as_ref().is_some_and(is) {
            self.sees("documents of another estate");
        } else if cast.usurping.as_ref().is_some_and(is) {
            self.sees("a root by another hand shown");
        } else if !is(&cast.documents) {
            self.sees("documents that do not fit each other");
        }
    }

    /// A target takes the newest charter, whoever has brought it.
    pub(super) fn takes_charter(&mut self, index: usize) {
        // What comes by another root alone takes power from nobody.
        if self.has_two_charters {
            self.targets[index].shown = 2;
        }
    }

    /// Whether a target has not heard of a withdrawal.
    pub(super) fn is_news_to(&self, index: usize, payload: &Digest) -> bool {
        let on_target = &self.targets[index];
        let is_known = on_target.kept.contains(payload) || on_target.told.contains(payload);
        self.withdrawals.contains_key(payload) && !is_known
    }

    /// Whether whoever signed an order may deploy, by a charter.
    fn may_order(&self, order: &Digest, charter: u64) -> bool {
        self.signers.get(order).is_some_and(|who| who.approves_as(charter) == Some("ops"))
    }

    /// A target went on after what it was told: it must have kept it by now, unless its disk is full.
    pub fn went_on(&mut self, index: usize, disk_is_full: bool) {
        let on_target = &mut self.targets[index];
        if !disk_is_full {
            on_target.kept.extend(on_target.told.iter().copied());
            on_target.charter = on_target.charter.max(on_target.shown);
        }
        on_target.told.clear();
    }

    /// A process died with what it had not kept yet.
    pub fn died(&mut self, index: usize) {
        self.targets[index].told.clear();
        self.targets[index].shown = 0;
    }

    /// A target was handed the statements behind an assignment.
    pub fn handed(&mut self, index: usize, generation: u64, dossier: &Dossier, clock: Timestamp) {
        self.told(index, &dossier.withdrawals);
        self.told(index, &dossier.freezes);
        self.repository.judges_anew(index, clock);
        let Some(order) = &dossier.order else { return };
        let payload = Digest::of(&order.payload);
        let on_target = &mut self.targets[index];
        on_target.handed.insert(payload);
        on_target.last = Some((generation, payload, clock));
        on_target.has_told = false;
    }

    /// `current` is about to be pointed at a build, or at nothing: whether that goes forward.
    pub fn switches(
        &mut self,
        cast: &Cast,
        index: usize,
        (current, is_stopped): (Option<Digest>, bool),
        to: Option<Digest>,
        clock: Timestamp,
    ) -> Result<bool, Violation> {
        let on_target = &self.targets[index];
        // Whoever was killed before they had switched goes back to what is there still.
        let of_another =
            |order: &Digest| self.orders.contains_key(order) && to.is_none_or(|to| !self.is_for(order, &to));
        let stays = to == current && on_target.last.is_some_and(|(_, order, _)| of_another(&order));
        let ends = to.is_none() && self.ends.is_ending(index);
        let goes_back = ends || stays || on_target.back.as_ref().is_some_and(|back| back.before == to);
        let verdict = match to {
            // What it goes back to stays what it was: an older order for what is there already is not followed anew.
            _ if stays => Err("it is at something else".into()),
            Some(build) => self.may_go_forward(index, build, current, clock),
            None => self.may_remove(index),
        };
        // Whoever goes back uses up no order but the one at hand, even where another would allow it.
        let at_hand = on_target.newest().filter(|_| !on_target.has_told);
        let verdict = match verdict {
            Ok((order, _)) if goes_back && at_hand != Some(order) => Err("it was not told to".into()),
            verdict => verdict,
        };
        if let (Some(build), Ok(_), false) = (to, &verdict, goes_back) {
            self.has_its_data(cast, index, build)?;
        }
        let serves = self.sides.are_there && on_target.serves.is_some() && !is_stopped;
        if serves && to.is_some() && to != current && !goes_back {
            return broken("SERVES", format!("something new comes to {}, which serves", target(index)));
        }
        let on_target = &mut self.targets[index];
        match verdict {
            Ok((order, generation)) => {
                on_target.performed.insert(order, generation);
                on_target.ran.extend(to);
                // What is started again goes back with what had brought it.
                let controls = self.orders.get(&order).is_some_and(|(_, signed)| starts(signed.act));
                if !controls {
                    on_target.goes_from(generation, current);
                }
                // What is stopped serves by that order once it is started; what is removed does not, until it goes back.
                let switches = self.orders.get(&order).is_some_and(|(_, signed)| signed.act == OrderAct::Switch);
                on_target.serves = if switches { to } else { on_target.serves.filter(|_| to.is_some()) };
                Ok(!goes_back)
            }
            Err(_) if goes_back => {
                on_target.serves = on_target.serves.filter(|_| to.is_some());
                if let Some(back) = on_target.back.as_ref().filter(|back| back.before == to) {
                    on_target.serves = back.serves;
                }
                Ok(false)
            }
            Err(why) => {
                let name = to.map_or("nothing".into(), |build| cast.name(&build));
                broken("AUTHORITY", format!("{} switches to {name}: {why}", target(index)))
            }
        }
    }

    /// Whether somebody ordered that what runs on the target be removed, and it was not done yet.
    fn may_remove(&self, index: usize) -> Result<(Digest, u64), String> {
        let on_target = &self.targets[index];
        let (generation, newest, _) = on_target.last.ok_or("no order was ever handed to it")?;
        let (_, signed) = self.orders.get(&newest).ok_or("nobody signed its order")?;
        let is_done = on_target.performed.get(&newest).is_some_and(|under| *under != generation);
        match signed.act {
            _ if !self.may_order(&newest, on_target.charter) => Err("whoever ordered it may not, as it knows".into()),
            OrderAct::Undeploy if is_done => Err("the order to remove it was carried out before".into()),
            OrderAct::Undeploy => Ok((newest, generation)),
            _ => Err("nobody ordered it".into()),
        }
    }

    /// Whether people agreed that the target activate the build now, by what the target itself can know.
    pub(super) fn may_go_forward(
        &self,
        index: usize,
        build: Digest,
        current: Option<Digest>,
        clock: Timestamp,
    ) -> Result<(Digest, u64), String> {
        let on_target = &self.targets[index];
        let (generation, newest, then) = on_target.last.ok_or("no order was ever handed to it")?;
        let is_there = current == Some(build);
        let for_build = |order: &&Digest| {
            let signed = self.orders.get(*order).filter(|_| self.is_for(order, &build));
            signed.is_some_and(|(_, order)| installs(order.act) || is_there && acts_on_it(order.act))
        };
        let of_somebody = |order: &&Digest| self.may_order(order, on_target.charter);
        let unused = |order: &&Digest| on_target.performed.get(*order).is_none_or(|under| *under == generation);
        let handed: Vec<&Digest> = on_target.handed.iter().filter(for_build).collect();
        if handed.is_empty() {
            return Err("nobody ordered it".into());
        }
        if !handed.iter().any(of_somebody) {
            return Err("whoever ordered it may not, as it knows".into());
        }
        let usable: Vec<&&Digest> = handed.iter().filter(|order| of_somebody(order) && unused(order)).collect();
        let order = usable.iter().find(|order| ***order == &newest).or(usable.first());
        let order = ***order.ok_or("every order for it was carried out before")?;
        let (_, signed) = self.orders.get(&order).ok_or("nobody signed its order")?;
        let act = signed.act;
        if starts(act) {
            return Ok((order, generation));
        }
        let is_new = act != OrderAct::Switch && !(act == OrderAct::Rollback && on_target.ran.contains(&build));
        if is_new && !self.repository.is_fresh(index, clock) {
            return Err("what it was shown of the repository is too old".into());
        }
        let dead = on_target.kept.iter().filter_map(|payload| self.withdrawals.get(payload));
        let dead: Vec<&(Digest, u64)> = dead.collect();
        let dead_through = |build: &Digest| {
            dead.iter().filter(|(other, _)| other == build).map(|(_, serial)| *serial).max().unwrap_or(0)
        };
        // What was withdrawn by itself comes by no package; and by an order for a package it comes by the permit of that one, or
        // by its own.
        let ordered: Vec<Digest> = usable.iter().filter_map(|order| Some(self.orders.get(**order)?.0)).collect();
        let by_itself = ordered.contains(&build);
        let packages = self.packages_of(&build).iter().filter(|package| by_itself || ordered.contains(package));
        let builds: Vec<Digest> = match dead_through(&build) > 0 {
            true => vec![build],
            false => packages.copied().chain([build]).collect(),
        };
        let of_build: Vec<&Wish> = self.wishes.values().filter(|wish| builds.contains(&wish.build)).collect();
        let granted: Vec<&&Wish> = of_build.iter().filter(|wish| wish.is_granted(on_target.charter)).collect();
        if granted.is_empty() {
            return Err(format!("qa and ops never agreed to any of its {} requests", of_build.len()));
        }
        let alive: Vec<&&&Wish> = granted.iter().filter(|wish| wish.serial > dead_through(&wish.build)).collect();
        if alive.is_empty() {
            let through = builds.iter().map(dead_through).max().unwrap_or(0);
            return Err(format!("permission was withdrawn through serial {through}, as it had been told"));
        }
        let holds = |wish: &Wish, at: Timestamp| wish.not_before <= at && at < wish.not_after;
        let in_time = alive.iter().any(|wish| holds(wish, clock) || holds(wish, then));
        // Where it never ran, going back asks for a permit that lives, as any deployment does; but no freeze and no window
        // keeps anybody from going back.
        let goes_back = act == OrderAct::Rollback || act == OrderAct::Switch && self.goes_back_to(&build);
        if !(in_time || goes_back && on_target.ran.contains(&build)) {
            return Err("its permit does not hold at this time".into());
        }
        if goes_back {
            return Ok((order, generation));
        }
        let against = |at: Timestamp| match self.calendar.is_no_moment(&signed.schedule, CLOCKS_DIFFER, at) {
            None if self.calendar.stops_there(&on_target.kept, &self.with_packages(&build), at) => {
                Some("a freeze stops it".into())
            }
            why => why,
        };
        match against(then).and(against(clock)) {
            Some(why) => Err(why),
            None => Ok((order, generation)),
        }
    }

    /// A target is about to leave what runs there. `well` says of which targets what they have is well. No fewer go on
    /// serving than must; but one may always go back, and who fell silent is counted as lost already.
    pub fn goes_out(&mut self, index: usize, well: &[bool]) -> Result<(), Violation> {
        let is_out = !well[index] || self.is_retired(index) || self.ends.is_passing(&target(index));
        if std::mem::replace(&mut self.targets[index].is_at_it, true) || is_out || self.ends.is_ending(index) {
            return Ok(());
        }
        let Some(course) = self.targets[index].follows.and_then(|number| self.courses.get(&number)) else {
            return Ok(());
        };
        let goes_back = course.undoing.contains(&target(index));
        // Who is lost already goes back whenever it is heard of: nobody waits for that.
        let goes_too = |other: usize| self.targets[other].is_at_it && self.targets[other].goes_back;
        let alone = !(0..self.targets.len()).any(|other| goes_too(other) && !self.is_lost_already(other));
        self.targets[index].goes_back = goes_back;
        // What is heard after the word to begin comes too late: of others, and that who was unwell then has become well.
        let (told, told_unwell) = (self.targets[index].told_in, self.targets[index].told_unwell);
        let is_known_unwell = |other: usize| self.unwell.get(&target(other)).is_some_and(|since| *since <= told);
        let is_at_it = |other: usize| self.targets[other].is_at_it || self.is_retired(other);
        // Whose time is over serves as far as anybody knows, until that is heard; and so does who comes and goes for nobody.
        let ends = |other: usize| self.ends.is_ending(other) && !self.is_retired(other);
        let serves = |other: &usize| {
            let is_well = well[*other] && !is_at_it(*other) && !is_known_unwell(*other) || ends(*other);
            is_well && !self.ends.is_passing(&target(*other))
        };
        let left_since = self.ends.left_since(told);
        let left = (0..well.len()).filter(serves).count() + left_since;
        let must = at_least(course.rollout.min_healthy, course.of + left_since);
        if left >= must || goes_back && alone || self.is_lost_already(index) || told_unwell {
            return Ok(());
        }
        let what = format!("{} goes out of service, {left} of {} are left, and {must} must", target(index), course.of);
        broken("MINIMUM", what)
    }

    /// Whether a target is taken not to serve already, whatever it is told to do now.
    fn is_lost_already(&self, index: usize) -> bool {
        self.targets[index].is_silent || self.targets[index].is_counted_out
    }

    /// Whether a target was told to do something, and has not said how that ended.
    pub fn owes_a_word(&self, name: &TargetName) -> bool {
        (0..self.targets.len()).any(|index| target(index) == *name && self.targets[index].owes.is_some())
    }

    /// Targets are told to follow a deployment.
    pub fn follow<'a>(&mut self, number: u64, targets: impl Iterator<Item = &'a TargetName>) {
        for name in targets {
            if self.courses.get(&number).is_some_and(|course| !course.undoing.contains(name)) {
                self.sides.begins(number, name, self.looked);
            }
            if let Some(index) = (0..self.targets.len()).find(|index| target(*index) == *name) {
                let on_target = &mut self.targets[index];
                (on_target.follows, on_target.told_in) = (Some(number), self.looked);
                on_target.told_unwell = self.unwell.contains_key(name);
                let owed = on_target.owes.replace(number).is_some_and(|other| other != number);
                // Of whom nobody has heard, and who runs nothing as far as is known, nothing goes out of service.
                on_target.is_counted_out |= owed || on_target.is_silent && !self.running.contains_key(name);
            }
        }
    }

    /// A target says what came of what it was told, or is given up on: then it is told so as long as it has said nothing itself, and may
    /// do it yet. What it says of something else came too late for what it is told now.
    pub fn says_how_it_ended(&mut self, deployment: u64, name: &TargetName, given_up: bool) {
        let Some(index) = (0..self.targets.len()).find(|index| target(*index) == *name) else { return };
        if self.targets[index].owes == Some(deployment) && !given_up {
            (self.targets[index].owes, self.targets[index].is_counted_out) = (None, false);
        }
    }

    /// Whether an order is for a build, or for a package that lists it.
    fn is_for(&self, order: &Digest, build: &Digest) -> bool {
        let ordered = self.orders.get(order).map(|(ordered, _)| *ordered);
        ordered.is_some_and(|ordered| ordered == *build || self.packages_of(build).contains(&ordered))
    }

    /// The package that the order behind what a target was handed last is for, where it is for one that lists this build.
    pub fn goes_with(&self, index: usize, build: &Digest) -> Option<Digest> {
        let ordered = self.targets[index].newest().and_then(|order| self.orders.get(&order));
        ordered
            .filter(|(package, order)| order.act.deploys() && self.packages_of(build).contains(package))
            .map(|(package, _)| *package)
    }

    /// Processes of a build are about to start.
    pub fn starts(&self, cast: &Cast, index: usize, current: Option<Digest>, build: Digest) -> Result<(), Violation> {
        if current == Some(build) {
            return Ok(());
        }
        let runs = current.map_or("nothing".into(), |current| cast.name(&current));
        broken("AUTHORITY", format!("{} starts {} while {runs} is current", target(index), cast.name(&build)))
    }

    /// A target says how an assignment ended.
    pub fn reports(
        &mut self,
        cast: &Cast,
        report: &Report,
        (current, serves, is_stopped): (Option<Digest>, bool, bool),
    ) -> Result<(), Violation> {
        let Some(index) = (0..self.targets.len()).find(|index| target(*index) == report.target) else { return Ok(()) };
        let name = |build: Option<Digest>| build.map_or("nothing".into(), |build| cast.name(&build));
        if report.running != current {
            let (says, is) = (name(report.running), name(current));
            return broken("TRUTH", format!("{} reports that it runs {says}; {is} is current", report.target));
        }
        let is_sure = !is_stopped && matches!(report.outcome, Outcome::Verified | Outcome::Undone { .. });
        if is_sure && self.sides.are_there && current.is_some() && report.standby == serves {
            let is = if serves { "serves" } else { "stands by" };
            return broken("TRUTH", format!("{} {is}, and reports otherwise", report.target));
        }
        let on_target = &mut self.targets[index];
        (on_target.is_at_it, on_target.goes_back, on_target.has_told) = (false, false, true);
        let is_there = |build: &Digest| on_target.came_by.is_some_and(|(known, _)| known == *build);
        if !report.running.is_some_and(|build| is_there(&build)) {
            on_target.came_by = report.running.map(|build| (build, report.deployment));
        }
        if !matches!(report.outcome, Outcome::Refused { .. }) {
            if report.generation < on_target.reported {
                let (newer, older) = (on_target.reported, report.generation);
                let what = format!("{} followed generation {older} after {newer}", report.target);
                return broken("GENERATIONS", what);
            }
            on_target.reported = report.generation;
        }
        Ok(())
    }
}
