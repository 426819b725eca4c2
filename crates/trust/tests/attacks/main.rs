//! Attacks, one test each, sorted by what the attacker holds.
//!
//! Each test that shows a named attack says so in a fixed form:
//!
//! ```text
//! /// Attack: withheld withdrawal.
//! /// Holds: what he has.
//! /// Left to him: what he can still do, said plainly.
//! ```
//!
//! `cargo xtask docs` writes the table of docs/SECURITY.md from these words, and a test there fails when an attack
//! that was promised is tried nowhere. Further tests of the same attack, here or end to end, say `Attack:` alone.
//!
//! Who holds the server always holds its disk, its online keys and every envelope that anyone ever signed. What he
//! lacks are the private keys of people.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its scene should stop there")]

mod insider;
mod keys;
mod leaver;
mod log;
mod metadata;
mod mirror;
mod moments;
mod one_key;
mod package;
mod parser;
mod stolen_server;
mod tokens;
mod vendor;
mod witness;
mod world;
