//! Expiry stops new activations and nothing else; it is warned of long before: of the root's and the charter's from 90
//! days, of a permit's from 14. Whoever orders something for a time that is after it is warned too.

use crate::{
    policy,
    refusal::Refusal,
    state::{Deployment, State},
};
use jiff::{SignedDuration, Timestamp};
use trust::statement::OrderAct;

/// How a warning of an end that comes before what was ordered begins.
const ENDS_BEFORE: &str = "by then ";

/// Why nothing new is activated at `now` by what owners signed; nothing while that is good, or where it was not recorded.
pub fn expired(state: &State, now: Timestamp) -> Option<Refusal> {
    let facts = &state.policy.as_ref()?.record.facts;
    let over = |expires: Option<Timestamp>| expires.filter(|expires| *expires <= now);
    let root = over(facts.root_expires).map(|since| Refusal::RootExpired { since });
    root.or_else(|| over(facts.charter_expires).map(|since| Refusal::CharterExpired { since }))
}

/// What keeps an order for something new from beginning at `begins`, where what owners signed is over by then and not yet `now`.
pub fn ends_before(state: &State, act: OrderAct, begins: Timestamp, now: Timestamp) -> Option<String> {
    let is_new = matches!(act, OrderAct::Deploy | OrderAct::Redeploy | OrderAct::Switch);
    if !is_new || expired(state, now).is_some() {
        return None;
    }
    let (what, since, command) = match expired(state, begins)? {
        Refusal::RootExpired { since } => ("the root of trust", since, "sortie charter renew --root"),
        Refusal::CharterExpired { since } => ("the charter", since, "sortie charter renew"),
        _ => return None,
    };
    Some(format!(
        "{ENDS_BEFORE}{what} has expired, at {since:.0}: nothing new begins after that before an owner renews it: {command}"
    ))
}

/// Whether the deployer was warned of this, and it is so no more: it was renewed.
pub fn is_warned_in_vain(state: &State, deployment: &Deployment, warning: &str) -> bool {
    let ordered = deployment.stamp.time;
    let begins = deployment.schedule.at.unwrap_or(ordered).max(ordered);
    warning.starts_with(ENDS_BEFORE) && ends_before(state, deployment.act, begins, ordered).as_deref() != Some(warning)
}

/// What everyone should know of the owners' signatures: nothing while they are good for long.
pub fn warnings(root: Option<Timestamp>, charter: Option<Timestamp>, now: Timestamp) -> Vec<String> {
    let kinds =
        [("the root of trust", root, "sortie charter renew --root"), ("the charter", charter, "sortie charter renew")];
    let warn = |(what, expires, command): (&str, Option<Timestamp>, &str)| {
        let expires = expires.filter(|expires| days_left(*expires, now) < policy::EXPIRY_WARNED_DAYS)?;
        let day = expires.strftime("%Y-%m-%d");
        Some(match expires > now {
            true => format!(
                "{what} expires on {day}, {}: from then on nothing new is activated. An owner renews it: {command}",
                in_words(expires, now)
            ),
            false => format!(
                "{what} expired on {day}: nothing new is activated until an owner renews it: {command}. What runs goes on"
            ),
        })
    };
    kinds.into_iter().filter_map(warn).collect()
}

/// `6 more days`, where a permit that began at `not_before` may be activated for a short time only.
pub fn permit_warning(not_before: Timestamp, not_after: Timestamp, now: Timestamp) -> Option<String> {
    let life = not_after.duration_since(not_before);
    let warned = SignedDuration::from_hours(24 * policy::PERMIT_WARNED_DAYS).min(life / 4);
    let left = not_after.duration_since(now);
    let is_near = left < warned && left > SignedDuration::ZERO;
    is_near.then(|| {
        format!("may be activated until {}, {}", not_after.strftime("%Y-%m-%d %H:%M UTC"), in_words(not_after, now))
    })
}

fn days_left(expires: Timestamp, now: Timestamp) -> i64 {
    expires.duration_since(now).as_hours().div_euclid(24)
}

fn in_words(expires: Timestamp, now: Timestamp) -> String {
    let hours = expires.duration_since(now).as_hours();
    match (hours / 24, hours) {
        (0, 0 | 1) => "within the hour".into(),
        (0, hours) => format!("in {hours} hours"),
        (1, _) => "in 1 day".into(),
        (days, _) => format!("in {days} days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn owners_are_warned_from_ninety_days() {
        let now = time("2026-11-01T12:00:00Z");
        let warned = |root: &str, charter: &str| warnings(Some(time(root)), Some(time(charter)), now);
        assert!(warned("2031-01-01T00:00:00Z", "2027-01-30T12:00:00Z").is_empty(), "90 days are long");
        let one = warned("2031-01-01T00:00:00Z", "2027-01-30T11:59:59Z");
        assert_eq!(one.len(), 1);
        assert!(one[0].starts_with("the charter expires on 2027-01-30, in 89 days"), "{one:?}");
        let both = warned("2026-11-01T13:00:00Z", "2026-10-31T00:00:00Z");
        assert!(both[0].contains("within the hour") && both[0].ends_with("sortie charter renew --root"), "{both:?}");
        assert!(both[1].contains("expired on 2026-10-31"), "{both:?}");
        assert!(warnings(None, None, now).is_empty(), "what was never recorded is not made up");
    }

    #[test]
    fn a_short_permit_is_not_warned_of_all_its_life() {
        let begun = time("2026-11-01T00:00:00Z");
        let words = |not_after: &str, now: &str| permit_warning(begun, time(not_after), time(now));
        assert_eq!(words("2027-01-30T00:00:00Z", "2027-01-10T00:00:00Z"), None);
        assert!(words("2027-01-30T00:00:00Z", "2027-01-20T00:00:00Z").expect("soon").ends_with("in 10 days"));
        assert_eq!(words("2026-11-05T00:00:00Z", "2026-11-02T00:00:00Z"), None);
        assert!(words("2026-11-05T00:00:00Z", "2026-11-04T12:00:00Z").expect("soon").ends_with("in 12 hours"));
        assert_eq!(words("2026-11-05T00:00:00Z", "2026-11-06T00:00:00Z"), None, "what is over is not live");
    }
}
