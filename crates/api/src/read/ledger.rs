//! The ledger: its entries, its proofs, and what of it is known to be lost.

use domain::entry::Entry;
use serde::{Deserialize, Serialize};
use trust::{AppName, Digest, TargetName, Version};
use utoipa::ToSchema;

/// An entry with its free texts.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct HistoryEntry {
    /// The entry, without its envelope.
    #[schema(value_type = Object)]
    pub entry: Entry,
    /// What happened, a line an event.
    pub lines: Vec<String>,
}

/// A proof that one log extends another.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Consistency {
    /// The hashes, as RFC 9162 orders them.
    #[schema(value_type = Vec<String>)]
    pub proof: Vec<Digest>,
}

/// What is known to be lost: targets have seen more of this ledger than it has.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Lost {
    /// The epoch now.
    pub epoch: u64,
    /// How many entries the ledger has.
    pub entries: u64,
    /// What each target saw that is not in this ledger.
    pub seen: Vec<LostSight>,
    /// What targets run and this ledger knows otherwise.
    pub runs: Vec<LostRun>,
    /// Numbers that were given, and that this ledger has lost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub numbers: Vec<LostNumber>,
    /// Withdrawals that targets keep and that this ledger cannot take again: `web@1.4.0 from prod`.
    pub withdrawals: Vec<String>,
    /// Machines that speak to the server and that this ledger does not know: they joined in what is lost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<UnknownMachine>,
}

/// A machine that this ledger does not know. What it is called is its own word, which nobody can check.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct UnknownMachine {
    /// As which target it speaks.
    #[schema(value_type = String)]
    pub target: TargetName,
    /// Whether another machine has that name here, or had it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_taken: bool,
}

/// An entry that a target saw and that this ledger does not have.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LostSight {
    /// The target.
    #[schema(value_type = String)]
    pub target: TargetName,
    /// In which epoch.
    pub epoch: u64,
    /// How many entries the ledger had then, by its own signature.
    pub entries: u64,
    /// Whether owners have signed a new epoch since.
    pub is_over: bool,
}

/// A number that this ledger has lost: it is given to no other build.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct LostNumber {
    /// The application.
    #[schema(value_type = String)]
    pub app: AppName,
    /// The number.
    #[schema(value_type = String)]
    pub version: Version,
    /// The build that has it.
    #[schema(value_type = String)]
    pub build: Digest,
}

/// An application on a target that the ledger has no record of.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LostRun {
    /// The target.
    #[schema(value_type = String)]
    pub target: TargetName,
    /// The application.
    #[schema(value_type = String)]
    pub app: AppName,
    /// What is active there.
    #[schema(value_type = String)]
    pub active: Digest,
    /// What the ledger says is.
    #[schema(value_type = Option<String>)]
    pub recorded: Option<Digest>,
    /// Whether the ledger knows the build at all.
    pub is_known: bool,
}

/// What travels over [`crate::routes::EVENTS`].
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Happening {
    /// An entry was accepted.
    Entry(Box<HistoryEntry>),
    /// A target told its progress.
    Progress(crate::agent::ProgressReport),
}
