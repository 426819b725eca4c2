//! How long the targets of a throw-away environment live: `lives = "48h"`.

use super::{Class, Environment};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The longest life, in minutes: a year.
const MAX_MINUTES: u32 = 366 * 24 * 60;

/// How long a target lives from its enrolment, in whole minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Life {
    minutes: u32,
}

/// A text that is no length of life.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no length of life: write \"90m\", \"48h\" or \"7d\", a year at most")]
pub struct LifeError(String);

impl Life {
    /// How long that is.
    pub fn duration(self) -> SignedDuration {
        SignedDuration::from_mins(self.minutes.into())
    }
}

impl FromStr for Life {
    type Err = LifeError;

    fn from_str(text: &str) -> Result<Self, LifeError> {
        let wrong = || LifeError(crate::names::printable(text));
        let (digits, each) = match text.as_bytes().last() {
            Some(b'm') => (text.trim_end_matches('m'), 1),
            Some(b'h') => (text.trim_end_matches('h'), 60),
            Some(b'd') => (text.trim_end_matches('d'), 24 * 60),
            _ => return Err(wrong()),
        };
        if digits.len() + 1 != text.len() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong());
        }
        let minutes = digits.parse::<u32>().ok().and_then(|count| count.checked_mul(each));
        let minutes = minutes.filter(|minutes| (1..=MAX_MINUTES).contains(minutes)).ok_or_else(wrong)?;
        Ok(Self { minutes })
    }
}

impl TryFrom<String> for Life {
    type Error = LifeError;

    fn try_from(text: String) -> Result<Self, LifeError> {
        text.parse()
    }
}

impl From<Life> for String {
    fn from(life: Life) -> String {
        life.to_string()
    }
}

impl fmt::Display for Life {
    /// In the largest unit that says it whole.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.minutes {
            minutes if minutes % (24 * 60) == 0 => write!(f, "{}d", minutes / (24 * 60)),
            minutes if minutes % 60 == 0 => write!(f, "{}h", minutes / 60),
            minutes => write!(f, "{minutes}m"),
        }
    }
}

impl Environment {
    /// When the time of a target is over that joined at `joined`; never where the charter gives no life, and never in
    /// class live.
    pub fn ends(&self, joined: Timestamp) -> Option<Timestamp> {
        let life = self.lives.filter(|_| self.class != Class::Live)?;
        Some(joined.saturating_add(life.duration()).unwrap_or(Timestamp::MAX))
    }

    pub(super) fn mistake_in_life(&self) -> Option<String> {
        if self.lives.is_some() && self.class == Class::Live {
            return Some(
                "it is of class live, whose targets have no end that comes by itself: `lives` is for dev and test"
                    .into(),
            );
        }
        let minutes = self.ephemeral_minutes;
        (!(1..=10_080).contains(&minutes)).then(|| format!("ephemeral_minutes is from 1 to 10080, not {minutes}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_are_read_and_written_in_the_largest_unit_that_says_them_whole() {
        for (text, shown) in [("90m", "90m"), ("120m", "2h"), ("48h", "2d"), ("7d", "7d"), ("366d", "366d")] {
            let life: Life = text.parse().unwrap();
            assert_eq!(life.to_string(), shown);
            assert_eq!(shown.parse::<Life>().unwrap(), life);
        }
        for wrong in ["", "h", "48", "0h", "-1h", "+1h", "1.5h", "367d", "4hh", "1h30m", "99999999999h", "2 h"] {
            assert!(wrong.parse::<Life>().is_err(), "{wrong}");
        }
    }
}
