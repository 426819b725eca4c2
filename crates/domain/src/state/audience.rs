//! What holds for an application in an audience: requests and permits, withdrawals, config, what is kept out.

use super::Stamp;
use imbl::{OrdMap, OrdSet};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use trust::{AppName, AudienceName, Digest, PersonName, TargetName, Version, key::KeyId, quorum::Rule, way::Way};

/// What holds for one application in one audience.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InAudience {
    /// The requests of each version, in the order of their serials.
    pub requests: OrdMap<Version, Vec<Digest>>,
    /// All withdrawals, in the order in which they came, those too that owners annul.
    pub withdrawals: Vec<Withdrawal>,
    /// For each version, the last serial that is dead: what owners annul kills nothing.
    pub dead_through: OrdMap<Version, u64>,
    /// The lowest version that may still be activated.
    pub floor: Option<Version>,
    /// The config in force.
    pub config: Option<ConfigInForce>,
    /// The documents of all sets so far, by their serials: what runs may run with an earlier one.
    #[serde(default)]
    pub config_sets: OrdMap<u64, Digest>,
    /// The builds that are kept out.
    pub held: OrdMap<Digest, Hold>,
    /// The builds that failed here when they were last brought, and in which deployment.
    pub failed: OrdMap<Digest, u64>,
    /// The builds that a target here has verified, whatever became of them since; and the packages that came here, which
    /// have nothing of their own that a target could verify.
    #[serde(default)]
    pub ran: OrdSet<Digest>,
    /// The builds that settled here, oldest first, the newest last; each stands once.
    pub settled: Vec<Digest>,
    /// Those of them that settled on some targets only.
    #[serde(default)]
    pub settled_in_part: OrdSet<Digest>,
    /// The deployment that is under way: it has begun, or goes back.
    pub open_deployment: Option<u64>,
    /// The order that stands and has not begun, and whose place a newer one takes; those that are planned have none.
    #[serde(default)]
    pub queued: Option<u64>,
    /// The deployment that stands: what everything here is to run that the build is for.
    #[serde(default)]
    pub standing: Option<u64>,
    /// What was done to the application's data here.
    #[serde(default)]
    pub data: DataHere,
    /// To whom each version was handed, and when first.
    #[serde(default)]
    pub delivered: OrdMap<Version, OrdMap<PersonName, Stamp>>,
    /// Which version end users see, how many of them in percent, and since when.
    pub exposure: Option<(Version, u8, Stamp)>,
}

/// What was done to an application's data in an environment: what must be known when an earlier build is to return,
/// however long ago that was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DataHere {
    /// What changed it, or may have, and was not taken back: oldest first.
    pub changes: Vec<DataChange>,
    /// The builds whose change of it was taken back and not made since.
    #[serde(default)]
    pub taken_back: OrdSet<Digest>,
    /// The builds that ran well here.
    pub ran: OrdMap<Digest, Ran>,
}

/// A change of the data by the migration of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataChange {
    /// The entry with which it began.
    pub entry: u64,
    /// The deployment.
    pub deployment: u64,
    /// The build whose migration it is.
    pub build: Digest,
}

/// When a build ran well somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ran {
    /// The entry with the end of the last deployment that brought it.
    pub last: u64,
    /// That of the one before: what soaks may be taken back, and then it did not run well.
    pub before: Option<u64>,
}

/// Why a build is kept out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Since which entry.
    pub stamp: Stamp,
    /// The deployment in which it failed, or that went back from it; not known of the oldest entries.
    pub deployment: Option<u64>,
}

/// One withdrawal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    /// The entry that made it.
    pub stamp: Stamp,
    /// The version.
    pub version: Version,
    /// The last serial that it kills.
    pub through_serial: u64,
    /// The digest of the signed payload, by which owners may annul it; not known of the oldest entries.
    pub payload: Option<Digest>,
    /// The salted digest of why.
    #[serde(default)]
    pub reason: Option<Digest>,
}

/// The config in force for an application in an environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfigInForce {
    /// Counts the sets.
    pub serial: u64,
    /// The document in the depot.
    pub document: Digest,
    /// Its keys, and whether each is a secret.
    pub keys: BTreeMap<String, bool>,
    /// Who can decrypt its secrets.
    pub recipients: BTreeSet<TargetName>,
    /// The entry that set it.
    pub stamp: Stamp,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Its identity: the digest of the signed payload.
    pub digest: Digest,
    /// The application.
    pub app: AppName,
    /// The version.
    pub version: Version,
    /// The build.
    pub build: Digest,
    /// To whom.
    pub audience: AudienceName,
    /// Counts the requests for this version to this audience.
    pub serial: u64,
    /// The rule it names.
    pub requires: Rule,
    /// From when the permit holds.
    pub not_before: Timestamp,
    /// Until when it may be activated.
    pub not_after: Timestamp,
    /// The floor it brings.
    pub floor: Option<Version>,
    /// Who wishes it.
    pub requester: PersonName,
    /// The entry that made it.
    pub stamp: Stamp,
    /// Who said yes.
    pub approvals: Vec<Approved>,
    /// Where it stands.
    pub standing: Standing,
    /// Since when it has been a permit, whether or not it was withdrawn since.
    #[serde(default)]
    pub granted: Option<Stamp>,
    /// By which way it was asked for.
    #[serde(default)]
    pub way: Way,
    /// The salted digest of the reason.
    #[serde(default)]
    pub reason: Option<Digest>,
    /// Who looked at it afterwards, where it was an emergency, and in which entry.
    #[serde(default)]
    pub reviewed: Option<(PersonName, Stamp)>,
}

/// One person's yes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Approved {
    /// Who.
    pub approver: PersonName,
    /// By which key.
    pub key: KeyId,
    /// The entry that holds it.
    pub stamp: Stamp,
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It lacks approvals.
    Waiting,
    /// It is a permit.
    Granted(Stamp),
    /// It is dead, unless owners annul the withdrawal.
    Withdrawn(Stamp),
}
