//! `sortie undeploy`.

use crate::{commands::operate, failure::Outcome, follow::Following, invocation::Invocation, names::Place};
use trust::statement::OrderAct;

/// Remove an application from an environment
#[derive(Debug, clap::Args)]
pub struct Undeploy {
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

impl Undeploy {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let act = ("undeploy", OrderAct::Undeploy);
        operate::run(invocation, act, &self.app, &self.place, &self.only, &self.following).await
    }
}
