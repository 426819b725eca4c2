//! A server in one file: its ledger, its depot and its keys, taken while it serves, and put back where there is none.
//!
//! The file is a tar archive, compressed with zstd: what it is (`backup.json`), the keys and the operator's settings,
//! sealed (`sealed.age`), the ledger (`ledger.sqlite`), the objects of the depot by digest, and last a count of them
//! (`end.json`), so that a file that was cut off is known as such. Behind the archive stands a digest of every byte before
//! it, bound to the sealed part ([`bound`]): nobody who cannot open that can change a backup unnoticed. Everything but the
//! sealed part can be checked by whoever holds the file: objects are named by their digests, and the ledger's root stands
//! under the server's signature.
//!
//! The ledger is copied first and the objects after it: whatever an entry names was in the depot before the entry was.

use crate::{
    keys::{Keys, KeysError, ORIGIN, make_private_folder},
    ledger::{Ledger, LedgerError, snapshot_of},
};
use depot::{DiskStore, StoreError};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};
use trust::{Digest, key::Signer as _, note::verify_checkpoint};

mod bound;
#[cfg(test)]
mod tests;

use bound::{Binding, Ending, Sum, Whole};

/// The form of the backups that are taken.
const FORMAT: u32 = 2;
/// The form that has no digest at its end. It is put back, and not taken any more.
const WITHOUT_DIGEST: u32 = 1;
/// How the folder is called that holds a copy of the ledger while a backup is taken.
pub(crate) const BESIDE: &str = ".backup-";
const FACTS: &str = "backup.json";
const SEALED: &str = "sealed.age";
const LEDGER: &str = "ledger.sqlite";
const OBJECTS: &str = "objects/";
const END: &str = "end.json";
/// Files of the data folder that are sealed, besides the keys.
const SETTINGS: [&str; 2] = ["notify.toml", "lost.json"];
/// How the key of the digest is called among what is sealed.
const BINDING: &str = "binding";
/// What a restored server remembers of it, until owners sign a new epoch.
const RESTORED: &str = "restored.json";
/// The longest of the small parts, in bytes.
const SMALL_BYTES: u64 = 4 << 20;
/// The longest sealed part, in bytes.
const SEALED_BYTES: u64 = 256 << 20;
/// What zstd's frames begin with (RFC 8878, 3.1.1).
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const CHANGED: &str = "it was changed after it was taken: it does not have the digest at its end";
/// How many objects become durable together.
const OBJECTS_AT_ONCE: usize = 512;

/// What a backup is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// [`FORMAT`], or that of an earlier program.
    pub format: u32,
    /// The version of the program that took it.
    pub version: String,
    /// When it was taken.
    pub taken: Timestamp,
    /// The estate, where one was founded.
    pub estate: Option<Digest>,
    /// The charter's epoch.
    pub epoch: u64,
    /// How many entries the ledger has.
    pub entries: u64,
    /// The ledger's checkpoint, signed by the server (C2SP signed note).
    pub checkpoint: String,
    /// The server's ledger key, as an OpenSSH line.
    pub ledger_key: String,
    /// The name the checkpoint is signed under.
    pub origin: String,
}

/// What was taken or put back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Done {
    /// What it is of.
    pub facts: Facts,
    /// How many objects of the depot.
    pub objects: u64,
    /// Their length together, in bytes.
    pub object_bytes: u64,
    /// Objects that the disk has changed since they were stored: they are left out.
    pub damaged: Vec<Digest>,
    /// Objects that the ledger or a build needs and that are not there.
    pub missing: Vec<Digest>,
    /// What stands for its bytes.
    pub vouched: Vouched,
}

/// What stands for the bytes of a backup, besides what the ledger and the depot say of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Vouched {
    /// The sealed part: nobody who cannot open it has changed anything.
    Sealed,
    /// A digest at its end, while the sealed part stayed shut: no disk and no copy has changed anything.
    Digest,
    /// Nothing: an earlier program took it.
    Nothing,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    objects: u64,
    object_bytes: u64,
}

/// What a restored server remembers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Restored {
    pub taken: Timestamp,
    epoch: u64,
    pub entries: u64,
}

/// Why a backup was not taken or not put back.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is no server's data in the folder.
    #[error(
        "{0} holds no server's data: give with --data the folder that `sortie serve --data` was given, and of `--dev` the folder `server` in it"
    )]
    NoServer(PathBuf),
    /// There is something where it is to be put back.
    #[error("{0} is not empty: a backup is put back where there is no server yet")]
    NotEmpty(PathBuf),
    /// It cannot get the name that was asked for.
    #[error("{0} {1}")]
    NotAPlace(PathBuf, &'static str),
    /// The file is no backup, or of another program's.
    #[error("this is no backup of Sortie that this program reads: {0}")]
    NotOne(String),
    /// The file was cut off or changed.
    #[error("the backup is not whole: {0}")]
    Damaged(String),
    /// The keys could not be sealed, or what was given does not open them.
    #[error("{0}")]
    Seal(String),
    /// Reading or writing failed.
    #[error("{doing} failed: {source}")]
    Disk {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The ledger.
    #[error("the ledger: {0}")]
    Ledger(#[from] LedgerError),
    /// The depot.
    #[error("the depot: {0}")]
    Depot(#[from] StoreError),
    /// The keys.
    #[error("the keys: {0}")]
    Keys(#[from] KeysError),
}

impl BackupError {
    /// Whether the bytes are not what they should be.
    pub fn is_integrity(&self) -> bool {
        matches!(self, Self::Damaged(_))
    }
}

fn failed(doing: &'static str) -> impl Fn(io::Error) -> BackupError {
    move |source| BackupError::Disk { doing, source }
}

/// Why the secret part was not sealed, or not opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Something else must be given.
    #[error("{0}")]
    Refused(String),
    /// The bytes are not those that were sealed.
    #[error("{0}")]
    Damaged(String),
}

impl From<SealError> for BackupError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Refused(why) => Self::Seal(why),
            SealError::Damaged(why) => Self::Damaged(format!("its sealed part: {why}")),
        }
    }
}

/// Encrypts, or decrypts, the part that is secret.
pub type Seal<'a> = &'a dyn Fn(&[u8]) -> Result<Vec<u8>, SealError>;

/// Told of the bytes of the depot that were moved.
pub type Progress<'a> = &'a mut dyn FnMut(u64);

/// Whether this folder holds a server's data.
pub fn is_of_a_server(data: &Path) -> bool {
    data.join("ledger").join(LEDGER).is_file() && data.join("keys").is_dir()
}

/// Writes a backup of the server's data in `data`, which may be serving, to `out`.
pub fn take(data: &Path, out: impl Write, seal: Seal<'_>, moved: Progress<'_>) -> Result<Done, BackupError> {
    if !is_of_a_server(data) {
        return Err(BackupError::NoServer(data.to_path_buf()));
    }
    let (key, origin) =
        Keys::ledger_of(&data.join("keys"))?.ok_or_else(|| BackupError::NoServer(data.to_path_buf()))?;
    let ledger_key = key.public().to_openssh();
    let beside = tempfile::Builder::new().prefix(BESIDE).tempdir_in(data).map_err(failed("making a folder"))?;
    let copy = beside.path().join(LEDGER);
    snapshot_of(&data.join("ledger"), &copy)?;
    let ledger = Ledger::open(beside.path(), Arc::new(key), &origin)?;
    if let Some(problem) = ledger.verify().problem {
        return Err(BackupError::Damaged(format!("the ledger itself: {problem}")));
    }
    let state = ledger.state();
    let facts = Facts {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").into(),
        taken: Timestamp::now(),
        estate: state.policy.as_ref().map(|policy| policy.record.estate),
        epoch: state.epoch(),
        entries: state.head.entry,
        checkpoint: ledger.checkpoint().to_string(),
        ledger_key,
        origin,
    };
    let depot = DiskStore::open(&data.join("depot"))?;
    let mut needed = needed(&ledger, &depot)?;
    ledger.close();

    let writing = failed("writing the backup");
    let binding = Binding::new().map_err(&writing)?;
    let mut packed = zstd::Encoder::new(Sum::new(out), 3).map_err(&writing)?;
    packed.include_checksum(true).map_err(&writing)?;
    let mut archive = tar::Builder::new(packed);
    append(&mut archive, FACTS, &json(&facts)?).map_err(&writing)?;
    let mut secrets = secrets(data)?;
    secrets.insert(BINDING.into(), binding.hex());
    let sealed = seal(&json(&secrets)?)?;
    if sealed.len() as u64 > SEALED_BYTES {
        return Err(BackupError::Seal(format!("keys and settings are longer than {SEALED_BYTES} bytes")));
    }
    append(&mut archive, SEALED, &sealed).map_err(&writing)?;
    let mut file = File::open(&copy).map_err(failed("reading the ledger's copy"))?;
    archive.append_file(LEDGER, &mut file).map_err(&writing)?;

    let mut end = End { objects: 0, object_bytes: 0 };
    let mut damaged = Vec::new();
    for digest in depot.objects()? {
        // What the disk has changed cannot be taken, and must not stop what is whole from being taken.
        match depot.verify(&digest) {
            Ok(length) => {
                needed.remove(&digest);
                let (file, _) = depot.open_object(&digest)?;
                append_reader(&mut archive, &format!("{OBJECTS}{}", digest.hex()), length, file).map_err(&writing)?;
                end = End { objects: end.objects + 1, object_bytes: end.object_bytes + length };
                moved(length);
            }
            Err(StoreError::Corrupt { expected, .. }) => {
                needed.remove(&expected);
                damaged.push(expected);
            }
            // It was pruned while the others were copied; what is needed all the same is named below.
            Err(StoreError::Missing(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    append(&mut archive, END, &json(&end)?).map_err(&writing)?;
    let out = archive.into_inner().and_then(|packed| packed.finish()).map_err(&writing)?;
    out.finish(&binding).map_err(&writing)?;
    let missing = needed.into_iter().filter(|digest| !depot.has(digest)).collect();
    let End { objects, object_bytes } = end;
    Ok(Done { facts, objects, object_bytes, damaged, missing, vouched: Vouched::Sealed })
}

/// Every object that an entry or a whole build names.
fn needed(ledger: &Ledger, depot: &DiskStore) -> Result<BTreeSet<Digest>, BackupError> {
    let mut needed = BTreeSet::new();
    ledger.each_from(1, |entry| needed.extend(entry.events.iter().flat_map(|event| event.documents())))?;
    let state = ledger.state();
    let whole = state.apps.values().flat_map(|record| record.builds.iter()).filter(|(_, build)| build.pruned.is_none());
    for (build, _) in whole {
        // A manifest that cannot be read is itself among what is needed, and is told as missing or damaged.
        if let Ok(files) = crate::http::objects::files_of(depot, build) {
            needed.extend(files.into_iter().map(|(digest, _)| digest));
        }
    }
    Ok(needed)
}

/// Puts a backup back as `data`, which must not be there or be empty. Everything is checked before the folder gets its
/// name: a backup that is not whole leaves nothing. Without `unseal` the server gets keys of its own.
pub fn put_back(
    from: impl Read,
    data: &Path,
    unseal: Option<Seal<'_>>,
    moved: Progress<'_>,
) -> Result<Done, BackupError> {
    let data = &place(data)?;
    let parent = match data.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Err(BackupError::NotEmpty(data.to_path_buf())),
    };
    fs::create_dir_all(parent).map_err(failed("making the folder above"))?;
    let beside = tempfile::Builder::new().prefix(".restore-").tempdir_in(parent).map_err(failed("making a folder"))?;
    make_private_folder(beside.path())?;
    let mut from = Whole::new(from);
    let unpacked = unpack(&mut from, beside.path(), unseal, moved);
    let ending = from.finish().map_err(failed("reading the backup"))?;
    let (done, binding) = match (unpacked, &ending) {
        // Whatever it was that could not be read: this is why.
        (Err(error), Ending::Changed) => {
            return Err(BackupError::Damaged(format!("{CHANGED} ({error})")));
        }
        (unpacked, _) => unpacked?,
    };
    let vouched = vouched(&done.facts, &ending, unseal.is_some(), binding)?;
    let missing = check(beside.path(), &done.facts, unseal.is_some()).map_err(|error| match error {
        // Nobody stands for what the program could not read.
        BackupError::Ledger(error) if vouched != Vouched::Sealed => {
            BackupError::Damaged(format!("its ledger: {error}"))
        }
        error => error,
    })?;
    let done = Done { missing, vouched, ..done };
    let restored = Restored { taken: done.facts.taken, epoch: done.facts.epoch, entries: done.facts.entries };
    write_private(&beside.path().join(RESTORED), &json(&restored)?)?;
    let naming = failed("giving the folder its name");
    rustix::fs::syncfs(File::open(beside.path()).map_err(&naming)?).map_err(|error| naming(error.into()))?;
    if data.exists() {
        fs::remove_dir(data).map_err(&naming)?;
    }
    fs::rename(beside.path(), data).map_err(&naming)?;
    File::open(parent).and_then(|parent| parent.sync_all()).map_err(&naming)?;
    // It has another name now, so that nothing is left to remove.
    let _gone = beside.keep();
    Ok(done)
}

/// What stands for the bytes of a backup that ends so; fails where something should, and does not.
fn vouched(facts: &Facts, ending: &Ending, is_opened: bool, binding: Option<Binding>) -> Result<Vouched, BackupError> {
    let wrong = |what: &str| Err(BackupError::Damaged(what.to_string()));
    match ending {
        Ending::Changed => wrong(CHANGED),
        Ending::Bare if facts.format != WITHOUT_DIGEST || binding.is_some() => {
            wrong("the digest at its end is missing: it was cut off or changed after it was taken")
        }
        Ending::Bare => Ok(Vouched::Nothing),
        Ending::Fits(_) if !is_opened => Ok(Vouched::Digest),
        Ending::Fits(fits) if binding.is_some_and(|binding| fits.is_bound(&binding)) => Ok(Vouched::Sealed),
        Ending::Fits(_) => wrong("its digest is not bound to the keys in it: somebody has changed it"),
    }
}

/// Where a server may be put back: a folder that is not there, or is empty and can be replaced.
pub fn place(data: &Path) -> Result<PathBuf, BackupError> {
    let not = |why| Err(BackupError::NotAPlace(data.to_path_buf(), why));
    let absolute = std::path::absolute(data).map_err(failed("looking at the folder"))?;
    let known = match fs::symlink_metadata(&absolute) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(absolute),
        Err(error) => return Err(failed("looking at the folder")(error)),
        Ok(known) => known,
    };
    if !known.is_dir() {
        return not("is no folder: give one that is not there yet, or is empty");
    }
    if fs::read_dir(&absolute).map_err(failed("looking into the folder"))?.next().is_some() {
        return Err(BackupError::NotEmpty(data.to_path_buf()));
    }
    let above = absolute.parent().and_then(|parent| fs::metadata(parent).ok());
    if above.is_some_and(|above| above.dev() != known.dev()) {
        return not("is where a disk is mounted, and cannot be replaced: give a folder inside it");
    }
    if std::env::current_dir().is_ok_and(|here| here == absolute) {
        return not("is the current folder, and cannot be replaced: go above it");
    }
    Ok(absolute)
}

impl Restored {
    /// What the data folder says of where it came from; nothing of one that was always here.
    pub fn read(data: &Path) -> io::Result<Option<Self>> {
        match fs::read(data.join(RESTORED)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes).map_err(io::Error::other)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether owners have not signed a new epoch since.
    pub fn is_open(&self, epoch: u64) -> bool {
        self.epoch >= epoch
    }

    /// What everyone should know until they have.
    pub fn warning(&self, epoch: u64) -> Option<String> {
        self.is_open(epoch).then(|| {
            format!(
                "this server was put back from a backup of {} with {} entries; what was accepted after that is lost \
                 here. Owners sign a new epoch: sortie charter epoch --reason restore",
                crate::views::words::moment(self.taken),
                self.entries
            )
        })
    }
}

fn unpack(
    mut from: impl Read,
    folder: &Path,
    unseal: Option<Seal<'_>>,
    moved: Progress<'_>,
) -> Result<(Done, Option<Binding>), BackupError> {
    let mut magic = [0; 4];
    let is_packed = from.read_exact(&mut magic).is_ok() && magic == ZSTD_MAGIC;
    if !is_packed {
        return Err(BackupError::NotOne("it does not begin as what `sortie backup FILE` writes".into()));
    }
    let cut = |error: io::Error| BackupError::Damaged(format!("it cannot be unpacked any further: {error}"));
    let from = magic.as_slice().chain(from);
    let mut archive = tar::Archive::new(zstd::Decoder::new(from).map_err(cut)?);
    let mut facts: Option<Facts> = None;
    let mut end: Option<End> = None;
    let depot = DiskStore::open(&folder.join("depot"))?;
    let mut batch = depot.batch();
    let (mut objects, mut object_bytes, mut staged) = (0, 0, 0);
    let mut binding = None;
    make_private_folder(&folder.join("ledger"))?;
    for entry in archive.entries().map_err(cut)? {
        let mut entry = entry.map_err(cut)?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if facts.is_none() && path != FACTS {
            return Err(BackupError::NotOne(format!("it begins with {path:?}")));
        }
        match path.as_str() {
            FACTS => {
                let read: Facts = small(&mut entry)?;
                if ![FORMAT, WITHOUT_DIGEST].contains(&read.format) {
                    let why = format!("it has format {}, taken by version {}", read.format, read.version);
                    return Err(BackupError::NotOne(why));
                }
                facts = Some(read);
            }
            SEALED => {
                let mut sealed = Vec::new();
                entry.take(SEALED_BYTES).read_to_end(&mut sealed).map_err(cut)?;
                match unseal {
                    Some(unseal) => {
                        let mut secrets: BTreeMap<String, String> = parse(&unseal(&sealed)?)?;
                        binding = secrets.remove(BINDING).and_then(|hex| Binding::from_hex(&hex));
                        lay_out(folder, &secrets)?;
                    }
                    // The log goes on under its name, whoever signs it.
                    None => {
                        let origin = facts.as_ref().map(|facts| format!("{}\n", facts.origin)).unwrap_or_default();
                        lay_out(folder, &BTreeMap::from([(format!("keys/{ORIGIN}"), origin)]))?;
                    }
                }
            }
            LEDGER => {
                let mut file = create_private(&folder.join("ledger").join(LEDGER))?;
                io::copy(&mut entry, &mut file).map_err(cut)?;
                file.sync_all().map_err(failed("writing the ledger"))?;
            }
            END => end = Some(small(&mut entry)?),
            path => {
                let name = path.strip_prefix(OBJECTS).and_then(|hex| Digest::from_hex(hex).ok());
                let digest = name.ok_or_else(|| BackupError::Damaged(format!("{path:?} does not belong in it")))?;
                let length = batch.put(&mut entry, digest, u64::MAX).map_err(not_whole)?;
                (objects, object_bytes, staged) = (objects + 1, object_bytes + length, staged + 1);
                moved(length);
                if staged == OBJECTS_AT_ONCE {
                    std::mem::replace(&mut batch, depot.batch()).commit()?;
                    staged = 0;
                }
            }
        }
    }
    batch.commit()?;
    // An archive ends with nothing but zeros; whatever follows was not written by us.
    let mut rest = Vec::new();
    archive.into_inner().take(SMALL_BYTES).read_to_end(&mut rest).map_err(cut)?;
    if rest.iter().any(|byte| *byte != 0) {
        return Err(BackupError::Damaged("something follows its end".into()));
    }
    let facts = facts.ok_or_else(|| BackupError::NotOne("it is empty".into()))?;
    match end {
        None => Err(BackupError::Damaged("it was cut off: its end is missing".into())),
        Some(end) if end != (End { objects, object_bytes }) => {
            let why = format!("it has {objects} objects of {} that were taken", end.objects);
            Err(BackupError::Damaged(why))
        }
        Some(_) => {
            let vouched = Vouched::Nothing;
            let done = Done { facts, objects, object_bytes, damaged: Vec::new(), missing: Vec::new(), vouched };
            Ok((done, binding))
        }
    }
}

/// What the file lacks is told as the file's fault, and not as the depot's.
fn not_whole(error: StoreError) -> BackupError {
    match error {
        StoreError::Source { digest, source } => BackupError::Damaged(format!("it ends within {digest}: {source}")),
        StoreError::Mismatch { expected, .. } => BackupError::Damaged(format!("{expected} was changed in it")),
        error => error.into(),
    }
}

/// The ledger is the one under the checkpoint, entry by entry, and the checkpoint is the server's: signed by the key that was
/// sealed, or where that stays shut by one that the owners' charter names. Says which objects are needed and not there.
fn check(folder: &Path, facts: &Facts, is_opened: bool) -> Result<Vec<Digest>, BackupError> {
    let wrong = |what: &str| BackupError::Damaged(what.to_string());
    let key = trust::key::PublicKey::from_openssh(&facts.ledger_key).map_err(|_| wrong("its ledger key is none"))?;
    let checkpoint = verify_checkpoint(&facts.checkpoint, &facts.origin, &key)
        .map_err(|error| BackupError::Damaged(format!("its checkpoint is not the server's: {error}")))?;
    let keys = Keys::open(&folder.join("keys"))?;
    let ledger = Ledger::open(&folder.join("ledger"), keys.ledger.clone(), &keys.origin)?;
    let verified = ledger.verify();
    let state = ledger.state();
    let estate = state.policy.as_ref().map(|policy| policy.record.estate);
    let depot = DiskStore::open(&folder.join("depot"))?;
    let missing = needed(&ledger, &depot)?.into_iter().filter(|digest| !depot.has(digest)).collect();
    ledger.close();
    let named = state.policy.as_ref().map(|policy| policy.charter.server.ledger.clone()).unwrap_or_default();
    let is_the_servers = if is_opened { keys.ledger_public() == key } else { named.is_empty() || named.contains(&key) };
    if !is_the_servers {
        return Err(wrong("its checkpoint is signed by another key than the server's"));
    }
    match verified.problem {
        Some(problem) => Err(BackupError::Damaged(format!("its ledger: {problem}"))),
        None if verified.entries != checkpoint.size || verified.root != checkpoint.root => {
            Err(wrong("its ledger is not the one under its checkpoint"))
        }
        None if verified.entries != facts.entries || estate != facts.estate => {
            Err(wrong("its ledger is of another estate or length than it says"))
        }
        None => Ok(missing),
    }
}

/// The keys and settings, by their path in the data folder.
fn secrets(data: &Path) -> Result<BTreeMap<String, String>, BackupError> {
    let reading = failed("reading the keys");
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(data.join("keys")).map_err(&reading)? {
        let entry = entry.map_err(&reading)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type().map_err(&reading)?.is_file() && !name.ends_with(".new") {
            found.insert(format!("keys/{name}"), fs::read_to_string(entry.path()).map_err(&reading)?);
        }
    }
    for name in SETTINGS {
        match fs::read_to_string(data.join(name)) {
            Ok(text) => drop(found.insert(name.into(), text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(reading(error)),
        }
    }
    Ok(found)
}

fn lay_out(folder: &Path, secrets: &BTreeMap<String, String>) -> Result<(), BackupError> {
    make_private_folder(&folder.join("keys"))?;
    for (path, text) in secrets {
        let is_key = path.strip_prefix("keys/").is_some_and(|name| !name.is_empty() && !name.contains(['/', '\\']));
        if !is_key && !SETTINGS.contains(&path.as_str()) || path.contains("..") {
            return Err(BackupError::Damaged(format!("{path:?} does not belong among its keys")));
        }
        write_private(&folder.join(path), text.as_bytes())?;
    }
    Ok(())
}

fn create_private(path: &Path) -> Result<File, BackupError> {
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    created.map_err(failed("making a file"))
}

fn write_private(path: &Path, bytes: &[u8]) -> Result<(), BackupError> {
    create_private(path)?.write_all(bytes).map_err(failed("writing a file"))
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, BackupError> {
    serde_json::to_vec(value).map_err(|error| failed("writing the backup")(error.into()))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BackupError> {
    serde_json::from_slice(bytes).map_err(|error| BackupError::Damaged(error.to_string()))
}

fn small<T: DeserializeOwned>(entry: &mut impl Read) -> Result<T, BackupError> {
    let mut bytes = Vec::new();
    entry.take(SMALL_BYTES).read_to_end(&mut bytes).map_err(|error| BackupError::Damaged(error.to_string()))?;
    parse(&bytes)
}

fn append(archive: &mut tar::Builder<impl Write>, name: &str, bytes: &[u8]) -> io::Result<()> {
    append_reader(archive, name, bytes.len() as u64, bytes)
}

fn append_reader(archive: &mut tar::Builder<impl Write>, name: &str, length: u64, from: impl Read) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o600);
    header.set_size(length);
    archive.append_data(&mut header, name, from)
}
