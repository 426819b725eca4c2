//! What is going to be tried in a world, all of it drawn from the seed before the world begins, so that things can be
//! left out one by one until only those are left that matter.

use crate::{
    cast::{VERSIONS, Who},
    random::Random,
    store::DeathInAppend,
};
use std::fmt;
use trust::statement::OrderAct;

/// A minute in milliseconds.
pub const MINUTE: u64 = 60_000;
/// Before when everything is tried.
const CALM: u64 = 45 * MINUTE;
/// How long after the end of troubles everything that can end has ended.
pub const QUIET: u64 = 35 * MINUTE;

/// What a world is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// How many targets prod has.
    pub targets: usize,
    /// How many of them are changed at a time; 0 means all.
    pub at_once: u32,
    /// For how long a deployment must stay healthy.
    pub soak_minutes: u32,
    /// Whether a failure is taken back, or stops where it is.
    pub undoes: bool,
    /// How many of a thousand messages are lost.
    pub loss: u64,
    /// How many of a thousand are delivered twice.
    pub duplicates: u64,
    /// How long a message takes at most, in milliseconds.
    pub slowest: u64,
    /// Which version does not come up on which target.
    pub sick: Vec<(usize, usize)>,
    /// How much faster than time each target's clock runs, in millionths; the last is the server's.
    pub drift: Vec<i64>,
    /// From when on, until troubles end, somebody has taken the server.
    pub taken: Option<u64>,
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

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Coder asks for a release that holds for so many minutes.
    Request { version: usize, minutes: u64 },
    /// Somebody approves the newest request.
    Approve { who: Who, version: usize },
    /// Somebody orders a deployment.
    Order { who: Who, version: usize, act: OrderAct, when_released: bool },
    /// Somebody orders a rollback to what settled before.
    RollBack { who: Who },
    /// Somebody takes permission back.
    Withdraw { who: Who, version: usize },
    /// Somebody lifts the holds.
    LiftHold { who: Who },
    /// Somebody ends the open deployment.
    Abort { who: Who },
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

impl Script {
    /// The script of a seed.
    pub fn new(seed: u64) -> Self {
        let random = &mut Random::new(seed, "script");
        let setting = setting(random);
        let mut deeds = Vec::new();
        let mut at = random.between(1_000, 2 * MINUTE);
        for _ in 0..random.between(2, 5) {
            let version = random.below(VERSIONS as u64) as usize;
            release(random, at, version, &mut deeds);
            at += random.between(MINUTE, 9 * MINUTE);
        }
        for _ in 0..random.below(5) {
            let deed = afterthought(random);
            deeds.push((random.between(3 * MINUTE, CALM - 2 * MINUTE), deed));
        }
        if let Some(from) = setting.taken {
            tempt(random, from, setting.targets, &mut deeds);
        }
        let busy: Vec<u64> =
            deeds.iter().filter(|(_, deed)| matches!(deed, Deed::Order { .. })).map(|(at, _)| *at).collect();
        for _ in 0..random.below(8) {
            let at = match random.chance(700) && !busy.is_empty() {
                true => random.pick(&busy) + random.below(90_000),
                false => random.below(CALM - MINUTE),
            };
            let deed = trouble(random, setting.targets);
            deeds.push((at, deed));
        }
        deeds.retain(|(at, _)| *at < CALM);
        deeds.sort_by_key(|(at, _)| *at);
        let steps = deeds.into_iter().enumerate().map(|(id, (at, deed))| Step { at, id, deed }).collect();
        Self { seed, setting, steps }
    }
}

fn setting(random: &mut Random) -> Setting {
    let targets = random.between(1, 4) as usize;
    let stormy = random.chance(500);
    let sick = (0..random.below(4)).map(|_| (random.below(VERSIONS as u64) as usize, random.below(4) as usize));
    let sick = sick.collect();
    let skewed = random.chance(400);
    Setting {
        targets,
        at_once: *random.pick(&[0, 1, 1, 2]),
        soak_minutes: *random.pick(&[0, 0, 2, 5]),
        undoes: random.chance(750),
        loss: if stormy { random.below(200) } else { 0 },
        duplicates: if stormy { random.below(200) } else { 0 },
        slowest: if stormy { random.between(10, 4_000) } else { 50 },
        sick,
        drift: (0..=targets).map(|_| if skewed { random.below(2_001) as i64 - 1_000 } else { 0 }).collect(),
        taken: random.chance(350).then(|| random.between(MINUTE, 20 * MINUTE)),
    }
}

/// Asking, approving, deploying: mostly in that order.
fn release(random: &mut Random, at: u64, version: usize, deeds: &mut Vec<(u64, Deed)>) {
    let minutes = if random.chance(150) { random.between(2, 20) } else { 24 * 60 };
    deeds.push((at, Deed::Request { version, minutes }));
    let ops = *random.pick(&[Who::Oncall, Who::Second]);
    let mut later = at;
    for who in [Who::Tester, ops] {
        if random.chance(930) {
            let when = at + random.between(500, 2 * MINUTE);
            later = later.max(when);
            deeds.push((when, Deed::Approve { who, version }));
        }
    }
    let who = *random.pick(&[Who::Oncall, Who::Second]);
    let when_released = random.chance(250);
    let act = if random.chance(100) { OrderAct::Redeploy } else { OrderAct::Deploy };
    let from = if when_released { at } else { later };
    deeds.push((from + random.between(500, 3 * MINUTE), Deed::Order { who, version, act, when_released }));
    if random.chance(150) {
        // Two people at once.
        let who = *random.pick(&[Who::Oncall, Who::Second]);
        let other = random.below(VERSIONS as u64) as usize;
        deeds.push((from + random.between(500, 3 * MINUTE), Deed::Order { who, version: other, act, when_released }));
    }
}

/// What a thief likes to see: permission that was taken back, orders that nobody would carry out, targets that start
/// anew and know only what they have kept.
fn tempt(random: &mut Random, from: u64, targets: usize, deeds: &mut Vec<(u64, Deed)>) {
    let released: Vec<usize> = (deeds.iter())
        .filter_map(|(_, deed)| match deed {
            Deed::Request { version, .. } => Some(*version),
            _ => None,
        })
        .collect();
    let mut at = from;
    for _ in 0..3 {
        let version = *random.pick(&released);
        at += random.between(MINUTE, 6 * MINUTE);
        let who = *random.pick(&[Who::Oncall, Who::Second]);
        let act = *random.pick(&[OrderAct::Deploy, OrderAct::Redeploy]);
        deeds.push((at, Deed::Order { who, version, act, when_released: false }));
        if random.chance(600) {
            deeds.push((at + random.below(MINUTE), Deed::Withdraw { who: Who::Tester, version }));
        }
        let target = random.below(targets as u64) as usize;
        let power = random.chance(300);
        deeds.push((at + 2 * MINUTE, Deed::KillAgent { target, in_operation: None, power, down: 1_000 }));
    }
}

fn afterthought(random: &mut Random) -> Deed {
    let version = random.below(VERSIONS as u64) as usize;
    let who = *random.pick(&[Who::Oncall, Who::Second]);
    match random.below(7) {
        0 | 1 => Deed::Withdraw { who: *random.pick(&[Who::Tester, Who::Oncall]), version },
        2 | 3 => Deed::RollBack { who },
        4 => Deed::LiftHold { who },
        5 => Deed::Abort { who },
        _ => {
            let act = *random.pick(&[OrderAct::Deploy, OrderAct::Redeploy]);
            Deed::Order { who, version, act, when_released: random.chance(300) }
        }
    }
}

fn trouble(random: &mut Random, targets: usize) -> Deed {
    let target = random.below(targets as u64) as usize;
    let down = if random.chance(800) { random.between(100, MINUTE) } else { random.between(MINUTE, 15 * MINUTE) };
    match random.below(12) {
        0..=2 => {
            let in_append = *random.pick(&[None, Some(DeathInAppend::Before), Some(DeathInAppend::After)]);
            Deed::KillServer { in_append, down: down.min(5 * MINUTE) }
        }
        3..=6 => {
            let in_operation = random.chance(600).then(|| random.below(60) as u32);
            Deed::KillAgent { target, in_operation, power: random.chance(500), down }
        }
        7 | 8 => {
            let lasts = if random.chance(700) { down } else { random.between(9 * MINUTE, 20 * MINUTE) };
            let cut = random.next();
            Deed::CutOff { targets: [0, 1, 2, 3].map(|index| cut >> index & 1 == 1), lasts }
        }
        9 => Deed::FillDisk { target, lasts: down.min(5 * MINUTE) },
        10 => Deed::FillLedger { lasts: down.min(3 * MINUTE) },
        _ => {
            let seconds = random.between(1, 7_200) as i64;
            let seconds = if random.chance(500) { -seconds } else { seconds };
            Deed::SetClock { target: random.chance(700).then_some(target), seconds }
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", moment(self.at), self.deed)
    }
}

/// A moment as the story tells it.
pub fn moment(at: u64) -> String {
    format!("{:02}:{:02}:{:02}.{:03}", at / 3_600_000, at / MINUTE % 60, at / 1000 % 60, at % 1000)
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = |index: &usize| crate::cast::target(*index);
        match self {
            Deed::Request { version, minutes } => {
                write!(f, "coder asks for web@1.{version}.0 → prod, for {minutes} min")
            }
            Deed::Approve { who, version } => write!(f, "{} approves web@1.{version}.0", who.name()),
            Deed::Order { who, version, act, when_released } => {
                let when = if *when_released { ", when released" } else { "" };
                write!(f, "{} orders {act:?} of web@1.{version}.0{when}", who.name())
            }
            Deed::RollBack { who } => write!(f, "{} orders a rollback", who.name()),
            Deed::Withdraw { who, version } => write!(f, "{} withdraws web@1.{version}.0", who.name()),
            Deed::LiftHold { who } => write!(f, "{} lifts the holds", who.name()),
            Deed::Abort { who } => write!(f, "{} aborts", who.name()),
            Deed::KillServer { in_append, down } => {
                let when = match in_append {
                    None => "",
                    Some(DeathInAppend::Before) => " before the next batch is stored",
                    Some(DeathInAppend::After) => " after the next batch is stored",
                };
                write!(f, "the server is killed{when}, for {} s", down / 1000)
            }
            Deed::KillAgent { target: index, in_operation, power, down } => {
                let how = if *power { "loses power" } else { "is killed" };
                write!(f, "{} {how}", target(index))?;
                if let Some(operation) = in_operation {
                    write!(f, " in its disk operation {operation} from now")?;
                }
                write!(f, ", for {} s", down / 1000)
            }
            Deed::CutOff { targets, lasts } => {
                let names: Vec<String> =
                    (0..4).filter(|index| targets[*index]).map(|index| target(&index).to_string()).collect();
                write!(f, "{} cannot be reached, for {} s", names.join(", "), lasts / 1000)
            }
            Deed::FillDisk { target: index, lasts } => {
                write!(f, "the disk of {} is full, for {} s", target(index), lasts / 1000)
            }
            Deed::FillLedger { lasts } => write!(f, "the ledger's disk is full, for {} s", lasts / 1000),
            Deed::SetClock { target: index, seconds } => {
                let whose = index.as_ref().map_or("the server".to_owned(), |index| target(index).to_string());
                write!(f, "the clock of {whose} is set by {seconds} s")
            }
        }
    }
}
