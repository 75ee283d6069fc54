//! Addresses to connect to: who named them, when they may be tried, who is banned, which are ours.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use skep_wire::Moment;

use super::{
    BACKOFF_SECS, BACKOFF_SECS_MAX, BANS_MAX, CANDIDATES_MAX, FAILURES_MAX, OWN_ADDRS_MAX, Source,
};
use crate::rng::Rng;

/// The addresses of one torrent.
#[derive(Debug, Default)]
pub(super) struct Book {
    known: BTreeMap<SocketAddr, Known>,
    /// No address may be tried before; spares the search when nothing is due.
    due_at: Moment,
    own: BTreeSet<SocketAddr>,
    banned: VecDeque<IpAddr>,
}

#[derive(Debug)]
struct Known {
    source: Source,
    name: Name,
    failures: u8,
    next_at: Moment,
    /// A connection or an attempt stands.
    busy: bool,
}

/// By which of a hybrid's two info-hashes an address is dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    /// That of version 1, or the only one.
    First,
    /// That of version 2: who is in that swarm alone may know no other.
    Second,
}

/// How a connection or an attempt ended, for the time of the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It could not be made, or ended before it was of use.
    Failed,
    /// It ended after the peer had been of use.
    Ended,
    /// There is no point in trying soon: it broke the protocol, or neither side wants anything.
    Useless,
}

impl Book {
    pub(super) fn add_own(&mut self, addr: SocketAddr) {
        self.known.remove(&addr);
        if self.own.len() < OWN_ADDRS_MAX {
            self.own.insert(addr);
        }
    }

    /// Remembers an address. At the limit a newcomer displaces the worst entry if that is worse.
    pub(super) fn add(&mut self, addr: SocketAddr, source: Source, name: Name, now: Moment) {
        if !is_dialable(addr) || self.own.contains(&addr) || self.is_banned(addr.ip()) {
            return;
        }
        if let Some(known) = self.known.get_mut(&addr) {
            known.source = known.source.min(source);
            known.name = known.name.min(name);
            return;
        }
        if self.known.len() >= CANDIDATES_MAX {
            let worst = self.known.iter().filter(|(_, known)| !known.busy);
            let Some((&worst, known)) = worst.max_by_key(|(_, k)| (k.failures, k.source)) else {
                return;
            };
            if (known.failures, known.source) <= (0, source) {
                return;
            }
            self.known.remove(&worst);
        }
        self.known.insert(
            addr,
            Known {
                source,
                name,
                failures: 0,
                next_at: now,
                busy: false,
            },
        );
        self.due_at = self.due_at.min(now);
    }

    /// Takes the best address that may be tried now: fewest failures, then best source, then chance.
    pub(super) fn take(&mut self, rng: &mut Rng, now: Moment) -> Option<(SocketAddr, Name)> {
        if now < self.due_at {
            return None;
        }
        let mut best: Option<((u8, Source), (SocketAddr, Name))> = None;
        let mut ties = 0;
        let mut next_due = Moment(u64::MAX);
        for (&addr, known) in self.known.iter().filter(|(_, known)| !known.busy) {
            if known.next_at > now {
                next_due = next_due.min(known.next_at);
                continue;
            }
            let rank = (known.failures, known.source);
            match best {
                Some((least, _)) if rank > least => continue,
                Some((least, _)) if rank == least => ties += 1,
                _ => ties = 1,
            }
            if ties == 1 || rng.below(ties) == 0 {
                best = Some((rank, (addr, known.name)));
            }
        }
        let Some((_, (addr, name))) = best else {
            self.due_at = next_due;
            return None;
        };
        self.set_busy(addr);
        Some((addr, name))
    }

    /// Who was dialled did not answer to this name of the torrent; it may know the other.
    pub(super) fn try_other_name(&mut self, addr: SocketAddr) {
        if let Some(known) = self.known.get_mut(&addr) {
            known.name = match known.name {
                Name::First => Name::Second,
                Name::Second => Name::First,
            };
        }
    }

    /// A connection with `addr` stands that was not taken from here.
    pub(super) fn set_busy(&mut self, addr: SocketAddr) {
        if let Some(known) = self.known.get_mut(&addr) {
            known.busy = true;
        }
    }

    /// A connection or an attempt is over.
    pub(super) fn release(&mut self, addr: SocketAddr, outcome: Outcome, now: Moment) {
        let Some(known) = self.known.get_mut(&addr) else {
            return;
        };
        known.busy = false;
        let secs = match outcome {
            Outcome::Failed => {
                known.failures = known.failures.saturating_add(1);
                let doublings = known.failures.saturating_sub(1).min(10);
                (BACKOFF_SECS << doublings).min(BACKOFF_SECS_MAX)
            }
            Outcome::Ended => {
                known.failures = 0;
                BACKOFF_SECS
            }
            Outcome::Useless => BACKOFF_SECS_MAX,
        };
        known.next_at = now + Duration::from_secs(secs);
        self.due_at = self.due_at.min(known.next_at);
        if known.failures >= FAILURES_MAX && known.source != Source::Operator {
            self.known.remove(&addr);
        }
    }

    pub(super) fn ban(&mut self, ip: IpAddr) {
        if self.is_banned(ip) {
            return;
        }
        if self.banned.len() == BANS_MAX {
            self.banned.pop_front();
        }
        self.banned.push_back(ip);
        self.known.retain(|addr, _| addr.ip() != ip);
    }

    pub(super) fn is_banned(&self, ip: IpAddr) -> bool {
        self.banned.contains(&ip)
    }

    pub(super) fn known_count(&self) -> usize {
        self.known.len()
    }

    pub(super) fn own_count(&self) -> usize {
        self.own.len()
    }

    pub(super) fn banned_count(&self) -> usize {
        self.banned.len()
    }
}

/// Whether a TCP connection to the address can mean anything.
fn is_dialable(addr: SocketAddr) -> bool {
    let ip_ok = match addr.ip() {
        IpAddr::V4(ip) => !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast(),
        IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast(),
    };
    ip_ok && addr.port() != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(n: u16) -> SocketAddr {
        SocketAddr::from(([127, 1, (n >> 8) as u8, n as u8], 1000))
    }

    fn taken(book: &mut Book, secs: u64) -> Option<SocketAddr> {
        let taken = book.take(&mut Rng::new(1), Moment::from_secs(secs));
        taken.map(|(addr, _)| addr)
    }

    #[test]
    fn an_address_that_fails_waits_twice_as_long_each_time_and_is_forgotten() {
        let mut book = Book::default();
        book.add(addr(1), Source::Pex, Name::First, Moment::ZERO);
        let mut at = 0;
        for wait in [15, 30, 60, 120, 240] {
            assert_eq!(taken(&mut book, at), Some(addr(1)));
            assert_eq!(taken(&mut book, at), None, "it is being tried");
            book.release(addr(1), Outcome::Failed, Moment::from_secs(at));
            assert_eq!(taken(&mut book, at + wait - 1), None, "after {wait}");
            at += wait;
        }
        assert_eq!(taken(&mut book, at), Some(addr(1)));
        book.release(addr(1), Outcome::Failed, Moment::from_secs(at));
        assert_eq!(book.known_count(), 0);
    }

    #[test]
    fn an_address_that_the_user_named_is_never_forgotten() {
        let mut book = Book::default();
        book.add(addr(1), Source::Operator, Name::First, Moment::ZERO);
        for n in 1..=300 {
            let at = n * BACKOFF_SECS_MAX;
            assert_eq!(taken(&mut book, at), Some(addr(1)), "attempt {n}");
            book.release(addr(1), Outcome::Failed, Moment::from_secs(at));
        }
    }

    #[test]
    fn addresses_that_mean_nothing_ours_and_banned_ones_are_not_remembered() {
        let mut book = Book::default();
        book.add_own(addr(1));
        book.ban(addr(2).ip());
        let odd = [
            "0.0.0.0:1",
            "224.0.0.1:1",
            "255.255.255.255:1",
            "127.0.0.1:0",
            "[::]:1",
            "[ff02::1]:1",
        ];
        for addr in odd
            .map(|text| text.parse().expect("an address"))
            .into_iter()
            .chain([addr(1), addr(2)])
        {
            book.add(addr, Source::Operator, Name::First, Moment::ZERO);
            assert_eq!(book.known_count(), 0, "{addr}");
        }
    }

    /// A flood of peer exchange must not push out what the tracker or the operator named.
    #[test]
    fn the_book_is_bounded_and_a_better_source_displaces_a_worse() {
        let mut book = Book::default();
        for n in 0..CANDIDATES_MAX as u16 + 100 {
            book.add(addr(n), Source::Pex, Name::First, Moment::ZERO);
        }
        assert_eq!(book.known_count(), CANDIDATES_MAX);
        let better: SocketAddr = "127.9.9.9:9".parse().expect("an address");
        book.add(better, Source::Tracker, Name::First, Moment::ZERO);
        assert_eq!(book.known_count(), CANDIDATES_MAX);
        assert_eq!(taken(&mut book, 0), Some(better));
    }

    #[test]
    fn bans_and_own_addresses_are_bounded() {
        let mut book = Book::default();
        for n in 0..BANS_MAX as u16 + 10 {
            book.ban(addr(n).ip());
            book.add_own(addr(n));
        }
        assert_eq!(book.banned_count(), BANS_MAX);
        assert!(!book.is_banned(addr(0).ip()) && book.is_banned(addr(BANS_MAX as u16).ip()));
        assert_eq!(book.own.len(), OWN_ADDRS_MAX);
    }
}
