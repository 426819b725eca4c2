//! HTTP: one router for people, agents and pages, and what every handler needs. No rules here.

use crate::{
    answers::Served,
    keys::Keys,
    ledger::Ledger,
    repository::{Publishing, Repository},
};
use api::agent::ProgressReport;
use axum::{
    Router,
    extract::{DefaultBodyLimit, OriginalUri},
    http::{HeaderValue, Method, StatusCode, header},
    middleware,
    routing::get,
};
use depot::DiskStore;
use std::sync::Arc;
use tokio::sync::{broadcast, watch};
use tower_http::{
    CompressionLevel,
    compression::{CompressionLayer, predicate::SizeAbove},
    set_header::SetResponseHeaderLayer,
};
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) mod agents;
mod bringing;
mod commands;
mod events;
pub(crate) mod extract;
pub(crate) mod failure;
mod feeds;
mod ledgers;
mod logs;
pub(crate) mod metrics;
pub(crate) mod objects;
mod pages;
mod plans;
mod progress;
pub(crate) mod reads;
pub(crate) mod repository;
pub(crate) mod sessions;
pub(crate) mod streams;
mod witness;

/// The longest JSON body of a logged-in client, in bytes; commands carry small documents with them.
const BODY_BYTES: usize = 16 << 20;
/// The longest body of a request that needs no login, in bytes.
const SMALL_BODY_BYTES: usize = 64 << 10;

/// From which length on a file of the repository is compressed for whoever takes it so, in bytes.
const SHRUNK_FROM_BYTES: u64 = 1024;

/// Everything a handler may need.
pub(crate) struct Serving {
    /// What targets remember and the ledger has lost.
    pub memories: crate::lost::Memories,
    /// The ledger.
    pub ledger: Ledger,
    /// The depot.
    pub depot: Arc<DiskStore>,
    /// The server's own keys.
    pub keys: Keys,
    /// The repository that agents and mirrors read.
    pub repository: Repository,
    /// Who is logged in.
    pub sessions: sessions::Sessions,
    /// What is known of targets besides history: when they were seen, and their errands.
    pub targets: agents::Targets,
    /// Progress as it is told.
    pub progress: broadcast::Sender<ProgressReport>,
    /// Which objects each build needs.
    pub builds: objects::Builds,
    /// Held while a command is decided that may rely on objects of the depot, and alone while pruned ones are removed.
    pub pruning: tokio::sync::RwLock<()>,
    /// Held while somebody looks for what nothing names: that reads the whole ledger, and is done once at a time.
    pub looking: Arc<tokio::sync::Mutex<()>>,
    /// Told when something was pruned.
    pub pruned: tokio::sync::Notify,
    /// How outgoing notifications fare.
    pub notifier: crate::notify::Notifier,
    /// What Prometheus reads.
    pub metrics: metrics::Metrics,
    /// Turns true when the server shuts down; whatever waits for long looks at it.
    pub stopping: watch::Receiver<bool>,
}

/// What handlers share.
pub(crate) type Shared = Arc<Serving>;

impl Serving {
    /// What answers are made from.
    pub fn served(&self) -> Served<'_> {
        Served { ledger: &self.ledger, depot: &self.depot, claim: self.keys.claim_digest() }
    }

    /// What the repository is published from.
    pub fn publishing(&self) -> Publishing<'_> {
        let Keys { ledger, others, .. } = &self.keys;
        Publishing { ledger: &self.ledger, depot: &self.depot, key: ledger, others }
    }

    /// Returns when the server shuts down.
    pub async fn stopped(&self) {
        let mut stopping = self.stopping.clone();
        // An error means that the sender is gone, which is a shutdown too.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }
}

#[derive(OpenApi)]
#[openapi(info(
    title = "Sortie",
    description = "Release and deployment management. Every write is a signed statement through POST /v1/commands; \
                   every answer that is not a success is a Problem."
))]
struct Contract;

/// The routes of the contract, with their description in OpenAPI, from one source.
fn contract() -> OpenApiRouter<Shared> {
    let small = OpenApiRouter::new()
        .routes(routes!(reads::hello))
        .routes(routes!(sessions::log_in))
        .layer(DefaultBodyLimit::max(SMALL_BODY_BYTES));
    let streams = OpenApiRouter::new()
        .routes(routes!(objects::put, objects::get))
        .routes(routes!(objects::put_pack))
        .routes(routes!(agents::answer_errand))
        .layer(DefaultBodyLimit::disable());
    let json = OpenApiRouter::new()
        .routes(routes!(commands::submit))
        .routes(routes!(plans::plan))
        .routes(routes!(reads::estate))
        .routes(routes!(reads::whoami))
        .routes(routes!(reads::tokens))
        .routes(routes!(reads::people))
        .routes(routes!(reads::status::status))
        .routes(routes!(reads::why))
        .routes(routes!(reads::rollback))
        .routes(routes!(reads::history::history))
        .routes(routes!(reads::prunable))
        .routes(routes!(reads::unnamed, reads::prune_unnamed))
        .routes(routes!(reads::draft))
        .routes(routes!(reads::trace))
        .routes(routes!(reads::app))
        .routes(routes!(reads::dossier::dossier))
        .routes(routes!(reads::history::deployment))
        .routes(routes!(reads::status::targets))
        .routes(routes!(reads::config::config))
        .routes(routes!(reads::freezes))
        .routes(routes!(reads::calendar))
        .routes(routes!(events::events))
        .routes(routes!(reads::escapes::escapes))
        .routes(routes!(logs::logs))
        .routes(routes!(ledgers::checkpoint))
        .routes(routes!(ledgers::entries))
        .routes(routes!(ledgers::consistency))
        .routes(routes!(ledgers::lost))
        .routes(routes!(objects::missing))
        .routes(routes!(objects::fetch_pack))
        .routes(routes!(feeds::feed))
        .routes(routes!(feeds::offer))
        .routes(routes!(feeds::files))
        .routes(routes!(repository::status))
        .routes(routes!(witness::candidate))
        .routes(routes!(witness::word))
        .routes(routes!(witness::withdrawal))
        .routes(routes!(agents::poll))
        .routes(routes!(agents::dossier))
        .routes(routes!(agents::progress))
        .routes(routes!(agents::remember))
        .layer(DefaultBodyLimit::max(BODY_BYTES));
    // Lists of permits are long and much alike; what is fetched from here says itself by its digest what it must be.
    let shrunk = CompressionLayer::new().gzip(true).quality(CompressionLevel::Fastest);
    let files = OpenApiRouter::new()
        .routes(routes!(repository::file))
        .layer(shrunk.compress_when(SizeAbove::new(SHRUNK_FROM_BYTES)));
    OpenApiRouter::with_openapi(Contract::openapi()).merge(small).merge(streams).merge(json).merge(files)
}

/// The contract in OpenAPI 3.1, as JSON with an indent.
pub fn openapi() -> String {
    contract().into_openapi().to_pretty_json().unwrap_or_default()
}

/// What is served over TLS: the contract for everyone, the pages and metrics for whoever is logged in.
pub(crate) fn router(serving: Shared) -> Router {
    let (contract, openapi) = contract().split_for_parts();
    let openapi = Arc::new(openapi);
    let pages = pages::routes()
        .route(api::routes::METRICS, get(metrics::metrics))
        .route_layer(middleware::from_fn_with_state(serving.clone(), sessions::require_login));
    let open = Router::new()
        .route(api::routes::HEALTHZ, get(metrics::healthz))
        .route(api::routes::READYZ, get(metrics::readyz))
        .route(api::routes::OPENAPI, get(move || async move { axum::Json(openapi.as_ref().clone()) }));
    let limits = middleware::from_fn_with_state(serving.clone(), sessions::limit_strangers);
    finish(contract.merge(pages).merge(open).layer(limits), serving)
}

/// What is served in the clear on a loopback address, to whoever sits at the machine: pages and metrics, read only.
pub(crate) fn board_router(serving: Shared) -> Router {
    let router = pages::routes()
        .route(api::routes::METRICS, get(metrics::metrics))
        .route(api::routes::HEALTHZ, get(metrics::healthz))
        .route(api::routes::READYZ, get(metrics::readyz))
        .route_layer(middleware::from_fn(pages::require_loopback_host));
    finish(router, serving)
}

fn finish(router: Router<Shared>, serving: Shared) -> Router {
    let header =
        |name, value: &'static str| SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value));
    router
        .layer(middleware::from_fn_with_state(serving.clone(), metrics::count))
        .fallback(unknown_route)
        .method_not_allowed_fallback(unknown_method)
        .layer(header(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(header(header::CACHE_CONTROL, "no-store"))
        .with_state(serving)
}

async fn unknown_route(OriginalUri(uri): OriginalUri) -> failure::Failure {
    let path = trust::names::printable(uri.path());
    failure::Failure::new(StatusCode::NOT_FOUND, "NOT_FOUND", format!("this server has nothing at {path}"))
        .exit(domain::refusal::exit::MISUSED)
}

async fn unknown_method(method: Method, OriginalUri(uri): OriginalUri) -> failure::Failure {
    let path = trust::names::printable(uri.path());
    let message = format!("{path} cannot be asked with {method}: see {}", api::routes::OPENAPI);
    failure::Failure::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", message)
        .exit(domain::refusal::exit::MISUSED)
}
