//! The repository that agents, mirrors and other people's TUF clients read, kept as plain files below
//! `<data>/repository`: `metadata/` and `targets/`, with the names of consistent snapshots, so that any web server can
//! serve a copy of the folder.
//!
//! It follows the ledger and is never on the way of a write: what was accepted is durable before it is published, and
//! entries that come while one version is written go into the next together. Files appear in an order that never shows
//! a snapshot whose files are not there: targets, roles, snapshot, timestamp. Whoever asks for the timestamp after
//! hearing of an entry waits until that entry is published ([`Repository::reached`]).

use self::{
    signing::{Signing, signing},
    versions::Versions,
    witness::Waiting,
};
use crate::{
    http::{Shared, reads},
    ledger::{Ledger, LedgerError},
    views::repository::{PairEntries, pair},
};
use api::{
    read::{RepositoryRole, RepositoryStatus},
    witness::WitnessStatus,
};
use depot::{DiskStore, StoreError};
use domain::{
    entry::Entry,
    event::Event,
    policy,
    state::{Policy, State},
};
use files::{FileError, Stage};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::watch;
use trust::{
    AppName, AudienceName, Digest,
    authority::{Documents, DocumentsError, VerifiedDocuments},
    charter::{CHARTER_TARGET, MAX_CHARTER_BYTES},
    json::JsonError,
    key::{PublicKey, SecretKey, Signer},
    tuf::{
        MAX_ROOT_BYTES, MAX_TARGETS_BYTES, MetadataSignature, TargetFile, TimestampMetadata, TufError,
        repository::{self as metadata, ListedFile, Listing, PermitFile, PublishedPermit, role_name},
    },
};

pub(crate) mod files;
mod signing;
mod versions;
pub(crate) mod witness;

/// How long to wait before what could not be published is tried again.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
/// The counters of versions, beside the files that are published.
const VERSIONS: &str = "versions.json";
/// How many timestamps may wait for the witness, and for how long each, in seconds: newer ones say the same and more.
const KEPT_WAITING: usize = 8;
const KEPT_WAITING_SECONDS: i64 = 1800;
/// How many entries are looked through for what concerns the repository before all is looked at anew.
const ENTRIES_LOOKED_THROUGH: u64 = 500;

/// What a repository is published from.
#[derive(Clone, Copy)]
pub struct Publishing<'a> {
    /// The ledger, which it follows.
    pub ledger: &'a Ledger,
    /// Where the documents of the charter lie.
    pub depot: &'a DiskStore,
    /// The key in use, which signs timestamp, snapshot and the roles of permits.
    pub key: &'a SecretKey,
    /// The server's keys before and after it: where there is a witness, all of them sign timestamp.
    pub others: &'a [SecretKey],
}

/// The published repository.
pub struct Repository {
    folder: PathBuf,
    publisher: Mutex<Publisher>,
    standing: Mutex<RepositoryStatus>,
    reached: watch::Sender<u64>,
    witness: witness::Desk,
}

/// Why nothing could be published. It is tried again.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The disk failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A document of the charter is not in the depot.
    #[error(transparent)]
    Depot(#[from] StoreError),
    /// Metadata could not be written or signed.
    #[error(transparent)]
    Tuf(#[from] TufError),
    /// A file could not be written down.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A signature for a timestamp that does not wait for one.
    #[error("timestamp {0} does not wait for a signature: a newer one was signed, or takes its place")]
    NotWaiting(u64),
    /// The documents in force do not verify any more.
    #[error("the charter in force does not verify: {0}")]
    Documents(#[from] DocumentsError),
}

/// Publishes until the server stops.
pub(crate) async fn run(serving: Shared) {
    let mut heads = serving.ledger.heads();
    loop {
        heads.mark_unchanged();
        let worker = serving.clone();
        let published =
            tokio::task::spawn_blocking(move || worker.repository.publish(&worker.publishing(), Timestamp::now()))
                .await;
        let failed = match published {
            Ok(Ok(())) => false,
            Ok(Err(error)) => {
                tracing::error!(%error, "the repository could not be published");
                true
            }
            Err(error) => {
                tracing::error!(%error, "publishing the repository broke off");
                true
            }
        };
        let pause = if failed { AFTER_FAILURE } else { Duration::from_secs(policy::TIMESTAMP_EVERY_SECONDS) };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            changed = heads.changed(), if !failed => if changed.is_err() { return },
            () = serving.stopped() => return,
        }
    }
}

impl Repository {
    /// Opens the repository in `folder`, which may be empty; `is_new` says that there is no estate yet, so that
    /// nothing can have been published.
    pub fn open(folder: &Path, is_new: bool, now: Timestamp) -> Result<Self, PublishError> {
        Ok(Self {
            folder: folder.to_path_buf(),
            publisher: Mutex::new(Publisher::open(folder, is_new, now)?),
            standing: Mutex::new(RepositoryStatus::default()),
            reached: watch::Sender::new(0),
            witness: witness::Desk::default(),
        })
    }

    /// Where the witness is heard and shown what waits for it.
    pub(crate) fn witness(&self) -> &witness::Desk {
        &self.witness
    }

    /// Up to which entry of the ledger the repository is published.
    pub fn reached(&self) -> watch::Receiver<u64> {
        self.reached.subscribe()
    }

    /// Whether what was accepted will soon be published: not where it waits for a witness that is not there or does not sign,
    /// nor while nothing can be published at all.
    pub fn will_be_published(&self, now: Timestamp) -> bool {
        !self.witness.is_of_no_help(now) && self.standing().problem.is_none()
    }

    /// Where a file of the repository lies.
    pub fn path(&self, below: &Path) -> PathBuf {
        self.folder.join(below)
    }

    /// What people are told of it.
    pub fn status(&self) -> RepositoryStatus {
        let mut status = self.standing().clone();
        status.witness.iter_mut().for_each(|status| self.witness.tell(status));
        status
    }

    fn standing(&self) -> MutexGuard<'_, RepositoryStatus> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes what the ledger says now, if that differs from what is published, or the timestamp grows old. Where root
    /// names a witness, what is new waits for its signature, and what it signed last stays published.
    pub fn publish(&self, from: &Publishing<'_>, now: Timestamp) -> Result<(), PublishError> {
        let mut publisher = self.publisher.lock().unwrap_or_else(PoisonError::into_inner);
        let state = from.ledger.state();
        match publisher.publish(from, &state, now) {
            Ok(status) => self.tell(&publisher, status),
            Err(error) => {
                self.standing().problem = Some(error.to_string());
                return Err(error);
            }
        }
        Ok(())
    }

    /// Publishes the timestamp of this version with the witness's signature, if it waits for it.
    pub fn cosign(&self, version: u64, signature: MetadataSignature) -> Result<(), PublishError> {
        let mut publisher = self.publisher.lock().unwrap_or_else(PoisonError::into_inner);
        publisher.cosign(version, signature)?;
        let status = publisher.status();
        self.tell(&publisher, status);
        Ok(())
    }

    fn tell(&self, publisher: &Publisher, status: RepositoryStatus) {
        self.witness.show(publisher.witness(), publisher.waiting.last_key_value().map(|(_, waiting)| waiting));
        *self.standing() = status;
        self.reached.send_replace(publisher.reached);
    }
}

/// One signed file of metadata as it was last published.
#[derive(Clone, Debug)]
struct Published {
    listed: ListedFile,
    signed: Value,
    expires: Timestamp,
    /// Whether the key in use signed it.
    is_ours: bool,
}

impl Published {
    /// Whether more than half of its life is left at `now`, the key in use signed it, and clients cannot have seen a higher
    /// version of it.
    fn is_fresh(&self, versions: &Versions, now: Timestamp) -> bool {
        self.is_ours && self.listed.version >= versions.floor && self.expires > now + half(policy::SNAPSHOT_DAYS)
    }
}

fn half(days: i64) -> SignedDuration {
    SignedDuration::from_hours(days * 12)
}

fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(days * 24)
}

/// A pair as it was last published.
struct Pair {
    entries: PairEntries,
    file: TargetFile,
    custom: Value,
}

/// The documents in force, read from the depot once.
struct InForce {
    roots: Vec<(u64, Vec<u8>)>,
    targets: Vec<u8>,
    charter: Vec<u8>,
    verified: VerifiedDocuments,
}

/// Which timestamp is published.
#[derive(Clone, Copy, Debug)]
struct Stamp {
    version: u64,
    signed: Timestamp,
    expires: Timestamp,
}

/// What the publishing thread keeps between two versions.
struct Publisher {
    folder: PathBuf,
    versions: Versions,
    seen_entry: u64,
    in_force: Option<(Digest, InForce)>,
    pairs: BTreeMap<AudienceName, BTreeMap<AppName, Pair>>,
    /// By role: snapshot and the roles of permits.
    published: BTreeMap<String, Published>,
    /// The timestamp that is published.
    stamp: Option<Stamp>,
    /// When the newest timestamp was made, whether it is published or waits.
    made: Option<Timestamp>,
    /// Timestamps that wait for the witness, by their versions.
    waiting: BTreeMap<u64, Waiting>,
    /// Since when any has waited.
    waiting_since: Option<Timestamp>,
    /// Up to which entry of the ledger everything is published.
    reached: u64,
    /// Files that nothing names any more, and since when.
    leaving: BTreeMap<PathBuf, Timestamp>,
    looked_at_all: Option<Timestamp>,
}

impl Publisher {
    fn open(folder: &Path, is_new: bool, now: Timestamp) -> Result<Self, PublishError> {
        let kept = files::read(folder, Path::new(VERSIONS))?;
        let versions = match kept.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            Some(versions) => versions,
            None if is_new => Versions::default(),
            None => Versions::lost(now),
        };
        let publisher = Self {
            folder: folder.to_path_buf(),
            versions,
            seen_entry: 0,
            in_force: None,
            pairs: BTreeMap::new(),
            published: BTreeMap::new(),
            stamp: None,
            made: None,
            waiting: BTreeMap::new(),
            waiting_since: None,
            reached: 0,
            leaving: BTreeMap::new(),
            looked_at_all: None,
        };
        publisher.keep_versions()?;
        Ok(publisher)
    }

    fn keep_versions(&self) -> Result<(), PublishError> {
        let bytes = serde_json::to_vec(&self.versions).map_err(JsonError::from)?;
        let mut stage = Stage::new(&self.folder);
        stage.write(Path::new(VERSIONS), &bytes)?;
        Ok(stage.finish()?)
    }

    fn publish(
        &mut self,
        from: &Publishing<'_>,
        state: &State,
        now: Timestamp,
    ) -> Result<RepositoryStatus, PublishError> {
        let Some(policy) = &state.policy else { return Ok(RepositoryStatus::default()) };
        self.take_in_force(from, policy)?;
        let Some((_, in_force)) = &self.in_force else { return Ok(RepositoryStatus::default()) };
        let signing = match signing(&in_force.verified, from) {
            Ok(signing) => signing,
            Err(problem) => {
                return Ok(RepositoryStatus { problem: Some(problem), ..RepositoryStatus::default() });
            }
        };
        let is_due = self.looked_at_all.is_none_or(|last| {
            now.duration_since(last).unsigned_abs() >= Duration::from_secs(policy::TIMESTAMP_EVERY_SECONDS)
        });
        let scope = match is_due {
            true => Scope::All,
            false => touched(from.ledger, self.seen_entry, state.head.entry)?,
        };
        self.versions.enter(policy.charter.epoch, now);
        self.look_at(from, state, policy, &scope, now)?;
        let changed = self.write_roles(policy, from.key, now)?;
        let is_old = self.made.is_none_or(|made| {
            now.duration_since(made).unsigned_abs() >= Duration::from_secs(policy::TIMESTAMP_EVERY_SECONDS)
        });
        if changed || is_old {
            self.write_timestamp(&signing, state.head.entry, now)?;
        }
        if matches!(scope, Scope::All) {
            self.prune(now)?;
            self.looked_at_all = Some(now);
        }
        self.seen_entry = state.head.entry;
        if self.waiting.is_empty() {
            self.reached = self.seen_entry;
        }
        Ok(self.status())
    }

    /// Reads the documents in force, if they are others than before.
    fn take_in_force(&mut self, from: &Publishing<'_>, policy: &Policy) -> Result<(), PublishError> {
        let record = &policy.record;
        if self.in_force.as_ref().is_some_and(|(targets, _)| *targets == record.targets) {
            return Ok(());
        }
        let read = |digest: &Digest, limit: usize| from.depot.read_bytes(digest, limit as u64);
        let roots: Vec<Vec<u8>> =
            record.roots.iter().map(|digest| read(digest, MAX_ROOT_BYTES)).collect::<Result<_, _>>()?;
        let targets = read(&record.targets, MAX_TARGETS_BYTES)?;
        let charter = record.charter.as_bytes().to_vec();
        debug_assert!(charter.len() <= MAX_CHARTER_BYTES);
        let files = Documents { roots: &roots, targets: &targets, charter: &charter };
        let verified = VerifiedDocuments::verify(&record.estate, &files, 0)?;
        let roots = (1..).zip(roots).collect();
        let is_first = self.in_force.is_none();
        self.in_force = Some((record.targets, InForce { roots, targets, charter, verified }));
        self.looked_at_all = None;
        if is_first {
            self.find_published(from.key)?;
        }
        Ok(())
    }

    /// Takes up what an earlier process published: what still says the same is not signed anew.
    fn find_published(&mut self, key: &SecretKey) -> Result<(), PublishError> {
        let Some(bytes) = files::read(&self.folder, &files::timestamp())? else { return Ok(()) };
        let Some(timestamp) = signed_part(&bytes) else { return Ok(()) };
        let version = timestamp["meta"]["snapshot.json"]["version"].as_u64();
        let Some(snapshot) = version.map(|version| self.find("snapshot", version, key)).transpose()?.flatten() else {
            return Ok(());
        };
        let signed = metadata::signed_at(&timestamp).ok().flatten().unwrap_or_default();
        let version = timestamp["version"].as_u64().unwrap_or_default();
        self.stamp = Some(Stamp { version, signed, expires: expiry(&timestamp) });
        self.made = Some(signed);
        let listed = snapshot.signed["meta"].as_object().cloned().unwrap_or_default();
        for (name, file) in listed {
            let Some(role) = name.strip_suffix(".json").filter(|role| *role != "targets") else { continue };
            if let Some(found) = file["version"].as_u64().map(|v| self.find(role, v, key)).transpose()?.flatten() {
                self.published.insert(role.into(), found);
            }
        }
        self.published.insert("snapshot".into(), snapshot);
        Ok(())
    }

    fn find(&self, role: &str, version: u64, key: &SecretKey) -> Result<Option<Published>, PublishError> {
        // What is above the counters is not from here.
        if self.versions.roles.get(role).is_none_or(|given| *given < version) {
            return Ok(None);
        }
        let bytes = files::read(&self.folder, &files::metadata(version, role))?;
        Ok(bytes.and_then(|bytes| published(version, &bytes, key)))
    }

    /// Looks at the pairs of application and audience in `scope`, and writes the files of those that changed.
    fn look_at(
        &mut self,
        from: &Publishing<'_>,
        state: &State,
        policy: &Policy,
        scope: &Scope,
        now: Timestamp,
    ) -> Result<(), PublishError> {
        self.pairs.retain(|audience, _| policy.charter.audience(audience).is_some());
        let mut stage = Stage::new(&self.folder);
        for audience in policy.charter.audience_names() {
            let pairs = self.pairs.entry(audience.clone()).or_default();
            for app in state.apps.keys().filter(|app| scope.holds(app)) {
                let entries = pair(state, app, audience, now);
                if entries.is_empty() {
                    pairs.remove(app);
                    continue;
                }
                if pairs.get(app).is_some_and(|known| known.entries == entries) {
                    continue;
                }
                let file = permit_file(from.ledger, policy.record.estate, app, audience, &entries)?;
                let bytes = file.to_bytes()?;
                let listed = TargetFile { length_bytes: bytes.len() as u64, digest: Digest::of(&bytes) };
                stage.write(&files::permits(audience, app, &listed.digest), &bytes)?;
                let versions: Vec<String> = entries.permits.iter().map(|(version, _)| version.to_string()).collect();
                let custom = json!({ "versions": versions, "withdrawals": entries.withdrawals.len() });
                pairs.insert(app.clone(), Pair { entries, file: listed, custom });
            }
        }
        Ok(stage.finish()?)
    }

    /// Writes the owners' files, and a new version of each role and of the snapshot where it says something new or
    /// grows old. Answers whether there is a new snapshot.
    fn write_roles(&mut self, policy: &Policy, key: &SecretKey, now: Timestamp) -> Result<bool, PublishError> {
        let Some((_, in_force)) = &self.in_force else { return Ok(false) };
        let mut stage = Stage::new(&self.folder);
        let charter = Digest::of(&in_force.charter);
        stage.write(&files::target(CHARTER_TARGET, &charter), &in_force.charter)?;
        for (version, root) in &in_force.roots {
            stage.write(&files::metadata(*version, "root"), root)?;
        }
        let targets_version = in_force.verified.targets.version();
        let targets = ListedFile::of(targets_version, &in_force.targets);
        stage.write(&files::metadata(targets_version, "targets"), &in_force.targets)?;
        let expires = whole_seconds(now + days(policy::SNAPSHOT_DAYS));
        let mut next = Vec::new();
        // Roles of audiences that are no more stay listed, and list nothing.
        let gone = self.published.keys().filter_map(|role| metadata::role_audience(role));
        let audiences: BTreeSet<AudienceName> = policy.charter.audience_names().cloned().chain(gone).collect();
        for audience in &audiences {
            let pairs = self.pairs.get(audience).into_iter().flatten();
            let files: Listing = pairs
                .map(|(app, pair)| (metadata::permits_target(audience, app), (pair.file, pair.custom.clone())))
                .collect();
            let (role, listing) = (role_name(audience), metadata::listing(&files));
            let known = self.published.get(&role);
            if known.is_none_or(|known| known.signed["targets"] != listing || !known.is_fresh(&self.versions, now)) {
                next.push((role, listing));
            }
        }
        let mut written = Vec::new();
        for (role, listing) in next {
            let version = self.versions.next(&role);
            written.push((role, version, metadata::permits_role(version, expires, &listing)?));
        }
        // A role that was listed once stays listed: clients take a snapshot that lacks one for an attack.
        let mut meta: BTreeMap<String, ListedFile> = self
            .published
            .iter()
            .filter(|(role, _)| *role != "snapshot")
            .map(|(role, published)| (format!("{role}.json"), published.listed))
            .collect();
        meta.insert("targets.json".into(), targets);
        let mut signed_files = Vec::new();
        for (role, version, signed) in written {
            let bytes = metadata::sign_online(&signed, key)?;
            meta.insert(format!("{role}.json"), ListedFile::of(version, &bytes));
            signed_files.push((role, version, bytes));
        }
        let listing = metadata::snapshot(1, expires, &meta)?["meta"].clone();
        let known = self.published.get("snapshot");
        let changed = known.is_none_or(|known| known.signed["meta"] != listing || !known.is_fresh(&self.versions, now));
        if changed {
            let version = self.versions.next("snapshot");
            let bytes = metadata::sign_online(&metadata::snapshot(version, expires, &meta)?, key)?;
            signed_files.push(("snapshot".into(), version, bytes));
        }
        if !signed_files.is_empty() {
            // A version is never given twice, so it is counted before anybody can see it.
            self.keep_versions()?;
        }
        stage.finish()?;
        for (role, version, bytes) in signed_files {
            let mut stage = Stage::new(&self.folder);
            stage.write(&files::metadata(version, &role), &bytes)?;
            stage.finish()?;
            if let Some(published) = published(version, &bytes, key) {
                self.published.insert(role, published);
            }
        }
        Ok(changed)
    }

    fn write_timestamp(&mut self, signing: &Signing<'_>, entry: u64, now: Timestamp) -> Result<(), PublishError> {
        let Some(snapshot) = self.published.get("snapshot").map(|snapshot| snapshot.listed) else { return Ok(()) };
        let version = self.versions.next("timestamp");
        self.keep_versions()?;
        let expires = whole_seconds(now + days(policy::TIMESTAMP_DAYS));
        let signed = metadata::timestamp(version, expires, now, &snapshot)?;
        let bytes = metadata::sign_online_by(&signed, &signing.timestamp)?;
        let stamp = Stamp { version, signed: whole_seconds(now), expires };
        self.made = Some(stamp.signed);
        if signing.needs_witness {
            // Files that only an old one names are removed some day.
            self.waiting.retain(|_, waiting| now.duration_since(waiting.stamp.signed).as_secs() < KEPT_WAITING_SECONDS);
            while self.waiting.len() >= KEPT_WAITING {
                self.waiting.pop_first();
            }
            self.waiting.insert(version, Waiting { stamp, entry, bytes });
            self.waiting_since.get_or_insert(stamp.signed);
            return Ok(());
        }
        self.waiting.clear();
        self.waiting_since = None;
        self.put_timestamp(stamp, &bytes)
    }

    fn put_timestamp(&mut self, stamp: Stamp, bytes: &[u8]) -> Result<(), PublishError> {
        let mut stage = Stage::new(&self.folder);
        stage.write(&files::timestamp(), bytes)?;
        stage.finish()?;
        self.stamp = Some(stamp);
        Ok(())
    }

    /// Publishes what waited, with the witness's signature: only if it then counts for everybody.
    fn cosign(&mut self, version: u64, signature: MetadataSignature) -> Result<(), PublishError> {
        let (Some(waiting), Some((_, in_force))) = (self.waiting.get(&version), &self.in_force) else {
            return Err(PublishError::NotWaiting(version));
        };
        let bytes = metadata::with_signature(&waiting.bytes, signature)?;
        TimestampMetadata::verify(&bytes, &in_force.verified.root)?;
        let (stamp, entry) = (waiting.stamp, waiting.entry);
        self.put_timestamp(stamp, &bytes)?;
        self.waiting = self.waiting.split_off(&(version + 1));
        self.waiting_since = self.waiting.first_key_value().map(|(_, waiting)| waiting.stamp.signed);
        self.reached = if self.waiting.is_empty() { self.seen_entry } else { entry };
        Ok(())
    }

    /// The witness that root names.
    fn witness(&self) -> Option<PublicKey> {
        self.in_force.as_ref().and_then(|(_, in_force)| in_force.verified.root.witness())
    }

    /// Removes files that newer ones replaced a while ago. Roots stay: new clients walk all of them.
    fn prune(&mut self, now: Timestamp) -> Result<(), PublishError> {
        let Some((_, in_force)) = &self.in_force else { return Ok(()) };
        // What is published may be older than what waits for the witness.
        let mut named = files::reachable(&self.folder)?;
        named.insert(files::target(CHARTER_TARGET, &Digest::of(&in_force.charter)));
        named.insert(files::metadata(in_force.verified.targets.version(), "targets"));
        named.extend(in_force.roots.iter().map(|(version, _)| files::metadata(*version, "root")));
        named.extend(self.published.iter().map(|(role, known)| files::metadata(known.listed.version, role)));
        for (audience, pairs) in &self.pairs {
            named.extend(pairs.iter().map(|(app, pair)| files::permits(audience, app, &pair.file.digest)));
        }
        Ok(files::prune(&self.folder, &named, &mut self.leaving, now)?)
    }

    fn status(&self) -> RepositoryStatus {
        let role = |(role, known): (&String, &Published)| {
            let files = known.signed["targets"].as_object().map_or(0, |files| files.len() as u64);
            let ListedFile { version, file } = known.listed;
            let size_bytes = file.length_bytes;
            (role.clone(), RepositoryRole { version, size_bytes, files, expires: known.expires })
        };
        let witness = |key: PublicKey| WitnessStatus {
            key: key.to_openssh(),
            waiting_since: self.waiting_since,
            ..WitnessStatus::default()
        };
        RepositoryStatus {
            entry: self.reached,
            signed: self.stamp.map(|stamp| stamp.signed),
            expires: self.stamp.map(|stamp| stamp.expires),
            version: self.stamp.map_or(0, |stamp| stamp.version),
            roles: self.published.iter().map(role).collect(),
            witness: self.witness().map(witness),
            problem: None,
        }
    }
}

/// Which applications must be looked at.
enum Scope {
    All,
    Apps(BTreeSet<AppName>),
}

impl Scope {
    fn holds(&self, app: &AppName) -> bool {
        match self {
            Scope::All => true,
            Scope::Apps(apps) => apps.contains(app),
        }
    }
}

/// What the entries after `seen` concern.
fn touched(ledger: &Ledger, seen: u64, newest: u64) -> Result<Scope, PublishError> {
    if newest.saturating_sub(seen) > ENTRIES_LOOKED_THROUGH {
        return Ok(Scope::All);
    }
    let mut apps = BTreeSet::new();
    for bytes in ledger.entries(seen + 1, newest.saturating_sub(seen))? {
        let entry: Entry = serde_json::from_slice(&bytes).map_err(|error| LedgerError(error.to_string()))?;
        for event in entry.events {
            match event {
                Event::CharterApplied { .. }
                | Event::PersonSuspended { .. }
                | Event::FreezeDeclared { .. }
                | Event::FreezeExcepted { .. }
                | Event::FreezeLifted { .. } => return Ok(Scope::All),
                Event::PermitGranted { app, .. }
                | Event::PermissionWithdrawn { app, .. }
                | Event::EvidenceAttached { app, .. } => drop(apps.insert(app)),
                _ => {}
            }
        }
    }
    Ok(Scope::Apps(apps))
}

fn permit_file(
    ledger: &Ledger,
    estate: Digest,
    app: &AppName,
    audience: &AudienceName,
    entries: &PairEntries,
) -> Result<PermitFile, PublishError> {
    let mut file = PermitFile::new(estate, app.clone(), audience.clone());
    for (_, permit) in &entries.permits {
        let dossier = reads::statements_of(ledger, permit)?;
        let (Some(push), Some(number), Some(request)) = (dossier.push, dossier.number, dossier.request) else {
            tracing::warn!(%app, %audience, "a permit without its signed statements is not published");
            continue;
        };
        let (approvals, evidence) = (dossier.approvals, dossier.evidence);
        file.permits.push(PublishedPermit { push, number, request, approvals, evidence });
    }
    for entry in &entries.withdrawals {
        file.withdrawals.extend(ledger.envelope(*entry)?);
    }
    for entry in &entries.freezes {
        file.freezes.extend(ledger.envelope(*entry)?);
    }
    Ok(file)
}

fn signed_part(bytes: &[u8]) -> Option<Value> {
    let mut document = trust::json::strict_value(bytes).ok()?;
    Some(document["signed"].take())
}

fn published(version: u64, bytes: &[u8], key: &SecretKey) -> Option<Published> {
    let document = trust::json::strict_value(bytes).ok()?;
    let ours = key.public().id().to_string();
    let is_ours = document["signatures"].as_array()?.iter().any(|signature| signature["keyid"] == ours.as_str());
    let signed = document["signed"].clone();
    Some(Published { listed: ListedFile::of(version, bytes), expires: expiry(&signed), signed, is_ours })
}

fn expiry(signed: &Value) -> Timestamp {
    signed["expires"].as_str().and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
