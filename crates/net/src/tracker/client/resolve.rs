//! Names to addresses.

use std::{
    fmt,
    future::Future,
    net::{IpAddr, ToSocketAddrs as _},
    pin::Pin,
    sync::Arc,
};

use tokio::sync::{Semaphore, oneshot};

/// How many addresses of one name are passed on: a DNS answer of 64 KiB has room for thousands.
pub const ADDRS_PER_NAME_MAX: usize = 64;

/// How many look-ups of the system are under way at once. The system's call cannot be cut short, so
/// each that hangs holds a thread; further ones wait, and their announces fail in time.
pub const LOOKUPS_MAX: usize = 16;

/// The addresses of a name; empty if there are none.
pub type Addrs = Pin<Box<dyn Future<Output = Vec<IpAddr>> + Send>>;

/// Looks names up for trackers: the system's resolver, or what a test puts in its place.
pub trait Resolve: fmt::Debug + Send + Sync {
    /// Looks up `host`. Dropping the future gives the look-up up.
    fn addrs(&self, host: String) -> Addrs;
}

/// The system's resolver: `/etc/hosts`, DNS and what else is configured.
///
/// Each look-up runs on a thread of its own and not on tokio's, for whose end the runtime would
/// wait: a name server that is silent must not keep the program from ending.
#[derive(Debug, Clone)]
pub struct SystemResolver {
    look_up: fn(&str) -> Vec<IpAddr>,
    places: Arc<Semaphore>,
}

impl SystemResolver {
    /// The system's resolver, with [`LOOKUPS_MAX`] places of its own.
    pub fn new() -> Self {
        Self {
            look_up: system_addrs,
            places: Arc::new(Semaphore::new(LOOKUPS_MAX)),
        }
    }
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self::new()
    }
}

impl Resolve for SystemResolver {
    fn addrs(&self, host: String) -> Addrs {
        let Self { look_up, places } = self.clone();
        Box::pin(async move {
            let Ok(place) = places.acquire_owned().await else {
                return Vec::new();
            };
            let (found, finds) = oneshot::channel();
            let thread = std::thread::Builder::new().name("skep look-up".to_owned());
            let spawned = thread.spawn(move || {
                // Nobody waits any more where the exchange has ended.
                let _ = found.send(look_up(&host));
                drop(place);
            });
            match spawned {
                Ok(_) => finds.await.unwrap_or_default(),
                Err(_) => Vec::new(),
            }
        })
    }
}

fn system_addrs(host: &str) -> Vec<IpAddr> {
    let addrs = (host, 0).to_socket_addrs();
    let addrs = addrs.into_iter().flatten().map(|addr| addr.ip());
    addrs.take(ADDRS_PER_NAME_MAX).collect()
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Barrier,
            atomic::{AtomicUsize, Ordering::SeqCst},
        },
        time::Duration,
    };

    use super::*;

    #[tokio::test]
    async fn names_and_addresses_are_looked_up_and_nonsense_has_none() {
        let resolver = SystemResolver::new();
        let addrs = resolver.addrs("127.0.0.9".to_owned()).await;
        assert_eq!(addrs, ["127.0.0.9".parse::<IpAddr>().unwrap()]);
        let addrs = resolver.addrs("localhost".to_owned()).await;
        assert!(!addrs.is_empty() && addrs.iter().all(IpAddr::is_loopback));
        assert!(resolver.addrs("not a name".to_owned()).await.is_empty());
    }

    /// As many look-ups hang as may; the next one waits for a place, not for a thread.
    #[tokio::test]
    async fn look_ups_that_hang_are_limited() {
        static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);
        static HANG: Barrier = Barrier::new(LOOKUPS_MAX + 1);
        fn hangs(host: &str) -> Vec<IpAddr> {
            if host == "quick" {
                return vec![IpAddr::from([127, 0, 0, 1])];
            }
            UNDER_WAY.fetch_add(1, SeqCst);
            HANG.wait();
            Vec::new()
        }
        let resolver = SystemResolver {
            look_up: hangs,
            places: Arc::new(Semaphore::new(LOOKUPS_MAX)),
        };
        let hanging: Vec<_> = (0..LOOKUPS_MAX)
            .map(|_| tokio::spawn(resolver.addrs("slow".to_owned())))
            .collect();
        while UNDER_WAY.load(SeqCst) < LOOKUPS_MAX {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let mut next = tokio::spawn(resolver.addrs("quick".to_owned()));
        let waits = tokio::time::timeout(Duration::from_millis(50), &mut next).await;
        assert!(waits.is_err(), "there is no place");
        tokio::task::spawn_blocking(|| HANG.wait()).await.unwrap();
        assert_eq!(next.await.unwrap().len(), 1);
        for look_up in hanging {
            assert!(look_up.await.unwrap().is_empty());
        }
    }
}
