//! The TUF client against repositories that lie, stand still, go back, or are merely unusual.
//!
//! Each part is named after what is attacked: [`chain`] the roots, [`freshness`] versions and time, [`search`] the
//! delegations, [`keys`] who signed and with what, [`files`] what is called how and is which bytes, [`others`] whether those
//! whom we did not write understand us. [`properties`] does all of it in any order.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod chain;
mod files;
mod freshness;
mod keys;
mod others;
mod properties;
mod search;
mod simulator;

/// Asserts that a refresh or a search fails in a section of the specification, with words that hold `$words`.
#[macro_export]
macro_rules! fails {
    ($result:expr, $section:literal, $words:literal) => {
        match $result.map(|_| ()) {
            Err(error) => {
                let words = error.to_string();
                assert!(error.section == $section && words.contains($words), "section {}: {words}", error.section);
            }
            Ok(()) => panic!("expected section {} to fail with '{}'", $section, $words),
        }
    };
}
