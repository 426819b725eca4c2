//! Keys, signatures, signed documents, and the proof that something may happen. Pure: no clock, no files, no network.
//!
//! Read in this order:
//! - [`digest`], [`names`], [`json`]: bytes, names and texts, read strictly.
//! - [`key`], [`dsse`]: who can sign, and the envelope they sign.
//! - [`quorum`]: rules such as `qa and ops`, and the one function that counts distinct people.
//! - [`manifest`]: what a build is and how it runs.

pub mod digest;
pub mod dsse;
pub mod json;
pub mod key;
pub mod manifest;
pub mod names;
pub mod quorum;

pub use digest::Digest;
pub use names::{AppName, AudienceName, PersonName, RoleName, TargetName};
