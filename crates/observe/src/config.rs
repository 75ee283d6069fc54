//! What the operator decided before the run, and its one encoding.

use std::net::SocketAddr;

/// What the operator decided before the run. Encoded canonically (bencode) into a blob that
/// `RunStarted` commits to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Which run of the ledger, from 1.
    pub run: u32,
    /// Our listening port, announced to trackers and in extension handshakes.
    pub listen_port: u16,
    /// From this the peer ids and every random choice are derived; drawn before the run.
    pub seed: [u8; 32],
    /// Endpoints that the operator names (target index, endpoint).
    pub endpoints: Vec<(u32, SocketAddr)>,
    /// Pieces asked of a willing peer in one visit.
    pub pieces_per_visit: u32,
    /// Whether to fetch the whole content from a willing peer over its visits (grade `Whole`).
    pub whole: bool,
    /// Seconds between the end of a visit and the next one to the same endpoint.
    pub revisit_secs: u32,
    /// Seconds that a visit lasts at most: how long a connection is kept to listen to haves.
    pub visit_secs: u32,
    /// Milliseconds until an unanswered connect counts as timed out.
    pub connect_ms: u32,
    /// Greatest number of connections at once.
    pub conns_max: u32,
    /// Seconds between announces to one tracker, unless it asks for longer.
    pub announce_secs: u32,
}

/// Why bytes are not a configuration of this version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Another format version.
    #[error("configuration has version {got}, this observer reads {expected}")]
    Version {
        /// What it says.
        got: i64,
        /// What we read.
        expected: i64,
    },
}

#[allow(unused_variables, clippy::todo)]
impl Config {
    /// The canonical encoding, the blob that `RunStarted` commits to.
    pub fn encode(&self) -> Vec<u8> {
        todo!("observe")
    }

    /// Reads [`Config::encode`]'s bytes and no others.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] says which field is not as this version writes it.
    pub fn decode(bytes: &[u8]) -> Result<Self, ConfigError> {
        todo!("observe")
    }
}
