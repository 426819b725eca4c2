//! The root of trust as TUF metadata (The Update Framework 1.0.x), and a client of TUF repositories.
//!
//! A client's order of checks, by the sections of the TUF specification, and who does each:
//! 1. 5.1, fix the start time: the caller takes `now` once and gives it to [`client::Client::start`].
//! 2. 5.2, load the trusted root: [`Root::pinned`] for root 1 of an estate, by the digest that names it.
//! 3. 5.3, update the root: [`Root::next`], [`Root::check_expiry`] on the last root alone.
//! 4. 5.4, timestamp: [`TimestampMetadata`].
//! 5. 5.5, snapshot: [`SnapshotMetadata`].
//! 6. 5.6, targets: [`Targets`], and the search through those whom they delegate to.
//! 7. 5.7, fetch a target: the caller compares what it fetched with [`ListedTarget::check`].
//!
//! [`client`] does them all in this order, without input and output; [`walk`] and [`Targets::verify`] are for whoever
//! holds the owners' documents alone. Sortie adds one field to root, `x-sortie-people`, which says whose each owner's key
//! is; TUF clients that do not know it keep it and count keys, Sortie counts people.

use std::fmt;

mod builder;
pub mod client;
mod delegations;
mod document;
mod error;
mod keys;
mod listed;
mod names;
mod online;
pub mod repository;
mod root;
mod targets;
pub mod witness;

pub use builder::RootBuilder;
pub use document::{MetadataSignature, add_signature, sign_metadata};
pub use error::TufError;
pub use listed::{Hashes, ListedMetadata, ListedTarget};
pub use names::{role_file, role_path, target_path};
pub use online::{SnapshotMetadata, TimestampMetadata};
pub use root::{Root, walk};
pub use targets::{TargetFile, Targets};

/// The largest root file that is read (the W of 5.3.3).
pub const MAX_ROOT_BYTES: usize = 512 << 10;
/// The largest timestamp file that is read (the X of 5.4.1).
pub const MAX_TIMESTAMP_BYTES: usize = 16 << 10;
/// The largest snapshot file that is read (the Y of 5.5.1).
pub const MAX_SNAPSHOT_BYTES: usize = 2 << 20;
/// The largest targets file that is read (the Z of 5.6.1).
pub const MAX_TARGETS_BYTES: usize = 8 << 20;
/// The most roots that one [`walk`], or one refresh, takes (the Y of 5.3.3).
pub const MAX_ROOTS_WALKED: usize = 1024;
/// The most delegated roles that one search goes through (5.6.7.1).
pub const MAX_ROLES_VISITED: usize = 32;
/// The version of the TUF specification that written metadata follows.
pub const SPEC_VERSION: &str = "1.0.31";
/// The field of root that maps key ids to the people whose keys they are.
pub const PEOPLE_FIELD: &str = "x-sortie-people";

/// A top-level role of TUF, not to be confused with the roles of a charter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TufRole {
    /// Owners, who say which keys may do what.
    Root,
    /// Owners, who sign the charter.
    Targets,
    /// The server's online key: which versions belong together.
    Snapshot,
    /// The server's online key: that all this is fresh.
    Timestamp,
}

impl TufRole {
    const ALL: [TufRole; 4] = [TufRole::Root, TufRole::Targets, TufRole::Snapshot, TufRole::Timestamp];

    /// Its name in metadata.
    pub fn as_str(self) -> &'static str {
        match self {
            TufRole::Root => "root",
            TufRole::Targets => "targets",
            TufRole::Snapshot => "snapshot",
            TufRole::Timestamp => "timestamp",
        }
    }

    /// Whether its keys belong to people, who are counted, and not to the server.
    fn is_of_people(self) -> bool {
        matches!(self, TufRole::Root | TufRole::Targets)
    }
}

impl fmt::Display for TufRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests;
