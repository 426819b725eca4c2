//! What may be deployed, what runs, who sees it: the board as data.

use super::BuildName;
use domain::waiting::WaitingOn;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use trust::{
    AppName, AudienceName, Digest, PersonName, TargetName, Version,
    charter::{Class, DeployedBy},
    statement::Facts,
    way::Way,
};
use utoipa::ToSchema;

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
    /// Which of [`Status::notes`] are about it and no other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
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
    /// Of a package of which not every member runs everywhere as it says, what is left, with the targets that any of it runs on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partly: Vec<Runs>,
    /// Of a package, the versions that run on some targets beside the one that stands, or where none does: they came to some only, or
    /// stayed where another did not come.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<Runs>,
    /// How many targets the application is for there.
    pub targets: u32,
    /// What waits, in words.
    pub waits: Vec<String>,
    /// What waits, as data.
    #[schema(value_type = Vec<Object>)]
    pub waiting: Vec<WaitingOn>,
    /// The orders that stand and will be dropped when their time comes, as things stand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<DroppedView>,
    /// The builds kept out.
    pub held: Vec<BuildName>,
    /// The same with since when and why.
    #[serde(default)]
    pub holds: Vec<HoldView>,
    /// The builds that failed there when they were last brought, and what stands and failed on some targets.
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
    /// Who deploys it there, where that is not us: what is released there is never deployed from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub deployed_by: Option<DeployedBy>,
}

/// An order that stands and will never begin, as things stand.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DroppedView {
    /// What it brings.
    #[serde(flatten)]
    pub build: BuildName,
    /// Its number.
    pub deployment: u64,
    /// Why it will be dropped.
    pub why: String,
}

impl DroppedView {
    /// `deployment 17 will be dropped: web@1.5.0 was withdrawn from prod at …`.
    pub fn in_words(&self) -> String {
        format!("deployment {} will be dropped: {}", self.deployment, self.why)
    }
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
    /// Why, and by whom where somebody said so: `rolled back by oncall`; `prod-1: verify: crashed`. Nothing where that is too long
    /// ago to be known here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// A build that failed when it was last brought, or on some targets only.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FailedView {
    /// The build.
    #[serde(flatten)]
    pub build: BuildName,
    /// In which deployment.
    pub deployment: u64,
    /// The targets on which it failed, where it stands and runs on others; none where it went back from all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub on: Vec<TargetName>,
}

impl FailedView {
    /// `1.5.0 failed in deployment 17`, or `1.5.0 failed on prod-3 (deployment 17)`.
    pub fn in_words(&self) -> String {
        let (build, number) = (self.build.short(), self.deployment);
        match self.on.is_empty() {
            true => format!("{build} failed in deployment {number}"),
            false => format!("{build} failed{} (deployment {number})", self.where_in_words()),
        }
    }

    /// ` on prod-3`, ` on prod-3 and 4 more`; nothing where it failed as a whole.
    pub fn where_in_words(&self) -> String {
        match self.on.as_slice() {
            [] => String::new(),
            [one, two, three, rest @ ..] if !rest.is_empty() => {
                format!(" on {one}, {two}, {three} and {} more", rest.len())
            }
            few => format!(" on {}", few.iter().map(TargetName::as_str).collect::<Vec<_>>().join(", ")),
        }
    }
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
    /// Whether it was ever deployed there, on any target and whatever became of it, or is being.
    pub deployed: bool,
    /// By which way.
    #[serde(default)]
    #[schema(value_type = String)]
    pub way: Way,
    /// The latest version that was released there after it, where one was: it is superseded (R45).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub superseded_by: Option<Version>,
    /// The later version that came there though this one never did: it was skipped (R44).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub skipped_for: Option<Version>,
}

impl Released {
    /// `superseded by 1.5.0, skipped`; nothing for the newest.
    pub fn passed_in_words(&self) -> Option<String> {
        let superseded = self.superseded_by.as_ref().map(|by| format!("superseded by {by}"));
        let skipped = self.skipped_for.as_ref().map(|_| "skipped".to_string());
        let words: Vec<String> = superseded.into_iter().chain(skipped).collect();
        (!words.is_empty()).then(|| words.join(", "))
    }
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
    /// Whether it was stopped by an order wherever it is.
    pub stopped: bool,
    /// On which of them it was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub stopped_on: Vec<TargetName>,
    /// Whether it may run there: nothing withdrawn, released or in a dev environment.
    pub permitted: bool,
    /// Where it is not as well as it was when it was verified, and what is wrong.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub unwell: BTreeMap<TargetName, String>,
    /// Where nobody can tell how it is, and people should look.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub unclear: BTreeMap<TargetName, String>,
    /// On which of them it stands by: it runs, and nobody is sent to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub standby: Vec<TargetName>,
}

impl Runs {
    /// Whether it stands by wherever it runs.
    pub fn all_stand_by(&self) -> bool {
        self.standby.len() == self.on.len() && !self.on.is_empty()
    }

    /// `1 stopped: prod-2`, where it was stopped on some of its targets and not on all.
    pub fn some_stopped(&self) -> Option<String> {
        let some = !self.stopped && !self.stopped_on.is_empty();
        some.then(|| format!("{} stopped: {}", self.stopped_on.len(), some_named(&self.stopped_on)))
    }

    /// `1 standing by: prod-2`, where it stands by on some of its targets and serves on others.
    pub fn some_stand_by(&self) -> Option<String> {
        let some = !self.all_stand_by() && !self.standby.is_empty();
        some.then(|| format!("{} standing by: {}", self.standby.len(), some_named(&self.standby)))
    }
}

fn some_named(targets: &[TargetName]) -> String {
    const NAMED: usize = 3;
    let names: Vec<&str> = targets.iter().take(NAMED).map(TargetName::as_str).collect();
    let more = match targets.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", names.join(", "))
}

impl Cell {
    /// What its targets run, and what is left of a package of which not all runs: whatever an order could act on.
    pub fn all_runs(&self) -> impl Iterator<Item = &Runs> {
        self.runs.iter().chain(&self.partly).chain(&self.beside)
    }

    /// Where a build runs.
    pub fn runs_of(&self, build: &BuildName) -> Option<&Runs> {
        self.runs.iter().find(|runs| runs.build == *build)
    }
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
    /// Since when, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub cordoned_since: Option<Timestamp>,
    /// Why, where somebody said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cordon_reason: Option<String>,
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
    /// Whether nobody has heard of it for a while, so that deployments go on without it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub away: bool,
    /// Whether two machines came by turns as this target a short while ago: one is a copy of the other.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub two: bool,
    /// Why it cannot go on with what it was told to do, as it says since the server started: a full disk, say. It tries again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck: Option<String>,
    /// The moment of the backup by which alone it is known what it runs: the server was put back from that, and has not heard of
    /// it since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub as_of: Option<Timestamp>,
    /// The version of its agent, as it said since the server started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<String>,
    /// What it runs.
    #[schema(value_type = BTreeMap<String, BuildName>)]
    pub runs: BTreeMap<AppName, BuildName>,
    /// What of it was stopped by an order.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub stopped: BTreeSet<AppName>,
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
