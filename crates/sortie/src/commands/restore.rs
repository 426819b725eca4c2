//! `sortie restore`: puts a backup back where there is no server yet.

use super::backup::of;
use crate::{
    failure::{Failure, Outcome},
    invocation::Invocation,
    output::Answer,
    sealing::Key,
    until,
};
use domain::{refusal::exit, sizes};
use server::backup::{self, Vouched};
use std::{fs::File, io::BufReader, path::PathBuf};

/// Put a backup back where there is no server yet, after checking every byte of it
#[derive(Debug, clap::Args)]
pub struct Restore {
    /// The backup
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The data folder to make (below the home folder by default)
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The age identity that opens the keys, where they were sealed to a recipient
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_file")]
    pub key: Option<PathBuf>,
    /// The file with the passphrase that opens the keys; it is asked for otherwise
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Leave the keys in the backup shut and make new ones: owners then sign an epoch with --reason eviction
    #[arg(long, conflicts_with_all = ["key", "passphrase_file"])]
    pub new_keys: bool,
}

impl Restore {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let data = match &self.data {
            Some(data) => data.clone(),
            None => until::data_home()?.join("server"),
        };
        // What costs nothing to know is said before anything is read.
        backup::place(&data).map_err(of)?;
        let file = File::open(&self.file);
        let file = file.map_err(|error| Failure::misused(format!("{}: {error}", self.file.display())))?;
        let key = Key::chosen(self.key.as_deref(), self.passphrase_file.clone())?;
        let open = |sealed: &[u8]| key.open(sealed);
        let unseal: Option<backup::Seal<'_>> = if self.new_keys { None } else { Some(&open) };
        invocation.aside("checking every object and every entry before anything is said to be put back");
        let done = backup::put_back(BufReader::new(file), &data, unseal, &mut |_| ()).map_err(of)?;
        let mut words = String::new();
        for digest in &done.missing {
            words.push_str(&format!("lacks {digest}, which the ledger or a build needs: push the build again\n"));
        }
        let whole = match done.missing.len() {
            0 => "all as they were".into(),
            missing => format!("as they were; {missing} that belong to them are not in the backup"),
        };
        words.push_str(match done.vouched {
            Vouched::Sealed => "",
            Vouched::Digest => {
                "its keys stayed shut: its digest shows that no disk changed it, and would not show it of somebody who \
                 wanted to\n"
            }
            Vouched::Nothing => {
                "it carries no digest over the whole, as those of this version do: checked were its objects, entries, \
                 requests and texts, and the server's signature\n"
            }
        });
        let words = words
            + &format!(
                "{} holds the server of {}: {} entries and {} objects ({}), {whole}.\n\
             What it accepted after that is lost here; targets that saw it will say so. Then owners sign a new epoch:\n  \
             sortie charter epoch --reason {}",
                data.display(),
                done.facts.taken.strftime("%Y-%m-%d %H:%M:%S UTC"),
                done.facts.entries,
                done.objects,
                sizes::length(done.object_bytes),
                if self.new_keys { "eviction" } else { "restore" }
            );
        let answer = Answer::new(&done, words).next(format!("sortie serve --data {}", data.display()));
        Ok(if done.missing.is_empty() { answer } else { answer.exit(exit::INTEGRITY) })
    }
}
