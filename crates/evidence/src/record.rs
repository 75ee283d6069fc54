//! What the ledger holds: one record a statement.
//!
//! A record is a canonical bencoded dictionary of at most [`RECORD_BYTES_MAX`] bytes. Its fields are
//! the rows of `fields.rs`; tags are never reused, fields never change meaning, and unknown tags
//! survive re-encoding. Everything but [`Body::Mark`] and [`Body::RunStarted`] is emitted by the
//! observer machine, so replaying the journal gives the same bytes again.

mod codec;
pub mod fields;

use std::net::{IpAddr, SocketAddr};

use skep_hash::{Sha1Digest, Sha256Digest};
use skep_wire::{Block, InfoHash, InfoHashV2, Moment, PeerId, PieceIndex, peer::Reserved};

pub use codec::RecordError;

use crate::{
    clock::UtcInterval,
    journal::{CaptureOffset, ConnId, ConnectFailure, EndKind},
};

/// Greatest size of an encoded record.
pub const RECORD_BYTES_MAX: usize = 65_535;

/// The version of the record format that this build writes.
pub const FORMAT: u32 = 1;

/// Greatest length of a text in a record, in bytes. A stranger's longer text is cut at the last
/// character that fits, so that no stranger can make a record too large to keep.
pub const TEXT_BYTES_MAX: usize = 2_048;

/// The place of a target in the run's list, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetIndex(pub u32);

/// A record: when, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Which run of this ledger, from 1.
    pub run: u32,
    /// The run's monotonic time.
    pub at: Moment,
    /// The same as UTC, by the clock samples so far.
    pub utc: UtcInterval,
    /// What.
    pub body: Body,
    /// Fields that this version does not know, kept as they came (key, raw bencoded value).
    pub unknown: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Where the bytes are that a statement rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// The packet block that holds the first of the bytes.
    pub capture: CaptureOffset,
    /// Offset of the first byte in what this connection delivered (0 for a datagram).
    pub stream: u64,
    /// How many bytes, message framing included.
    pub len: u32,
    /// SHA-256 of those bytes.
    pub digest: Sha256Digest,
}

/// Who named an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedBy {
    /// A tracker, by its URL.
    Tracker {
        /// As the torrent has it.
        url: String,
    },
    /// A peer, by peer exchange (BEP 11) on this connection.
    Pex {
        /// The connection on which it said so.
        conn: ConnId,
    },
    /// It connected to us.
    Incoming,
    /// The other end of this incoming connection named it as its listening port (BEP 10 `p`), at
    /// the address that it connected from. A claim, which links the two only as a claim.
    ListenPort {
        /// The connection on which it said so.
        conn: ConnId,
    },
    /// The operator named it in the run's configuration.
    Operator,
}

/// What is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A run begins. Written before anything was asked.
    RunStarted {
        /// Version of the record format, [`FORMAT`].
        format: u32,
        /// The observer's name: the origin line of its ledger's checkpoints.
        observer: String,
        /// `CARGO_PKG_VERSION` of the observer.
        version: String,
        /// SHA-256 of the running binary's file.
        binary: Sha256Digest,
        /// Compiler, target and profile, as the build recorded them.
        build: String,
        /// SHA-256 of the encoded configuration (a blob in the observation's folder), which holds
        /// the rule by which endpoints are chosen and the seed.
        config: Sha256Digest,
        /// SHA-256 of each target's torrent file (blobs), in target order.
        targets: Vec<Sha256Digest>,
    },
    /// A swarm that the run watches.
    Target {
        /// Its place in the list.
        target: TargetIndex,
        /// The info-hash by which the swarm is known on the wire: that of version 1, or the truncated one of
        /// version 2.
        info_hash: InfoHash,
        /// The torrent's info-hash of version 2, which a torrent of version 1 alone has not. The swarm is that
        /// of version 2 if `info_hash` is its beginning, else that of version 1 of a hybrid.
        info_hash_v2: Option<InfoHashV2>,
        /// SHA-256 of the torrent file.
        torrent: Sha256Digest,
        /// Name in the torrent.
        name: String,
        /// Size of the content in bytes.
        size_bytes: u64,
        /// Piece length in bytes.
        piece_len: u32,
        /// Number of pieces.
        piece_count: u32,
    },
    /// A clock sample.
    Clock {
        /// The kernel's bound on the error, in microseconds.
        error_us_max: u64,
        /// SHA-256 of everything that came in the run until now, on every connection and in every
        /// datagram, in the order of the journal: no byte of the capture goes unsaid.
        received: Option<Sha256Digest>,
    },
    /// A tracker was asked.
    TrackerAsked {
        /// For which swarm.
        target: TargetIndex,
        /// Its URL.
        url: String,
        /// TCP connection for HTTP trackers.
        conn: Option<ConnId>,
        /// Where the question went; `None` while the name is not resolved.
        remote: Option<SocketAddr>,
    },
    /// A tracker answered.
    TrackerAnswered {
        /// For which swarm.
        target: TargetIndex,
        /// Its URL.
        url: String,
        /// Where the answer came from.
        remote: SocketAddr,
        /// Complete peers, as it says.
        complete: Option<u32>,
        /// Incomplete peers, as it says.
        incomplete: Option<u32>,
        /// How many endpoints it named.
        peer_count: u32,
        /// Seconds until it wants to be asked again.
        interval_secs: u32,
        /// The answer's bytes.
        source: Source,
    },
    /// A tracker gave no usable answer.
    TrackerFailed {
        /// For which swarm.
        target: TargetIndex,
        /// Its URL.
        url: String,
        /// Where the question went; `None` while the name was not resolved.
        remote: Option<SocketAddr>,
        /// What was wrong, in the words of the error type.
        error: String,
    },
    /// Someone named an endpoint (once for each endpoint and source, and again when a source names
    /// it after an hour).
    Listed {
        /// In which swarm.
        target: TargetIndex,
        /// The endpoint.
        endpoint: SocketAddr,
        /// Who named it.
        by: NamedBy,
        /// The bytes in which it is named; `None` for `Incoming` and `Operator`.
        source: Option<Source>,
    },
    /// We decided to connect.
    Attempted {
        /// In which swarm.
        target: TargetIndex,
        /// The connection's number.
        conn: ConnId,
        /// The endpoint.
        endpoint: SocketAddr,
        /// By which transport.
        transport: Transport,
    },
    /// The attempt failed.
    AttemptFailed {
        /// The connection's number.
        conn: ConnId,
        /// Why.
        reason: ConnectFailure,
    },
    /// The TCP connection stands (grade `Reached`), ours or theirs.
    Reached {
        /// In which swarm; `None` while an incoming connection has not said.
        target: Option<TargetIndex>,
        /// The connection's number.
        conn: ConnId,
        /// Our address and port.
        local: SocketAddr,
        /// Its address and port.
        endpoint: SocketAddr,
        /// Whether it connected to us.
        incoming: bool,
        /// By which transport.
        transport: Transport,
    },
    /// It completed a handshake for this info-hash that is not an echo of ours (grade `Joined`).
    Joined {
        /// In which swarm.
        target: TargetIndex,
        /// The connection's number.
        conn: ConnId,
        /// Its peer id, as it says.
        peer_id: PeerId,
        /// Its reserved bytes.
        reserved: Reserved,
        /// The client that the peer id names.
        client: String,
        /// The handshake's bytes.
        source: Source,
    },
    /// Its extension handshake (BEP 10): claims.
    Extended {
        /// The connection's number.
        conn: ConnId,
        /// Client name and version.
        client: Option<String>,
        /// Listening port.
        listen_port: Option<u16>,
        /// Upload only (BEP 21).
        upload_only: Option<bool>,
        /// Our address as it sees us.
        your_ip: Option<IpAddr>,
        /// The message's bytes.
        source: Source,
    },
    /// It said which pieces it has (grade `Claimed`).
    ClaimedSet {
        /// The connection's number.
        conn: ConnId,
        /// `bitfield`, `have_all`, `have_none` or `upload_only`.
        how: ClaimKind,
        /// How many pieces it claims.
        pieces: u32,
        /// Share of all pieces in parts per million.
        share_ppm: u32,
        /// Pieces that it claims now and did not claim when it was last heard, if that was in this
        /// run: gained in between.
        gained: u32,
        /// When it was last heard to claim a set, for `gained`: run time.
        since: Option<Moment>,
        /// The message's bytes.
        source: Source,
    },
    /// It said that it has gained a piece (`have`): a claim, and an interval from the last thing
    /// heard of this piece to now.
    ClaimedGain {
        /// The connection's number.
        conn: ConnId,
        /// The piece.
        piece: PieceIndex,
        /// When it was last heard to claim a set or a piece without claiming this one: it gained
        /// the piece, if what it says is true, between then and this record's time. `None` if it
        /// never said what it has.
        since: Option<Moment>,
        /// How many pieces it claims now.
        pieces: u32,
        /// Share of all pieces in parts per million.
        share_ppm: u32,
        /// The message's bytes.
        source: Source,
    },
    /// What it offers at this moment: pieces that it claims while it unchokes us, or allows us to
    /// fetch though choked (BEP 6). Written whenever that changes.
    Offers {
        /// The connection's number.
        conn: ConnId,
        /// How many pieces it offers.
        pieces: u32,
        /// Share of all pieces in parts per million.
        share_ppm: u32,
        /// Whether it chokes us.
        choked: bool,
        /// The bytes of the message that changed it.
        source: Source,
    },
    /// We asked for all the blocks of a piece, or for one.
    PieceAsked {
        /// The connection's number.
        conn: ConnId,
        /// The piece.
        piece: PieceIndex,
        /// How many blocks.
        blocks: u32,
    },
    /// It refused a block (BEP 6, or by choking).
    Refused {
        /// The connection's number.
        conn: ConnId,
        /// The block.
        block: Block,
        /// The bytes of its message.
        source: Source,
    },
    /// The bytes of a block that we asked for came on this connection (grade `Delivered`).
    Delivered {
        /// The connection's number.
        conn: ConnId,
        /// The block.
        block: Block,
        /// The message's bytes, payload included.
        source: Source,
    },
    /// All blocks of a piece came on this connection and hash to the torrent (grade `Verified`).
    Verified {
        /// The connection's number.
        conn: ConnId,
        /// The piece.
        piece: PieceIndex,
        /// Its SHA-1, which is the torrent's; `None` in version 2 alone.
        sha1: Option<Sha1Digest>,
        /// Its Merkle root, which is the torrent's; `None` in version 1 alone.
        root: Option<Sha256Digest>,
    },
    /// All blocks of a piece came on this connection and do not hash to the torrent, or only by an attack.
    Refuted {
        /// The connection's number.
        conn: ConnId,
        /// The piece.
        piece: PieceIndex,
        /// The torrent's SHA-1; `None` in version 2 alone.
        expected: Option<Sha1Digest>,
        /// The SHA-1 of what came.
        got: Option<Sha1Digest>,
        /// The torrent's Merkle root; `None` in version 1 alone.
        expected_root: Option<Sha256Digest>,
        /// The Merkle root of what came.
        got_root: Option<Sha256Digest>,
        /// The attack by which it is the torrent's; `None` if it is another.
        attack: Option<Attack>,
    },
    /// The whole content came, verified, from this endpoint (grade `Whole`).
    Whole {
        /// The connection on which the last piece came.
        conn: ConnId,
    },
    /// It broke the protocol, in the words and numbers of `skep_proto::peer::Violation`.
    Violated {
        /// The connection's number.
        conn: ConnId,
        /// What.
        violation: String,
        /// The bytes of the message, or the last that came; `None` if none came.
        source: Option<Source>,
    },
    /// A named limit was reached, and something that somebody sent was not kept or not followed.
    /// Written once for each target or connection and limit.
    Limited {
        /// In which swarm, where one is concerned.
        target: Option<TargetIndex>,
        /// On which connection, where one is concerned.
        conn: Option<ConnId>,
        /// The limit's name, as in the documentation of the observer.
        limit: String,
        /// The limit.
        value: u64,
    },
    /// The observer was stalled: nothing was done from `due` until this record's time though something
    /// was to be done, because the process was stopped, starved of processor time or waiting for the
    /// disk, or the machine slept. What the observer reads after it may have come at any time in it.
    Stalled {
        /// When it was last awake for sure: the moment of the journal's entry before this one.
        awake: Moment,
        /// When the first thing was to be done that was not.
        due: Moment,
    },
    /// The connection is over.
    Closed {
        /// The connection's number.
        conn: ConnId,
        /// Who ended it and how.
        how: CloseKind,
        /// Bytes that came.
        bytes_in: u64,
        /// Bytes that went.
        bytes_out: u64,
        /// SHA-256 of all that came.
        digest_in: Sha256Digest,
        /// SHA-256 of all that went.
        digest_out: Sha256Digest,
        /// Payload bytes that we sent. Always zero: there is no code that sends one.
        payload_out: u64,
    },
    /// The journal and the capture up to here belong to the ledger up to here. Written by the
    /// driver with every checkpoint; covers every record before it.
    Mark {
        /// Journal length in bytes.
        journal_len: u64,
        /// SHA-256 of that much of the journal.
        journal: Sha256Digest,
        /// Capture length in bytes.
        capture_len: u64,
        /// SHA-256 of that much of the capture.
        capture: Sha256Digest,
    },
    /// The run before this one ended in a crash, and what it had not made durable was cut when the
    /// ledger was opened again. Written by the driver under the number of the run that was cut,
    /// before its last [`Body::Mark`].
    RunCut {
        /// Bytes cut from the end of its journal.
        journal_cut: u64,
        /// Bytes cut from the end of its capture.
        capture_cut: u64,
        /// Bytes cut from the end of the ledger's pending file.
        ledger_cut: u64,
    },
    /// The run ended as planned.
    RunEnded {
        /// How many endpoints were listed.
        endpoints: u32,
        /// How many attempts were made.
        attempts: u32,
        /// SHA-256 of everything that came in the run, as in [`Body::Clock`].
        received: Option<Sha256Digest>,
    },
    /// A kind that this version does not know, kept as it came.
    Unknown {
        /// The kind's name.
        kind: String,
    },
}

impl Body {
    /// The connection with a peer that the record is about, if it is about one.
    pub fn conn(&self) -> Option<ConnId> {
        match self {
            Self::Attempted { conn, .. }
            | Self::AttemptFailed { conn, .. }
            | Self::Reached { conn, .. }
            | Self::Joined { conn, .. }
            | Self::Extended { conn, .. }
            | Self::ClaimedSet { conn, .. }
            | Self::ClaimedGain { conn, .. }
            | Self::Offers { conn, .. }
            | Self::PieceAsked { conn, .. }
            | Self::Refused { conn, .. }
            | Self::Delivered { conn, .. }
            | Self::Verified { conn, .. }
            | Self::Refuted { conn, .. }
            | Self::Whole { conn }
            | Self::Violated { conn, .. }
            | Self::Closed { conn, .. } => Some(*conn),
            Self::Limited { conn, .. } => *conn,
            Self::RunStarted { .. }
            | Self::Target { .. }
            | Self::Clock { .. }
            | Self::TrackerAsked { .. }
            | Self::TrackerAnswered { .. }
            | Self::TrackerFailed { .. }
            | Self::Listed { .. }
            | Self::Mark { .. }
            | Self::Stalled { .. }
            | Self::RunCut { .. }
            | Self::RunEnded { .. }
            | Self::Unknown { .. } => None,
        }
    }
}

/// How bytes travel between us and an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// TCP, plain.
    Tcp,
    /// TCP under message stream encryption.
    TcpMse,
    /// uTP (BEP 29), plain.
    Utp,
    /// uTP under message stream encryption.
    UtpMse,
}

/// Which message claimed a set of pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClaimKind {
    /// `bitfield`.
    Bitfield,
    /// `have_all` (BEP 6).
    HaveAll,
    /// `have_none` (BEP 6).
    HaveNone,
    /// `upload_only` in the extension handshake (BEP 21): claims to want nothing more.
    UploadOnly,
}

/// An attack on a hash that bytes bear the marks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attack {
    /// Other bytes with the same SHA-1 were made together with them ([`skep_hash::collision`]).
    Sha1Collision,
}

/// Who ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CloseKind {
    /// The other end, or an error.
    Them(EndKind),
    /// We did, because the visit was done.
    UsDone,
    /// We did, because nothing came for too long.
    UsIdle,
    /// We did, because it broke the protocol.
    UsViolation,
    /// We did, because the run ended.
    UsStopped,
}
