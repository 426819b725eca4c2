//! Keys, signatures, signed documents, and the proof that something may happen. Pure: no clock, no files, no network.
//!
//! Read in this order:
//! - [`digest`], [`names`], [`json`]: bytes, names and texts, read strictly.
//! - [`key`], [`dsse`]: who can sign, and the envelope they sign.
//! - [`quorum`]: rules such as `qa and ops`, and the one function that counts distinct people.
//! - [`manifest`], [`version`]: what a build is, how it runs, and how it is numbered.
//! - [`statement`]: the closed list of what can be signed.
//! - [`charter`], [`config`]: the signed policy, and the signed values of an environment.

pub mod authority;
pub mod charter;
pub mod config;
pub mod digest;
pub mod dsse;
pub mod json;
pub mod key;
pub mod manifest;
pub mod names;
pub mod permit;
pub mod quorum;
pub mod statement;
pub mod version;

pub use digest::Digest;
pub use names::{AppName, AudienceName, PersonName, RoleName, TargetName};
pub use version::Version;
