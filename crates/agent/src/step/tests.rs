//! The table of steps: every phase of every act with everything that can have been done last.

use super::*;
use crate::journal::{Active, LastDeployment, Unreported};
use jiff::Timestamp;
use trust::{AppName, AudienceName, Digest, TargetName, authority::Dossier, statement::Report};

const ACTS: [OrderAct; 9] = [
    OrderAct::Deploy,
    OrderAct::Redeploy,
    OrderAct::Rollback,
    OrderAct::Configure,
    OrderAct::Undeploy,
    OrderAct::Stop,
    OrderAct::Start,
    OrderAct::Restart,
    OrderAct::Switch,
];

fn assignment(act: OrderAct) -> Assignment {
    Assignment {
        epoch: 1,
        generation: 7,
        deployment: 3,
        app: AppName::new("web").unwrap(),
        environment: AudienceName::new("prod").unwrap(),
        act,
        undo: false,
        build: Digest::of(b"two"),
        version: None,
        config: None,
        migrate: None,
    }
}

/// Every act, and those that bring a build with what they may do to data as well.
fn assignments() -> Vec<Assignment> {
    let plain = ACTS.map(assignment);
    let migrates = [
        (OrderAct::Deploy, Migration::Run),
        (OrderAct::Redeploy, Migration::Run),
        (OrderAct::Rollback, Migration::Undo),
    ];
    let migrates = migrates.map(|(act, migration)| Assignment { migrate: Some(migration), ..assignment(act) });
    plain.into_iter().chain(migrates).collect()
}

fn at(assignment: &Assignment, phase: Phase, undoing: Option<Failure>) -> Journal {
    let mut journal = Journal::new(AppName::new("web").unwrap());
    journal.under_way = Some(UnderWay {
        assignment: assignment.clone(),
        dossier: Dossier::default(),
        before: None,
        next: None,
        phase,
        undoing,
        timings: Vec::new(),
        migrating: None,
    });
    journal
}

fn denied() -> Last {
    Last::Denied { code: "NO".into(), reason: "no".into() }
}

fn failure(phase: Phase, reason: &str) -> Failure {
    Failure { phase, reason: reason.into() }
}

#[test]
fn every_phase_is_followed_by_the_next_and_the_last_by_the_outcome() {
    for assigned in &assignments() {
        let phases = phases(assigned);
        for (i, phase) in phases.iter().enumerate() {
            let step = next(&at(assigned, *phase, None), None, 1, &Last::Done(*phase));
            let expected = match phases.get(i + 1) {
                Some(later) => of_phase(*later),
                None => Step::Close(Outcome::Verified),
            };
            assert_eq!(step, expected, "{:?} after {phase:?}", assigned.act);
        }
    }
}

#[test]
fn what_went_wrong_is_refused_let_go_or_taken_back_by_what_was_touched() {
    for assigned in &assignments() {
        for phase in phases(assigned) {
            let step = |last: &Last| next(&at(assigned, *phase, None), None, 1, last);
            let (failed, away) = (Last::Failed("f".into()), Last::Away("a".into()));
            let undone = |reason: &str| Step::Close(Outcome::Undone { phase: *phase, reason: reason.into() });
            if phase.touches() {
                assert_eq!(step(&failed), Step::Undo(failure(*phase, "f")));
                assert_eq!(step(&away), Step::Undo(failure(*phase, "a")));
                assert_eq!(step(&denied()), Step::Undo(failure(*phase, "no")));
            } else {
                assert_eq!(step(&failed), undone("f"));
                let refused = Outcome::Refused { code: "NO".into(), reason: "no".into() };
                assert_eq!(step(&denied()), Step::Close(refused));
                let expected = if *phase == Phase::Check { Step::Forget } else { undone("a") };
                assert_eq!(step(&away), expected);
            }
        }
    }
}

#[test]
fn a_new_process_carries_on_by_the_journal() {
    for assigned in &assignments() {
        for phase in phases(assigned) {
            let journal = at(assigned, *phase, None);
            let step = next(&journal, None, 1, &Last::Nothing);
            let expected = match phase {
                Phase::Check | Phase::Fetch | Phase::Stage | Phase::Configure => Step::Forget,
                Phase::Migrate => Step::Migrate,
                Phase::Activate | Phase::Remove => Step::Authorise,
                Phase::Verify => Step::Verify,
            };
            assert_eq!(step, expected, "{:?} in {phase:?}", assigned.act);
            if matches!(phase, Phase::Activate | Phase::Remove) {
                // Once proved anew, it does what had begun and not what comes first.
                assert_eq!(next(&journal, None, 1, &Last::Done(Phase::Check)), of_phase(*phase));
            }
        }
    }
}

#[test]
fn what_is_being_taken_back_goes_nowhere_else() {
    let failed = failure(Phase::Verify, "sick");
    for assigned in &assignments() {
        for phase in phases(assigned) {
            let journal = at(assigned, *phase, Some(failed.clone()));
            assert_eq!(next(&journal, None, 1, &Last::Nothing), Step::Undo(failed.clone()));
            let undone = Outcome::Undone { phase: Phase::Verify, reason: "sick".into() };
            assert_eq!(next(&journal, None, 1, &Last::Undone), Step::Close(undone));
            for last in [Last::Failed("x".into()), Last::Away("x".into()), denied()] {
                let step = next(&journal, None, 1, &last);
                assert!(matches!(step, Step::Close(Outcome::Failed { phase: Phase::Verify, .. })), "{step:?}");
            }
        }
    }
    let mut commanded = at(&assignment(OrderAct::Deploy), Phase::Check, Some(failed));
    if let Some(under_way) = &mut commanded.under_way {
        under_way.assignment.undo = true;
    }
    assert_eq!(next(&commanded, None, 1, &Last::Undone), Step::Close(Outcome::Verified));
}

#[test]
fn nothing_old_or_of_another_epoch_begins() {
    let mut journal = Journal::new(AppName::new("web").unwrap());
    let offered = assignment(OrderAct::Deploy);
    assert_eq!(next(&journal, None, 1, &Last::Nothing), Step::Nothing);
    assert_eq!(next(&journal, Some(&offered), 1, &Last::Nothing), Step::Authorise);
    assert_eq!(next(&journal, Some(&offered), 2, &Last::Nothing), Step::Ignore);
    for (epoch, generation, expected) in
        [(1, 6, Step::Authorise), (1, 7, Step::Ignore), (1, 8, Step::Ignore), (2, 1, Step::Ignore)]
    {
        (journal.epoch, journal.generation) = (epoch, generation);
        assert_eq!(next(&journal, Some(&offered), 1, &Last::Nothing), expected);
    }
}

#[test]
fn an_undo_needs_the_journal_to_know_the_deployment() {
    let mut undo = assignment(OrderAct::Deploy);
    undo.undo = true;
    let step = |deployment: Option<(u64, LastState)>| {
        let mut journal = Journal::new(AppName::new("web").unwrap());
        let last = |(deployment, state)| LastDeployment {
            deployment,
            before: None::<Active>,
            state,
            migrated: None,
            stuck: None,
        };
        journal.last = deployment.map(last);
        next(&journal, Some(&undo), 1, &Last::Nothing)
    };
    assert!(matches!(step(Some((3, LastState::Open))), Step::Undo(_)));
    for nothing_to_do in [None, Some((2, LastState::Open)), Some((2, LastState::Settled)), Some((3, LastState::Undone))]
    {
        assert_eq!(step(nothing_to_do), Step::Close(Outcome::Verified));
    }
    for refused in [(3, LastState::Settled), (4, LastState::Open)] {
        let step = step(Some(refused));
        assert!(matches!(step, Step::Close(Outcome::Refused { .. })), "{step:?}");
    }
    // Another that was planned before it was followed after it and went back: what runs is what this one brought.
    let mut journal = Journal::new(AppName::new("web").unwrap());
    let active = Active {
        build: undo.build,
        config: None,
        since: Timestamp::UNIX_EPOCH,
        authority: String::new(),
        deployment: 3,
        stopped: false,
        standby: false,
        doubted: false,
        number: None,
    };
    let before = Some(active.clone());
    journal.last =
        Some(LastDeployment { deployment: 2, before, state: LastState::Undone, migrated: None, stuck: None });
    journal.active = Some(active);
    let step = next(&journal, Some(&undo), 1, &Last::Nothing);
    assert!(matches!(step, Step::Close(Outcome::Refused { .. })), "{step:?}");
}

#[test]
fn an_outcome_is_sent_before_anything_else_and_waits_while_the_server_is_away() {
    let mut journal = Journal::new(AppName::new("web").unwrap());
    let report = Report {
        target: TargetName::new("prod-1").unwrap(),
        app: journal.app.clone(),
        epoch: 1,
        generation: 1,
        deployment: 1,
        outcome: Outcome::Verified,
        running: None,
        config_serial: 0,
        phases: Vec::new(),
        endpoints: Vec::new(),
        carried: None,
        way: Default::default(),
        standby: false,
        doubt: None,
    };
    let signed: Option<(Timestamp, trust::dsse::Envelope)> = None;
    journal.unreported = Some(Unreported { report, build: Digest::of(b""), epoch: 1, signings: 0, signed });
    let offered = assignment(OrderAct::Deploy);
    assert_eq!(next(&journal, Some(&offered), 1, &Last::Nothing), Step::Report);
    assert_eq!(next(&journal, Some(&offered), 1, &Last::Away("a".into())), Step::Nothing);
}

/// Attack: orders to migrate that go with no such act.
/// Holds: the server; he tells a target to take a migration back while it deploys, or to run one while it goes back.
/// Left to him: to elect the wrong target, several or none: each migrates at most once for one order.
#[test]
fn a_migration_that_does_not_go_with_the_act_is_let_be() {
    for act in ACTS {
        for migrate in [Migration::Run, Migration::Undo] {
            let assigned = Assignment { migrate: Some(migrate), ..assignment(act) };
            let fits = matches!(
                (act, migrate),
                (OrderAct::Deploy | OrderAct::Redeploy, Migration::Run) | (OrderAct::Rollback, Migration::Undo)
            );
            assert_eq!(phases(&assigned).contains(&Phase::Migrate), fits, "{act:?} {migrate:?}");
            assert!(!phases(&Assignment { undo: true, ..assigned }).contains(&Phase::Migrate));
        }
    }
}
