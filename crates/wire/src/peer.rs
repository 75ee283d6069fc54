//! The peer protocol (BEP 3, 6, 10, 11, 21, 52, 54): handshake and messages, bytes to values and back.
//!
//! ```text
//! handshake  19 "BitTorrent protocol" | reserved 8 | info-hash 20 | peer id 20
//! message    length u32 | id u8 | payload          (length 0: keep-alive, no id)
//! ```

pub mod ext;
pub mod hashes;

use crate::{Block, InfoHash, PeerId, PieceIndex};

pub use hashes::{HashRequest, HashRequestError};

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

    /// Whether a peer that names a hybrid torrent by its v1 info-hash also speaks v2 (BEP 52).
    pub fn v2(self) -> bool {
        self.0[7] & 0x10 != 0
    }

    /// The same bytes with the bit of [`Reserved::v2`] as said.
    #[must_use]
    pub fn with_v2(mut self, v2: bool) -> Self {
        self.0[7] = self.0[7] & !0x10 | if v2 { 0x10 } else { 0 };
        self
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
    /// Id 21 (BEP 52).
    HashRequest(HashRequest),
    /// Id 22 (BEP 52).
    Hashes {
        /// What they answer.
        request: HashRequest,
        /// The digests, 32 bytes each; how many there must be says [`HashRequest::hash_count`].
        hashes: &'a [u8],
    },
    /// Id 23 (BEP 52).
    HashReject(HashRequest),
    /// Any other id, as it came.
    Unknown {
        /// The id.
        id: MessageId,
        /// The payload.
        payload: &'a [u8],
    },
}

/// The protocol name in a handshake.
pub const PROTOCOL: &[u8; 19] = b"BitTorrent protocol";

/// Length of what stands before a block's payload: the length prefix, the id, piece and begin.
pub const PIECE_HEADER_LEN: usize = 13;

/// The greatest length prefix that any peer needs, as in libtorrent: the `bitfield` of the most
/// pieces that a torrent may have is 256 KiB, and no block or extension message comes near.
pub const MESSAGE_LEN_MAX: u32 = 1024 * 1024;

impl MessageId {
    /// `choke`.
    pub const CHOKE: Self = Self(0);
    /// `unchoke`.
    pub const UNCHOKE: Self = Self(1);
    /// `interested`.
    pub const INTERESTED: Self = Self(2);
    /// `not interested`.
    pub const NOT_INTERESTED: Self = Self(3);
    /// `have`.
    pub const HAVE: Self = Self(4);
    /// `bitfield`.
    pub const BITFIELD: Self = Self(5);
    /// `request`.
    pub const REQUEST: Self = Self(6);
    /// `piece`.
    pub const PIECE: Self = Self(7);
    /// `cancel`.
    pub const CANCEL: Self = Self(8);
    /// `port` (BEP 5).
    pub const PORT: Self = Self(9);
    /// `suggest piece` (BEP 6).
    pub const SUGGEST_PIECE: Self = Self(13);
    /// `have all` (BEP 6).
    pub const HAVE_ALL: Self = Self(14);
    /// `have none` (BEP 6).
    pub const HAVE_NONE: Self = Self(15);
    /// `reject request` (BEP 6).
    pub const REJECT_REQUEST: Self = Self(16);
    /// `allowed fast` (BEP 6).
    pub const ALLOWED_FAST: Self = Self(17);
    /// `extended` (BEP 10).
    pub const EXTENDED: Self = Self(20);
    /// `hash request` (BEP 52).
    pub const HASH_REQUEST: Self = Self(21);
    /// `hashes` (BEP 52).
    pub const HASHES: Self = Self(22);
    /// `hash reject` (BEP 52).
    pub const HASH_REJECT: Self = Self(23);
}

/// What is wrong with a handshake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The name of another protocol, or the beginning of something else.
    #[error("handshake begins with \"{}\", not with the protocol name", got.escape_ascii())]
    WrongProtocol {
        /// The first bytes that came, at most 20.
        got: Vec<u8>,
    },
}

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// Another length than the message's kind has.
    #[error("message {} has a length of {len}, not {expected}", id.0)]
    Len {
        /// The message.
        id: MessageId,
        /// The length prefix.
        len: u32,
        /// The length that it must have.
        expected: u32,
    },
    /// Shorter than the message's kind can be.
    #[error("message {} has a length of {len}, less than {least}", id.0)]
    TooShort {
        /// The message.
        id: MessageId,
        /// The length prefix.
        len: u32,
        /// The least length.
        least: u32,
    },
    /// `hashes` whose digests are not whole.
    #[error("message {} has {len} bytes of hashes, not a multiple of {}", MessageId::HASHES.0, hashes::HASH_LEN)]
    HashesLen {
        /// Bytes after the 48 that name the request.
        len: u32,
    },
    /// Fewer or more bytes were given than the message needs.
    #[error("message body of {got} bytes, {expected} are needed")]
    Body {
        /// Bytes given.
        got: usize,
        /// Bytes needed (see [`body_len`]).
        expected: u32,
    },
}

impl Handshake {
    /// The 68 bytes.
    pub fn encode(&self) -> [u8; HANDSHAKE_LEN] {
        let mut out = [0; HANDSHAKE_LEN];
        out[0] = PROTOCOL.len() as u8;
        out[1..20].copy_from_slice(PROTOCOL);
        out[20..28].copy_from_slice(&self.reserved.0);
        out[28..48].copy_from_slice(&self.info_hash.0);
        out[48..].copy_from_slice(&self.peer_id.0);
        out
    }

    /// Reads the 68 bytes.
    ///
    /// # Errors
    ///
    /// [`HandshakeError`] if they do not begin with the protocol's name.
    pub fn decode(bytes: &[u8; HANDSHAKE_LEN]) -> Result<Self, HandshakeError> {
        Self::check_prefix(bytes)?;
        let mut reserved = [0; 8];
        let mut info_hash = [0; 20];
        let mut peer_id = [0; 20];
        reserved.copy_from_slice(&bytes[20..28]);
        info_hash.copy_from_slice(&bytes[28..48]);
        peer_id.copy_from_slice(&bytes[48..]);
        Ok(Self {
            reserved: Reserved(reserved),
            info_hash: InfoHash(info_hash),
            peer_id: PeerId(peer_id),
        })
    }

    /// Judges the beginning of a handshake, however short: an endpoint that speaks something else
    /// is known by its first byte.
    ///
    /// # Errors
    ///
    /// [`HandshakeError`] as soon as a byte differs from the protocol's name.
    pub fn check_prefix(bytes: &[u8]) -> Result<(), HandshakeError> {
        let head = &bytes[..bytes.len().min(20)];
        let differs = head
            .iter()
            .zip([&[19], PROTOCOL.as_slice()].concat())
            .any(|(a, b)| *a != b);
        if differs {
            Err(HandshakeError::WrongProtocol { got: head.to_vec() })
        } else {
            Ok(())
        }
    }
}

/// How many bytes after the length prefix `len` the decoder needs, once the id is known: all but
/// for `piece`, of which only 9.
pub fn body_len(len: u32, id: MessageId) -> u32 {
    if id == MessageId::PIECE {
        len.min(9)
    } else {
        len
    }
}

/// Decodes the message with length prefix `len` from the bytes that follow the prefix:
/// [`body_len`] of them, so for `piece` the 9 before the payload.
///
/// # Errors
///
/// [`MessageError`]. Unknown ids are not an error, nor are indices outside the torrent: this
/// function does not know it.
pub fn decode(len: u32, body: &[u8]) -> Result<Message<'_>, MessageError> {
    let Some((&id, payload)) = body.split_first() else {
        return match len {
            0 => Ok(Message::KeepAlive),
            _ => Err(MessageError::Body {
                got: 0,
                expected: len,
            }),
        };
    };
    let id = MessageId(id);
    let expected = body_len(len, id);
    if body.len() != expected as usize {
        return Err(MessageError::Body {
            got: body.len(),
            expected,
        });
    }
    Ok(match id {
        MessageId::CHOKE => fixed::<0>(id, payload).map(|_| Message::Choke)?,
        MessageId::UNCHOKE => fixed::<0>(id, payload).map(|_| Message::Unchoke)?,
        MessageId::INTERESTED => fixed::<0>(id, payload).map(|_| Message::Interested)?,
        MessageId::NOT_INTERESTED => fixed::<0>(id, payload).map(|_| Message::NotInterested)?,
        MessageId::HAVE => Message::Have(piece_index(id, payload)?),
        MessageId::BITFIELD => Message::Bitfield(payload),
        MessageId::REQUEST => Message::Request(block(id, payload)?),
        MessageId::PIECE => {
            let Some(&[a, b, c, d, e, f, g, h]) = payload.first_chunk() else {
                return Err(MessageError::TooShort { id, len, least: 9 });
            };
            Message::Piece(Block {
                piece: PieceIndex(u32::from_be_bytes([a, b, c, d])),
                begin: u32::from_be_bytes([e, f, g, h]),
                len: len.saturating_sub(9),
            })
        }
        MessageId::CANCEL => Message::Cancel(block(id, payload)?),
        MessageId::PORT => Message::Port(u16::from_be_bytes(fixed(id, payload)?)),
        MessageId::SUGGEST_PIECE => Message::SuggestPiece(piece_index(id, payload)?),
        MessageId::HAVE_ALL => fixed::<0>(id, payload).map(|_| Message::HaveAll)?,
        MessageId::HAVE_NONE => fixed::<0>(id, payload).map(|_| Message::HaveNone)?,
        MessageId::REJECT_REQUEST => Message::RejectRequest(block(id, payload)?),
        MessageId::ALLOWED_FAST => Message::AllowedFast(piece_index(id, payload)?),
        MessageId::EXTENDED => match payload.split_first() {
            Some((&id, payload)) => Message::Extended { id, payload },
            None => return Err(MessageError::TooShort { id, len, least: 2 }),
        },
        MessageId::HASH_REQUEST => Message::HashRequest(HashRequest::decode(&fixed(id, payload)?)),
        MessageId::HASHES => {
            let Some((request, hashes)) = payload.split_first_chunk() else {
                let least = hashes::HASH_REQUEST_LEN + 1;
                return Err(MessageError::TooShort { id, len, least });
            };
            if !hashes.len().is_multiple_of(hashes::HASH_LEN) {
                let len = hashes.len() as u32;
                return Err(MessageError::HashesLen { len });
            }
            let request = HashRequest::decode(request);
            Message::Hashes { request, hashes }
        }
        MessageId::HASH_REJECT => Message::HashReject(HashRequest::decode(&fixed(id, payload)?)),
        id => Message::Unknown { id, payload },
    })
}

impl Message<'_> {
    /// Appends the message with its length prefix; of `piece` only the 13 bytes before the payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let Some(id) = self.id() else {
            out.extend_from_slice(&[0; 4]);
            return;
        };
        match *self {
            Message::KeepAlive
            | Message::Choke
            | Message::Unchoke
            | Message::Interested
            | Message::NotInterested
            | Message::HaveAll
            | Message::HaveNone => put(out, id, &[]),
            Message::Have(piece) | Message::SuggestPiece(piece) | Message::AllowedFast(piece) => {
                put(out, id, &[&piece.0.to_be_bytes()]);
            }
            Message::Request(block) | Message::Cancel(block) | Message::RejectRequest(block) => {
                let [piece, begin, len] = [block.piece.0, block.begin, block.len];
                put(
                    out,
                    id,
                    &[
                        &piece.to_be_bytes(),
                        &begin.to_be_bytes(),
                        &len.to_be_bytes(),
                    ],
                );
            }
            Message::Piece(block) => out.extend_from_slice(&piece_header(block)),
            Message::Port(port) => put(out, id, &[&port.to_be_bytes()]),
            Message::Bitfield(payload) | Message::Unknown { payload, .. } => {
                put(out, id, &[payload]);
            }
            Message::Extended {
                id: ext_id,
                payload,
            } => put(out, id, &[&[ext_id], payload]),
            Message::HashRequest(request) | Message::HashReject(request) => {
                put(out, id, &[&request.encode()]);
            }
            Message::Hashes { request, hashes } => put(out, id, &[&request.encode(), hashes]),
        }
    }

    /// [`Message::encode`] into a new vector.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }

    /// The message's id; `None` for keep-alive.
    pub fn id(&self) -> Option<MessageId> {
        Some(match self {
            Message::KeepAlive => return None,
            Message::Choke => MessageId::CHOKE,
            Message::Unchoke => MessageId::UNCHOKE,
            Message::Interested => MessageId::INTERESTED,
            Message::NotInterested => MessageId::NOT_INTERESTED,
            Message::Have(_) => MessageId::HAVE,
            Message::Bitfield(_) => MessageId::BITFIELD,
            Message::Request(_) => MessageId::REQUEST,
            Message::Piece(_) => MessageId::PIECE,
            Message::Cancel(_) => MessageId::CANCEL,
            Message::Port(_) => MessageId::PORT,
            Message::SuggestPiece(_) => MessageId::SUGGEST_PIECE,
            Message::HaveAll => MessageId::HAVE_ALL,
            Message::HaveNone => MessageId::HAVE_NONE,
            Message::RejectRequest(_) => MessageId::REJECT_REQUEST,
            Message::AllowedFast(_) => MessageId::ALLOWED_FAST,
            Message::Extended { .. } => MessageId::EXTENDED,
            Message::HashRequest(_) => MessageId::HASH_REQUEST,
            Message::Hashes { .. } => MessageId::HASHES,
            Message::HashReject(_) => MessageId::HASH_REJECT,
            Message::Unknown { id, .. } => *id,
        })
    }
}

/// The 13 bytes before a block's payload, from the length prefix on.
pub fn piece_header(block: Block) -> [u8; PIECE_HEADER_LEN] {
    let mut out = [0; PIECE_HEADER_LEN];
    out[..4].copy_from_slice(&block.len.saturating_add(9).to_be_bytes());
    out[4] = MessageId::PIECE.0;
    out[5..9].copy_from_slice(&block.piece.0.to_be_bytes());
    out[9..].copy_from_slice(&block.begin.to_be_bytes());
    out
}

/// Appends a message of these parts.
fn put(out: &mut Vec<u8>, id: MessageId, parts: &[&[u8]]) {
    let len = 1 + parts.iter().map(|part| part.len()).sum::<usize>();
    let len = u32::try_from(len).expect("our own messages are shorter than 4 GiB");
    out.extend_from_slice(&len.to_be_bytes());
    out.push(id.0);
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// A payload that must have exactly `N` bytes.
fn fixed<const N: usize>(id: MessageId, payload: &[u8]) -> Result<[u8; N], MessageError> {
    payload.try_into().map_err(|_| MessageError::Len {
        id,
        len: payload.len() as u32 + 1,
        expected: N as u32 + 1,
    })
}

fn piece_index(id: MessageId, payload: &[u8]) -> Result<PieceIndex, MessageError> {
    fixed(id, payload).map(|bytes| PieceIndex(u32::from_be_bytes(bytes)))
}

fn block(id: MessageId, payload: &[u8]) -> Result<Block, MessageError> {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = fixed(id, payload)?;
    Ok(Block {
        piece: PieceIndex(u32::from_be_bytes([a, b, c, d])),
        begin: u32::from_be_bytes([e, f, g, h]),
        len: u32::from_be_bytes([i, j, k, l]),
    })
}

#[cfg(test)]
mod tests;
