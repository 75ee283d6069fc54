//! The set of pieces that a peer holds, in the byte layout of BEP 3's `bitfield`: the first piece
//! is the highest bit of the first byte, spare bits at the end are zero.

use crate::PieceIndex;

/// A set of pieces of one torrent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bitfield {
    bytes: Vec<u8>,
    piece_count: u32,
}

/// What is wrong with the payload of a `bitfield` message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BitfieldError {
    /// Wrong length for the torrent.
    #[error("bitfield of {got} bytes, the torrent needs {expected}")]
    Len {
        /// Bytes received.
        got: usize,
        /// Bytes that the piece count needs.
        expected: usize,
    },
    /// A spare bit at the end is set.
    #[error("bitfield has spare bits set in its last byte {last:#04x}")]
    SpareBits {
        /// The last byte.
        last: u8,
    },
}

impl Bitfield {
    /// The empty set for a torrent of `piece_count` pieces.
    pub fn empty(piece_count: u32) -> Self {
        Self {
            bytes: vec![0; piece_count.div_ceil(8) as usize],
            piece_count,
        }
    }

    /// The full set.
    pub fn full(piece_count: u32) -> Self {
        let mut full = Self {
            bytes: vec![0xff; piece_count.div_ceil(8) as usize],
            piece_count,
        };
        let spare = full.bytes.len() as u32 * 8 - piece_count;
        if let Some(last) = full.bytes.last_mut() {
            *last <<= spare;
        }
        full
    }

    /// Reads the payload of a `bitfield` message.
    ///
    /// # Errors
    ///
    /// [`BitfieldError`] if the length does not fit `piece_count` or a spare bit is set.
    pub fn from_bytes(bytes: &[u8], piece_count: u32) -> Result<Self, BitfieldError> {
        let expected = piece_count.div_ceil(8) as usize;
        if bytes.len() != expected {
            return Err(BitfieldError::Len {
                got: bytes.len(),
                expected,
            });
        }
        let spare = expected as u32 * 8 - piece_count;
        if let Some(&last) = bytes.last()
            && spare > 0
            && last & ((1u8 << spare) - 1) != 0
        {
            return Err(BitfieldError::SpareBits { last });
        }
        Ok(Self {
            bytes: bytes.to_vec(),
            piece_count,
        })
    }

    /// The bytes as they go on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many pieces the torrent has.
    pub fn piece_count(&self) -> u32 {
        self.piece_count
    }

    /// Whether `piece` is in the set; false for an index outside the torrent.
    pub fn has(&self, piece: PieceIndex) -> bool {
        piece.0 < self.piece_count && self.bytes[piece.0 as usize / 8] >> (7 - piece.0 % 8) & 1 == 1
    }

    /// Adds `piece`; returns whether it was absent. An index outside the torrent changes nothing.
    pub fn insert(&mut self, piece: PieceIndex) -> bool {
        if piece.0 >= self.piece_count || self.has(piece) {
            return false;
        }
        self.bytes[piece.0 as usize / 8] |= 0x80 >> (piece.0 % 8);
        true
    }

    /// Removes `piece`; returns whether it was present.
    pub fn remove(&mut self, piece: PieceIndex) -> bool {
        let had = self.has(piece);
        if had {
            self.bytes[piece.0 as usize / 8] &= !(0x80 >> (piece.0 % 8));
        }
        had
    }

    /// How many pieces are in the set.
    pub fn count(&self) -> u32 {
        self.bytes.iter().map(|byte| byte.count_ones()).sum()
    }

    /// Whether every piece is in the set.
    pub fn is_full(&self) -> bool {
        self.count() == self.piece_count
    }

    /// The pieces in the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = PieceIndex> {
        (0..self.piece_count)
            .map(PieceIndex)
            .filter(|&piece| self.has(piece))
    }

    /// The share of the torrent's pieces in the set, in parts per million (0 for no pieces).
    pub fn share_ppm(&self) -> u32 {
        (u64::from(self.count()) * 1_000_000)
            .checked_div(u64::from(self.piece_count))
            .map_or(0, |ppm| ppm as u32)
    }
}
