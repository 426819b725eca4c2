//! Whole stories with the real binary: a server and agents as processes, people with keys of their own, and the
//! commands that they type. [`world`] holds what the stories share.

#![expect(clippy::unwrap_used, reason = "a story that cannot go on should stop there")]

#[path = "e2e/airgap.rs"]
mod airgap;
#[path = "e2e/approving.rs"]
mod approving;
#[path = "e2e/backup.rs"]
mod backup;
#[path = "e2e/bad_version.rs"]
mod bad_version;
#[path = "e2e/bytes.rs"]
mod bytes;
#[path = "e2e/channels.rs"]
mod channels;
#[path = "e2e/ci.rs"]
mod ci;
#[path = "e2e/crash.rs"]
mod crash;
#[path = "e2e/emergency.rs"]
mod emergency;
#[path = "e2e/environments.rs"]
mod environments;
#[path = "e2e/epochs.rs"]
mod epochs;
#[path = "e2e/erasure.rs"]
mod erasure;
#[path = "e2e/eviction.rs"]
mod eviction;
#[path = "e2e/first_application.rs"]
mod first_application;
#[path = "e2e/full.rs"]
mod full;
#[path = "e2e/handover.rs"]
mod handover;
#[path = "e2e/hostile.rs"]
mod hostile;
#[path = "e2e/late.rs"]
mod late;
#[path = "e2e/leaving.rs"]
mod leaving;
#[path = "e2e/logs.rs"]
mod logs;
#[path = "e2e/migrating.rs"]
mod migrating;
#[path = "e2e/moments.rs"]
mod moments;
#[path = "e2e/moved.rs"]
mod moved;
#[path = "e2e/needs.rs"]
mod needs;
#[path = "e2e/network.rs"]
mod network;
#[path = "e2e/notifications.rs"]
mod notifications;
#[path = "e2e/older.rs"]
mod older;
#[path = "e2e/owners.rs"]
mod owners;
#[path = "e2e/packages.rs"]
mod packages;
#[path = "e2e/parts.rs"]
mod parts;
#[path = "e2e/planned.rs"]
mod planned;
#[path = "e2e/proofs.rs"]
mod proofs;
#[path = "e2e/prune.rs"]
mod prune;
#[path = "e2e/pull.rs"]
mod pull;
#[path = "e2e/repository.rs"]
mod repository;
#[path = "e2e/rings.rs"]
mod rings;
#[path = "e2e/secrets.rs"]
mod secrets;
#[path = "e2e/security_keys.rs"]
mod security_keys;
#[path = "e2e/shapes.rs"]
mod shapes;
#[path = "e2e/sides.rs"]
mod sides;
#[path = "e2e/skipped.rs"]
mod skipped;
#[path = "e2e/soak.rs"]
mod soak;
#[path = "e2e/stolen_disk.rs"]
mod stolen_disk;
#[path = "e2e/suspended.rs"]
mod suspended;
#[path = "e2e/team.rs"]
mod team;
#[path = "e2e/tokens.rs"]
mod tokens;
#[path = "e2e/traffic.rs"]
mod traffic;
#[path = "e2e/upgrade.rs"]
mod upgrade;
#[path = "e2e/vendor.rs"]
mod vendor;
#[path = "e2e/witness.rs"]
mod witness;
#[path = "e2e/world.rs"]
mod world;
#[path = "e2e/wrong.rs"]
mod wrong;
