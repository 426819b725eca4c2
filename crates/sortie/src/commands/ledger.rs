//! `sortie ledger`.

use crate::{
    failure::{Failure, Outcome},
    invocation::Invocation,
};

/// The append-only record of everything that was accepted
#[derive(Debug, clap::Args)]
pub struct Ledger {
    #[command(subcommand)]
    pub act: LedgerAct,
}

/// What is to be done.
#[derive(Debug, clap::Subcommand)]
pub enum LedgerAct {
    /// Check every entry, every signature and the checkpoint on this machine, believing nobody
    Verify,
}

impl Ledger {
    /// Does it.
    pub async fn run(self, _invocation: &Invocation) -> Outcome {
        let LedgerAct::Verify = self.act;
        Err(Failure::failed("`sortie ledger verify` is not built yet"))
    }
}
