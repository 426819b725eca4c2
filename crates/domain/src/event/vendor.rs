//! What is recorded of a vendor's word and permit.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use trust::{
    AudienceName, Digest, PersonName, VendorName, Version,
    vendor::{Released, Vendor},
    way::Way,
};

/// The word of a vendor: which of its documents something was judged by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VendorWord {
    /// The vendor, as the charter called it.
    pub vendor: VendorName,
    /// The vendor's estate.
    pub estate: Digest,
    /// The audience that we are to the vendor.
    pub audience: AudienceName,
    /// The vendor's documents and statements, in the depot.
    pub document: Digest,
    /// The version of the vendor's charter in it.
    pub charter: u64,
    /// When the documents expire.
    pub expires: Timestamp,
    /// The withdrawals that the vendor's owners annul.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub annulled: Vec<Digest>,
}

impl VendorWord {
    /// Whose word it is, as the charter pins a vendor.
    pub fn of(&self) -> Vendor {
        Vendor { estate: self.estate, audience: self.audience.clone() }
    }
}

/// A vendor's permit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VendorPermit {
    /// Counts the vendor's requests for this version to us.
    pub serial: u64,
    /// From when it may be activated.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// The lowest version that the vendor still lets us activate.
    pub floor: Option<Version>,
    /// Who of the vendor's people asked for it.
    pub requester: Option<PersonName>,
    /// Who of them agreed.
    pub approvers: Vec<PersonName>,
    /// By which way.
    #[serde(default, skip_serializing_if = "Way::is_normal")]
    pub way: Way,
}

impl VendorPermit {
    /// What was found to hold.
    pub fn of(released: &Released) -> Self {
        let Released { serial, not_before, not_after, floor, way, requester, approvers, .. } = released.clone();
        Self { serial, not_before, not_after, floor, requester, approvers, way }
    }
}
