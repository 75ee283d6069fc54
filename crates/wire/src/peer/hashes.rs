//! The hash messages (BEP 52): asking for a part of a file's Merkle tree, its answer, its refusal.
//!
//! ```text
//! hash request  root 32 | base layer u32 | index u32 | length u32 | proof layers u32
//! hashes        the same 48 bytes | digests of 32 bytes: the base layer's, then the uncles
//! hash reject   the same 48 bytes
//! ```

use skep_hash::Sha256Digest;

use crate::{
    metainfo::{PIECE_LEN_MAX, PIECES_MAX},
    piece::BLOCK_LEN,
};

/// Which part of a file's tree is asked for. As it came: whether it makes sense says
/// [`HashRequest::check`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HashRequest {
    /// The root of the file's tree, by which the file is named.
    pub root: Sha256Digest,
    /// How many layers above the blocks' hashes the wanted ones lie.
    pub base_layer: u32,
    /// The first wanted hash, counted in its layer.
    pub index: u32,
    /// How many hashes of that layer are wanted.
    pub length: u32,
    /// Over how many layers above the base an uncle is wanted, so that the answer can be compared
    /// with a hash that is known. Those which follow from the wanted hashes are counted, not sent.
    pub proof_layers: u32,
}

/// Why no answer to a request can make sense, whatever the torrent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HashRequestError {
    /// Not a power of two, or too few, or too many.
    #[error("length of {length} hashes, not a power of two from 2 to {HASHES_MAX}")]
    Length {
        /// How many are asked for.
        length: u32,
    },
    /// Not a multiple of the length.
    #[error("index {index} is not a multiple of the length {length}")]
    Index {
        /// The first hash.
        index: u32,
        /// How many are asked for.
        length: u32,
    },
    /// Higher than any file's tree.
    #[error(
        "base layer {base_layer} and {proof_layers} above it, no tree has more than {HASH_LAYERS_MAX}"
    )]
    Layers {
        /// The layer.
        base_layer: u32,
        /// The layers above it.
        proof_layers: u32,
    },
}

/// Length of a request's payload in bytes.
pub const HASH_REQUEST_LEN: u32 = 48;

/// Length of a digest in bytes.
pub const HASH_LEN: usize = 32;

/// The most hashes of a layer that anyone may ask for at once. BEP 52 says 512, and we ask for no
/// more ([`HASHES_ASKED_MAX`]); libtorrent asks for a piece's blocks at once and stops here.
pub const HASHES_MAX: u32 = 8192;

/// The most hashes of a layer that we ask for at once (BEP 52).
pub const HASHES_ASKED_MAX: u32 = 512;

/// How many layers a file's tree may have above the blocks' hashes: as many as the largest torrent's
/// only file needs.
pub const HASH_LAYERS_MAX: u32 =
    (PIECES_MAX as u64 * (PIECE_LEN_MAX / BLOCK_LEN) as u64).trailing_zeros();

/// Length of the longest `hashes` message that can answer a request of ours, by its prefix.
pub const HASHES_LEN_MAX: u32 =
    1 + HASH_REQUEST_LEN + (HASHES_ASKED_MAX + HASH_LAYERS_MAX) * HASH_LEN as u32;

impl HashRequest {
    /// Judges the request by itself.
    ///
    /// # Errors
    ///
    /// [`HashRequestError`] where BEP 52 forbids it, or no file is that large.
    pub fn check(&self) -> Result<(), HashRequestError> {
        let &Self {
            base_layer,
            index,
            length,
            proof_layers,
            ..
        } = self;
        if !length.is_power_of_two() || !(2..=HASHES_MAX).contains(&length) {
            return Err(HashRequestError::Length { length });
        }
        if index % length != 0 {
            return Err(HashRequestError::Index { index, length });
        }
        if base_layer.saturating_add(proof_layers) > HASH_LAYERS_MAX
            || base_layer.saturating_add(length.trailing_zeros()) > HASH_LAYERS_MAX
        {
            return Err(HashRequestError::Layers {
                base_layer,
                proof_layers,
            });
        }
        Ok(())
    }

    /// How many uncles the answer has: one for each proof layer that does not follow from the wanted
    /// hashes. The first is the sibling of the node above all of these.
    pub fn uncles(&self) -> u32 {
        let follow = self.length.max(1).ilog2().saturating_sub(1);
        self.proof_layers.saturating_sub(follow)
    }

    /// How many hashes the answer has in all.
    pub fn hash_count(&self) -> u64 {
        u64::from(self.length) + u64::from(self.uncles())
    }

    /// The 48 bytes.
    pub fn encode(&self) -> [u8; HASH_REQUEST_LEN as usize] {
        let mut out = [0; HASH_REQUEST_LEN as usize];
        out[..32].copy_from_slice(&self.root.0);
        let numbers = [self.base_layer, self.index, self.length, self.proof_layers];
        for (place, number) in out[32..].chunks_exact_mut(4).zip(numbers) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        out
    }

    /// Reads the 48 bytes.
    pub fn decode(bytes: &[u8; HASH_REQUEST_LEN as usize]) -> Self {
        let mut root = [0; 32];
        root.copy_from_slice(&bytes[..32]);
        let number = |at: usize| {
            u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        Self {
            root: Sha256Digest(root),
            base_layer: number(32),
            index: number(36),
            length: number(40),
            proof_layers: number(44),
        }
    }
}

/// The digests in the payload of a `hashes` message, after the 48 bytes.
pub fn digests(bytes: &[u8]) -> impl Iterator<Item = Sha256Digest> {
    bytes
        .as_chunks::<HASH_LEN>()
        .0
        .iter()
        .map(|digest| Sha256Digest(*digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASK: HashRequest = HashRequest {
        root: Sha256Digest([7; 32]),
        base_layer: 0,
        index: 0,
        length: 2,
        proof_layers: 0,
    };

    #[test]
    fn a_request_that_bep_52_forbids_is_refused_with_its_numbers() {
        for (length, good) in [
            (0, false),
            (1, false),
            (2, true),
            (3, false),
            (512, true),
            (8192, true),
            (16_384, false),
            (u32::MAX, false),
        ] {
            let ask = HashRequest { length, ..ASK };
            let expected = if good {
                Ok(())
            } else {
                Err(HashRequestError::Length { length })
            };
            assert_eq!(ask.check(), expected, "{length}");
        }
        let (index, length) = (6, 4);
        let ask = HashRequest {
            index,
            length,
            ..ASK
        };
        assert_eq!(ask.check(), Err(HashRequestError::Index { index, length }));
        let index = u32::MAX - 3;
        assert_eq!(HashRequest { index, ..ask }.check(), Ok(()));
    }

    #[test]
    fn layers_end_where_the_largest_file_ends() {
        let last = HASH_LAYERS_MAX;
        assert_eq!(last, 36);
        for (base_layer, proof_layers, good) in [
            (0, last, true),
            (0, last + 1, false),
            (last - 1, 1, true),
            (last, 0, false),
            (u32::MAX, u32::MAX, false),
        ] {
            let ask = HashRequest {
                base_layer,
                proof_layers,
                ..ASK
            };
            let expected = Err(HashRequestError::Layers {
                base_layer,
                proof_layers,
            });
            let expected = if good { Ok(()) } else { expected };
            assert_eq!(ask.check(), expected, "{base_layer}, {proof_layers}");
        }
    }

    /// BEP 52: the first log2(length) - 1 proof layers are left out, but counted.
    #[test]
    fn an_answer_has_an_uncle_for_each_layer_that_does_not_follow() {
        for (length, proof_layers, uncles) in [
            (2, 0, 0),
            (2, 1, 1),
            (2, 5, 5),
            (4, 1, 0),
            (4, 2, 1),
            (512, 8, 0),
            (512, 10, 2),
            (0, 3, 3),
        ] {
            let ask = HashRequest {
                length,
                proof_layers,
                ..ASK
            };
            assert_eq!(ask.uncles(), uncles, "{length}, {proof_layers}");
            assert_eq!(ask.hash_count(), u64::from(length + uncles));
        }
    }
}
