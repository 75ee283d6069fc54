//! Pieces and blocks.

/// The number of a piece in its torrent, from 0. A *piece* is hashed; a *block* is requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PieceIndex(pub u32);

/// A stretch of a piece, as requests and payloads name it (BEP 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block {
    /// The piece.
    pub piece: PieceIndex,
    /// Offset of the first byte in the piece.
    pub begin: u32,
    /// Length in bytes.
    pub len: u32,
}

/// The length of every block but a piece's last one: what all clients ask for.
pub const BLOCK_LEN: u32 = 16 * 1024;

/// The blocks of a piece of `piece_len` bytes, in order.
pub fn blocks_of(piece: PieceIndex, piece_len: u32) -> impl Iterator<Item = Block> {
    (0..piece_len.div_ceil(BLOCK_LEN)).map(move |n| {
        let begin = n * BLOCK_LEN;
        Block {
            piece,
            begin,
            len: BLOCK_LEN.min(piece_len - begin),
        }
    })
}
