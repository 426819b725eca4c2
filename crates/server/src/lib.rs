//! The server: the ledger's storage and its one writer, HTTP, pages, and nothing of the rules.
//!
//! - [`ledger`]: the record of everything accepted, and the state folded from it.
//! - [`answers`]: what agents and submitters are answered, without HTTP.
//! - [`start`]: opens a data folder and serves it; `keys`: the keys and the claim that lie in it.
//! - `intake`: from a signed statement to a command: what is verified before the domain decides.
//! - `http`: one file a kind of request.
//! - `views`: from the state to the answers of the reads; pure.
//! - [`repository`]: the TUF repository for agents and mirrors, published from the ledger as files.
//! - [`backup`]: a server in one file, and back.
//! - [`witness`]: the process on another machine that signs the repository's timestamp too.
//! - [`notify`]: outgoing webhooks, told from the ledger.
//! - `prune`: removes the bytes of builds that were pruned.
//! - `clock`: asks for what time itself brings about.

pub mod answers;
pub mod backup;
mod clock;
mod durable;
mod http;
mod intake;
pub mod keys;
pub mod ledger;
mod lost;
pub mod notify;
mod prune;
pub mod repository;
pub mod start;
mod views;
pub mod witness;

pub use http::openapi;
pub use views::board;
