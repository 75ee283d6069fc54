//! The sockets of a run. Tasks wait until one can be read or written and say so; nobody but the
//! driver reads or writes, so that every byte passes the capture first.
//!
//! Nor does any task time anything: what is due when is the machine's word, and the driver keeps it.
//!
//! A connection has at most one word under way for reading and one for writing, and it says the
//! next only after the driver has dealt with the last: one read of at most 64,000 bytes a turn for
//! everybody.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    rc::Rc,
    time::Duration,
};

use skep_evidence::journal::{ADDRS_PER_NAME_MAX, ConnId, ConnectFailure, QueryId};
use tokio::{
    io::Interest,
    net::{TcpListener, TcpStream, UdpSocket},
    sync::{Notify, mpsc},
    task::JoinHandle,
};

/// How many words may wait for the driver; tasks wait beyond it.
pub(crate) const WORDS_WAITING_MAX: usize = 1_024;

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 128;

/// What a task has to say.
pub(crate) enum Word {
    /// A connect may have come to an end.
    Connected(ConnId),
    /// A connection came in.
    Accepted(TcpStream, SocketAddr),
    /// A connection can be read.
    Readable(ConnId),
    /// A connection can be written.
    Writable(ConnId),
    /// A UDP socket can be read.
    Datagram(usize),
    /// A name was looked up.
    Resolved(QueryId, Vec<IpAddr>),
}

pub(crate) struct Sockets {
    bind: IpAddr,
    words: mpsc::Sender<Word>,
    links: BTreeMap<ConnId, Link>,
    pub(crate) datagrams: Vec<Datagrams>,
    listener: JoinHandle<()>,
    listen_addr: SocketAddr,
}

/// One UDP socket.
pub(crate) struct Datagrams {
    pub(crate) socket: Rc<UdpSocket>,
    pub(crate) local: SocketAddr,
    go_on: Rc<Notify>,
    task: JoinHandle<()>,
}

/// One connection.
pub(crate) struct Link {
    /// `None` while it is being made.
    pub(crate) stream: Option<Rc<TcpStream>>,
    /// What is being made, and may stand already; or why it could not even be begun.
    making: Option<io::Result<Rc<TcpStream>>>,
    /// What the machine queued and the system did not take yet.
    pub(crate) out: Vec<u8>,
    /// Whether a task waits until it can be written.
    pub(crate) waits_to_write: bool,
    go_on: Rc<Notify>,
    tasks: Vec<JoinHandle<()>>,
}

impl Sockets {
    /// Binds the listening port and the UDP sockets.
    pub(crate) fn bind(bind: IpAddr, port: u16) -> io::Result<(Self, mpsc::Receiver<Word>)> {
        let (words, receiver) = mpsc::channel(WORDS_WAITING_MAX);
        let listener = listen(bind, port)?;
        let listen_addr = listener.local_addr()?;
        let listener = tokio::task::spawn_local(accept(listener, words.clone()));
        let mut locals = vec![SocketAddr::new(bind, 0)];
        if bind == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
            locals.push(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0));
        }
        let mut datagrams = Vec::new();
        for (place, local) in locals.into_iter().enumerate() {
            datagrams.push(Datagrams::bind(place, local, words.clone())?);
        }
        let links = BTreeMap::new();
        Ok((
            Self {
                bind,
                words,
                links,
                datagrams,
                listener,
                listen_addr,
            },
            receiver,
        ))
    }

    pub(crate) fn listen_addr(&self) -> SocketAddr {
        self.listen_addr
    }

    pub(crate) fn link(&mut self, conn: ConnId) -> Option<&mut Link> {
        self.links.get_mut(&conn)
    }

    /// Begins to connect. It says `Connected` when there is something to look at, and nothing when its
    /// time is over: the driver knows that better than any task, which is called late by a loaded machine.
    pub(crate) fn connect(&mut self, conn: ConnId, remote: SocketAddr) {
        let mut link = Link::new(Vec::new());
        link.making = Some(connect(self.bind, remote).map(Rc::new));
        self.links.insert(conn, link);
        self.wait_to_stand(conn);
    }

    /// Says `Connected` once.
    fn wait_to_stand(&mut self, conn: ConnId) {
        let Some(link) = self.links.get_mut(&conn) else {
            return;
        };
        let stream = match &link.making {
            Some(Ok(stream)) => Some(Rc::clone(stream)),
            Some(Err(_)) | None => None,
        };
        let words = self.words.clone();
        link.tasks.retain(|task| !task.is_finished());
        link.tasks.push(tokio::task::spawn_local(async move {
            if let Some(stream) = stream {
                // An error shows itself when the driver looks.
                let _ = stream.writable().await;
            }
            // The driver is gone only when the run is over.
            let _ = words.send(Word::Connected(conn)).await;
        }));
    }

    /// What came of a connection that is being made, by what the system knows at this moment; `None`
    /// while nothing did, and where none is being made. It is said once.
    pub(crate) fn made(&mut self, conn: ConnId) -> Option<io::Result<Rc<TcpStream>>> {
        let link = self.links.get_mut(&conn)?;
        let stream = match link.making.take()? {
            Ok(stream) => stream,
            Err(error) => return Some(Err(error)),
        };
        match stream.take_error() {
            Ok(None) => {}
            Ok(Some(error)) | Err(error) => return Some(Err(error)),
        }
        if stream.peer_addr().is_ok() {
            return Some(Ok(stream));
        }
        link.making = Some(Ok(Rc::clone(&stream)));
        // It was no more than a rumour: forget that it could be written, and wait again.
        let rumour = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        let _ = stream.try_io(Interest::WRITABLE, rumour);
        self.wait_to_stand(conn);
        None
    }

    /// Takes up a connection that stands. It says `Readable` from now on.
    pub(crate) fn stand(&mut self, conn: ConnId, stream: Rc<TcpStream>) {
        let link = self
            .links
            .entry(conn)
            .or_insert_with(|| Link::new(Vec::new()));
        // A request waits for nobody's acknowledgement. Where this is refused, it is only slower.
        let _ = stream.set_nodelay(true);
        link.stream = Some(Rc::clone(&stream));
        let (words, go_on) = (self.words.clone(), Rc::clone(&link.go_on));
        link.tasks.push(tokio::task::spawn_local(async move {
            loop {
                // An error shows itself when the driver reads.
                let _ = stream.readable().await;
                if words.send(Word::Readable(conn)).await.is_err() {
                    return;
                }
                go_on.notified().await;
            }
        }));
    }

    /// The driver has dealt with `Readable`.
    pub(crate) fn read_on(&mut self, conn: ConnId) {
        if let Some(link) = self.links.get(&conn) {
            link.go_on.notify_one();
        }
    }

    /// Says `Writable` once, when the connection can be written.
    pub(crate) fn wait_to_write(&mut self, conn: ConnId) {
        let Some(link) = self.links.get_mut(&conn) else {
            return;
        };
        let Some(stream) = link.stream.clone().filter(|_| !link.waits_to_write) else {
            return;
        };
        link.waits_to_write = true;
        let words = self.words.clone();
        link.tasks.retain(|task| !task.is_finished());
        link.tasks.push(tokio::task::spawn_local(async move {
            let _ = stream.writable().await;
            let _ = words.send(Word::Writable(conn)).await;
        }));
    }

    /// Lets go of a connection, made or not.
    pub(crate) fn close(&mut self, conn: ConnId) {
        self.links.remove(&conn);
    }

    /// Looks a name up. Port 0 is not used; the resolver wants one.
    pub(crate) fn resolve(&self, query: QueryId, host: String) {
        let words = self.words.clone();
        tokio::task::spawn_local(async move {
            let mut ips: Vec<IpAddr> = Vec::new();
            if let Ok(addrs) = tokio::net::lookup_host((host.as_str(), 0)).await {
                for addr in addrs {
                    if !ips.contains(&addr.ip()) && ips.len() < ADDRS_PER_NAME_MAX {
                        ips.push(addr.ip());
                    }
                }
            }
            let _ = words.send(Word::Resolved(query, ips)).await;
        });
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Datagrams {
    fn bind(place: usize, local: SocketAddr, words: mpsc::Sender<Word>) -> io::Result<Self> {
        let domain = socket2::Domain::for_address(local);
        let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, None)?;
        if local.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&local.into())?;
        let socket = Rc::new(UdpSocket::from_std(socket.into())?);
        let (local, go_on) = (socket.local_addr()?, Rc::new(Notify::new()));
        let (reader, again) = (Rc::clone(&socket), Rc::clone(&go_on));
        let task = tokio::task::spawn_local(async move {
            loop {
                let _ = reader.readable().await;
                if words.send(Word::Datagram(place)).await.is_err() {
                    return;
                }
                again.notified().await;
            }
        });
        Ok(Self {
            socket,
            local,
            go_on,
            task,
        })
    }

    /// The driver has read what there was.
    pub(crate) fn read_on(&self) {
        self.go_on.notify_one();
    }
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Link {
    fn new(tasks: Vec<JoinHandle<()>>) -> Self {
        let go_on = Rc::new(Notify::new());
        Self {
            stream: None,
            making: None,
            out: Vec::new(),
            waits_to_write: false,
            go_on,
            tasks,
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// An address as the journal has it: IPv4 within IPv6 is IPv4.
pub(crate) fn plain(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// Why a connection could not be made, from what the system says. Where the system has given up by
/// itself, its own number says so: `TimedOut` is only what the plan's time-out makes.
pub(crate) fn failure(error: &io::Error) -> ConnectFailure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ConnectFailure::Refused,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            ConnectFailure::Unreachable
        }
        _ => ConnectFailure::Local(error.raw_os_error().unwrap_or(0)),
    }
}

fn listen(bind: IpAddr, port: u16) -> io::Result<TcpListener> {
    let local = SocketAddr::new(bind, port);
    let domain = socket2::Domain::for_address(local);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if bind == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&local.into())?;
    socket.listen(BACKLOG as i32)?;
    TcpListener::from_std(socket.into())
}

/// The least time between two connections that are accepted: 100 a second. Each costs journal and
/// records, and a stranger must not be able to fill the disk by connecting; others wait in the
/// system's queue.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

async fn accept(listener: TcpListener, words: mpsc::Sender<Word>) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                if words.send(Word::Accepted(stream, remote)).await.is_err() {
                    return;
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            // Out of descriptors, or a connection that is gone already: later more.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Begins to connect: whether it stands is seen later.
fn connect(bind: IpAddr, remote: SocketAddr) -> io::Result<TcpStream> {
    let domain = socket2::Domain::for_address(remote);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    if !bind.is_unspecified() {
        socket.bind(&SocketAddr::new(bind, 0).into())?;
    }
    match socket.connect(&remote.into()) {
        Err(error) if !is_under_way(&error) => Err(error),
        Ok(()) | Err(_) => TcpStream::from_std(socket.into()),
    }
}

/// Whether connecting goes on without us: what a socket that does not wait says.
fn is_under_way(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
        || error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error())
}
