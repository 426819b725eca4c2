//! What a channel may have (R6, R18, R28): the versions with a live permit to it, and nothing else.
//!
//! A public channel is open to anyone, another to the estate's own people and to the customers whom the charter lets read
//! it. Whoever has a name gets a build whole, in one pack whose largest file comes last: before that one leaves, the ledger
//! says to whom. What was handed over and is not written down is never whole.

use super::{
    Serving, Shared,
    extract::InPath,
    failure::{Failure, away},
    reads,
    sessions::identified,
    streams,
};
use crate::{
    ledger::{Prepared, SubmitError},
    views,
};
use api::{
    client::fresh_request_id,
    problem::Problem,
    read::{Feed, Offer},
    routes,
    write::Attachment,
};
use axum::{
    Json,
    extract::{FromRequestParts, Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use depot::StoreError;
use domain::{
    command::{Actor, Command},
    refusal::{Refusal, exit},
    rules::{entitlement, names},
    state::State as Facts,
};
use jiff::Timestamp;
use std::{collections::BTreeMap, io};
use tokio::runtime::Handle;
use trust::{
    AppName, AudienceName, Digest, PersonName, Version,
    manifest::{Entry, MAX_MANIFEST_BYTES, Manifest},
};

/// Whether anyone may read the channel.
pub(crate) fn is_public(state: &Facts, channel: &AudienceName) -> bool {
    let channel = state.policy.as_ref().and_then(|policy| policy.charter.channels.get(channel));
    channel.is_some_and(|channel| channel.public)
}

/// Fails unless the channel exists and is open to whoever asks. Says who that is, where they have a name.
pub(crate) fn check_open(
    state: &Facts,
    channel: &AudienceName,
    login: Result<Actor, Failure>,
) -> Result<Option<PersonName>, Failure> {
    let policy = state.policy.as_ref().ok_or(Refusal::NoEstate)?;
    match login {
        Ok(Actor::Person { name, .. }) => match policy.charter.channels.contains_key(channel) {
            true => Ok(Some(name)),
            false => Err(Refusal::UnknownAudience { name: channel.clone(), nearest: None }.into()),
        },
        Ok(Actor::Customer { name, .. }) => {
            entitlement::may_read(policy, channel, &name)?;
            Ok(Some(name))
        }
        _ if is_public(state, channel) => Ok(None),
        // A token that is over, or for something else, is told so.
        Err(failure) if failure.code() != "LOGIN_NEEDED" => Err(failure),
        // Whoever has no login learns of no names.
        _ => Err(Failure::new(StatusCode::UNAUTHORIZED, "LOGIN_NEEDED", format!("channel {channel} is not public"))
            .exit(exit::REFUSED)
            .next("sortie login")),
    }
}

/// The versions of an application that a channel may have, newest first.
#[utoipa::path(
    get, path = routes::FEED, params(("channel" = String, Path), ("app" = String, Path)),
    responses((status = 200, body = Feed), (status = "4XX", body = Problem)),
)]
pub(crate) async fn feed(State(serving): State<Shared>, request: Request) -> Result<Json<Feed>, Failure> {
    let (mut parts, _) = request.into_parts();
    let InPath((channel, app)) = InPath::<(AudienceName, AppName)>::from_request_parts(&mut parts, &serving).await?;
    let state = serving.ledger.state();
    check_open(&state, &channel, identified(&parts, &serving))?;
    Ok(Json(views::feed::feed(&state, &channel, &app, Timestamp::now())?))
}

/// What is asked of a channel, by somebody who may.
struct Asked {
    channel: AudienceName,
    app: AppName,
    version: Version,
    build: Digest,
    /// Who asks, where they have a name.
    reader: Option<PersonName>,
}

impl Asked {
    async fn of(request: Request, serving: &Shared) -> Result<Self, Failure> {
        let (mut parts, _) = request.into_parts();
        let path = InPath::<(AudienceName, AppName, Version)>::from_request_parts(&mut parts, serving).await?;
        let InPath((channel, app, version)) = path;
        let state = serving.ledger.state();
        let login = identified(&parts, serving);
        let is_of_the_estate = matches!(login, Ok(Actor::Person { .. }));
        let reader = check_open(&state, &channel, login)?;
        let policy = state.policy.as_ref().ok_or(Refusal::NoEstate)?;
        if is_of_the_estate {
            // Nobody can ask for what there is not. Others learn of no numbers.
            names::version(&state, &app, &version)?;
        }
        let build = entitlement::released(&state, policy, &app, &version, &channel, Timestamp::now())?;
        Ok(Self { channel, app, version, build, reader })
    }
}

/// A version of a channel, with its manifest and, for whoever is logged in, the signed statements behind it.
#[utoipa::path(
    get, path = routes::OFFER, params(("channel" = String, Path), ("app" = String, Path), ("version" = String, Path)),
    responses((status = 200, body = Offer), (status = "4XX", body = Problem)),
)]
pub(crate) async fn offer(State(serving): State<Shared>, request: Request) -> Result<Json<Offer>, Failure> {
    let Asked { channel, app, version, build, reader } = Asked::of(request, &serving).await?;
    let offer = move || {
        let manifest = Attachment(serving.depot.read_bytes(&build, MAX_MANIFEST_BYTES as u64)?);
        let state = serving.ledger.state();
        let entries = views::dossier::for_channel(&state, &app, &version, &channel, Timestamp::now());
        let entries = entries.filter(|_| reader.is_some());
        let dossier = entries.map(|entries| reads::dossier_of(&serving.served(), &entries)).transpose()?;
        Ok(Offer { name: views::build_name(&state, &app, &build), manifest, dossier })
    };
    Ok(Json(away(offer).await?))
}

/// The files of a version, in one pack: the largest last.
#[utoipa::path(
    get, path = routes::OFFER_FILES,
    params(("channel" = String, Path), ("app" = String, Path), ("version" = String, Path)),
    responses((status = 200, content_type = "application/octet-stream"), (status = "4XX", body = Problem)),
)]
pub(crate) async fn files(State(serving): State<Shared>, request: Request) -> Result<Response, Failure> {
    if request.method() != Method::GET {
        let message = "the files of a version are fetched with GET: asking for their headers hands nothing over";
        return Err(Failure::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", message).exit(exit::MISUSED));
    }
    let asked = Asked::of(request, &serving).await?;
    let (depot, build) = (serving.depot.clone(), asked.build);
    let digests = away(move || files_of(&depot.read_bytes(&build, MAX_MANIFEST_BYTES as u64)?)).await?;
    let (writer, body) = streams::writer();
    let handle = Handle::current();
    tokio::task::spawn_blocking(move || {
        let last = writer.again();
        let record = || match &asked.reader {
            Some(reader) => handle.block_on(record(&serving, &asked, reader)),
            None => Ok(()),
        };
        let handed = match digests.last() {
            None => record().map_err(|error| error.to_string()),
            Some(_) => Ok(()),
        };
        let open = |digest: &Digest| {
            if digests.last() == Some(digest) {
                record().map_err(|source| StoreError::Source { digest: *digest, source })?;
            }
            serving.depot.open_object(digest)
        };
        let written = handed
            .and_then(|()| depot::write_pack(&digests, open, writer).map(|_| ()).map_err(|error| error.to_string()));
        if let Err(error) = written {
            tracing::warn!(app = %asked.app, version = %asked.version, error, "a delivery broke off");
            last.fail(error);
        }
    });
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    Ok(response)
}

/// The files of a manifest, each once, the largest last.
fn files_of(manifest: &[u8]) -> Result<Vec<Digest>, Failure> {
    let manifest = Manifest::from_bytes(manifest).map_err(|error| Failure::invalid(error.to_string()))?;
    let sizes: BTreeMap<Digest, u64> = manifest
        .files
        .iter()
        .filter_map(|entry| match entry {
            Entry::File { digest, size, .. } => Some((*digest, *size)),
            Entry::Link { .. } => None,
        })
        .collect();
    let mut files: Vec<(u64, Digest)> = sizes.into_iter().map(|(digest, size)| (size, digest)).collect();
    files.sort();
    Ok(files.into_iter().map(|(_, digest)| digest).collect())
}

/// Writes down to whom the version is handed, unless that is known. Fails if they may not have it any more.
async fn record(serving: &Serving, asked: &Asked, reader: &PersonName) -> io::Result<()> {
    let Asked { app, version, channel, .. } = asked;
    let command = Command::RecordDelivery {
        app: app.clone(),
        version: version.clone(),
        channel: channel.clone(),
        to: reader.clone(),
    };
    let prepared = Prepared {
        actor: Actor::Server,
        request_id: fresh_request_id().map_err(io::Error::other)?,
        on_behalf_of: None,
        command,
        envelope: None,
        texts: BTreeMap::new(),
    };
    match serving.ledger.submit(prepared).await {
        Ok(accepted) => {
            serving.metrics.happened(&accepted.events);
            Ok(())
        }
        Err(SubmitError::Refused(Refusal::AlreadyDone { .. })) => Ok(()),
        Err(error) => Err(io::Error::other(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trust::manifest::{FORMAT, Run};

    #[test]
    fn r28_the_largest_file_leaves_last_so_that_nothing_unrecorded_is_whole() {
        let file = |path: &str, content: &[u8]| Entry::File {
            path: path.into(),
            executable: false,
            size: content.len() as u64,
            digest: Digest::of(content),
        };
        let link = Entry::Link { path: "z".into(), target: "a".into() };
        let files = vec![file("a", b"large one"), file("b", b"one"), file("c", b"one"), file("d", b""), link];
        let manifest = Manifest { format: FORMAT, app: "web".parse().unwrap(), files, run: Run::default() };
        let order = files_of(&manifest.to_bytes().unwrap()).unwrap();
        assert_eq!(order, [&b""[..], b"one", b"large one"].map(Digest::of));
    }
}
