//! Development only: one seed, a whole world.
//!
//! The real domain, intake, ledger and agent run against simulated time, network, disks and machines. A reference model
//! steps beside them and says which invariant broke. The same seed gives the same world, event for event.
//!
//! - `script`: what is tried in a world, drawn from its seed. `cast`: who and what there is in it.
//! - `world`: the queue of events, and everything they happen to. `people`: what is signed.
//! - `server`: intake, ledger and answers. `process`: an agent on a stack of its own.
//! - `disk`, `store`: what they stand on, and lose. `random`: chance.
//! - `model`: the rules, told once more and smaller. `shrink`: leaves out of a failing script what does not matter.

mod cast;
mod disk;
mod model;
mod people;
mod process;
mod random;
mod script;
mod server;
mod shrink;
mod store;
mod world;

pub use model::Violation;
pub use script::{Script, moment};
pub use shrink::shrink;
pub use world::End;

/// Runs a script; `tells` keeps the story.
pub fn run(script: &Script, tells: bool) -> Result<End, Box<dyn std::error::Error>> {
    Ok(world::World::new(script, tells)?.run())
}
