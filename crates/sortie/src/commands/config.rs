//! `sortie config`.

use crate::names::Place;
use crate::{
    failure::{Failure, Outcome},
    invocation::Invocation,
};

/// The values an environment gives to the keys an application declares
#[derive(Debug, clap::Args)]
pub struct Config {
    #[command(subcommand)]
    pub act: ConfigAct,
}

/// What is to be done.
#[derive(Debug, clap::Subcommand)]
pub enum ConfigAct {
    /// Sign and set values; changes nothing that runs
    Set {
        /// The application
        app: String,
        /// KEY=VALUE; KEY alone asks for the value
        #[arg(required = true, value_name = "KEY[=VALUE]")]
        values: Vec<String>,
        /// Encrypt to the environment's targets; nobody else can read it
        #[arg(long)]
        secret: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Take values away
    Unset {
        /// The application
        app: String,
        /// Which
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Show the values in force; secrets stay hidden
    Get {
        /// The application
        app: String,
        /// One key only
        key: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Compare two environments, or what is set with what the newest build declares
    Diff {
        /// The application
        app: String,
        #[command(flatten)]
        place: Place,
        /// The other environment
        #[arg(long, value_name = "ENVIRONMENT")]
        with: Option<String>,
    },
    /// Encrypt secrets anew, so that targets which joined later can read them too
    Rewrap {
        /// The application
        app: String,
        #[command(flatten)]
        place: Place,
    },
}

impl Config {
    /// Does it.
    pub async fn run(self, _invocation: &Invocation) -> Outcome {
        Err(Failure::failed("`sortie config` is not built yet"))
    }
}
