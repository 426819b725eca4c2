//! When an order may be carried out: not before one moment, not after another, and inside the windows of its environment.
//!
//! The windows stand twice: as absolute times in the order, as its signer's machine read the charter, and in the charter
//! itself. An order counts in a time that both name; the clock on the wall may be read from data of another age, so they
//! may differ by an hour. Whatever the order's own times leave open (they reach a fortnight, or to the next opening where
//! that is later) the charter's windows say.

use crate::window::{self, Opening, Window};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// How far ahead the windows of an order are written out.
pub const WRITTEN_OUT: SignedDuration = SignedDuration::from_hours(24 * 14);
/// The most of them.
pub const MAX_OPENINGS: usize = 64;
/// How far the charter's windows may be off as another machine reads them: the rules of zones change.
const ZONES_DIFFER: SignedDuration = SignedDuration::from_hours(1);

/// What an order says of its time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Not before this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// From this moment on no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// The environment's windows as the signer read them, soonest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<Opening>,
}

/// Why an order is not to be carried out at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotNow {
    /// Its time has not come.
    Early {
        /// When it does.
        at: Timestamp,
    },
    /// Its time is over.
    Over {
        /// Since when.
        since: Timestamp,
    },
    /// No window is open.
    Closed {
        /// When one opens, where one ever does.
        opens: Option<Timestamp>,
    },
}

impl Schedule {
    /// Whether nothing is said.
    pub fn is_any_time(&self) -> bool {
        *self == Self::default()
    }

    /// THE rule: whether this is a moment for the order by the charter's `windows` (`None` where they do not apply: they
    /// are waived, or nothing new is brought). `slack` is by how much the clock may be wrong.
    pub fn is_moment(&self, windows: Option<&[Window]>, slack: SignedDuration, now: Timestamp) -> Result<(), NotNow> {
        let (soon, just) = (later(now, slack), later(now, -slack));
        if let Some(at) = self.at.filter(|at| *at > soon) {
            return Err(NotNow::Early { at });
        }
        if let Some(since) = self.expires.filter(|expires| *expires <= just) {
            return Err(NotNow::Over { since });
        }
        let Some(windows) = windows else { return Ok(()) };
        let listed = self.windows.iter().any(|opening| opening.from <= soon && just < opening.until);
        if listed {
            return match is_open(windows, ZONES_DIFFER, now) {
                true => Ok(()),
                false => Err(self.closed(windows, now)),
            };
        }
        // What the order lists goes before what the charter says: its times are not over yet.
        let lists_more = self.windows.last().is_some_and(|last| last.until > just);
        match !lists_more && is_open(windows, slack, now) {
            true => Ok(()),
            false => Err(self.closed(windows, now)),
        }
    }

    fn closed(&self, windows: &[Window], now: Timestamp) -> NotNow {
        let listed = self.windows.iter().map(|opening| opening.from).find(|from| *from > now);
        let beyond = self.windows.last().map_or(now, |last| last.until.max(now));
        let by_charter = || match windows.is_empty() {
            true => Some(beyond),
            false => window::next(windows, beyond).map(|opening| opening.from.max(beyond)),
        };
        NotNow::Closed { opens: listed.or_else(by_charter) }
    }

    /// The environment's windows written out from `start` on, for an order to be signed now: those of a fortnight, and the
    /// next one where none opens by then. Empty where none opens ever, or there are none.
    pub fn write_out(windows: &[Window], start: Timestamp) -> Vec<Opening> {
        let end = later(start, WRITTEN_OUT);
        let mut openings = window::openings(windows, start, end);
        // What is open for ever is one opening without an end that anybody would read.
        openings.iter_mut().for_each(|opening| opening.until = opening.until.min(end));
        if openings.is_empty() {
            openings.extend(window::next(windows, end));
        }
        openings.truncate(MAX_OPENINGS);
        openings
    }
}

fn is_open(windows: &[Window], slack: SignedDuration, now: Timestamp) -> bool {
    windows.is_empty() || !window::openings(windows, later(now, -slack), later(now, slack + NEXT)).is_empty()
}

/// The shortest time there is, so that what is open at one moment is found.
const NEXT: SignedDuration = SignedDuration::from_nanos(1);

fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.saturating_add(by).unwrap_or(match by.is_negative() {
        true => Timestamp::MIN,
        false => Timestamp::MAX,
    })
}
