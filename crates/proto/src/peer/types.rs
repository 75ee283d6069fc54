//! What goes into and comes out of a peer connection.

use skep_hash::Sha256Digest;
use skep_wire::{
    Bitfield, Block, InfoHash, PeerId, PieceIndex, PieceSizes, Said,
    peer::{
        HashRequest, MessageId, Reserved,
        ext::{ExtHandshake, Pex},
    },
};

use super::Violation;
#[cfg(doc)]
use super::{HANDSHAKE_SECS_MAX, IDLE_SECS_MAX, MESSAGE_SECS_MAX, PAYLOAD_SECS_MAX, PeerConn};

/// The names of a torrent on the wire: a hybrid has two, and one swarm for each (BEP 52).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InfoHashes {
    /// A version 1 torrent: the SHA-1 of its info dictionary.
    V1(InfoHash),
    /// A version 2 torrent: the first 20 bytes of the SHA-256 of its info dictionary.
    V2(InfoHash),
    /// A hybrid.
    Hybrid {
        /// Its name in version 1.
        v1: InfoHash,
        /// Its name in version 2.
        v2: InfoHash,
    },
}

impl InfoHashes {
    /// The name in version 1.
    pub fn v1(self) -> Option<InfoHash> {
        match self {
            Self::V1(v1) | Self::Hybrid { v1, .. } => Some(v1),
            Self::V2(_) => None,
        }
    }

    /// The name in version 2.
    pub fn v2(self) -> Option<InfoHash> {
        match self {
            Self::V2(v2) | Self::Hybrid { v2, .. } => Some(v2),
            Self::V1(_) => None,
        }
    }

    /// The name by which the torrent is known first: that of version 1, if it has one.
    pub fn first(self) -> InfoHash {
        match self {
            Self::V1(first) | Self::V2(first) | Self::Hybrid { v1: first, .. } => first,
        }
    }

    /// The names, the first one first.
    pub fn iter(self) -> impl Iterator<Item = InfoHash> {
        let v2 = self.v2().filter(|_| self.v1().is_some());
        std::iter::once(self.first()).chain(v2)
    }

    /// Whether the torrent has this name.
    pub fn contains(self, info_hash: InfoHash) -> bool {
        self.iter().any(|ours| ours == info_hash)
    }
}

impl From<InfoHash> for InfoHashes {
    fn from(v1: InfoHash) -> Self {
        Self::V1(v1)
    }
}

/// What the machine is told when a connection begins.
#[derive(Debug, Clone)]
pub struct PeerConfig {
    /// The torrent's names. An incoming connection may use any of them; the driver that serves
    /// several torrents reads the handshake's info-hash first (`skep_wire::peer::Handshake`).
    pub info_hashes: InfoHashes,
    /// The name that our handshake says on an outgoing connection.
    pub info_hash: InfoHash,
    /// Our peer id.
    pub peer_id: PeerId,
    /// Our reserved bytes. The bit of version 2 is set by the machine, where BEP 52 wants it: where
    /// we name a hybrid by its v1 info-hash.
    pub reserved: Reserved,
    /// How many pieces the torrent has and how long they are, to judge indices and block bounds.
    pub sizes: PieceSizes,
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
    /// It said that it has a piece no longer (BEP 54).
    HasNoLonger {
        /// The piece.
        piece: Said<PieceIndex>,
    },
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
    /// It asks for hashes (BEP 52). Whether the request makes sense was not judged: answer it with
    /// [`PeerConn::send_hashes`] or [`PeerConn::reject_hashes`].
    PeerWantsHashes(HashRequest),
    /// It answers our request for hashes, with as many as were asked for. They are not checked.
    Hashes {
        /// What was asked for.
        request: HashRequest,
        /// The hashes of the base layer, then the uncles.
        hashes: Said<Vec<Sha256Digest>>,
    },
    /// It refuses our request for hashes.
    HashesRefused(HashRequest),
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
    /// A message or a payload that began did not end within [`MESSAGE_SECS_MAX`] or
    /// [`PAYLOAD_SECS_MAX`], though bytes may have trickled.
    Stalled,
    /// The peer broke the protocol.
    Violation(Violation),
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PeerClosed => f.write_str("the peer closed"),
            Self::WeClosed => f.write_str("we closed"),
            Self::Idle => f.write_str("silent for too long"),
            Self::Stalled => f.write_str("a message took too long"),
            Self::Violation(violation) => violation.fmt(f),
        }
    }
}
