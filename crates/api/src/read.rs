//! The answers of the reads.

use domain::{entry::Entry, event::Ending, waiting::WaitingOn};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use trust::{
    AppName, AudienceName, Digest, PersonName, TargetName, VendorName, Version,
    authority::Dossier,
    charter::Class,
    dsse::{Envelope, base64_bytes},
    rollout::Rollout,
    statement::{Commit, Facts, Finding, OrderAct, Phase, PhaseTiming},
    way::Way,
};
use utoipa::ToSchema;

/// Who the server is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Hello {
    /// The estate, once it has one.
    #[schema(value_type = Option<String>)]
    pub estate: Option<Digest>,
    /// The organisation's name, once it has one.
    pub name: Option<String>,
    /// The server's version.
    pub version: String,
    /// The pin of its TLS key: SHA-256 of the SubjectPublicKeyInfo.
    #[schema(value_type = String)]
    pub pin: Digest,
    /// The key that signs checkpoints, as an OpenSSH line.
    pub ledger_key: String,
    /// The pin of the TLS key that comes next, which the server keeps ready.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub next_pin: Option<Digest>,
    /// The key that signs checkpoints next, as an OpenSSH line.
    #[serde(default)]
    pub next_ledger_key: Option<String>,
}

/// How the TUF repository for agents and mirrors stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RepositoryStatus {
    /// The newest entry of the ledger that is published.
    pub entry: u64,
    /// The timestamp's version; 0 where nothing is published.
    pub version: u64,
    /// When the timestamp was signed.
    #[schema(value_type = Option<String>)]
    pub signed: Option<Timestamp>,
    /// Until when it is good.
    #[schema(value_type = Option<String>)]
    pub expires: Option<Timestamp>,
    /// Snapshot and the roles of permits.
    pub roles: BTreeMap<String, RepositoryRole>,
    /// Why nothing (new) is published, if so.
    pub problem: Option<String>,
    /// The witness without whose signature nothing new is published, where root names one.
    #[serde(default)]
    pub witness: Option<crate::witness::WitnessStatus>,
}

/// One file of metadata that the server signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RepositoryRole {
    /// Its version.
    pub version: u64,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// How many files it lists.
    pub files: u64,
    /// Until when it is good.
    #[schema(value_type = String)]
    pub expires: Timestamp,
}

/// The documents of trust, as files.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Estate {
    /// All roots from the first.
    #[schema(value_type = Vec<String>)]
    pub roots: Vec<crate::write::Attachment>,
    /// The targets metadata in force.
    #[serde(with = "base64_bytes")]
    #[schema(value_type = String)]
    pub targets: Vec<u8>,
    /// The charter in force.
    pub charter: String,
    /// The signed suspensions in force.
    #[schema(value_type = Vec<Object>)]
    pub suspensions: Vec<Envelope>,
}

/// The signer as the server knows them.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Whoami {
    /// The name.
    pub name: String,
    /// The roles.
    pub roles: Vec<String>,
    /// The organisation's name.
    pub estate_name: String,
    /// The estate.
    #[schema(value_type = String)]
    pub estate: Digest,
    /// Their read-only tokens.
    #[serde(default)]
    pub tokens: Vec<TokenView>,
}

/// A read-only token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// SHA-256 of its secret.
    #[schema(value_type = String)]
    pub token: Digest,
    /// Whose it is.
    pub holder: String,
    /// What it is for.
    pub name: String,
    /// Until when it is good.
    #[schema(value_type = String)]
    pub expires: Timestamp,
}

/// A build that several jobs make.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DraftView {
    /// What its parts make together, once somebody said so.
    #[schema(value_type = Option<String>)]
    pub sealed: Option<Digest>,
    /// The signed statement of each part, in the order of their names.
    #[schema(value_type = Vec<Object>)]
    pub parts: Vec<Envelope>,
}

/// What may be pruned of one application (R36).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Prunable {
    /// The application.
    #[schema(value_type = String)]
    pub app: AppName,
    /// The builds that may go, the newest first.
    pub builds: Vec<PrunableBuild>,
    /// How many builds stay.
    pub kept: u64,
    /// What would become free, in bytes.
    pub bytes: u64,
}

/// A build that may be pruned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrunableBuild {
    /// The build.
    #[schema(value_type = String)]
    pub build: Digest,
    /// Its number, where it has one.
    #[schema(value_type = Option<String>)]
    pub version: Option<Version>,
    /// When it was pushed.
    #[schema(value_type = String)]
    pub pushed: Timestamp,
}

/// A build, named as people name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BuildName {
    /// The manifest's digest.
    #[schema(value_type = String)]
    pub build: Digest,
    /// The number, where it has one.
    #[schema(value_type = Option<String>)]
    pub version: Option<Version>,
}

impl BuildName {
    /// `web@1.4.0`, or `web#3fa9c1` for a build without a number.
    pub fn of(&self, app: &AppName) -> String {
        match &self.version {
            Some(version) => format!("{app}@{version}"),
            None => format!("{app}#{}", self.build.short()),
        }
    }

    /// `1.4.0`, or `#3fa9c1` for a build without a number.
    pub fn short(&self) -> String {
        match &self.version {
            Some(version) => version.to_string(),
            None => format!("#{}", self.build.short()),
        }
    }
}

/// What may be deployed, what runs, who sees it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The ledger's size at that moment.
    pub entries: u64,
    /// The moment the answer is true of.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// The environments in the charter's order of movement, and the channels.
    pub audiences: Vec<AudienceStatus>,
    /// The applications.
    pub apps: Vec<AppStatus>,
    /// The targets.
    pub targets: Vec<TargetStatus>,
    /// What everyone should know: one person guards prod; secrets that targets still lack.
    pub notes: Vec<String>,
    /// The emergency releases that nobody has reviewed, the oldest first.
    #[serde(default)]
    pub emergencies: Vec<Emergency>,
}

/// Something that begins, ends or is planned (R1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CalendarEntry {
    /// What it is.
    pub kind: CalendarKind,
    /// Where.
    #[schema(value_type = String)]
    pub environment: AudienceName,
    /// When it begins, or is.
    #[schema(value_type = String)]
    pub from: Timestamp,
    /// When it ends; of a planned deployment, when it is dropped if it has not begun.
    #[schema(value_type = Option<String>)]
    pub until: Option<Timestamp>,
    /// The number of the deployment or freeze.
    pub number: Option<u64>,
    /// The application.
    #[schema(value_type = Option<String>)]
    pub app: Option<AppName>,
    /// The build.
    pub build: Option<BuildName>,
    /// The applications that a freeze is about; empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub apps: Vec<AppName>,
    /// Why it will not come true as it stands.
    #[serde(default)]
    pub clashes: Vec<String>,
}

/// What stands in a calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CalendarKind {
    /// A deployment that is planned.
    Deployment,
    /// Nothing new is activated.
    Freeze,
    /// A window is open.
    Window,
    /// From then on a version may run.
    PermitBegins,
    /// From then on a version may not be activated any more.
    PermitEnds,
    /// The time of an environment's last target is over, and everything there is removed.
    EnvironmentEnds,
}

/// A time in which nothing new is activated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FreezeView {
    /// Its number.
    pub number: u64,
    /// The digest of its signed declaration: its identity.
    #[schema(value_type = String)]
    pub freeze: Digest,
    /// The environments it reaches by the charter in force.
    #[schema(value_type = Vec<String>)]
    pub environments: Vec<AudienceName>,
    /// Whether it was declared for everything live.
    pub all_live: bool,
    /// The applications it is about; empty means all.
    #[schema(value_type = Vec<String>)]
    pub apps: Vec<AppName>,
    /// From when.
    #[schema(value_type = String)]
    pub from: Timestamp,
    /// Until when.
    #[schema(value_type = String)]
    pub until: Timestamp,
    /// Why, unless it was erased.
    pub reason: Option<String>,
    /// Who declared it.
    #[schema(value_type = String)]
    pub by: PersonName,
    /// The versions that pass.
    pub exceptions: Vec<FreezeException>,
    /// Who lifted it, and when.
    #[schema(value_type = Option<(String, String)>)]
    pub lifted: Option<(PersonName, Timestamp)>,
    /// Whether it stops anything now.
    pub is_on: bool,
    /// Who may lift it or except from it: all of these rules.
    pub may_lift: Vec<String>,
    /// What was signed about it, where it was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub statements: Vec<trust::dsse::Envelope>,
}

/// A version that passes a freeze.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FreezeException {
    /// The application.
    #[schema(value_type = String)]
    pub app: AppName,
    /// The version.
    #[schema(value_type = String)]
    pub version: Version,
    /// The build.
    #[schema(value_type = String)]
    pub build: Digest,
    /// Who says so.
    #[schema(value_type = String)]
    pub by: PersonName,
    /// Why, unless it was erased.
    pub reason: Option<String>,
    /// Since when.
    #[schema(value_type = String)]
    pub since: Timestamp,
}

/// An emergency release that nobody who had no part in it has looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Emergency {
    /// The application.
    #[schema(value_type = String)]
    pub app: AppName,
    /// The version.
    #[schema(value_type = String)]
    pub version: Version,
    /// The build.
    #[schema(value_type = String)]
    pub build: Digest,
    /// To whom it was released.
    #[schema(value_type = String)]
    pub audience: AudienceName,
    /// Counts the requests for this version to this audience.
    pub serial: u64,
    /// By which way.
    #[schema(value_type = String)]
    pub way: Way,
    /// The gates that this way leaves open by the charter in force.
    pub waives: Vec<String>,
    /// Who asked for it.
    #[schema(value_type = String)]
    pub requester: PersonName,
    /// Who agreed.
    #[schema(value_type = Vec<String>)]
    pub approvers: Vec<PersonName>,
    /// Why, unless it was erased.
    pub reason: Option<String>,
    /// Since when.
    #[schema(value_type = String)]
    pub since: Timestamp,
    /// Until when it may be activated.
    #[schema(value_type = String)]
    pub not_after: Timestamp,
    /// Whether it was withdrawn meanwhile.
    pub withdrawn: bool,
    /// The targets that run it.
    #[schema(value_type = Vec<String>)]
    pub runs_on: Vec<TargetName>,
}

impl Emergency {
    /// `web@1.4.1 → prod by BREAK-GLASS`: in capitals, so that nobody reads over it.
    pub fn headline(&self) -> String {
        format!("{}@{} → {} by {}", self.app, self.version, self.audience, self.way.word().to_uppercase())
    }

    /// The command that ends the alarm.
    pub fn review(&self) -> String {
        format!("sortie review {}@{} --in {}", self.app, self.version, self.audience)
    }
}

/// One audience.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AudienceStatus {
    /// Its name.
    #[schema(value_type = String)]
    pub name: AudienceName,
    /// An environment's class; nothing for a channel.
    #[schema(value_type = Option<String>)]
    pub class: Option<Class>,
    /// Who must agree to a release.
    pub approve: Option<String>,
    /// How many targets it has.
    pub targets: u32,
    /// When the time of its last target is over, where its targets live for a time only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub ends: Option<Timestamp>,
}

/// One application.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AppStatus {
    /// Its name.
    #[schema(value_type = String)]
    pub app: AppName,
    /// Its newest build.
    pub newest: Option<BuildName>,
    /// What holds in each audience, in the order of [`Status::audiences`].
    pub cells: Vec<Cell>,
    /// Since when it takes nothing new, where it was retired.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub retired: Option<Timestamp>,
    /// What its newest build lists, where it is a package: `api 1.4.0, db 2.0.1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
}

/// One application in one audience: a cell of the board.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Cell {
    /// The audience.
    #[schema(value_type = String)]
    pub audience: AudienceName,
    /// The versions it has a live permit for, newest first.
    pub released: Vec<Released>,
    /// What its targets run, most targets first.
    pub runs: Vec<Runs>,
    /// How many targets the application is for there.
    pub targets: u32,
    /// What waits, in words.
    pub waits: Vec<String>,
    /// What waits, as data.
    #[schema(value_type = Vec<Object>)]
    pub waiting: Vec<WaitingOn>,
    /// The builds kept out.
    pub held: Vec<BuildName>,
    /// The same with since when and why.
    #[serde(default)]
    pub holds: Vec<HoldView>,
    /// The builds that failed there when they were last brought.
    #[serde(default)]
    pub failed: Vec<FailedView>,
    /// The builds that settled here and may come back, whose permit nobody withdrew: the newest first.
    #[serde(default)]
    pub settled: Vec<BuildName>,
    /// Which version end users see, and how many of them in percent.
    #[schema(value_type = Option<(String, u8)>)]
    pub exposed: Option<(Version, u8)>,
    /// To whom versions were handed, the newest version first; for channels.
    #[serde(default)]
    pub delivered: Vec<Delivered>,
    /// What everyone should know of it: `released, never deployed`; `unreleased build`.
    pub notes: Vec<String>,
}

/// A build that is kept out.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct HoldView {
    /// The build.
    #[serde(flatten)]
    pub build: BuildName,
    /// Since when.
    #[schema(value_type = String)]
    pub since: Timestamp,
    /// The deployment in which it failed, or that went back from it.
    pub deployment: Option<u64>,
}

/// A build that failed when it was last brought.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FailedView {
    /// The build.
    #[serde(flatten)]
    pub build: BuildName,
    /// In which deployment.
    pub deployment: u64,
}

/// To whom a version was handed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Delivered {
    /// The version.
    #[schema(value_type = String)]
    pub version: Version,
    /// To whom, in the order in which they got it.
    #[schema(value_type = Vec<String>)]
    pub to: Vec<PersonName>,
    /// When it was handed to somebody who did not have it yet for the last time.
    #[schema(value_type = String)]
    pub last: Timestamp,
}

impl Delivered {
    /// `downloaded by bob, eve`, or by how many where they are many.
    pub fn in_words(&self) -> String {
        let names: Vec<&str> = self.to.iter().map(PersonName::as_str).collect();
        match names.as_slice() {
            [] => "downloaded by nobody".into(),
            few if few.len() <= 4 => format!("downloaded by {}", few.join(", ")),
            many => format!("downloaded by {}, {} and {} more", many[0], many[1], many.len() - 2),
        }
    }
}

/// A live permit.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Released {
    /// The version.
    #[schema(value_type = String)]
    pub version: Version,
    /// The build.
    #[schema(value_type = String)]
    pub build: Digest,
    /// Since when.
    #[schema(value_type = String)]
    pub since: Timestamp,
    /// Until when it may be activated.
    #[schema(value_type = String)]
    pub not_after: Timestamp,
    /// Who approved.
    #[schema(value_type = Vec<String>)]
    pub approvers: Vec<PersonName>,
    /// Whether it was ever deployed there.
    pub deployed: bool,
    /// By which way.
    #[serde(default)]
    #[schema(value_type = String)]
    pub way: Way,
}

/// What some targets run.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Runs {
    /// The build.
    #[serde(flatten)]
    pub build: BuildName,
    /// Since when, on the first of them.
    #[schema(value_type = String)]
    pub since: Timestamp,
    /// On which targets.
    #[schema(value_type = Vec<String>)]
    pub on: Vec<TargetName>,
    /// Where it listens.
    pub endpoints: Vec<String>,
    /// Whether it is settled there.
    pub settled: bool,
    /// Whether it was stopped by an order.
    pub stopped: bool,
    /// Whether it may run there: nothing withdrawn, released or in a dev environment.
    pub permitted: bool,
    /// Where it is not as well as it was when it was verified, and what is wrong.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub unwell: BTreeMap<TargetName, String>,
}

/// One target.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TargetStatus {
    /// Its name.
    #[schema(value_type = String)]
    pub name: TargetName,
    /// Where it is.
    #[schema(value_type = String)]
    pub environment: AudienceName,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What it is.
    #[schema(value_type = Object)]
    pub facts: Facts,
    /// The age recipient for its secrets.
    pub recipient: String,
    /// Whether new deployments stay away.
    pub cordoned: bool,
    /// Whether it left for good.
    pub retired: bool,
    /// When it last polled, where it has since the server started.
    #[schema(value_type = Option<String>)]
    pub seen: Option<Timestamp>,
    /// Up to when its receipts tell of it, where all that is known of what it runs was carried here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub carried: Option<Timestamp>,
    /// When the newest word of the repository was signed that it has seen, as it says since the server started.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub refreshed: Option<Timestamp>,
    /// Whether that is too old by the charter: it activates nothing new until it refreshes.
    #[serde(default)]
    pub stale: bool,
    /// The version of its agent, as it said since the server started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<String>,
    /// What it runs.
    #[schema(value_type = BTreeMap<String, BuildName>)]
    pub runs: BTreeMap<AppName, BuildName>,
    /// How many things are wrong there.
    pub findings: u32,
    /// When its time is over, where it lives for a time only: it removes everything then, and leaves for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub ends: Option<Timestamp>,
    /// Whether it comes and goes: once it is silent for a while, it has left for good.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ephemeral: bool,
    /// Why it left, where nobody said that it is to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub departed: Option<String>,
}

/// Every condition of deploying a version to an environment.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Why {
    /// `web@1.4.0`.
    pub what: String,
    /// Where.
    #[schema(value_type = String)]
    pub audience: AudienceName,
    /// Whether it may be deployed now.
    pub may: bool,
    /// The conditions.
    pub conditions: Vec<Condition>,
    /// What runs there, in words.
    pub runs: String,
    /// Who sees it, in words.
    pub seen: String,
}

/// One condition.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Condition {
    /// Whether it is met.
    pub met: bool,
    /// What it is, in words.
    pub what: String,
    /// Who can meet it, or what to type.
    pub remedy: Option<String>,
}

/// An entry with its free texts.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct HistoryEntry {
    /// The entry, without its envelope.
    #[schema(value_type = Object)]
    pub entry: Entry,
    /// What happened, a line an event.
    pub lines: Vec<String>,
}

/// Where a code change has got to (R16).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Trace {
    /// The full commit id.
    pub commit: String,
    /// The builds made from it.
    pub builds: Vec<TracedBuild>,
}

/// One build made from a commit.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TracedBuild {
    /// The application.
    #[schema(value_type = String)]
    pub app: AppName,
    /// The build.
    #[serde(flatten)]
    pub build: BuildName,
    /// When it was pushed.
    #[schema(value_type = String)]
    pub pushed: Timestamp,
    /// By whom.
    #[schema(value_type = String)]
    pub pusher: PersonName,
    /// The vendor that made it, where it was brought in and not pushed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub vendor: Option<VendorName>,
    /// The audiences that have a live permit.
    #[schema(value_type = Vec<String>)]
    pub released_to: Vec<AudienceName>,
    /// Where it runs, and on how many targets.
    #[schema(value_type = BTreeMap<String, u32>)]
    pub runs_in: BTreeMap<AudienceName, u32>,
    /// Where end users see it, and how many of them in percent.
    #[schema(value_type = BTreeMap<String, u8>)]
    pub exposed_in: BTreeMap<AudienceName, u8>,
}

/// One application.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct App {
    /// Its name.
    #[schema(value_type = String)]
    pub app: AppName,
    /// Its builds, newest first.
    pub builds: Vec<Build>,
}

/// One build.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Build {
    /// The build.
    #[serde(flatten)]
    pub name: BuildName,
    /// When it was pushed.
    #[schema(value_type = String)]
    pub pushed: Timestamp,
    /// By whom.
    #[schema(value_type = String)]
    pub pusher: PersonName,
    /// The vendor that made it, where it was brought in and not pushed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub vendor: Option<VendorName>,
    /// What it was made from.
    #[schema(value_type = Option<Object>)]
    pub commit: Option<Commit>,
    /// By which command.
    pub recipe: Option<String>,
    /// How many files it has.
    pub files: u64,
    /// Their length in bytes.
    pub size_bytes: u64,
    /// Its evidence: type, verdict, summary.
    pub evidence: Vec<(String, bool, String)>,
    /// In which environments it was verified on every target that it is for.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub ran_in: Vec<AudienceName>,
    /// What it lists, where it is a package: `api 1.4.0, db 2.0.1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
}

/// Every signed statement behind a version in an audience.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DossierView {
    /// The build.
    #[serde(flatten)]
    pub name: BuildName,
    /// The statements.
    #[schema(value_type = Object)]
    pub dossier: Dossier,
    /// The serial the next request for it gets.
    pub next_serial: u64,
    /// The version that runs or was last released there, to compare with.
    pub since: Option<BuildName>,
    /// The requests before the newest one, the oldest first.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    pub earlier_requests: Vec<Envelope>,
    /// Why it was requested, where a reason was given and not erased: its digest stands in the request.
    #[serde(default)]
    pub reason: Option<crate::write::Text>,
    /// The reasons of the dossier's withdrawals, as far as they were given and not erased; their digests stand in them.
    #[serde(default)]
    pub withdrawal_reasons: Vec<crate::write::Text>,
    /// Why it may not be activated there now, whatever permit it has: the audience's floor, a hold.
    #[serde(default)]
    pub barred: Vec<crate::problem::Problem>,
    /// The packages that list it and were asked for there: `shop@1.0.0`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<String>,
    /// Whoever pushed a member of it, where it is a package: where authors do not count, they do not either.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub makers: Vec<PersonName>,
}

/// What is known to be lost: targets have seen more of this ledger than it has.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Lost {
    /// The epoch now.
    pub epoch: u64,
    /// How many entries the ledger has.
    pub entries: u64,
    /// What each target saw that is not in this ledger.
    pub seen: Vec<LostSight>,
    /// What targets run and this ledger knows otherwise.
    pub runs: Vec<LostRun>,
    /// Withdrawals that targets keep and that this ledger cannot take again: `web@1.4.0 from prod`.
    pub withdrawals: Vec<String>,
}

/// An entry that a target saw and that this ledger does not have.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LostSight {
    /// The target.
    #[schema(value_type = String)]
    pub target: TargetName,
    /// In which epoch.
    pub epoch: u64,
    /// How many entries the ledger had then, by its own signature.
    pub entries: u64,
    /// Whether owners have signed a new epoch since.
    pub is_over: bool,
}

/// An application on a target that the ledger has no record of.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LostRun {
    /// The target.
    #[schema(value_type = String)]
    pub target: TargetName,
    /// The application.
    #[schema(value_type = String)]
    pub app: AppName,
    /// What is active there.
    #[schema(value_type = String)]
    pub active: Digest,
    /// What the ledger says is.
    #[schema(value_type = Option<String>)]
    pub recorded: Option<Digest>,
    /// Whether the ledger knows the build at all.
    pub is_known: bool,
}

/// One deployment.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DeploymentView {
    /// Its number.
    pub deployment: u64,
    /// The application.
    #[schema(value_type = String)]
    pub app: AppName,
    /// Where.
    #[schema(value_type = String)]
    pub environment: AudienceName,
    /// What was to be done.
    #[schema(value_type = String)]
    pub act: OrderAct,
    /// The build.
    #[serde(flatten)]
    pub build: BuildName,
    /// Who ordered it.
    #[schema(value_type = String)]
    pub deployer: PersonName,
    /// When.
    #[schema(value_type = String)]
    pub requested: Timestamp,
    /// How it ended, if it has.
    #[schema(value_type = Option<String>)]
    pub ending: Option<Ending>,
    /// When it ended.
    #[schema(value_type = Option<String>)]
    pub ended: Option<Timestamp>,
    /// Since when it is settled.
    #[schema(value_type = Option<String>)]
    pub settled: Option<Timestamp>,
    /// Why it was undone.
    pub reason: Option<String>,
    /// What it waits on, in words.
    pub waits: Option<String>,
    /// The time it was planned for, where it was.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub at: Option<Timestamp>,
    /// When it is dropped if it has not begun.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub expires: Option<Timestamp>,
    /// Whether the data stays as later migrations left it.
    #[serde(default)]
    pub keep_data: bool,
    /// What the deployer was warned of.
    pub warnings: Vec<String>,
    /// How it goes over its targets.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub rollout: Rollout,
    /// Its rings and how many targets each has, in order; empty where there is one only.
    #[serde(default)]
    pub rings: Vec<(String, u32)>,
    /// How many waves it takes, as far as can be known.
    #[serde(default)]
    pub waves: u32,
    /// What people said about it while it was under way, oldest first.
    #[serde(default)]
    pub guided: Vec<GuidanceView>,
    /// Its targets.
    pub targets: Vec<PartView>,
    /// The members, where it is a package that is deployed; it has no targets then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<MemberView>,
    /// The deployment of a package that it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<u64>,
}

/// One member's part in the deployment of a package.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MemberView {
    /// The member.
    #[schema(value_type = String)]
    pub app: AppName,
    /// The build that the package lists.
    #[serde(flatten)]
    pub build: BuildName,
    /// The members that it comes after.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub after: Vec<AppName>,
    /// `waiting`, `at it`, `in place`, `done`, `going back`, `undone`, `failed`, `ended`.
    pub state: String,
    /// Its own deployment, once it has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<u64>,
    /// The step in which it begins, from 1.
    pub step: u32,
}

/// What somebody said about a deployment under way.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct GuidanceView {
    /// When.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// Who.
    #[schema(value_type = String)]
    pub by: PersonName,
    /// `paused`, `resumed`, `retried`, `excluded`, `aborted`.
    pub word: String,
    /// With which targets, where with some only.
    #[schema(value_type = Vec<String>)]
    pub targets: Vec<TargetName>,
    /// Why, where a reason was given and not erased.
    pub reason: Option<String>,
}

/// One target's part in a deployment.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PartView {
    /// The target.
    #[schema(value_type = String)]
    pub target: TargetName,
    /// `waiting`, `at it`, `verified`, `undone`, `failed`, `refused`, `going back`, `absent`, `left out`.
    pub state: String,
    /// What there is to say about it: why it failed, why the target refused.
    pub detail: Option<String>,
    /// The phase that failed, where one did.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub failed_in: Option<Phase>,
    /// In which wave it had its turn, once it had.
    #[serde(default)]
    pub wave: Option<u32>,
    /// What ran there before.
    pub before: Option<BuildName>,
    /// Its phases.
    #[schema(value_type = Vec<Object>)]
    pub phases: Vec<PhaseTiming>,
    /// Where its processes listen.
    pub endpoints: Vec<String>,
}

/// Who a handle is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PersonView {
    /// The handle; another in its place once the person was erased.
    #[schema(value_type = String)]
    pub handle: PersonName,
    /// The name, where somebody said it.
    pub name: Option<String>,
    /// When the person was erased.
    #[schema(value_type = Option<String>)]
    pub erased: Option<Timestamp>,
}

/// The config in force; secrets as they are encrypted.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ConfigView {
    /// Counts the sets; 0 where there is none.
    pub serial: u64,
    /// The document, where there is one.
    #[schema(value_type = Option<Object>)]
    pub document: Option<trust::config::ConfigDocument>,
    /// The keys the newest build declares: whether each is a secret, and its default.
    #[schema(value_type = Object)]
    pub declared: BTreeMap<String, trust::manifest::ConfigKey>,
    /// The age recipients of the environment's targets.
    #[schema(value_type = BTreeMap<String, String>)]
    pub recipients: BTreeMap<TargetName, String>,
    /// What vouches for each of those targets: whoever encrypts to one checks it.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub vouched: BTreeMap<TargetName, Vouched>,
    /// The targets that still lack the secrets.
    #[schema(value_type = Vec<String>)]
    pub lacking: Vec<TargetName>,
}

/// The signed statements by which a target joined.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Vouched {
    /// The invitation, by somebody who may invite.
    pub invitation: trust::dsse::Envelope,
    /// The enrolment, by the invitation's key and the target's own.
    pub enrolment: trust::dsse::Envelope,
}

/// What runs without permission, and what is not as it should be (R37).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Escapes {
    /// What was found.
    pub escapes: Vec<Escape>,
    /// How fresh each target's answer is.
    #[schema(value_type = BTreeMap<String, Option<String>>)]
    pub scanned: BTreeMap<TargetName, Option<Timestamp>>,
    /// What each target itself signed, for whoever would rather not take the server's word.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub signed: BTreeMap<TargetName, SignedInventory>,
    /// The statements behind each build that those inventories name.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    pub active: Vec<ActiveBuild>,
}

/// A target's newest inventory, and what vouches for the key that signed it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SignedInventory {
    /// The statements by which it joined.
    pub vouched: Option<Vouched>,
    /// The inventory.
    pub inventory: Option<trust::dsse::Envelope>,
}

/// A build that is active somewhere, with what permits it there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ActiveBuild {
    /// The application.
    pub app: AppName,
    /// The build.
    pub name: BuildName,
    /// In which environment.
    pub environment: AudienceName,
    /// The statements behind it. Where permits are for some targets only, the build stands in several, each with another.
    pub dossier: trust::authority::Dossier,
}

/// One escape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Escape {
    /// On which target.
    #[schema(value_type = String)]
    pub target: TargetName,
    /// In which environment.
    #[schema(value_type = String)]
    pub environment: AudienceName,
    /// What is wrong, in words.
    pub what: String,
    /// The finding behind it, where it is one of files.
    #[schema(value_type = Option<Object>)]
    pub finding: Option<Finding>,
    /// The build that runs without permission, where it is one.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub build: Option<Digest>,
}

/// The versions a channel may have (R6), newest first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Feed {
    /// The channel.
    #[schema(value_type = String)]
    pub channel: AudienceName,
    /// The application.
    #[schema(value_type = String)]
    pub app: AppName,
    /// The versions.
    pub versions: Vec<FeedVersion>,
}

/// One version of a feed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FeedVersion {
    /// The number.
    #[schema(value_type = String)]
    pub version: Version,
    /// The manifest's digest, to be had from the depot under the feed's path.
    #[schema(value_type = String)]
    pub manifest: Digest,
    /// Since when.
    #[schema(value_type = String)]
    pub released: Timestamp,
}

/// A version that a channel gives, with everything that proves it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Offer {
    /// The build.
    #[serde(flatten)]
    pub name: BuildName,
    /// Its manifest, whose digest is the build's.
    pub manifest: crate::write::Attachment,
    /// The signed statements behind it, for whoever is logged in.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub dossier: Option<Dossier>,
}

/// A proof that one log extends another.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Consistency {
    /// The hashes, as RFC 9162 orders them.
    #[schema(value_type = Vec<String>)]
    pub proof: Vec<Digest>,
}

/// What travels over [`crate::routes::EVENTS`].
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Happening {
    /// An entry was accepted.
    Entry(Box<HistoryEntry>),
    /// A target told its progress.
    Progress(crate::agent::ProgressReport),
}
