//! One peer connection, seen from our end (BEP 3, 6, 10, 11, 21, 52, 54).
//!
//! What it is: framing, the states of choke and interest in both directions, what the peer said it
//! has, which of our requests are outstanding, and every way in which a peer can break the
//! protocol. What it is not: it picks no piece, chokes nobody by itself, and holds no payload. It
//! reads peer exchange and has no code to send any.
//!
//! ```text
//! AwaitHandshake --handshake--> Open --violation / our close / end of stream / idle--> Closed
//! ```
//!
//! The same machine serves the engine, the observer, the simulator and the verifier.
//!
//! [`PeerConn::handle_bytes`] takes at most one message a call, so the events that are polled after
//! it all come from the bytes that it consumed; [`crate::drain`] is the loop around it.

pub(crate) mod bucket;
mod conn;
mod hashes;
mod holdings;
mod limits;
mod open;
mod types;
mod violation;

pub use conn::PeerConn;
pub use holdings::Holding;
pub use limits::*;
pub use types::{Event, InfoHashes, PeerConfig, SetKind, Transmit, Want, Why};
pub use violation::Violation;
