//! Roots, targets metadata and charter as files, and the policy that is verified from them.

use super::TrustedPolicy;
use crate::{
    charter::{Charter, CharterError},
    digest::Digest,
    dsse::Envelope,
    key::PublicKey,
    names::PersonName,
};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// The trust documents as files: every root from the first, the targets metadata, the charter.
#[derive(Clone, Debug)]
pub struct Documents<'a> {
    /// All roots from the first, in order.
    pub roots: &'a [Vec<u8>],
    /// The targets metadata.
    pub targets: &'a [u8],
    /// The charter.
    pub charter: &'a [u8],
}

/// Why trust documents are not acceptable.
#[derive(Debug, thiserror::Error)]
pub enum DocumentsError {
    /// No root was given.
    #[error("no root was given")]
    NoRoot,
    /// A root or the targets metadata does not verify.
    #[error(transparent)]
    Tuf(#[from] crate::tuf::TufError),
    /// The charter is not the one the owners signed.
    #[error("the charter is not the one the owners signed for: {0}")]
    OtherCharter(&'static str),
    /// The charter contradicts itself.
    #[error(transparent)]
    Charter(#[from] CharterError),
}

/// A policy together with the metadata it was verified from.
#[derive(Clone, Debug)]
pub struct VerifiedDocuments {
    /// The newest root.
    pub root: crate::tuf::Root,
    /// The targets metadata.
    pub targets: crate::tuf::Targets,
    /// The charter.
    pub charter: Charter,
    /// The owners and their keys.
    pub owners: Vec<(PersonName, PublicKey)>,
}

impl VerifiedDocuments {
    /// Walks the roots from the pinned first one, then checks the targets metadata (no older than `minimum_version`)
    /// and the charter against it. Expiry is not looked at: see [`Self::check_expiry`].
    pub fn verify(estate: &Digest, documents: &Documents<'_>, minimum_version: u64) -> Result<Self, DocumentsError> {
        let (first, later) = documents.roots.split_first().ok_or(DocumentsError::NoRoot)?;
        let root = crate::tuf::walk(crate::tuf::Root::pinned(first, estate)?, later)?;
        // The place of the timestamp and snapshot checks (TUF 5.4 and 5.5) is here.
        let targets = crate::tuf::Targets::verify(documents.targets, &root, minimum_version)?;
        let listed = targets.target(crate::charter::CHARTER_TARGET);
        let (length, digest) = listed.ok_or(DocumentsError::OtherCharter("the targets metadata lists none"))?;
        if documents.charter.len() as u64 != length || Digest::of(documents.charter) != digest {
            return Err(DocumentsError::OtherCharter("its length or digest differs"));
        }
        let charter = Charter::from_bytes(documents.charter)?;
        let owners = root.owners();
        charter.directory(&owners, &BTreeSet::new())?;
        Ok(Self { root, targets, charter, owners })
    }

    /// Fails once the root or the targets metadata has expired: nothing may be activated then.
    pub fn check_expiry(&self, now: Timestamp) -> Result<(), DocumentsError> {
        self.root.check_expiry(now)?;
        Ok(self.targets.check_expiry(now)?)
    }

    /// The policy for checks, with genuine suspensions taken into account.
    pub fn policy(&self, suspensions: &[Envelope]) -> Result<TrustedPolicy, CharterError> {
        let estate = self.root.estate();
        TrustedPolicy::new(estate, self.targets.version(), self.charter.clone(), &self.owners, suspensions)
    }
}
