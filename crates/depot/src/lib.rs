//! The depot.
pub mod archive;
pub mod disk;
pub mod links;
pub mod materialise;
pub mod pack;
pub mod scan;
pub mod store;
