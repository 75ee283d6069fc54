//! An observer in a swarm: a driver that turns what the machine asks for into traffic, and what
//! happens into journal entries.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use skep_evidence::{
    clock::ClockSample,
    journal::{CaptureOffset, ConnId, ConnectFailure, EndKind, Entry, Input},
    record::Record,
};
use skep_hash::sha256;
use skep_observe::{Action, Config, Duty, ENTRY_BYTES_MAX, Fault, Observer, Replay, Step, Target};
use skep_wire::Moment;

use crate::{
    content::Content,
    net::{Happening, HostId, Link, Net},
};

const TICK: u64 = 0;
const STOP: u64 = 1;

/// What Linux says where it has given up connecting by itself (`ETIMEDOUT`).
const GIVEN_UP: i32 = 110;

/// An observer with its surroundings.
#[derive(Debug)]
pub struct Watcher {
    host: HostId,
    observer: Observer,
    config: Config,
    targets: Vec<Target>,
    links: BTreeMap<ConnId, Link>,
    conns: BTreeMap<Link, ConnId>,
    incoming: u32,
    captured: u64,
    /// Inputs that follow from actions, to be fed in order.
    due: VecDeque<(Input, Vec<u8>)>,
    log: Vec<(Entry, Vec<u8>, Step)>,
}

impl Watcher {
    /// Makes an observer of a swarm that stops at `until`. It begins when its host is started.
    pub fn new(
        content: &Arc<Content>,
        host: HostId,
        until: Moment,
        net: &mut Net,
        tune: impl FnOnce(&mut Config),
    ) -> Self {
        let mut seed = [0; 32];
        net.rng().fill(&mut seed);
        let addr = net.addr(host);
        let mut config = Config {
            run: 1,
            bind: addr.ip(),
            listen_port: addr.port(),
            seed,
            endpoints: vec![],
            pieces_per_visit: 1,
            whole: false,
            revisit_secs: 30,
            visit_secs: 30,
            connect_ms: 5_000,
            conns_max: 100,
            announce_secs: 60,
        };
        tune(&mut config);
        let (torrent, metainfo) = (sha256(&content.torrent), content.metainfo.clone());
        let targets = Target::all(0, torrent, &metainfo);
        net.timer(host, until, STOP);
        Self {
            host,
            observer: Observer::new(config.clone(), targets.clone()),
            config,
            targets,
            links: BTreeMap::new(),
            conns: BTreeMap::new(),
            incoming: 0,
            captured: 0,
            due: VecDeque::new(),
            log: Vec::new(),
        }
    }

    /// Its host's number.
    pub fn host(&self) -> HostId {
        self.host
    }

    /// Whether the run has ended.
    pub fn is_over(&self) -> bool {
        self.observer.is_over()
    }

    /// Everything that was fed, with its bytes and what came of it.
    pub fn log(&self) -> &[(Entry, Vec<u8>, Step)] {
        &self.log
    }

    /// What was written down.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.log.iter().flat_map(|(_, _, step)| &step.records)
    }

    /// Feeds the journal through another machine. Returns how many entries gave the same records and
    /// actions before the first that did not.
    ///
    /// # Errors
    ///
    /// [`Fault`] if the second machine finds that no run can have an entry.
    pub fn replay(&self) -> Result<usize, Fault> {
        let mut replay = Replay::new(self.config.clone(), self.targets.clone());
        for (number, (entry, bytes, step)) in self.log.iter().enumerate() {
            if replay.step(entry, bytes)? != *step {
                return Ok(number);
            }
        }
        Ok(self.log.len())
    }

    /// Deals with what happened to its host.
    pub fn handle(&mut self, what: Happening, net: &mut Net) {
        if self.is_over() {
            return;
        }
        match what {
            Happening::Started => {
                self.sample(net);
                net.announce(self.host, self.targets[0].metainfo.info_hash);
            }
            Happening::Timer { tag: STOP } => self.feed(Input::Stop, vec![], net),
            Happening::Timer { .. } => {
                self.do_duties(net);
                if self
                    .observer
                    .poll_timeout()
                    .is_some_and(|(at, _)| at <= net.now())
                {
                    self.feed(Input::Timeout, vec![], net);
                }
            }
            Happening::Connected { link } => {
                if let Some(&conn) = self.conns.get(&link) {
                    let (local, remote) = net.ends(link);
                    self.feed(
                        Input::Opened {
                            conn,
                            local,
                            remote,
                        },
                        vec![],
                        net,
                    );
                }
            }
            Happening::ConnectFailed { link, refused } => {
                if let Some(conn) = self.forget(link) {
                    let reason = match refused {
                        true => ConnectFailure::Refused,
                        false => ConnectFailure::Local(GIVEN_UP),
                    };
                    self.feed(Input::Failed { conn, reason }, vec![], net);
                }
            }
            Happening::Incoming { link, remote } => {
                let conn = ConnId(2 * self.incoming + 1);
                self.incoming += 1;
                self.links.insert(conn, link);
                self.conns.insert(link, conn);
                let local = net.addr(self.host);
                self.feed(
                    Input::Incoming {
                        conn,
                        local,
                        remote,
                    },
                    vec![],
                    net,
                );
            }
            Happening::Bytes { link, bytes } => {
                for part in bytes.bytes().chunks(ENTRY_BYTES_MAX as usize) {
                    let Some(&conn) = self.conns.get(&link) else {
                        return;
                    };
                    let (capture, len) = self.capture(part);
                    self.feed(Input::Received { conn, capture, len }, part.to_vec(), net);
                }
            }
            Happening::Ended { link, reset } => {
                if let Some(conn) = self.forget(link) {
                    net.close(link);
                    let how = if reset {
                        EndKind::Reset
                    } else {
                        EndKind::Closed
                    };
                    self.feed(Input::Ended { conn, how }, vec![], net);
                }
            }
            Happening::Datagram { from, bytes } => {
                let (capture, len) = self.capture(&bytes);
                let local = net.addr(self.host);
                self.feed(
                    Input::Datagram {
                        local,
                        remote: from,
                        capture,
                        len,
                    },
                    bytes,
                    net,
                );
            }
            Happening::Left { .. } | Happening::Named { .. } => {}
        }
        if let Some(at) = self.observer.next_due() {
            net.timer(self.host, at, TICK);
        }
    }

    /// Does what is owed by now.
    fn do_duties(&mut self, net: &mut Net) {
        while let Some((at, duty)) = self.observer.poll_duty(net.now())
            && at <= net.now()
        {
            match duty {
                Duty::Clock => self.sample(net),
                Duty::Outcome(conn) => {
                    if let Some(link) = self.links.remove(&conn) {
                        self.conns.remove(&link);
                        net.close(link);
                    }
                    let reason = ConnectFailure::TimedOut;
                    self.feed(Input::Failed { conn, reason }, vec![], net);
                }
            }
        }
    }

    fn sample(&mut self, net: &mut Net) {
        let now = net.now();
        let sample = ClockSample {
            before: now,
            after: now,
            utc_us: 1_300_000_000_000_000 + i64::try_from(now.0 / 1000).unwrap_or(i64::MAX),
            error_us_max: 250,
            synchronised: true,
        };
        self.feed(Input::Clock(sample), vec![], net);
    }

    /// Feeds an input, and those that follow from what the machine then does.
    ///
    /// # Panics
    ///
    /// If the machine finds a fault: that is this driver's.
    fn feed(&mut self, input: Input, bytes: Vec<u8>, net: &mut Net) {
        self.due.push_back((input, bytes));
        while let Some((input, bytes)) = self.due.pop_front() {
            if self.observer.is_over() {
                return self.due.clear();
            }
            let entry = Entry {
                at: net.now(),
                input,
            };
            self.observer
                .handle_entry(&entry, &bytes)
                .expect("the driver keeps its contract");
            let mut step = Step::default();
            while let Some(record) = self.observer.poll_record() {
                step.records.push(record);
            }
            while let Some(action) = self.observer.poll_action() {
                step.actions.push(action.clone());
                self.act(action, net);
            }
            self.log.push((entry, bytes, step));
        }
    }

    fn act(&mut self, action: Action, net: &mut Net) {
        match action {
            Action::Resolve { query, .. } => {
                self.due.push_back((
                    Input::Resolved {
                        query,
                        addrs: vec![],
                    },
                    vec![],
                ));
            }
            Action::Connect { conn, remote, .. } => {
                let link = net.connect(self.host, remote);
                self.links.insert(conn, link);
                self.conns.insert(link, conn);
            }
            Action::Send { conn, bytes } => {
                let Some(&link) = self.links.get(&conn) else {
                    return;
                };
                let (first, second) = bytes.split_at(net.rng().below(bytes.len() as u64) as usize);
                for part in [first, second].into_iter().filter(|part| !part.is_empty()) {
                    let (capture, len) = self.capture(part);
                    self.due
                        .push_back((Input::Sent { conn, capture, len }, part.to_vec()));
                    net.send(link, part.to_vec());
                }
            }
            Action::Close { conn } => {
                self.due.retain(
                    |(input, _)| !matches!(input, Input::Sent { conn: of, .. } if *of == conn),
                );
                if let Some(link) = self.links.remove(&conn) {
                    self.conns.remove(&link);
                    net.close(link);
                }
            }
            Action::SendTo { remote, bytes } => {
                let (capture, len) = self.capture(&bytes);
                let local = net.addr(self.host);
                net.send_datagram(self.host, remote, bytes.clone());
                self.due.push_back((
                    Input::DatagramSent {
                        local,
                        remote,
                        capture,
                        len,
                    },
                    bytes,
                ));
            }
            Action::Finished => {}
        }
    }

    fn forget(&mut self, link: Link) -> Option<ConnId> {
        let conn = self.conns.remove(&link)?;
        self.links.remove(&conn);
        Some(conn)
    }

    fn capture(&mut self, bytes: &[u8]) -> (CaptureOffset, u32) {
        let offset = CaptureOffset(self.captured);
        self.captured += bytes.len() as u64 + 32;
        (offset, bytes.len() as u32)
    }
}
