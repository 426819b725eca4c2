//! The reads: every question people ask, answered from the state, and from the ledger where the state has forgotten.

use super::{
    Serving, Shared,
    extract::{Asked, InPath},
    failure::{Failure, away},
    sessions::{Anyone, KnownPerson, KnownReader},
};
use crate::{answers, views};
use api::{
    problem::Problem,
    read::{
        App, CALENDAR_AHEAD, CalendarEntry, DraftView, Estate, Hello, LONGEST_CALENDAR, PersonView, Prunable, Trace,
        Unnamed, WayBack, Whoami, Why,
    },
    routes,
};
use axum::{Json, extract::State, http::StatusCode};
use domain::{
    refusal::{Refusal, exit},
    rules::{names, rollback},
    state::{Handle, State as Facts},
};
use jiff::Timestamp;
use serde::Deserialize;
use std::collections::BTreeSet;
use tokio::sync::OwnedMutexGuard;
use trust::{AppName, AudienceName, Digest, DraftName, PersonName, TargetName, Version};
use utoipa::IntoParams;

pub(crate) mod config;
pub(crate) mod dossier;
pub(crate) mod escapes;
pub(crate) mod history;
pub(crate) mod status;
use dossier::envelopes;
pub(crate) use dossier::{dossier_of, statements_of};
pub(crate) use history::{history_entries, newest_history};
pub(crate) use status::status_now;

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

/// The objects of the depot that nothing names, and that nobody brought within a day.
#[utoipa::path(
    get, path = routes::UNNAMED, responses((status = 200, body = Unnamed), (status = "4XX", body = Problem)),
)]
pub(crate) async fn unnamed(State(serving): State<Shared>, person: KnownPerson) -> Result<Json<Unnamed>, Failure> {
    super::bringing::require_builds(&serving.ledger.state(), &person)?;
    let looking = look_alone(&serving)?;
    let found = away(move || {
        // Whoever asks may go away meanwhile; the next one begins when this is over.
        let _looking = looking;
        Ok(crate::prune::unnamed::find(&serving)?)
    });
    let (found, _) = found.await?;
    let bytes = found.iter().map(|(_, length)| length).sum();
    Ok(Json(Unnamed { objects: found.len() as u64, bytes }))
}

/// Fails while somebody else looks for what nothing names.
fn look_alone(serving: &Serving) -> Result<OwnedMutexGuard<()>, Failure> {
    serving.looking.clone().try_lock_owned().map_err(|_| {
        let why = "somebody is looking already for what nothing names, and that is done once at a time; try again in a moment";
        Failure::new(StatusCode::CONFLICT, "PRUNE_UNDER_WAY", why).exit(exit::CONFLICT).next("sortie prune")
    })
}

/// Removes them. There is nothing to record: nothing that is recorded names them.
#[utoipa::path(
    post, path = routes::UNNAMED, responses((status = 200, body = Unnamed), (status = "4XX", body = Problem)),
)]
pub(crate) async fn prune_unnamed(
    State(serving): State<Shared>,
    person: KnownPerson,
) -> Result<Json<Unnamed>, Failure> {
    super::bringing::require_builds(&serving.ledger.state(), &person)?;
    let looking = look_alone(&serving)?;
    let sweep = tokio::spawn(async move {
        let _looking = looking;
        crate::prune::unnamed::sweep(&serving).await
    });
    let gone = sweep.await.map_err(|error| Failure::broken(&error))??;
    tracing::info!(objects = gone.objects, bytes = gone.bytes, by = %person.name, "pruned what nothing names");
    Ok(Json(gone))
}

/// A build in an audience, by its version where it has one.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhyQuery {
    /// The application.
    #[param(value_type = String)]
    app: AppName,
    /// The version.
    #[param(value_type = Option<String>)]
    version: Option<Version>,
    /// The build, where no version is named.
    #[param(value_type = Option<String>)]
    build: Option<Digest>,
    /// The environment or channel.
    #[param(value_type = String)]
    audience: AudienceName,
}

/// Every condition of deploying a build, met or not.
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
        let build = match (&query.version, query.build) {
            (Some(version), None) => names::version(&state, &query.app, version)?.0,
            (None, Some(build)) => build,
            _ => return Err(Failure::malformed("either `version` or `build` says what is meant")),
        };
        let lost = serving.ledger.lost();
        Ok(views::why::why(&state, &query.app, build, &query.audience, &texts, &lost, Timestamp::now())?)
    });
    Ok(Json(asked.await?))
}

/// What is to go back.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct RollbackQuery {
    /// The application.
    #[param(value_type = String)]
    app: AppName,
    /// The environment.
    #[param(value_type = String)]
    environment: AudienceName,
    /// These targets only, with commas between them.
    only: Option<String>,
}

/// What a rollback goes back to where nobody names it.
#[utoipa::path(
    get, path = routes::ROLLBACK, params(RollbackQuery),
    responses((status = 200, body = WayBack), (status = "4XX", body = Problem)),
)]
pub(crate) async fn rollback(
    State(serving): State<Shared>,
    _: KnownPerson,
    Asked(query): Asked<RollbackQuery>,
) -> Result<Json<WayBack>, Failure> {
    let state = serving.ledger.state();
    names::environment(state.policy.as_ref().ok_or(Refusal::NoEstate)?, &query.environment)?;
    names::app(&state, &query.app)?;
    let mut only = BTreeSet::new();
    for name in query.only.iter().flat_map(|names| names.split(',')) {
        let name = TargetName::new(name).map_err(|error| Failure::malformed(error.to_string()))?;
        names::target(&state, &name)?;
        only.insert(name);
    }
    let build = rollback::back(&state, &query.app, &query.environment, &only)?;
    Ok(Json(WayBack { to: views::build_name(&state, &query.app, &build) }))
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
    get, path = routes::APP, params(("app" = String, Path), MomentQuery),
    responses((status = 200, body = App), (status = "4XX", body = Problem)),
)]
pub(crate) async fn app(
    State(serving): State<Shared>,
    _: KnownPerson,
    InPath(app): InPath<AppName>,
    Asked(MomentQuery { at }): Asked<MomentQuery>,
) -> Result<Json<App>, Failure> {
    let mut view = match at {
        Some(at) => {
            let past = serving.clone();
            away(move || Ok::<_, Failure>(views::apps::app(&past.ledger.state_at(at)?, &app)?)).await?
        }
        None => views::apps::app(&serving.ledger.state(), &app)?,
    };
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

/// As of when something is wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct MomentQuery {
    /// The moment in question; now when absent.
    #[param(value_type = Option<String>)]
    pub(crate) at: Option<Timestamp>,
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
    let now = Timestamp::now();
    let from = query.from.unwrap_or(now);
    let latest = from.saturating_add(LONGEST_CALENDAR).unwrap_or(Timestamp::MAX);
    let until =
        query.until.unwrap_or_else(|| from.saturating_add(CALENDAR_AHEAD).unwrap_or(Timestamp::MAX)).min(latest);
    let places = query.place.into_iter().collect();
    let (lost, silent) = (serving.ledger.lost(), serving.ledger.away());
    let entries = away(move || {
        let (texts, known) = (texts(&serving), (&*lost, &*silent));
        Ok::<_, Failure>(views::calendar::calendar(&state, known, (now, from), until, &places, &texts))
    });
    Ok(Json(entries.await?))
}
