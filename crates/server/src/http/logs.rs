//! Log lines of a target, asked of its agent and passed on as they come.

use super::{Shared, extract::Asked, failure::Failure, sessions::KnownPerson};
use api::{agent::Want, problem::Problem, routes};
use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::rules::names;
use futures_util::stream;
use serde::Deserialize;
use std::{convert::Infallible, time::Duration};
use tokio::sync::mpsc;
use trust::{AppName, TargetName};
use utoipa::IntoParams;

/// How long a target may take to begin its answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many lines of each log are sent unless asked otherwise, and at most.
const LINES: u32 = 100;
const MOST_LINES: u32 = 100_000;

/// Which logs.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogsQuery {
    /// The application.
    #[param(value_type = String)]
    app: AppName,
    /// The target.
    #[param(value_type = String)]
    target: TargetName,
    /// One process; all when absent.
    process: Option<String>,
    /// How many lines of each.
    lines: Option<u32>,
    /// Whether to go on with new ones.
    #[serde(default)]
    follow: bool,
}

/// The last lines of an application's logs on a target, and with `follow` those that come after.
#[utoipa::path(
    get, path = routes::LOGS, params(LogsQuery),
    responses((status = 200, body = String, content_type = "text/plain"), (status = "4XX", body = Problem)),
)]
pub(crate) async fn logs(
    State(serving): State<Shared>,
    _: KnownPerson,
    Asked(query): Asked<LogsQuery>,
) -> Result<Response, Failure> {
    let LogsQuery { app, target, process, lines, follow } = query;
    let state = serving.ledger.state();
    names::app(&state, &app)?;
    names::target(&state, &target)?;
    if !serving.targets.is_connected(&target) {
        let seen = serving.targets.seen(&target).map_or("not since the server started".into(), |t| format!("{t:.0}"));
        let message = format!("{target} is away (last seen: {seen}); its logs are on it, below the agent's folder");
        return Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, "TARGET_AWAY", message).next("sortie target list"));
    }
    let lines = lines.unwrap_or(LINES).min(MOST_LINES);
    let (errand, mut pieces) = serving.targets.send(&target, Want::Logs { app, process, lines, follow })?;
    let guard = Forget { serving: serving.clone(), errand };
    let first = match tokio::time::timeout(PATIENCE, pieces.recv()).await {
        Ok(first) => first,
        Err(_) => {
            let message = format!("{target} did not answer within {} s", PATIENCE.as_secs());
            return Err(Failure::new(StatusCode::GATEWAY_TIMEOUT, "TARGET_SILENT", message)
                .exit(domain::refusal::exit::TIMED_OUT));
        }
    };
    let rest = Rest { first, pieces, guard };
    let body = Body::from_stream(stream::unfold(rest, Rest::next));
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response())
}

/// Takes the errand back when the reader goes.
struct Forget {
    serving: Shared,
    errand: String,
}

impl Drop for Forget {
    fn drop(&mut self) {
        self.serving.targets.forget(&self.errand);
    }
}

struct Rest {
    first: Option<Bytes>,
    pieces: mpsc::Receiver<Bytes>,
    guard: Forget,
}

impl Rest {
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        let piece = match self.first.take() {
            Some(first) => Some(first),
            None => tokio::select! {
                piece = self.pieces.recv() => piece,
                () = self.guard.serving.stopped() => None,
            },
        };
        piece.map(|piece| (Ok(piece), self))
    }
}
