//! `sortie conceal`: end users no longer reach a version; it goes on running.

use crate::{commands::expose, failure::Outcome, invocation::Invocation, names::Place};

/// Keep end users from a version; it goes on running
#[derive(Debug, clap::Args)]
pub struct Conceal {
    /// The version: web@1.4.0
    #[arg(value_name = "VERSION")]
    pub what: String,
    #[command(flatten)]
    pub place: Place,
}

impl Conceal {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        expose::set(invocation, "conceal", &self.what, &self.place, 0).await
    }
}
