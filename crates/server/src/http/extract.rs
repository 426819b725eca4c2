//! Bodies, queries and paths read strictly; whatever cannot be read is a [`Failure`] like any other.

use super::failure::Failure;
use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{StatusCode, request::Parts},
};
use domain::refusal::exit;
use serde::de::DeserializeOwned;

/// A JSON body without duplicate keys or unknown fields.
pub(crate) struct Strict<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Strict<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE", "the body is longer than is taken here")
                    .exit(exit::MISUSED)
            }
            _ => Failure::malformed(rejection.body_text()),
        })?;
        trust::json::from_strict(&bytes).map(Strict).map_err(Failure::malformed)
    }
}

/// A query string.
pub(crate) struct Asked<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(query)| Asked(query)).map_err(|rejection| Failure::malformed(rejection.body_text()))
    }
}

/// The parts of a path.
pub(crate) struct InPath<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for InPath<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(path)| InPath(path)).map_err(|rejection| Failure::malformed(rejection.body_text()))
    }
}
