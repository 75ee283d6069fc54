//! Payload on its way from the sockets to the writer: stretches of pieces, in a bounded number of
//! buffers.
//!
//! ```text
//! piece   |------ stripe 0 ------|------ stripe 1 ------|-- 2 --|      64 KiB each, 4 blocks
//!          whole: to the writer    arriving: a buffer    nothing yet: no memory
//! ```
//!
//! A stripe has a buffer from its first payload until it is written. So a download needs memory for
//! what is arriving and not for whole pieces, however large they are. Where strangers send blocks in
//! such an order that many stripes are begun and none is whole, the unfinished ones are written as they
//! are; what they lack gets a new buffer when it comes. Only a block that is half there cannot wait on
//! the disk: each peer may be in the middle of one, slow ones always are, and so there are buffers for
//! every peer and for those that are fast besides. That is why stripes are small.

use std::collections::HashMap;

use skep_wire::{Block, PieceIndex, piece::BLOCK_LEN};

use crate::disk::writer::StripeJob;

/// Length of a stripe in bytes, of the last one of a piece at most: the least that is written in one
/// call as long as nothing runs short. 200 peers in the middle of a block hold 12.5 MiB of them.
pub(crate) const STRIPE_LEN: u32 = 4 * BLOCK_LEN;

/// One read from a socket may begin so many stripes: those that it was meant for, and those of the
/// blocks that follow unasked in the same call.
pub(super) const ROOM: usize = 24;

/// The fewest buffers with which a download works, beside one for each peer.
const STRIPES_MIN: usize = 2 * ROOM;

/// A stripe's place: its piece, and its number in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct StripeKey {
    pub(super) piece: PieceIndex,
    pub(super) number: u32,
}

impl StripeKey {
    /// The stripe that holds a block. Blocks that we ask for never lie in two.
    pub(super) fn of(block: Block) -> Self {
        Self {
            piece: block.piece,
            number: block.begin / STRIPE_LEN,
        }
    }

    /// Offset of its first byte in the piece.
    pub(super) fn begin(self) -> u32 {
        self.number * STRIPE_LEN
    }
}

/// A stripe that is arriving.
#[derive(Debug)]
struct Stripe {
    buf: Vec<u8>,
    /// One bit for each block that is there.
    there: u16,
    /// When it was last touched, by count of touches.
    touched: u64,
}

/// The stripes of one session.
#[derive(Debug)]
pub(super) struct Stripes {
    open: HashMap<StripeKey, Stripe>,
    spare: Vec<Vec<u8>>,
    /// How many buffers the writer has, or the disk refused.
    away: usize,
    count_max: usize,
    buf_len: usize,
    touches: u64,
}

impl Stripes {
    /// At most `bytes_max` bytes of buffers, but never fewer than a download from so many peers needs:
    /// 64 KiB for each and 3 MiB, or less where pieces are smaller than a stripe.
    pub(super) fn new(piece_len: u32, bytes_max: u64, peers_max: usize) -> Self {
        let buf_len = piece_len.clamp(1, STRIPE_LEN);
        let count_max = usize::try_from(bytes_max / u64::from(buf_len)).unwrap_or(usize::MAX);
        Self {
            open: HashMap::new(),
            spare: Vec::new(),
            away: 0,
            count_max: count_max.max(peers_max.saturating_add(STRIPES_MIN)),
            buf_len: buf_len as usize,
            touches: 0,
        }
    }

    /// How many stripes can be begun before there is no memory left.
    pub(super) fn free(&self) -> usize {
        self.count_max.saturating_sub(self.open.len() + self.away)
    }

    /// Takes the buffer of a stripe of `len` bytes to read into, made if there is none. It must be put
    /// back before anything else is done with the stripe.
    pub(super) fn take(&mut self, key: StripeKey) -> Vec<u8> {
        self.touches += 1;
        let touches = self.touches;
        if let Some(stripe) = self.open.get_mut(&key) {
            stripe.touched = touches;
            return std::mem::take(&mut stripe.buf);
        }
        let stripe = Stripe {
            buf: Vec::new(),
            there: 0,
            touched: touches,
        };
        self.open.insert(key, stripe);
        // Fresh zeroed pages come from the system for nothing.
        self.spare.pop().unwrap_or_else(|| vec![0; self.buf_len])
    }

    /// Puts a buffer back that [`Stripes::take`] gave.
    pub(super) fn put(&mut self, key: StripeKey, buf: Vec<u8>) {
        let stripe = self.open.get_mut(&key);
        stripe
            .expect("a stripe stays while its buffer is taken")
            .buf = buf;
    }

    /// Copies a part of a payload to its place.
    pub(super) fn copy(&mut self, block: Block, offset: u32, bytes: &[u8]) {
        let key = StripeKey::of(block);
        let mut buf = self.take(key);
        let begin = (block.begin - key.begin() + offset) as usize;
        buf[begin..begin + bytes.len()].copy_from_slice(bytes);
        self.put(key, buf);
    }

    /// The bytes at a block's place, if its stripe has a buffer.
    pub(super) fn bytes(&self, block: Block) -> Option<&[u8]> {
        let key = StripeKey::of(block);
        let begin = (block.begin - key.begin()) as usize;
        Some(&self.open.get(&key)?.buf[begin..begin + block.len as usize])
    }

    /// All of a block is in its place. Returns the stripe if that makes it whole.
    pub(super) fn arrived(&mut self, block: Block, piece_size: u32) -> Option<StripeJob> {
        let key = StripeKey::of(block);
        let stripe = self.open.get_mut(&key)?;
        stripe.there |= 1 << ((block.begin - key.begin()) / BLOCK_LEN);
        let blocks = stripe_len(key, piece_size).div_ceil(BLOCK_LEN);
        let whole = stripe.there.count_ones() == blocks;
        if whole {
            self.close(key, piece_size)
        } else {
            None
        }
    }

    /// Hands over the stripes of a piece that are not whole: the others were written before.
    pub(super) fn close_piece(&mut self, piece: PieceIndex, piece_size: u32) -> Vec<StripeJob> {
        let mut keys: Vec<StripeKey> = self.open.keys().copied().collect();
        keys.retain(|key| key.piece == piece);
        keys.sort_unstable();
        keys.into_iter()
            .filter_map(|key| self.close(key, piece_size))
            .collect()
    }

    /// Hands over up to `count` of the stripes that were touched longest ago, but those that `is_busy`
    /// says have a block half there.
    pub(super) fn spill(
        &mut self,
        count: usize,
        is_busy: impl Fn(StripeKey) -> bool,
        piece_size: impl Fn(PieceIndex) -> u32,
    ) -> Vec<StripeJob> {
        let mut oldest: Vec<(u64, StripeKey)> = self
            .open
            .iter()
            .map(|(&key, stripe)| (stripe.touched, key))
            .collect();
        oldest.retain(|&(_, key)| !is_busy(key));
        oldest.sort_unstable();
        oldest.truncate(count);
        let keys = oldest.into_iter().map(|(_, key)| key);
        keys.filter_map(|key| self.close(key, piece_size(key.piece)))
            .collect()
    }

    /// Forgets what is arriving of a piece.
    pub(super) fn forget(&mut self, piece: PieceIndex) {
        let spare = &mut self.spare;
        self.open.retain(|key, stripe| {
            let keep = key.piece != piece;
            if !keep {
                spare.push(std::mem::take(&mut stripe.buf));
            }
            keep
        });
    }

    /// The writer is done with a buffer.
    pub(super) fn give_back(&mut self, buf: Vec<u8>) {
        self.away -= 1;
        self.spare.push(buf);
    }

    fn close(&mut self, key: StripeKey, piece_size: u32) -> Option<StripeJob> {
        let stripe = self.open.remove(&key)?;
        if stripe.there == 0 {
            // Nothing but guesses was read there.
            self.spare.push(stripe.buf);
            return None;
        }
        self.away += 1;
        Some(StripeJob {
            piece: key.piece,
            begin: key.begin(),
            len: stripe_len(key, piece_size),
            buf: stripe.buf,
            there: stripe.there,
            is_retry: false,
        })
    }
}

fn stripe_len(key: StripeKey, piece_size: u32) -> u32 {
    piece_size.saturating_sub(key.begin()).min(STRIPE_LEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: PieceIndex = PieceIndex(7);
    const SIZE: u32 = STRIPE_LEN + 3 * BLOCK_LEN - 100;

    fn block(n: u32) -> Block {
        let begin = n * BLOCK_LEN;
        Block {
            piece: PIECE,
            begin,
            len: BLOCK_LEN.min(SIZE - begin),
        }
    }

    fn arrive(stripes: &mut Stripes, n: u32) -> Option<StripeJob> {
        let block = block(n);
        stripes.copy(block, 0, &vec![n as u8; block.len as usize]);
        stripes.arrived(block, SIZE)
    }

    #[test]
    fn a_stripe_goes_to_the_writer_when_its_last_block_comes_in_whatever_order() {
        let mut stripes = Stripes::new(SIZE, u64::MAX, 0);
        for n in (1..4).rev() {
            assert_eq!(arrive(&mut stripes, n), None);
        }
        let job = arrive(&mut stripes, 0).expect("whole");
        assert_eq!((job.begin, job.len, job.there), (0, STRIPE_LEN, 0b1111));
        assert!(
            job.buf
                .chunks(BLOCK_LEN as usize)
                .zip(0u8..)
                .all(|(bytes, n)| bytes == [n; BLOCK_LEN as usize])
        );
        assert_eq!(arrive(&mut stripes, 6), None);
        assert_eq!(arrive(&mut stripes, 4), None);
        let job = arrive(&mut stripes, 5).expect("whole");
        assert_eq!(
            (job.begin, job.len, job.there),
            (STRIPE_LEN, 3 * BLOCK_LEN - 100, 0b111)
        );
    }

    #[test]
    fn unfinished_stripes_make_room_oldest_first_and_busy_ones_stay() {
        let mut stripes = Stripes::new(1 << 20, 0, 0);
        assert_eq!(stripes.free(), STRIPES_MIN);
        for n in 0..STRIPES_MIN as u32 {
            let block = Block {
                piece: PieceIndex(n),
                begin: 0,
                len: BLOCK_LEN,
            };
            stripes.copy(block, 0, &[1; BLOCK_LEN as usize]);
            assert_eq!(stripes.arrived(block, 1 << 20), None);
        }
        assert_eq!(stripes.free(), 0);
        let busy = |key: StripeKey| key.piece == PieceIndex(0);
        let jobs = stripes.spill(2, busy, |_| 1 << 20);
        let pieces: Vec<u32> = jobs.iter().map(|job| job.piece.0).collect();
        assert_eq!(pieces, [1, 2]);
        assert_eq!(stripes.free(), 0, "the writer has their buffers");
        jobs.into_iter().for_each(|job| stripes.give_back(job.buf));
        assert_eq!(stripes.free(), 2);
    }

    /// As many peers as may be, each in the middle of a block that does not come on, leave one that is fast
    /// all the room it needs, however little memory is allowed.
    #[test]
    fn slow_peers_leave_room_for_a_fast_one() {
        for (peers, bytes_max) in [(200, 0), (200, 16 << 20), (1000, 16 << 20)] {
            let mut stripes = Stripes::new(1 << 20, bytes_max, peers);
            for n in 0..peers as u32 {
                let (begin, len) = (0, BLOCK_LEN);
                let piece = PieceIndex(n);
                stripes.copy(Block { piece, begin, len }, 0, b"the first bytes");
            }
            assert!(stripes.free() >= ROOM);
        }
    }

    #[test]
    fn a_piece_that_is_given_up_leaves_nothing() {
        let mut stripes = Stripes::new(SIZE, 0, 0);
        assert_eq!(arrive(&mut stripes, 3), None);
        assert_eq!(arrive(&mut stripes, 5), None);
        stripes.forget(PIECE);
        assert_eq!(stripes.free(), STRIPES_MIN);
        assert_eq!(stripes.close_piece(PIECE, SIZE), []);
    }
}
