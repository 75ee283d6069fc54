//! What a torrent says of the bytes of one piece, and what bytes say.

#[cfg(test)]
mod tests;

use std::fmt;

use skep_hash::{
    Sha1Digest, Sha256Digest,
    collision::{CollisionAttack, sha1_detecting},
    merkle, sha1,
};

use super::{Info, PieceV2};
use crate::{PieceIndex, piece::BLOCK_LEN};

/// What a torrent says of the bytes of one piece: their SHA-1 (version 1), the root of their Merkle tree
/// (version 2, BEP 52), or both (a hybrid). Never neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PieceHashes {
    v1: Option<Sha1Digest>,
    v2: Option<PieceV2>,
}

/// The digests of a piece, as a torrent has them or as bytes have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PieceDigests {
    /// SHA-1 of the whole piece, of padding too; `None` in version 2 alone.
    pub sha1: Option<Sha1Digest>,
    /// The root of the Merkle tree over the 16 KiB blocks of the file that the piece lies in, without
    /// padding (BEP 52); `None` in version 1 alone.
    pub root: Option<Sha256Digest>,
}

impl Info {
    /// What the torrent says of the bytes of `piece`; `None` for an index outside the torrent.
    pub fn piece_hashes(&self, piece: PieceIndex) -> Option<PieceHashes> {
        let v1 = self.pieces.get(piece.0 as usize).copied();
        let v2 = self.piece_v2(piece);
        (v1.is_some() || v2.is_some()).then_some(PieceHashes { v1, v2 })
    }
}

impl From<Sha1Digest> for PieceHashes {
    fn from(sha1: Sha1Digest) -> Self {
        let (v1, v2) = (Some(sha1), None);
        Self { v1, v2 }
    }
}

impl From<PieceV2> for PieceHashes {
    fn from(piece: PieceV2) -> Self {
        let (v1, v2) = (None, Some(piece));
        Self { v1, v2 }
    }
}

impl PieceHashes {
    /// The digests that the torrent has.
    pub fn digests(&self) -> PieceDigests {
        PieceDigests {
            sha1: self.v1,
            root: self.v2.map(|piece| piece.root),
        }
    }

    /// Hashes `bytes`, the whole piece: every digest that the torrent has of it.
    pub fn hash(&self, bytes: &[u8]) -> PieceDigests {
        self.examine(bytes).0
    }

    /// The same, and the collision attack on SHA-1 that is in the bytes where no root says which ones are
    /// meant.
    pub(crate) fn examine(&self, bytes: &[u8]) -> (PieceDigests, Option<CollisionAttack>) {
        let (sha1, attack) = match (self.v1, self.v2) {
            (None, _) => (None, None),
            (Some(_), Some(_)) => (Some(sha1(bytes)), None),
            (Some(_), None) => match sha1_detecting(bytes) {
                Ok(sha1) => (Some(sha1), None),
                Err(attack) => (Some(attack.digest), Some(attack)),
            },
        };
        let root = self.v2.map(|piece| {
            // What comes after the file in a hybrid is padding, of which SHA-1 speaks alone.
            let end = match self.v1 {
                Some(_) => bytes.len().min(piece.len as usize),
                None => bytes.len(),
            };
            root(&bytes[..end], piece.width)
        });
        (PieceDigests { sha1, root }, attack)
    }
}

/// The root over `bytes`. Where they are more than the piece has slots for it is that of a larger tree, which
/// no piece of the torrent has.
fn root(bytes: &[u8], width: u32) -> Sha256Digest {
    let blocks = bytes.chunks(BLOCK_LEN as usize);
    let leaves: Vec<Sha256Digest> = blocks.map(merkle::leaf).collect();
    let needed = (leaves.len() as u64).next_power_of_two();
    merkle::root(&leaves, needed.max(width.into()))
}

impl fmt::Display for PieceDigests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.sha1, self.root) {
            (Some(sha1), None) => write!(f, "{sha1}"),
            (None, Some(root)) => write!(f, "{root}"),
            (Some(sha1), Some(root)) => write!(f, "{sha1} and {root}"),
            (None, None) => f.write_str("nothing"),
        }
    }
}
