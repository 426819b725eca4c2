//! Silences: targets that cannot be reached or are down when something is ordered, and after they have got it. It is drawn
//! apart from all else.

use super::{
    Besides, Deed, MINUTE, Setting,
    draw::{Deeds, brings, deployer},
};
use crate::{
    cast::{VERSIONS, Who},
    random::Random,
};
use trust::{
    rollout::{Advance, Share},
    statement::OrderAct,
};

/// After when nothing more is ordered that is to be seen to its end.
const LATEST: u64 = 25 * MINUTE;

/// Who falls silent for long enough for that to matter.
pub fn silences(random: &mut Random, setting: &mut Setting, deeds: &mut Deeds) {
    let orders: Vec<u64> = deeds.iter().filter(|(_, deed)| brings(deed)).map(|(at, _)| *at).collect();
    if setting.targets == 1 || setting.taken.is_some() || orders.is_empty() || !random.chance(350) {
        return;
    }
    let away_after = *random.pick(&[45, 90, 90, 120]);
    setting.away_after = Some(away_after);
    if random.chance(400) {
        setting.soak_minutes = *random.pick(&[2, 5]);
    }
    for at in &orders {
        if random.chance(500) {
            before(random, setting, *at, deeds);
        }
        if random.chance(300) {
            afterwards(random, setting, *at, deeds);
        }
    }
    let last = orders.iter().max().copied().unwrap_or(0);
    if random.chance(700) && last < LATEST {
        in_peace(random, setting, last, deeds);
    }
}

/// Silent before something is ordered, and back a while after that has begun.
fn before(random: &mut Random, setting: &Setting, at: u64, deeds: &mut Deeds) {
    let away_after = setting.away_after.unwrap_or(0) * 1_000;
    let from = at.saturating_sub(away_after + random.between(40_000, 2 * MINUTE)).max(1_000);
    let lasts = at + random.between(20_000, 6 * MINUTE) - from;
    silence(random, setting, (from, lasts), deeds);
}

/// Silent once it has what was ordered, while others wait or it soaks.
fn afterwards(random: &mut Random, setting: &Setting, at: u64, deeds: &mut Deeds) {
    let (from, lasts) = (at + random.between(10_000, 3 * MINUTE), random.between(3 * MINUTE, 9 * MINUTE));
    silence(random, setting, (from, lasts), deeds);
}

/// Two versions one after the other, which come up wherever there is somebody; for the second somebody is silent.
fn in_peace(random: &mut Random, setting: &mut Setting, last: u64, deeds: &mut Deeds) {
    let first = random.below(VERSIONS as u64) as usize;
    let second = (first + random.between(1, VERSIONS as u64 - 1) as usize) % VERSIONS;
    let is_one = |version: usize| version == first || version == second;
    setting.sick.retain(|(version, _)| !is_one(*version));
    setting.ailing.retain(|ailment| !is_one(ailment.version));
    setting.changes_data.clear();
    setting.windows.clear();
    if setting.targets > 2 && random.chance(500) {
        (setting.rollout.at_once, setting.rollout.min_healthy) = (Share::All, Share::Count(1));
        setting.rollout.canary = 0;
        if setting.rollout.rings.is_empty() {
            // Nothing bakes where there is no other ring.
            (setting.rollout.bake_minutes, setting.rollout.advance) = (0, Advance::Health);
        }
    }
    let mut at = last;
    for version in [first, second] {
        at += random.between(4 * MINUTE, 6 * MINUTE);
        let who = deployer(random);
        deeds.push((at, Deed::Request { version, minutes: 24 * 60 }));
        deeds.push((at + 10_000, Deed::Approve { who: Who::Tester, version }));
        deeds.push((at + 11_000, Deed::Approve { who: Who::Oncall, version }));
        deeds.push((at + 30_000, Deed::LiftHold { who }));
        at += 45_000;
        let besides = Besides::default();
        deeds.push((at, Deed::Order { who, version, act: OrderAct::Deploy, besides }));
    }
    match random.below(5) {
        0 | 1 => before(random, setting, at, deeds),
        2 | 3 => afterwards(random, setting, at, deeds),
        _ => {
            // While somebody has paused it, one that has it falls silent.
            let (who, resumes) = (deployer(random), at + random.between(4 * MINUTE, 5 * MINUTE));
            deeds.extend([(at + 25_000, Deed::Pause { who }), (resumes, Deed::Resume { who })]);
            silence(random, setting, (at + 30_000, 9 * MINUTE), deeds);
        }
    }
}

fn silence(random: &mut Random, setting: &Setting, (from, lasts): (u64, u64), deeds: &mut Deeds) {
    let target = random.below(setting.targets as u64) as usize;
    if random.chance(500) {
        let power = random.chance(500);
        return deeds.push((from, Deed::KillAgent { target, in_operation: None, power, down: lasts }));
    }
    let is_everybody = random.chance(150);
    let other = random.below(8) as usize;
    let targets = [0, 1, 2, 3].map(|index| is_everybody || index == target || index == other);
    deeds.push((from, Deed::CutOff { targets, lasts }));
}
