//! The agent: pulls, verifies, acts, reports. It runs on every target, and asks nobody's word for what it can check.
//!
//! - [`start`]: from options to a running agent. [`join`]: how a machine becomes a target.
//! - [`poll`]: hears of assignments and errands. [`supply`]: everything it gets from the server and sends there.
//! - [`bundle`]: what stands in for the server over an air gap. [`inbox`]: bundles that wait, and what came of each.
//! - [`step`]: what comes next, pure. [`run`]: does it. [`authorise`], [`needs`]: the checks before anything is touched.
//! - [`documents`]: the documents of trust, which move forward only. [`freezes`]: when nothing is activated. [`follow`]: the ledger's checkpoints, likewise.
//! - [`repository`]: a TUF repository, refreshed and kept. [`freshness`]: how fresh what is known is, and withdrawals from
//!   mirrors. [`withdraw`]: those that are carried here.
//! - [`journal`]: what survives being killed. [`home`], [`files`]: where it stands on disk. [`local`]: what the
//!   machine's owner decides. [`clock`]: what time it is.
//! - [`drivers`]: the one way to the machine, by a proof. [`runtime`]: what runs there.
//! - [`secrets`]: from a config document to values. [`escapes`]: what is there and should not be.
//! - [`watch`]: whether what runs stays well. [`lifetime`]: how a target ends that lives for a time only.

pub mod authorise;
pub mod bundle;
pub mod clock;
pub mod documents;
pub mod drivers;
pub mod escapes;
pub mod files;
pub mod follow;
pub mod freezes;
pub mod freshness;
pub mod home;
pub mod inbox;
pub mod join;
pub mod journal;
pub mod lifetime;
pub mod local;
pub mod needs;
pub mod poll;
pub mod repository;
pub mod reserve;
pub mod run;
pub mod runtime;
pub mod secrets;
pub mod start;
pub mod step;
pub mod supply;
pub mod watch;
pub mod withdraw;

#[cfg(test)]
mod tests;
