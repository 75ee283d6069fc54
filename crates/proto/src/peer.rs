//! One peer connection, seen from our end (BEP 3, 6, 10, 11, 21).
//!
//! What it is: framing, the states of choke and interest in both directions, what the peer said it
//! has, which of our requests are outstanding, and every way in which a peer can break the
//! protocol. What it is not: it picks no piece, chokes nobody by itself, and holds no payload.
//!
//! ```text
//! AwaitHandshake --handshake--> Open --violation / our close / end of stream / idle--> Closed
//! ```
//!
//! The same machine serves the engine, the observer, the simulator and the verifier.

use skep_wire::{
    Bitfield, Block, InfoHash, Moment, PeerId, PieceIndex, Said,
    peer::{
        MessageId, Reserved,
        ext::{ExtHandshake, Pex},
    },
};

/// What the machine is told when a connection begins.
#[derive(Debug, Clone)]
pub struct PeerConfig {
    /// The torrent. For an incoming connection this is what we accept; the driver that serves
    /// several torrents reads the handshake's info-hash first (`skep_wire::peer::Handshake`).
    pub info_hash: InfoHash,
    /// Our peer id.
    pub peer_id: PeerId,
    /// Our reserved bytes.
    pub reserved: Reserved,
    /// How many pieces the torrent has.
    pub piece_count: u32,
    /// The length of a piece and of the last piece, to judge block bounds.
    pub piece_len: u32,
    /// The length of the whole content in bytes.
    pub size_bytes: u64,
    /// Our extension handshake, sent if the peer speaks BEP 10. `None` sends none.
    pub ext: Option<ExtHandshake>,
    /// Whether we send our handshake at once (outgoing) or after the peer's (incoming).
    pub outgoing: bool,
    /// Our pieces when the connection opens: sent as bitfield, have-all or have-none.
    pub have: Option<Bitfield>,
}

/// What the driver should do with the next bytes of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Message bytes: call [`PeerConn::handle_bytes`] with what is buffered and what comes.
    Bytes,
    /// The next `block.len` bytes are the payload of this block, which we asked for. Put them where
    /// they belong, then call [`PeerConn::handle_payload`].
    Payload(Block),
    /// The next `len` bytes are a payload that we did not ask for, or no longer want: skip them
    /// (the observer still captures them), then call [`PeerConn::handle_discarded`].
    Discard {
        /// How many bytes.
        len: u32,
    },
    /// The connection is over; no more bytes are wanted.
    Nothing,
}

/// What the driver should send, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transmit {
    /// These bytes.
    Bytes(Vec<u8>),
    /// The 13-byte header of `piece` and then this range of the content, which the machine names
    /// but never holds.
    Block(Block),
}

/// What happened on the connection. Values that the peer merely said are `Said`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The peer's handshake came and names our torrent.
    Opened {
        /// Its peer id.
        peer_id: Said<PeerId>,
        /// Its reserved bytes.
        reserved: Said<Reserved>,
    },
    /// Its extension handshake (BEP 10); it may come again.
    Extended(Said<ExtHandshake>),
    /// It sent the whole set of its pieces: `bitfield`, `have_all` or `have_none`.
    HasSet {
        /// The set.
        pieces: Said<Bitfield>,
        /// Which message said so.
        how: SetKind,
    },
    /// It said that it has gained a piece (`have`).
    Has {
        /// The piece.
        piece: Said<PieceIndex>,
    },
    /// It choked us; requests that were outstanding are void unless BEP 6 is in use.
    PeerChokedUs,
    /// It unchoked us.
    PeerUnchokedUs,
    /// It is interested in our pieces.
    PeerInterested,
    /// It is not.
    PeerNotInterested,
    /// It asks for a block. Bounds are already checked.
    PeerRequested(Block),
    /// It takes a request back.
    PeerCancelled(Block),
    /// It refuses one of our requests (BEP 6), or choking voided it (BEP 3).
    RequestRefused(Block),
    /// It lets us fetch this piece while choked (BEP 6).
    AllowedFast {
        /// The piece.
        piece: Said<PieceIndex>,
    },
    /// It suggests a piece (BEP 6).
    Suggested {
        /// The piece.
        piece: Said<PieceIndex>,
    },
    /// The payload of a block that we asked for has arrived, whole.
    BlockArrived(Block),
    /// A block arrived that was not asked for, or was asked for and cancelled; it was skipped.
    BlockUnrequested(Block),
    /// Peer exchange (BEP 11).
    Pex(Said<Pex>),
    /// Its DHT port (BEP 5).
    DhtPort(Said<u16>),
    /// A message of an unknown kind, skipped.
    UnknownMessage {
        /// Its id.
        id: MessageId,
        /// Its length in bytes without the id.
        len: u32,
    },
    /// The last event.
    Closed {
        /// Why.
        why: Why,
    },
}

/// Which message named a whole set of pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SetKind {
    /// `bitfield`.
    Bitfield,
    /// `have_all` (BEP 6).
    HaveAll,
    /// `have_none` (BEP 6).
    HaveNone,
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The peer ended the stream, or the driver reported an error of the socket.
    PeerClosed,
    /// We did.
    WeClosed,
    /// No handshake in [`HANDSHAKE_SECS_MAX`], or no byte in [`IDLE_SECS_MAX`].
    Idle,
    /// The peer broke the protocol.
    Violation(Violation),
}

/// A peer broke the protocol. Each variant keeps the numbers that an auditor needs to agree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// The first 20 bytes are not those of BEP 3.
    #[error("handshake names protocol {got:02x?}, expected \"BitTorrent protocol\"")]
    WrongProtocol {
        /// At most the first 20 bytes.
        got: Vec<u8>,
    },
    /// The handshake names another torrent.
    #[error("handshake names info-hash {got}, expected {expected}")]
    WrongInfoHash {
        /// What it names.
        got: InfoHash,
        /// What we asked for.
        expected: InfoHash,
    },
    /// The handshake is ours, sent back (an echo), or we reached ourselves.
    #[error("handshake carries our own peer id")]
    OwnPeerId,
    /// A message is longer than any we accept.
    #[error("message of {len} bytes exceeds the limit of {limit}")]
    MessageTooLong {
        /// Length that it says.
        len: u32,
        /// Our limit.
        limit: u32,
    },
}

/// Seconds until a peer must have sent its handshake.
pub const HANDSHAKE_SECS_MAX: u64 = 20;

/// Seconds without a byte after which a connection counts as dead: BEP 3 peers send a keep-alive
/// every two minutes.
pub const IDLE_SECS_MAX: u64 = 150;

/// One peer connection. See the module's documentation.
#[derive(Debug)]
pub struct PeerConn {}

#[allow(unused_variables, clippy::todo)]
impl PeerConn {
    /// Starts the machine for a connection that stands.
    pub fn new(config: PeerConfig, now: Moment) -> Self {
        todo!("proto")
    }

    /// Feeds message bytes; returns how many were consumed and what is wanted next. Bytes that were
    /// not consumed are the start of a message whose rest is missing: the driver keeps them and
    /// offers them again with more. Call again at once while it consumes and wants `Bytes`.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Moment) -> (usize, Want) {
        todo!("proto")
    }

    /// The payload of `block`, last returned as [`Want::Payload`], has arrived in full.
    pub fn handle_payload(&mut self, block: Block, now: Moment) {
        todo!("proto")
    }

    /// The bytes last returned as [`Want::Discard`] have passed.
    pub fn handle_discarded(&mut self, now: Moment) {
        todo!("proto")
    }

    /// The stream has ended, by the peer or by an error of the socket.
    pub fn handle_end(&mut self, now: Moment) {
        todo!("proto")
    }

    /// Tells the machine that `now` has come. Early and repeated calls are harmless.
    pub fn handle_timeout(&mut self, now: Moment) {
        todo!("proto")
    }

    /// Asks for a block. Returns `false`, and does nothing, while the peer chokes us and has not
    /// allowed the piece (BEP 6), while too many requests are outstanding, or when closed.
    pub fn request(&mut self, block: Block, now: Moment) -> bool {
        todo!("proto")
    }

    /// Takes a request back.
    pub fn cancel(&mut self, block: Block, now: Moment) {
        todo!("proto")
    }

    /// Says whether we are interested; sends nothing if it said so already.
    pub fn set_interested(&mut self, interested: bool, now: Moment) {
        todo!("proto")
    }

    /// Chokes or unchokes the peer; sends nothing if that is the state already.
    pub fn set_peer_choked(&mut self, choked: bool, now: Moment) {
        todo!("proto")
    }

    /// Says that we have gained `piece`.
    pub fn send_have(&mut self, piece: PieceIndex, now: Moment) {
        todo!("proto")
    }

    /// Answers a request with its block.
    pub fn send_block(&mut self, block: Block, now: Moment) {
        todo!("proto")
    }

    /// Refuses a request (BEP 6; without it nothing is sent).
    pub fn reject(&mut self, block: Block, now: Moment) {
        todo!("proto")
    }

    /// Ends the connection from our side.
    pub fn close(&mut self, now: Moment) {
        todo!("proto")
    }

    /// What to send next.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        todo!("proto")
    }

    /// What happened next.
    pub fn poll_event(&mut self) -> Option<Event> {
        todo!("proto")
    }

    /// When to call [`PeerConn::handle_timeout`] next, and for which timer.
    pub fn poll_timeout(&self) -> Option<(Moment, &'static str)> {
        todo!("proto")
    }

    /// Whether the peer chokes us.
    pub fn peer_chokes_us(&self) -> bool {
        todo!("proto")
    }

    /// The pieces that the peer said it has; empty until it says.
    pub fn peer_pieces(&self) -> &Said<Bitfield> {
        todo!("proto")
    }

    /// The blocks that we asked for and that have neither come nor been refused, oldest first: what
    /// the driver may expect next.
    pub fn outstanding(&self) -> impl Iterator<Item = Block> {
        std::iter::empty()
    }
}
