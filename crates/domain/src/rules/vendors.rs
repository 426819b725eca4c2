//! What somebody else makes comes in by its vendor's release alone, and runs only while that release holds; our own people
//! affirm it besides, as they do everything (R42). Which estate is the vendor's, and which audience of it we are, stands in
//! the charter.

use super::Candidate;
use crate::{
    event::VendorWord,
    refusal::Refusal,
    state::{Policy, State},
};
use jiff::Timestamp;
use trust::{AppName, Digest, VendorName, Version, authority::Denial, statement::OrderAct};

/// Fails if a vendor makes the application: then nobody here says what is a build of it, nor which number it has.
pub fn makes_it_ourselves(policy: &Policy, app: &AppName, build: &Digest) -> Result<(), Refusal> {
    match policy.charter.vendor_of(app) {
        None => Ok(()),
        Some((vendor, _)) => {
            Err(Refusal::VendorReleaseMissing { app: app.clone(), build: *build, vendor: vendor.clone() })
        }
    }
}

/// Fails unless the word is of the vendor that the charter names for the application.
pub fn is_of(policy: &Policy, app: &AppName, word: &VendorWord) -> Result<(), Refusal> {
    match policy.charter.vendor_of(app) {
        Some((_, vendor)) if *vendor == word.of() => Ok(()),
        Some((vendor, _)) => {
            let why = "the charter names another estate or audience".into();
            Err(Refusal::VendorReleaseUnfit { app: app.clone(), vendor: vendor.clone(), why })
        }
        None => {
            Err(Refusal::Invalid { why: format!("the charter names no vendor of {app}: it is made and pushed here") })
        }
    }
}

/// Fails unless the vendor's release of the candidate is here and holds, where a vendor makes the application. Says who
/// signed it there.
pub fn released(state: &State, policy: &Policy, candidate: &Candidate<'_>, now: Timestamp) -> Result<String, Refusal> {
    let Some((name, vendor)) = policy.charter.vendor_of(candidate.app) else { return Ok(String::new()) };
    let app = candidate.app.clone();
    let of_vendor = state.apps.get(&app).and_then(|app| app.vendors.get(&vendor.id()));
    let imported = candidate.record.vendor.as_ref().filter(|imported| imported.word.of() == *vendor);
    let (Some(imported), Some(of_vendor), Some(version)) = (imported, of_vendor, candidate.version()) else {
        return Err(Refusal::VendorReleaseMissing { app, build: candidate.build, vendor: name.clone() });
    };
    let (permit, version) = (&imported.permit, version.clone());
    if permit.serial <= of_vendor.dead_through(&candidate.build) {
        return Err(Refusal::VendorWithdrew { app, version, vendor: name.clone() });
    }
    // Expiry and floor stop new activations; going back to what settled is not one.
    if candidate.act != OrderAct::Rollback {
        let not_after = permit.not_after.min(of_vendor.word.expires);
        if now < permit.not_before || now >= not_after {
            let (vendor, not_before) = (name.clone(), permit.not_before);
            return Err(Refusal::VendorReleaseExpired { app, version, vendor, not_before, not_after });
        }
        if let Some(floor) = of_vendor.floor.clone().filter(|floor| version < *floor) {
            return Err(Refusal::BelowFloor { version, floor, audience: vendor.audience.clone(), by: None });
        }
    }
    let people: Vec<String> = permit.approvers.iter().map(ToString::to_string).collect();
    Ok(format!(" to {}, approved there by {}", vendor.audience, people.join(", ")))
}

/// The vendor of the application, where it took back what it had released of this build.
pub fn withdrawn_by<'a>(state: &'a State, app: &AppName, build: &Digest) -> Option<&'a VendorName> {
    let (name, vendor) = state.policy.as_ref()?.charter.vendor_of(app)?;
    let record = state.apps.get(app)?;
    let serial = record.builds.get(build)?.vendor.as_ref()?.permit.serial;
    (serial <= record.vendors.get(&vendor.id())?.dead_through(build)).then_some(name)
}

/// Fails if the vendor's number is another build's here, or the build has another. The rest of numbering is the vendor's.
pub fn may_be_numbered(state: &State, app: &AppName, build: &Digest, version: &Version) -> Result<(), Refusal> {
    let Some(record) = state.apps.get(app) else { return Ok(()) };
    if let Some(numbered) = record.versions.get(version).filter(|numbered| numbered.build != *build) {
        return Err(Refusal::NumberTaken { app: app.clone(), version: version.clone(), build: numbered.build });
    }
    match record.builds.get(build).and_then(|build| build.version.as_ref()) {
        Some(known) if known != version => Err(Refusal::BuildNumbered { app: app.clone(), version: known.clone() }),
        _ => Ok(()),
    }
}

/// Why a vendor's release does not count, as the targets would say it.
pub fn refusal(vendor: &VendorName, app: &AppName, version: &Version, denial: &Denial) -> Refusal {
    let (app, version, vendor) = (app.clone(), version.clone(), vendor.clone());
    match denial {
        Denial::Withdrawn(_) => Refusal::VendorWithdrew { app, version, vendor },
        Denial::Expired { not_before, not_after, .. } => {
            let (not_before, not_after) = (*not_before, *not_after);
            Refusal::VendorReleaseExpired { app, version, vendor, not_before, not_after }
        }
        denial => Refusal::VendorReleaseUnfit { app, vendor, why: denial.to_string() },
    }
}
