//! That a target's time is over (R30): by the owners' signed charter and the target's own memory of when it joined. No
//! word of a server's takes part, so none can end a target early, nor keep one.

use super::{Pinned, Proof, TrustedPolicy, VerifiedAuthority};
use crate::{
    charter::{Class, Life},
    names::AppName,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What was found when a target's time was over. It is kept, and what was begun by it is finished by it, whatever a later
/// charter says: half of a machine is of use to nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lapsed {
    /// When the target joined.
    pub joined: Timestamp,
    /// How long the charter let it live.
    pub lives: Life,
    /// The version of that charter.
    pub charter: u64,
    /// When it was found, by the target's own clock.
    pub at: Timestamp,
}

impl Lapsed {
    /// Whether the time of a target that joined at `joined` is over at `now`. Never that of one that joined a live
    /// environment, whatever a later charter calls it.
    pub fn judge(policy: &TrustedPolicy, pinned: &Pinned, joined: Timestamp, now: Timestamp) -> Option<Self> {
        if pinned.class == Class::Live {
            return None;
        }
        let environment = policy.charter.environments.get(&pinned.environment)?;
        let lives = environment.lives?;
        (environment.ends(joined)? <= now).then_some(Self { joined, lives, charter: policy.version, at: now })
    }
}

impl VerifiedAuthority {
    /// Once a target's time is over, everything on it goes. What was found comes from the target's own journal, never from
    /// a server.
    pub fn lapse(app: &AppName, _found: &Lapsed) -> Self {
        VerifiedAuthority::Lapse(Proof { app: app.clone(), build: None, permit: None })
    }
}
