//! What comes to one of two sides, is let serve and does not stay well, so that the switch is taken back when it is over. It
//! is drawn apart from all else.

use super::{
    Ailment, Besides, Deed, MINUTE, Setting,
    draw::{Deeds, deployer, ordered},
};
use crate::{
    cast::{VERSIONS, Who},
    random::Random,
};
use trust::{rollout::OnFailure, statement::OrderAct};

/// After when nothing more is ordered that is to be seen to its end.
const LATEST: u64 = 22 * MINUTE;

/// Two versions, one after the other: each is let serve, and the second becomes unwell soon after.
pub fn unwell_once_served(random: &mut Random, setting: &mut Setting, deeds: &mut Deeds) {
    let last = deeds.iter().filter(|(_, deed)| ordered(deed).is_some()).map(|(at, _)| *at).max().unwrap_or(0);
    if !setting.sides || setting.taken.is_some() || last > LATEST || !random.chance(600) {
        return;
    }
    (setting.soak_minutes, setting.rollout.on_failure) = (5, OnFailure::Undo);
    setting.windows.clear();
    let first = random.below(VERSIONS as u64) as usize;
    let second = (first + random.between(1, VERSIONS as u64 - 1) as usize) % VERSIONS;
    setting.sick.retain(|(version, _)| *version != first && *version != second);
    setting.ailing.retain(|ailment| ailment.version != first);
    let mut at = last + 3 * MINUTE;
    for version in [first, second] {
        let who = deployer(random);
        deeds.push((at, Deed::Request { version, minutes: 24 * 60 }));
        deeds.push((at + 10_000, Deed::Approve { who: Who::Tester, version }));
        deeds.push((at + 11_000, Deed::Approve { who: Who::Oncall, version }));
        deeds.push((at + 30_000, Deed::LiftHold { who }));
        let besides = Besides::default();
        deeds.push((at + 45_000, Deed::Order { who, version, act: OrderAct::Deploy, besides }));
        deeds.push((at + 2 * MINUTE, Deed::Switch { who }));
        at += 4 * MINUTE;
    }
    let (after, lasts) = (random.between(2 * MINUTE, 4 * MINUTE), random.between(8 * MINUTE, 15 * MINUTE));
    setting.ailing.extend((0..setting.targets).map(|target| Ailment { version: second, target, after, lasts }));
}
