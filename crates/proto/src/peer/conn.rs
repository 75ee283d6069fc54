//! The connection's life: framing, the handshake, timers, and what we say ourselves.

use std::{collections::VecDeque, time::Duration};

use skep_wire::{
    Bitfield, Block, InfoHash, Moment, PieceIndex, Said,
    peer::{
        HANDSHAKE_LEN, Handshake, HandshakeError, Message, MessageId, PIECE_HEADER_LEN, body_len,
        decode,
        ext::encode_dont_have,
        hashes::{HASH_REQUEST_LEN, HASHES_LEN_MAX},
    },
};

use super::{
    BLOCK_BYTES_MAX, EXTENDED_BYTES_MAX, Event, HANDSHAKE_SECS_MAX, IDLE_SECS_MAX, KEEP_ALIVE_SECS,
    MESSAGE_SECS_MAX, PAYLOAD_SECS_MAX, PeerConfig, REQUESTS_OUT_MAX, Transmit, UNKNOWN_BYTES_MAX,
    VOIDED_MAX, Violation, Want, Why,
    hashes::HashTalk,
    open::{Agreed, Ours, Remote},
};

/// One peer connection. See the module's documentation.
#[derive(Debug)]
pub struct PeerConn {
    pub(super) config: PeerConfig,
    pub(super) phase: Phase,
    pub(super) next: Next,
    /// Bytes that were offered and not consumed: the beginning of a message.
    held: usize,
    /// When the message or payload that is arriving began.
    part_since: Option<Moment>,
    began_at: Moment,
    heard_at: Moment,
    sent_at: Moment,
    pub(super) agreed: Agreed,
    pub(super) remote: Remote,
    pub(super) ours: Ours,
    pub(super) hash_talk: HashTalk,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    AwaitHandshake,
    Open,
    Closed,
}

/// What the next bytes of the stream are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Next {
    Message,
    Payload(Block),
    /// `block` is `None` for a message of an unknown kind.
    Skip {
        block: Option<Block>,
        len: u32,
    },
}

impl PeerConn {
    /// Starts the machine for a connection that stands.
    pub fn new(config: PeerConfig, now: Moment) -> Self {
        let remote = Remote::new(&config);
        let mut conn = Self {
            config,
            phase: Phase::AwaitHandshake,
            next: Next::Message,
            held: 0,
            part_since: None,
            began_at: now,
            heard_at: now,
            sent_at: now,
            agreed: Agreed::default(),
            remote,
            ours: Ours::default(),
            hash_talk: HashTalk::default(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        };
        if conn.config.outgoing {
            conn.send_handshake(conn.config.info_hash, now);
        }
        conn
    }

    /// Feeds message bytes; returns how many were consumed and what is wanted next. Bytes that were
    /// not consumed are the start of a message whose rest is missing: the driver keeps them (never
    /// more than [`PeerConn::message_bytes_max`]) and offers them again with more. Takes at most one
    /// message: call again at once while it consumes and wants `Bytes`.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Moment) -> (usize, Want) {
        if self.phase == Phase::Closed || !matches!(self.next, Next::Message) {
            return (0, self.want());
        }
        if bytes.len() > self.held {
            self.heard_at = now;
            self.part_since = self.part_since.or(Some(now));
        }
        let (used, result) = match self.phase {
            Phase::AwaitHandshake => self.take_handshake(bytes, now),
            Phase::Open => self.take_message(bytes, now),
            Phase::Closed => (0, Ok(())),
        };
        if let Err(violation) = result {
            self.end(Why::Violation(violation));
            return (used, Want::Nothing);
        }
        self.held = bytes.len() - used;
        if used > 0 {
            let more = self.held > 0 || !matches!(self.next, Next::Message);
            self.part_since = more.then_some(now);
        }
        if !matches!(self.next, Next::Message) {
            self.held = 0;
        }
        (used, self.want())
    }

    /// The payload of `block`, last returned as [`Want::Payload`], has arrived in full.
    pub fn handle_payload(&mut self, block: Block, now: Moment) {
        if matches!(self.next, Next::Payload(wanted) if wanted == block) {
            self.end_part(now);
            self.ours.take_outstanding(block);
            self.push_event(Event::BlockArrived(block));
        }
    }

    /// The bytes last returned as [`Want::Discard`] have passed.
    pub fn handle_discarded(&mut self, now: Moment) {
        if let Next::Skip { block, .. } = self.next {
            self.end_part(now);
            if let Some(block) = block {
                self.push_event(Event::BlockUnrequested(block));
            }
        }
    }

    /// The stream has ended, by the peer or by an error of the socket.
    pub fn handle_end(&mut self, _now: Moment) {
        self.end(Why::PeerClosed);
    }

    /// Tells the machine that `now` has come. Early and repeated calls are harmless.
    pub fn handle_timeout(&mut self, now: Moment) {
        while let Some((at, timer)) = self.timers().into_iter().flatten().min()
            && at <= now
        {
            match timer {
                Timer::Handshake | Timer::Idle => self.end(Why::Idle),
                Timer::Message | Timer::Payload => self.end(Why::Stalled),
                Timer::KeepAlive => self.say(&Message::KeepAlive, now),
            }
        }
    }

    /// Ends the connection from our side.
    pub fn close(&mut self, _now: Moment) {
        self.end(Why::WeClosed);
    }

    /// What to send next.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// What happened next.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`PeerConn::handle_timeout`] next, and for which timer.
    pub fn poll_timeout(&self) -> Option<(Moment, &'static str)> {
        let (at, timer) = self.timers().into_iter().flatten().min()?;
        Some((at, timer.name()))
    }

    /// What the next bytes of the stream are for.
    pub fn want(&self) -> Want {
        match (self.phase, self.next) {
            (Phase::Closed, _) => Want::Nothing,
            (_, Next::Message) => Want::Bytes,
            (_, Next::Payload(block)) => Want::Payload(block),
            (_, Next::Skip { len, .. }) => Want::Discard { len },
        }
    }

    /// Whether the handshakes are done and the connection is not over.
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Whether the connection is over.
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// The most bytes of an unfinished message that the driver has to keep.
    pub fn message_bytes_max(&self) -> usize {
        let bitfield = 5 + self.config.sizes.count().div_ceil(8) as usize;
        bitfield
            .max(4 + EXTENDED_BYTES_MAX as usize)
            .max(HANDSHAKE_LEN)
    }

    /// Asks for a block. Returns `false`, and does nothing, while the peer chokes us and has not
    /// allowed the piece (BEP 6), while too many requests are outstanding, when the block is
    /// outstanding already, or when the connection is not open.
    pub fn request(&mut self, block: Block, now: Moment) -> bool {
        let may = self.phase == Phase::Open
            && (!self.remote.chokes_us || self.remote.allowed_fast.contains(&block.piece))
            && self.ours.outstanding.len() < self.requests_max()
            && self.check_block(MessageId::REQUEST, block).is_ok()
            && !self.ours.outstanding.contains(&block);
        if may {
            self.ours.outstanding.push_back(block);
            self.say(&Message::Request(block), now);
        }
        may
    }

    /// Takes a request back. Does nothing for a block that is not outstanding, or whose payload is
    /// arriving at this moment: that one still comes as [`Event::BlockArrived`].
    pub fn cancel(&mut self, block: Block, now: Moment) {
        let arriving = matches!(self.next, Next::Payload(next) if next == block);
        if let Some(at) = self
            .ours
            .outstanding
            .iter()
            .position(|&asked| asked == block)
            && !arriving
            && self.phase == Phase::Open
        {
            self.ours.outstanding.remove(at);
            self.ours.void(block);
            self.say(&Message::Cancel(block), now);
        }
    }

    /// Says whether we are interested; sends nothing if it said so already or is not open.
    pub fn set_interested(&mut self, interested: bool, now: Moment) {
        if self.phase == Phase::Open && self.ours.interested != interested {
            self.ours.interested = interested;
            let message = if interested {
                Message::Interested
            } else {
                Message::NotInterested
            };
            self.say(&message, now);
        }
    }

    /// Chokes or unchokes the peer; sends nothing if that is the state already. Choking voids the
    /// peer's unanswered requests but for those of [`PeerConn::allow_fast`]; with BEP 6 each is refused.
    pub fn set_peer_choked(&mut self, choked: bool, now: Moment) {
        if self.phase != Phase::Open || self.ours.chokes_peer == choked {
            return;
        }
        self.ours.chokes_peer = choked;
        self.remote.requests_choked = 0;
        self.say(
            if choked {
                &Message::Choke
            } else {
                &Message::Unchoke
            },
            now,
        );
        let standing = if choked {
            std::mem::take(&mut self.remote.requests)
        } else {
            [].into()
        };
        for block in standing {
            if self.ours.take_allowance(block) {
                self.remote.requests.push_back(block);
            } else {
                self.say_reject(block, now);
            }
        }
    }

    /// Says that we have gained `piece`. Before the handshakes are done the piece joins the set
    /// that will be sent.
    pub fn send_have(&mut self, piece: PieceIndex, now: Moment) {
        match self.phase {
            Phase::AwaitHandshake => {
                self.config.have.as_mut().map(|have| have.insert(piece));
            }
            Phase::Open => self.say(&Message::Have(piece), now),
            Phase::Closed => {}
        }
    }

    /// Answers a request with its block. Does nothing unless that request is unanswered: no block
    /// goes out that was not asked for.
    pub fn send_block(&mut self, block: Block, now: Moment) {
        if self.phase == Phase::Open && self.remote.take_request(block).is_some() {
            self.sent_at = now;
            self.transmits.push_back(Transmit::Block(block));
        }
    }

    /// Refuses a request (BEP 6; without it the request is dropped and nothing is sent).
    pub fn reject(&mut self, block: Block, now: Moment) {
        if self.phase == Phase::Open && self.remote.take_request(block).is_some() {
            self.say_reject(block, now);
        }
    }

    /// Says that we have `piece` no longer, if the peer wants to hear of it (BEP 54), and refuses what
    /// it asked of that piece. Before the handshakes are done the piece leaves the set that will be
    /// sent.
    pub fn send_dont_have(&mut self, piece: PieceIndex, now: Moment) {
        match self.phase {
            Phase::AwaitHandshake => {
                self.config.have.as_mut().map(|have| have.remove(piece));
            }
            Phase::Open => {
                if let Some(id) = self.remote.dont_have_id.filter(|_| self.agreed.ext) {
                    let payload = &encode_dont_have(piece);
                    self.say(&Message::Extended { id, payload }, now);
                }
                let requests = self.remote.requests.iter();
                let of_piece = requests.filter(|block| block.piece == piece);
                for block in of_piece.copied().collect::<Vec<_>>() {
                    self.reject(block, now);
                }
            }
            Phase::Closed => {}
        }
    }

    /// Lets the peer fetch a piece while we choke it (BEP 6): as many bytes as the piece has, once.
    /// Does nothing without the fast extension, or beyond [`super::ALLOWED_FAST_OFFERED_MAX`] pieces.
    pub fn allow_fast(&mut self, piece: PieceIndex, now: Moment) {
        let size = self.config.sizes.size(piece);
        if self.phase == Phase::Open && self.agreed.fast && self.ours.allow(piece, size) {
            self.say(&Message::AllowedFast(piece), now);
        }
    }

    /// Sends a keep-alive, an extension handshake of other content (BEP 10), or nothing: our
    /// extension handshake changes when we become upload-only (BEP 21).
    pub fn send_ext_handshake(&mut self, ext: skep_wire::peer::ext::ExtHandshake, now: Moment) {
        self.config.ext = Some(ext);
        if self.phase == Phase::Open {
            self.say_ext_handshake(now);
        }
    }

    /// Whether the peer chokes us.
    pub fn peer_chokes_us(&self) -> bool {
        self.remote.chokes_us
    }

    /// Whether the peer says that it is interested in our pieces.
    pub fn peer_is_interested(&self) -> bool {
        self.remote.interested
    }

    /// Whether we choke the peer.
    pub fn we_choke_peer(&self) -> bool {
        self.ours.chokes_peer
    }

    /// Whether we said that we are interested.
    pub fn we_are_interested(&self) -> bool {
        self.ours.interested
    }

    /// Whether both sides speak the fast extension (BEP 6).
    pub fn fast_agreed(&self) -> bool {
        self.agreed.fast
    }

    /// Whether both sides speak version 2 (BEP 52): they agreed on its info-hash.
    pub fn v2_agreed(&self) -> bool {
        self.agreed.v2
    }

    /// The torrent's name in the peer's handshake.
    pub fn peer_info_hash(&self) -> Option<Said<InfoHash>> {
        self.remote.info_hash.map(Said)
    }

    /// The pieces that the peer said it has; empty until it says.
    pub fn peer_pieces(&self) -> &Said<Bitfield> {
        &self.remote.pieces
    }

    /// The pieces that the peer lets us fetch while it chokes us (BEP 6).
    pub fn allowed_fast(&self) -> &[PieceIndex] {
        &self.remote.allowed_fast
    }

    /// The blocks that we asked for and that have neither come nor been refused, oldest first: what
    /// the driver may expect next.
    pub fn outstanding(&self) -> impl Iterator<Item = Block> {
        self.ours.outstanding.iter().copied()
    }

    /// How many blocks are outstanding.
    pub fn outstanding_count(&self) -> usize {
        self.ours.outstanding.len()
    }

    /// How many requests may be outstanding, by the peer's `reqq` and our own limit.
    pub fn requests_max(&self) -> usize {
        self.remote.requests_max.min(REQUESTS_OUT_MAX)
    }

    /// The peer's requests that were neither answered nor refused, oldest first.
    pub fn peer_requests(&self) -> impl Iterator<Item = Block> {
        self.remote.requests.iter().copied()
    }

    /// How many messages and events nobody has polled yet.
    pub(super) fn undrained(&self) -> (usize, usize) {
        (self.transmits.len(), self.events.len())
    }

    pub(super) fn push_event(&mut self, event: Event) {
        self.events.push_back(event);
    }

    pub(super) fn say(&mut self, message: &Message<'_>, now: Moment) {
        self.sent_at = now;
        self.transmits
            .push_back(Transmit::Bytes(message.to_bytes()));
    }

    pub(super) fn say_reject(&mut self, block: Block, now: Moment) {
        if self.agreed.fast {
            self.say(&Message::RejectRequest(block), now);
        }
    }

    fn say_ext_handshake(&mut self, now: Moment) {
        if let Some(ext) = self.config.ext.as_ref().filter(|_| self.agreed.ext) {
            let payload = ext.encode();
            self.say(
                &Message::Extended {
                    id: 0,
                    payload: &payload,
                },
                now,
            );
        }
    }

    fn send_handshake(&mut self, info_hash: InfoHash, now: Moment) {
        let &PeerConfig {
            info_hashes,
            peer_id,
            reserved,
            ..
        } = &self.config;
        let is_v1_of_two = info_hashes.v2().is_some_and(|v2| v2 != info_hash);
        let bytes = Handshake {
            reserved: reserved.with_v2(is_v1_of_two),
            info_hash,
            peer_id,
        }
        .encode()
        .to_vec();
        self.sent_at = now;
        self.transmits.push_back(Transmit::Bytes(bytes));
    }

    fn take_handshake(&mut self, bytes: &[u8], now: Moment) -> (usize, Result<(), Violation>) {
        let prefix = Handshake::check_prefix(bytes);
        if let Err(HandshakeError::WrongProtocol { got }) = prefix {
            return (got.len(), Err(Violation::WrongProtocol { got }));
        }
        let Some(Ok(theirs)) = bytes.first_chunk().map(Handshake::decode) else {
            return (0, Ok(()));
        };
        let info_hash = match self.agree_on_hash(&theirs) {
            Ok(info_hash) => info_hash,
            Err(violation) => return (HANDSHAKE_LEN, Err(violation)),
        };
        if theirs.peer_id == self.config.peer_id {
            return (HANDSHAKE_LEN, Err(Violation::OwnPeerId));
        }
        self.phase = Phase::Open;
        self.agreed = Agreed {
            fast: theirs.reserved.fast() && self.config.reserved.fast(),
            ext: theirs.reserved.extended() && self.config.reserved.extended(),
            v2: self.config.info_hashes.v2() == Some(info_hash),
        };
        self.remote.info_hash = Some(theirs.info_hash);
        let (peer_id, reserved) = (Said(theirs.peer_id), Said(theirs.reserved));
        self.push_event(Event::Opened { peer_id, reserved });
        if !self.config.outgoing {
            self.send_handshake(info_hash, now);
        }
        self.say_set(now);
        self.say_ext_handshake(now);
        (HANDSHAKE_LEN, Ok(()))
    }

    /// The name of the torrent that the connection is about from now on. Who is asked for a hybrid by
    /// its v1 info-hash, and told that the other end speaks version 2, answers with the v2 one
    /// (BEP 52, upgrade path).
    fn agree_on_hash(&self, theirs: &Handshake) -> Result<InfoHash, Violation> {
        let PeerConfig {
            info_hashes,
            info_hash: said,
            outgoing,
            ..
        } = self.config;
        let got = theirs.info_hash;
        let (expected, upgrades) = match outgoing {
            true => (
                said,
                Some(said) == info_hashes.v1() && Some(got) == info_hashes.v2(),
            ),
            false => (info_hashes.first(), info_hashes.contains(got)),
        };
        if got != expected && !upgrades {
            return Err(Violation::WrongInfoHash { got, expected });
        }
        let v2 = info_hashes
            .v2()
            .filter(|_| !outgoing && theirs.reserved.v2());
        Ok(v2.unwrap_or(got))
    }

    /// With BEP 6 a set must be sent; without it an empty one need not (BEP 3).
    fn say_set(&mut self, now: Moment) {
        let Some(have) = self.config.have.take() else {
            return;
        };
        let empty = have.count() == 0;
        if self.agreed.fast && have.is_full() {
            self.say(&Message::HaveAll, now);
        } else if self.agreed.fast && empty {
            self.say(&Message::HaveNone, now);
        } else if !empty {
            self.say(&Message::Bitfield(have.as_bytes()), now);
        }
    }

    fn take_message(&mut self, bytes: &[u8], now: Moment) -> (usize, Result<(), Violation>) {
        let Some((prefix, rest)) = bytes.split_first_chunk::<4>() else {
            return (0, Ok(()));
        };
        let len = u32::from_be_bytes(*prefix);
        if len == 0 {
            return (4, Ok(()));
        }
        let Some(id) = rest.first().copied().map(MessageId) else {
            return (0, Ok(()));
        };
        let kind = Kind::of(id, self.agreed.v2);
        let limit = self.len_max(kind);
        if len > limit {
            return (5, Err(Violation::MessageTooLong { len, limit }));
        }
        if kind == Kind::Unknown {
            let len = len - 1;
            self.push_event(Event::UnknownMessage { id, len });
            self.skip(None, len);
            return (5, Ok(()));
        }
        let body = body_len(len, id) as usize;
        if rest.len() < body {
            return (0, Ok(()));
        }
        debug_assert!(kind != Kind::Piece || 4 + body <= PIECE_HEADER_LEN);
        let result = match decode(len, &rest[..body]) {
            Ok(message) => self.take(message, now),
            Err(error) => Err(Violation::Message(error)),
        };
        (4 + body, result)
    }

    pub(super) fn skip(&mut self, block: Option<Block>, len: u32) {
        if len > 0 {
            self.next = Next::Skip { block, len };
        }
    }

    /// The greatest length prefix of a message of this kind. A fixed-size message may say up to the
    /// longest fixed size; the decoder then names the exact one.
    fn len_max(&self, kind: Kind) -> u32 {
        match kind {
            Kind::Fixed => 13,
            Kind::Bitfield => 1 + self.config.sizes.count().div_ceil(8),
            Kind::Piece => 9 + BLOCK_BYTES_MAX,
            Kind::Extended => EXTENDED_BYTES_MAX,
            Kind::HashRequest => 1 + HASH_REQUEST_LEN,
            Kind::Hashes => HASHES_LEN_MAX,
            Kind::Unknown => UNKNOWN_BYTES_MAX,
        }
    }

    fn end_part(&mut self, now: Moment) {
        self.next = Next::Message;
        self.heard_at = now;
        self.part_since = None;
        self.held = 0;
    }

    fn end(&mut self, why: Why) {
        if self.phase == Phase::Closed {
            return;
        }
        self.phase = Phase::Closed;
        if why != Why::WeClosed {
            self.transmits.clear();
        }
        self.remote.requests.clear();
        self.hash_talk.clear();
        self.push_event(Event::Closed { why });
    }

    fn timers(&self) -> [Option<(Moment, Timer)>; 3] {
        let after = |from: Moment, secs| from + Duration::from_secs(secs);
        let part = self.part_since.map(|since| match self.next {
            Next::Message => (after(since, MESSAGE_SECS_MAX), Timer::Message),
            Next::Payload(_) | Next::Skip { .. } => {
                (after(since, PAYLOAD_SECS_MAX), Timer::Payload)
            }
        });
        match self.phase {
            Phase::AwaitHandshake => [
                Some((after(self.began_at, HANDSHAKE_SECS_MAX), Timer::Handshake)),
                None,
                None,
            ],
            Phase::Open => [
                Some((after(self.heard_at, IDLE_SECS_MAX), Timer::Idle)),
                Some((after(self.sent_at, KEEP_ALIVE_SECS), Timer::KeepAlive)),
                part,
            ],
            Phase::Closed => [None, None, None],
        }
    }
}

/// The timers, in the order in which they are served at the same moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Handshake,
    Payload,
    Message,
    Idle,
    KeepAlive,
}

impl Timer {
    fn name(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Idle => "idle",
            Self::Message => "message",
            Self::Payload => "payload",
            Self::KeepAlive => "keep-alive",
        }
    }
}

/// How a message's length is judged before its body is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Fixed,
    Bitfield,
    Piece,
    Extended,
    HashRequest,
    Hashes,
    Unknown,
}

impl Kind {
    /// Where version 2 was not agreed its messages are of an unknown kind.
    fn of(id: MessageId, v2: bool) -> Self {
        match id {
            MessageId::HASH_REQUEST | MessageId::HASH_REJECT if v2 => Self::HashRequest,
            MessageId::HASHES if v2 => Self::Hashes,
            MessageId::BITFIELD => Self::Bitfield,
            MessageId::PIECE => Self::Piece,
            MessageId::EXTENDED => Self::Extended,
            MessageId(0..=4 | 6 | 8 | 9 | 13..=17) => Self::Fixed,
            MessageId(_) => Self::Unknown,
        }
    }
}

const _: () = assert!(VOIDED_MAX >= REQUESTS_OUT_MAX);
const _: () = assert!(HASHES_LEN_MAX <= EXTENDED_BYTES_MAX, "message_bytes_max");
