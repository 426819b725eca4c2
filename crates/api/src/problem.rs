//! How a no travels: the refusal with its code and facts, and in words.

use domain::refusal::Refusal;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// The code with which a server refuses what a key has signed that it does not know.
pub const SIGNER_UNKNOWN: &str = "SIGNER_UNKNOWN";

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
    /// The refusal as data, where the domain refused and this program knows such a refusal.
    #[serde(default, deserialize_with = "known", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub refusal: Option<Refusal>,
}

/// A server of another version may refuse what this program has no word for: its code and its sentence say it all the same.
fn known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Refusal>, D::Error> {
    let told = Option::<serde_json::Value>::deserialize(deserializer)?;
    Ok(told.and_then(|told| serde_json::from_value(told).ok()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_a_later_server_is_told_in_its_words() {
        let known = serde_json::to_value(Problem::from(Refusal::NoEstate)).unwrap();
        assert_eq!(serde_json::from_value::<Problem>(known.clone()).unwrap().refusal, Some(Refusal::NoEstate));
        let mut later = known;
        later["refusal"] = serde_json::json!({ "refusal": "what-nobody-knows-yet", "since": 1 });
        let read = serde_json::from_value::<Problem>(later).unwrap();
        assert_eq!((read.code.as_str(), read.refusal), ("NO_ESTATE", None));
    }
}
