//! A piece under way: which blocks are missing, asked for, arriving, there.

use std::{net::SocketAddr, time::Duration};

use skep_wire::{Block, Moment, PieceIndex, piece::BLOCK_LEN};

use super::{COPIES_MAX, PeerKey, TAKEOVER_MS};

/// A piece from its first request to its verdict.
#[derive(Debug)]
pub(super) struct Partial {
    piece: PieceIndex,
    piece_len: u32,
    /// Who works on it; `None` when that peer is gone or does not deliver.
    pub(super) owner: Option<PeerKey>,
    /// Only the owner is asked: the piece failed before, and a lone sender is easy to blame.
    pub(super) exclusive: bool,
    /// All blocks are there and the driver is hashing.
    pub(super) verifying: bool,
    /// Since when nobody is asked for any of it.
    idle_since: Option<Moment>,
    slots: Vec<Slot>,
    missing: u32,
    asked: u32,
    /// No slot before this one is missing.
    hint: usize,
}

/// One block of it.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    askers: [Option<PeerKey>; COPIES_MAX],
    receiving: Option<(PeerKey, Moment)>,
    from: Option<SocketAddr>,
}

impl Slot {
    fn is_missing(&self) -> bool {
        self.from.is_none() && self.askers.iter().all(Option::is_none)
    }
}

impl Partial {
    pub(super) fn new(piece: PieceIndex, piece_len: u32, owner: PeerKey, now: Moment) -> Self {
        let count = piece_len.div_ceil(BLOCK_LEN);
        Self {
            piece,
            piece_len,
            owner: Some(owner),
            exclusive: false,
            verifying: false,
            idle_since: Some(now),
            slots: vec![Slot::default(); count as usize],
            missing: count,
            asked: 0,
            hint: 0,
        }
    }

    pub(super) fn missing(&self) -> u32 {
        self.missing
    }

    pub(super) fn arrived(&self) -> u32 {
        self.slots.len() as u32 - self.missing - self.asked
    }

    /// For how long nobody has been asked for any of it.
    pub(super) fn idle_for(&self, now: Moment) -> Duration {
        let since = self.idle_since.filter(|_| !self.verifying);
        since.map_or(Duration::ZERO, |since| now.since(since))
    }

    /// The first missing block.
    pub(super) fn next_missing(&mut self) -> Option<Block> {
        if self.missing == 0 {
            return None;
        }
        let at = (self.hint..self.slots.len()).find(|&at| self.slots[at].is_missing())?;
        self.hint = at;
        Some(self.block(at))
    }

    /// Whether the block is outstanding, and not at this peer.
    pub(super) fn may_share(&self, block: Block, peer: PeerKey) -> bool {
        self.at(block).is_some_and(|at| {
            let slot = &self.slots[at];
            slot.from.is_none() && !slot.askers.contains(&Some(peer))
        })
    }

    /// Whether one more peer may be asked for the block.
    pub(super) fn may_copy(&self, block: Block) -> bool {
        self.at(block)
            .is_some_and(|at| self.slots[at].askers.contains(&None))
    }

    /// `peer` was asked for the block.
    pub(super) fn ask(&mut self, block: Block, peer: PeerKey) {
        let Some(at) = self.at(block) else { return };
        let slot = &mut self.slots[at];
        let was_missing = slot.is_missing();
        if let Some(place) = slot.askers.iter_mut().find(|asker| asker.is_none()) {
            *place = Some(peer);
        }
        if was_missing {
            self.missing -= 1;
            self.asked += 1;
            self.idle_since = None;
        }
    }

    /// `peer` will not send the block.
    pub(super) fn release(&mut self, block: Block, peer: PeerKey, now: Moment) {
        let Some(at) = self.at(block) else { return };
        let slot = &mut self.slots[at];
        if slot.from.is_some() || !slot.askers.contains(&Some(peer)) {
            return;
        }
        for asker in slot.askers.iter_mut().filter(|asker| **asker == Some(peer)) {
            *asker = None;
        }
        slot.receiving = slot.receiving.filter(|&(from, _)| from != peer);
        if slot.is_missing() {
            self.missing += 1;
            self.asked -= 1;
            self.hint = self.hint.min(at);
        }
        if self.asked == 0 {
            self.idle_since = Some(now);
        }
    }

    /// The payload of the block begins to arrive from `peer`, which writes it to the buffer unless
    /// another has begun to less than [`TAKEOVER_MS`] ago.
    pub(super) fn begin(&mut self, block: Block, peer: PeerKey, now: Moment) {
        let Some(at) = self.at(block) else { return };
        let slot = &mut self.slots[at];
        let taken = slot
            .receiving
            .is_some_and(|(_, since)| now < since + Duration::from_millis(TAKEOVER_MS));
        if !taken && slot.from.is_none() && slot.askers.contains(&Some(peer)) {
            slot.receiving = Some((peer, now));
        }
    }

    /// Whether `peer` is the one that writes the block to the buffer.
    pub(super) fn is_receiving(&self, block: Block, peer: PeerKey) -> bool {
        self.at(block).is_some_and(|at| {
            self.slots[at]
                .receiving
                .is_some_and(|(from, _)| from == peer)
                && self.slots[at].from.is_none()
        })
    }

    /// Whether the block would be `peer`'s to write if its payload began now.
    pub(super) fn is_free_for(&self, block: Block, peer: PeerKey) -> bool {
        self.at(block).is_some_and(|at| {
            let slot = &self.slots[at];
            slot.from.is_none() && slot.receiving.is_none() && slot.askers.contains(&Some(peer))
        })
    }

    /// The block is there; returns the other peers that were asked for it.
    pub(super) fn arrive(
        &mut self,
        block: Block,
        peer: PeerKey,
        from: SocketAddr,
    ) -> impl Iterator<Item = PeerKey> + use<> {
        let mut others = [None; COPIES_MAX];
        if let Some(at) = self.at(block) {
            let slot = &mut self.slots[at];
            others = std::mem::take(&mut slot.askers);
            slot.from = Some(from);
            slot.receiving = None;
            self.asked -= 1;
        }
        others
            .into_iter()
            .flatten()
            .filter(move |&other| other != peer)
    }

    /// The piece was bad, and of its blocks these: they are missing again. Returns each with who sent it.
    pub(super) fn reopen(&mut self, bad: &[usize], now: Moment) -> Vec<(Block, SocketAddr)> {
        let mut sent = Vec::new();
        for &at in bad {
            let Some(from) = self.slots.get_mut(at).and_then(|slot| slot.from.take()) else {
                continue;
            };
            sent.push((self.block(at), from));
            self.missing += 1;
            self.hint = self.hint.min(at);
        }
        self.verifying = false;
        self.exclusive = false;
        self.owner = None;
        self.idle_since = Some(now);
        sent
    }

    pub(super) fn is_whole(&self) -> bool {
        self.missing == 0 && self.asked == 0
    }

    /// Who sent each block, in order; only of a whole piece.
    pub(super) fn senders(&self) -> Vec<SocketAddr> {
        self.slots.iter().filter_map(|slot| slot.from).collect()
    }

    pub(super) fn block(&self, at: usize) -> Block {
        let begin = at as u32 * BLOCK_LEN;
        Block {
            piece: self.piece,
            begin,
            len: BLOCK_LEN.min(self.piece_len - begin),
        }
    }

    fn at(&self, block: Block) -> Option<usize> {
        let at = (block.begin / BLOCK_LEN) as usize;
        (at < self.slots.len() && self.block(at) == block).then_some(at)
    }
}
