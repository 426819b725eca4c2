//! `sortie permit`: the signed permission, for those who do not have Sortie.

use crate::{
    failure::Outcome,
    invocation::Invocation,
    names::Place,
    object,
    output::{Answer, count},
    proof,
    releasing::{self, Matter},
};
use std::path::PathBuf;
use trust::manifest::MAX_MANIFEST_BYTES;

/// The signed permission behind a release
#[derive(Debug, clap::Args)]
pub struct Permit {
    #[command(subcommand)]
    pub act: PermitAct,
}

/// What is to be done.
#[derive(Debug, clap::Subcommand)]
pub enum PermitAct {
    /// Write a permit as files that Python, DSSE verifiers and OpenSSL can check without Sortie
    Export(Export),
}

/// Which permit, and where to.
#[derive(Debug, clap::Args)]
pub struct Export {
    /// The version: web@1.4.0
    #[arg(value_name = "VERSION")]
    pub what: String,
    #[command(flatten)]
    pub place: Place,
    /// A new or empty folder
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

impl Permit {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let PermitAct::Export(export) = self.act;
        export.run(invocation).await
    }
}

impl Export {
    async fn run(self, invocation: &Invocation) -> Outcome {
        let connection = invocation.connect().await?;
        let matter = Matter::find(&connection, "export the permit of", &self.what, &self.place).await?;
        let (name, audience) = (matter.name(), matter.audience.clone());
        releasing::live_permit(&connection, &matter)?;
        let manifest = object::read(&connection.client, &matter.found.build, MAX_MANIFEST_BYTES).await?;
        let exported = proof::write(&self.out, &connection, &matter, &manifest)?;
        let signatures = exported.iter().map(|statement| statement.signed_by.len() as u64).sum();
        let words = format!(
            "{name}'s permit for {audience} is in {}: {}, {}. README.md there says how to check it without Sortie; \
             whoever does needs the estate from you: {}",
            self.out.display(),
            count(exported.len() as u64, "statement"),
            count(signatures, "signature"),
            connection.estate(),
        );
        let data = serde_json::json!({
            "folder": self.out, "estate": connection.estate(), "build": matter.found.build, "statements": exported,
        });
        Ok(Answer::new(&data, words))
    }
}
