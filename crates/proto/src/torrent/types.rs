//! What goes into and comes out of a torrent machine.

use std::{net::SocketAddr, sync::Arc};

use skep_hash::{Sha1Digest, Sha256Digest};
use skep_wire::{Bitfield, Block, Moment, PeerId, PieceIndex, PieceSizes, Said, peer::HashRequest};

use super::PieceTrees;
use crate::peer::{InfoHashes, Transmit, Why};

/// The number of a connection in its torrent, ascending from 0 and never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey(pub u64);

/// What the machine is told when it begins. Start from [`TorrentConfig::new`].
#[derive(Debug, Clone)]
pub struct TorrentConfig {
    /// The torrent's names: the peers of a hybrid's two swarms end in one machine.
    pub info_hashes: InfoHashes,
    /// Our peer id.
    pub peer_id: PeerId,
    /// How many pieces there are and how long they are.
    pub sizes: PieceSizes,
    /// Where the pieces lie in the trees of their files (BEP 52); `None` in version 1. With it, one
    /// bad block of a piece costs that block.
    pub trees: Option<Arc<dyn PieceTrees>>,
    /// The pieces that are there and checked.
    pub have: Bitfield,
    /// Our listening port, for the extension handshake; `None` says none.
    pub listen_port: Option<u16>,
    /// Our own endpoints as far as they are known: never connected to.
    pub own_addrs: Vec<SocketAddr>,
    /// Client name and version, for the extension handshake.
    pub client: String,
    /// Whether the torrent is private (BEP 27): peer exchange is neither offered nor heard.
    pub private: bool,
    /// Whether missing pieces are fetched. Without it the machine only serves.
    pub fetch: bool,
    /// Greatest number of connections, at most [`super::PEERS_MAX`].
    pub peers_max: usize,
    /// How many peers we upload to at once, the optimistic one included.
    pub upload_slots: usize,
    /// How many blocks may be handed to the driver for one peer before it says that they left, at
    /// most. A slow peer gets fewer.
    pub upload_window: usize,
    /// How many pieces may be under way at once, from their first request to their verdict: the
    /// driver has a buffer for each. At least 1.
    pub partial_pieces_max: usize,
    /// Whether connections to other complete peers are dropped once we are complete.
    pub drop_seeds_when_complete: bool,
    /// The seed of every random choice.
    pub seed: u64,
}

impl TorrentConfig {
    /// A configuration with the defaults: 50 connections, 5 upload slots, 1 MiB under way to a peer,
    /// and 64 MiB (at least 4 and at most 256 pieces) under way from all of them.
    pub fn new(info_hashes: impl Into<InfoHashes>, peer_id: PeerId, sizes: PieceSizes) -> Self {
        let piece_len = sizes.piece_len();
        Self {
            info_hashes: info_hashes.into(),
            peer_id,
            have: Bitfield::empty(sizes.count()),
            sizes,
            trees: None,
            listen_port: None,
            own_addrs: Vec::new(),
            client: concat!("skep ", env!("CARGO_PKG_VERSION")).to_owned(),
            private: false,
            fetch: true,
            peers_max: 50,
            upload_slots: 5,
            upload_window: 64,
            partial_pieces_max: (64 * 1024 * 1024 / piece_len.max(1) as usize).clamp(4, 256),
            drop_seeds_when_complete: true,
            seed: 0,
        }
    }
}

/// Who named an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The user or the driver: tried first, and never forgotten for a later one.
    Operator,
    /// A tracker.
    Tracker,
    /// A peer that connected to us and named its listening port (BEP 10).
    Incoming,
    /// Peer exchange (BEP 11).
    Pex,
}

/// What the driver must do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Open a TCP connection; answer with [`super::Torrent::handle_connected`] or
    /// [`super::Torrent::handle_connect_failed`].
    Connect {
        /// The key that the connection will have.
        peer: PeerKey,
        /// Where to.
        addr: SocketAddr,
    },
    /// Send this. A [`Transmit::Block`] is answered by [`super::Torrent::handle_block_sent`] once all
    /// of it has left.
    Send {
        /// On which connection.
        peer: PeerKey,
        /// What.
        what: Transmit,
    },
    /// Close the connection and forget its key. What was queued before may still be sent.
    Close {
        /// Which.
        peer: PeerKey,
    },
    /// All blocks of a piece are in its buffer: hash it, write it if the hash agrees, and answer
    /// with [`super::Torrent::handle_verdict`].
    Verify {
        /// The piece.
        piece: PieceIndex,
        /// Whether the SHA-1 of each of its blocks is wanted even if the piece is good.
        digests: bool,
    },
    /// A peer asks for hashes of a file's tree (BEP 52), and the request makes sense by itself: answer
    /// with [`super::Torrent::handle_hashes`], which see. Of each peer the driver has at most one such
    /// request, and of those for a layer below the pieces', which is made from what is on the disk, no more than
    /// [`super::LEAF_REQUESTS_BURST`] and then one every [`super::LEAF_REQUEST_SECS`].
    HashesWanted {
        /// Who asks.
        peer: PeerKey,
        /// For what.
        request: HashRequest,
    },
    /// Of a piece that was bad these blocks are wrong, and are fetched again to the same buffer; its other
    /// blocks stay as they are. [`Action::Verify`] follows when they have come.
    Refetch {
        /// The piece.
        piece: PieceIndex,
        /// The wrong blocks, ascending.
        blocks: Vec<Block>,
    },
    /// The piece is given up for now: its buffer may go. Parts of payloads that are still arriving
    /// for it are skipped from now on.
    Abandon {
        /// The piece.
        piece: PieceIndex,
    },
}

/// The driver's answer to [`Action::Verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The hash agrees and the piece is written.
    Good {
        /// Empty unless digests were asked for.
        blocks: BlockDigests,
    },
    /// The hash does not agree. With SHA-1 digests the sender of the wrong block is found later. With
    /// the leaves of a tree (BEP 52) a peer may be able to say at once which blocks are wrong: then
    /// the piece's buffer stays until [`Action::Abandon`] or the next verdict.
    Bad {
        /// May be empty where the driver cannot say.
        blocks: BlockDigests,
    },
    /// It could not be written, or its bytes are lost: to be fetched again, nobody is to blame.
    Lost,
}

/// The digests of a piece's blocks of [`skep_wire::piece::BLOCK_LEN`], in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlockDigests {
    /// SHA-1: of no meaning beyond comparing two copies of a piece.
    Sha1(Vec<Sha1Digest>),
    /// The leaves of the piece's part of its file's tree (BEP 52).
    Leaves(Vec<Sha256Digest>),
}

/// The digest of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BlockDigest {
    Sha1(Sha1Digest),
    Leaf(Sha256Digest),
}

impl BlockDigests {
    /// No digests.
    pub fn none() -> Self {
        Self::Sha1(Vec::new())
    }

    pub(super) fn get(&self, at: usize) -> Option<BlockDigest> {
        match self {
            Self::Sha1(all) => all.get(at).copied().map(BlockDigest::Sha1),
            Self::Leaves(all) => all.get(at).copied().map(BlockDigest::Leaf),
        }
    }
}

impl BlockDigest {
    /// Whether both are of one kind and of other bytes.
    pub(super) fn differs(self, other: Self) -> bool {
        match (self, other) {
            (Self::Sha1(one), Self::Sha1(other)) => one != other,
            (Self::Leaf(one), Self::Leaf(other)) => one != other,
            (Self::Sha1(_), Self::Leaf(_)) | (Self::Leaf(_), Self::Sha1(_)) => false,
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A peer's handshake came and fits.
    Opened {
        /// The connection.
        peer: PeerKey,
        /// The other end.
        addr: SocketAddr,
        /// Its peer id.
        peer_id: Said<PeerId>,
    },
    /// A connection is over.
    Closed {
        /// The connection.
        peer: PeerKey,
        /// The other end.
        addr: SocketAddr,
        /// Why.
        why: Why,
    },
    /// A block that we asked for came, and went to its piece's buffer.
    BlockArrived {
        /// From whom.
        peer: PeerKey,
        /// The block.
        block: Block,
    },
    /// A block came that was no use: not asked for, or another copy was faster.
    BlockWasted {
        /// From whom.
        peer: PeerKey,
        /// The block.
        block: Block,
    },
    /// A piece has its hash and is written.
    PieceVerified {
        /// The piece.
        piece: PieceIndex,
    },
    /// A piece did not have its hash.
    PieceFailed {
        /// The piece.
        piece: PieceIndex,
        /// Who sent blocks of it.
        senders: Vec<SocketAddr>,
    },
    /// A piece did not have its hash, and its blocks were compared with the hashes of its file's tree
    /// (BEP 52): these are wrong and are fetched again, all others are kept.
    BlocksFailed {
        /// The piece.
        piece: PieceIndex,
        /// The wrong blocks, and who sent each.
        blocks: Vec<(Block, SocketAddr)>,
    },
    /// Everything is there. Comes once; not if everything was there from the start.
    Complete,
    /// A peer is not dealt with any more, nor is its IP address.
    Banned {
        /// Its address on the connection for which it was banned.
        addr: SocketAddr,
        /// Why.
        why: BanReason,
    },
}

/// Why a peer was banned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BanReason {
    /// It alone sent a piece that did not have its hash.
    SentBadPiece(PieceIndex),
    /// It sent a block that is wrong: the block differs from the one with which the piece came right,
    /// or from its hash in the file's tree (BEP 52).
    SentBadBlock(Block),
    /// It said hashes of this piece that do not lead to the piece's own hash (BEP 52).
    SentBadHashes(PieceIndex),
}

impl std::fmt::Display for BanReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SentBadPiece(piece) => write!(f, "sent piece {} with a wrong hash", piece.0),
            Self::SentBadHashes(piece) => {
                write!(f, "sent wrong hashes of the blocks of piece {}", piece.0)
            }
            Self::SentBadBlock(block) => {
                write!(
                    f,
                    "sent a wrong block of piece {} at {}",
                    block.piece.0, block.begin
                )
            }
        }
    }
}

/// One connection, for display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerView {
    /// Its key.
    pub peer: PeerKey,
    /// The other end.
    pub addr: SocketAddr,
    /// Whether we opened it.
    pub outgoing: bool,
    /// Its peer id, once it said.
    pub peer_id: Option<Said<PeerId>>,
    /// Client name and version, once it said (BEP 10).
    pub client: Option<Said<String>>,
    /// How many pieces it claims.
    pub pieces: Said<u32>,
    /// Payload bytes a second from it.
    pub down_rate: u64,
    /// Payload bytes a second to it.
    pub up_rate: u64,
    /// Payload bytes from it that we used.
    pub down_bytes: u64,
    /// Payload bytes to it.
    pub up_bytes: u64,
    /// Whether it chokes us.
    pub peer_chokes_us: bool,
    /// Whether we choke it.
    pub we_choke_peer: bool,
    /// Requests of ours that are outstanding.
    pub outstanding: usize,
}

/// Counts and rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Pieces that are there and checked.
    pub pieces_held: u32,
    /// Pieces of the torrent.
    pub piece_count: u32,
    /// Pieces under way.
    pub pieces_partial: u32,
    /// Bytes that are missing, by whole pieces.
    pub left_bytes: u64,
    /// Payload bytes that came and were used, good or bad.
    pub down_bytes: u64,
    /// Payload bytes that left.
    pub up_bytes: u64,
    /// Payload bytes that came for nothing: not asked for, or faster from someone else.
    pub wasted_bytes: u64,
    /// Payload bytes of pieces that did not have their hash.
    pub failed_bytes: u64,
    /// Payload bytes a second that come.
    pub down_rate: u64,
    /// Payload bytes a second that leave.
    pub up_rate: u64,
    /// Connections whose handshakes are done.
    pub peers: u32,
    /// Those of them that claim every piece.
    pub seeds: u32,
    /// Those that let us fetch.
    pub unchoking_us: u32,
    /// Those that we let fetch.
    pub unchoked: u32,
    /// Connection attempts under way.
    pub connecting: u32,
    /// Addresses known.
    pub candidates: u32,
    /// Addresses that are banned.
    pub banned: u32,
    /// When the last piece became good, if everything was fetched by this machine.
    pub complete_at: Option<Moment>,
}
