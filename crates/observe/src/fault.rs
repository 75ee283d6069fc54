//! Entries that cannot be.

use std::net::{IpAddr, SocketAddr};

use skep_evidence::journal::{ConnId, QueryId};
use skep_wire::Moment;

/// A journal entry that no driver of this machine can make after the ones before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The first entry is not a clock sample.
    #[error("the first entry is no clock sample")]
    NoClock,
    /// Time goes backwards.
    #[error("entry at {at:?} comes after one at {last:?}")]
    Backwards {
        /// This entry's moment.
        at: Moment,
        /// The moment of the one before.
        last: Moment,
    },
    /// An entry names a connection that is not in the state for it.
    #[error("entry {input} for connection {} which is not open for it", conn.0)]
    Conn {
        /// The connection.
        conn: ConnId,
        /// The kind of the entry.
        input: &'static str,
    },
    /// Our end of a connection or datagram is not where the plan says that we send from or listen.
    #[error(
        "our end is {local}, the plan says {bind}{}",
        port.map(|port| format!(" port {port}")).unwrap_or_default()
    )]
    NotOurEnd {
        /// Our end, as the entry has it.
        local: SocketAddr,
        /// The planned address; unspecified where the system chooses.
        bind: IpAddr,
        /// The planned listening port, for a connection that came in.
        port: Option<u16>,
    },
    /// The clock was to be sampled before this entry.
    #[error("entry at {at:?} comes before the clock sample that was due at {due:?}")]
    NoClockSample {
        /// This entry's moment.
        at: Moment,
        /// When the sample was due.
        due: Moment,
    },
    /// A connect was to have its outcome before this entry.
    #[error(
        "entry at {at:?} comes before the outcome of connection {} to {remote} that was due at {due:?}",
        conn.0
    )]
    NoOutcome {
        /// The connection.
        conn: ConnId,
        /// To where.
        remote: SocketAddr,
        /// When it was due.
        due: Moment,
        /// This entry's moment.
        at: Moment,
    },
    /// A connect is said to have timed out sooner than planned.
    #[error("connection {} is said at {at:?} to have timed out, which it could not before {due:?}", conn.0)]
    TimedOutEarly {
        /// The connection.
        conn: ConnId,
        /// This entry's moment.
        at: Moment,
        /// When its time is over.
        due: Moment,
    },
    /// An answer to a look-up that is not outstanding.
    #[error("answer to look-up {} which is not outstanding", query.0)]
    Query {
        /// The look-up.
        query: QueryId,
    },
    /// An entry points at another number of bytes than it says.
    #[error("entry says {said} bytes, the capture holds {got}")]
    Len {
        /// What the entry says.
        said: u32,
        /// How many bytes came with it.
        got: usize,
    },
    /// An entry has more bytes than any driver reads or sends at once.
    #[error("entry of {said} bytes exceeds the limit of {limit}")]
    TooLong {
        /// What the entry says.
        said: u32,
        /// The limit.
        limit: u32,
    },
    /// Bytes are said to have been sent that the machine did not queue.
    #[error("bytes sent on connection {} are not those that were queued", conn.0)]
    NotQueued {
        /// The connection.
        conn: ConnId,
    },
    /// A datagram is said to have been sent that the machine did not queue.
    #[error("a datagram was sent that is not the oldest that was queued")]
    DatagramNotQueued,
    /// An entry after the run's end.
    #[error("entry after the end of the run")]
    AfterEnd,
}
