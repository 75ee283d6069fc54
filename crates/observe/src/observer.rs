//! The machine: entries in, actions and records out.

mod acts;
mod entries;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use skep_evidence::{
    clock::ClockSample,
    journal::{ConnId, Entry, Input, QueryId},
    record::{Body, CloseKind, NamedBy, Record, TargetIndex},
};
use skep_hash::Sha256;
use skep_wire::Moment;

use crate::{
    Config, Fault, Target, World,
    action::Action,
    allowance::Allowance,
    desk::{Desk, DeskConn},
    duty::{Duty, HEARING_SECS, STALL_SECS_MIN},
    identity::Identity,
    notes::Notes,
    swarm::{Namer, Naming, Swarm},
    timers::{Timer, Timers},
    visit::Visit,
};

/// Greatest number of bytes in one `Received`, `Sent` or datagram entry: what fits a packet block
/// that every tool reads.
pub const ENTRY_BYTES_MAX: u32 = 64_000;

/// Seconds that trackers get to hear that we leave, and that blocks get which are on their way, once
/// the run shall end.
pub const FAREWELL_SECS_MAX: u64 = 8;

/// How many datagrams of ours may wait for the system.
pub const DATAGRAMS_WAITING_MAX: usize = 1_024;

/// The observer machine. See the crate's documentation.
pub struct Observer {
    world: World,
    notes: Notes,
    allowance: Allowance,
    /// Bytes of pieces that are under way.
    fetching: u64,
    heard: Vec<(usize, Naming)>,
    /// Everything that came, in the order of the journal.
    received: Sha256,
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
    /// Until then timers wait, so that what came while the driver was stalled is heard first.
    hears_until: Moment,
    /// How many endpoints waited for their turn when the run was to end.
    waited: Option<usize>,
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
    /// Starts a run. `targets` are those of [`Target::all`] for each torrent, in the order that `RunStarted`
    /// commits to. Endpoints that the configuration names for a torrent that is not there are passed over.
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
            allowance: Allowance::default(),
            world: World {
                config,
                identity,
                swarms,
            },
            fetching: 0,
            heard: Vec::new(),
            received: Sha256::new(),
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
            hears_until: Moment::ZERO,
            waited: None,
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
        if let Input::Clock(sample) = &entry.input {
            self.notes.clock = Some(*sample);
        }
        self.note_stall(entry.at);
        self.notes.now = entry.at;
        if let Input::Opened { conn, .. } | Input::Failed { conn, .. } = entry.input {
            self.notes.duties.settled(conn);
        }
        if matches!(entry.input, Input::Received { .. } | Input::Datagram { .. }) {
            self.received.update(bytes);
        }
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
        let heard = |at: Moment| at.max(self.hears_until);
        let leaving = match self.phase {
            Phase::New | Phase::Over => return None,
            Phase::Running => None,
            Phase::Leaving(until) => Some((heard(until), "farewell")),
        };
        let timer = self.timers.first().map(|(at, timer)| match timer {
            Timer::Visit(_) => (heard(at), "visit"),
            Timer::Tracker(_) => (heard(at), "tracker"),
        });
        let visit = self.schedule.first().filter(|_| self.has_room());
        let visit = visit.map(|&(at, ..)| (at, "next visit"));
        [leaving, timer, visit].into_iter().flatten().min()
    }

    /// What the driver owes next, and when, if it is `now`. No other entry may bear a later moment
    /// than that.
    pub fn poll_duty(&self, now: Moment) -> Option<(Moment, Duty)> {
        match self.phase {
            Phase::New | Phase::Over => None,
            Phase::Running | Phase::Leaving(_) => self.notes.duties.first(now),
        }
    }

    /// When something is to be done next, by the driver or by the machine.
    pub fn next_due(&self) -> Option<Moment> {
        let timeout = self.poll_timeout().map(|(at, _)| at);
        let duty = match self.phase {
            Phase::New | Phase::Over => None,
            Phase::Running | Phase::Leaving(_) => self.notes.duties.due(),
        };
        [duty, timeout].into_iter().flatten().min()
    }

    /// How many endpoints wait for their turn though it has come, because as many connections stand
    /// as planned. Once the run is to end: how many did then.
    pub fn waiting(&self) -> usize {
        if let Some(waited) = self.waited {
            return waited;
        }
        let now = self.notes.now;
        let due = |(at, ..): &&(Moment, u64, usize, SocketAddr)| *at <= now;
        self.schedule.iter().take_while(due).count()
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
        self.check_local(entry)?;
        self.notes.duties.check(entry)
    }

    /// Our end is where the plan says that we send from and listen.
    fn check_local(&self, entry: &Entry) -> Result<(), Fault> {
        let config = &self.world.config;
        let (local, port) = match entry.input {
            Input::Incoming { local, .. } => (local, Some(config.listen_port)),
            Input::Opened { local, .. }
            | Input::Datagram { local, .. }
            | Input::DatagramSent { local, .. } => (local, None),
            Input::Clock(_)
            | Input::Timeout
            | Input::Resolved { .. }
            | Input::Failed { .. }
            | Input::Received { .. }
            | Input::Sent { .. }
            | Input::Ended { .. }
            | Input::Stop => return Ok(()),
        };
        let bind = config.bind.to_canonical();
        let from = bind.is_unspecified() || local.ip() == bind;
        if from && port.is_none_or(|port| port == local.port()) {
            return Ok(());
        }
        Err(Fault::NotOurEnd { local, bind, port })
    }

    /// Writes down that the driver was stalled before this entry, if it was.
    fn note_stall(&mut self, now: Moment) {
        let awake = self.notes.now;
        let Some(due) = self.next_due().map(|due| due.max(awake)) else {
            return;
        };
        if now.since(due) >= Duration::from_secs(STALL_SECS_MIN) {
            self.hears_until = now + Duration::from_secs(HEARING_SECS);
            self.notes.now = now;
            self.notes.write(Body::Stalled { awake, due });
        }
    }

    fn clock(&mut self, sample: ClockSample) {
        self.notes.duties.sampled(self.notes.now);
        self.notes.write(Body::Clock {
            error_us_max: sample.error_us_max,
            received: Some(self.received.clone().finish()),
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
                info_hash: swarm.target.info_hash,
                info_hash_v2: swarm.target.metainfo.info_hash_v2,
                torrent: swarm.target.torrent,
                name: info.name.clone(),
                size_bytes: info.payload_bytes(),
                piece_len: info.piece_len,
                piece_count: info.piece_count(),
            });
        }
        for &(place, endpoint) in &self.world.config.endpoints {
            for (swarm, known) in self.world.swarms.iter().enumerate() {
                if known.target.place == place {
                    let naming = Naming {
                        endpoint,
                        namer: Namer::Operator,
                        by: NamedBy::Operator,
                        source: None,
                    };
                    self.heard.push((swarm, naming));
                }
            }
        }
        self.take_heard();
        for desk in 0..self.desks.len() {
            self.desks[desk].announcer.start(self.notes.now);
            self.run_desk(desk, None);
        }
    }

    /// Begins to end the run; the second time ends it at once.
    fn stop(&mut self) {
        if let Phase::Leaving(_) = self.phase {
            self.phase = Phase::Leaving(self.notes.now);
            return;
        }
        self.phase = Phase::Leaving(self.notes.now + Duration::from_secs(FAREWELL_SECS_MAX));
        self.waited = Some(self.waiting());
        self.schedule.clear();
        for conn in self.conns.keys().copied().collect::<Vec<_>>() {
            self.visit(conn, |visit, env| visit.leave(CloseKind::UsStopped, env));
        }
        for desk in 0..self.desks.len() {
            self.desks[desk].announcer.stop(self.notes.now);
            self.run_desk(desk, None);
        }
    }

    /// Does all that is due.
    fn go_on(&mut self) {
        let now = self.notes.now;
        let hears = now < self.hears_until;
        let due = if hears {
            Vec::new()
        } else {
            self.timers.due(now)
        };
        for timer in due {
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
                let left = self.visits_out == 0 && self.visits_in == 0;
                if said && left || (until <= now && !hears) {
                    self.finish();
                }
            }
        }
    }

    fn finish(&mut self) {
        for conn in self.conns.keys().copied().collect::<Vec<_>>() {
            self.visit(conn, |visit, env| visit.close(CloseKind::UsStopped, env));
            if self.conns.contains_key(&conn) {
                self.drop_desk_conn(conn);
                self.notes.act(Action::Close { conn });
            }
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
            received: Some(self.received.clone().finish()),
        });
        self.notes.act(Action::Finished);
        self.phase = Phase::Over;
    }
}
