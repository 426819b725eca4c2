//! A TUF client (specification 1.0, chapter 5) that does no input and output of its own.
//!
//! It says which file it wants next and what it made of it; whoever holds it reads, fetches and writes:
//!
//! ```text
//! let mut client = Client::start(root, kept, now);          // 5.1, 5.2
//! loop {
//!     match client.refresh()? {                             // 5.3 to 5.6.6
//!         Next::Done(()) => break,
//!         Next::Wants(wanted) => {
//!             let bytes = fetch(&wanted.path, wanted.limit_bytes)?;     // None where the repository has none
//!             for change in client.take(&wanted, bytes.as_deref())? { /* make it durable */ }
//!         }
//!     }
//! }
//! client.find("dir/file")                                   // 5.6.7: the same loop, until it is done
//! ```
//!
//! **What must be stored, and when.** Every [`Change`] that [`Client::take`] gives must be durable, in the order given,
//! before the client is asked anything more: a root before the next root (5.3.8), timestamp and snapshot because their
//! versions may never fall (5.4.3, 5.5.5), and what is forgotten before the root that says so (5.3.11), since after a
//! crash between the two the client would no longer see that keys were replaced. Targets are stored to spare fetching
//! them again. A file that is found wanting changes nothing: the client can go on, or start anew, with what it has.
//!
//! Whatever was stored is verified again when it is read: a disk is trusted no more than a server.
//!
//! **Asked again.** [`Client::again`] begins another refresh with what this one verified. Where timestamp is byte for byte
//! the one of before, a refresh costs two requests and no signature.

use super::{
    MAX_ROLES_VISITED, MAX_ROOT_BYTES, MAX_ROOTS_WALKED, MAX_SNAPSHOT_BYTES, MAX_TARGETS_BYTES, MAX_TIMESTAMP_BYTES,
    Root, SnapshotMetadata, Targets, TimestampMetadata, TufError, TufRole,
    listed::{ListedMetadata, ListedTarget},
    names::{check_target_path, role_file, role_path, target_path},
};
use crate::{key::PublicKey, names::printable};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

const TARGETS: &str = "targets";

/// Metadata that was stored in an earlier refresh, as it was stored.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// `timestamp.json`.
    pub timestamp: Option<Vec<u8>>,
    /// `snapshot.json`.
    pub snapshot: Option<Vec<u8>>,
}

/// What the client is to be given next, or what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next<T> {
    /// A file of metadata.
    Wants(Wanted),
    /// Nothing more.
    Done(T),
}

/// A file of metadata that the client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Where it lies below the repository's folder of metadata, as a URL writes it.
    pub path: String,
    /// The most bytes that may be read: what is longer is not the file.
    pub limit_bytes: u64,
    file: File,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum File {
    Root(u64),
    Timestamp,
    Snapshot,
    Targets,
    Role { name: String, delegator: String },
}

impl Wanted {
    /// The name of a stored file that may be this one already: give the client that before fetching, and fetch only if it
    /// is not taken. Root, timestamp and snapshot are never asked for while the stored ones are what is wanted.
    pub fn kept_as(&self) -> Option<String> {
        match &self.file {
            File::Root(_) | File::Timestamp | File::Snapshot => None,
            File::Targets => Some(role_file(TARGETS)),
            File::Role { name, .. } => Some(role_file(name)),
        }
    }

    /// Whether it is the timestamp, with which all roots were walked.
    pub fn is_timestamp(&self) -> bool {
        self.file == File::Timestamp
    }

    fn name(&self) -> String {
        match &self.file {
            File::Root(version) => format!("{version}.root.json"),
            File::Timestamp => role_file(TufRole::Timestamp.as_str()),
            File::Snapshot => role_file(TufRole::Snapshot.as_str()),
            File::Targets => role_file(TARGETS),
            File::Role { name, .. } => role_file(name),
        }
    }
}

/// What must become durable before the client is asked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The newest root is this one. It is stored as `root.json`; its version is given for those who keep the chain.
    Root {
        /// Its version.
        version: u64,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// A file to store under this name, in place of an earlier one.
    Keep {
        /// Its name: no folder, and percent-encoded.
        name: String,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// A stored file to remove, if there is one.
    Forget {
        /// Its name.
        name: String,
    },
}

/// A target that somebody vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its path.
    pub path: String,
    /// The role whose signature vouches for it.
    pub role: String,
    /// Length and hashes.
    pub target: ListedTarget,
    /// Where it lies below the repository's folder of targets, as a URL writes it.
    pub location: String,
}

/// A file of metadata that was not taken. Everything taken before it stays.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {why} (TUF {section})")]
pub struct ClientError {
    /// The file.
    pub file: String,
    /// The section of the specification whose check failed.
    pub section: &'static str,
    /// What is wrong with it.
    #[source]
    pub why: Box<TufError>,
}

/// Attaches to an error which file failed which section.
fn at(section: &'static str, file: &str) -> impl Fn(TufError) -> ClientError {
    move |why| ClientError { file: file.to_owned(), section, why: Box::new(why) }
}

/// Something verified, with the bytes it was verified from.
#[derive(Clone, Debug)]
struct Verified<T> {
    bytes: Vec<u8>,
    content: T,
}

/// The versions below which nothing is taken any more, until keys are replaced.
#[derive(Clone, Debug, Default)]
struct Floor {
    timestamp: u64,
    /// What timestamp said of snapshot.
    snapshot: u64,
    /// What snapshot said of every file.
    listed: BTreeMap<String, u64>,
}

/// A delegated role's targets.
#[derive(Clone, Debug)]
struct Delegatee {
    bytes: Vec<u8>,
    targets: Targets,
    /// The digests of the delegators' files as which they were verified: a role that one delegator vouches for is not
    /// thereby vouched for by another.
    verified_by: BTreeSet<crate::Digest>,
}

/// What a refresh is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Root { taken: usize },
    Timestamp,
    Snapshot,
    Targets,
    Done,
}

/// The client. See the module's documentation.
#[derive(Clone, Debug)]
pub struct Client {
    now: Timestamp,
    root: Root,
    stage: Stage,
    floor: Floor,
    timestamp: Option<Verified<TimestampMetadata>>,
    snapshot: Option<Verified<SnapshotMetadata>>,
    targets: Option<Verified<Targets>>,
    delegatees: BTreeMap<String, Delegatee>,
    /// Whether all of the above belong together, as they do after a refresh.
    is_consistent: bool,
}

impl Client {
    /// 5.1 and 5.2: begins a refresh at the time `now`, which stays the time of all of it, from the newest root that is
    /// trusted. Kept files that this root does not vouch for are as if they were not there.
    pub fn start(root: Root, kept: Kept, now: Timestamp) -> Self {
        let mut client = Self {
            now,
            root,
            stage: Stage::Root { taken: 0 },
            floor: Floor::default(),
            timestamp: None,
            snapshot: None,
            targets: None,
            delegatees: BTreeMap::new(),
            is_consistent: false,
        };
        if let Some(bytes) = kept.timestamp
            && let Ok(content) = TimestampMetadata::verify(&bytes, &client.root)
        {
            client.floor.timestamp = content.version();
            client.floor.snapshot = content.snapshot().version;
            client.timestamp = Some(Verified { bytes, content });
        }
        if let Some(bytes) = kept.snapshot
            && let Ok(content) = SnapshotMetadata::verify(&bytes, &client.root)
        {
            client.floor.snapshot = client.floor.snapshot.max(content.version());
            client.floor.listed = content.versions();
            client.snapshot = Some(Verified { bytes, content });
        }
        client
    }

    /// 5.1: begins another refresh, at another time, with everything that this client has verified.
    pub fn again(&mut self, now: Timestamp) {
        self.now = now;
        self.stage = Stage::Root { taken: 0 };
    }

    /// What the refresh wants next.
    pub fn refresh(&self) -> Result<Next<()>, ClientError> {
        let versioned = |version: u64| self.root.consistent_snapshot().then_some(version);
        let (file, path, limit_bytes) = match self.stage {
            Stage::Root { .. } => {
                let version = self.root.version().saturating_add(1);
                (File::Root(version), role_path("root", Some(version)), MAX_ROOT_BYTES as u64)
            }
            Stage::Timestamp => (File::Timestamp, role_path("timestamp", None), MAX_TIMESTAMP_BYTES as u64),
            Stage::Snapshot => {
                let listed = self.listed_snapshot()?;
                let limit = limit_bytes(listed, MAX_SNAPSHOT_BYTES);
                (File::Snapshot, role_path("snapshot", versioned(listed.version)), limit)
            }
            Stage::Targets => {
                let listed = self.listed_role(TARGETS)?;
                let limit = limit_bytes(listed, MAX_TARGETS_BYTES);
                (File::Targets, role_path(TARGETS, versioned(listed.version)), limit)
            }
            Stage::Done => return Ok(Next::Done(())),
        };
        Ok(Next::Wants(Wanted { path, limit_bytes, file }))
    }

    /// Gives the client a file it wanted, or says that the repository does not have it. What it answers must become
    /// durable first of all. After an error the refresh is over; [`Self::again`] begins another.
    pub fn take(&mut self, wanted: &Wanted, bytes: Option<&[u8]>) -> Result<Vec<Change>, ClientError> {
        let bytes = match (&wanted.file, bytes) {
            (File::Root(_), None) => return self.end_of_roots().map(|()| Vec::new()),
            (_, Some(bytes)) => bytes,
            (file, None) => {
                let section = match file {
                    File::Root(_) | File::Timestamp => "5.4.1",
                    File::Snapshot => "5.5.1",
                    File::Targets | File::Role { .. } => "5.6.1",
                };
                return Err(at(section, &wanted.name())(TufError::NotThere));
            }
        };
        match &wanted.file {
            File::Root(_) => self.take_root(bytes, &wanted.name()),
            File::Timestamp => self.take_timestamp(bytes, &wanted.name()),
            File::Snapshot => self.take_snapshot(bytes, &wanted.name()),
            File::Targets => self.take_targets(bytes, &wanted.name()),
            File::Role { name, delegator } => self.take_role(name, delegator, bytes, &wanted.name()),
        }
    }

    /// 5.3.3 to 5.3.9.
    fn take_root(&mut self, bytes: &[u8], file: &str) -> Result<Vec<Change>, ClientError> {
        let next = self.root.next(bytes).map_err(at("5.3.4", file))?;
        let mut changes = Vec::new();
        if self.root.is_rotated_by(&next) {
            // 5.3.11: whoever had the old keys may have signed versions so high that no honest one would ever follow.
            self.floor = Floor::default();
            (self.timestamp, self.snapshot) = (None, None);
            changes.extend(["timestamp", "snapshot"].map(|role| Change::Forget { name: role_file(role) }));
        }
        changes.push(Change::Root { version: next.version(), bytes: bytes.to_vec() });
        // 5.3.7
        self.root = next;
        self.is_consistent = false;
        self.verify_anew();
        let taken = if let Stage::Root { taken } = self.stage { taken + 1 } else { 1 };
        self.stage = Stage::Root { taken };
        // 5.3.3: after Y files it is enough for this time.
        if taken >= MAX_ROOTS_WALKED {
            self.end_of_roots()?;
        }
        Ok(changes)
    }

    /// What an earlier root vouched for must be vouched for by this one. The floor stays: to add a key, or to ask for more
    /// signatures, takes back nothing that was known of versions.
    fn verify_anew(&mut self) {
        let root = &self.root;
        self.timestamp.take_if(|known| TimestampMetadata::verify(&known.bytes, root).is_err());
        self.snapshot.take_if(|known| SnapshotMetadata::verify(&known.bytes, root).is_err());
        self.targets.take_if(|known| Targets::top_level(&known.bytes, root).is_err());
    }

    /// 5.3.10.
    fn end_of_roots(&mut self) -> Result<(), ClientError> {
        self.root.check_expiry(self.now).map_err(at("5.3.10", "root.json"))?;
        self.stage = Stage::Timestamp;
        Ok(())
    }

    /// 5.4.
    fn take_timestamp(&mut self, bytes: &[u8], file: &str) -> Result<Vec<Change>, ClientError> {
        if let Some(known) = &self.timestamp
            && known.bytes == bytes
        {
            return self.timestamp_is_known(file).map(|()| Vec::new());
        }
        // 5.4.2
        let new = TimestampMetadata::verify(bytes, &self.root).map_err(at("5.4.2", file))?;
        // 5.4.3.1: an equal version is discarded, whatever it says, and is no error.
        if self.timestamp.as_ref().is_some_and(|known| known.content.version() == new.version()) {
            return self.timestamp_is_known(file).map(|()| Vec::new());
        }
        let rollback = |role: &str, minimum, found| TufError::Rollback { role: role.to_owned(), minimum, found };
        if new.version() < self.floor.timestamp {
            return Err(at("5.4.3.1", file)(rollback("timestamp", self.floor.timestamp, new.version())));
        }
        // 5.4.3.2
        if new.snapshot().version < self.floor.snapshot {
            return Err(at("5.4.3.2", file)(rollback("snapshot", self.floor.snapshot, new.snapshot().version)));
        }
        // 5.4.4
        new.check_expiry(self.now).map_err(at("5.4.4", file))?;
        (self.floor.timestamp, self.floor.snapshot) = (new.version(), new.snapshot().version);
        self.timestamp = Some(Verified { bytes: bytes.to_vec(), content: new });
        self.is_consistent = false;
        self.after_timestamp();
        Ok(vec![Change::Keep { name: role_file("timestamp"), bytes: bytes.to_vec() }])
    }

    /// 5.4.4, for the timestamp that is known already.
    fn timestamp_is_known(&mut self, file: &str) -> Result<(), ClientError> {
        if let Some(known) = &self.timestamp {
            known.content.check_expiry(self.now).map_err(at("5.4.4", file))?;
        }
        if self.is_consistent {
            return self.check_rest();
        }
        self.after_timestamp();
        Ok(())
    }

    /// 5.5.6 and 5.6.5, where everything is as it was.
    fn check_rest(&mut self) -> Result<(), ClientError> {
        if let (Some(snapshot), Some(targets)) = (&self.snapshot, &self.targets) {
            snapshot.content.check_expiry(self.now).map_err(at("5.5.6", "snapshot.json"))?;
            targets.content.check_expiry(self.now).map_err(at("5.6.5", "targets.json"))?;
        }
        self.stage = Stage::Done;
        Ok(())
    }

    /// Goes past the snapshot if the one that is known is the one that timestamp lists, and is still good.
    fn after_timestamp(&mut self) {
        self.stage = Stage::Snapshot;
        if let (Some(known), Some(timestamp)) = (&self.snapshot, &self.timestamp) {
            let listed = timestamp.content.snapshot();
            let is_listed = listed.version == known.content.version() && listed.check(&known.bytes).is_ok();
            if is_listed && known.content.check_expiry(self.now).is_ok() {
                self.after_snapshot();
            }
        }
    }

    /// 5.5.
    fn take_snapshot(&mut self, bytes: &[u8], file: &str) -> Result<Vec<Change>, ClientError> {
        let listed = *self.listed_snapshot()?;
        // 5.5.2
        listed.check(bytes).map_err(at("5.5.2", file))?;
        // 5.5.3
        let new = SnapshotMetadata::verify(bytes, &self.root).map_err(at("5.5.3", file))?;
        // 5.5.4
        listed.check_version("snapshot", new.version()).map_err(at("5.5.4", file))?;
        // 5.5.5
        let versions = new.versions();
        for (name, minimum) in &self.floor.listed {
            let (role, minimum) = (printable(name), *minimum);
            match versions.get(name) {
                None => return Err(at("5.5.5", file)(TufError::Unlisted(role))),
                Some(found) if *found < minimum => {
                    return Err(at("5.5.5", file)(TufError::Rollback { role, minimum, found: *found }));
                }
                Some(_) => {}
            }
        }
        // 5.5.6
        new.check_expiry(self.now).map_err(at("5.5.6", file))?;
        self.floor.listed = versions;
        self.snapshot = Some(Verified { bytes: bytes.to_vec(), content: new });
        self.after_snapshot();
        Ok(vec![Change::Keep { name: role_file("snapshot"), bytes: bytes.to_vec() }])
    }

    /// Goes past the targets if those that are known are those that snapshot lists, and are still good.
    fn after_snapshot(&mut self) {
        self.stage = Stage::Targets;
        if let (Some(known), Ok(listed)) = (&self.targets, self.listed_role(TARGETS)) {
            let is_listed = listed.version == known.content.version() && listed.check(&known.bytes).is_ok();
            if is_listed && known.content.check_expiry(self.now).is_ok() {
                self.finish();
            }
        }
    }

    /// 5.6.1 to 5.6.6.
    fn take_targets(&mut self, bytes: &[u8], file: &str) -> Result<Vec<Change>, ClientError> {
        let listed = *self.listed_role(TARGETS)?;
        let verify = |bytes: &[u8]| Targets::top_level(bytes, &self.root);
        let new = self.checked(&listed, TARGETS, bytes, file, verify)?;
        self.targets = Some(Verified { bytes: bytes.to_vec(), content: new });
        self.finish();
        Ok(vec![Change::Keep { name: role_file(TARGETS), bytes: bytes.to_vec() }])
    }

    /// Top-level targets or a delegated role: 5.6.2 to 5.6.5 in order.
    fn checked(
        &self,
        listed: &ListedMetadata,
        role: &str,
        bytes: &[u8],
        file: &str,
        verify: impl FnOnce(&[u8]) -> Result<Targets, TufError>,
    ) -> Result<Targets, ClientError> {
        // 5.6.2
        listed.check(bytes).map_err(at("5.6.2", file))?;
        // 5.6.3
        let new = verify(bytes).map_err(at("5.6.3", file))?;
        // 5.6.4
        listed.check_version(role, new.version()).map_err(at("5.6.4", file))?;
        // 5.6.5
        new.check_expiry_of(role, self.now).map_err(at("5.6.5", file))?;
        Ok(new)
    }

    fn finish(&mut self) {
        self.stage = Stage::Done;
        self.is_consistent = true;
        // Delegated roles that changed, or that nobody lists any more, would never be asked for again.
        let snapshot = self.snapshot.as_ref().map(|snapshot| &snapshot.content);
        self.delegatees.retain(|name, known| {
            let listed = snapshot.and_then(|snapshot| snapshot.role(name));
            listed.is_some_and(|listed| listed.version == known.targets.version() && listed.check(&known.bytes).is_ok())
        });
    }

    /// 5.6.7: searches for the target at `path`, depth first, each role's delegations in their order. `None` says that
    /// nobody who may vouch for it does. To be asked after a refresh.
    ///
    /// Where a role on the way cannot be had or verified, the search ends with that error, as the specification has it: to
    /// pass over it would let whoever withholds it choose who answers instead.
    pub fn find(&self, path: &str) -> Result<Next<Option<Found>>, ClientError> {
        check_target_path(path).map_err(at("5.6.7", TARGETS))?;
        let top_level = self.trusted_targets()?;
        let mut visited = BTreeSet::new();
        // Roles still to be searched, the next one last, each with the one that delegated to it.
        let mut ahead: Vec<(&str, &str, &Targets)> = Vec::new();
        let (mut role, mut targets) = (TARGETS, top_level);
        loop {
            if let Some(target) = targets.listed(path) {
                return Ok(Next::Done(Some(self.found(path, role, target))));
            }
            let mut delegates: Vec<(&str, &str, &Targets)> = Vec::new();
            // More than one role's share of those that may be visited is never reached, so it need not be held.
            let covering = targets.delegates().iter().filter(|delegate| delegate.covers(path));
            for delegate in covering.take(MAX_ROLES_VISITED + 1) {
                delegates.push((&delegate.name, role, targets));
                if delegate.terminating {
                    // 5.6.7.2.1: nobody who stands after this one is asked, here or above.
                    ahead.clear();
                    break;
                }
            }
            ahead.extend(delegates.into_iter().rev());
            // 5.6.7.1: a role that was visited is skipped, so that cycles end.
            let (next, delegator, delegating) = loop {
                match ahead.pop() {
                    None => return Ok(Next::Done(None)),
                    Some((next, ..)) if visited.contains(next) => {}
                    Some(next) => break next,
                }
            };
            if visited.len() >= MAX_ROLES_VISITED {
                return Err(at("5.6.7.1", &role_file(next))(TufError::TooManyRoles));
            }
            visited.insert(next);
            let Some(known) = self.known_role(next, delegator, delegating)? else {
                return Ok(Next::Wants(self.wanted_role(next, delegator)?));
            };
            (role, targets) = (next, known);
        }
    }

    /// Everything that a role lists to which the top-level targets delegate. To be asked after a refresh.
    pub fn listed_by(&self, role: &str) -> Result<Next<Vec<Found>>, ClientError> {
        let Some(targets) = self.known_role(role, TARGETS, self.trusted_targets()?)? else {
            return Ok(Next::Wants(self.wanted_role(role, TARGETS)?));
        };
        Ok(Next::Done(targets.all().map(|(path, target)| self.found(path, role, target)).collect()))
    }

    /// The roles to which the top-level targets delegate, in their order.
    pub fn delegated_roles(&self) -> Vec<String> {
        let targets = self.targets.iter().flat_map(|targets| targets.content.delegates());
        targets.map(|role| role.name.clone()).collect()
    }

    /// This client as the witness `key` looks at what it has not signed yet, with the same memory and at the time `now`;
    /// nothing where root asks for no signature by that key. What it takes counts for nobody else.
    pub(super) fn before_the_witness(&self, key: &PublicKey, now: Timestamp) -> Option<Self> {
        let root = self.root.before_the_witness(key)?;
        let mut client = Self { now, root, stage: Stage::Timestamp, is_consistent: false, ..self.clone() };
        client.verify_anew();
        Some(client)
    }

    fn found(&self, path: &str, role: &str, target: &ListedTarget) -> Found {
        let hash = if self.root.consistent_snapshot() { target.hashes.for_name() } else { None };
        Found {
            path: path.to_owned(),
            role: role.to_owned(),
            target: target.clone(),
            location: target_path(path, hash.as_deref()),
        }
    }

    /// The targets of a delegated role, if they are known, listed as they are, and vouched for by this very delegator.
    fn known_role(&self, name: &str, delegator: &str, delegating: &Targets) -> Result<Option<&Targets>, ClientError> {
        let listed = self.listed_role(name)?;
        let Some(known) = self.delegatees.get(name) else { return Ok(None) };
        if listed.version != known.targets.version() {
            return Ok(None);
        }
        let file = role_file(name);
        if !known.verified_by.contains(&delegating.digest()) {
            listed.check(&known.bytes).map_err(at("5.6.2", &file))?;
            let verified = delegating.delegated(delegator, name, &known.bytes, self.root.form());
            verified.map_err(at("5.6.3", &file))?;
        }
        known.targets.check_expiry_of(name, self.now).map_err(at("5.6.5", &file))?;
        Ok(Some(&known.targets))
    }

    fn wanted_role(&self, name: &str, delegator: &str) -> Result<Wanted, ClientError> {
        let listed = self.listed_role(name)?;
        let version = self.root.consistent_snapshot().then_some(listed.version);
        Ok(Wanted {
            path: role_path(name, version),
            limit_bytes: limit_bytes(listed, MAX_TARGETS_BYTES),
            file: File::Role { name: name.to_owned(), delegator: delegator.to_owned() },
        })
    }

    /// 5.6.1 to 5.6.6, for a delegated role.
    fn take_role(&mut self, name: &str, delegator: &str, bytes: &[u8], file: &str) -> Result<Vec<Change>, ClientError> {
        let listed = *self.listed_role(name)?;
        let delegating = match self.delegatees.get(delegator) {
            Some(known) if delegator != TARGETS => &known.targets,
            _ => self.trusted_targets()?,
        };
        let verify = |bytes: &[u8]| delegating.delegated(delegator, name, bytes, self.root.form());
        let targets = self.checked(&listed, name, bytes, file, verify)?;
        let verified_by = BTreeSet::from([delegating.digest()]);
        self.delegatees.insert(name.to_owned(), Delegatee { bytes: bytes.to_vec(), targets, verified_by });
        Ok(vec![Change::Keep { name: role_file(name), bytes: bytes.to_vec() }])
    }

    fn listed_snapshot(&self) -> Result<&ListedMetadata, ClientError> {
        let timestamp = self.timestamp.as_ref().map(|timestamp| timestamp.content.snapshot());
        timestamp.ok_or_else(|| at("5.4", "timestamp.json")(TufError::NotThere))
    }

    fn listed_role(&self, role: &str) -> Result<&ListedMetadata, ClientError> {
        let listed = self.snapshot.as_ref().and_then(|snapshot| snapshot.content.role(role));
        listed.ok_or_else(|| at("5.6.1", &role_file(role))(TufError::NotInSnapshot(printable(role))))
    }

    fn trusted_targets(&self) -> Result<&Targets, ClientError> {
        let targets = self.targets.as_ref().filter(|_| self.is_consistent).map(|targets| &targets.content);
        targets.ok_or_else(|| at("5.6.7", "targets.json")(TufError::NotThere))
    }

    /// The trusted root.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The trusted timestamp metadata and its bytes.
    pub fn timestamp(&self) -> Option<(&TimestampMetadata, &[u8])> {
        self.timestamp.as_ref().map(|known| (&known.content, known.bytes.as_slice()))
    }

    /// The trusted snapshot metadata and its bytes. During a refresh that did not finish, it may be older than timestamp
    /// says.
    pub fn snapshot(&self) -> Option<(&SnapshotMetadata, &[u8])> {
        self.snapshot.as_ref().map(|known| (&known.content, known.bytes.as_slice()))
    }

    /// The trusted top-level targets and their bytes. During a refresh that did not finish, they may be older than
    /// snapshot says.
    pub fn targets(&self) -> Option<(&Targets, &[u8])> {
        self.targets.as_ref().map(|known| (&known.content, known.bytes.as_slice()))
    }
}

fn limit_bytes(listed: &ListedMetadata, most: usize) -> u64 {
    listed.length_bytes.unwrap_or(u64::MAX).min(most as u64)
}
