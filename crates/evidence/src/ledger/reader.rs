//! A ledger as a stranger reads it: every byte checked before the first record is given out.

use skep_hash::{Sha256Digest, tree::Tree};

use super::note::VerifierKey;
use crate::file::{FileError, Files};

/// Why a ledger does not hold. Each names the part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The files cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A record that is too long.
    #[error("record of {got} bytes, at most 65535 fit")]
    RecordTooLong {
        /// Its length.
        got: usize,
    },
}

/// A ledger all of whose parts agree with its checkpoint, whose signature holds.
#[derive(Debug)]
pub struct LedgerReader {}

#[allow(unused_variables, clippy::todo)]
impl LedgerReader {
    /// Reads the whole ledger below `ledger/` once and checks it: signature, tiles, bundles, and
    /// whatever else lies there.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] naming the part.
    pub fn open(files: &dyn Files, key: &VerifierKey) -> Result<Self, LedgerError> {
        todo!("evidence")
    }

    /// How many records the checkpoint covers.
    pub fn size(&self) -> u64 {
        todo!("evidence")
    }

    /// How many more records lie in the pending file: durable, but not signed yet.
    pub fn uncovered(&self) -> u64 {
        todo!("evidence")
    }

    /// The root that the checkpoint signs.
    pub fn root(&self) -> Sha256Digest {
        todo!("evidence")
    }

    /// The signed checkpoint as it stands in its file.
    pub fn checkpoint(&self) -> &str {
        todo!("evidence")
    }

    /// The tree over the covered records, for proofs.
    pub fn tree(&self) -> &Tree {
        todo!("evidence")
    }

    /// Every record's bytes in order, covered and uncovered, read again bundle by bundle and compared
    /// with its leaf hash.
    pub fn records<'a>(
        &'a self,
        files: &'a dyn Files,
    ) -> impl Iterator<Item = Result<(u64, Vec<u8>), LedgerError>> + 'a {
        std::iter::empty()
    }

    /// The paths (below the observation's folder) of the files that a bundle of this ledger needs, sorted:
    /// checkpoint, tiles and entry bundles, full and partial, of the checkpoint's size.
    pub fn paths(&self) -> Vec<String> {
        todo!("evidence")
    }
}
