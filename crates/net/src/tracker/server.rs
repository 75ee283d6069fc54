//! The tracker server: HTTP and UDP sockets around `skep_proto::tracker::server`.
//!
//! What it is: one task a listening socket, one a connection, and one that lets time pass; all
//! share one [`Answerer`] behind a lock that is held for one answer at a time. What it is not: a
//! place of decisions on swarms, which are the machine's.

mod conns;
mod http;
mod udp;

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use skep_proto::tracker::server::{Answerer, Counts, Served, StoreConfig};
use skep_wire::InfoHash;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{net::TcpListener, net::UdpSocket, task::JoinHandle};

use crate::clock::RunClock;

/// Called for every announce that is answered, while the store is locked: it must be quick.
pub type OnAnnounce = Arc<dyn Fn(&Served) + Send + Sync>;

/// What a server is made from.
#[derive(Clone)]
pub struct ServerConfig {
    /// Where to listen for HTTP; port 0 lets the system choose.
    pub http: Vec<SocketAddr>,
    /// Where to listen for UDP; likewise.
    pub udp: Vec<SocketAddr>,
    /// The swarms: intervals and limits.
    pub store: StoreConfig,
    /// Greatest number of HTTP connections. For whoever comes beyond it the one goes that was
    /// answered longest ago; one of the newcomer's own address, if that holds an eighth of them.
    pub conns_max: usize,
    /// How long a client may take to send a request that it began, or to take an answer.
    pub request_time_max: Duration,
    /// How long a connection is kept without a request.
    pub idle_time_max: Duration,
    /// Told of every announce, for the laboratory's log of what is true.
    pub on_announce: Option<OnAnnounce>,
}

impl fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConfig")
            .field("http", &self.http)
            .field("udp", &self.udp)
            .finish_non_exhaustive()
    }
}

impl ServerConfig {
    /// Sensible limits, a seed from the system's random numbers, and nowhere to listen yet.
    ///
    /// # Errors
    ///
    /// The system gives no random numbers.
    pub fn new(interval_secs: u32) -> Result<Self, TrackerServerError> {
        Ok(Self {
            http: Vec::new(),
            udp: Vec::new(),
            store: StoreConfig::with_interval(interval_secs, random()?),
            conns_max: 4_096,
            request_time_max: Duration::from_secs(10),
            idle_time_max: Duration::from_secs(30),
            on_announce: None,
        })
    }
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrackerServerError {
    /// An address cannot be listened on.
    #[error("cannot listen on {transport} {addr}: {error}")]
    Listen {
        /// `http` or `udp`.
        transport: &'static str,
        /// The address.
        addr: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// No random numbers.
    #[error("no random numbers: {0}")]
    Random(getrandom::Error),
}

/// A tracker. Start it with [`TrackerServer::start`].
#[derive(Debug)]
pub struct TrackerServer;

/// A running server. Dropping it ends it.
#[derive(Debug)]
pub struct Handle {
    shared: Arc<Shared>,
    http: Vec<SocketAddr>,
    udp: Vec<SocketAddr>,
    tasks: Vec<JoinHandle<()>>,
}

/// What a running server knows and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrackerStats {
    /// Torrents with peers, each family by itself.
    pub torrents: usize,
    /// Peers of all of them.
    pub peers: usize,
    /// What was served.
    pub counts: Counts,
}

/// What the tasks of a server share.
struct Shared {
    answerer: Mutex<Answerer>,
    clock: RunClock,
    on_announce: Option<OnAnnounce>,
    request_time_max: Duration,
    idle_time_max: Duration,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Answerer> {
        // A panic in another task is a broken promise of its own; the swarms are still whole
        // enough to be answered from.
        self.answerer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn served(&self, served: &Served) {
        if let Some(on_announce) = &self.on_announce {
            on_announce(served);
        }
    }
}

fn random() -> Result<[u8; 32], TrackerServerError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(TrackerServerError::Random)?;
    Ok(bytes)
}

impl TrackerServer {
    /// Listens, and serves on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// [`TrackerServerError`] if one of the addresses cannot be listened on.
    pub fn start(config: ServerConfig) -> Result<Handle, TrackerServerError> {
        let shared = Arc::new(Shared {
            answerer: Mutex::new(Answerer::new(config.store, random()?)),
            clock: RunClock::start(),
            on_announce: config.on_announce,
            request_time_max: config.request_time_max,
            idle_time_max: config.idle_time_max,
        });
        let mut handle = Handle {
            shared: Arc::clone(&shared),
            http: vec![],
            udp: vec![],
            tasks: vec![],
        };
        let conns = conns::Conns::new(config.conns_max);
        for addr in config.http {
            let failed = |error| TrackerServerError::Listen {
                transport: "http",
                addr,
                error,
            };
            let listener = listen(addr).map_err(failed)?;
            handle.http.push(listener.local_addr().map_err(failed)?);
            let serve = http::serve(listener, Arc::clone(&shared), conns.clone());
            handle.tasks.push(tokio::spawn(serve));
        }
        for addr in config.udp {
            let failed = |error| TrackerServerError::Listen {
                transport: "udp",
                addr,
                error,
            };
            let socket = bind_udp(addr)
                .and_then(udp::Datagrams::new)
                .map_err(failed)?;
            handle.udp.push(socket.local_addr().map_err(failed)?);
            handle
                .tasks
                .push(tokio::spawn(udp::serve(socket, Arc::clone(&shared))));
        }
        handle.tasks.push(tokio::spawn(sweep(shared)));
        Ok(handle)
    }
}

impl Handle {
    /// Where HTTP is served.
    pub fn http_addrs(&self) -> &[SocketAddr] {
        &self.http
    }

    /// Where UDP is served.
    pub fn udp_addrs(&self) -> &[SocketAddr] {
        &self.udp
    }

    /// The announce URLs of all sockets, HTTP first. In place of an unspecified address, which nobody can
    /// announce to, stand the one that this machine has towards the network, if it has one, and the
    /// loopback address.
    pub fn urls(&self) -> Vec<String> {
        let usable = |addrs: &[SocketAddr]| -> Vec<SocketAddr> {
            addrs.iter().flat_map(|&addr| usable(addr)).collect()
        };
        let (http, udp) = (usable(&self.http), usable(&self.udp));
        let http = http.iter().map(|addr| format!("http://{addr}/announce"));
        http.chain(udp.iter().map(|addr| format!("udp://{addr}")))
            .collect()
    }

    /// Whether it listens on all addresses of this machine, of one IP version at least.
    pub fn is_everywhere(&self) -> bool {
        let mut addrs = self.http.iter().chain(&self.udp);
        addrs.any(|addr| addr.ip().is_unspecified())
    }

    /// What it knows and did.
    pub fn stats(&self) -> TrackerStats {
        let answerer = self.shared.lock();
        TrackerStats {
            torrents: answerer.store().torrents(),
            peers: answerer.store().peers(),
            counts: answerer.counts(),
        }
    }

    /// Lists an endpoint that never announced itself, for as long as the server runs.
    ///
    /// It makes this tracker lie. It is there for the laboratory, where an observer must show that
    /// it takes a tracker's list for no more than a list; no command uses it.
    pub fn inject(&self, info_hash: InfoHash, addr: SocketAddr) {
        let now = self.shared.clock.now();
        self.shared.lock().store_mut().inject(info_hash, addr, now);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Lets time pass for the store.
async fn sweep(shared: Arc<Shared>) {
    loop {
        let due = shared.lock().store().poll_timeout();
        let Some((at, _)) = due else { return };
        tokio::time::sleep_until(shared.clock.instant(at).into()).await;
        let now = shared.clock.now();
        shared.lock().store_mut().handle_timeout(now);
    }
}

/// A socket of one family only, so that both can be listened on with the same port.
fn socket(addr: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), kind, Some(protocol))?;
    if matches!(addr.ip(), IpAddr::V6(_)) {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The addresses by which a socket that is bound to `addr` can be reached.
fn usable(addr: SocketAddr) -> Vec<SocketAddr> {
    if !addr.ip().is_unspecified() {
        return vec![addr];
    }
    let ips = match addr {
        SocketAddr::V4(_) => [
            outward(addr, DOCUMENTED_V4),
            Some(Ipv4Addr::LOCALHOST.into()),
        ],
        SocketAddr::V6(_) => [
            outward(addr, DOCUMENTED_V6),
            Some(Ipv6Addr::LOCALHOST.into()),
        ],
    };
    let ips = ips.into_iter().flatten();
    ips.map(|ip| SocketAddr::new(ip, addr.port())).collect()
}

/// Addresses that nobody has, in the networks for documentation (RFC 5737, RFC 3849).
const DOCUMENTED_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const DOCUMENTED_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));

/// The address of this machine from which it would send to `far`. Nothing is sent.
fn outward(unspecified: SocketAddr, far: IpAddr) -> Option<IpAddr> {
    let socket = std::net::UdpSocket::bind((unspecified.ip(), 0)).ok()?;
    // Any port but 0 will do.
    socket.connect((far, 9)).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    const BACKLOG: i32 = 1_024;
    let socket = socket(addr, Type::STREAM, Protocol::TCP)?;
    // A tracker that restarts must not wait for old connections to be forgotten.
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn bind_udp(addr: SocketAddr) -> io::Result<UdpSocket> {
    /// Room for some ten thousand announces that come at once; the system may give less.
    const RECEIVE_BUFFER_LEN: usize = 4 << 20;
    let socket = socket(addr, Type::DGRAM, Protocol::UDP)?;
    // Less room is no reason not to serve.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_LEN);
    socket.bind(&addr.into())?;
    UdpSocket::from_std(socket.into())
}
