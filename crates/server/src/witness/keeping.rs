//! What lies in a witness's data folder:
//!
//! ```text
//! witness.key  tls.key  tls.crt   its own keys
//! pinned.json                     the server, and the estate, for ever
//! repository/                     the copy of what it signed last: metadata/ and targets/, as any mirror has them
//! withdrawals/<DIGEST>.json       every withdrawal that it ever heard of, by the digest of its payload
//! ```

use crate::repository::files::{self, FileError, Stage};
use api::write::{Submission, Text};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};
use trust::{
    AudienceName, Digest,
    authority::{Documents, TrustedPolicy, VerifiedDocuments},
    charter::CHARTER_TARGET,
    dsse::Envelope,
    key::Signer,
    statement::{Act, Statement},
    tuf::{
        Root, TufError,
        client::Kept,
        witness::{Cosigned, Look, WitnessError},
    },
};

const PINNED: &str = "pinned.json";
const WITHDRAWALS: &str = "withdrawals";
/// The most withdrawals that are kept; each is signed by somebody who may withdraw.
const MOST: usize = 100_000;

/// Which server, and which estate.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pinned {
    pub url: String,
    pub pin: Digest,
    pub estate: Digest,
}

/// A withdrawal as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptFile {
    envelope: Envelope,
    texts: BTreeMap<Digest, Text>,
    /// Whether the server has not heard of it by anybody yet, as far as is known here.
    untold: bool,
}

/// Everything that is kept.
pub(super) struct Keeping {
    data: PathBuf,
    estate: Digest,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    kept: BTreeMap<Digest, KeptFile>,
    policy: Option<TrustedPolicy>,
}

/// Why a withdrawal was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum TakeError {
    /// It has seen no charter, by which to know who may withdraw.
    #[error("this witness has signed nothing yet, and knows no charter by which to judge a withdrawal")]
    NoCharter,
    /// It is none, or nobody who may withdraw signed it.
    #[error("{0}")]
    Denied(String),
    /// There are too many.
    #[error("{MOST} withdrawals are kept already: that cannot be right")]
    TooMany,
    /// The disk failed.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Why what was looked at was not signed.
#[derive(Debug, thiserror::Error)]
pub(super) enum SignError {
    /// It may not be.
    #[error(transparent)]
    Refused(#[from] WitnessError),
    /// The key did not sign.
    #[error(transparent)]
    Key(#[from] TufError),
    /// The disk failed.
    #[error(transparent)]
    File(#[from] FileError),
}

/// A withdrawal that was taken.
pub(super) struct TakenHere {
    pub payload: Digest,
    pub what: String,
    pub known: bool,
}

fn read_json<T: DeserializeOwned>(data: &Path, below: &Path) -> Result<Option<T>, FileError> {
    let bytes = files::read(data, below)?;
    bytes
        .map(|bytes| serde_json::from_slice(&bytes).map_err(|error| FileError::unreadable(&data.join(below), error)))
        .transpose()
}

fn write_json(data: &Path, below: &Path, value: &impl Serialize) -> Result<(), FileError> {
    let bytes = serde_json::to_vec(value).map_err(|error| FileError::unreadable(&data.join(below), error))?;
    let mut stage = Stage::new(data);
    stage.write(below, &bytes)?;
    stage.finish()
}

/// What was pinned the first time.
pub(super) fn pinned(data: &Path) -> Result<Option<Pinned>, FileError> {
    read_json(data, Path::new(PINNED))
}

/// Pins a server and its estate.
pub(super) fn pin(data: &Path, pinned: &Pinned) -> Result<(), FileError> {
    write_json(data, Path::new(PINNED), pinned)
}

fn place(payload: &Digest) -> PathBuf {
    Path::new(WITHDRAWALS).join(format!("{}.json", payload.hex()))
}

/// What a withdrawal says, and from which audience.
fn read(envelope: &Envelope) -> Option<(AudienceName, String)> {
    let Act::Withdrawal(withdrawal) = Statement::read(envelope).ok()?.act else { return None };
    let what = format!("{}@{} from {}", withdrawal.app, withdrawal.version, withdrawal.audience);
    Some((withdrawal.audience, what))
}

impl Keeping {
    /// Takes up what an earlier process kept.
    pub fn open(data: &Path, estate: Digest) -> Result<Self, FileError> {
        let mut kept = BTreeMap::new();
        for name in files::names(&data.join(WITHDRAWALS))? {
            let Some(payload) = name.strip_suffix(".json").and_then(|hex| Digest::from_hex(hex).ok()) else { continue };
            kept.extend(read_json(data, &place(&payload))?.map(|file| (payload, file)));
        }
        let keeping = Self { data: data.to_path_buf(), estate, inner: Mutex::new(Inner { kept, ..Inner::default() }) };
        if let Some(documents) = keeping.documents_in_copy()? {
            keeping.go_by(&documents);
        }
        Ok(keeping)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The folder of the copy.
    pub fn copy(&self) -> PathBuf {
        self.data.join("repository")
    }

    /// Judges withdrawals by this charter from now on.
    pub fn go_by(&self, documents: &VerifiedDocuments) {
        // Suspended people may take permission back, so that suspensions make no difference.
        match documents.policy(&[]) {
            Ok(policy) => self.lock().policy = Some(policy),
            Err(error) => tracing::error!(%error, "the charter contradicts itself"),
        }
    }

    /// The newest root in the copy, walked from the first; nothing where there is no first one yet.
    pub fn root(&self) -> Result<Option<Root>, FileError> {
        let copy = self.copy();
        let Some(first) = files::read(&copy, &files::metadata(1, "root"))? else { return Ok(None) };
        let Ok(mut root) = Root::pinned(&first, &self.estate) else { return Ok(None) };
        while let Some(bytes) = files::read(&copy, &files::metadata(root.version() + 1, "root"))? {
            // What follows a damaged file is fetched anew.
            let Ok(next) = root.next(&bytes) else { break };
            root = next;
        }
        Ok(Some(root))
    }

    /// Timestamp and snapshot of the copy, as a client takes them up.
    pub fn memory(&self) -> Result<Kept, FileError> {
        let copy = self.copy();
        let timestamp = files::read(&copy, &files::timestamp())?;
        let snapshot = timestamp.as_ref().and_then(|bytes| listed(bytes, "snapshot.json"));
        let snapshot = snapshot.map(|version| files::read(&copy, &files::metadata(version, "snapshot"))).transpose()?;
        Ok(Kept { timestamp, snapshot: snapshot.flatten() })
    }

    /// The charter in the copy, verified.
    fn documents_in_copy(&self) -> Result<Option<VerifiedDocuments>, FileError> {
        let copy = self.copy();
        let (Some(root), Some(snapshot)) = (self.root()?, self.memory()?.snapshot) else { return Ok(None) };
        let Some(version) = listed(&snapshot, "targets.json") else { return Ok(None) };
        let Some(targets) = files::read(&copy, &files::metadata(version, "targets"))? else { return Ok(None) };
        let digest = trust::tuf::Targets::verify(&targets, &root, 0).ok().and_then(|read| read.target(CHARTER_TARGET));
        let Some((_, digest)) = digest else { return Ok(None) };
        let charter = files::read(&copy, &files::target(CHARTER_TARGET, &digest))?.unwrap_or_default();
        Ok(self.verify(&targets, &charter)?.ok())
    }

    /// Verifies a charter under the roots in the copy.
    pub fn verify(&self, targets: &[u8], charter: &[u8]) -> Result<Result<VerifiedDocuments, String>, FileError> {
        let copy = self.copy();
        let mut roots = Vec::new();
        while let Some(bytes) = files::read(&copy, &files::metadata(roots.len() as u64 + 1, "root"))? {
            roots.push(bytes);
        }
        let documents = Documents { roots: &roots, targets, charter };
        Ok(VerifiedDocuments::verify(&self.estate, &documents, 0).map_err(|error| error.to_string()))
    }

    /// Takes a withdrawal that somebody brings: kept durably once this returns.
    pub fn take(&self, submission: Submission) -> Result<TakenHere, TakeError> {
        let Submission { envelope, texts, .. } = submission;
        let (audience, what) = read(&envelope).ok_or_else(|| TakeError::Denied("that is no withdrawal".into()))?;
        let payload = Digest::of(&envelope.payload);
        let mut inner = self.lock();
        let policy = inner.policy.as_ref().ok_or(TakeError::NoCharter)?;
        policy.withdrawal(&envelope, &audience).map_err(|denial| TakeError::Denied(denial.to_string()))?;
        if inner.kept.contains_key(&payload) {
            return Ok(TakenHere { payload, what, known: true });
        }
        if inner.kept.len() >= MOST {
            return Err(TakeError::TooMany);
        }
        let file = KeptFile { envelope, texts, untold: true };
        write_json(&self.data, &place(&payload), &file)?;
        inner.kept.insert(payload, file);
        Ok(TakenHere { payload, what, known: false })
    }

    /// Signs what was looked at, if it hides nothing that is kept; what it shows is kept first, and cannot disappear again.
    /// No withdrawal is taken meanwhile: one that was answered for before is in what is signed.
    pub fn sign(&self, look: Look, signer: &dyn Signer) -> Result<Cosigned, SignError> {
        let mut inner = self.lock();
        let witnessed = look.conclude(inner.kept.values().map(|kept| &kept.envelope))?;
        for envelope in witnessed.withdrawals() {
            let payload = Digest::of(&envelope.payload);
            let known = inner.kept.get(&payload);
            if known.is_some_and(|known| !known.untold) || read(envelope).is_none() {
                continue;
            }
            let texts = known.map(|known| known.texts.clone()).unwrap_or_default();
            let file = KeptFile { envelope: envelope.clone(), texts, untold: false };
            write_json(&self.data, &place(&payload), &file)?;
            inner.kept.insert(payload, file);
        }
        Ok(witnessed.sign(signer)?)
    }

    /// How many are kept.
    pub fn count(&self) -> usize {
        self.lock().kept.len()
    }

    /// The withdrawals from one audience.
    pub fn from(&self, audience: &AudienceName) -> Vec<Envelope> {
        let inner = self.lock();
        let here = inner.kept.values().filter(|kept| read(&kept.envelope).is_some_and(|(from, _)| from == *audience));
        here.map(|kept| kept.envelope.clone()).collect()
    }

    /// What the server has not heard of yet.
    pub fn untold(&self) -> Vec<(Digest, Submission)> {
        let submission = |kept: &KeptFile| Submission {
            envelope: kept.envelope.clone(),
            attachments: BTreeMap::new(),
            texts: kept.texts.clone(),
            claim: None,
        };
        let inner = self.lock();
        inner.kept.iter().filter(|(_, kept)| kept.untold).map(|(payload, kept)| (*payload, submission(kept))).collect()
    }

    /// The server has heard of it, or has lost it again.
    pub fn mark(&self, payload: &Digest, untold: bool) -> Result<(), FileError> {
        let mut inner = self.lock();
        let Some(kept) = inner.kept.get(payload).filter(|kept| kept.untold != untold) else { return Ok(()) };
        let file = KeptFile { untold, ..kept.clone() };
        write_json(&self.data, &place(payload), &file)?;
        inner.kept.insert(*payload, file);
        Ok(())
    }
}

/// The version under which a file of metadata lists another.
fn listed(bytes: &[u8], name: &str) -> Option<u64> {
    let document: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    document["signed"]["meta"][name]["version"].as_u64()
}
