//! Which block to ask of whom next.
//!
//! A piece under way has an owner, the peer that began it, and as a rule only the owner is asked for
//! it: a piece that comes from one sender alone is whole soon, and if it is bad its sender is known.
//! A peer is asked, in this order, for
//!
//! 1. missing blocks of pieces that it owns;
//! 2. missing blocks of pieces whose owner is gone or does not deliver: it becomes the owner;
//! 3. a new piece: the rarest that it has, by chance among equals; the first few pieces quite by
//!    chance (BEP 3: everyone's first rarest piece would be the same, and slow);
//! 4. missing blocks of anybody's pieces, those with the fewest missing first;
//! 5. blocks that are outstanding elsewhere and would come sooner from this peer: see
//!    `Torrent::relieve`.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use skep_wire::{Bitfield, Block, Moment, PieceIndex, PieceSizes};

use super::{PeerKey, RANDOM_FIRST_PIECES, STUCK_SECS, partial::Partial, rarity::Rarity};
use crate::rng::Rng;

/// The state of every piece of a torrent.
#[derive(Debug)]
pub(super) struct Picker {
    sizes: PieceSizes,
    have: Bitfield,
    held: u32,
    /// Sum of the lengths of the missing pieces, in bytes.
    left_bytes: u64,
    /// How many peers claim each piece, those that claim all of them not counted.
    rarity: Rarity,
    partials: BTreeMap<PieceIndex, Partial>,
    /// The pieces under way that have missing blocks: mostly few, one for each busy peer.
    unasked: BTreeSet<PieceIndex>,
    partials_max: usize,
}

/// What the picker needs to know of a peer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) peer: PeerKey,
    pub(super) pieces: &'a Bitfield,
    /// While it chokes us: the only pieces that it allows (BEP 6).
    pub(super) only: Option<&'a [PieceIndex]>,
    /// It sent blocks of a bad piece with others: it gets pieces of its own only.
    pub(super) parole: bool,
    /// The piece that it was last asked for.
    pub(super) current: Option<PieceIndex>,
}

impl Asker<'_> {
    fn may(&self, piece: PieceIndex) -> bool {
        self.pieces.has(piece) && self.only.is_none_or(|only| only.contains(&piece))
    }
}

impl Picker {
    pub(super) fn new(have: Bitfield, sizes: PieceSizes, partials_max: usize, rng: Rng) -> Self {
        let held_bytes: u64 = have.iter().map(|piece| u64::from(sizes.size(piece))).sum();
        Self {
            left_bytes: sizes.size_bytes().saturating_sub(held_bytes),
            sizes,
            held: have.count(),
            rarity: Rarity::new(&have, rng),
            have,
            partials: BTreeMap::new(),
            unasked: BTreeSet::new(),
            partials_max: partials_max.max(1),
        }
    }

    pub(super) fn have(&self) -> &Bitfield {
        &self.have
    }

    pub(super) fn held(&self) -> u32 {
        self.held
    }

    pub(super) fn is_complete(&self) -> bool {
        self.held == self.have.piece_count()
    }

    pub(super) fn partial_count(&self) -> usize {
        self.partials.len()
    }

    pub(super) fn left_bytes(&self) -> u64 {
        self.left_bytes
    }

    pub(super) fn piece_size(&self, piece: PieceIndex) -> u32 {
        self.sizes.size(piece)
    }

    /// How many pieces of the set we lack.
    pub(super) fn wanted(&self, pieces: &Bitfield) -> u32 {
        let pairs = pieces.as_bytes().iter().zip(self.have.as_bytes());
        pairs
            .map(|(theirs, ours)| (theirs & !ours).count_ones())
            .sum()
    }

    /// A peer claims one more piece.
    pub(super) fn count_have(&mut self, piece: PieceIndex) {
        self.rarity.add(piece);
    }

    /// A peer claims a set of pieces. A full one changes no order and is not counted.
    pub(super) fn count_set(&mut self, pieces: &Bitfield) {
        if !pieces.is_full() {
            pieces.iter().for_each(|piece| self.rarity.add(piece));
        }
    }

    /// A peer that claimed `pieces`, counted as they are here, is gone.
    pub(super) fn uncount(&mut self, pieces: &Bitfield) {
        pieces.iter().for_each(|piece| self.rarity.remove(piece));
    }

    pub(super) fn partial(&self, piece: PieceIndex) -> Option<&Partial> {
        self.partials.get(&piece)
    }

    /// For what happens to blocks that are outstanding or there; asking and releasing go through the
    /// picker, which keeps a list.
    pub(super) fn partial_mut(&mut self, piece: PieceIndex) -> Option<&mut Partial> {
        self.partials.get_mut(&piece)
    }

    /// The next block to ask of a peer, by steps 1 to 4. A new piece is begun for it; `exclusive`
    /// says whether that must have one sender only.
    pub(super) fn pick(
        &mut self,
        asker: Asker<'_>,
        exclusive: impl Fn(PieceIndex) -> bool,
        now: Moment,
    ) -> Option<Block> {
        let owned = self.pick_current(asker);
        let owned = owned.or_else(|| self.pick_owned(asker, now));
        if owned.is_some() {
            return owned;
        }
        if let Some(piece) = self.pick_new(asker) {
            let mut partial = Partial::new(piece, self.piece_size(piece), asker.peer, now);
            partial.exclusive = exclusive(piece);
            let block = partial.next_missing();
            self.unasked.insert(piece);
            self.rarity.close(piece);
            self.partials.insert(piece, partial);
            return block;
        }
        self.pick_shared(asker)
    }

    /// The piece that the peer was last asked for: nearly always the answer.
    fn pick_current(&mut self, asker: Asker<'_>) -> Option<Block> {
        let piece = asker.current.filter(|&piece| asker.may(piece))?;
        let partial = self.partials.get_mut(&piece)?;
        if partial.owner == Some(asker.peer) {
            partial.next_missing()
        } else {
            None
        }
    }

    /// A peer on parole does not add to what others began, unless nobody else has for long.
    fn pick_owned(&mut self, asker: Asker<'_>, now: Moment) -> Option<Block> {
        let mut orphan = None;
        for &piece in self.unasked.iter().filter(|&&piece| asker.may(piece)) {
            let Some(partial) = self.partials.get_mut(&piece) else {
                continue;
            };
            if partial.owner == Some(asker.peer) {
                return partial.next_missing();
            }
            let is_stuck = partial.idle_for(now) >= Duration::from_secs(STUCK_SECS);
            let may_add = !asker.parole || partial.arrived() == 0 || is_stuck;
            let may_adopt = partial.owner.is_none() && may_add;
            if may_adopt && orphan.is_none() {
                orphan = Some(piece);
            }
        }
        let partial = self.partials.get_mut(&orphan?)?;
        partial.owner = Some(asker.peer);
        partial.next_missing()
    }

    fn pick_new(&mut self, asker: Asker<'_>) -> Option<PieceIndex> {
        if self.partials.len() >= self.partials_max {
            None
        } else if self.held < RANDOM_FIRST_PIECES {
            self.rarity.by_chance().find(|&piece| asker.may(piece))
        } else {
            self.rarity.rarest().find(|&piece| asker.may(piece))
        }
    }

    fn pick_shared(&mut self, asker: Asker<'_>) -> Option<Block> {
        if asker.parole {
            return None;
        }
        let open = self.unasked.iter().filter(|&&piece| asker.may(piece));
        let shared = open.filter_map(|&piece| {
            let partial = self
                .partials
                .get(&piece)
                .filter(|partial| !partial.exclusive)?;
            Some((partial.missing(), piece))
        });
        let (_, piece) = shared.min()?;
        self.partials.get_mut(&piece)?.next_missing()
    }

    /// Whether every missing piece is under way, or as many as may be: nothing new can be begun.
    pub(super) fn is_end_game(&self) -> bool {
        self.rarity.open() == 0 || self.partials.len() >= self.partials_max
    }

    /// Step 5: whether a block that is outstanding elsewhere may be asked of this peer.
    pub(super) fn may_share(&self, asker: Asker<'_>, block: Block) -> bool {
        !asker.parole
            && asker.may(block.piece)
            && self
                .partials
                .get(&block.piece)
                .is_some_and(|partial| !partial.exclusive && partial.may_share(block, asker.peer))
    }

    /// Whether it may be asked of one more peer and stay where it is asked for.
    pub(super) fn may_copy(&self, block: Block) -> bool {
        let partial = self.partials.get(&block.piece);
        partial.is_some_and(|partial| partial.may_copy(block))
    }

    /// The peer was asked for the block.
    pub(super) fn ask(&mut self, block: Block, peer: PeerKey) {
        if let Some(partial) = self.partials.get_mut(&block.piece) {
            partial.ask(block, peer);
            if partial.missing() == 0 {
                self.unasked.remove(&block.piece);
            }
        }
    }

    /// The peer will not send the block.
    pub(super) fn release(&mut self, block: Block, peer: PeerKey, now: Moment) {
        if let Some(partial) = self.partials.get_mut(&block.piece) {
            partial.release(block, peer, now);
            if partial.missing() > 0 {
                self.unasked.insert(block.piece);
            }
        }
    }

    /// The peer owns no piece any more.
    pub(super) fn disown(&mut self, peer: PeerKey) {
        for partial in self
            .partials
            .values_mut()
            .filter(|partial| partial.owner == Some(peer))
        {
            partial.owner = None;
        }
    }

    /// The verdict on a whole piece has come. Returns who sent its blocks, in order; `None` if there
    /// was no such piece at the driver.
    pub(super) fn judge(&mut self, piece: PieceIndex, good: bool) -> Option<Vec<SocketAddr>> {
        let partial = self
            .partials
            .get(&piece)
            .filter(|partial| partial.verifying)?;
        let senders = partial.senders();
        self.partials.remove(&piece);
        if good {
            if self.have.insert(piece) {
                self.held += 1;
                self.left_bytes -= u64::from(self.piece_size(piece));
            }
        } else {
            self.rarity.open_again(piece);
        }
        Some(senders)
    }

    /// Who sent the blocks of a whole piece that is with the driver, in order.
    pub(super) fn senders(&self, piece: PieceIndex) -> Option<Vec<SocketAddr>> {
        let partial = self.partials.get(&piece)?;
        partial.verifying.then(|| partial.senders())
    }

    /// Of a whole piece these blocks are bad: they are missing again. Returns each with who sent it.
    pub(super) fn reopen(
        &mut self,
        piece: PieceIndex,
        bad: &[usize],
        now: Moment,
    ) -> Vec<(Block, SocketAddr)> {
        let Some(partial) = self.partials.get_mut(&piece) else {
            return Vec::new();
        };
        let sent = partial.reopen(bad, now);
        if partial.missing() > 0 {
            self.unasked.insert(piece);
        }
        sent
    }

    /// A piece that was there is there no longer; `false` if it was not.
    pub(super) fn lose(&mut self, piece: PieceIndex) -> bool {
        let was_there = self.have.remove(piece);
        if was_there {
            self.held -= 1;
            self.left_bytes += u64::from(self.piece_size(piece));
            self.rarity.open_again(piece);
        }
        was_there
    }

    /// A peer that claimed a piece takes it back. One that had claimed them all was not counted; what
    /// it claims now is.
    pub(super) fn uncount_one(&mut self, piece: PieceIndex) {
        self.rarity.remove(piece);
    }

    /// The peer can go on no more with a piece.
    pub(super) fn disown_piece(&mut self, piece: PieceIndex, peer: PeerKey) {
        if let Some(partial) = self.partials.get_mut(&piece) {
            partial.owner = partial.owner.filter(|&owner| owner != peer);
        }
    }

    /// Gives up the piece under way that has been idle longest, if there is no room for another and
    /// it is idle for [`STUCK_SECS`].
    pub(super) fn abandon_stuck(&mut self, now: Moment) -> Option<PieceIndex> {
        if self.partials.len() < self.partials_max {
            return None;
        }
        let idle = self.partials.iter();
        let idle = idle.map(|(&piece, partial)| (partial.idle_for(now), piece));
        let (_, piece) = idle
            .max()
            .filter(|(idle, _)| *idle >= Duration::from_secs(STUCK_SECS))?;
        self.partials.remove(&piece);
        self.unasked.remove(&piece);
        self.rarity.open_again(piece);
        Some(piece)
    }
}
