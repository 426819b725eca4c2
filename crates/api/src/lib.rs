//! The HTTP contract: what travels between the server and everyone who talks to it, and the typed client.
//!
//! - [`routes`]: every path, once.
//! - [`plan`]: what an order would do.
//! - [`write`]: the one write door: a signed statement with what it refers to.
//! - [`read`]: the answers of the reads, as the command line and the pages show them.
//! - [`agent`]: what an agent polls and sends; [`progress`]: how far it says that it is.
//! - [`problem`]: how a no travels.
//! - [`client`]: the typed client, with the server's TLS key pinned; [`away`]: why nothing came back; [`happenings`]: what it hears of the server;
//!   [`link`]: a machine's lasting connection, which follows a server that moves or gets other keys.
//! - [`witness`]: what a witness of the repository and the server say to each other.

pub mod agent;
pub mod away;
pub mod client;
pub mod happenings;
pub mod link;
pub mod plan;
pub mod problem;
pub mod progress;
pub mod read;
pub mod routes;
pub mod witness;
pub mod write;
