//! The agent against a hostile server, and killed at every point: with real documents and signatures, and a machine
//! that only remembers what was done to it.

mod crash;
mod doubt;
mod fresh;
mod hostile;
mod lifetime;
mod migrations;
mod reports;
mod sides;
mod site;
mod world;
