//! Which pieces are asked for on a connection, and when one is given up.

use std::{net::SocketAddr, time::Duration};

use skep_evidence::record::Body;
use skep_proto::{peer::PeerConn, rng::Rng};
use skep_wire::{Bitfield, Block, Moment, PieceIndex};

use super::book::Book;
use crate::{
    Env,
    fetch::{
        BLOCKS_OUTSTANDING_MAX, FETCH_BYTES_MAX, FETCH_STALL_SECS_MAX, Fetch, PIECES_UNDER_WAY_MAX,
    },
    swarm::Memory,
};

/// How many pieces an endpoint may refuse or leave lying on one visit before we ask for no more.
pub const REFUSALS_PER_VISIT_MAX: u32 = 4;

/// What is asked for in one visit.
pub(super) struct Round {
    pub(super) rng: Rng,
    /// How many more pieces to ask for.
    pub(super) left: u32,
    pub(super) tried: Bitfield,
    pub(super) refusals: u32,
    /// The pieces that are under way, first the one that was begun first.
    pub(super) fetches: Vec<Fetch>,
    /// Nothing more is asked for.
    pub(super) over: bool,
    pub(super) progress_at: Moment,
    /// When to try again to begin a piece that had to wait for room.
    pub(super) wait_until: Option<Moment>,
}

impl Book {
    /// Asks for blocks while the endpoint offers them and the plan wants them.
    pub(super) fn ask(&mut self, peer: &mut PeerConn, memory: &Memory, env: &mut Env<'_>) {
        if self.joined.is_none() || self.round.over || peer.is_closed() {
            return;
        }
        loop {
            self.ask_blocks(peer, env);
            let round = &self.round;
            let asked_all = round.fetches.iter().all(|fetch| fetch.due() == 0);
            let room = round.outstanding() < BLOCKS_OUTSTANDING_MAX
                && round.fetches.len() < PIECES_UNDER_WAY_MAX;
            if !asked_all || !room || self.choose(peer, memory, env).is_none() {
                return;
            }
        }
    }

    /// Asks for the blocks of the pieces that are under way.
    fn ask_blocks(&mut self, peer: &mut PeerConn, env: &mut Env<'_>) {
        let mut outstanding = self.round.outstanding();
        for fetch in &mut self.round.fetches {
            let due = fetch.due();
            while let Some(block) = fetch.next() {
                if outstanding >= BLOCKS_OUTSTANDING_MAX || !peer.request(block, env.notes.now) {
                    break;
                }
                outstanding += 1;
                fetch.asked(block);
                if !fetch.announced {
                    fetch.announced = true;
                    env.notes.write(Body::PieceAsked {
                        conn: self.reached.conn(),
                        piece: block.piece,
                        blocks: due,
                    });
                }
            }
        }
    }

    /// Draws the next piece to ask for, if the plan wants one and there is room.
    fn choose(
        &mut self,
        peer: &PeerConn,
        memory: &Memory,
        env: &mut Env<'_>,
    ) -> Option<PieceIndex> {
        let (now, whole) = (env.notes.now, env.world.config.whole);
        let round = &self.round;
        let done = if whole { memory.whole } else { round.left == 0 };
        if done || round.refusals >= REFUSALS_PER_VISIT_MAX || round.wait_until.is_some() {
            return None;
        }
        let offered: Vec<PieceIndex> = peer
            .peer_pieces()
            .0
            .iter()
            .filter(|&piece| !round.tried.has(piece) && may_ask(peer, piece))
            .collect();
        let fresh: Vec<PieceIndex> = offered
            .iter()
            .copied()
            .filter(|piece| !memory.verified.contains_key(piece))
            .collect();
        let among = if fresh.is_empty() && !whole {
            &offered
        } else {
            &fresh
        };
        if among.is_empty() {
            return None;
        }
        let target = &env.world.swarms[self.swarm].target;
        let room = FETCH_BYTES_MAX.saturating_sub(*env.fetching);
        if *env.fetching > 0 && room < u64::from(target.metainfo.info.piece_len) {
            self.round.wait_until = Some(now + Duration::from_secs(1));
            return None;
        }
        let &piece = self.round.rng.choose(among)?;
        let fetch = Fetch::new(piece, target.piece_size(piece));
        *env.fetching += u64::from(fetch.len());
        self.round.tried.insert(piece);
        self.round.left = self.round.left.saturating_sub(1);
        self.round.fetches.push(fetch);
        self.round.progress_at = now;
        Some(piece)
    }

    /// The piece was refused or does not come: another may be asked for in its place. Blocks of it
    /// that still come are recorded as delivered, so the requests for them stand.
    pub(super) fn give_up_piece(&mut self, piece: PieceIndex, env: &mut Env<'_>) {
        self.round.refusals += 1;
        self.round.left += 1;
        self.drop_piece(piece, env);
    }

    /// Nothing has come for too long: gives up all that is under way.
    pub(super) fn give_up_all(&mut self, env: &mut Env<'_>) {
        for piece in self.round.under_way() {
            self.give_up_piece(piece, env);
        }
    }

    /// Ends the fetch of a piece.
    pub(super) fn drop_piece(&mut self, piece: PieceIndex, env: &mut Env<'_>) {
        let of = |fetch: &Fetch| fetch.piece() == piece;
        if let Some(at) = self.round.fetches.iter().position(of) {
            *env.fetching -= u64::from(self.round.fetches.remove(at).len());
        }
    }

    /// Ends the round, and takes back what was asked for in it, so that it can be asked for again.
    pub(super) fn end_round(&mut self, peer: &mut PeerConn, env: &mut Env<'_>) {
        for piece in self.round.under_way() {
            self.drop_piece(piece, env);
        }
        for block in peer.outstanding().collect::<Vec<Block>>() {
            peer.cancel(block, env.notes.now);
        }
    }
}

impl Round {
    pub(super) fn new(
        swarm: usize,
        endpoint: SocketAddr,
        memory: &mut Memory,
        env: &Env<'_>,
    ) -> Self {
        let target = &env.world.swarms[swarm].target;
        memory.visits += 1;
        Self {
            rng: env
                .world
                .identity
                .piece_rng(target.info_hash, endpoint, memory.visits),
            left: env.world.config.pieces_per_visit,
            tried: Bitfield::empty(target.metainfo.info.piece_count()),
            refusals: 0,
            fetches: Vec::new(),
            over: false,
            progress_at: env.notes.now,
            wait_until: None,
        }
    }

    /// The fetch of a piece that is under way.
    pub(super) fn fetch(&mut self, piece: PieceIndex) -> Option<&mut Fetch> {
        self.fetches.iter_mut().find(|fetch| fetch.piece() == piece)
    }

    /// The pieces that are under way.
    pub(super) fn under_way(&self) -> Vec<PieceIndex> {
        self.fetches.iter().map(Fetch::piece).collect()
    }

    /// How many blocks were asked for and have not come.
    fn outstanding(&self) -> usize {
        self.fetches.iter().map(Fetch::outstanding).sum()
    }

    /// When the pieces that are under way are given up.
    pub(super) fn stalls_at(&self) -> Option<Moment> {
        let stall = Duration::from_secs(FETCH_STALL_SECS_MAX);
        (!self.fetches.is_empty()).then(|| self.progress_at + stall)
    }
}

/// Whether a piece may be asked for now: it unchokes us, or allows this piece (BEP 6).
pub(super) fn may_ask(peer: &PeerConn, piece: PieceIndex) -> bool {
    !peer.peer_chokes_us() || peer.allowed_fast().contains(&piece)
}
