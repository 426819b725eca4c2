//! Orders that may stand until what is under way has ended, soon after others. It is drawn apart from all else.

use super::{
    Besides, Deed, Setting,
    draw::{Deeds, deployer},
};
use crate::{cast::VERSIONS, random::Random};
use trust::statement::OrderAct;

/// What is to follow what is under way, and what takes its place before it begins.
pub fn followers(random: &mut Random, setting: &Setting, deeds: &mut Deeds) {
    if setting.taken.is_some() || !random.chance(300) {
        return;
    }
    let mut followers = Vec::new();
    for (at, deed) in deeds.iter_mut() {
        let Deed::Order { act: OrderAct::Deploy, besides, .. } = deed else { continue };
        besides.after_current |= random.chance(400);
        let mut when = *at;
        for chances in [700, 400] {
            if !random.chance(chances) {
                break;
            }
            when += random.between(1_000, 40_000);
            let (who, version) = (deployer(random), random.below(VERSIONS as u64) as usize);
            let when_released = random.chance(300);
            let besides = Besides { after_current: true, when_released, ..Besides::default() };
            followers.push((when, Deed::Order { who, version, act: OrderAct::Deploy, besides }));
        }
    }
    deeds.extend(followers);
}
