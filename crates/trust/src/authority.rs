//! The proof that something may happen on a target: what the agent checks before it touches anything.
//!
//! [`authorise`] goes through the checks in the order of the design and answers with a [`VerifiedAuthority`], which
//! can be had nowhere else, or with the first [`Denial`]. How fresh the target's knowledge is ([`Freshness`]) comes from
//! the TUF client that verified timestamp and snapshot.

use crate::{
    charter::{Charter, Class, DeployedBy, Environment},
    config::{ConfigDocument, ConfigError, check_keys},
    digest::Digest,
    dsse::Envelope,
    freeze::{Known, brings_something_new},
    manifest::{Manifest, ManifestError},
    names::{AppName, AudienceName, PersonName, TargetName},
    quorum::Rule,
    statement::{Act, Config, Order, OrderAct},
    vendor::{Heard, Release},
    version::Version,
    way::{KeptEmergency, Way},
};
use jiff::{SignedDuration, Timestamp};
use policy::Opened;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

mod denial;
mod documents;
mod enrolment;
mod gates;
mod granted;
mod lapse;
mod moment;
mod orders;
mod package;
mod policy;

pub use denial::{Denial, OF_THE_MOMENT};
pub use documents::{Documents, DocumentsError, VerifiedDocuments};
pub use gates::gates;
pub(crate) use granted::{Permit, Vendors, live_permit, permit_behind, released_by_vendor};
pub use granted::{permit_of, released_to, standing_permit, vendor_release};
pub use lapse::Lapsed;
pub use orders::{CarriedOut, ORDER_GOOD_DAYS};
pub use package::PackageDossier;
pub use policy::{KeptWithdrawal, TrustedPolicy};

/// The signed statements behind one assignment, as the server hands them over. Nothing in it is trusted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dossier {
    /// Who pushed the build.
    pub push: Option<Envelope>,
    /// Who numbered it.
    #[serde(default)]
    pub number: Option<Envelope>,
    /// The request.
    #[serde(default)]
    pub request: Option<Envelope>,
    /// The approvals of that request.
    #[serde(default)]
    pub approvals: Vec<Envelope>,
    /// The deployer's order.
    #[serde(default)]
    pub order: Option<Envelope>,
    /// The config statement.
    #[serde(default)]
    pub config: Option<Envelope>,
    /// The evidence.
    #[serde(default)]
    pub evidence: Vec<Envelope>,
    /// Withdrawals for the application here.
    #[serde(default)]
    pub withdrawals: Vec<Envelope>,
    /// What is said of freezes here: declared, lifted, excepted from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freezes: Vec<Envelope>,
    /// The release of whoever made it, where that is a vendor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<Release>,
    /// The package that brings the build, where the permit or the order is that of a package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<PackageDossier>,
}

/// What an agent knows of itself since its enrolment, and takes from nobody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pinned {
    /// The estate.
    pub estate: Digest,
    /// Its environment.
    pub environment: AudienceName,
    /// That environment's class, whatever a later charter says.
    pub class: Class,
    /// Its own name.
    pub target: TargetName,
    /// The applications it accepts; empty means all.
    pub apps: BTreeSet<AppName>,
}

/// What is wanted on the target.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// The application.
    pub app: &'a AppName,
    /// The build it brings or acts on.
    pub build: Digest,
    /// What is to be done.
    pub act: OrderAct,
    /// The builds that settled here, by the target's own journal.
    pub settled: &'a [Digest],
    /// What is active here.
    pub active: Option<Digest>,
    /// The orders that this target has carried out.
    pub carried_out: CarriedOut<'a>,
    /// The emergency permits that this target ever found to hold, by its own memory.
    pub emergencies: &'a [KeptEmergency],
    /// The freezes that this target ever heard of, by its own memory.
    pub freezes: &'a [Known],
    /// How fresh what is known here is.
    pub freshness: Freshness,
    /// What this target ever heard of the application's vendor, where it has one.
    pub heard: Option<&'a Heard>,
    /// The lowest version of the package behind it that may still be activated, by the target's own memory.
    pub package_floor: Option<&'a Version>,
}

impl<'a> Wanted<'a> {
    /// Whether it would bring what has never settled here. A target that joined after what everybody goes back to gets it as
    /// it would get any deployment: by a permit that lives.
    fn is_new(&self) -> bool {
        let is_unknown = || !self.settled.contains(&self.build);
        match self.act {
            OrderAct::Deploy | OrderAct::Redeploy => true,
            OrderAct::Rollback => is_unknown(),
            OrderAct::Switch => self.active == Some(self.build) && is_unknown(),
            OrderAct::Configure | OrderAct::Undeploy | OrderAct::Stop | OrderAct::Start | OrderAct::Restart => false,
        }
    }

    /// Whether freezes and closed windows stop it: a switch back to what settled here they do not, nor does any end of
    /// service.
    fn waits_for_its_moment(&self) -> bool {
        brings_something_new(self.act) && (self.act != OrderAct::Switch || self.is_new())
    }

    /// Expiry of a vendor's release stops new activations only, as that of a permit does.
    fn vendors(&self, now: Timestamp) -> Vendors<'a> {
        Vendors { heard: self.heard, now: self.is_new().then_some(now) }
    }
}

/// How fresh a target's knowledge is: what has to do with withdrawals that it may not have heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// How the order came.
    pub road: Road,
    /// When the owners dated what they signed last; nothing in files from before they did.
    pub owners_signed: Option<Timestamp>,
    /// Whether the owners delegated a repository. Their signature decides that there is a date to be seen, so that no
    /// server can make a target forget it; charters from before there was a repository ask for none.
    pub is_demanded: bool,
    /// When the newest timestamp was signed that this target verified.
    pub signed: Option<Timestamp>,
}

/// How an order came to a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Road {
    /// From the server, which could have told of everything new.
    Network,
    /// By hand: in a bundle.
    Carried,
}

/// How far two machines' clocks may differ before it matters.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_mins(5);

impl Freshness {
    /// Whether something new may be activated at `now`: undo, restart, removal and the intake of withdrawals never ask.
    pub fn check(&self, environment: &Environment, now: Timestamp) -> Result<(), Denial> {
        let behind = |signed: Timestamp| signed > now.saturating_add(CLOCKS_DIFFER).unwrap_or(Timestamp::MAX);
        if let Some(signed) = self.owners_signed.filter(|signed| behind(*signed)) {
            return Err(Denial::ClockBehind { what: "the charter", signed, now });
        }
        if !self.is_demanded {
            return Ok(());
        }
        let hours = i64::from(environment.stale_hours);
        let hours = match self.road {
            Road::Network => hours,
            // What is fresh enough for the network is fresh enough for whoever carries it.
            Road::Carried => hours.max(i64::from(environment.offline_days) * 24),
        };
        let limit = SignedDuration::from_hours(hours);
        match self.signed {
            // A date that has not come would make what it dates fresh for ever.
            Some(signed) if behind(signed) => Err(Denial::ClockBehind { what: "the repository", signed, now }),
            Some(signed) if now.duration_since(signed) <= limit => Ok(()),
            signed => Err(Denial::Stale { signed, hours, road: self.road }),
        }
    }
}

/// The proof. Its variants can be made in this module alone.
#[derive(Clone, Debug, PartialEq)]
pub enum VerifiedAuthority {
    /// A live permit, and an order where the class asks for one.
    Permit(Proof),
    /// As a permit, by the way that waives most: whoever performs it says so loudly.
    BreakGlass(Proof),
    /// A build that was never released, in a dev environment, by one who may push there and one who may deploy.
    Unreleased(Proof),
    /// Back to what ran when the deployment began.
    Undo(Proof),
    /// Back to what last settled, under a permit not since withdrawn.
    Rollback(Proof),
    /// Away with it.
    Removal(Proof),
    /// Stop, start, restart or configure what is active.
    Control(Proof),
    /// Away with everything: the target's time is over by the charter.
    Lapse(Proof),
}

/// What was proved. Made by [`authorise`], [`VerifiedAuthority::undo`] and [`VerifiedAuthority::lapse`] only.
#[derive(Clone, Debug, PartialEq)]
pub struct Proof {
    app: AppName,
    build: Option<Digest>,
    permit: Option<Held>,
}

/// The permit that was found to hold.
#[derive(Clone, Debug, PartialEq)]
struct Held {
    way: Way,
    request: Digest,
    people: BTreeSet<PersonName>,
    /// What was asked for: the build itself, or the package that lists it.
    about: (AppName, Digest),
}

impl VerifiedAuthority {
    fn proof(&self) -> &Proof {
        match self {
            VerifiedAuthority::Permit(proof)
            | VerifiedAuthority::BreakGlass(proof)
            | VerifiedAuthority::Unreleased(proof)
            | VerifiedAuthority::Undo(proof)
            | VerifiedAuthority::Rollback(proof)
            | VerifiedAuthority::Removal(proof)
            | VerifiedAuthority::Control(proof)
            | VerifiedAuthority::Lapse(proof) => proof,
        }
    }

    /// The application it is for.
    pub fn app(&self) -> &AppName {
        &self.proof().app
    }

    /// The build it allows to be active; nothing where it allows removal, or an undo back to nothing.
    pub fn build(&self) -> Option<Digest> {
        self.proof().build
    }

    /// The way of the permit that was found to hold; the normal one where no permit was needed.
    pub fn way(&self) -> Way {
        self.proof().permit.as_ref().map(|held| held.way).unwrap_or_default()
    }

    /// Whether it lets something run that did not run before.
    pub fn activates(&self) -> bool {
        use VerifiedAuthority::{BreakGlass, Permit, Unreleased};
        matches!(self, Permit(_) | BreakGlass(_) | Unreleased(_))
    }

    /// The emergency that the target has to remember, where the permit is one.
    pub fn emergency(&self) -> Option<KeptEmergency> {
        let Held { way, request, people, about: (app, build) } = self.proof().permit.clone()?;
        (!way.is_normal()).then_some(KeptEmergency { app, build, way, request, people })
    }

    /// The package by whose permit it is allowed, where it is not by its own.
    fn package(&self) -> Option<&(AppName, Digest)> {
        let Proof { app, permit, .. } = self.proof();
        permit.as_ref().map(|held| &held.about).filter(|(about, _)| about != app)
    }

    /// Undo is always allowed: within one unfinished deployment, back to what the agent's own journal says was active
    /// when it began. `before` comes from that journal, never from a server.
    pub fn undo(app: &AppName, before: Option<Digest>) -> Self {
        VerifiedAuthority::Undo(Proof { app: app.clone(), build: before, permit: None })
    }

    /// The word for the journal.
    pub fn word(&self) -> &'static str {
        match self {
            VerifiedAuthority::Permit(_) if self.way() == Way::Hotfix => Way::Hotfix.word(),
            VerifiedAuthority::Permit(_) => "permit",
            VerifiedAuthority::BreakGlass(_) => Way::BreakGlass.word(),
            VerifiedAuthority::Unreleased(_) => "unreleased",
            VerifiedAuthority::Undo(_) => "undo",
            VerifiedAuthority::Rollback(_) => "rollback",
            VerifiedAuthority::Removal(_) => "removal",
            VerifiedAuthority::Control(_) => "control",
            VerifiedAuthority::Lapse(_) => "lapse",
        }
    }
}

/// Whether someone with these roles may withdraw from `audience` alone.
pub fn may_withdraw(charter: &Charter, audience: &AudienceName, roles: &BTreeSet<crate::names::RoleName>) -> bool {
    let rules = charter.audience(audience).map(|audience| audience.rules().collect::<Vec<_>>());
    let approve: Vec<_> = rules.into_iter().flatten().flat_map(Rule::roles).collect();
    let deploy = charter.environments.get(audience).map(|environment| environment.deploy.roles()).unwrap_or_default();
    let counts = |role: &crate::names::RoleName| {
        role.as_str() == crate::charter::OWNER || approve.contains(role) || deploy.contains(role)
    };
    roles.iter().any(counts)
}

/// The features this agent has; a charter may require some.
pub const FEATURES: &[&str] = &[];

/// Goes through the checks in the design's order. `manifest` and `config_document` are the bytes fetched from the depot;
/// `kept` are all withdrawals this target ever found genuine, those of the dossier included.
pub fn authorise(
    policy: &TrustedPolicy,
    pinned: &Pinned,
    dossier: &Dossier,
    wanted: &Wanted<'_>,
    kept: &[KeptWithdrawal],
    floor: Option<&Version>,
    now: Timestamp,
) -> Result<VerifiedAuthority, Denial> {
    check_place(policy, pinned, wanted)?;
    if let (true, Some(environment)) = (wanted.is_new(), policy.charter.environments.get(&pinned.environment)) {
        wanted.freshness.check(environment, now)?;
    }
    let order = check_order(policy, pinned, dossier, wanted)?;
    let authority = prove(policy, pinned, dossier, wanted, kept, floor, now)?;
    // Last, so that whatever else is wrong with what is repeated is said first.
    wanted.carried_out.check(&order, authority.activates(), now)?;
    moment::check(policy, pinned, wanted, &authority, &order.act.schedule, now)?;
    Ok(authority)
}

/// Everything after the order: that the subject of it may run, or stop running, here.
fn prove(
    policy: &TrustedPolicy,
    pinned: &Pinned,
    dossier: &Dossier,
    wanted: &Wanted<'_>,
    kept: &[KeptWithdrawal],
    floor: Option<&Version>,
    now: Timestamp,
) -> Result<VerifiedAuthority, Denial> {
    let app = wanted.app.clone();
    let proof = |build: Option<Digest>| Proof { app: app.clone(), build, permit: None };
    match wanted.act {
        OrderAct::Undeploy => return Ok(VerifiedAuthority::Removal(proof(None))),
        OrderAct::Stop | OrderAct::Start | OrderAct::Restart | OrderAct::Configure => {
            return match wanted.active {
                Some(active) if active == wanted.build => Ok(VerifiedAuthority::Control(proof(Some(active)))),
                _ => Err(Denial::NotHere(format!("{}#{} is not active here", wanted.app, wanted.build.short()))),
            };
        }
        // What serves makes way for what the order names; what it names needs all that a deployment needs.
        OrderAct::Switch => match wanted.active {
            Some(active) if active == wanted.build => {}
            Some(active) => return Ok(VerifiedAuthority::Control(proof(Some(active)))),
            None => return Err(Denial::NotHere(format!("{} does not run here", wanted.app))),
        },
        OrderAct::Deploy | OrderAct::Redeploy | OrderAct::Rollback => {}
    }
    if wanted.is_new() && policy.charter.deployed_by(wanted.app, pinned.class) != DeployedBy::Us {
        return Err(Denial::DeployedByOthers(wanted.app.clone()));
    }
    if !dossier.is_asked_for() {
        if released_by_vendor(policy, wanted.app, wanted.build, dossier, &wanted.vendors(now))?.is_none() {
            granted::pushed(policy, wanted.app, wanted.build, dossier.push.as_ref())?;
        }
        if pinned.class != Class::Dev {
            return Err(Denial::Unreleased {
                app: wanted.app.clone(),
                build: wanted.build,
                environment: pinned.environment.clone(),
                class: pinned.class.word(),
            });
        }
        return Ok(VerifiedAuthority::Unreleased(proof(Some(wanted.build))));
    }
    let permit = check_permit(policy, pinned, dossier, wanted, kept, now)?;
    let is_below = |version: &Version, floor: Option<&Version>| match floor.filter(|floor| version < *floor) {
        Some(floor) if wanted.is_new() => Err(Denial::BelowFloor { version: version.clone(), floor: floor.clone() }),
        _ => Ok(()),
    };
    is_below(&permit.version, floor)?;
    if permit.is_of_package(wanted.app) {
        is_below(&permit.asked.version, wanted.package_floor)?;
    }
    // Expiry stops new activations only: a rollback goes back to what was found good once.
    let age_at = wanted.is_new().then_some(now);
    gates::check(policy, &pinned.environment, dossier, wanted, &permit, age_at)?;
    let way = permit.asked.way;
    let people = permit.approvers.into_iter().chain(permit.requesters).collect();
    let held = Held { way, request: permit.request, people, about: permit.about };
    let proof = Proof { app: wanted.app.clone(), build: Some(wanted.build), permit: Some(held) };
    if !wanted.is_new() {
        return Ok(VerifiedAuthority::Rollback(proof));
    }
    Ok(match way {
        Way::Normal | Way::Hotfix => VerifiedAuthority::Permit(proof),
        Way::BreakGlass => VerifiedAuthority::BreakGlass(proof),
    })
}

fn check_place(policy: &TrustedPolicy, pinned: &Pinned, wanted: &Wanted<'_>) -> Result<(), Denial> {
    if !pinned.apps.is_empty() && !pinned.apps.contains(wanted.app) {
        return Err(Denial::AppNotAccepted(wanted.app.clone()));
    }
    let environment = policy.charter.environments.get(&pinned.environment);
    if environment.is_none_or(|environment| environment.class != pinned.class) {
        return Err(Denial::ClassChanged {
            environment: pinned.environment.clone(),
            pinned: pinned.class.word(),
            charter: environment.map_or("nothing of it", |environment| environment.class.word()),
        });
    }
    match policy.charter.requires.iter().find(|feature| !FEATURES.contains(&feature.as_str())) {
        Some(feature) => Err(Denial::FeatureMissing(feature.clone())),
        None => Ok(()),
    }
}

/// The order, if it fits and counts.
fn check_order<'a>(
    policy: &'a TrustedPolicy,
    pinned: &Pinned,
    dossier: &Dossier,
    wanted: &Wanted<'_>,
) -> Result<Opened<'a, Order>, Denial> {
    let what = "order";
    let invalid = |why: String| Denial::Invalid { what, why };
    let opened = policy.open_present(dossier.order.as_ref(), what, |act| match act {
        Act::Order(order) => Some(order),
        _ => None,
    })?;
    let Order { app, environment, act, only, .. } = &opened.act;
    if *environment != pinned.environment || *act != wanted.act {
        return Err(invalid("it orders something else".into()));
    }
    if app != wanted.app || opened.subject != wanted.build {
        // It may be for the package that lists the build: one order for all its members.
        let package = package::listing(policy, wanted.app, wanted.build, dossier)?;
        if package.is_none_or(|package| package.app != *app || package.build != opened.subject) {
            return Err(invalid("it orders something else".into()));
        }
    }
    if !only.is_empty() && !only.contains(&pinned.target) {
        return Err(invalid("it is for other targets".into()));
    }
    let Some(environment) = policy.charter.environments.get(&pinned.environment) else {
        return Err(invalid("the charter has no such environment".into()));
    };
    policy.require(what, &environment.deploy, &opened)?;
    Ok(opened)
}

fn check_permit(
    policy: &TrustedPolicy,
    pinned: &Pinned,
    dossier: &Dossier,
    wanted: &Wanted<'_>,
    kept: &[KeptWithdrawal],
    now: Timestamp,
) -> Result<Permit, Denial> {
    // A rollback goes back under a permit that was live once: expiry stops new activations only.
    let vendors = wanted.vendors(now);
    let permit = permit_behind(policy, wanted.app, wanted.build, &pinned.environment, dossier, &vendors)?;
    check_way(policy, pinned, wanted, &permit)?;
    granted::not_withdrawn(policy, wanted.app, wanted.build, &pinned.environment, dossier, &permit, kept)?;
    let asked = &permit.asked;
    if wanted.is_new() && (now < asked.not_before || now >= asked.not_after) {
        return Err(Denial::Expired { not_before: asked.not_before, not_after: asked.not_after, now });
    }
    Ok(permit)
}

/// An emergency reaches the targets it names, lives no longer than the charter says, and is not prolonged by those who
/// gave it: this target remembers who they were.
fn check_way(policy: &TrustedPolicy, pinned: &Pinned, wanted: &Wanted<'_>, permit: &Permit) -> Result<(), Denial> {
    let Permit { asked, request, requesters, about: (app, build), .. } = permit;
    let audience = policy.charter.audience(&pinned.environment).ok_or(Denial::Missing("audience"))?;
    let missing = || Denial::WayMissing { way: asked.way, environment: pinned.environment.clone() };
    let terms = audience.terms(asked.way).ok_or_else(missing)?;
    let exceeded = |why: String| Err(Denial::WayExceeded { way: asked.way, why });
    if !terms.reaches(&pinned.target) {
        return exceeded(format!("it is not for {}", pinned.target));
    }
    if terms.outlives(asked.not_before, asked.not_after) {
        let hours = terms.rule.map_or(0, |rule| rule.hours);
        return exceeded(format!("its permits live for {hours} hours at most"));
    }
    if asked.is_emergency() && asked.reason.is_none() {
        return exceeded("its request gives no reason".into());
    }
    let barred = |requester: &&PersonName| {
        let bars = |kept: &KeptEmergency| kept.bars(app, build, asked.way, request, requester);
        wanted.emergencies.iter().any(bars)
    };
    match requesters.iter().find(barred) {
        Some(requester) => {
            exceeded(format!("{requester} had a part in it before, and somebody else must ask for more"))
        }
        None => Ok(()),
    }
}

/// The manifest behind the digest that was authorised: the bytes must hash to it, and be of the application.
pub fn check_manifest(authority: &VerifiedAuthority, bytes: &[u8]) -> Result<Manifest, Denial> {
    let unfit = |why: String| Denial::Manifest(why);
    if authority.build() != Some(Digest::of(bytes)) {
        return Err(unfit("its digest is not the one that was authorised".into()));
    }
    let manifest = Manifest::from_bytes(bytes).map_err(|error: ManifestError| unfit(error.to_string()))?;
    if manifest.app != *authority.app() {
        return Err(unfit(format!("it is of {}", manifest.app)));
    }
    Ok(manifest)
}

/// The config document behind a signed config statement: by one who may configure here, for this application and
/// environment, never older than `last_serial`, with the document's digest, filling only keys the manifest declares.
pub fn check_config(
    policy: &TrustedPolicy,
    pinned: &Pinned,
    manifest: &Manifest,
    envelope: Option<&Envelope>,
    document: Option<&[u8]>,
    last_serial: u64,
) -> Result<(u64, Option<ConfigDocument>), Denial> {
    let unfit = |why: String| Denial::Config(why);
    let (Some(envelope), Some(document)) = (envelope, document) else {
        if last_serial > 0 {
            return Err(unfit(format!("set {last_serial} was here already, and no newer one was given")));
        }
        check_keys(&manifest.run, &BTreeMap::new()).map_err(|error| unfit(error.to_string()))?;
        return Ok((0, None));
    };
    let opened = policy.open(envelope, "config", |act| match act {
        Act::Config(config) => Some(config),
        _ => None,
    })?;
    let Config { app, environment, serial, .. } = &opened.act;
    if *app != manifest.app || *environment != pinned.environment {
        return Err(unfit("it is for another application or environment".into()));
    }
    if *serial < last_serial {
        return Err(unfit(format!("set {serial} is older than set {last_serial}, which was here already")));
    }
    if opened.subject != Digest::of(document) {
        return Err(unfit("the document is not the one that was signed".into()));
    }
    let charter_environment =
        policy.charter.environments.get(&pinned.environment).ok_or(Denial::Missing("environment"))?;
    policy.require("config", charter_environment.configure_rule(), &opened)?;
    let document = ConfigDocument::from_bytes(document).map_err(|error| unfit(error.to_string()))?;
    if document.app != manifest.app || document.environment != pinned.environment {
        return Err(unfit("the document is for another application or environment".into()));
    }
    check_keys(&manifest.run, &document.keys()).map_err(|error: ConfigError| unfit(error.to_string()))?;
    Ok((*serial, Some(document)))
}
