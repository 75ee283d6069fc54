//! Info-hashes and peer ids.

use std::fmt;

/// The SHA-1 of a torrent's info dictionary as it came (BEP 3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InfoHash(pub [u8; 20]);

impl fmt::Display for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Twenty bytes by which a peer names itself (BEP 3; the `-XX1234-` form is BEP 20).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub [u8; 20]);

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl PeerId {
    /// The client that the id names by BEP 20 (Azureus or Shadow style), for example
    /// `libtorrent 2.1.1`; the escaped prefix where the code is unknown. It is a claim.
    pub fn client(&self) -> String {
        todo!()
    }
}
