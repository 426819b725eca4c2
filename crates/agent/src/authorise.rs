//! The checks before anything is touched, on bytes alone: no network takes part, so a hostile server can be played.

use crate::{
    documents::{Documents, TrustError},
    journal::Journal,
};
use domain::plan::Assignment;
use jiff::Timestamp;
use trust::{
    authority::{self, CarriedOut, Denial, Dossier, Freshness, PackageDossier, VerifiedAuthority, Wanted},
    config::ConfigDocument,
    manifest::{Driver, Manifest},
};

/// A no of this target's own, with its stable code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// The code, as the report carries it.
    pub code: String,
    /// Why, in a line.
    pub reason: String,
}

impl Refusal {
    /// A refusal with this code and reason.
    pub fn new(code: &str, reason: impl Into<String>) -> Self {
        Self { code: code.into(), reason: reason.into() }
    }
}

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        Self::new(denial.code(), denial.to_string())
    }
}

impl From<TrustError> for Refusal {
    fn from(error: TrustError) -> Self {
        Self::new("DOCUMENTS_UNFIT", error.to_string())
    }
}

/// Goes through everything that is signed. Withdrawals and freezes in the dossier are kept first, whatever comes of it.
pub fn authorise(
    documents: &mut Documents,
    assignment: &Assignment,
    dossier: &Dossier,
    journal: &Journal,
    freshness: Freshness,
    now: Timestamp,
) -> Result<VerifiedAuthority, Refusal> {
    let policy = documents.policy();
    documents.keep_withdrawals(&policy, &dossier.withdrawals)?;
    documents.hear_vendor(&policy, &assignment.app, dossier)?;
    documents.keep_freezes(&policy, &dossier.freezes, now)?;
    let pinned = documents.pinned().clone();
    if assignment.environment != pinned.environment {
        let reason = format!("it is for {}, and this target is in {}", assignment.environment, pinned.environment);
        return Err(Refusal::new("OTHER_ENVIRONMENT", reason));
    }
    let performed = journal.performed_before(assignment);
    let package = dossier.package.as_ref().and_then(PackageDossier::app);
    let wanted = Wanted {
        app: &assignment.app,
        build: assignment.build,
        act: assignment.act,
        settled: &journal.settled,
        // While a deployment is under way, what it acts on is what ran when it began.
        active: match &journal.under_way {
            Some(under_way) => under_way.before.as_ref().map(|active| active.build),
            None => journal.active.as_ref().map(|active| active.build),
        },
        carried_out: CarriedOut {
            performed: &performed,
            begun: journal.begun(assignment),
            newest: journal.newest_order,
        },
        emergencies: documents.emergencies(),
        heard: documents.heard(&policy, &assignment.app),
        package_floor: package.as_ref().and_then(|package| documents.floor(package)),
        freezes: documents.freezes(),
        freshness,
    };
    let authority = authority::authorise(
        &policy,
        &pinned,
        dossier,
        &wanted,
        documents.withdrawals(),
        documents.floor(&assignment.app),
        now,
    )?;
    // Expired documents stop what is new; stopping, restarting and removing what is here stays possible.
    if authority.activates() {
        documents.check_expiry(now).map_err(|error| Refusal::new("DOCUMENTS_EXPIRED", error.to_string()))?;
    }
    if let Some(emergency) = authority.emergency() {
        documents.keep_emergency(emergency)?;
    }
    if matches!(authority, VerifiedAuthority::Permit(_) | VerifiedAuthority::BreakGlass(_)) {
        documents.raise_floor(&assignment.app, dossier)?;
    }
    Ok(authority)
}

/// Reads a build's manifest, which must be the one that was authorised and something that can be installed.
pub fn check_manifest(authority: &VerifiedAuthority, bytes: &[u8]) -> Result<Manifest, Refusal> {
    let manifest = authority::check_manifest(authority, bytes)?;
    if manifest.driver() == Driver::Package {
        return Err(Refusal::new(
            "NOTHING_TO_INSTALL",
            "the build is a package: its members are installed, and it is not",
        ));
    }
    if manifest.driver() == Driver::Checkpoint {
        return Err(Refusal::new("NOTHING_TO_INSTALL", "the build is a checkpoint: there is nothing to install"));
    }
    Ok(manifest)
}

/// Reads the config set for a build: the document and its serial, or nothing where none was ever set.
pub fn check_config(
    documents: &Documents,
    manifest: &Manifest,
    dossier: &Dossier,
    document: Option<&[u8]>,
    last_serial: u64,
) -> Result<(u64, Option<ConfigDocument>), Refusal> {
    let policy = documents.policy();
    let envelope = dossier.config.as_ref();
    Ok(authority::check_config(&policy, documents.pinned(), manifest, envelope, document, last_serial)?)
}
