//! The grades, as types that only the act they name can make.
//!
//! What is known of an endpoint in a swarm climbs a ladder. Each step holds the step below it and
//! has one constructor, which takes what the act leaves behind: a journal entry, handshake bytes,
//! a claim, payload, bytes that hash. So a function that prints "delivered a verified piece" can ask
//! for a [`Verified`], and nobody who merely heard a claim can call it.
//!
//! ```text
//! Reached --handshake--> Joined --set or have--> Claimed --payload--> Delivered --hashes--> Verified
//!                                                                          all pieces: Whole
//! ```
//!
//! What a ledger says is [`Recorded`]`<G>`: it was written down, and is not proof. It becomes `G`
//! only through the function that compares the retained bytes again. [`Grade`] is the plain name of
//! a step, for ordering and tables; no sentence can be made from it.

mod recorded;
mod text;

use std::{collections::BTreeSet, net::SocketAddr};

use skep_hash::Sha1Digest;
use skep_wire::{
    Bitfield, Block, Checked, InfoHash, Moment, NotChecked, PeerId, PieceIndex, Said,
    metainfo::{PieceDigests, PieceHashes},
    peer::{HANDSHAKE_LEN, Handshake, Reserved},
};

pub use recorded::{CheckFailed, Recorded};
pub use text::Sentences;

use crate::{
    journal::{ConnId, Entry, Input},
    record::Transport,
};

/// The name of a step, lowest first. It orders and labels; what may be *said* needs the types.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// Somebody named the endpoint. Beside the ladder, below everything on it.
    Listed,
    /// The endpoint answered.
    Reached,
    /// It completed a handshake for the info-hash.
    Joined,
    /// It said what it has.
    Claimed,
    /// Bytes of a block that we asked for came from it.
    Delivered,
    /// A whole piece came from it on one connection and hashes to the torrent.
    Verified,
    /// The entire content came from it.
    Whole,
}

impl Grade {
    /// Every grade, lowest first.
    pub const ALL: [Self; 7] = [
        Self::Listed,
        Self::Reached,
        Self::Joined,
        Self::Claimed,
        Self::Delivered,
        Self::Verified,
        Self::Whole,
    ];

    /// The grade in lower case, as tables have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::Reached => "reached",
            Self::Joined => "joined",
            Self::Claimed => "claimed",
            Self::Delivered => "delivered",
            Self::Verified => "verified",
            Self::Whole => "whole",
        }
    }
}

/// The endpoint answered: a TCP connection stands, ours or theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    conn: ConnId,
    local: SocketAddr,
    endpoint: SocketAddr,
    incoming: bool,
    transport: Transport,
    at: Moment,
}

impl Reached {
    /// From the journal entry of a connection that stands; `None` for any other entry.
    pub fn from_entry(entry: &Entry) -> Option<Self> {
        let (conn, local, endpoint, incoming) = match entry.input {
            Input::Opened {
                conn,
                local,
                remote,
            } => (conn, local, remote, false),
            Input::Incoming {
                conn,
                local,
                remote,
            } => (conn, local, remote, true),
            Input::Clock(_)
            | Input::Timeout
            | Input::Resolved { .. }
            | Input::Failed { .. }
            | Input::Received { .. }
            | Input::Sent { .. }
            | Input::Ended { .. }
            | Input::Datagram { .. }
            | Input::DatagramSent { .. }
            | Input::Stop => return None,
        };
        let transport = Transport::Tcp;
        Some(Self {
            conn,
            local,
            endpoint,
            incoming,
            transport,
            at: entry.at,
        })
    }

    /// The connection's number.
    pub fn conn(&self) -> ConnId {
        self.conn
    }

    /// Our address and port.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Its address and port.
    pub fn endpoint(&self) -> SocketAddr {
        self.endpoint
    }

    /// Whether it connected to us.
    pub fn incoming(&self) -> bool {
        self.incoming
    }

    /// By which transport.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Since when.
    pub fn at(&self) -> Moment {
        self.at
    }
}

/// It completed a handshake for this info-hash, and it was not our own handshake echoed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joined {
    reached: Reached,
    info_hash: InfoHash,
    peer_id: Said<PeerId>,
    reserved: Said<Reserved>,
}

/// Why bytes do not make a [`Joined`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotJoined {
    /// Not as long as a handshake.
    #[error("handshake of {got} bytes, expected {HANDSHAKE_LEN}")]
    Len {
        /// Bytes given.
        got: usize,
    },
    /// Another protocol.
    #[error("handshake begins with {got:02x?}, not with the name of the protocol")]
    Protocol {
        /// The first 20 bytes.
        got: [u8; 20],
    },
    /// Another torrent.
    #[error("handshake names info-hash {got}, ours names {expected}")]
    InfoHash {
        /// What it names.
        got: InfoHash,
        /// What ours names.
        expected: InfoHash,
    },
    /// Our own handshake came back, or we reached ourselves.
    #[error("handshake carries our own peer id")]
    OwnPeerId,
}

impl Joined {
    /// From the first 68 bytes that came, and the handshake that we sent on this connection.
    ///
    /// # Errors
    ///
    /// [`NotJoined`] for another protocol or torrent, and for our own peer id: an echo.
    pub fn from_handshake(
        reached: Reached,
        ours: &Handshake,
        bytes: &[u8],
    ) -> Result<Self, NotJoined> {
        let bytes: &[u8; HANDSHAKE_LEN] = bytes
            .try_into()
            .map_err(|_| NotJoined::Len { got: bytes.len() })?;
        let (protocol, rest) = bytes.split_first_chunk::<20>().expect("68 is more than 20");
        if protocol != b"\x13BitTorrent protocol" {
            return Err(NotJoined::Protocol { got: *protocol });
        }
        let (reserved, rest) = rest.split_first_chunk::<8>().expect("48 is more than 8");
        let (info_hash, peer_id) = rest.split_first_chunk::<20>().expect("40 is more than 20");
        let info_hash = InfoHash(*info_hash);
        if info_hash != ours.info_hash {
            return Err(NotJoined::InfoHash {
                got: info_hash,
                expected: ours.info_hash,
            });
        }
        let peer_id = PeerId(peer_id.try_into().expect("20 bytes are left of 40"));
        if peer_id == ours.peer_id {
            return Err(NotJoined::OwnPeerId);
        }
        let reserved = Said(Reserved(*reserved));
        Ok(Self {
            reached,
            info_hash,
            peer_id: Said(peer_id),
            reserved,
        })
    }

    /// The step below.
    pub fn reached(&self) -> &Reached {
        &self.reached
    }

    /// For which swarm.
    pub fn info_hash(&self) -> InfoHash {
        self.info_hash
    }

    /// Who it says it is.
    pub fn peer_id(&self) -> Said<PeerId> {
        self.peer_id
    }

    /// Which extensions it says it speaks.
    pub fn reserved(&self) -> Said<Reserved> {
        self.reserved
    }
}

/// It said what it has. Nothing was compared with anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claimed {
    joined: Joined,
    pieces: Said<u32>,
    piece_count: u32,
}

impl Claimed {
    /// From the set of pieces that it has claimed so far, by a set message or by haves.
    pub fn from_set(joined: Joined, set: &Said<Bitfield>) -> Self {
        Self {
            joined,
            pieces: Said(set.0.count()),
            piece_count: set.0.piece_count(),
        }
    }

    /// The step below.
    pub fn joined(&self) -> &Joined {
        &self.joined
    }

    /// How many pieces it claims.
    pub fn pieces(&self) -> Said<u32> {
        self.pieces
    }

    /// How many pieces there are.
    pub fn piece_count(&self) -> u32 {
        self.piece_count
    }

    /// The share that it claims, in parts per million (0 for a torrent without pieces).
    pub fn share_ppm(&self) -> Said<u32> {
        let ppm = u64::from(self.pieces.0) * 1_000_000;
        Said(
            ppm.checked_div(u64::from(self.piece_count))
                .map_or(0, |ppm| ppm as u32),
        )
    }
}

/// The bytes of a block that we asked for came from it on this connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivered {
    claimed: Claimed,
    block: Block,
}

/// Why a payload does not make a [`Delivered`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotDelivered {
    /// Another block than the one asked for.
    #[error("block {got:?} came, {asked:?} was asked for")]
    OtherBlock {
        /// What came.
        got: Block,
        /// What was asked for.
        asked: Block,
    },
    /// Not all of its bytes.
    #[error("{got} bytes of a block of {expected}")]
    Len {
        /// Bytes given.
        got: usize,
        /// The block's length.
        expected: u32,
    },
}

impl Delivered {
    /// From the block that we asked for, the block that a `piece` message named, and its payload.
    ///
    /// # Errors
    ///
    /// [`NotDelivered`] unless the two are the same and the payload is whole.
    pub fn from_payload(
        claimed: Claimed,
        asked: Block,
        arrived: Block,
        payload: &[u8],
    ) -> Result<Self, NotDelivered> {
        if asked != arrived {
            return Err(NotDelivered::OtherBlock {
                got: arrived,
                asked,
            });
        }
        if payload.len() != asked.len as usize {
            return Err(NotDelivered::Len {
                got: payload.len(),
                expected: asked.len,
            });
        }
        Ok(Self {
            claimed,
            block: asked,
        })
    }

    /// The step below.
    pub fn claimed(&self) -> &Claimed {
        &self.claimed
    }

    /// Which block.
    pub fn block(&self) -> Block {
        self.block
    }
}

/// A whole piece, all of whose blocks it sent on one connection, hashes to the torrent: to its SHA-1, and not by
/// a collision attack (version 1), to its root in the piece layers (version 2), in a hybrid to both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    delivered: Delivered,
    piece: Checked<PieceIndex>,
    digests: PieceDigests,
}

/// Why blocks do not make a [`Verified`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotVerified {
    /// No block at all.
    #[error("no block of the piece was delivered")]
    NoBlock,
    /// Blocks of several connections: no one of them can be named as the sender.
    #[error("blocks of connections {} and {}", .0.0, .1.0)]
    SeveralSenders(ConnId, ConnId),
    /// Blocks of several pieces.
    #[error("blocks of pieces {} and {}", .0.0, .1.0)]
    SeveralPieces(PieceIndex, PieceIndex),
    /// The blocks do not cover the piece, each byte once.
    #[error("a block begins at {got}, the blocks before it end at {expected}")]
    Gap {
        /// Where the next block begins, or the piece ends.
        got: u64,
        /// Where it should.
        expected: u64,
    },
    /// The bytes do not hash to the torrent.
    #[error("bytes of the piece hash to {got}, the torrent has {expected}")]
    Digest {
        /// What they hash to.
        got: PieceDigests,
        /// What the torrent has.
        expected: PieceDigests,
    },
    /// The bytes hash to the torrent, and so do others that were made together with them.
    #[error("bytes of the piece hash to {sha1} and bear the marks of a SHA-1 collision attack")]
    Attack {
        /// What they hash to, which is what the torrent has.
        sha1: Sha1Digest,
    },
}

impl Verified {
    /// Hashes `bytes`, the whole piece as the blocks brought it, and compares with the torrent.
    ///
    /// # Errors
    ///
    /// [`NotVerified`] unless the blocks are of one piece on one connection, cover `bytes` exactly,
    /// and every digest that the torrent has of the piece is theirs, without a collision attack where SHA-1
    /// speaks alone.
    pub fn check(
        blocks: &[Delivered],
        bytes: &[u8],
        expected: &PieceHashes,
    ) -> Result<Self, NotVerified> {
        let last = *blocks.last().ok_or(NotVerified::NoBlock)?;
        let (conn, piece) = (last.claimed.joined.reached.conn, last.block.piece);
        for other in blocks {
            let other_conn = other.claimed.joined.reached.conn;
            if other_conn != conn {
                return Err(NotVerified::SeveralSenders(other_conn, conn));
            }
            if other.block.piece != piece {
                return Err(NotVerified::SeveralPieces(other.block.piece, piece));
            }
        }
        let mut order: Vec<Block> = blocks.iter().map(|delivered| delivered.block).collect();
        order.sort_unstable();
        let mut end = 0;
        for block in order {
            if u64::from(block.begin) != end {
                return Err(NotVerified::Gap {
                    got: block.begin.into(),
                    expected: end,
                });
            }
            end += u64::from(block.len);
        }
        if end != bytes.len() as u64 {
            return Err(NotVerified::Gap {
                got: bytes.len() as u64,
                expected: end,
            });
        }
        Self::hash(last, bytes, expected)
    }

    fn hash(
        delivered: Delivered,
        bytes: &[u8],
        expected: &PieceHashes,
    ) -> Result<Self, NotVerified> {
        let digests = expected.digests();
        let piece =
            Checked::piece(delivered.block.piece, bytes, expected).map_err(|why| match why {
                NotChecked::Digest { got, expected } => NotVerified::Digest { got, expected },
                NotChecked::Attack(attack) => NotVerified::Attack {
                    sha1: attack.digest,
                },
            })?;
        Ok(Self {
            delivered,
            piece,
            digests,
        })
    }

    /// The step below: the last block of the piece that came.
    pub fn delivered(&self) -> &Delivered {
        &self.delivered
    }

    /// The piece.
    pub fn piece(&self) -> Checked<PieceIndex> {
        self.piece
    }

    /// Its digests, which are the torrent's.
    pub fn digests(&self) -> PieceDigests {
        self.digests
    }
}

/// The entire content came from this one endpoint, piece by verified piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole {
    last: Verified,
    piece_count: u32,
}

/// Why pieces do not make a [`Whole`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotWhole {
    /// A torrent without pieces.
    #[error("no piece was verified")]
    NoPiece,
    /// Pieces of several endpoints.
    #[error("pieces of endpoints {0} and {1}")]
    SeveralEndpoints(SocketAddr, SocketAddr),
    /// Pieces of several swarms.
    #[error("pieces of torrents {0} and {1}")]
    SeveralTorrents(InfoHash, InfoHash),
    /// Not every piece.
    #[error("{got} of {expected} pieces were verified")]
    Missing {
        /// How many different pieces were given.
        got: u64,
        /// How many the torrent has.
        expected: u32,
    },
}

impl Whole {
    /// From every piece of the torrent, each verified from the same address and port.
    ///
    /// # Errors
    ///
    /// [`NotWhole`] if one is missing or came from elsewhere.
    pub fn from_pieces(pieces: &[Verified]) -> Result<Self, NotWhole> {
        let last = *pieces.last().ok_or(NotWhole::NoPiece)?;
        let claimed = last.delivered.claimed;
        let (endpoint, info_hash) = (claimed.joined.reached.endpoint, claimed.joined.info_hash);
        let mut indices = BTreeSet::new();
        for piece in pieces {
            let joined = piece.delivered.claimed.joined;
            if joined.reached.endpoint != endpoint {
                return Err(NotWhole::SeveralEndpoints(
                    joined.reached.endpoint,
                    endpoint,
                ));
            }
            if joined.info_hash != info_hash {
                return Err(NotWhole::SeveralTorrents(joined.info_hash, info_hash));
            }
            if piece.piece.get().0 < claimed.piece_count {
                indices.insert(*piece.piece.get());
            }
        }
        if indices.len() as u64 != u64::from(claimed.piece_count) {
            let (got, expected) = (indices.len() as u64, claimed.piece_count);
            return Err(NotWhole::Missing { got, expected });
        }
        Ok(Self {
            last,
            piece_count: claimed.piece_count,
        })
    }

    /// The step below: the last piece that was verified.
    pub fn last(&self) -> &Verified {
        &self.last
    }

    /// How many pieces the torrent has.
    pub fn piece_count(&self) -> u32 {
        self.piece_count
    }
}
