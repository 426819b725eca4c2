//! The runtime with real processes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod copies;
mod socket;
mod target;
mod traffic;
mod verification;
