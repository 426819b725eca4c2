//! How fresh this target's knowledge is, and the withdrawals that its estate's repository tells of.
//!
//! A refresh counts for an application when all of it was there: timestamp, snapshot, targets, the role of permits and
//! the file of that very application, so that a mirror that shows a new date and holds back the rest makes nothing fresh.

use crate::{
    documents::{Documents, TrustError},
    files::{self, FileError, Place},
    repository::{FetchError, Repository, RepositoryError, Source},
    supply::{Origin, Supply},
};
use api::{read::Estate, write::Attachment};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use trust::{
    AppName, AudienceName, Digest,
    authority::{Freshness, Road},
    charter::CHARTER_TARGET,
    dsse::Envelope,
    tuf::{
        TufError,
        client::{Client, Found, Kept, Next, Wanted},
        repository::{MAX_PERMITS_BYTES, PermitFile, WithdrawalsFile, permits_target, withdrawals_path},
    },
};

/// The repository as it was last seen, and how fresh that is.
#[derive(Debug)]
pub struct Refresher {
    seen_at: Place,
    repository: Repository,
    seen: Seen,
}

/// What outlives the process, beside the metadata itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    /// The date of the newest whole refresh.
    signed: Option<Timestamp>,
    /// The newest whole refresh of each application.
    apps: BTreeMap<AppName, SeenApp>,
}

/// The newest refresh that was whole for one application.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeenApp {
    /// The date of its timestamp.
    signed: Timestamp,
    /// The file whose withdrawals were kept; nothing where there was none.
    file: Option<Digest>,
    /// The charter by which they were judged.
    charter: u64,
}

/// Why a refresh did not come to its end. What was taken before stays.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// The repository does not count, or cannot be had.
    #[error("the repository: {0}")]
    Repository(#[from] RepositoryError),
    /// A file in it cannot be read.
    #[error("a file of the repository does not count: {0}")]
    Malformed(#[from] TufError),
    /// The repository has no date.
    #[error("the repository's timestamp has no date")]
    Undated,
    /// The documents in it do not count.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A file here cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl RefreshError {
    /// Why nobody could be reached, if that is all that was wrong.
    pub fn away(&self) -> Option<&str> {
        match self {
            RefreshError::Repository(RepositoryError::Fetch { why: FetchError::Away(why), .. }) => Some(why),
            _ => None,
        }
    }
}

/// Somebody's copy of the repository, as a supply has it.
pub struct Copy<'a, S> {
    /// Where things come from.
    pub supply: &'a S,
    /// Whose copy.
    pub origin: Origin,
}

impl<S: Supply> Source for Copy<'_, S> {
    fn metadata(&self, path: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, FetchError> {
        self.supply.repository(self.origin, &format!("metadata/{path}"), max_bytes)
    }

    fn target(&self, path: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, FetchError> {
        self.supply.repository(self.origin, &format!("targets/{path}"), max_bytes)
    }
}

impl Refresher {
    /// Takes up what an earlier process saw, and verifies it anew.
    pub fn open(folder: &Place, documents: &Documents, now: Timestamp) -> Result<Self, RefreshError> {
        let first = documents.estate().roots.first().map(|root| root.0.as_slice()).unwrap_or_default();
        let repository = Repository::of_estate(folder.join("repository"), first, &documents.pinned().estate, now)?;
        let seen_at = folder.join("seen.json");
        let seen = files::read_json(&seen_at)?.unwrap_or_default();
        Ok(Self { seen_at, repository, seen })
    }

    /// How fresh what is known of these applications is: as fresh as what is known of the one heard of least lately.
    pub fn freshness(&self, documents: &Documents, apps: &BTreeSet<AppName>, road: Road) -> Freshness {
        let targets = &documents.verified().targets;
        Freshness {
            road,
            owners_signed: targets.signed_at(),
            is_demanded: targets.delegations().is_some(),
            // Nothing, where one was never heard of.
            signed: apps.iter().map(|app| self.seen.apps.get(app).map(|seen| seen.signed)).min().flatten(),
        }
    }

    /// The date of the newest whole refresh.
    pub fn signed(&self) -> Option<Timestamp> {
        self.seen.signed
    }

    /// Refreshes as of `now`, takes newer documents of trust and the withdrawals for `apps`, and remembers how fresh
    /// that is.
    pub fn refresh(
        &mut self,
        documents: &mut Documents,
        apps: &BTreeSet<AppName>,
        source: &dyn Source,
        now: Timestamp,
    ) -> Result<(), RefreshError> {
        self.repository.refresh(source, now)?;
        self.take_documents(documents, source)?;
        let signed = self.repository.client().timestamp().and_then(|(timestamp, _)| timestamp.signed_at());
        let signed = signed.ok_or(RefreshError::Undated)?;
        let mut seen = self.seen.clone();
        for app in apps {
            let file = self.take_withdrawals(documents, app, source, now)?;
            seen.apps.insert(app.clone(), SeenApp { signed, file, charter: documents.version() });
        }
        seen.signed = Some(signed);
        files::replace_json(&self.seen_at, &seen)?;
        self.seen = seen;
        Ok(())
    }

    /// Puts a newer root or charter in force where the repository has one.
    fn take_documents(&mut self, documents: &mut Documents, source: &dyn Source) -> Result<(), RefreshError> {
        let client = self.repository.client();
        let Some((targets, bytes)) = client.targets() else { return Ok(()) };
        let is_newer = targets.version() > documents.version();
        if !is_newer && client.root().version() <= documents.verified().root.version() {
            return Ok(());
        }
        let targets = bytes.to_vec();
        let Some(found) = self.repository.find(source, CHARTER_TARGET)? else { return Ok(()) };
        let charter = String::from_utf8(self.repository.download(source, &found)?);
        let charter = charter.map_err(|_| TufError::Malformed("the charter is not text".into()))?;
        let known = documents.estate();
        // Owners give powers back by a new charter alone.
        let suspensions = if is_newer { Vec::new() } else { known.suspensions.clone() };
        let later = self.repository.roots()?.into_iter().map(Attachment);
        let roots = known.roots.first().cloned().into_iter().chain(later).collect();
        if documents.adopt(Estate { roots, targets, charter, suspensions })? {
            tracing::info!(charter = documents.version(), "took newer estate documents from the repository");
        }
        Ok(())
    }

    /// Keeps the withdrawals and freezes for an application; answers with the digest of the file they stand in.
    fn take_withdrawals(
        &mut self,
        documents: &mut Documents,
        app: &AppName,
        source: &dyn Source,
        now: Timestamp,
    ) -> Result<Option<Digest>, RefreshError> {
        let path = permits_target(&documents.pinned().environment, app);
        let Some(found) = self.repository.find(source, &path)? else { return Ok(None) };
        let digest = found.target.hashes.sha256;
        let known = self.seen.apps.get(app);
        if known.is_some_and(|known| known.file == digest && known.charter == documents.version()) {
            return Ok(digest);
        }
        let file = PermitFile::from_bytes(&self.repository.download(source, &found)?)?;
        let policy = documents.policy();
        documents.keep_withdrawals(&policy, &file.withdrawals)?;
        documents.keep_freezes(&policy, &file.freezes, now)?;
        Ok(digest)
    }
}

/// Withdrawals from a repository that is too old to count: they speak for themselves, so neither dates nor versions
/// matter, only that somebody signed the lists they are found by.
pub fn old_withdrawals(documents: &Documents, apps: &BTreeSet<AppName>, source: &dyn Source) -> Vec<Envelope> {
    let mut found = Vec::new();
    let mut client = Client::start(documents.verified().root.clone(), Kept::default(), Timestamp::MIN);
    let give = |client: &mut Client, wanted: &Wanted| {
        let bytes = source.metadata(&wanted.path, wanted.limit_bytes).ok();
        bytes.is_some_and(|bytes| client.take(wanted, bytes.as_deref()).is_ok())
    };
    loop {
        match client.refresh() {
            Ok(Next::Done(())) => break,
            Ok(Next::Wants(wanted)) if give(&mut client, &wanted) => {}
            _ => return found,
        }
    }
    for app in apps {
        let path = permits_target(&documents.pinned().environment, app);
        let listed = loop {
            match client.find(&path) {
                Ok(Next::Done(listed)) => break listed,
                Ok(Next::Wants(wanted)) if give(&mut client, &wanted) => {}
                _ => break None,
            }
        };
        let file = listed.and_then(|listed| permits(&listed, source));
        found.extend(file.into_iter().flat_map(|file| file.withdrawals));
    }
    found
}

/// The withdrawals from an environment that a witness has heard of by any road, where the mirror is one. They need no date.
pub fn brought_to_witness(supply: &impl Supply, mirror: usize, environment: &AudienceName) -> Vec<Envelope> {
    let path = withdrawals_path(environment);
    let bytes = supply.repository(Origin::Mirror(mirror), &path, MAX_PERMITS_BYTES as u64).ok().flatten();
    let file = bytes.and_then(|bytes| WithdrawalsFile::from_bytes(&bytes).ok());
    file.map(|file| file.withdrawals).unwrap_or_default()
}

fn permits(found: &Found, source: &dyn Source) -> Option<PermitFile> {
    let length = found.target.length_bytes.min(MAX_PERMITS_BYTES as u64);
    let bytes = source.target(&found.location, length).ok()??;
    found.target.check(&bytes).ok()?;
    PermitFile::from_bytes(&bytes).ok()
}
