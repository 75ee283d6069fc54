//! The Merkle tree of a file (BEP 52): a leaf for each block of 16 KiB, a root for the file.
//!
//! ```text
//! layer 2 (root)           r                 3 blocks: 4 leaf slots, height 2
//! layer 1            a           b           parent = SHA-256(left, right)
//! layer 0          l0 l1       l2 00         leaf   = SHA-256(bytes of the block)
//! ```
//!
//! The leaf layer has as many slots as the least power of two that holds the file's blocks. A slot
//! beyond the end of the file is 32 zero bytes, so a subtree of nothing but such slots has a fixed
//! hash for each layer: [`pad`]. Layers are counted from the leaves up.
//!
//! Identical files have identical roots. The length of the file is not part of the root, so
//! whoever checks a hash against a root must know the length from elsewhere: see [`Shape`].

#[cfg(test)]
mod tests;

use crate::{Sha256, Sha256Digest, lanes, sha256};

/// Bytes of a block, which is what a leaf covers; the last block of a file may be shorter.
pub const BLOCK_LEN: u32 = 16 * 1024;

/// Most hashes that one [`Range`] may ask for: what libtorrent serves. BEP 52 names 512 as the
/// number that requests should not exceed.
pub const RANGE_HASHES_MAX: u32 = 8192;

/// Layers of the highest tree: one over the leaves of `u64::MAX` bytes.
pub const HEIGHT_MAX: u32 = 50;

/// The leaf of a block: the SHA-256 of its bytes, at most [`BLOCK_LEN`] of them.
pub fn leaf(block: &[u8]) -> Sha256Digest {
    sha256(block)
}

/// The hash above two hashes.
pub fn parent(left: &Sha256Digest, right: &Sha256Digest) -> Sha256Digest {
    let mut hash = Sha256::new();
    hash.update(&left.0);
    hash.update(&right.0);
    hash.finish()
}

/// The hash in `layer` over nothing but slots beyond the end of a file.
pub fn pad(layer: u32) -> Sha256Digest {
    let zero = Sha256Digest::default();
    (0..layer).fold(zero, |below, _| parent(&below, &below))
}

/// The root over leaves: [`root_above`] for layer 0.
///
/// # Panics
///
/// As [`root_above`].
pub fn root(leaves: &[Sha256Digest], width: u64) -> Sha256Digest {
    root_above(leaves, 0, width)
}

/// The root of a tree whose layer `layer` has `width` slots, the first of them `hashes` and the
/// others beyond the end of the file.
///
/// # Panics
///
/// If `width` is no power of two, or less than the number of hashes.
pub fn root_above(hashes: &[Sha256Digest], layer: u32, width: u64) -> Sha256Digest {
    assert!(width.is_power_of_two(), "a layer's width is a power of two");
    assert!(hashes.len() as u64 <= width, "the hashes are in the layer");
    let mut pad = pad(layer);
    let mut row = hashes.to_vec();
    for _ in 0..width.trailing_zeros() {
        raise(&mut row, &pad);
        pad = parent(&pad, &pad);
    }
    row.first().copied().unwrap_or(pad)
}

/// The layer `up` layers above `hashes`, which are of layer `layer`; as many hashes as cover
/// `hashes`, none of them only padding.
///
/// The piece layer of a file is `layer_above(leaves, 0, log2(blocks per piece))`.
pub fn layer_above(hashes: &[Sha256Digest], layer: u32, up: u32) -> Vec<Sha256Digest> {
    let mut pad = pad(layer);
    let mut row = hashes.to_vec();
    for _ in 0..up {
        raise(&mut row, &pad);
        pad = parent(&pad, &pad);
    }
    row
}

/// Replaces a row by the row above it; an odd last hash has `pad` beside it.
fn raise(row: &mut Vec<Sha256Digest>, pad: &Sha256Digest) {
    if !row.len().is_multiple_of(2) {
        row.push(*pad);
    }
    *row = lanes::sha256_pairs(row.as_chunks().0);
}

/// How high and wide the tree of a file is, which follows from its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    blocks: u64,
}

/// A stretch of one layer with what is needed to climb from it, as a hash request names it (BEP 52).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Range {
    /// The layer of the hashes, counted from the leaves.
    pub base_layer: u32,
    /// Number of the first hash in its layer; a multiple of `length`.
    pub index: u32,
    /// How many hashes; a power of two from 2 (1 in a tree of one leaf has no request).
    pub length: u32,
    /// How many layers above the base the proof covers. The layers within the hashes' own subtree
    /// count too, though nothing is sent for them.
    pub proof_layers: u32,
}

/// Why a stretch of a layer cannot be asked for, or an answer does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RangeFault {
    /// A length that is not a power of two from 2 to the limit.
    #[error("length {length} is not a power of two from 2 to {RANGE_HASHES_MAX}")]
    Length {
        /// The length.
        length: u32,
    },
    /// An index that is no multiple of the length.
    #[error("index {index} is no multiple of length {length}")]
    Index {
        /// The index.
        index: u32,
        /// The length.
        length: u32,
    },
    /// Hashes beyond the layer.
    #[error("{length} hashes from {index} exceed a layer of {width}")]
    Beyond {
        /// The index.
        index: u32,
        /// The length.
        length: u32,
        /// Slots of the layer; 0 if the tree has no such layer.
        width: u64,
    },
    /// More proof layers than there are below the root.
    #[error("{proof_layers} proof layers, the tree has {most} between the base and the root")]
    ProofLayers {
        /// The layers asked for.
        proof_layers: u32,
        /// How many there are.
        most: u32,
    },
    /// An answer of another number of hashes.
    #[error("{got} hashes, the request needs {expected}")]
    Count {
        /// How many came.
        got: usize,
        /// Hashes and uncles of the request.
        expected: usize,
    },
}

/// A hash of the tree and its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Climbed {
    /// The layer, counted from the leaves.
    pub layer: u32,
    /// Number in its layer.
    pub index: u32,
    /// What the hash must be, if the answer is right.
    pub hash: Sha256Digest,
}

impl Shape {
    /// The tree of a file of `len` bytes. An empty file has none: its shape is that of one block.
    pub fn of_len(len: u64) -> Self {
        let blocks = len.div_ceil(BLOCK_LEN.into()).max(1);
        Self { blocks }
    }

    /// How many blocks the file has.
    pub fn blocks(self) -> u64 {
        self.blocks
    }

    /// The layer of the root, counted from the leaves; at most [`HEIGHT_MAX`].
    pub fn height(self) -> u32 {
        self.blocks.next_power_of_two().trailing_zeros()
    }

    /// Slots of a layer; 0 above the root.
    pub fn width(self, layer: u32) -> u64 {
        match self.height().checked_sub(layer) {
            Some(below) => 1 << below,
            None => 0,
        }
    }

    /// Hashes of a layer that cover bytes of the file; 0 above the root.
    pub fn hashes(self, layer: u32) -> u64 {
        if layer > self.height() {
            return 0;
        }
        self.blocks.div_ceil(1 << layer)
    }

    /// Checks that the tree has a range and that a peer may be asked for it.
    ///
    /// # Errors
    ///
    /// [`RangeFault`], each with its numbers.
    pub fn check(self, range: &Range) -> Result<(), RangeFault> {
        let Range {
            base_layer,
            index,
            length,
            proof_layers,
        } = *range;
        if !length.is_power_of_two() || !(2..=RANGE_HASHES_MAX).contains(&length) {
            return Err(RangeFault::Length { length });
        }
        if !index.is_multiple_of(length) {
            return Err(RangeFault::Index { index, length });
        }
        let width = self.width(base_layer);
        if u64::from(index) + u64::from(length) > width {
            return Err(RangeFault::Beyond {
                index,
                length,
                width,
            });
        }
        // A base layer of at least two slots lies below the root. The root is no proof layer.
        let most = self.height() - base_layer - 1;
        if proof_layers > most {
            return Err(RangeFault::ProofLayers { proof_layers, most });
        }
        Ok(())
    }

    /// Climbs from the answer to a range as far as its proof goes: the caller compares the hash with
    /// one that it trusts, which is the file's root if the proof covers every layer.
    ///
    /// # Errors
    ///
    /// [`RangeFault`] if the range is not of this tree or the answer is not of its size.
    pub fn climb(self, range: &Range, answer: &[Sha256Digest]) -> Result<Climbed, RangeFault> {
        self.check(range)?;
        let (got, expected) = (answer.len(), range.answer_len());
        if got != expected {
            return Err(RangeFault::Count { got, expected });
        }
        let (hashes, uncles) = answer.split_at(range.length as usize);
        let mut climbed = Climbed {
            layer: range.base_layer + range.length.trailing_zeros(),
            index: range.index / range.length,
            hash: root_above(hashes, range.base_layer, range.length.into()),
        };
        for uncle in uncles {
            climbed.hash = if climbed.index.is_multiple_of(2) {
                parent(&climbed.hash, uncle)
            } else {
                parent(uncle, &climbed.hash)
            };
            climbed.index /= 2;
            climbed.layer += 1;
        }
        Ok(climbed)
    }

    /// The answer to a range from the whole base layer of the tree, of which `layer` holds the
    /// hashes that cover the file.
    ///
    /// # Errors
    ///
    /// [`RangeFault`] if the range is not of this tree, or `layer` is not that layer.
    pub fn answer(
        self,
        range: &Range,
        layer: &[Sha256Digest],
    ) -> Result<Vec<Sha256Digest>, RangeFault> {
        self.check(range)?;
        let hashes = self.hashes(range.base_layer);
        if layer.len() as u64 != hashes {
            return Err(RangeFault::Count {
                got: layer.len(),
                expected: hashes as usize,
            });
        }
        let mut pad = pad(range.base_layer);
        let at = |row: &[Sha256Digest], n: u32, pad: &Sha256Digest| {
            row.get(n as usize).copied().unwrap_or(*pad)
        };
        let wanted = range.index..range.index + range.length;
        let mut answer: Vec<_> = wanted.map(|n| at(layer, n, &pad)).collect();
        let mut row = layer.to_vec();
        let mut index = range.index;
        let own_layers = range.length.trailing_zeros();
        for up in 1..=range.proof_layers {
            raise(&mut row, &pad);
            pad = parent(&pad, &pad);
            index /= 2;
            if up >= own_layers {
                answer.push(at(&row, index ^ 1, &pad));
            }
        }
        Ok(answer)
    }
}

impl Range {
    /// How many hashes answer it: its own, and an uncle for each proof layer above their subtree.
    pub fn answer_len(&self) -> usize {
        let own_layers = self.length.checked_ilog2().unwrap_or(0);
        let uncles = self
            .proof_layers
            .saturating_add(1)
            .saturating_sub(own_layers);
        self.length as usize + if own_layers == 0 { 0 } else { uncles as usize }
    }
}
