//! Records to canonical bencode and back.

use super::Record;

/// Why bytes are no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Too long.
    #[error("record of {got} bytes, at most 65535 are allowed")]
    TooLong {
        /// Its length.
        got: usize,
    },
}

#[allow(unused_variables, clippy::todo)]
impl Record {
    /// The one encoding of this record.
    pub fn encode(&self) -> Vec<u8> {
        todo!("evidence")
    }

    /// Reads a record; refuses every encoding but the canonical one.
    ///
    /// # Errors
    ///
    /// [`RecordError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        todo!("evidence")
    }
}
