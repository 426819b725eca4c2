//! The names people give to things: validated once, at the edge, and typed ever after.

use serde::{Deserialize, Deserializer, Serialize};
use std::{borrow::Borrow, fmt, str::FromStr};

/// Why a text cannot be a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a name: use 1 to 63 lower-case letters, digits and hyphens, beginning with a letter")]
pub struct NameError {
    /// The offending text, shortened and free of control characters.
    pub text: String,
}

/// Replaces control characters, so that nothing shown can drive a terminal or forge a line.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || is_bidirectional_control(c) { '\u{FFFD}' } else { c }).collect()
}

fn is_bidirectional_control(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{200E}' | '\u{200F}')
}

fn validate(text: &str) -> Result<(), NameError> {
    let first_is_letter = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    let rest_is_plain = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if first_is_letter && rest_is_plain && text.len() <= 63 && !text.ends_with('-') {
        return Ok(());
    }
    Err(NameError { text: printable(&text.chars().take(63).collect::<String>()) })
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $type(std::sync::Arc<str>);

        impl $type {
            /// Validates `text`.
            pub fn new(text: &str) -> Result<Self, NameError> {
                validate(text)?;
                Ok(Self(text.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

name! {
    /// An application: what is shipped. Names are for ever.
    AppName
}
name! {
    /// An audience: an environment (machines) or a channel (people who install for themselves).
    AudienceName
}
name! {
    /// One target: a machine's agent, in one environment.
    TargetName
}
name! {
    /// A person or a robot of the charter.
    PersonName
}
name! {
    /// A read-only token, among those of whoever made it: `dashboard`.
    TokenName
}
name! {
    /// A build that several jobs make together, until it is sealed: `ci-4711`.
    DraftName
}
name! {
    /// What one job adds to a draft: `linux-arm64`.
    PartName
}
name! {
    /// A vendor: another estate, whose releases this one takes in.
    VendorName
}
name! {
    /// A role of the charter: `developer`, `qa`, `ops`. `owner` is held by the owners in the root of trust alone.
    RoleName
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_narrow() {
        assert!(AppName::new("web").is_ok());
        for bad in ["", "Web", "1web", "web_app", "web/..", "we b", "web-", "ä", &"a".repeat(64)] {
            assert!(AppName::new(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn control_characters_never_survive_display() {
        assert_eq!(printable("a\u{1b}[2Jb\n\u{202E}c"), "a\u{FFFD}[2Jb\u{FFFD}\u{FFFD}c");
    }
}
