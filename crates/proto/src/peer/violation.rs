//! What a peer did wrong: data, recorded with the numbers that an auditor needs to agree.

use skep_wire::{
    Block, InfoHash, PieceIndex,
    bitfield::BitfieldError,
    peer::{MessageError, MessageId, ext::ExtError},
};

/// A peer broke the protocol, or a limit of ours that no honest peer reaches. Each variant keeps
/// the numbers that an auditor needs to agree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// The first bytes are not those of BEP 3.
    #[error("handshake begins with \"{}\", expected \"\\x13BitTorrent protocol\"", got.escape_ascii())]
    WrongProtocol {
        /// The bytes that had come when the first wrong one was seen, at most 20.
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
        /// Our limit for a message of its kind.
        limit: u32,
    },
    /// A message that its own length contradicts.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// A `bitfield` that does not fit the torrent.
    #[error(transparent)]
    Bitfield(#[from] BitfieldError),
    /// A set of pieces that came late and named more new pieces than as many `have` messages would.
    #[error("late set of pieces names more than {limit} new ones")]
    LateSetTooLarge {
        /// Our limit.
        limit: u32,
    },
    /// A message of the fast extension, which one of us does not speak.
    #[error("message {} needs the fast extension, which was not agreed", id.0)]
    NotFast {
        /// Which message.
        id: MessageId,
    },
    /// A piece that the torrent does not have.
    #[error("message {} names piece {}, the torrent has {piece_count}", id.0, got.0)]
    PieceOutside {
        /// Which message.
        id: MessageId,
        /// The piece.
        got: PieceIndex,
        /// How many there are.
        piece_count: u32,
    },
    /// A block that does not lie in its piece, or is empty.
    #[error(
        "message {} names bytes {}+{} of piece {}, which has {piece_len}",
        id.0, block.begin, block.len, block.piece.0
    )]
    BlockOutside {
        /// Which message.
        id: MessageId,
        /// The block.
        block: Block,
        /// The piece's length in bytes.
        piece_len: u32,
    },
    /// A request for more than anyone serves at once.
    #[error("request for {len} bytes exceeds the limit of {limit}")]
    RequestTooLong {
        /// Bytes asked for.
        len: u32,
        /// [`super::BLOCK_BYTES_MAX`].
        limit: u32,
    },
    /// More unanswered requests than [`super::REQUESTS_IN_MAX`].
    #[error("more than {limit} requests outstanding")]
    RequestsTooMany {
        /// The limit.
        limit: usize,
    },
    /// More requests while we choke it than [`super::REQUESTS_CHOKED_MAX`].
    #[error("more than {limit} requests while choked")]
    RequestsWhileChoked {
        /// The limit.
        limit: u32,
    },
    /// More than [`super::REJECTS_UNASKED_MAX`] refusals of requests that we never made (BEP 6).
    #[error("more than {limit} refusals of blocks that were not asked for")]
    RejectsUnasked {
        /// The limit.
        limit: u32,
    },
    /// More than [`super::UNREQUESTED_MAX`] blocks that nobody asked for.
    #[error("more than {limit} blocks that were not asked for")]
    BlocksUnrequested {
        /// The limit.
        limit: u32,
    },
    /// More than [`super::HAVES_REPEATED_MAX`] haves for pieces that it claimed already.
    #[error("more than {limit} haves for pieces that it claimed before")]
    HavesRepeated {
        /// The limit.
        limit: u32,
    },
    /// It changed choking or interest more often than [`super::TURNS_BURST`] allows.
    #[error("choking or interest changed more than {burst} times, then once in {secs} s")]
    TurnsTooMany {
        /// How many at once.
        burst: u32,
        /// Seconds for each further one.
        secs: u64,
    },
    /// An extension handshake that cannot be read (BEP 10).
    #[error("extension handshake: {0}")]
    ExtHandshake(#[source] ExtError),
    /// Extension handshakes came more often than [`super::EXT_HANDSHAKES_BURST`] allows.
    #[error("more than {burst} extension handshakes, then one in {secs} s")]
    ExtHandshakesTooMany {
        /// How many at once.
        burst: u32,
        /// Seconds for each further one.
        secs: u64,
    },
    /// A peer exchange message that cannot be read (BEP 11).
    #[error("peer exchange: {0}")]
    Pex(#[source] ExtError),
    /// Peer exchange came more often than [`super::PEX_BURST`] allows.
    #[error("more than {burst} peer exchange messages, then one in {secs} s")]
    PexTooOften {
        /// How many at once.
        burst: u32,
        /// Seconds for each further one.
        secs: u64,
    },
    /// A message that takes a piece back and cannot be read (BEP 54).
    #[error("donthave: {0}")]
    DontHave(#[source] ExtError),
    /// Pieces were taken back more often than [`super::DONT_HAVES_BURST`] allows.
    #[error("more than {burst} pieces taken back, then one in {secs} s")]
    DontHavesTooMany {
        /// How many at once.
        burst: u32,
        /// Seconds for each further one.
        secs: u64,
    },
    /// More unanswered requests for hashes than [`super::HASH_REQUESTS_IN_MAX`].
    #[error("more than {limit} requests for hashes outstanding")]
    HashRequestsTooMany {
        /// The limit.
        limit: usize,
    },
    /// `hashes` of another number than was asked for.
    #[error("{got} hashes, {expected} were asked for")]
    HashCount {
        /// How many came.
        got: u64,
        /// How many the request means.
        expected: u64,
    },
    /// More than [`super::HASHES_UNASKED_MAX`] answers to requests for hashes that we never made.
    #[error("more than {limit} answers to requests for hashes that were not made")]
    HashesUnasked {
        /// The limit.
        limit: u32,
    },
}
