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
