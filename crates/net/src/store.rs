//! The observation's folder on disk: capture, journal, ledger and blobs, made durable in that order.
//!
//! ```text
//! DIR/operator.key, operator.vkey      the key (mode 0600) and its public half
//! DIR/lock                             held by the one writer
//! DIR/ledger/...                       skep_evidence::ledger
//! DIR/blobs/<sha256>                   torrent files, run configurations
//! DIR/runs/0001/{journal,capture.pcapng}
//! ```
//!
//! Whoever writes appends the bytes first ([`ObservationStore::append_packet`]), then the entry that
//! points at them, then the records that the machine made of it. [`ObservationStore::commit`] makes
//! them durable together: it syncs the capture, then the journal, then the ledger. After an error
//! the store takes nothing more: what is on disk is opened and mended by the next `open`.

use std::path::Path;

use skep_evidence::{
    capture::{CaptureError, Packet},
    clock::ClockSample,
    file::FileError,
    journal::{CaptureOffset, Entry},
    ledger::{KeyError, LedgerError},
    record::Record,
};
use skep_hash::Sha256Digest;
use skep_wire::Moment;

/// What the first record of a run commits to.
#[derive(Debug, Clone)]
pub struct RunBegin<'a> {
    /// Version of skep.
    pub version: &'a str,
    /// SHA-256 of the running binary's file.
    pub binary: Sha256Digest,
    /// Compiler, target and profile.
    pub build: &'a str,
    /// The encoded configuration; it becomes a blob.
    pub config: &'a [u8],
    /// The torrent files in target order; they become blobs.
    pub torrents: &'a [Vec<u8>],
    /// The first clock sample of the run, which is also its first journal entry.
    pub clock: ClockSample,
}

/// What opening found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenReport {
    /// Whether the folder was made now.
    pub created: bool,
    /// How many records it holds.
    pub records: u64,
    /// How many runs it holds.
    pub runs: u32,
    /// What a crash had torn and was cut: bytes of journal, capture and ledger.
    pub cut: Option<Cut>,
}

/// What was cut from the end of a run that a crash ended. None of it had been acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cut {
    /// The run.
    pub run: u32,
    /// Bytes of its journal.
    pub journal: u64,
    /// Bytes of its capture.
    pub capture: u64,
    /// Bytes of the ledger's pending file.
    pub ledger: u64,
}

/// Why the store cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The system refused; names the file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The ledger does not hold.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The capture cannot be rendered.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The key file does not hold.
    #[error("operator key: {0}")]
    Key(#[from] KeyError),
}

/// The writing end of an observation's folder. One process at a time.
#[derive(Debug)]
pub struct ObservationStore {}

#[allow(unused_variables, clippy::todo)]
impl ObservationStore {
    /// Opens the observation in `dir`, or makes one with a new key named `name`. What a crash has
    /// torn is cut, reported, and written down as a `RunCut` record.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: another writer, no access, or a folder whose parts were changed.
    pub fn open(dir: &Path, name: &str) -> Result<(Self, OpenReport), StoreError> {
        todo!("evidence")
    }

    /// The observer's name: the key's, as in every checkpoint's origin line.
    pub fn observer(&self) -> &str {
        todo!("evidence")
    }

    /// The number that the next run will have.
    pub fn next_run(&self) -> u32 {
        todo!("evidence")
    }

    /// Keeps bytes under their digest.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn put_blob(&mut self, bytes: &[u8]) -> Result<Sha256Digest, StoreError> {
        todo!("evidence")
    }

    /// Begins a run: blobs, folder, capture header, and the durable `RunStarted` record under a
    /// signed checkpoint. The caller then appends the `Clock` entry of `begin.clock` as the first
    /// journal entry.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn begin_run(&mut self, begin: &RunBegin<'_>) -> Result<u32, StoreError> {
        todo!("evidence")
    }

    /// Appends bytes to the capture (at most `capture::PAYLOAD_BYTES_MAX`).
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn append_packet(
        &mut self,
        at: Moment,
        packet: Packet,
        bytes: &[u8],
    ) -> Result<CaptureOffset, StoreError> {
        todo!("evidence")
    }

    /// Appends an entry to the journal.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn append_entry(&mut self, entry: &Entry) -> Result<(), StoreError> {
        todo!("evidence")
    }

    /// Appends a record to the ledger; returns its index. Acknowledged by the next `commit`.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn append_record(&mut self, record: &Record) -> Result<u64, StoreError> {
        todo!("evidence")
    }

    /// Makes everything appended durable; returns how many records are.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn commit(&mut self) -> Result<u64, StoreError> {
        todo!("evidence")
    }

    /// Commits, and covers it with a `Mark` record and a signed checkpoint. Every few seconds, and
    /// at the end of a run.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn mark(&mut self, at: Moment) -> Result<u64, StoreError> {
        todo!("evidence")
    }

    /// How many bytes the run's capture has.
    pub fn capture_len(&self) -> u64 {
        todo!("evidence")
    }
}
