//! Whether the bytes of a piece are what the torrent says: by SHA-1 of the piece (BEP 3), by the root of
//! its part of its file's tree (BEP 52), or by both.
//!
//! Bytes may come in any order and in parts. A SHA-1 needs them in order, so what comes before its turn is
//! read again from the file when the piece is judged; the leaves of a tree need no order.

use skep_hash::{
    Sha1, Sha256Digest,
    lanes::{self, Stream},
    merkle,
};
use skep_wire::{
    PieceIndex,
    metainfo::{Info, PieceV2},
    piece::BLOCK_LEN,
};

use super::{
    DiskError,
    files::{CALL_BYTES_MAX, Files},
};

/// What the hashes say of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// It has every hash that the torrent names for it.
    Good,
    /// It has none of them.
    Bad,
    /// A hybrid's two hashes contradict each other: no bytes can have both.
    Torn {
        /// Whether it is the SHA-1 of version 1 that the piece has, rather than its root in version 2.
        has_v1: bool,
    },
}

/// The hashes of a piece as far as its bytes have come.
#[derive(Default)]
pub(super) struct Hashing {
    sha1: Stream<Sha1>,
    /// How many bytes, from the first on, are in `sha1`.
    hashed: u32,
    /// The leaves of the piece's blocks, as far as they are known.
    leaves: Vec<Option<Sha256Digest>>,
}

/// A stretch of a piece that is there, or some blocks of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch<'a> {
    pub(super) piece: PieceIndex,
    /// Offset of the first byte in the piece, a multiple of a block.
    pub(super) begin: u32,
    pub(super) bytes: &'a [u8],
    /// One bit for each block that is there.
    pub(super) there: u16,
}

impl Stretch<'_> {
    fn is_whole(&self) -> bool {
        let blocks = self.bytes.len().div_ceil(BLOCK_LEN as usize) as u32;
        self.there.trailing_ones() >= blocks
    }
}

/// Hashes stretches of several pieces at once. `hashing` has, and keeps, the state of each piece; of the
/// stretches of one piece, the earlier ones come first.
pub(super) fn hash_in_step(info: &Info, hashing: &mut impl Pieces, stretches: &[Stretch<'_>]) {
    if info.version.has_v1() {
        let mut left: Vec<&Stretch<'_>> = stretches.iter().filter(|one| one.is_whole()).collect();
        while !left.is_empty() {
            let mut round: Vec<(PieceIndex, Stream<Sha1>, &[u8])> = Vec::new();
            left.retain(|one| {
                let state = hashing.piece(one.piece);
                let is_next = state.hashed == one.begin;
                if is_next && !round.iter().any(|(piece, ..)| *piece == one.piece) {
                    state.hashed += one.bytes.len() as u32;
                    round.push((one.piece, std::mem::take(&mut state.sha1), one.bytes));
                    return false;
                }
                true
            });
            if round.is_empty() {
                break;
            }
            let mut parts: Vec<_> = round
                .iter_mut()
                .map(|(_, stream, bytes)| (stream, *bytes))
                .collect();
            lanes::update_each(&mut parts);
            for (piece, stream, _) in round {
                hashing.piece(piece).sha1 = stream;
            }
        }
    }
    if info.version.has_v2() {
        let mut places = Vec::new();
        let mut blocks = Vec::new();
        for one in stretches {
            let Some(v2) = info.piece_v2(one.piece) else {
                continue;
            };
            for (n, block) in one.bytes.chunks(BLOCK_LEN as usize).enumerate() {
                let begin = one.begin + n as u32 * BLOCK_LEN;
                // Padding is no part of the file's tree.
                let len = v2.len.saturating_sub(begin).min(block.len() as u32);
                if one.there & (1 << n) != 0 && len > 0 {
                    places.push((one.piece, begin / BLOCK_LEN, v2));
                    blocks.push(&block[..len as usize]);
                }
            }
        }
        for ((piece, number, v2), leaf) in places.into_iter().zip(lanes::sha256_each(&blocks)) {
            let leaves = hashing.piece(piece).leaves_of(v2);
            leaves[number as usize] = Some(leaf);
        }
    }
}

/// The states of pieces, made when they are first asked for.
pub(super) trait Pieces {
    fn piece(&mut self, piece: PieceIndex) -> &mut Hashing;
}

impl Pieces for std::collections::HashMap<PieceIndex, Hashing> {
    fn piece(&mut self, piece: PieceIndex) -> &mut Hashing {
        self.entry(piece).or_default()
    }
}

impl Hashing {
    fn leaves_of(&mut self, piece: PieceV2) -> &mut Vec<Option<Sha256Digest>> {
        if self.leaves.is_empty() {
            self.leaves = vec![None; piece.len.div_ceil(BLOCK_LEN) as usize];
        }
        &mut self.leaves
    }

    /// Compares the hashes of a piece all of which is in the files; what was not hashed as it came is read.
    pub(super) fn judge(
        &mut self,
        info: &Info,
        piece: PieceIndex,
        files: &mut Files,
    ) -> Result<Finding, DiskError> {
        let v1 = match info.pieces.get(piece.0 as usize) {
            Some(expected) => {
                self.read_for_sha1(info, piece, files)?;
                Some(self.sha1.clone().finish() == *expected)
            }
            None => None,
        };
        let v2 = match info.piece_v2(piece) {
            Some(expected) => {
                self.read_for_leaves(info, piece, expected, files)?;
                let leaves: Vec<_> = self
                    .leaves
                    .iter()
                    .map(|leaf| leaf.unwrap_or_default())
                    .collect();
                Some(merkle::root(&leaves, expected.width.into()) == expected.root)
            }
            None => None,
        };
        Ok(match (v1, v2) {
            (Some(has_v1), Some(has_v2)) if has_v1 != has_v2 => Finding::Torn { has_v1 },
            (Some(true), _) | (None, Some(true)) => Finding::Good,
            (Some(false), _) | (None, Some(false) | None) => Finding::Bad,
        })
    }

    fn read_for_sha1(
        &mut self,
        info: &Info,
        piece: PieceIndex,
        files: &mut Files,
    ) -> Result<(), DiskError> {
        let (size, start) = (info.piece_size(piece), start_of(info, piece));
        let mut buf = vec![0; CALL_BYTES_MAX.min((size - self.hashed) as usize)];
        while self.hashed < size {
            let part = buf.len().min((size - self.hashed) as usize);
            let part = &mut buf[..part];
            read(files, start + u64::from(self.hashed), part)?;
            self.sha1.update(part);
            self.hashed += part.len() as u32;
        }
        Ok(())
    }

    fn read_for_leaves(
        &mut self,
        info: &Info,
        piece: PieceIndex,
        v2: PieceV2,
        files: &mut Files,
    ) -> Result<(), DiskError> {
        let start = start_of(info, piece);
        let mut buf = [0; BLOCK_LEN as usize];
        for (leaf, begin) in self
            .leaves_of(v2)
            .iter_mut()
            .zip((0..).step_by(BLOCK_LEN as usize))
        {
            if leaf.is_none() {
                let part = &mut buf[..BLOCK_LEN.min(v2.len - begin) as usize];
                read(files, start + u64::from(begin), part)?;
                *leaf = Some(merkle::leaf(part));
            }
        }
        Ok(())
    }
}

/// Where a piece begins in the piece space.
pub(super) fn start_of(info: &Info, piece: PieceIndex) -> u64 {
    u64::from(piece.0) * u64::from(info.piece_len)
}

/// Reads what should be there. What is not has no hash that fits, so zeroes do.
pub(super) fn read(files: &mut Files, offset: u64, part: &mut [u8]) -> Result<(), DiskError> {
    if !files.read_at(offset, part)? {
        part.fill(0);
    }
    Ok(())
}
