//! Why a torrent file is refused, and what is unusual in one that is not.

use std::fmt;

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
    /// A version 2 torrent without a version 1 part (BEP 52).
    #[error("torrent is of version 2 only, which is not supported yet")]
    V2Only,
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
    /// The index in `info.files`, if the key is in one of them.
    pub file: Option<usize>,
    /// The key, with `info.` before it if it is in the info dictionary.
    pub key: &'static str,
}

impl Field {
    /// A key that belongs to no file.
    pub(super) fn top(key: &'static str) -> Self {
        Self { file: None, key }
    }

    /// A key of the file with this index.
    pub(super) fn of(file: usize, key: &'static str) -> Self {
        Self {
            file: Some(file),
            key,
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.file {
            Some(file) => write!(f, "info.files[{file}].{}", self.key),
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
    /// The torrent is a hybrid (BEP 52); only its version 1 part is read.
    Hybrid,
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
