//! `sortie repository`: what the server publishes for targets, and copies of it.

use crate::{
    failure::{Failure, Outcome},
    invocation::Invocation,
    mirror::{self, Part},
    output::{Answer, ago, count},
};
use api::{
    read::{RepositoryRole, RepositoryStatus},
    routes,
};
use jiff::Timestamp;
use serde_json::json;
use std::path::{Path, PathBuf};
use trust::{names::printable, tuf::repository::role_audience};

/// What the server publishes for targets: permits, withdrawals, and how fresh they are
#[derive(Debug, clap::Args)]
pub struct Repository {
    #[command(subcommand)]
    pub act: RepositoryAct,
}

/// What is to be done.
#[derive(Debug, clap::Subcommand)]
pub enum RepositoryAct {
    /// Say what is published, in which versions, and how fresh it is
    Status {},
    /// Make or renew a copy of it in a folder, for any web server to serve as a mirror. Run it again to keep up
    Export {
        /// The folder; other files in it are left alone
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

impl Repository {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        match self.act {
            RepositoryAct::Status {} => status(invocation).await,
            RepositoryAct::Export { folder } => export(invocation, &folder).await,
        }
    }
}

async fn status(invocation: &Invocation) -> Outcome {
    let connection = invocation.connect().await?;
    let status: RepositoryStatus = connection.client.get(routes::REPOSITORY, &[]).await?;
    let answer = Answer::new(&status, in_words(&status, Timestamp::now()));
    Ok(match &status.problem {
        Some(problem) if problem.contains("charter apply") => answer.next("sortie charter apply"),
        _ => answer,
    })
}

async fn export(invocation: &Invocation, folder: &Path) -> Outcome {
    let connection = invocation.connect().await?;
    let files = mirror::fetch(&connection, Part::All).await?;
    if files.is_empty() {
        return Err(Failure::failed(
            "the charter in force delegates nothing to a repository: there is nothing to copy",
        )
        .next("sortie charter apply"));
    }
    let written = mirror::write(folder, &files)?;
    let (all, bytes) = (files.len() as u64, files.values().map(|bytes| bytes.len() as u64).sum::<u64>());
    let words = format!(
        "{} is a mirror of {}, {written} of them new. Serve the folder as it is; targets take it with \
         `sortie agent --mirror URL`",
        folder.display(),
        count(all, "file")
    );
    Ok(Answer::new(&json!({ "files": all, "bytes": bytes, "written": written, "folder": folder }), words))
}

fn in_words(status: &RepositoryStatus, now: Timestamp) -> String {
    let mut lines = Vec::new();
    if let (Some(signed), Some(expires)) = (status.signed, status.expires) {
        lines.push(format!("timestamp {}, signed {}, good until {expires}", status.version, ago(signed, now)));
        lines.push(format!("published up to entry {} of the ledger", status.entry));
    } else {
        lines.push("nothing is published".into());
    }
    for (name, role) in &status.roles {
        let RepositoryRole { version, size_bytes, files, expires } = role;
        let what = match role_audience(name) {
            Some(audience) => format!("{} for {audience}", count(*files, "file")),
            None => "which versions belong together".into(),
        };
        lines.push(format!("{name} {version}: {what}, {size_bytes} bytes, good until {expires}"));
    }
    if let Some(witness) = &status.witness {
        let seen = witness.seen.map_or("not heard of yet".into(), |seen| format!("heard of {}", ago(seen, now)));
        let waits = witness.waiting_since.map(|since| format!("; what waits for it was made {}", ago(since, now)));
        lines.push(format!("witness {}, {seen}{}", witness.key, waits.unwrap_or_default()));
        lines.extend(witness.refuses.as_ref().map(|why| format!("! the witness does not sign: {}", printable(why))));
    }
    lines.extend(status.problem.as_ref().map(|problem| format!("! {problem}")));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::samples::time;
    use api::witness::WitnessStatus;
    use std::collections::BTreeMap;

    #[test]
    fn the_status_says_how_fresh_the_repository_is_and_what_is_wrong() {
        let role = RepositoryRole { version: 3, size_bytes: 420, files: 1, expires: time("23:00:00") };
        let mut status = RepositoryStatus {
            entry: 17,
            version: 9,
            signed: Some(time("10:00:00")),
            expires: Some(time("22:00:00")),
            roles: BTreeMap::from([("permits-prod".into(), role)]),
            ..RepositoryStatus::default()
        };
        let words = in_words(&status, time("10:05:00"));
        assert!(words.contains("timestamp 9, signed 5 min ago"), "{words}");
        assert!(words.contains("permits-prod 3: 1 file for prod, 420 bytes"), "{words}");
        let witness = WitnessStatus {
            key: "ssh-ed25519 AAAA".into(),
            seen: Some(time("10:04:00")),
            waiting_since: Some(time("10:03:00")),
            refuses: Some("it hides one".into()),
        };
        let words = in_words(&RepositoryStatus { witness: Some(witness), ..status.clone() }, time("10:05:00"));
        assert!(words.contains("heard of 1 min ago; what waits for it was made 2 min ago"), "{words}");
        assert!(words.contains("! the witness does not sign: it hides one"), "{words}");
        status = RepositoryStatus { problem: Some("another key".into()), ..RepositoryStatus::default() };
        assert_eq!(in_words(&status, time("10:05:00")), "nothing is published\n! another key");
    }
}
