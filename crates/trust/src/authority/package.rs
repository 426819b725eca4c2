//! The package behind a dossier: who pushed it, and that it lists the build that is wanted. A member runs by its own permit,
//! or by that of a package that lists just its version and its bytes.

use super::{Denial, Dossier, TrustedPolicy, granted};
use crate::{
    digest::Digest,
    dsse::Envelope,
    manifest::{Manifest, ManifestError},
    names::AppName,
    version::Version,
};
use serde::{Deserialize, Serialize};

/// What is wrong when a package is wrong.
pub(super) const WHAT: &str = "package";

/// A package and the signed statements behind it. Its withdrawals stand with those of the build. Nothing in it is trusted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageDossier {
    /// Its manifest, as it was digested.
    pub manifest: String,
    /// Who pushed it.
    pub push: Option<Envelope>,
    /// Who numbered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<Envelope>,
    /// The request that it be released, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Envelope>,
    /// The approvals of that request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<Envelope>,
}

impl PackageDossier {
    /// Its manifest, which must be a package's.
    pub fn open(&self) -> Result<Manifest, ManifestError> {
        Manifest::of_package(self.manifest.as_bytes())
    }

    /// The application that it is, by the manifest's own word.
    pub fn app(&self) -> Option<AppName> {
        self.open().ok().map(|manifest| manifest.app)
    }
}

impl Dossier {
    /// Whether it shows a request: for the build itself, or for the package that brings it.
    pub(super) fn is_asked_for(&self) -> bool {
        self.request.is_some() || self.package.as_ref().is_some_and(|package| package.request.is_some())
    }
}

/// A package that lists a build.
pub(super) struct Listing {
    /// The package's application.
    pub app: AppName,
    /// The package's own digest.
    pub build: Digest,
    /// The version that it says the build is.
    pub version: Version,
}

/// The package in the dossier, where there is one: pushed by one who may, and listing just this build of `app`.
pub(super) fn listing(
    policy: &TrustedPolicy,
    app: &AppName,
    build: Digest,
    dossier: &Dossier,
) -> Result<Option<Listing>, Denial> {
    let Some(package) = &dossier.package else { return Ok(None) };
    let invalid = |why: String| Denial::Invalid { what: WHAT, why };
    let manifest = package.open().map_err(|error| invalid(error.to_string()))?;
    let digest = Digest::of(package.manifest.as_bytes());
    granted::pushed(policy, &manifest.app, digest, package.push.as_ref())?;
    match manifest.run.package.get(app) {
        Some(member) if member.build == build => {
            Ok(Some(Listing { app: manifest.app, build: digest, version: member.version.clone() }))
        }
        Some(member) => Err(invalid(format!(
            "{} lists {app}#{}, and not {app}#{}",
            manifest.app,
            member.build.short(),
            build.short()
        ))),
        None => Err(invalid(format!("{} does not list {app}", manifest.app))),
    }
}
