//! A file that only grows, with the SHA-256 of all that it holds.

use std::fmt;

use skep_evidence::file::{FileError, FileOp, FilesMut};
use skep_hash::{Sha256, Sha256Digest};

/// Bytes that are gathered before they go to the system: large enough that a capture of small
/// messages is not one call each, small enough to lose little in a crash of the process.
const GATHER_BYTES: usize = 256 << 10;

/// A journal or a capture that is being written.
pub(super) struct Append {
    path: String,
    /// Bytes handed to the system.
    written: u64,
    gathered: Vec<u8>,
    hash: Sha256,
    synced: bool,
}

impl fmt::Debug for Append {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Append")
            .field("path", &self.path)
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}

impl Append {
    /// An empty file is made, or an old one of the same name cut to nothing.
    pub(super) fn create(files: &mut dyn FilesMut, path: String) -> Result<Self, FileError> {
        files.apply(&FileOp::Replace {
            path: path.clone(),
            bytes: Vec::new(),
        })?;
        Ok(Self {
            path,
            written: 0,
            gathered: Vec::new(),
            hash: Sha256::new(),
            synced: true,
        })
    }

    /// Everything appended, durable or not.
    pub(super) fn len(&self) -> u64 {
        self.written + self.gathered.len() as u64
    }

    /// SHA-256 of everything appended.
    pub(super) fn digest(&self) -> Sha256Digest {
        self.hash.clone().finish()
    }

    pub(super) fn append(
        &mut self,
        files: &mut dyn FilesMut,
        bytes: &[u8],
    ) -> Result<(), FileError> {
        self.hash.update(bytes);
        self.gathered.extend_from_slice(bytes);
        self.synced = false;
        if self.gathered.len() >= GATHER_BYTES {
            self.write(files)
        } else {
            Ok(())
        }
    }

    fn write(&mut self, files: &mut dyn FilesMut) -> Result<(), FileError> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let (path, offset) = (self.path.clone(), self.written);
        let bytes = std::mem::take(&mut self.gathered);
        self.written += bytes.len() as u64;
        files.apply(&FileOp::Write {
            path,
            offset,
            bytes,
        })
    }

    /// Makes everything appended durable.
    pub(super) fn sync(&mut self, files: &mut dyn FilesMut) -> Result<(), FileError> {
        self.write(files)?;
        if !self.synced {
            files.apply(&FileOp::Sync {
                path: self.path.clone(),
            })?;
            self.synced = true;
        }
        Ok(())
    }
}
