//! What a target remembers of the orders that it has carried out, so that it carries out none twice and none late.
//!
//! Whoever takes the server holds every order that was ever signed. A permit ends, and with it the orders to bring its
//! build; an order about what is here already has no permit that could end. So each order is carried out once, none that
//! is older than what was carried out since, and none of the second kind that comes a week late.

use super::{Denial, Opened};
use crate::{
    digest::Digest,
    statement::{Act, Order, SUBMIT_AHEAD_SECONDS, Statement},
};
use jiff::{SignedDuration, Timestamp};

/// How far an honest order's `submit_before` may lie behind that of an earlier one: whoever signs says how long it may
/// take to submit, up to this.
const SUBMIT_AHEAD: SignedDuration = SignedDuration::from_secs(SUBMIT_AHEAD_SECONDS);
/// How long after it could be submitted an order that needs no living permit may begin, in days: long enough for a large
/// environment that changes one target after the other.
pub const ORDER_GOOD_DAYS: i64 = 7;

/// The orders that a target has carried out for one application, by its own journal.
#[derive(Clone, Copy, Debug, Default)]
pub struct CarriedOut<'a> {
    /// Digests of the payloads of those that were carried out under another generation than the one at hand.
    pub performed: &'a [Digest],
    /// The one that was begun under the generation at hand: it goes on, whatever the time is by now.
    pub begun: Option<Digest>,
    /// Until when the newest of all could be submitted, as [`Self::newest_with`] reckons it.
    pub newest: Option<Timestamp>,
}

impl CarriedOut<'_> {
    /// What `newest` becomes when an order that could be submitted until `submit_before` is carried out at `now`. A date
    /// that no server would have taken counts only as far as one would have, so that no order, by a wrong clock or on
    /// purpose, shuts out all that come after it.
    pub fn newest_with(
        newest: Option<Timestamp>,
        submit_before: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        newest.max(submit_before.map(|date| date.min(later(now, SUBMIT_AHEAD))))
    }

    /// Whether an order that could be submitted until `submit_before` is older than one until `newest` that was carried
    /// out, by more than two orders in their right succession can differ.
    pub fn is_outdated(submit_before: Timestamp, newest: Timestamp) -> bool {
        later(submit_before, SUBMIT_AHEAD) < newest
    }

    /// The date by which an order is told from older ones: until when it could be submitted, or from when it is to be carried
    /// out, where that is later.
    pub fn dated(submit_before: Timestamp, order: &Order) -> Timestamp {
        order.schedule.at.map_or(submit_before, |at| at.max(submit_before))
    }

    /// As [`Self::dated`], of a statement that has been read.
    pub fn date_of(statement: &Statement) -> Timestamp {
        match &statement.act {
            Act::Order(order) => Self::dated(statement.header.submit_before, order),
            _ => statement.header.submit_before,
        }
    }

    /// Whether an order that counts otherwise may still be carried out at `now`.
    ///
    /// With `by_permit` it brings a build that something else than the order ends: a deployment may stand and wait for its
    /// permit, and travel on media, and ends with it.
    pub(super) fn check(&self, order: &Opened<'_, Order>, by_permit: bool, now: Timestamp) -> Result<(), Denial> {
        if self.performed.contains(&order.payload) {
            return Err(Denial::OrderRepeated(order.payload));
        }
        let submit_before = Self::dated(order.submit_before, &order.act);
        if let Some(newest) = self.newest.filter(|newest| Self::is_outdated(submit_before, *newest)) {
            return Err(Denial::OrderOutdated { submit_before, newest });
        }
        let good_until = later(submit_before, SignedDuration::from_hours(ORDER_GOOD_DAYS * 24));
        match self.begun != Some(order.payload) && !by_permit && now > good_until {
            true => Err(Denial::OrderExpired { submit_before, now }),
            false => Ok(()),
        }
    }
}

fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}
