//! The reads: every question people ask, answered from the state, and from the ledger where the state has forgotten.

use super::{
    Serving, Shared,
    extract::{Asked, InPath},
    failure::{Failure, away},
    sessions::{Anyone, KnownPerson, KnownReader},
};
use crate::{
    answers::{self, Served},
    ledger::{Ledger, LedgerError},
    views::{
        self,
        deployment::Recalled,
        dossier::{DossierEntries, PackageEntries, VendorEntries},
        status::Filter,
    },
};
use api::{
    agent::Want,
    problem::Problem,
    read::{
        ActiveBuild, App, CalendarEntry, ConfigView, DeploymentView, DossierView, DraftView, Escapes, Estate, Hello,
        HistoryEntry, PersonView, Prunable, SignedInventory, Status, TargetStatus, Trace, Vouched, Whoami, Why,
    },
    routes,
    write::Text,
};
use axum::{Json, extract::State, http::StatusCode};
use depot::DiskStore;
use domain::{
    entry::Entry,
    refusal::{Refusal, exit},
    rules::names,
    state::{Handle, State as Facts, Target},
};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};
use trust::{
    AppName, AudienceName, Digest, DraftName, PersonName, TargetName, Version,
    authority::{Dossier, PackageDossier},
    config::{ConfigDocument, MAX_CONFIG_BYTES},
    dsse::Envelope,
    manifest::MAX_PACKAGE_BYTES,
    statement::{Act, Statement},
    vendor::{MAX_RELEASE_BYTES, Release},
};
use utoipa::IntoParams;

/// How many history entries are given unless asked otherwise, and at most.
const HISTORY: usize = 50;
const MOST_HISTORY: usize = 1000;
/// How far a calendar looks ahead unless asked otherwise, and at most.
const CALENDAR: SignedDuration = SignedDuration::from_hours(24 * 14);
const LONGEST_CALENDAR: SignedDuration = SignedDuration::from_hours(24 * 731);
/// How many entries are read from the ledger at a time.
const CHUNK: u64 = 500;
/// How long after its start the server counts on targets it has not heard of yet: they come back within this time.
const COMING_BACK: Duration = Duration::from_secs(15);
/// How long a scan may take.
const SCAN_PATIENCE: Duration = Duration::from_secs(30);

/// Who the server is, and whether it has an estate.
#[utoipa::path(get, path = routes::HELLO, responses((status = 200, body = Hello)))]
pub(crate) async fn hello(State(serving): State<Shared>) -> Result<Json<Hello>, Failure> {
    let state = serving.ledger.state();
    let policy = state.policy.as_ref();
    Ok(Json(Hello {
        estate: policy.map(|policy| policy.record.estate),
        name: policy.map(|policy| policy.charter.charter.clone()),
        version: env!("CARGO_PKG_VERSION").into(),
        pin: serving.keys.pin,
        ledger_key: serving.keys.ledger_public().to_openssh(),
        next_pin: Some(serving.keys.next_pin),
        next_ledger_key: Some(serving.keys.next_ledger.to_openssh()),
    }))
}

/// The documents of trust in force.
#[utoipa::path(get, path = routes::ESTATE, responses((status = 200, body = Estate), (status = "4XX", body = Problem)))]
pub(crate) async fn estate(State(serving): State<Shared>, _: Anyone) -> Result<Json<Estate>, Failure> {
    Ok(Json(away(move || answers::estate_of(&serving.served())).await?))
}

/// The signer as the server knows them.
#[utoipa::path(get, path = routes::WHOAMI, responses((status = 200, body = Whoami), (status = "4XX", body = Problem)))]
pub(crate) async fn whoami(State(serving): State<Shared>, reader: KnownReader) -> Result<Json<Whoami>, Failure> {
    let person = reader.person()?;
    let state = serving.ledger.state();
    let policy = state.policy.as_ref().ok_or(Refusal::NoEstate)?;
    Ok(Json(Whoami {
        name: person.name.to_string(),
        roles: person.roles.iter().map(ToString::to_string).collect(),
        estate_name: policy.charter.charter.clone(),
        estate: policy.record.estate,
        tokens: tokens_of(&state, |holder| *holder == person.name),
    }))
}

/// The read-only tokens that are good: your own, and for owners everybody's.
#[utoipa::path(get, path = routes::TOKENS, responses((status = 200, body = Vec<api::read::TokenView>), (status = "4XX", body = Problem)))]
pub(crate) async fn tokens(
    State(serving): State<Shared>,
    reader: KnownReader,
) -> Result<Json<Vec<api::read::TokenView>>, Failure> {
    let person = reader.person()?;
    let is_owner = person.roles.iter().any(|role| role.as_str() == trust::charter::OWNER);
    Ok(Json(tokens_of(&serving.ledger.state(), |holder| is_owner || *holder == person.name)))
}

fn tokens_of(state: &Facts, of: impl Fn(&trust::PersonName) -> bool) -> Vec<api::read::TokenView> {
    let now = Timestamp::now();
    let good = state.tokens.iter().filter(|(_, token)| token.expires > now && of(&token.holder));
    let view = |(id, token): (&Digest, &domain::state::Token)| api::read::TokenView {
        token: *id,
        holder: token.holder.to_string(),
        name: token.name.to_string(),
        expires: token.expires,
    };
    good.map(view).collect()
}

/// A build that several jobs make.
#[utoipa::path(
    get, path = routes::DRAFT, params(("app" = String, Path), ("draft" = String, Path)),
    responses((status = 200, body = DraftView), (status = "4XX", body = Problem)),
)]
pub(crate) async fn draft(
    State(serving): State<Shared>,
    _: KnownPerson,
    InPath((app, draft)): InPath<(AppName, DraftName)>,
) -> Result<Json<DraftView>, Failure> {
    let state = serving.ledger.state();
    let known = names::draft(&state, &app, &draft)?;
    let (sealed, entries) = (known.sealed, known.parts.values().map(|part| part.stamp.entry).collect::<Vec<_>>());
    let parts = away(move || Ok(envelopes(&serving.ledger, &entries)?)).await?;
    Ok(Json(DraftView { sealed, parts }))
}

/// What may be pruned.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct PrunableQuery {
    /// One application.
    #[param(value_type = Option<String>)]
    app: Option<AppName>,
    /// How many of the newest builds of each application stay whatever they are.
    keep: usize,
    /// How many days a build stays whatever it is.
    days: u32,
}

/// The builds that nothing needs, and what they hold (R36).
#[utoipa::path(
    get, path = routes::PRUNABLE, params(PrunableQuery),
    responses((status = 200, body = Vec<Prunable>), (status = "4XX", body = Problem)),
)]
pub(crate) async fn prunable(
    State(serving): State<Shared>,
    _: KnownPerson,
    Asked(query): Asked<PrunableQuery>,
) -> Result<Json<Vec<Prunable>>, Failure> {
    let found = away(move || {
        let state = serving.ledger.state();
        if let Some(app) = &query.app {
            names::app(&state, app)?;
        }
        let now = Timestamp::now();
        crate::prune::prunable(&serving, query.app.as_ref(), query.keep, query.days, now)
            .map_err(|error| Failure::broken(&error))
    });
    Ok(Json(found.await?))
}

/// What the status is limited to.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatusQuery {
    /// One application.
    #[param(value_type = Option<String>)]
    app: Option<AppName>,
    /// One environment or channel.
    #[param(value_type = Option<String>)]
    environment: Option<AudienceName>,
    /// One target.
    #[param(value_type = Option<String>)]
    target: Option<TargetName>,
    /// The moment in question; now when absent.
    #[param(value_type = Option<String>)]
    at: Option<Timestamp>,
}

/// What may be deployed, what runs, who sees it: now, or as it was at a moment (R46).
#[utoipa::path(
    get, path = routes::STATUS, params(StatusQuery),
    responses((status = 200, body = Status), (status = "4XX", body = Problem)),
)]
pub(crate) async fn status(
    State(serving): State<Shared>,
    _: KnownPerson,
    Asked(query): Asked<StatusQuery>,
) -> Result<Json<Status>, Failure> {
    let StatusQuery { app, environment, target, at } = query;
    let filter = Filter { app, audience: environment, target };
    let status = away(move || match at {
        Some(at) => {
            let texts = |digest: &Digest| serving.ledger.text(digest).ok().flatten();
            Ok(views::status::status(&serving.ledger.state_at(at)?, &filter, |_| None, &texts, at)?)
        }
        None => Ok(status_now(&serving, &serving.ledger.state(), &filter)?),
    });
    Ok(Json(status.await?))
}

/// The status now, with what the running server alone knows: how fresh its repository and its targets are.
pub(crate) fn status_now(serving: &Serving, state: &Facts, filter: &Filter) -> Result<Status, Refusal> {
    let now = Timestamp::now();
    let texts = |digest: &Digest| serving.ledger.text(digest).ok().flatten();
    let seen = |target: &TargetName| serving.targets.seen(target);
    let mut status = views::status::status(state, filter, seen, &texts, now)?;
    tell_what_they_said(serving, state, &mut status.targets, now);
    status.notes.splice(0..0, serving.memories.warning(state));
    status.notes.extend(serving.notifier.warnings());
    if state.policy.is_some() {
        status.notes.extend(views::repository::note(state, &serving.repository.status(), now));
    }
    Ok(status)
}

/// Adds what targets said of themselves since the server started: how fresh their knowledge is, and their agent's version.
fn tell_what_they_said(serving: &Serving, state: &Facts, targets: &mut [TargetStatus], now: Timestamp) {
    for target in targets {
        target.refreshed = serving.targets.freshness(&target.name);
        target.agent_version = serving.targets.agent_version(&target.name);
        target.stale = views::repository::is_stale(state, &target.environment, target.refreshed, now);
    }
}

/// A version in an audience.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhyQuery {
    /// The application.
    #[param(value_type = String)]
    app: AppName,
    /// The version.
    #[param(value_type = String)]
    version: Version,
    /// The environment or channel.
    #[param(value_type = String)]
    audience: AudienceName,
}

/// Every condition of deploying a version, met or not.
#[utoipa::path(
    get, path = routes::WHY, params(WhyQuery),
    responses((status = 200, body = Why), (status = "4XX", body = Problem)),
)]
pub(crate) async fn why(
    State(serving): State<Shared>,
    _: KnownPerson,
    Asked(query): Asked<WhyQuery>,
) -> Result<Json<Why>, Failure> {
    let state = serving.ledger.state();
    let asked = away(move || {
        let texts = |digest: &Digest| serving.ledger.text(digest).ok().flatten();
        Ok(views::why::why(&state, &query.app, &query.version, &query.audience, &texts, Timestamp::now())?)
    });
    Ok(Json(asked.await?))
}

/// A stretch of history.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct HistoryQuery {
    /// After this entry's number, or from this time on.
    since: Option<String>,
    /// About one application.
    #[param(value_type = Option<String>)]
    app: Option<AppName>,
    /// At most so many entries; 50 when absent, 1000 at most.
    limit: Option<usize>,
}

/// Since when history is wanted.
#[derive(Clone, Copy)]
enum Since {
    Beginning,
    Entry(u64),
    Time(Timestamp),
}

/// The newest entries, newest first.
#[utoipa::path(
    get, path = routes::HISTORY, params(HistoryQuery),
    responses((status = 200, body = Vec<HistoryEntry>), (status = "4XX", body = Problem)),
)]
pub(crate) async fn history(
    State(serving): State<Shared>,
    _: KnownPerson,
    Asked(query): Asked<HistoryQuery>,
) -> Result<Json<Vec<HistoryEntry>>, Failure> {
    let since = match &query.since {
        None => Since::Beginning,
        Some(text) => match (text.parse(), text.parse()) {
            (Ok(number), _) => Since::Entry(number),
            (_, Ok(time)) => Since::Time(time),
            _ => return Err(Failure::malformed("since is an entry's number, or a time like 2026-11-22T10:00:00Z")),
        },
    };
    let limit = query.limit.unwrap_or(HISTORY).min(MOST_HISTORY);
    let newest = away(move || newest_entries(&serving, since, query.app.as_ref(), limit));
    Ok(Json(newest.await?))
}

/// The newest entries about `app`, newest first.
pub(crate) fn newest_history(serving: &Serving, limit: usize) -> Result<Vec<HistoryEntry>, Failure> {
    newest_entries(serving, Since::Beginning, None, limit)
}

fn newest_entries(
    serving: &Serving,
    since: Since,
    app: Option<&AppName>,
    limit: usize,
) -> Result<Vec<HistoryEntry>, Failure> {
    let state = serving.ledger.state();
    if let Some(app) = app {
        names::app(&state, app)?;
    }
    let mut found = Vec::new();
    let mut end = state.head.entry;
    // Without a filter no more entries are read than are wanted.
    let chunk = if app.is_none() { CHUNK.min(limit as u64).max(1) } else { CHUNK };
    while end > 0 && found.len() < limit {
        let from = end.saturating_sub(chunk - 1).max(1);
        for entry in read_entries(serving, from, end + 1 - from)?.into_iter().rev() {
            let is_before = match since {
                Since::Beginning => false,
                Since::Entry(number) => entry.number <= number,
                Since::Time(time) => entry.time < time,
            };
            if is_before {
                return Ok(found);
            }
            let is_wanted =
                app.is_none_or(|app| entry.events.iter().any(|event| views::history::is_about(&state, event, app)));
            if is_wanted && found.len() < limit {
                found.push(history_entry(serving, &state, entry));
            }
        }
        end = from - 1;
    }
    Ok(found)
}

/// Entries from `from` on, oldest first, in words.
pub(crate) fn history_entries(serving: &Serving, from: u64, count: u64) -> Result<Vec<HistoryEntry>, Failure> {
    let state = serving.ledger.state();
    let entries = read_entries(serving, from, count)?;
    Ok(entries.into_iter().map(|entry| history_entry(serving, &state, entry)).collect())
}

fn history_entry(serving: &Serving, state: &Facts, entry: Entry) -> HistoryEntry {
    views::words::history_entry(state, entry, &texts(serving))
}

fn read_entries(serving: &Serving, from: u64, count: u64) -> Result<Vec<Entry>, Failure> {
    let read = |line: &Vec<u8>| {
        serde_json::from_slice(line).map_err(|error| {
            tracing::error!(%error, "an entry of the ledger cannot be read");
            Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "LEDGER_UNREADABLE", "an entry cannot be read")
                .exit(exit::INTEGRITY)
                .next("sortie ledger verify")
        })
    };
    serving.ledger.entries(from, count)?.iter().map(read).collect()
}

/// Follows a code change to where it runs (R16).
#[utoipa::path(
    get, path = routes::TRACE, params(("commit" = String, Path, description = "The commit id, or how it begins")),
    responses((status = 200, body = Trace), (status = "4XX", body = Problem)),
)]
pub(crate) async fn trace(
    State(serving): State<Shared>,
    _: KnownPerson,
    InPath(commit): InPath<String>,
) -> Result<Json<Trace>, Failure> {
    Ok(Json(views::trace::trace(&serving.ledger.state(), &commit)?))
}

/// An application with its builds and versions.
#[utoipa::path(
    get, path = routes::APP, params(("app" = String, Path)),
    responses((status = 200, body = App), (status = "4XX", body = Problem)),
)]
pub(crate) async fn app(
    State(serving): State<Shared>,
    _: KnownPerson,
    InPath(app): InPath<AppName>,
) -> Result<Json<App>, Failure> {
    let mut view = views::apps::app(&serving.ledger.state(), &app)?;
    let texts = texts(&serving);
    for build in &mut view.builds {
        let Some(commit) = &mut build.commit else { continue };
        let title = std::mem::take(&mut commit.title);
        commit.title = match build.vendor {
            // What a vendor's people wrote stands in the vendor's own side table.
            Some(_) if trust::text::referred(&title).is_some() => String::new(),
            _ => views::words::readable(title, &texts),
        };
    }
    Ok(Json(view))
}

/// Who the handles of the charter are, as far as somebody said so, and who was erased.
#[utoipa::path(
    get, path = routes::PEOPLE,
    responses((status = 200, body = Vec<PersonView>), (status = "4XX", body = Problem)),
)]
pub(crate) async fn people(State(serving): State<Shared>, _: KnownPerson) -> Json<Vec<PersonView>> {
    let (state, texts) = (serving.ledger.state(), texts(&serving));
    let view = |(handle, known): (&PersonName, &Handle)| PersonView {
        handle: state.shown(handle),
        name: known.name.as_ref().and_then(&texts),
        erased: known.erased.map(|stamp| stamp.time),
    };
    Json(state.people.iter().map(view).collect())
}

/// The free texts of the side table. One that cannot be read is told like one that was erased; the ledger itself says
/// what is wrong with it.
fn texts(serving: &Serving) -> impl Fn(&Digest) -> Option<String> {
    |digest: &Digest| serving.ledger.text(digest).ok().flatten()
}

/// A version or build in an audience.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct DossierQuery {
    /// The application.
    #[param(value_type = String)]
    app: AppName,
    /// The version; or the build.
    #[param(value_type = Option<String>)]
    version: Option<Version>,
    /// The build; or the version.
    #[param(value_type = Option<String>)]
    build: Option<Digest>,
    /// The environment or channel.
    #[param(value_type = String)]
    audience: AudienceName,
}

/// Every signed statement behind a version in an audience.
#[utoipa::path(
    get, path = routes::DOSSIER, params(DossierQuery),
    responses((status = 200, body = DossierView), (status = "4XX", body = Problem)),
)]
pub(crate) async fn dossier(
    State(serving): State<Shared>,
    _: KnownPerson,
    Asked(query): Asked<DossierQuery>,
) -> Result<Json<DossierView>, Failure> {
    let DossierQuery { app, version, build, audience } = query;
    let state = serving.ledger.state();
    let build = match (version, build) {
        (Some(version), None) => names::version(&state, &app, &version)?.0,
        (None, Some(build)) => build,
        _ => return Err(Failure::malformed("give either version or build")),
    };
    let (entries, next_serial, since) = views::dossier::for_people(&state, &app, &build, &audience)?;
    let name = views::build_name(&state, &app, &build);
    let barred = views::dossier::barred(&state, &app, &build, &audience).into_iter().map(Problem::from).collect();
    let packages = views::packages::asked_for(&state, &app, &build, &audience);
    let makers = views::packages::makers(&state, &build);
    let mut requests = views::dossier::requests(&state, &app, &build, &audience);
    let reason = requests.pop().and_then(|request| request.reason);
    let earlier: Vec<u64> = requests.iter().map(|request| request.stamp.entry).collect();
    let assembled = away(move || {
        let reason = reason.map(|digest| serving.ledger.salted_text(&digest)).transpose()?.flatten();
        let dossier = dossier_of(&serving.served(), &entries)?;
        let withdrawal_reasons = reasons(&serving.ledger, &dossier.withdrawals)?;
        let earlier_requests = envelopes(&serving.ledger, &earlier)?;
        Ok(DossierView {
            name,
            dossier,
            next_serial,
            since,
            earlier_requests,
            reason,
            withdrawal_reasons,
            barred,
            packages,
            makers,
        })
    });
    Ok(Json(assembled.await?))
}

/// Why what these envelopes withdraw was withdrawn, as far as it was said and not erased.
fn reasons(ledger: &Ledger, withdrawals: &[Envelope]) -> Result<Vec<Text>, LedgerError> {
    let digest = |envelope: &Envelope| match Statement::read(envelope).ok()?.act {
        Act::Withdrawal(withdrawal) => withdrawal.reason,
        _ => None,
    };
    let found = withdrawals.iter().filter_map(digest).map(|digest| ledger.salted_text(&digest));
    Ok(found.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// The envelopes in these entries of the ledger, with the vendor's release where there is one.
pub(crate) fn dossier_of(served: &Served<'_>, entries: &DossierEntries) -> Result<Dossier, Failure> {
    let vendor = entries.vendor.as_ref().map(|vendor| release_of(served.depot, vendor)).transpose()?;
    let package = entries.package.as_ref().map(|package| package_of(served, package)).transpose()?;
    Ok(Dossier { vendor, package, ..statements_of(served.ledger, entries)? })
}

/// A package's manifest with the envelopes behind it.
fn package_of(served: &Served<'_>, entries: &PackageEntries) -> Result<PackageDossier, Failure> {
    let manifest = served.depot.read_bytes(&entries.manifest, MAX_PACKAGE_BYTES as u64)?;
    let manifest = String::from_utf8(manifest).map_err(|_| Failure::invalid("the package's manifest is no text"))?;
    let of = DossierEntries {
        push: entries.push,
        number: entries.number,
        request: entries.request,
        approvals: entries.approvals.clone(),
        ..DossierEntries::default()
    };
    let Dossier { push, number, request, approvals, .. } = statements_of(served.ledger, &of)?;
    Ok(PackageDossier { manifest, push, number, request, approvals })
}

/// The envelopes in these entries of the ledger.
pub(crate) fn statements_of(ledger: &Ledger, entries: &DossierEntries) -> Result<Dossier, LedgerError> {
    let envelope = |entry: u64| -> Result<Option<Envelope>, LedgerError> {
        Ok(ledger.entry(entry)?.and_then(|entry| entry.envelope))
    };
    let one = |entry: Option<u64>| match entry {
        Some(entry) => envelope(entry),
        None => Ok(None),
    };
    let many = |entries: &[u64]| envelopes(ledger, entries);
    Ok(Dossier {
        push: one(entries.push)?,
        number: one(entries.number)?,
        request: one(entries.request)?,
        approvals: many(&entries.approvals)?,
        order: one(entries.order)?,
        config: one(entries.config)?,
        evidence: many(&entries.evidence)?,
        withdrawals: many(&entries.withdrawals)?,
        vendor: None,
        package: None,
        freezes: many(&entries.freezes)?,
    })
}

/// A vendor's release with the newest that is known of the vendor, whichever bundle brought it.
fn release_of(depot: &DiskStore, entries: &VendorEntries) -> Result<Release, Failure> {
    let read = |digest: &Digest| {
        let bytes = depot.read_bytes(digest, MAX_RELEASE_BYTES as u64)?;
        Release::from_bytes(&bytes).map_err(|error| Failure::invalid(error.to_string()))
    };
    let mut release = read(&entries.release)?;
    if entries.newest != entries.release {
        let Release { roots, targets, charter, suspensions, .. } = read(&entries.newest)?;
        release = Release { roots, targets, charter, suspensions, ..release };
    }
    for document in entries.withdrawals.iter().filter(|document| **document != entries.release) {
        let told = read(document)?.dossier.withdrawals;
        let new = told.into_iter().filter(|one| !release.dossier.withdrawals.contains(one)).collect::<Vec<_>>();
        release.dossier.withdrawals.extend(new);
    }
    Ok(release)
}

/// The envelopes in these entries of the ledger, in order.
fn envelopes(ledger: &Ledger, entries: &[u64]) -> Result<Vec<Envelope>, LedgerError> {
    let envelope = |entry: &u64| -> Result<Option<Envelope>, LedgerError> {
        Ok(ledger.entry(*entry)?.and_then(|entry| entry.envelope))
    };
    let envelopes: Result<Vec<_>, LedgerError> = entries.iter().map(envelope).collect();
    Ok(envelopes?.into_iter().flatten().collect())
}

/// What freezes are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct FreezesQuery {
    /// Those too that are over.
    #[serde(default)]
    all: bool,
}

/// The freezes, with what was signed about each.
#[utoipa::path(
    get, path = routes::FREEZES, params(FreezesQuery),
    responses((status = 200, body = Vec<api::read::FreezeView>), (status = "4XX", body = Problem)),
)]
pub(crate) async fn freezes(
    State(serving): State<Shared>,
    _: KnownPerson,
    Asked(query): Asked<FreezesQuery>,
) -> Result<Json<Vec<api::read::FreezeView>>, Failure> {
    let state = serving.ledger.state();
    let found = away(move || {
        let texts = |digest: &Digest| serving.ledger.text(digest).ok().flatten();
        let mut views = views::freezes::freezes(&state, &texts, query.all, Timestamp::now());
        for view in &mut views {
            let record = state.freezes.get(&view.freeze);
            let entries: Vec<u64> = record.into_iter().flat_map(|record| record.entries()).collect();
            view.statements = envelopes(&serving.ledger, &entries)?;
        }
        Ok(views)
    });
    Ok(Json(found.await?))
}

/// Which time is wanted, and where.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct CalendarQuery {
    /// From when; now unless said otherwise.
    #[param(value_type = Option<String>)]
    from: Option<Timestamp>,
    /// Until when; two weeks later unless said otherwise, and two years at most.
    #[param(value_type = Option<String>)]
    until: Option<Timestamp>,
    /// In which environment or channel; all where left out.
    #[serde(rename = "in")]
    #[param(rename = "in", value_type = Option<String>)]
    place: Option<AudienceName>,
}

/// What is planned, begins and ends.
#[utoipa::path(
    get, path = routes::CALENDAR, params(CalendarQuery),
    responses((status = 200, body = Vec<CalendarEntry>), (status = "4XX", body = Problem)),
)]
pub(crate) async fn calendar(
    State(serving): State<Shared>,
    _: KnownPerson,
    Asked(query): Asked<CalendarQuery>,
) -> Result<Json<Vec<CalendarEntry>>, Failure> {
    let state = serving.ledger.state();
    let from = query.from.unwrap_or_else(Timestamp::now);
    let latest = from.saturating_add(LONGEST_CALENDAR).unwrap_or(Timestamp::MAX);
    let until = query.until.unwrap_or_else(|| from.saturating_add(CALENDAR).unwrap_or(Timestamp::MAX)).min(latest);
    let places = query.place.into_iter().collect();
    let entries = away(move || Ok::<_, Failure>(views::calendar::calendar(&state, from, until, &places)));
    Ok(Json(entries.await?))
}

/// One deployment.
#[utoipa::path(
    get, path = routes::DEPLOYMENT, params(("deployment" = u64, Path)),
    responses((status = 200, body = DeploymentView), (status = "4XX", body = Problem)),
)]
pub(crate) async fn deployment(
    State(serving): State<Shared>,
    _: KnownPerson,
    InPath(number): InPath<u64>,
) -> Result<Json<DeploymentView>, Failure> {
    let state = serving.ledger.state();
    if let Some(view) = views::deployment::deployment(&state, &state, number, Timestamp::now(), &texts(&serving)) {
        return Ok(Json(view));
    }
    if number == 0 || number > state.last_deployment {
        return Err(Refusal::UnknownDeployment { deployment: number }.into());
    }
    away(move || recall_deployment(&serving, &state, number)).await.map(Json)
}

/// Reads a deployment that the state has forgotten from the entries about it.
fn recall_deployment(serving: &Serving, state: &Arc<Facts>, number: u64) -> Result<DeploymentView, Failure> {
    let mut recalled = Recalled::default();
    let mut from = 1;
    while from <= state.head.entry {
        let entries = read_entries(serving, from, CHUNK)?;
        let Some(last) = entries.last() else { break };
        from = last.number + 1;
        for entry in &entries {
            recalled.take(entry, number);
        }
    }
    let view = views::deployment::deployment(&recalled.state, state, number, Timestamp::now(), &texts(serving));
    view.ok_or_else(|| Refusal::UnknownDeployment { deployment: number }.into())
}

/// The targets, retired ones too.
#[utoipa::path(
    get, path = routes::TARGETS,
    responses((status = 200, body = Vec<TargetStatus>), (status = "4XX", body = Problem)),
)]
pub(crate) async fn targets(State(serving): State<Shared>, _: KnownPerson) -> Json<Vec<TargetStatus>> {
    let state = serving.ledger.state();
    let mut targets = views::targets::targets(&state, |target| serving.targets.seen(target));
    tell_what_they_said(&serving, &state, &mut targets, Timestamp::now());
    Json(targets)
}

/// The config in force; secrets as they are encrypted.
#[utoipa::path(
    get, path = routes::CONFIG, params(("app" = String, Path), ("environment" = String, Path)),
    responses((status = 200, body = ConfigView), (status = "4XX", body = Problem)),
)]
pub(crate) async fn config(
    State(serving): State<Shared>,
    _: KnownPerson,
    InPath((app, environment)): InPath<(AppName, AudienceName)>,
) -> Result<Json<ConfigView>, Failure> {
    let state = serving.ledger.state();
    let document = match views::config::document(&state, &app, &environment) {
        None => None,
        Some(digest) => {
            let depot = serving.depot.clone();
            let bytes = away(move || Ok(depot.read_bytes(&digest, MAX_CONFIG_BYTES as u64)?)).await?;
            Some(ConfigDocument::from_bytes(&bytes).map_err(|error| Failure::invalid(error.to_string()))?)
        }
    };
    let view = views::config::config(&state, &app, &environment, document)?;
    let ledger = serving.ledger.clone();
    let vouched = away(move || vouched(&ledger, &state, &environment)).await?;
    Ok(Json(ConfigView { vouched, ..view }))
}

/// The statements by which each target of the environment joined.
fn vouched(
    ledger: &Ledger,
    state: &Facts,
    environment: &AudienceName,
) -> Result<BTreeMap<TargetName, Vouched>, Failure> {
    let mut vouched = BTreeMap::new();
    for (name, target) in state.targets_in(environment) {
        if let Some(joined) = joined(ledger, state, target)? {
            vouched.insert(name.clone(), joined);
        }
    }
    Ok(vouched)
}

/// The statements by which a target joined, where both are to be had.
fn joined(ledger: &Ledger, state: &Facts, target: &Target) -> Result<Option<Vouched>, Failure> {
    let envelope = |entry: u64| Ok::<_, Failure>(ledger.entry(entry)?.and_then(|entry| entry.envelope));
    let Some(enrolment) = envelope(target.stamp.entry)? else { return Ok(None) };
    let Some(Act::Enrolment(joined)) = Statement::read(&enrolment).ok().map(|statement| statement.act) else {
        return Ok(None);
    };
    let Some(invited) = state.invitations.get(&joined.invitation.id()) else { return Ok(None) };
    Ok(envelope(invited.stamp.entry)?.map(|invitation| Vouched { invitation, enrolment }))
}

/// How escapes are looked for.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct EscapesQuery {
    /// Whether the targets take stock first, which takes up to 30 seconds.
    #[serde(default)]
    scan: bool,
}

/// What runs without permission, and what is not as it should be (R37).
#[utoipa::path(
    get, path = routes::ESCAPES, params(EscapesQuery),
    responses((status = 200, body = Escapes), (status = "4XX", body = Problem)),
)]
pub(crate) async fn escapes(
    State(serving): State<Shared>,
    _: KnownPerson,
    Asked(query): Asked<EscapesQuery>,
) -> Result<Json<Escapes>, Failure> {
    if query.scan {
        scan(&serving).await?;
    }
    let scanned = |target: &TargetName| serving.targets.scan_time(target);
    let state = serving.ledger.state();
    let view = views::escapes::escapes(&state, scanned);
    let (signed, active) = away(move || proofs(&serving, &state)).await?;
    Ok(Json(Escapes { signed, active, ..view }))
}

/// What each target signed, what vouches for it, and the statements behind whatever it says is active.
fn proofs(
    serving: &Serving,
    state: &Facts,
) -> Result<(BTreeMap<TargetName, SignedInventory>, Vec<ActiveBuild>), Failure> {
    let mut signed = BTreeMap::new();
    let mut active = BTreeSet::new();
    for (name, target) in state.targets.iter().filter(|(_, target)| !target.retired) {
        let recorded = || match target.inventory {
            Some(entry) => Ok::<_, Failure>(serving.ledger.entry(entry)?.and_then(|entry| entry.envelope)),
            None => Ok(None),
        };
        // What another machine said that had this name before is nothing that this one says.
        let is_its_own = |envelope: &Envelope| envelope.signatures.iter().any(|made| made.keyid == target.key.id());
        let kept = serving.targets.inventory(name).filter(is_its_own);
        let newest = kept.map_or_else(recorded, |envelope| Ok(Some(envelope)))?.filter(is_its_own);
        let read = |envelope: &Envelope| match Statement::read(envelope).ok()?.act {
            Act::Inventory(inventory) => Some(inventory),
            _ => None,
        };
        let inventory = newest.as_ref().and_then(read);
        for (app, build) in inventory.iter().flat_map(|inventory| &inventory.active) {
            let request = views::dossier::behind_active(state, app, build, &target.environment, name);
            active.insert((app.clone(), *build, target.environment.clone(), request));
        }
        let envelope = newest.filter(|_| inventory.is_some());
        let vouched = joined(&serving.ledger, state, target)?;
        signed.insert(name.clone(), SignedInventory { vouched, inventory: envelope });
    }
    let behind = |(app, build, environment, request): (AppName, Digest, AudienceName, Option<Digest>)| {
        let entries = views::dossier::for_active(state, &app, &build, &environment, request);
        let name = views::build_name(state, &app, &build);
        Ok(ActiveBuild { dossier: dossier_of(&serving.served(), &entries)?, app, name, environment })
    };
    Ok((signed, active.into_iter().map(behind).collect::<Result<_, Failure>>()?))
}

/// Has all targets take stock, and waits until those that are there have, or patience ends.
async fn scan(serving: &Shared) -> Result<(), Failure> {
    let began = Instant::now();
    let mut changes = serving.targets.changes();
    let state = serving.ledger.state();
    let targets: Vec<TargetName> =
        state.targets.iter().filter(|(_, target)| !target.retired).map(|(name, _)| name.clone()).collect();
    let mut errands = Vec::new();
    let mut answers = Vec::new();
    for target in &targets {
        let (id, pieces) = serving.targets.send(target, Want::Scan)?;
        errands.push(serving.targets.guard(id));
        answers.push(pieces);
    }
    let all_scanned = async {
        let is_awaited = |target: &TargetName| {
            serving.targets.is_connected(target) || serving.targets.started.elapsed() < COMING_BACK
        };
        let is_open = |target: &&TargetName| is_awaited(target) && !serving.targets.scanned_since(target, began);
        while targets.iter().any(|target| is_open(&target)) {
            // Whether a target is awaited changes with time, too.
            let _looks_again = tokio::time::timeout(Duration::from_secs(1), changes.changed()).await;
        }
    };
    tokio::select! {
        () = all_scanned => {}
        () = tokio::time::sleep(SCAN_PATIENCE) => {}
        () = serving.stopped() => {}
    }
    Ok(())
}
