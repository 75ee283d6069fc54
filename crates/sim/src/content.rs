//! A torrent's content, made from a seed.

use std::sync::Arc;

use skep_hash::{Sha1Digest, sha1};
use skep_proto::rng::Rng;
use skep_wire::{Block, InfoHash, PieceIndex};

use crate::net::Chunk;

/// Bytes with their piece hashes.
#[derive(Debug, Clone)]
pub struct Content {
    /// Names the torrent. It is not the hash of an info dictionary: there is none.
    pub info_hash: InfoHash,
    /// Length of every piece but the last, in bytes.
    pub piece_len: u32,
    /// SHA-1 of each piece.
    pub pieces: Vec<Sha1Digest>,
    bytes: Arc<[u8]>,
}

impl Content {
    /// Makes `len` bytes from a seed.
    pub fn new(seed: u64, len: usize, piece_len: u32) -> Arc<Self> {
        let mut rng = Rng::new(seed ^ 0x636f_6e74_656e_7421);
        let mut bytes = vec![0; len];
        rng.fill(&mut bytes);
        let mut info_hash = InfoHash([0; 20]);
        rng.fill(&mut info_hash.0);
        let pieces = bytes.chunks(piece_len as usize).map(sha1).collect();
        Arc::new(Self {
            info_hash,
            piece_len,
            pieces,
            bytes: bytes.into(),
        })
    }

    /// Length in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// How many pieces there are.
    pub fn piece_count(&self) -> u32 {
        self.pieces.len() as u32
    }

    /// Length of a piece in bytes.
    pub fn piece_size(&self, piece: PieceIndex) -> u32 {
        let begin = u64::from(piece.0) * u64::from(self.piece_len);
        self.size_bytes()
            .saturating_sub(begin)
            .min(u64::from(self.piece_len)) as u32
    }

    /// The bytes of a block that lies in the content.
    pub fn block(&self, block: Block) -> Chunk {
        let start = block.piece.0 as usize * self.piece_len as usize + block.begin as usize;
        Chunk::shared(&self.bytes, start..start + block.len as usize)
    }

    /// All of it.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
