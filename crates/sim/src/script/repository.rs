//! Worlds whose owners delegate a repository, and what a thief makes of it. It is drawn apart from all else.

use super::{
    Besides, Deed, MINUTE, Setting, Showing,
    draw::{Deeds, deployer},
};
use crate::{cast::Who, random::Random};
use trust::statement::OrderAct;

/// Whether there is one, and how it is shown.
pub fn published(random: &mut Random, setting: &mut Setting, deeds: &mut Deeds) {
    let is_taken = setting.taken.is_some();
    // What a target may forget of freezes, the repository says again: where that is tried, there is none. Nor is there of two
    // applications.
    if !random.chance(if is_taken { 650 } else { 200 }) || setting.tricks.freezes || setting.package.is_some() {
        return;
    }
    setting.repository = true;
    if !is_taken || random.chance(150) {
        return;
    }
    let showing = *random.pick(&[
        Showing::Frozen,
        Showing::Once,
        Showing::Mixed,
        Showing::Mixed,
        Showing::Forged,
        Showing::Forged,
    ]);
    setting.tricks.showing = Some(showing);
    if showing == Showing::Frozen {
        // Whoever has seen a newer one takes no old one, and an hour is longer than what is tried in a world.
        setting.taken = Some(0);
        ordered_late(random, deeds);
    }
}

/// Something that people agree on while what is shown is fresh, and order when it is not any more.
fn ordered_late(random: &mut Random, deeds: &mut Deeds) {
    let (asked, version) = (random.between(MINUTE, 4 * MINUTE), random.below(2) as usize);
    deeds.push((asked, Deed::Request { version, minutes: 24 * 60 }));
    deeds.push((asked + 10_000, Deed::Approve { who: Who::Tester, version }));
    deeds.push((asked + 11_000, Deed::Approve { who: Who::Oncall, version }));
    for _ in 0..2 {
        let at = random.between(25 * MINUTE, 40 * MINUTE);
        let (who, besides) = (deployer(random), Besides::default());
        deeds.push((at - 2_000, Deed::LiftHold { who }));
        deeds.push((at, Deed::Order { who, version, act: OrderAct::Redeploy, besides }));
    }
}
