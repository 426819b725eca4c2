//! What is wrong on purpose is found: within so many worlds, some invariant breaks.
//!
//! `faults.txt` names for each fault a world that is known to show it, which is tried first; then all are, in their order.
//! Whatever draws worlds otherwise has others show it. They are named anew, in minutes, by
//! `UPDATE=1 cargo nextest run -p sim every_fault_has_its_world`.

use sim::{FAULTS, Fault, Script, run_with};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::atomic::{AtomicUsize, Ordering},
};

/// In how many worlds a fault must be found.
const WORLDS: u64 = 240;
/// Where the worlds are named that are known to show a fault.
const KNOWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults.txt");

/// The worlds that are known to show a fault, by its name.
fn known() -> BTreeMap<String, u64> {
    let text = fs::read_to_string(KNOWN).expect("faults.txt is there");
    let line = |line: &str| {
        let (fault, seed) = line.split_once(' ').expect("a fault and a world");
        (fault.to_owned(), seed.parse().expect("a world is a number"))
    };
    text.lines().map(line).collect()
}

/// The invariant that breaks first, in which world, and how: in that which is known, or else in the first of all others.
fn found(fault: Fault) -> Option<(u64, &'static str, String)> {
    let known = known().get(&format!("{fault:?}")).copied().filter(|seed| (1..=WORLDS).contains(seed));
    let others = (1..=WORLDS).filter(|seed| Some(*seed) != known);
    known.into_iter().chain(others).find_map(|seed| {
        let end = run_with(&Script::new(seed), fault).expect("the world begins");
        let violation = end.violation?;
        Some((seed, violation.invariant, format!("{}: {}", violation.invariant, violation.what)))
    })
}

#[test]
fn every_fault_has_its_world() {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(KNOWN, found_anew()).expect("faults.txt can be written");
    }
    let named: BTreeSet<String> = known().into_keys().collect();
    let all: BTreeSet<String> = FAULTS.iter().map(|fault| format!("{fault:?}")).collect();
    assert_eq!(named, all, "name the worlds anew that are known to show the faults: UPDATE=1");
}

/// A line for each fault that is shown, with the world that shows it.
fn found_anew() -> String {
    let next = AtomicUsize::new(0);
    let some = || {
        let taken = std::iter::from_fn(|| FAULTS.get(next.fetch_add(1, Ordering::Relaxed)));
        taken.filter_map(|fault| found(*fault).map(|(seed, ..)| (format!("{fault:?}"), seed))).collect::<Vec<_>>()
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let seeds: BTreeMap<String, u64> = std::thread::scope(|scope| {
        let begun: Vec<_> = (0..cores).map(|_| scope.spawn(some)).collect();
        begun.into_iter().flat_map(|core| core.join().expect("the worlds begin")).collect()
    });
    let names = FAULTS.iter().map(|fault| format!("{fault:?}"));
    names.filter_map(|fault| seeds.get(&fault).map(|seed| format!("{fault} {seed}\n"))).collect()
}

macro_rules! faults {
    ($($test:ident: $fault:ident breaks $($invariant:literal)|+;)*) => {
        $(#[test]
        fn $test() {
            let (seed, invariant, how) = found(Fault::$fault).expect("the fault was not found");
            println!("world {seed}: {how}");
            assert!([$($invariant),+].contains(&invariant), "world {seed}: {how}");
        })*

        #[test]
        fn every_fault_has_its_test() {
            assert_eq!(FAULTS, [$(Fault::$fault),*]);
        }
    };
}

faults! {
    a_hold_that_is_forgotten: HoldForgotten breaks "HOLD";
    a_wave_that_is_too_wide: WaveTooWide breaks "AT_ONCE" | "MINIMUM";
    a_failure_that_is_passed_over: FailurePassedOver breaks "BUDGET" | "AT_ONCE" | "AUTHORITY";
    a_failure_that_pauses_nothing: FailurePauseForgotten breaks "BUDGET" | "AUTHORITY";
    a_minimum_that_nobody_minds: MinimumIgnored breaks "MINIMUM";
    an_undo_of_everything_at_once: UndoTooWide breaks "MINIMUM" | "UNSERVED";
    a_pause_that_is_forgotten: PauseForgotten breaks "PAUSED" | "RINGS";
    a_pause_that_comes_too_late: PauseTooLate breaks "PAUSED";
    a_cordon_that_is_forgotten: CordonForgotten breaks "CORDON";
    a_retirement_that_is_forgotten: RetirementForgotten breaks "RETIRED" | "WAITS";
    a_target_that_catches_up_at_once: LateAtOnce breaks "MOMENT" | "HOLD" | "AUTHORITY" | "PLACE";
    a_removal_that_does_not_last: RemovedReturns breaks "ENDED" | "REMOVED";
    a_target_that_is_not_left_out: ExclusionForgotten breaks "LEFT_OUT";
    a_ring_before_its_time: RingTooEarly breaks "RINGS";
    a_time_that_is_forgotten: ScheduleForgotten breaks "MOMENT";
    a_freeze_that_is_forgotten: FreezeForgotten breaks "MOMENT";
    a_deployment_that_gives_way_without_a_word: SupersededUntold breaks "PLACE";
    a_deployment_that_is_dropped_without_a_word: DroppedUntold breaks "WAITS" | "PROGRESS";
    a_success_before_its_time: SuccessTooEarly breaks "TRUTH";
    a_change_of_the_data_that_is_forgotten: ChangeForgotten breaks "DATA";
    a_plan_that_is_ignored: PlanIgnored breaks "PLAN";
    a_target_that_is_unwell_and_let_be: UnwellPassedOver breaks "BUDGET" | "RINGS";
    a_settling_without_soaking: SettledUnsoaked breaks "SOAK";
    an_undo_that_forgets_a_target: UndoForgetsOne breaks "TRUTH" | "WAITS";
    a_withdrawal_that_withdraws_nothing: WithdrawalIgnored breaks "AUTHORITY" | "PUBLISHED";
    an_acknowledgement_before_its_commit: AcknowledgedTooEarly breaks "DURABLE";
    a_request_that_is_recorded_twice: RequestsForgotten breaks "ONCE";
    an_entry_that_is_damaged: EntryDamaged breaks "LEDGER" | "REPLAY" | "DURABLE";
    a_clock_that_stands: ClockStopped breaks "PROGRESS" | "LAPSED";
    a_disk_that_forgets_names: NamesUnsynced breaks "AUTHORITY" | "GENERATIONS" | "TRUTH" | "WHOLE" | "PROGRESS";
    a_target_that_forgets_what_was_stopped: StopForgotten breaks "STOPPED";
    a_target_that_forgets_its_orders: OrdersForgotten breaks "AUTHORITY";
    a_target_that_forgets_withdrawals: WithdrawalsForgotten breaks "AUTHORITY";
    an_outcome_that_is_swallowed: ReportsSwallowed breaks "TRUTH" | "PROGRESS";
    a_target_that_ends_and_leaves_something: RemainsLeft breaks "LAPSED";
    an_end_that_is_forgotten: EndForgotten breaks "LAPSED";
    an_end_that_nobody_sees: LapseForgotten breaks "LAPSED" | "PROGRESS";
    a_deployment_to_a_target_whose_time_is_over: NewToTheOver breaks "LAPSED";
    a_silence_that_is_a_failure: SilenceFails breaks "SILENCE";
    a_throw_away_environment_that_is_not_thrown_away: ThrownAwayReturns breaks "ENDED" | "AUTHORITY";
    a_target_that_is_taken_for_gone: HeardForgotten breaks "LAPSED";
    something_new_on_both_sides: BothSides breaks "SIDES";
    a_way_that_is_made_too_early: WayMadeAtOnce breaks "RINGS";
    a_way_that_is_not_made: NoWayMade breaks "SIDES" | "TRUTH";
    a_target_that_forgets_that_it_stands_by: StandbyForgotten breaks "SERVES" | "TRUTH";
    a_target_that_forgets_freezes: FreezesForgotten breaks "AUTHORITY";
    a_target_that_goes_back_to_an_older_charter: CharterForgotten breaks "AUTHORITY" | "ROOTS";
    a_statement_of_another_estate_that_counts: EstateUnchecked breaks "AUTHORITY";
    documents_under_a_root_of_somebody_else: RootUnpinned breaks "AUTHORITY";
    a_root_that_nobody_before_it_signed: NewKeysAlone breaks "ROOTS" | "AUTHORITY";
    bytes_that_are_not_what_was_asked_for: BytesUnchecked breaks "BYTES";
    somebody_away_who_is_waited_for: AwayTakenAlong breaks "AWAY";
    somebody_back_who_is_forgotten: ReturnForgotten breaks "AWAY" | "PROGRESS";
    a_silence_that_is_passed_over: SilencePassedOver breaks "UNSEEN";
    somebody_away_who_counts_as_serving: AwayCounted breaks "MINIMUM";
    a_follower_that_begins_at_once: FollowerAtOnce breaks "PLACE" | "AWAY";
    a_follower_that_never_begins: FollowerForgotten breaks "FOLLOWS" | "PROGRESS" | "WAITS";
    a_doubt_that_is_a_failure: DoubtUndone breaks "DOUBT";
    a_doubt_at_which_nobody_looks: DoubtPassedOver breaks "DOUBT";
    a_side_that_stands_by_too_early: StandByFirst breaks "UNSERVED";
    a_member_before_its_turn: MemberTooEarly breaks "ORDER";
    a_member_that_stays: MembersLeft breaks "TOGETHER";
    a_package_that_succeeds_too_early: PackageTooEarly breaks "TRUTH";
    a_package_that_is_not_held_out: PackageHoldForgotten breaks "HOLD";
    a_member_that_is_taken_from_its_package: MemberBesides breaks "PLACE";
    a_member_that_its_package_does_not_list: MemberUnlisted breaks "AUTHORITY";
    an_order_for_another_environment: OrderFromBeside breaks "AUTHORITY";
    a_target_that_forgets_withdrawn_packages: WithdrawnPackagesForgotten breaks "AUTHORITY";
    a_word_of_the_repository_that_is_too_old: StalenessIgnored breaks "AUTHORITY";
    a_word_of_the_repository_by_anybody: SignersUnchecked breaks "SIGNED";
    a_target_that_forgets_versions: VersionsForgotten breaks "VERSIONS";
    a_repository_that_is_published_too_late: PublishedTooLate breaks "PUBLISHED";
    a_repository_that_is_numbered_anew: CountersForgotten breaks "VERSIONS";
}
