//! The depot over HTTP: objects and packs, in and out.
//!
//! People and robots who are logged in may read and write all of it. A target may read only what it has a reason to
//! have (R35): the builds with a live permit for its environment, what it is assigned, runs or may go back to, and the
//! config of its environment. A channel's feed opens the builds that the channel has a live permit for, and no others;
//! a public channel's to anyone.

use super::{
    Serving, Shared, bringing,
    extract::{Asked, InPath, Strict},
    failure::{Failure, away},
    sessions::{KnownPerson, channels_only, identified},
    streams,
};
use crate::views::permits;
use api::{problem::Problem, routes, write::Stored};
use axum::{
    Json,
    body::Body,
    extract::{FromRequestParts, Request, State},
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use depot::{DiskStore, pack::PackLimits};
use domain::{command::Actor, refusal::exit, state::State as Facts};
use jiff::Timestamp;
use serde::Deserialize;
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex},
};
use trust::{
    AudienceName, Digest, TargetName,
    manifest::{MAX_MANIFEST_BYTES, Manifest},
};
use utoipa::IntoParams;

/// The most objects that may be asked for in one pack.
const PACK_OBJECTS: usize = 4096;
/// How many objects' names the cache of builds holds.
const REMEMBERED: usize = 1 << 20;

/// Which objects each build consists of, remembered so that not every object's fetch reads a manifest.
#[derive(Default)]
pub(crate) struct Builds {
    inner: Mutex<HashMap<Digest, Arc<HashSet<Digest>>>>,
}

impl Builds {
    /// The files of the build, and its manifest.
    fn objects(&self, depot: &DiskStore, build: &Digest) -> Result<Arc<HashSet<Digest>>, Failure> {
        let lock = || self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(known) = lock().get(build) {
            return Ok(known.clone());
        }
        let bytes = depot.read_bytes(build, MAX_MANIFEST_BYTES as u64)?;
        let manifest = Manifest::from_bytes(&bytes).map_err(|error| Failure::invalid(error.to_string()))?;
        let files = manifest.objects().map(|(digest, _)| digest);
        let objects: Arc<HashSet<Digest>> = Arc::new(files.chain([*build]).collect());
        let mut remembered = lock();
        if remembered.values().map(|objects| objects.len()).sum::<usize>() + objects.len() > REMEMBERED {
            remembered.clear();
        }
        remembered.insert(*build, objects.clone());
        Ok(objects)
    }

    /// Whether one of `builds` has the object. A build whose manifest cannot be read has nothing to give.
    fn any_has(&self, depot: &DiskStore, builds: &BTreeSet<Digest>, object: &Digest) -> bool {
        if builds.contains(object) {
            return true;
        }
        builds.iter().any(|build| match self.objects(depot, build) {
            Ok(objects) => objects.contains(object),
            Err(error) => {
                tracing::warn!(%build, code = error.code(), "a build's manifest cannot be read");
                false
            }
        })
    }
}

/// The files of a build with their lengths in bytes, by its manifest in the depot.
pub(crate) fn files_of(depot: &DiskStore, build: &Digest) -> Result<Vec<(Digest, u64)>, String> {
    let bytes = depot.read_bytes(build, MAX_MANIFEST_BYTES as u64).map_err(|error| error.to_string())?;
    let manifest = Manifest::from_bytes(&bytes).map_err(|error| error.to_string())?;
    Ok(manifest.objects().collect())
}

/// Why somebody may read objects.
enum Reader {
    /// A person or robot that is logged in.
    Anything,
    /// A target that is logged in.
    Target(TargetName),
    /// A channel's feed.
    Channel(AudienceName),
}

impl Reader {
    /// Fails unless all of `objects` may be read.
    fn check(&self, serving: &Serving, state: &Facts, objects: &[Digest]) -> Result<(), Failure> {
        let now = Timestamp::now();
        let (builds, documents, whose) = match self {
            Reader::Anything => return Ok(()),
            Reader::Target(name) => (
                permits::builds_for_target(state, name, now),
                permits::config_for_target(state, name),
                format!("the target {name}"),
            ),
            Reader::Channel(channel) => {
                (permits::builds_for_channel(state, channel, now), BTreeSet::new(), format!("channel {channel}"))
            }
        };
        let may =
            |object: &Digest| documents.contains(object) || serving.builds.any_has(&serving.depot, &builds, object);
        match objects.iter().find(|object| !may(object)) {
            None => Ok(()),
            Some(object) => {
                let message = format!("{whose} may not have {object}: no live permit and no assignment covers it");
                Err(Failure::new(StatusCode::FORBIDDEN, "PERMIT_MISSING", message).exit(exit::REFUSED))
            }
        }
    }
}

/// What an object is asked for.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ObjectQuery {
    /// The channel in whose feed the object was found; needs no login where the channel is public.
    #[param(value_type = Option<String>)]
    channel: Option<AudienceName>,
}

fn reader(parts: &Parts, serving: &Shared, query: &ObjectQuery) -> Result<Reader, Failure> {
    let login = identified(parts, serving);
    if let Ok(Actor::Person { .. }) = login {
        return Ok(Reader::Anything);
    }
    if let Some(channel) = &query.channel {
        let state = serving.ledger.state();
        // Whoever has a name gets builds whole, so that it is known what they got: see `feeds`.
        if let Ok(Actor::Customer { .. }) = login
            && !super::feeds::is_public(&state, channel)
        {
            return Err(channels_only());
        }
        super::feeds::check_open(&state, channel, login)?;
        return Ok(Reader::Channel(channel.clone()));
    }
    match login? {
        Actor::Target(name) => Ok(Reader::Target(name)),
        Actor::Customer { .. } => Err(channels_only()),
        _ => Err(Failure::new(StatusCode::UNAUTHORIZED, "LOGIN_NEEDED", "this needs a login")
            .exit(exit::REFUSED)
            .next("sortie login")),
    }
}

/// Stores one object under its digest.
#[utoipa::path(
    put, path = routes::OBJECT, params(("digest" = String, Path)),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 201, body = Stored), (status = "4XX", body = Problem), (status = 507, body = Problem)),
)]
pub(crate) async fn put(
    State(serving): State<Shared>,
    person: KnownPerson,
    InPath(digest): InPath<Digest>,
    body: Body,
) -> Result<(StatusCode, Json<Stored>), Failure> {
    let most_bytes = bringing::most_bytes(&serving.ledger.state(), &person)?;
    let reader = streams::reader(body);
    let depot = serving.depot.clone();
    let size_bytes = away(move || Ok(depot.put(reader, digest, most_bytes)?)).await?;
    Ok((StatusCode::CREATED, Json(Stored { objects: 1, size_bytes })))
}

/// Reads one object.
#[utoipa::path(
    get, path = routes::OBJECT, params(("digest" = String, Path), ObjectQuery),
    responses((status = 200, content_type = "application/octet-stream"), (status = "4XX", body = Problem)),
)]
pub(crate) async fn get(State(serving): State<Shared>, request: Request) -> Result<Response, Failure> {
    let (mut parts, _) = request.into_parts();
    let InPath(digest) = InPath::<Digest>::from_request_parts(&mut parts, &serving).await?;
    let Asked(query) = Asked::<ObjectQuery>::from_request_parts(&mut parts, &serving).await?;
    let reader = reader(&parts, &serving, &query)?;
    let (file, length) = away(move || {
        reader.check(&serving, &serving.ledger.state(), &[digest])?;
        Ok(serving.depot.open_object(&digest)?)
    })
    .await?;
    let mut response = streams::body_of(file).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=31536000, immutable"));
    Ok(response)
}

/// Says which of these digests the depot lacks.
#[utoipa::path(
    post, path = routes::OBJECTS_MISSING, request_body = Vec<String>,
    responses((status = 200, body = Vec<String>), (status = "4XX", body = Problem)),
)]
pub(crate) async fn missing(
    State(serving): State<Shared>,
    _: KnownPerson,
    Strict(digests): Strict<Vec<Digest>>,
) -> Result<Json<Vec<Digest>>, Failure> {
    let depot = serving.depot.clone();
    let missing = away(move || {
        let missing = depot.missing(&digests);
        // Whoever asks is about to name those that are here: they count as brought now.
        for digest in &digests {
            depot.refresh(digest);
        }
        Ok(missing)
    });
    Ok(Json(missing.await?))
}

/// Stores many small objects that travel in one pack. All of them become visible, or none.
#[utoipa::path(
    post, path = routes::PACKS,
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 201, body = Stored), (status = "4XX", body = Problem), (status = 507, body = Problem)),
)]
pub(crate) async fn put_pack(
    State(serving): State<Shared>,
    person: KnownPerson,
    body: Body,
) -> Result<(StatusCode, Json<Stored>), Failure> {
    bringing::require_builds(&serving.ledger.state(), &person)?;
    let reader = streams::reader(body);
    let depot = serving.depot.clone();
    let stored = away(move || {
        let mut batch = depot.batch();
        let mut size_bytes = 0;
        let objects = depot::read_pack(reader, &PackLimits::default(), |digest, bytes| {
            size_bytes += batch.put(bytes, digest, bytes.len() as u64)?;
            Ok(())
        })?;
        batch.commit()?;
        Ok(Stored { objects: u64::from(objects), size_bytes })
    })
    .await?;
    Ok((StatusCode::CREATED, Json(stored)))
}

/// Sends many small objects back in one pack.
#[utoipa::path(
    post, path = routes::PACKS_FETCH, params(ObjectQuery), request_body = Vec<String>,
    responses((status = 200, content_type = "application/octet-stream"), (status = "4XX", body = Problem)),
)]
pub(crate) async fn fetch_pack(State(serving): State<Shared>, request: Request) -> Result<Response, Failure> {
    let (mut parts, body) = request.into_parts();
    let Asked(query) = Asked::<ObjectQuery>::from_request_parts(&mut parts, &serving).await?;
    let reader = reader(&parts, &serving, &query)?;
    let request = Request::from_parts(parts, body);
    let Strict(digests) =
        <Strict<Vec<Digest>> as axum::extract::FromRequest<_>>::from_request(request, &serving).await?;
    if digests.len() > PACK_OBJECTS {
        let message = format!("{} objects are too many for one pack: ask for at most {PACK_OBJECTS}", digests.len());
        return Err(Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE", message).exit(exit::MISUSED));
    }
    let depot = serving.depot.clone();
    let digests = away(move || {
        reader.check(&serving, &serving.ledger.state(), &digests)?;
        match serving.depot.missing(&digests).first() {
            Some(missing) => Err(depot::StoreError::Missing(*missing).into()),
            None => Ok(digests),
        }
    })
    .await?;
    let (writer, body) = streams::writer();
    tokio::task::spawn_blocking(move || {
        let last = writer.again();
        if let Err(error) = depot::write_pack(&digests, |digest| depot.open_object(digest), writer) {
            tracing::warn!(%error, "a pack broke off");
            last.fail(error.to_string());
        }
    });
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    Ok(response)
}
