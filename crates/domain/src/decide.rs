//! From a command to events, or to a refusal.

use crate::{
    command::{Command, Context},
    event::Event,
    refusal::Refusal,
    state::State,
};

/// Decides what happens. Never panics; a refusal changes nothing.
pub fn decide(_state: &State, _context: &Context, _command: Command) -> Result<Vec<Event>, Refusal> {
    Err(Refusal::NoEstate)
}
