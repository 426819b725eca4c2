//! Which entries hold the signed statements behind a build in an audience.

use super::{build_name, permits};
use api::read::BuildName;
use domain::{
    plan,
    refusal::Refusal,
    rules::{self, Candidate, names},
    state::{Request, State},
};
use jiff::Timestamp;
use trust::{AppName, AudienceName, Digest, TargetName, charter::Class, statement::OrderAct};

/// The numbers of the entries whose envelopes make a dossier.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DossierEntries {
    /// Who pushed the build.
    pub push: Option<u64>,
    /// Who numbered it.
    pub number: Option<u64>,
    /// The request.
    pub request: Option<u64>,
    /// The approvals of that request.
    pub approvals: Vec<u64>,
    /// The deployer's order.
    pub order: Option<u64>,
    /// The config statement.
    pub config: Option<u64>,
    /// The evidence.
    pub evidence: Vec<u64>,
    /// The withdrawals for the application in the audience.
    pub withdrawals: Vec<u64>,
    /// What is said of freezes in the environment.
    pub freezes: Vec<u64>,
    /// What is known of the vendor's release, where a vendor makes the application.
    pub vendor: Option<VendorEntries>,
    /// What stands behind the package that brings the build, where one does.
    pub package: Option<PackageEntries>,
}

/// The entries and the object that make up what stands behind a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PackageEntries {
    /// Its manifest in the depot.
    pub manifest: Digest,
    /// Who pushed it.
    pub push: Option<u64>,
    /// Who numbered it.
    pub number: Option<u64>,
    /// The request that it be released.
    pub request: Option<u64>,
    /// The approvals of that request.
    pub approvals: Vec<u64>,
}

/// The documents of a vendor that make up its release as it stands now, in the depot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VendorEntries {
    /// The one with the release of the build.
    pub release: Digest,
    /// The one with the newest documents of the vendor's estate.
    pub newest: Digest,
    /// Those that tell of withdrawals.
    pub withdrawals: Vec<Digest>,
}

/// The statements behind an assignment, for the target to judge.
///
/// A dev environment takes builds that were never released, so a request is included there only when it is a live
/// permit: one that is not would take away what needs no permit.
pub(crate) fn for_assignment(
    state: &State,
    target: &TargetName,
    generation: u64,
    app: &AppName,
    now: Timestamp,
) -> Option<DossierEntries> {
    let is_asked = |assignment: &plan::Assignment| assignment.generation == generation && assignment.app == *app;
    let assignment = plan::assignments(state, target).into_iter().find(is_asked)?;
    let environment = &assignment.environment;
    let mut entries = of_build(state, app, &assignment.build, environment);
    entries.order = plan::order_of(state, target, app);
    let class = state.policy.as_ref().and_then(|policy| policy.charter.environments.get(environment)).map(|e| e.class);
    let version = build_name(state, app, &assignment.build).version;
    let request = version.and_then(|version| {
        // Where the newest is for other targets, an older one may be for this.
        let live = permits::live_on(state, app, &version, environment, target, now);
        let live = live.or_else(|| permits::live(state, app, &version, environment, now)).map(|(_, request)| request);
        match class {
            Some(Class::Dev) => live,
            _ => live.or_else(|| best_request(state, app, &version, environment)),
        }
    });
    let deployment = state.deployments.get(&assignment.deployment);
    let in_package = deployment.and_then(|deployment| deployment.package.as_ref());
    // What a package brings is brought by its permit, and by no other: the order is the package's.
    let (package, request) = match in_package {
        Some(of) => {
            let own = state.granted(app, &assignment.version.clone()?, environment).map(|(_, request)| request);
            let live = live_of_package(state, &of.app, &of.build, environment, target, now);
            (Some((of.app.clone(), of.build, live)), own)
        }
        None => match request.filter(|request| request.app != *app) {
            Some(request) => (Some((request.app.clone(), request.build, Some(request))), None),
            None => (None, request),
        },
    };
    entries.take_request(request);
    if let Some((package, build, request)) = package {
        entries.take_package(state, &package, &build, environment, request);
    }
    Some(entries)
}

/// The permit by which a package's members may run on a target, else the request that tells most.
fn live_of_package<'a>(
    state: &'a State,
    package: &AppName,
    build: &Digest,
    environment: &AudienceName,
    target: &TargetName,
    now: Timestamp,
) -> Option<&'a Request> {
    let version = build_name(state, package, build).version?;
    let class = state.policy.as_ref().and_then(|policy| policy.charter.environments.get(environment)).map(|e| e.class);
    let live = permits::live_on(state, package, &version, environment, target, now);
    let live = live.or_else(|| permits::live(state, package, &version, environment, now)).map(|(_, request)| request);
    match class {
        Some(Class::Dev) => live,
        _ => live.or_else(|| best_request(state, package, &version, environment)),
    }
}

/// The statements behind a build in an audience, for people to judge, with the serial its next request gets.
pub(crate) fn for_people(
    state: &State,
    app: &AppName,
    build: &Digest,
    audience: &AudienceName,
) -> Result<(DossierEntries, u64, Option<BuildName>), Refusal> {
    let policy = state.policy.as_ref().ok_or(Refusal::NoEstate)?;
    names::audience(policy, audience)?;
    names::build(state, app, build)?;
    let record = names::app(state, app)?;
    let mut entries = of_build(state, app, build, audience);
    let version = build_name(state, app, build).version;
    let newest = version.as_ref().and_then(|version| {
        let digest = record.audiences.get(audience)?.requests.get(version)?.last()?;
        state.requests.get(digest)
    });
    entries.take_request(newest);
    let next_serial = version.as_ref().map_or(1, |version| state.next_serial(app, version, audience));
    Ok((entries, next_serial, before(state, app, build, audience)))
}

/// Why a build may not be activated in an audience now, whatever permit it has.
pub(crate) fn barred(state: &State, app: &AppName, build: &Digest, audience: &AudienceName) -> Vec<Refusal> {
    let Ok(record) = names::app(state, app) else { return Vec::new() };
    let version = build_name(state, app, build).version;
    let below = version.and_then(|version| rules::permits::above_floor(state, app, &version, audience).err());
    let held = record.builds.get(build).and_then(|record| {
        let candidate = Candidate { app, build: *build, record, audience, act: OrderAct::Deploy, package: None };
        rules::holds::not_held(state, &candidate).err()
    });
    below.into_iter().chain(held).collect()
}

/// The request by which a build may be active on a target: the permit that is for it, else the one that tells most.
pub(crate) fn behind_active(
    state: &State,
    app: &AppName,
    build: &Digest,
    environment: &AudienceName,
    target: &TargetName,
) -> Option<Digest> {
    let version = build_name(state, app, build).version?;
    let reaches = permits::permitted_on(state, app, &version, environment, target).map(|(_, request)| request);
    reaches.or_else(|| best_request(state, app, &version, environment)).map(|request| request.digest)
}

/// The statements behind a build that is active in an environment: those of the request, where there is one.
pub(crate) fn for_active(
    state: &State,
    app: &AppName,
    build: &Digest,
    environment: &AudienceName,
    request: Option<Digest>,
) -> DossierEntries {
    let mut entries = of_build(state, app, build, environment);
    match request.and_then(|request| state.requests.get(&request)) {
        Some(request) if request.app != *app => {
            entries.take_package(state, &request.app, &request.build, environment, Some(request));
        }
        request => entries.take_request(request),
    }
    DossierEntries { config: None, evidence: Vec::new(), freezes: Vec::new(), ..entries }
}

/// The statements behind one request, without the withdrawals.
pub(crate) fn of_request(state: &State, request: &Request) -> DossierEntries {
    let mut entries = of_build(state, &request.app, &request.build, &request.audience);
    entries.take_request(Some(request));
    DossierEntries { config: None, withdrawals: Vec::new(), freezes: Vec::new(), vendor: None, ..entries }
}

/// The statements behind a version's live permit to a channel, for whoever fetches it to judge.
pub(crate) fn for_channel(
    state: &State,
    app: &AppName,
    version: &trust::Version,
    channel: &AudienceName,
    now: Timestamp,
) -> Option<DossierEntries> {
    let (_, request) = permits::live(state, app, version, channel, now)?;
    let withdrawals = of_build(state, app, &request.build, channel).withdrawals;
    Some(DossierEntries { withdrawals, evidence: Vec::new(), ..of_request(state, request) })
}

/// Every request for a build's version to an audience, the oldest first.
pub(crate) fn requests<'a>(
    state: &'a State,
    app: &AppName,
    build: &Digest,
    audience: &AudienceName,
) -> Vec<&'a Request> {
    let version = build_name(state, app, build).version;
    let here = state.in_audience(app, audience);
    let digests = here.zip(version).and_then(|(here, version)| here.requests.get(&version));
    digests.into_iter().flatten().filter_map(|digest| state.requests.get(digest)).collect()
}

fn of_build(state: &State, app: &AppName, build: &Digest, audience: &AudienceName) -> DossierEntries {
    let Some(record) = state.apps.get(app) else { return DossierEntries::default() };
    let build = record.builds.get(build);
    let in_audience = record.audiences.get(audience);
    let vendor = state.policy.as_ref().and_then(|policy| policy.charter.vendor_of(app)).and_then(|(_, vendor)| {
        let of_vendor = record.vendors.get(&vendor.id())?;
        let mut withdrawals: Vec<Digest> = of_vendor.withdrawals.iter().map(|(_, document)| *document).collect();
        withdrawals.dedup();
        let release = build?.vendor.as_ref()?.word.document;
        Some(VendorEntries { release, newest: of_vendor.word.document, withdrawals })
    });
    let numbered = build.and_then(|build| build.version.as_ref()).and_then(|version| record.versions.get(version));
    DossierEntries {
        vendor,
        push: build.map(|build| build.stamp.entry),
        number: numbered.map(|numbered| numbered.stamp.entry),
        config: in_audience.and_then(|record| record.config.as_ref()).map(|config| config.stamp.entry),
        evidence: build.into_iter().flat_map(|build| &build.evidence).map(|evidence| evidence.stamp.entry).collect(),
        withdrawals: in_audience
            .into_iter()
            .flat_map(|record| &record.withdrawals)
            .map(|withdrawal| withdrawal.stamp.entry)
            .collect(),
        freezes: super::freezes::of_audience(state, audience),
        ..Default::default()
    }
}

impl DossierEntries {
    fn take_request(&mut self, request: Option<&Request>) {
        self.request = request.map(|request| request.stamp.entry);
        self.approvals =
            request.into_iter().flat_map(|request| &request.approvals).map(|approved| approved.stamp.entry).collect();
    }

    /// Adds what stands behind a package; its withdrawals come with those of the build.
    fn take_package(
        &mut self,
        state: &State,
        package: &AppName,
        build: &Digest,
        audience: &AudienceName,
        request: Option<&Request>,
    ) {
        let of = of_build(state, package, build, audience);
        self.withdrawals.extend(of.withdrawals);
        self.package = Some(PackageEntries {
            manifest: *build,
            push: of.push,
            number: of.number,
            request: request.map(|request| request.stamp.entry),
            approvals: request
                .into_iter()
                .flat_map(|request| &request.approvals)
                .map(|approved| approved.stamp.entry)
                .collect(),
        });
    }
}

/// The granted request, else the newest one, so that the target can say what is wrong with it.
fn best_request<'a>(
    state: &'a State,
    app: &AppName,
    version: &trust::Version,
    audience: &AudienceName,
) -> Option<&'a Request> {
    if let Some((_, request)) = state.granted(app, version, audience) {
        return Some(request);
    }
    let digest = state.in_audience(app, audience)?.requests.get(version)?.last()?;
    state.requests.get(digest)
}

/// What to compare a build with: what runs in the audience, else the highest version granted before.
fn before(state: &State, app: &AppName, build: &Digest, audience: &AudienceName) -> Option<BuildName> {
    let running =
        |(_, target): (&TargetName, &domain::state::Target)| Some(target.apps.get(app)?.running.as_ref()?.build);
    // Of what a target runs and the ledger has lost nothing is here that could be compared.
    let is_known = |other: &Digest| state.apps.get(app).is_some_and(|record| record.builds.contains_key(other));
    let mut others = state.targets_in(audience).filter_map(running);
    if let Some(other) = others.find(|other| other != build && is_known(other)) {
        return Some(build_name(state, app, &other));
    }
    let record = state.in_audience(app, audience)?;
    let mut granted: Vec<_> = record
        .requests
        .values()
        .flatten()
        .filter_map(|digest| state.requests.get(digest))
        .filter(|request| super::status::is_granted(&request.standing) && request.build != *build)
        .collect();
    granted.sort_by(|one, other| one.version.cmp(&other.version));
    granted.last().map(|request| build_name(state, app, &request.build))
}
