//! What is wrong with what is published, and with what targets take from there.

use super::Fault;
use crate::cast::ledger_key;
use std::{fs, io, path::Path};
use trust::{json::strict_value, tuf::repository::sign_online};

/// A file of the repository as a target with a fault takes it: where nobody looks who signed it, it is as if the server had.
pub fn taken_from(fault: Option<Fault>, path: &str, bytes: Vec<u8>) -> Vec<u8> {
    if fault != Some(Fault::SignersUnchecked) || path != "metadata/timestamp.json" {
        return bytes;
    }
    let signed = strict_value(&bytes).ok().and_then(|document| sign_online(&document["signed"], &ledger_key()).ok());
    signed.unwrap_or(bytes)
}

/// The counters of versions as a server with a fault finds them when it starts.
pub fn counts_from(fault: Option<Fault>, folder: &Path) -> io::Result<()> {
    let counters = folder.join("versions.json");
    match fault == Some(Fault::CountersForgotten) && counters.exists() {
        true => fs::write(counters, br#"{"floor":0,"roles":{}}"#),
        false => Ok(()),
    }
}
