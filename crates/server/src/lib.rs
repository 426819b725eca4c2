//! The server: the ledger's storage and its one writer, HTTP, pages, and nothing of the rules.

pub mod ledger;
