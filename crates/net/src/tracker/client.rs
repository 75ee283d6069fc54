//! The driver of an announcer: sockets, names and time around `skep_proto::tracker::client`.
//!
//! What it is: one task that does what the machine asks, and one more for each connection and
//! look-up under way. What it is not: a place of decisions; which tracker is asked when, and what
//! an answer means, is the machine's.

pub mod resolve;

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use skep_proto::{
    rng::Rng,
    tracker::client::{Announcer, AnnouncerConfig, Ask, Event, NoConnection, Transfer},
};
use skep_wire::tracker::Family;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, UdpSocket},
    sync::mpsc,
    task::JoinHandle,
};

use crate::clock::RunClock;
use resolve::Resolve;

/// What a client is made from.
#[derive(Debug, Clone)]
pub struct TrackerClientConfig {
    /// The torrent and ourselves. `families` is narrowed to what `bind` can send from.
    pub announcer: AnnouncerConfig,
    /// The trackers, tier by tier.
    pub tiers: Vec<Vec<String>>,
    /// The address that everything is sent from; unspecified leaves it to the system, and then
    /// both families are used.
    pub bind: IpAddr,
    /// Who looks names up; [`resolve::SystemResolver`] but in tests.
    pub resolver: Arc<dyn Resolve>,
    /// The run's clock.
    pub clock: RunClock,
    /// From this every random choice of the machine is drawn.
    pub seed: u64,
    /// What the first announce says.
    pub transfer: Transfer,
}

/// A client at work. Dropping it ends it without farewell.
#[derive(Debug)]
pub struct TrackerClient {
    commands: mpsc::UnboundedSender<Command>,
    events: mpsc::Receiver<Event>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
enum Command {
    Transfer(Transfer),
    Complete,
    AnnounceSoon,
    Stop,
}

/// What the helper tasks tell the main one.
enum Happening {
    Resolved { query: u32, addrs: Vec<IpAddr> },
    Opened { conn: u32 },
    Failed { conn: u32, why: NoConnection },
    Bytes { conn: u32, bytes: Vec<u8> },
    Ended { conn: u32 },
}

/// How many happenings wait for the main task before the helpers do: each holds at most
/// [`READ_LEN_MAX`] bytes.
const HAPPENINGS_MAX: usize = 64;

/// How many bytes are read at once from a tracker.
const READ_LEN_MAX: usize = 16 * 1024;

/// How many events wait for the owner before the oldest are lost.
const EVENTS_WAITING_MAX: usize = 256;

/// The greatest UDP datagram.
const DATAGRAM_LEN_MAX: usize = 65_536;

impl TrackerClient {
    /// Starts announcing on the current tokio runtime.
    pub fn start(mut config: TrackerClientConfig) -> Self {
        if !config.bind.is_unspecified() {
            config.announcer.families = vec![Family::of(config.bind)];
        }
        let (commands, command_queue) = mpsc::unbounded_channel();
        let (event_queue, events) = mpsc::channel(EVENTS_WAITING_MAX);
        let task = tokio::spawn(Driver::new(config, event_queue).run(command_queue));
        Self {
            commands,
            events,
            task,
        }
    }

    /// The next thing that happened; `None` after the farewell is done. Safe to drop and call again.
    pub async fn next_event(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// What the next announces say of the transfer.
    pub fn set_transfer(&self, transfer: Transfer) {
        self.send(Command::Transfer(transfer));
    }

    /// The download became whole.
    pub fn complete(&self) {
        self.send(Command::Complete);
    }

    /// Peers are needed: ask as soon as the trackers allow.
    pub fn announce_soon(&self) {
        self.send(Command::AnnounceSoon);
    }

    /// Begins the farewell. [`TrackerClient::next_event`] gives `None` once it is done, at most
    /// about 20 s later (a look-up, a connection and an answer of 6 s each).
    pub fn stop(&self) {
        self.send(Command::Stop);
    }

    /// Says farewell and waits for it.
    pub async fn stopped(mut self) {
        self.stop();
        while self.next_event().await.is_some() {}
    }

    fn send(&self, command: Command) {
        // The task is gone only after a stop, and then nothing is left to be told.
        let _ = self.commands.send(command);
    }
}

impl Drop for TrackerClient {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Driver {
    announcer: Announcer,
    resolver: Arc<dyn Resolve>,
    clock: RunClock,
    bind: IpAddr,
    events: mpsc::Sender<Event>,
    happenings: mpsc::Sender<Happening>,
    happened: mpsc::Receiver<Happening>,
    conns: BTreeMap<u32, Conn>,
    lookups: Vec<JoinHandle<()>>,
    udp_v4: Option<Arc<UdpSocket>>,
    udp_v6: Option<Arc<UdpSocket>>,
}

struct Conn {
    out: mpsc::Sender<Vec<u8>>,
    task: JoinHandle<()>,
}

impl Driver {
    fn new(config: TrackerClientConfig, events: mpsc::Sender<Event>) -> Self {
        let rng = Rng::new(config.seed);
        let mut announcer = Announcer::new(config.announcer, &config.tiers, rng);
        announcer.set_transfer(config.transfer);
        let (happenings, happened) = mpsc::channel(HAPPENINGS_MAX);
        Self {
            announcer,
            resolver: config.resolver,
            clock: config.clock,
            bind: config.bind,
            events,
            happenings,
            happened,
            conns: BTreeMap::new(),
            lookups: Vec::new(),
            udp_v4: None,
            udp_v6: None,
        }
    }

    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut datagram = vec![0; DATAGRAM_LEN_MAX];
        self.announcer.start(self.clock.now());
        loop {
            self.drain().await;
            if self.announcer.is_stopped() {
                return;
            }
            let timeout = self
                .announcer
                .poll_timeout()
                .map(|(at, _)| self.clock.instant(at));
            let (udp_v4, udp_v6) = (self.udp_v4.clone(), self.udp_v6.clone());
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.command(command),
                    None => return,
                },
                Some(happening) = self.happened.recv() => self.happening(happening),
                (remote, len) = receive(udp_v4.as_deref(), udp_v6.as_deref(), &mut datagram) => {
                    let now = self.clock.now();
                    self.announcer.handle_datagram(remote, &datagram[..len], now);
                }
                () = sleep_until(timeout) => self.announcer.handle_timeout(self.clock.now()),
            }
        }
    }

    fn command(&mut self, command: Command) {
        let now = self.clock.now();
        match command {
            Command::Transfer(transfer) => self.announcer.set_transfer(transfer),
            Command::Complete => self.announcer.complete(now),
            Command::AnnounceSoon => self.announcer.announce_soon(now),
            Command::Stop => self.announcer.stop(now),
        }
    }

    fn happening(&mut self, happening: Happening) {
        let now = self.clock.now();
        match happening {
            Happening::Resolved { query, addrs } => {
                self.lookups.retain(|task| !task.is_finished());
                self.announcer.handle_resolved(query, &addrs, now);
            }
            Happening::Opened { conn } => self.announcer.handle_opened(conn, now),
            Happening::Failed { conn, why } => {
                self.conns.remove(&conn);
                self.announcer.handle_failed(conn, why, now);
            }
            Happening::Bytes { conn, bytes } => self.announcer.handle_bytes(conn, &bytes, now),
            Happening::Ended { conn } => self.announcer.handle_end(conn, now),
        }
    }

    /// Does what the machine asks, and hands on what happened.
    async fn drain(&mut self) {
        while let Some(ask) = self.announcer.poll_ask() {
            match ask {
                Ask::Resolve { query, host } => {
                    let (addrs, happenings) = (self.resolver.addrs(host), self.happenings.clone());
                    self.lookups.push(tokio::spawn(async move {
                        let addrs = addrs.await;
                        let _ = happenings.send(Happening::Resolved { query, addrs }).await;
                    }));
                }
                Ask::Connect {
                    conn,
                    remote,
                    timeout,
                } => self.connect(conn, remote, timeout),
                Ask::Send { conn, bytes } => {
                    if let Some(conn) = self.conns.get(&conn) {
                        // One request a connection: the queue of one has room.
                        let _ = conn.out.try_send(bytes);
                    }
                }
                Ask::Close { conn } => {
                    if let Some(conn) = self.conns.remove(&conn) {
                        conn.task.abort();
                    }
                }
                Ask::SendTo { remote, bytes } => self.send_to(remote, &bytes).await,
            }
        }
        while let Some(event) = self.announcer.poll_event() {
            // An owner that reads no events loses some rather than stopping the announces.
            let _ = self.events.try_send(event);
        }
    }

    fn connect(&mut self, conn: u32, remote: SocketAddr, timeout: Duration) {
        let (out, queue) = mpsc::channel(1);
        let bind = self.bind;
        let happenings = self.happenings.clone();
        let task = tokio::spawn(async move {
            let opening = tokio::time::timeout(timeout, open(bind, remote));
            let stream = match opening.await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    let why = no_connection(&error);
                    let _ = happenings.send(Happening::Failed { conn, why }).await;
                    return;
                }
                Err(_) => {
                    let why = NoConnection::TimedOut;
                    let _ = happenings.send(Happening::Failed { conn, why }).await;
                    return;
                }
            };
            talk(conn, stream, queue, happenings).await;
        });
        self.conns.insert(conn, Conn { out, task });
    }

    async fn send_to(&mut self, remote: SocketAddr, bytes: &[u8]) {
        let slot = match remote {
            SocketAddr::V4(_) => &mut self.udp_v4,
            SocketAddr::V6(_) => &mut self.udp_v6,
        };
        if slot.is_none() {
            let ip = match (remote, self.bind) {
                (SocketAddr::V4(_), IpAddr::V4(ip)) => IpAddr::V4(ip),
                (SocketAddr::V6(_), IpAddr::V6(ip)) => IpAddr::V6(ip),
                (SocketAddr::V4(_), IpAddr::V6(_)) => Ipv4Addr::UNSPECIFIED.into(),
                (SocketAddr::V6(_), IpAddr::V4(_)) => Ipv6Addr::UNSPECIFIED.into(),
            };
            *slot = UdpSocket::bind((ip, 0)).await.ok().map(Arc::new);
        }
        let sent = match slot {
            Some(socket) => socket.send_to(bytes, remote).await.is_ok(),
            None => false,
        };
        if !sent {
            // No route, or none of our addresses may be used: the next address is worth more than
            // waiting.
            self.announcer.handle_unsent(remote, self.clock.now());
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.conns.values().for_each(|conn| conn.task.abort());
        self.lookups.iter().for_each(JoinHandle::abort);
    }
}

async fn sleep_until(at: Option<std::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

async fn receive(
    v4: Option<&UdpSocket>,
    v6: Option<&UdpSocket>,
    datagram: &mut [u8],
) -> (SocketAddr, usize) {
    async fn ready(socket: Option<&UdpSocket>) {
        match socket {
            // An error makes the read below fail, which is where it is seen.
            Some(socket) => drop(socket.readable().await),
            None => std::future::pending().await,
        }
    }
    loop {
        let socket = tokio::select! {
            () = ready(v4) => v4,
            () = ready(v6) => v6,
        };
        if let Some(Ok((len, remote))) = socket.map(|socket| socket.try_recv_from(datagram)) {
            return (remote, len);
        }
        // Reading an error clears it (an ICMP answer, for one); do not spin if it does not.
        tokio::task::yield_now().await;
    }
}

async fn open(bind: IpAddr, remote: SocketAddr) -> io::Result<tokio::net::TcpStream> {
    let socket = match remote {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if !bind.is_unspecified() && bind.is_ipv4() == remote.is_ipv4() {
        socket.bind((bind, 0).into())?;
    }
    socket.connect(remote).await
}

async fn talk(
    conn: u32,
    mut stream: tokio::net::TcpStream,
    mut queue: mpsc::Receiver<Vec<u8>>,
    happenings: mpsc::Sender<Happening>,
) {
    if happenings.send(Happening::Opened { conn }).await.is_err() {
        return;
    }
    let mut buf = vec![0; READ_LEN_MAX];
    loop {
        tokio::select! {
            Some(bytes) = queue.recv() => {
                if stream.write_all(&bytes).await.is_err() {
                    break;
                }
            }
            read = stream.read(&mut buf) => match read {
                Ok(0) | Err(_) => break,
                Ok(len) => {
                    let bytes = buf[..len].to_vec();
                    if happenings.send(Happening::Bytes { conn, bytes }).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
    let _ = happenings.send(Happening::Ended { conn }).await;
}

fn no_connection(error: &io::Error) -> NoConnection {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => NoConnection::Refused,
        io::ErrorKind::TimedOut => NoConnection::TimedOut,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            NoConnection::Unreachable
        }
        _ => NoConnection::Local(error.raw_os_error().unwrap_or(0)),
    }
}
