//! The tracker: what it knows of swarms, and what it answers.
//!
//! What it is: [`Store`], the swarms with their limits and their expiry, and [`Answerer`], which
//! turns a request of either transport into a reply. What it is not: sockets, connections and their
//! time-outs are the driver's (`skep-net`).

mod answer;
mod connection;
mod keyed;
mod peers;
mod store;
mod swarm;

pub use answer::{Answered, Answerer, Counts, Served, TargetKind};
pub use connection::ConnectionIds;
pub use store::{Store, StoreConfig, StoreError};

/// How many peers one answer names at most, whatever is wished. More than this a client cannot use
/// at once, and 200 endpoints of IPv4 fill a datagram (20 + 6 * 200 = 1,220 bytes).
pub const PEERS_PER_ANSWER_MAX: usize = 200;

/// The same over UDP and IPv6: 20 + 18 * 67 = 1,226 bytes fit the least MTU, 1,280, less 48 bytes of
/// headers.
pub const PEERS_PER_DATAGRAM_V6_MAX: usize = 67;

/// How many peers an answer names where the client does not say.
pub const PEERS_PER_ANSWER_DEFAULT: usize = 50;
