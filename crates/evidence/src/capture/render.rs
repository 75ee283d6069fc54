//! Journal entries and bytes to pcapng.

use skep_wire::Moment;

use super::{CaptureError, Packet, Section};
use crate::journal::{CaptureOffset, Entry};

/// Renders the capture of a run, block by block.
#[derive(Debug, Clone)]
pub struct Renderer {}

#[allow(unused_variables, clippy::todo)]
impl Renderer {
    /// Starts a capture; returns its first bytes: section header and interface description.
    pub fn new(section: &Section) -> (Self, Vec<u8>) {
        todo!("evidence")
    }

    /// Where the next block goes: how long the capture is.
    pub fn len(&self) -> u64 {
        todo!("evidence")
    }

    /// Renders the block of bytes that came or went at `at`; the entry that points at it follows.
    ///
    /// # Errors
    ///
    /// [`CaptureError`]; nothing has changed then.
    pub fn packet(
        &mut self,
        at: Moment,
        packet: Packet,
        bytes: &[u8],
    ) -> Result<(CaptureOffset, Vec<u8>), CaptureError> {
        todo!("evidence")
    }

    /// Learns from an entry without bytes: clock, connections. Entries with bytes change nothing.
    ///
    /// # Errors
    ///
    /// [`CaptureError`]; nothing has changed then.
    pub fn learn(&mut self, entry: &Entry) -> Result<(), CaptureError> {
        todo!("evidence")
    }

    /// Both at once, for a replay: learns from `entry`, renders the block of its `bytes`, if it has
    /// any, and compares its offset and length. Returns the block's bytes, empty for an entry
    /// without bytes.
    ///
    /// # Errors
    ///
    /// [`CaptureError`].
    pub fn replay(&mut self, entry: &Entry, bytes: &[u8]) -> Result<Vec<u8>, CaptureError> {
        todo!("evidence")
    }
}
