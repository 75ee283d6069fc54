//! The bundle: one archive that stands by itself.
//!
//! ```text
//! MANIFEST              SHA-256 of every other file, in the format of sha256sum
//! README.txt            how to check each part with other people's tools
//! blobs/<sha256>        torrent files, run configurations
//! ledger/checkpoint     signed tree head          ledger/tile/...   hashes and records
//! operator.vkey         the key that the checkpoint says it is signed by
//! report/...            what was made from the ledger
//! runs/0001/journal     every call into the machine
//! runs/0001/capture.pcapng   every byte that came and went
//! ```
//!
//! The container is an uncompressed POSIX ustar archive with one encoding: files in the byte order of
//! their paths, mode 0644, owner, group and times zero, no folders, zeroes as padding, two zero blocks
//! at the end and nothing after them. A reader renders every header again and compares, so no byte
//! of the archive goes unread. Any `tar` opens it.
//!
//! What it is not: proof. The container only holds together; whether what is in it agrees with itself
//! is for the verifier.

mod header;
mod read;
mod write;

use skep_hash::Sha256Digest;

pub use read::Bundle;
pub use write::{Plan, Step, build};

use crate::file::FileError;

/// Path of the list of digests.
pub const MANIFEST: &str = "MANIFEST";
/// Path of the page for people.
pub const README: &str = "README.txt";
/// What that page says. It belongs to the format: another text is another format.
pub const README_TEXT: &str = include_str!("bundle/README.txt");
/// Path of the operator's public key.
pub const VKEY: &str = "operator.vkey";

/// Size of a block of the archive.
pub const BLOCK_LEN: u64 = 512;
/// Greatest length of a path: what the name field of a header holds.
pub const PATH_LEN_MAX: usize = 100;
/// Greatest length of a file: what eleven octal digits can say (8 GiB less one byte).
pub const FILE_LEN_MAX: u64 = 0o777_7777_7777;
/// Greatest number of files. At 64 bytes a line the manifest then has 130 MB.
pub const FILES_MAX: usize = 1_000_000;

/// Bytes that can be read at any place: a file, or memory.
pub trait Source {
    /// How many bytes there are.
    fn len(&self) -> u64;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `len` bytes at `offset`, fewer at the end.
    ///
    /// # Errors
    ///
    /// [`FileError`] if the system refuses.
    fn read_at(&self, offset: u64, len: usize) -> Result<Vec<u8>, FileError>;
}

impl Source for [u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn read_at(&self, offset: u64, len: usize) -> Result<Vec<u8>, FileError> {
        let from = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(<[u8]>::len(self));
        let until = from.saturating_add(len).min(<[u8]>::len(self));
        Ok(self[from..until].to_vec())
    }
}

impl Source for Vec<u8> {
    fn len(&self) -> u64 {
        Source::len(self.as_slice())
    }

    fn read_at(&self, offset: u64, len: usize) -> Result<Vec<u8>, FileError> {
        Source::read_at(self.as_slice(), offset, len)
    }
}

/// A file that goes into a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its path in the bundle.
    pub path: String,
    /// Its length in bytes.
    pub len: u64,
    /// Its SHA-256.
    pub digest: Sha256Digest,
}

/// Why bytes are no bundle, or files make none. Each names the part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The bytes cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A path that no bundle has.
    #[error(
        "path {path:?} has more than {PATH_LEN_MAX} bytes or other characters than a-z, A-Z, 0-9, \".\", \"_\", \"-\" and single \"/\" between them"
    )]
    Path {
        /// The path.
        path: String,
    },
    /// A file that is too long for the archive.
    #[error("{path} has {got} bytes, at most {FILE_LEN_MAX} fit")]
    FileLen {
        /// The file.
        path: String,
        /// Its length.
        got: u64,
    },
    /// Too many files.
    #[error("more than {FILES_MAX} files")]
    TooManyFiles,
    /// Two files that are not in order, or the same file twice.
    #[error("{path} comes after {before}")]
    Order {
        /// The file.
        path: String,
        /// The one before it.
        before: String,
    },
    /// The file does not begin as a tar archive does.
    #[error("this is not a bundle: it does not begin with a ustar header")]
    NotABundle,
    /// A header that is not the one that the format has for this file.
    #[error("header of {path} at {offset} differs from the canonical one in its field {field}")]
    Header {
        /// The file that it names, as far as it can be read.
        path: String,
        /// Where the header begins.
        offset: u64,
        /// The first field that differs.
        field: &'static str,
    },
    /// The archive ends within a file or without its end marks.
    #[error("archive of {len} bytes ends within {path}")]
    Truncated {
        /// The part.
        path: String,
        /// Length of the archive.
        len: u64,
    },
    /// Padding that is not zero.
    #[error("padding after {path} has another byte than zero")]
    Padding {
        /// The file before it.
        path: String,
    },
    /// Bytes where the end should be.
    #[error("the end of the archive at {offset} is not two zero blocks with nothing after them")]
    End {
        /// Where the end should begin.
        offset: u64,
    },
    /// A file that every bundle has is missing.
    #[error("{path} is missing")]
    Missing {
        /// The file.
        path: String,
    },
    /// A file has another digest than the manifest says.
    #[error("{path} hashes to {got}, MANIFEST says {expected}")]
    Digest {
        /// The file.
        path: String,
        /// What it hashes to.
        got: Sha256Digest,
        /// What the manifest says.
        expected: Sha256Digest,
    },
    /// The manifest is not the one that these files have.
    #[error("MANIFEST line {line} is not the one for {path}")]
    Manifest {
        /// The line, from 1.
        line: usize,
        /// The file that it should be about; `the end` after the last.
        path: String,
    },
    /// The page for people is another one.
    #[error("README.txt is not the text of this format")]
    Readme,
}

/// Checks a path: short, plain characters, no empty, `.` or `..` component.
fn check_path(path: &str) -> Result<(), BundleError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
    let component = |part: &str| !part.is_empty() && part != "." && part != "..";
    if path.len() <= PATH_LEN_MAX && path.bytes().all(plain) && path.split('/').all(component) {
        return Ok(());
    }
    Err(BundleError::Path {
        path: path.to_owned(),
    })
}

/// The line of the manifest for a file.
fn manifest_line(path: &str, digest: &Sha256Digest) -> String {
    format!("{digest}  {path}\n")
}
