//! Why targets leave by themselves.

use serde::{Deserialize, Serialize};

/// Why a target left by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Departure {
    /// Its time was over, and by its own signed word nothing is left of what ran there.
    Lapsed,
    /// Its time was over, and it did not say whether anything is left there.
    LapsedUnheard,
    /// It was ephemeral, and nothing was heard of it for as long as the charter says.
    Vanished,
}

impl Departure {
    /// Why, as it is said after the target's name.
    pub fn in_words(self) -> &'static str {
        match self {
            Departure::Lapsed => "its time was over, and it has removed everything",
            Departure::LapsedUnheard => "its time was over, and it did not say whether it has removed everything",
            Departure::Vanished => "it was ephemeral, and nothing was heard of it any more",
        }
    }
}
