//! The capture of a run: a pcapng file rebuilt from socket bytes, rendered by a pure function.
//!
//! One packet block holds the bytes of one read or one write: at most [`PAYLOAD_BYTES_MAX`], so that
//! a journal entry points at one block. The file is a function of the section's words, the journal's
//! entries in order and their bytes; a verifier renders it again and compares every byte.
//!
//! What it is not: a record of packets. No packet was seen. Addresses, ports and payload are those
//! of the socket; sequence and acknowledgement numbers are counts of payload bytes, from 1 in each
//! direction; no SYN, FIN or retransmission is invented; the file says all this itself.

mod block;
mod read;
mod render;

use std::net::SocketAddr;

pub use read::{BLOCK_BYTES_MAX, CapturedPacket, Protocol, packet_at};
pub use render::Renderer;

use crate::journal::{CaptureOffset, ConnId};

/// Greatest payload of one packet block, and so of one read or write. With IPv6 and TCP headers it
/// stays below the 65,535 bytes that an IP packet can say.
pub const PAYLOAD_BYTES_MAX: usize = 64_000;

/// How many connections of one run the renderer follows: those that the other end did not end. About
/// 100 bytes each.
pub const CONNS_MAX: usize = 1 << 22;

/// What the section's comment says of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Name of the observer, as in the ledger's origin line.
    pub observer: String,
    /// Number of the run.
    pub run: u32,
    /// Version of skep.
    pub version: String,
}

/// Which way bytes went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// To us.
    In,
    /// From us.
    Out,
}

/// Whose bytes are to be captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet {
    /// Bytes of a TCP connection, which the journal has opened.
    Tcp {
        /// The connection.
        conn: ConnId,
        /// Which way.
        direction: Direction,
    },
    /// A datagram.
    Udp {
        /// Our end.
        local: SocketAddr,
        /// The other end.
        remote: SocketAddr,
        /// Which way.
        direction: Direction,
    },
}

/// Why a capture cannot be rendered or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// More payload than one block holds.
    #[error("payload of {got} bytes, at most {PAYLOAD_BYTES_MAX} fit a block")]
    PayloadTooLong {
        /// Bytes given.
        got: usize,
    },
    /// A packet of a connection that no journal entry has opened, or that has ended.
    #[error("connection {} is not open", .conn.0)]
    ConnNotOpen {
        /// The connection.
        conn: ConnId,
    },
    /// A connection that is opened twice.
    #[error("connection {} is opened twice", .conn.0)]
    ConnOpenedTwice {
        /// The connection.
        conn: ConnId,
    },
    /// Too many connections at once.
    #[error("more than {CONNS_MAX} connections that the other end did not end")]
    TooManyConns,
    /// A packet before the first clock sample.
    #[error("packet before the first clock sample")]
    NoClock,
    /// The two ends are of different address families.
    #[error("ends {local} and {remote} are of different address families")]
    MixedFamilies {
        /// Our end.
        local: SocketAddr,
        /// The other end.
        remote: SocketAddr,
    },
    /// The entry points elsewhere than where its block stands.
    #[error("entry points at offset {}, its block is at {}", .got.0, .expected.0)]
    OtherOffset {
        /// What the entry says.
        got: CaptureOffset,
        /// Where the block is.
        expected: CaptureOffset,
    },
    /// The entry says another length than its bytes have.
    #[error("entry says {expected} bytes, {got} are given")]
    OtherLen {
        /// Bytes given.
        got: usize,
        /// What the entry says.
        expected: u32,
    },
    /// The file ends before or within the block.
    #[error("capture of {len} bytes ends before or within the block at {}", .offset.0)]
    Truncated {
        /// The block.
        offset: CaptureOffset,
        /// Bytes that there are.
        len: u64,
    },
    /// There is no packet block, or not one of ours.
    #[error("no packet block at {}: {what}", .offset.0)]
    NotAPacket {
        /// The block.
        offset: CaptureOffset,
        /// The field that is wrong.
        what: &'static str,
    },
}
