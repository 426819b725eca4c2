//! Whether this is a moment for something new: the order's time has come, a window is open, and no freeze stops it.

use super::{CLOCKS_DIFFER, Denial, Pinned, TrustedPolicy, VerifiedAuthority, Wanted};
use crate::{
    digest::Digest,
    dsse::Envelope,
    freeze::{self, Activation, Freeze, Known, Said},
    names::AudienceName,
    schedule::Schedule,
    statement::Act,
    way::Waiver,
};
use jiff::Timestamp;

/// Fails while the order's time has not come or is over, while no window is open and while a freeze stops what is wanted,
/// unless the way of its permit waives windows or freezes. Whatever begins or ends within what clocks may differ by counts
/// as begun or ended: whoever says so may have the better clock.
pub(super) fn check(
    policy: &TrustedPolicy,
    pinned: &Pinned,
    wanted: &Wanted<'_>,
    authority: &VerifiedAuthority,
    schedule: &Schedule,
    now: Timestamp,
) -> Result<(), Denial> {
    let is_new = wanted.waits_for_its_moment();
    let windows = policy.charter.environments.get(&pinned.environment).map(|environment| &environment.windows[..]);
    let windows = windows.filter(|_| is_new && !waives(policy, pinned, authority, &Waiver::Windows));
    schedule.is_moment(windows, CLOCKS_DIFFER, now).map_err(|why| Denial::NotNow(why, now))?;
    if !is_new || waives(policy, pinned, authority, &Waiver::Freezes) {
        return Ok(());
    }
    let Pinned { environment, class, .. } = pinned;
    let soon = now.saturating_add(CLOCKS_DIFFER).unwrap_or(Timestamp::MAX);
    let package = authority.package();
    // Who excepts a package excepts what it brings, and who freezes a package freezes it there.
    let is_excepted = |known: &Known| package.is_some_and(|(_, build)| known.excepted.contains(build));
    let goes_on = |known: &&Known| known.terms.until > soon && !is_excepted(known);
    let itself = (wanted.app, wanted.build);
    for (app, build) in [Some(itself), package.map(|(app, build)| (app, *build))].into_iter().flatten() {
        let activation = Activation { environment, class: *class, app, build };
        let goes_on = |known: &&Known| goes_on(known) && !known.excepted.contains(&wanted.build);
        if let Some(known) = freeze::stopping(wanted.freezes.iter().filter(goes_on), &activation, now) {
            return Err(Denial::Frozen { freeze: known.freeze, until: known.terms.until });
        }
    }
    Ok(())
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
