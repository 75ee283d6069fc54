//! Pieces and blocks.

use std::sync::Arc;

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

/// How long every piece of a torrent is. All but a few have the torrent's piece length: in version 1
/// the last may be shorter, in version 2 (BEP 52) the last of every file.
///
/// A copy shares what it holds: it costs nothing to give one to each connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PieceSizes {
    piece_len: u32,
    count: u32,
    /// The pieces that are shorter, ascending.
    short: Arc<[(PieceIndex, u32)]>,
    /// Whether a gap follows each short piece: version 2.
    has_gaps: bool,
    size_bytes: u64,
}

/// Why a list of short pieces is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PieceSizesError {
    /// A piece that the torrent does not have, or not after the one before it.
    #[error("short piece {} is not after the one before it, or not below {count}", piece.0)]
    Order {
        /// The piece.
        piece: PieceIndex,
        /// How many pieces there are.
        count: u32,
    },
    /// A piece of no bytes, or not shorter than the others.
    #[error("short piece {} has {len} bytes, not from 1 to below {piece_len}", piece.0)]
    Len {
        /// The piece.
        piece: PieceIndex,
        /// Its length in bytes.
        len: u32,
        /// The length of the others.
        piece_len: u32,
    },
}

impl PieceSizes {
    /// The pieces of `size_bytes` bytes that are cut every `piece_len`: a version 1 torrent, or one
    /// file. A piece length of 0 makes no pieces.
    pub fn uniform(piece_len: u32, size_bytes: u64) -> Self {
        let count = size_bytes.checked_div(piece_len.into()).unwrap_or(0);
        let left = size_bytes.checked_rem(piece_len.into()).unwrap_or(0) as u32;
        let full = u32::try_from(count).unwrap_or(u32::MAX);
        // No torrent has so many pieces that one more does not fit.
        let last = (left > 0 && full < u32::MAX).then_some((PieceIndex(full), left));
        Self {
            piece_len,
            count: full + u32::from(last.is_some()),
            short: last.into_iter().collect(),
            has_gaps: false,
            size_bytes: u64::from(full) * u64::from(piece_len) + last.map_or(0, |_| left.into()),
        }
    }

    /// `count` pieces of `piece_len` bytes but for those in `short`, which ascend: a version 2 torrent.
    ///
    /// # Errors
    ///
    /// [`PieceSizesError`] names the first of `short` that does not ascend or is not shorter.
    pub fn with_short(
        piece_len: u32,
        count: u32,
        short: impl IntoIterator<Item = (PieceIndex, u32)>,
    ) -> Result<Self, PieceSizesError> {
        let short: Arc<[(PieceIndex, u32)]> = short.into_iter().collect();
        let mut size_bytes = u64::from(count) * u64::from(piece_len);
        let mut next = 0;
        for &(piece, len) in short.iter() {
            if piece.0 < next || piece.0 >= count {
                return Err(PieceSizesError::Order { piece, count });
            }
            if len == 0 || len >= piece_len {
                return Err(PieceSizesError::Len {
                    piece,
                    len,
                    piece_len,
                });
            }
            next = piece.0 + 1;
            size_bytes -= u64::from(piece_len - len);
        }
        Ok(Self {
            piece_len,
            count,
            short,
            has_gaps: true,
            size_bytes,
        })
    }

    /// The length of most pieces, in bytes.
    pub fn piece_len(&self) -> u32 {
        self.piece_len
    }

    /// How many pieces there are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The length of `piece` in bytes; 0 for an index outside the torrent.
    pub fn size(&self, piece: PieceIndex) -> u32 {
        if piece.0 >= self.count {
            return 0;
        }
        match self.short.binary_search_by_key(&piece, |&(piece, _)| piece) {
            Ok(at) => self.short[at].1,
            Err(_) => self.piece_len,
        }
    }

    /// How far a peer's request may reach in `piece`, in bytes; 0 for an index outside the torrent. In
    /// version 2 a short piece is followed by a gap, and clients that think of the gap as a file of zeroes
    /// (libtorrent 2.0) ask for whole blocks there, even in the last piece: they get zeroes.
    pub fn reach(&self, piece: PieceIndex) -> u32 {
        let has_gap = self.has_gaps && piece.0 < self.count;
        if has_gap {
            self.piece_len
        } else {
            self.size(piece)
        }
    }

    /// Sum of the pieces' lengths in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Where `piece` begins in the piece space, in bytes: pieces lie there `piece_len` apart, with a
    /// gap after each short one.
    pub fn begin(&self, piece: PieceIndex) -> u64 {
        u64::from(piece.0) * u64::from(self.piece_len)
    }

    /// Where the last piece ends in the piece space, in bytes.
    pub fn extent(&self) -> u64 {
        self.count.checked_sub(1).map_or(0, |last| {
            let last = PieceIndex(last);
            self.begin(last) + u64::from(self.size(last))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn requests_may_reach_into_the_gaps_of_version_2_only() {
        let v1 = PieceSizes::uniform(100, 250);
        assert_eq!(
            [0, 1, 2, 3].map(|n| v1.reach(PieceIndex(n))),
            [100, 100, 50, 0]
        );
        let short = [(PieceIndex(1), 7), (PieceIndex(2), 50)];
        let v2 = PieceSizes::with_short(100, 3, short).expect("sizes");
        assert_eq!(
            [0, 1, 2, 3].map(|n| v2.reach(PieceIndex(n))),
            [100, 100, 100, 0]
        );
    }

    #[test]
    fn pieces_of_version_1_are_alike_but_for_the_last() {
        for (piece_len, size_bytes, count, last) in [
            (100, 0, 0, 0),
            (0, 100, 0, 0),
            (100, 1, 1, 1),
            (100, 100, 1, 100),
            (100, 101, 2, 1),
            (100, 399, 4, 99),
        ] {
            let sizes = PieceSizes::uniform(piece_len, size_bytes);
            assert_eq!(sizes.count(), count);
            assert_eq!(sizes.size(PieceIndex(count.wrapping_sub(1))), last);
            assert_eq!(sizes.size(PieceIndex(count)), 0);
            let size_bytes = if piece_len == 0 { 0 } else { size_bytes };
            assert_eq!(sizes.size_bytes(), size_bytes);
            assert_eq!(sizes.extent(), size_bytes);
        }
        let most = PieceSizes::uniform(1, u64::MAX);
        assert_eq!((most.count(), most.extent()), (u32::MAX, u32::MAX.into()));
    }

    #[test]
    fn a_short_piece_in_the_middle_leaves_a_gap() {
        let short = [(PieceIndex(1), 10), (PieceIndex(3), 99)];
        let sizes = PieceSizes::with_short(100, 4, short).unwrap();
        let lens = (0..5).map(|n| sizes.size(PieceIndex(n)));
        assert!(lens.eq([100, 10, 100, 99, 0]));
        assert_eq!(sizes.begin(PieceIndex(2)), 200);
        assert_eq!((sizes.size_bytes(), sizes.extent()), (309, 399));
    }

    #[test]
    fn a_list_that_does_not_ascend_or_is_not_short_is_refused() {
        let of = |short: &[(u32, u32)]| {
            let short = short.iter().map(|&(piece, len)| (PieceIndex(piece), len));
            PieceSizes::with_short(100, 4, short)
        };
        for (short, piece) in [
            (&[(4, 1)][..], 4),
            (&[(2, 1), (2, 1)], 2),
            (&[(2, 1), (1, 1)], 1),
        ] {
            let (piece, count) = (PieceIndex(piece), 4);
            assert_eq!(of(short), Err(PieceSizesError::Order { piece, count }));
        }
        for len in [0, 100, 101] {
            let (piece, piece_len) = (PieceIndex(2), 100);
            let error = PieceSizesError::Len {
                piece,
                len,
                piece_len,
            };
            assert_eq!(of(&[(2, len)]), Err(error));
        }
    }

    proptest! {
        #[test]
        fn one_file_has_the_same_pieces_in_both_versions(piece_len in 1u32..1000, size_bytes in 0u64..100_000) {
            let uniform = PieceSizes::uniform(piece_len, size_bytes);
            let last = (size_bytes % u64::from(piece_len)) as u32;
            let short = (last > 0).then(|| (PieceIndex(uniform.count() - 1), last));
            let listed = PieceSizes::with_short(piece_len, uniform.count(), short);
            let uniform = PieceSizes { has_gaps: true, ..uniform };
            prop_assert_eq!(listed, Ok(uniform));
        }
    }
}
