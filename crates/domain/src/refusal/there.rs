//! What is there in place of what an order asked for: refusals that only say what is not there leave whoever reads them
//! where they were.

use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt};
use trust::statement::OrderAct;

/// What was to be acted on, and what runs in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunsInstead {
    /// What was named, as people name it.
    pub named: String,
    /// What runs there: numbers, or the beginnings of digests.
    pub runs: BTreeSet<String>,
}

impl fmt::Display for RunsInstead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs: Vec<&str> = self.runs.iter().map(String::as_str).collect();
        let verb = if runs.len() == 1 { "does" } else { "do" };
        write!(f, "{} {verb}", runs.join(", "))
    }
}

/// What was ordered, where that serves on one of two sides already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serves {
    /// What was ordered, as people name it.
    pub named: String,
    /// What was to be done.
    pub act: OrderAct,
    /// The side on which it serves.
    pub side: String,
}

/// What settled before, and may not be gone back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedOver {
    /// Its number, or the beginning of its digest.
    pub build: String,
    /// Whether its permit was withdrawn; what was not is held out.
    pub withdrawn: bool,
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = if self.withdrawn { "was withdrawn since" } else { "is held out" };
        write!(f, "{} {why}", self.build)
    }
}
