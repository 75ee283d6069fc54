//! Torrent files of version 1 (BEP 3), version 2 (BEP 52) and both at once (hybrids), with tiers (BEP 12),
//! web seeds (BEP 19), the private flag (BEP 27), padding files and attributes (BEP 47).
//!
//! ```text
//! d 8:announce URL  13:announce-list l l URL.. e .. e  7:comment TEXT  10:created by TEXT
//!   13:creation date SECONDS  8:url-list URL or l URL.. e
//!   4:info d 4:name NAME  12:piece length N  7:private 0/1  6:source TEXT
//!     v1     6:pieces SHA1..  and  6:length N  or  5:files l d 6:length N 4:path l NAME.. e 4:attr FLAGS
//!                                                   12:symlink path l NAME.. e e .. e
//!     v2     12:meta version i2e  9:file tree d NAME d .. d 0: d 6:length N 11:pieces root SHA256
//!                                                   4:attr FLAGS 12:symlink path l NAME.. e e e .. e e
//!            e
//!   12:piece layers d ROOT SHA256.. .. e   v2: the piece hashes of each file longer than a piece
//! ```
//!
//! One piece space serves all versions: a piece has one number, one place and one length, whichever hashes
//! it has. In version 2 every file that is not empty begins with a piece, and the gap before it is nothing.
//! In a hybrid the gap is a padding file of version 1, and the files of both parts are the same.
//!
//! The info-hashes are over the raw bytes of `info`, never over a re-encoding. `name.utf-8` and
//! `path.utf-8`, which old makers wrote beside names in their own code page, are preferred where
//! they are there and are UTF-8; `files` is preferred to `length`; the first of duplicate keys
//! counts; the name of a file that is alone in its tree is the tree's: all as libtorrent does it, since
//! the same torrent must have the same files everywhere. Stricter than libtorrent: bytes after the torrent,
//! names that would have to be changed to be safe, and missing piece layers are errors: a changed name is
//! no longer what the torrent says, and without layers no piece can be checked.

mod edit;
mod error;
mod files;
mod hashes;
mod hybrid;
mod lay;
mod layers;
mod links;
mod path;
mod read;
#[cfg(test)]
mod tests;
mod tree;
mod urls;
mod write;

use std::ops::Range;

use skep_hash::{Sha1Digest, Sha256Digest};

use crate::{
    Block, InfoHash, InfoHashV2, PieceIndex,
    piece::{BLOCK_LEN, PieceSizes},
};

pub use edit::{Edit, with_source};
pub use error::{Field, List, MetainfoError, NameFault, Warning};
pub use hashes::{PieceDigests, PieceHashes};
pub use write::Draft;

/// A torrent file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metainfo {
    /// The 20 bytes by which the torrent is known on the wire first: SHA-1 of the raw `info` bytes, or
    /// in version 2 alone the truncated [`Metainfo::info_hash_v2`].
    pub info_hash: InfoHash,
    /// SHA-256 of the raw `info` bytes, if the torrent has a version 2 part.
    pub info_hash_v2: Option<InfoHashV2>,
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

/// Which of the two formats a torrent has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// BEP 3.
    V1,
    /// BEP 52.
    V2,
    /// Both, for the same content.
    Hybrid,
}

/// The info dictionary, and of version 2 the piece layers, which lie beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Which hashes there are.
    pub version: Version,
    /// The suggested name: of the file, or of the folder. One sane path component.
    pub name: String,
    /// Length in bytes of every piece but those that [`Info::piece_size`] says are shorter.
    pub piece_len: u32,
    /// One SHA-1 a piece; empty in version 2 alone.
    pub pieces: Vec<Sha1Digest>,
    /// One SHA-256 a piece: the root of the piece's part of its file's tree, as [`Info::piece_v2`]
    /// explains. Empty in version 1 alone.
    pub pieces_v2: Vec<Sha256Digest>,
    /// The files in order; one entry for a single-file torrent.
    pub files: Vec<File>,
    /// Whether the torrent is one file rather than a folder.
    pub single_file: bool,
    /// `private` (BEP 27).
    pub private: bool,
    /// `source`.
    pub source: Option<String>,
    /// The extent of the piece space in bytes, up to the end of the last file: padding files and, in
    /// version 2, the gaps between files count. What a user has is [`Info::payload_bytes`].
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
    /// Offset of the first byte in the piece space.
    pub offset: u64,
    /// Whether it is a padding file (BEP 47): zeroes that let the next file begin with a piece.
    /// They are content, but need not be written, and their paths may be alike. None in version 2 alone.
    pub padding: bool,
    /// The root of the file's Merkle tree (BEP 52). None in version 1 alone, for empty files and padding.
    pub root: Option<Sha256Digest>,
    /// What it is besides its bytes.
    pub attr: Attr,
}

/// What a file is besides its bytes (BEP 47): a claim of the torrent's maker.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attr {
    /// It may be run.
    pub executable: bool,
    /// Lists of files leave it out.
    pub hidden: bool,
    /// It is a symbolic link; then its length is 0.
    pub link: Option<Link>,
}

/// Where a symbolic link of a torrent points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// To a file, a folder or another link of the torrent: components below the torrent's name.
    To(Vec<String>),
    /// To nothing in the torrent. Such a link must not be made. It stays in the list, so that the files
    /// have the same numbers everywhere.
    Astray,
}

/// What version 2 says of a piece (BEP 52): it lies in one file, and is a subtree of that file's tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PieceV2 {
    /// Index in [`Info::files`] of the file that it is part of.
    pub file: usize,
    /// Bytes of the file in it, never 0. No padding counts.
    pub len: u32,
    /// The root of the subtree.
    pub root: Sha256Digest,
    /// Leaf slots of the subtree: blocks per piece, or, where the whole file fits into one piece, the
    /// least power of two that holds its blocks.
    pub width: u32,
}

/// Longer torrent files are refused: 40 MiB of piece hashes (64 MiB with those of version 2 reach it), and
/// as much again for names. libtorrent stops at 80,000,000 bytes.
pub const FILE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Torrents of more pieces are refused, as by libtorrent. A peer's set of them is 256 KiB.
pub const PIECES_MAX: u32 = 2 * 1024 * 1024;

/// Torrents of more files are refused.
pub const FILES_MAX: usize = 300_000;

/// Torrent files of more bencoded values are refused, as by libtorrent. A file needs 4 and one for each
/// component of its path, in a hybrid twice that and 6 for its padding. This bounds the memory of
/// reading: about 80 bytes a value, and as much for each name.
pub const VALUES_MAX: u32 = 3_000_000;

/// Greater piece lengths are refused: a piece is held in memory while it is fetched. It is the
/// greatest that clients make (libtorrent stops a block below it); 64 MiB is the greatest in use.
pub const PIECE_LEN_MAX: u32 = 512 * 1024 * 1024;

/// Lesser piece lengths are refused in version 2 (BEP 52), where they are powers of two.
pub const PIECE_LEN_MIN_V2: u32 = BLOCK_LEN;

/// Padding is not reduced by making more pieces than this, or two for each file: 16,384 are 832 KiB of hashes.
pub const PADDED_PIECES_MAX: u64 = 16_384;

/// How many steps are taken in all to find out whether links lead to something in the torrent through other
/// links; those that are left then count as [`Link::Astray`]. A step is one component of a path.
pub const LINK_STEPS_MAX: u32 = 100_000;

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

/// Returns the piece length for files of these lengths in bytes: that of [`piece_len_for`], but for hybrids
/// of many small files.
///
/// In a hybrid the padding after each file is on average half a piece, and clients that do not know padding
/// fetch and store it. So the piece length is halved while the padding is more than an eighth of the content
/// and there are no more pieces than [`PADDED_PIECES_MAX`] or two for each file. Version 2 alone pads nothing.
pub fn piece_len_for_files(version: Version, lens: &[u64]) -> u32 {
    let size = lens.iter().fold(0u64, |sum, &len| sum.saturating_add(len));
    let mut piece_len = piece_len_for(size);
    if version != Version::Hybrid || lens.len() < 2 {
        return piece_len;
    }
    let pieces = |piece_len: u32| {
        let pieces = lens.iter().map(|len| len.div_ceil(piece_len.into()));
        pieces.fold(0u64, u64::saturating_add)
    };
    let pieces_max = PADDED_PIECES_MAX.max(2 * lens.len() as u64);
    while piece_len > PIECE_LEN_MIN_V2 {
        let padding = pieces(piece_len)
            .saturating_mul(piece_len.into())
            .saturating_sub(size);
        if padding <= size / 8 || pieces(piece_len / 2) > pieces_max {
            break;
        }
        piece_len /= 2;
    }
    piece_len
}

impl Version {
    /// Whether there are SHA-1 piece hashes.
    pub fn has_v1(self) -> bool {
        match self {
            Self::V1 | Self::Hybrid => true,
            Self::V2 => false,
        }
    }

    /// Whether there are Merkle trees.
    pub fn has_v2(self) -> bool {
        match self {
            Self::V2 | Self::Hybrid => true,
            Self::V1 => false,
        }
    }
}

impl Metainfo {
    /// The 20 bytes of every swarm that the torrent has: one, or of a hybrid that of version 1 and then
    /// that of version 2.
    pub fn info_hashes(&self) -> impl Iterator<Item = InfoHash> {
        let second = match self.info.version {
            Version::Hybrid => self.info_hash_v2.map(InfoHashV2::truncated),
            Version::V1 | Version::V2 => None,
        };
        std::iter::once(self.info_hash).chain(second)
    }

    /// For parts that know version 1 only: succeeds if the torrent has a version 1 part.
    ///
    /// # Errors
    ///
    /// [`MetainfoError::V2Only`].
    pub fn check_v1(&self) -> Result<(), MetainfoError> {
        match self.info.version {
            Version::V1 | Version::Hybrid => Ok(()),
            Version::V2 => Err(MetainfoError::V2Only),
        }
    }
}

impl Info {
    /// How many pieces there are.
    pub fn piece_count(&self) -> u32 {
        self.pieces.len().max(self.pieces_v2.len()) as u32
    }

    /// The length of `piece` in bytes; 0 for an index outside the torrent. In version 2 alone a piece
    /// ends with its file; else only the last one is short.
    pub fn piece_size(&self, piece: PieceIndex) -> u32 {
        match self.version {
            Version::V1 | Version::Hybrid => {
                let begin = u64::from(piece.0) * u64::from(self.piece_len);
                let left = self.size_bytes.saturating_sub(begin);
                left.min(u64::from(self.piece_len)) as u32
            }
            Version::V2 => self.piece_v2(piece).map_or(0, |piece| piece.len),
        }
    }

    /// The lengths of all pieces, for those who need them without the torrent.
    ///
    /// # Panics
    ///
    /// In version 2, if the files' offsets are not those of [`Info::lay`]. Those of a torrent that was read
    /// are.
    pub fn piece_sizes(&self) -> PieceSizes {
        match self.version {
            Version::V1 | Version::Hybrid => PieceSizes::uniform(self.piece_len, self.size_bytes),
            Version::V2 => self.payload_sizes(),
        }
    }

    /// How many bytes from the first on have to be fetched of each piece. In a hybrid they end with the
    /// file, as in version 2: the padding that follows is zeroes, whatever a peer would send there, and no
    /// part of the file's tree.
    ///
    /// # Panics
    ///
    /// As [`Info::piece_sizes`].
    pub fn payload_sizes(&self) -> PieceSizes {
        match self.version {
            Version::V1 => PieceSizes::uniform(self.piece_len, self.size_bytes),
            Version::V2 | Version::Hybrid => {
                let full = u64::from(self.piece_len.max(1));
                let files = self.files.iter().filter(|file| !file.padding);
                let short = files.filter_map(|file| {
                    let last = ((file.offset + file.len) / full) as u32;
                    let rest = (file.len % full) as u32;
                    (rest > 0).then_some((PieceIndex(last), rest))
                });
                PieceSizes::with_short(self.piece_len, self.piece_count(), short)
                    .expect("each file begins with a piece")
            }
        }
    }

    /// What version 2 says of `piece`; `None` in version 1 alone, and for an index outside the torrent.
    pub fn piece_v2(&self, piece: PieceIndex) -> Option<PieceV2> {
        let root = *self.pieces_v2.get(piece.0 as usize)?;
        let begin = u64::from(piece.0) * u64::from(self.piece_len);
        let file = self
            .files
            .partition_point(|file| file.offset + file.len <= begin);
        let end = self.files.get(file).map(|file| file.offset + file.len)?;
        let len = end.checked_sub(begin)?.min(self.piece_len.into()) as u32;
        let is_whole_file = self.files[file].len <= self.piece_len.into();
        let width = if is_whole_file {
            len.div_ceil(BLOCK_LEN).next_power_of_two()
        } else {
            self.piece_len / BLOCK_LEN
        };
        Some(PieceV2 {
            file,
            len,
            root,
            width,
        })
    }

    /// The numbers of the pieces that hold bytes of a file; empty for an empty file, and for an index
    /// outside the torrent.
    pub fn file_pieces(&self, file: usize) -> Range<u32> {
        let Some(file) = self.files.get(file).filter(|file| file.len > 0) else {
            return 0..0;
        };
        let piece_len = u64::from(self.piece_len.max(1));
        let end = (file.offset + file.len).div_ceil(piece_len);
        (file.offset / piece_len) as u32..end as u32
    }

    /// The piece layer of a file: the roots of its pieces' subtrees, in order. One hash, the file's own
    /// root, if the file fits into a piece; empty in version 1 alone, for empty files and padding.
    pub fn file_layer(&self, file: usize) -> &[Sha256Digest] {
        let has_tree = self.files.get(file).is_some_and(|file| file.root.is_some());
        let pieces = if has_tree {
            self.file_pieces(file)
        } else {
            0..0
        };
        let pieces = pieces.start as usize..pieces.end as usize;
        self.pieces_v2.get(pieces).unwrap_or_default()
    }

    /// Sum of the lengths of the files that are not padding, in bytes: what a user is shown.
    pub fn payload_bytes(&self) -> u64 {
        let files = self.files.iter().filter(|file| !file.padding);
        files.map(|file| file.len).sum()
    }

    /// Sum of the lengths of the padding files in bytes; 0 in version 2 alone, whose gaps are nothing.
    pub fn padding_bytes(&self) -> u64 {
        let files = self.files.iter().filter(|file| file.padding);
        files.map(|file| file.len).sum()
    }

    /// The parts of files that `len` bytes of the piece space from `begin` cover, in order; empty files
    /// and gaps have none, and what lies beyond the content is left out.
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
