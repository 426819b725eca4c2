//! An environment may have windows: nothing new is activated there at other times (R1). What is outside is refused with the
//! next opening, or waits for it; undo, rollback, stop, start, restart and removal go on. The windows stand in the signed
//! order as absolute times too, and targets judge both by the same function.

use super::{Candidate, ways};
use crate::{
    refusal::{Closed, Refusal},
    state::Policy,
};
use jiff::{SignedDuration, Timestamp};
use trust::{
    freeze::brings_something_new,
    schedule::{NotNow, Schedule},
    statement::Order,
    way::{Waiver, Way},
    window::{self, Window},
};

/// The windows that apply to the candidate; nothing where they are waived, or nothing new is brought.
pub fn of<'a>(policy: &'a Policy, candidate: &Candidate<'_>, way: Way) -> Option<&'a [Window]> {
    let environment = policy.charter.environments.get(candidate.audience)?;
    let applies = brings_something_new(candidate.act) && !ways::waives(policy, candidate, way, &Waiver::Windows);
    applies.then_some(&environment.windows[..])
}

/// Whether the order's own time has come, and a window is open.
pub fn judged(
    policy: &Policy,
    candidate: &Candidate<'_>,
    way: Way,
    schedule: &Schedule,
    now: Timestamp,
) -> Result<(), NotNow> {
    schedule.is_moment(of(policy, candidate, way), SignedDuration::ZERO, now)
}

/// Fails where no window is open at `now`; `opens` says when the candidate may be activated next, as far as is known.
pub fn one_is_open(
    policy: &Policy,
    candidate: &Candidate<'_>,
    way: Way,
    schedule: &Schedule,
    now: Timestamp,
    opens: impl Fn() -> Option<Timestamp>,
) -> Result<String, Refusal> {
    let all = policy.charter.environments.get(candidate.audience).map(|environment| &environment.windows[..]);
    match (judged(policy, candidate, way, schedule, now), all.unwrap_or_default()) {
        (Err(NotNow::Closed { .. }), windows) => Err(closed(candidate, windows, opens())),
        (_, []) => Ok("no windows: any time will do".into()),
        (_, windows) if of(policy, candidate, way).is_none() => {
            let is_new = brings_something_new(candidate.act);
            let why = if is_new { format!("waived by {way}") } else { "nothing new is brought".into() };
            Ok(format!("{}: {why}", in_words(windows)))
        }
        (_, windows) => {
            let until = window::next(windows, now).filter(|opening| opening.contains(now));
            Ok(until
                .map_or_else(|| in_words(windows), |opening| format!("a window is open until {:.0}", opening.until)))
        }
    }
}

fn closed(candidate: &Candidate<'_>, windows: &[Window], opens: Option<Timestamp>) -> Refusal {
    Refusal::WindowClosed(Box::new(Closed {
        app: candidate.app.clone(),
        version: candidate.version().cloned(),
        environment: candidate.audience.clone(),
        windows: windows.iter().map(ToString::to_string).collect(),
        opens,
        planned: false,
    }))
}

/// Fails where no window opens from `begins` on: what stands until it is released would stand for nothing.
pub fn one_opens(policy: &Policy, candidate: &Candidate<'_>, way: Way, begins: Timestamp) -> Result<(), Refusal> {
    match of(policy, candidate, way) {
        Some(windows) if !windows.is_empty() && window::next(windows, begins).is_none() => {
            Err(closed(candidate, windows, None))
        }
        _ => Ok(()),
    }
}

fn in_words(windows: &[Window]) -> String {
    windows.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Fails unless the times that stand in an order are those of the charter in force, as read here.
pub fn are_written_out(policy: &Policy, candidate: &Candidate<'_>, way: Way, order: &Order) -> Result<(), Refusal> {
    let Some(windows) = of(policy, candidate, way) else { return Ok(()) };
    let written = &order.schedule.windows;
    let is_sound = match windows.is_empty() {
        true => written.is_empty(),
        false => !written.is_empty() && written.iter().all(|opening| window::cover(windows, opening)),
    };
    match is_sound && written.len() <= trust::schedule::MAX_OPENINGS {
        true => Ok(()),
        false => Err(Refusal::WindowsDiffer {
            environment: candidate.audience.clone(),
            windows: windows.iter().map(ToString::to_string).collect(),
        }),
    }
}
