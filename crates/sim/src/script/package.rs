//! A second application, and a package of both: some of what is asked for, ordered and said is about the package then, and some
//! about the second application. It is drawn apart from all else.

use super::{
    Deed, InOrder, MINUTE, Setting,
    draw::{Deeds, brings, deployer},
};
use crate::{
    cast::{DB, SHOP, VERSIONS},
    random::Random,
};
use trust::statement::OrderAct;

/// What is about the package, and what is about the other application.
pub fn packages(random: &mut Random, setting: &mut Setting, deeds: &mut Deeds) {
    // A package is not for two sides, and whoever has taken the server likes it simple.
    let is_for_it = !setting.sides && setting.taken.is_none() && setting.lives.is_none();
    if !is_for_it || !deeds.iter().any(|(_, deed)| brings(deed)) || !random.chance(350) {
        return;
    }
    setting.package = Some(InOrder(random.chance(600)));
    let places: Vec<usize> = (0..VERSIONS).map(|_| *random.pick(&[SHOP, SHOP, SHOP, SHOP, DB, 0])).collect();
    for (_, deed) in deeds.iter_mut() {
        goes_over(random, &places, deed);
    }
    for _ in 0..random.below(3) {
        let (number, target) = (random.below(2) as usize, random.below(setting.targets as u64) as usize);
        setting.sick.push((VERSIONS * DB + number, target));
    }
    let orders: Vec<u64> = deeds.iter().filter(|(_, deed)| brings(deed)).map(|(at, _)| *at).collect();
    let at = random.pick(&orders) + random.between(20_000, 5 * MINUTE);
    if random.chance(300) {
        let act = *random.pick(&[OrderAct::Stop, OrderAct::Undeploy, OrderAct::Restart]);
        deeds.push((at, Deed::OfPackage(Box::new(Deed::Operate { who: deployer(random), act }))));
    }
    if random.chance(400) {
        let roll_back = Deed::RollBack { who: deployer(random), keep_data: random.chance(500) };
        deeds.push((at + random.between(MINUTE, 6 * MINUTE), Deed::OfPackage(Box::new(roll_back))));
    }
}

/// What was meant for the first application is for the package, or for the second.
fn goes_over(random: &mut Random, places: &[usize], deed: &mut Deed) {
    match deed {
        Deed::Request { version, .. }
        | Deed::Approve { version, .. }
        | Deed::Withdraw { version, .. }
        | Deed::Except { version, .. } => *version += VERSIONS * places[*version],
        Deed::Order { version, besides, .. } => {
            let place = places[*version];
            *version += VERSIONS * place;
            if place == SHOP {
                // A package does not stand until something else has ended.
                besides.after_current = false;
                besides.thinks = None;
            }
        }
        Deed::RollBack { .. }
        | Deed::Operate { .. }
        | Deed::LiftHold { .. }
        | Deed::Abort { .. }
        | Deed::Pause { .. }
        | Deed::Resume { .. }
        | Deed::Exclude { .. } => {
            if random.chance(600) {
                *deed = Deed::OfPackage(Box::new(deed.clone()));
            }
        }
        _ => {}
    }
}
