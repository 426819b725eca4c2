//! What goes into a bundle: the estate's documents, the signed statements, the manifest, and every object it needs.

use crate::{
    connection::Connection,
    failure::{Failure, OrIntegrity},
    invocation::Invocation,
    mirror::{self, Part},
    object,
    releasing::Matter,
};
use agent::bundle::{CHARTER, DOSSIER, MANIFEST, SUSPENSIONS, TARGETS, repository_path, root_path};
use anyhow::Context as _;
use api::{client::Client, routes};
use depot::bundle::{BundleError, FORMAT, Index, Member, Written};
use domain::sizes;
use jiff::Timestamp;
use std::{
    collections::BTreeMap,
    io::{self, Cursor, Read, Seek, SeekFrom, Write},
    path::Path,
};
use tokio::runtime::Handle;
use trust::{
    Digest,
    authority::Dossier,
    config::MAX_CONFIG_BYTES,
    evidence::MAX_DOCUMENT_BYTES,
    manifest::{MAX_MANIFEST_BYTES, Manifest},
    statement::{Act, Statement},
};

/// Objects up to this length are held in memory while they are packed.
const IN_MEMORY_BYTES: usize = 1 << 20;

/// Everything a bundle is made of, less the bytes of its objects.
pub struct Contents {
    /// What is listed.
    pub index: Index,
    /// What is small and at hand, by path.
    small: BTreeMap<String, Vec<u8>>,
}

impl Contents {
    /// Gathers what goes into a bundle for `matter`, with `dossier` as its statements.
    pub async fn gather(connection: &Connection, matter: &Matter, dossier: &Dossier) -> Result<Self, Failure> {
        let client = &connection.client;
        let manifest_bytes = object::read(client, &matter.found.build, MAX_MANIFEST_BYTES).await?;
        let manifest = Manifest::from_bytes(&manifest_bytes).or_integrity("the manifest")?;
        let json = |value: Result<Vec<u8>, serde_json::Error>| value.context("a document").map_err(Failure::from);
        let documents = &connection.documents;
        let mut small = BTreeMap::from([
            (MANIFEST.to_string(), manifest_bytes),
            (DOSSIER.to_string(), json(serde_json::to_vec_pretty(dossier))?),
            (SUSPENSIONS.to_string(), json(serde_json::to_vec_pretty(&documents.suspensions))?),
            (TARGETS.to_string(), documents.targets.clone()),
            (CHARTER.to_string(), documents.charter.clone()),
        ]);
        for (number, root) in (1..).zip(&documents.roots) {
            small.insert(root_path(number), root.clone());
        }
        // How fresh all this is: the site judges it by the charter's offline grace.
        let repository = mirror::fetch(connection, Part::Pair(&matter.audience, &matter.found.app)).await?;
        small.extend(repository.into_iter().map(|(path, bytes)| (repository_path(&path), bytes)));
        let mut members: Vec<Member> = small.iter().map(|(path, bytes)| Member::of(path.clone(), bytes)).collect();
        for (digest, limit_bytes) in named_documents(dossier) {
            let document = object::read(client, &digest, limit_bytes).await?;
            let member = Member::object(digest, document.len() as u64);
            small.insert(member.path.clone(), document);
            members.push(member);
        }
        members.extend(manifest.objects().map(|(digest, size)| Member::object(digest, size)));
        members.sort_by(|one, other| one.path.cmp(&other.path));
        members.dedup_by(|one, other| one.path == other.path);
        let by = connection.me().map(|(name, _)| name);
        let index = Index {
            format: FORMAT,
            estate: connection.estate(),
            app: matter.found.app.clone(),
            version: matter.version.clone(),
            build: matter.found.build,
            audience: matter.audience.clone(),
            made: Timestamp::now(),
            by: by.ok_or_else(|| Failure::integrity("your key is nobody's in the charter"))?,
            members,
        };
        Ok(Self { index, small })
    }

    /// Writes the volumes, fetching each object when its turn comes.
    pub async fn write(
        self,
        invocation: &Invocation,
        connection: &Connection,
        folder: &Path,
        volume_bytes: Option<u64>,
    ) -> Result<(Digest, Vec<Written>), Failure> {
        let Self { index, small } = self;
        let name = format!("{}-{}-{}", index.app, index.version, index.audience);
        let (folder, client) = (folder.to_path_buf(), connection.client.clone());
        let mut progress = Progress::new(invocation, "packed", index.total_bytes());
        let handle = Handle::current();
        let writing = tokio::task::spawn_blocking(move || {
            let open = |member: &Member| -> io::Result<Box<dyn Read>> {
                match small.get(&member.path) {
                    Some(bytes) => Ok(Box::new(Cursor::new(bytes.clone()))),
                    None => Ok(Box::new(handle.block_on(fetch(&client, member))?)),
                }
            };
            depot::bundle::write(&index, &folder, &name, volume_bytes, open, &mut |bytes| progress.heard(bytes))
        });
        writing.await.context("packing").map_err(Failure::from)?.map_err(failure)
    }
}

/// The documents that statements name by digest, each with the most bytes it may have.
fn named_documents(dossier: &Dossier) -> Vec<(Digest, usize)> {
    let evidence = dossier.evidence.iter().filter_map(|envelope| match Statement::read(envelope).ok()?.act {
        Act::Evidence(evidence) => Some((evidence.document, MAX_DOCUMENT_BYTES as usize)),
        _ => None,
    });
    let config = dossier.config.as_ref().and_then(|envelope| Statement::read(envelope).ok());
    let mut named: Vec<_> = evidence.chain(config.map(|config| (config.subject, MAX_CONFIG_BYTES))).collect();
    named.sort();
    named.dedup();
    named
}

/// One object on its way into a bundle; its digest is taken when it is packed.
async fn fetch(client: &Client, member: &Member) -> io::Result<impl Read + use<>> {
    let mut response = client
        .open(&routes::path(routes::OBJECT, &[&member.digest.to_string()]), &[])
        .await
        .map_err(|error| io::Error::other(error.to_string()))?;
    let mut spool = tempfile::spooled_tempfile(IN_MEMORY_BYTES);
    let mut length = 0;
    while let Some(piece) = response.chunk().await.map_err(io::Error::other)? {
        length += piece.len() as u64;
        if length > member.size {
            return Err(io::Error::other("the server sent more than the manifest lists"));
        }
        spool.write_all(&piece)?;
    }
    spool.seek(SeekFrom::Start(0))?;
    Ok(spool)
}

/// What a bundle's reader or writer has to say, with its exit code.
pub fn failure(error: BundleError) -> Failure {
    match (&error, error.is_integrity()) {
        (BundleError::VolumeTooSmall(_) | BundleError::TooManyVolumes, _) => Failure::misused(error.to_string()),
        (_, true) => Failure::integrity(format!("{error}; nothing was taken from it")),
        (_, false) => Failure::failed(error.to_string()),
    }
}

/// Says on standard error how far something is, at every tenth of it.
pub struct Progress {
    invocation: Invocation,
    done: &'static str,
    total_bytes: u64,
    tenths: u64,
}

impl Progress {
    /// Little is not worth a word.
    const WORTH_TELLING_BYTES: u64 = 50_000_000;

    /// Of `total_bytes` in all.
    pub fn new(invocation: &Invocation, done: &'static str, total_bytes: u64) -> Self {
        Self { invocation: invocation.clone(), done, total_bytes, tenths: 0 }
    }

    /// So many bytes are done.
    pub fn heard(&mut self, done_bytes: u64) {
        let tenths = done_bytes.saturating_mul(10).checked_div(self.total_bytes).unwrap_or(10);
        if tenths > self.tenths && self.total_bytes >= Self::WORTH_TELLING_BYTES {
            self.invocation.aside(&format!(
                "{} {} of {}",
                self.done,
                sizes::length(done_bytes),
                sizes::length(self.total_bytes)
            ));
        }
        self.tenths = tenths;
    }
}

/// Reads `650MB`, `4.7 GB`, `100MiB`, `1000000`.
pub fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{}' is no size: write for example 650MB, 4.7GB or 100MiB", trust::names::printable(text));
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()));
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return Err(wrong()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let fraction = fraction.get(..fraction.len().min(6)).ok_or_else(wrong)?;
    let digits: u64 = format!("{whole}{fraction}").parse().map_err(|_| wrong())?;
    let power = 10_u64.pow(u32::try_from(fraction.len()).map_err(|_| wrong())?);
    digits.checked_mul(factor).map(|bytes| bytes / power).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        assert_eq!(size("650MB"), Ok(650_000_000));
        assert_eq!(size("4.7 GB"), Ok(4_700_000_000));
        assert_eq!(size("100MiB"), Ok(100 << 20));
        assert_eq!(size("70000"), Ok(70_000));
        for bad in ["", "MB", "1 parsec", "-1MB", "1.2.3MB", "99999999999999999999TB", "99999999TB"] {
            assert!(size(bad).is_err(), "{bad:?} was taken");
        }
    }
}
