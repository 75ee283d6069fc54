//! Who we say we are, and how we know ourselves again.
//!
//! Our peer id for an endpoint is `-SK0001-`, six bytes derived from the run's seed, the info-hash
//! and the endpoint, and six bytes that only the holder of the seed can compute from the first six.
//! So it is fixed before the run whom we meet under which id, and any of our ids, for whatever
//! endpoint, is recognised without a list: an echo, a relay of our handshake to another place, and
//! the observer itself where a tracker lists it.

use std::net::{IpAddr, SocketAddr};

use skep_hash::{Sha256, Sha256Digest};
use skep_proto::rng::Rng;
use skep_wire::{InfoHash, PeerId};

/// The client and version that our peer ids name (BEP 20).
pub const CLIENT_PREFIX: [u8; 8] = *b"-SK0001-";

/// The run's seed, and what is derived from it.
#[derive(Clone)]
pub(crate) struct Identity {
    seed: [u8; 32],
}

impl Identity {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self { seed }
    }

    /// Our peer id towards an endpoint.
    pub(crate) fn peer_id(&self, info_hash: InfoHash, endpoint: SocketAddr) -> PeerId {
        self.sign(self.digest(b"skep peer id", &[&info_hash.0, &endpoint_bytes(endpoint)]))
    }

    /// Our peer id towards a tracker.
    pub(crate) fn tracker_id(&self, info_hash: InfoHash, url: &str) -> PeerId {
        self.sign(self.digest(b"skep tracker", &[&info_hash.0, url.as_bytes()]))
    }

    /// Whether a peer id is one of ours, for whatever endpoint of this run.
    pub(crate) fn is_ours(&self, id: PeerId) -> bool {
        id.0[..8] == CLIENT_PREFIX && self.mac(&id.0[8..14]) == id.0[14..]
    }

    /// The generator that chooses pieces on a visit.
    pub(crate) fn piece_rng(&self, info_hash: InfoHash, endpoint: SocketAddr, visit: u32) -> Rng {
        let parts: [&[u8]; 3] = [
            &info_hash.0,
            &endpoint_bytes(endpoint),
            &visit.to_be_bytes(),
        ];
        Rng::from_bytes(&self.digest(b"skep piece", &parts).0)
    }

    /// The generator of a tracker exchange.
    pub(crate) fn tracker_rng(&self, info_hash: InfoHash, url: &str) -> Rng {
        let parts: [&[u8]; 2] = [&info_hash.0, url.as_bytes()];
        Rng::from_bytes(&self.digest(b"skep announce", &parts).0)
    }

    fn sign(&self, digest: Sha256Digest) -> PeerId {
        let mut id = [0; 20];
        id[..8].copy_from_slice(&CLIENT_PREFIX);
        id[8..14].copy_from_slice(&digest.0[..6]);
        let mac = self.mac(&digest.0[..6]);
        id[14..].copy_from_slice(&mac);
        PeerId(id)
    }

    fn mac(&self, nonce: &[u8]) -> [u8; 6] {
        let digest = self.digest(b"skep own id", &[nonce]);
        let mut mac = [0; 6];
        mac.copy_from_slice(&digest.0[..6]);
        mac
    }

    /// SHA-256 of the purpose, the seed and the parts, each with its length (u32, big-endian) before
    /// it.
    fn digest(&self, purpose: &[u8], parts: &[&[u8]]) -> Sha256Digest {
        let mut hash = Sha256::new();
        for part in [purpose, self.seed.as_slice()].iter().chain(parts) {
            hash.update(&(part.len() as u32).to_be_bytes());
            hash.update(part);
        }
        hash.finish()
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity")
    }
}

/// Address (4 or 16 bytes) and port (big-endian).
fn endpoint_bytes(endpoint: SocketAddr) -> Vec<u8> {
    let mut bytes = match endpoint.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    bytes.extend(endpoint.port().to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: InfoHash = InfoHash([5; 20]);

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn ids_differ_by_endpoint_and_swarm_and_are_known_again() {
        let us = Identity::new([1; 32]);
        let id = us.peer_id(HASH, at(1));
        assert_ne!(id, us.peer_id(HASH, at(2)));
        assert_ne!(id, us.peer_id(InfoHash([6; 20]), at(1)));
        assert_ne!(id, Identity::new([2; 32]).peer_id(HASH, at(1)));
        assert!(us.is_ours(id));
        assert!(us.is_ours(us.tracker_id(HASH, "http://t/a")));
    }

    #[test]
    fn ids_of_others_are_not_ours() {
        let us = Identity::new([1; 32]);
        assert!(!us.is_ours(Identity::new([2; 32]).peer_id(HASH, at(1))));
        for byte in 0..20 {
            let mut id = us.peer_id(HASH, at(1));
            id.0[byte] ^= 1;
            assert!(!us.is_ours(id), "byte {byte}");
        }
    }
}
