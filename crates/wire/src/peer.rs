//! The peer protocol (BEP 3, 6, 10, 11, 21): handshake and messages, bytes to values and back.
//!
//! ```text
//! handshake  19 "BitTorrent protocol" | reserved 8 | info-hash 20 | peer id 20
//! message    length u32 | id u8 | payload          (length 0: keep-alive, no id)
//! ```

pub mod ext;

use crate::{Block, InfoHash, PeerId, PieceIndex};

/// Length of a handshake in bytes.
pub const HANDSHAKE_LEN: usize = 68;

/// The eight reserved bytes of a handshake: which extensions the peer says it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Reserved(pub [u8; 8]);

impl Reserved {
    /// Extension protocol (BEP 10) and fast extension (BEP 6): what skep's own handshake says.
    pub const OURS: Self = Self([0, 0, 0, 0, 0, 0x10, 0, 0x04]);

    /// Whether the extension protocol (BEP 10) is offered.
    pub fn extended(self) -> bool {
        self.0[5] & 0x10 != 0
    }

    /// Whether the fast extension (BEP 6) is offered.
    pub fn fast(self) -> bool {
        self.0[7] & 0x04 != 0
    }
}

/// The first message of a connection, in each direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handshake {
    /// Extensions offered.
    pub reserved: Reserved,
    /// The torrent that the connection is about.
    pub info_hash: InfoHash,
    /// Who the peer says it is.
    pub peer_id: PeerId,
}

/// The number that names a message. A newtype, because unknown values occur and are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageId(pub u8);

/// A peer message without the payload of `piece`, which never passes through a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message<'a> {
    /// Length 0.
    KeepAlive,
    /// Id 0.
    Choke,
    /// Id 1.
    Unchoke,
    /// Id 2.
    Interested,
    /// Id 3.
    NotInterested,
    /// Id 4: the sender says it has this piece.
    Have(PieceIndex),
    /// Id 5: the raw set; its length can be judged only with the piece count.
    Bitfield(&'a [u8]),
    /// Id 6.
    Request(Block),
    /// Id 7: the 9 bytes before the payload; `len` is the payload's.
    Piece(Block),
    /// Id 8.
    Cancel(Block),
    /// Id 9: the sender's DHT port (BEP 5).
    Port(u16),
    /// Id 13 (BEP 6).
    SuggestPiece(PieceIndex),
    /// Id 14 (BEP 6).
    HaveAll,
    /// Id 15 (BEP 6).
    HaveNone,
    /// Id 16 (BEP 6).
    RejectRequest(Block),
    /// Id 17 (BEP 6).
    AllowedFast(PieceIndex),
    /// Id 20 (BEP 10): the extension message id, 0 for the extension handshake.
    Extended {
        /// The id that the receiver assigned in its extension handshake, or 0.
        id: u8,
        /// The rest.
        payload: &'a [u8],
    },
    /// Any other id, as it came.
    Unknown {
        /// The id.
        id: MessageId,
        /// The payload.
        payload: &'a [u8],
    },
}

impl Handshake {
    /// The 68 bytes.
    pub fn encode(&self) -> [u8; HANDSHAKE_LEN] {
        todo!("wire")
    }
}
