//! A TUF repository as a target sees it: the metadata it trusts, in a folder, refreshed from any source.
//!
//! [`trust::tuf::client`] decides; here files are read, fetched and written. The source is believed in nothing, the folder
//! in nothing either: what lies there is verified whenever it is read.
//!
//! ```text
//! <folder>/root.json                          the newest root
//!          roots/<N>.root.json                every root after the first, for whoever walks from the first
//!          timestamp.json  snapshot.json      the memory that lets no version fall
//!          targets.json    <ROLE>.json        kept to spare fetching them; percent-encoded names
//! ```

use crate::files::{self, FileError, Place};
use futures_util::{Stream, StreamExt};
use jiff::Timestamp;
use std::{pin::pin, time::Duration};
use tokio::time::{Instant, timeout_at};
use trust::tuf::{
    self, MAX_SNAPSHOT_BYTES, MAX_TIMESTAMP_BYTES, Root, TufError,
    client::{Change, Client, ClientError, Found, Kept, Next, Wanted},
};

/// Where a repository's files come from: a server, a mirror, a folder.
pub trait Source {
    /// The file of metadata at `path`, which is written as in a URL; nothing if there is none. An answer of more than
    /// `max_bytes` is an error, and no more than that is ever held.
    fn metadata(&self, path: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, FetchError>;
    /// The target at `path`, likewise.
    fn target(&self, path: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, FetchError>;
}

/// Why a file could not be fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Whoever should have it cannot be reached, or the connection broke.
    #[error("{0}")]
    Away(String),
    /// It has more bytes than the file may have.
    #[error("it has more than the {0} bytes it may have")]
    TooLong(u64),
    /// It comes so slowly that somebody may be holding it back.
    #[error("it comes too slowly: {received_bytes} bytes in {seconds} s")]
    TooSlow {
        /// What came, in bytes.
        received_bytes: u64,
        /// In how many seconds.
        seconds: u64,
    },
}

/// Why a refresh, a search or a download did not succeed. What was trusted before still is.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// A file could not be fetched.
    #[error("cannot fetch {path}: {why}")]
    Fetch {
        /// Which.
        path: String,
        /// Why.
        #[source]
        why: FetchError,
    },
    /// A file of metadata does not count.
    #[error(transparent)]
    Metadata(#[from] ClientError),
    /// The root that everything begins with does not count.
    #[error("the trusted root does not count: {0}")]
    Root(#[source] Box<TufError>),
    /// A target that is vouched for is not there, or is another file.
    #[error("{path} is not the target that {role} vouches for: {why}")]
    Target {
        /// Its path.
        path: String,
        /// The role.
        role: String,
        /// What is wrong.
        #[source]
        why: Box<TufError>,
    },
    /// A file of the folder cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// A repository, and what is trusted of it.
#[derive(Debug)]
pub struct Repository {
    folder: Place,
    client: Client,
    /// What was taken and could not be written yet.
    unkept: Vec<Change>,
}

impl Repository {
    /// Opens the repository of an estate, whose first root has the digest `estate`. The roots that were kept since are
    /// walked again from there.
    pub fn of_estate(
        folder: Place,
        first_root: &[u8],
        estate: &trust::Digest,
        now: Timestamp,
    ) -> Result<Self, RepositoryError> {
        let mut root = Root::pinned(first_root, estate).map_err(|why| RepositoryError::Root(why.into()))?;
        loop {
            let path = kept_root(&folder, root.version().saturating_add(1));
            let Some(bytes) = read_at_most(&path, tuf::MAX_ROOT_BYTES as u64)? else { break };
            // What follows a damaged file is fetched anew.
            let Ok(next) = root.next(&bytes) else { break };
            root = next;
        }
        Self::open(folder, root, now)
    }

    /// Opens any repository, from the `root.json` that lies in the folder and is trusted.
    pub fn of_anyone(folder: Place, now: Timestamp) -> Result<Self, RepositoryError> {
        let bytes = read_at_most(&folder.join("root.json"), tuf::MAX_ROOT_BYTES as u64)?;
        let root =
            Root::of_any_repository(&bytes.unwrap_or_default()).map_err(|why| RepositoryError::Root(why.into()))?;
        Self::open(folder, root, now)
    }

    fn open(folder: Place, root: Root, now: Timestamp) -> Result<Self, RepositoryError> {
        files::make_private_folder(&folder.join("roots"))?;
        files::make_private_folder(&folder)?;
        let kept = Kept {
            timestamp: read_at_most(&folder.join("timestamp.json"), MAX_TIMESTAMP_BYTES as u64)?,
            snapshot: read_at_most(&folder.join("snapshot.json"), MAX_SNAPSHOT_BYTES as u64)?,
        };
        let client = Client::start(root, kept, now);
        Ok(Self { folder, client, unkept: Vec::new() })
    }

    /// Refreshes root, timestamp, snapshot and targets, all as of `now`.
    pub fn refresh(&mut self, source: &dyn Source, now: Timestamp) -> Result<(), RepositoryError> {
        // A version that is taken once is not given again, and would be forgotten.
        self.keep()?;
        self.client.again(now);
        while let Next::Wants(wanted) = self.client.refresh()? {
            self.supply(source, &wanted)?;
        }
        Ok(())
    }

    /// Searches for who vouches for the target at `path`, as of the last refresh; nothing if nobody does who may.
    pub fn find(&mut self, source: &dyn Source, path: &str) -> Result<Option<Found>, RepositoryError> {
        loop {
            match self.client.find(path)? {
                Next::Done(found) => return Ok(found),
                Next::Wants(wanted) => self.supply(source, &wanted)?,
            }
        }
    }

    /// Fetches a target that was found, whole: its length and hashes are those that are vouched for.
    pub fn download(&self, source: &dyn Source, found: &Found) -> Result<Vec<u8>, RepositoryError> {
        let (path, role) = (&found.path, &found.role);
        let wrong = |why| RepositoryError::Target { path: path.clone(), role: role.clone(), why: Box::new(why) };
        let fetched = source.target(&found.location, found.target.length_bytes);
        let fetched = fetched.map_err(|why| RepositoryError::Fetch { path: found.location.clone(), why })?;
        let bytes = fetched.ok_or(TufError::NotThere).map_err(wrong)?;
        found.target.check(&bytes).map_err(wrong)?;
        Ok(bytes)
    }

    /// The roots after the first, as far as the trusted one.
    pub fn roots(&self) -> Result<Vec<Vec<u8>>, FileError> {
        let kept = (2..=self.client.root().version())
            .map(|version| read_at_most(&kept_root(&self.folder, version), tuf::MAX_ROOT_BYTES as u64));
        Ok(kept.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    /// What is trusted.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Gives the client a file: the kept one if that is the file it wants, else a fetched one.
    fn supply(&mut self, source: &dyn Source, wanted: &Wanted) -> Result<(), RepositoryError> {
        if let Some(name) = wanted.kept_as()
            && let Some(bytes) = read_at_most(&self.folder.join(name), wanted.limit_bytes)?
            && self.client.take(wanted, Some(&bytes)).is_ok()
        {
            return Ok(());
        }
        let fetched = source.metadata(&wanted.path, wanted.limit_bytes);
        let bytes = fetched.map_err(|why| RepositoryError::Fetch { path: wanted.path.clone(), why })?;
        self.unkept.extend(self.client.take(wanted, bytes.as_deref())?);
        Ok(self.keep()?)
    }

    /// Writes what was taken, in order.
    fn keep(&mut self) -> Result<(), FileError> {
        while let Some(change) = self.unkept.first() {
            match change {
                Change::Root { version, bytes } => {
                    files::replace(&kept_root(&self.folder, *version), bytes)?;
                    files::replace(&self.folder.join("root.json"), bytes)?;
                }
                Change::Keep { name, bytes } => files::replace(&self.folder.join(name), bytes)?,
                Change::Forget { name } => files::remove_durably(&self.folder.join(name))?,
            }
            self.unkept.remove(0);
        }
        Ok(())
    }
}

fn kept_root(folder: &Place, version: u64) -> Place {
    folder.join("roots").join(format!("{version}.root.json"))
}

/// A kept file, unless it is longer than it could be when it was kept: then it is as if it were not there.
fn read_at_most(place: &Place, max_bytes: u64) -> Result<Option<Vec<u8>>, FileError> {
    Ok(files::read(place)?.filter(|bytes| bytes.len() as u64 <= max_bytes))
}

/// How long to wait for an answer: whoever sends it byte by byte must not hold the target up for ever.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How long an answer may take in all.
    pub total: Duration,
    /// How long it may take before its rate counts.
    pub grace: Duration,
    /// The rate it must have after that.
    pub least_bytes_per_second: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self { total: Duration::from_secs(300), grace: Duration::from_secs(10), least_bytes_per_second: 1024 }
    }
}

impl Patience {
    /// Reads a whole answer of at most `max_bytes`.
    pub async fn read<E: std::fmt::Display>(
        &self,
        body: impl Stream<Item = Result<impl AsRef<[u8]>, E>>,
        max_bytes: u64,
    ) -> Result<Vec<u8>, FetchError> {
        let mut body = pin!(body);
        let start = Instant::now();
        let mut received = Vec::new();
        loop {
            let received_bytes = received.len() as u64;
            let earned = Duration::from_secs_f64(received_bytes as f64 / self.least_bytes_per_second.max(1) as f64);
            let deadline = start + self.total.min(self.grace.saturating_add(earned));
            let piece = match timeout_at(deadline, body.next()).await {
                Err(_) => return Err(FetchError::TooSlow { received_bytes, seconds: start.elapsed().as_secs() }),
                Ok(None) => return Ok(received),
                Ok(Some(Err(error))) => return Err(FetchError::Away(error.to_string())),
                Ok(Some(Ok(piece))) => piece,
            };
            let piece = piece.as_ref();
            if received_bytes + piece.len() as u64 > max_bytes {
                return Err(FetchError::TooLong(max_bytes));
            }
            received.extend_from_slice(piece);
        }
    }
}

#[cfg(test)]
mod tests;
