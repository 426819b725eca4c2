//! How a script is drawn: a setting, people who mostly do things in their order, and what comes between.

use super::{Ailment, Besides, CALM, Change, Deed, MINUTE, Setting, Tricks};
use crate::{
    cast::{EARLY, VERSIONS, Who},
    random::Random,
    store::DeathInAppend,
};
use std::collections::BTreeMap;
use trust::{
    rollout::{Advance, OnFailure, Ring, Rollout, RolloutTerms, Share},
    statement::OrderAct,
};

pub(super) type Deeds = Vec<(u64, Deed)>;

/// A world's setting.
pub fn setting(random: &mut Random) -> Setting {
    let targets = *random.pick(&[1, 2, 3, 3, 4, 4]);
    let stormy = random.chance(500);
    let sick = (0..random.below(4)).map(|_| (random.below(VERSIONS as u64) as usize, random.below(4) as usize));
    let sick = sick.collect();
    let skewed = random.chance(400);
    let taken = random.chance(350).then(|| random.between(MINUTE, 20 * MINUTE));
    // A thief is interested in what was ordered, and many deployments that come to their end give him most of it.
    let rollout = rollout(random, targets);
    let is_plain = taken.is_some() && random.chance(700);
    let at_once = rollout.at_once;
    let rollout = if is_plain { Rollout { at_once, ..Rollout::default() } } else { rollout };
    Setting {
        targets,
        joins_late: None,
        sides: false,
        lives: None,
        passing: 0,
        silent_minutes: 15,
        repository: false,
        rollout,
        hastens: random.chance(400),
        windows: if random.chance(300) && !is_plain { windows(random) } else { Vec::new() },
        soak_minutes: *random.pick(&[0, 0, 2, 5]),
        loss: if stormy { random.below(200) } else { 0 },
        duplicates: if stormy { random.below(200) } else { 0 },
        slowest: if stormy { random.between(10, 4_000) } else { 50 },
        sick,
        doubtful: Vec::new(),
        ailing: Vec::new(),
        changes_data: BTreeMap::new(),
        tricks: Tricks::default(),
        drift: (0..=targets).map(|_| if skewed { random.below(2_001) as i64 - 1_000 } else { 0 }).collect(),
        away_after: None,
        package: None,
        taken,
        rotates: false,
    }
}

fn rollout(random: &mut Random, targets: usize) -> Rollout {
    let plain = Rollout {
        at_once: *random.pick(&[Share::All, Share::Count(1), Share::Count(2), Share::Percent(25), Share::Percent(50)]),
        progress_minutes: *random.pick(&[2, 5, 10]),
        on_failure: *random.pick(&[
            OnFailure::Undo,
            OnFailure::Undo,
            OnFailure::Undo,
            OnFailure::Pause,
            OnFailure::Stop,
        ]),
        ..Rollout::default()
    };
    if targets == 1 {
        return plain;
    }
    let early = Ring::Labelled { key: EARLY.0.into(), value: EARLY.1.into() };
    let rings = if random.chance(400) { vec![early, Ring::Rest] } else { Vec::new() };
    let canary = u32::from(random.chance(250));
    let is_divided = canary > 0 || !rings.is_empty();
    let all_but_one = Share::Count(targets as u32 - 1);
    Rollout {
        canary,
        rings,
        bake_minutes: if is_divided { *random.pick(&[0, 1, 3]) } else { 0 },
        advance: if is_divided && random.chance(350) { Advance::Hand } else { Advance::Health },
        min_healthy: *random.pick(&[
            Share::Count(0),
            Share::Count(0),
            Share::Count(1),
            Share::Percent(50),
            all_but_one,
        ]),
        failure_budget: *random.pick(&[Share::Count(0), Share::Count(0), Share::Count(1), Share::Percent(50)]),
        ..plain
    }
}

/// Windows with gaps between them, the last of which may leave the end of the world open or shut.
fn windows(random: &mut Random) -> Vec<(u64, u64)> {
    let mut windows = Vec::new();
    let mut opens = random.below(4);
    for _ in 0..3 {
        let closes = opens + random.between(5, 20);
        windows.push((opens, closes));
        opens = closes + random.between(1, 8);
    }
    windows
}

/// What people do, what happens to machines, and when.
pub fn deeds(random: &mut Random, setting: &Setting) -> Deeds {
    let mut deeds = Vec::new();
    let mut at = random.between(1_000, 2 * MINUTE);
    for _ in 0..random.between(2, 5) {
        let version = random.below(VERSIONS as u64) as usize;
        release(random, setting, at, version, &mut deeds);
        at += random.between(MINUTE, 9 * MINUTE);
    }
    for _ in 0..random.below(5) {
        let deed = afterthought(random, setting);
        deeds.push((random.between(3 * MINUTE, CALM - 2 * MINUTE), deed));
    }
    if let Some(from) = setting.taken {
        tempt(random, from, setting.targets, &mut deeds);
    }
    let busy: Vec<u64> = deeds.iter().filter(|(_, deed)| brings(deed)).map(|(at, _)| *at).collect();
    for at in &busy {
        guidance(random, setting, *at, &mut deeds);
    }
    if random.chance(if setting.taken.is_some() { 150 } else { 400 }) && !busy.is_empty() {
        let near = *random.pick(&busy);
        freeze(random, near, &mut deeds);
    }
    for _ in 0..random.below(8) {
        let at = match random.chance(700) && !busy.is_empty() {
            true => random.pick(&busy) + random.below(90_000),
            false => random.below(CALM - MINUTE),
        };
        let deed = trouble(random, setting.targets);
        deeds.push((at, deed));
    }
    deeds
}

/// Which targets come late, and which are kept out for a while. It is drawn apart from all else.
pub fn comings(random: &mut Random, setting: &mut Setting, deeds: &mut Deeds) {
    let orders: Vec<u64> = deeds.iter().filter(|(_, deed)| brings(deed)).map(|(at, _)| *at).collect();
    let Some(near) = (!orders.is_empty()).then(|| *random.pick(&orders)) else { return };
    if setting.targets > 1 && random.chance(250) {
        let at = (near + random.below(12 * MINUTE)).min(CALM - 2 * MINUTE);
        setting.joins_late = Some(at);
        deeds.push((at, Deed::Join { target: setting.targets - 1 }));
    }
    if random.chance(350) {
        let (who, target) = (deployer(random), random.below(setting.targets as u64) as usize);
        let from = (near + random.below(40_000)).saturating_sub(random.below(2 * MINUTE)).max(1_000);
        deeds.push((from, Deed::Cordon { who, target, cordoned: true }));
        if random.chance(850) {
            let until = from + random.between(20_000, 12 * MINUTE);
            deeds.push((until, Deed::Cordon { who: deployer(random), target, cordoned: false }));
        }
    }
}

/// Where a failure pauses, there is often one while others wait for their turn. It is drawn apart from all else.
pub fn failures(random: &mut Random, setting: &mut Setting, deeds: &Deeds) {
    let pauses = setting.rollout.on_failure == OnFailure::Pause && setting.targets > 1;
    let ordered: Vec<usize> = deeds.iter().filter_map(|(_, deed)| ordered(deed)).collect();
    if pauses && !ordered.is_empty() && random.chance(600) {
        setting.sick.push((*random.pick(&ordered), random.below(2) as usize));
        (setting.rollout.at_once, setting.rollout.failure_budget) = (Share::Count(1), Share::Count(0));
    }
}

/// A target that is taken out for good, soon after something was ordered. It is drawn apart from all else.
pub fn leavings(random: &mut Random, setting: &Setting, deeds: &mut Deeds) {
    let orders: Vec<u64> = deeds.iter().filter(|(_, deed)| brings(deed)).map(|(at, _)| *at).collect();
    if setting.targets > 1 && !orders.is_empty() && random.chance(150) {
        let target = random.below(setting.targets as u64) as usize;
        let after = if random.chance(500) { random.below(MINUTE) } else { random.below(8 * MINUTE) };
        deeds.push((random.pick(&orders) + after, Deed::Retire { target }));
    }
}

/// What people do with what runs: it is stopped and started again, or removed and perhaps brought again. It is drawn apart
/// from all else.
pub fn operations(random: &mut Random, deeds: &mut Deeds) {
    let orders = deeds.iter().filter(|(at, deed)| brings(deed) && *at < CALM - 10 * MINUTE);
    let orders: Vec<(u64, Deed)> = orders.cloned().collect();
    if orders.is_empty() || !random.chance(450) {
        return;
    }
    let (at, order) = random.pick(&orders).clone();
    let mut after = |random: &mut Random, from: u64, to: u64, deed: Deed| {
        deeds.push((at + random.between(from, to), deed));
    };
    let (who, other) = (deployer(random), deployer(random));
    if random.chance(500) {
        after(random, MINUTE, 5 * MINUTE, Deed::Operate { who, act: OrderAct::Stop });
        let act = *random.pick(&[OrderAct::Start, OrderAct::Start, OrderAct::Restart]);
        after(random, 5 * MINUTE, 9 * MINUTE, Deed::Operate { who: other, act });
    } else {
        after(random, MINUTE, 6 * MINUTE, Deed::Operate { who, act: OrderAct::Undeploy });
        if random.chance(500) {
            after(random, 7 * MINUTE, 12 * MINUTE, order);
        }
    }
}

/// Which versions change the application's data, and who goes back across that. It is drawn apart from all else.
pub fn changes(random: &mut Random, setting: &mut Setting, deeds: &mut Deeds) {
    if setting.taken.is_some() || !random.chance(250) {
        return;
    }
    for version in 0..VERSIONS {
        if random.chance(400) {
            let fails = *random.pick(&[0, 0, 300]);
            setting.changes_data.insert(version, Change { has_undo: random.chance(600), fails });
        }
    }
    for (_, deed) in deeds.iter_mut() {
        if let Deed::RollBack { keep_data, .. } = deed {
            *keep_data = random.chance(500);
        }
    }
    let mut orders: Vec<&(u64, Deed)> = deeds.iter().filter(|(_, deed)| ordered(deed).is_some()).collect();
    orders.sort_by_key(|(at, _)| *at);
    if let (Some((_, first)), Some((last, _))) = (orders.first(), orders.last()) {
        // What ran first is wanted again.
        let again = (last + random.between(4 * MINUTE, 8 * MINUTE), first.clone());
        deeds.push(again);
    }
}

/// Orders of exactly what was planned, a while after that. It is drawn apart from all else.
pub fn plans(random: &mut Random, setting: &Setting, deeds: &mut Deeds) {
    if setting.taken.is_some() {
        return;
    }
    for (_, deed) in deeds {
        if let Deed::Order { besides, .. } = deed
            && random.chance(200)
        {
            besides.thinks = Some(random.between(1_000, 2 * MINUTE));
        }
    }
}

/// What comes up and does not stay well, in worlds in which it matters. It is drawn apart from all else.
pub fn ailments(random: &mut Random, setting: &mut Setting, deeds: &mut Deeds) {
    if setting.taken.is_some() || !random.chance(450) {
        return;
    }
    let ordered: Vec<usize> = deeds.iter().filter_map(|(_, deed)| ordered(deed)).collect();
    if ordered.is_empty() {
        return;
    }
    setting.soak_minutes = *random.pick(&[2, 5, 5]);
    let orders: Vec<u64> = deeds.iter().filter(|(_, deed)| brings(deed)).map(|(at, _)| *at).collect();
    if random.chance(400) {
        // Starting it anew is what people try first.
        let (who, at) = (deployer(random), random.pick(&orders) + random.between(20_000, 3 * MINUTE));
        deeds.push((at, Deed::Operate { who, act: OrderAct::Restart }));
    }
    for _ in 0..random.between(2, 4) {
        let (version, target) = (*random.pick(&ordered), random.below(setting.targets as u64) as usize);
        let (after, lasts) = (random.between(1_000, 2 * MINUTE), random.between(MINUTE, 30 * MINUTE));
        setting.ailing.push(Ailment { version, target, after, lasts });
    }
}

/// Two sides: what was ordered is let serve after a while, and perhaps the other again. It is drawn apart from all else.
pub fn sides(random: &mut Random, setting: &mut Setting, deeds: &mut Deeds) {
    if setting.targets == 1 || !random.chance(250) {
        return;
    }
    setting.sides = true;
    // What both sides use must suit both.
    setting.changes_data.clear();
    let asked = asked(deeds);
    // To and fro, with something new in between.
    for (at, version) in asked {
        let besides = Besides::default();
        let order = Deed::Order { who: deployer(random), version, act: OrderAct::Deploy, besides };
        deeds.push((at + random.between(4 * MINUTE, 7 * MINUTE), order));
        if setting.taken.is_none() && random.chance(400) {
            (setting.soak_minutes, setting.rollout.on_failure) = (5, OnFailure::Undo);
            let (after, lasts) = (random.between(MINUTE, 5 * MINUTE), random.between(5 * MINUTE, 20 * MINUTE));
            // One of each side.
            setting.ailing.extend([0, 1].map(|target| Ailment { version, target, after, lasts }));
        }
    }
    let orders: Vec<u64> = deeds.iter().filter(|(_, deed)| ordered(deed).is_some()).map(|(at, _)| *at).collect();
    for at in orders {
        if !random.chance(850) {
            continue;
        }
        let when = at + random.between(20_000, 3 * MINUTE);
        deeds.push((when, Deed::Switch { who: deployer(random) }));
        if random.chance(350) {
            deeds.push((when + random.between(1_000, 6 * MINUTE), Deed::Switch { who: deployer(random) }));
        }
        if random.chance(200) {
            deeds.push((when + random.between(200, 20_000), Deed::Abort { who: deployer(random) }));
        }
        if random.chance(150) {
            deeds.push((when + random.between(MINUTE, 4 * MINUTE), Deed::LiftHold { who: deployer(random) }));
        }
    }
}

/// Targets that live for a while only: while something is deployed to them, and with somebody who joins before or after the
/// others are gone. It is drawn apart from all else.
pub fn lives(random: &mut Random, setting: &mut Setting, deeds: &mut Deeds) {
    let orders: Vec<Deed> =
        deeds.iter().filter(|(_, deed)| ordered(deed).is_some()).map(|(_, deed)| deed.clone()).collect();
    if orders.is_empty() || setting.sides || !random.chance(200) {
        return;
    }
    let lives = random.between(8, 38);
    setting.lives = Some(lives);
    if setting.targets > 1 && setting.joins_late.is_none() && random.chance(600) {
        let at = random.between(MINUTE, lives * MINUTE + 3 * MINUTE).min(CALM - 2 * MINUTE);
        setting.joins_late = Some(at);
        deeds.push((at, Deed::Join { target: setting.targets - 1 }));
    }
    for _ in 0..2 {
        let at = lives * MINUTE - random.below(3 * MINUTE);
        deeds.push((at, random.pick(&orders).clone()));
    }
    if random.chance(300) {
        // Nobody hears their last words.
        let at = lives * MINUTE - random.below(MINUTE);
        deeds.push((at, Deed::CutOff { targets: [true; 4], lasts: random.between(MINUTE, 12 * MINUTE) }));
    }
}

/// Targets that come and go, and go in the middle of something. It is drawn apart from all else.
pub fn passing(random: &mut Random, setting: &mut Setting, deeds: &mut Deeds) {
    let orders: Vec<u64> = deeds.iter().filter(|(_, deed)| brings(deed)).map(|(at, _)| *at).collect();
    if setting.targets == 1 || setting.sides || orders.is_empty() || !random.chance(200) {
        return;
    }
    setting.passing = random.between(1, setting.targets as u64 - 1) as usize;
    setting.silent_minutes = random.between(3, 12);
    for _ in 0..random.between(1, 2) {
        let target = setting.targets - 1 - random.below(setting.passing as u64) as usize;
        deeds.push((random.pick(&orders) + random.below(MINUTE), Deed::Vanish { target }));
    }
}

/// What else a thief tries, and what makes it worth trying: freezes, a charter that takes power from somebody who has
/// ordered things, and targets that start anew. It is drawn apart from all else.
pub fn tricks(random: &mut Random, setting: &mut Setting, deeds: &mut Deeds) {
    let Some(from) = setting.taken.filter(|_| random.chance(500)) else { return };
    let (freezes, charters) = (random.chance(450), random.chance(450));
    setting.tricks =
        Tricks { freezes, charters, foreign: random.chance(450), bytes: random.chance(550), ..Tricks::default() };
    let asked = asked(deeds);
    let mut restarts = Vec::new();
    if freezes {
        let (asked, version) = *random.pick(&asked);
        let at = asked.max(from) + random.between(3 * MINUTE, 10 * MINUTE);
        deeds.push((at, Deed::Freeze { who: Who::Oncall, minutes: random.between(15, 30) }));
        // What is ordered in vain is signed all the same.
        for _ in 0..2 {
            let order = (at + random.between(1_000, 2 * MINUTE), version);
            deeds.push(in_vain(random, order));
        }
        restarts.push(at + 2 * MINUTE);
    }
    if charters {
        let at = from + random.between(MINUTE, 12 * MINUTE);
        for (asked, version) in asked {
            let when = (asked + random.between(3 * MINUTE, 6 * MINUTE)).min(at - random.below(MINUTE));
            let (_, mut order) = in_vain(random, (when, version));
            if let Deed::Order { who, .. } = &mut order {
                *who = Who::Second;
            }
            deeds.push((when, order));
        }
        deeds.push((at, Deed::Recharter));
        restarts.extend([at + 2 * MINUTE, at + 8 * MINUTE]);
    }
    for at in restarts {
        for target in 0..setting.targets {
            let (when, power) = (at + random.below(4 * MINUTE), random.chance(300));
            deeds.push((when, Deed::KillAgent { target, in_operation: None, power, down: 1_000 }));
        }
    }
}

fn in_vain(random: &mut Random, (at, version): (u64, usize)) -> (u64, Deed) {
    let act = *random.pick(&[OrderAct::Deploy, OrderAct::Redeploy]);
    (at, Deed::Order { who: deployer(random), version, act, besides: Besides::default() })
}

/// When releases are asked for, and of which version.
fn asked(deeds: &Deeds) -> Vec<(u64, usize)> {
    let asked = |(at, deed): &(u64, Deed)| match deed {
        Deed::Request { version, .. } => Some((*at, *version)),
        _ => None,
    };
    deeds.iter().filter_map(asked).collect()
}

pub(super) fn brings(deed: &Deed) -> bool {
    matches!(deed, Deed::Order { .. } | Deed::RollBack { .. })
}

pub(super) fn ordered(deed: &Deed) -> Option<usize> {
    match deed {
        Deed::Order { version, .. } => Some(*version),
        _ => None,
    }
}

pub(super) fn deployer(random: &mut Random) -> Who {
    *random.pick(&[Who::Oncall, Who::Second])
}

/// Asking, approving, deploying: mostly in that order.
fn release(random: &mut Random, setting: &Setting, at: u64, version: usize, deeds: &mut Deeds) {
    let minutes = if random.chance(150) { random.between(2, 20) } else { 24 * 60 };
    deeds.push((at, Deed::Request { version, minutes }));
    let ops = deployer(random);
    let mut later = at;
    for who in [Who::Tester, ops] {
        if random.chance(930) {
            let when = at + random.between(500, 2 * MINUTE);
            later = later.max(when);
            deeds.push((when, Deed::Approve { who, version }));
        }
    }
    let besides = besides(random, setting);
    let act = if random.chance(100) { OrderAct::Redeploy } else { OrderAct::Deploy };
    let from = if besides.when_released { at } else { later };
    let stands = besides.when_released || besides.at.is_some();
    let when = from + random.between(500, 3 * MINUTE);
    deeds.push((when, Deed::Order { who: deployer(random), version, act, besides }));
    if stands && random.chance(500) {
        // Somebody changes their mind while it stands.
        let other = random.below(VERSIONS as u64) as usize;
        let besides = Besides { when_released: true, ..Besides::default() };
        let act = OrderAct::Deploy;
        deeds.push((
            when + random.between(1_000, MINUTE),
            Deed::Order { who: deployer(random), version: other, act, besides },
        ));
    } else if random.chance(150) {
        // Two people at once.
        let other = random.below(VERSIONS as u64) as usize;
        let besides = Besides::default();
        let when = from + random.between(500, 3 * MINUTE);
        deeds.push((when, Deed::Order { who: deployer(random), version: other, act, besides }));
    }
}

fn besides(random: &mut Random, setting: &Setting) -> Besides {
    if setting.taken.is_some() && random.chance(700) {
        return Besides { when_released: random.chance(250), ..Besides::default() };
    }
    let at = random.chance(180).then(|| random.between(1, 8));
    let after = |minutes: u64| at.unwrap_or(0) + minutes;
    Besides {
        when_released: random.chance(if setting.windows.is_empty() { 250 } else { 450 }),
        after_current: false,
        at,
        expires: random.chance(200).then(|| after(random.between(1, 10))),
        only: random.chance(80).then(|| random.below(setting.targets as u64) as usize),
        care: if random.chance(250) { care(random, setting.targets) } else { RolloutTerms::default() },
        thinks: None,
    }
}

/// Some terms of an order's own: more care, which is everyone's, or less, which may be nobody's.
fn care(random: &mut Random, targets: usize) -> RolloutTerms {
    let own = rollout(random, targets);
    let plain = RolloutTerms { at_once: Some(own.at_once), ..RolloutTerms::default() };
    match random.below(4) {
        0 => plain,
        1 => RolloutTerms { min_healthy: Some(own.min_healthy), failure_budget: Some(own.failure_budget), ..plain },
        2 => RolloutTerms { on_failure: Some(own.on_failure), ..RolloutTerms::default() },
        _ => RolloutTerms {
            canary: Some(own.canary),
            rings: Some(own.rings),
            bake_minutes: Some(own.bake_minutes),
            advance: Some(own.advance),
            ..RolloutTerms::default()
        },
    }
}

/// What people say of a deployment that was ordered at `at`: what its rollout asks of them, and what comes to their minds.
fn guidance(random: &mut Random, setting: &Setting, at: u64, deeds: &mut Deeds) {
    let Setting { rollout, targets, .. } = setting;
    let mut after = |random: &mut Random, from: u64, to: u64, deed: Deed| {
        deeds.push((at + random.between(from, to), deed));
    };
    let who = deployer(random);
    if rollout.advance == Advance::Hand && random.chance(850) {
        after(random, 30_000, 4 * MINUTE, Deed::Resume { who });
        after(random, 4 * MINUTE, 8 * MINUTE, Deed::Resume { who });
    }
    if rollout.on_failure == OnFailure::Pause && random.chance(850) {
        let deed = match random.below(4) {
            0 => Deed::Resume { who },
            1 => Deed::Abort { who },
            _ => Deed::Retry { who },
        };
        after(random, MINUTE, 6 * MINUTE, deed);
    }
    if *targets > 2 && rollout.min_healthy != Share::Count(0) && random.chance(300) {
        // Several have switched by then, and may not all go back at once.
        after(random, 12_000, 40_000, Deed::Abort { who });
    }
    if random.chance(250) {
        after(random, 2 * MINUTE, 9 * MINUTE, Deed::RollBack { who, keep_data: false });
    }
    if !random.chance(if setting.taken.is_some() { 150 } else { 500 }) {
        return;
    }
    let (other, target) = (deployer(random), random.below(*targets as u64) as usize);
    match random.below(9) {
        0 | 1 => {
            after(random, 1_000, 40_000, Deed::Pause { who });
            after(random, MINUTE, 5 * MINUTE, Deed::Resume { who: other });
        }
        2 => after(random, 500, MINUTE, Deed::Exclude { who, target }),
        3 | 4 => {
            after(random, 500, MINUTE, Deed::Exclude { who, target });
            after(random, MINUTE, 6 * MINUTE, Deed::Retry { who });
        }
        5 => after(random, MINUTE, 10 * MINUTE, Deed::Retry { who }),
        6 => {
            after(random, 1_000, 40_000, Deed::Pause { who });
            after(random, MINUTE, 5 * MINUTE, Deed::Abort { who });
        }
        _ => after(random, 4_000, 30_000, Deed::Abort { who }),
    }
}

/// A freeze around the time of an order, and what is said of it later.
fn freeze(random: &mut Random, near: u64, deeds: &mut Deeds) {
    let who = deployer(random);
    let from = (near + random.below(MINUTE)).saturating_sub(random.below(2 * MINUTE)) + 1_000;
    deeds.push((from, Deed::Freeze { who, minutes: random.between(2, 15) }));
    if random.chance(400) {
        deeds.push((from + random.between(30_000, 6 * MINUTE), Deed::LiftFreeze { who }));
    }
    if random.chance(400) {
        let version = random.below(VERSIONS as u64) as usize;
        deeds.push((from + random.between(1_000, 3 * MINUTE), Deed::Except { who, version }));
    }
}

/// What a thief likes to see: permission that was taken back, orders that nobody would carry out, targets that start
/// anew and know only what they have kept.
fn tempt(random: &mut Random, from: u64, targets: usize, deeds: &mut Deeds) {
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
        let act = *random.pick(&[OrderAct::Deploy, OrderAct::Redeploy]);
        deeds.push((at, Deed::Order { who: deployer(random), version, act, besides: Besides::default() }));
        if random.chance(600) {
            // What is ordered in vain is signed all the same.
            let when = if random.chance(500) { at + random.below(MINUTE) } else { at - random.below(MINUTE) };
            deeds.push((when, Deed::Withdraw { who: Who::Tester, version }));
        }
        for target in 0..targets {
            let (when, power) = (at + random.between(MINUTE, 3 * MINUTE), random.chance(300));
            deeds.push((when, Deed::KillAgent { target, in_operation: None, power, down: 1_000 }));
        }
    }
}

fn afterthought(random: &mut Random, setting: &Setting) -> Deed {
    let version = random.below(VERSIONS as u64) as usize;
    let who = deployer(random);
    match random.below(7) {
        0 | 1 => Deed::Withdraw { who: *random.pick(&[Who::Tester, Who::Oncall]), version },
        2 | 3 => Deed::RollBack { who, keep_data: false },
        4 => Deed::LiftHold { who },
        5 => Deed::Abort { who },
        _ => {
            let act = *random.pick(&[OrderAct::Deploy, OrderAct::Redeploy]);
            Deed::Order { who, version, act, besides: besides(random, setting) }
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
