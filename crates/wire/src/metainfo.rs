//! Torrent files, version 1: BEP 3, with tiers (BEP 12), web seeds (BEP 19) and the private flag
//! (BEP 27). The info-hash is over the raw bytes of `info`, never over a re-encoding.

use skep_hash::Sha1Digest;

use crate::{Block, InfoHash, PieceIndex, bencode};

/// A torrent file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metainfo {
    /// SHA-1 of the raw `info` bytes.
    pub info_hash: InfoHash,
    /// The info dictionary.
    pub info: Info,
    /// The raw bytes of `info`.
    pub info_bytes: Vec<u8>,
    /// Trackers in tiers (BEP 12); `announce` alone is one tier of one.
    pub tiers: Vec<Vec<String>>,
    /// `url-list` (BEP 19).
    pub web_seeds: Vec<String>,
    /// `comment`.
    pub comment: Option<String>,
    /// `created by`.
    pub created_by: Option<String>,
    /// `creation date`, seconds since 1970 in UTC, as claimed.
    pub creation_date: Option<i64>,
    /// What is unusual but accepted, for `inspect` and the record.
    pub warnings: Vec<Warning>,
}

/// The info dictionary of a version 1 torrent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// The suggested name: of the file, or of the folder. One sane path component.
    pub name: String,
    /// Length of every piece but the last, in bytes.
    pub piece_len: u32,
    /// One SHA-1 a piece.
    pub pieces: Vec<Sha1Digest>,
    /// The files in order; one entry for a single-file torrent.
    pub files: Vec<File>,
    /// Whether the torrent has `length` (a file) rather than `files` (a folder).
    pub single_file: bool,
    /// `private` (BEP 27).
    pub private: bool,
    /// `source`.
    pub source: Option<String>,
    /// Sum of the file lengths, in bytes.
    pub size_bytes: u64,
}

/// One file of a torrent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Path components below the torrent's name; empty for a single-file torrent. Sane: no empty
    /// component, no `.` or `..`, no separator, no absolute or reserved name.
    pub path: Vec<String>,
    /// Length in bytes.
    pub len: u64,
    /// Offset of the first byte in the torrent's content.
    pub offset: u64,
}

/// Something unusual that is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// The file is not canonical bencode.
    NotCanonical(bencode::Noted),
    /// The torrent is a hybrid (BEP 52); only its version 1 part is read.
    Hybrid,
    /// A name is not UTF-8; the bytes that are not are shown as `%XX`.
    NameNotUtf8 {
        /// The bytes as they came.
        name: Vec<u8>,
    },
    /// Two paths differ only in case, so a file system that ignores case cannot hold both.
    CaseConflict {
        /// The later path.
        path: String,
    },
    /// A field that skep does not need has a wrong type or value, and is left out.
    FieldIgnored {
        /// The field.
        field: &'static str,
    },
}

/// Torrent files longer than this are refused. One of 2 million pieces has 40 MB of digests.
pub const FILE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Torrents of more files are refused.
pub const FILES_MAX: usize = 1_000_000;

/// Greater piece lengths are refused: a piece is held in memory while it is fetched.
pub const PIECE_LEN_MAX: u32 = 512 * 1024 * 1024;

/// Why a torrent file is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetainfoError {
    /// Not bencode.
    #[error("not a torrent file: {0}")]
    Bencode(#[from] bencode::DecodeError),
    /// A version 2 torrent without a version 1 part (BEP 52).
    #[error("torrent is of version 2 only, which is not supported yet")]
    V2Only,
}

impl Metainfo {
    /// Reads a torrent file.
    ///
    /// # Errors
    ///
    /// [`MetainfoError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MetainfoError> {
        let _ = bytes;
        todo!()
    }
}

/// A torrent file to be written: what is in it besides what follows from that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The info dictionary. `offset`s and `size_bytes` are made again from the lengths.
    pub info: Info,
    /// Trackers in tiers.
    pub tiers: Vec<Vec<String>>,
    /// `url-list`.
    pub web_seeds: Vec<String>,
    /// `comment`.
    pub comment: Option<String>,
    /// `created by`.
    pub created_by: Option<String>,
    /// `creation date`, seconds since 1970 in UTC.
    pub creation_date: Option<i64>,
}

impl Draft {
    /// The canonical torrent file: the same draft gives the same bytes.
    ///
    /// # Errors
    ///
    /// [`MetainfoError`] that reading the file again would give.
    pub fn encode(&self) -> Result<Vec<u8>, MetainfoError> {
        todo!()
    }
}

/// A part of one file that a range of the content covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Index in [`Info::files`].
    pub file: usize,
    /// Offset of the first byte in the file.
    pub offset: u64,
    /// Length in bytes, never 0.
    pub len: u64,
}

/// Returns the piece length for content of `size_bytes`.
pub fn piece_len_for(size_bytes: u64) -> u32 {
    let _ = size_bytes;
    todo!()
}

impl Info {
    /// How many pieces there are.
    pub fn piece_count(&self) -> u32 {
        self.pieces.len() as u32
    }

    /// The length of `piece` in bytes; 0 for an index outside the torrent.
    pub fn piece_size(&self, piece: PieceIndex) -> u32 {
        let begin = u64::from(piece.0) * u64::from(self.piece_len);
        self.size_bytes
            .saturating_sub(begin)
            .min(u64::from(self.piece_len)) as u32
    }

    /// The parts of files that `len` bytes of content from `begin` cover, in order; empty files have
    /// none, and what lies beyond the content is left out.
    pub fn spans(&self, begin: u64, len: u64) -> impl Iterator<Item = Span> + '_ {
        let _ = (begin, len);
        std::iter::empty()
    }

    /// The parts of files that a piece covers.
    pub fn piece_spans(&self, piece: PieceIndex) -> impl Iterator<Item = Span> + '_ {
        let begin = u64::from(piece.0) * u64::from(self.piece_len);
        self.spans(begin, self.piece_size(piece).into())
    }

    /// The parts of files that a block covers.
    pub fn block_spans(&self, block: Block) -> impl Iterator<Item = Span> + '_ {
        let piece = u64::from(block.piece.0) * u64::from(self.piece_len);
        self.spans(piece + u64::from(block.begin), block.len.into())
    }
}
