//! The documents of trust as this target last saw them: they move forward only.
//!
//! Kept besides: every genuine withdrawal for ever, whatever the server says later, freezes, the highest floor of each application
//! that a genuine permit carried, and who gave the emergency permits that were found to hold here.

use crate::{
    files::{self, FileError, Place},
    freezes::Freezes,
};
use api::read::Estate;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};
use trust::{
    AppName, Digest, Version,
    authority::{
        Documents as DocumentBytes, DocumentsError, Dossier, KeptWithdrawal, Pinned, TrustedPolicy, VerifiedDocuments,
    },
    charter::CharterError,
    dsse::Envelope,
    freeze::Known,
    statement::{Act, Statement},
    vendor::Heard,
    way::KeptEmergency,
};

/// The documents in force on this target, and what it never forgets.
#[derive(Debug)]
pub struct Documents {
    folder: Place,
    pinned: Pinned,
    verified: VerifiedDocuments,
    estate: Estate,
    /// What follows from these two: it is asked for at every poll, and they change with a charter.
    policy: Arc<TrustedPolicy>,
    never_forgotten: NeverForgotten,
    freezes: Freezes,
}

/// What is kept whatever the server says later.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NeverForgotten {
    withdrawals: Vec<KeptWithdrawal>,
    /// The same as they were signed, for a server whose ledger lost them.
    #[serde(default)]
    envelopes: Vec<Envelope>,
    floors: BTreeMap<AppName, Version>,
    #[serde(default)]
    emergencies: Vec<KeptEmergency>,
    /// What was heard of vendors ([`trust::vendor::Vendor::id`]).
    #[serde(default)]
    vendors: BTreeMap<Digest, Heard>,
}

/// Why documents were not taken. Those in force stay in force.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// They do not verify, or are older than those in force.
    #[error("the estate's documents do not count: {0}")]
    Documents(#[from] DocumentsError),
    /// The charter contradicts itself.
    #[error(transparent)]
    Charter(#[from] CharterError),
    /// The server shows two charters under one version: whoever holds it, or an owner's key, deceives somebody.
    #[error("the server shows another charter under version {0}, which this target knows already")]
    Equivocation(u64),
    /// Roots went back.
    #[error("the server shows root {shown}, and this target has seen root {seen}")]
    OlderRoot {
        /// What the server shows.
        shown: u64,
        /// What was seen.
        seen: u64,
    },
    /// There are none on this target.
    #[error("this target has no estate documents: it never finished joining")]
    Absent,
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Verifies documents fetched from a server against the estate pinned, with no history of their own yet.
pub fn verify(estate: &Digest, documents: &Estate, minimum_version: u64) -> Result<VerifiedDocuments, DocumentsError> {
    let roots: Vec<Vec<u8>> = documents.roots.iter().map(|root| root.0.clone()).collect();
    let bytes = DocumentBytes { roots: &roots, targets: &documents.targets, charter: documents.charter.as_bytes() };
    VerifiedDocuments::verify(estate, &bytes, minimum_version)
}

impl Documents {
    /// Puts a first set in force, when the target joins.
    pub fn found(folder: Place, pinned: Pinned, estate: Estate) -> Result<Self, TrustError> {
        let verified = verify(&pinned.estate, &estate, 0)?;
        files::replace_json(&folder.join("documents.json"), &estate)?;
        Self::with(folder, pinned, verified, estate)
    }

    /// Reads the set in force, and verifies it anew: the disk is not trusted more than the server.
    pub fn open(folder: Place, pinned: Pinned) -> Result<Self, TrustError> {
        let estate: Estate = files::read_json(&folder.join("documents.json"))?.ok_or(TrustError::Absent)?;
        let verified = verify(&pinned.estate, &estate, 0)?;
        Self::with(folder, pinned, verified, estate)
    }

    fn with(folder: Place, pinned: Pinned, verified: VerifiedDocuments, estate: Estate) -> Result<Self, TrustError> {
        let never_forgotten = files::read_json(&folder.join("withdrawals.json"))?.unwrap_or_default();
        let freezes = Freezes::open(folder.join("freezes.json"))?;
        let policy = Arc::new(verified.policy(&estate.suspensions)?);
        Ok(Self { folder, pinned, verified, estate, policy, never_forgotten, freezes })
    }

    /// Takes a newer set, or newly signed suspensions. Returns whether anything changed.
    pub fn adopt(&mut self, mut estate: Estate) -> Result<bool, TrustError> {
        if estate == self.estate {
            // These very bytes were verified against the estate pinned before they came into force.
            return Ok(false);
        }
        let seen = self.version();
        let verified = verify(&self.pinned.estate, &estate, seen)?;
        let (shown, seen_root) = (verified.root.version(), self.verified.root.version());
        if shown < seen_root {
            return Err(TrustError::OlderRoot { shown, seen: seen_root });
        }
        if verified.targets.version() == seen {
            if estate.charter != self.estate.charter {
                return Err(TrustError::Equivocation(seen));
            }
            // Owners give powers back by a new charter alone, so within one version no suspension is forgotten.
            for suspension in &self.estate.suspensions {
                if !estate.suspensions.contains(suspension) {
                    estate.suspensions.push(suspension.clone());
                }
            }
        }
        let policy = verified.policy(&estate.suspensions)?;
        let same = estate.targets == self.estate.targets
            && estate.roots.len() == self.estate.roots.len()
            && estate.suspensions == self.estate.suspensions;
        if same {
            return Ok(false);
        }
        files::replace_json(&self.folder.join("documents.json"), &estate)?;
        (self.verified, self.estate, self.policy) = (verified, estate, Arc::new(policy));
        Ok(true)
    }

    /// The charter's version.
    pub fn version(&self) -> u64 {
        self.verified.targets.version()
    }

    /// The verified documents.
    pub fn verified(&self) -> &VerifiedDocuments {
        &self.verified
    }

    /// The documents in force, as files.
    pub fn estate(&self) -> &Estate {
        &self.estate
    }

    /// What this target knows of itself.
    pub fn pinned(&self) -> &Pinned {
        &self.pinned
    }

    /// The policy to check by.
    pub fn policy(&self) -> Arc<TrustedPolicy> {
        self.policy.clone()
    }

    /// Fails once root or charter has expired: nothing new may be activated then.
    pub fn check_expiry(&self, now: Timestamp) -> Result<(), TrustError> {
        Ok(self.verified.check_expiry(now)?)
    }

    /// How many suspensions are known.
    pub fn suspensions(&self) -> u64 {
        self.estate.suspensions.len() as u64
    }

    /// Keeps the genuine withdrawals among these, durably, before anything is decided.
    pub fn keep_withdrawals(&mut self, policy: &TrustedPolicy, envelopes: &[Envelope]) -> Result<(), TrustError> {
        let mut next = self.never_forgotten.clone();
        for envelope in envelopes {
            let is_kept = next.envelopes.iter().any(|kept| kept.payload == envelope.payload);
            // What was found genuine once stays so, though whoever signed it may have left meanwhile.
            let kept = match is_kept {
                true => KeptWithdrawal::read(envelope, &self.pinned.environment),
                false => policy.withdrawal(envelope, &self.pinned.environment).ok(),
            };
            let Some(kept) = kept else { continue };
            if !next.withdrawals.contains(&kept) {
                // It may have been kept without its digest.
                next.withdrawals.retain(|other| *other != KeptWithdrawal { payload: None, ..kept.clone() });
                next.withdrawals.push(kept);
            }
            if !is_kept {
                next.envelopes.push(envelope.clone());
            }
        }
        if next.withdrawals != self.never_forgotten.withdrawals
            || next.envelopes.len() > self.never_forgotten.envelopes.len()
        {
            self.never_forget(next)?;
        }
        Ok(())
    }

    /// The withdrawals that are kept here and are not among those `shown`.
    pub fn withdrawals_missing_in(&self, shown: &[Envelope]) -> Vec<Envelope> {
        let is_shown = |kept: &&Envelope| shown.iter().any(|shown| shown.payload == kept.payload);
        self.never_forgotten.envelopes.iter().filter(|kept| !is_shown(kept)).cloned().collect()
    }

    /// Every withdrawal ever found genuine here.
    pub fn withdrawals(&self) -> &[KeptWithdrawal] {
        &self.never_forgotten.withdrawals
    }

    /// Keeps what is genuine of what was said of freezes here, durably, before anything is decided.
    pub fn keep_freezes(
        &mut self,
        policy: &TrustedPolicy,
        envelopes: &[Envelope],
        now: Timestamp,
    ) -> Result<(), TrustError> {
        Ok(self.freezes.keep(policy, &self.pinned.environment, envelopes, now)?)
    }

    /// The freezes heard of here.
    pub fn freezes(&self) -> &[Known] {
        self.freezes.known()
    }

    /// The freezes that are on or to come, and are not among what the server has shown.
    pub fn freezes_missing_in(&self, shown: &[Envelope], now: Timestamp) -> Vec<Envelope> {
        self.freezes.missing_in(shown, now)
    }

    /// The lowest version of an application that may still be activated.
    pub fn floor(&self, app: &AppName) -> Option<&Version> {
        self.never_forgotten.floors.get(app)
    }

    /// Raises the floor to what a request says that was found to be granted: our own, the vendor's, or that of the package
    /// that brings it, whose floor is its own.
    pub fn raise_floor(&mut self, app: &AppName, dossier: &Dossier) -> Result<(), TrustError> {
        let floor = |request: &Envelope| match Statement::read(request).ok()?.act {
            Act::Request(request) => request.floor,
            _ => None,
        };
        let of_vendor = dossier.vendor.as_ref().and_then(|release| release.dossier.request.as_ref());
        // Where a package's permit was found to hold, the build's own was not looked at, and what it says is nobody's word.
        let package = dossier.package.as_ref().filter(|package| package.request.is_some());
        let own = dossier.request.as_ref().filter(|_| package.is_none());
        let of_itself = own.into_iter().chain(of_vendor).filter_map(floor).max().map(|floor| (app.clone(), floor));
        let of_package = package.and_then(|package| Some((package.app()?, floor(package.request.as_ref()?)?)));
        let mut next = self.never_forgotten.clone();
        for (app, floor) in of_itself.into_iter().chain(of_package) {
            if self.floor(&app).is_none_or(|known| *known < floor) {
                next.floors.insert(app, floor);
            }
        }
        match next.floors == self.never_forgotten.floors {
            true => Ok(()),
            false => self.never_forget(next),
        }
    }

    /// What was ever heard of the application's vendor, where it has one.
    pub fn heard(&self, policy: &TrustedPolicy, app: &AppName) -> Option<&Heard> {
        self.never_forgotten.vendors.get(&policy.charter.vendor_of(app)?.1.id())
    }

    /// Keeps what a vendor's genuine documents tell: a newer charter, and withdrawals. What is signed by somebody else, or
    /// older, is left to the checks to refuse.
    pub fn hear_vendor(&mut self, policy: &TrustedPolicy, app: &AppName, dossier: &Dossier) -> Result<(), TrustError> {
        let (Some((_, vendor)), Some(release)) = (policy.charter.vendor_of(app), &dossier.vendor) else {
            return Ok(());
        };
        let known = self.heard(policy, app).cloned().unwrap_or_default();
        let heard = match release.open(vendor, &known) {
            Ok(word) => word.heard(),
            Err(_) => return Ok(()),
        };
        if heard == known {
            return Ok(());
        }
        let mut next = self.never_forgotten.clone();
        next.vendors.insert(vendor.id(), heard);
        self.never_forget(next)
    }

    /// Every emergency permit ever found to hold here.
    pub fn emergencies(&self) -> &[KeptEmergency] {
        &self.never_forgotten.emergencies
    }

    /// Keeps who gave an emergency permit, durably, before anything is done under it.
    pub fn keep_emergency(&mut self, emergency: KeptEmergency) -> Result<(), TrustError> {
        if self.emergencies().contains(&emergency) {
            return Ok(());
        }
        let mut next = self.never_forgotten.clone();
        next.emergencies.push(emergency);
        self.never_forget(next)
    }

    fn never_forget(&mut self, next: NeverForgotten) -> Result<(), TrustError> {
        files::replace_json(&self.folder.join("withdrawals.json"), &next)?;
        self.never_forgotten = next;
        Ok(())
    }
}
