//! (under construction)

pub mod runtime;
