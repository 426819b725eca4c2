//! The state on disk, for a quick start. Never needed: one that does not fit in any way is ignored, and the entries are
//! folded anew; verification and restore do not look at it.
//!
//! A file of two lines of JSON: a header, and the state with its frontier. The header names the program's shape of the
//! state, so that a program that folds differently does not believe an older one's result.

use super::{
    LedgerError,
    store::{LedgerStore, StoredTree},
};
use domain::state::State;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::LazyLock,
};
use trust::{Digest, digest::Hasher, log::Frontier};

const FILE: &str = "state.snapshot";
const FORMAT: u32 = 1;

macro_rules! domain_sources {
    ($($file:literal,)*) => {
        &[$(($file, include_bytes!(concat!("../../../domain/src/", $file)).as_slice()),)*]
    };
}

/// The sources that say what the state is and how it is folded, by their names. Any change to them makes older snapshots
/// worthless.
pub(super) const SOURCES: &[(&str, &[u8])] = domain_sources![
    "entry.rs",
    "event.rs",
    "event/build.rs",
    "event/departure.rs",
    "event/deployment.rs",
    "event/documents.rs",
    "event/names.rs",
    "event/root.rs",
    "event/vendor.rs",
    "policy.rs",
    "rules/late.rs",
    "rules/lifetime.rs",
    "rules/packages.rs",
    "rules/placement.rs",
    "rules/rollout.rs",
    "rules/schedule.rs",
    "rules/sides.rs",
    "state.rs",
    "state/application.rs",
    "state/apply.rs",
    "state/apply/charter.rs",
    "state/apply/data.rs",
    "state/apply/deployment.rs",
    "state/apply/ending.rs",
    "state/apply/receipt.rs",
    "state/apply/report.rs",
    "state/apply/target.rs",
    "state/apply/vendor.rs",
    "state/apply/withdrawals.rs",
    "state/audience.rs",
    "state/deployment.rs",
    "state/freeze.rs",
    "state/parts.rs",
    "state/policy.rs",
    "state/serving.rs",
    "state/target.rs",
];

/// What a snapshot was made by: the program's version, and those sources.
static SHAPE: LazyLock<Digest> = LazyLock::new(|| {
    let mut hasher = Hasher::new();
    let sources = SOURCES.iter().map(|(_, source)| *source);
    for source in [env!("CARGO_PKG_VERSION").as_bytes()].into_iter().chain(sources) {
        hasher.update(&(source.len() as u64).to_be_bytes());
        hasher.update(source);
    }
    hasher.finish()
});

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: u32,
    shape: Digest,
    /// The newest entry that is folded in.
    entry: u64,
    /// The second line's digest.
    body: Digest,
}

#[derive(Serialize)]
struct Body<'a> {
    frontier: &'a Frontier,
    state: &'a State,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnedBody {
    frontier: Frontier,
    state: State,
}

/// Writes the snapshot of a state in place of the one before: whole, or not at all.
pub(super) fn write(folder: &Path, state: &State, frontier: &Frontier) -> Result<(), LedgerError> {
    let json = |error: serde_json::Error| LedgerError(format!("the snapshot cannot be written down: {error}"));
    let body = serde_json::to_vec(&Body { frontier, state }).map_err(json)?;
    let header = Header { format: FORMAT, shape: *SHAPE, entry: state.head.entry, body: Digest::of(&body) };
    let header = serde_json::to_vec(&header).map_err(json)?;
    let replace = || {
        let temporary = folder.join("state.snapshot.new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        for part in [&header[..], b"\n", &body, b"\n"] {
            file.write_all(part)?;
        }
        file.sync_all()?;
        fs::rename(&temporary, folder.join(FILE))?;
        File::open(folder)?.sync_all()
    };
    replace().map_err(|error| LedgerError(format!("the snapshot could not be written: {error}")))
}

/// Reads the snapshot, if there is one that this very program made of this very ledger.
pub(super) fn read(folder: &Path, store: &dyn LedgerStore) -> Result<Option<(State, Frontier)>, LedgerError> {
    let bytes = match fs::read(folder.join(FILE)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(LedgerError(format!("the snapshot cannot be read: {error}"))),
    };
    let unusable = |what: &str| LedgerError(format!("the snapshot {what}"));
    let lines = bytes.strip_suffix(b"\n").and_then(|bytes| {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        Some((&bytes[..end], &bytes[end + 1..]))
    });
    let (header, body) = lines.ok_or_else(|| unusable("is cut short"))?;
    let header: Header = serde_json::from_slice(header).map_err(|_| unusable("has no header that can be read"))?;
    if header.format != FORMAT || header.shape != *SHAPE {
        return Err(unusable("was made by another version of the program"));
    }
    if header.body != Digest::of(body) {
        return Err(unusable("is damaged"));
    }
    let OwnedBody { frontier, state } =
        serde_json::from_slice(body).map_err(|error| unusable(&format!("cannot be read: {error}")))?;
    if state.head.entry != header.entry || frontier.size() != header.entry || header.entry > store.head()? {
        return Err(unusable("is not of this ledger"));
    }
    // A ledger that was put back from a backup may have grown differently since.
    if StoredTree(store).root(header.entry)? != frontier.root() {
        return Err(unusable("is of another history than the ledger's"));
    }
    Ok(Some((state, frontier)))
}
