//! Connection ids of the UDP tracker (BEP 15, "UDP connections / spoofing").
//!
//! An id is the first 8 bytes of SHA-256 over secret, epoch and address, so the tracker remembers
//! nothing of who asked. The input has a fixed length of one hash block (32 + 4 + 16 bytes), so
//! nothing can be appended to it. Ports are left out: behind a NAT they change in mid-exchange.

use std::net::IpAddr;

use skep_wire::{Moment, tracker::udp::ConnectionId};

/// Length of an epoch. The id of this epoch and of the one before are accepted: for two minutes at
/// least, as the specification asks, and for four at most.
const EPOCH_SECS: u64 = 120;

/// Issues and checks connection ids.
#[derive(Clone)]
pub struct ConnectionIds {
    secret: [u8; 32],
}

impl std::fmt::Debug for ConnectionIds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectionIds").finish_non_exhaustive()
    }
}

impl ConnectionIds {
    /// `secret` must be unknown to clients.
    pub fn new(secret: [u8; 32]) -> Self {
        Self { secret }
    }

    /// The id for a client at `ip`.
    pub fn issue(&self, ip: IpAddr, now: Moment) -> ConnectionId {
        self.id(ip, epoch(now))
    }

    /// Whether `id` was issued to `ip` not long ago.
    pub fn issued(&self, id: ConnectionId, ip: IpAddr, now: Moment) -> bool {
        let epoch = epoch(now);
        // Eight bytes compare in one operation, so time says nothing of how many agree.
        id == self.id(ip, epoch) || id == self.id(ip, epoch.wrapping_sub(1))
    }

    fn id(&self, ip: IpAddr, epoch: u32) -> ConnectionId {
        let mut input = [0; 52];
        input[..32].copy_from_slice(&self.secret);
        input[32..36].copy_from_slice(&epoch.to_be_bytes());
        let ip = match ip {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        input[36..].copy_from_slice(&ip.octets());
        let [a, b, c, d, e, f, g, h, ..] = skep_hash::sha256(&input).0;
        ConnectionId(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }
}

fn epoch(now: Moment) -> u32 {
    // Wraps after 16,000 years; the first epoch is 1, so that there is one before it.
    u32::try_from(now.since(Moment::ZERO).as_secs() / EPOCH_SECS).unwrap_or(u32::MAX - 1) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 9));

    #[test]
    fn id_is_accepted_for_two_minutes_and_no_longer_than_four() {
        let ids = ConnectionIds::new([7; 32]);
        for at in [0, 1, 59, 119, 120, 1_000, 86_399] {
            let id = ids.issue(IP, Moment::from_secs(at));
            for age in [0, 60, 120] {
                assert!(
                    ids.issued(id, IP, Moment::from_secs(at + age)),
                    "{at} + {age}"
                );
            }
            assert!(!ids.issued(id, IP, Moment::from_secs(at + 241)), "{at}");
        }
    }

    #[test]
    fn id_belongs_to_one_address_and_one_secret() {
        let ids = ConnectionIds::new([7; 32]);
        let id = ids.issue(IP, Moment::ZERO);
        assert!(!ids.issued(id, "127.0.0.8".parse().unwrap(), Moment::ZERO));
        assert!(!ids.issued(ConnectionId(id.0 ^ 1), IP, Moment::ZERO));
        assert!(!ConnectionIds::new([8; 32]).issued(id, IP, Moment::ZERO));
    }
}
