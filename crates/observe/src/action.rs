//! What the machine asks of its driver.

use std::net::SocketAddr;

use skep_evidence::journal::{ConnId, QueryId};

/// What the driver must do. Actions come in order; each has an outcome that comes back as an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Look a name up; answer with `Input::Resolved`.
    Resolve {
        /// The look-up's number.
        query: QueryId,
        /// The name.
        host: String,
    },
    /// Connect; answer with `Input::Opened` or `Input::Failed` within `timeout_ms`.
    Connect {
        /// The connection's number.
        conn: ConnId,
        /// Where to.
        remote: SocketAddr,
        /// When to give up.
        timeout_ms: u32,
    },
    /// Send on a connection; each part that the system takes comes back as `Input::Sent`.
    Send {
        /// The connection.
        conn: ConnId,
        /// What.
        bytes: Vec<u8>,
    },
    /// Close a connection. No entry for it may come after.
    Close {
        /// The connection.
        conn: ConnId,
    },
    /// Send a datagram; answer with `Input::DatagramSent`.
    SendTo {
        /// Where to.
        remote: SocketAddr,
        /// What.
        bytes: Vec<u8>,
    },
    /// The run is over: nothing more will be asked.
    Finished,
}
