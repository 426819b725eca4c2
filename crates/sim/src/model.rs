//! The reference model: small, written from the rules and not from the code, it steps beside the world and says which
//! invariant broke. It knows what people signed, what each target was told, and what was acknowledged.
//!
//! - `course`: how one deployment goes. `calendar`: windows and freezes. `target`: what a target may do. `data`: what changes
//!   the application's data.
//! - `following`: what stands until something else has ended.
//! - `presence`: targets of which nobody has heard for a while.
//! - `doubt`: what was verified and left in doubt.
//! - `ends`: targets that end by themselves, or are gone.
//! - `sides`: two sides, one of which serves.
//! - `apart`: what is one application's. `packages`: the models of all of them, and what goes together.
//! - `repository`: what is published for targets and taken by them. `roots`: which roots of trust they keep.
//! - `runs`: what runs on targets by what the server was told.
//! - `published`: what the server decided, held against all this. `sights`: what kinds of things happened.

mod apart;
mod calendar;
mod course;
mod data;
mod doubt;
mod ends;
mod following;
mod packages;
mod presence;
mod published;
mod repository;
mod roots;
mod runs;
mod sides;
mod sights;
mod target;

pub use packages::Models;
pub use sights::SIGHTS;

use crate::{
    cast::{self, Cast, Who, prod, target},
    script::Setting,
};
use calendar::Calendar;
use course::Course;
use domain::{
    entry::Entry,
    plan,
    planned::Planned,
    rules::{late, presence::Away},
    state::State,
    waiting::WaitingOn,
};
use ends::Ends;
use jiff::{SignedDuration, Timestamp};
use packages::Packages;
use repository::Repository;
use sides::Sides;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use target::OnTarget;
use trust::{
    AppName, Digest, TargetName,
    dsse::Envelope,
    rollout::Rollout,
    statement::{Act, AdministrationAct, Order, Statement},
};

/// How long the server's clock may take to see what is due.
const SEES_WITHIN: SignedDuration = SignedDuration::from_mins(2);

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
    /// Those who said yes.
    yes: BTreeSet<Who>,
}

impl Wish {
    /// Whether everybody said yes who has to, by a charter.
    fn is_granted(&self, charter: u64) -> bool {
        ["qa", "ops"].iter().all(|role| self.yes.iter().any(|who| who.approves_as(charter) == Some(role)))
    }
}

/// What is found on a target in the end.
pub struct Runs {
    /// The build that is current.
    pub build: Option<Digest>,
    /// Whether somebody stopped it.
    pub is_stopped: bool,
    /// Whether it stands by.
    pub stands_by: bool,
    /// Whether it has been unwell, or well, for long enough for that to be known.
    pub is_unwell: bool,
    pub is_well: bool,
}

/// The model of one application.
pub struct Model {
    /// The application.
    app: AppName,
    /// By the build, the package that lists it.
    listed: BTreeMap<Digest, Vec<Digest>>,
    /// How the charter says that deployments go.
    rollout: Rollout,
    calendar: Calendar,
    wishes: BTreeMap<Digest, Wish>,
    /// What was ordered, of which build.
    orders: BTreeMap<Digest, (Digest, Order)>,
    /// Who signed what, and which charter is in force. Whether a second one ever is.
    signers: BTreeMap<Digest, Who>,
    charter: u64,
    has_two_charters: bool,
    /// What people have seen that an order would do, by the id by which they order it.
    plans: BTreeMap<Digest, Planned>,
    /// The builds that change the data, on which target each order began that, and the builds that have.
    changing: BTreeSet<Digest>,
    changes: BTreeMap<Digest, usize>,
    changed: BTreeSet<Digest>,
    withdrawals: BTreeMap<Digest, (Digest, u64)>,
    acknowledged: Vec<(u64, Digest)>,
    targets: Vec<OnTarget>,
    /// The newest entry that was looked at.
    looked: u64,
    courses: BTreeMap<u64, Course>,
    running: BTreeMap<TargetName, Digest>,
    /// Which deployment brought what runs on each target, and where that is known to be unwell since which entry.
    brought: BTreeMap<TargetName, u64>,
    unwell: BTreeMap<TargetName, u64>,
    held: BTreeMap<Digest, u64>,
    /// How many targets joined that are to stay, those that were not there from the beginning, and those that are cordoned.
    joined: usize,
    newcomers: BTreeSet<TargetName>,
    cordoned: BTreeSet<TargetName>,
    /// Those that are gone for good.
    retired: BTreeSet<TargetName>,
    ends: Ends,
    sides: Sides,
    repository: Repository,
    /// Who is away, by what is decided; and whether that is by nobody's word.
    away: Away,
    by_itself: bool,
    /// Whether the target whose word is looked at is in doubt about what it verified.
    in_doubt: bool,
    /// What was withdrawn: builds, and through which serial.
    dead: BTreeMap<Digest, u64>,
    /// The entry of every statement that was recorded.
    recorded: BTreeMap<Digest, u64>,
    soak_seconds: i64,
    /// The deployments that have settled.
    settled_ones: BTreeSet<u64>,
    /// Whether somebody takes the server: targets may be told of deployments that nobody ordered.
    is_taken: bool,
    published: Option<Arc<State>>,
    /// What kinds of things happened.
    seen: BTreeSet<&'static str>,
}

impl Model {
    /// A model of an application of a world in which nothing has happened, by its place.
    pub fn new(setting: &Setting, cast: &Cast, place: usize) -> Self {
        Self {
            app: cast::app(place),
            listed: cast.builds.iter().map(|build| (*build, cast.packages_of(build))).collect(),
            rollout: setting.rollout.clone(),
            calendar: Calendar::new(&setting.windows),
            wishes: BTreeMap::new(),
            orders: BTreeMap::new(),
            signers: BTreeMap::new(),
            charter: 1,
            has_two_charters: setting.tricks.charters,
            plans: BTreeMap::new(),
            changing: setting.changes_data.keys().map(|version| cast.builds[*version]).collect(),
            changes: BTreeMap::new(),
            changed: BTreeSet::new(),
            withdrawals: BTreeMap::new(),
            acknowledged: Vec::new(),
            targets: (0..setting.targets).map(|_| OnTarget::default()).collect(),
            looked: 0,
            courses: BTreeMap::new(),
            running: BTreeMap::new(),
            brought: BTreeMap::new(),
            unwell: BTreeMap::new(),
            held: BTreeMap::new(),
            joined: (0..setting.targets)
                .filter(|index| setting.is_there(*index, 0) && !setting.is_passing(*index))
                .count(),
            newcomers: BTreeSet::new(),
            cordoned: BTreeSet::new(),
            retired: BTreeSet::new(),
            ends: Ends::new(setting),
            sides: Sides::new(setting),
            repository: Repository::new(setting),
            away: Away::new(),
            by_itself: false,
            in_doubt: false,
            dead: BTreeMap::new(),
            recorded: BTreeMap::new(),
            soak_seconds: i64::from(setting.soak_minutes) * 60,
            settled_ones: BTreeSet::new(),
            is_taken: setting.taken.is_some(),
            published: None,
            seen: BTreeSet::new(),
        }
    }

    /// Whether a target is gone for good.
    pub fn is_retired(&self, index: usize) -> bool {
        self.retired.contains(&target(index))
    }

    /// What kinds of things happened.
    pub fn seen(&self) -> BTreeSet<&'static str> {
        self.seen.clone()
    }

    /// Something of this kind happened.
    pub fn sees(&mut self, kind: &'static str) {
        debug_assert!(SIGHTS.contains(&kind), "{kind} stands in no list");
        self.seen.insert(kind);
    }

    /// Somebody signed something: from now on it exists, wherever it goes.
    pub fn signed(&mut self, who: Who, envelope: &Envelope) {
        let Ok(statement) = Statement::read(envelope) else { return };
        let payload = Digest::of(&envelope.payload);
        self.signers.insert(payload, who);
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
                if let Some(wish) = self.wishes.get_mut(&statement.subject) {
                    wish.yes.insert(who);
                }
            }
            Act::Order(order) => {
                self.orders.insert(payload, (statement.subject, order));
            }
            Act::Withdrawal(withdrawal) => {
                self.withdrawals.insert(payload, (statement.subject, withdrawal.through_serial));
            }
            Act::Freeze(freeze) => self.calendar.signed(payload, statement.subject, freeze),
            _ => {}
        }
    }

    /// Somebody has seen what an order would do.
    pub fn plans(&mut self, planned: Planned) {
        self.plans.insert(planned.id(), planned);
    }

    /// Somebody was told that what they signed is entry `number`.
    pub fn acknowledge(&mut self, number: u64, payload: Digest) {
        self.acknowledged.push((number, payload));
    }

    /// Somebody was told no.
    pub fn refused(&mut self, code: &str) {
        match code {
            "ROLLOUT_EASED" => self.sees("less care refused"),
            "WINDOW_CLOSED" => self.sees("refused outside the windows"),
            "FROZEN" => self.sees("refused by a freeze"),
            "HELD" => self.sees("held out"),
            "PLAN_STALE" => self.sees("refused since a plan is stale"),
            _ => {}
        }
    }

    /// Whoever asks again for what was recorded hears the first answer, and not a no.
    pub fn is_not_recorded(&self, payload: Digest, code: &str) -> Result<(), Violation> {
        if code == "DEPLOYMENT_UNDER_WAY" && self.may_follow(&payload) {
            return broken("FOLLOWS", "what may stand until something else has ended is refused for that");
        }
        match self.recorded.get(&payload) {
            Some(number) if code != "NOT_WRITTEN" => {
                broken("ONCE", format!("entry {number} holds a statement, and who sends it again hears {code}"))
            }
            _ => Ok(()),
        }
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

    /// Troubles are over for long: everything has ended, or waits for what has not come, and everyone says the same.
    pub fn settled(
        &self,
        cast: &Cast,
        state: &State,
        now: Timestamp,
        actual: &[Runs],
        packages: &Packages,
    ) -> Result<(), Violation> {
        let looked = state.head.time.max(now - SEES_WITHIN);
        for number in state.deployments.keys() {
            match plan::waits(state, *number, state.head.time) {
                Some(WaitingOn::Soak { until, .. }) if until < now => {
                    return broken("PROGRESS", format!("deployment {number} should have settled at {until}"));
                }
                Some(WaitingOn::Health { unwell, stopped, .. })
                    if unwell.iter().map(|(name, _)| name).chain(&stopped).all(|name| self.retired.contains(name)) =>
                {
                    return broken(
                        "PROGRESS",
                        format!("deployment {number} waits to be well on targets that are gone"),
                    );
                }
                _ => {}
            }
        }
        for number in &state.open_deployments {
            let Some(waits) = plan::waits(state, *number, looked) else { continue };
            if !has_not_come(&waits, looked.min(now)) {
                return broken("PROGRESS", format!("deployment {number} has not ended: {waits}"));
            }
        }
        if let Some(late::Comer { target, at, .. }) =
            late::comers(state, &self.away, looked).find(|comer| comer.at < looked && comer.kept_back.is_none())
        {
            return broken("PROGRESS", format!("{target} should have caught up at {at}"));
        }
        self.all_have_ended(state, looked.min(now))?;
        self.nothing_stands_for_nothing(cast, looked.min(now), packages)?;
        self.nobody_is_forgotten(cast, looked.min(now), packages)?;
        for (index, runs) in actual.iter().enumerate().filter(|(index, _)| !self.is_retired(*index)) {
            let said = state.running(&self.app, &target(index));
            let build = said.map(|running| running.build);
            let is_stopped = said.is_some_and(|running| running.stopped);
            let is_unwell = said.is_some_and(|running| running.unwell.is_some());
            let name = |build: Option<Digest>, is_stopped: bool| {
                let name = build.map_or("nothing".into(), |build| cast.name(&build));
                if is_stopped { format!("{name}, stopped") } else { name }
            };
            if (build, is_stopped) != (runs.build, runs.is_stopped) {
                let (runs, says) = (name(runs.build, runs.is_stopped), name(build, is_stopped));
                return broken("TRUTH", format!("{} runs {runs}, and {} says {says}", target(index), prod()));
            }
            let stands_by = said.is_some_and(|running| running.standby);
            if build.is_some() && !is_stopped && stands_by != runs.stands_by {
                let is = if runs.stands_by { "stands by" } else { "serves" };
                return broken(
                    "TRUTH",
                    format!("{} on {} {is}, and {} says otherwise", name(build, false), target(index), prod()),
                );
            }
            if !is_stopped && (runs.is_unwell && !is_unwell || runs.is_well && is_unwell) {
                let (is, says) = if is_unwell { ("well", "unwell") } else { ("unwell", "well") };
                let what = format!("{} on {} is {is}, and {} says {says}", name(build, false), target(index), prod());
                return broken("TRUTH", what);
            }
        }
        Ok(())
    }
}

/// What somebody administers by an entry.
fn administered(entry: &Entry) -> Option<AdministrationAct> {
    let statement = entry.envelope.as_ref().and_then(|envelope| Statement::read(envelope).ok());
    match statement.map(|statement| statement.act) {
        Some(Act::Administration(administration)) => Some(administration.act),
        _ => None,
    }
}

/// Whether something that a deployment waits for may still be to come, when everybody has gone home: people's words, and
/// moments after `now`.
pub fn has_not_come(waits: &WaitingOn, now: Timestamp) -> bool {
    match waits {
        WaitingOn::Permit { .. } | WaitingOn::Person { .. } | WaitingOn::Word { .. } => true,
        // Those are looked at for themselves.
        WaitingOn::Deployment { .. } | WaitingOn::Members { .. } => true,
        WaitingOn::Window { opens_at, .. } => opens_at.is_none_or(|opens| opens > now),
        WaitingOn::Beginning { begins: until, .. }
        | WaitingOn::Time { at: until, .. }
        | WaitingOn::Freeze { until, .. }
        | WaitingOn::Bake { until, .. }
        | WaitingOn::Soak { until, .. } => *until > now,
        WaitingOn::Approvals { .. } | WaitingOn::Targets { .. } | WaitingOn::Health { .. } => false,
    }
}
