//! The reference model: small, written from the rules and not from the code, it steps beside the world and says which
//! invariant broke. It knows what people signed, what each target was told, and what was acknowledged.

use crate::cast::{Cast, Who, app, prod, target};
use domain::{
    entry::Entry,
    event::{Ending, Event},
    plan,
    state::{DeploymentPhase, State},
    waiting::WaitingOn,
};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use trust::{
    Digest, TargetName,
    authority::Dossier,
    dsse::Envelope,
    statement::{Act, OrderAct, Outcome, Report, Statement},
};

/// An invariant that broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which, in its stable short name.
    pub invariant: &'static str,
    /// What happened.
    pub what: String,
}

/// Fails with an invariant's name and what happened.
pub fn broken<T>(invariant: &'static str, what: impl Into<String>) -> Result<T, Violation> {
    Err(Violation { invariant, what: what.into() })
}

struct Wish {
    build: Digest,
    serial: u64,
    not_before: Timestamp,
    not_after: Timestamp,
    /// The roles of those who said yes, without those who wrote it.
    yes: BTreeSet<&'static str>,
}

/// What is known of one target.
#[derive(Default)]
struct OnTarget {
    /// The orders it was handed, by digest.
    handed: BTreeSet<Digest>,
    /// The generation of the dossier it was handed last, its order, and what the target's clock showed.
    last: Option<(u64, Digest, Timestamp)>,
    /// Which orders it carried out, under which generation.
    performed: BTreeMap<Digest, u64>,
    /// By which order it left what ran before, and what that was.
    back: Option<(Digest, Option<Digest>)>,
    /// Withdrawals it was told of and may not have kept yet, and those it must have kept.
    told: Vec<Digest>,
    kept: BTreeSet<Digest>,
    /// Every build that ever ran there.
    ran: BTreeSet<Digest>,
    /// The newest generation of which it said how it ended.
    reported: u64,
}

struct Course {
    act: OrderAct,
    build: Digest,
    unfinished: BTreeSet<TargetName>,
    outcomes: BTreeMap<TargetName, Outcome>,
    undone: BTreeSet<TargetName>,
    targets: Vec<TargetName>,
    taken_back: bool,
    ended: Option<Timestamp>,
}

/// The model.
#[derive(Default)]
pub struct Model {
    at_once: usize,
    wishes: BTreeMap<Digest, Wish>,
    orders: BTreeMap<Digest, (Digest, OrderAct)>,
    withdrawals: BTreeMap<Digest, (Digest, u64)>,
    acknowledged: Vec<(u64, Digest)>,
    targets: Vec<OnTarget>,
    seen: u64,
    courses: BTreeMap<u64, Course>,
    running: BTreeMap<TargetName, Digest>,
    held: BTreeSet<Digest>,
    /// What was withdrawn: builds, and through which serial.
    dead: BTreeMap<Digest, u64>,
    /// The entry of every statement that was recorded.
    recorded: BTreeMap<Digest, u64>,
    soak_seconds: i64,
    published: Option<Arc<State>>,
}

impl Model {
    /// A model of a world in which nothing has happened.
    pub fn new(targets: usize, at_once: u32, soak_minutes: u32) -> Self {
        Self {
            at_once: if at_once == 0 { usize::MAX } else { at_once as usize },
            soak_seconds: i64::from(soak_minutes) * 60,
            targets: (0..targets).map(|_| OnTarget::default()).collect(),
            ..Self::default()
        }
    }

    /// Somebody signed something: from now on it exists, wherever it goes.
    pub fn signed(&mut self, who: Who, envelope: &Envelope) {
        let Ok(statement) = Statement::read(envelope) else { return };
        let payload = Digest::of(&envelope.payload);
        match statement.act {
            Act::Request(request) => {
                let wish = Wish {
                    build: statement.subject,
                    serial: request.serial,
                    not_before: request.not_before,
                    not_after: request.not_after,
                    yes: BTreeSet::new(),
                };
                self.wishes.insert(payload, wish);
            }
            Act::Approval(_) => {
                if let (Some(wish), Some(role)) = (self.wishes.get_mut(&statement.subject), who.approves_as()) {
                    wish.yes.insert(role);
                }
            }
            Act::Order(order) => {
                self.orders.insert(payload, (statement.subject, order.act));
            }
            Act::Withdrawal(withdrawal) => {
                self.withdrawals.insert(payload, (statement.subject, withdrawal.through_serial));
            }
            _ => {}
        }
    }

    /// Somebody was told that what they signed is entry `number`.
    pub fn acknowledge(&mut self, number: u64, payload: Digest) {
        self.acknowledged.push((number, payload));
    }

    /// A target was handed withdrawals.
    pub fn told(&mut self, index: usize, envelopes: &[Envelope]) {
        let payloads = envelopes.iter().map(|envelope| Digest::of(&envelope.payload));
        let genuine = payloads.filter(|payload| self.withdrawals.contains_key(payload));
        self.targets[index].told.extend(genuine);
    }

    /// A target went on after what it was told: it must have kept it by now, unless its disk is full.
    pub fn went_on(&mut self, index: usize, disk_is_full: bool) {
        let on_target = &mut self.targets[index];
        if !disk_is_full {
            on_target.kept.extend(on_target.told.iter().copied());
        }
        on_target.told.clear();
    }

    /// A process died with what it had not kept yet.
    pub fn died(&mut self, index: usize) {
        self.targets[index].told.clear();
    }

    /// A target was handed the statements behind an assignment.
    pub fn handed(&mut self, index: usize, generation: u64, dossier: &Dossier, clock: Timestamp) {
        self.told(index, &dossier.withdrawals);
        let Some(order) = &dossier.order else { return };
        let payload = Digest::of(&order.payload);
        let on_target = &mut self.targets[index];
        on_target.handed.insert(payload);
        on_target.last = Some((generation, payload, clock));
    }

    /// `current` is about to be pointed at a build, or at nothing.
    pub fn switches(
        &mut self,
        cast: &Cast,
        index: usize,
        current: Option<Digest>,
        to: Option<Digest>,
        clock: Timestamp,
    ) -> Result<(), Violation> {
        let on_target = &self.targets[index];
        let goes_back = on_target.back.as_ref().is_some_and(|(_, before)| *before == to);
        let Some(build) = to else {
            return match goes_back {
                true => Ok(()),
                false => broken("AUTHORITY", format!("{} switches to nothing, which nobody ordered", target(index))),
            };
        };
        let verdict = self.may_go_forward(index, build, clock);
        let on_target = &mut self.targets[index];
        match verdict {
            Ok((order, generation)) => {
                on_target.performed.insert(order, generation);
                on_target.ran.insert(build);
                if on_target.back.as_ref().is_none_or(|(by, _)| *by != order) {
                    on_target.back = Some((order, current));
                }
                Ok(())
            }
            Err(_) if goes_back => Ok(()),
            Err(why) => broken("AUTHORITY", format!("{} switches to {}: {why}", target(index), cast.name(&build))),
        }
    }

    /// Whether people agreed that the target activate the build now, by what the target itself can know.
    fn may_go_forward(&self, index: usize, build: Digest, clock: Timestamp) -> Result<(Digest, u64), String> {
        let on_target = &self.targets[index];
        let (generation, newest, then) = on_target.last.ok_or("no order was ever handed to it")?;
        let for_build = |order: &&Digest| self.orders.get(*order).is_some_and(|(ordered, _)| *ordered == build);
        let unused = |order: &&Digest| on_target.performed.get(*order).is_none_or(|under| *under == generation);
        let handed: Vec<&Digest> = on_target.handed.iter().filter(for_build).collect();
        if handed.is_empty() {
            return Err("nobody ordered it".into());
        }
        let usable: Vec<&&Digest> = handed.iter().filter(|order| unused(order)).collect();
        let order = usable.iter().find(|order| ***order == &newest).or(usable.first());
        let order = ***order.ok_or("every order for it was carried out before")?;
        let act = self.orders.get(&order).map(|(_, act)| *act);
        let dead = on_target.kept.iter().filter_map(|payload| self.withdrawals.get(payload));
        let dead_through = dead.filter(|(other, _)| *other == build).map(|(_, serial)| *serial).max().unwrap_or(0);
        let of_build: Vec<&Wish> = self.wishes.values().filter(|wish| wish.build == build).collect();
        let granted: Vec<&&Wish> =
            of_build.iter().filter(|wish| wish.yes.contains("qa") && wish.yes.contains("ops")).collect();
        if granted.is_empty() {
            return Err(format!("qa and ops never agreed to any of its {} requests", of_build.len()));
        }
        let alive: Vec<&&&Wish> = granted.iter().filter(|wish| wish.serial > dead_through).collect();
        if alive.is_empty() {
            return Err(format!("permission was withdrawn through serial {dead_through}, as it had been told"));
        }
        let holds = |wish: &Wish, at: Timestamp| wish.not_before <= at && at < wish.not_after;
        let in_time = alive.iter().any(|wish| holds(wish, clock) || holds(wish, then));
        match in_time || act == Some(OrderAct::Rollback) {
            true if act == Some(OrderAct::Rollback) && !on_target.ran.contains(&build) => {
                Err("it is a rollback to what never ran there".into())
            }
            true => Ok((order, generation)),
            false => Err("its permit does not hold at this time".into()),
        }
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
    pub fn reports(&mut self, cast: &Cast, report: &Report, current: Option<Digest>) -> Result<(), Violation> {
        let Some(index) = (0..self.targets.len()).find(|index| target(*index) == report.target) else { return Ok(()) };
        let name = |build: Option<Digest>| build.map_or("nothing".into(), |build| cast.name(&build));
        if report.running != current {
            let (says, is) = (name(report.running), name(current));
            return broken("TRUTH", format!("{} reports that it runs {says}; {is} is current", report.target));
        }
        let on_target = &mut self.targets[index];
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

    /// The server published more: what it decided is compared with the rules.
    pub fn published(&mut self, cast: &Cast, state: Arc<State>, entries: &[Entry]) -> Result<(), Violation> {
        for entry in entries {
            if entry.number <= self.seen {
                continue;
            }
            self.seen = entry.number;
            self.recorded(entry)?;
            for event in &entry.events {
                self.happened(cast, event, entry.time)?;
            }
        }
        for number in &state.open_deployments {
            if plan::waits(&state, *number, state.head.time).is_none() {
                return broken("PROGRESS", format!("deployment {number} stands and does not say what it waits on"));
            }
        }
        self.published = Some(state);
        Ok(())
    }

    /// What was signed is recorded once, and does what it says.
    fn recorded(&mut self, entry: &Entry) -> Result<(), Violation> {
        let Some(envelope) = &entry.envelope else { return Ok(()) };
        let payload = Digest::of(&envelope.payload);
        if let Some(first) = self.recorded.insert(payload, entry.number) {
            return broken("ONCE", format!("entries {first} and {} hold the same statement", entry.number));
        }
        if let Some((build, through)) = self.withdrawals.get(&payload) {
            let dead = self.dead.entry(*build).or_default();
            *dead = (*dead).max(*through);
        }
        Ok(())
    }

    /// Whoever asks again for what was recorded hears the first answer, and not a no.
    pub fn is_not_recorded(&self, payload: Digest, code: &str) -> Result<(), Violation> {
        match self.recorded.get(&payload) {
            Some(number) if code != "NOT_WRITTEN" => {
                broken("ONCE", format!("entry {number} holds a statement, and who sends it again hears {code}"))
            }
            _ => Ok(()),
        }
    }

    fn happened(&mut self, cast: &Cast, event: &Event, time: Timestamp) -> Result<(), Violation> {
        match event {
            Event::DeploymentRequested { deployment, act, build, targets, .. } => {
                if *act == OrderAct::Rollback {
                    let left: Vec<Digest> = self.running.values().copied().filter(|other| other != build).collect();
                    self.held.extend(left);
                }
                let course = Course {
                    act: *act,
                    build: *build,
                    unfinished: BTreeSet::new(),
                    outcomes: BTreeMap::new(),
                    undone: BTreeSet::new(),
                    targets: targets.clone(),
                    taken_back: false,
                    ended: None,
                };
                self.courses.insert(*deployment, course);
            }
            Event::WaveStarted { deployment, targets, .. } => return self.wave(cast, *deployment, targets),
            Event::UndoStarted { deployment, targets, .. } => {
                if let Some(course) = self.courses.get_mut(deployment) {
                    course.taken_back = true;
                    course.unfinished = targets.iter().cloned().collect();
                }
            }
            Event::TargetFinished { deployment, target, outcome, running, .. } => {
                match running {
                    Some(build) => self.running.insert(target.clone(), *build),
                    None => self.running.remove(target),
                };
                if let Some(course) = self.courses.get_mut(deployment) {
                    course.unfinished.remove(target);
                    if course.taken_back && *outcome == Outcome::Verified {
                        course.undone.insert(target.clone());
                    } else {
                        course.outcomes.insert(target.clone(), outcome.clone());
                    }
                }
            }
            Event::DeploymentEnded { deployment, ending, .. } => return self.ended(*deployment, *ending, time),
            Event::DeploymentSettled { deployment } => {
                let ended = self.courses.get(deployment).and_then(|course| course.ended);
                if ended.is_none_or(|ended| time.duration_since(ended).as_secs() < self.soak_seconds) {
                    return broken("SOAK", format!("deployment {deployment} settled before its time"));
                }
            }
            Event::HoldLifted { .. } => self.held.clear(),
            _ => {}
        }
        Ok(())
    }

    fn wave(&mut self, cast: &Cast, deployment: u64, targets: &[TargetName]) -> Result<(), Violation> {
        let at_once = self.at_once;
        let Some(course) = self.courses.get_mut(&deployment) else { return Ok(()) };
        course.unfinished.extend(targets.iter().cloned());
        let busy = course.unfinished.len();
        let failed = course.outcomes.values().filter(|outcome| **outcome != Outcome::Verified).count();
        if busy > at_once {
            let what = format!("deployment {deployment} changes {busy} targets at a time, and prod allows {at_once}");
            return broken("MINIMUM", what);
        }
        if failed > 0 {
            let what = format!("deployment {deployment} goes on to the next wave although {failed} targets failed");
            return broken("MINIMUM", what);
        }
        if course.act != OrderAct::Rollback && self.held.contains(&course.build) {
            let build = cast.name(&course.build);
            return broken("HOLD", format!("deployment {deployment} brings {build}, which is held out of prod"));
        }
        let dead_through = self.dead.get(&course.build).copied().unwrap_or(0);
        let lives = |wish: &Wish| {
            wish.build == course.build
                && wish.serial > dead_through
                && wish.yes.contains("qa")
                && wish.yes.contains("ops")
        };
        if !self.wishes.values().any(lives) {
            let build = cast.name(&course.build);
            return broken("AUTHORITY", format!("a wave of deployment {deployment} brings {build} without a permit"));
        }
        Ok(())
    }

    fn ended(&mut self, deployment: u64, ending: Ending, time: Timestamp) -> Result<(), Violation> {
        let Some(course) = self.courses.get_mut(&deployment) else { return Ok(()) };
        course.ended = Some(time);
        let verified = |name: &TargetName| course.outcomes.get(name) == Some(&Outcome::Verified);
        if ending == Ending::Succeeded && !course.targets.iter().all(verified) {
            let what = format!("deployment {deployment} is said to have succeeded, and not every target verified it");
            return broken("TRUTH", what);
        }
        let mut switched = course.targets.iter().filter(|name| verified(name));
        if ending == Ending::Undone
            && let Some(left) = switched.find(|name| !course.undone.contains(*name))
        {
            return broken(
                "TRUTH",
                format!("deployment {deployment} is said to be undone, and {left} never went back"),
            );
        }
        let bad = |outcome: &Outcome| matches!(outcome, Outcome::Undone { .. } | Outcome::Failed { .. });
        let failed = course.outcomes.values().any(bad) || !course.undone.is_empty();
        let refused = course.outcomes.values().any(|outcome| matches!(outcome, Outcome::Refused { .. }));
        let brings = matches!(course.act, OrderAct::Deploy | OrderAct::Redeploy);
        if brings
            && matches!(ending, Ending::Undone | Ending::Failed)
            && failed
            && (!refused || course.outcomes.values().any(bad))
        {
            self.held.insert(course.build);
        }
        Ok(())
    }

    /// The server came back with this state and these entries behind it.
    pub fn reopened(&self, state: &State, read: impl Fn(u64) -> Option<Entry>) -> Result<(), Violation> {
        if let Some(before) = &self.published
            && before.head == state.head
            && **before != *state
        {
            return broken("REPLAY", format!("entry {} folded anew leads to another state", state.head.entry));
        }
        self.nothing_is_lost(read)
    }

    /// Everything that was acknowledged is there.
    pub fn nothing_is_lost(&self, read: impl Fn(u64) -> Option<Entry>) -> Result<(), Violation> {
        for (number, payload) in &self.acknowledged {
            let found = read(*number).and_then(|entry| entry.envelope).map(|envelope| Digest::of(&envelope.payload));
            if found != Some(*payload) {
                return broken("DURABLE", format!("entry {number} was acknowledged, and is not there any more"));
            }
        }
        Ok(())
    }

    /// Troubles are over for long: everything has ended, and everyone says the same.
    pub fn settled(
        &self,
        cast: &Cast,
        state: &State,
        now: Timestamp,
        actual: &[Option<Digest>],
    ) -> Result<(), Violation> {
        for number in state.deployments.keys() {
            if let Some(WaitingOn::Soak { until, .. }) = plan::waits(state, *number, state.head.time)
                && until < now
            {
                return broken("PROGRESS", format!("deployment {number} should have settled at {until}"));
            }
        }
        for number in &state.open_deployments {
            let phase = state.deployments.get(number).map(|deployment| &deployment.phase);
            if phase != Some(&DeploymentPhase::AwaitingPermit) {
                let waits =
                    plan::waits(state, *number, state.head.time).map_or_else(String::new, |waits| waits.to_string());
                return broken("PROGRESS", format!("deployment {number} has not ended: {waits}"));
            }
        }
        for (index, runs) in actual.iter().enumerate() {
            let said = state.running(&app(), &target(index)).map(|running| running.build);
            if said != *runs {
                let name = |build: Option<Digest>| build.map_or("nothing".into(), |build| cast.name(&build));
                let what = format!("{} runs {}, and {} says {}", target(index), name(*runs), prod(), name(said));
                return broken("TRUTH", what);
            }
        }
        Ok(())
    }
}
