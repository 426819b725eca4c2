//! What is wrong on purpose is found: within so many worlds, some invariant breaks.

use sim::{FAULTS, Fault, Script, run_with};

/// In how many worlds a fault must be found.
const WORLDS: u64 = 240;

/// The invariant that breaks first, in which world, and how.
fn found(fault: Fault) -> Option<(u64, &'static str, String)> {
    (1..=WORLDS).find_map(|seed| {
        let end = run_with(&Script::new(seed), fault).expect("the world begins");
        end.violation
            .map(|violation| (seed, violation.invariant, format!("{}: {}", violation.invariant, violation.what)))
    })
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
    an_undo_that_forgets_a_target: UndoForgetsOne breaks "TRUTH";
    a_withdrawal_that_withdraws_nothing: WithdrawalIgnored breaks "AUTHORITY";
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
    somebody_away_who_is_waited_for: AwayTakenAlong breaks "AWAY";
    somebody_back_who_is_forgotten: ReturnForgotten breaks "AWAY" | "PROGRESS";
    a_silence_that_is_passed_over: SilencePassedOver breaks "UNSEEN";
    somebody_away_who_counts_as_serving: AwayCounted breaks "MINIMUM";
    a_follower_that_begins_at_once: FollowerAtOnce breaks "PLACE";
    a_follower_that_never_begins: FollowerForgotten breaks "FOLLOWS" | "PROGRESS" | "WAITS";
    a_doubt_that_is_a_failure: DoubtUndone breaks "DOUBT";
    a_doubt_at_which_nobody_looks: DoubtPassedOver breaks "DOUBT";
    a_side_that_stands_by_too_early: StandByFirst breaks "UNSERVED";
}
