//! Verifications that decide nothing, and what people say when they have looked. It is drawn apart from all else.

use super::{
    Deed, MINUTE, Setting,
    draw::{Deeds, deployer, ordered},
};
use crate::random::Random;

/// Which version leaves its targets in doubt, and what follows.
pub fn doubts(random: &mut Random, setting: &mut Setting, deeds: &mut Deeds) {
    let orders: Vec<(u64, usize)> =
        deeds.iter().filter_map(|(at, deed)| ordered(deed).map(|version| (*at, version))).collect();
    if setting.taken.is_some() || orders.is_empty() || !random.chance(250) {
        return;
    }
    for _ in 0..random.between(1, 3) {
        let (at, version) = *random.pick(&orders);
        setting.doubtful.push((version, random.below(setting.targets as u64) as usize));
        let who = deployer(random);
        let deed = match random.below(10) {
            0..=6 => Deed::Resume { who },
            7 | 8 => Deed::Abort { who },
            // Nobody looks.
            _ => continue,
        };
        deeds.push((at + random.between(20_000, 5 * MINUTE), deed));
    }
}
