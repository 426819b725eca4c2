//! Every no: a stable code, what is missing, who can supply it, and the next command to type.

pub use crossed::Crossed;
use jiff::Timestamp;
pub use moment::{Because, Closed, Expired, Frozen};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
pub use there::{PassedOver, RunsInstead, Serves};
use trust::{
    AppName, AudienceName, Digest, DraftName, PartName, PersonName, TargetName, VendorName, Version,
    charter::{Class, DeployedBy},
    evidence::Shortfall,
    quorum::{Lack, Rule},
    statement::OrderAct,
    way::Way,
};

/// The exit codes, the same in every command (documented constants).
pub mod exit {
    /// Done.
    pub const DONE: u8 = 0;
    /// I/O failed, or the server is away.
    pub const FAILED: u8 = 1;
    /// Usage or vocabulary.
    pub const MISUSED: u8 = 2;
    /// Refused by the charter.
    pub const REFUSED: u8 = 3;
    /// A deployment failed or was undone.
    pub const DEPLOYMENT_FAILED: u8 = 4;
    /// Digest, signature or ledger.
    pub const INTEGRITY: u8 = 5;
    /// Number taken, stale plan, request id reused.
    pub const CONFLICT: u8 = 6;
    /// Escapes were found.
    pub const ESCAPES: u8 = 7;
    /// Timed out while waiting.
    pub const TIMED_OUT: u8 = 8;
}

/// What a refused command was after, in a word the charter knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// Push and number builds.
    Push,
    /// Bring in what a vendor released.
    Import,
    /// Attach evidence of a type.
    Attest,
    /// Ask for a release.
    Request,
    /// Agree to a release.
    Approve,
    /// Look at an emergency release afterwards.
    Review,
    /// Take permission back.
    Withdraw,
    /// Deploy, roll back, remove, stop, start, expose.
    Deploy,
    /// Set config.
    Configure,
    /// Declare and lift freezes, and except from them.
    Freeze,
    /// Invite, label, cordon and retire targets.
    Invite,
    /// Read, and let a token read.
    Read,
    /// Change the charter and suspend people.
    Own,
}

/// Every no.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "code", content = "facts", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Refusal {
    /// The server has no estate yet.
    NoEstate,
    /// The statement names another estate.
    OtherEstate,
    /// The statement came too late, or claims to live too long.
    StatementExpired {
        /// Until when it could be submitted.
        submit_before: Timestamp,
        /// When it came, by the server's clock; servers of before do not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        now: Option<Timestamp>,
    },
    /// The request id was used for something else.
    RequestIdReused,
    /// What is asked is so already; nothing was written.
    AlreadyDone {
        /// What is so, in a sentence.
        what: String,
        /// Since when, where that is known.
        since: Option<Timestamp>,
    },
    /// The signer lacks the role.
    RoleMissing {
        /// For what.
        right: Right,
        /// Where, or on what.
        place: String,
        /// Who may.
        needs: Option<Rule>,
        /// The roles the signer has.
        roles: Vec<String>,
    },
    /// No such application.
    UnknownApplication {
        /// What was asked for.
        name: AppName,
        /// The nearest known name.
        nearest: Option<AppName>,
    },
    /// No such build.
    UnknownBuild {
        /// The application.
        app: AppName,
        /// What was asked for.
        build: Digest,
    },
    /// No such version.
    UnknownVersion {
        /// The application.
        app: AppName,
        /// What was asked for.
        version: Version,
        /// The newest known.
        newest: Option<Version>,
    },
    /// No such audience in the charter.
    UnknownAudience {
        /// What was asked for.
        name: AudienceName,
        /// The nearest known name.
        nearest: Option<AudienceName>,
    },
    /// No such target.
    UnknownTarget {
        /// What was asked for.
        name: TargetName,
        /// The nearest known name.
        nearest: Option<TargetName>,
    },
    /// No such person or robot.
    UnknownPerson {
        /// What was asked for.
        name: PersonName,
    },
    /// No such request, or the approval names another one's facts.
    UnknownRequest,
    /// No such deployment.
    UnknownDeployment {
        /// What was asked for.
        deployment: u64,
    },
    /// The number belongs to other bytes (R34, R39).
    NumberTaken {
        /// The application.
        app: AppName,
        /// The number.
        version: Version,
        /// Whose it is.
        build: Digest,
    },
    /// The build has another number already.
    BuildNumbered {
        /// The application.
        app: AppName,
        /// The number it has.
        version: Version,
    },
    /// The number does not increase within its release line (R39).
    NumberNotIncreasing {
        /// The application.
        app: AppName,
        /// The number asked for.
        version: Version,
        /// The highest in its line.
        highest: Version,
    },
    /// The number is not of the application's kind.
    NumberKind {
        /// The application.
        app: AppName,
        /// The number.
        version: Version,
        /// What its numbers look like.
        expected: String,
    },
    /// A file or document is not in the depot yet.
    ObjectsMissing {
        /// How many.
        count: u64,
        /// One of them.
        first: Digest,
    },
    /// Somebody else makes it, and the vendor's release of these very bytes is not here (R42).
    VendorReleaseMissing {
        /// The application.
        app: AppName,
        /// The build.
        build: Digest,
        /// Who makes it.
        vendor: VendorName,
    },
    /// What was brought is no release of the vendor's to us.
    VendorReleaseUnfit {
        /// The application.
        app: AppName,
        /// Who makes it.
        vendor: VendorName,
        /// Why it does not count.
        why: String,
    },
    /// The vendor took its release back.
    VendorWithdrew {
        /// The application.
        app: AppName,
        /// The version.
        version: Version,
        /// Who makes it.
        vendor: VendorName,
    },
    /// The time of the vendor's release is over, or has not come.
    VendorReleaseExpired {
        /// The application.
        app: AppName,
        /// The version.
        version: Version,
        /// Who makes it.
        vendor: VendorName,
        /// From when.
        not_before: Timestamp,
        /// Until when.
        not_after: Timestamp,
    },
    /// The audience asks for evidence about this very digest, and there is none that counts (R33, R51).
    EvidenceMissing {
        /// The build.
        build: Digest,
        /// The type.
        kind: String,
        /// Who may issue it.
        issuers: Rule,
        /// Why what is there does not suffice.
        why: Box<Shortfall>,
    },
    /// The same bytes were not verified in the environment that comes first.
    NotVerifiedBefore {
        /// The application.
        app: AppName,
        /// The version.
        version: Version,
        /// The environment that comes first.
        after: AudienceName,
        /// The audience asked for.
        audience: AudienceName,
        /// Who does not run it there because nobody has heard of it for a while.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        away: Vec<TargetName>,
    },
    /// The audience needs no release.
    NoReleaseNeeded {
        /// Which.
        audience: AudienceName,
    },
    /// The charter does not have that way for the audience.
    WayMissing {
        /// Which way.
        way: Way,
        /// The audience.
        audience: AudienceName,
        /// The ways it has besides the normal one.
        ways: Vec<Way>,
    },
    /// The way does not reach so far: other targets, a longer life, no reason.
    WayExceeded {
        /// Which way.
        way: Way,
        /// What is exceeded.
        why: String,
    },
    /// Whoever gave an emergency permit wants to prolong it.
    RenewalBySame {
        /// Which way.
        way: Way,
        /// The application.
        app: AppName,
        /// The version.
        version: Version,
        /// The audience.
        audience: AudienceName,
    },
    /// No emergency of this version waits for a review there.
    NothingToReview {
        /// The application.
        app: AppName,
        /// The version.
        version: Version,
        /// The audience.
        audience: AudienceName,
    },
    /// The reviewer had a part in what is to be reviewed.
    ReviewerInvolved {
        /// What they did: `requested`, `approved`.
        did: String,
    },
    /// The request names another serial, charter, rule or time than is in force.
    RequestStale {
        /// What differs.
        what: String,
    },
    /// A request for it is waiting already.
    RequestWaiting {
        /// The version.
        version: Version,
        /// To whom.
        audience: AudienceName,
        /// What it waits for.
        lacks: Vec<Lack>,
    },
    /// The request is granted or withdrawn already.
    RequestClosed {
        /// How it stands.
        standing: String,
    },
    /// Requester and pusher do not count here.
    ApproverIsAuthor {
        /// The audience.
        audience: AudienceName,
        /// What they did: `requested` or `pushed`.
        did: String,
    },
    /// Approvals count here by keys in hardware only.
    HardwareKeyNeeded {
        /// The audience.
        audience: AudienceName,
    },
    /// The permit lacks approvals.
    ApprovalsMissing {
        /// The application.
        app: AppName,
        /// The version.
        version: Version,
        /// To whom.
        audience: AudienceName,
        /// Who has approved.
        have: Vec<PersonName>,
        /// What is missing.
        need: Vec<Lack>,
    },
    /// There is no permit (R31).
    PermitMissing {
        /// The application.
        app: AppName,
        /// The version.
        version: Version,
        /// To whom.
        audience: AudienceName,
        /// Who would have to agree.
        needs: Option<Rule>,
    },
    /// The permit was withdrawn.
    PermitWithdrawn {
        /// The application.
        app: AppName,
        /// The version.
        version: Version,
        /// From whom.
        audience: AudienceName,
        /// When.
        since: Timestamp,
        /// Why, where somebody said it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<Box<Because>>,
    },
    /// The permit's time is over, or has not come.
    PermitExpired(Box<Expired>),
    /// The version is below the audience's floor.
    BelowFloor {
        /// The version.
        version: Version,
        /// The lowest that may be activated.
        floor: Version,
        /// The audience.
        audience: AudienceName,
        /// The version whose permit brought the floor, where that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Version>,
    },
    /// The build was never released, and this is no dev environment (R2).
    Unreleased {
        /// The application.
        app: AppName,
        /// The build.
        build: Digest,
        /// Its number, where it has one.
        version: Option<Version>,
        /// Where.
        environment: AudienceName,
        /// Its class.
        class: Class,
    },
    /// Whoever asks may not read the channel, or there is none of that name (R28).
    ChannelClosed {
        /// Which.
        channel: AudienceName,
    },
    /// A channel has no machines.
    NotAnEnvironment {
        /// Which.
        channel: AudienceName,
    },
    /// No build of this name is under way.
    UnknownDraft {
        /// The application.
        app: AppName,
        /// What was asked for.
        draft: DraftName,
        /// The nearest name there is.
        nearest: Option<DraftName>,
        /// Those that are under way.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        open: Vec<DraftName>,
    },
    /// The build is sealed, and no part is added to it any more.
    DraftSealed {
        /// The application.
        app: AppName,
        /// The draft.
        draft: DraftName,
        /// What it became.
        build: Digest,
    },
    /// A part is of another commit than those that are in the draft already.
    DraftOfAnotherCommit {
        /// The application.
        app: AppName,
        /// The draft.
        draft: DraftName,
        /// The part, and the commit that it was made from, where there is one.
        part: (PartName, Option<String>),
        /// Another part that is there, and its commit.
        other: (PartName, Option<String>),
    },
    /// A part was added while somebody sealed the build.
    DraftChanged {
        /// The application.
        app: AppName,
        /// The draft.
        draft: DraftName,
    },
    /// The application was retired: it takes nothing new.
    AppRetired {
        /// The application.
        app: AppName,
        /// Since when.
        since: Timestamp,
        /// The package that is refused for listing it, where one is.
        #[serde(default)]
        listed_by: Option<AppName>,
    },
    /// The application still runs, so that it cannot be retired.
    AppRuns {
        /// The application.
        app: AppName,
        /// Where.
        targets: Vec<TargetName>,
    },
    /// The build's bytes were pruned (R36).
    BuildPruned {
        /// The application.
        app: AppName,
        /// The build.
        build: Digest,
        /// Since when they are gone.
        since: Timestamp,
    },
    /// Something needs the build's bytes, so that they cannot be pruned (R36).
    BuildNeeded {
        /// The application.
        app: AppName,
        /// The build.
        build: Digest,
        /// What needs them.
        why: String,
    },
    /// The charter says that others deploy the application, or nobody (R22, R24).
    DeployedByOthers {
        /// The application.
        app: AppName,
        /// The version, where the build has one.
        version: Option<Version>,
        /// Who deploys it.
        by: DeployedBy,
        /// The channels there are.
        channels: Vec<AudienceName>,
    },
    /// The release is a checkpoint (R25).
    NothingToInstall {
        /// The application.
        app: AppName,
        /// The build.
        build: Digest,
    },
    /// Required config keys have no value (R10).
    ConfigMissing {
        /// The application.
        app: AppName,
        /// Where.
        environment: AudienceName,
        /// Which.
        keys: Vec<String>,
        /// The first of them that is a secret, if any.
        secret: Option<String>,
    },
    /// A config key that may not be set like this.
    ConfigRefused {
        /// Why.
        why: String,
    },
    /// The config set is older than the one in force.
    ConfigStale {
        /// The serial that comes next.
        next: u64,
    },
    /// The environment has no fitting target.
    NoTargets {
        /// The application.
        app: AppName,
        /// Where.
        environment: AudienceName,
        /// The labels asked for.
        on: String,
        /// Whether it has no target at all.
        empty: bool,
        /// Those that it fits and that are kept from it by being cordoned alone.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        cordoned: Vec<TargetName>,
    },
    /// Targets are not what the build needs (R9).
    NeedsUnmet {
        /// Which targets, and what each falls short of, in a line each.
        targets: BTreeMap<TargetName, Vec<String>>,
    },
    /// Another deployment of the application is under way there.
    DeploymentUnderWay {
        /// Its number.
        deployment: u64,
        /// The application.
        app: AppName,
        /// Where.
        environment: AudienceName,
        /// What may be done instead, where there is something.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instead: Option<Instead>,
        /// The application that is to be retired, where it is a package that brings it which is under way.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retires: Option<AppName>,
    },
    /// The order brings back what is from before a migration.
    MigrationCrossed(Box<Crossed>),
    /// A build that changed the data would come back by a rollback, after its change was taken back.
    MigrationTakenBack {
        /// The application.
        app: AppName,
        /// Where.
        environment: AudienceName,
        /// The build, by its name.
        to: String,
    },
    /// The order is less careful than the charter's rollout, and its signer may not hasten.
    RolloutEased {
        /// Where.
        environment: AudienceName,
        /// What is less careful, each in a line.
        eased: Vec<String>,
        /// Who may.
        needs: Option<Rule>,
    },
    /// By now the order would do something else than its plan says.
    PlanStale {
        /// The application.
        app: AppName,
        /// The version, where a released one was ordered.
        version: Option<Version>,
        /// Where.
        environment: AudienceName,
        /// The plan's id.
        plan: Digest,
    },
    /// No target can be taken out of service: too few serve.
    TooFewHealthy {
        /// Where.
        environment: AudienceName,
        /// How many there are, and how many there must be.
        why: String,
    },
    /// It is not clear which of the two sides of an environment is meant, or serves.
    SidesUnclear {
        /// Where.
        environment: AudienceName,
        /// The label that tells them apart.
        label: String,
        /// What is in the way.
        why: String,
        /// What a switch would let serve alone, where both sides serve.
        to: Option<String>,
    },
    /// Targets were named that are of the side that serves.
    SideServes {
        /// The application.
        app: AppName,
        /// Where.
        environment: AudienceName,
        /// The side to which it would go.
        side: String,
        /// Those of the other.
        targets: Vec<TargetName>,
        /// What was ordered, where it serves there already: nothing of it is new.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        already: Option<Box<Serves>>,
    },
    /// A ring has not baked yet.
    Bakes {
        /// The deployment.
        deployment: u64,
        /// Until when.
        until: Timestamp,
    },
    /// The build is kept out after it failed, was undone or was rolled back there.
    Held {
        /// The application.
        app: AppName,
        /// Where.
        environment: AudienceName,
        /// The build.
        build: Digest,
        /// Its number, where it has one.
        #[serde(default)]
        version: Option<Version>,
        /// The deployment in which it failed, or that went back from it.
        #[serde(default)]
        deployment: Option<u64>,
    },
    /// A freeze is on (R1).
    Frozen(Box<Frozen>),
    /// No window is open (R1).
    WindowClosed(Box<Closed>),
    /// The times in the order are not those of the environment's windows.
    WindowsDiffer {
        /// Where.
        environment: AudienceName,
        /// Its windows.
        windows: Vec<String>,
    },
    /// No such freeze, or one that has long been over.
    UnknownFreeze,
    /// The freeze is about other applications, so there is nothing to except.
    NotFrozen {
        /// Its number.
        freeze: u64,
        /// The application that was to be excepted.
        app: AppName,
        /// What the freeze is about that has to do with it: members of that package, or packages that bring it.
        instead: Vec<(AppName, Version)>,
    },
    /// The freeze is over.
    FreezeOver {
        /// Its number.
        freeze: u64,
        /// Since when.
        since: Timestamp,
    },
    /// The application does not run there, so there is nothing to act on.
    NothingRuns {
        /// The application.
        app: AppName,
        /// Where.
        environment: AudienceName,
        /// What was to be done.
        act: OrderAct,
        /// What was named and does not run there, where something else does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instead: Option<Box<RunsInstead>>,
    },
    /// Targets have seen entries that the ledger does not hold: the server was put back from an older copy.
    LedgerPutBack {
        /// How many have.
        targets: usize,
        /// The newest entry that any of them has seen.
        seen: u64,
        /// How many the ledger has.
        entries: u64,
    },
    /// The owners' signature under the charter is over.
    CharterExpired {
        /// Since when.
        since: Timestamp,
    },
    /// The root of trust is over.
    RootExpired {
        /// Since when.
        since: Timestamp,
    },
    /// Nothing settled there to go back to.
    NothingToRollBackTo {
        /// The application.
        app: AppName,
        /// Where.
        environment: AudienceName,
        /// Whether something is held out that it would go back to.
        #[serde(default)]
        held: bool,
        /// What settled there before, and may not be gone back to; servers of before do not say.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        passed: Vec<PassedOver>,
        /// What was to be gone back to by its name, and never settled there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        named: Option<String>,
    },
    /// Only what is deployed and verified can be exposed (R26).
    NotDeployed {
        /// The application.
        app: AppName,
        /// The version.
        version: Version,
        /// Where.
        environment: AudienceName,
    },
    /// The invitation is unknown, used up, expired, or for something else.
    InvitationInvalid {
        /// Why.
        why: String,
    },
    /// The name belongs to a target, perhaps a retired one: names are for ever.
    NameTaken {
        /// Which.
        target: TargetName,
    },
    /// The charter brought is not newer than the one in force.
    CharterStale {
        /// The version in force.
        in_force: u64,
    },
    /// A report about something other than the newest assignment.
    ReportStale,
    /// The deployment is over.
    DeploymentOver {
        /// Which.
        deployment: u64,
    },
    /// A target cannot be left out of a deployment as it is.
    StaysIn {
        /// The deployment.
        deployment: u64,
        /// The target.
        target: TargetName,
        /// Whether it is changing the data; otherwise it has done its part, and is well.
        changes_data: bool,
    },
    /// The deployment goes back, and nothing else can be done with it.
    GoesBack {
        /// Which.
        deployment: u64,
    },
    /// A value that cannot be.
    Invalid {
        /// What is wrong.
        why: String,
    },
}

/// What may be done instead of an order that something under way refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Instead {
    /// To end what is under way, which takes back what it brought.
    Abort,
    /// To take off what stands and has not begun.
    TakeOff {
        /// For when it is planned, where it is.
        at: Option<Timestamp>,
    },
    /// To wait: it goes back already.
    GoesBack,
    /// To let the order stand until what is under way has ended.
    After {
        /// What it brings, by its name.
        what: String,
    },
}

mod crossed;
mod moment;
mod there;
mod words;
pub use words::{PAGES, Page};
