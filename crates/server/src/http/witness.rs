//! The witness of the repository: what waits for its signature, and what it says. It asks, and nobody asks it.

use super::{
    Shared,
    extract::{Asked, Strict},
    failure::{Failure, away},
    sessions::KnownWitness,
};
use crate::{intake, repository::PublishError};
use api::{problem::Problem, routes, witness::Word, write::Submission};
use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::refusal::exit;
use jiff::Timestamp;
use serde::Deserialize;
use std::time::Duration;
use trust::Digest;
use utoipa::IntoParams;

/// The longest that the witness waits for something new, in seconds.
const LONGEST_WAIT_SECONDS: u64 = 30;

/// What the witness has looked at already.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct CandidateQuery {
    /// The digest of the one that is known already, where there is one: not its version, which a server that was put back
    /// gives twice.
    #[param(value_type = Option<String>)]
    known: Option<Digest>,
    /// How long to wait for another one, in seconds; 30 at most.
    wait: u64,
}

/// The newest timestamp that waits for the witness's signature, as soon as it is another than the one known; 204 where
/// there is none. It may be an older one, where the server was put back: the witness says what it makes of that.
#[utoipa::path(
    get, path = routes::WITNESS_CANDIDATE, params(CandidateQuery),
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/octet-stream"), (status = 204),
        (status = "4XX", body = Problem),
    ),
)]
pub(crate) async fn candidate(
    State(serving): State<Shared>,
    _: KnownWitness,
    Asked(query): Asked<CandidateQuery>,
) -> Result<Response, Failure> {
    let desk = serving.repository.witness();
    desk.heard(Timestamp::now());
    let mut newest = desk.newest();
    let is_other = |shown: &Option<_>| {
        shown.as_ref().is_some_and(|shown: &crate::repository::witness::Shown| Some(shown.digest) != query.known)
    };
    let wait = Duration::from_secs(query.wait.min(LONGEST_WAIT_SECONDS));
    let shown = tokio::select! {
        found = tokio::time::timeout(wait, newest.wait_for(is_other)) => found.ok().and_then(|found| found.ok()?.clone()),
        () = serving.stopped() => None,
    };
    desk.heard(Timestamp::now());
    let Some(shown) = shown else { return Ok(StatusCode::NO_CONTENT.into_response()) };
    let mut response = shown.bytes.to_vec().into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    Ok(response)
}

/// Takes the witness's signature and publishes what waited for it, or hears why there is none.
#[utoipa::path(
    post, path = routes::WITNESS_WORD, request_body = Word,
    responses((status = 204), (status = "4XX", body = Problem)),
)]
pub(crate) async fn word(
    State(serving): State<Shared>,
    _: KnownWitness,
    Strict(word): Strict<Word>,
) -> Result<StatusCode, Failure> {
    let desk = serving.repository.witness();
    desk.heard(Timestamp::now());
    let (version, signature) = match word {
        Word::Signed { version, signature } => (version, signature),
        Word::Refused { why } => {
            tracing::error!(%why, "the witness does not sign");
            desk.says(Some(why));
            return Ok(StatusCode::NO_CONTENT);
        }
    };
    let worker = serving.clone();
    away(move || match worker.repository.cosign(version, signature) {
        Ok(()) => Ok(()),
        Err(error @ PublishError::NotWaiting(_)) => {
            Err(Failure::new(StatusCode::CONFLICT, "NOT_WAITING", error.to_string()).exit(exit::CONFLICT))
        }
        Err(PublishError::Tuf(error)) => {
            Err(Failure::integrity("SIGNATURE_WRONG", format!("with the witness's signature: {error}")))
        }
        Err(error) => Err(Failure::broken(&error)),
    })
    .await?;
    desk.says(None);
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a withdrawal that somebody brought to the witness. It proves itself, however old it is.
#[utoipa::path(
    post, path = routes::WITNESS_WITHDRAWALS, request_body = Submission,
    responses((status = 204), (status = "4XX", body = Problem)),
)]
pub(crate) async fn withdrawal(
    State(serving): State<Shared>,
    _: KnownWitness,
    Strict(submission): Strict<Submission>,
) -> Result<StatusCode, Failure> {
    serving.repository.witness().heard(Timestamp::now());
    let prepared = intake::carried_by_witness(&serving.served(), &submission)?;
    match serving.ledger.submit(prepared).await.map_err(Failure::from) {
        Ok(_) => Ok(StatusCode::NO_CONTENT),
        Err(failure) if matches!(failure.code(), "ALREADY_DONE" | "REQUEST_ID_REUSED") => Ok(StatusCode::NO_CONTENT),
        Err(failure) => Err(failure),
    }
}
