//! `sortie charter renew`: the same charter, signed for another year; and the same owners, for another five.

use super::{
    confirmed,
    root::{read_pair, write_pair},
};
use crate::{
    context::write_whole,
    estate::{self, OwnersChange},
    failure::{Failure, Outcome},
    invocation::Invocation,
    output::Answer,
};
use serde_json::json;
use std::{fs, path::PathBuf};

/// What is signed anew.
#[derive(Debug, clap::Args)]
pub struct Renew {
    /// The root of trust too
    #[arg(long)]
    pub root: bool,
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

impl Renew {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let connection = invocation.connect().await?;
        let charter = connection.documents.charter.clone();
        let signers = [connection.identity.signer.as_ref()];
        let version = connection.verified.targets.version() + 1;
        let what = match self.root {
            true => format!("root {} and charter {version}", connection.verified.root.version() + 1),
            false => format!("charter {version}"),
        };
        let question = format!("sign {what}, which say the same as before, with {}?", connection.identity.label);
        confirmed(invocation, self.yes, &question)?;
        if self.root {
            let others = self.with.iter().map(|path| read_pair(path)).collect::<Result<Vec<_>, _>>()?;
            let next = estate::sign_root(&connection, &OwnersChange::default(), &charter, &others, &signers)?;
            if let Some(path) = &self.sign_only {
                write_pair(path, &next)?;
                return Ok(signed(path, "charter renew --root"));
            }
            let accepted = estate::apply_root(&connection, &next).await?;
            let root = connection.verified.root.version() + 1;
            let words = format!("root {root} and charter {version} say the same as before, and are good for longer.");
            return Ok(Answer::new(&accepted, words).next("sortie charter show"));
        }
        let read = |path: &PathBuf| {
            fs::read(path).map_err(|error| Failure::misused(format!("cannot read {}: {error}", path.display())))
        };
        let others = self.with.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let draft = estate::sign_charter(&charter, version, &connection.verified.root, &others, &signers)?;
        if let Some(path) = &self.sign_only {
            write_whole(path, &draft.targets)?;
            return Ok(signed(path, "charter renew"));
        }
        let accepted = estate::apply(&connection, &draft).await?;
        let words = format!("charter {version} says the same as before, and is good for another year.");
        Ok(Answer::new(&accepted, words).next("sortie charter show"))
    }
}

fn signed(path: &std::path::Path, command: &str) -> Answer {
    let words = format!("signed into {}; nothing was applied", path.display());
    let next = format!("another owner: sortie {command} --with {}", path.display());
    Answer::new(&json!({ "signatures": path }), words).next(next)
}
