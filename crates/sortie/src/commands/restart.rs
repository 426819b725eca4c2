//! `sortie restart`.

use crate::{commands::operate, failure::Outcome, follow::Following, invocation::Invocation, names::Place};
use trust::statement::OrderAct;

/// Stop and start what runs
#[derive(Debug, clap::Args)]
pub struct Restart {
    /// The application; web@1.4.0 where several versions run and one is meant
    #[arg(value_name = "APP")]
    pub app: String,
    #[command(flatten)]
    pub place: Place,
    /// These targets only
    #[arg(long, value_name = "TARGET", value_delimiter = ',')]
    pub only: Vec<String>,
    #[command(flatten)]
    pub following: Following,
}

impl Restart {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let act = ("restart", OrderAct::Restart);
        operate::run(invocation, act, &self.app, &self.place, &self.only, &self.following).await
    }
}
