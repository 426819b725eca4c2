//! The repository that the server publishes. Whoever asks for its timestamp has all of it published that was accepted by
//! then: nobody could see what was published and not asked for.

use super::{Made, Server};
use crate::{
    cast,
    fault::{self, Fault},
};
use jiff::{SignedDuration, Timestamp};
use server::repository::{Publishing, Repository};
use std::{fs, path::Path};

/// Where the timestamp lies.
pub const TIMESTAMP: &str = "metadata/timestamp.json";
/// How long before a world begins what is there at first was published.
const EARLIER: SignedDuration = SignedDuration::from_mins(40);

/// For how long nothing new is published, where that is wrong on purpose.
const YOUNG: SignedDuration = SignedDuration::from_mins(10);

impl Server {
    /// Takes up what was published before, where owners delegated a repository.
    pub(super) fn open_repository(&self) -> Made<Option<Repository>> {
        if !self.publishes {
            return Ok(None);
        }
        let folder = self.folder.path().join("repository");
        let is_new = !folder.is_dir();
        fs::create_dir_all(&folder)?;
        fault::counts_from(self.fault, &folder)?;
        Ok(Some(Repository::open(&folder, is_new, self.now())?))
    }

    /// Publishes what there is before the world begins.
    pub(super) fn publish_early(&mut self) -> Made<()> {
        self.publish_at(cast::beginning() - EARLIER)
    }

    /// Publishes what the ledger says by now.
    pub fn publish(&mut self) -> Made<()> {
        self.publish_at(self.now())
    }

    fn publish_at(&mut self, now: Timestamp) -> Made<()> {
        let Some((ledger, Some(repository))) = self.open.as_ref().map(|open| (&open.ledger, &open.repository)) else {
            return Ok(());
        };
        let is_young = self.published_at.is_some_and(|at| now.duration_since(at).abs() < YOUNG);
        if self.fault == Some(Fault::PublishedTooLate) && is_young {
            return Ok(());
        }
        self.published_at = Some(now);
        repository.publish(&Publishing { ledger, depot: &self.depot, key: &self.key, others: &[] }, now)?;
        if let Some(problem) = repository.status().problem {
            return Err(problem.into());
        }
        let timestamp = self.file(TIMESTAMP).unwrap_or_default();
        if self.published.last() != Some(&timestamp) {
            self.published.push(timestamp);
        }
        Ok(())
    }

    /// A file of the repository by its path there.
    pub fn file(&self, path: &str) -> Option<Vec<u8>> {
        let repository = self.open.as_ref()?.repository.as_ref()?;
        fs::read(repository.path(Path::new(path))).ok()
    }

    /// Every timestamp that was ever published, in their order.
    pub fn published(&self) -> &[Vec<u8>] {
        &self.published
    }
}
