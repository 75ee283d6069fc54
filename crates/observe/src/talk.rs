//! What is said on a connection whose swarm is known: bytes through the peer machine, its events into
//! records, and the questions that we ask.
//!
//! No block is ever sent from here: nothing calls `PeerConn::send_block`, we never unchoke, so the
//! peer machine refuses or drops every request.

use std::{net::SocketAddr, time::Duration};

use skep_evidence::{
    grade::{Claimed, Joined, NotVerified, Reached},
    journal::EndKind,
    record::{Body, ClaimKind, CloseKind, NamedBy, Source, TEXT_BYTES_MAX, TargetIndex},
};
use skep_proto::{
    drain::{Expect, Inlet, Part, PeerWorld, Span, settle},
    peer::{Event, PeerConfig, PeerConn, SetKind, Transmit, Violation, Why},
    rng::Rng,
};
use skep_wire::{
    Bitfield, Block, Moment, PieceIndex, Said,
    peer::{
        Handshake, PIECE_HEADER_LEN, Reserved,
        ext::{ExtHandshake, Pex, UT_PEX},
    },
};

use crate::{
    Env, World,
    fetch::{self, FETCH_BYTES_MAX, FETCH_STALL_SECS_MAX, Fetch},
    graded,
    stream::Incoming,
    swarm::{Memory, Namer, Naming},
};

/// How many pieces an endpoint may refuse or leave lying on one visit before we ask for no more.
pub const REFUSALS_PER_VISIT_MAX: u32 = 4;

/// How many bytes beside the blocks that we asked for an endpoint may send on one connection before
/// we end it: a set and haves of 100,000 pieces, and an hour of peer exchange, are a tenth of it.
pub const BYTES_UNASKED_MAX: u64 = 16 * 1024 * 1024;

/// How many endpoints one connection may name by peer exchange: eight messages of 200, and 50 a
/// minute for an hour.
pub const PEX_NAMED_PER_CONN_MAX: u32 = 5_000;

/// The extension message id under which we ask for peer exchange.
const PEX_ID: u8 = 1;

/// What our extension handshake calls us.
pub(crate) const CLIENT: &str = concat!("skep ", env!("CARGO_PKG_VERSION"), " (observer)");

pub(crate) struct Talk {
    peer: PeerConn,
    inlet: Inlet,
    book: Book,
}

/// What was heard and what is asked: all of a [`Talk`] but the machine that it listens to.
struct Book {
    swarm: usize,
    reached: Reached,
    ours: Handshake,
    joined: Option<Joined>,
    claimed: Option<Claimed>,
    /// Whether it chokes us, and how many pieces it offers, as last recorded.
    offers: (bool, u32),
    /// The payload of the block that is arriving.
    payload: Vec<u8>,
    delivered_bytes: u64,
    pex_named: u32,
    round: Round,
    /// What the machine wants sent.
    out: Vec<u8>,
}

/// A book, open at what comes now.
struct Listening<'a, 'e> {
    book: &'a mut Book,
    input: &'a Incoming,
    memory: &'a mut Memory,
    env: &'a mut Env<'e>,
    end: Option<CloseKind>,
}

/// What is asked for in one visit.
struct Round {
    rng: Rng,
    /// How many more pieces to ask for.
    left: u32,
    tried: Bitfield,
    refusals: u32,
    fetch: Option<Fetch>,
    /// Whether `PieceAsked` stands for all that is due.
    announced: bool,
    progress_at: Moment,
    /// When to try again to begin a piece that had to wait for room.
    wait_until: Option<Moment>,
}

impl Talk {
    /// Begins to speak on a connection that stands.
    pub(crate) fn new(swarm: usize, reached: Reached, memory: &mut Memory, env: &Env<'_>) -> Self {
        let world = env.world;
        let info = &world.swarms[swarm].target.metainfo.info;
        let info_hash = world.swarms[swarm].target.metainfo.info_hash;
        let ours = Handshake {
            reserved: Reserved::OURS,
            info_hash,
            peer_id: world.identity.peer_id(info_hash, reached.endpoint()),
        };
        let config = PeerConfig {
            info_hash,
            peer_id: ours.peer_id,
            reserved: ours.reserved,
            piece_count: info.piece_count(),
            piece_len: info.piece_len,
            size_bytes: info.size_bytes,
            ext: Some(ExtHandshake {
                ids: vec![(UT_PEX.to_vec(), PEX_ID)],
                client: Some(CLIENT.into()),
                listen_port: Some(world.config.listen_port),
                your_ip: Some(reached.endpoint().ip()),
                ..ExtHandshake::default()
            }),
            outgoing: !reached.incoming(),
            have: Some(Bitfield::empty(info.piece_count())),
        };
        let book = Book {
            swarm,
            reached,
            ours,
            joined: None,
            claimed: None,
            offers: (true, 0),
            payload: Vec::new(),
            delivered_bytes: 0,
            pex_named: 0,
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

    /// Feeds the last `fresh` bytes of `input`; returns how the connection ends, if it does.
    pub(crate) fn hear(
        &mut self,
        input: &mut Incoming,
        fresh: usize,
        memory: &mut Memory,
        env: &mut Env<'_>,
    ) -> Option<CloseKind> {
        let now = env.notes.now;
        let held = input.held();
        let bytes = &held[held.len() - fresh..];
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
        let taken = self.inlet.taken();
        input.release(match self.inlet.expects() {
            Expect::Payload { offset, .. } => taken - u64::from(offset) - PIECE_HEADER_LEN as u64,
            Expect::Bytes | Expect::Discard { .. } | Expect::Nothing => taken,
        });
        if input.len() - self.book.delivered_bytes > BYTES_UNASKED_MAX {
            let (target, conn) = (self.book.target(env.world), self.book.reached.conn());
            env.notes.limited(
                Some(target),
                Some(conn),
                "BYTES_UNASKED_MAX",
                BYTES_UNASKED_MAX,
            );
            return Some(CloseKind::UsDone);
        }
        None
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
            self.book.give_up_piece(&mut self.peer, env);
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
        self.book.drop_piece(&mut self.peer, env);
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
        if let Some(fetch) = self.book.round.fetch.take() {
            *env.fetching -= u64::from(fetch.len());
        }
    }
}

impl PeerWorld for Listening<'_, '_> {
    fn payload(&mut self, part: Part<'_>) {
        self.book.payload.extend_from_slice(part.bytes);
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
        if self.end.is_none() {
            self.book.ask(conn, self.memory, self.env);
        }
    }
}

impl Book {
    /// Writes down what happened; returns how the connection ends, if it does.
    fn note(
        &mut self,
        peer: &mut PeerConn,
        event: Event,
        heard: Heard<'_>,
        memory: &mut Memory,
        env: &mut Env<'_>,
    ) -> Option<CloseKind> {
        match (event, heard.source) {
            (Event::Closed { why }, source) => return Some(self.note_end(why, source, env)),
            (Event::Opened { .. }, Some(source)) => {
                return self.note_handshake(peer, heard.bytes, source, env);
            }
            (Event::Extended(ext), Some(source)) => {
                self.note_extended(peer, ext, source, memory, env)
            }
            (Event::HasSet { pieces, how }, Some(source)) => {
                let how = match how {
                    SetKind::Bitfield => ClaimKind::Bitfield,
                    SetKind::HaveAll => ClaimKind::HaveAll,
                    SetKind::HaveNone => ClaimKind::HaveNone,
                };
                self.note_set(pieces, how, source, memory, env);
                self.note_offers(peer, source, env);
            }
            (Event::Has { piece }, Some(source)) => {
                self.note_gain(peer, piece, source, memory, env);
                self.note_offers(peer, source, env);
            }
            (Event::PeerChokedUs | Event::PeerUnchokedUs, Some(source)) => {
                self.round.progress_at = env.notes.now;
                self.note_offers(peer, source, env);
            }
            (Event::AllowedFast { .. }, Some(source)) => self.note_offers(peer, source, env),
            (Event::RequestRefused(block), Some(source)) => {
                self.note_refused(peer, block, source, env)
            }
            (Event::BlockArrived(block), Some(source)) => {
                self.note_block(peer, block, source, memory, env);
            }
            (Event::Pex(pex), Some(source)) => self.note_pex(&pex, source, env),
            (
                Event::PeerInterested
                | Event::PeerNotInterested
                | Event::PeerRequested(_)
                | Event::PeerCancelled(_)
                | Event::Suggested { .. }
                | Event::BlockUnrequested(_)
                | Event::DhtPort(_)
                | Event::UnknownMessage { .. },
                _,
            ) => {}
            (
                Event::Opened { .. }
                | Event::Extended(_)
                | Event::HasSet { .. }
                | Event::Has { .. }
                | Event::PeerChokedUs
                | Event::PeerUnchokedUs
                | Event::AllowedFast { .. }
                | Event::RequestRefused(_)
                | Event::BlockArrived(_)
                | Event::Pex(_),
                None,
            ) => panic!("what a peer said has bytes"),
        }
        None
    }

    fn note_end(&self, why: Why, source: Option<Source>, env: &mut Env<'_>) -> CloseKind {
        match why {
            Why::Violation(violation) => self.note_violation(&violation, source, env),
            Why::Idle | Why::Stalled => CloseKind::UsIdle,
            Why::WeClosed => CloseKind::UsDone,
            Why::PeerClosed => CloseKind::Them(EndKind::Closed),
        }
    }

    fn note_violation(
        &self,
        violation: &dyn std::error::Error,
        source: Option<Source>,
        env: &mut Env<'_>,
    ) -> CloseKind {
        let conn = self.reached.conn();
        let violation = violation.to_string();
        env.notes.write(Body::Violated {
            conn,
            violation,
            source,
        });
        CloseKind::UsViolation
    }

    fn note_handshake(
        &mut self,
        peer: &mut PeerConn,
        handshake: &[u8],
        source: Source,
        env: &mut Env<'_>,
    ) -> Option<CloseKind> {
        let joined = match Joined::from_handshake(self.reached, &self.ours, handshake) {
            Ok(joined) if env.world.identity.is_ours(joined.peer_id().0) => {
                return Some(self.note_violation(&Violation::OwnPeerId, Some(source), env));
            }
            Ok(joined) => joined,
            Err(error) => return Some(self.note_violation(&error, Some(source), env)),
        };
        let target = self.target(env.world);
        if self.reached.incoming() {
            *env.incoming += 1;
            env.notes.write(Body::Listed {
                target,
                endpoint: self.reached.endpoint(),
                by: NamedBy::Incoming,
                source: None,
            });
        }
        env.notes.write(graded::joined(&joined, target, source));
        self.joined = Some(joined);
        peer.set_interested(true, env.notes.now);
        None
    }

    fn note_extended(
        &mut self,
        peer: &mut PeerConn,
        Said(ext): Said<ExtHandshake>,
        source: Source,
        memory: &mut Memory,
        env: &mut Env<'_>,
    ) {
        env.notes.write(Body::Extended {
            conn: self.reached.conn(),
            client: ext.client.as_deref().map(said_text),
            listen_port: ext.listen_port,
            upload_only: ext.upload_only,
            your_ip: ext.your_ip,
            source,
        });
        if ext.upload_only == Some(true) {
            let pieces = peer.peer_pieces().clone();
            self.note_set(pieces, ClaimKind::UploadOnly, source, memory, env);
        }
        let endpoint = self.reached.endpoint();
        if let Some(port) = ext.listen_port
            && self.reached.incoming()
        {
            env.heard.push((
                self.swarm,
                Naming {
                    endpoint: SocketAddr::new(endpoint.ip(), port),
                    namer: Namer::ListenPort(endpoint),
                    by: NamedBy::ListenPort {
                        conn: self.reached.conn(),
                    },
                    source: Some(source),
                },
            ));
        }
    }

    fn note_set(
        &mut self,
        pieces: Said<Bitfield>,
        how: ClaimKind,
        source: Source,
        memory: &mut Memory,
        env: &mut Env<'_>,
    ) {
        let Some(joined) = self.joined else { return };
        let claimed = Claimed::from_set(joined, &pieces);
        let (gained, since) = match &memory.claims {
            Some((before, at)) => {
                let gained = pieces.0.iter().filter(|&piece| !before.has(piece)).count();
                (gained as u32, Some(*at))
            }
            None => (0, None),
        };
        env.notes.write(graded::claimed_set(
            &claimed,
            graded::Set { how, gained, since },
            source,
        ));
        self.claimed = Some(claimed);
        memory.claims = Some((pieces.0, env.notes.now));
    }

    fn note_gain(
        &mut self,
        peer: &mut PeerConn,
        Said(piece): Said<PieceIndex>,
        source: Source,
        memory: &mut Memory,
        env: &mut Env<'_>,
    ) {
        let Some(joined) = self.joined else { return };
        let pieces = peer.peer_pieces();
        let claimed = Claimed::from_set(joined, pieces);
        let since = match &memory.claims {
            Some((before, at)) if !before.has(piece) => Some(*at),
            Some(_) | None => None,
        };
        env.notes
            .write(graded::claimed_gain(&claimed, piece, since, source));
        self.claimed = Some(claimed);
        let (known, at) = memory
            .claims
            .get_or_insert_with(|| (Bitfield::empty(pieces.0.piece_count()), env.notes.now));
        known.insert(piece);
        *at = env.notes.now;
    }

    /// Writes down what it offers if that changed.
    fn note_offers(&mut self, peer: &PeerConn, source: Source, env: &mut Env<'_>) {
        let choked = peer.peer_chokes_us();
        let claims = &peer.peer_pieces().0;
        let pieces = if choked {
            peer.allowed_fast()
                .iter()
                .filter(|&&piece| claims.has(piece))
                .count() as u32
        } else {
            claims.count()
        };
        if (choked, pieces) != self.offers {
            self.offers = (choked, pieces);
            let share = u64::from(pieces) * 1_000_000;
            env.notes.write(Body::Offers {
                conn: self.reached.conn(),
                pieces,
                share_ppm: share.checked_div(claims.piece_count().into()).unwrap_or(0) as u32,
                choked,
                source,
            });
        }
    }

    fn note_refused(
        &mut self,
        peer: &mut PeerConn,
        block: Block,
        source: Source,
        env: &mut Env<'_>,
    ) {
        env.notes.write(Body::Refused {
            conn: self.reached.conn(),
            block,
            source,
        });
        let Some(fetch) = &mut self.round.fetch else {
            return;
        };
        fetch.refused(block);
        self.round.announced = false;
        if fetch.piece() == block.piece && may_ask(peer, block.piece) {
            self.give_up_piece(peer, env);
        }
    }

    fn note_block(
        &mut self,
        peer: &mut PeerConn,
        block: Block,
        source: Source,
        memory: &mut Memory,
        env: &mut Env<'_>,
    ) {
        let payload = std::mem::take(&mut self.payload);
        self.delivered_bytes += u64::from(source.len);
        self.round.progress_at = env.notes.now;
        let Some(Ok(delivered)) = self
            .claimed
            .map(|claimed| fetch::deliver(claimed, block, &payload))
        else {
            return;
        };
        env.notes.write(graded::delivered(&delivered, source));
        let Some(fetch) = &mut self.round.fetch else {
            return;
        };
        if !fetch.arrived(delivered, &payload) {
            return;
        }
        let (conn, piece) = (self.reached.conn(), fetch.piece());
        let info = &env.world.swarms[self.swarm].target.metainfo.info;
        let expected = info.pieces[piece.0 as usize];
        match fetch.check(expected) {
            Ok(verified) => {
                env.notes.write(graded::verified(&verified));
                if let Some(whole) = memory.verify(verified, info.piece_count()) {
                    env.notes.write(graded::whole(&whole));
                }
            }
            Err(NotVerified::Digest { got, expected }) => {
                env.notes.write(Body::Refuted {
                    conn,
                    piece,
                    expected,
                    got,
                });
                self.round.refusals += 1;
            }
            Err(error) => panic!("the blocks of one fetch cover one piece: {error}"),
        }
        self.drop_piece(peer, env);
    }

    fn note_pex(&mut self, Said(pex): &Said<Pex>, source: Source, env: &mut Env<'_>) {
        for peer in &pex.added {
            if self.pex_named >= PEX_NAMED_PER_CONN_MAX {
                let (target, conn) = (self.target(env.world), self.reached.conn());
                let limit = PEX_NAMED_PER_CONN_MAX.into();
                env.notes
                    .limited(Some(target), Some(conn), "PEX_NAMED_PER_CONN_MAX", limit);
                return;
            }
            self.pex_named += 1;
            env.heard.push((
                self.swarm,
                Naming {
                    endpoint: peer.addr,
                    namer: Namer::Pex(self.reached.endpoint()),
                    by: NamedBy::Pex {
                        conn: self.reached.conn(),
                    },
                    source: Some(source),
                },
            ));
        }
    }

    /// Asks for blocks while the endpoint offers them and the plan wants them.
    fn ask(&mut self, peer: &mut PeerConn, memory: &Memory, env: &mut Env<'_>) {
        if self.joined.is_none() || peer.is_closed() {
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
    fn give_up_piece(&mut self, peer: &mut PeerConn, env: &mut Env<'_>) {
        self.round.refusals += 1;
        self.round.left += 1;
        self.drop_piece(peer, env);
    }

    /// Ends the fetch of a piece, and takes back what is still asked of it.
    fn drop_piece(&mut self, peer: &mut PeerConn, env: &mut Env<'_>) {
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

    fn target(&self, world: &World) -> TargetIndex {
        world.swarms[self.swarm].index
    }
}

impl Round {
    fn new(swarm: usize, endpoint: SocketAddr, memory: &mut Memory, env: &Env<'_>) -> Self {
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
            progress_at: env.notes.now,
            wait_until: None,
        }
    }

    /// When the piece that is under way is given up.
    fn stalls_at(&self) -> Option<Moment> {
        self.fetch
            .as_ref()
            .map(|_| self.progress_at + Duration::from_secs(FETCH_STALL_SECS_MAX))
    }
}

/// The bytes of which an event speaks.
#[derive(Clone, Copy)]
struct Heard<'a> {
    source: Option<Source>,
    bytes: &'a [u8],
}

/// Whether a piece may be asked for now: it unchokes us, or allows this piece (BEP 6).
fn may_ask(peer: &PeerConn, piece: PieceIndex) -> bool {
    !peer.peer_chokes_us() || peer.allowed_fast().contains(&piece)
}

/// A stranger's text, cut to what a record takes.
fn said_text(bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    while text.len() > TEXT_BYTES_MAX {
        text.pop();
    }
    text
}
