//! The repository's files for people and targets who are logged in, byte for byte as they lie on disk.

use super::{
    Shared,
    extract::InPath,
    failure::{Failure, away},
    sessions::Known,
    streams,
};
use api::{problem::Problem, read::RepositoryStatus, routes};
use axum::{
    Json,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::refusal::exit;
use jiff::Timestamp;
use std::{
    fs::File,
    io,
    path::{Component, Path, PathBuf},
    time::Duration,
};

/// How long a client waits for what it has heard of to be published, at most.
const CATCH_UP: Duration = Duration::from_secs(10);
/// The one file whose bytes change under its name.
const TIMESTAMP: &str = "metadata/timestamp.json";

/// One file of the TUF repository that the server publishes. The timestamp is answered once everything accepted before
/// the question is published.
#[utoipa::path(
    get, path = routes::REPOSITORY_FILE, params(("path" = String, Path)),
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/octet-stream"), (status = "4XX", body = Problem),
    ),
)]
pub(crate) async fn file(
    State(serving): State<Shared>,
    _: Known,
    InPath(path): InPath<String>,
) -> Result<Response, Failure> {
    let below = inside(&path).ok_or_else(|| unknown(&path))?;
    let is_timestamp = path == TIMESTAMP;
    if is_timestamp && serving.repository.will_be_published(Timestamp::now()) {
        let accepted = serving.ledger.state().head.entry;
        let mut reached = serving.repository.reached();
        // What there is after the wait is answered in any case: its own date says how old it is.
        let _ = tokio::time::timeout(CATCH_UP, reached.wait_for(|entry| *entry >= accepted)).await;
    }
    let file = away(move || match File::open(serving.repository.path(&below)) {
        Ok(file) => Ok(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(unknown(&path)),
        Err(error) => Err(Failure::broken(&error)),
    })
    .await?;
    let length = file.metadata().map_err(|error| Failure::broken(&error))?.len();
    let mut response = streams::body_of(file).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    if !is_timestamp {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=31536000, immutable"));
    }
    Ok(response)
}

/// How the repository stands.
#[utoipa::path(
    get, path = routes::REPOSITORY, responses((status = 200, body = RepositoryStatus), (status = "4XX", body = Problem)),
)]
pub(crate) async fn status(State(serving): State<Shared>, _: Known) -> Json<RepositoryStatus> {
    Json(serving.repository.status())
}

/// The path of a published file, if the text is one: no way up, nothing hidden, nothing beside the two folders.
pub(crate) fn inside(text: &str) -> Option<PathBuf> {
    let path = Path::new(text);
    let is_plain = |part: Component<'_>| match part {
        Component::Normal(name) => name.to_str().is_some_and(|name| !name.starts_with('.')),
        _ => false,
    };
    let is_published = path.starts_with("metadata") || path.starts_with("targets");
    (is_published && path.components().all(is_plain) && !text.contains('\0')).then(|| path.to_path_buf())
}

fn unknown(path: &str) -> Failure {
    let message = format!("the repository has no file {}", trust::names::printable(path));
    Failure::new(StatusCode::NOT_FOUND, "NOT_FOUND", message).exit(exit::MISUSED).next("sortie repository status")
}

#[cfg(test)]
mod tests {
    use super::inside;

    #[test]
    fn nothing_but_published_files_can_be_named() {
        for good in ["metadata/timestamp.json", "metadata/3.permits-prod.json", "targets/aa.permits.prod.web.json"] {
            assert!(inside(good).is_some(), "{good}");
        }
        for bad in [
            "versions.json",
            "metadata/../versions.json",
            "../keys/ledger.key",
            "/etc/passwd",
            "metadata/.timestamp.json.new",
            "targets/./../../keys/tls.key",
            "",
        ] {
            assert!(inside(bad).is_none(), "{bad}");
        }
    }
}
