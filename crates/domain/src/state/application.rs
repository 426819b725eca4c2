//! Applications: their builds, the drafts of builds, and what is known of each.

use super::{InAudience, Stamp};
use crate::event::{BuildFacts, VendorPermit, VendorWord};
use imbl::{OrdMap, OrdSet};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};
use trust::{
    AppName, AudienceName, Digest, DraftName, PartName, PersonName, Version, authority::KeptWithdrawal, key::KeyId,
    statement::Commit, vendor::Heard,
};

/// One application.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct App {
    /// Its builds.
    pub builds: OrdMap<Digest, Build>,
    /// Its versions.
    pub versions: OrdMap<Version, Numbered>,
    /// What holds for it in each audience.
    pub audiences: OrdMap<AudienceName, InAudience>,
    /// Since when it takes nothing new.
    #[serde(default)]
    pub retired: Option<Stamp>,
    /// What was heard of its vendors ([`trust::vendor::Vendor::id`]).
    #[serde(default)]
    pub vendors: OrdMap<Digest, OfVendor>,
    /// The builds that several jobs make, until some time after the last word on them.
    #[serde(default)]
    pub drafts: OrdMap<DraftName, DraftBuild>,
    /// The packages, and their builds, that list a build of it.
    #[serde(default, skip_serializing_if = "OrdMap::is_empty")]
    pub packages: OrdMap<Digest, OrdSet<(AppName, Digest)>>,
}

/// A build that several jobs make.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DraftBuild {
    /// Its parts.
    pub parts: OrdMap<PartName, DraftPart>,
    /// What they make together, once somebody said so.
    pub sealed: Option<Digest>,
    /// The last entry about it.
    pub stamp: Stamp,
}

/// One job's part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DraftPart {
    /// Its manifest in the depot.
    pub manifest: Digest,
    /// Who pushed it.
    pub pusher: PersonName,
    /// What it was made from.
    pub commit: Option<Commit>,
    /// The entry that added it.
    pub stamp: Stamp,
}

/// A version: a number given to a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbered {
    /// The build.
    pub build: Digest,
    /// The entry that numbered it.
    pub stamp: Stamp,
}

/// One build.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Build {
    /// Who pushed it.
    pub pusher: PersonName,
    /// What it was made from.
    pub commit: Option<Commit>,
    /// By which command.
    pub recipe: Option<String>,
    /// What its manifest says.
    pub facts: Arc<BuildFacts>,
    /// The entry that pushed it.
    pub stamp: Stamp,
    /// Its number, where it has one.
    pub version: Option<Version>,
    /// What was found out about it.
    pub evidence: Vec<EvidenceRecord>,
    /// Where and since when it was verified by a whole deployment.
    pub verified_in: OrdMap<AudienceName, Timestamp>,
    /// Since when its bytes are gone.
    #[serde(default)]
    pub pruned: Option<Stamp>,
    /// The entry that brought its bytes again, after they were pruned.
    #[serde(default)]
    pub brought_again: Option<Stamp>,
    /// Who pushed the parts that it was put together from.
    #[serde(default)]
    pub makers: Vec<PersonName>,
    /// The vendor's release of it, where it came from one.
    #[serde(default)]
    pub vendor: Option<Imported>,
}

impl Build {
    /// A build as the entry at `stamp` brings it: nothing is known of it yet besides.
    pub(super) fn new(
        pusher: &PersonName,
        commit: &Option<Commit>,
        recipe: &Option<String>,
        facts: &BuildFacts,
        stamp: Stamp,
    ) -> Self {
        Self {
            pusher: pusher.clone(),
            commit: commit.clone(),
            recipe: recipe.clone(),
            facts: Arc::new(facts.clone()),
            stamp,
            version: None,
            evidence: Vec::new(),
            verified_in: OrdMap::new(),
            pruned: None,
            brought_again: None,
            makers: Vec::new(),
            vendor: None,
        }
    }
}

/// A vendor's release of a build.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Imported {
    /// Whose release it is.
    pub word: VendorWord,
    /// The vendor's permit.
    pub permit: VendorPermit,
    /// The entry that brought it.
    pub stamp: Stamp,
}

/// One piece of evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvidenceRecord {
    /// Its type.
    pub kind: String,
    /// Whether it is good.
    pub passed: bool,
    /// What it says.
    pub summary: String,
    /// The document in the depot.
    pub document: Digest,
    /// Who attached it.
    pub issuer: PersonName,
    /// By which key.
    pub key: KeyId,
    /// The entry that attached it.
    pub stamp: Stamp,
    /// The predicate type of the document.
    #[serde(default)]
    pub predicate: Option<String>,
    /// The whole numbers in it.
    #[serde(default)]
    pub facts: BTreeMap<String, i64>,
    /// When it was issued, by the issuer's clock.
    #[serde(default)]
    pub issued: Option<Timestamp>,
    /// The digest of the signed payload, by which owners may uphold it.
    #[serde(default)]
    pub payload: Option<Digest>,
}

/// What was heard of a vendor about one application.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OfVendor {
    /// The newest of the vendor's documents.
    pub word: VendorWord,
    /// Every withdrawal, with the document that told of it.
    pub withdrawals: Vec<(KeptWithdrawal, Digest)>,
    /// The lowest version that the vendor still lets us activate.
    pub floor: Option<Version>,
}

impl OfVendor {
    /// The last serial of the vendor's requests for a build that is dead, less what the vendor's owners annul.
    pub fn dead_through(&self, build: &Digest) -> u64 {
        let annulled =
            |kept: &KeptWithdrawal| kept.payload.is_some_and(|payload| self.word.annulled.contains(&payload));
        let dead = self.withdrawals.iter().filter(|(kept, _)| kept.build == *build && !annulled(kept));
        dead.map(|(kept, _)| kept.through_serial).max().unwrap_or(0)
    }

    /// What a newer word of the vendor is judged by.
    pub fn heard(&self) -> Heard {
        Heard {
            charter: self.word.charter,
            withdrawals: self.withdrawals.iter().map(|(kept, _)| kept.clone()).collect(),
        }
    }
}
