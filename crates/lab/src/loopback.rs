//! Addresses for the actors of one scenario: every actor has its own, all in 127.0.0.0/8.
//!
//! Linux lets any process bind any address of 127.0.0.0/8. Each scenario takes a /24 of its own,
//! chosen from the process id and a counter, so that scenarios that run side by side do not meet.
//! Ports are chosen by the system.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::atomic::{AtomicU32, Ordering},
};

/// A /24 of loopback addresses.
#[derive(Debug)]
pub struct Subnet {
    second: u8,
    third: u8,
    taken: u8,
}

/// How many addresses a scenario may take.
pub const ADDRS_MAX: u8 = 254;

static COUNT: AtomicU32 = AtomicU32::new(0);

impl Subnet {
    /// Takes the next subnet of this process.
    pub fn take() -> Self {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        // 64 subnets a process before it meets its neighbour's; 127.0.x.y and 127.255.x.y stay free.
        let index = std::process::id().wrapping_mul(64).wrapping_add(count) % (254 * 254);
        let byte = |value: u32| u8::try_from(value + 1).expect("254 values from 1 fit in a byte");
        Self {
            second: byte(index / 254),
            third: byte(index % 254),
            taken: 0,
        }
    }

    /// The next address.
    ///
    /// # Panics
    ///
    /// After [`ADDRS_MAX`] addresses: a scenario is written by us.
    pub fn next_ip(&mut self) -> IpAddr {
        assert!(
            self.taken < ADDRS_MAX,
            "a scenario has at most {ADDRS_MAX} addresses"
        );
        self.taken += 1;
        IpAddr::V4(Ipv4Addr::new(127, self.second, self.third, self.taken))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_of_one_process_share_no_address() {
        let (mut a, mut b) = (Subnet::take(), Subnet::take());
        let (first, second, other) = (a.next_ip(), a.next_ip(), b.next_ip());
        assert!(first.is_loopback() && second.is_loopback() && other.is_loopback());
        assert!(first != second && first != other && second != other);
        assert!(std::net::TcpListener::bind((first, 0)).is_ok());
    }
}
