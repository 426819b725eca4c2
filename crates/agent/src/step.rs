//! What comes next: pure, so that every situation can be tried.
//!
//! The journal says what has begun, the assignment what is wanted, and [`Last`] what this process itself has just
//! done. A process that has just started has done nothing: it carries on by the journal alone.

use crate::journal::{Failure, Journal, LastState, UnderWay};
use domain::plan::{Assignment, Migration};
use trust::statement::{OrderAct, Outcome, Phase};

/// One step of the agent with one application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is nothing to do, or nothing that can be done now.
    Nothing,
    /// The assignment is no newer than one already followed, or of another epoch than the charter's: it is let lie.
    Ignore,
    /// Check authority and needs.
    Authorise,
    /// Get what is not there yet.
    Fetch,
    /// Lay the release out beside what runs.
    Stage,
    /// Keep its config.
    Configure,
    /// Check authority again and change the application's data, or see how that ended.
    Migrate,
    /// Check authority again, then switch to it (or stop, start, restart).
    Activate,
    /// Find out whether it is well.
    Verify,
    /// Check authority again, then remove the application.
    Remove,
    /// Go back to what ran when the deployment began.
    Undo(Failure),
    /// Let go of what was begun and has touched nothing: it is offered again.
    Forget,
    /// The outcome is decided.
    Close(Outcome),
    /// Send the outcome that the server has not acknowledged yet.
    Report,
}

/// What this process has just done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Last {
    /// Nothing yet.
    Nothing,
    /// A phase, to its end.
    Done(Phase),
    /// It went back.
    Undone,
    /// A phase failed, or going back did.
    Failed(String),
    /// The authority for it is lacking.
    Denied {
        /// The check's code.
        code: String,
        /// Why, in a line.
        reason: String,
    },
    /// The server could not be reached for what the phase needs.
    Away(String),
}

/// What this target does to the application's data: what it was elected for, where that goes with the act.
pub fn migration(assignment: &Assignment) -> Option<Migration> {
    let fits = match assignment.act {
        OrderAct::Deploy | OrderAct::Redeploy => assignment.migrate == Some(Migration::Run),
        OrderAct::Rollback => assignment.migrate == Some(Migration::Undo),
        _ => false,
    };
    assignment.migrate.filter(|_| fits && !assignment.undo)
}

/// The phases of an assignment, in order.
pub fn phases(assignment: &Assignment) -> &'static [Phase] {
    use Phase::{Activate, Check, Configure, Fetch, Migrate, Remove, Stage, Verify};
    match assignment.act {
        OrderAct::Deploy | OrderAct::Redeploy | OrderAct::Rollback if migration(assignment).is_some() => {
            &[Check, Fetch, Stage, Configure, Migrate, Activate, Verify]
        }
        OrderAct::Deploy | OrderAct::Redeploy | OrderAct::Rollback => {
            &[Check, Fetch, Stage, Configure, Activate, Verify]
        }
        OrderAct::Configure => &[Check, Configure, Activate, Verify],
        OrderAct::Start | OrderAct::Restart | OrderAct::Switch => &[Check, Activate, Verify],
        OrderAct::Stop => &[Check, Activate],
        OrderAct::Undeploy => &[Check, Remove],
    }
}

/// The next step. `epoch` is the charter's.
pub fn next(journal: &Journal, offered: Option<&Assignment>, epoch: u64, last: &Last) -> Step {
    if journal.unreported.is_some() {
        return if matches!(last, Last::Away(_)) { Step::Nothing } else { Step::Report };
    }
    match &journal.under_way {
        Some(under_way) => carry_on(under_way, last),
        None => offered.map_or(Step::Nothing, |assignment| begin(journal, assignment, epoch, last)),
    }
}

fn begin(journal: &Journal, assignment: &Assignment, epoch: u64, last: &Last) -> Step {
    if !matches!(last, Last::Nothing) {
        return Step::Nothing;
    }
    if assignment.epoch != epoch || journal.is_stale(assignment) {
        return Step::Ignore;
    }
    if !assignment.undo {
        return Step::Authorise;
    }
    let denied = |reason: &str| Step::Close(Outcome::Refused { code: "NOT_HERE".into(), reason: reason.into() });
    match &journal.last {
        Some(last) if last.deployment == assignment.deployment => match last.state {
            LastState::Open => {
                Step::Undo(Failure { phase: Phase::Verify, reason: "the deployment was taken back".into() })
            }
            LastState::Undone => Step::Close(match last.stuck.clone() {
                // What became of it is said again: nobody may have heard it.
                Some(Failure { phase, reason }) => Outcome::Failed { phase, reason },
                None => Outcome::Verified,
            }),
            LastState::Settled => denied("the deployment has settled here: going back now is a rollback"),
        },
        // One that was planned before may have been followed after it, and have gone back.
        Some(last) if last.deployment > assignment.deployment || brought_by(journal) == Some(assignment.deployment) => {
            denied("a later deployment was followed since: going back now is a rollback")
        }
        None if journal.has_forgotten() => denied(
            "this target's journal of the application was damaged: what ran before is not known until it is deployed anew",
        ),
        // The deployment never touched anything here, so what ran before it runs.
        _ => Step::Close(Outcome::Verified),
    }
}

/// The deployment that brought what is active.
fn brought_by(journal: &Journal) -> Option<u64> {
    journal.active.as_ref().map(|active| active.deployment)
}

fn carry_on(under_way: &UnderWay, last: &Last) -> Step {
    let phase = under_way.phase;
    if let Some(failure) = &under_way.undoing {
        let Failure { phase, reason } = failure.clone();
        return match last {
            Last::Undone if under_way.assignment.undo => Step::Close(Outcome::Verified),
            Last::Undone => Step::Close(Outcome::Undone { phase, reason }),
            Last::Failed(why) | Last::Away(why) | Last::Denied { reason: why, .. } => {
                Step::Close(Outcome::Failed { phase, reason: format!("{reason}; going back failed too: {why}") })
            }
            Last::Nothing | Last::Done(_) => Step::Undo(failure.clone()),
        };
    }
    match last {
        Last::Nothing => resume(phase),
        Last::Done(Phase::Check) if phase.touches() => of_phase(phase),
        Last::Done(done) => {
            let mut later = phases(&under_way.assignment).iter().skip_while(|phase| *phase != done).skip(1);
            later.next().map_or(Step::Close(Outcome::Verified), |phase| of_phase(*phase))
        }
        Last::Undone => Step::Undo(Failure { phase, reason: "the agent lost its place".into() }),
        Last::Denied { code, reason } if !phase.touches() => {
            Step::Close(Outcome::Refused { code: code.clone(), reason: reason.clone() })
        }
        Last::Away(_) if phase == Phase::Check => Step::Forget,
        Last::Denied { reason, .. } | Last::Failed(reason) | Last::Away(reason) => {
            let reason = reason.clone();
            if phase.touches() {
                Step::Undo(Failure { phase, reason })
            } else {
                Step::Close(Outcome::Undone { phase, reason })
            }
        }
    }
}

/// What a process does that finds a phase begun by one that died.
fn resume(phase: Phase) -> Step {
    match phase {
        Phase::Check | Phase::Fetch | Phase::Stage | Phase::Configure => Step::Forget,
        // How it ended is looked at first; what needs a proof for that asks for one.
        Phase::Migrate => Step::Migrate,
        // The proof died with the process: it is made anew from the dossier in the journal.
        Phase::Activate | Phase::Remove => Step::Authorise,
        // Everything was switched already, and looking needs no authority.
        Phase::Verify => Step::Verify,
    }
}

fn of_phase(phase: Phase) -> Step {
    match phase {
        Phase::Check => Step::Authorise,
        Phase::Fetch => Step::Fetch,
        Phase::Stage => Step::Stage,
        Phase::Configure => Step::Configure,
        Phase::Migrate => Step::Migrate,
        Phase::Activate => Step::Activate,
        Phase::Verify => Step::Verify,
        Phase::Remove => Step::Remove,
    }
}

#[cfg(test)]
mod tests;
