//! What the repository publishes of one application in one audience: the entries behind its live permits, and every
//! withdrawal.

use super::{
    dossier::{self, DossierEntries},
    permits,
};
use domain::{policy, state::State};
use jiff::Timestamp;
use trust::{AppName, AudienceName, Version};

/// The entries behind one pair of application and audience.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PairEntries {
    /// The live permits with their versions, the newest grant first.
    pub permits: Vec<(Version, DossierEntries)>,
    /// All withdrawals.
    pub withdrawals: Vec<u64>,
    /// When the first of the permits expires.
    pub until: Option<Timestamp>,
}

impl PairEntries {
    /// Whether there is nothing to publish.
    pub fn is_empty(&self) -> bool {
        self.permits.is_empty() && self.withdrawals.is_empty()
    }
}

/// What is published of an application in an audience at `now`: permits that may be activated now or later, so neither
/// expired ones nor those that a floor or a leaving approver took away.
pub(crate) fn pair(state: &State, app: &AppName, audience: &AudienceName, now: Timestamp) -> PairEntries {
    let Some(record) = state.in_audience(app, audience) else { return PairEntries::default() };
    let is_above_floor = |version: &&Version| record.floor.as_ref().is_none_or(|floor| *version >= floor);
    let mut granted: Vec<_> = record
        .requests
        .keys()
        .filter(is_above_floor)
        .filter_map(|version| state.granted(app, version, audience))
        .filter(|(_, request)| request.not_after > now && permits::lacks(state, request).is_empty())
        .map(|(_, request)| request)
        .collect();
    granted.sort_by_key(|request| std::cmp::Reverse(permits::granted_at(request).unwrap_or_default()));
    granted.truncate(policy::PERMITS_PUBLISHED);
    let entries = |request: &&domain::state::Request| {
        let entries = dossier::of_request(state, request);
        (request.version.clone(), entries)
    };
    PairEntries {
        permits: granted.iter().map(entries).collect(),
        withdrawals: record.withdrawals.clone(),
        until: granted.iter().map(|request| request.not_after).min(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::fixture;

    #[test]
    fn what_expired_or_was_withdrawn_is_not_published_and_withdrawals_always_are() {
        let mut world = fixture::World::new();
        let (app, prod) = (fixture::app("web"), fixture::audience("prod"));
        for version in ["1.0.0", "1.1.0", "1.2.0"] {
            world.numbered("web", version);
            world.released("web", version, "prod");
        }
        world.withdraw("web", "1.1.0", "prod");
        let live = pair(&world.state, &app, &prod, world.now());
        let versions: Vec<String> = live.permits.iter().map(|(version, _)| version.to_string()).collect();
        assert_eq!(versions, ["1.2.0", "1.0.0"], "the newest grant first");
        assert!(live.permits.iter().all(|(_, entries)| entries.push.is_some() && entries.approvals.len() == 2));
        assert_eq!(live.withdrawals.len(), 1);
        let later = pair(&world.state, &app, &prod, world.now() + jiff::SignedDuration::from_hours(24 * 365));
        assert!(later.permits.is_empty(), "expired ones are pruned");
        assert_eq!(later.withdrawals, live.withdrawals, "withdrawals stay for ever");
        assert!(pair(&world.state, &app, &fixture::audience("test"), world.now()).is_empty());
    }
}
