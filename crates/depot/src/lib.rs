//! The depot.
pub mod disk;
pub mod links;
pub mod store;
