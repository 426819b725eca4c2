//! What an agent polls and sends.

use domain::plan::Assignment;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use trust::{AppName, Digest, TargetName, authority::Dossier, dsse::Envelope, statement::Phase};
use utoipa::ToSchema;

/// The answer to a poll.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Orders {
    /// The newest generation of any assignment for this target; to be sent with the next poll.
    pub generation: u64,
    /// The charter's version; an agent with an older one fetches the estate.
    pub charter_version: u64,
    /// How many suspensions are in force; an agent that knows of another number fetches the estate.
    #[serde(default)]
    pub suspensions: u64,
    /// The assignments not reported on yet.
    #[schema(value_type = Vec<Object>)]
    pub assignments: Vec<Assignment>,
    /// Things to find out: logs, a scan.
    pub errands: Vec<Errand>,
    /// Every signed withdrawal for the target's environment: it keeps them for ever, whatever it is assigned.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    pub withdrawals: Vec<Envelope>,
    /// What is said of freezes in the target's environment: declared, lifted, excepted from. It keeps them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub freezes: Vec<Envelope>,
    /// The ledger's newest signed checkpoint.
    pub checkpoint: String,
    /// Which builds have settled here, by application.
    #[schema(value_type = Vec<(String, String)>)]
    pub settled: Vec<(AppName, Digest)>,
}

/// What a target remembers that the server's ledger may have lost: sent when the ledger does not extend what was seen
/// here, when an epoch ends, and when a withdrawal that is kept here is missing there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Memory {
    /// The epoch of the checkpoint.
    pub epoch: u64,
    /// The newest checkpoint seen in it, as the note that the server signed; empty where there is none to tell.
    pub checkpoint: String,
    /// Withdrawals that are kept here and that the server did not show.
    #[schema(value_type = Vec<Object>)]
    pub withdrawals: Vec<Envelope>,
    /// What is active, by application.
    #[schema(value_type = BTreeMap<String, String>)]
    pub active: BTreeMap<AppName, Digest>,
    /// The signed numbers of what is active.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub numbers: Vec<Envelope>,
    /// Freezes that are on or to come, and that the server did not show.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub freezes: Vec<Envelope>,
}

/// Something a person wants to know of a target now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Errand {
    /// Its id.
    pub id: String,
    /// What to find out.
    pub want: Want,
}

/// What to find out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Want {
    /// The last lines of an application's logs, and those that follow.
    Logs {
        /// Which application.
        #[schema(value_type = String)]
        app: AppName,
        /// Which process; all when absent.
        process: Option<String>,
        /// How many lines of each.
        lines: u32,
        /// Whether to go on with new ones.
        follow: bool,
    },
    /// Re-digest everything active now, and report it as an inventory.
    Scan,
}

/// How far a target is. Told to whoever watches, and forgotten once it does something else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProgressReport {
    /// Which deployment.
    pub deployment: u64,
    /// Which target.
    #[schema(value_type = String)]
    pub target: TargetName,
    /// Which phase.
    #[schema(value_type = String)]
    pub phase: Phase,
    /// Whether it is over.
    pub done: bool,
    /// What there is to say: bytes fetched, a health check's answer, why it cannot go on.
    pub note: String,
    /// When, by the target's clock.
    #[schema(value_type = String)]
    pub time: Timestamp,
    /// Whether it cannot go on, for the reason in the note, as on a full disk: it tries again until it can.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stuck: bool,
}

/// The statements behind one assignment.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AssignmentDossier {
    /// The signed statements.
    #[schema(value_type = Object)]
    pub dossier: Dossier,
}
