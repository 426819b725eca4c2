//! Worlds in which two people own the estate and replace one of their keys while things are under way. It is drawn apart from
//! all else.

use super::{
    Deed, MINUTE, Setting,
    draw::{Deeds, brings},
};
use crate::random::Random;

/// Whether they do, and when.
pub fn rotated(random: &mut Random, setting: &mut Setting, deeds: &mut Deeds) {
    if setting.taken.is_some() {
        // Where somebody withholds a charter, he has that of a former key in his hands.
        setting.rotates = setting.tricks.charters && random.chance(700);
        return;
    }
    let orders: Vec<u64> = deeds.iter().filter(|(_, deed)| brings(deed)).map(|(at, _)| *at).collect();
    if !orders.is_empty() && random.chance(150) {
        setting.rotates = true;
        deeds.push((random.pick(&orders) + random.below(3 * MINUTE), Deed::Recharter));
    }
}
