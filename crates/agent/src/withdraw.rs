//! Withdrawals that are carried to a target by hand: checked and put where the agent finds them, without any server.

use crate::{
    documents::{Documents, TrustError},
    files::{self, FileError, Place},
    home::Enrolled,
};
use std::path::Path;
use trust::{
    Digest,
    authority::{Denial, Dossier, KeptWithdrawal},
    dsse::Envelope,
    json,
    tuf::repository::PermitFile,
};

/// The folder in which they wait for the agent, below that of the trust documents.
const WAITING: &str = "withdrawals";

/// Why a file does not count here.
#[derive(Debug, thiserror::Error)]
pub enum WithdrawError {
    /// The folder is no target's.
    #[error("no agent has joined in this data folder")]
    NotJoined,
    /// The file is something else.
    #[error("the file holds no withdrawal: it is neither a signed one nor a file of permits that lists some")]
    Nothing,
    /// None of the withdrawals counts on this target.
    #[error("the withdrawal does not count here: {0}")]
    Denied(#[from] Denial),
    /// The trust documents are unusable.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Checks the withdrawals in a file against what the target with this data folder trusts, and puts those that count
/// where its agent finds them, durably. The agent need not run.
pub fn carry(data: &Path, bytes: &[u8]) -> Result<Vec<KeptWithdrawal>, WithdrawError> {
    let home = Place::from(data.to_path_buf());
    let enrolled: Enrolled = files::read_json(&home.join("pinned.json"))?.ok_or(WithdrawError::NotJoined)?;
    let trust = home.join("trust");
    let documents = Documents::open(trust.clone(), enrolled.pinned)?;
    let policy = documents.policy();
    let mut kept = Vec::new();
    let mut refusal = None;
    for envelope in envelopes(bytes) {
        match policy.withdrawal(&envelope, &documents.pinned().environment) {
            Ok(withdrawal) => {
                let waiting = trust.join(WAITING);
                files::make_private_folder(&waiting)?;
                let name = format!("{}.json", Digest::of(&envelope.payload).hex());
                files::replace_json(&waiting.join(name), &envelope)?;
                kept.push(withdrawal);
            }
            Err(denial) => refusal = Some(denial),
        }
    }
    match (kept.is_empty(), refusal) {
        (false, _) => Ok(kept),
        (true, Some(denial)) => Err(denial.into()),
        (true, None) => Err(WithdrawError::Nothing),
    }
}

/// The withdrawals in a file: a signed one, those that the repository lists, or those beside a permit.
fn envelopes(bytes: &[u8]) -> Vec<Envelope> {
    if let Ok(envelope) = json::from_strict::<Envelope>(bytes) {
        return vec![envelope];
    }
    if let Ok(file) = PermitFile::from_bytes(bytes) {
        return file.withdrawals;
    }
    json::from_strict::<Dossier>(bytes).map(|dossier| dossier.withdrawals).unwrap_or_default()
}

/// What was carried here and is not kept yet.
pub(crate) fn waiting(trust: &Place) -> Result<Vec<(Place, Envelope)>, FileError> {
    let folder = trust.join(WAITING);
    let mut found = Vec::new();
    for name in files::names_in(&folder)?.into_iter().filter(|name| name.ends_with(".json")) {
        let place = folder.join(&name);
        found.extend(files::read_json(&place)?.map(|envelope| (place, envelope)));
    }
    Ok(found)
}
