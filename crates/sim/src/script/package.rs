//! A second application, and a package of both: some of what is asked for, ordered and said is about the package then, and some
//! about the second application. It is drawn apart from all else.

use super::{
    Ailment, Besides, Deed, InOrder, MINUTE, Setting,
    draw::{Deeds, brings, deployer},
};
use crate::{
    cast::{DB, SHOP, VERSIONS, WEB, Who, listed},
    random::Random,
};
use trust::{rollout::OnFailure, statement::OrderAct};

/// By when people have done what else they do, so that two versions of the package are seen to their end.
const LATEST: u64 = 16 * MINUTE;

/// What is about the package, and what is about the other application.
pub fn packages(random: &mut Random, setting: &mut Setting, deeds: &mut Deeds) {
    // A package is not for two sides, and most worlds in which somebody falls silent are about that alone.
    let is_for_it = !setting.sides && (setting.away_after.is_none() || random.chance(300));
    let chance = if setting.taken.is_some() { 260 } else { 700 };
    if !is_for_it || !deeds.iter().any(|(_, deed)| brings(deed)) || !random.chance(chance) {
        return;
    }
    setting.package = Some(InOrder(random.chance(700)));
    let places: Vec<usize> = (0..VERSIONS).map(|_| *random.pick(&[SHOP, SHOP, SHOP, SHOP, DB, WEB])).collect();
    for (_, deed) in deeds.iter_mut() {
        goes_over(random, &places, deed);
    }
    for _ in 0..random.below(2) {
        let (number, target) = (random.below(2) as usize, random.below(setting.targets as u64) as usize);
        setting.sick.push((VERSIONS * DB + number, target));
    }
    if setting.taken.is_some() {
        taken(random, setting, deeds);
    } else if random.chance(800) {
        let until = random.between(8 * MINUTE, LATEST);
        deeds.retain(|(at, deed)| *at < until || !is_somebodys(deed));
        let last = deeds.iter().filter(|(_, deed)| brings(deed)).map(|(at, _)| *at).max().unwrap_or(0);
        two_of_them(random, setting, last, deeds);
    }
}

/// Somebody takes the server while two versions of the package are brought, one after the other. What people say of them then is
/// what he likes to see: packages and members that are withdrawn, orders that nobody carries out, targets that start anew and know
/// only what they have kept.
fn taken(random: &mut Random, setting: &mut Setting, deeds: &mut Deeds) {
    setting.tricks.members = true;
    setting.taken = Some(random.between(4 * MINUTE, 11 * MINUTE));
    let from = random.between(14 * MINUTE, 18 * MINUTE);
    deeds.retain(|(at, deed)| *at > from || !is_somebodys(deed));
    let begins = random.below(2 * MINUTE);
    let (last, versions) = two_of_them(random, setting, begins, deeds);
    let mut at = last + 2 * MINUTE;
    for version in versions {
        at += random.between(MINUTE, 4 * MINUTE);
        let act = *random.pick(&[OrderAct::Deploy, OrderAct::Redeploy]);
        // Two of them list the same version of the second application, and nobody may have agreed to the other.
        for version in [version, version ^ 1] {
            let (who, besides) = (deployer(random), Besides::default());
            deeds.push((at + random.below(4 * MINUTE), Deed::Order { who, version, act, besides }));
        }
        if !random.chance(600) {
            continue;
        }
        deeds.push((at + random.below(2 * MINUTE), Deed::Withdraw { who: Who::Tester, version }));
        for target in 0..setting.targets {
            let (when, power) = (at + random.between(MINUTE, 3 * MINUTE), random.chance(300));
            deeds.push((when, Deed::KillAgent { target, in_operation: None, power, down: 1_000 }));
        }
    }
}

/// Whether it is about releases and deployments.
fn is_somebodys(deed: &Deed) -> bool {
    let is_said = |deed: &Deed| {
        matches!(
            deed,
            Deed::Request { .. }
                | Deed::Approve { .. }
                | Deed::Withdraw { .. }
                | Deed::Operate { .. }
                | Deed::Abort { .. }
                | Deed::Pause { .. }
                | Deed::Resume { .. }
                | Deed::Retry { .. }
                | Deed::Exclude { .. }
                | Deed::LiftHold { .. }
        )
    };
    brings(deed) || is_said(deed) || matches!(deed, Deed::OfPackage(_))
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
                (besides.after_current, besides.thinks) = (false, None);
            }
        }
        Deed::RollBack { .. }
        | Deed::Operate { .. }
        | Deed::LiftHold { .. }
        | Deed::Abort { .. }
        | Deed::Pause { .. }
        | Deed::Resume { .. }
        | Deed::Exclude { .. }
            if random.chance(600) =>
        {
            *deed = Deed::OfPackage(Box::new(deed.clone()));
        }
        _ => {}
    }
}

/// Two versions of the package, one after the other. The first comes up; with the second something may be wrong, and people say
/// how it is to go on. When the second is ordered, and which they are.
fn two_of_them(random: &mut Random, setting: &mut Setting, last: u64, deeds: &mut Deeds) -> (u64, [usize; 2]) {
    let (first, second) = *random.pick(&[(0, 1), (0, 2), (1, 2), (1, 3), (3, 0)]);
    let (first, second) = (SHOP * VERSIONS + first, SHOP * VERSIONS + second);
    setting.windows.clear();
    let is_of = |version: usize, other: usize| listed(version).contains(&other);
    setting.sick.retain(|(version, _)| !is_of(first, *version) && !is_of(second, *version));
    setting.ailing.retain(|ailment| !is_of(first, ailment.version));
    let mut at = last;
    for version in [first, second] {
        at += random.between(3 * MINUTE, 5 * MINUTE);
        let who = deployer(random);
        deeds.push((at, Deed::Request { version, minutes: 24 * 60 }));
        deeds.push((at + 10_000, Deed::Approve { who: Who::Tester, version }));
        deeds.push((at + 11_000, Deed::Approve { who: Who::Oncall, version }));
        deeds.push((at + 30_000, Deed::OfPackage(Box::new(Deed::LiftHold { who }))));
        at += 45_000;
        deeds.push((at, Deed::Order { who, version, act: OrderAct::Deploy, besides: Besides::default() }));
    }
    let again =
        Deed::Order { who: deployer(random), version: second, act: OrderAct::Deploy, besides: Besides::default() };
    let version = listed(second)[random.below(2) as usize];
    let target = random.below(setting.targets as u64) as usize;
    // What stays as it was is not wrong with one only.
    let is_new = !is_of(first, version);
    match random.below(8) {
        0..=2 if is_new => {
            setting.sick.push((version, target));
            if random.chance(400) {
                setting.rollout.on_failure = OnFailure::Stop;
            }
            // Somebody tries it once more, and lifts what holds the first member out, but not the package.
            let later = at + random.between(6 * MINUTE, 10 * MINUTE);
            deeds.push((later - 5_000, Deed::LiftHold { who: deployer(random) }));
            deeds.push((later, again));
        }
        3 | 7 if is_new => {
            (setting.soak_minutes, setting.rollout.on_failure) = (5, OnFailure::Undo);
            let (after, lasts) = (random.between(20_000, 3 * MINUTE), random.between(8 * MINUTE, 15 * MINUTE));
            setting.ailing.push(Ailment { version, target, after, lasts });
        }
        4 => {
            // Somebody wants one of the members meanwhile.
            let (who, besides) = (deployer(random), Besides::default());
            let order = Deed::Order { who, version: listed(second)[WEB], act: OrderAct::Deploy, besides };
            deeds.push((at + random.between(1_000, 20_000), order));
        }
        5 | 6 => {
            // All is well, and they go back all the same.
            setting.soak_minutes = setting.soak_minutes.min(2);
            setting.sick.clear();
            let (who, keep_data) = (deployer(random), random.chance(500));
            let later = at + random.between(5 * MINUTE, 8 * MINUTE);
            deeds.push((later, Deed::OfPackage(Box::new(Deed::RollBack { who, keep_data }))));
            deeds.push((later + random.between(2 * MINUTE, 4 * MINUTE), again));
            return (at, [first, second]);
        }
        _ => {}
    }
    said(random, setting.targets, at, deeds);
    (at, [first, second])
}

/// What people say of a package that was ordered at `at`, and what they do with it then.
fn said(random: &mut Random, targets: usize, at: u64, deeds: &mut Deeds) {
    let mut of_package = |random: &mut Random, from: u64, to: u64, deed: Deed| {
        deeds.push((at + random.between(from, to), Deed::OfPackage(Box::new(deed))));
    };
    let (who, target) = (deployer(random), random.below(targets as u64) as usize);
    match random.below(6) {
        0 => {
            of_package(random, 1_000, 30_000, Deed::Pause { who });
            of_package(random, MINUTE, 3 * MINUTE, Deed::Resume { who });
        }
        1 => of_package(random, 1_000, 40_000, Deed::Abort { who }),
        2 => of_package(random, 500, 20_000, Deed::Exclude { who, target }),
        _ => {}
    }
    match random.below(4) {
        0 => of_package(random, 4 * MINUTE, 9 * MINUTE, Deed::Operate { who, act: OrderAct::Undeploy }),
        1 => {
            of_package(random, 4 * MINUTE, 7 * MINUTE, Deed::Operate { who, act: OrderAct::Stop });
            of_package(random, 8 * MINUTE, 10 * MINUTE, Deed::Operate { who, act: OrderAct::Start });
        }
        2 => {
            let keep_data = random.chance(500);
            of_package(random, MINUTE, 9 * MINUTE, Deed::RollBack { who, keep_data });
        }
        _ => {}
    }
}
