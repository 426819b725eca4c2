//! What changes data: once, before anything else changes, and never twice blindly.

use super::{
    crash::{live, runs},
    world::*,
};
use domain::plan::{Assignment, Migration};
use trust::{
    authority::Dossier,
    statement::{OrderAct, Outcome, Phase},
};

/// An assignment of a target that was elected.
fn elected(generation: u64, content: &str, act: OrderAct, migrate: Migration) -> Assignment {
    Assignment { migrate: Some(migrate), ..assignment(generation, content, act) }
}

fn migrated(world: &World) -> Vec<(trust::Digest, Migration)> {
    world.machine.disk.borrow().migrated.clone()
}

/// Build `one` runs, and `content` is released and ordered.
fn begun(content: &str) -> (World, Assignment) {
    let world = World::new();
    world.deploy(&mut world.agent(), 1, "one", "1.0.0");
    world.say(2, released(content, "2.0.0", OrderAct::Deploy));
    (world, elected(2, content, OrderAct::Deploy, Migration::Run))
}

#[test]
fn data_is_changed_before_any_process_and_by_the_elected_target_alone() {
    let (world, wanted) = begun("both ways");
    let mut engine = world.agent();
    assert_eq!(world.follow(&mut engine, &wanted), Some(Outcome::Verified));
    assert_eq!(migrated(&world), [(build("both ways"), Migration::Run)]);
    let says = world.server.says.borrow();
    let phases: Vec<Phase> = says.reports.last().unwrap().phases.iter().map(|timing| timing.phase).collect();
    assert_eq!(phases, crate::step::phases(&wanted));
    drop(says);

    let (world, wanted) = begun("both ways");
    let mut engine = world.agent();
    assert_eq!(world.follow(&mut engine, &Assignment { migrate: None, ..wanted }), Some(Outcome::Verified));
    assert_eq!(migrated(&world), []);
}

#[test]
fn a_migration_that_fails_changes_no_process() {
    let (world, wanted) = begun("both ways");
    world.machine.disk.borrow_mut().migrations_fail = true;
    let touched = world.touched();
    let outcome = world.follow(&mut world.agent(), &wanted);
    assert_eq!(outcome, Some(Outcome::Undone { phase: Phase::Migrate, reason: "exit code 1".into() }));
    assert_eq!((world.touched(), runs(&world)), (touched, Some(build("one"))));
    assert_eq!(migrated(&world).len(), 1, "what failed is not taken back: nobody knows what there is to take back");
}

#[test]
fn what_fails_later_takes_the_migration_back_or_says_that_it_stays() {
    let (world, wanted) = begun("both ways");
    world.machine.disk.borrow_mut().sick.insert(build("both ways"));
    let outcome = world.follow(&mut world.agent(), &wanted);
    let Some(Outcome::Undone { phase: Phase::Verify, reason }) = outcome else { panic!("{outcome:?}") };
    assert!(reason.ends_with("its migration was taken back"), "{reason}");
    assert_eq!(migrated(&world), [Migration::Run, Migration::Undo].map(|migration| (build("both ways"), migration)));
    assert_eq!(runs(&world), Some(build("one")));

    let (world, wanted) = begun("one way");
    world.machine.disk.borrow_mut().sick.insert(build("one way"));
    let outcome = world.follow(&mut world.agent(), &wanted);
    let Some(Outcome::Undone { phase: Phase::Verify, reason }) = outcome else { panic!("{outcome:?}") };
    assert!(reason.ends_with("the data stays as its migration left it, which has no undo"), "{reason}");
    assert_eq!(migrated(&world), [(build("one way"), Migration::Run)]);
}

#[test]
fn who_went_back_unheard_says_again_what_became_of_the_data() {
    for (content, said) in [("one way", &[Phase::Migrate][..]), ("both ways", &[])] {
        let (world, wanted) = begun(content);
        world.machine.disk.borrow_mut().sick.insert(build(content));
        assert!(matches!(world.follow(&mut world.agent(), &wanted), Some(Outcome::Undone { .. })));
        let undo = Assignment { generation: 3, undo: true, migrate: None, ..wanted };
        assert_eq!(world.follow(&mut world.agent(), &undo), Some(Outcome::Verified));
        let says = world.server.says.borrow();
        let phases: Vec<Phase> = says.reports.last().unwrap().phases.iter().map(|timing| timing.phase).collect();
        assert_eq!(phases, said, "{content}");
    }
}

#[test]
fn a_deployment_that_is_taken_back_later_takes_its_migration_back() {
    let (world, wanted) = begun("both ways");
    let mut engine = world.agent();
    assert_eq!(world.follow(&mut engine, &wanted), Some(Outcome::Verified));
    drop(engine);
    // Another process, and the server's word that another target failed.
    let undo = Assignment { generation: 3, undo: true, migrate: None, ..wanted };
    assert_eq!(world.follow(&mut world.agent(), &undo), Some(Outcome::Verified));
    assert_eq!(migrated(&world), [Migration::Run, Migration::Undo].map(|migration| (build("both ways"), migration)));
    assert_eq!(runs(&world), Some(build("one")));
}

#[test]
fn a_rollback_takes_the_migration_back_before_the_old_build_returns() {
    let world = World::new();
    let mut engine = world.agent();
    world.deploy(&mut engine, 1, "one", "1.0.0");
    engine.settle(&[(app(), build("one"))]).unwrap();
    world.deploy(&mut engine, 2, "both ways", "2.0.0");
    let roll_back = |engine: &mut TestEngine, generation, sick: bool| {
        if sick {
            world.machine.disk.borrow_mut().sick.insert(build("one"));
        }
        world.say(generation, released("one", "1.0.0", OrderAct::Rollback));
        world.follow(engine, &elected(generation, "one", OrderAct::Rollback, Migration::Undo))
    };
    // One that fails takes back what it did to the data as well: forth again.
    let outcome = roll_back(&mut engine, 3, true);
    assert!(matches!(&outcome, Some(Outcome::Undone { reason, .. }) if reason.ends_with("taken back")), "{outcome:?}");
    let both = |migration| (build("both ways"), migration);
    assert_eq!(migrated(&world), [both(Migration::Undo), both(Migration::Run)]);
    assert_eq!(runs(&world), Some(build("both ways")));
    world.machine.disk.borrow_mut().sick.clear();
    assert_eq!(roll_back(&mut engine, 4, false), Some(Outcome::Verified));
    assert_eq!(migrated(&world)[2..], [both(Migration::Undo)]);
    assert_eq!(runs(&world), Some(build("one")));
}

/// Attack: a migration without authority.
/// Holds: the server; he elects a target for the migration of a build that was never released.
/// Left to him: nothing.
#[test]
fn a_migration_needs_the_same_authority_as_its_build() {
    let (world, wanted) = begun("both ways");
    world.say(2, Dossier { order: Some(order("both ways", OrderAct::Deploy)), ..Dossier::default() });
    let outcome = world.follow(&mut world.agent(), &wanted);
    assert!(matches!(outcome, Some(Outcome::Refused { .. })), "{outcome:?}");
    assert_eq!(migrated(&world), []);
    // Nor does it run once the permit is withdrawn between the first look and the last.
    let (world, wanted) = begun("both ways");
    let mut later = released("both ways", "2.0.0", OrderAct::Deploy);
    later.withdrawals = vec![withdrawal("both ways", "2.0.0")];
    world.server.says.borrow_mut().later = Some(later);
    let outcome = world.follow(&mut world.agent(), &wanted);
    assert!(matches!(outcome, Some(Outcome::Refused { .. })), "{outcome:?}");
    assert_eq!(migrated(&world), []);
}

/// Attack: data taken back against the order.
/// Holds: the server; he has a deployer's order to roll back that says that the data stays, and elects a target all the same.
/// Left to him: nothing.
#[test]
fn an_order_that_keeps_the_data_is_kept() {
    let world = World::new();
    let mut engine = world.agent();
    world.deploy(&mut engine, 1, "one", "1.0.0");
    engine.settle(&[(app(), build("one"))]).unwrap();
    world.deploy(&mut engine, 2, "both ways", "2.0.0");
    let order = order_keeping_data(build("one"), OrderAct::Rollback);
    world.say(3, Dossier { order: Some(order), ..permitted(build("one"), "1.0.0") });
    let outcome = world.follow(&mut engine, &elected(3, "one", OrderAct::Rollback, Migration::Undo));
    assert!(matches!(&outcome, Some(Outcome::Refused { code, .. }) if code == "DATA_STAYS"), "{outcome:?}");
    assert_eq!(migrated(&world), []);
    assert_eq!(runs(&world), Some(build("both ways")));
    // Nor is it changed.
    let order = order_keeping_data(build("both ways"), OrderAct::Redeploy);
    world.say(4, Dossier { order: Some(order), ..permitted(build("both ways"), "2.0.0") });
    let outcome = world.follow(&mut engine, &elected(4, "both ways", OrderAct::Redeploy, Migration::Run));
    assert!(matches!(&outcome, Some(Outcome::Refused { code, .. }) if code == "DATA_STAYS"), "{outcome:?}");
    assert_eq!(migrated(&world), []);
}

#[test]
fn killed_anywhere_it_runs_at_most_once_and_what_is_not_known_is_said() {
    killed_anywhere(false);
}

#[test]
fn killed_anywhere_it_is_taken_back_at_most_once_and_what_is_not_known_is_said() {
    killed_anywhere(true);
}

fn killed_anywhere(sick: bool) {
    let mut unknown = 0;
    for points in 0.. {
        let context = format!("sick {sick}, killed at point {points}");
        let (world, wanted) = begun("both ways");
        if sick {
            world.machine.disk.borrow_mut().sick.insert(wanted.build);
        }
        let died = live(&world, Some(points), |engine| engine.follow(&app(), Some(&wanted)).unwrap());
        live(&world, None, |engine| {
            engine.recover();
            engine.follow(&app(), Some(&wanted)).unwrap();
        });
        let ran = |migration| migrated(&world).iter().filter(|(_, ran)| *ran == migration).count();
        assert!(ran(Migration::Run) <= 1 && ran(Migration::Undo) <= 1, "{context}: {:?}", migrated(&world));
        let says = world.server.says.borrow();
        let told: Vec<_> = says.reports.iter().filter(|report| report.generation == 2).collect();
        assert_eq!(told.len(), 1, "{context}");
        match &told[0].outcome {
            Outcome::Verified => {
                assert_eq!((ran(Migration::Run), runs(&world)), (1, Some(wanted.build)), "{context}")
            }
            Outcome::Undone { phase: Phase::Migrate, reason } => {
                assert!(reason.contains("it is not known"), "{context}: {reason}");
                assert_eq!(runs(&world), Some(build("one")), "{context}");
                unknown += 1;
            }
            Outcome::Undone { reason, .. } => {
                assert!(sick && ran(Migration::Undo) == 1, "{context}: {reason}");
                assert_eq!(runs(&world), Some(build("one")), "{context}");
            }
            Outcome::Failed { reason, .. } => {
                assert!(sick && reason.contains("it is not known"), "{context}: {reason}");
                assert_eq!(runs(&world), Some(build("one")), "{context}: what ran before runs again all the same");
                unknown += 1;
            }
            other => panic!("{context}: {other:?}"),
        }
        if !died {
            assert!(points > 8, "{context}");
            break;
        }
    }
    assert!(unknown > 0, "no death fell between what is written down and what is done");
}
