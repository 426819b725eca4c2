//! The runtime with real processes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod blue_green;
mod copies;
mod socket;
mod target;
mod traffic;
mod verification;
