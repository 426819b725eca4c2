//! Whether this is a moment for something new: no freeze stops it.

use super::{CLOCKS_DIFFER, Denial, Pinned, TrustedPolicy, VerifiedAuthority, Wanted};
use crate::{
    digest::Digest,
    dsse::Envelope,
    freeze::{self, Activation, Freeze, Known, Said, brings_something_new},
    names::AudienceName,
    statement::Act,
    way::Waiver,
};
use jiff::Timestamp;

/// Fails while a freeze stops what is wanted, unless the way of its permit waives freezes. A freeze that ends within what
/// clocks may differ by has ended: whoever says so may have the better clock.
pub(super) fn check(
    policy: &TrustedPolicy,
    pinned: &Pinned,
    wanted: &Wanted<'_>,
    authority: &VerifiedAuthority,
    now: Timestamp,
) -> Result<(), Denial> {
    if !brings_something_new(wanted.act) || waives(policy, pinned, authority, &Waiver::Freezes) {
        return Ok(());
    }
    let Pinned { environment, class, .. } = pinned;
    let activation = Activation { environment, class: *class, app: wanted.app, build: wanted.build };
    let soon = now.saturating_add(CLOCKS_DIFFER).unwrap_or(Timestamp::MAX);
    let goes_on = |known: &&Known| known.terms.until > soon;
    match freeze::stopping(wanted.freezes.iter().filter(goes_on), &activation, now) {
        Some(known) => Err(Denial::Frozen { freeze: known.freeze, until: known.terms.until }),
        None => Ok(()),
    }
}

fn waives(policy: &TrustedPolicy, pinned: &Pinned, authority: &VerifiedAuthority, gate: &Waiver) -> bool {
    let audience = policy.charter.audience(&pinned.environment);
    let terms = audience.and_then(|audience| audience.terms(authority.way()));
    terms.is_some_and(|terms| terms.waives(gate))
}

impl TrustedPolicy {
    /// What `envelope` says of a freeze that may concern `environment`, if it is genuine: signed by one who may freeze
    /// there. Whoever is suspended can say nothing more of it; what was kept before goes on counting.
    pub fn freeze(&self, envelope: &Envelope, environment: &AudienceName) -> Result<Said, Denial> {
        let what = "freeze";
        let invalid = |why: &str| Denial::Invalid { what, why: why.into() };
        let opened = self.open(envelope, what, |act| match act {
            Act::Freeze(freeze) => Some(freeze),
            _ => None,
        })?;
        let record = self.charter.environments.get(environment).ok_or(Denial::Missing("environment"))?;
        self.require(what, record.freeze_rule(), &opened)?;
        match opened.act {
            Freeze::Declare(terms) if terms.reaches(environment, record.class) => {
                Ok(Said::Declared { freeze: Digest::of(&envelope.payload), terms })
            }
            Freeze::Declare(_) => Err(invalid("it is for other environments")),
            Freeze::Lift(_) => Ok(Said::Lifted { freeze: opened.subject }),
            Freeze::Except(exception) => Ok(Said::Excepted { freeze: exception.freeze, build: opened.subject }),
        }
    }
}
