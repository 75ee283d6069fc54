//! The Merkle tree of RFC 6962, section 2.1, over leaves that are hashed with a zero byte before
//! them and nodes that are hashed with a one byte before them.

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
    levels: Vec<Vec<Sha256Digest>>,
}

impl Tree {
    /// The empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a leaf by its hash (see [`leaf_hash`]); returns its index.
    pub fn push(&mut self, leaf: Sha256Digest) -> u64 {
        let _ = leaf;
        todo!()
    }

    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        todo!()
    }

    /// The root over all leaves.
    pub fn root(&self) -> Sha256Digest {
        todo!()
    }
}

impl Nodes for Tree {
    fn node(&self, level: u8, index: u64) -> Option<Sha256Digest> {
        let _ = (level, index);
        todo!()
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
        let _ = (nodes, size);
        todo!()
    }

    /// Appends a leaf by its hash; returns its index.
    pub fn push(&mut self, leaf: Sha256Digest) -> u64 {
        let _ = leaf;
        todo!()
    }

    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root over all leaves.
    pub fn root(&self) -> Sha256Digest {
        todo!()
    }
}

/// Returns the root over leaf hashes.
pub fn root(leaves: &[Sha256Digest]) -> Sha256Digest {
    let _ = leaves;
    todo!()
}

/// Returns the root of the first `size` leaves of a store; `None` if it does not have them.
pub fn root_at(nodes: &impl Nodes, size: u64) -> Option<Sha256Digest> {
    let _ = (nodes, size);
    todo!()
}

/// Returns the audit path of leaf `index` in the tree of the first `size` leaves (RFC 6962,
/// section 2.1.1), from the leaf up; `None` if the store lacks them or `index >= size`.
pub fn prove_inclusion(nodes: &impl Nodes, index: u64, size: u64) -> Option<Vec<Sha256Digest>> {
    let _ = (nodes, index, size);
    todo!()
}

/// Returns the proof that the tree of the first `new_size` leaves extends that of the first
/// `old_size` (RFC 6962, section 2.1.2); empty if they are equal or the old one is empty. `None` if
/// the store lacks the leaves or `old_size > new_size`.
pub fn prove_consistency(
    nodes: &impl Nodes,
    old_size: u64,
    new_size: u64,
) -> Option<Vec<Sha256Digest>> {
    let _ = (nodes, old_size, new_size);
    todo!()
}

/// Why a proof does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProofError {
    /// The index lies outside the tree.
    IndexOutside {
        /// The leaf's index.
        index: u64,
        /// The tree's size.
        size: u64,
    },
    /// The old tree is larger than the new one.
    Shrunk {
        /// The old size.
        old_size: u64,
        /// The new size.
        new_size: u64,
    },
    /// The proof has another number of hashes than the sizes need.
    ProofLen {
        /// Hashes in the proof.
        got: usize,
        /// Hashes needed.
        expected: usize,
    },
    /// The proof leads to another root.
    Root {
        /// Where it leads.
        got: Sha256Digest,
        /// The root that was given.
        expected: Sha256Digest,
    },
    /// The proof leads to another root of the old tree.
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
    let _ = (leaf, index, size, proof, root);
    todo!()
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
    let _ = (old, new, proof);
    todo!()
}
