//! Keys, signatures, signed documents, and the proof that something may happen. Pure: no clock, no files, no network.
//!
//! Read in this order:
//! - [`digest`], [`names`], [`json`]: bytes, names and texts, read strictly.
//! - [`key`], [`pem`], [`dsse`]: who can sign, their keys as others read them, and the envelope they sign.
//! - [`oidc`]: the tokens that speak for a key of a CI job.
//! - [`quorum`]: rules such as `qa and ops`, and the one function that counts distinct people.
//! - [`tuf`]: the root of trust, walked from version to version, and the owners' signature over the charter.
//! - [`charter`], [`upheld`], [`config`]: the signed policy, what it keeps of those who left, and an environment's signed
//!   values.
//! - [`complaint`]: what the parser of TOML complains of.
//! - [`manifest`], [`links`], [`version`]: what a build is, how it runs, that no link leads out, and how it is numbered.
//! - [`statement`]: the closed list of what can be signed. [`text`]: free texts in it, by digest, so that they can be erased.
//! - [`way`]: the rules for emergencies, and what they waive. [`rollout`]: how a deployment goes over its targets.
//!   [`freeze`]: when nothing new is activated. [`window`]: when something may be. [`schedule`]: what an order says of it.
//! - [`evidence`]: whether the evidence a gate asks for is there.
//! - [`inventory`]: what a target says it has, in its own signature.
//! - [`permit`], [`authority`]: what a permit lacks, and the checks a target makes before it touches anything.
//! - [`vendor`]: another estate's releases, and what of them counts here.
//! - [`receipt`]: what a target behind an air gap says it did.
//! - [`log`], [`note`]: the Merkle log under the ledger, and the signed statement of its size and root.

pub mod authority;
pub mod charter;
pub mod complaint;
pub mod config;
pub mod digest;
pub mod dsse;
pub mod evidence;
pub mod freeze;
pub mod inventory;
pub mod json;
pub mod key;
pub mod links;
pub mod log;
pub mod manifest;
pub mod names;
pub mod note;
pub mod oidc;
pub mod pem;
pub mod permit;
pub mod quorum;
pub mod receipt;
pub mod rollout;
pub mod schedule;
pub mod statement;
pub mod text;
pub mod tuf;
pub mod upheld;
pub mod vendor;
pub mod version;
pub mod way;
pub mod window;

pub use digest::Digest;
pub use names::{AppName, AudienceName, DraftName, PartName, PersonName, RoleName, TargetName, TokenName, VendorName};
pub use version::Version;
