//! What a vendor released, on this machine: put together from a bundle, judged against the charter as every target will
//! judge it, and told in words.

use crate::{
    build::Source,
    connection::Connection,
    failure::{Failure, OrIntegrity},
};
use agent::bundle::{MANIFEST, Unpacked};
use depot::bundle::OBJECTS;
use domain::refusal::exit;
use jiff::Timestamp;
use std::collections::BTreeMap;
use trust::{
    AppName, Digest, VendorName,
    authority::{self, Denial, Dossier},
    vendor::{Bytes, FORMAT, Release, Released, Vendor},
};

/// The vendor of an application, where the charter names one.
pub fn of<'a>(connection: &'a Connection, app: &AppName) -> Option<(&'a VendorName, &'a Vendor)> {
    connection.policy.charter.vendor_of(app)
}

/// The release that an unpacked bundle carries.
pub fn release_in(unpacked: &Unpacked) -> Result<Release, Failure> {
    let estate = unpacked.estate().or_integrity("the bundle")?;
    Ok(Release {
        format: FORMAT,
        roots: estate.roots.into_iter().map(|root| Bytes(root.0)).collect(),
        targets: Bytes(estate.targets),
        charter: estate.charter,
        suspensions: estate.suspensions,
        dossier: Box::new(unpacked.dossier().or_integrity("the bundle")?),
    })
}

/// The objects of the build in an unpacked bundle, its manifest among them.
pub fn objects_in(unpacked: &Unpacked) -> BTreeMap<Digest, Source> {
    let members = unpacked.index.members.iter();
    let objects = members.filter(|member| member.path.starts_with(OBJECTS) || member.path == MANIFEST);
    objects.map(|member| (member.digest, Source::File(unpacked.folder.join(&member.path), member.size))).collect()
}

/// The vendor's release of a build, verified on this machine; nothing where no vendor makes the application. With `now` it
/// must hold at that time.
pub fn judge(
    connection: &Connection,
    app: &AppName,
    build: Digest,
    dossier: &Dossier,
    now: Option<Timestamp>,
) -> Result<Option<Released>, Failure> {
    authority::vendor_release(&connection.policy, app, build, dossier, now).map_err(|denial| failure(&denial))
}

/// Why a vendor's release does not count, under the code by which a target would say so.
pub fn failure(denial: &Denial) -> Failure {
    let exit = match denial.code() {
        "VENDOR_RELEASE_UNFIT" => exit::INTEGRITY,
        _ => exit::REFUSED,
    };
    Failure::new(denial.code(), exit, denial.to_string()).next("sortie bundle import FILE")
}

/// `released by acme to customers on 2026-11-22, signed by tester and oncall there; it may be activated until …`.
pub fn in_words(name: &VendorName, vendor: &Vendor, released: &Released) -> String {
    let people: Vec<&str> = released.approvers.iter().map(trust::PersonName::as_str).collect();
    let by =
        if released.way.is_normal() { String::new() } else { format!(" by {}", released.way.word().to_uppercase()) };
    format!(
        "released by {name} to {}{by} on {}, signed there by {}; it may be activated until {:.0}",
        vendor.audience,
        released.not_before.strftime("%Y-%m-%d"),
        people.join(" and "),
        released.not_after
    )
}
