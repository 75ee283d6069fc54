//! Which pieces are asked for on a connection, and when one is given up.

use std::{net::SocketAddr, time::Duration};

use skep_evidence::record::Body;
use skep_proto::{peer::PeerConn, rng::Rng};
use skep_wire::{Bitfield, Block, Moment, PieceIndex};

use super::book::Book;
use crate::{
    Env,
    fetch::{FETCH_BYTES_MAX, FETCH_STALL_SECS_MAX, Fetch},
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
    pub(super) fetch: Option<Fetch>,
    /// Whether `PieceAsked` stands for all that is due.
    pub(super) announced: bool,
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
        if self.round.fetch.is_none() {
            self.choose(peer, memory, env);
        }
        let Some(fetch) = &mut self.round.fetch else {
            return;
        };
        let due = fetch.due();
        while let Some(block) = fetch.next() {
            if !peer.request(block, env.notes.now) {
                break;
            }
            fetch.asked(block);
            if !self.round.announced {
                self.round.announced = true;
                env.notes.write(Body::PieceAsked {
                    conn: self.reached.conn(),
                    piece: block.piece,
                    blocks: due,
                });
            }
        }
    }

    /// Draws the next piece to ask for, if the plan wants one and there is room.
    fn choose(&mut self, peer: &PeerConn, memory: &Memory, env: &mut Env<'_>) {
        let (now, whole) = (env.notes.now, env.world.config.whole);
        let round = &self.round;
        let done = if whole { memory.whole } else { round.left == 0 };
        if done || round.refusals >= REFUSALS_PER_VISIT_MAX || round.wait_until.is_some() {
            return;
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
            return;
        }
        let info = &env.world.swarms[self.swarm].target.metainfo.info;
        let room = FETCH_BYTES_MAX.saturating_sub(*env.fetching);
        if *env.fetching > 0 && room < u64::from(info.piece_len) {
            self.round.wait_until = Some(now + Duration::from_secs(1));
            return;
        }
        let Some(&piece) = self.round.rng.choose(among) else {
            return;
        };
        let fetch = Fetch::new(piece, info.piece_size(piece));
        *env.fetching += u64::from(fetch.len());
        self.round.tried.insert(piece);
        self.round.left = self.round.left.saturating_sub(1);
        self.round.fetch = Some(fetch);
        self.round.announced = false;
        self.round.progress_at = now;
    }

    /// The piece was refused or does not come: another may be asked for in its place.
    pub(super) fn give_up_piece(&mut self, peer: &mut PeerConn, env: &mut Env<'_>) {
        self.round.refusals += 1;
        self.round.left += 1;
        self.drop_piece(peer, env);
    }

    /// Ends the fetch of a piece, and takes back what is still asked of it.
    pub(super) fn drop_piece(&mut self, peer: &mut PeerConn, env: &mut Env<'_>) {
        if let Some(fetch) = self.round.fetch.take() {
            *env.fetching -= u64::from(fetch.len());
            let asked: Vec<Block> = peer
                .outstanding()
                .filter(|block| block.piece == fetch.piece())
                .collect();
            for block in asked {
                peer.cancel(block, env.notes.now);
            }
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
        let metainfo = &env.world.swarms[swarm].target.metainfo;
        memory.visits += 1;
        Self {
            rng: env
                .world
                .identity
                .piece_rng(metainfo.info_hash, endpoint, memory.visits),
            left: env.world.config.pieces_per_visit,
            tried: Bitfield::empty(metainfo.info.piece_count()),
            refusals: 0,
            fetch: None,
            announced: false,
            over: false,
            progress_at: env.notes.now,
            wait_until: None,
        }
    }

    /// When the piece that is under way is given up.
    pub(super) fn stalls_at(&self) -> Option<Moment> {
        self.fetch
            .as_ref()
            .map(|_| self.progress_at + Duration::from_secs(FETCH_STALL_SECS_MAX))
    }
}

/// Whether a piece may be asked for now: it unchokes us, or allows this piece (BEP 6).
pub(super) fn may_ask(peer: &PeerConn, piece: PieceIndex) -> bool {
    !peer.peer_chokes_us() || peer.allowed_fast().contains(&piece)
}
