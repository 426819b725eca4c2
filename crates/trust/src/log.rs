//! The Merkle log: RFC 6962 section 2.1 (the same tree as RFC 9162), with SHA-256.
//!
//! The ledger's writer keeps a [`Frontier`]; whoever holds leaves or stored subtrees makes proofs with
//! [`inclusion_proof`] and [`consistency_proof`]; whoever holds only roots checks them with [`verify_inclusion`] and
//! [`verify_consistency`]. `MTH`, `PATH` and `SUBPROOF` below are the names RFC 6962 gives to its definitions.

use crate::digest::{Digest, Hasher};
use serde::{Deserialize, Serialize};

/// Why a proof cannot be made, or does not prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The leaf asked for lies outside the tree.
    #[error("leaf {index} is not in a log of {size} leaves")]
    OutsideTree {
        /// The leaf's index, from 0.
        index: u64,
        /// The tree's size in leaves.
        size: u64,
    },
    /// The older tree would be larger than the newer one.
    #[error("a log of {older} leaves cannot have grown into one of {newer}")]
    Shrunk {
        /// The size said to be older, in leaves.
        older: u64,
        /// The size said to be newer, in leaves.
        newer: u64,
    },
    /// The source of hashes does not reach so far.
    #[error("the hash of subtree {index} at level {level} is not known")]
    Missing {
        /// The subtree's height: it covers 2^level leaves.
        level: u32,
        /// Which of the subtrees of that height, from 0.
        index: u64,
    },
    /// The proof has too few or too many hashes for these sizes.
    #[error("the proof has the wrong number of hashes for these sizes")]
    WrongLength,
    /// The hashes do not lead to the root.
    #[error("the proof does not lead to the root: the log is not the one that was seen, or the proof was changed")]
    WrongRoot,
}

/// The hash of an entry's bytes as a leaf: SHA-256(0x00 || bytes).
pub fn leaf_hash(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new();
    hasher.update(&[0x00]);
    hasher.update(bytes);
    hasher.finish()
}

/// The hash of a node over its two children: SHA-256(0x01 || left || right).
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let mut joined = [0x01; 65];
    joined[1..33].copy_from_slice(left.as_bytes());
    joined[33..].copy_from_slice(right.as_bytes());
    Digest::of(&joined)
}

/// The root of the empty tree: the hash of nothing.
pub fn empty_root() -> Digest {
    Digest::of(b"")
}

/// All that is needed to append to a log and to know its root: the roots of its perfect subtrees, largest first.
/// It holds at most one hash a bit of its size, so cloning it is cheap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "FrontierFields")]
pub struct Frontier {
    size: u64,
    peaks: Vec<Digest>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FrontierFields {
    size: u64,
    peaks: Vec<Digest>,
}

/// A stored frontier whose number of hashes does not fit its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a log of {size} leaves has {expected} perfect subtrees, and {found} were stored")]
pub struct FrontierError {
    size: u64,
    expected: u32,
    found: usize,
}

impl TryFrom<FrontierFields> for Frontier {
    type Error = FrontierError;
    fn try_from(fields: FrontierFields) -> Result<Self, FrontierError> {
        let FrontierFields { size, peaks } = fields;
        if peaks.len() != size.count_ones() as usize {
            return Err(FrontierError { size, expected: size.count_ones(), found: peaks.len() });
        }
        Ok(Self { size, peaks })
    }
}

impl Frontier {
    /// The frontier of the empty log.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a leaf by its [`leaf_hash`].
    pub fn push(&mut self, leaf: Digest) {
        // Each trailing one bit of the size is a perfect subtree as high as the one just completed, so the two join.
        let mut joined = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                joined = node_hash(&left, &joined);
            }
        }
        self.peaks.push(joined);
        self.size += 1;
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree over all leaves so far (`MTH`).
    pub fn root(&self) -> Digest {
        let mut peaks = self.peaks.iter().rev();
        let Some(smallest) = peaks.next() else { return empty_root() };
        peaks.fold(*smallest, |right, left| node_hash(left, &right))
    }
}

/// A source of the hashes of perfect subtrees: leaves in memory, or hashes kept in a store.
pub trait Subtrees {
    /// What can go wrong when asking it.
    type Error: From<ProofError>;

    /// The hash of the perfect subtree over the `2^level` leaves from `index * 2^level` on.
    fn subtree(&self, level: u32, index: u64) -> Result<Digest, Self::Error>;
}

impl Subtrees for [Digest] {
    type Error = ProofError;

    fn subtree(&self, level: u32, index: u64) -> Result<Digest, ProofError> {
        let missing = ProofError::Missing { level, index };
        let width = 1usize.checked_shl(level).ok_or(missing)?;
        let begin = usize::try_from(index).ok().and_then(|index| index.checked_mul(width)).ok_or(missing)?;
        let leaves = begin.checked_add(width).and_then(|end| self.get(begin..end)).ok_or(missing)?;
        let mut frontier = Frontier::new();
        leaves.iter().for_each(|leaf| frontier.push(*leaf));
        Ok(frontier.root())
    }
}

/// The proof that leaf `index` is in the tree of the first `size` leaves: `PATH(index, D[size])`, lowest hash first.
pub fn inclusion_proof<S: Subtrees + ?Sized>(tree: &S, index: u64, size: u64) -> Result<Vec<Digest>, S::Error> {
    if index >= size {
        return Err(ProofError::OutsideTree { index, size }.into());
    }
    let (mut begin, mut end, mut path) = (0, size, Vec::new());
    while end - begin > 1 {
        let middle = begin + split(end - begin);
        if index < middle {
            path.push(root_of(tree, middle, end)?);
            end = middle;
        } else {
            path.push(root_of(tree, begin, middle)?);
            begin = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the tree of the first `older` leaves is a beginning of the tree of the first `newer` ones:
/// `SUBPROOF(older, D[newer], true)`. Nothing needs proving of an empty or an equal tree: the proof is empty.
pub fn consistency_proof<S: Subtrees + ?Sized>(tree: &S, older: u64, newer: u64) -> Result<Vec<Digest>, S::Error> {
    if older > newer {
        return Err(ProofError::Shrunk { older, newer }.into());
    }
    if older == 0 {
        return Ok(Vec::new());
    }
    let (mut begin, mut end, mut proof) = (0, newer, Vec::new());
    while older != end {
        let middle = begin + split(end - begin);
        if older <= middle {
            proof.push(root_of(tree, middle, end)?);
            end = middle;
        } else {
            proof.push(root_of(tree, begin, middle)?);
            begin = middle;
        }
    }
    // A subtree that begins the tree is the older tree itself, whose root the verifier has.
    if begin > 0 {
        proof.push(root_of(tree, begin, end)?);
    }
    proof.reverse();
    Ok(proof)
}

/// The root that the log had at an earlier size: of its first `size` leaves.
pub fn root_at<S: Subtrees + ?Sized>(tree: &S, size: u64) -> Result<Digest, S::Error> {
    match size {
        0 => Ok(empty_root()),
        1 => tree.subtree(0, 0),
        _ => root_of(tree, 0, size),
    }
}

/// Checks an inclusion proof for a leaf's hash (RFC 9162, 2.1.3.2).
pub fn verify_inclusion(
    leaf: &Digest,
    index: u64,
    size: u64,
    proof: &[Digest],
    root: &Digest,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::OutsideTree { index, size });
    }
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::WrongLength);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            climb_to_right_child(&mut node, &mut last);
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::WrongLength);
    }
    if hash == *root { Ok(()) } else { Err(ProofError::WrongRoot) }
}

/// Checks that the log with root `older_root` at size `older` is a beginning of the one with `newer_root` at size
/// `newer` (RFC 9162, 2.1.4.2).
pub fn verify_consistency(
    older: u64,
    newer: u64,
    older_root: &Digest,
    newer_root: &Digest,
    proof: &[Digest],
) -> Result<(), ProofError> {
    if older > newer {
        return Err(ProofError::Shrunk { older, newer });
    }
    // The RFC's algorithm begins at 0 < older < newer; the empty and the equal tree need no proof, and get none.
    if older == 0 || older == newer {
        let same = if older == newer { older_root == newer_root } else { true };
        let empty_is_empty = older > 0 || *older_root == empty_root();
        return match (proof.is_empty(), same && empty_is_empty) {
            (false, _) => Err(ProofError::WrongLength),
            (true, false) => Err(ProofError::WrongRoot),
            (true, true) => Ok(()),
        };
    }
    // An older tree that is perfect is a node of the newer one, and its root is left out of the proof.
    let (first, rest) = if older.is_power_of_two() {
        (older_root, proof)
    } else {
        proof.split_first().ok_or(ProofError::WrongLength)?
    };
    let (mut node, mut last) = (older - 1, newer - 1);
    let shift = node.trailing_ones();
    node >>= shift;
    last >>= shift;
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return Err(ProofError::WrongLength);
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            climb_to_right_child(&mut node, &mut last);
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::WrongLength);
    }
    if old_hash == *older_root && new_hash == *newer_root { Ok(()) } else { Err(ProofError::WrongRoot) }
}

/// At the right edge a node without a sibling stands for its parent, until it is a right child (or the root).
fn climb_to_right_child(node: &mut u64, last: &mut u64) {
    while *node & 1 == 0 && *node != 0 {
        *node >>= 1;
        *last >>= 1;
    }
}

/// The largest power of two smaller than `width`, which is at least 2: where the RFC divides a tree.
fn split(width: u64) -> u64 {
    1 << (width - 1).ilog2()
}

/// `MTH(D[begin:end])` for a range that the RFC's division yields: what is a power of two wide is also aligned.
fn root_of<S: Subtrees + ?Sized>(tree: &S, begin: u64, end: u64) -> Result<Digest, S::Error> {
    let width = end - begin;
    if width.is_power_of_two() {
        let level = width.ilog2();
        return tree.subtree(level, begin >> level);
    }
    let middle = begin + split(width);
    Ok(node_hash(&root_of(tree, begin, middle)?, &root_of(tree, middle, end)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The leaves and roots published with Certificate Transparency (merkle_tree_test.cc).
    const LEAVES: [&str; 8] =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    const ROOTS: [&str; 9] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    const LEFT_LEAF: &str = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
    const SECOND_LEAF: &str = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7";
    const NODE_2_3: &str = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
    const NODE_4_7: &str = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4";
    const FIFTH_LEAF: &str = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b";
    const NODE_6_7: &str = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";
    const NODE_4_5: &str = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a";

    fn published_leaves() -> Vec<Digest> {
        LEAVES.iter().map(|text| leaf_hash(&hex::decode(text).unwrap())).collect()
    }

    fn frontier_of(leaves: &[Digest]) -> Frontier {
        let mut frontier = Frontier::new();
        leaves.iter().for_each(|leaf| frontier.push(*leaf));
        frontier
    }

    fn digests(hashes: &[&str]) -> Vec<Digest> {
        hashes.iter().map(|text| Digest::from_hex(text).unwrap()).collect()
    }

    fn numbered_leaves(count: u64) -> Vec<Digest> {
        (0..count).map(|i| leaf_hash(&i.to_be_bytes())).collect()
    }

    /// `MTH` word for word from the RFC, to hold the rest against.
    fn mth(leaves: &[Digest]) -> Digest {
        match leaves {
            [] => empty_root(),
            [leaf] => *leaf,
            _ => {
                let mut k = 1;
                while k * 2 < leaves.len() {
                    k *= 2;
                }
                node_hash(&mth(&leaves[..k]), &mth(&leaves[k..]))
            }
        }
    }

    #[test]
    fn the_published_roots_are_reached() {
        let leaves = published_leaves();
        for (size, root) in ROOTS.iter().enumerate() {
            let frontier = frontier_of(&leaves[..size]);
            assert_eq!(frontier.root().hex(), *root, "size {size}");
            assert_eq!(frontier.size(), size as u64);
        }
    }

    #[test]
    fn the_published_inclusion_proofs_are_made() {
        let leaves = published_leaves();
        for (index, size, expected) in [
            (0, 1, vec![]),
            (0, 8, vec![SECOND_LEAF, NODE_2_3, NODE_4_7]),
            (5, 8, vec![FIFTH_LEAF, NODE_6_7, ROOTS[4]]),
            (2, 3, vec![ROOTS[2]]),
            (1, 5, vec![LEFT_LEAF, NODE_2_3, FIFTH_LEAF]),
        ] {
            let proof = inclusion_proof(leaves.as_slice(), index, size).unwrap();
            assert_eq!(proof, digests(&expected), "leaf {index} of {size}");
            let root = Digest::from_hex(ROOTS[size as usize]).unwrap();
            assert_eq!(verify_inclusion(&leaves[index as usize], index, size, &proof, &root), Ok(()));
        }
    }

    #[test]
    fn the_published_consistency_proofs_are_made() {
        let leaves = published_leaves();
        for (older, newer, expected) in [
            (1, 1, vec![]),
            (1, 8, vec![SECOND_LEAF, NODE_2_3, NODE_4_7]),
            (6, 8, vec![NODE_4_5, NODE_6_7, ROOTS[4]]),
            (2, 5, vec![NODE_2_3, FIFTH_LEAF]),
        ] {
            let proof = consistency_proof(leaves.as_slice(), older, newer).unwrap();
            assert_eq!(proof, digests(&expected), "{older} to {newer}");
            let [old_root, new_root] = [older, newer].map(|size| Digest::from_hex(ROOTS[size as usize]).unwrap());
            assert_eq!(verify_consistency(older, newer, &old_root, &new_root, &proof), Ok(()));
        }
    }

    #[test]
    fn questions_outside_the_tree_are_refused() {
        let leaves = numbered_leaves(4);
        let outside = ProofError::OutsideTree { index: 4, size: 4 };
        assert_eq!(inclusion_proof(leaves.as_slice(), 4, 4), Err(outside));
        assert_eq!(verify_inclusion(&leaves[0], 4, 4, &[], &mth(&leaves)), Err(outside));
        let shrunk = ProofError::Shrunk { older: 4, newer: 3 };
        assert_eq!(consistency_proof(leaves.as_slice(), 4, 3), Err(shrunk));
        assert_eq!(verify_consistency(4, 3, &mth(&leaves), &mth(&leaves[..3]), &[]), Err(shrunk));
        let missing = ProofError::Missing { level: 2, index: 1 };
        assert_eq!(inclusion_proof(leaves.as_slice(), 0, 8), Err(missing));
    }

    #[test]
    fn an_empty_log_begins_every_log_and_only_with_its_own_root() {
        let leaves = numbered_leaves(3);
        let root = mth(&leaves);
        assert_eq!(verify_consistency(0, 3, &empty_root(), &root, &[]), Ok(()));
        assert_eq!(verify_consistency(0, 3, &root, &root, &[]), Err(ProofError::WrongRoot));
        assert_eq!(verify_consistency(0, 3, &empty_root(), &root, &leaves), Err(ProofError::WrongLength));
        assert_eq!(verify_consistency(0, 0, &empty_root(), &root, &[]), Err(ProofError::WrongRoot));
        assert_eq!(verify_consistency(3, 3, &root, &empty_root(), &[]), Err(ProofError::WrongRoot));
        assert_eq!(verify_consistency(2, 3, &mth(&leaves[..2]), &root, &[]), Err(ProofError::WrongLength));
        assert_eq!(verify_consistency(3, 4, &root, &root, &[]), Err(ProofError::WrongLength));
    }

    #[test]
    fn a_stored_frontier_must_fit_its_size() {
        let frontier = frontier_of(&numbered_leaves(11));
        let text = serde_json::to_string(&frontier).unwrap();
        assert_eq!(serde_json::from_str::<Frontier>(&text).unwrap(), frontier);
        let error = serde_json::from_str::<Frontier>(&text.replace("11", "12")).unwrap_err();
        assert!(error.to_string().contains("2 perfect subtrees, and 3 were stored"), "{error}");
    }

    #[test]
    fn a_million_leaves_keep_a_small_frontier() {
        let mut frontier = Frontier::new();
        let leaf = leaf_hash(b"entry");
        (0..1_000_000).for_each(|_| frontier.push(leaf));
        assert_eq!(frontier.size(), 1_000_000);
        assert_eq!(frontier.peaks.len(), 1_000_000u64.count_ones() as usize);
    }

    proptest! {
        #[test]
        fn the_frontier_agrees_with_the_definition(size in 0u64..200) {
            let leaves = numbered_leaves(size);
            prop_assert_eq!(frontier_of(&leaves).root(), mth(&leaves));
        }

        #[test]
        fn every_leaf_of_every_tree_proves_and_nothing_else_does(
            (size, index) in (1u64..150).prop_flat_map(|size| (Just(size), 0..size)),
            spoiled in any::<prop::sample::Index>(),
        ) {
            let leaves = numbered_leaves(size);
            let (leaf, root) = (leaves[index as usize], mth(&leaves));
            let proof = inclusion_proof(leaves.as_slice(), index, size).unwrap();
            prop_assert_eq!(verify_inclusion(&leaf, index, size, &proof, &root), Ok(()));

            prop_assert!(verify_inclusion(&empty_root(), index, size, &proof, &root).is_err());
            prop_assert!(verify_inclusion(&leaf, index, size, &proof, &empty_root()).is_err());
            for other in (0..size).filter(|other| *other != index) {
                prop_assert!(verify_inclusion(&leaf, other, size, &proof, &root).is_err());
            }
            let longer = [proof.as_slice(), &[root]].concat();
            prop_assert_eq!(verify_inclusion(&leaf, index, size, &longer, &root), Err(ProofError::WrongLength));
            if !proof.is_empty() {
                let shorter = &proof[..proof.len() - 1];
                prop_assert_eq!(verify_inclusion(&leaf, index, size, shorter, &root), Err(ProofError::WrongLength));
                let mut changed = proof.clone();
                changed[spoiled.index(proof.len())] = empty_root();
                prop_assert_eq!(verify_inclusion(&leaf, index, size, &changed, &root), Err(ProofError::WrongRoot));
            }
        }

        #[test]
        fn every_beginning_proves_and_a_rewritten_one_does_not(
            (newer, older) in (1u64..150).prop_flat_map(|newer| (Just(newer), 1..=newer)),
            rewritten in any::<prop::sample::Index>(),
            spoiled in any::<prop::sample::Index>(),
        ) {
            let mut leaves = numbered_leaves(newer);
            let (old_root, new_root) = (mth(&leaves[..older as usize]), mth(&leaves));
            let proof = consistency_proof(leaves.as_slice(), older, newer).unwrap();
            prop_assert_eq!(verify_consistency(older, newer, &old_root, &new_root, &proof), Ok(()));

            let longer = [proof.as_slice(), &[new_root]].concat();
            prop_assert!(verify_consistency(older, newer, &old_root, &new_root, &longer).is_err());
            if !proof.is_empty() {
                let shorter = &proof[..proof.len() - 1];
                prop_assert!(verify_consistency(older, newer, &old_root, &new_root, shorter).is_err());
                let mut changed = proof.clone();
                changed[spoiled.index(proof.len())] = empty_root();
                prop_assert!(verify_consistency(older, newer, &old_root, &new_root, &changed).is_err());
            }
            // Whoever rewrites a leaf that was seen cannot prove the new log from the old root.
            leaves[rewritten.index(older as usize)] = leaf_hash(b"rewritten");
            let proof = consistency_proof(leaves.as_slice(), older, newer).unwrap();
            prop_assert!(verify_consistency(older, newer, &old_root, &mth(&leaves), &proof).is_err());
        }
    }
}
