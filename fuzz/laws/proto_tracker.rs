//! What must hold for anything that trackers do to the tracker client, and clients to the tracker.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use skep_proto::{
    rng::Rng,
    tracker::{
        client::{Announcer, AnnouncerConfig, Ask, EVENTS_MAX, Mode, NoConnection},
        server::{Answered, Answerer, PEERS_PER_ANSWER_MAX, StoreConfig},
    },
};
use skep_wire::{
    InfoHash, Moment, PeerId,
    http::parse_request,
    tracker::{
        Family,
        udp::{Reply, Request, TransactionId},
    },
};

use crate::Law;

/// Every target on the machines of trackers.
pub const LAWS: &[Law] = &[("tracker_client", client), ("tracker_server", server)];

/// The input is a script: a byte says what happens next, what follows is what arrives.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// Up to as many bytes as the next byte says.
    fn bytes(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte().unwrap_or(0)).min(self.0.len());
        let (bytes, rest) = self.0.split_at(len);
        self.0 = rest;
        bytes
    }
}

/// What an announcer asked and nobody answered yet.
#[derive(Default)]
struct Pending {
    queries: VecDeque<u32>,
    connects: VecDeque<u32>,
    open: VecDeque<u32>,
    sent: BTreeMap<SocketAddr, Vec<u8>>,
}

impl Pending {
    fn take(&mut self, announcer: &mut Announcer) {
        while let Some(ask) = announcer.poll_ask() {
            match ask {
                Ask::Resolve { query, .. } => self.queries.push_back(query),
                Ask::Connect { conn, timeout, .. } => {
                    assert!(timeout > Duration::ZERO);
                    self.connects.push_back(conn);
                }
                Ask::Send { conn, bytes } => {
                    assert!(
                        self.open.contains(&conn),
                        "sent only where a connection stands"
                    );
                    assert!(parse_request(&bytes).is_ok_and(|request| request.is_some()));
                }
                Ask::Close { conn } => {
                    self.connects.retain(|&other| other != conn);
                    self.open.retain(|&other| other != conn);
                }
                Ask::SendTo { remote, bytes } => {
                    assert!(Request::decode(&bytes).is_ok());
                    self.sent.insert(remote, bytes);
                }
            }
        }
        let mut events = 0;
        while announcer.poll_event().is_some() {
            events += 1;
        }
        assert!(events <= EVENTS_MAX);
    }
}

/// Whatever trackers answer, connections stay few, time passes, and a farewell comes to an end.
pub fn client(data: &[u8]) {
    let mut script = Script(data);
    let tiers = [
        vec![
            "http://name/announce".to_owned(),
            "udp://127.0.0.1:9".to_owned(),
        ],
        vec![
            "http://127.0.0.1/announce".to_owned(),
            "udp://[::1]:9/x?y".to_owned(),
        ],
    ];
    let mut config = AnnouncerConfig::new(InfoHash([1; 20]), PeerId([2; 20]), 3);
    if script.byte().unwrap_or(0) & 1 == 0 {
        config.mode = Mode::Every;
    }
    let mut announcer = Announcer::new(config, &tiers, Rng::new(1));
    let mut pending = Pending::default();
    let mut now = Moment::ZERO;
    announcer.start(now);
    pending.take(&mut announcer);
    while let Some(act) = script.byte() {
        match act % 10 {
            0 => now = now + Duration::from_secs(u64::from(script.byte().unwrap_or(0))),
            1 => now = announcer.poll_timeout().map_or(now, |(at, _)| at.max(now)),
            2 => {
                let addr = |&n: &u8| match n % 2 {
                    0 => IpAddr::from([127, 0, 0, n]),
                    _ => IpAddr::from([0, 0, 0, 0, 0, 0, 0, u16::from(n)]),
                };
                let addrs: Vec<IpAddr> = script.bytes().iter().map(addr).collect();
                let query = pending.queries.pop_front().unwrap_or(0);
                announcer.handle_resolved(query, &addrs, now);
            }
            3 => {
                let conn = pending.connects.pop_front().unwrap_or(0);
                pending.open.push_back(conn);
                announcer.handle_opened(conn, now);
            }
            4 => {
                let conn = pending.connects.pop_front().unwrap_or(0);
                announcer.handle_failed(conn, NoConnection::Refused, now);
            }
            5 => {
                let conn = pending.open.front().copied().unwrap_or(0);
                announcer.handle_bytes(conn, script.bytes(), now);
            }
            6 => {
                let conn = pending.open.pop_front().unwrap_or(0);
                announcer.handle_end(conn, now);
            }
            7 => datagram(&mut announcer, &pending, script.bytes(), now),
            8 => announcer.complete(now),
            _ => announcer.announce_soon(now),
        }
        announcer.handle_timeout(now);
        pending.take(&mut announcer);
        assert!(
            pending.connects.len() + pending.open.len() <= 4 + 255,
            "one a tracker"
        );
    }
    // From here on nobody answers: failures come, and each takes time.
    let passive = now;
    for _ in 0..200 {
        let Some((at, _)) = announcer.poll_timeout() else {
            break;
        };
        now = now.max(at);
        announcer.handle_timeout(now);
        pending.take(&mut announcer);
    }
    assert!(
        announcer.poll_timeout().is_none() || now.since(passive) > Duration::from_secs(60),
        "timers run without time"
    );
    announcer.stop(now);
    let stopping = now;
    while let Some((at, _)) = announcer.poll_timeout() {
        now = now.max(at);
        announcer.handle_timeout(now);
        pending.take(&mut announcer);
    }
    assert!(announcer.is_stopped());
    assert!(
        now.since(stopping) <= Duration::from_secs(60),
        "a farewell ends"
    );
}

/// A datagram from one that was asked, with the transaction that it was asked with.
fn datagram(announcer: &mut Announcer, pending: &Pending, bytes: &[u8], now: Moment) {
    let Some((&choice, bytes)) = bytes.split_first() else {
        return;
    };
    let at = usize::from(choice >> 4) % pending.sent.len().max(1);
    let Some((&remote, request)) = pending.sent.iter().nth(at) else {
        return;
    };
    let mut reply = vec![0, 0, 0, choice & 7];
    reply.extend_from_slice(&request[12..16]);
    reply.extend_from_slice(bytes);
    announcer.handle_datagram(remote, &reply, now);
}

/// Whatever clients ask, no answer goes to an address that is not proved and is longer than the
/// question, no answer names too many, and none names the asker.
pub fn server(data: &[u8]) {
    let mut script = Script(data);
    let mut config = StoreConfig::with_interval(10, [1; 32]);
    (
        config.torrents_max,
        config.peers_max,
        config.peers_per_torrent_max,
    ) = (4, 20, 10);
    let mut tracker = Answerer::new(config, [2; 32]);
    let mut now = Moment::ZERO;
    while let Some(act) = script.byte() {
        let from: SocketAddr = match act & 0x10 {
            0 => ([127, 0, 0, act >> 5], 1).into(),
            _ => ([0, 0, 0, 0, 0, 0, 0, u16::from(act >> 5)], 1).into(),
        };
        let mut out = Vec::new();
        match act % 4 {
            0 => {
                now = now + Duration::from_secs(u64::from(script.byte().unwrap_or(0)));
                tracker.store_mut().handle_timeout(now);
            }
            1 => {
                let request = script.bytes();
                let answered = tracker.answer_datagram(from, request, now, &mut out);
                assert!(out.len() <= request.len(), "nothing proves the address");
                assert_eq!(answered == Answered::Ignored, out.is_empty());
            }
            2 => {
                let mut request = connection(&mut tracker, from, now);
                request.extend_from_slice(script.bytes());
                tracker.answer_datagram(from, &request, now, &mut out);
                if let Ok(Reply::Announce { reply, .. }) =
                    Reply::decode(&out, Family::of(from.ip()))
                {
                    assert!(reply.peers.len() <= PEERS_PER_ANSWER_MAX);
                }
            }
            _ => {
                let bytes = script.bytes();
                if let Ok(Some(request)) = parse_request(bytes) {
                    let answered = tracker.answer_query(from, &request, now, &mut out);
                    assert!(!out.is_empty());
                    if let Answered::Announce(served) = answered {
                        let asker = SocketAddr::new(from.ip(), served.request.port);
                        assert!(!served.reply.peers.contains(&asker));
                    }
                }
            }
        }
        assert!(tracker.store().torrents() <= 8);
        assert!(tracker.store().peers() <= 21);
    }
}

/// The connection id for an address: what every proved request begins with.
fn connection(tracker: &mut Answerer, from: SocketAddr, now: Moment) -> Vec<u8> {
    let mut request = Vec::new();
    Request::Connect {
        transaction: TransactionId(0),
    }
    .encode(&mut request);
    let mut reply = Vec::new();
    tracker.answer_datagram(from, &request, now, &mut reply);
    reply[8..16].to_vec()
}
