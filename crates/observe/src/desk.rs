//! One tracker of one swarm: the announcer that asks it, and where its connections are.
//!
//! Every tracker has an announcer of its own, so that each is asked whatever the others answer, and
//! each knows us under another peer id.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use skep_evidence::{
    journal::{ConnId, ConnectFailure},
    record::{Body, NamedBy, Source, TEXT_BYTES_MAX, TargetIndex},
};
use skep_proto::tracker::client::{
    AddrChoice, Announcer, AnnouncerConfig, Event, Mode, NoConnection, Transfer,
};
use skep_wire::{Moment, tracker::Family};

use crate::{
    Config,
    identity::Identity,
    notes::Notes,
    stream::{Incoming, Outgoing},
    swarm::{Namer, Naming, Swarm},
};

/// How many peers a tracker is asked for. Trackers give 50 to 200, whatever is wanted.
pub const PEERS_WANTED: u32 = 1_000;

/// How many trackers of one target are asked.
pub const TRACKERS_PER_TARGET_MAX: usize = 128;

/// Seconds until a tracker that failed is asked again; doubled with each failure, up to an hour.
pub const TRACKER_RETRY_SECS: u64 = 30;

pub(crate) struct Desk {
    pub(crate) swarm: usize,
    /// Its place among the swarm's trackers.
    number: u32,
    url: String,
    pub(crate) announcer: Announcer,
    /// The announcer's numbers of connections, and ours.
    pub(crate) conns: BTreeMap<u32, ConnId>,
    /// Where the question that is under way went.
    asked: Option<SocketAddr>,
}

/// A connection to a tracker.
pub(crate) struct DeskConn {
    /// Which tracker.
    pub(crate) desk: usize,
    /// The announcer's number.
    pub(crate) number: u32,
    pub(crate) remote: SocketAddr,
    pub(crate) stands: bool,
    pub(crate) input: Incoming,
    pub(crate) output: Outgoing,
}

impl Desk {
    /// The trackers of a swarm, each URL once.
    pub(crate) fn all(swarm: &Swarm, place: usize, config: &Config, us: &Identity) -> Vec<Self> {
        let (metainfo, info_hash) = (&swarm.target.metainfo, swarm.target.info_hash);
        let mut urls: Vec<&String> = Vec::new();
        for url in metainfo.tiers.iter().flatten() {
            if !urls.contains(&url) && urls.len() < TRACKERS_PER_TARGET_MAX {
                urls.push(url);
            }
        }
        urls.into_iter()
            .enumerate()
            .map(|(number, url)| {
                let mut rng = us.tracker_rng(info_hash, url);
                let id = us.tracker_id(info_hash, url);
                let announcer = AnnouncerConfig {
                    key: rng.next_u64() as u32,
                    num_want: Some(PEERS_WANTED),
                    mode: Mode::Every,
                    families: families(config),
                    addr_choice: AddrChoice::FirstThatAnswers,
                    announce_every: Some(Duration::from_secs(config.announce_secs.into())),
                    retry_after: Duration::from_secs(TRACKER_RETRY_SECS),
                    ..AnnouncerConfig::new(info_hash, id, config.listen_port)
                };
                let mut announcer = Announcer::new(announcer, &[vec![url.clone()]], rng);
                announcer.set_transfer(Transfer {
                    left: metainfo.info.payload_bytes().max(1),
                    ..Transfer::default()
                });
                let number = number as u32;
                let (conns, url) = (BTreeMap::new(), url.clone());
                Self {
                    swarm: place,
                    number,
                    url,
                    announcer,
                    conns,
                    asked: None,
                }
            })
            .collect()
    }

    /// Writes down that the question goes to `remote`, once for each question and address.
    pub(crate) fn note_asked(
        &mut self,
        target: TargetIndex,
        remote: SocketAddr,
        conn: Option<ConnId>,
        notes: &mut Notes,
    ) {
        if self.asked != Some(remote) || conn.is_some() {
            self.asked = Some(remote);
            let (url, remote) = (self.url.clone(), Some(remote));
            notes.write(Body::TrackerAsked {
                target,
                url,
                conn,
                remote,
            });
        }
    }

    /// Writes down what came of a question; returns whom the tracker named.
    pub(crate) fn note_event(
        &mut self,
        target: TargetIndex,
        event: Event,
        source: Option<Source>,
        notes: &mut Notes,
    ) -> Vec<Naming> {
        let url = self.url.clone();
        match event {
            Event::Announced { remote, reply, .. } => {
                self.asked = None;
                let source = source.expect("an answer has bytes");
                notes.write(Body::TrackerAnswered {
                    target,
                    url: url.clone(),
                    remote,
                    complete: reply.complete,
                    incomplete: reply.incomplete,
                    peer_count: reply.peers.len() as u32,
                    interval_secs: reply.interval_secs,
                    source,
                });
                let naming = |&endpoint: &SocketAddr| Naming {
                    endpoint,
                    namer: Namer::Tracker(self.number),
                    by: NamedBy::Tracker { url: url.clone() },
                    source: Some(source),
                };
                reply.peers.iter().map(naming).collect()
            }
            Event::Failed { remote, why, .. } => {
                self.asked = None;
                let mut error = why.to_string();
                while error.len() > TEXT_BYTES_MAX {
                    error.pop();
                }
                notes.write(Body::TrackerFailed {
                    target,
                    url,
                    remote,
                    error,
                });
                Vec::new()
            }
            Event::Redirected { .. } => Vec::new(),
        }
    }

    /// When the announcer is due.
    pub(crate) fn next_timeout(&self) -> Option<Moment> {
        self.announcer.poll_timeout().map(|(at, _)| at)
    }
}

impl DeskConn {
    pub(crate) fn new(desk: usize, number: u32, remote: SocketAddr) -> Self {
        Self {
            desk,
            number,
            remote,
            stands: false,
            input: Incoming::default(),
            output: Outgoing::default(),
        }
    }
}

pub(crate) fn no_connection(why: ConnectFailure) -> NoConnection {
    match why {
        ConnectFailure::Refused => NoConnection::Refused,
        ConnectFailure::TimedOut => NoConnection::TimedOut,
        ConnectFailure::Unreachable => NoConnection::Unreachable,
        ConnectFailure::Local(errno) => NoConnection::Local(errno),
    }
}

/// The address families that we can send from.
fn families(config: &Config) -> Vec<Family> {
    if config.bind.is_ipv6() && config.bind.is_unspecified() {
        return vec![Family::V4, Family::V6];
    }
    vec![Family::of(config.bind)]
}
