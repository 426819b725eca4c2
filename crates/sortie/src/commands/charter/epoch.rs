//! `sortie charter epoch` and `sortie charter restore`: what owners do after the server was put back from an older copy, or
//! its keys were stolen.

use super::{Apply, bring, confirmed, root};
use crate::{
    connection::{self, Connection},
    context::Context,
    estate::{self, Draft, OwnersChange},
    failure::{Failure, OrIntegrity, OrMisused, Outcome},
    invocation::Invocation,
    output::Answer,
};
use api::{
    read::{Hello, Lost},
    routes,
};
use std::path::PathBuf;
use toml_edit::{Array, DocumentMut, value};
use trust::key::PublicKey;

/// Why an epoch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Reason {
    /// The server's data folder was put back from an older copy
    Restore,
    /// Somebody else held the server or its keys: the new epoch has the keys of the server that answers now
    Eviction,
}

/// How a new epoch is signed.
#[derive(Debug, clap::Args)]
pub struct Epoch {
    /// Why
    #[arg(long)]
    pub reason: Reason,
    /// Sign, and write the signatures to this file instead of applying
    #[arg(long, value_name = "FILE")]
    pub sign_only: Option<PathBuf>,
    /// A file with other owners' signatures
    #[arg(long, value_name = "FILE")]
    pub with: Vec<PathBuf>,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

impl Epoch {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let connection = invocation.connect().await?;
        let text = String::from_utf8_lossy(&connection.documents.charter).into_owned();
        let mut document: DocumentMut = text.parse().or_misused()?;
        let epoch = connection.policy.charter.epoch + 1;
        document["epoch"] = value(i64::try_from(epoch).or_misused()?);
        if !text.contains("epoch") {
            // A key at the top must stand before every table.
            document = format!("epoch = {epoch}\n{text}").parse().or_misused()?;
        }
        let then = "targets follow at their next poll: generations, checkpoints and online versions are counted anew; \
                    withdrawals, floors and the charter's versions are kept. What was lost: sortie ledger lost";
        if self.reason == Reason::Restore {
            warn_where_nothing_is_lost(invocation, &connection).await?;
            let file = PathBuf::from("charter.toml");
            let how = Apply { file, claim: None, sign_only: self.sign_only, with: self.with, yes: self.yes };
            let answer = bring(invocation, &connection, &document.to_string(), &how).await?;
            invocation.aside(&format!("epoch {epoch}: {then}"));
            return Ok(answer);
        }
        let hello: Hello = connection.client.hello().await?;
        let online = PublicKey::from_openssh(&hello.ledger_key).or_integrity("the server's ledger key")?;
        if connection.policy.charter.server.ledger.contains(&online) {
            let message =
                "the server that answers has a ledger key that was in force: whoever held the server holds it too";
            return Err(Failure::misused(message).next("sortie serve --new-keys, on a clean machine; then this again"));
        }
        let question = format!("begin epoch {epoch}, for good, with the keys of {} and no others?", hello.pin);
        confirmed(invocation, self.yes, &question)?;
        document["server"]["keys"] = value(Array::from_iter([hello.pin.to_string()]));
        document["server"]["ledger"] = value(Array::from_iter([hello.ledger_key.trim().to_string()]));
        let change = OwnersChange { online: vec![online], ..OwnersChange::default() };
        let others = self.with.iter().map(|path| root::read_pair(path)).collect::<Result<Vec<_>, _>>()?;
        let signers = [connection.identity.signer.as_ref()];
        let next = estate::sign_root(&connection, &change, document.to_string().as_bytes(), &others, &signers)?;
        if let Some(path) = &self.sign_only {
            root::write_pair(path, &next)?;
            let words = format!("signed epoch {epoch} into {}; nothing was applied", path.display());
            let hint = format!("another owner: sortie charter epoch --reason eviction --with {}", path.display());
            return Ok(Answer::new(&serde_json::json!({ "epoch": epoch, "signatures": path }), words).next(hint));
        }
        let accepted = estate::apply_root(&connection, &next).await?;
        let words = format!("epoch {epoch} is in force, with the keys of this server and no others; {then}");
        Ok(Answer::new(&accepted, words).next("sortie status"))
    }
}

/// An epoch cannot be taken back, and after a restore it is right only once it is known what the server lost.
async fn warn_where_nothing_is_lost(invocation: &Invocation, connection: &Connection) -> Result<(), Failure> {
    let lost: Lost = connection.client.get(routes::LOST, &[]).await?;
    if lost.seen.iter().all(|sight| sight.is_over) {
        invocation.aside(
            "! nothing is known to be lost: no target has shown this server more of its ledger than it has. Targets do so at \
             their next poll; look at `sortie ledger lost` first. An epoch is for good",
        );
    }
    Ok(())
}

/// Brings the newest charter that this machine has verified to a server that lost it.
pub async fn restore(invocation: &Invocation) -> Outcome {
    let global = &invocation.global;
    let context = Context::choose(global.server.as_deref(), global.context.as_deref())?;
    let known = context.documents().ok_or_else(|| Failure::misused("this machine has verified no charter yet"))?;
    let estate = context.settings.estate.ok_or_else(|| Failure::misused("this machine pins no estate"))?;
    let verified = connection::verify(&estate, &known, None)?;
    let connection: Connection = connection::connect_to_older(global, context).await?;
    let (held, shown) = (verified.targets.version(), connection.verified.targets.version());
    if held <= shown {
        let words = format!("the server has charter {shown}, and this machine has none that is newer");
        return Ok(Answer::new(&serde_json::json!({ "held": held, "shown": shown }), words));
    }
    let roots = known.roots.get(connection.documents.roots.len()..).unwrap_or_default().to_vec();
    let draft = Draft { charter: known.charter.clone(), targets: known.targets.clone() };
    let accepted = estate::bring_back(&connection, &known, &roots, &draft).await?;
    let words = format!("charter {held} is in force again; the server had {shown}.");
    Ok(Answer::new(&accepted, words).next("sortie charter epoch --reason restore"))
}
