//! How much strangers may make us keep: what they send unasked, over all connections of an address and
//! over the run, and how often their connections may end by a fault of theirs.
//!
//! Every byte that comes is captured, so a stranger who sends what nobody asked for fills our disk.
//! A limit per connection does not help against one who connects again. Each [`Account`] here is
//! filled by what comes and drained by time, and what is drained is decided by the entries alone, so
//! that a replay decides the same.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
};

use skep_wire::Moment;

/// How many bytes beside the blocks that we asked for may come from one address at once, over all of
/// its connections: a set and 100,000 haves from each of 50 peers behind it, with room to spare.
pub const UNASKED_PER_ADDR_MAX: u64 = 64 * 1024 * 1024;

/// How many of them a second may come for ever: the sets of 50 peers behind one address, of 256 KiB
/// each, every two minutes.
pub const UNASKED_PER_ADDR_PER_SEC: u64 = 128 * 1024;

/// How many bytes beside the blocks that we asked for may come at once from everybody.
pub const UNASKED_PER_RUN_MAX: u64 = 256 * 1024 * 1024;

/// How many of them a second may come for ever: 200 sets of 12,500 bytes every two seconds.
pub const UNASKED_PER_RUN_PER_SEC: u64 = 2 * 1024 * 1024;

/// How many connections of one address may end at once by a violation or a limit of the connection
/// before we take no more from it: 50 peers of one address may each err once.
pub const FAULTS_PER_ADDR_MAX: u64 = 50;

/// The least time, in seconds, between two connections that we take from an address which has used up
/// [`FAULTS_PER_ADDR_MAX`], if each ends by a fault.
pub const FAULT_PAUSE_SECS: u64 = 10;

/// Of how many addresses the accounts are kept. One more is held to the limits of the run alone.
pub const ADDRS_ACCOUNTED_MAX: usize = 10_000;

const NANOS_PER_SEC: u64 = 1_000_000_000;
const ADDR_NANOS_PER_BYTE: u64 = NANOS_PER_SEC / UNASKED_PER_ADDR_PER_SEC;
const RUN_NANOS_PER_BYTE: u64 = NANOS_PER_SEC / UNASKED_PER_RUN_PER_SEC;
const NANOS_PER_FAULT: u64 = FAULT_PAUSE_SECS * NANOS_PER_SEC;

/// A limit that was exceeded: its name and its value.
pub(crate) type Exceeded = (&'static str, u64);

/// What has come lately.
#[derive(Default)]
pub(crate) struct Allowance {
    run: Account,
    addrs: BTreeMap<IpAddr, Addr>,
    /// When accounts that are empty were last looked for.
    swept_at: Option<Moment>,
}

#[derive(Default)]
struct Addr {
    unasked: Account,
    faults: Account,
}

/// An amount that time takes away, one for every so many nanoseconds.
#[derive(Default)]
struct Account {
    used: u64,
    at: Moment,
}

impl Account {
    /// What is left of it.
    fn used(&self, nanos_per_one: u64, now: Moment) -> u64 {
        self.used
            .saturating_sub(now.0.saturating_sub(self.at.0) / nanos_per_one)
    }

    /// Adds `count`; returns what there is then.
    fn add(&mut self, count: u64, nanos_per_one: u64, now: Moment) -> u64 {
        let gone = now.0.saturating_sub(self.at.0) / nanos_per_one;
        if gone >= self.used {
            (self.used, self.at) = (0, now);
        } else {
            self.used -= gone;
            // Only by what was taken away: parts of one are not lost.
            self.at.0 += gone * nanos_per_one;
        }
        self.used = self.used.saturating_add(count);
        self.used
    }
}

impl Addr {
    fn is_empty(&self, now: Moment) -> bool {
        self.unasked.used(ADDR_NANOS_PER_BYTE, now) == 0
            && self.faults.used(NANOS_PER_FAULT, now) == 0
    }
}

impl Allowance {
    /// Notes that `count` bytes came from `ip` that nobody asked for; returns the limit that they
    /// exceed, the address's before the run's.
    pub(crate) fn unasked(&mut self, ip: IpAddr, count: u64, now: Moment) -> Option<Exceeded> {
        if count == 0 {
            return None;
        }
        let run = self.run.add(count, RUN_NANOS_PER_BYTE, now);
        let addr = self
            .addr(ip, now)
            .map_or(0, |addr| addr.unasked.add(count, ADDR_NANOS_PER_BYTE, now));
        exceeded(addr, run)
    }

    /// Notes that a connection that came from `ip` ended by a fault of the other end.
    pub(crate) fn fault(&mut self, ip: IpAddr, now: Moment) {
        if let Some(addr) = self.addr(ip, now) {
            addr.faults.add(1, NANOS_PER_FAULT, now);
        }
    }

    /// Which limit forbids to take another connection from `ip` now.
    pub(crate) fn forbids(&self, ip: IpAddr, now: Moment) -> Option<Exceeded> {
        let faults = self
            .addrs
            .get(&accounted(ip))
            .map_or(0, |addr| addr.faults.used(NANOS_PER_FAULT, now));
        let of_faults =
            (faults >= FAULTS_PER_ADDR_MAX).then_some(("FAULTS_PER_ADDR_MAX", FAULTS_PER_ADDR_MAX));
        self.forbids_visit(ip, now).or(of_faults)
    }

    /// Which limit forbids to connect to `ip` now. When we come is our own plan, so faults do not count:
    /// whoever errs behind an address would keep us from those that do not.
    pub(crate) fn forbids_visit(&self, ip: IpAddr, now: Moment) -> Option<Exceeded> {
        let of_addr = self
            .addrs
            .get(&accounted(ip))
            .map_or(0, |addr| addr.unasked.used(ADDR_NANOS_PER_BYTE, now));
        let of_run = self.run.used(RUN_NANOS_PER_BYTE, now);
        exceeded(of_addr, of_run)
    }

    /// The accounts of `ip`, if there is room for them.
    fn addr(&mut self, ip: IpAddr, now: Moment) -> Option<&mut Addr> {
        let ip = accounted(ip);
        if self.addrs.len() >= ADDRS_ACCOUNTED_MAX && !self.addrs.contains_key(&ip) {
            // Looking through all of them is not done for every read.
            let pause = |at: Moment| now.0.saturating_sub(at.0) >= NANOS_PER_SEC;
            if self.swept_at.is_none_or(pause) {
                self.swept_at = Some(now);
                self.addrs.retain(|_, addr| !addr.is_empty(now));
            }
            if self.addrs.len() >= ADDRS_ACCOUNTED_MAX {
                return None;
            }
        }
        Some(self.addrs.entry(ip).or_default())
    }
}

fn exceeded(of_addr: u64, of_run: u64) -> Option<Exceeded> {
    if of_addr > UNASKED_PER_ADDR_MAX {
        Some(("UNASKED_PER_ADDR_MAX", UNASKED_PER_ADDR_MAX))
    } else if of_run > UNASKED_PER_RUN_MAX {
        Some(("UNASKED_PER_RUN_MAX", UNASKED_PER_RUN_MAX))
    } else {
        None
    }
}

/// Whose account an address is on: a network gives one host 2^64 addresses of IPv6.
fn accounted(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests;
