//! Objects of the depot, read whole: nothing is taken that does not hash to its name.

use crate::{
    connection::Connection,
    failure::{Failure, OrIntegrity},
};
use api::{
    client::{Client, ClientError},
    routes,
};
use trust::{
    Digest,
    manifest::{MAX_MANIFEST_BYTES, Manifest},
};

/// The manifest of a build, whose bytes must be just those.
pub async fn manifest(connection: &Connection, build: &Digest) -> Result<Manifest, Failure> {
    let bytes = read(&connection.client, build, MAX_MANIFEST_BYTES).await?;
    Manifest::from_bytes(&bytes).or_integrity("the manifest")
}

/// The same of what a target runs; nothing where the server has lost that, or never had it.
pub async fn manifest_if_there(connection: &Connection, build: &Digest) -> Result<Option<Manifest>, Failure> {
    let path = routes::path(routes::OBJECT, &[&build.to_string()]);
    match connection.client.open(&path, &[]).await {
        Err(ClientError::Refused(problem)) if problem.code == "OBJECT_MISSING" => Ok(None),
        _ => manifest(connection, build).await.map(Some),
    }
}

/// The object with this digest; no longer than `limit_bytes`.
pub async fn read(client: &Client, digest: &Digest, limit_bytes: usize) -> Result<Vec<u8>, Failure> {
    let mut response = client.open(&routes::path(routes::OBJECT, &[&digest.to_string()]), &[]).await?;
    let mut bytes = Vec::new();
    while let Some(piece) =
        response.chunk().await.map_err(|error| Failure::failed(format!("the connection broke: {error}")))?
    {
        bytes.extend_from_slice(&piece);
        if bytes.len() > limit_bytes {
            return Err(Failure::integrity(format!("the server sent more than {limit_bytes} bytes as {digest}")));
        }
    }
    match Digest::of(&bytes) == *digest {
        true => Ok(bytes),
        false => Err(Failure::integrity(format!("what the server sent as {digest} hashes to something else"))),
    }
}
