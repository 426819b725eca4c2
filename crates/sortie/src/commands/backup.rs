//! `sortie backup`: a server in one file, taken while it serves. It runs on the server's machine.

use crate::{
    failure::{Failure, Outcome},
    invocation::Invocation,
    output::Answer,
    sealing::Lock,
    until,
};
use anyhow::Context as _;
use domain::{refusal::exit, sizes};
use server::backup::{self, BackupError};
use std::{
    fs::{self, File},
    io::BufWriter,
    path::{Path, PathBuf},
};

/// How many bytes pass between two words of progress.
const TOLD_EVERY_BYTES: u64 = 256 << 20;

/// Write the server's ledger, depot and sealed keys to one file, on its machine, while it serves
#[derive(Debug, clap::Args)]
pub struct Backup {
    /// The file to write
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The server's data folder (below the home folder by default)
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Seal the keys to this age recipient (may be given again); without one a passphrase is asked for
    #[arg(long, value_name = "AGE1…", conflicts_with = "passphrase_file")]
    pub recipient: Vec<String>,
    /// Seal the keys under the passphrase in this file
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

impl Backup {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let data = until::server_data(self.data.clone())?;
        if self.file.exists() {
            return Err(Failure::misused(format!("{} is there already", self.file.display())));
        }
        let lock = Lock::chosen(&self.recipient, self.passphrase_file.as_deref())?;
        // Whoever sees the file sees a whole one, and nothing of anybody else's is written over.
        let folder = self.file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let unfinished = tempfile::Builder::new().prefix(".sortie-backup-").tempfile_in(folder);
        let unfinished = unfinished.with_context(|| format!("cannot write into {}", folder.display()))?;
        let (mut total, mut told) = (0, 0);
        let mut moved = |bytes: u64| {
            total += bytes;
            if total - told >= TOLD_EVERY_BYTES {
                told = total;
                invocation.aside(&format!("{} of the depot so far", sizes::length(total)));
            }
        };
        let seal = |bytes: &[u8]| lock.seal(bytes);
        let taken = backup::take(&data, BufWriter::new(unfinished.as_file()), &seal, &mut moved).map_err(of)?;
        let named = unfinished.as_file().sync_all().and_then(|()| {
            unfinished.persist_noclobber(&self.file).map_err(|error| error.error)?;
            File::open(folder)?.sync_all()
        });
        named.map_err(|source| of(BackupError::Disk { doing: "naming the backup", source }))?;
        let length = fs::metadata(&self.file).map_or(0, |known| known.len());
        let mut words = format!(
            "{}: {} entries and {} objects ({}), keys sealed; {} long.",
            self.file.display(),
            taken.facts.entries,
            taken.objects,
            sizes::length(taken.object_bytes),
            sizes::length(length)
        );
        for digest in &taken.damaged {
            words.push_str(&format!("\nleft out: {digest} was changed in the depot after it was stored"));
        }
        for digest in &taken.missing {
            words.push_str(&format!("\nnot there: {digest}, which the ledger or a build needs"));
        }
        let answer = Answer::new(&taken, words);
        let restore = format!("sortie restore {} --data FOLDER, where there is no server yet", self.file.display());
        Ok(if taken.damaged.is_empty() && taken.missing.is_empty() {
            answer.next(restore)
        } else {
            answer.exit(exit::INTEGRITY)
        })
    }
}

/// A failure of a backup as people see it.
pub fn of(error: BackupError) -> Failure {
    match &error {
        error if error.is_integrity() => Failure::integrity(error.to_string()),
        BackupError::NoServer(_)
        | BackupError::NotEmpty(_)
        | BackupError::NotAPlace(..)
        | BackupError::NotOne(_)
        | BackupError::Seal(_) => Failure::misused(error.to_string()),
        _ => Failure::failed(error.to_string()),
    }
}
