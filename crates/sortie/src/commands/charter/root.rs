//! `sortie charter root` and `sortie charter recovery`: who the owners are, and who may name others.

use super::{amendment, confirmed, keeps_withdrawals, leaving, read};
use crate::{
    amendment::Amendment,
    connection::{self, Connection},
    context::{Context, write_whole},
    estate::{self, NextRoot, OwnersChange},
    failure::{Failure, OrMisused, Outcome},
    invocation::Invocation,
    leaving::Leaving,
    output::Answer,
    signer::{self, Identity},
};
use api::problem::SIGNER_UNKNOWN;
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::json;
use std::{
    fs,
    path::{Path, PathBuf},
};
use trust::{
    PersonName,
    charter::Charter as Policy,
    key::{PublicKey, Signer},
    statement::AdministrationAct,
    tuf::TufRole,
};

/// How the owners change.
#[derive(Debug, clap::Args)]
pub struct Root {
    /// An owner to add, or one who gets another key; with --keys
    #[arg(long, value_name = "NAME", requires = "keys")]
    pub owner: Option<String>,
    /// The new owner's public keys, one a line
    #[arg(long, value_name = "FILE", requires = "owner")]
    pub keys: Option<PathBuf>,
    /// An owner to take out
    #[arg(long, value_name = "NAME")]
    pub without: Vec<String>,
    /// How many distinct owners must sign from then on
    #[arg(long, value_name = "N")]
    pub threshold: Option<u32>,
    /// A public key, as a file, that may name new owners and nothing else: for when the owners' are lost. It takes the
    /// place of those there are
    #[arg(long, value_name = "FILE")]
    pub recovery: Option<PathBuf>,
    /// The public key of a witness, as a file or as `sortie witness` prints it: without its signature nothing is fresh any
    /// more. It takes the place of the one there is
    #[arg(long, value_name = "KEY", conflicts_with = "without_witness")]
    pub witness: Option<String>,
    /// No witness any more: the server's signature suffices
    #[arg(long)]
    pub without_witness: bool,
    /// Another private key that signs too: the recovery key, where an owner's is lost
    #[arg(long = "key", value_name = "FILE")]
    pub more_keys: Vec<PathBuf>,
    /// The charter to sign along with it; the one in force where left out
    #[arg(long, value_name = "FILE")]
    pub charter: Option<PathBuf>,
    /// Keep the permits and withdrawals of an owner who goes, or whose key does, by what `charter plan` calls upheld
    #[arg(long)]
    pub uphold: bool,
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

impl Root {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let change = self.change()?;
        let more_keys = self.more_keys.iter().map(|path| signer::from_file(path)).collect::<Result<Vec<_>, _>>()?;
        let connection = connect(invocation, &self.more_keys).await?;
        check_witness(&connection, &change)?;
        let own = connection::identities(&invocation.global, &connection.context)?;
        let charter = self.charter_text(invocation, &connection, &change).await?;
        let others = self.with.iter().map(|path| read_pair(path)).collect::<Result<Vec<_>, _>>()?;
        let signing: Vec<&Identity> = match more_keys.is_empty() {
            true => vec![&connection.identity],
            false => own.iter().take(1).chain(&more_keys).collect(),
        };
        let version = connection.verified.root.version() + 1;
        invocation.aside(&in_words(&change, connection.verified.root.keys(TufRole::Root).1).join("\n"));
        let labels = signing.iter().map(|identity| identity.label.as_str()).collect::<Vec<_>>().join(" and ");
        confirmed(invocation, self.yes, &format!("sign root {version}, and the charter with it, with {labels}?"))?;
        let signers: Vec<&dyn Signer> = signing.iter().map(|identity| identity.signer.as_ref()).collect();
        let next = estate::sign_root(&connection, &change, charter.as_bytes(), &others, &signers)?;
        if let Some(path) = &self.sign_only {
            write_pair(path, &next)?;
            let words = format!("signed root {version} into {}; nothing was applied", path.display());
            let hint = format!("another owner: the same command with --with {}", path.display());
            return Ok(Answer::new(&json!({ "root": version, "signatures": path }), words).next(hint));
        }
        let accepted = estate::apply_root(&connection, &next).await?;
        let words = format!("root {version} is in force, and with it the charter, signed anew.");
        Ok(match change.witness {
            Some(Some(_)) => {
                let then = "From now on nothing new is fresh without the witness: keep it running";
                Answer::new(&accepted, format!("{words} {then}.")).next("sortie repository status")
            }
            _ => Answer::new(&accepted, words).next("sortie charter show"),
        })
    }
}

impl Root {
    /// What was typed.
    fn change(&self) -> Result<OwnersChange, Failure> {
        let mut change = OwnersChange { threshold: self.threshold, ..OwnersChange::default() };
        if let (Some(owner), Some(keys)) = (&self.owner, &self.keys) {
            let owner = PersonName::new(owner).or_misused()?;
            change.added = super::super::person::read_keys(keys)?.into_iter().map(|key| (owner.clone(), key)).collect();
        }
        change.removed =
            self.without.iter().map(|name| PersonName::new(name)).collect::<Result<_, _>>().or_misused()?;
        if let Some(file) = &self.recovery {
            let keys = super::super::person::read_keys(file)?;
            change.recovery = keys.first().copied();
        }
        change.witness = match &self.witness {
            Some(key) => Some(Some(witness_key(key)?)),
            None => self.without_witness.then_some(None),
        };
        let says_nothing = change.added.is_empty() && change.removed.is_empty() && change.witness.is_none();
        if says_nothing && change.threshold.is_none() && change.recovery.is_none() {
            return Err(Failure::misused(
                "say who comes (--owner NAME --keys FILE), who goes (--without NAME), how many must sign \
                 (--threshold N), which key is for recovery (--recovery FILE), or which is the witness's (--witness KEY)",
            ));
        }
        Ok(change)
    }

    /// The charter that is signed along with the root, once it was said what goes with the owners who go.
    async fn charter_text(
        &self,
        invocation: &Invocation,
        connection: &Connection,
        change: &OwnersChange,
    ) -> Result<String, Failure> {
        let text = match &self.charter {
            Some(file) => {
                let (policy, text) = read(file)?;
                // What goes with keys and roles is said below, for the owners that there are then.
                let amended = Amendment { leaving: Leaving::default(), ..amendment(connection, &policy, &text).await? };
                if !amended.lines.is_empty() {
                    invocation.aside(&amended.in_words());
                }
                text
            }
            None => String::from_utf8_lossy(&connection.documents.charter).into_owned(),
        };
        let owners = change.owners(&connection.verified.owners);
        let policy = Policy::from_bytes(text.as_bytes()).or_misused()?;
        let leaves = leaving(connection, &policy, &owners).await?;
        if leaves.is_empty() {
            return Ok(text);
        }
        invocation.aside(&leaves.in_words());
        if !self.uphold {
            keeps_withdrawals(&leaves, "sortie charter root … --uphold".into())?;
            return Ok(text);
        }
        let text = leaves.uphold.added_to(&text)?;
        if let Some(file) = &self.charter {
            write_whole(file, text.as_bytes())?;
        }
        Ok(text)
    }
}

/// What becomes of the root of trust, a line each; `threshold` owners must sign now.
fn in_words(change: &OwnersChange, threshold: u32) -> Vec<String> {
    let OwnersChange { added, removed, threshold: wanted, recovery, online: _, witness } = change;
    let mut lines: Vec<String> =
        added.iter().map(|(name, key)| format!("+ owner {name}, by {}", key.to_openssh())).collect();
    lines.extend(removed.iter().map(|name| format!("- owner {name}")));
    lines.extend(wanted.map(|wanted| format!("{threshold} → {wanted} owners must sign")));
    lines.extend(recovery.iter().map(|key| format!("the recovery key is {}", key.to_openssh())));
    lines.extend(witness.iter().map(|witness| match witness {
        Some(key) => format!("the witness is {}", key.to_openssh()),
        None => "there is no witness any more".into(),
    }));
    lines
}

/// A witness's public key: a line, or a file with one.
fn witness_key(text: &str) -> Result<PublicKey, Failure> {
    match PublicKey::from_openssh(text) {
        Ok(key) => Ok(key),
        Err(_) if Path::new(text).is_file() => {
            let keys = super::super::person::read_keys(Path::new(text))?;
            keys.first().copied().ok_or_else(|| Failure::misused(format!("{text} has no key in it")))
        }
        Err(error) => Err(Failure::misused(format!(
            "'{}' is neither a file nor a line of an OpenSSH public key: {error}",
            trust::names::printable(text)
        ))
        .next("sortie witness")),
    }
}

/// A witness is somebody else: neither the server nor an owner.
fn check_witness(connection: &Connection, change: &OwnersChange) -> Result<(), Failure> {
    let root = &connection.verified.root;
    let misused = |message: &str| Err(Failure::misused(message).next("sortie witness"));
    match change.witness {
        None => Ok(()),
        Some(None) if root.witness().is_none() => {
            misused("root names no witness: the server's signature suffices already")
        }
        Some(None) => Ok(()),
        Some(Some(key)) if root.witness() == Some(key) => misused("that is the witness already"),
        Some(Some(key)) if root.keys(TufRole::Snapshot).0.contains(&key) => {
            misused("that is the server's own key: a witness stands on another machine")
        }
        Some(Some(key)) if root.root_holders().iter().any(|(_, holder)| *holder == key) => {
            misused("that is an owner's key: a witness has a key of its own, which its machine keeps")
        }
        Some(Some(_)) => Ok(()),
    }
}

/// Writes what other owners add their signatures to.
pub fn write_pair(path: &Path, next: &NextRoot) -> Result<(), Failure> {
    let pair = json!({ "root": base64(&next.root), "targets": base64(&next.draft.targets) });
    write_whole(path, pair.to_string().as_bytes())
}

fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// A file that `charter root --sign-only` wrote: the root's bytes and the targets'.
pub fn read_pair(path: &Path) -> Result<(Vec<u8>, Vec<u8>), Failure> {
    let wrong = || Failure::misused(format!("{} is no file of signatures for a root", path.display()));
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::misused(format!("cannot read {}: {error}", path.display())))?;
    let pair: serde_json::Value = serde_json::from_str(&text).map_err(|_| wrong())?;
    let part = |name: &str| pair[name].as_str().and_then(|text| BASE64_STANDARD.decode(text).ok()).ok_or_else(wrong);
    Ok((part("root")?, part("targets")?))
}

/// Connects with the usual key; where the server does not know it, with the first of the others that it knows.
async fn connect(invocation: &Invocation, others: &[PathBuf]) -> Result<Connection, Failure> {
    let mut refused = match invocation.connect().await {
        Err(failure) if failure.code() == SIGNER_UNKNOWN => failure,
        connection => return connection,
    };
    for path in others {
        let mut global = invocation.global.clone();
        global.identity = Some(path.clone());
        let context = Context::choose(global.server.as_deref(), global.context.as_deref())?;
        match connection::connect_to(&global, context).await {
            Err(failure) if failure.code() == SIGNER_UNKNOWN => refused = failure,
            connection => return connection,
        }
    }
    Err(refused)
}

/// Shows the recovery keys of the root, and records that they were put away.
pub async fn recovery(invocation: &Invocation, put_away: bool) -> Outcome {
    let connection = invocation.connect().await?;
    let owners = &connection.verified.owners;
    let holders = connection.verified.root.root_holders();
    let keys: Vec<_> = holders.into_iter().filter(|(_, key)| !owners.iter().any(|(_, owner)| owner == key)).collect();
    if keys.is_empty() {
        let words = "there is no recovery key: nobody but the owners can name owners";
        return Ok(Answer::new(&json!({ "recovery": [] }), words).next(
            "ssh-keygen -t ed25519 -f sortie-recovery.key; sortie charter root --recovery sortie-recovery.key.pub",
        ));
    }
    let lines: Vec<String> = keys.iter().map(|(name, key)| format!("{name}  {}", key.to_openssh())).collect();
    let data = json!({ "recovery": lines, "put_away": put_away });
    if !put_away {
        let words = format!("{}\nit can name new owners, and nothing else", lines.join("\n"));
        return Ok(Answer::new(&data, words).next("sortie charter recovery --put-away"));
    }
    for (_, key) in &keys {
        connection.administer(AdministrationAct::PutRecoveryKeyAway { key: key.id() }).await?;
    }
    let words = "recorded: the recovery key is put away, and nobody is reminded any more. If the owners' keys are lost: \
                 sortie charter root --owner NAME --keys NAME.pub --key sortie-recovery.key";
    Ok(Answer::new(&data, words))
}
