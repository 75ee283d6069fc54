//! The ledger: an append-only log of records in the C2SP formats, as a machine that says what to
//! write and when to sync.
//!
//! ```text
//! ledger/checkpoint                 tlog-checkpoint, a signed note (Ed25519)
//! ledger/tile/<L>/<N>[.p/<W>]       tlog-tiles: hashes, 256 a tile
//! ledger/tile/entries/<N>[.p/<W>]   tlog-tiles: records, 256 a bundle
//! ledger/pending/<first>            frames of the records from index <first> (a multiple of 256) on
//! ```
//!
//! [`Ledger::append`] gives a record its index, [`Ledger::commit`] the operations that make
//! everything appended durable. Only when all of them are done are the records acknowledged. A commit
//! appends to the pending file and syncs it; a checkpoint moves full bundles out of it, in an order
//! in which any prefix of the work, with any part of what was not yet synced lost, still opens with
//! every acknowledged record.

mod layout;
mod note;
mod reader;

pub use note::{KeyError, SigningKey, VerifierKey};
pub use reader::{LedgerError, LedgerReader};

use crate::file::{FileOp, Files};

/// What to do, and what is acknowledged when it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// In this order.
    pub ops: Vec<FileOp>,
    /// Records below this index are durable when all are done.
    pub size: u64,
}

/// A ledger that was opened again.
#[derive(Debug)]
pub struct Recovered {
    /// The ledger; it holds every acknowledged record.
    pub ledger: Ledger,
    /// What to do before anything is appended.
    pub ops: Vec<FileOp>,
    /// Bytes cut from the end of the pending file: a torn write that was never acknowledged.
    pub cut: u64,
}

/// The writing end of a ledger.
#[derive(Debug)]
pub struct Ledger {}

#[allow(unused_variables, clippy::todo)]
impl Ledger {
    /// An empty ledger whose checkpoints are signed by `key`, and how to lay it out.
    pub fn create(key: SigningKey) -> (Self, Commit) {
        todo!("evidence")
    }

    /// Opens a ledger for appending.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] naming the part that was changed, lost or cannot be read.
    pub fn recover(files: &dyn Files, key: SigningKey) -> Result<Recovered, LedgerError> {
        todo!("evidence")
    }

    /// How many records there are, acknowledged or not.
    pub fn size(&self) -> u64 {
        todo!("evidence")
    }

    /// Appends an encoded record; returns its index.
    ///
    /// # Errors
    ///
    /// [`LedgerError::RecordTooLong`].
    pub fn append(&mut self, record: &[u8]) -> Result<u64, LedgerError> {
        todo!("evidence")
    }

    /// What makes everything appended durable.
    pub fn commit(&mut self) -> Commit {
        todo!("evidence")
    }

    /// The same, and a signed checkpoint over all of it.
    pub fn checkpoint(&mut self) -> Commit {
        todo!("evidence")
    }
}
