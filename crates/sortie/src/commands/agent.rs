//! `sortie agent`.

use crate::{
    failure::{Failure, Outcome},
    invocation::Invocation,
};
use std::path::PathBuf;

/// Run the agent of a target, or install it as a service
#[derive(Debug, clap::Args)]
pub struct Agent {
    #[command(subcommand)]
    pub act: Option<AgentAct>,
    #[command(flatten)]
    pub joining: Joining,
}

/// What is to be done.
#[derive(Debug, clap::Subcommand)]
pub enum AgentAct {
    /// Write a systemd unit and start it
    Install {
        #[command(flatten)]
        joining: Joining,
    },
}

/// Who joins, and where its data lies.
#[derive(Debug, clap::Args)]
pub struct Joining {
    /// The invitation, or `-` to read it from standard input
    #[arg(long, value_name = "TOKEN")]
    pub join: Option<String>,
    /// The target's name
    #[arg(long)]
    pub name: Option<String>,
    /// The data folder
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

impl Agent {
    /// Does it.
    pub async fn run(self, _invocation: &Invocation) -> Outcome {
        Err(Failure::failed("`sortie agent` is not built yet"))
    }
}
