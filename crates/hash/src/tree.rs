//! The Merkle tree of RFC 6962, section 2.1, over leaves that are hashed with a zero byte before
//! them and nodes that are hashed with a one byte before them.
//!
//! ```text
//! size 5:        root                Complete subtrees are named by level and index:
//!              /      \              (2, 0) is over leaves 0 to 3, (1, 1) over 2 and 3.
//!           (2,0)      \             A tree of any size is joined from the complete subtrees
//!          /     \      \            that are the one bits of its size, here (2, 0), (0, 4).
//!       (1,0)   (1,1)    |
//!       /  \    /  \     |
//!      0    1  2    3    4
//! ```
//!
//! Proofs are made from any store of complete subtrees ([`Nodes`]), so that a ledger's tiles and a
//! tree in memory share the code, and checked from hashes alone.

use std::ops::Range;

use crate::{Sha256, Sha256Digest};

/// Returns the leaf hash: SHA-256 of `0x00 || leaf`.
pub fn leaf_hash(leaf: &[u8]) -> Sha256Digest {
    let mut hash = Sha256::new();
    hash.update(&[0]);
    hash.update(leaf);
    hash.finish()
}

/// Returns the hash of an inner node: SHA-256 of `0x01 || left || right`.
pub fn node_hash(left: &Sha256Digest, right: &Sha256Digest) -> Sha256Digest {
    let mut hash = Sha256::new();
    hash.update(&[1]);
    hash.update(&left.0);
    hash.update(&right.0);
    hash.finish()
}

/// Returns the hash of the empty tree: SHA-256 of nothing.
pub fn empty_root() -> Sha256Digest {
    crate::sha256(&[])
}

/// Where hashes of complete subtrees can be read: in memory ([`Tree`]) or in tiles.
pub trait Nodes {
    /// The hash over the `1 << level` leaves that begin at leaf `index << level`; `None` if the
    /// store does not have them all. Level 0 is the leaf hashes.
    fn node(&self, level: u8, index: u64) -> Option<Sha256Digest>;
}

/// A tree in memory with every complete subtree's hash, about 64 bytes a leaf.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// Level by level from the leaves; level `n` holds one hash for each `1 << n` leaves.
    levels: Vec<Vec<Sha256Digest>>,
}

impl Tree {
    /// The empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a leaf by its hash (see [`leaf_hash`]); returns its index.
    pub fn push(&mut self, leaf: Sha256Digest) -> u64 {
        let index = self.size();
        let mut hash = leaf;
        for level in 0.. {
            if level == self.levels.len() {
                self.levels.push(Vec::new());
            }
            self.levels[level].push(hash);
            match self.levels[level].as_chunks::<2>() {
                ([.., [left, right]], []) => hash = node_hash(left, right),
                _ => break,
            }
        }
        index
    }

    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    /// The root over all leaves.
    pub fn root(&self) -> Sha256Digest {
        root_at(self, self.size()).expect("a tree has its own leaves")
    }
}

impl Nodes for Tree {
    fn node(&self, level: u8, index: u64) -> Option<Sha256Digest> {
        self.levels
            .get(usize::from(level))?
            .get(usize::try_from(index).ok()?)
            .copied()
    }
}

impl FromIterator<Sha256Digest> for Tree {
    fn from_iter<I: IntoIterator<Item = Sha256Digest>>(leaves: I) -> Self {
        let mut tree = Self::new();
        leaves.into_iter().for_each(|leaf| {
            tree.push(leaf);
        });
        tree
    }
}

/// What is left of a tree that only grows: the hashes of its maximal complete subtrees, at most 64,
/// largest first. Enough to append and to know the root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    hashes: Vec<Sha256Digest>,
}

impl Frontier {
    /// The empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// The frontier of the first `size` leaves of a store; `None` if it does not have them.
    pub fn from_nodes(nodes: &impl Nodes, size: u64) -> Option<Self> {
        let mut hashes = Vec::new();
        let mut from = 0;
        for level in (0..64u8).rev() {
            if size >> level & 1 == 1 {
                hashes.push(nodes.node(level, from >> level)?);
                from += 1 << level;
            }
        }
        Some(Self { size, hashes })
    }

    /// Appends a leaf by its hash; returns its index.
    pub fn push(&mut self, leaf: Sha256Digest) -> u64 {
        let index = self.size;
        let mut hash = leaf;
        // Each trailing one bit of the size is a complete subtree that the new leaf completes to
        // the next larger one.
        for _ in 0..index.trailing_ones() {
            let left = self
                .hashes
                .pop()
                .expect("a one bit of the size has its subtree");
            hash = node_hash(&left, &hash);
        }
        self.hashes.push(hash);
        self.size += 1;
        index
    }

    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root over all leaves.
    pub fn root(&self) -> Sha256Digest {
        let joined = self
            .hashes
            .iter()
            .copied()
            .rev()
            .reduce(|right, left| node_hash(&left, &right));
        joined.unwrap_or_else(empty_root)
    }
}

/// Returns the root over leaf hashes.
pub fn root(leaves: &[Sha256Digest]) -> Sha256Digest {
    let mut frontier = Frontier::new();
    leaves.iter().for_each(|&leaf| {
        frontier.push(leaf);
    });
    frontier.root()
}

/// Returns the root of the first `size` leaves of a store; `None` if it does not have them.
pub fn root_at(nodes: &impl Nodes, size: u64) -> Option<Sha256Digest> {
    Frontier::from_nodes(nodes, size).map(|frontier| frontier.root())
}

/// Returns the audit path of leaf `index` in the tree of the first `size` leaves (RFC 6962,
/// section 2.1.1), from the leaf up; `None` if the store lacks them or `index >= size`.
pub fn prove_inclusion(nodes: &impl Nodes, index: u64, size: u64) -> Option<Vec<Sha256Digest>> {
    if index >= size {
        return None;
    }
    let mut proof = Vec::new();
    let mut range = 0..size;
    while range.end - range.start > 1 {
        let middle = split(&range);
        if index < middle {
            proof.push(range_root(nodes, middle..range.end)?);
            range.end = middle;
        } else {
            proof.push(range_root(nodes, range.start..middle)?);
            range.start = middle;
        }
    }
    proof.reverse();
    Some(proof)
}

/// Returns the proof that the tree of the first `new_size` leaves extends that of the first
/// `old_size` (RFC 6962, section 2.1.2); empty if they are equal or the old one is empty. `None` if
/// the store lacks the leaves or `old_size > new_size`.
pub fn prove_consistency(
    nodes: &impl Nodes,
    old_size: u64,
    new_size: u64,
) -> Option<Vec<Sha256Digest>> {
    if old_size > new_size {
        return None;
    }
    if old_size == 0 || old_size == new_size {
        return Some(Vec::new());
    }
    let mut proof = Vec::new();
    let mut range = 0..new_size;
    // Down to the subtree that ends where the old tree ended.
    while range.end != old_size {
        let middle = split(&range);
        if old_size <= middle {
            proof.push(range_root(nodes, middle..range.end)?);
            range.end = middle;
        } else {
            proof.push(range_root(nodes, range.start..middle)?);
            range.start = middle;
        }
    }
    // The verifier knows that subtree only if it is the whole old tree.
    if range.start != 0 {
        proof.push(range_root(nodes, range)?);
    }
    proof.reverse();
    Some(proof)
}

/// Where the tree over `range`, of two leaves or more, splits: after the greatest power of two
/// that is less than its size.
fn split(range: &Range<u64>) -> u64 {
    let size = range.end - range.start;
    range.start + (1 << (size - 1).ilog2())
}

/// The root over `range`, whose start is a multiple of the power of two that holds its size: so are
/// all subtrees of RFC 6962.
fn range_root(nodes: &impl Nodes, range: Range<u64>) -> Option<Sha256Digest> {
    let mut joined: Option<Sha256Digest> = None;
    let mut end = range.end;
    // From the right: the subtrees are the one bits of the size, smallest last.
    while end > range.start {
        let level = (end - range.start).trailing_zeros() as u8;
        end -= 1 << level;
        let left = nodes.node(level, end >> level)?;
        joined = Some(joined.map_or(left, |right| node_hash(&left, &right)));
    }
    joined
}

/// Why a proof does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The index lies outside the tree.
    #[error("leaf {index} lies outside a tree of {size} leaves")]
    IndexOutside {
        /// The leaf's index.
        index: u64,
        /// The tree's size.
        size: u64,
    },
    /// The old tree is larger than the new one.
    #[error("tree of {old_size} leaves cannot have become one of {new_size}")]
    Shrunk {
        /// The old size.
        old_size: u64,
        /// The new size.
        new_size: u64,
    },
    /// The proof has another number of hashes than the sizes need.
    #[error("proof of {got} hashes, {expected} are needed")]
    ProofLen {
        /// Hashes in the proof.
        got: usize,
        /// Hashes needed.
        expected: usize,
    },
    /// The proof leads to another root.
    #[error("proof leads to root {got}, not to {expected}")]
    Root {
        /// Where it leads.
        got: Sha256Digest,
        /// The root that was given.
        expected: Sha256Digest,
    },
    /// The proof leads to another root of the old tree.
    #[error("proof leads to old root {got}, not to {expected}")]
    OldRoot {
        /// Where it leads.
        got: Sha256Digest,
        /// The old root that was given.
        expected: Sha256Digest,
    },
}

/// Checks that the leaf with hash `leaf` is at `index` in the tree of `size` leaves with `root`.
///
/// # Errors
///
/// [`ProofError`].
pub fn verify_inclusion(
    leaf: &Sha256Digest,
    index: u64,
    size: u64,
    proof: &[Sha256Digest],
    root: &Sha256Digest,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::IndexOutside { index, size });
    }
    let sides = path(index, size);
    if proof.len() != sides.len() {
        return Err(ProofError::ProofLen {
            got: proof.len(),
            expected: sides.len(),
        });
    }
    let got = sides
        .iter()
        .zip(proof)
        .fold(*leaf, |hash, (side, other)| side.join(&hash, other));
    if got == *root {
        Ok(())
    } else {
        Err(ProofError::Root {
            got,
            expected: *root,
        })
    }
}

/// A tree as a checkpoint names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// How many leaves.
    pub size: u64,
    /// The root over them.
    pub root: Sha256Digest,
}

/// Checks that `new` extends `old`.
///
/// # Errors
///
/// [`ProofError`].
pub fn verify_consistency(
    old: &Head,
    new: &Head,
    proof: &[Sha256Digest],
) -> Result<(), ProofError> {
    let (old_size, new_size) = (old.size, new.size);
    if old_size > new_size {
        return Err(ProofError::Shrunk { old_size, new_size });
    }
    if old_size == 0 && old.root != empty_root() {
        return Err(ProofError::OldRoot {
            got: empty_root(),
            expected: old.root,
        });
    }
    if old_size == 0 || old_size == new_size {
        if !proof.is_empty() {
            return Err(ProofError::ProofLen {
                got: proof.len(),
                expected: 0,
            });
        }
        if old_size == new_size && old.root != new.root {
            return Err(ProofError::OldRoot {
                got: new.root,
                expected: old.root,
            });
        }
        return Ok(());
    }
    // The last leaf of the old tree, seen from the greatest complete subtree that it ends: from
    // there up, what lies left is in both trees, and what lies right only in the new one.
    let level = old_size.trailing_zeros();
    let sides = path((old_size - 1) >> level, ((new_size - 1) >> level) + 1);
    // That subtree is the whole old tree, and so known, if the old size is a power of two.
    let (seed, rest) = match proof {
        _ if old_size.is_power_of_two() => (old.root, proof),
        [seed, rest @ ..] => (*seed, rest),
        [] => {
            return Err(ProofError::ProofLen {
                got: 0,
                expected: sides.len() + 1,
            });
        }
    };
    if rest.len() != sides.len() {
        let expected = sides.len() + proof.len() - rest.len();
        return Err(ProofError::ProofLen {
            got: proof.len(),
            expected,
        });
    }
    let (mut old_got, mut new_got) = (seed, seed);
    for (side, other) in sides.iter().zip(rest) {
        new_got = side.join(&new_got, other);
        if *side == Side::Left {
            old_got = side.join(&old_got, other);
        }
    }
    if old_got != old.root {
        return Err(ProofError::OldRoot {
            got: old_got,
            expected: old.root,
        });
    }
    if new_got != new.root {
        return Err(ProofError::Root {
            got: new_got,
            expected: new.root,
        });
    }
    Ok(())
}

/// On which side of the path the other hash stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

impl Side {
    fn join(self, hash: &Sha256Digest, other: &Sha256Digest) -> Sha256Digest {
        match self {
            Self::Left => node_hash(other, hash),
            Self::Right => node_hash(hash, other),
        }
    }
}

/// The sides of the hashes that lead from leaf `index` to the root of a tree of `size` leaves, from
/// the leaf up; at most 64.
fn path(index: u64, size: u64) -> Vec<Side> {
    let mut sides = Vec::new();
    let (mut at, mut last) = (index, size - 1);
    while last > 0 {
        // A node that is the last of its level and has no sibling is passed up as it is.
        if at & 1 == 1 {
            sides.push(Side::Left);
        } else if at < last {
            sides.push(Side::Right);
        }
        at >>= 1;
        last >>= 1;
    }
    sides
}

#[cfg(test)]
mod tests;
