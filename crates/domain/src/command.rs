//! Everything anyone may ask. A person's command is a verified statement; a clock's command is derived from the state.

use crate::{
    event::{BuildFacts, VendorWord},
    rules::restored::Lost,
    state::Policy,
};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use trust::{
    AppName, AudienceName, Digest, DraftName, PartName, PersonName, RoleName, TargetName, Version,
    authority::{Denial, KeptWithdrawal},
    key::KeyId,
    receipt::VerifiedReceipt,
    statement::{self, RequestId},
    vendor::Released,
};

/// Who asks, when, and under which id.
#[derive(Clone, Debug)]
pub struct Context {
    /// The time at the server; never earlier than the last entry's.
    pub now: Timestamp,
    /// Who asks.
    pub actor: Actor,
    /// The request's id.
    pub request_id: RequestId,
    /// The digest of the signed payload: what an approval signs is a request's. Absent for the clock.
    pub payload: Option<Digest>,
    /// The targets that nobody has heard of for a while, as far as the server knows. Heartbeats are not history: what follows from
    /// silence is, by the events that are decided on.
    pub away: Arc<BTreeSet<TargetName>>,
    /// What targets have shown that the ledger has lost.
    pub lost: Arc<Lost>,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A person or a robot of the charter, by a key of theirs.
    Person {
        /// Who.
        name: PersonName,
        /// By which key.
        key: KeyId,
        /// With which roles.
        roles: BTreeSet<RoleName>,
    },
    /// A customer of the charter, who reads channels and does nothing else.
    Customer {
        /// Who.
        name: PersonName,
        /// With which roles.
        roles: BTreeSet<RoleName>,
    },
    /// A target, by its own key.
    Target(TargetName),
    /// A machine that is about to become a target; signed by an invitation's key.
    Invited,
    /// Whoever holds the one-time claim of a server without an estate.
    Founder,
    /// Time itself.
    Clock,
    /// The server, about what it did itself.
    Server,
}

impl Actor {
    /// The actor's name as entries hold it.
    pub fn name(&self) -> String {
        match self {
            Actor::Person { name, .. } | Actor::Customer { name, .. } => name.to_string(),
            Actor::Target(name) => format!("target:{name}"),
            Actor::Invited => "invited".into(),
            Actor::Founder => "founder".into(),
            Actor::Clock => "clock".into(),
            Actor::Server => "server".into(),
        }
    }
}

/// A signed act together with its subject.
#[derive(Clone, Debug)]
pub struct Signed<T> {
    /// The statement's subject.
    pub subject: Digest,
    /// What is said of it.
    pub act: T,
}

/// What somebody brought of a vendor.
#[derive(Clone, Debug)]
pub struct Brought {
    /// Whose it is.
    pub word: VendorWord,
    /// Every withdrawal that the vendor tells of.
    pub withdrawals: Vec<KeptWithdrawal>,
    /// The release in it with what its manifest says, or why it does not hold.
    pub released: Result<(Released, BuildFacts), Denial>,
}

/// Everything anyone may ask.
#[derive(Clone, Debug)]
pub enum Command {
    /// Put a charter in force. The policy was verified against the owners' signatures.
    ApplyCharter(Arc<Policy>),
    /// Take a person's powers at once.
    SuspendPerson(PersonName),
    /// Record a build. The facts were read from its manifest, whose files are all in the depot.
    PushBuild(Signed<statement::Push>, Arc<BuildFacts>),
    /// Add a part to a build that several jobs make. Its files are all in the depot.
    AddPart(Signed<statement::Part>, Arc<BuildFacts>),
    /// Say that a build is what these parts make; that they do was looked at.
    SealDraft {
        /// The application.
        app: AppName,
        /// The draft.
        draft: DraftName,
        /// The build.
        build: Digest,
        /// The parts, and their manifests, that were looked at.
        parts: BTreeMap<PartName, Digest>,
    },
    /// Give a build its number.
    NumberBuild(Signed<statement::Number>),
    /// Attach evidence to a build. Its document is in the depot.
    AttachEvidence(Signed<statement::Evidence>),
    /// Bring in a vendor's release. Its documents were verified against the estate that the charter pins.
    ImportRelease(Signed<statement::Import>, Arc<Brought>),
    /// Ask for a release.
    RequestRelease(Signed<statement::Request>),
    /// Approve a request.
    ApproveRequest(Signed<statement::Approval>),
    /// Say that an emergency release was looked at.
    ReviewEmergency(Signed<statement::Review>),
    /// Take permission back, or deny what was not granted yet.
    WithdrawPermission(Signed<statement::Withdrawal>),
    /// The same, by a statement that a target kept and this ledger lost. It may be about requests that are lost too.
    RememberWithdrawal(Signed<statement::Withdrawal>),
    /// Deploy, roll back, remove, stop, start.
    RequestDeployment(Signed<statement::Order>),
    /// Set config. The document is in the depot.
    SetConfig(Signed<statement::Config>),
    /// Declare a freeze, lift it, or except a version from it.
    Freeze(Signed<trust::freeze::Freeze>),
    /// Say who sees what runs, and everything about targets and deployments that needs no statement of its own.
    Administer(statement::AdministrationAct),
    /// Join as a target.
    EnrolTarget(statement::Enrolment),
    /// Say how an assignment ended.
    ReportOutcome(statement::Report),
    /// Say what was found on a target.
    ReportInventory(statement::Inventory),
    /// Say how the applications on a target are.
    ReportHealth(statement::Health),
    /// Bring back what a target behind an air gap did. Every signature in the document was checked.
    TakeReceipt(Signed<statement::Receipt>, Arc<VerifiedReceipt>),
    /// By the server: a version is about to be handed to somebody who may read a channel.
    RecordDelivery {
        /// The application.
        app: AppName,
        /// The version.
        version: Version,
        /// From which channel.
        channel: AudienceName,
        /// To whom.
        to: PersonName,
    },
    /// By the clock: what a deployment stood and waited for has come.
    StartDeployment(u64),
    /// By the clock: a ring of a deployment stayed healthy for its time, and the next begins.
    AdvanceDeployment(u64),
    /// By the clock: a deployment stayed healthy for its soak time.
    SettleDeployment(u64),
    /// By the clock: a target gets what it missed.
    CatchUp(TargetName, AppName),
    /// By the clock: a target has not answered within its deadline; with why it cannot go on, where it says so.
    GiveUpOnTarget(u64, TargetName, Option<String>),
    /// By the clock: a target's time is over, and it has not said so itself.
    LapseTarget(TargetName),
    /// By the clock: nothing was heard of an ephemeral target since then.
    LoseTarget(TargetName, jiff::Timestamp),
}
