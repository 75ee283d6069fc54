//! A piece that is fetched on one connection: what to ask next, what came, and the verdict.
//!
//! The bytes are kept until the piece is whole, because only bytes make a grade. How many pieces are
//! under way at once is therefore bounded: see [`FETCH_BYTES_MAX`].

use std::collections::BTreeSet;

use skep_evidence::grade::{Claimed, Delivered, NotDelivered, NotVerified, Verified};
use skep_wire::{
    Block, PieceIndex,
    metainfo::PieceHashes,
    piece::{BLOCK_LEN, blocks_of},
};

/// How many blocks are outstanding on one connection: 16 blocks of 16 KiB keep 40 Mbit/s at 50 ms
/// busy, which is fast enough for a witness.
pub const BLOCKS_OUTSTANDING_MAX: usize = 16;

/// How many pieces are under way on one connection, so that small ones do not wait for each other.
pub const PIECES_UNDER_WAY_MAX: usize = 4;

/// How many bytes of pieces may be under way at once, over all connections; visits wait for their
/// turn beyond it. One piece is always allowed.
pub const FETCH_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Seconds without a block after which a piece that was asked for is given up, to make room.
pub const FETCH_STALL_SECS_MAX: u64 = 60;

pub(crate) struct Fetch {
    piece: PieceIndex,
    len: u32,
    /// Where blocks begin that must be asked for (again).
    due: BTreeSet<u32>,
    /// Where blocks begin that were asked for and have not come.
    asked: BTreeSet<u32>,
    /// Whether `PieceAsked` stands for all that is due.
    pub(crate) announced: bool,
    delivered: Vec<Delivered>,
    bytes: Vec<u8>,
}

impl Fetch {
    pub(crate) fn new(piece: PieceIndex, len: u32) -> Self {
        Self {
            piece,
            len,
            due: blocks_of(piece, len).map(|block| block.begin).collect(),
            asked: BTreeSet::new(),
            announced: false,
            delivered: Vec::new(),
            bytes: Vec::new(),
        }
    }

    pub(crate) fn piece(&self) -> PieceIndex {
        self.piece
    }

    /// The piece's length in bytes.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// How many blocks must be asked for (again).
    pub(crate) fn due(&self) -> u32 {
        self.due.len() as u32
    }

    /// How many blocks were asked for and have not come.
    pub(crate) fn outstanding(&self) -> usize {
        self.asked.len()
    }

    /// The next block to ask for.
    pub(crate) fn next(&self) -> Option<Block> {
        self.due.first().map(|&begin| self.block(begin))
    }

    /// The block was asked for.
    pub(crate) fn asked(&mut self, block: Block) {
        self.due.remove(&block.begin);
        self.asked.insert(block.begin);
    }

    /// The block was refused: it must be asked for again. Nothing changes if it was not asked for
    /// here.
    pub(crate) fn refused(&mut self, block: Block) {
        if self.is_asked(block) {
            self.asked.remove(&block.begin);
            self.due.insert(block.begin);
            self.announced = false;
        }
    }

    /// Takes a block that was delivered, and its bytes; returns whether the piece is whole. A block
    /// that was not asked for here changes nothing.
    pub(crate) fn arrived(&mut self, delivered: Delivered, bytes: &[u8]) -> bool {
        let block = delivered.block();
        if !self.is_asked(block) {
            return false;
        }
        self.asked.remove(&block.begin);
        self.delivered.push(delivered);
        let end = block.begin as usize + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[block.begin as usize..end].copy_from_slice(bytes);
        self.asked.is_empty() && self.due.is_empty()
    }

    /// The verdict on the whole piece.
    pub(crate) fn check(&self, expected: &PieceHashes) -> Result<Verified, NotVerified> {
        Verified::check(&self.delivered, &self.bytes, expected)
    }

    fn is_asked(&self, block: Block) -> bool {
        self.asked.contains(&block.begin) && block == self.block(block.begin)
    }

    fn block(&self, begin: u32) -> Block {
        Block {
            piece: self.piece,
            begin,
            len: BLOCK_LEN.min(self.len - begin),
        }
    }
}

/// The grade of a block that [`skep_proto::peer::PeerConn`] says has arrived: it says so only of
/// blocks that were asked for.
pub(crate) fn deliver(
    claimed: Claimed,
    block: Block,
    payload: &[u8],
) -> Result<Delivered, NotDelivered> {
    Delivered::from_payload(claimed, block, block, payload)
}
