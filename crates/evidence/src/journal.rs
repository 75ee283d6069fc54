//! The journal: every call into the observer machine, in order, with its moment.
//!
//! Replaying the entries, with their bytes from the capture, through the same machine *is* the
//! proof. Bytes are not in the journal: an entry points at the packet block of the capture that
//! holds them.

mod codec;

use std::net::SocketAddr;

use skep_wire::Moment;

pub(crate) use codec::unframe;
pub use codec::{ENTRY_BYTES_MAX, Entries, FRAME_HEADER_LEN, JournalError, Tail, frame};

use crate::clock::ClockSample;

/// The number of a TCP connection in a run. The machine numbers those that it opens with even
/// numbers from 0, the driver those that come in with odd numbers from 1; both ascend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u32);

/// The number of a name look-up in a run, given by the machine, ascending from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryId(pub u32);

/// Where captured bytes are: the file offset of the packet block in the run's capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CaptureOffset(pub u64);

/// One call into the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When, in the run's monotonic time. Entries never go backwards.
    pub at: Moment,
    /// What.
    pub input: Input,
}

/// What the machine was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The clock was sampled. The first entry of every run is one.
    Clock(ClockSample),
    /// Time has come.
    Timeout,
    /// A name was looked up; at most [`ADDRS_PER_NAME_MAX`] addresses, empty if there is none.
    Resolved {
        /// Which look-up.
        query: QueryId,
        /// What the resolver said, in its order.
        addrs: Vec<std::net::IpAddr>,
    },
    /// A connection that the machine asked for stands.
    Opened {
        /// Which.
        conn: ConnId,
        /// Our end.
        local: SocketAddr,
        /// The other end: what the machine asked for. It stands here too, so that the capture can
        /// be rendered from the journal without the machine; the verifier compares the two.
        remote: SocketAddr,
    },
    /// A connection that the machine asked for could not be made.
    Failed {
        /// Which.
        conn: ConnId,
        /// Why, as the system said.
        reason: ConnectFailure,
    },
    /// A connection came in.
    Incoming {
        /// The driver's number for it.
        conn: ConnId,
        /// Our end.
        local: SocketAddr,
        /// The other end.
        remote: SocketAddr,
    },
    /// Bytes came.
    Received {
        /// On which connection.
        conn: ConnId,
        /// Where they are captured.
        capture: CaptureOffset,
        /// How many.
        len: u32,
    },
    /// The system took bytes of ours, the next `len` of what the machine queued on `conn`.
    Sent {
        /// On which connection.
        conn: ConnId,
        /// Where they are captured.
        capture: CaptureOffset,
        /// How many.
        len: u32,
    },
    /// The other end closed, or the system reports an error.
    Ended {
        /// Which connection.
        conn: ConnId,
        /// How.
        how: EndKind,
    },
    /// A datagram came to the run's UDP socket.
    Datagram {
        /// Our end.
        local: SocketAddr,
        /// From where.
        remote: SocketAddr,
        /// Where it is captured.
        capture: CaptureOffset,
        /// How long it is.
        len: u32,
    },
    /// A datagram of ours went out: the oldest that the machine queued.
    DatagramSent {
        /// Our end.
        local: SocketAddr,
        /// To where.
        remote: SocketAddr,
        /// Where it is captured.
        capture: CaptureOffset,
        /// How long it is.
        len: u32,
    },
    /// The operator, or the end of the planned time, asks the run to end.
    Stop,
}

/// Why a connection could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConnectFailure {
    /// The other end answered that nothing listens there.
    Refused,
    /// No answer in the planned time. Never said sooner: a system that gives up by itself is
    /// [`ConnectFailure::Local`].
    TimedOut,
    /// Network or host unreachable, as the system says.
    Unreachable,
    /// We could not: a local error, by its number (`errno`).
    Local(i32),
}

/// How a connection ended that we did not close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndKind {
    /// End of stream.
    Closed,
    /// Reset by the other end.
    Reset,
    /// Another error, by its number (`errno`).
    Error(i32),
}

/// How many addresses of one name are kept.
pub const ADDRS_PER_NAME_MAX: usize = 16;
