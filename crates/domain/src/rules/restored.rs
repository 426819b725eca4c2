//! A server that was put back from an older copy knows less than the world, and targets show it what. Until owners sign a new
//! epoch nothing new is ordered ([`super::owners`]), since no target would activate it; and no number is given again that a
//! target knows (R34, R39).

use crate::{refusal::Refusal, state::State};
use std::collections::BTreeMap;
use trust::{AppName, Digest, Version};

/// What targets have shown that the ledger has lost. It is no history: what is refused for it is not recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// The newest entry that a target has seen in an epoch, where the ledger does not hold it: the epoch, and the entry's number.
    pub seen: Vec<(u64, u64)>,
    /// Numbers that were given, and the builds that have them.
    pub numbers: BTreeMap<(AppName, Version), Digest>,
}

/// Why nothing new is activated now where targets have `seen` what the ledger does not hold; nothing where none has, or owners have
/// signed a new epoch since.
pub fn put_back(state: &State, seen: &[(u64, u64)]) -> Option<Refusal> {
    let now = seen.iter().filter(|(epoch, _)| *epoch >= state.epoch()).map(|(_, entry)| *entry);
    let (targets, seen) = (now.clone().count(), now.max()?);
    Some(Refusal::LedgerPutBack { targets, seen, entries: state.head.entry })
}

/// Fails where a number was given to another build, though the ledger has lost that.
pub fn not_given(lost: &Lost, app: &AppName, version: &Version, build: &Digest) -> Result<(), Refusal> {
    match lost.numbers.get(&(app.clone(), version.clone())) {
        Some(given) if given != build => {
            Err(Refusal::NumberTaken { app: app.clone(), version: version.clone(), build: *given })
        }
        _ => Ok(()),
    }
}
