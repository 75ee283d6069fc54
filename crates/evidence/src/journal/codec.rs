//! Journal entries to bytes and back.
//!
//! ```text
//! frame   len u32 BE | first 4 bytes of SHA-256(body) | body
//! body    canonical bencode dictionary of at most ENTRY_BYTES_MAX bytes
//! ```

use super::Entry;

/// Why bytes are no journal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// A frame says a length that no entry has.
    #[error("frame at {offset} says {len} bytes")]
    FrameLen {
        /// Where the frame begins.
        offset: u64,
        /// The length that it says.
        len: u32,
    },
}

/// Where a journal stops being one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tail {
    /// It ends with its last frame.
    Clean,
    /// Bytes from `offset` on are no whole frame.
    Torn {
        /// Where.
        offset: u64,
        /// How many bytes there are from there on.
        len: u64,
        /// What is wrong with the first of them.
        why: JournalError,
    },
}

/// The entries of a journal in order, each with the offset of its frame. Ends at the first frame
/// that is not whole; [`Entries::tail`] then says what is there.
#[derive(Debug)]
pub struct Entries<'a> {
    journal: &'a [u8],
}

/// Wraps a body in its frame.
#[allow(unused_variables, clippy::todo)]
pub fn frame(body: &[u8]) -> Vec<u8> {
    todo!("evidence")
}

#[allow(unused_variables, clippy::todo)]
impl Entry {
    /// The one encoding of this entry's body.
    pub fn encode(&self) -> Vec<u8> {
        todo!("evidence")
    }

    /// Reads a body; refuses every encoding but the canonical one. `offset` is for the error.
    ///
    /// # Errors
    ///
    /// [`JournalError`].
    pub fn decode(body: &[u8], offset: u64) -> Result<Self, JournalError> {
        todo!("evidence")
    }
}

#[allow(unused_variables, clippy::todo)]
impl<'a> Entries<'a> {
    /// Starts at the beginning of a journal.
    pub fn new(journal: &'a [u8]) -> Self {
        Self { journal }
    }

    /// What follows the last entry given out.
    pub fn tail(&self) -> Tail {
        todo!("evidence")
    }
}

impl Iterator for Entries<'_> {
    type Item = (u64, Entry);

    #[allow(clippy::todo)]
    fn next(&mut self) -> Option<Self::Item> {
        todo!("evidence {}", self.journal.len())
    }
}
