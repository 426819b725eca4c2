//! Whether and how the server may sign what the owners delegated to a repository.

use super::Publishing;
use trust::{
    authority::VerifiedDocuments,
    key::{PublicKey, Signer},
    tuf::{TufRole, repository as metadata},
};

/// How this server signs what the owners delegate to it.
pub(super) struct Signing<'a> {
    /// Its keys that sign timestamp.
    pub timestamp: Vec<&'a dyn Signer>,
    /// Whether the timestamp needs a witness's signature besides.
    pub needs_witness: bool,
}

/// How this server signs what the owners delegated; or why it cannot.
pub(super) fn signing<'a>(verified: &VerifiedDocuments, from: &Publishing<'a>) -> Result<Signing<'a>, String> {
    let delegated = match metadata::delegated(&verified.targets, &verified.charter) {
        Ok(Some(delegated)) => delegated,
        Ok(None) => {
            return Err(
                "the charter in force delegates nothing to the repository; the next `sortie charter apply` brings it"
                    .into(),
            );
        }
        Err(error) => {
            return Err(format!("the charter in force cannot be published: {error}; see `sortie charter renew`"));
        }
    };
    let root = &verified.root;
    let ours = from.key.public();
    let (snapshot, threshold) = root.keys(TufRole::Snapshot);
    let may_not = |role| {
        let version = root.version();
        let known = &verified.charter.server.ledger;
        if !known.is_empty() && !known.contains(&ours) {
            return "owners have not signed for this server's keys, which are new: `sortie charter epoch --reason eviction`"
                .into();
        }
        format!("root {version} does not let this server's key sign for {role}; see `sortie charter root --help`")
    };
    if threshold != 1 || !snapshot.contains(&ours) {
        return Err(may_not(TufRole::Snapshot));
    }
    let witness = root.witness();
    let (timestamp, threshold) = root.keys(TufRole::Timestamp);
    let held = std::iter::once(from.key).chain(from.others);
    let signers: Vec<&dyn Signer> = match witness {
        // With a witness every online key signs: see `RootBuilder::witness`.
        Some(witness) => {
            let wanted = timestamp.iter().filter(|key| **key != witness);
            let find =
                |key: &PublicKey| held.clone().find(|held| held.public() == *key).map(|held| held as &dyn Signer);
            wanted.map(find).collect::<Option<_>>().ok_or_else(|| may_not(TufRole::Timestamp))?
        }
        None if threshold == 1 && timestamp.contains(&ours) => vec![from.key],
        None => return Err(may_not(TufRole::Timestamp)),
    };
    let foreign = delegated.iter().find(|(_, role)| role.threshold != 1 || !role.keyids.contains(&ours.id()));
    match foreign {
        Some((audience, _)) => {
            Err(format!("the owners gave the permits of {audience} to another key than this server's"))
        }
        None => Ok(Signing { timestamp: signers, needs_witness: witness.is_some() }),
    }
}
