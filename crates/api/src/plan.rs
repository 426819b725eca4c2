//! What an order would do.

use domain::planned::Planned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use trust::{Digest, TargetName, statement::Order};
use utoipa::ToSchema;

/// An order that nobody has given.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanAsked {
    /// The build it would bring or act on.
    #[schema(value_type = String)]
    pub subject: Digest,
    /// What it would say.
    #[schema(value_type = Object)]
    pub order: Order,
}

/// What it would do now, given by whoever asks. Where it would be refused, the answer is that refusal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlanView {
    /// By what it is ordered: `plan` of an order that says so lets it do this and nothing else.
    #[schema(value_type = String)]
    pub id: Digest,
    /// What it would do.
    #[schema(value_type = Object)]
    pub planned: Planned,
    /// What whoever gives it would be warned of.
    pub warnings: Vec<String>,
    /// Which of its targets would be left out, since nobody has heard of them for a while, and get it once they are back.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub away: BTreeSet<TargetName>,
    /// How many waves it would take if all goes well; 0 of a package, which goes in steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waves: Option<usize>,
}
