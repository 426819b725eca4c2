//! The charter, and who has no powers under it.

use super::withdrawals::weigh_all_withdrawals;
use crate::{
    event::Event,
    policy,
    rules::lifetime,
    state::{Policy, PolicyRecord, State, Target},
};
use imbl::OrdSet;
use std::sync::Arc;
use trust::{PersonName, TargetName};

/// A charter is in force.
pub(super) fn apply_charter(state: &mut State, event: &Event) {
    let Event::CharterApplied { estate, root_version, owners, version, charter, roots, targets, facts } = event else {
        return;
    };
    let mut all_roots = state.policy.as_ref().map(|policy| policy.record.roots.clone()).unwrap_or_default();
    all_roots.extend(roots.iter().copied());
    let record = PolicyRecord {
        estate: *estate,
        root_version: *root_version,
        owners: owners.clone(),
        version: *version,
        charter: charter.clone(),
        roots: all_roots,
        targets: *targets,
        suspended: Default::default(),
        facts: facts.clone(),
    };
    // A stored charter was parsed before it was stored; one that cannot be read leaves the old one in force.
    if let Ok(policy) = Policy::try_from(record) {
        if state.policy.as_ref().is_some_and(|old| old.charter.epoch < policy.charter.epoch) {
            let step = policy::DEPLOYMENTS_OF_EPOCH;
            state.last_deployment = (state.last_deployment / step + 1) * step;
            state.epoch_since = Some(state.head.time);
        }
        let before = state.policy.replace(Arc::new(policy));
        state.suspended = OrdSet::new();
        state.suspension_entries = Vec::new();
        let annulled = |policy: &Option<Arc<Policy>>| {
            policy.as_ref().map(|policy| policy.charter.annulled.clone()).unwrap_or_default()
        };
        if annulled(&before) != annulled(&state.policy) {
            weigh_all_withdrawals(state);
        }
        let ends = |(_, target): &(&TargetName, &Target)| !target.retired && lifetime::ends(state, target).is_some();
        state.disposable = state.targets.iter().filter(ends).map(|(name, _)| name.clone()).collect();
    }
}

/// A person has no powers until a new charter.
pub(super) fn suspend(state: &mut State, person: &PersonName) {
    state.suspended.insert(person.clone());
    state.suspension_entries.push(state.head.entry);
    if let Some(policy) = &state.policy {
        let mut record = policy.record.clone();
        record.suspended.insert(person.clone());
        if let Ok(policy) = Policy::try_from(record) {
            state.policy = Some(Arc::new(policy));
        }
    }
}
