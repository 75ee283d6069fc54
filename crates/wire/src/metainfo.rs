//! Torrent files, version 1: BEP 3, with tiers (BEP 12), web seeds (BEP 19), the private flag
//! (BEP 27) and padding files (BEP 47).
//!
//! ```text
//! d 8:announce URL  13:announce-list l l URL.. e .. e  7:comment TEXT  10:created by TEXT
//!   13:creation date SECONDS  8:url-list URL or l URL.. e
//!   4:info d 4:name NAME  12:piece length N  6:pieces SHA1..  7:private 0/1  6:source TEXT
//!            6:length N  or  5:files l d 6:length N 4:path l NAME.. e 4:attr FLAGS e .. e e e
//! ```
//!
//! The info-hash is over the raw bytes of `info`, never over a re-encoding. `name.utf-8` and
//! `path.utf-8`, which old makers wrote beside names in their own code page, are preferred where
//! they are there and are UTF-8; `files` is preferred to `length`; the first of duplicate keys
//! counts: all as libtorrent does it, since the same torrent must have the same files everywhere.
//! Stricter than libtorrent: bytes after the torrent, and names that would have to be changed to be
//! safe, are errors, because a changed name is no longer what the torrent says.

mod error;
mod path;
mod read;
#[cfg(test)]
mod tests;
mod write;

use skep_hash::Sha1Digest;

use crate::{Block, InfoHash, PieceIndex, piece::BLOCK_LEN};

pub use error::{Field, MetainfoError, NameFault, Warning};
pub use write::Draft;

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
    /// Whether it is a padding file (BEP 47): zeroes that let the next file begin with a piece.
    /// They are content, but need not be written, and their paths may be alike.
    pub padding: bool,
}

/// Longer torrent files are refused: 40 MiB of piece hashes, and as much again for names.
pub const FILE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Torrents of more pieces are refused, as by libtorrent. A peer's set of them is 256 KiB.
pub const PIECES_MAX: u32 = 2 * 1024 * 1024;

/// Torrents of more files are refused.
pub const FILES_MAX: usize = 300_000;

/// Torrent files of more bencoded values are refused. A file needs 4 and one for each component of
/// its path. This bounds the memory of reading: about 80 bytes a value, and as much for each name.
pub const VALUES_MAX: u32 = 2_000_000;

/// Greater piece lengths are refused: a piece is held in memory while it is fetched. It is the
/// greatest that clients make (libtorrent stops a block below it); 64 MiB is the greatest in use.
pub const PIECE_LEN_MAX: u32 = 512 * 1024 * 1024;

/// Longer names are refused: no common file system holds them.
pub const NAME_BYTES_MAX: usize = 255;

/// Paths of more components are refused.
pub const PATH_COMPONENTS_MAX: usize = 64;

/// How many trackers, and how many web seeds, of a torrent are kept.
pub const URLS_MAX: usize = 1_000;

/// Longer URLs are left out.
pub const URL_BYTES_MAX: usize = 4 * 1024;

/// How many warnings on one torrent are kept, besides [`NOTED_MAX`](crate::bencode::NOTED_MAX) on its encoding.
pub const WARNINGS_MAX: usize = 200;

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

/// Returns the piece length for content of `size_bytes`: the least power of two, from 16 KiB, that
/// makes at most 2048 pieces; beyond 32 GiB it stays at 16 MiB until [`PIECES_MAX`] is reached.
///
/// | content up to | piece length | content up to | piece length |
/// |---|---|---|---|
/// | 32 MiB | 16 KiB | 2 GiB | 1 MiB |
/// | 64 MiB | 32 KiB | 4 GiB | 2 MiB |
/// | 128 MiB | 64 KiB | 8 GiB | 4 MiB |
/// | 256 MiB | 128 KiB | 16 GiB | 8 MiB |
/// | 512 MiB | 256 KiB | 32 TiB | 16 MiB |
/// | 1 GiB | 512 KiB | beyond | up to 512 MiB |
///
/// Small pieces are shared and checked sooner, large ones keep the torrent file and the sets of
/// pieces small: 2048 hashes are 40 KiB. 16 MiB is where other clients' own choices end.
pub fn piece_len_for(size_bytes: u64) -> u32 {
    let mut piece_len = BLOCK_LEN;
    while piece_len < 16 * 1024 * 1024 && size_bytes.div_ceil(piece_len.into()) > 2048 {
        piece_len *= 2;
    }
    while piece_len < PIECE_LEN_MAX && size_bytes.div_ceil(piece_len.into()) > PIECES_MAX.into() {
        piece_len *= 2;
    }
    piece_len
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
        let end = begin.saturating_add(len);
        let first = self
            .files
            .partition_point(|file| file.offset + file.len <= begin);
        let files = self.files.iter().enumerate().skip(first);
        files
            .take_while(move |(_, file)| file.offset < end)
            .filter_map(move |(n, file)| {
                let from = begin.max(file.offset);
                let until = end.min(file.offset + file.len);
                let span = Span {
                    file: n,
                    offset: from - file.offset,
                    len: until.checked_sub(from)?,
                };
                (span.len > 0).then_some(span)
            })
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
