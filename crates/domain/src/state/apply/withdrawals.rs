//! Which requests are dead, by the withdrawals that count under the charter in force.

use super::in_audience;
use crate::state::{Standing, State, Withdrawal};
use std::collections::BTreeSet;
use trust::{AppName, AudienceName, Digest, Version};

/// Derives from the withdrawals that the charter in force does not annul which requests of a version are dead. The others
/// stand as they stood before anything was withdrawn.
pub(super) fn weigh_withdrawals(state: &mut State, app: &AppName, audience: &AudienceName, version: &Version) {
    let policy = state.policy.clone();
    let record = in_audience(state, app, audience);
    let annulled = |digest: &Digest| policy.as_ref().is_some_and(|policy| policy.charter.annulled.contains(digest));
    let counts =
        |withdrawal: &&Withdrawal| withdrawal.version == *version && !withdrawal.payload.as_ref().is_some_and(annulled);
    let counting: Vec<Withdrawal> = record.withdrawals.iter().filter(counts).cloned().collect();
    match counting.iter().map(|withdrawal| withdrawal.through_serial).max() {
        Some(dead) => record.dead_through.insert(version.clone(), dead),
        None => record.dead_through.remove(version),
    };
    for digest in record.requests.get(version).cloned().unwrap_or_default() {
        let Some(request) = state.requests.get_mut(&digest) else { continue };
        let killer = counting.iter().find(|withdrawal| withdrawal.through_serial >= request.serial);
        request.standing = match (killer, request.granted) {
            (Some(killer), _) => Standing::Withdrawn(killer.stamp),
            (None, Some(granted)) => Standing::Granted(granted),
            (None, None) => Standing::Waiting,
        };
    }
}

/// Derives that anew for every version of which anything was ever withdrawn.
pub(super) fn weigh_all_withdrawals(state: &mut State) {
    let mut withdrawn = BTreeSet::new();
    for (app, record) in &state.apps {
        for (audience, record) in &record.audiences {
            let versions = record.withdrawals.iter().map(|withdrawal| &withdrawal.version);
            withdrawn.extend(versions.map(|version| (app.clone(), audience.clone(), version.clone())));
        }
    }
    for (app, audience, version) in withdrawn {
        weigh_withdrawals(state, &app, &audience, &version);
    }
}
