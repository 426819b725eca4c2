//! What happened: entries of the ledger in words, and deployments that the state has forgotten.

use super::{MomentQuery, status::in_full, texts};
use crate::{
    http::{
        Serving, Shared,
        extract::{Asked, InPath},
        failure::{Failure, away},
        sessions::KnownPerson,
    },
    views::{self, deployment::Recalled},
};
use api::{
    problem::Problem,
    read::{DeploymentView, HistoryEntry},
    routes,
};
use axum::{Json, extract::State, http::StatusCode};
use domain::{
    entry::Entry,
    plan,
    refusal::{Refusal, exit},
    rules::{names, presence},
    state::{Aside, Part, Progress, State as Facts},
};
use jiff::Timestamp;
use serde::Deserialize;
use trust::AppName;
use utoipa::IntoParams;

/// How many history entries are given unless asked otherwise, and at most.
const HISTORY: usize = 50;
const MOST_HISTORY: usize = 1000;

/// How many entries are read from the ledger at a time.
const CHUNK: u64 = 500;

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

/// One deployment: now, or as it was at a moment.
#[utoipa::path(
    get, path = routes::DEPLOYMENT, params(("deployment" = u64, Path), MomentQuery),
    responses((status = 200, body = DeploymentView), (status = "4XX", body = Problem)),
)]
pub(crate) async fn deployment(
    State(serving): State<Shared>,
    _: KnownPerson,
    InPath(number): InPath<u64>,
    Asked(MomentQuery { at }): Asked<MomentQuery>,
) -> Result<Json<DeploymentView>, Failure> {
    if let Some(at) = at {
        return away(move || deployment_at(&serving, number, at)).await.map(Json);
    }
    let state = serving.ledger.state();
    if let Some(mut view) = views::deployment::deployment(&state, &state, number, Timestamp::now(), &texts(&serving)) {
        let waits = plan::waits(&state, number, Timestamp::now());
        let waits = waits.map(|waits| presence::waits(&state, number, &serving.ledger.away(), waits));
        let waits = waits.map(|waits| in_full(&serving, &state, &waits, waits.to_string()));
        view.waits = waits.or(view.waits);
        let parts = state.deployments.get(&number).map(|record| &record.parts);
        for told in &mut view.targets {
            let part = parts.and_then(|parts| parts.get(&told.target));
            if let Some(since) = part.and_then(at_it_since) {
                told.detail = serving.targets.how_far(&told.target, number, since);
            }
        }
        return Ok(Json(view));
    }
    if number == 0 || number > state.last_deployment {
        return Err(Refusal::UnknownDeployment { deployment: number }.into());
    }
    away(move || recall_deployment(&serving, &state, number, Timestamp::now())).await.map(Json)
}

/// A deployment as it was.
fn deployment_at(serving: &Serving, number: u64, at: Timestamp) -> Result<DeploymentView, Failure> {
    let state = serving.ledger.state_at(at)?;
    if let Some(view) = views::deployment::deployment(&state, &state, number, at, &texts(serving)) {
        return Ok(view);
    }
    if number == 0 || number > state.last_deployment {
        return Err(Refusal::UnknownDeployment { deployment: number }.into());
    }
    recall_deployment(serving, &state, number, at)
}

/// Since when what a target tells of its part is what there is to say of it. Nobody waits for who was left out: why it was is
/// to be said then. What was told on the way there is nothing about the way back.
fn at_it_since(part: &Part) -> Option<Timestamp> {
    match (&part.progress, part.aside) {
        (Progress::Assigned(stamp), None) => Some(stamp.time),
        (Progress::Undoing(stamp), None | Some(Aside::Excluded | Aside::Accepted)) => Some(stamp.time),
        _ => None,
    }
}

/// Reads a deployment that the state has forgotten from the entries about it.
fn recall_deployment(serving: &Serving, state: &Facts, number: u64, now: Timestamp) -> Result<DeploymentView, Failure> {
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
    let view = views::deployment::deployment(&recalled.state, state, number, now, &texts(serving));
    view.ok_or_else(|| Refusal::UnknownDeployment { deployment: number }.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::state::Stamp;

    #[test]
    fn how_far_it_is_says_nothing_of_who_was_left_out_while_at_it() {
        let stamp = Stamp { entry: 7, time: Timestamp::UNIX_EPOCH };
        let part = |progress, aside| Part { progress, aside, ..Part::default() };
        let (at_it, back) = (Progress::Assigned(stamp), Progress::Undoing(stamp));
        assert_eq!(at_it_since(&part(at_it.clone(), None)), Some(stamp.time));
        for aside in [Aside::Excluded, Aside::Left, Aside::Cordoned] {
            assert_eq!(at_it_since(&part(at_it.clone(), Some(aside))), None, "{aside:?}");
        }
        assert_eq!(at_it_since(&part(back.clone(), None)), Some(stamp.time));
        assert_eq!(at_it_since(&part(back, Some(Aside::Excluded))), Some(stamp.time), "it goes back with the others");
        assert_eq!(at_it_since(&part(Progress::Waiting, None)), None);
    }
}
