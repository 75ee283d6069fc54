//! Virtual time and a network around the observer: what it connects to, what comes back and when.
//!
//! Whatever is sent arrives 20 ms later, in parts that a seed cuts. Everything that is fed is kept,
//! and at the end fed again: the replay must make the same records and actions.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use skep_evidence::{
    clock::ClockSample,
    journal::{CaptureOffset, ConnId, ConnectFailure, EndKind, Entry, Input, QueryId},
    record::{Body, Record},
};
use skep_observe::{Action, Config, Duty, Observer, Replay, Step, Target};
use skep_proto::rng::Rng;
use skep_wire::Moment;

const DELAY: Duration = Duration::from_millis(20);

/// The observer's address.
pub const US: [u8; 4] = [10, 0, 0, 1];
/// The port on which the observer listens.
pub const LISTEN_PORT: u16 = 6_881;

/// Somebody at the other end of one connection.
pub trait Stranger {
    /// The connection stands.
    fn opened(&mut self, _now: Moment) -> Vec<Says> {
        vec![]
    }
    /// Bytes of ours came.
    fn hears(&mut self, _bytes: &[u8], _now: Moment) -> Vec<Says> {
        vec![]
    }
    /// The time that it asked for by `Says::Later` has come.
    fn wakes(&mut self, _now: Moment) -> Vec<Says> {
        vec![]
    }
}

/// What a stranger does.
pub enum Says {
    /// It sends bytes.
    Bytes(Vec<u8>),
    /// It closes.
    Close,
    /// It wants to be woken after so long.
    Later(Duration),
}

/// What answers at an address.
pub enum Host {
    /// Takes every connection with a new stranger.
    Takes(Box<dyn FnMut() -> Box<dyn Stranger>>),
    /// Does not answer at all.
    Silent,
}

/// What answers a datagram.
type Udp = Box<dyn FnMut(&[u8], Moment) -> Vec<u8>>;

enum What {
    Opened(ConnId),
    Failed(ConnId, ConnectFailure),
    ToUs(ConnId, Vec<u8>),
    EndToUs(ConnId),
    ToThem(ConnId, Vec<u8>),
    Wake(ConnId),
    ComesIn(SocketAddr, Box<dyn Stranger>),
    Resolved(QueryId, Vec<IpAddr>),
    Datagram(SocketAddr, Vec<u8>),
    Stop,
}

struct Link {
    remote: SocketAddr,
    stranger: Option<Box<dyn Stranger>>,
}

/// The observer machine and everything around it.
pub struct World {
    config: Config,
    targets: Vec<Target>,
    observer: Observer,
    now: Moment,
    order: u64,
    queue: BTreeMap<(Moment, u64), What>,
    /// Who answers at which address; nobody refuses.
    pub hosts: BTreeMap<SocketAddr, Host>,
    /// What answers datagrams at which address.
    pub udp: BTreeMap<SocketAddr, Udp>,
    /// What names resolve to.
    pub names: BTreeMap<String, Vec<IpAddr>>,
    links: BTreeMap<ConnId, Link>,
    incoming: u32,
    port: u16,
    capture: u64,
    rng: Rng,
    log: Vec<(Entry, Vec<u8>)>,
    steps: Vec<Step>,
    /// Everything that the observer sent to peers, by connection.
    pub sent: BTreeMap<ConnId, Vec<u8>>,
}

/// A configuration to begin with.
pub fn config() -> Config {
    Config {
        run: 1,
        bind: IpAddr::from(US),
        listen_port: LISTEN_PORT,
        seed: [42; 32],
        endpoints: vec![],
        pieces_per_visit: 1,
        whole: false,
        revisit_secs: 60,
        visit_secs: 30,
        connect_ms: 5_000,
        conns_max: 50,
        announce_secs: 300,
    }
}

/// The n-th endpoint of the tests.
pub fn host(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 1, n], 7_000 + u16::from(n)))
}

impl World {
    /// An observer of `targets` that nobody knows yet.
    pub fn new(config: Config, targets: Vec<Target>) -> Self {
        let observer = Observer::new(config.clone(), targets.clone());
        let mut world = Self {
            rng: Rng::from_bytes(&config.seed),
            config,
            targets,
            observer,
            now: Moment::ZERO,
            order: 0,
            queue: BTreeMap::new(),
            hosts: BTreeMap::new(),
            udp: BTreeMap::new(),
            names: BTreeMap::new(),
            links: BTreeMap::new(),
            incoming: 0,
            port: 20_000,
            capture: 100,
            log: Vec::new(),
            steps: Vec::new(),
            sent: BTreeMap::new(),
        };
        world.now = Moment::from_millis(1);
        world
    }

    /// Somebody answers at `at`.
    pub fn takes<S: Stranger + 'static>(
        &mut self,
        at: SocketAddr,
        mut make: impl FnMut() -> S + 'static,
    ) {
        self.hosts
            .insert(at, Host::Takes(Box::new(move || Box::new(make()))));
    }

    /// Somebody connects to us.
    pub fn comes_in(&mut self, after: Duration, from: SocketAddr, who: impl Stranger + 'static) {
        self.later(after, What::ComesIn(from, Box::new(who)));
    }

    /// The run ends after so long, as by a Ctrl-C.
    pub fn stop_after(&mut self, after: Duration) {
        self.later(after, What::Stop);
    }

    /// The time.
    pub fn now(&self) -> Moment {
        self.now
    }

    /// Lets time pass until `secs` after the beginning, or the end of the run.
    pub fn run_until(&mut self, secs: u64) {
        let end = Moment::from_secs(secs);
        if self.log.is_empty() {
            self.clock();
        }
        while !self.observer.is_over() {
            self.do_what_is_overdue();
            let event = self.queue.first_key_value().map(|(key, _)| *key);
            let timeout = self.observer.next_due().map(|at| at.max(self.now));
            match (event, timeout) {
                (Some(key), timeout) if timeout.is_none_or(|at| key.0 <= at) && key.0 <= end => {
                    let what = self.queue.remove(&key).expect("it was just seen");
                    self.now = self.now.max(key.0);
                    self.happen(what);
                }
                (_, Some(at)) if at <= end => {
                    self.now = at;
                    match self.observer.poll_duty(at) {
                        Some((due, Duty::Clock)) if due <= at => self.clock(),
                        _ => self.feed(Input::Timeout, &[]),
                    }
                }
                _ => break,
            }
        }
        self.now = self.now.max(end);
    }

    /// The observer's process stands still for `secs`, and the rest of the world goes on.
    pub fn stall(&mut self, secs: u64) {
        self.now = self.now + Duration::from_secs(secs);
    }

    /// After a stall: what is due comes before all that waits. The outcome of a connect is what came of
    /// it meanwhile.
    fn do_what_is_overdue(&mut self) {
        while let Some((at, duty)) = self.observer.poll_duty(self.now)
            && at < self.now
        {
            match duty {
                Duty::Clock => self.clock(),
                Duty::Outcome(conn) => {
                    let is_outcome = |what: &What| matches!(what, What::Opened(of) | What::Failed(of, _) if *of == conn);
                    let found = self.queue.iter().find(|(_, what)| is_outcome(what));
                    let key = *found.expect("every connect has an outcome").0;
                    let what = self.queue.remove(&key).expect("it was just seen");
                    self.happen(what);
                }
            }
        }
    }

    /// Ends the run as a Ctrl-C does.
    ///
    /// # Panics
    ///
    /// If the run does not end.
    pub fn stop(&mut self) {
        self.do_what_is_overdue();
        self.feed(Input::Stop, &[]);
        let until = self.now.0 / 1_000_000_000 + 20;
        self.run_until(until);
        assert!(self.observer.is_over(), "the run ends when it is stopped");
    }

    /// Whether the run is over.
    pub fn is_over(&self) -> bool {
        self.observer.is_over()
    }

    /// The records so far, after a replay has made the same ones.
    ///
    /// # Panics
    ///
    /// If the replay makes others.
    pub fn records(&self) -> Vec<Record> {
        let mut replay = Replay::new(self.config.clone(), self.targets.clone());
        for (number, ((entry, bytes), step)) in self.log.iter().zip(&self.steps).enumerate() {
            let again = replay
                .step(entry, bytes)
                .expect("the live run took the entry");
            assert_eq!(again, *step, "entry {number}");
        }
        self.steps
            .iter()
            .flat_map(|step| step.records.iter().cloned())
            .collect()
    }

    /// What [`World::records`] say.
    pub fn bodies(&self) -> Vec<Body> {
        self.records()
            .into_iter()
            .map(|record| record.body)
            .collect()
    }

    /// The entries so far, with their bytes and what they led to.
    pub fn log(&self) -> impl Iterator<Item = (&Entry, &[u8], &Step)> {
        self.log
            .iter()
            .zip(&self.steps)
            .map(|((entry, bytes), step)| (entry, &bytes[..], step))
    }

    /// A replay of this run that has not begun.
    pub fn replay(&self) -> Replay {
        Replay::new(self.config.clone(), self.targets.clone())
    }

    fn clock(&mut self) {
        let sample = ClockSample {
            before: self.now,
            after: self.now,
            utc_us: 1_300_000_000_000_000 + i64::try_from(self.now.0 / 1_000).expect("a short run"),
            error_us_max: 250,
            synchronised: true,
        };
        self.feed(Input::Clock(sample), &[]);
    }

    fn later(&mut self, after: Duration, what: What) {
        self.order += 1;
        self.queue.insert((self.now + after, self.order), what);
    }

    fn feed(&mut self, input: Input, bytes: &[u8]) {
        let entry = Entry {
            at: self.now,
            input,
        };
        self.observer
            .handle_entry(&entry, bytes)
            .expect("the world keeps the contract");
        let mut step = Step::default();
        while let Some(record) = self.observer.poll_record() {
            step.records.push(record);
        }
        while let Some(action) = self.observer.poll_action() {
            step.actions.push(action);
        }
        let actions = step.actions.clone();
        self.log.push((entry, bytes.to_vec()));
        self.steps.push(step);
        actions.into_iter().for_each(|action| self.act(action));
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Resolve { query, host } => {
                let addrs = self.names.get(&host).cloned().unwrap_or_default();
                self.later(DELAY, What::Resolved(query, addrs));
            }
            Action::Connect {
                conn,
                remote,
                timeout_ms,
            } => {
                let ours = SocketAddr::from((US, LISTEN_PORT));
                if remote == ours {
                    return self.connect_to_ourselves(conn, remote);
                }
                let what = match self.hosts.get_mut(&remote) {
                    Some(Host::Takes(make)) => {
                        let link = Link {
                            remote,
                            stranger: Some(make()),
                        };
                        self.links.insert(conn, link);
                        return self.later(2 * DELAY, What::Opened(conn));
                    }
                    Some(Host::Silent) => {
                        let after = Duration::from_millis(timeout_ms.into());
                        return self.later(after, What::Failed(conn, ConnectFailure::TimedOut));
                    }
                    None => What::Failed(conn, ConnectFailure::Refused),
                };
                self.later(DELAY, what);
            }
            Action::Send { conn, bytes } => self.send(conn, &bytes),
            Action::Close { conn } => {
                self.links.remove(&conn);
                self.queue.retain(|_, what| !what.is_of(conn));
            }
            Action::SendTo { remote, bytes } => {
                let (local, len) = (SocketAddr::from((US, 9)), bytes.len() as u32);
                let capture = self.captured(&bytes);
                self.feed(
                    Input::DatagramSent {
                        local,
                        remote,
                        capture,
                        len,
                    },
                    &bytes,
                );
                if let Some(answer) = self.udp.get_mut(&remote) {
                    let reply = answer(&bytes, self.now);
                    self.later(2 * DELAY, What::Datagram(remote, reply));
                }
            }
            Action::Finished => {}
        }
    }

    /// A tracker listed the observer itself: both ends are ours.
    fn connect_to_ourselves(&mut self, conn: ConnId, remote: SocketAddr) {
        let other = ConnId(self.incoming * 2 + 1);
        self.incoming += 1;
        let from = SocketAddr::from((US, self.next_port()));
        self.links.insert(
            conn,
            Link {
                remote,
                stranger: None,
            },
        );
        self.links.insert(
            other,
            Link {
                remote: from,
                stranger: None,
            },
        );
        self.feed(
            Input::Opened {
                conn,
                local: from,
                remote,
            },
            &[],
        );
        self.feed(
            Input::Incoming {
                conn: other,
                local: remote,
                remote: from,
            },
            &[],
        );
    }

    /// The other end of a connection to ourselves.
    fn mirror(&self, conn: ConnId) -> Option<ConnId> {
        let link = self.links.get(&conn)?;
        let found = self.links.iter().find(|(other, there)| {
            **other != conn && there.stranger.is_none() && link.stranger.is_none()
        });
        found.map(|(other, _)| *other)
    }

    fn send(&mut self, conn: ConnId, bytes: &[u8]) {
        for part in self.cut(bytes) {
            let capture = self.captured(&part);
            let len = part.len() as u32;
            self.sent.entry(conn).or_default().extend(&part);
            self.feed(Input::Sent { conn, capture, len }, &part);
            match self.mirror(conn) {
                Some(other) => self.later(DELAY, What::ToUs(other, part)),
                None => self.later(DELAY, What::ToThem(conn, part)),
            }
        }
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Opened(conn) => {
                let Some(link) = self.links.get_mut(&conn) else {
                    return;
                };
                let (remote, local) = (link.remote, SocketAddr::from((US, self.port)));
                self.port += 1;
                let said = link.stranger.as_mut().map(|who| who.opened(self.now));
                self.feed(
                    Input::Opened {
                        conn,
                        local,
                        remote,
                    },
                    &[],
                );
                self.say(conn, said.unwrap_or_default());
            }
            What::Failed(conn, reason) => self.feed(Input::Failed { conn, reason }, &[]),
            What::ToUs(conn, bytes) => {
                if self.links.contains_key(&conn) {
                    let (capture, len) = (self.captured(&bytes), bytes.len() as u32);
                    self.feed(Input::Received { conn, capture, len }, &bytes);
                }
            }
            What::EndToUs(conn) => {
                if self.links.remove(&conn).is_some() {
                    self.feed(
                        Input::Ended {
                            conn,
                            how: EndKind::Closed,
                        },
                        &[],
                    );
                }
            }
            What::ToThem(conn, bytes) => self.with(conn, |who, now| who.hears(&bytes, now)),
            What::Wake(conn) => self.with(conn, |who, now| who.wakes(now)),
            What::ComesIn(remote, mut stranger) => {
                let conn = ConnId(self.incoming * 2 + 1);
                self.incoming += 1;
                let said = stranger.opened(self.now);
                self.links.insert(
                    conn,
                    Link {
                        remote,
                        stranger: Some(stranger),
                    },
                );
                let local = SocketAddr::from((US, LISTEN_PORT));
                self.feed(
                    Input::Incoming {
                        conn,
                        local,
                        remote,
                    },
                    &[],
                );
                self.say(conn, said);
            }
            What::Resolved(query, addrs) => self.feed(Input::Resolved { query, addrs }, &[]),
            What::Datagram(remote, bytes) => {
                let (local, len) = (SocketAddr::from((US, 9)), bytes.len() as u32);
                let capture = self.captured(&bytes);
                self.feed(
                    Input::Datagram {
                        local,
                        remote,
                        capture,
                        len,
                    },
                    &bytes,
                );
            }
            What::Stop => self.feed(Input::Stop, &[]),
        }
    }

    fn with(&mut self, conn: ConnId, act: impl FnOnce(&mut dyn Stranger, Moment) -> Vec<Says>) {
        let now = self.now;
        let stranger = self
            .links
            .get_mut(&conn)
            .and_then(|link| link.stranger.as_mut());
        if let Some(stranger) = stranger {
            let said = act(stranger.as_mut(), now);
            self.say(conn, said);
        }
    }

    fn say(&mut self, conn: ConnId, said: Vec<Says>) {
        for says in said {
            match says {
                Says::Bytes(bytes) => {
                    for part in self.cut(&bytes) {
                        self.later(DELAY, What::ToUs(conn, part));
                    }
                }
                Says::Close => self.later(DELAY, What::EndToUs(conn)),
                Says::Later(after) => self.later(after, What::Wake(conn)),
            }
        }
    }

    /// Cuts bytes as segments might: boundaries carry no meaning.
    fn cut(&mut self, mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut parts = Vec::new();
        while !bytes.is_empty() {
            let most = bytes.len().min(20_000) as u64;
            let (part, rest) = bytes.split_at(1 + self.rng.below(most) as usize);
            parts.push(part.to_vec());
            bytes = rest;
        }
        parts
    }

    fn captured(&mut self, bytes: &[u8]) -> CaptureOffset {
        let at = CaptureOffset(self.capture);
        self.capture += bytes.len() as u64 + 100;
        at
    }

    fn next_port(&mut self) -> u16 {
        self.port += 1;
        self.port
    }
}

impl What {
    fn is_of(&self, of: ConnId) -> bool {
        match self {
            What::Opened(conn)
            | What::Failed(conn, _)
            | What::ToUs(conn, _)
            | What::EndToUs(conn)
            | What::ToThem(conn, _)
            | What::Wake(conn) => *conn == of,
            What::ComesIn(..) | What::Resolved(..) | What::Datagram(..) | What::Stop => false,
        }
    }
}
