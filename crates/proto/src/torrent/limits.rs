//! The limits and intervals of a torrent machine.

/// Greatest number of connections of one torrent, whatever the configuration says.
pub const PEERS_MAX: usize = 1000;

/// Greatest number of connection attempts under way at once.
pub const CONNECTING_MAX: usize = 20;

/// Greatest number of connections with one IP address. Peers behind one address translator share it,
/// and so does a test on one machine.
pub const PEERS_PER_IP_MAX: usize = 32;
