//! An announcer, the hosts that it can reach, and a clock.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use skep_proto::{
    rng::Rng,
    tracker::{
        client::{Announcer, AnnouncerConfig, Ask, Event, Mode, NoConnection, TrackerFailure},
        server::{Answered, Answerer, StoreConfig},
    },
};
use skep_wire::{
    InfoHash, Moment, PeerId,
    http::{parse_request, put_response, response::ResponseHead},
    tracker::AnnounceEvent,
};

pub(super) const TORRENT: InfoHash = InfoHash([9; 20]);

/// Where our requests come from.
const US: [&str; 2] = ["127.0.0.2", "::2"];

/// What listens at an address.
pub(super) enum Host {
    /// A tracker over both transports.
    Tracker(Box<Answerer>),
    /// Answers every request over HTTP with these bytes.
    Says(Vec<u8>),
    /// Answers every request over HTTP so much later, and names ever new places of its own.
    Redirects {
        after_secs: u64,
    },
    Refuses,
    Silent,
}

/// An announcer, the hosts that it can reach, and a clock.
pub(super) struct Net {
    pub(super) config: AnnouncerConfig,
    tiers: Vec<Vec<String>>,
    pub(super) seed: u64,
    pub(super) announcer: Announcer,
    pub(super) hosts: BTreeMap<SocketAddr, Host>,
    pub(super) names: BTreeMap<String, Vec<IpAddr>>,
    pub(super) conns: BTreeMap<u32, SocketAddr>,
    /// Connects that will never be answered, and when they time out.
    hanging: BTreeMap<u32, Moment>,
    /// Answers on their way, and when they arrive.
    late: BTreeMap<u32, (Moment, Vec<u8>)>,
    /// Where no datagram can be sent.
    pub(super) no_route: Vec<SocketAddr>,
    /// Whether nothing is ever answered.
    pub(super) deaf: bool,
    now: Moment,
    pub(super) log: Vec<(u64, Event)>,
    pub(super) asked: Vec<String>,
    /// What was sent, and where to.
    pub(super) sent: Vec<(SocketAddr, Vec<u8>)>,
}

impl Net {
    pub(super) fn new(mode: Mode, tiers: &[&[&str]]) -> Self {
        let tiers: Vec<Vec<String>> = tiers
            .iter()
            .map(|tier| tier.iter().map(|url| url.to_string()).collect())
            .collect();
        let mut config = AnnouncerConfig::new(TORRENT, PeerId([b'p'; 20]), 6881);
        config.mode = mode;
        let announcer = Announcer::new(config.clone(), &tiers, Rng::new(1));
        Self {
            config,
            tiers,
            seed: 1,
            announcer,
            hosts: BTreeMap::new(),
            names: BTreeMap::new(),
            conns: BTreeMap::new(),
            hanging: BTreeMap::new(),
            late: BTreeMap::new(),
            no_route: Vec::new(),
            deaf: false,
            now: Moment::ZERO,
            log: Vec::new(),
            asked: Vec::new(),
            sent: Vec::new(),
        }
    }

    pub(super) fn tracker(&mut self, at: &str) {
        self.tracker_with(at, 1_800);
    }

    pub(super) fn tracker_with(&mut self, at: &str, interval_secs: u32) {
        let mut store = StoreConfig::with_interval(interval_secs, [1; 32]);
        store.interval_secs_min = Some(interval_secs);
        let answerer = Answerer::new(store, [2; 32]);
        self.hosts
            .insert(addr(at), Host::Tracker(Box::new(answerer)));
    }

    pub(super) fn fixed(&mut self, at: &str, body: &str) {
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.hosts.insert(addr(at), Host::Says(answer.into_bytes()));
    }

    pub(super) fn start(&mut self) {
        let rng = Rng::new(self.seed);
        self.announcer = Announcer::new(self.config.clone(), &self.tiers, rng);
        self.call(|announcer, now| announcer.start(now));
    }

    pub(super) fn call(&mut self, f: impl FnOnce(&mut Announcer, Moment)) {
        f(&mut self.announcer, self.now);
        self.settle();
    }

    pub(super) fn run_until(&mut self, secs: u64) {
        loop {
            let timer = self.announcer.poll_timeout().map(|(at, _)| at);
            let hanging = self.hanging.iter().map(|(conn, at)| (*at, *conn)).min();
            let late = self.late.iter().map(|(conn, (at, _))| (*at, *conn)).min();
            let next = [timer, hanging.map(|(at, _)| at), late.map(|(at, _)| at)]
                .into_iter()
                .flatten()
                .min();
            let Some(at) = next.filter(|&at| at <= Moment::from_secs(secs)) else {
                break;
            };
            self.now = self.now.max(at);
            if let Some((due, conn)) = late
                && due <= self.now
                && let Some((_, answer)) = self.late.remove(&conn)
            {
                self.call(|announcer, now| announcer.handle_bytes(conn, &answer, now));
                continue;
            }
            match hanging {
                Some((due, conn)) if due <= self.now => {
                    self.hanging.remove(&conn);
                    let why = NoConnection::TimedOut;
                    self.call(|announcer, now| announcer.handle_failed(conn, why, now));
                }
                _ => self.call(Announcer::handle_timeout),
            }
        }
        self.now = Moment::from_secs(secs);
    }

    /// Answers what is asked until nothing is.
    fn settle(&mut self) {
        let mut asks = VecDeque::new();
        loop {
            while let Some(event) = self.announcer.poll_event() {
                self.log
                    .push((self.now.since(Moment::ZERO).as_secs(), event));
            }
            while let Some(ask) = self.announcer.poll_ask() {
                self.asked.push(format!("{:?} {ask:?}", self.now));
                asks.push_back(ask);
            }
            let Some(ask) = asks.pop_front() else { return };
            if !self.deaf {
                self.answer(ask);
            }
        }
    }

    fn answer(&mut self, ask: Ask) {
        let now = self.now;
        match ask {
            Ask::Resolve { query, host } => {
                let addrs = self.names.get(&host).cloned().unwrap_or_default();
                self.announcer.handle_resolved(query, &addrs, now);
            }
            Ask::Connect {
                conn,
                remote,
                timeout,
            } => match self.hosts.get(&remote) {
                Some(Host::Silent) => {
                    self.hanging.insert(conn, now + timeout);
                }
                Some(Host::Tracker(_) | Host::Says(_) | Host::Redirects { .. }) => {
                    self.conns.insert(conn, remote);
                    self.announcer.handle_opened(conn, now);
                }
                Some(Host::Refuses) | None => {
                    self.announcer
                        .handle_failed(conn, NoConnection::Refused, now);
                }
            },
            Ask::Send { conn, bytes } => {
                self.sent.push((self.conns[&conn], bytes.clone()));
                let answer = match self.hosts.get_mut(&self.conns[&conn]) {
                    Some(Host::Tracker(answerer)) => {
                        let request = parse_request(&bytes).unwrap().expect("a whole request");
                        let mut body = Vec::new();
                        let us = us(self.conns[&conn]);
                        answerer.answer_query(us, &request, now, &mut body);
                        let mut out = Vec::new();
                        let head = ResponseHead {
                            status: 200,
                            keep_alive: false,
                        };
                        put_response(&mut out, head, "text/plain", &body);
                        out
                    }
                    Some(Host::Says(answer)) => answer.clone(),
                    Some(Host::Redirects { after_secs }) => {
                        let to = format!(
                            "HTTP/1.1 302 x\r\nLocation: /{conn}\r\nContent-Length: 0\r\n\r\n"
                        );
                        let at = now + Duration::from_secs(*after_secs);
                        self.late.insert(conn, (at, to.into_bytes()));
                        return;
                    }
                    Some(Host::Refuses | Host::Silent) | None => return,
                };
                self.announcer.handle_bytes(conn, &answer, now);
                self.announcer.handle_end(conn, now);
            }
            Ask::Close { conn } => {
                self.conns.remove(&conn);
                self.hanging.remove(&conn);
                self.late.remove(&conn);
            }
            Ask::SendTo { remote, .. } if self.no_route.contains(&remote) => {
                self.announcer.handle_unsent(remote, now);
            }
            Ask::SendTo { remote, bytes } => {
                self.sent.push((remote, bytes.clone()));
                let Some(Host::Tracker(answerer)) = self.hosts.get_mut(&remote) else {
                    return;
                };
                let mut reply = Vec::new();
                if answerer.answer_datagram(us(remote), &bytes, now, &mut reply)
                    != Answered::Ignored
                {
                    assert!(self.announcer.handle_datagram(remote, &reply, now));
                }
            }
        }
    }

    pub(super) fn announces(&self, tracker: usize) -> Vec<(u64, AnnounceEvent)> {
        let of = |(at, event): &(u64, Event)| match event {
            Event::Announced {
                tracker: which,
                event,
                ..
            } if *which == tracker => Some((*at, *event)),
            _ => None,
        };
        self.log.iter().filter_map(of).collect()
    }

    pub(super) fn failures(&self, tracker: usize) -> Vec<(u64, TrackerFailure)> {
        let of = |(at, event): &(u64, Event)| match event {
            Event::Failed {
                tracker: which,
                why,
                ..
            } if *which == tracker => Some((*at, why.clone())),
            _ => None,
        };
        self.log.iter().filter_map(of).collect()
    }
}

pub(super) fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Our address as it is seen from `remote`.
fn us(remote: SocketAddr) -> SocketAddr {
    let [v4, v6] = US.map(|ip| ip.parse().unwrap());
    SocketAddr::new(if remote.is_ipv4() { v4 } else { v6 }, 1)
}
