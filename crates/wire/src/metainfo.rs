//! Torrent files, version 1: BEP 3, with tiers (BEP 12), web seeds (BEP 19) and the private flag
//! (BEP 27). The info-hash is over the raw bytes of `info`, never over a re-encoding.

use skep_hash::Sha1Digest;

use crate::{InfoHash, PieceIndex};

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
    /// A dictionary's keys are not in order.
    UnsortedKeys,
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
}
