//! What a witness answers: the copy of the repository as files, the withdrawals it knows, and how it stands. It takes
//! withdrawals from whoever brings one, because each proves itself. Nothing here needs a login.

use super::{
    Witness,
    keeping::{TakeError, TakenHere},
};
use crate::{
    http::{
        extract::{InPath, Strict},
        failure::{Failure, away},
        repository::inside,
        sessions::{in_time, too_often},
        streams,
    },
    repository::files,
};
use api::{
    routes,
    witness::{Taken, WitnessView},
    write::Submission,
};
use axum::{
    Json, Router,
    extract::{ConnectInfo, DefaultBodyLimit, Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use domain::refusal::exit;
use jiff::Timestamp;
use std::{io, net::SocketAddr, path::Path, sync::Arc};
use trust::{
    AudienceName,
    tuf::repository::{WithdrawalsFile, withdrawals_path},
};

/// The longest withdrawal that is read, in bytes.
const BODY_BYTES: usize = 64 << 10;

type Shared = Arc<Witness>;

/// All of it.
pub(super) fn router(witness: Shared) -> Router {
    Router::new()
        .route(routes::WITNESS, get(view).post(take))
        .route("/metadata/{*path}", get(metadata))
        .route("/targets/{*path}", get(target))
        .route("/withdrawals/{file}", get(withdrawals))
        .route(routes::HEALTHZ, get(async || "ok\n"))
        .fallback(async || not_found())
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(middleware::from_fn_with_state(witness.clone(), limit))
        .with_state(witness)
}

async fn limit(
    State(witness): State<Shared>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    match witness.askers.allow(peer.ip(), Timestamp::now()) {
        // Nobody is logged in here, so nobody may take long. A file goes out as it is read, after the answer has begun.
        Ok(()) => in_time(next.run(request)).await,
        Err(failure) => too_often(failure),
    }
}

async fn view(State(witness): State<Shared>) -> Json<WitnessView> {
    let withdrawals = witness.keeping.count();
    Json(WitnessView { withdrawals, ..witness.view().clone() })
}

/// Keeps a withdrawal. Once this answers, it is on the disk.
async fn take(State(witness): State<Shared>, Strict(submission): Strict<Submission>) -> Result<Json<Taken>, Failure> {
    let worker = witness.clone();
    let taken = away(move || worker.keeping.take(submission).map_err(refused)).await?;
    witness.brought.notify_one();
    let TakenHere { payload, what, known } = taken;
    let server_answers = witness.view().problem.is_none();
    if !known {
        tracing::warn!(%what, %payload, "took a withdrawal");
    }
    Ok(Json(Taken { payload, what, known, server_answers }))
}

fn refused(error: TakeError) -> Failure {
    let message = trust::names::printable(&error.to_string());
    match error {
        TakeError::NoCharter => Failure::new(StatusCode::SERVICE_UNAVAILABLE, "WITNESS_NOT_READY", message)
            .next("sortie charter root --witness KEY"),
        TakeError::Denied(_) => {
            Failure::new(StatusCode::FORBIDDEN, "WITHDRAWAL_INVALID", message).exit(exit::REFUSED).next("sortie whoami")
        }
        TakeError::TooMany | TakeError::File(_) => {
            tracing::error!(%message, "a withdrawal was not kept");
            Failure::new(StatusCode::INSUFFICIENT_STORAGE, "NOT_WRITTEN", format!("{message}. Nothing was kept"))
        }
    }
}

async fn withdrawals(State(witness): State<Shared>, InPath(file): InPath<String>) -> Result<Response, Failure> {
    let audience = file.strip_suffix(".json").and_then(|name| AudienceName::new(name).ok()).ok_or_else(not_found)?;
    debug_assert!(withdrawals_path(&audience).ends_with(&file));
    let withdrawals = witness.keeping.from(&audience);
    let file = WithdrawalsFile::new(witness.estate, audience, withdrawals);
    let bytes = file.to_bytes().map_err(|error| Failure::broken(&error))?;
    Ok(([("content-type", "application/json")], bytes).into_response())
}

async fn metadata(State(witness): State<Shared>, InPath(path): InPath<String>) -> Result<Response, Failure> {
    served(witness, format!("metadata/{path}")).await
}

async fn target(State(witness): State<Shared>, InPath(path): InPath<String>) -> Result<Response, Failure> {
    served(witness, format!("targets/{path}")).await
}

/// A file of the copy.
async fn served(witness: Shared, path: String) -> Result<Response, Failure> {
    let below = inside(&path).ok_or_else(not_found)?;
    let is_timestamp = below == files::timestamp();
    let file = away(move || match std::fs::File::open(witness.keeping.copy().join(Path::new(&below))) {
        Ok(file) => Ok(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(not_found()),
        Err(error) => Err(Failure::broken(&error)),
    })
    .await?;
    let length = file.metadata().map_err(|error| Failure::broken(&error))?.len().to_string();
    let kept = if is_timestamp { "no-store" } else { "max-age=31536000, immutable" };
    let headers =
        [("content-type", "application/octet-stream"), ("content-length", length.as_str()), ("cache-control", kept)];
    Ok((headers, streams::body_of(file)).into_response())
}

fn not_found() -> Failure {
    Failure::new(StatusCode::NOT_FOUND, "NOT_FOUND", "this witness has no such file").exit(exit::MISUSED)
}
