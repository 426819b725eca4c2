//! He holds the server, and with it the ledger and the key that signs its checkpoints. He rewrites history.

use crate::world::*;
use trust::{
    Digest,
    key::Signer,
    log::{Frontier, consistency_proof, inclusion_proof, leaf_hash, verify_consistency, verify_inclusion},
    note::{Checkpoint, sign_checkpoint, verify_checkpoint},
};

const ORIGIN: &str = "ledger.example/acme";

fn leaves(entries: &[&str]) -> Vec<Digest> {
    entries.iter().map(|entry| leaf_hash(entry.as_bytes())).collect()
}

fn root(leaves: &[Digest]) -> Digest {
    let mut frontier = Frontier::new();
    leaves.iter().for_each(|leaf| frontier.push(*leaf));
    frontier.root()
}

/// Whether anyone who saw the first log takes the second for its continuation, with any proof he can make of either.
fn extends(seen: &[Digest], shown: &[Digest]) -> bool {
    let (older, newer) = (seen.len() as u64, shown.len() as u64);
    let proofs = [
        consistency_proof(shown, older, newer).unwrap_or_default(),
        consistency_proof(seen, newer, older).unwrap_or_default(),
        vec![root(seen)],
        vec![],
    ];
    proofs.iter().any(|proof| verify_consistency(older, newer, &root(seen), &root(shown), proof).is_ok())
}

/// Attack: truncated ledger.
/// Holds: the server; he cuts off the last entries, a withdrawal among them, and goes on from there.
/// Left to him: entries that nobody has seen yet: he may never show what he never signed a checkpoint over. Whoever
/// keeps a checkpoint, agents among them, finds the cut.
#[test]
fn truncated_ledger() {
    let seen = leaves(&["charter", "push", "permit", "withdrawal", "config"]);
    assert!(extends(&seen, &leaves(&["charter", "push", "permit", "withdrawal", "config", "order"])));
    assert!(!extends(&seen, &leaves(&["charter", "push", "permit"])));
    for regrown in
        [&["charter", "push", "permit", "config", "order"][..], &["charter", "push", "permit", "a", "b", "c"]]
    {
        assert!(!extends(&seen, &leaves(regrown)));
    }
}

/// Attack: reordered ledger.
/// Holds: the server; he puts a withdrawal behind the deployment that it would have stopped.
/// Left to him: the order of entries that nobody has seen yet. Times never run backwards, and permits and withdrawals go
/// by serial, so that order changes no verdict.
#[test]
fn reordered_ledger() {
    let seen = leaves(&["charter", "permit", "withdrawal", "order"]);
    assert!(!extends(&seen, &leaves(&["charter", "permit", "order", "withdrawal"])));
    assert!(!extends(&seen, &leaves(&["charter", "permit", "order", "withdrawal", "settled"])));
    // Nor does the proof of one entry hold for another place, or for its neighbour.
    let proof = inclusion_proof(&seen[..], 2, 4).unwrap();
    assert!(verify_inclusion(&seen[2], 2, 4, &proof, &root(&seen)).is_ok());
    assert!(verify_inclusion(&seen[2], 3, 4, &proof, &root(&seen)).is_err());
    assert!(verify_inclusion(&seen[3], 2, 4, &proof, &root(&seen)).is_err());
}

/// Attack: split view.
/// Holds: the server and the ledger's key; he shows one history to prod and another to the auditor, each well signed.
/// Left to him: to show each its own for as long as the two never compare. Two checkpoints of one log that do not extend
/// each other prove the fraud to anyone, with his own signature under both.
#[test]
fn split_view() {
    let sign = |leaves: &[Digest]| {
        let checkpoint = Checkpoint { origin: ORIGIN.into(), size: leaves.len() as u64, root: root(leaves) };
        sign_checkpoint(&checkpoint, ORIGIN, &key(SERVER)).unwrap()
    };
    let (prod, auditor) =
        (leaves(&["charter", "permit", "order"]), leaves(&["charter", "permit", "withdrawal", "end"]));
    let public = key(SERVER).public();
    let (one, other) = (sign(&prod), sign(&auditor));
    assert_eq!(verify_checkpoint(&one, ORIGIN, &public).unwrap().root, root(&prod));
    assert_eq!(verify_checkpoint(&other, ORIGIN, &public).unwrap().size, 4);
    assert!(!extends(&prod, &auditor));
    // He cannot put it on somebody else: without the ledger's key there is no checkpoint.
    let forged = one.replacen("\n3\n", "\n4\n", 1);
    assert!(verify_checkpoint(&forged, ORIGIN, &public).is_err());
    assert!(verify_checkpoint(&one, ORIGIN, &key(STRANGER).public()).is_err());
    assert!(verify_checkpoint(&one, "ledger.example/other", &public).is_err());
}

/// A node of the tree, dressed up as an entry, and an entry as a node: their hashes begin differently.
/// Attack: hash-length confusion.
#[test]
fn leaf_for_node() {
    let both = leaves(&["permit", "withdrawal"]);
    let joined = [both[0].as_bytes().as_slice(), both[1].as_bytes()].concat();
    assert_ne!(leaf_hash(&joined), root(&both));
    assert!(verify_inclusion(&leaf_hash(&joined), 0, 1, &[], &root(&both)).is_err());
}
