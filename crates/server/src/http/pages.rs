//! The board for people: the page, the fragment that is fetched anew after each change, and the stream that tells of
//! changes. Read-only, without outside resources, and without inline script or style.

use super::{
    Shared,
    failure::{Failure, away},
    reads,
};
use crate::views::{
    self,
    board::{self, Board},
    status::Filter,
};
use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    middleware::Next,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::get,
};
use domain::refusal::exit;
use futures_util::stream;
use maud::Markup;
use std::{convert::Infallible, time::Duration};
use tokio::sync::watch;
use tower_http::set_header::SetResponseHeaderLayer;
use trust::TargetName;

/// How many entries the board shows.
const HISTORY: usize = 14;
/// Changes that follow one another more quickly than this are told as one.
const CALM: Duration = Duration::from_millis(200);
/// How often a stream without news says that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The pages' routes.
pub(crate) fn routes() -> Router<Shared> {
    let header = |name, value| SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value));
    Router::new()
        .route(api::routes::BOARD, get(page))
        .route("/board/fragment", get(fragment))
        .route("/board/events", get(events))
        .route("/assets/board.css", get(|| async { asset("text/css; charset=utf-8", board::CSS) }))
        .route("/assets/board.js", get(|| async { asset("text/javascript; charset=utf-8", board::SCRIPT) }))
        .route("/assets/mark.svg", get(|| async { asset("image/svg+xml", board::MARK) }))
        .layer(header(header::CONTENT_SECURITY_POLICY, board::CONTENT_SECURITY_POLICY))
        .layer(header(header::REFERRER_POLICY, "no-referrer"))
        .layer(header(HeaderName::from_static("cross-origin-resource-policy"), "same-origin"))
        .layer(header(HeaderName::from_static("cross-origin-opener-policy"), "same-origin"))
}

/// The pages name their files by content, so that a browser may keep them for long.
fn asset(content_type: &'static str, content: &'static str) -> Response {
    let headers =
        [(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
    (headers, content).into_response()
}

async fn page(State(serving): State<Shared>) -> Result<Markup, Failure> {
    render(serving, board::page).await
}

async fn fragment(State(serving): State<Shared>) -> Result<Markup, Failure> {
    render(serving, board::fragment).await
}

async fn render(serving: Shared, draw: fn(&Board<'_>) -> Markup) -> Result<Markup, Failure> {
    away(move || {
        let state = serving.ledger.state();
        let status = reads::status_now(&serving, &state, &Filter::default())?;
        let escapes = views::escapes::escapes(&state, |target: &TargetName| serving.targets.scan_time(target));
        let history = reads::newest_history(&serving, HISTORY)?;
        let estate = state.policy.as_ref().map(|policy| policy.charter.charter.as_str());
        Ok(draw(&Board { estate, status: &status, escapes: &escapes, history: &history }))
    })
    .await
}

/// Tells that something changed, and nothing else: at once after connecting, and after each change.
async fn events(State(serving): State<Shared>) -> Response {
    let watcher =
        Watcher { heads: serving.ledger.heads(), targets: serving.targets.changes(), serving, started: false };
    let events = stream::unfold(watcher, Watcher::next);
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

/// Holds no more than the newest state of things, however slowly the browser reads.
struct Watcher {
    serving: Shared,
    heads: watch::Receiver<u64>,
    targets: watch::Receiver<u64>,
    started: bool,
}

impl Watcher {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        if self.started {
            tokio::select! {
                changed = self.heads.changed() => changed.ok()?,
                changed = self.targets.changed() => changed.ok()?,
                () = self.serving.stopped() => return None,
            }
            tokio::select! {
                () = tokio::time::sleep(CALM) => {}
                () = self.serving.stopped() => return None,
            }
        }
        self.started = true;
        self.targets.mark_unchanged();
        let head = *self.heads.borrow_and_update();
        Some((Ok(Event::default().event("changed").data(head.to_string())), self))
    }
}

/// Lets only requests through that name a loopback address as their host: a name that somebody points at this machine
/// must not let a foreign page read the board.
pub(crate) async fn require_loopback_host(headers: HeaderMap, uri: Uri, request: Request, next: Next) -> Response {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).or(uri.host()).unwrap_or_default();
    if is_loopback(host) {
        return next.run(request).await;
    }
    let message = "this page is for whoever sits at the machine: open it by http://127.0.0.1, not by another name";
    Failure::new(StatusCode::MISDIRECTED_REQUEST, "OTHER_HOST", message).exit(exit::REFUSED).into_response()
}

/// Whether a `Host` header names this machine itself, with or without a port.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    matches!(name, "127.0.0.1" | "localhost" | "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_machine_itself_is_a_loopback_host() {
        for host in ["127.0.0.1:7441", "127.0.0.1", "localhost:7441", "localhost", "[::1]:7441", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["", "evil.example:7441", "127.0.0.1.evil.example", "localhost.evil.example:80", "10.0.0.1", ":80"]
        {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
