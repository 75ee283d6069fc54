//! The reading end of an observation's folder.

use std::{path::Path, thread, time::Duration};

use skep_evidence::{
    file::{FileError, Files as _},
    ledger::{LedgerReader, VerifierKey},
    record::Record,
};
use skep_hash::{Sha256Digest, sha256};

use super::{
    DiskFiles, StoreError,
    key::{self, Lock},
    layout,
    mend::JOURNAL_BYTES_MAX,
};

/// Greatest blob that is read: a torrent file or a configuration.
const BLOB_BYTES_MAX: u64 = 256 << 20;

/// How often a ledger that is being written is read again before its error counts.
const RETRIES_MAX: u32 = 20;

/// How long a writer gets to finish a checkpoint.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// An observation whose ledger agrees with itself and with its public key. Journal, capture and
/// blobs are compared with the ledger by whoever replays them; blobs also when they are read.
#[derive(Debug)]
pub struct ObservationReader {
    files: DiskFiles,
    key: VerifierKey,
    ledger: LedgerReader,
}

impl ObservationReader {
    /// Opens the observation in `dir` for reading, and checks its ledger.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: no observation there, no access, or a part that was changed.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let files = DiskFiles::new(dir);
        let key = key::open_public(&files)?;
        // A writer that is at work may move records from one file to another while we read them.
        for _ in 0..RETRIES_MAX {
            match LedgerReader::open(&files, &key) {
                Ok(ledger) => return Ok(Self { files, key, ledger }),
                Err(_) if Lock::is_held(dir) => thread::sleep(RETRY_AFTER),
                Err(error) => return Err(error.into()),
            }
        }
        let ledger = LedgerReader::open(&files, &key)?;
        Ok(Self { files, key, ledger })
    }

    /// The ledger.
    pub fn ledger(&self) -> &LedgerReader {
        &self.ledger
    }

    /// The public key that the folder names. Whether to trust it is the reader's decision.
    pub fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// The files.
    pub fn files(&self) -> &DiskFiles {
        &self.files
    }

    /// Every record with its index.
    pub fn records(&self) -> impl Iterator<Item = Result<(u64, Record), StoreError>> + '_ {
        self.ledger.records(&self.files).map(|record| {
            let (index, bytes) = record?;
            match Record::decode(&bytes) {
                Ok(record) => Ok((index, record)),
                Err(why) => Err(StoreError::Record { index, why }),
            }
        })
    }

    /// The journal of a run; empty if there is none.
    ///
    /// # Errors
    ///
    /// [`FileError`].
    pub fn journal(&self, run: u32) -> Result<Vec<u8>, FileError> {
        Ok(self
            .files
            .read(&layout::journal(run), JOURNAL_BYTES_MAX)?
            .unwrap_or_default())
    }

    /// The path of a run's journal below the folder.
    pub fn journal_path(run: u32) -> String {
        layout::journal(run)
    }

    /// The path of a run's capture below the folder, for [`skep_evidence::file::Files::read_at`].
    pub fn capture_path(run: u32) -> String {
        layout::capture(run)
    }

    /// A blob, compared with its digest.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if it is missing or has another digest.
    pub fn blob(&self, digest: &Sha256Digest) -> Result<Vec<u8>, StoreError> {
        let path = layout::blob(digest);
        let bytes = self.files.read(&path, BLOB_BYTES_MAX)?.unwrap_or_default();
        let got = sha256(&bytes);
        if got != *digest {
            return Err(StoreError::Blob { path, got });
        }
        Ok(bytes)
    }
}
