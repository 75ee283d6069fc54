//! A packet block of ours back to its payload.

use std::net::SocketAddr;

use super::{CaptureError, Direction};
use crate::journal::CaptureOffset;

/// TCP or UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// Bytes of a connection.
    Tcp,
    /// A datagram.
    Udp,
}

/// What a packet block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CapturedPacket<'a> {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Which way it went.
    pub direction: Direction,
    /// Our end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// Nominal time: nanoseconds since 1970.
    pub utc_ns: u64,
    /// The bytes.
    pub payload: &'a [u8],
    /// Length of the whole block in the file.
    pub block_len: usize,
}

/// Greatest length of a packet block.
pub const BLOCK_BYTES_MAX: usize = 64_000 + 256;

/// Reads the packet block at the start of `block`, which is what the capture holds from `offset` on
/// ([`BLOCK_BYTES_MAX`] bytes are always enough).
///
/// # Errors
///
/// [`CaptureError::Truncated`] or [`CaptureError::NotAPacket`]. Headers are read, not judged: the
/// judge is [`super::Renderer::replay`], whose bytes must be the same.
#[allow(unused_variables, clippy::todo)]
pub fn packet_at(block: &[u8], offset: CaptureOffset) -> Result<CapturedPacket<'_>, CaptureError> {
    todo!("evidence")
}
