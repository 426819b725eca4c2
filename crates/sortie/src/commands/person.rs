//! `sortie person`.

use crate::{failure::{Failure, Outcome}, invocation::Invocation};
use std::path::PathBuf;

/// Add people to the charter, or take their powers away
#[derive(Debug, clap::Args)]
pub struct Person {
    #[command(subcommand)]
    pub act: PersonAct,
}

/// What is to be done.
#[derive(Debug, clap::Subcommand)]
pub enum PersonAct {
    /// Add a person, or keys and roles to one
    Add {
        /// The name
        name: String,
        /// The roles
        #[arg(long = "role", required = true, value_delimiter = ',')]
        roles: Vec<String>,
        /// Public keys, one a line, as in authorized_keys; `-` reads standard input
        #[arg(long, value_name = "FILE")]
        keys: PathBuf,
        /// It is a robot: it never counts as a person
        #[arg(long)]
        robot: bool,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Take a person's powers at once; owners give them back by a new charter
    Suspend {
        /// The name
        name: String,
    },
}

impl Person {
    /// Does it.
    pub async fn run(self, _invocation: &Invocation) -> Outcome {
        Err(Failure::failed("`sortie person` is not built yet"))
    }
}
