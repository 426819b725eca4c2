//! A release may be a checkpoint only, with nothing to install (R25).

use super::Candidate;
use crate::refusal::Refusal;
use trust::manifest::Driver;

/// Fails for a build with neither files nor processes, nor members that have any.
pub fn has_something_to_install(candidate: &Candidate<'_>) -> Result<String, Refusal> {
    let facts = &candidate.record.facts;
    match facts.driver {
        Driver::Checkpoint => Err(Refusal::NothingToInstall { app: candidate.app.clone(), build: candidate.build }),
        Driver::Files | Driver::Process if facts.files == 1 => Ok("1 file to install".into()),
        Driver::Package if facts.package.len() == 1 => Ok("1 member to deploy".into()),
        Driver::Package => Ok(format!("{} members to deploy", facts.package.len())),
        Driver::Files | Driver::Process => Ok(format!("{} files to install", facts.files)),
    }
}
