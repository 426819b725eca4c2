//! Everything that happened. Events are stored for ever: a shape once written is read for ever.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use trust::{
    AppName, AudienceName, Digest, DraftName, PartName, PersonName, TargetName, TokenName, Version,
    freeze::Terms,
    key::{KeyId, PublicKey},
    quorum::Rule,
    rollout::Rollout,
    schedule::Schedule,
    statement::{Commit, Facts, Finding, OrderAct, Outcome, PhaseTiming},
    way::Way,
};

mod build;
mod departure;
mod deployment;
mod documents;
mod names;
mod root;
mod vendor;
pub use build::{BuildFacts, MigrateFacts};
pub use departure::Departure;
pub use deployment::{Aborted, Change, Ending, Migration, RingOf};
pub use root::RootFacts;
pub use vendor::{VendorPermit, VendorWord};

/// Everything that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A charter is in force.
    CharterApplied {
        /// The estate: the digest of root 1.
        estate: Digest,
        /// The root's version.
        root_version: u64,
        /// The owners and their keys.
        owners: Vec<(PersonName, PublicKey)>,
        /// The charter's version.
        version: u64,
        /// The charter's text.
        charter: String,
        /// The new roots, in order, as digests of files in the depot.
        roots: Vec<Digest>,
        /// The targets metadata, in the depot.
        targets: Digest,
        /// What else the owners signed.
        #[serde(default)]
        facts: RootFacts,
    },
    /// The recovery key was put away: somewhere that is not this machine.
    RecoveryKeyPutAway {
        /// The key.
        key: KeyId,
        /// Who says so.
        owner: PersonName,
    },
    /// A person has no powers until a new charter gives them back.
    PersonSuspended {
        /// Who.
        person: PersonName,
    },
    /// It was said who a handle is.
    PersonNamed {
        /// The handle.
        person: PersonName,
        /// The salted digest of the name; nothing where it is said no longer.
        name: Option<Digest>,
    },
    /// The name behind a handle and all that the person wrote is gone from the side table.
    PersonErased {
        /// The handle.
        person: PersonName,
    },
    /// A build is known.
    BuildPushed {
        /// The application; the first push creates it.
        app: AppName,
        /// The manifest's digest.
        build: Digest,
        /// Who pushed it.
        pusher: PersonName,
        /// What it was made from.
        commit: Option<Commit>,
        /// By which command.
        recipe: Option<String>,
        /// What its manifest says.
        facts: BuildFacts,
    },
    /// A job added its part to a build that several make.
    PartAdded {
        /// The application.
        app: AppName,
        /// The build under way.
        draft: DraftName,
        /// Which part.
        part: PartName,
        /// Its manifest in the depot.
        manifest: Digest,
        /// Who pushed it.
        pusher: PersonName,
        /// What it was made from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        commit: Option<Commit>,
        /// How many files and links it has.
        files: u64,
        /// Their length together, in bytes.
        size_bytes: u64,
    },
    /// A build is what the parts of a draft make together: none is added any more.
    DraftSealed {
        /// The application.
        app: AppName,
        /// The draft.
        draft: DraftName,
        /// The build.
        build: Digest,
    },
    /// The parts of a draft were let go before anybody sealed it.
    DraftDiscarded {
        /// The application.
        app: AppName,
        /// The draft.
        draft: DraftName,
    },
    /// An application takes nothing new, for good.
    AppRetired {
        /// Which.
        app: AppName,
    },
    /// The bytes of builds that nothing needed are gone; their names, numbers and manifests stay (R36).
    BuildPruned {
        /// The application.
        app: AppName,
        /// Its builds.
        builds: Vec<Digest>,
    },
    /// A build has a number, for good.
    BuildNumbered {
        /// The application.
        app: AppName,
        /// The build.
        build: Digest,
        /// The number.
        version: Version,
    },
    /// A vendor's release is here: its build, its number, and what the vendor's people signed.
    ReleaseImported {
        /// The application; the first release creates it.
        app: AppName,
        /// The build.
        build: Digest,
        /// Its number.
        version: Version,
        /// Who brought it.
        importer: PersonName,
        /// What the vendor made it from.
        commit: Option<Commit>,
        /// By which command.
        recipe: Option<String>,
        /// What its manifest says.
        facts: Box<BuildFacts>,
        /// Whose release it is.
        word: VendorWord,
        /// The vendor's permit.
        permit: VendorPermit,
    },
    /// A vendor took back what it had released.
    VendorWithdrew {
        /// The application.
        app: AppName,
        /// The build.
        build: Digest,
        /// The last serial of the vendor's that died.
        through_serial: u64,
        /// The digest of the vendor's signed payload.
        payload: Option<Digest>,
        /// Whose word it is.
        word: VendorWord,
    },
    /// A version was handed to somebody who may read a channel: by the server's word.
    BuildDelivered {
        /// The application.
        app: AppName,
        /// The version.
        version: Version,
        /// The build.
        build: Digest,
        /// From which channel.
        channel: AudienceName,
        /// To whom.
        to: PersonName,
    },
    /// A build has evidence.
    EvidenceAttached {
        /// The application.
        app: AppName,
        /// The build.
        build: Digest,
        /// Its type.
        kind: String,
        /// Whether it is good.
        passed: bool,
        /// What it says.
        summary: String,
        /// The document in the depot.
        document: Digest,
        /// Who attached it.
        issuer: PersonName,
        /// By which key.
        key: KeyId,
        /// The predicate type of the document.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        predicate: Option<String>,
        /// The whole numbers in it.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        facts: BTreeMap<String, i64>,
        /// When it was issued, by the issuer's clock.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        issued: Option<Timestamp>,
        /// The digest of the signed payload, by which owners may uphold it. Entries from before it was written down have it
        /// in their envelope.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        payload: Option<Digest>,
    },
    /// Somebody wishes that a version be released to an audience.
    ReleaseRequested {
        /// The digest of the signed request: its identity.
        request: Digest,
        /// The application.
        app: AppName,
        /// The version.
        version: Version,
        /// The build.
        build: Digest,
        /// To whom.
        audience: AudienceName,
        /// Counts the requests for this version to this audience.
        serial: u64,
        /// The rule it names.
        requires: Rule,
        /// From when the permit holds.
        not_before: Timestamp,
        /// Until when it may be activated.
        not_after: Timestamp,
        /// The lowest version the audience may then still activate.
        floor: Option<Version>,
        /// Who wishes it.
        requester: PersonName,
        /// By which way; not written for the normal one.
        #[serde(default, skip_serializing_if = "Way::is_normal")]
        way: Way,
        /// The salted digest of the reason.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Digest>,
    },
    /// One person said yes.
    RequestApproved {
        /// To which request.
        request: Digest,
        /// Who.
        approver: PersonName,
        /// By which key.
        key: KeyId,
    },
    /// The last required approval came: the version is released.
    PermitGranted {
        /// By which request.
        request: Digest,
        /// The application.
        app: AppName,
        /// The version.
        version: Version,
        /// To whom.
        audience: AudienceName,
    },
    /// Somebody who had no part in an emergency release has looked at it.
    EmergencyReviewed {
        /// Which request.
        request: Digest,
        /// The application.
        app: AppName,
        /// The version.
        version: Version,
        /// To whom it was released.
        audience: AudienceName,
        /// By which way.
        way: Way,
        /// Who looked at it.
        reviewer: PersonName,
        /// The salted digest of what they found.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        finding: Option<Digest>,
    },
    /// Requests up to a serial are dead for ever.
    PermissionWithdrawn {
        /// The application.
        app: AppName,
        /// The version.
        version: Version,
        /// The build.
        build: Digest,
        /// From whom.
        audience: AudienceName,
        /// The last serial that died.
        through_serial: u64,
        /// Whether a permit died, or a request that was not granted yet.
        was_granted: bool,
        /// The salted digest of the reason.
        reason: Option<Digest>,
        /// The digest of the signed payload, by which owners may annul it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        payload: Option<Digest>,
    },
    /// Config holds for an application in an environment.
    ConfigSet {
        /// The application.
        app: AppName,
        /// Where.
        environment: AudienceName,
        /// Counts the sets.
        serial: u64,
        /// The document in the depot.
        document: Digest,
        /// Its keys, and whether each is a secret.
        keys: BTreeMap<String, bool>,
        /// Who can decrypt its secrets.
        recipients: BTreeSet<TargetName>,
    },
    /// Nothing new is activated for a time.
    FreezeDeclared {
        /// The digest of the signed declaration: its identity.
        freeze: Digest,
        /// Counts the freezes.
        number: u64,
        /// Where, for what, from when until when, and the salted digest of why.
        terms: Terms,
        /// Who declared it.
        by: PersonName,
    },
    /// A version passes a freeze.
    FreezeExcepted {
        /// Which freeze.
        freeze: Digest,
        /// Its number.
        number: u64,
        /// The application.
        app: AppName,
        /// The version.
        version: Version,
        /// The build.
        build: Digest,
        /// The salted digest of the reason.
        reason: Digest,
        /// Who excepts it.
        by: PersonName,
    },
    /// A freeze is over before its time.
    FreezeLifted {
        /// Which freeze.
        freeze: Digest,
        /// Its number.
        number: u64,
        /// The salted digest of the reason.
        reason: Option<Digest>,
        /// Who lifted it.
        by: PersonName,
    },
    /// Machines may join.
    TargetInvited {
        /// The invitation's key.
        invitation: PublicKey,
        /// Where.
        environment: AudienceName,
        /// The labels they get.
        labels: BTreeMap<String, String>,
        /// The only name they may take.
        name: Option<TargetName>,
        /// How many may join.
        uses: u32,
        /// Until when.
        expires: Timestamp,
        /// Whether they come and go.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        ephemeral: bool,
    },
    /// A machine joined.
    TargetEnrolled {
        /// Its name.
        target: TargetName,
        /// Where.
        environment: AudienceName,
        /// By which invitation.
        invitation: PublicKey,
        /// Its key.
        key: PublicKey,
        /// The age recipient for its secrets.
        recipient: String,
        /// Its labels.
        labels: BTreeMap<String, String>,
        /// What it is.
        facts: Facts,
    },
    /// A target's labels changed.
    TargetLabelled {
        /// Which.
        target: TargetName,
        /// All its labels now.
        labels: BTreeMap<String, String>,
    },
    /// New deployments stay away from a target, or come again.
    TargetCordoned {
        /// Which.
        target: TargetName,
        /// Whether they stay away.
        cordoned: bool,
        /// The salted digest of why, where somebody said it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Digest>,
    },
    /// A target left for good.
    TargetRetired {
        /// Which.
        target: TargetName,
        /// Why, where nobody said that it is to leave.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<Departure>,
    },
    /// Somebody has a token that reads as they do, and does nothing else.
    TokenCreated {
        /// SHA-256 of the secret.
        token: Digest,
        /// Whose it is.
        holder: PersonName,
        /// What it is for.
        name: TokenName,
        /// Until when it is good.
        expires: Timestamp,
    },
    /// A token is good no more.
    TokenRevoked {
        /// SHA-256 of the secret.
        token: Digest,
        /// Whose it was.
        holder: PersonName,
        /// What it was for.
        name: TokenName,
    },
    /// Somebody ordered a deployment.
    DeploymentRequested {
        /// Its number.
        deployment: u64,
        /// The application.
        app: AppName,
        /// Where.
        environment: AudienceName,
        /// What is to be done.
        act: OrderAct,
        /// The build it brings or acts on.
        build: Digest,
        /// Its version, where it is released.
        version: Option<Version>,
        /// On which targets, in this order.
        targets: Vec<TargetName>,
        /// Whether it stands and waits for its permit.
        awaits_permit: bool,
        /// What the deployer was warned of.
        warnings: Vec<String>,
        /// Who ordered it.
        deployer: PersonName,
        /// How it goes over its targets; entries of before this was recorded went by the charter of the moment.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rollout: Option<Box<Rollout>>,
        /// Its rings, which divide `targets` in their order; not written where there is one only.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        rings: Vec<RingOf>,
        /// Whether the order names its targets, so that it is for no others.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        narrowed: bool,
        /// When it is to be carried out, by the order.
        #[serde(default, skip_serializing_if = "Schedule::is_any_time")]
        schedule: Schedule,
        /// Whether the data stays as later migrations left it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        keep_data: bool,
        /// The deployment of the package that it is a part of; nobody ordered it for itself then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        package: Option<u64>,
        /// The targets that an order for a package names; its members' deployments name those that each of them is for.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        only: BTreeSet<TargetName>,
        /// The deployments that stand planned there: the last of the warnings are about them, one each, and hold as long as they stand.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        planned_there: Vec<u64>,
    },
    /// Members of a package begin: what they come after is done.
    StepStarted {
        /// Which deployment of a package.
        deployment: u64,
        /// From 1.
        step: u32,
        /// The members that begin, each with the number of its own deployment.
        members: BTreeMap<AppName, u64>,
        /// The members whose turn it is and that are as the package says already.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        in_place: BTreeSet<AppName>,
    },
    /// A wave of targets is assigned the deployment.
    WaveStarted {
        /// Which deployment.
        deployment: u64,
        /// From 1.
        wave: u32,
        /// Its targets.
        targets: Vec<TargetName>,
        /// The ring they are of, where there are several.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ring: Option<String>,
        /// What its one target, which is elected for it, does to the data before any process changes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        migrate: Option<Migration>,
    },
    /// A ring is well, and the next one waits: for its time, or for somebody's word.
    RingVerified {
        /// Which deployment.
        deployment: u64,
        /// Which ring.
        ring: String,
    },
    /// No further target of a deployment begins.
    DeploymentPaused {
        /// Which.
        deployment: u64,
        /// Who says so; nobody where the charter does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<PersonName>,
        /// The salted digest of the reason.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Digest>,
        /// What went wrong, where the charter says so, or what is in doubt, where the build does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<String>,
    },
    /// A deployment goes on: in spite of what failed so far.
    DeploymentResumed {
        /// Which.
        deployment: u64,
        /// Who says so.
        by: PersonName,
        /// The salted digest of the reason.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Digest>,
    },
    /// A target finished its part.
    TargetFinished {
        /// Which deployment.
        deployment: u64,
        /// Which target.
        target: TargetName,
        /// How.
        outcome: Outcome,
        /// What changed on it.
        change: Option<Change>,
        /// What runs there now.
        running: Option<Digest>,
        /// The serial of the config it runs with.
        config_serial: u64,
        /// Its phases.
        phases: Vec<PhaseTiming>,
        /// Where its processes listen.
        endpoints: Vec<String>,
        /// Whether nothing was heard of it in time: it may have done its part all the same, and say so later.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        given_up: bool,
        /// Whether it let the assignment lie because this was no moment for it, so that it gets another one when it is.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        stands: bool,
        /// The way of the permit it acted under, by its own word; not written for the normal one.
        #[serde(default, skip_serializing_if = "Way::is_normal")]
        way: Way,
        /// Whether what runs stands by: it is in no list of what serves.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        standby: bool,
        /// What decided nothing while it was verified, so that people shall look before it counts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        doubt: Option<String>,
    },
    /// Targets that had activated it are told to go back.
    UndoStarted {
        /// Which deployment.
        deployment: u64,
        /// Why.
        reason: String,
        /// Which targets.
        targets: Vec<TargetName>,
        /// Those that were given up on: they may have activated it, so they go back when they return; nobody waits for it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        absent: Vec<TargetName>,
        /// Who aborted it, where somebody did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        aborted: Option<Aborted>,
    },
    /// A deployment goes on without a target.
    TargetExcluded {
        /// Which deployment.
        deployment: u64,
        /// Which target.
        target: TargetName,
        /// Who says so; nobody where it was cordoned before its turn, or away.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<PersonName>,
        /// The salted digest of the reason.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Digest>,
        /// Whether it is since nobody had heard of it for a while: it gets it once it is back.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        away: bool,
    },
    /// A target that was not there when something was deployed gets it now.
    TargetAdded {
        /// To which deployment, which stands in its environment.
        deployment: u64,
        /// The target.
        target: TargetName,
    },
    /// Targets that did not get a deployment are to try again, by an order of their own.
    RetryOrdered {
        /// Which deployment.
        deployment: u64,
        /// Which targets.
        targets: Vec<TargetName>,
        /// Who ordered it.
        by: PersonName,
        /// The salted digest of the reason.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Digest>,
    },
    /// A deployment is over.
    DeploymentEnded {
        /// Which.
        deployment: u64,
        /// How.
        ending: Ending,
        /// Why, where nothing else says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// The newer deployment that took its place.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        superseded_by: Option<u64>,
        /// Who aborted it, where somebody did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        aborted: Option<Aborted>,
    },
    /// What a target runs is not as well as it was when it was verified, or is well again.
    HealthChanged {
        /// Where.
        target: TargetName,
        /// What.
        app: AppName,
        /// The build that is active there.
        build: Digest,
        /// What is wrong; nothing where it is well again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unwell: Option<String>,
        /// Whether nobody can tell how it is, and people should look.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unclear: bool,
    },
    /// A deployment stayed healthy for its soak time.
    DeploymentSettled {
        /// Which.
        deployment: u64,
    },
    /// A build is kept out of an environment.
    HoldPlaced {
        /// The application.
        app: AppName,
        /// Where.
        environment: AudienceName,
        /// The build.
        build: Digest,
        /// The deployment in which it failed, or that went back from it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deployment: Option<u64>,
    },
    /// Builds that were kept out may come again.
    HoldLifted {
        /// The application.
        app: AppName,
        /// Where.
        environment: AudienceName,
        /// The build; all that were held where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        build: Option<Digest>,
        /// The salted digest of the reason.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Digest>,
    },
    /// What was found on a target differs from what was found before (R37).
    EscapesChanged {
        /// Which target.
        target: TargetName,
        /// Everything that is wrong there now; empty when all is as it should be.
        findings: Vec<Finding>,
    },
    /// A target signed that it runs another build of an application than was known, or none: what it had done was not heard of, or the
    /// ledger has lost it. Its word counts (R40).
    TargetRunsOtherwise {
        /// Which target.
        target: TargetName,
        /// The application.
        app: AppName,
        /// What runs by its word; nothing where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        build: Option<Digest>,
    },
    /// A machine is not what it said before: it has another kernel, more memory, a newer agent (R9).
    FactsChanged {
        /// Which target.
        target: TargetName,
        /// What it is now, by its own word.
        facts: Facts,
    },
    /// Somebody brought back what a target behind an air gap did with a bundle.
    ReceiptTaken {
        /// The receipt in the depot.
        receipt: Digest,
        /// The digest of the target's signed report: each is taken once.
        report: Digest,
        /// The bundle.
        bundle: Digest,
        /// The number that the deployment gets.
        deployment: u64,
        /// Which target.
        target: TargetName,
        /// The application.
        app: AppName,
        /// Where.
        environment: AudienceName,
        /// The build it brought.
        build: Digest,
        /// Its version.
        version: Option<Version>,
        /// Who ordered it, as far as the charter still knows them.
        deployer: Option<PersonName>,
        /// How it ended.
        outcome: Outcome,
        /// What changed on the target.
        change: Option<Change>,
        /// What runs there since then.
        running: Option<Digest>,
        /// The serial of the config it runs with.
        config_serial: u64,
        /// The phases.
        phases: Vec<PhaseTiming>,
        /// Where its processes listen.
        endpoints: Vec<String>,
        /// When that was, by the target's clock.
        at: Timestamp,
        /// By which way of the charter it was permitted.
        #[serde(default, skip_serializing_if = "Way::is_normal")]
        way: Way,
    },
    /// End users reach a version, or no longer do.
    ExposureChanged {
        /// The application.
        app: AppName,
        /// Where.
        environment: AudienceName,
        /// The version.
        version: Version,
        /// How many see it.
        percent: u8,
    },
}
