//! Virtual time, hosts and streams.
//!
//! A stream keeps the order of its bytes and loses none; that is what TCP promises, and all that it
//! promises. Segments are cut at random, wait for the sender's uplink and the receiver's downlink,
//! take the link's latency, and some are "lost": they, and whatever follows in the same stream, come
//! a retransmission later, while other streams overtake. Connecting may fail, hosts may vanish with
//! or without a reset.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    net::{Ipv4Addr, SocketAddr},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use skep_proto::rng::Rng;
use skep_wire::{Block, InfoHash, Moment};

/// Bytes that are shared, not copied.
#[derive(Debug, Clone)]
pub struct Chunk {
    data: Arc<[u8]>,
    range: Range<usize>,
}

impl Chunk {
    /// A part of shared bytes.
    pub fn shared(data: &Arc<[u8]>, range: Range<usize>) -> Self {
        Self {
            data: Arc::clone(data),
            range,
        }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.data[self.range.clone()]
    }

    fn split(self, at: usize) -> (Self, Self) {
        let middle = self.range.start + at;
        let first = Self {
            data: Arc::clone(&self.data),
            range: self.range.start..middle,
        };
        (
            first,
            Self {
                data: self.data,
                range: middle..self.range.end,
            },
        )
    }
}

impl From<Vec<u8>> for Chunk {
    fn from(bytes: Vec<u8>) -> Self {
        let range = 0..bytes.len();
        Self {
            data: bytes.into(),
            range,
        }
    }
}

/// A host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub usize);

/// One end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link {
    conn: usize,
    side: usize,
}

impl Link {
    fn other(self) -> Self {
        Self {
            conn: self.conn,
            side: 1 - self.side,
        }
    }
}

/// What a host is told.
#[derive(Debug, Clone)]
pub enum Happening {
    /// The host is up (again).
    Started,
    /// A stream that it asked for stands.
    Connected {
        /// Its end.
        link: Link,
    },
    /// A stream that it asked for could not be made.
    ConnectFailed {
        /// Its end.
        link: Link,
        /// Whether something answered that nothing listens there, rather than silence.
        refused: bool,
    },
    /// A stream came in.
    Incoming {
        /// Its end.
        link: Link,
        /// The other end's address.
        remote: SocketAddr,
    },
    /// Bytes came.
    Bytes {
        /// On which end.
        link: Link,
        /// They.
        bytes: Chunk,
    },
    /// The last byte of a block that [`Net::send_block`] was given has left.
    Left {
        /// On which end.
        link: Link,
        /// The block.
        block: Block,
    },
    /// The other end closed or vanished.
    Ended {
        /// On which end.
        link: Link,
        /// Whether by a reset rather than in order.
        reset: bool,
    },
    /// A datagram came.
    Datagram {
        /// From where.
        from: SocketAddr,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// A timer that it set has come.
    Timer {
        /// The host's own name for it.
        tag: u64,
    },
    /// The tracker answered.
    Named {
        /// In which swarm they are.
        swarm: InfoHash,
        /// Whom it named.
        addrs: Vec<SocketAddr>,
    },
}

/// How the network behaves.
#[derive(Debug, Clone)]
pub struct NetConfig {
    /// One-way latency of a pair of hosts is drawn from this range, in milliseconds.
    pub latency_ms: Range<u64>,
    /// Each host's uplink is drawn from this range, in bytes a second.
    pub up_rate: Range<u64>,
    /// Each host's downlink, likewise.
    pub down_rate: Range<u64>,
    /// Of a thousand segments so many are lost and come a retransmission later; datagrams are lost
    /// for good.
    pub loss_per_mille: u64,
    /// Of a thousand attempts to connect so many time out although the host is there.
    pub connect_fail_per_mille: u64,
    /// How long an attempt waits for an answer that does not come.
    pub connect_timeout: Duration,
    /// Of a thousand streams so many stall in one direction after some byte: see [`Net::stall`].
    pub stall_per_mille: u64,
}

impl Default for NetConfig {
    fn default() -> Self {
        Self {
            latency_ms: 5..120,
            up_rate: 200_000..2_000_000,
            down_rate: 500_000..5_000_000,
            loss_per_mille: 5,
            connect_fail_per_mille: 20,
            connect_timeout: Duration::from_secs(5),
            stall_per_mille: 0,
        }
    }
}

/// The network.
#[derive(Debug)]
pub struct Net {
    config: NetConfig,
    rng: Rng,
    latency_seed: u64,
    now: Moment,
    seq: u64,
    queue: BinaryHeap<Reverse<Entry>>,
    hosts: Vec<Host>,
    by_addr: BTreeMap<SocketAddr, HostId>,
    conns: Vec<Conn>,
    next_port: u16,
    /// Who announced to the tracker, and addresses that it lists though nobody is there.
    listed: BTreeSet<(InfoHash, SocketAddr)>,
    delivered: u64,
}

#[derive(Debug)]
struct Host {
    addr: SocketAddr,
    up: bool,
    listens: bool,
    /// Counts its lives: what was meant for an earlier one is not delivered.
    life: u32,
    up_rate: u64,
    down_rate: u64,
    up_free: Moment,
    down_free: Moment,
}

#[derive(Debug)]
struct Conn {
    hosts: [Option<HostId>; 2],
    addrs: [SocketAddr; 2],
    closed: [bool; 2],
    /// When the last segment towards each side arrives.
    last_arrival: [Moment; 2],
    /// How many more bytes of each side leave before it stalls.
    stalls_in: [Option<u64>; 2],
    /// Bytes of each side that wait since it stalled, payloads of blocks not counted.
    waiting: [u64; 2],
    /// Whether anything waits, payloads too.
    stuck: [bool; 2],
}

#[derive(Debug)]
struct Entry {
    at: Moment,
    seq: u64,
    host: HostId,
    life: u32,
    what: Happening,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.seq) == (other.at, other.seq)
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.seq).cmp(&(other.at, other.seq))
    }
}

/// The port on which hosts listen.
pub const PORT: u16 = 6881;

/// How many addresses the tracker names in an answer.
pub const NAMED_MAX: usize = 50;

impl Net {
    /// Starts a network without hosts.
    pub fn new(config: NetConfig, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        Self {
            config,
            latency_seed: rng.next_u64(),
            rng,
            now: Moment::ZERO,
            seq: 0,
            queue: BinaryHeap::new(),
            hosts: Vec::new(),
            by_addr: BTreeMap::new(),
            conns: Vec::new(),
            next_port: 0,
            listed: BTreeSet::new(),
            delivered: 0,
        }
    }

    /// The time.
    pub fn now(&self) -> Moment {
        self.now
    }

    /// Random numbers for the actors.
    pub fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// Adds a host that comes up at `at`; [`Happening::Started`] tells it.
    pub fn add_host(&mut self, at: Moment) -> HostId {
        let n = self.hosts.len() as u32 + 1;
        let ip = Ipv4Addr::from(0x0a00_0000 + n);
        self.add_host_at(SocketAddr::from((ip, PORT)), at)
    }

    /// Adds a host with a given address.
    pub fn add_host_at(&mut self, addr: SocketAddr, at: Moment) -> HostId {
        let id = HostId(self.hosts.len());
        let draw = |rng: &mut Rng, range: &Range<u64>| {
            range.start + rng.below((range.end - range.start).max(1))
        };
        let up_rate = draw(&mut self.rng, &self.config.up_rate);
        let down_rate = draw(&mut self.rng, &self.config.down_rate);
        self.hosts.push(Host {
            addr,
            up: true,
            listens: true,
            life: 0,
            up_rate,
            down_rate,
            up_free: Moment::ZERO,
            down_free: Moment::ZERO,
        });
        self.by_addr.insert(addr, id);
        self.schedule(at, id, Happening::Started);
        id
    }

    /// A host's address.
    pub fn addr(&self, host: HostId) -> SocketAddr {
        self.hosts[host.0].addr
    }

    /// Fixes a host's links.
    pub fn set_rates(&mut self, host: HostId, up: u64, down: u64) {
        (self.hosts[host.0].up_rate, self.hosts[host.0].down_rate) = (up, down);
    }

    /// Whether the host answers attempts to connect.
    pub fn set_listening(&mut self, host: HostId, listens: bool) {
        self.hosts[host.0].listens = listens;
    }

    /// The next event not after `until`; time jumps there. `None`: nothing more until then, and it is
    /// `until` now.
    pub fn next(&mut self, until: Moment) -> Option<(HostId, Happening)> {
        loop {
            if self
                .queue
                .peek()
                .is_none_or(|Reverse(entry)| entry.at > until)
            {
                self.now = self.now.max(until);
                return None;
            }
            let Reverse(entry) = self.queue.pop()?;
            self.now = entry.at;
            let host = &self.hosts[entry.host.0];
            if host.up && host.life == entry.life && self.is_current(&entry.what) {
                self.delivered += 1;
                return Some((entry.host, entry.what));
            }
        }
    }

    /// Opens a stream. The answer is [`Happening::Connected`] or [`Happening::ConnectFailed`].
    pub fn connect(&mut self, from: HostId, to: SocketAddr) -> Link {
        let conn = self.conns.len();
        let link = Link { conn, side: 0 };
        let target = self.by_addr.get(&to).copied();
        let reachable = target.filter(|host| self.hosts[host.0].up);
        let answers = reachable.filter(|host| self.hosts[host.0].listens);
        let fails = self.rng.below(1000) < self.config.connect_fail_per_mille;
        let stalls_in = self.draw_stall();
        self.next_port = (self.next_port + 1) % 16_000;
        let own = SocketAddr::new(self.addr(from).ip(), 49_152 + self.next_port);
        self.conns.push(Conn {
            hosts: [Some(from), answers.filter(|_| !fails)],
            addrs: [own, to],
            closed: [false, answers.is_none() || fails],
            last_arrival: [Moment::ZERO; 2],
            stalls_in,
            waiting: [0; 2],
            stuck: [false; 2],
        });
        match (reachable, answers) {
            (_, Some(host)) if !fails => {
                let latency = self.latency(from, host);
                let arrives = self.now + latency;
                let incoming = Happening::Incoming {
                    link: link.other(),
                    remote: own,
                };
                self.schedule(arrives, host, incoming);
                self.schedule(arrives + latency, from, Happening::Connected { link });
            }
            (Some(host), None) => {
                let back = self.now + self.latency(from, host) * 2;
                self.schedule(
                    back,
                    from,
                    Happening::ConnectFailed {
                        link,
                        refused: true,
                    },
                );
            }
            _ => {
                let late = self.now + self.config.connect_timeout;
                self.schedule(
                    late,
                    from,
                    Happening::ConnectFailed {
                        link,
                        refused: false,
                    },
                );
            }
        }
        link
    }

    /// The addresses of a stream: this end's, and the other's.
    pub fn ends(&self, link: Link) -> (SocketAddr, SocketAddr) {
        let addrs = self.conns[link.conn].addrs;
        (addrs[link.side], addrs[1 - link.side])
    }

    /// Sends bytes on a stream.
    pub fn send(&mut self, link: Link, bytes: impl Into<Chunk>) {
        self.send_segments(link, bytes.into());
    }

    /// Sends a block's payload; [`Happening::Left`] says when its last byte has left.
    pub fn send_block(&mut self, link: Link, payload: Chunk, block: Block) {
        let waited = self.conns[link.conn].waiting[link.side];
        let left = self.send_segments(link, payload);
        let host = self.conns[link.conn].hosts[link.side];
        if let (Some(host), Some(left)) = (host, left) {
            self.schedule(left, host, Happening::Left { link, block });
        }
        // A driver leaves payload in the file until the socket takes it.
        self.conns[link.conn].waiting[link.side] = waited;
    }

    /// After `bytes` more bytes nothing that this end sends leaves, and nobody is told: the other end
    /// does not read, or something between them swallows everything.
    pub fn stall(&mut self, link: Link, bytes: u64) {
        self.conns[link.conn].stalls_in[link.side] = Some(bytes);
    }

    /// From now on this end does not read what the other sends.
    pub fn stop_reading(&mut self, link: Link) {
        self.stall(link.other(), 0);
    }

    /// How many bytes this end sent that do not leave, payloads of blocks not counted; nothing unless
    /// it stalls, for other links take what they are given.
    pub fn waiting_bytes(&self, link: Link) -> u64 {
        self.conns[link.conn].waiting[link.side]
    }

    /// Whether something waits that does not leave, payloads counted.
    pub fn is_stuck(&self, link: Link) -> bool {
        self.conns[link.conn].stuck[link.side]
    }

    /// How many happenings hosts were told.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Closes an end. The other end hears of it after everything that was sent before.
    pub fn close(&mut self, link: Link) {
        self.end(link, false);
    }

    /// Sends a datagram, which may be lost or overtaken.
    pub fn send_datagram(&mut self, from: HostId, to: SocketAddr, bytes: Vec<u8>) {
        let lost = self.rng.below(1000) < self.config.loss_per_mille;
        let target = self
            .by_addr
            .get(&to)
            .copied()
            .filter(|host| self.hosts[host.0].up);
        if let Some(host) = target.filter(|_| !lost) {
            let jitter = Duration::from_millis(self.rng.below(50));
            let at = self.now + self.latency(from, host) + jitter;
            let from = self.addr(from);
            self.schedule(at, host, Happening::Datagram { from, bytes });
        }
    }

    /// Sets a timer.
    pub fn timer(&mut self, host: HostId, at: Moment, tag: u64) {
        self.schedule(at.max(self.now), host, Happening::Timer { tag });
    }

    /// Announces the host to the tracker as one of a swarm, of which it names others a little later.
    pub fn announce(&mut self, host: HostId, swarm: InfoHash) {
        let own = self.addr(host);
        let mut addrs: Vec<SocketAddr> = self
            .listed
            .iter()
            .filter(|&&(of, addr)| of == swarm && addr != own)
            .map(|&(_, addr)| addr)
            .collect();
        self.rng.shuffle(&mut addrs);
        addrs.truncate(NAMED_MAX);
        self.listed.insert((swarm, own));
        let at = self.now + Duration::from_millis(20 + self.rng.below(500));
        self.schedule(at, host, Happening::Named { swarm, addrs });
    }

    /// Whom the tracker knows in which swarm.
    pub fn listed(&self) -> impl Iterator<Item = (InfoHash, SocketAddr)> {
        self.listed.iter().copied()
    }

    /// Has the tracker list an address at which nobody may be.
    pub fn list(&mut self, swarm: InfoHash, addr: SocketAddr) {
        self.listed.insert((swarm, addr));
    }

    /// The host vanishes. Half of its streams are reset, as when a process dies; the others fall
    /// silent, as when the power fails: the other ends learn of it by their own patience.
    pub fn crash(&mut self, host: HostId) {
        let of_host = |conn: &Conn, side: usize| conn.hosts[side] == Some(host);
        for conn in 0..self.conns.len() {
            for side in 0..2 {
                if !of_host(&self.conns[conn], side) || self.conns[conn].closed[side] {
                    continue;
                }
                let link = Link { conn, side };
                if self.rng.below(2) == 0 {
                    self.end(link, true);
                } else {
                    self.conns[conn].closed[side] = true;
                    self.stop_reading(link);
                }
            }
        }
        self.hosts[host.0].up = false;
        self.hosts[host.0].life += 1;
    }

    /// The host comes up again at `at`.
    pub fn restart(&mut self, host: HostId, at: Moment) {
        self.hosts[host.0].up = true;
        self.schedule(at, host, Happening::Started);
    }

    /// Whether the host is up.
    pub fn is_up(&self, host: HostId) -> bool {
        self.hosts[host.0].up
    }

    fn end(&mut self, link: Link, reset: bool) {
        let conn = &mut self.conns[link.conn];
        if std::mem::replace(&mut conn.closed[link.side], true) {
            return;
        }
        let other = link.other();
        if conn.stalls_in[link.side] == Some(0) {
            return;
        }
        if let (Some(here), Some(there)) = (conn.hosts[link.side], conn.hosts[other.side]) {
            let arrives = self.now.max(self.hosts[here.0].up_free) + self.latency(here, there);
            let at = arrives.max(self.conns[link.conn].last_arrival[other.side]);
            self.schedule(at, there, Happening::Ended { link: other, reset });
        }
    }

    /// Cuts into segments and sends them; returns when the last byte leaves, if it does.
    fn send_segments(&mut self, link: Link, mut chunk: Chunk) -> Option<Moment> {
        let conn = &mut self.conns[link.conn];
        let mut stuck = 0;
        if let Some(rest) = &mut conn.stalls_in[link.side] {
            let len = chunk.range.len();
            let leaves = usize::try_from(*rest).map_or(len, |rest| rest.min(len));
            *rest -= leaves as u64;
            stuck = len - leaves;
            conn.waiting[link.side] += stuck as u64;
            conn.stuck[link.side] |= stuck > 0;
            chunk = chunk.split(leaves).0;
        }
        let mut left = self.now;
        while !chunk.range.is_empty() {
            let len = chunk.range.len();
            let cut = match self.rng.below(4) {
                0 => 1 + self.rng.below(len as u64) as usize,
                _ => len,
            };
            let (segment, rest) = chunk.split(cut);
            left = self.send_segment(link, segment);
            chunk = rest;
        }
        (stuck == 0).then_some(left)
    }

    /// Whether and where a new stream stalls: after a byte that is as likely among the first hundred
    /// as among the first million.
    fn draw_stall(&mut self) -> [Option<u64>; 2] {
        let stalls = self.config.stall_per_mille;
        if stalls == 0 || self.rng.below(1000) >= stalls {
            return [None; 2];
        }
        let most = 1 << self.rng.below(21);
        let bytes = Some(self.rng.below(most));
        match self.rng.below(2) {
            0 => [bytes, None],
            _ => [None, bytes],
        }
    }

    fn send_segment(&mut self, link: Link, bytes: Chunk) -> Moment {
        let other = link.other();
        let conn = &self.conns[link.conn];
        let (Some(here), Some(there)) = (conn.hosts[link.side], conn.hosts[other.side]) else {
            return self.now;
        };
        if conn.closed[link.side] {
            return self.now;
        }
        let len = bytes.range.len() as u64;
        let host = &mut self.hosts[here.0];
        let left = self.now.max(host.up_free) + transfer(len, host.up_rate);
        host.up_free = left;
        let lost = self.rng.below(1000) < self.config.loss_per_mille;
        let retransmission =
            Duration::from_millis(if lost { 200 + self.rng.below(800) } else { 0 });
        let arrives = left + self.latency(here, there) + retransmission;
        let host = &mut self.hosts[there.0];
        // The downlink is served in the order in which segments are sent, not in which they arrive:
        // near enough, and much faster.
        host.down_free = host.down_free.max(self.now) + transfer(len, host.down_rate);
        let at = arrives
            .max(host.down_free)
            .max(self.conns[link.conn].last_arrival[other.side]);
        self.conns[link.conn].last_arrival[other.side] = at;
        self.schedule(at, there, Happening::Bytes { link: other, bytes });
        left
    }

    /// The same for both directions of a pair, drawn from the pair.
    fn latency(&self, a: HostId, b: HostId) -> Duration {
        let pair = ((a.0.min(b.0) as u64) << 32) | a.0.max(b.0) as u64;
        let range = &self.config.latency_ms;
        let spread = (range.end - range.start).max(1) * 1_000_000;
        let mut rng = Rng::new(self.latency_seed ^ pair.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Duration::from_nanos(range.start * 1_000_000 + rng.below(spread))
    }

    fn schedule(&mut self, at: Moment, host: HostId, what: Happening) {
        self.seq += 1;
        let life = self.hosts[host.0].life;
        self.queue.push(Reverse(Entry {
            at,
            seq: self.seq,
            host,
            life,
            what,
        }));
    }

    /// Nothing arrives at an end that is closed.
    fn is_current(&self, what: &Happening) -> bool {
        match what {
            Happening::Connected { link }
            | Happening::ConnectFailed { link, .. }
            | Happening::Incoming { link, .. }
            | Happening::Bytes { link, .. }
            | Happening::Left { link, .. }
            | Happening::Ended { link, .. } => !self.conns[link.conn].closed[link.side],
            Happening::Started
            | Happening::Datagram { .. }
            | Happening::Timer { .. }
            | Happening::Named { .. } => true,
        }
    }
}

fn transfer(len: u64, rate: u64) -> Duration {
    Duration::from_nanos(len.saturating_mul(1_000_000_000) / rate.max(1))
}
