//! What Prometheus reads, and whether the server is well.

use super::Shared;
use axum::{
    extract::{MatchedPath, Request, State},
    http::{Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use domain::event::{Ending, Event};
use jiff::Timestamp;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use std::time::{Duration, Instant};

/// With less room than this no server is ready, in bytes: entries, checkpoints and the write-ahead log need it.
const RESERVE_BYTES: u64 = 64 << 20;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndingLabels {
    ending: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HookLabels {
    hook: String,
}

/// The numbers and where they are registered.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabels, Histogram>,
    submits: Histogram,
    deployments: Family<EndingLabels, Counter>,
    entries: Gauge,
    connected: Gauge,
    away: Gauge,
    escapes: Gauge,
    emergencies: Gauge,
    open_deployments: Gauge,
    sessions: Gauge,
    root_expires: Gauge,
    charter_expires: Gauge,
    permits_expiring: Gauge,
    entries_lost: Gauge,
    repository_age: Gauge,
    repository_expires: Gauge,
    witness_waited_for: Gauge,
    stale: Gauge,
    notified: Family<HookLabels, Gauge>,
    unheard: Family<HookLabels, Gauge>,
    failing: Family<HookLabels, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("sortie");
        let requests = Family::default();
        registry.register("http_requests", "HTTP requests answered", requests.clone());
        // An agent's poll waits for up to a minute.
        let seconds =
            Family::new_with_constructor((|| Histogram::new(exponential_buckets(0.001, 2.0, 17))) as fn() -> _);
        registry.register("http_request_seconds", "Time from a request to the begin of its answer", seconds.clone());
        let submits = Histogram::new(exponential_buckets(0.0005, 2.0, 14));
        registry.register("submit_seconds", "Time from a command's arrival to its durable entry", submits.clone());
        let deployments = Family::default();
        registry.register("deployments", "Deployments ended since the server started", deployments.clone());
        let entries = Gauge::default();
        registry.register("ledger_entries", "Entries in the ledger", entries.clone());
        let connected = Gauge::default();
        registry.register("targets_connected", "Targets that polled a short while ago", connected.clone());
        let away = Gauge::default();
        registry.register("targets_away", "Targets that deployments go on without", away.clone());
        let escapes = Gauge::default();
        registry.register(
            "escapes",
            "Things that run without permission or are not as they should be",
            escapes.clone(),
        );
        let emergencies = Gauge::default();
        registry.register(
            "emergencies_unreviewed",
            "Releases by hotfix or break-glass that nobody has reviewed",
            emergencies.clone(),
        );
        let open_deployments = Gauge::default();
        registry.register("deployments_open", "Deployments under way", open_deployments.clone());
        let sessions = Gauge::default();
        registry.register("sessions", "Tokens of people, robots and targets that are good", sessions.clone());
        let root_expires = Gauge::default();
        registry.register("root_expires_seconds", "Seconds until the root of trust expires", root_expires.clone());
        let charter_expires = Gauge::default();
        let help = "Seconds until the owners' signature under the charter expires";
        registry.register("charter_expires_seconds", help, charter_expires.clone());
        let entries_lost = Gauge::default();
        let help = "1 while targets have seen entries that this ledger lost and owners have signed no new epoch";
        registry.register("ledger_put_back", help, entries_lost.clone());
        let permits_expiring = Gauge::default();
        let help = "Newest permits of an application in an audience whose time is over soon";
        registry.register("permits_expiring", help, permits_expiring.clone());
        let repository_age = Gauge::default();
        let help = "Age of the repository's newest timestamp; targets stop activating when it grows too old";
        registry.register("repository_age_seconds", help, repository_age.clone());
        let repository_expires = Gauge::default();
        let help = "Seconds until the repository's newest timestamp expires for every TUF client";
        registry.register("repository_expires_seconds", help, repository_expires.clone());
        let witness_waited_for = Gauge::default();
        let help = "Seconds for which the oldest timestamp has waited for the witness's signature";
        registry.register("witness_waited_for_seconds", help, witness_waited_for.clone());
        let stale = Gauge::default();
        registry.register("targets_stale", "Targets whose knowledge is too old to activate anything", stale.clone());
        let notified = Family::default();
        let help = "Notifications that a hook's receiver has taken since the server started";
        registry.register("notifications_delivered", help, notified.clone());
        let unheard = Family::default();
        let help = "Notifications that no receiver took within a day, since the server started";
        registry.register("notifications_dropped", help, unheard.clone());
        let failing = Family::default();
        let help = "Seconds for which a hook's receiver has not taken the oldest notification";
        registry.register("notifications_failing_seconds", help, failing.clone());
        Self {
            registry,
            requests,
            seconds,
            submits,
            deployments,
            entries,
            connected,
            away,
            escapes,
            emergencies,
            open_deployments,
            sessions,
            root_expires,
            charter_expires,
            permits_expiring,
            entries_lost,
            repository_age,
            repository_expires,
            witness_waited_for,
            stale,
            notified,
            unheard,
            failing,
        }
    }
}

impl Metrics {
    /// Counts an accepted command.
    pub fn submitted(&self, took: Duration) {
        self.submits.observe(took.as_secs_f64());
    }

    /// Counts what an entry says has happened.
    pub fn happened(&self, events: &[Event]) {
        for event in events {
            if let Event::DeploymentEnded { ending, .. } = event {
                let ending = match ending {
                    Ending::Succeeded => "succeeded",
                    Ending::Undone => "undone",
                    Ending::Failed => "failed",
                    Ending::Aborted => "aborted",
                    Ending::Dropped => "dropped",
                    Ending::Superseded => "superseded",
                };
                self.deployments.get_or_create(&EndingLabels { ending }).inc();
            }
        }
    }
}

/// Counts requests by route, so that names and digests in paths do not become labels.
pub(crate) async fn count(State(serving): State<Shared>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_string();
    let method = known_method(request.method()).to_string();
    let began = Instant::now();
    let response = next.run(request).await;
    let seconds = serving.metrics.seconds.get_or_create(&RouteLabels { route: route.clone() }).clone();
    seconds.observe(began.elapsed().as_secs_f64());
    let labels = RequestLabels { method, route, status: response.status().as_u16() };
    serving.metrics.requests.get_or_create(&labels).inc();
    response
}

/// Anyone may invent methods; only those there are become labels.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        _ => "other",
    }
}

/// The metrics as OpenMetrics text.
pub(crate) async fn metrics(State(serving): State<Shared>) -> Response {
    let state = serving.ledger.state();
    let gauge = |gauge: &Gauge, value: u64| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    gauge(&serving.metrics.entries, state.head.entry);
    gauge(&serving.metrics.connected, serving.targets.connected(&state) as u64);
    gauge(&serving.metrics.away, serving.ledger.away().len() as u64);
    gauge(&serving.metrics.sessions, serving.sessions.count(Timestamp::now()) as u64);
    gauge(&serving.metrics.open_deployments, state.open_deployments.len() as u64);
    let escapes = crate::views::escapes::escapes(&state, |_| None).escapes.len();
    gauge(&serving.metrics.escapes, escapes as u64);
    let now = Timestamp::now();
    let facts = state.policy.as_ref().map(|policy| policy.record.facts.clone()).unwrap_or_default();
    let kinds = [
        (&serving.metrics.root_expires, facts.root_expires),
        (&serving.metrics.charter_expires, facts.charter_expires),
    ];
    for (seconds, expires) in kinds {
        seconds.set(expires.map_or(0, |expires| expires.as_second() - now.as_second()));
    }
    gauge(&serving.metrics.permits_expiring, crate::views::permits::expiring(&state, now).len() as u64);
    gauge(&serving.metrics.emergencies, state.unreviewed.len() as u64);
    gauge(&serving.metrics.entries_lost, u64::from(serving.memories.warning(&state).is_some()));
    let repository = serving.repository.status();
    let waiting = repository.witness.as_ref().and_then(|witness| witness.waiting_since);
    let since = |then: Option<Timestamp>| then.map_or(0, |then| now.duration_since(then).as_secs());
    serving.metrics.repository_age.set(since(repository.signed));
    serving.metrics.repository_expires.set(repository.expires.map_or(0, |end| end.duration_since(now).as_secs()));
    serving.metrics.witness_waited_for.set(since(waiting));
    let is_stale = |(name, target): &(&trust::TargetName, &domain::state::Target)| {
        let refreshed = serving.targets.freshness(name);
        !target.retired && crate::views::repository::is_stale(&state, &target.environment, refreshed, now)
    };
    gauge(&serving.metrics.stale, state.targets.iter().filter(is_stale).count() as u64);
    // What is no hook any more has no numbers.
    for family in [&serving.metrics.notified, &serving.metrics.unheard, &serving.metrics.failing] {
        family.clear();
    }
    for (hook, fares) in serving.notifier.fares() {
        let labels = HookLabels { hook };
        gauge(&serving.metrics.notified.get_or_create(&labels), fares.delivered);
        gauge(&serving.metrics.unheard.get_or_create(&labels), fares.dropped);
        let seconds = fares.failing.map_or(0, |(since, _)| now.duration_since(since).as_secs());
        serving.metrics.failing.get_or_create(&labels).set(seconds);
    }
    let mut text = String::new();
    if encode(&mut text, &serving.metrics.registry).is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
}

/// The process lives.
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// The server can serve: it is not about to stop, its ledger can be read, and there is room for what it is to record.
pub(crate) async fn readyz(State(serving): State<Shared>) -> (StatusCode, &'static str) {
    if *serving.stopping.borrow() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    let head = serving.ledger.state().head.entry;
    let looked = super::failure::away(move || {
        let entry = serving.ledger.entry(head.max(1))?;
        let free = |folder| depot::disk::free_bytes(folder).ok();
        Ok((entry.is_some(), [free(serving.ledger.folder()), free(serving.depot.folder())]))
    });
    match looked.await {
        Ok((has_head, free)) => readiness(has_head == (head > 0), &free),
        Err(_) => readiness(false, &[]),
    }
}

/// What is said where the ledger can be read or not, with so many bytes free on each of its disks, as far as is known.
fn readiness(is_read: bool, free: &[Option<u64>]) -> (StatusCode, &'static str) {
    if !is_read {
        return (StatusCode::SERVICE_UNAVAILABLE, "the ledger cannot be read\n");
    }
    if free.iter().flatten().any(|bytes| *bytes < RESERVE_BYTES) {
        let full = "the disk is full: less than 64 MiB are free, and nothing may be recorded. Free some space; sortie prune \
                    removes builds that nothing needs\n";
        return (StatusCode::SERVICE_UNAVAILABLE, full);
    }
    (StatusCode::OK, "ready\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_without_room_to_record_anything_is_not_ready() {
        let plenty = Some(RESERVE_BYTES);
        assert_eq!(readiness(true, &[plenty, plenty]), (StatusCode::OK, "ready\n"));
        // Where a disk does not say, nobody is kept away for it.
        assert_eq!(readiness(true, &[None, plenty]).0, StatusCode::OK);
        for free in [[Some(0), plenty], [plenty, Some(RESERVE_BYTES - 1)]] {
            let (status, why) = readiness(true, &free);
            assert!(status == StatusCode::SERVICE_UNAVAILABLE && why.starts_with("the disk is full"), "{why}");
        }
        assert_eq!(readiness(false, &[plenty, plenty]).1, "the ledger cannot be read\n");
    }
}
