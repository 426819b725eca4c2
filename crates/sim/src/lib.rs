//! Development only: one seed, a whole world.
//!
//! The real domain, intake, ledger and agent run against simulated time, network, disks and machines. A reference model
//! steps beside them and says which invariant broke. The same seed gives the same world, event for event.
//!
//! - `script`: what is tried in a world, drawn from its seed. `cast`: who and what there is in it.
//! - `world`: the queue of events, and everything they happen to. `people`: what is signed.
//! - `server`: intake, ledger and answers. `process`: an agent on a stack of its own.
//! - `disk`, `store`: what they stand on, and lose. `thief`: whoever has taken the server. `random`: chance.
//! - `fault`: what is wrong on purpose, to see that it is found.
//! - `model`: the rules, told once more and smaller. `shrink`: leaves out of a failing script what does not matter.

mod cast;
mod disk;
mod fault;
mod model;
mod people;
mod process;
mod random;
mod script;
mod server;
mod shrink;
mod store;
mod thief;
mod world;

pub use fault::{FAULTS, Fault};
pub use model::{SIGHTS, Violation};
pub use script::{Script, moment};
pub use shrink::shrink;
pub use world::End;

/// Runs a script; `tells` keeps the story.
pub fn run(script: &Script, tells: bool) -> Result<End, Box<dyn std::error::Error>> {
    replay(script, None, tells)
}

/// Runs a script in a world that has something wrong with it.
pub fn run_with(script: &Script, fault: Fault) -> Result<End, Box<dyn std::error::Error>> {
    replay(script, Some(fault), false)
}

/// Runs a script in a world that may have something wrong with it; `tells` keeps the story.
pub fn replay(script: &Script, fault: Option<Fault>, tells: bool) -> Result<End, Box<dyn std::error::Error>> {
    Ok(world::World::new(script, fault, tells)?.run())
}
