//! Why a torrent file is refused, and what is unusual in one that is not.

use std::fmt;

use skep_hash::Sha256Digest;

use super::PIECE_LEN_MIN_V2;
use crate::bencode;

/// Why a torrent file is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetainfoError {
    /// Longer than a torrent file may be.
    #[error("torrent file of {len} bytes exceeds the limit of {limit}")]
    FileTooLong {
        /// Its length in bytes.
        len: usize,
        /// The limit.
        limit: usize,
    },
    /// Not bencode.
    #[error("not a torrent file: {0}")]
    Bencode(#[from] bencode::DecodeError),
    /// A required key is not there.
    #[error("{field} is missing")]
    Missing {
        /// The key.
        field: Field,
    },
    /// A required key has a value of another type.
    #[error("{field} is not {expected}")]
    WrongType {
        /// The key.
        field: Field,
        /// What it must be.
        expected: &'static str,
    },
    /// A version 2 torrent without a version 1 part (BEP 52), where that part is needed.
    #[error("torrent is of version 2 only, which is not supported here yet")]
    V2Only,
    /// The info dictionary is not canonical bencode, which BEP 52 asks to be refused.
    #[error("info, at byte {} of it: {}, in a torrent with a meta version", .0.offset, .0.oddity)]
    InfoNotCanonical(bencode::Noted),
    /// A file tree in a torrent that does not say that it is of version 2.
    #[error("info.file tree is there, info.meta version is not 2")]
    TreeWithoutVersion,
    /// A version that no BEP describes.
    #[error("torrent has meta version {got}, versions up to 2 are known")]
    Version {
        /// The version.
        got: i64,
    },
    /// A piece length that is not positive, or too great.
    #[error("piece length is {got}, not from 1 to {limit}")]
    PieceLen {
        /// What it is.
        got: i64,
        /// The limit.
        limit: u32,
    },
    /// A piece length that version 2 does not allow (BEP 52).
    #[error("piece length is {got}, version 2 needs a power of two from {PIECE_LEN_MIN_V2}")]
    PieceLenV2 {
        /// What it is.
        got: u32,
    },
    /// The piece hashes are not a whole number of SHA-1 digests.
    #[error("pieces has {len} bytes, not a multiple of 20")]
    PiecesLen {
        /// Length of the string in bytes.
        len: usize,
    },
    /// The piece hashes are not as many as the content has pieces.
    #[error("torrent has {got} piece hashes, its content has {expected} pieces")]
    PieceCount {
        /// Hashes in the torrent.
        got: u64,
        /// Pieces that the files' lengths and the piece length need.
        expected: u64,
    },
    /// Too many pieces.
    #[error("torrent of {got} pieces exceeds the limit of {limit}")]
    TooManyPieces {
        /// How many.
        got: u64,
        /// The limit.
        limit: u32,
    },
    /// Too many files.
    #[error("torrent of {got} files exceeds the limit of {limit}")]
    TooManyFiles {
        /// How many.
        got: usize,
        /// The limit.
        limit: usize,
    },
    /// The list of files is empty.
    #[error("torrent has no files")]
    NoFiles,
    /// All files are empty.
    #[error("torrent has no content: its files are all empty")]
    NoContent,
    /// A file has a negative length.
    #[error("{field} is {got}, a length cannot be negative")]
    NegativeLen {
        /// Which length.
        field: Field,
        /// What it is.
        got: i64,
    },
    /// The lengths add up to more than 63 bits.
    #[error("lengths up to {field} add up to more than 63 bits")]
    SizeOverflow {
        /// The length that does it.
        field: Field,
    },
    /// A path of no components.
    #[error("{field} is empty")]
    EmptyPath {
        /// Which path.
        field: Field,
    },
    /// A path of too many components.
    #[error("{field} has {got} components, more than {limit}")]
    PathTooDeep {
        /// Which path.
        field: Field,
        /// How many.
        got: usize,
        /// The limit.
        limit: usize,
    },
    /// A name that must not reach a file system.
    #[error("{field} holds \"{}\", {fault}", name.escape_debug())]
    BadName {
        /// Where.
        field: Field,
        /// The name, not UTF-8 shown as `%XX`.
        name: String,
        /// What is wrong with it.
        fault: NameFault,
    },
    /// A place in the file tree that is neither a file nor a folder: it has a length and something
    /// beside it, or it is the tree itself.
    #[error("info.file tree has a file's properties where there is a folder: \"{}\"", path.escape_debug())]
    FolderIsFile {
        /// Its path, joined with slashes.
        path: String,
    },
    /// A padding file in the file tree, where files are aligned without.
    #[error("{field} marks a padding file, which a file tree has no place for")]
    PaddingInTree {
        /// Where.
        field: Field,
    },
    /// A Merkle root that is not 32 bytes, or is that of nothing.
    #[error("{field} has {got} bytes, not 32 that are not all zero")]
    BadRoot {
        /// Where.
        field: Field,
        /// How many bytes.
        got: usize,
    },
    /// A file that is longer than a piece, and whose piece layer is not there.
    #[error("piece layers has none for \"{}\", whose root is {root}", path.escape_debug())]
    LayerMissing {
        /// The file's path, joined with slashes.
        path: String,
        /// Its root.
        root: Sha256Digest,
    },
    /// A piece layer of a wrong length.
    #[error("piece layer of \"{}\" has {got} bytes, its {pieces} pieces need 32 each", path.escape_debug())]
    LayerLen {
        /// The file's path, joined with slashes.
        path: String,
        /// Length of the layer in bytes.
        got: usize,
        /// Pieces of the file.
        pieces: u64,
    },
    /// A piece layer that does not hash to its file's root.
    #[error("piece layer of \"{}\" does not hash to its root {root}", path.escape_debug())]
    LayerWrong {
        /// The file's path, joined with slashes.
        path: String,
        /// The file's root.
        root: Sha256Digest,
    },
    /// A piece layer of no file that needs one.
    #[error("piece layers has one for {}, which is the root of no file longer than a piece", key.escape_ascii())]
    LayerOfNoFile {
        /// The key, at most 32 bytes of it.
        key: Vec<u8>,
    },
    /// The two parts of a hybrid have different numbers of files.
    #[error("hybrid disagrees: {v1} files in version 1 without padding, {v2} in version 2")]
    HybridCount {
        /// Files of version 1 that are not padding.
        v1: usize,
        /// Files of version 2.
        v2: usize,
    },
    /// The two parts of a hybrid have different files at one place.
    #[error(
        "hybrid disagrees: file {file} is \"{}\" in version 1 and \"{}\" in version 2",
        v1.escape_debug(),
        v2.escape_debug()
    )]
    HybridPath {
        /// Number of the file, padding not counted.
        file: usize,
        /// Its path in version 1, joined with slashes.
        v1: String,
        /// Its path in version 2.
        v2: String,
    },
    /// A file of a hybrid has two lengths.
    #[error("hybrid disagrees: \"{}\" has {v1} bytes in version 1 and {v2} in version 2", path.escape_debug())]
    HybridLen {
        /// Its path, joined with slashes.
        path: String,
        /// Its length in version 1.
        v1: u64,
        /// Its length in version 2.
        v2: u64,
    },
    /// A file of a hybrid begins at two places.
    #[error(
        "hybrid disagrees: \"{}\" begins at byte {v1} in version 1 and at byte {v2} in version 2",
        path.escape_debug()
    )]
    HybridOffset {
        /// Its path, joined with slashes.
        path: String,
        /// Its offset in version 1.
        v1: u64,
        /// Its offset in version 2.
        v2: u64,
    },
    /// Padding after the last file of a hybrid that makes pieces of its own.
    #[error("hybrid disagrees: {v1} pieces in version 1 and {v2} in version 2")]
    HybridPieces {
        /// Pieces of version 1.
        v1: u64,
        /// Pieces of version 2.
        v2: u64,
    },
    /// Two files have one path.
    #[error("files {first} and {second} are both \"{}\"", path.escape_debug())]
    DuplicatePath {
        /// The path, joined with slashes.
        path: String,
        /// Index of the one.
        first: usize,
        /// Index of the other.
        second: usize,
    },
    /// The path of a file is the folder of another.
    #[error("\"{}\" is file {file}, and the folder of file {inside}", path.escape_debug())]
    FileIsFolder {
        /// The path, joined with slashes.
        path: String,
        /// Index of the file.
        file: usize,
        /// Index of the file inside it.
        inside: usize,
    },
}

/// A place in a torrent file: `info.files[3].length`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// The list and the index in it, if the key is of a file.
    pub file: Option<(List, usize)>,
    /// The key, with `info.` before it if it is in the info dictionary.
    pub key: &'static str,
}

/// A list of a torrent's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// `info.files` of version 1.
    Files,
    /// `info.file tree` of version 2, whose files are counted in their order.
    Tree,
}

impl Field {
    /// A key that belongs to no file.
    pub(super) fn top(key: &'static str) -> Self {
        Self { file: None, key }
    }

    /// A key of the file with this index in the list of version 1.
    pub(super) fn of(file: usize, key: &'static str) -> Self {
        Self {
            file: Some((List::Files, file)),
            key,
        }
    }

    /// A key of the file with this number in the tree of version 2.
    pub(super) fn in_tree(file: usize, key: &'static str) -> Self {
        Self {
            file: Some((List::Tree, file)),
            key,
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.file {
            Some((List::Files, file)) => write!(f, "info.files[{file}].{}", self.key),
            Some((List::Tree, file)) => write!(f, "info.file tree[{file}].{}", self.key),
            None => f.write_str(self.key),
        }
    }
}

/// What is wrong with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameFault {
    /// Nothing.
    #[error("an empty name")]
    Empty,
    /// `.`
    #[error("the name of the folder itself")]
    ThisFolder,
    /// `..`
    #[error("the name of the folder above")]
    ParentFolder,
    /// A separator or drive at the beginning.
    #[error("an absolute path")]
    Absolute,
    /// A slash or backslash.
    #[error("a path separator")]
    Separator,
    /// A NUL byte.
    #[error("a NUL byte")]
    Nul,
    /// A device on Windows.
    #[error("a reserved name")]
    Reserved,
    /// Longer than file systems take.
    #[error("a name of {len} bytes, more than {limit}")]
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// The limit.
        limit: usize,
    },
}

/// Something unusual that is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// The file is not canonical bencode.
    NotCanonical(bencode::Noted),
    /// The file that is alone in its tree has another name than the torrent; it counts.
    NameOfFile {
        /// The torrent's name, which is not used.
        name: String,
    },
    /// A folder of the file tree holds no file, and is left out.
    FolderEmpty {
        /// Its path, joined with slashes.
        path: String,
    },
    /// A symbolic link leads to nothing in the torrent, and must not be made.
    LinkAstray {
        /// Its path, joined with slashes.
        path: String,
    },
    /// A name is not UTF-8; the bytes that are not are shown as `%XX`.
    NameNotUtf8 {
        /// The bytes as they came.
        name: Vec<u8>,
    },
    /// A name has control characters or such as change the direction of text: whoever prints it
    /// must escape it.
    NameDeceives {
        /// The name.
        name: String,
    },
    /// A name that other systems than Unix cannot hold, for a character or its end.
    NameNotPortable {
        /// The name.
        name: String,
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
    /// A list is longer than skep keeps; the rest of it is left out.
    ListCut {
        /// The field.
        field: &'static str,
        /// How many are kept.
        limit: usize,
    },
}
