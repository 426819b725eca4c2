//! What is so now: a fold of the ledger, held in persistent maps so that a copy costs almost nothing.

use crate::{event::Event, planned::Planned};
use imbl::{OrdMap, OrdSet};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use trust::{AppName, AudienceName, Digest, PersonName, TargetName, TokenName, Version, key::KeyId};

mod application;
mod apply;
mod audience;
mod deployment;
mod freeze;
mod parts;
mod policy;
mod serving;
mod target;
pub use application::{App, Build, DraftBuild, DraftPart, EvidenceRecord, Imported, Numbered, OfVendor};
pub use apply::apply;
pub use audience::{
    Approved, ConfigInForce, DataChange, DataHere, Hold, InAudience, Ran, Request, Standing, Withdrawal,
};
pub use deployment::{Deployment, DeploymentPhase, Guidance, GuidanceWord, InPackage, MemberPart, Others, Pause};
pub use freeze::{Excepted, Freeze};
pub use parts::{Aside, Doubt, Part, Parts, Progress};
pub use policy::{Policy, PolicyRecord};
pub use serving::{counted_anew, is_counted_on, lasting};
pub use target::{Assigned, Cordon, Invitation, OnTarget, Running, Target, Unwell};

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
    /// Since when the charter's epoch is in force, where it is not the first.
    #[serde(default)]
    pub epoch_since: Option<Timestamp>,
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
