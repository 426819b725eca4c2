//! Default numbers, and nothing else.

/// How many closed deployments stay in the state for a quick look; the ledger keeps all.
pub const DEPLOYMENTS_KEPT: usize = 500;
/// How many settled builds an environment remembers as places to roll back to.
pub const SETTLED_KEPT: usize = 20;
/// How long a target may be silent about an assignment before the deployment goes on without it, in seconds.
pub const TARGET_DEADLINE_SECONDS: i64 = 600;
/// How far ahead of the server's clock a statement's `submit_before` may lie, in seconds: one day.
pub const SUBMIT_AHEAD_SECONDS: i64 = 86_400;
/// The longest free text (a reason, a note) in bytes.
pub const TEXT_BYTES: usize = 4096;
