//! What is said on a connection whose swarm is known: bytes through the peer machine, its events into
//! records ([`book`]), and the questions that we ask ([`asking`]).
//!
//! No block is ever sent from here: nothing calls `PeerConn::send_block`, we never unchoke, so the
//! peer machine refuses or drops every request.

mod asking;
mod book;

use std::net::SocketAddr;

use skep_evidence::{grade::Reached, record::CloseKind};
use skep_proto::{
    drain::{Expect, Inlet, Part, PeerWorld, Span, settle},
    peer::{Event, PeerConfig, PeerConn, Transmit},
};
use skep_wire::{
    Bitfield, Moment,
    peer::{
        Handshake, PIECE_HEADER_LEN, Reserved,
        ext::{ExtHandshake, UT_PEX},
    },
};

use self::{
    asking::Round,
    book::{Book, Heard},
};
use crate::{Env, stream::Incoming, swarm::Memory};

pub use asking::REFUSALS_PER_VISIT_MAX;
pub use book::PEX_NAMED_PER_CONN_MAX;

/// How many bytes beside the blocks that we asked for an endpoint may send on one connection before
/// we end it: a set and haves of 100,000 pieces, and an hour of peer exchange, are a tenth of it.
pub const BYTES_UNASKED_MAX: u64 = 16 * 1024 * 1024;

/// How many reads without a byte of a block an endpoint may cause on one connection before we end it.
/// Each costs some 250 bytes of journal and capture, however little came: 50 MB at most. A peer that
/// says every one of 100,000 haves in a segment of its own needs half of it.
pub const READS_UNASKED_MAX: u32 = 200_000;

/// The extension message id under which we ask for peer exchange.
const PEX_ID: u8 = 1;

/// What our extension handshake calls us.
pub(crate) const CLIENT: &str = concat!("skep ", env!("CARGO_PKG_VERSION"), " (observer)");

pub(crate) struct Talk {
    peer: PeerConn,
    inlet: Inlet,
    book: Book,
}

/// A book, open at what comes now.
struct Listening<'a, 'e> {
    book: &'a mut Book,
    input: &'a Incoming,
    memory: &'a mut Memory,
    env: &'a mut Env<'e>,
    end: Option<CloseKind>,
}

impl Talk {
    /// Begins to speak on a connection that stands.
    pub(crate) fn new(swarm: usize, reached: Reached, memory: &mut Memory, env: &Env<'_>) -> Self {
        let world = env.world;
        let target = &world.swarms[swarm].target;
        let (info_hash, pieces) = (target.info_hash, target.metainfo.info.piece_count());
        let ours = Handshake {
            reserved: Reserved::OURS,
            info_hash,
            peer_id: world.identity.peer_id(info_hash, reached.endpoint()),
        };
        let config = PeerConfig {
            // Of a hybrid's two swarms the connection is about this one, and of hashes it speaks in neither:
            // the torrent file has those of every piece.
            info_hashes: info_hash.into(),
            info_hash,
            peer_id: ours.peer_id,
            reserved: ours.reserved,
            sizes: target.piece_sizes(),
            ext: Some(ExtHandshake {
                ids: vec![(UT_PEX.to_vec(), PEX_ID)],
                client: Some(CLIENT.into()),
                listen_port: Some(world.config.listen_port),
                your_ip: Some(reached.endpoint().ip()),
                ..ExtHandshake::default()
            }),
            outgoing: !reached.incoming(),
            have: Some(Bitfield::empty(pieces)),
        };
        let book = Book {
            swarm,
            reached,
            ours,
            joined: None,
            claimed: None,
            offers: (true, 0),
            payload: Vec::new(),
            payload_bytes: 0,
            reads_unasked: 0,
            pex_named: 0,
            listens_at: None,
            round: Round::new(swarm, reached.endpoint(), memory, env),
            out: Vec::new(),
        };
        Self {
            peer: PeerConn::new(config, env.notes.now),
            inlet: Inlet::default(),
            book,
        }
    }

    /// Whether it completed a handshake.
    pub(crate) fn has_joined(&self) -> bool {
        self.book.joined.is_some()
    }

    /// When the last piece or block came or was begun.
    pub(crate) fn progress_at(&self) -> Moment {
        self.book.round.progress_at
    }

    /// Whether a piece is under way.
    pub(crate) fn is_fetching(&self) -> bool {
        !self.book.round.fetches.is_empty()
    }

    /// Whether all pieces have come that were to be asked for.
    pub(crate) fn has_all_it_wanted(&self) -> bool {
        self.book.round.left == 0 && self.book.round.fetches.is_empty()
    }

    /// The port at which the other end of an incoming connection says that it listens.
    pub(crate) fn listens_at(&self) -> Option<SocketAddr> {
        self.book.listens_at
    }

    /// Whether blocks were asked for that have neither come nor been refused.
    pub(crate) fn awaits_blocks(&self) -> bool {
        self.peer.outstanding_count() > 0
    }

    /// Asks for nothing more.
    pub(crate) fn stop_asking(&mut self) {
        self.book.round.over = true;
    }

    /// Feeds the last `fresh` bytes of `input`; returns how the connection ends, if it does.
    pub(crate) fn hear(
        &mut self,
        input: &mut Incoming,
        fresh: usize,
        memory: &mut Memory,
        env: &mut Env<'_>,
    ) -> Option<CloseKind> {
        let asked = self.book.payload_bytes;
        let end = self.read(input, fresh, memory, env);
        // Whatever it was, it was captured.
        let unasked = (fresh as u64).saturating_sub(self.book.payload_bytes - asked);
        let ip = self.book.reached.endpoint().ip();
        let exceeded = env.allowance.unasked(ip, unasked, env.notes.now);
        end.or_else(|| exceeded.map(|(limit, value)| self.end_by(limit, value, env)))
    }

    fn read(
        &mut self,
        input: &mut Incoming,
        fresh: usize,
        memory: &mut Memory,
        env: &mut Env<'_>,
    ) -> Option<CloseKind> {
        let now = env.notes.now;
        let held = input.held();
        let bytes = &held[held.len() - fresh..];
        let payload_before = self.book.payload_bytes;
        let mut world = Listening {
            book: &mut self.book,
            input,
            memory,
            env,
            end: None,
        };
        self.inlet.feed(&mut self.peer, bytes, now, &mut world);
        if let Some(end) = world.end {
            return Some(end);
        }
        // Only now, when all that came is read: a block that came together with what made us ask
        // for it came before we had asked, and is no answer.
        self.book.ask(&mut self.peer, memory, env);
        if let Some(end) = self.settle(input, memory, env) {
            return Some(end);
        }
        let taken = self.inlet.taken();
        input.release(match self.inlet.expects() {
            Expect::Payload { offset, .. } => taken - u64::from(offset) - PIECE_HEADER_LEN as u64,
            Expect::Bytes | Expect::Discard { .. } | Expect::Nothing => taken,
        });
        self.book.reads_unasked += u32::from(self.book.payload_bytes == payload_before);
        self.limit(input, env)
    }

    /// How the connection ends where more came than anyone needs to say.
    fn limit(&self, input: &Incoming, env: &mut Env<'_>) -> Option<CloseKind> {
        let (limit, value) = if input.len() - self.book.payload_bytes > BYTES_UNASKED_MAX {
            ("BYTES_UNASKED_MAX", BYTES_UNASKED_MAX)
        } else if self.book.reads_unasked > READS_UNASKED_MAX {
            ("READS_UNASKED_MAX", READS_UNASKED_MAX.into())
        } else {
            return None;
        };
        let reached = self.book.reached;
        if reached.incoming() {
            env.allowance.fault(reached.endpoint().ip(), env.notes.now);
        }
        Some(self.end_by(limit, value, env))
    }

    fn end_by(&self, limit: &'static str, value: u64, env: &mut Env<'_>) -> CloseKind {
        let (target, conn) = (self.book.target(env.world), self.book.reached.conn());
        env.notes.limited(Some(target), Some(conn), limit, value);
        CloseKind::UsDone
    }

    /// Tells the peer machine that time has come, and asks where that is due.
    pub(crate) fn timeout(
        &mut self,
        input: &Incoming,
        memory: &mut Memory,
        env: &mut Env<'_>,
    ) -> Option<CloseKind> {
        let now = env.notes.now;
        self.peer.handle_timeout(now);
        if let Some(end) = self.settle(input, memory, env) {
            return Some(end);
        }
        let round = &mut self.book.round;
        if round.wait_until.is_some_and(|at| at <= now) {
            round.wait_until = None;
        }
        if round.stalls_at().is_some_and(|at| at <= now) {
            self.book.give_up_all(env);
        }
        self.book.ask(&mut self.peer, memory, env);
        self.settle(input, memory, env)
    }

    /// When [`Talk::timeout`] is due.
    pub(crate) fn next_timeout(&self) -> Option<Moment> {
        let peer = self.peer.poll_timeout().map(|(at, _)| at);
        let round = &self.book.round;
        [peer, round.stalls_at(), round.wait_until]
            .into_iter()
            .flatten()
            .min()
    }

    /// Begins another round of questions on the same connection.
    pub(crate) fn begin_round(
        &mut self,
        input: &Incoming,
        memory: &mut Memory,
        env: &mut Env<'_>,
    ) -> Option<CloseKind> {
        self.book.end_round(&mut self.peer, env);
        self.book.round = Round::new(self.book.swarm, self.book.reached.endpoint(), memory, env);
        self.book.ask(&mut self.peer, memory, env);
        self.settle(input, memory, env)
    }

    /// Drains the machine after a call that no bytes caused.
    pub(crate) fn settle(
        &mut self,
        input: &Incoming,
        memory: &mut Memory,
        env: &mut Env<'_>,
    ) -> Option<CloseKind> {
        let mut world = Listening {
            book: &mut self.book,
            input,
            memory,
            env,
            end: None,
        };
        settle(&mut self.peer, Span::default(), &mut world);
        world.end
    }

    /// What is to be sent now.
    pub(crate) fn take_out(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.book.out)
    }

    /// The connection is over: gives back the room that its piece took.
    pub(crate) fn end(&mut self, env: &mut Env<'_>) {
        for fetch in self.book.round.fetches.drain(..) {
            *env.fetching -= u64::from(fetch.len());
        }
    }
}

impl PeerWorld for Listening<'_, '_> {
    fn payload(&mut self, part: Part<'_>) {
        self.book.payload.extend_from_slice(part.bytes);
        self.book.payload_bytes += part.bytes.len() as u64;
    }

    fn transmit(&mut self, what: Transmit) {
        match what {
            Transmit::Bytes(bytes) => self.book.out.extend(bytes),
            Transmit::Block(block) => panic!("the observer sends no block, not {block:?}"),
        }
    }

    fn event(&mut self, conn: &mut PeerConn, event: Event, span: Span) {
        if self.end.is_some() {
            return;
        }
        let heard = Heard {
            source: self.input.source(span),
            bytes: self.input.bytes(span),
        };
        self.end = self.book.note(conn, event, heard, self.memory, self.env);
    }
}
