//! The permit behind a dossier: whose build it is, under which number, and who agreed to it.

use super::{Denial, Dossier, KeptWithdrawal, TrustedPolicy, package};
use crate::{
    digest::Digest,
    dsse::Envelope,
    key::KeyId,
    names::{AppName, AudienceName, PersonName},
    permit,
    statement::{Act, Request},
    vendor::{Heard, Released},
    version::Version,
};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// The permit of a build for an audience that `dossier` shows: push, number, request, and every approval the request and
/// the charter ask for; for what a vendor makes, the vendor's release in place of push and number. Whether it was
/// withdrawn and whether its time has come is not looked at.
pub fn permit_of(
    policy: &TrustedPolicy,
    app: &AppName,
    build: Digest,
    audience: &AudienceName,
    dossier: &Dossier,
) -> Result<Request, Denial> {
    permit_behind(policy, app, build, audience, dossier, &Vendors::default()).map(|permit| permit.asked)
}

/// As [`permit_of`], where nothing that `dossier` tells of takes it back. Whether its time has come is not looked at: what runs
/// goes on running.
pub fn standing_permit(
    policy: &TrustedPolicy,
    app: &AppName,
    build: Digest,
    audience: &AudienceName,
    dossier: &Dossier,
) -> Result<Request, Denial> {
    let told = dossier.withdrawals.iter().filter_map(|envelope| policy.withdrawal(envelope, audience).ok());
    let kept: Vec<KeptWithdrawal> = told.collect();
    let permit = permit_behind(policy, app, build, audience, dossier, &Vendors::default())?;
    not_withdrawn(policy, app, build, audience, dossier, &permit, &kept)?;
    Ok(permit.asked)
}

/// A permit that has every approval it needs, and who gave it.
pub(crate) struct Permit {
    /// What was asked for.
    pub asked: Request,
    /// The digest of the request.
    pub request: Digest,
    /// Who asked for it.
    pub requesters: BTreeSet<PersonName>,
    /// Who agreed.
    pub approvers: BTreeSet<PersonName>,
    /// Who pushed the build; nobody of ours where a vendor made it.
    pub pushers: BTreeSet<PersonName>,
    /// The build's own number.
    pub version: Version,
    /// What was asked for: the build itself, or the package that lists it.
    pub about: (AppName, Digest),
}

impl Permit {
    /// Whether it is that of a package that lists a build of `app`.
    pub fn is_of_package(&self, app: &AppName) -> bool {
        self.about.0 != *app
    }
}

/// What a permit is looked for: the build itself, or the package that lists it.
struct Asked<'a> {
    app: &'a AppName,
    build: Digest,
    version: &'a Version,
    request: Option<&'a Envelope>,
    approvals: &'a [Envelope],
    /// Who pushed anything of it.
    pushers: BTreeSet<PersonName>,
}

/// What a vendor's release is judged by besides the charter.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Vendors<'a> {
    /// What was heard of the vendor before.
    pub heard: Option<&'a Heard>,
    /// When it must hold; going back asks for no time.
    pub now: Option<Timestamp>,
}

/// As [`permit_of`], with who gave it. Where the dossier shows a package that was asked for and lists the build, it is the
/// package's permit that counts; push and number of the build itself are looked at all the same.
pub(crate) fn permit_behind(
    policy: &TrustedPolicy,
    app: &AppName,
    build: Digest,
    audience: &AudienceName,
    dossier: &Dossier,
    vendors: &Vendors<'_>,
) -> Result<Permit, Denial> {
    let Some(package) = dossier.package.as_ref().filter(|package| package.request.is_some()) else {
        return own_permit(policy, app, build, audience, dossier, vendors);
    };
    let (version, pushers) = numbered_by_anyone(policy, app, build, dossier, vendors)?;
    let listing = package::listing(policy, app, build, dossier)?.ok_or(Denial::Missing("package"))?;
    if listing.version != version {
        let why = format!("it lists {app}@{}, and this build is {version}", listing.version);
        return Err(Denial::Invalid { what: package::WHAT, why });
    }
    let number = numbered(policy, &listing.app, listing.build, package.push.as_ref(), package.number.as_ref())?;
    let asked = Asked {
        app: &listing.app,
        build: listing.build,
        version: &number.0,
        request: package.request.as_ref(),
        approvals: &package.approvals,
        // Whoever pushed a member is an author of what the package brings, as whoever pushed the package is.
        pushers: number.1.union(&pushers).cloned().collect(),
    };
    let permit = granted(policy, audience, &asked)?;
    Ok(Permit { pushers, version, ..permit })
}

/// The permit of the build itself.
fn own_permit(
    policy: &TrustedPolicy,
    app: &AppName,
    build: Digest,
    audience: &AudienceName,
    dossier: &Dossier,
    vendors: &Vendors<'_>,
) -> Result<Permit, Denial> {
    let (version, pushers) = numbered_by_anyone(policy, app, build, dossier, vendors)?;
    let (request, approvals) = (dossier.request.as_ref(), &dossier.approvals[..]);
    granted(policy, audience, &Asked { app, build, version: &version, request, approvals, pushers })
}

/// The number of the build and who pushed it: by our own people, or by the vendor's release.
fn numbered_by_anyone(
    policy: &TrustedPolicy,
    app: &AppName,
    build: Digest,
    dossier: &Dossier,
    vendors: &Vendors<'_>,
) -> Result<(Version, BTreeSet<PersonName>), Denial> {
    match released_by_vendor(policy, app, build, dossier, vendors)? {
        Some(released) => Ok((released.version, BTreeSet::new())),
        None => numbered(policy, app, build, dossier.push.as_ref(), dossier.number.as_ref()),
    }
}

/// The request, with every approval that it and the charter ask for.
fn granted(policy: &TrustedPolicy, audience: &AudienceName, about: &Asked<'_>) -> Result<Permit, Denial> {
    let request = policy.open_present(about.request, "request", |act| match act {
        Act::Request(request) => Some(request),
        _ => None,
    })?;
    let asked = &request.act;
    if asked.app != *about.app || request.subject != about.build || asked.version != *about.version {
        return Err(Denial::Invalid { what: "request", why: "it is of another version".into() });
    }
    if asked.audience != *audience {
        return Err(Denial::Invalid { what: "request", why: format!("it is for {}", asked.audience) });
    }
    let charter_audience = policy.charter.audience(audience).ok_or(Denial::Missing("audience"))?;
    if charter_audience.terms(asked.way).is_none() {
        return Err(Denial::WayMissing { way: asked.way, environment: audience.clone() });
    }
    let mut keys: Vec<KeyId> = Vec::new();
    for envelope in about.approvals {
        let approval = policy.open(envelope, "approval", |act| match act {
            Act::Approval(approval) => Some(approval),
            _ => None,
        });
        // An approval that does not count is passed over: those that do must suffice.
        if let Ok(approval) = approval
            && approval.subject == request.payload
        {
            keys.extend(approval.signers);
        }
    }
    // Whoever put a signature under the request or the push is an author of it, in whatever place it stands.
    let authors: Vec<&PersonName> = request.people().chain(&about.pushers).collect();
    let approvers = policy.approvers_of(&request.payload);
    let lacks = permit::lacks(&asked.requires, asked.way, &charter_audience, &approvers, &authors, &keys);
    if !lacks.is_empty() {
        return Err(Denial::ApprovalsMissing(lacks));
    }
    Ok(Permit {
        request: request.payload,
        requesters: request.people().cloned().collect(),
        approvers: keys.iter().filter_map(|id| approvers.person(id)).cloned().collect(),
        pushers: about.pushers.clone(),
        version: about.version.clone(),
        about: (about.app.clone(), about.build),
        asked: request.act,
    })
}

/// Fails if what was `kept` takes the permit back. What came by a package is taken back with the package, and by itself
/// too: then it runs only where it was released by itself since.
pub(super) fn not_withdrawn(
    policy: &TrustedPolicy,
    app: &AppName,
    build: Digest,
    audience: &AudienceName,
    dossier: &Dossier,
    permit: &Permit,
    kept: &[KeptWithdrawal],
) -> Result<(), Denial> {
    let (about, of) = &permit.about;
    let dead_through = policy.dead_through(about, of, kept);
    if permit.asked.serial <= dead_through {
        return Err(Denial::Withdrawn(dead_through));
    }
    let dead_itself = policy.dead_through(app, &build, kept);
    if !permit.is_of_package(app) || dead_itself == 0 {
        return Ok(());
    }
    match own_permit(policy, app, build, audience, dossier, &Vendors::default()) {
        Ok(own) if own.asked.serial > dead_itself => Ok(()),
        _ => Err(Denial::Withdrawn(dead_itself)),
    }
}

/// As [`permit_behind`], and not withdrawn by what was `kept`; with a time in `vendors`, for then.
pub(crate) fn live_permit(
    policy: &TrustedPolicy,
    app: &AppName,
    build: Digest,
    audience: &AudienceName,
    dossier: &Dossier,
    kept: &[KeptWithdrawal],
    vendors: &Vendors<'_>,
) -> Result<Permit, Denial> {
    let permit = permit_behind(policy, app, build, audience, dossier, vendors)?;
    not_withdrawn(policy, app, build, audience, dossier, &permit, kept)?;
    let Request { not_before, not_after, way, .. } = permit.asked;
    let terms = policy.charter.audience(audience).and_then(|audience| audience.terms(way));
    if terms.is_some_and(|terms| terms.outlives(not_before, not_after)) {
        return Err(Denial::WayExceeded { way, why: "its permit lives longer than the charter says".into() });
    }
    match vendors.now {
        Some(now) if now < not_before || now >= not_after => Err(Denial::Expired { not_before, not_after, now }),
        _ => Ok(permit),
    }
}

/// The permit by which somebody who fetches a build from a channel may have it at `now`, as far as `dossier` shows.
pub fn released_to(
    policy: &TrustedPolicy,
    app: &AppName,
    build: Digest,
    channel: &AudienceName,
    dossier: &Dossier,
    now: Timestamp,
) -> Result<Request, Denial> {
    let told = dossier.withdrawals.iter().filter_map(|envelope| policy.withdrawal(envelope, channel).ok());
    let kept: Vec<KeptWithdrawal> = told.collect();
    let vendors = Vendors { heard: None, now: Some(now) };
    live_permit(policy, app, build, channel, dossier, &kept, &vendors).map(|permit| permit.asked)
}

/// The number that one of ours gave the build, and who pushed it.
fn numbered(
    policy: &TrustedPolicy,
    app: &AppName,
    build: Digest,
    push: Option<&Envelope>,
    number: Option<&Envelope>,
) -> Result<(Version, BTreeSet<PersonName>), Denial> {
    let pushers = pushed(policy, app, build, push)?;
    let number = policy.open_present(number, "number", |act| match act {
        Act::Number(number) => Some(number),
        _ => None,
    })?;
    if number.act.app != *app || number.subject != build {
        return Err(Denial::Invalid { what: "number", why: "it is of another build".into() });
    }
    policy.require("number", policy.charter.push_rule(app), &number)?;
    Ok((number.act.version, pushers))
}

/// Who pushed the build, one of whom may.
pub(super) fn pushed(
    policy: &TrustedPolicy,
    app: &AppName,
    build: Digest,
    push: Option<&Envelope>,
) -> Result<BTreeSet<PersonName>, Denial> {
    let what = "push";
    let push = policy.open_present(push, what, |act| match act {
        Act::Push(push) => Some(push),
        _ => None,
    })?;
    if push.act.app != *app || push.subject != build {
        return Err(Denial::Invalid { what, why: "it is of another build".into() });
    }
    policy.require(what, policy.charter.push_rule(app), &push)?;
    Ok(push.people().chain(&push.act.makers).cloned().collect())
}

/// The vendor's release behind a dossier, where the charter says that a vendor makes the application, for whoever was told
/// nothing of the vendor before. With `now` it must hold at that time.
pub fn vendor_release(
    policy: &TrustedPolicy,
    app: &AppName,
    build: Digest,
    dossier: &Dossier,
    now: Option<Timestamp>,
) -> Result<Option<Released>, Denial> {
    released_by_vendor(policy, app, build, dossier, &Vendors { heard: None, now })
}

/// The vendor's release of the build, where the charter says that a vendor makes the application.
pub(crate) fn released_by_vendor(
    policy: &TrustedPolicy,
    app: &AppName,
    build: Digest,
    dossier: &Dossier,
    vendors: &Vendors<'_>,
) -> Result<Option<Released>, Denial> {
    let Some((name, vendor)) = policy.charter.vendor_of(app) else { return Ok(None) };
    let of_vendor = |why: Denial| Denial::Vendor { vendor: name.clone(), why: Box::new(why) };
    let release = dossier.vendor.as_ref().ok_or_else(|| of_vendor(Denial::Missing("release")))?;
    let nothing = Heard::default();
    let word = release.open(vendor, vendors.heard.unwrap_or(&nothing)).map_err(of_vendor)?;
    word.released(app, build, vendors.now).map(Some).map_err(of_vendor)
}
