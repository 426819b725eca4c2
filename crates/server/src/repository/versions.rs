//! The versions of the repository's files, counted up.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The versions that were given, by role: they never fall.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Versions {
    /// Added to what is not counted yet; more than nothing where counters were lost.
    pub floor: u64,
    /// The epoch they were given in.
    #[serde(default)]
    epoch: u64,
    pub roles: BTreeMap<String, u64>,
}

impl Versions {
    /// Where the counters were lost, or never kept: agents take nothing that is below what they have seen.
    pub fn lost(now: Timestamp) -> Self {
        Self { floor: above_all_given(now), ..Self::default() }
    }

    /// A new epoch begins with a ledger that was put back, and with it these counters: what was given since is not
    /// known, so that counting goes on above all that can have been, and what says the same as before is numbered anew.
    pub fn enter(&mut self, epoch: u64, now: Timestamp) {
        if self.epoch > 0 && epoch > self.epoch {
            self.floor = above_all_given(now);
            self.roles.values_mut().for_each(|version| *version = (*version).max(self.floor));
        }
        self.epoch = self.epoch.max(epoch);
    }

    /// The next version of a role's file.
    pub fn next(&mut self, role: &str) -> u64 {
        let version = self.roles.entry(role.into()).or_insert(self.floor);
        *version += 1;
        *version
    }
}

/// A version above every one that was given: seconds since 1970, because at most one is given a second.
fn above_all_given(now: Timestamp) -> u64 {
    u64::try_from(now.as_second()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_count_up_within_an_epoch_and_go_on_above_all_that_was_given_in_the_next() {
        let (mut versions, now) = (Versions::default(), "2026-11-29T12:00:00Z".parse().unwrap());
        versions.enter(1, now);
        assert_eq!([versions.next("timestamp"), versions.next("timestamp"), versions.next("snapshot")], [1, 2, 1]);
        versions.enter(1, now);
        assert_eq!(versions.next("timestamp"), 3);
        versions.enter(2, now);
        let (again, fresh) = (versions.next("timestamp"), versions.next("permits-prod"));
        assert!(again > 1_000_000_000 && fresh > 1_000_000_000, "{again} {fresh}");
        versions.enter(2, now);
        assert_eq!(versions.next("timestamp"), again + 1);
    }
}
