//! What must hold for the observer whatever peers, trackers and the network do, and for any bytes
//! that are given as its configuration.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use skep_evidence::{
    capture::{Direction, Packet, Renderer, Section},
    clock::ClockSample,
    journal::{CaptureOffset, ConnId, ConnectFailure, EndKind, Entry, Input, QueryId},
    record::Record,
};
use skep_observe::{Action, Config, Duty, Replay, Target};
use skep_wire::{
    Block, InfoHash, Moment, PeerId, PieceIndex,
    bencode::{Dict, Item},
    metainfo::Metainfo,
    peer::{Handshake, Reserved, piece_header},
};

use crate::Law;

/// Every target on this crate.
pub const LAWS: &[Law] = &[("observe_config", observe_config), ("observer", observer)];

/// A configuration has one encoding.
pub fn observe_config(data: &[u8]) {
    if let Ok(config) = Config::decode(data) {
        assert_eq!(config.encode(), data);
    }
}

/// A world that keeps to the driver's contract, and is otherwise as bad as the input says, finds no
/// fault in the machine; every record can be read; and the same entries give the same records.
pub fn observer(data: &[u8]) {
    let mut world = World::new(data);
    while world.act() {}
    let mut again = replay();
    for (entry, bytes, records) in &world.journal {
        let step = again.step(entry, bytes).expect("as the first time");
        assert_eq!(&step.records, records);
    }
}

/// The torrent file of the one target.
pub(crate) fn torrent() -> Vec<u8> {
    let tiers = [
        Item::list(["udp://127.0.0.1:6001"]),
        Item::list(["http://127.0.0.1:1/announce", "udp://name:6"]),
    ];
    // One piece of 64 zeroes.
    let info = Dict::new()
        .with("length", 64)
        .with("name", "x")
        .with("piece length", 16_384)
        .with("pieces", &skep_hash::sha1(&[0; 64]).0);
    Dict::new()
        .with("announce-list", Item::list(tiers))
        .with("info", info)
        .encode()
}

fn target() -> Target {
    let torrent = torrent();
    let metainfo = Metainfo::from_bytes(&torrent).expect("a torrent");
    Target {
        place: 0,
        torrent: skep_hash::sha256(&torrent),
        info_hash: metainfo.info_hash,
        metainfo,
    }
}

/// What the capture says of itself.
pub(crate) fn section() -> Section {
    Section {
        observer: OBSERVER.to_owned(),
        run: 1,
        version: VERSION.to_owned(),
    }
}

/// The observer's name.
pub(crate) const OBSERVER: &str = "fuzz.example/observer";
/// The observer's version.
pub(crate) const VERSION: &str = "0.1.0";

/// The run's configuration.
pub(crate) fn config() -> Config {
    Config {
        run: 1,
        bind: [127, 0, 0, 1].into(),
        listen_port: 6881,
        seed: [3; 32],
        endpoints: vec![(0, addr(9))],
        pieces_per_visit: 2,
        whole: false,
        revisit_secs: 30,
        visit_secs: 20,
        connect_ms: 1_000,
        conns_max: 4,
        announce_secs: 60,
    }
}

fn replay() -> Replay {
    Replay::new(config(), vec![target()])
}

fn addr(n: u8) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, n], 6881))
}

/// One connection, as the driver sees it.
struct Conn {
    id: ConnId,
    remote: SocketAddr,
    stands: bool,
    /// When connecting has failed at the latest.
    due: Moment,
    unsent: VecDeque<u8>,
}

/// A run under way.
pub(crate) struct World<'a> {
    replay: Replay,
    now: Moment,
    data: &'a [u8],
    conns: Vec<Conn>,
    datagrams: VecDeque<(SocketAddr, Vec<u8>)>,
    /// Where datagrams of ours went, to be answered.
    asked: Vec<(SocketAddr, Vec<u8>)>,
    queries: VecDeque<QueryId>,
    incoming: u32,
    renderer: Renderer,
    /// The capture file.
    pub(crate) capture: Vec<u8>,
    /// Every entry, its bytes, and the records that it led to.
    pub(crate) journal: Vec<(Entry, Vec<u8>, Vec<Record>)>,
}

impl<'a> World<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        let (renderer, capture) = Renderer::new(&section());
        let mut world = Self {
            replay: replay(),
            now: Moment::ZERO,
            data,
            conns: Vec::new(),
            datagrams: VecDeque::new(),
            asked: Vec::new(),
            queries: VecDeque::new(),
            incoming: 0,
            renderer,
            capture,
            journal: Vec::new(),
        };
        world.clock();
        world
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.data.split_first()?;
        self.data = rest;
        Some(*byte)
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let (bytes, rest) = self.data.split_at(len.min(self.data.len()));
        self.data = rest;
        bytes.to_vec()
    }

    /// Does what the next byte says; `false` at the end.
    pub(crate) fn act(&mut self) -> bool {
        let (Some(what), Some(with)) = (self.byte(), self.byte()) else {
            return false;
        };
        if self.replay.is_over() {
            return false;
        }
        match what % 16 {
            0 => self.wait(u64::from(with) * 100),
            1 => self.wait(u64::from(with) * 10_000),
            2 => self.resolve(with),
            3 | 4 => self.open(with),
            5 => self.fail(with),
            6 => self.come_in(with),
            7 | 8 => {
                let bytes = self.bytes(usize::from(with));
                self.receive(what, bytes);
            }
            9 => {
                let handshake = Handshake {
                    reserved: Reserved([0, 0, 0, 0, 0, with & 0x10, 0, with & 4]),
                    info_hash: InfoHash(target().metainfo.info_hash.0),
                    peer_id: PeerId([with; 20]),
                };
                self.receive(with, handshake.encode().to_vec());
            }
            10 => {
                let block = Block {
                    piece: PieceIndex(0),
                    begin: 0,
                    len: 64,
                };
                let mut message = piece_header(block).to_vec();
                message.extend([with >> 7; 64]);
                self.receive(with, message);
            }
            11 => self.send(with),
            12 => self.end(with),
            13 => self.answer(with),
            14 => self.send_datagram(),
            _ if with == 255 => self.step(Input::Stop, Vec::new()),
            _ if with % 2 == 1 => self.stall(u64::from(with)),
            _ => self.clock(),
        }
        true
    }

    fn step(&mut self, input: Input, bytes: Vec<u8>) {
        let entry = Entry {
            at: self.now,
            input,
        };
        self.renderer.learn(&entry).expect("an entry of this run");
        let step = match self.replay.step(&entry, &bytes) {
            Ok(step) => step,
            Err(fault) => panic!("{entry:?}: {fault}"),
        };
        for record in &step.records {
            assert_eq!(Record::decode(&record.encode()).as_ref(), Ok(record));
        }
        self.journal.push((entry, bytes, step.records));
        step.actions
            .into_iter()
            .for_each(|action| self.take(action));
    }

    fn take(&mut self, action: Action) {
        match action {
            Action::Resolve { query, .. } => self.queries.push_back(query),
            Action::Connect {
                conn: id,
                remote,
                timeout_ms,
            } => {
                let due = self.now + Duration::from_millis(timeout_ms.into());
                self.conns.push(Conn {
                    id,
                    remote,
                    stands: false,
                    due,
                    unsent: VecDeque::new(),
                });
            }
            Action::Send { conn, bytes } => {
                let open = self.conns.iter_mut().find(|open| open.id == conn);
                open.expect("the machine sends on what stands")
                    .unsent
                    .extend(bytes);
            }
            Action::Close { conn } => self.conns.retain(|open| open.id != conn),
            Action::SendTo { remote, bytes } => self.datagrams.push_back((remote, bytes)),
            Action::Finished => {}
        }
    }

    /// A step with bytes, which stand in the capture first.
    fn step_with(
        &mut self,
        packet: Packet,
        bytes: Vec<u8>,
        input: impl FnOnce(CaptureOffset, u32) -> Input,
    ) {
        let (at, block) = self
            .renderer
            .packet(self.now, packet, &bytes)
            .expect("the connection is open");
        self.capture.extend(block);
        self.step(input(at, bytes.len() as u32), bytes);
    }

    fn clock(&mut self) {
        let sample = ClockSample {
            before: self.now,
            after: self.now,
            utc_us: 1_795_400_000_000_000,
            error_us_max: 9,
            synchronised: true,
        };
        self.step(Input::Clock(sample), Vec::new());
    }

    /// Stands still for so many seconds; then does what was due, as the driver promises.
    fn stall(&mut self, secs: u64) {
        self.now = self.now + Duration::from_secs(secs);
        while let Some((at, duty)) = self.replay.poll_duty(self.now)
            && at < self.now
        {
            match duty {
                Duty::Clock => self.clock(),
                Duty::Outcome(conn) => self.time_out(conn),
            }
        }
    }

    fn time_out(&mut self, conn: ConnId) {
        self.conns.retain(|open| open.id != conn);
        let reason = ConnectFailure::TimedOut;
        self.step(Input::Failed { conn, reason }, Vec::new());
    }

    /// Lets time pass, with a call whenever the machine wants one. What is due by then, such as that a
    /// connect times out, happens as the driver promises.
    fn wait(&mut self, ms: u64) {
        let until = self.now + Duration::from_millis(ms);
        for _ in 0..50 {
            let due = self.replay.poll_duty(self.now);
            let timer = self.replay.poll_timeout().map(|(at, _)| at);
            if self.replay.is_over() {
                break;
            }
            match (due, timer) {
                (Some((at, duty)), timer)
                    if at <= until && timer.is_none_or(|timer| at <= timer) =>
                {
                    self.now = self.now.max(at);
                    match duty {
                        Duty::Clock => self.clock(),
                        Duty::Outcome(conn) => self.time_out(conn),
                    }
                }
                (_, Some(at)) if at <= until => {
                    self.now = self.now.max(at);
                    self.step(Input::Timeout, Vec::new());
                }
                _ => {
                    self.now = until;
                    break;
                }
            }
        }
    }

    fn resolve(&mut self, with: u8) {
        if let Some(query) = self.queries.pop_front() {
            let addrs = (0..with % 4).map(|n| addr(n).ip()).collect();
            self.step(Input::Resolved { query, addrs }, Vec::new());
        }
    }

    /// One of the connections that stand, or do not.
    fn pick(&mut self, stands: bool, with: u8) -> Option<&mut Conn> {
        let mut some: Vec<&mut Conn> = self
            .conns
            .iter_mut()
            .filter(|conn| conn.stands == stands)
            .collect();
        (!some.is_empty()).then(|| some.swap_remove(usize::from(with) % some.len()))
    }

    fn open(&mut self, with: u8) {
        if let Some(conn) = self.pick(false, with) {
            conn.stands = true;
            let (conn, remote) = (conn.id, conn.remote);
            self.step(
                Input::Opened {
                    conn,
                    local: addr(1),
                    remote,
                },
                Vec::new(),
            );
        }
    }

    fn fail(&mut self, with: u8) {
        let now = self.now;
        if let Some((conn, due)) = self.pick(false, with).map(|conn| (conn.id, conn.due)) {
            let reason = match with >> 6 {
                0 => ConnectFailure::Refused,
                1 if due <= now => ConnectFailure::TimedOut,
                1 => ConnectFailure::Local(110),
                2 => ConnectFailure::Unreachable,
                _ => ConnectFailure::Local(24),
            };
            self.conns.retain(|open| open.id != conn);
            self.step(Input::Failed { conn, reason }, Vec::new());
        }
    }

    fn come_in(&mut self, with: u8) {
        let conn = ConnId(2 * self.incoming + 1);
        self.incoming += 1;
        let remote = addr(with);
        let (due, unsent) = (self.now, VecDeque::new());
        self.conns.push(Conn {
            id: conn,
            remote,
            stands: true,
            due,
            unsent,
        });
        self.step(
            Input::Incoming {
                conn,
                local: addr(1),
                remote,
            },
            Vec::new(),
        );
    }

    fn receive(&mut self, with: u8, bytes: Vec<u8>) {
        if let Some(conn) = self.pick(true, with).map(|conn| conn.id)
            && !bytes.is_empty()
        {
            let packet = Packet::Tcp {
                conn,
                direction: Direction::In,
            };
            self.step_with(packet, bytes, |capture, len| Input::Received {
                conn,
                capture,
                len,
            });
        }
    }

    fn send(&mut self, with: u8) {
        let Some(open) = self.pick(true, with) else {
            return;
        };
        let len = open.unsent.len().min(usize::from(with) + 1);
        let (conn, bytes) = (open.id, open.unsent.drain(..len).collect::<Vec<u8>>());
        if len > 0 {
            let packet = Packet::Tcp {
                conn,
                direction: Direction::Out,
            };
            self.step_with(packet, bytes, |capture, len| Input::Sent {
                conn,
                capture,
                len,
            });
        }
    }

    fn end(&mut self, with: u8) {
        if let Some(conn) = self.pick(true, with).map(|conn| conn.id) {
            let how = match with >> 6 {
                0 => EndKind::Closed,
                1 => EndKind::Reset,
                _ => EndKind::Error(110),
            };
            self.conns.retain(|open| open.id != conn);
            self.step(Input::Ended { conn, how }, Vec::new());
        }
    }

    /// The oldest datagram goes out.
    fn send_datagram(&mut self) {
        if let Some((remote, bytes)) = self.datagrams.pop_front() {
            self.asked.push((remote, bytes.clone()));
            let local = addr(1);
            let packet = Packet::Udp {
                local,
                remote,
                direction: Direction::Out,
            };
            self.step_with(packet, bytes, |capture, len| Input::DatagramSent {
                local,
                remote,
                capture,
                len,
            });
        }
    }

    /// An answer to the last datagram, with its transaction's number put in its place.
    fn answer(&mut self, with: u8) {
        let mut bytes = self.bytes(usize::from(with));
        let remote = match self.asked.last() {
            Some((remote, asked)) => {
                if let (Some(to), Some(from)) = (bytes.get_mut(4..8), asked.get(12..16)) {
                    to.copy_from_slice(from);
                }
                *remote
            }
            None => addr(77),
        };
        let local = addr(1);
        let packet = Packet::Udp {
            local,
            remote,
            direction: Direction::In,
        };
        self.step_with(packet, bytes, |capture, len| Input::Datagram {
            local,
            remote,
            capture,
            len,
        });
    }

    /// Ends the run as its operator would.
    pub(crate) fn finish(&mut self) {
        if !self.replay.is_over() {
            self.step(Input::Stop, Vec::new());
        }
        for _ in 0..100 {
            self.wait(600_000);
        }
        assert!(self.replay.is_over(), "a run that is to end ends");
    }
}

#[cfg(test)]
mod tests {
    use skep_observe::ConfigError;

    use super::*;

    /// A seed in which the rule is that of an older version would reach nothing behind it.
    #[test]
    fn the_seeds_of_the_configuration_are_of_this_version() {
        let read = |seed: &[u8]| Config::decode(seed).map(|_| ());
        let seed = include_bytes!("../corpus/observe_config/seed-endpoints");
        assert_eq!(read(seed), Ok(()));
        let limits = include_bytes!("../corpus/observe_config/seed-limits");
        assert_eq!(read(limits), Ok(()));
        let beyond = read(include_bytes!(
            "../corpus/observe_config/seed-beyond-limits"
        ));
        let refused = matches!(beyond, Err(ConfigError::Plan { got: 600_001, .. }));
        assert!(refused, "{beyond:?}");
    }
}
