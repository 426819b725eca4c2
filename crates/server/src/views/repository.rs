//! What the repository publishes of one application in one audience: the entries behind its live permits, and every
//! withdrawal.

use super::{
    dossier::{self, DossierEntries},
    permits,
};
use api::read::RepositoryStatus;
use domain::{policy, state::State};
use jiff::{SignedDuration, Timestamp};
use trust::{AppName, AudienceName, Version};

/// The entries behind one pair of application and audience.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PairEntries {
    /// The live permits with their versions, the newest grant first.
    pub permits: Vec<(Version, DossierEntries)>,
    /// All withdrawals.
    pub withdrawals: Vec<u64>,
    /// What is said of freezes there.
    pub freezes: Vec<u64>,
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
        withdrawals: record.withdrawals.iter().map(|withdrawal| withdrawal.stamp.entry).collect(),
        freezes: super::freezes::of_audience(state, audience),
        until: granted.iter().map(|request| request.not_after).min(),
    }
}

/// Whether a target's newest word of the repository is too old for something new; what it never told of is not known.
pub(crate) fn is_stale(
    state: &State,
    environment: &AudienceName,
    refreshed: Option<Timestamp>,
    now: Timestamp,
) -> bool {
    let policy = state.policy.as_ref().and_then(|policy| policy.charter.environments.get(environment));
    match (policy, refreshed) {
        (Some(environment), Some(refreshed)) => {
            now.duration_since(refreshed) > SignedDuration::from_hours(environment.stale_hours.into())
        }
        _ => false,
    }
}

/// What everyone should know of the repository: that it is not published, grows old, or waits for its witness.
pub(crate) fn note(state: &State, status: &RepositoryStatus, now: Timestamp) -> Option<String> {
    if let Some(problem) = &status.problem {
        return Some(format!("the repository for targets is not published: {problem}"));
    }
    // A server that has just started is about to publish.
    let every = SignedDuration::from_secs(policy::TIMESTAMP_EVERY_SECONDS.cast_signed());
    let is_old = status.signed.is_some_and(|signed| now.duration_since(signed) > every * 4);
    let standing = match status.signed {
        Some(signed) => {
            let since = super::words::moment(signed);
            format!(
                "the repository for targets has no newer word than of {since}: targets {}",
                stop_when(state, signed)
            )
        }
        None => "the repository for targets has no word that counts: targets activate nothing new".into(),
    };
    let Some(witness) = &status.witness else { return is_old.then_some(standing) };
    let answers_within = SignedDuration::from_secs(policy::WITNESS_ANSWERS_WITHIN_SECONDS);
    let waits = witness.waiting_since.is_some_and(|since| now.duration_since(since) > answers_within);
    let is_first = status.signed.is_none() && witness.waiting_since.is_some();
    if !(waits || is_old || is_first || witness.refuses.is_some()) {
        return None;
    }
    let why = match (&witness.refuses, witness.seen) {
        (Some(why), _) => format!("the witness does not sign: {why}"),
        (None, Some(seen)) => format!("the witness was heard of last at {}", super::words::moment(seen)),
        (None, None) => "the witness has not been heard of since the server started".into(),
    };
    Some(format!("{why}. So {standing}. See docs/witness.md"))
}

/// When the first environment's targets activate nothing new by a word of `signed`.
fn stop_when(state: &State, signed: Timestamp) -> String {
    let environments = state.policy.iter().flat_map(|policy| policy.charter.environments.values());
    let first = environments.map(|environment| environment.stale_hours).min();
    let end = first.and_then(|hours| signed.checked_add(SignedDuration::from_hours(hours.into())).ok());
    match end {
        Some(end) => format!("activate nothing new from {} on", super::words::moment(end)),
        None => "stop activating soon".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::fixture;
    use api::witness::WitnessStatus;

    #[test]
    fn a_repository_that_is_not_published_or_grows_old_is_told_of_and_so_is_a_stale_target() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let (state, prod) = (fixture::World::new().state, fixture::audience("prod"));
        let fresh = RepositoryStatus { signed: Some(now), ..RepositoryStatus::default() };
        assert_eq!(note(&state, &fresh, now + SignedDuration::from_mins(20)), None);
        let old = note(&state, &fresh, now + SignedDuration::from_mins(61)).unwrap();
        assert!(old.contains("no newer word") && old.contains("from 2026-11-23 12:00"), "{old}");
        let broken = RepositoryStatus { problem: Some("no space left".into()), ..fresh };
        assert!(note(&state, &broken, now).unwrap().contains("no space left"));
        assert!(!is_stale(&state, &prod, None, now), "nothing is known");
        assert!(!is_stale(&state, &prod, Some(now - SignedDuration::from_hours(24)), now));
        assert!(is_stale(&state, &prod, Some(now - SignedDuration::from_hours(25)), now));
    }

    #[test]
    fn a_witness_that_is_away_or_does_not_sign_is_told_of() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let state = fixture::World::new().state;
        let later = |minutes| now + SignedDuration::from_mins(minutes);
        let witness = WitnessStatus { seen: Some(now), ..WitnessStatus::default() };
        let mut status =
            RepositoryStatus { signed: Some(now), witness: Some(witness.clone()), ..RepositoryStatus::default() };
        assert_eq!(note(&state, &status, later(10)), None);
        // What has just been made waits for a moment, and that is nothing.
        status.witness = Some(WitnessStatus { waiting_since: Some(later(10)), ..witness.clone() });
        assert_eq!(note(&state, &status, later(10)), None);
        let away = note(&state, &status, later(12)).unwrap();
        assert!(away.contains("heard of last") && away.contains("activate nothing new from"), "{away}");
        status.witness = Some(WitnessStatus { refuses: Some("it hides one".into()), ..witness });
        assert!(note(&state, &status, later(1)).unwrap().contains("does not sign: it hides one"));
        status = RepositoryStatus { signed: None, ..status };
        assert!(note(&state, &status, later(1)).unwrap().contains("no word that counts"));
    }

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
