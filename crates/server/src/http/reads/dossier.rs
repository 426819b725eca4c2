//! The signed statements behind a version, as they stand in the ledger and the depot.

use crate::{
    answers::Served,
    http::{
        Shared,
        extract::Asked,
        failure::{Failure, away},
        sessions::KnownPerson,
    },
    ledger::{Ledger, LedgerError},
    views::{
        self,
        dossier::{DossierEntries, PackageEntries, VendorEntries},
    },
};
use api::{problem::Problem, read::DossierView, routes, write::Text};
use axum::{Json, extract::State};
use depot::DiskStore;
use domain::rules::names;
use serde::Deserialize;
use trust::{
    AppName, AudienceName, Digest, Version,
    authority::{Dossier, PackageDossier},
    dsse::Envelope,
    manifest::MAX_PACKAGE_BYTES,
    statement::{Act, Statement},
    vendor::{MAX_RELEASE_BYTES, Release},
};
use utoipa::IntoParams;

/// A version or build in an audience.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct DossierQuery {
    /// The application.
    #[param(value_type = String)]
    app: AppName,
    /// The version; or the build.
    #[param(value_type = Option<String>)]
    version: Option<Version>,
    /// The build; or the version.
    #[param(value_type = Option<String>)]
    build: Option<Digest>,
    /// The environment or channel.
    #[param(value_type = String)]
    audience: AudienceName,
}

/// Every signed statement behind a version in an audience.
#[utoipa::path(
    get, path = routes::DOSSIER, params(DossierQuery),
    responses((status = 200, body = DossierView), (status = "4XX", body = Problem)),
)]
pub(crate) async fn dossier(
    State(serving): State<Shared>,
    _: KnownPerson,
    Asked(query): Asked<DossierQuery>,
) -> Result<Json<DossierView>, Failure> {
    let DossierQuery { app, version, build, audience } = query;
    let state = serving.ledger.state();
    let build = match (version, build) {
        (Some(version), None) => names::version(&state, &app, &version)?.0,
        (None, Some(build)) => build,
        _ => return Err(Failure::malformed("give either version or build")),
    };
    let (entries, next_serial, since) = views::dossier::for_people(&state, &app, &build, &audience)?;
    let name = views::build_name(&state, &app, &build);
    let barred = views::dossier::barred(&state, &app, &build, &audience).into_iter().map(Problem::from).collect();
    let packages = views::packages::asked_for(&state, &app, &build, &audience);
    let makers = views::packages::makers(&state, &build);
    let mut requests = views::dossier::requests(&state, &app, &build, &audience);
    let reason = requests.pop().and_then(|request| request.reason);
    let earlier: Vec<u64> = requests.iter().map(|request| request.stamp.entry).collect();
    let assembled = away(move || {
        let reason = reason.map(|digest| serving.ledger.salted_text(&digest)).transpose()?.flatten();
        let dossier = dossier_of(&serving.served(), &entries)?;
        let withdrawal_reasons = reasons(&serving.ledger, &dossier.withdrawals)?;
        let earlier_requests = envelopes(&serving.ledger, &earlier)?;
        Ok(DossierView {
            name,
            dossier,
            next_serial,
            since,
            earlier_requests,
            reason,
            withdrawal_reasons,
            barred,
            packages,
            makers,
        })
    });
    Ok(Json(assembled.await?))
}

/// Why what these envelopes withdraw was withdrawn, as far as it was said and not erased.
fn reasons(ledger: &Ledger, withdrawals: &[Envelope]) -> Result<Vec<Text>, LedgerError> {
    let digest = |envelope: &Envelope| match Statement::read(envelope).ok()?.act {
        Act::Withdrawal(withdrawal) => withdrawal.reason,
        _ => None,
    };
    let found = withdrawals.iter().filter_map(digest).map(|digest| ledger.salted_text(&digest));
    Ok(found.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// The envelopes in these entries of the ledger, with the vendor's release where there is one.
pub(crate) fn dossier_of(served: &Served<'_>, entries: &DossierEntries) -> Result<Dossier, Failure> {
    let vendor = entries.vendor.as_ref().map(|vendor| release_of(served.depot, vendor)).transpose()?;
    let package = entries.package.as_ref().map(|package| package_of(served, package)).transpose()?;
    Ok(Dossier { vendor, package, ..statements_of(served.ledger, entries)? })
}

/// A package's manifest with the envelopes behind it.
fn package_of(served: &Served<'_>, entries: &PackageEntries) -> Result<PackageDossier, Failure> {
    let manifest = served.depot.read_bytes(&entries.manifest, MAX_PACKAGE_BYTES as u64)?;
    let manifest = String::from_utf8(manifest).map_err(|_| Failure::invalid("the package's manifest is no text"))?;
    let of = DossierEntries {
        push: entries.push,
        number: entries.number,
        request: entries.request,
        approvals: entries.approvals.clone(),
        ..DossierEntries::default()
    };
    let Dossier { push, number, request, approvals, .. } = statements_of(served.ledger, &of)?;
    Ok(PackageDossier { manifest, push, number, request, approvals })
}

/// The envelopes in these entries of the ledger.
pub(crate) fn statements_of(ledger: &Ledger, entries: &DossierEntries) -> Result<Dossier, LedgerError> {
    let one = |entry: Option<u64>| match entry {
        Some(entry) => ledger.envelope(entry),
        None => Ok(None),
    };
    let many = |entries: &[u64]| envelopes(ledger, entries);
    Ok(Dossier {
        push: one(entries.push)?,
        number: one(entries.number)?,
        request: one(entries.request)?,
        approvals: many(&entries.approvals)?,
        order: one(entries.order)?,
        config: one(entries.config)?,
        evidence: many(&entries.evidence)?,
        withdrawals: many(&entries.withdrawals)?,
        vendor: None,
        package: None,
        freezes: many(&entries.freezes)?,
    })
}

/// A vendor's release with the newest that is known of the vendor, whichever bundle brought it.
fn release_of(depot: &DiskStore, entries: &VendorEntries) -> Result<Release, Failure> {
    let read = |digest: &Digest| {
        let bytes = depot.read_bytes(digest, MAX_RELEASE_BYTES as u64)?;
        Release::from_bytes(&bytes).map_err(|error| Failure::invalid(error.to_string()))
    };
    let mut release = read(&entries.release)?;
    if entries.newest != entries.release {
        let Release { roots, targets, charter, suspensions, .. } = read(&entries.newest)?;
        release = Release { roots, targets, charter, suspensions, ..release };
    }
    for document in entries.withdrawals.iter().filter(|document| **document != entries.release) {
        let told = read(document)?.dossier.withdrawals;
        let new = told.into_iter().filter(|one| !release.dossier.withdrawals.contains(one)).collect::<Vec<_>>();
        release.dossier.withdrawals.extend(new);
    }
    Ok(release)
}

/// The envelopes in these entries of the ledger, in order.
pub(super) fn envelopes(ledger: &Ledger, entries: &[u64]) -> Result<Vec<Envelope>, LedgerError> {
    let envelopes: Result<Vec<_>, LedgerError> = entries.iter().map(|entry| ledger.envelope(*entry)).collect();
    Ok(envelopes?.into_iter().flatten().collect())
}
