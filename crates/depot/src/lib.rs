//! The depot: the content-addressed store, and everything that turns a folder or an archive into a build and back.
//!
//! In the order of a build's life:
//! - [`project`]: reads `sortie.toml`, or guesses a first one.
//! - [`archive`]: unpacks what was pushed as an archive; nothing in one is believed.
//! - [`mod@scan`]: lists and digests a folder.
//! - [`store`]: keeps objects by digest, immutable and durable.
//! - [`pack`]: moves many small objects in one stream.
//! - [`bundle`]: carries a whole release over an air gap, on as many media as it takes.
//! - [`mod@materialise`]: writes a build to a target's disk, and finds whatever differs from it later.
//! - [`disk`]: errors, durability and free space, for all of them.

pub mod archive;
pub mod bundle;
pub mod disk;
pub mod materialise;
pub mod pack;
pub mod project;
pub mod scan;
pub mod store;

pub use archive::unpack;
pub use materialise::{Difference, DifferenceKind, materialise, verify_tree};
pub use pack::{read_pack, write_pack};
pub use project::Project;
pub use scan::{Progress, scan};
pub use store::{DiskStore, StoreError};
