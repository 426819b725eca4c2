//! Whole stories with the real binary: a server and agents as processes, people with keys of their own, and the
//! commands that they type. [`world`] holds what the stories share.

#![expect(clippy::unwrap_used, reason = "a story that cannot go on should stop there")]

#[path = "e2e/team.rs"]
mod team;
#[path = "e2e/world.rs"]
mod world;
