//! The machine: entries in, actions and records out.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use skep_evidence::{
    clock::ClockSample,
    grade::Reached,
    journal::{CaptureOffset, ConnId, ConnectFailure, EndKind, Entry, Input, QueryId},
    record::{Body, CloseKind, NamedBy, Record, Source, TargetIndex, Transport},
};
use skep_proto::{drain::Span, tracker::client::Ask};
use skep_wire::Moment;

use crate::{
    Config, Env, Fault, Target, World,
    action::Action,
    desk::{Desk, DeskConn, no_connection},
    identity::Identity,
    notes::Notes,
    stream::Incoming,
    swarm::{Endpoint, Named, Namer, Naming, Swarm},
    timers::{Timer, Timers},
    visit::Visit,
};

/// Greatest number of bytes in one `Received`, `Sent` or datagram entry: what fits a packet block
/// that every tool reads.
pub const ENTRY_BYTES_MAX: u32 = 64_000;

/// Seconds that trackers get to hear that we leave, once the run shall end.
pub const FAREWELL_SECS_MAX: u64 = 8;

/// How many datagrams of ours may wait for the system.
pub const DATAGRAMS_WAITING_MAX: usize = 1_024;

/// The observer machine. See the crate's documentation.
pub struct Observer {
    world: World,
    notes: Notes,
    /// Bytes of pieces that are under way.
    fetching: u64,
    heard: Vec<(usize, Naming)>,
    /// How many incoming connections joined.
    incoming: u32,
    attempts: u32,
    conns: BTreeMap<ConnId, Conn>,
    /// How many of them are visits of ours, and incoming ones.
    visits_out: u32,
    visits_in: u32,
    next_conn: u32,
    last_incoming: Option<ConnId>,
    desks: Vec<Desk>,
    queries: BTreeMap<QueryId, (usize, u32)>,
    next_query: u32,
    datagrams: VecDeque<(SocketAddr, Vec<u8>)>,
    /// Whom to visit next: when, in which order, in which swarm.
    schedule: BTreeSet<(Moment, u64, usize, SocketAddr)>,
    timers: Timers,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Before the first entry.
    New,
    Running,
    /// Trackers hear that we leave, until then at the latest.
    Leaving(Moment),
    Over,
}

enum Conn {
    Visit(Box<Visit>),
    Desk(Box<DeskConn>),
}

impl std::fmt::Debug for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (phase, conns) = (self.phase, self.conns.len());
        f.debug_struct("Observer")
            .field("phase", &phase)
            .field("conns", &conns)
            .finish()
    }
}

impl Observer {
    /// Starts a run. `targets` are in the order that `RunStarted` commits to. Endpoints that the
    /// configuration names for a target that is not there are passed over.
    pub fn new(config: Config, targets: Vec<Target>) -> Self {
        let identity = Identity::new(config.seed);
        let swarms: Vec<Swarm> = targets
            .into_iter()
            .zip(0..)
            .map(|(target, index)| Swarm::new(TargetIndex(index), target))
            .collect();
        let desks = swarms
            .iter()
            .enumerate()
            .flat_map(|(place, swarm)| Desk::all(swarm, place, &config, &identity))
            .collect();
        Self {
            notes: Notes::new(config.run),
            world: World {
                config,
                identity,
                swarms,
            },
            fetching: 0,
            heard: Vec::new(),
            incoming: 0,
            attempts: 0,
            conns: BTreeMap::new(),
            visits_out: 0,
            visits_in: 0,
            next_conn: 0,
            last_incoming: None,
            desks,
            queries: BTreeMap::new(),
            next_query: 0,
            datagrams: VecDeque::new(),
            schedule: BTreeSet::new(),
            timers: Timers::default(),
            phase: Phase::New,
        }
    }

    /// Feeds one journal entry; `bytes` are what it points at in the capture (empty where it points
    /// at nothing). Drain [`Observer::poll_record`] and [`Observer::poll_action`] to `None` before
    /// the next.
    ///
    /// # Errors
    ///
    /// [`Fault`]: the entry is none that a driver of this machine can make after the ones before. A
    /// live driver that sees one has broken its contract; in a replay the journal was altered. The
    /// machine is of no use after it.
    pub fn handle_entry(&mut self, entry: &Entry, bytes: &[u8]) -> Result<(), Fault> {
        self.check(entry, bytes)?;
        self.notes.now = entry.at;
        match &entry.input {
            Input::Clock(sample) => self.clock(*sample),
            Input::Timeout => {}
            Input::Resolved { query, addrs } => {
                let (desk, number) = self
                    .queries
                    .remove(query)
                    .ok_or(Fault::Query { query: *query })?;
                self.desks[desk]
                    .announcer
                    .handle_resolved(number, addrs, entry.at);
                self.run_desk(desk, None);
            }
            Input::Opened { conn, remote, .. } => self.opened(entry, *conn, *remote)?,
            Input::Failed { conn, reason } => self.failed(*conn, *reason)?,
            Input::Incoming { conn, .. } => self.came_in(entry, *conn)?,
            Input::Received { conn, capture, .. } => self.received(*conn, *capture, bytes)?,
            Input::Sent { conn, .. } => self.sent(*conn, bytes)?,
            Input::Ended { conn, how } => self.ended(*conn, *how)?,
            Input::Datagram {
                remote, capture, ..
            } => self.datagram(*remote, *capture, bytes),
            Input::DatagramSent { remote, .. } => self.datagram_sent(*remote, bytes)?,
            Input::Stop => self.stop(),
        }
        self.go_on();
        Ok(())
    }

    /// What to do next.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.notes.next_action()
    }

    /// What to write down next.
    pub fn poll_record(&mut self) -> Option<Record> {
        self.notes.next_record()
    }

    /// When to feed `Input::Timeout` next, and for which timer. Every entry brings the time, so a
    /// timeout is needed only if nothing else comes until then.
    pub fn poll_timeout(&self) -> Option<(Moment, &'static str)> {
        let leaving = match self.phase {
            Phase::New | Phase::Over => return None,
            Phase::Running => None,
            Phase::Leaving(until) => Some((until, "farewell")),
        };
        let timer = self.timers.first().map(|(at, timer)| match timer {
            Timer::Visit(_) => (at, "visit"),
            Timer::Tracker(_) => (at, "tracker"),
        });
        let visit = self.schedule.first().filter(|_| self.has_room());
        let visit = visit.map(|&(at, ..)| (at, "next visit"));
        [leaving, timer, visit].into_iter().flatten().min()
    }

    /// Whether [`Action::Finished`] was said.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// What every entry must keep to.
    fn check(&self, entry: &Entry, bytes: &[u8]) -> Result<(), Fault> {
        if self.phase == Phase::Over {
            return Err(Fault::AfterEnd);
        }
        if self.phase == Phase::New && !matches!(entry.input, Input::Clock(_)) {
            return Err(Fault::NoClock);
        }
        if entry.at < self.notes.now {
            return Err(Fault::Backwards {
                at: entry.at,
                last: self.notes.now,
            });
        }
        let said = match entry.input {
            Input::Received { len, .. }
            | Input::Sent { len, .. }
            | Input::Datagram { len, .. }
            | Input::DatagramSent { len, .. } => len,
            Input::Clock(_)
            | Input::Timeout
            | Input::Resolved { .. }
            | Input::Opened { .. }
            | Input::Failed { .. }
            | Input::Incoming { .. }
            | Input::Ended { .. }
            | Input::Stop => 0,
        };
        if said as usize != bytes.len() {
            return Err(Fault::Len {
                said,
                got: bytes.len(),
            });
        }
        if said > ENTRY_BYTES_MAX {
            return Err(Fault::TooLong {
                said,
                limit: ENTRY_BYTES_MAX,
            });
        }
        Ok(())
    }

    fn clock(&mut self, sample: ClockSample) {
        self.notes.clock = Some(sample);
        self.notes.write(Body::Clock {
            error_us_max: sample.error_us_max,
        });
        if self.phase == Phase::New {
            self.phase = Phase::Running;
            self.begin();
        }
    }

    /// The first clock sample is there: says whom it watches, and asks the trackers.
    fn begin(&mut self) {
        for swarm in &self.world.swarms {
            let info = &swarm.target.metainfo.info;
            self.notes.write(Body::Target {
                target: swarm.index,
                info_hash: swarm.target.metainfo.info_hash,
                torrent: swarm.target.torrent,
                name: info.name.clone(),
                size_bytes: info.size_bytes,
                piece_len: info.piece_len,
                piece_count: info.piece_count(),
            });
        }
        for (target, endpoint) in self.world.config.endpoints.clone() {
            let (namer, by, source) = (Namer::Operator, NamedBy::Operator, None);
            if (target as usize) < self.world.swarms.len() {
                self.heard.push((
                    target as usize,
                    Naming {
                        endpoint,
                        namer,
                        by,
                        source,
                    },
                ));
            }
        }
        self.take_heard();
        for desk in 0..self.desks.len() {
            self.desks[desk].announcer.start(self.notes.now);
            self.run_desk(desk, None);
        }
    }

    fn opened(&mut self, entry: &Entry, conn: ConnId, remote: SocketAddr) -> Result<(), Fault> {
        let fault = Fault::Conn {
            conn,
            input: "opened",
        };
        match self.conns.get_mut(&conn) {
            Some(Conn::Visit(visit)) if visit.is_connecting() && visit.endpoint == remote => {
                let reached = Reached::from_entry(entry).expect("the entry opens a connection");
                self.visit(conn, |visit, env| visit.opened(reached, env));
                Ok(())
            }
            Some(Conn::Desk(desk)) if !desk.stands && desk.remote == remote => {
                desk.stands = true;
                let (desk, number) = (desk.desk, desk.number);
                self.desks[desk]
                    .announcer
                    .handle_opened(number, self.notes.now);
                self.run_desk(desk, None);
                Ok(())
            }
            Some(Conn::Visit(_) | Conn::Desk(_)) | None => Err(fault),
        }
    }

    fn failed(&mut self, conn: ConnId, reason: ConnectFailure) -> Result<(), Fault> {
        let fault = Fault::Conn {
            conn,
            input: "failed",
        };
        match self.conns.get_mut(&conn) {
            Some(Conn::Visit(visit)) if visit.is_connecting() => {
                self.visit(conn, |visit, env| visit.failed(reason, env));
                Ok(())
            }
            Some(Conn::Desk(desk)) if !desk.stands => {
                let (desk, number) = (desk.desk, desk.number);
                self.drop_desk_conn(conn);
                let why = no_connection(reason);
                self.desks[desk]
                    .announcer
                    .handle_failed(number, why, self.notes.now);
                self.run_desk(desk, None);
                Ok(())
            }
            Some(Conn::Visit(_) | Conn::Desk(_)) | None => Err(fault),
        }
    }

    fn came_in(&mut self, entry: &Entry, conn: ConnId) -> Result<(), Fault> {
        if conn.0 % 2 != 1 || self.last_incoming.is_some_and(|last| conn <= last) {
            return Err(Fault::Conn {
                conn,
                input: "incoming",
            });
        }
        self.last_incoming = Some(conn);
        let reached = Reached::from_entry(entry).expect("the entry is of a connection that stands");
        let full = self.visits_in >= self.world.config.conns_max;
        let leaving = self.phase != Phase::Running;
        let (mut env, conns) = self.split();
        let visit = Visit::incoming(reached, &mut env);
        conns.insert(conn, Conn::Visit(Box::new(visit)));
        self.visits_in += 1;
        if full {
            let limit = self.world.config.conns_max.into();
            self.notes.limited(None, None, "conns_max", limit);
        }
        let how = if leaving {
            CloseKind::UsStopped
        } else {
            CloseKind::UsDone
        };
        self.visit(conn, |visit, env| {
            if full || leaving {
                visit.close(how, env);
            }
        });
        Ok(())
    }

    fn received(
        &mut self,
        conn: ConnId,
        capture: CaptureOffset,
        bytes: &[u8],
    ) -> Result<(), Fault> {
        let fault = Fault::Conn {
            conn,
            input: "received",
        };
        match self.conns.get_mut(&conn) {
            Some(Conn::Visit(visit)) if !visit.is_connecting() => {
                self.visit(conn, |visit, env| visit.received(capture, bytes, env));
                Ok(())
            }
            Some(Conn::Desk(desk)) if desk.stands => {
                desk.input.push(capture, bytes);
                desk.input.release(desk.input.len());
                let source = desk.input.source_of_all();
                let (desk, number) = (desk.desk, desk.number);
                self.desks[desk]
                    .announcer
                    .handle_bytes(number, bytes, self.notes.now);
                self.run_desk(desk, source);
                Ok(())
            }
            Some(Conn::Visit(_) | Conn::Desk(_)) | None => Err(fault),
        }
    }

    fn sent(&mut self, conn: ConnId, bytes: &[u8]) -> Result<(), Fault> {
        match self.conns.get_mut(&conn) {
            Some(Conn::Visit(visit)) if !visit.is_connecting() => visit.sent(bytes),
            Some(Conn::Desk(desk)) if desk.stands => desk.output.sent(bytes),
            Some(Conn::Visit(_) | Conn::Desk(_)) | None => {
                return Err(Fault::Conn {
                    conn,
                    input: "sent",
                });
            }
        }
        .ok_or(Fault::NotQueued { conn })
    }

    fn ended(&mut self, conn: ConnId, how: EndKind) -> Result<(), Fault> {
        let fault = Fault::Conn {
            conn,
            input: "ended",
        };
        match self.conns.get_mut(&conn) {
            Some(Conn::Visit(visit)) if !visit.is_connecting() => {
                self.visit(conn, |visit, env| visit.ended(how, env));
                Ok(())
            }
            Some(Conn::Desk(desk)) if desk.stands => {
                let source = desk.input.source_of_all();
                let (desk, number) = (desk.desk, desk.number);
                self.drop_desk_conn(conn);
                self.desks[desk]
                    .announcer
                    .handle_end(number, self.notes.now);
                self.run_desk(desk, source);
                Ok(())
            }
            Some(Conn::Visit(_) | Conn::Desk(_)) | None => Err(fault),
        }
    }

    fn datagram(&mut self, remote: SocketAddr, capture: CaptureOffset, bytes: &[u8]) {
        let mut stream = Incoming::default();
        stream.push(capture, bytes);
        let source = stream.source(Span {
            start: 0,
            end: bytes.len() as u64,
        });
        for desk in 0..self.desks.len() {
            let now = self.notes.now;
            if self.desks[desk]
                .announcer
                .handle_datagram(remote, bytes, now)
            {
                self.run_desk(desk, source);
                return;
            }
        }
    }

    /// The oldest datagram went out. One that the system would not take is passed over.
    fn datagram_sent(&mut self, remote: SocketAddr, bytes: &[u8]) -> Result<(), Fault> {
        while let Some((to, queued)) = self.datagrams.pop_front() {
            if to == remote && queued == bytes {
                return Ok(());
            }
        }
        Err(Fault::DatagramNotQueued)
    }

    /// Begins to end the run; the second time ends it at once.
    fn stop(&mut self) {
        if let Phase::Leaving(_) = self.phase {
            self.phase = Phase::Leaving(self.notes.now);
            return;
        }
        self.phase = Phase::Leaving(self.notes.now + Duration::from_secs(FAREWELL_SECS_MAX));
        self.schedule.clear();
        let open: Vec<ConnId> = self.conns.keys().copied().collect();
        for conn in open {
            self.visit(conn, |visit, env| visit.close(CloseKind::UsStopped, env));
        }
        for desk in 0..self.desks.len() {
            self.desks[desk].announcer.stop(self.notes.now);
            self.run_desk(desk, None);
        }
    }

    /// Does all that is due.
    fn go_on(&mut self) {
        let now = self.notes.now;
        for timer in self.timers.due(now) {
            match timer {
                Timer::Visit(conn) => self.visit(conn, Visit::timeout),
                Timer::Tracker(desk) => {
                    self.desks[desk].announcer.handle_timeout(now);
                    self.run_desk(desk, None);
                }
            }
        }
        match self.phase {
            Phase::New | Phase::Over => {}
            Phase::Running => self.visit_due(),
            Phase::Leaving(until) => {
                let said = self.desks.iter().all(|desk| desk.announcer.is_stopped());
                if said || until <= now {
                    self.finish();
                }
            }
        }
    }

    fn finish(&mut self) {
        let left: Vec<ConnId> = self.conns.keys().copied().collect();
        for conn in left {
            self.drop_desk_conn(conn);
            self.notes.act(Action::Close { conn });
        }
        let listed: usize = self
            .world
            .swarms
            .iter()
            .map(|swarm| swarm.endpoints.len())
            .sum();
        let endpoints = u32::try_from(listed)
            .unwrap_or(u32::MAX)
            .saturating_add(self.incoming);
        self.notes.write(Body::RunEnded {
            endpoints,
            attempts: self.attempts,
        });
        self.notes.act(Action::Finished);
        self.phase = Phase::Over;
    }

    /// Whether another connection of ours may be opened.
    fn has_room(&self) -> bool {
        self.visits_out < self.world.config.conns_max
    }

    /// Connects to everybody whose turn it is.
    fn visit_due(&mut self) {
        while self.has_room()
            && let Some(&(at, order, swarm, endpoint)) = self.schedule.first()
            && at <= self.notes.now
        {
            self.schedule.remove(&(at, order, swarm, endpoint));
            let conn = self.take_conn();
            let known = self.endpoint(swarm, endpoint);
            known.conn = Some(conn);
            let memory = std::mem::take(&mut known.memory);
            let visit = Visit::outgoing(conn, swarm, endpoint, memory);
            self.conns.insert(conn, Conn::Visit(Box::new(visit)));
            self.visits_out += 1;
            self.attempts = self.attempts.saturating_add(1);
            let target = self.world.swarms[swarm].index;
            let transport = Transport::Tcp;
            self.notes.write(Body::Attempted {
                target,
                conn,
                endpoint,
                transport,
            });
            let timeout_ms = self.world.config.connect_ms;
            self.notes.act(Action::Connect {
                conn,
                remote: endpoint,
                timeout_ms,
            });
        }
    }

    /// Does something with a visit, if there is one of that number, and then what follows from it.
    fn visit(&mut self, conn: ConnId, act: impl FnOnce(&mut Visit, &mut Env<'_>)) {
        let (mut env, conns) = self.split();
        let Some(Conn::Visit(visit)) = conns.get_mut(&conn) else {
            return;
        };
        act(visit, &mut env);
        if visit.is_over() {
            self.end_visit(conn);
        } else {
            let at = visit.next_timeout();
            self.timers.set(Timer::Visit(conn), at);
        }
        self.take_heard();
    }

    fn end_visit(&mut self, conn: ConnId) {
        self.timers.set(Timer::Visit(conn), None);
        let Some(Conn::Visit(visit)) = self.conns.remove(&conn) else {
            return;
        };
        if visit.incoming {
            self.visits_in -= 1;
            return;
        }
        self.visits_out -= 1;
        let swarm = visit.swarm.expect("we know for which swarm we connected");
        let joined = visit.has_joined();
        let endpoint = visit.endpoint;
        let (now, revisit) = (self.notes.now, self.world.config.revisit_secs);
        let running = self.phase == Phase::Running;
        let known = self.endpoint(swarm, endpoint);
        known.conn = None;
        known.memory = visit.memory;
        known.failures = if joined {
            0
        } else {
            known.failures.saturating_add(1)
        };
        let next = (now + known.pause(revisit), known.order, swarm, endpoint);
        if running {
            self.schedule.insert(next);
        }
    }

    /// Writes down who was named, and plans to visit who is new.
    fn take_heard(&mut self) {
        for (place, naming) in std::mem::take(&mut self.heard) {
            let Naming {
                endpoint,
                namer,
                by,
                source,
            } = naming;
            let now = self.notes.now;
            let swarm = &mut self.world.swarms[place];
            let target = swarm.index;
            match swarm.name(endpoint, namer, now) {
                Named::Listed { contact } => {
                    self.notes.write(Body::Listed {
                        target,
                        endpoint,
                        by,
                        source,
                    });
                    let order = swarm
                        .endpoints
                        .get(&endpoint)
                        .map_or(0, |known| known.order);
                    if contact && self.phase == Phase::Running {
                        self.schedule.insert((now, order, place, endpoint));
                    }
                }
                Named::Known => {}
                Named::Full(limit, value) => {
                    self.notes.limited(Some(target), None, limit, value as u64);
                }
            }
        }
    }

    /// Carries out what a tracker's announcer asks for, and writes down what it says. `source` is
    /// where the bytes are that it was fed last.
    fn run_desk(&mut self, place: usize, source: Option<Source>) {
        while let Some(ask) = self.desks[place].announcer.poll_ask() {
            self.do_ask(place, ask);
        }
        while let Some(event) = self.desks[place].announcer.poll_event() {
            let swarm = self.desks[place].swarm;
            let target = self.world.swarms[swarm].index;
            let named = self.desks[place].note_event(target, event, source, &mut self.notes);
            self.heard
                .extend(named.into_iter().map(|naming| (swarm, naming)));
        }
        let at = self.desks[place].next_timeout();
        self.timers.set(Timer::Tracker(place), at);
        self.take_heard();
    }

    fn do_ask(&mut self, place: usize, ask: Ask) {
        let target = self.world.swarms[self.desks[place].swarm].index;
        match ask {
            Ask::Resolve {
                query: number,
                host,
            } => {
                let query = QueryId(self.next_query);
                self.next_query += 1;
                self.queries.insert(query, (place, number));
                self.notes.act(Action::Resolve { query, host });
            }
            Ask::Connect {
                conn: number,
                remote,
                timeout,
            } => {
                let conn = self.take_conn();
                self.conns.insert(
                    conn,
                    Conn::Desk(Box::new(DeskConn::new(place, number, remote))),
                );
                let desk = &mut self.desks[place];
                desk.conns.insert(number, conn);
                desk.note_asked(target, remote, Some(conn), &mut self.notes);
                let timeout_ms = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
                self.notes.act(Action::Connect {
                    conn,
                    remote,
                    timeout_ms,
                });
            }
            Ask::Send {
                conn: number,
                bytes,
            } => {
                let conn = self.desks[place].conns.get(&number).copied();
                if let Some(conn) = conn
                    && let Some(Conn::Desk(desk)) = self.conns.get_mut(&conn)
                {
                    desk.output.push(&bytes);
                    self.notes.act(Action::Send { conn, bytes });
                }
            }
            Ask::Close { conn: number } => {
                if let Some(&conn) = self.desks[place].conns.get(&number) {
                    self.drop_desk_conn(conn);
                    self.notes.act(Action::Close { conn });
                }
            }
            Ask::SendTo { remote, bytes } => {
                self.desks[place].note_asked(target, remote, None, &mut self.notes);
                if self.datagrams.len() == DATAGRAMS_WAITING_MAX {
                    self.datagrams.pop_front();
                }
                self.datagrams.push_back((remote, bytes.clone()));
                self.notes.act(Action::SendTo { remote, bytes });
            }
        }
    }

    fn drop_desk_conn(&mut self, conn: ConnId) {
        if let Some(Conn::Desk(desk)) = self.conns.remove(&conn) {
            self.desks[desk.desk].conns.remove(&desk.number);
        }
    }

    fn take_conn(&mut self) -> ConnId {
        let conn = ConnId(self.next_conn);
        self.next_conn = self
            .next_conn
            .checked_add(2)
            .expect("a run has fewer than 2^31 attempts");
        conn
    }

    fn endpoint(&mut self, swarm: usize, endpoint: SocketAddr) -> &mut Endpoint {
        let known = self.world.swarms[swarm].endpoints.get_mut(&endpoint);
        known.expect("whoever is visited was named")
    }

    /// What a visit may use, and the connections.
    fn split(&mut self) -> (Env<'_>, &mut BTreeMap<ConnId, Conn>) {
        let Self {
            world,
            notes,
            fetching,
            heard,
            incoming,
            conns,
            ..
        } = self;
        (
            Env {
                world,
                notes,
                fetching,
                heard,
                incoming,
            },
            conns,
        )
    }
}
