//! Files: where a torrent's content lies, how it is opened safely, checked, written and resumed.
//!
//! What it is: [`layout`] says which bytes of which file a stretch of content is, [`files`] opens
//! them without ever leaving the folder that the user named, [`check`] hashes what is there on all
//! cores, [`writer`] hashes and writes what arrives on threads of its own, [`keeper`] makes it last,
//! [`moving`] brings the files to another place, [`attributes`] makes the links of a torrent and lets its programs be
//! run, and [`resume`] keeps what is known to be good across runs.
//! All of them reach the disk through [`system`] alone, so that tests can try every call. What it is not: a
//! cache. The page cache is one.

pub mod attributes;
pub mod check;
pub mod files;
pub mod judge;
pub mod keeper;
pub mod layout;
pub mod moving;
pub mod resume;
pub mod start;
pub mod system;
pub mod tree;
pub mod writer;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

/// The disk refused, or what lies there is not what it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiskError {
    /// A file or folder could not be opened, created, read, written or synced.
    #[error("{act} {}: {source}", path.display())]
    Io {
        /// What we did.
        act: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A component of a torrent's path is a symbolic link, which could lead out of the folder.
    #[error("{} is a symbolic link, and content is not written through links", path.display())]
    SymbolicLink {
        /// The link.
        path: PathBuf,
    },
    /// Where a file should be there is a folder, a device or a pipe.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// What is there.
        path: PathBuf,
    },
    /// A file is longer than the torrent says, so it is probably another one.
    #[error("{} has {len} bytes, more than the {expected} that the torrent names", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        len: u64,
        /// The torrent's length in bytes.
        expected: u64,
    },
    /// A file lies in the way that holds no piece of the torrent and was not left by an earlier run.
    #[error("{} is there already and holds nothing of the torrent", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Something lies where a file is to be moved.
    #[error("{} is there already", path.display())]
    InTheWay {
        /// What is there.
        path: PathBuf,
    },
    /// A file ended before the length that it had, or that the torrent says.
    #[error("{} ended at byte {at} of {expected}", path.display())]
    Ended {
        /// The file.
        path: PathBuf,
        /// Where it ended.
        at: u64,
        /// The length that it should have.
        expected: u64,
    },
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl DiskError {
    pub(crate) fn io(act: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io {
            act,
            path: path.to_owned(),
            source,
        }
    }

    /// The file or folder that the error is about.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Io { path, .. }
            | Self::SymbolicLink { path }
            | Self::NotAFile { path }
            | Self::TooLong { path, .. }
            | Self::Foreign { path }
            | Self::InTheWay { path }
            | Self::Ended { path, .. } => Some(path),
            Self::Interrupted => None,
        }
    }
}
