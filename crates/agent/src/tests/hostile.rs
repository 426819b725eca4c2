//! A server that holds the real server's keys and disk, and cannot make a target run what was not released.

use super::world::*;
use crate::documents::TrustError;
use api::read::Estate;
use domain::plan::Assignment;
use jiff::{SignedDuration, Timestamp};
use trust::{
    AudienceName, Digest,
    authority::Dossier,
    statement::{OrderAct, Outcome, Phase},
    vendor::{self, Bytes, Release},
};

/// Follows on a target that runs build `one`, and requires a refusal with this code that touched nothing.
fn refused(prepare: impl FnOnce(&World, &mut Assignment), dossier: Dossier, code: &str) {
    let world = World::new();
    let mut engine = world.agent();
    world.deploy(&mut engine, 5, "one", "1.0.0");
    let before = world.machine.disk.borrow().clone();
    let mut wanted = assignment(6, "two", OrderAct::Deploy);
    world.say(6, dossier);
    prepare(&world, &mut wanted);
    match world.follow(&mut engine, &wanted) {
        Some(Outcome::Refused { code: found, reason }) => assert_eq!(found, code, "{reason}"),
        other => panic!("expected {code}, got {other:?}"),
    }
    let after = world.machine.disk.borrow().clone();
    assert_eq!((before.running, before.current, before.touched), (after.running, after.current, after.touched));
}

/// Attack: arbitrary installation.
#[test]
fn r2_r31_an_unreleased_build_is_refused_by_a_live_target() {
    let dossier = released("two", "2.0.0", OrderAct::Deploy);
    refused(|_, _| (), Dossier { request: None, approvals: Vec::new(), ..dossier }, "UNRELEASED");
}

/// Attack: key compromise below threshold.
#[test]
fn r52_a_missing_approval_is_refused() {
    let mut dossier = released("two", "2.0.0", OrderAct::Deploy);
    dossier.approvals.truncate(1);
    refused(|_, _| (), dossier, "APPROVALS_MISSING");
}

/// Attack: replay to another environment.
#[test]
fn r15_no_order_or_another_order_is_refused() {
    let dossier = released("two", "2.0.0", OrderAct::Deploy);
    refused(|_, _| (), Dossier { order: None, ..dossier.clone() }, "STATEMENT_MISSING");
    let elsewhere = AudienceName::new("dev").unwrap();
    let other = Some(order_in("two", OrderAct::Deploy, elsewhere.clone()));
    refused(|_, _| (), Dossier { order: other, ..dossier.clone() }, "STATEMENT_INVALID");
    let other = Some(order("three", OrderAct::Deploy));
    refused(|_, _| (), Dossier { order: other, ..dossier.clone() }, "STATEMENT_INVALID");
    refused(|_, wanted| wanted.environment = elsewhere, dossier, "OTHER_ENVIRONMENT");
}

/// Attack: withheld withdrawal.
#[test]
fn r31_a_withdrawal_once_seen_counts_for_ever() {
    let world = World::new();
    let clean = released("two", "2.0.0", OrderAct::Deploy);
    let withdrawn = Dossier { withdrawals: vec![withdrawal("two", "2.0.0")], ..clean.clone() };
    world.say(1, withdrawn);
    world.say(2, clean);
    for generation in [1, 2] {
        // A new process each time: what was seen is on disk.
        let outcome = world.follow(&mut world.agent(), &assignment(generation, "two", OrderAct::Deploy));
        let Some(Outcome::Refused { code, .. }) = outcome else { panic!("{outcome:?}") };
        assert_eq!(code, "PERMIT_WITHDRAWN");
    }
    assert_eq!(world.touched(), 0);
}

/// Attack: withheld freeze.
#[test]
fn r1_a_freeze_once_heard_of_is_kept_whatever_the_server_says_later() {
    let world = World::new();
    let hour = SignedDuration::from_hours(1);
    let frozen = freeze(Timestamp::now() - hour, Timestamp::now() + hour, &oncall());
    let clean = |number| released("two", number, OrderAct::Deploy);
    for generation in 1..=4 {
        world.say(generation, clean("2.0.0"));
    }
    let follow =
        |engine: &mut _, generation| match world.follow(engine, &assignment(generation, "two", OrderAct::Deploy)) {
            Some(Outcome::Refused { code, .. }) => code,
            other => format!("{other:?}"),
        };
    world.agent().keep_freezes(&[freeze(Timestamp::now() - hour, Timestamp::now() + hour, &coder())]).unwrap();
    // It comes with a poll, and the next processes are told of nothing.
    world.agent().keep_freezes(std::slice::from_ref(&frozen)).unwrap();
    for generation in [1, 2] {
        assert_eq!(follow(&mut world.agent(), generation), "FROZEN");
    }
    assert_eq!(world.touched(), 0);
    // The server's word that it is over is nobody's; oncall's is.
    let forged = lift(&frozen, &coder());
    world.agent().keep_freezes(&[forged]).unwrap();
    assert_eq!(follow(&mut world.agent(), 3), "FROZEN");
    world.agent().keep_freezes(&[lift(&frozen, &oncall())]).unwrap();
    assert_eq!(follow(&mut world.agent(), 4), format!("{:?}", Some(Outcome::Verified)));
}

/// What an earlier program kept has no declaration as it was signed: one that only has its payload does not become it.
#[test]
fn only_a_genuine_declaration_is_kept_for_a_freeze_that_is_known() {
    let world = World::new();
    let hour = SignedDuration::from_hours(1);
    let frozen = freeze(Timestamp::now() - hour, Timestamp::now() + hour, &oncall());
    world.agent().keep_freezes(std::slice::from_ref(&frozen)).unwrap();
    let path = world.folder.path().join("trust/freezes.json");
    let mut kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert!(kept.as_object_mut().unwrap().remove("declared").is_some());
    std::fs::write(&path, kept.to_string()).unwrap();
    let untold = |world: &World| world.documents().freezes_missing_in(&[], Timestamp::now());
    let mut forged = frozen.clone();
    forged.signatures.clear();
    world.agent().keep_freezes(&[forged]).unwrap();
    assert_eq!(untold(&world), []);
    world.agent().keep_freezes(std::slice::from_ref(&frozen)).unwrap();
    assert_eq!(untold(&world), [frozen]);
}

#[test]
fn r1_a_freeze_that_comes_between_check_and_activation_is_in_time() {
    let world = World::new();
    let hour = SignedDuration::from_hours(1);
    let frozen = freeze(Timestamp::now() - hour, Timestamp::now() + hour, &oncall());
    let clean = released("two", "2.0.0", OrderAct::Deploy);
    world.say(1, clean.clone());
    world.server.says.borrow_mut().later = Some(Dossier { freezes: vec![frozen.clone()], ..clean });
    let outcome = world.follow(&mut world.agent(), &assignment(1, "two", OrderAct::Deploy));
    assert!(matches!(outcome, Some(Outcome::Refused { ref code, .. }) if code == "FROZEN"), "{outcome:?}");
    assert_eq!(world.touched(), 0);
    // R27: what was copied stays, staged and not deployed, until something else is brought.
    let staged = |world: &World| world.machine.disk.borrow().staged.clone();
    assert_eq!(world.agent().journals().get(&app()).staged, Some(build("two")));
    assert_eq!(staged(&world), [build("two")].into());
    world.server.says.borrow_mut().later = None;
    world.agent().keep_freezes(&[lift(&frozen, &oncall())]).unwrap();
    world.deploy(&mut world.agent(), 2, "three", "3.0.0");
    assert_eq!(world.agent().journals().get(&app()).staged, None);
    assert_eq!(staged(&world), [build("three")].into());
}

#[test]
fn r1_what_runs_in_a_frozen_environment_is_undone_and_rolled_back_all_the_same() {
    let world = World::new();
    let mut engine = world.agent();
    world.deploy(&mut engine, 1, "one", "1.0.0");
    engine.settle(&[(app(), build("one"))]).unwrap();
    world.deploy(&mut engine, 2, "two", "2.0.0");
    let hour = SignedDuration::from_hours(1);
    engine.keep_freezes(&[freeze(Timestamp::now() - hour, Timestamp::now() + hour, &oncall())]).unwrap();
    let mut undo = assignment(3, "two", OrderAct::Deploy);
    (undo.undo, undo.deployment) = (true, 2);
    assert_eq!(world.follow(&mut engine, &undo), Some(Outcome::Verified));
    assert_eq!(world.machine.disk.borrow().running, Some((build("one"), None)));
    world.say(4, released("one", "1.0.0", OrderAct::Rollback));
    assert_eq!(world.follow(&mut engine, &assignment(4, "one", OrderAct::Rollback)), Some(Outcome::Verified));
}

#[test]
fn r31_owners_alone_annul_a_withdrawal_that_is_kept() {
    let world = World::new();
    let (clean, taken) = (released("two", "2.0.0", OrderAct::Deploy), withdrawal("two", "2.0.0"));
    let annuls = format!("annulled = [\"{}\"]", Digest::of(&taken.payload));
    for generation in 1..=4 {
        world.say(generation, clean.clone());
    }
    let follow = |generation| match world.follow(&mut world.agent(), &assignment(generation, "two", OrderAct::Deploy)) {
        Some(Outcome::Refused { code, .. }) => code,
        other => format!("{other:?}"),
    };
    let keep = || {
        let mut engine = world.agent();
        engine.keep_withdrawals(std::slice::from_ref(&taken)).unwrap();
    };
    keep();
    assert_eq!(follow(1), "PERMIT_WITHDRAWN");
    // The server, or an approver, shows a charter that annuls it, and owners did not sign that.
    assert!(world.documents().adopt(estate_with(2, "live", &annuls, &tester())).is_err());
    assert_eq!(follow(2), "PERMIT_WITHDRAWN");
    // Kept by a program that knew no digests: it comes again with the next poll, and counts until then.
    let file = world.folder.path().join("trust/withdrawals.json");
    let mut kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    kept["withdrawals"][0].as_object_mut().unwrap().remove("payload").unwrap();
    std::fs::write(&file, kept.to_string()).unwrap();
    world.documents().adopt(estate_with(2, "live", &annuls, &owner())).unwrap();
    assert_eq!(follow(3), "PERMIT_WITHDRAWN");
    keep();
    assert_eq!(world.documents().withdrawals().len(), 1, "it is kept for ever, and once");
    assert_eq!(follow(4), format!("{:?}", Some(Outcome::Verified)));
}

#[test]
fn r31_a_withdrawal_that_comes_between_check_and_activation_is_in_time() {
    let world = World::new();
    let clean = released("two", "2.0.0", OrderAct::Deploy);
    world.say(1, clean.clone());
    world.server.says.borrow_mut().later = Some(Dossier { withdrawals: vec![withdrawal("two", "2.0.0")], ..clean });
    let outcome = world.follow(&mut world.agent(), &assignment(1, "two", OrderAct::Deploy));
    assert!(matches!(outcome, Some(Outcome::Refused { ref code, .. }) if code == "PERMIT_WITHDRAWN"), "{outcome:?}");
    let disk = world.machine.disk.borrow();
    assert_eq!((disk.touched, disk.running.clone()), (0, None));
}

/// The receiving estate's server shows a vendor's release of which the target has heard that it was withdrawn, or that the
/// vendor's charter has changed since.
/// Attack: withheld vendor withdrawal.
#[test]
fn r42_what_a_vendor_took_back_is_never_forgotten_by_a_target() {
    let vendors = |version| {
        let Estate { roots, targets, charter, .. } = estate(version, "live");
        let roots = roots.into_iter().map(|root| Bytes(root.0)).collect();
        let (targets, dossier) = (Bytes(targets), Box::new(permitted(build("two"), "2.0.0")));
        Release { format: vendor::FORMAT, roots, targets, charter, suspensions: Vec::new(), dossier }
    };
    // Here the vendor's root is the target's own, and its prod is we: what counts is whose charter says what.
    let pinned = Digest::of(&estate(1, "live").roots[0].0);
    let charter = format!(
        "vendors = {{ acme = {{ estate = \"{pinned}\", audience = \"prod\" }} }}\napplications = {{ web = {{ vendor = \
         \"acme\" }} }}"
    );
    let world = World::of(estate_with(1, "live", &charter, &owner()));
    let shows = |generation, vendor: Option<Release>| {
        let ours = released("two", "2.0.0", OrderAct::Deploy);
        world.say(generation, Dossier { push: None, number: None, vendor, ..ours });
        match world.follow(&mut world.agent(), &assignment(generation, "two", OrderAct::Deploy)) {
            Some(Outcome::Refused { code, .. }) => code,
            other => format!("{other:?}"),
        }
    };
    assert_eq!(shows(1, None), "VENDOR_RELEASE_MISSING");
    let mut withdrawn = vendors(2);
    withdrawn.dossier.withdrawals = vec![withdrawal("two", "2.0.0")];
    assert_eq!(shows(2, Some(withdrawn)), "VENDOR_WITHDREW");
    assert_eq!(shows(3, Some(vendors(2))), "VENDOR_WITHDREW");
    assert_eq!(shows(4, Some(vendors(1))), "VENDOR_RELEASE_UNFIT");
    assert_eq!(world.touched(), 0);
    let fresh = World::of(estate_with(1, "live", &charter, &owner()));
    fresh.say(1, Dossier { vendor: Some(vendors(1)), ..released("two", "2.0.0", OrderAct::Deploy) });
    let outcome = fresh.follow(&mut fresh.agent(), &assignment(1, "two", OrderAct::Deploy));
    assert_eq!(outcome, Some(Outcome::Verified));
}

/// The permit is genuine, and the server says nothing of what the build needs: the target looks for itself.
/// Attack: wrong software or platform.
#[test]
fn r9_a_build_for_another_machine_is_refused_before_anything_is_copied() {
    for content in UNFIT {
        let world = World::new();
        let mut engine = world.agent();
        world.deploy(&mut engine, 5, "one", "1.0.0");
        let before = world.machine.disk.borrow().clone();
        let fetched = world.server.says.borrow().gathered.len();
        world.say(6, released(content, "2.0.0", OrderAct::Deploy));
        match world.follow(&mut engine, &assignment(6, content, OrderAct::Deploy)) {
            Some(Outcome::Refused { code, reason }) => assert_eq!(code, "NEEDS_UNMET", "{content}: {reason}"),
            other => panic!("{content}: {other:?}"),
        }
        let after = world.machine.disk.borrow().clone();
        assert_eq!((before.running, before.touched, before.staged), (after.running, after.touched, after.staged));
        assert_eq!(world.server.says.borrow().gathered.len(), fetched, "{content}: something was fetched");
    }
}

/// Attack: changed command.
#[test]
fn r4_r34_a_changed_byte_in_the_manifest_is_refused() {
    let change = |world: &World, _: &mut Assignment| {
        let mut says = world.server.says.borrow_mut();
        let bytes = says.objects.get_mut(&build("two")).unwrap();
        *bytes.last_mut().unwrap() = b' ';
    };
    refused(change, released("two", "2.0.0", OrderAct::Deploy), "MANIFEST_UNFIT");
}

#[test]
fn an_older_or_changed_config_is_refused() {
    let world = World::new();
    let mut engine = world.agent();
    let ((old_bytes, old), (new_bytes, new)) = (config(1, "debug"), config(2, "warn"));
    for bytes in [&old_bytes, &new_bytes] {
        world.server.says.borrow_mut().objects.insert(Digest::of(bytes), bytes.clone());
    }
    let mut follow = |generation: u64, serial: u64, bytes: &[u8], envelope: &trust::dsse::Envelope| {
        let dossier = released("one", "1.0.0", OrderAct::Deploy);
        world.say(generation, Dossier { config: Some(envelope.clone()), ..dossier });
        let mut wanted = assignment(generation, "one", OrderAct::Deploy);
        wanted.config = Some((serial, Digest::of(bytes)));
        world.follow(&mut engine, &wanted)
    };
    assert_eq!(follow(1, 2, &new_bytes, &new), Some(Outcome::Verified));
    assert_eq!(world.machine.disk.borrow().running, Some((build("one"), Some("warn".into()))));
    let touched = world.touched();
    for (generation, bytes, envelope) in [(2, &old_bytes, &old), (3, &old_bytes, &new)] {
        let outcome = follow(generation, 1, bytes, envelope);
        assert!(matches!(outcome, Some(Outcome::Refused { ref code, .. }) if code == "CONFIG_UNFIT"), "{outcome:?}");
    }
    assert_eq!(world.touched(), touched);
}

/// Attack: rollback.
#[test]
fn older_generations_and_other_epochs_are_let_lie() {
    let world = World::new();
    let mut engine = world.agent();
    world.deploy(&mut engine, 5, "one", "1.0.0");
    world.deploy(&mut engine, 6, "two", "2.0.0");
    let touched = world.touched();
    world.say(5, released("one", "1.0.0", OrderAct::Deploy));
    for (epoch, generation) in [(1, 5), (1, 6), (0, 9), (2, 9)] {
        let mut wanted = assignment(generation, "one", OrderAct::Deploy);
        wanted.epoch = epoch;
        assert_eq!(world.follow(&mut engine, &wanted), None);
    }
    assert_eq!((world.touched(), engine.journals().get(&app()).generation), (touched, 6));
}

/// Attack: repeated order.
#[test]
fn an_order_is_carried_out_once() {
    let world = World::new();
    let mut engine = world.agent();
    let one = released("one", "1.0.0", OrderAct::Deploy);
    world.say(5, one.clone());
    assert_eq!(world.follow(&mut engine, &assignment(5, "one", OrderAct::Deploy)), Some(Outcome::Verified));
    world.deploy(&mut engine, 6, "two", "2.0.0");
    let touched = world.touched();
    // The permit lives, every signature is genuine, and the order is an old one.
    drop(engine);
    for generation in [70, 71] {
        world.say(generation, one.clone());
        let mut engine = world.agent();
        let outcome = world.follow(&mut engine, &assignment(generation, "one", OrderAct::Deploy));
        assert!(matches!(outcome, Some(Outcome::Refused { ref code, .. }) if code == "ORDER_REPEATED"), "{outcome:?}");
    }
    assert_eq!(world.touched(), touched);
    // A new order for the same build is followed, whatever generations were made up for the old one.
    let mut engine = world.agent();
    world.deploy(&mut engine, 7, "one", "1.0.0");
}

#[test]
fn an_order_that_was_taken_back_is_used_up_too() {
    let world = World::new();
    let mut engine = world.agent();
    world.deploy(&mut engine, 5, "one", "1.0.0");
    let two = released("two", "2.0.0", OrderAct::Deploy);
    world.machine.disk.borrow_mut().sick.insert(build("two"));
    world.say(6, two.clone());
    let outcome = world.follow(&mut engine, &assignment(6, "two", OrderAct::Deploy));
    assert!(matches!(outcome, Some(Outcome::Undone { .. })), "{outcome:?}");
    world.machine.disk.borrow_mut().sick.clear();
    world.say(7, two);
    let outcome = world.follow(&mut engine, &assignment(7, "two", OrderAct::Deploy));
    assert!(matches!(outcome, Some(Outcome::Refused { ref code, .. }) if code == "ORDER_REPEATED"), "{outcome:?}");
}

/// Attack: replayed old order.
#[test]
fn an_order_that_was_held_back_is_let_lie_once_it_is_old() {
    let stop = |hours: i64| Dossier { order: Some(order_until(hours, "one", OrderAct::Stop)), ..Dossier::default() };
    // On a target that has carried out an order since, whatever that was.
    let world = World::new();
    world.deploy(&mut world.agent(), 5, "one", "1.0.0");
    let touched = world.touched();
    for generation in [6, 7] {
        world.say(generation, stop(-1));
        let outcome = world.follow(&mut world.agent(), &assignment(generation, "one", OrderAct::Stop));
        assert!(matches!(outcome, Some(Outcome::Refused { ref code, .. }) if code == "ORDER_OUTDATED"), "{outcome:?}");
    }
    assert_eq!(world.touched(), touched);
    world.say(8, stop(1));
    let mut engine = world.agent();
    assert_eq!(world.follow(&mut engine, &assignment(8, "one", OrderAct::Stop)), Some(Outcome::Verified));
    // And on one that has not.
    let world = World::new();
    let order = Some(order_until(-24 * 30, "one", OrderAct::Deploy));
    world.say(5, Dossier { order, ..permitted(build("one"), "1.0.0") });
    let mut engine = world.agent();
    assert_eq!(world.follow(&mut engine, &assignment(5, "one", OrderAct::Deploy)), Some(Outcome::Verified));
    world.say(6, stop(-24 * 8));
    let outcome = world.follow(&mut engine, &assignment(6, "one", OrderAct::Stop));
    assert!(matches!(outcome, Some(Outcome::Refused { ref code, .. }) if code == "ORDER_EXPIRED"), "{outcome:?}");
    world.say(7, stop(-24 * 6));
    assert_eq!(world.follow(&mut engine, &assignment(7, "one", OrderAct::Stop)), Some(Outcome::Verified));
}

/// Attack: repeated order.
#[test]
fn however_many_orders_a_day_brings_none_of_them_is_carried_out_again() {
    let world = World::new();
    let mut engine = world.agent();
    world.deploy(&mut engine, 5, "one", "1.0.0");
    let restart = || Dossier { order: Some(order("one", OrderAct::Restart)), ..Dossier::default() };
    let first = restart();
    for generation in 6..72 {
        world.say(generation, if generation == 6 { first.clone() } else { restart() });
        let outcome = world.follow(&mut engine, &assignment(generation, "one", OrderAct::Restart));
        assert_eq!(outcome, Some(Outcome::Verified));
    }
    world.say(72, first);
    let outcome = world.follow(&mut engine, &assignment(72, "one", OrderAct::Restart));
    assert!(matches!(outcome, Some(Outcome::Refused { ref code, .. }) if code == "ORDER_REPEATED"), "{outcome:?}");
}

#[test]
fn a_refused_forgery_does_not_outrank_what_is_genuine() {
    let world = World::new();
    let mut engine = world.agent();
    world.deploy(&mut engine, 5, "one", "1.0.0");
    let forged = Dossier { request: None, ..released("three", "3.0.0", OrderAct::Deploy) };
    world.say(u64::MAX, forged);
    let outcome = world.follow(&mut engine, &assignment(u64::MAX, "three", OrderAct::Deploy));
    assert!(matches!(outcome, Some(Outcome::Refused { .. })), "{outcome:?}");
    assert_eq!(engine.journals().get(&app()).generation, 5);
    world.deploy(&mut engine, 6, "two", "2.0.0");
}

/// Attack: class changed from live to dev.
#[test]
fn r2_an_environment_that_changed_its_class_is_refused_and_charters_never_go_back() {
    let world = World::new();
    let mut engine = world.agent();
    let dossier = released("two", "2.0.0", OrderAct::Deploy);
    world.say(1, Dossier { request: None, ..dossier.clone() });
    world.server.says.borrow_mut().estate = Some(estate(2, "dev"));
    let outcome = world.follow(&mut engine, &assignment(1, "two", OrderAct::Deploy));
    assert!(matches!(outcome, Some(Outcome::Refused { ref code, .. }) if code == "CLASS_CHANGED"), "{outcome:?}");
    assert_eq!(engine.documents.version(), 2);
    assert!(matches!(engine.documents.adopt(estate(1, "live")), Err(TrustError::Documents(_))));
    assert!(matches!(engine.documents.adopt(estate(2, "live")), Err(TrustError::Equivocation(2))));
    drop(engine);
    assert_eq!(world.agent().documents.version(), 2, "after a restart it is still the newer one");
}

/// A target whose journal was lost does not say that it went back to nothing while something runs.
#[test]
fn an_undo_of_what_was_forgotten_is_refused_as_long_as_something_runs() {
    let world = World::new();
    let mut engine = world.agent();
    world.deploy(&mut engine, 5, "one", "1.0.0");
    drop(engine);
    std::fs::write(world.folder.path().join("journal/web.json"), "").unwrap();
    let mut engine = world.agent();
    let undo = |generation: u64| {
        let mut wanted = assignment(generation, "one", OrderAct::Deploy);
        (wanted.undo, wanted.deployment) = (true, 5);
        wanted
    };
    let outcome = world.follow(&mut engine, &undo(6));
    assert!(matches!(outcome, Some(Outcome::Refused { ref code, .. }) if code == "NOT_HERE"), "{outcome:?}");
    let running = world.server.says.borrow().reports.last().and_then(|report| report.running);
    assert_eq!(running, Some(build("one")), "what runs is said as the machine has it");
    world.machine.disk.borrow_mut().current = None;
    assert_eq!(world.follow(&mut engine, &undo(7)), Some(Outcome::Verified));
}

#[test]
fn an_undo_goes_by_the_journal_alone() {
    let world = World::new();
    let mut engine = world.agent();
    world.deploy(&mut engine, 5, "one", "1.0.0");
    world.deploy(&mut engine, 6, "two", "2.0.0");
    let undo = |generation: u64, deployment: u64, content: &str| {
        let mut wanted = assignment(generation, content, OrderAct::Deploy);
        (wanted.undo, wanted.deployment) = (true, deployment);
        wanted
    };
    // An earlier deployment, whatever build the server names, is not taken back.
    let outcome = world.follow(&mut engine, &undo(7, 5, "three"));
    assert!(matches!(outcome, Some(Outcome::Refused { ref code, .. }) if code == "NOT_HERE"), "{outcome:?}");
    assert_eq!(world.follow(&mut engine, &undo(8, 6, "three")), Some(Outcome::Verified));
    assert_eq!(world.machine.disk.borrow().running, Some((build("one"), None)));
    // Once more changes nothing, and is answered.
    let touched = world.touched();
    assert_eq!(world.follow(&mut engine, &undo(9, 6, "two")), Some(Outcome::Verified));
    assert_eq!(world.touched(), touched);
}

/// Whoever is told again, because nobody heard how it went, does not say that it is back.
#[test]
fn who_could_not_go_back_says_so_when_told_again() {
    let world = World::new();
    let mut engine = world.agent();
    world.deploy(&mut engine, 5, "one", "1.0.0");
    world.deploy(&mut engine, 6, "two", "2.0.0");
    world.machine.disk.borrow_mut().sick.insert(build("one"));
    let undo = |generation| Assignment { undo: true, deployment: 6, ..assignment(generation, "two", OrderAct::Deploy) };
    let outcome = world.follow(&mut engine, &undo(7));
    assert!(matches!(outcome, Some(Outcome::Failed { .. })), "{outcome:?}");
    let touched = world.touched();
    assert_eq!(world.follow(&mut engine, &undo(8)), outcome);
    assert_eq!(world.touched(), touched);
    let says = || world.server.says.borrow().reports.last().and_then(|report| report.running);
    assert_eq!(says(), world.machine.disk.borrow().current);
    // Nor does it say so when it refuses something else.
    let refused = world.follow(&mut engine, &Assignment { undo: true, deployment: 5, ..undo(9) });
    assert!(matches!(refused, Some(Outcome::Refused { .. })), "{refused:?}");
    assert_eq!(says(), world.machine.disk.borrow().current);
}

#[test]
fn what_was_started_again_since_goes_back_all_the_same() {
    let world = World::new();
    let mut engine = world.agent();
    world.deploy(&mut engine, 5, "one", "1.0.0");
    world.deploy(&mut engine, 6, "two", "2.0.0");
    world.say(7, released("two", "2.0.0", OrderAct::Restart));
    assert_eq!(world.follow(&mut engine, &assignment(7, "two", OrderAct::Restart)), Some(Outcome::Verified));
    let undo = Assignment { undo: true, deployment: 6, ..assignment(8, "two", OrderAct::Deploy) };
    assert_eq!(world.follow(&mut engine, &undo), Some(Outcome::Verified));
    assert_eq!(world.machine.disk.borrow().running, Some((build("one"), None)));
}

#[test]
fn a_deployment_s_number_takes_nobody_further_back_than_to_what_ran() {
    let world = World::new();
    let mut engine = world.agent();
    world.deploy(&mut engine, 5, "one", "1.0.0");
    world.deploy(&mut engine, 6, "two", "2.0.0");
    world.machine.disk.borrow_mut().sick.insert(build("three"));
    world.say(7, released("three", "3.0.0", OrderAct::Deploy));
    // Another order under the number of a deployment that was followed: the number is the server's word.
    let mut wanted = assignment(7, "three", OrderAct::Deploy);
    wanted.deployment = 6;
    let outcome = world.follow(&mut engine, &wanted);
    assert!(matches!(outcome, Some(Outcome::Undone { .. })), "{outcome:?}");
    assert_eq!(world.machine.disk.borrow().running, Some((build("two"), None)));
}

#[test]
fn what_has_settled_is_not_undone_but_rolled_back() {
    let world = World::new();
    let mut engine = world.agent();
    world.deploy(&mut engine, 1, "one", "1.0.0");
    engine.settle(&[(app(), build("one")), (app(), build("three"))]).unwrap();
    world.deploy(&mut engine, 2, "two", "2.0.0");
    engine.settle(&[(app(), build("two"))]).unwrap();
    let mut undo = assignment(3, "two", OrderAct::Deploy);
    (undo.undo, undo.deployment) = (true, 2);
    assert!(matches!(world.follow(&mut engine, &undo), Some(Outcome::Refused { .. })));
    world.say(5, released("one", "1.0.0", OrderAct::Rollback));
    let outcome = world.follow(&mut engine, &assignment(5, "one", OrderAct::Rollback));
    assert_eq!(outcome, Some(Outcome::Verified));
}

#[test]
fn r3_a_sick_build_is_taken_back_with_its_reason_and_phases() {
    let world = World::new();
    let mut engine = world.agent();
    world.deploy(&mut engine, 1, "one", "1.0.0");
    world.machine.disk.borrow_mut().sick.insert(build("two"));
    world.say(2, released("two", "2.0.0", OrderAct::Deploy));
    let outcome = world.follow(&mut engine, &assignment(2, "two", OrderAct::Deploy));
    let Some(Outcome::Undone { phase: Phase::Verify, reason }) = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("no such column"), "{reason}");
    let says = world.server.says.borrow();
    let phases: Vec<Phase> = says.reports[0].phases.iter().map(|timing| timing.phase).collect();
    assert_eq!(phases, crate::step::phases(&assignment(1, "two", OrderAct::Deploy)), "R7: each phase has its time");
    assert_eq!(says.reports[1].running, Some(build("one")));
    assert_eq!(world.machine.disk.borrow().running, Some((build("one"), None)));
}

#[test]
fn an_outcome_is_kept_until_it_is_acknowledged_and_counts_once() {
    // The point where the server has taken the report and its answer is lost is one of these.
    let mut lost_answers = 0;
    for points in 0..40 {
        let world = World::new();
        world.say(1, released("one", "1.0.0", OrderAct::Deploy));
        let mut engine = world.agent();
        world.server.fuse.light(points);
        let follow = move || engine.follow(&app(), Some(&assignment(1, "one", OrderAct::Deploy))).unwrap();
        let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(follow)).is_err();
        world.server.fuse.put_out();
        if !died || world.server.says.borrow().reports.is_empty() {
            continue;
        }
        lost_answers += 1;
        let mut engine = world.agent();
        for away in [true, false] {
            world.server.says.borrow_mut().away = away;
            engine.recover();
            assert_eq!(engine.journals().get(&app()).unreported.is_some(), away);
        }
        assert_eq!(world.server.says.borrow().reports.len(), 1, "the very same statement was sent again");
    }
    assert_eq!(lost_answers, 1);
}
