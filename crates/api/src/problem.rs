//! How a no travels: the refusal with its code and facts, and in words.

use domain::refusal::Refusal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The body of every answer that is not a success.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// The stable code: `APPROVALS_MISSING`.
    pub code: String,
    /// What happened and why, in a sentence or two.
    pub message: String,
    /// The next command to type, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The exit code the command line ends with.
    pub exit: u8,
    /// The refusal as data, where the domain refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub refusal: Option<Refusal>,
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Problem {
            code: refusal.code().into(),
            message: refusal.to_string(),
            next: refusal.next(),
            exit: refusal.exit(),
            refusal: Some(refusal),
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.code, self.message)
    }
}
