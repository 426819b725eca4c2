//! What is so now: a fold of the ledger, held in persistent maps so that a copy costs almost nothing.

use crate::{
    event::{BuildFacts, Departure, Ending, Event, Migration, RingOf, RootFacts, VendorPermit, VendorWord},
    planned::Planned,
};
use imbl::{OrdMap, OrdSet, Vector};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::BTreeMap, sync::Arc};
use trust::{
    AppName, AudienceName, Digest, DraftName, PartName, PersonName, TargetName, TokenName, Version,
    authority::KeptWithdrawal,
    charter::{Charter, CharterError},
    freeze::Known,
    key::{KeyId, PublicKey},
    quorum::{Directory, Rule},
    rollout::Rollout,
    schedule::Schedule,
    statement::{Commit, Facts, Finding, OrderAct},
    vendor::Heard,
    way::Way,
};

mod apply;
mod parts;
mod serving;
pub use apply::apply;
pub use parts::{Aside, Part, Parts, Progress};
pub use serving::counted_anew;

/// Where in the ledger something stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// The entry's number, from 1.
    pub entry: u64,
    /// The entry's time.
    pub time: Timestamp,
}

/// What is so now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The last entry folded in.
    pub head: Stamp,
    /// The charter in force, absent before an owner brings one.
    pub policy: Option<Arc<Policy>>,
    /// People without powers until a new charter.
    pub suspended: OrdSet<PersonName>,
    /// The recovery keys that were put away.
    pub recovery_put_away: OrdSet<KeyId>,
    /// The entries of the suspensions in force, for targets to read.
    pub suspension_entries: Vec<u64>,
    /// What is known of people besides the charter, by handle.
    #[serde(default)]
    pub people: OrdMap<PersonName, Handle>,
    /// The applications.
    pub apps: OrdMap<AppName, App>,
    /// The requests by the digest of their signed payload.
    pub requests: OrdMap<Digest, Request>,
    /// Invitations by their key.
    pub invitations: OrdMap<KeyId, Invitation>,
    /// The targets, retired ones too: names are for ever.
    pub targets: OrdMap<TargetName, Target>,
    /// The targets whose time comes to an end, by the charter in force.
    #[serde(default)]
    pub disposable: OrdSet<TargetName>,
    /// The targets that come and go.
    #[serde(default)]
    pub ephemeral: OrdSet<TargetName>,
    /// Whose target key is whose.
    pub target_keys: OrdMap<KeyId, TargetName>,
    /// The read-only tokens by the digest of their secret, until some time after their end.
    #[serde(default)]
    pub tokens: OrdMap<Digest, Token>,
    /// The deployments: open ones, and the last closed ones.
    pub deployments: OrdMap<u64, Deployment>,
    /// The numbers of the open ones.
    pub open_deployments: OrdSet<u64>,
    /// The numbers of those that succeeded, whose targets all still run what they brought, and that have not settled yet.
    #[serde(default)]
    pub soaking: OrdSet<u64>,
    /// The numbers of those that stand: what everything in an environment is to run that the build is for.
    #[serde(default)]
    pub standing: OrdSet<u64>,
    /// The targets that may have missed what stands in their environment.
    #[serde(default)]
    pub late: OrdSet<(TargetName, AppName)>,
    /// The number the next deployment gets, less one.
    pub last_deployment: u64,
    /// The emergency permits that nobody has reviewed, by the digest of their request.
    #[serde(default)]
    pub unreviewed: OrdSet<Digest>,
    /// The reports that receipts brought: each is taken once.
    #[serde(default)]
    pub carried_reports: OrdSet<Digest>,
    /// The freezes by the digest of their declaration, until some time after their end.
    #[serde(default)]
    pub freezes: OrdMap<Digest, Freeze>,
    /// The number the next freeze gets, less one.
    #[serde(default)]
    pub last_freeze: u64,
}

/// A freeze as the ledger tells of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Freeze {
    /// Its number.
    pub number: u64,
    /// What it says, and what was said of it since: what targets know of it too.
    pub known: Known,
    /// Who declared it.
    pub by: PersonName,
    /// The entry that declared it.
    pub stamp: Stamp,
    /// The versions that pass.
    pub exceptions: Vec<Excepted>,
    /// Who lifted it, in which entry.
    pub lifted: Option<(PersonName, Stamp)>,
}

/// A version that passes a freeze.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Excepted {
    /// The application.
    pub app: AppName,
    /// The version.
    pub version: Version,
    /// The build.
    pub build: Digest,
    /// The salted digest of the reason.
    pub reason: Digest,
    /// Who excepts it.
    pub by: PersonName,
    /// The entry that says so.
    pub stamp: Stamp,
}

impl Freeze {
    /// Since when it stops nothing any more, if it does not.
    pub fn is_over(&self, now: Timestamp) -> Option<Timestamp> {
        let until = self.known.terms.until;
        let lifted = self.lifted.as_ref().map(|(_, stamp)| stamp.time);
        lifted.or((until <= now).then_some(until))
    }

    /// The entries in which something is said of it.
    pub fn entries(&self) -> impl Iterator<Item = u64> + '_ {
        let excepted = self.exceptions.iter().map(|excepted| excepted.stamp.entry);
        [self.stamp.entry].into_iter().chain(excepted).chain(self.lifted.iter().map(|(_, stamp)| stamp.entry))
    }
}

/// A token that reads as its holder does, and does nothing else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Token {
    /// Whose it is.
    pub holder: PersonName,
    /// What it is for.
    pub name: TokenName,
    /// Until when it is good.
    pub expires: Timestamp,
}

impl State {
    /// A handle as it is shown: that of an erased person is replaced.
    pub fn shown(&self, person: &PersonName) -> PersonName {
        let erased = self.people.get(person).and_then(|known| known.erased);
        let alias = erased.and_then(|stamp| PersonName::new(&format!("erased-{}", stamp.entry)).ok());
        alias.unwrap_or_else(|| person.clone())
    }
}

/// What is known of the person behind a handle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handle {
    /// The salted digest of the name, in the side table.
    pub name: Option<Digest>,
    /// When the person was erased.
    pub erased: Option<Stamp>,
}

/// The charter in force and everything derived from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "PolicyRecord", into = "PolicyRecord")]
pub struct Policy {
    /// What it is made from.
    pub record: PolicyRecord,
    /// The charter, parsed.
    pub charter: Charter,
    /// Whose key is whose, robots included, suspended people left out.
    pub directory: Directory,
    /// Whose signatures count as approvals.
    pub approvers: Directory,
    /// Whose key is whose among the customers, who stand apart.
    pub customers: Directory,
}

/// The parts of a policy that are stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyRecord {
    /// The estate: the digest of root 1.
    pub estate: Digest,
    /// The root's version.
    pub root_version: u64,
    /// The owners and their keys.
    pub owners: Vec<(PersonName, PublicKey)>,
    /// The charter's version.
    pub version: u64,
    /// The charter's text.
    pub charter: String,
    /// All roots from the first, as digests of files in the depot.
    pub roots: Vec<Digest>,
    /// The targets metadata in the depot.
    pub targets: Digest,
    /// Who is suspended under it.
    pub suspended: std::collections::BTreeSet<PersonName>,
    /// What else the owners signed.
    pub facts: RootFacts,
}

impl TryFrom<PolicyRecord> for Policy {
    type Error = CharterError;
    fn try_from(record: PolicyRecord) -> Result<Self, CharterError> {
        let charter = Charter::from_bytes(record.charter.as_bytes())?;
        let directory = charter.directory(&record.owners, &record.suspended)?;
        let approvers = charter.approvers(&record.owners, &record.suspended)?;
        let customers = charter.customers(&record.suspended)?;
        Ok(Self { record, charter, directory, approvers, customers })
    }
}

impl Policy {
    /// Whose key this is: a person's or robot's of the charter, an owner's, or one that may sign the next root and
    /// nothing else. Somebody suspended has none but those that stand in the root of trust, which any one owner could
    /// otherwise shut out: they read, and bring what owners signed together. They hold no role.
    pub fn holder(&self, id: &KeyId) -> Option<(&PersonName, PublicKey)> {
        if let (Some(person), Some(key)) = (self.directory.person(id), self.directory.key(id)) {
            return Some((person, key));
        }
        let mut holders = self.record.owners.iter().chain(&self.record.facts.root_holders);
        holders.find(|(_, key)| key.id() == *id).map(|(person, key)| (person, *key))
    }

    /// Whether this is an owner's key, suspended or not.
    pub fn is_owners(&self, id: &KeyId) -> bool {
        self.record.owners.iter().any(|(_, key)| key.id() == *id)
    }

    /// The customer whose key this is, and who is not suspended.
    pub fn customer(&self, id: &KeyId) -> Option<(&PersonName, PublicKey)> {
        Some((self.customers.person(id)?, self.customers.key(id)?))
    }

    /// The keys that may sign the next root and nothing else: they are for when the owners' are lost.
    pub fn recovery_keys(&self) -> impl Iterator<Item = &(PersonName, PublicKey)> {
        let is_owner = |key: &PublicKey| self.record.owners.iter().any(|(_, owner)| owner == key);
        self.record.facts.root_holders.iter().filter(move |(_, key)| !is_owner(key))
    }

    /// Whose key is whose for the statement of this name: what owners uphold is in it.
    pub fn directory_of(&self, statement: &Digest) -> Cow<'_, Directory> {
        self.charter.directory_of(&self.directory, &self.record.suspended, statement)
    }

    /// Whose signatures count as approvals of this request: what owners uphold for it is in it.
    pub fn approvers_of(&self, request: &Digest) -> Cow<'_, Directory> {
        self.charter.approvers_of(&self.approvers, &self.record.suspended, request)
    }
}

impl From<Policy> for PolicyRecord {
    fn from(policy: Policy) -> Self {
        policy.record
    }
}

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

impl Build {
    /// A build as the entry at `stamp` brings it: nothing is known of it yet besides.
    fn new(
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
    /// The builds that are kept out.
    pub held: OrdMap<Digest, Hold>,
    /// The builds that failed here when they were last brought, and in which deployment.
    pub failed: OrdMap<Digest, u64>,
    /// The builds that settled here, oldest first, the newest last; each stands once.
    pub settled: Vec<Digest>,
    /// The open deployment.
    pub open_deployment: Option<u64>,
    /// The deployment that stands: what everything here is to run that the build is for.
    #[serde(default)]
    pub standing: Option<u64>,
    /// To whom each version was handed, and when first.
    #[serde(default)]
    pub delivered: OrdMap<Version, OrdMap<PersonName, Stamp>>,
    /// Which version end users see, how many of them in percent, and since when.
    pub exposure: Option<(Version, u8, Stamp)>,
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
    pub recipients: std::collections::BTreeSet<TargetName>,
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

/// An invitation for machines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Invitation {
    /// Where.
    pub environment: AudienceName,
    /// The labels they get.
    pub labels: BTreeMap<String, String>,
    /// The only name they may take.
    pub name: Option<TargetName>,
    /// How many may still join.
    pub uses_left: u32,
    /// Until when.
    pub expires: Timestamp,
    /// The entry that holds it.
    pub stamp: Stamp,
    /// Whether they come and go.
    #[serde(default)]
    pub ephemeral: bool,
}

/// One target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Where it is.
    pub environment: AudienceName,
    /// Its key.
    pub key: PublicKey,
    /// The age recipient for its secrets.
    pub recipient: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What it is.
    pub facts: Facts,
    /// Whether new deployments stay away.
    pub cordoned: bool,
    /// Whether it left for good.
    pub retired: bool,
    /// The entry that enrolled it.
    pub stamp: Stamp,
    /// What it was assigned and what it runs, by application.
    pub apps: OrdMap<AppName, OnTarget>,
    /// What is wrong there.
    pub findings: Vec<Finding>,
    /// The entry with the inventory that says so.
    #[serde(default)]
    pub inventory: Option<u64>,
    /// Whether it comes and goes: it counts in no minimum, and its silence is no failure.
    #[serde(default)]
    pub ephemeral: bool,
    /// Why it left by itself, where it did, and in which entry.
    #[serde(default)]
    pub departed: Option<(Departure, Stamp)>,
}

/// One application on one target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OnTarget {
    /// What it should do, by its newest assignment.
    pub assigned: Option<Assigned>,
    /// What it said it runs.
    pub running: Option<Running>,
}

/// An assignment as the state holds it: immutable, numbered by generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assigned {
    /// The number of the entry that made it: it only grows.
    pub generation: u64,
    /// The deployment it belongs to.
    pub deployment: u64,
    /// Whether it takes the deployment back.
    pub undo: bool,
    /// Whether the target has reported how it ended, or was given up on.
    pub finished: bool,
    /// Whether it was given up on: what it says later is heard all the same.
    #[serde(default)]
    pub given_up: bool,
    /// The entry with the order it is by; the deployment's own where absent.
    #[serde(default)]
    pub order: Option<u64>,
}

/// What a target said it runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Running {
    /// The build.
    pub build: Digest,
    /// Since when.
    pub since: Timestamp,
    /// By which deployment.
    pub deployment: u64,
    /// The serial of its config.
    pub config_serial: u64,
    /// Where its processes listen.
    pub endpoints: Vec<String>,
    /// Whether it was stopped by an order.
    pub stopped: bool,
    /// What is wrong with it, where it is not as well as it was when it was verified.
    #[serde(default)]
    pub unwell: Option<Unwell>,
}

impl Running {
    /// Whether people are served by it: it was not stopped, and it is well.
    pub fn serves(&self) -> bool {
        !self.stopped && self.unwell.is_none()
    }
}

/// That something that runs is not well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unwell {
    /// Since when that is known.
    pub since: Timestamp,
    /// What is wrong.
    pub reason: String,
}

/// One deployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    /// The application.
    pub app: AppName,
    /// Where.
    pub environment: AudienceName,
    /// What is to be done.
    pub act: OrderAct,
    /// The build it brings or acts on.
    pub build: Digest,
    /// Its version.
    pub version: Option<Version>,
    /// Who ordered it.
    pub deployer: PersonName,
    /// The entry with the order.
    pub stamp: Stamp,
    /// What the deployer was warned of.
    pub warnings: Vec<String>,
    /// The parts of its targets, in order.
    pub parts: Parts,
    /// How it goes over them; nothing where its entry is from before this was recorded.
    pub rollout: Option<Arc<Rollout>>,
    /// Its rings, which divide the parts in their order; none where there is one only.
    pub rings: Arc<[RingOf]>,
    /// Which ring has begun, counted from 0.
    pub ring: usize,
    /// The targets that the build is for and that have no part in it.
    pub others: Others,
    /// Whether the order names its targets, so that it is for no others.
    pub narrowed: bool,
    /// When it is to be carried out, by the order.
    #[serde(default)]
    pub schedule: Schedule,
    /// The waves that have started.
    pub waves: u32,
    /// Whether the data stays as later migrations left it.
    pub keep_data: bool,
    /// The target that was elected to do something to the data, and what.
    pub elected: Option<(TargetName, Migration)>,
    /// Whether it stands still by somebody's word, or by the charter's.
    pub paused: Option<Pause>,
    /// When the last of its targets that was unwell became well again; nothing where none was.
    #[serde(default)]
    pub well_since: Option<Timestamp>,
    /// What people said about it while it was under way, oldest first.
    pub guided: Vector<Guidance>,
    /// Where it stands.
    pub phase: DeploymentPhase,
    /// The members, where it is a package that is deployed: each has a deployment of its own, and this one no targets.
    #[serde(default, skip_serializing_if = "OrdMap::is_empty")]
    pub members: OrdMap<AppName, MemberPart>,
    /// The deployment of a package that it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<InPackage>,
    /// The targets that the order for a package names; empty means all.
    #[serde(default, skip_serializing_if = "std::collections::BTreeSet::is_empty")]
    pub only: std::collections::BTreeSet<TargetName>,
}

/// A member's part in the deployment of a package.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberPart {
    /// Not its turn yet.
    #[default]
    Waiting,
    /// It was as the package says when its turn came.
    InPlace,
    /// It has begun, as this deployment.
    Begun(u64),
}

/// The deployment of a package that a deployment is a part of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InPackage {
    /// Its number.
    pub deployment: u64,
    /// The package.
    pub app: AppName,
    /// The package's build.
    pub build: Digest,
    /// The entry with the order, which is for all members.
    pub order: u64,
}

impl Deployment {
    /// Whether it is a package that is deployed.
    pub fn is_of_package(&self) -> bool {
        !self.members.is_empty()
    }
}

/// How many targets have no part in a deployment, though the build is for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Others {
    /// How many there were when it was ordered.
    pub targets: u32,
    /// How many of them were serving.
    pub serving: u32,
}

/// What somebody said about a deployment under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guidance {
    /// When.
    pub stamp: Stamp,
    /// Who.
    pub by: PersonName,
    /// What is to be done.
    pub word: GuidanceWord,
    /// With which targets, where with some only.
    pub targets: Vec<TargetName>,
    /// The salted digest of the reason.
    pub reason: Option<Digest>,
}

/// What is to be done with a deployment under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuidanceWord {
    /// No further target begins.
    Paused,
    /// It goes on.
    Resumed,
    /// Some targets try again.
    Retried,
    /// Some targets are left out.
    Excluded,
    /// It is over.
    Aborted,
}

impl GuidanceWord {
    /// It in a word.
    pub fn word(self) -> &'static str {
        match self {
            GuidanceWord::Paused => "paused",
            GuidanceWord::Resumed => "resumed",
            GuidanceWord::Retried => "retried",
            GuidanceWord::Excluded => "excluded",
            GuidanceWord::Aborted => "aborted",
        }
    }
}

/// Why no further target of a deployment begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Since when.
    pub stamp: Stamp,
    /// Who says so; nobody where the charter does.
    pub by: Option<PersonName>,
    /// The salted digest of the reason.
    pub reason: Option<Digest>,
    /// What went wrong, where the charter says so.
    pub failure: Option<String>,
}

/// Where a deployment stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentPhase {
    /// It stands and waits for its permit.
    AwaitingPermit,
    /// Targets are at it.
    Running,
    /// A ring is well since this entry, and the next waits for its time or for somebody's word.
    Baking(Stamp),
    /// Targets go back.
    Undoing {
        /// Why.
        reason: String,
    },
    /// It is over.
    Ended {
        /// How.
        ending: Ending,
        /// When.
        stamp: Stamp,
        /// Since when it is settled.
        settled: Option<Stamp>,
        /// Why it was undone, where it was.
        reason: Option<String>,
    },
}

impl State {
    /// The environment or channel state of an application, empty where nothing happened yet.
    pub fn in_audience(&self, app: &AppName, audience: &AudienceName) -> Option<&InAudience> {
        self.apps.get(app)?.audiences.get(audience)
    }

    /// The newest permit of a version for an audience: granted, with nothing withdrawn. Whether it is in time and its approvals still satisfy the charter is for [`crate::rules::approvals`] to say.
    pub fn granted(&self, app: &AppName, version: &Version, audience: &AudienceName) -> Option<(Digest, &Request)> {
        self.all_granted(app, version, audience).next()
    }

    /// Every request of a version for an audience that stands as a permit, the newest first.
    pub fn all_granted<'a>(
        &'a self,
        app: &AppName,
        version: &Version,
        audience: &AudienceName,
    ) -> impl Iterator<Item = (Digest, &'a Request)> + 'a {
        let requests = self.in_audience(app, audience).and_then(|record| record.requests.get(version));
        let known = |digest: &Digest| Some((*digest, self.requests.get(digest)?));
        let is_granted = |(_, request): &(Digest, &Request)| matches!(request.standing, Standing::Granted(_));
        requests.into_iter().flatten().rev().filter_map(known).filter(is_granted)
    }

    /// The packages, and their builds, that list a build, those of the highest version first.
    pub fn packages_of(&self, app: &AppName, build: &Digest) -> Vec<(&AppName, Digest, &Version)> {
        let listing = self.apps.get(app).and_then(|record| record.packages.get(build));
        let known = |(package, build): &'_ (AppName, Digest)| {
            let (package, record) = self.apps.get_key_value(package)?;
            Some((package, *build, record.builds.get(build)?.version.as_ref()?))
        };
        let mut packages: Vec<_> = listing.into_iter().flatten().filter_map(known).collect();
        packages.sort_by(|one, other| (one.0, other.2).cmp(&(other.0, one.2)));
        packages
    }

    /// Every request that stands as a permit for a version to run in an audience: its own, then those of packages that list
    /// it. What was withdrawn by itself comes by no package, until it is released by itself again.
    pub fn all_permits<'a>(
        &'a self,
        app: &AppName,
        version: &Version,
        audience: &AudienceName,
    ) -> impl Iterator<Item = (Digest, &'a Request)> + 'a {
        let own: Vec<(Digest, &Request)> = self.all_granted(app, version, audience).collect();
        let record = self.apps.get(app);
        let dead = self.in_audience(app, audience).is_some_and(|here| here.dead_through.contains_key(version));
        let build = record.and_then(|record| record.versions.get(version)).map(|numbered| numbered.build);
        let packages = build.filter(|_| !dead || !own.is_empty()).map(|build| self.packages_of(app, &build));
        let by_package = packages
            .into_iter()
            .flatten()
            .flat_map(|(package, _, version)| self.all_granted(package, version, audience).collect::<Vec<_>>());
        let by_package: Vec<_> = by_package.collect();
        own.into_iter().chain(by_package)
    }

    /// The newest request of a version for an audience that lacks approvals.
    pub fn waiting_request(
        &self,
        app: &AppName,
        version: &Version,
        audience: &AudienceName,
    ) -> Option<(Digest, &Request)> {
        let requests = self.in_audience(app, audience)?.requests.get(version)?;
        let digest = requests.last()?;
        let request = self.requests.get(digest)?;
        (request.standing == Standing::Waiting).then_some((*digest, request))
    }

    /// The charter's epoch, which counts restores and evictions from 1.
    pub fn epoch(&self) -> u64 {
        self.policy.as_ref().map_or(1, |policy| policy.charter.epoch)
    }

    /// The serial that the next request for a version to an audience gets: above every request there is, and above what
    /// was ever withdrawn, for targets may remember a withdrawal whose request this ledger lost.
    pub fn next_serial(&self, app: &AppName, version: &Version, audience: &AudienceName) -> u64 {
        let Some(record) = self.in_audience(app, audience) else { return 1 };
        let newest = record.requests.get(version).and_then(|requests| self.requests.get(requests.last()?));
        let withdrawn = record.withdrawals.iter().filter(|withdrawal| withdrawal.version == *version);
        let dead = withdrawn.map(|withdrawal| withdrawal.through_serial).max().unwrap_or(0);
        newest.map_or(0, |request| request.serial).max(dead).saturating_add(1)
    }

    /// What `target` runs of `app`.
    pub fn running(&self, app: &AppName, target: &TargetName) -> Option<&Running> {
        self.targets.get(target)?.apps.get(app)?.running.as_ref()
    }

    /// The targets of an environment that have not left.
    pub fn targets_in<'a>(
        &'a self,
        environment: &'a AudienceName,
    ) -> impl Iterator<Item = (&'a TargetName, &'a Target)> + 'a {
        self.targets.iter().filter(move |(_, target)| target.environment == *environment && !target.retired)
    }
}

/// Events under way: a scratch copy of the state into which each recorded event is folded at once, so that what is
/// decided next sees it.
pub(crate) struct Draft {
    /// The state with everything recorded so far.
    pub state: State,
    /// What was recorded.
    pub events: Vec<Event>,
    /// What the order that was decided on does, where one was.
    pub planned: Option<Planned>,
}

impl Draft {
    /// A draft of the entry that will follow `state`.
    pub fn new(state: &State, now: Timestamp) -> Self {
        let mut state = state.clone();
        state.head = Stamp { entry: state.head.entry + 1, time: now };
        Self { state, events: Vec::new(), planned: None }
    }

    /// Records an event.
    pub fn record(&mut self, event: Event) {
        apply(&mut self.state, &event);
        self.events.push(event);
    }
}
