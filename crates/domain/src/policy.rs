//! Default numbers, and nothing else.

/// How many closed deployments stay in the state for a quick look; the ledger keeps all.
pub const DEPLOYMENTS_KEPT: usize = 500;
/// The deployments of a new epoch are counted on from a multiple of this, so that none has the number of one that a restore
/// lost.
pub const DEPLOYMENTS_OF_EPOCH: u64 = 10_000;
/// How much of what people say of a deployment under way stays in the state: the newest; the ledger keeps all.
pub const GUIDANCE_KEPT: usize = 50;
/// How many unwell targets are named where it is said why a deployment does not settle.
pub const UNWELL_NAMED: usize = 10;
/// How many settled builds an environment remembers as places to roll back to.
pub const SETTLED_KEPT: usize = 20;
/// How far ahead of the server's clock a statement's `submit_before` may lie, in seconds: one day.
pub const SUBMIT_AHEAD_SECONDS: i64 = trust::statement::SUBMIT_AHEAD_SECONDS;
/// From how many days before the root or the charter expires everyone is warned.
pub const EXPIRY_WARNED_DAYS: i64 = 90;
/// From how many days before a permit's time is over it is said; from a quarter of its life where that is less.
pub const PERMIT_WARNED_DAYS: i64 = 14;
/// From how many hours before a throw-away target's time is over it is said; from a quarter of its life where that is less.
pub const LIFE_WARNED_HOURS: i64 = 24;
/// How far ahead a deployment may be planned, in days.
pub const PLANNED_DAYS: i64 = 366;
/// How many beginnings and ends of freezes and windows are looked at for the next moment at which something may begin.
pub const OPENINGS_LOOKED_AT: usize = 1000;
/// The longest freeze, in days.
pub const FREEZE_DAYS: i64 = 366;
/// How long a freeze that is over stays in the state, in days: targets that come back late still hear of its end.
pub const FREEZES_KEPT_DAYS: i64 = 30;
/// The longest life of a read-only token, in days.
pub const TOKEN_DAYS: i64 = 366;
/// How many read-only tokens one person may have at a time.
pub const TOKENS_EACH: usize = 32;
/// For how many days the parts of a build are remembered after the last word on them.
pub const DRAFT_DAYS: i64 = 30;
/// How many parts a build has at most.
pub const DRAFT_PARTS: usize = 64;
/// The longest free text (a reason, a note) in bytes.
pub const TEXT_BYTES: usize = 4096;
/// How many live permits of one application in one audience the repository publishes: the newest.
pub const PERMITS_PUBLISHED: usize = 32;
/// How often the repository's timestamp is signed anew when nothing changes, in seconds.
pub const TIMESTAMP_EVERY_SECONDS: u64 = 900;
/// How long the repository's witness may take to sign before people are told, in seconds.
pub const WITNESS_ANSWERS_WITHIN_SECONDS: i64 = 20;
/// How long a timestamp is good, in days.
pub const TIMESTAMP_DAYS: i64 = 7;
/// How long a snapshot and a role of permits are good, in days; they are signed anew after half of it.
pub const SNAPSHOT_DAYS: i64 = 60;
/// How long files of the repository stay after newer ones took their place, in seconds.
pub const REPOSITORY_PRUNED_AFTER_SECONDS: i64 = 3600;
/// How far two machines' clocks may differ before it matters, in seconds.
pub const CLOCKS_DIFFER_SECONDS: i64 = 300;
/// Assignments that a target gets by a bundle are numbered from here on, so that they never meet the server's.
pub const CARRIED_FROM: u64 = 1 << 40;
