//! What is going to be tried in a world, all of it drawn from the seed before the world begins, so that things can be
//! left out one by one until only those are left that matter.
//!
//! - `draw`: how it is drawn; `presence`: what is drawn of silences, `following` of what waits for others to end, `doubt` of
//!   measurements that decide nothing, `switching` of what is let serve and does not stay well, `package` of a second
//!   application and a package of both, `repository` of what is published, `roots` of owners' keys. `words`: how the story tells of it.

mod doubt;
mod draw;
mod following;
mod package;
mod presence;
mod repository;
mod roots;
mod switching;
mod words;

use crate::{cast::Who, random::Random, store::DeathInAppend};
use std::collections::BTreeMap;
use trust::{
    rollout::{Rollout, RolloutTerms},
    statement::OrderAct,
};

pub use words::moment;

/// A minute in milliseconds.
pub const MINUTE: u64 = 60_000;
/// Before when everything is tried.
const CALM: u64 = 45 * MINUTE;
/// How long after the end of troubles everything that can end has ended.
pub const QUIET: u64 = 35 * MINUTE;

/// What a world is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// How many targets prod has. Every other one carries the label `ring=early`.
    pub targets: usize,
    /// When the last of them joins, where it is not there from the beginning.
    pub joins_late: Option<u64>,
    /// Whether prod has two sides, by the label, so that what is new stands by until somebody switches.
    pub sides: bool,
    /// For how many minutes a target lives from when it joins, where prod is thrown away. It is of class test then.
    pub lives: Option<u64>,
    /// How many of the targets, the last ones, come and go; and for how many minutes one may be silent.
    pub passing: usize,
    pub silent_minutes: u64,
    /// Whether the owners delegate a repository to the server, without whose fresh word no target takes anything new.
    pub repository: bool,
    /// How a deployment goes over them, by the charter.
    pub rollout: Rollout,
    /// Whether ops may deploy with less care than that.
    pub hastens: bool,
    /// When prod takes something new: from which to which minute, in minutes from the first that has the world in it. At
    /// any time where none are named.
    pub windows: Vec<(u64, u64)>,
    /// For how long a deployment must stay healthy.
    pub soak_minutes: u32,
    /// How many of a thousand messages are lost.
    pub loss: u64,
    /// How many of a thousand are delivered twice.
    pub duplicates: u64,
    /// How long a message takes at most, in milliseconds.
    pub slowest: u64,
    /// Which version does not come up on which target.
    pub sick: Vec<(usize, usize)>,
    /// Which comes up on which target, and leaves it in doubt whether it is well.
    pub doubtful: Vec<(usize, usize)>,
    /// Which comes up and does not stay well.
    pub ailing: Vec<Ailment>,
    /// Which versions change the application's data, and how.
    pub changes_data: BTreeMap<usize, Change>,
    /// How much faster than time each target's clock runs, in millionths; the last is the server's.
    pub drift: Vec<i64>,
    /// For how many seconds nothing is heard of a target before it counts as away, where any does.
    pub away_after: Option<u64>,
    /// Whether there is a second application and a package of both, and whether its members go in an order.
    pub package: Option<InOrder>,
    /// From when on, until troubles end, somebody has taken the server.
    pub taken: Option<u64>,
    /// Whether two people own the estate, and one of their keys is replaced: the next charter comes by the next root.
    pub rotates: bool,
    /// What else he tries than with assignments, orders and withdrawals.
    pub tricks: Tricks,
}

/// Whether the first application comes after the second in the package of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InOrder(pub bool);

/// What somebody who has taken the server may try besides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tricks {
    /// He withholds what was said of freezes, says again what was said once, and lifts them himself.
    pub freezes: bool,
    /// He withholds the newest charter, shows older ones, and such as are put together from two.
    pub charters: bool,
    /// He has what the same people signed for another estate, and an estate of his own.
    pub foreign: bool,
    /// He gives other bytes than those that were asked for.
    pub bytes: bool,
    /// He mixes the members of packages, and has what was signed for another environment.
    pub members: bool,
    /// How he shows the repository, where not as it is.
    pub showing: Option<Showing>,
}

/// How somebody who has taken the server shows the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Showing {
    /// As it was before the world began, for ever.
    Frozen,
    /// As it was at some time, another each time.
    Once,
    /// Parts as they are, parts as they were, and parts not at all.
    Mixed,
    /// As he signs it himself.
    Forged,
}

/// A version that does not stay well on a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ailment {
    /// Which version.
    pub version: usize,
    /// On which target.
    pub target: usize,
    /// For how long it is well first, in milliseconds.
    pub after: u64,
    /// For how long it is unwell then.
    pub lasts: u64,
}

/// How a version changes the application's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whether it says how that is taken back.
    pub has_undo: bool,
    /// How many of a thousand tries fail.
    pub fails: u64,
}

/// Something that is tried at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When, in milliseconds from the beginning.
    pub at: u64,
    /// Names it among the others of the script, for its request's id.
    pub id: usize,
    /// What.
    pub deed: Deed,
}

/// What an order says besides what is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Besides {
    /// Whether it may stand until its version is released.
    pub when_released: bool,
    /// Whether it may stand until what is under way has ended.
    pub after_current: bool,
    /// In how many minutes it is to begin.
    pub at: Option<u64>,
    /// In how many minutes it is to begin at the latest.
    pub expires: Option<u64>,
    /// The one target it is for.
    pub only: Option<usize>,
    /// How it goes over the targets, where that is to be otherwise than by the charter.
    pub care: RolloutTerms,
    /// For how long its plan is thought over, in milliseconds, where exactly that is ordered.
    pub thinks: Option<u64>,
}

/// What is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Coder asks for a release that holds for so many minutes.
    Request { version: usize, minutes: u64 },
    /// Somebody approves the newest request.
    Approve { who: Who, version: usize },
    /// Somebody orders a deployment.
    Order { who: Who, version: usize, act: OrderAct, besides: Besides },
    /// Somebody orders a rollback to what settled before.
    RollBack { who: Who, keep_data: bool },
    /// The same, done to the package.
    OfPackage(Box<Deed>),
    /// Somebody lets serve what stands by.
    Switch { who: Who },
    /// Somebody stops, starts or removes what runs on most targets.
    Operate { who: Who, act: OrderAct },
    /// Somebody takes permission back.
    Withdraw { who: Who, version: usize },
    /// Somebody lifts the holds.
    LiftHold { who: Who },
    /// Somebody ends the open deployment, and says why.
    Abort { who: Who },
    /// Somebody lets no further target of it begin.
    Pause { who: Who },
    /// Somebody lets it go on.
    Resume { who: Who },
    /// Somebody lets the targets try again that failed, were absent or were left out.
    Retry { who: Who },
    /// Somebody leaves a target out of it.
    Exclude { who: Who, target: usize },
    /// Somebody freezes prod.
    Freeze { who: Who, minutes: u64 },
    /// Somebody lifts the newest freeze.
    LiftFreeze { who: Who },
    /// Somebody lets a version pass it.
    Except { who: Who, version: usize },
    /// Somebody keeps new deployments away from a target, or lets them come again.
    Cordon { who: Who, target: usize, cordoned: bool },
    /// The owners sign the next charter: one by which somebody of ops is of ops no longer, or the same by the next root.
    Recharter,
    /// The owner takes a target out for good.
    Retire { target: usize },
    /// The machine that was not there from the beginning joins.
    Join { target: usize },
    /// A machine that comes and goes is gone, and nobody says so.
    Vanish { target: usize },
    /// The server is killed: now, or while it stores.
    KillServer { in_append: Option<DeathInAppend>, down: u64 },
    /// An agent is killed: now, or in one of its next operations on its disk; perhaps its machine loses power.
    KillAgent { target: usize, in_operation: Option<u32>, power: bool, down: u64 },
    /// Targets cannot reach the server.
    CutOff { targets: [bool; 4], lasts: u64 },
    /// A target's disk is full.
    FillDisk { target: usize, lasts: u64 },
    /// The ledger's disk is full.
    FillLedger { lasts: u64 },
    /// A clock is set; the server's where no target is given.
    SetClock { target: Option<usize>, seconds: i64 },
}

/// A world before it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// The seed it was drawn from, and chance is drawn from.
    pub seed: u64,
    /// What the world is like.
    pub setting: Setting,
    /// What is tried, by time.
    pub steps: Vec<Step>,
}

impl Setting {
    /// Whether a target is there at a moment, in milliseconds from the beginning.
    pub fn is_there(&self, index: usize, at: u64) -> bool {
        index + 1 < self.targets || self.joins_late.is_none_or(|joins| joins <= at)
    }

    /// When a target joins, in milliseconds from the beginning.
    pub fn joins(&self, index: usize) -> u64 {
        if self.is_there(index, 0) { 0 } else { self.joins_late.unwrap_or(0) }
    }

    /// Whether a target comes and goes.
    pub fn is_passing(&self, index: usize) -> bool {
        index + self.passing >= self.targets
    }
}

impl Script {
    /// By how much the server's clock is set back in all, in milliseconds.
    pub fn server_set_back(&self) -> u64 {
        let back = self.steps.iter().map(|step| match step.deed {
            Deed::SetClock { target: None, seconds } => seconds.min(0).unsigned_abs() * 1000,
            _ => 0,
        });
        back.sum()
    }

    /// The script of a seed.
    pub fn new(seed: u64) -> Self {
        let random = &mut Random::new(seed, "script");
        let mut setting = draw::setting(random);
        let mut deeds = draw::deeds(random, &setting);
        draw::comings(&mut Random::new(seed, "comings"), &mut setting, &mut deeds);
        draw::operations(&mut Random::new(seed, "operations"), &mut deeds);
        draw::leavings(&mut Random::new(seed, "leavings"), &setting, &mut deeds);
        draw::failures(&mut Random::new(seed, "failures"), &mut setting, &deeds);
        draw::plans(&mut Random::new(seed, "plans"), &setting, &mut deeds);
        draw::changes(&mut Random::new(seed, "changes"), &mut setting, &mut deeds);
        draw::ailments(&mut Random::new(seed, "ailments"), &mut setting, &mut deeds);
        draw::sides(&mut Random::new(seed, "sides"), &mut setting, &mut deeds);
        draw::lives(&mut Random::new(seed, "lives"), &mut setting, &mut deeds);
        draw::passing(&mut Random::new(seed, "passing"), &mut setting, &mut deeds);
        draw::tricks(&mut Random::new(seed, "tricks"), &mut setting, &mut deeds);
        presence::silences(&mut Random::new(seed, "silences"), &mut setting, &mut deeds);
        following::followers(&mut Random::new(seed, "followers"), &setting, &mut deeds);
        doubt::doubts(&mut Random::new(seed, "doubts"), &mut setting, &mut deeds);
        switching::unwell_once_served(&mut Random::new(seed, "switched"), &mut setting, &mut deeds);
        package::packages(&mut Random::new(seed, "packages"), &mut setting, &mut deeds);
        roots::rotated(&mut Random::new(seed, "roots"), &mut setting, &mut deeds);
        repository::published(&mut Random::new(seed, "repository"), &mut setting, &mut deeds);
        deeds.retain(|(at, _)| *at < CALM);
        deeds.sort_by_key(|(at, _)| *at);
        let steps = deeds.into_iter().enumerate().map(|(id, (at, deed))| Step { at, id, deed }).collect();
        Self { seed, setting, steps }
    }
}
