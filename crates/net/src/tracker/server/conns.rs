//! The HTTP connections that are served, and which one makes way when there are too many.
//!
//! A stranger who opens connections and says nothing, or a byte a second, must not keep others
//! out: whoever comes is let in, and the connection that was answered longest ago goes. Where one
//! address holds more than its share it makes way for itself, so that a flood from one place
//! displaces nobody else. What was rejected: telling newcomers to come back later, as 4,096 silent
//! connections then shut the tracker for everybody; and a fixed number an address, as a reverse
//! proxy and the users behind one NAT are many at one address.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tokio::sync::Notify;

/// An address that holds one in so many of all places makes way for itself.
const SHARE_OF_ADDRESS: usize = 8;

/// The connections of a server.
#[derive(Debug, Clone)]
pub(super) struct Conns(Arc<Mutex<Table>>);

#[derive(Debug)]
struct Table {
    count_max: usize,
    /// The next number: the lower a connection's is, the longer ago it came or was answered.
    next: u64,
    conns: BTreeMap<u64, (IpAddr, Arc<Notify>)>,
    by_addr: BTreeMap<IpAddr, BTreeSet<u64>>,
}

/// A connection's place among the others; it is free again once this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    conns: Conns,
    number: AtomicU64,
    displaced: Arc<Notify>,
}

impl Conns {
    pub(super) fn new(count_max: usize) -> Self {
        Self(Arc::new(Mutex::new(Table {
            count_max: count_max.max(1),
            next: 0,
            conns: BTreeMap::new(),
            by_addr: BTreeMap::new(),
        })))
    }

    /// Lets a connection from `ip` in, whoever must go for it.
    pub(super) fn enter(&self, ip: IpAddr) -> Place {
        let ip = network(ip);
        let displaced = Arc::new(Notify::new());
        let mut table = self.lock();
        while table.conns.len() >= table.count_max {
            table.displace(ip);
        }
        let number = table.insert(ip, Arc::clone(&displaced));
        Place {
            conns: self.clone(),
            number: AtomicU64::new(number),
            displaced,
        }
    }

    /// The system gives no more descriptors: there were places for fewer than was said.
    pub(super) fn shrink(&self) {
        let mut table = self.lock();
        // A few fewer than there are, so that something else may open a file, too.
        table.count_max = (table.conns.len() * 15 / 16).max(1);
        while table.conns.len() > table.count_max {
            table.displace(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // No code of this file panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn insert(&mut self, ip: IpAddr, displaced: Arc<Notify>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.conns.insert(number, (ip, displaced));
        self.by_addr.entry(ip).or_default().insert(number);
        number
    }

    fn remove(&mut self, number: u64) -> Option<(IpAddr, Arc<Notify>)> {
        let (ip, displaced) = self.conns.remove(&number)?;
        if let Some(numbers) = self.by_addr.get_mut(&ip) {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.by_addr.remove(&ip);
            }
        }
        Some((ip, displaced))
    }

    /// Makes one connection go, for one from `ip`.
    fn displace(&mut self, ip: IpAddr) {
        let share = self.count_max.div_ceil(SHARE_OF_ADDRESS);
        let own = self.by_addr.get(&ip).filter(|own| own.len() >= share);
        let oldest = || self.conns.keys().next().copied();
        let goes = own.and_then(|own| own.first().copied()).or_else(oldest);
        if let Some((_, displaced)) = goes.and_then(|number| self.remove(number)) {
            displaced.notify_one();
        }
    }
}

impl Place {
    /// An answer was given: this connection is now the last to go.
    pub(super) fn answered(&self) {
        // The lock orders what happens to the number.
        let mut table = self.conns.lock();
        if let Some((ip, displaced)) = table.remove(self.number.load(Relaxed)) {
            self.number.store(table.insert(ip, displaced), Relaxed);
        }
    }

    /// Returns once the connection must make way.
    pub(super) async fn displaced(&self) {
        self.displaced.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.conns.lock().remove(self.number.load(Relaxed));
    }
}

/// What one stranger can have at will: an address of IPv4, a network of 64 bits of IPv6.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([127, 0, 0, last])
    }

    async fn is_displaced(place: &Place) -> bool {
        let now = std::time::Duration::ZERO;
        tokio::time::timeout(now, place.displaced()).await.is_ok()
    }

    #[tokio::test]
    async fn who_was_answered_longest_ago_makes_way() {
        let conns = Conns::new(3);
        let places: Vec<Place> = (1..=3).map(|n| conns.enter(ip(n))).collect();
        places[0].answered();
        let fourth = conns.enter(ip(4));
        let mut gone = Vec::new();
        for place in &places {
            gone.push(is_displaced(place).await);
        }
        assert_eq!(gone, [false, true, false]);
        assert!(!is_displaced(&fourth).await);
        assert_eq!(conns.lock().conns.len(), 3);
    }

    /// One address takes all that is free, and then displaces itself only.
    #[tokio::test]
    async fn flood_from_one_address_displaces_nobody_else() {
        let conns = Conns::new(80);
        let others: Vec<Place> = (1..=5).map(|n| conns.enter(ip(n))).collect();
        let flood: Vec<Place> = (0..1_000).map(|_| conns.enter(ip(99))).collect();
        for place in &others {
            assert!(!is_displaced(place).await);
        }
        let mut left = 0;
        for place in &flood {
            left += usize::from(!is_displaced(place).await);
        }
        assert_eq!(left, 75);
        // A newcomer from elsewhere has the place of the oldest, whoever that is.
        let newcomer = conns.enter(ip(6));
        assert!(is_displaced(&others[0]).await);
        assert!(!is_displaced(&newcomer).await);
    }

    /// Addresses of one /64 are one stranger's.
    #[tokio::test]
    async fn flood_from_one_network_of_ipv6_displaces_nobody_else() {
        let conns = Conns::new(16);
        let other = conns.enter("2001:db8:0:1::1".parse().unwrap());
        let flood: Vec<Place> = (0..100_u128)
            .map(|n| conns.enter(Ipv6Addr::from_bits(0x2001_0db8 << 96 | n).into()))
            .collect();
        assert!(!is_displaced(&other).await);
        assert_eq!(conns.lock().conns.len(), 16);
        drop((flood, other));
        assert_eq!(conns.lock().conns.len(), 0);
        assert_eq!(conns.lock().by_addr.len(), 0);
    }

    #[tokio::test]
    async fn fewer_descriptors_mean_fewer_places() {
        let conns = Conns::new(1_000);
        let places: Vec<Place> = (0..32).map(|_| conns.enter(ip(1))).collect();
        conns.shrink();
        assert!(is_displaced(&places[0]).await && is_displaced(&places[1]).await);
        assert!(!is_displaced(&places[2]).await);
        let _more: Vec<Place> = (0..100).map(|_| conns.enter(ip(2))).collect();
        assert_eq!(conns.lock().conns.len(), 30);
    }
}
