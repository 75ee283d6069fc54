//! Extension messages (BEP 10): the handshake dictionary and `ut_pex` (BEP 11).

use std::net::SocketAddr;

/// The extension handshake (BEP 10), as far as skep reads it. Everything in it is a claim.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExtHandshake {
    /// `m`: extension name to the id under which the sender wants to receive it (0: disabled).
    pub ids: Vec<(Vec<u8>, u8)>,
    /// `v`: client name and version.
    pub client: Option<Vec<u8>>,
    /// `p`: the sender's listening port.
    pub listen_port: Option<u16>,
    /// `reqq`: how many outstanding requests the sender accepts.
    pub requests_max: Option<u32>,
    /// `upload_only` (BEP 21).
    pub upload_only: Option<bool>,
    /// `metadata_size` (BEP 9).
    pub metadata_size: Option<u32>,
    /// `yourip`: the address that the sender sees us under, 4 or 16 bytes.
    pub your_ip: Option<std::net::IpAddr>,
}

/// One peer in a `ut_pex` message, with its flags (BEP 11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PexPeer {
    /// The address that the sender says it is or was connected to.
    pub addr: SocketAddr,
    /// Flags: 0x01 prefers encryption, 0x02 seed, 0x04 uTP, 0x08 holepunch, 0x10 reachable.
    pub flags: u8,
}

/// A `ut_pex` message (BEP 11).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pex {
    /// Peers that the sender says it connected to.
    pub added: Vec<PexPeer>,
    /// Peers that the sender says it lost.
    pub dropped: Vec<SocketAddr>,
}
