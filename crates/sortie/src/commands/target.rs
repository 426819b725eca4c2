//! `sortie target`.

use crate::{failure::{Failure, Outcome}, invocation::Invocation};
use crate::names::Place;

/// The machines: invite, list, label, cordon, retire
#[derive(Debug, clap::Args)]
pub struct Target {
    #[command(subcommand)]
    pub act: TargetAct,
}

/// What is to be done.
#[derive(Debug, clap::Subcommand)]
pub enum TargetAct {
    /// Make an invitation for machines to join an environment
    Invite {
        #[command(flatten)]
        place: Place,
        /// A label the targets get
        #[arg(long = "label", value_name = "KEY=VALUE")]
        labels: Vec<String>,
        /// The only name that may be taken
        #[arg(long)]
        name: Option<String>,
        /// The only applications that the targets accept
        #[arg(long = "app", value_name = "APP")]
        apps: Vec<String>,
        /// How many machines may join
        #[arg(long, default_value_t = 1)]
        uses: u32,
        /// For how long
        #[arg(long, default_value = "1h", value_name = "DURATION")]
        expires: String,
    },
    /// List the targets
    List {
        /// An environment only (--to, --in and --from are taken alike)
        #[arg(long = "in", aliases = ["to", "from"], value_name = "ENVIRONMENT")]
        audience: Option<String>,
    },
    /// Set labels; an empty value removes one
    Label {
        /// The target
        target: String,
        /// The labels
        #[arg(required = true, value_name = "KEY=VALUE")]
        labels: Vec<String>,
    },
    /// Keep new deployments away
    Cordon {
        /// The target
        target: String,
    },
    /// Let deployments come again
    Uncordon {
        /// The target
        target: String,
    },
    /// Take a target out for good; its name is never used again
    Retire {
        /// The target
        target: String,
    },
}

impl Target {
    /// Does it.
    pub async fn run(self, _invocation: &Invocation) -> Outcome {
        Err(Failure::failed("`sortie target` is not built yet"))
    }
}
