//! Server-sent events: entries as they are accepted, and progress as it is told.

use super::{Shared, failure::Failure, reads, sessions::KnownPerson};
use api::{agent::ProgressReport, problem::Problem, read::Happening, routes};
use axum::{
    extract::State,
    http::HeaderMap,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream;
use std::{collections::VecDeque, convert::Infallible, time::Duration};
use tokio::sync::{broadcast, watch};

/// How many entries are read at a time.
const ENTRIES: u64 = 100;

/// Entries from the newest on, or from the one after `Last-Event-ID`; progress in between.
#[utoipa::path(
    get, path = routes::EVENTS,
    params(("Last-Event-ID" = Option<u64>, Header, description = "Go on after this entry")),
    responses((status = 200, content_type = "text/event-stream", body = Happening), (status = "4XX", body = Problem)),
)]
pub(crate) async fn events(
    State(serving): State<Shared>,
    _: KnownPerson,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let head = serving.ledger.state().head.entry;
    let last = match headers.get("last-event-id").map(|id| id.to_str().ok().and_then(|id| id.parse::<u64>().ok())) {
        Some(Some(id)) => id.min(head),
        Some(None) => return Err(Failure::malformed("Last-Event-ID is the number of an entry")),
        None => head,
    };
    let watcher = Watcher {
        heads: serving.ledger.heads(),
        progress: serving.progress.subscribe(),
        serving,
        last,
        ready: VecDeque::new(),
    };
    let events = stream::unfold(watcher, Watcher::next);
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(15));
    Ok(Sse::new(events).keep_alive(keep_alive).into_response())
}

struct Watcher {
    serving: Shared,
    heads: watch::Receiver<u64>,
    progress: broadcast::Receiver<ProgressReport>,
    last: u64,
    ready: VecDeque<Event>,
}

impl Watcher {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some((Ok(event), self));
            }
            self.heads.mark_unchanged();
            if self.serving.ledger.state().head.entry > self.last {
                self.read_entries().await?;
                continue;
            }
            tokio::select! {
                changed = self.heads.changed() => changed.ok()?,
                report = self.progress.recv() => match report {
                    Ok(report) => self.ready.extend(event("progress", &Happening::Progress(report))),
                    // Progress is not history: whoever is slow misses some.
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                },
                () = self.serving.stopped() => return None,
            }
        }
    }

    /// Reads the next entries; nothing when they cannot be read, which ends the stream.
    async fn read_entries(&mut self) -> Option<()> {
        let (serving, from) = (self.serving.clone(), self.last + 1);
        let entries = super::failure::away(move || reads::history_entries(&serving, from, ENTRIES)).await.ok()?;
        self.last = entries.last()?.entry.number;
        for entry in entries {
            let id = entry.entry.number.to_string();
            self.ready.extend(event("entry", &Happening::Entry(Box::new(entry))).map(|event| event.id(id)));
        }
        Some(())
    }
}

fn event(name: &str, happening: &Happening) -> Option<Event> {
    let json = serde_json::to_string(happening).ok()?;
    Some(Event::default().event(name).data(json))
}
