//! The ledger as it is, for whoever verifies it.

use super::{
    Shared,
    extract::Asked,
    failure::{Failure, away},
    sessions::Known,
};
use api::{
    problem::Problem,
    read::{Consistency, Lost},
    routes,
};
use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use utoipa::IntoParams;

/// The most entries in one answer.
const ENTRIES: u64 = 1000;

/// The newest signed checkpoint.
#[utoipa::path(
    get, path = routes::CHECKPOINT,
    responses((status = 200, body = String, content_type = "text/plain"), (status = "4XX", body = Problem)),
)]
pub(crate) async fn checkpoint(State(serving): State<Shared>, _: Known) -> Response {
    let note = serving.ledger.checkpoint().to_string();
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], note).into_response()
}

/// A stretch of entries.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct EntriesQuery {
    /// The first entry; 1 when absent.
    from: Option<u64>,
    /// How many, at most 1000.
    count: Option<u64>,
}

/// Entries as stored, one a line: the leaves of the Merkle log, to the byte.
#[utoipa::path(
    get, path = routes::ENTRIES, params(EntriesQuery),
    responses((status = 200, body = String, content_type = "application/jsonl"), (status = "4XX", body = Problem)),
)]
pub(crate) async fn entries(
    State(serving): State<Shared>,
    _: super::sessions::KnownPerson,
    Asked(query): Asked<EntriesQuery>,
) -> Result<Response, Failure> {
    let (from, count) = (query.from.unwrap_or(1), query.count.unwrap_or(ENTRIES).min(ENTRIES));
    let lines = away(move || Ok(serving.ledger.entries(from, count)?)).await?;
    let mut body = Vec::with_capacity(lines.iter().map(|line| line.len() + 1).sum());
    for line in lines {
        body.extend_from_slice(&line);
        body.push(b'\n');
    }
    Ok(([(header::CONTENT_TYPE, "application/jsonl")], body).into_response())
}

/// Two sizes of the log.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConsistencyQuery {
    /// The smaller size.
    from: u64,
    /// The larger size.
    to: u64,
}

/// The proof that the log of `to` entries extends that of `from`.
#[utoipa::path(
    get, path = routes::CONSISTENCY, params(ConsistencyQuery),
    responses((status = 200, body = Consistency), (status = "4XX", body = Problem)),
)]
pub(crate) async fn consistency(
    State(serving): State<Shared>,
    _: Known,
    Asked(query): Asked<ConsistencyQuery>,
) -> Result<Json<Consistency>, Failure> {
    let size = serving.ledger.state().head.entry;
    if query.from > query.to || query.to > size {
        return Err(Failure::invalid(format!("the log has {size} entries; ask for 0 <= from <= to <= {size}")));
    }
    let proof = away(move || Ok(serving.ledger.consistency(query.from, query.to)?)).await?;
    Ok(Json(Consistency { proof }))
}

/// What is known to be lost: what targets have seen and run that is not in this ledger.
#[utoipa::path(get, path = routes::LOST, responses((status = 200, body = Lost), (status = "4XX", body = Problem)))]
pub(crate) async fn lost(State(serving): State<Shared>, _: super::sessions::KnownPerson) -> Json<Lost> {
    Json(serving.memories.lost(&serving.ledger.state()))
}
