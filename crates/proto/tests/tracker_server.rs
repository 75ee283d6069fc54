//! The tracker machine: who is named to whom, for how long, and within which limits.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use proptest::prelude::*;
use skep_proto::tracker::server::{
    Answered, Answerer, PEERS_PER_ANSWER_MAX, PEERS_PER_DATAGRAM_V6_MAX, Store, StoreConfig,
    StoreError,
};
use skep_wire::{
    InfoHash, Moment, PeerId,
    http::parse_request,
    tracker::{
        AnnounceEvent, AnnounceReply, AnnounceRequest, Family, ScrapeEntry,
        http::{AnnounceResponse, announce_target, decode_announce},
        udp::{ConnectionId, Reply, Request, TransactionId},
    },
};

use AnnounceEvent::{Completed, Regular, Started, Stopped};

const TORRENT: InfoHash = InfoHash([9; 20]);

#[test]
fn peers_are_told_of_each_other_and_never_of_themselves() {
    let mut swarm = Swarm::default();
    assert!(swarm.announce("127.0.0.1:1", 5, Started).is_empty());
    assert_eq!(swarm.announce("127.0.0.2:1", 5, Started), ["127.0.0.1:1"]);
    assert_eq!(swarm.announce("127.0.0.1:1", 5, Regular), ["127.0.0.2:1"]);
    // Two peers behind one address are two peers.
    assert_eq!(
        swarm.announce("127.0.0.1:2", 5, Started),
        ["127.0.0.1:1", "127.0.0.2:1"]
    );
}

#[test]
fn seeds_are_not_told_of_seeds() {
    let mut swarm = Swarm::default();
    swarm.announce("127.0.0.1:1", 0, Started);
    assert!(swarm.announce("127.0.0.2:1", 0, Started).is_empty());
    assert_eq!(
        swarm.announce("127.0.0.3:1", 1, Started),
        ["127.0.0.1:1", "127.0.0.2:1"]
    );
    assert_eq!(swarm.announce("127.0.0.1:1", 0, Regular), ["127.0.0.3:1"]);
}

#[test]
fn families_are_apart() {
    let mut swarm = Swarm::default();
    swarm.announce("127.0.0.1:1", 5, Started);
    assert!(swarm.announce("[::1]:1", 5, Started).is_empty());
    assert_eq!(swarm.announce("[::1]:2", 5, Started), ["[::1]:1"]);
    // An IPv4 address in the clothes of IPv6, as a socket for both shows it.
    assert_eq!(
        swarm.announce("[::ffff:127.0.0.2]:2", 5, Started),
        ["127.0.0.1:1"]
    );
    assert_eq!(swarm.store.scrape(&TORRENT, Family::V4).incomplete, 2);
    assert_eq!(swarm.store.scrape(&TORRENT, Family::V6).incomplete, 2);
}

#[test]
fn address_that_a_peer_claims_is_not_believed() {
    let mut swarm = Swarm::default();
    let mut request = request(5, Started);
    request.ip = Some("127.6.6.6".parse().unwrap());
    swarm.send("127.0.0.1", &request);
    assert_eq!(
        swarm.announce("127.0.0.2:1", 5, Started),
        ["127.0.0.1:6881"]
    );
}

#[test]
fn port_0_is_refused() {
    let mut request = request(5, Started);
    request.port = 0;
    let refused = Swarm::default()
        .store
        .announce(ip("127.0.0.1"), &request, 50, Moment::ZERO);
    assert_eq!(refused, Err(StoreError::PortZero));
}

#[test]
fn who_stops_is_gone_and_is_told_of_nobody() {
    let mut swarm = Swarm::default();
    swarm.announce("127.0.0.1:1", 5, Started);
    swarm.announce("127.0.0.2:1", 0, Started);
    assert!(swarm.announce("127.0.0.1:1", 5, Stopped).is_empty());
    assert!(swarm.announce("127.0.0.2:1", 0, Stopped).is_empty());
    assert_eq!(swarm.store.peers(), 0);
    // Farewell to an unknown swarm leaves no trace.
    let mut stranger = request(5, Stopped);
    stranger.info_hash = InfoHash([1; 20]);
    swarm.send("127.0.0.1", &stranger);
    assert_eq!(swarm.store.torrents(), 1);
}

/// Only a peer that was seen to miss something can become complete, and only once.
#[test]
fn downloads_are_counted_when_a_leech_completes() {
    let mut swarm = Swarm::default();
    let counts = |swarm: &Swarm| swarm.store.scrape(&TORRENT, Family::V4);
    swarm.announce("127.0.0.1:1", 0, Completed);
    let entry = |complete, downloaded, incomplete| ScrapeEntry {
        complete,
        downloaded,
        incomplete,
    };
    assert_eq!(counts(&swarm), entry(1, 0, 0));
    swarm.announce("127.0.0.2:1", 5, Started);
    assert_eq!(counts(&swarm), entry(1, 0, 1));
    swarm.announce("127.0.0.2:1", 0, Completed);
    swarm.announce("127.0.0.2:1", 0, Completed);
    assert_eq!(counts(&swarm), entry(2, 1, 0));
    // Completed and yet something missing: it is believed that something is.
    swarm.announce("127.0.0.2:1", 5, Completed);
    assert_eq!(counts(&swarm), entry(1, 1, 1));
    assert_eq!(
        swarm.store.scrape(&InfoHash([0; 20]), Family::V4),
        entry(0, 0, 0)
    );
}

#[test]
fn silent_peers_are_gone_after_their_time_and_talking_ones_stay() {
    let mut swarm = Swarm::default();
    swarm.announce("127.0.0.1:1", 5, Started);
    swarm.announce("127.0.0.2:1", 0, Started);
    for minute in 1..=90 {
        swarm.wait_until(minute * 60);
        if minute % 30 == 0 {
            swarm.announce("127.0.0.2:1", 0, Regular);
        }
        // 2 * 1,800 + 60 s of silence, and one minute at most until the sweep comes by.
        let gone = minute >= 62;
        assert!(
            gone || minute > 61 || swarm.store.peers() == 2,
            "minute {minute}"
        );
        assert!(!gone || swarm.store.peers() == 1, "minute {minute}");
    }
    swarm.wait_until(100_000);
    assert_eq!((swarm.store.peers(), swarm.store.torrents()), (0, 0));
}

/// The sweep never looks at much more than its share at once, however large the store is.
#[test]
fn sweep_is_spread_over_time() {
    let mut swarm = Swarm::default();
    for n in 0..6_000u32 {
        let mut request = request(5, Started);
        request.info_hash.0[..4].copy_from_slice(&n.to_be_bytes());
        swarm.send("127.0.0.1", &request);
    }
    let mut at = 4_000;
    swarm.wait_until(at);
    let mut left = swarm.store.peers();
    while left > 0 {
        at += 1;
        swarm.store.handle_timeout(Moment::from_secs(at));
        let gone = left - swarm.store.peers();
        assert!(gone <= 202, "{gone} in one step");
        left = swarm.store.peers();
        assert!(at < 4_700, "{left} left");
    }
}

#[test]
fn wishes_for_peers_are_granted_within_limits() {
    let mut swarm = Swarm::default();
    for n in 0..300 {
        swarm.announce(&format!("127.0.1.{}:{}", n % 250, n + 1), 5, Started);
    }
    let mut named = |want: Option<u32>, max: usize| {
        let mut request = request(5, Regular);
        request.num_want = want;
        let now = swarm.now;
        swarm
            .store
            .announce(ip("127.0.0.9"), &request, max, now)
            .unwrap()
            .peers
            .len()
    };
    assert_eq!(named(None, 1_000), 50);
    assert_eq!(named(Some(0), 1_000), 0);
    assert_eq!(named(Some(7), 1_000), 7);
    assert_eq!(named(Some(u32::MAX), 1_000), PEERS_PER_ANSWER_MAX);
    assert_eq!(named(Some(80), 67), 67);
}

/// In a swarm below and above the size from which it has an index: everybody is named equally
/// often, with a tolerance of five standard deviations.
#[test]
fn everybody_is_equally_likely_to_be_named() {
    for size in [60u16, 400] {
        let mut swarm = Swarm::default();
        for n in 1..=size {
            let left = u64::from(n % 3);
            swarm.announce(&format!("127.0.0.1:{n}"), left, Started);
        }
        let rounds = 4_000;
        let mut times = BTreeMap::new();
        for _ in 0..rounds {
            let named = swarm.announce("127.0.0.1:1", 1, Regular);
            let distinct: std::collections::BTreeSet<_> = named.iter().collect();
            assert_eq!(distinct.len(), 50);
            named
                .into_iter()
                .for_each(|peer| *times.entry(peer).or_insert(0) += 1);
        }
        assert_eq!(times.len(), usize::from(size) - 1);
        let share = 50.0 / f64::from(size - 1);
        let expected = f64::from(rounds) * share;
        let tolerance = 5.0 * (expected * (1.0 - share)).sqrt();
        for (peer, count) in times {
            assert!(
                (f64::from(count) - expected).abs() < tolerance,
                "{peer}: {count}/{expected}"
            );
        }
    }
}

#[test]
fn torrents_beyond_the_limit_push_out_small_ones() {
    let mut config = StoreConfig::new([1; 32]);
    config.torrents_max = 100;
    let mut swarm = Swarm::with(config);
    for n in 1..=20 {
        swarm.announce(&format!("127.0.0.1:{n}"), 5, Started);
    }
    for n in 0..10_000u32 {
        let mut request = request(5, Started);
        request.info_hash.0[..4].copy_from_slice(&n.to_be_bytes());
        swarm.send("127.0.0.2", &request);
        assert!(swarm.store.torrents() <= 100);
    }
    assert_eq!(swarm.store.scrape(&TORRENT, Family::V4).incomplete, 20);
    assert_eq!(swarm.store.peers(), 20 + 99);
}

#[test]
fn peers_beyond_the_limits_push_out_silent_ones() {
    let mut config = StoreConfig::new([1; 32]);
    (config.peers_max, config.peers_per_torrent_max) = (1_000, 300);
    let mut swarm = Swarm::with(config);
    for n in 1..=5_000u32 {
        swarm.now = Moment::from_secs(u64::from(n));
        swarm.announce(&format!("127.0.{}.{}:1", n / 250, n % 250), 5, Started);
    }
    assert_eq!(swarm.store.peers(), 300);
    // The newest ones are there, the oldest are not.
    let named = swarm.announce("127.0.19.249:1", 5, Regular);
    let old = named
        .iter()
        .filter(|peer| peer.starts_with("127.0.0."))
        .count();
    assert!(named.len() == 50 && old == 0, "{named:?}");
    for n in 1..=5_000u32 {
        let mut request = request(5, Started);
        request.info_hash.0[..4].copy_from_slice(&(n / 10).to_be_bytes());
        request.port = 1 + n as u16;
        swarm.send("127.0.0.2", &request);
        assert!(swarm.store.peers() <= 1_000);
    }
    assert_eq!(swarm.store.peers(), 1_000);
    // The other family pays for its own, and for its first with one of this.
    swarm.announce("[::1]:1", 5, Started);
    swarm.announce("[::1]:2", 5, Started);
    assert_eq!(swarm.store.peers(), 1_000);
    assert_eq!(swarm.store.scrape(&TORRENT, Family::V6).incomplete, 1);
}

/// A stranger fills one family with torrents that have a history and no peer, while the other is at
/// the limit of peers. Whom to let go must still be found at once: looking through all torrents
/// would take 20 billion looks here, and hold up everybody.
#[test]
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the time that it takes is what is tested"
)]
fn empty_torrents_do_not_slow_the_search_for_one_with_peers() {
    const EMPTY: u32 = 200_000;
    let mut config = StoreConfig::new([1; 32]);
    config.peers_max = 500;
    let mut swarm = Swarm::with(config);
    for n in 1..=499 {
        swarm.announce(&format!("127.0.0.1:{n}"), 5, Started);
    }
    let of = |n: u32, left, event| {
        let mut request = request(left, event);
        request.info_hash.0[..4].copy_from_slice(&n.to_be_bytes());
        request
    };
    for n in 0..EMPTY {
        swarm.send("::1", &of(n, 5, Started));
        swarm.send("::1", &of(n, 0, Completed));
        swarm.send("::1", &of(n, 0, Stopped));
    }
    assert_eq!(swarm.store.torrents(), 1 + EMPTY as usize);
    swarm.announce("127.0.0.2:1", 5, Started);
    let begun = std::time::Instant::now();
    for n in (EMPTY / 2..EMPTY).rev() {
        swarm.send("::1", &of(n, 5, Started));
        assert_eq!(swarm.store.peers(), 500);
    }
    let took = begun.elapsed();
    assert!(took < std::time::Duration::from_secs(20), "{took:?}");
}

#[test]
fn injected_endpoint_stays_though_it_is_silent() {
    let mut swarm = Swarm::default();
    for bogus in ["127.9.9.9:9", "[::9]:9"] {
        swarm
            .store
            .inject(TORRENT, bogus.parse().unwrap(), Moment::ZERO);
        swarm
            .store
            .inject(TORRENT, bogus.parse().unwrap(), Moment::ZERO);
    }
    swarm.wait_until(1_000_000);
    assert_eq!(swarm.announce("127.0.0.1:1", 5, Started), ["127.9.9.9:9"]);
    assert_eq!(swarm.announce("[::1]:1", 0, Started), ["[::9]:9"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against a plain model: the same peers, whatever happens in whatever order.
    #[test]
    fn store_agrees_with_a_plain_list(
        acts in prop::collection::vec((0u8..3, 1u16..70, 0u64..2, 0u8..4), 1..400),
    ) {
        let mut swarm = Swarm::default();
        let mut model: BTreeMap<(u8, u16), bool> = BTreeMap::new();
        for (host, port, left, event) in acts {
            let event = [Regular, Started, Completed, Stopped][usize::from(event)];
            let mut request = request(left, event);
            (request.port, request.num_want) = (port, Some(u32::MAX));
            let reply = swarm.send(&format!("127.0.0.{host}"), &request);
            match event {
                Stopped => drop(model.remove(&(host, port))),
                _ => drop(model.insert((host, port), left == 0)),
            }
            let seeds = model.values().filter(|&&seed| seed).count();
            prop_assert_eq!(reply.complete, Some(seeds as u32));
            prop_assert_eq!(reply.incomplete, Some((model.len() - seeds) as u32));
            let candidates: Vec<SocketAddr> = model
                .iter()
                .filter(|((h, p), seed)| (*h, *p) != (host, port) && !(left == 0 && **seed))
                .map(|((host, port), _)| SocketAddr::from(([127, 0, 0, *host], *port)))
                .collect();
            let wanted = if event == Stopped { 0 } else { candidates.len().min(200) };
            prop_assert_eq!(reply.peers.len(), wanted);
            prop_assert!(reply.peers.iter().all(|peer| candidates.contains(peer)));
        }
        prop_assert_eq!(swarm.store.peers(), model.len());
    }
}

#[test]
fn datagrams_are_answered_only_with_a_connection_of_that_address() {
    let mut tracker = Answerer::new(StoreConfig::new([1; 32]), [2; 32]);
    let connection = connect(&mut tracker, "127.0.0.1:5");
    let reply = datagram(&mut tracker, "127.0.0.1:6", &announce(connection)).expect("a reply");
    assert!(matches!(reply, Reply::Announce { .. }));
    let mismatch = |reply| matches!(reply, Some(Reply::Error { message, .. }) if message == "connection id mismatch");
    assert!(mismatch(datagram(
        &mut tracker,
        "127.0.0.2:5",
        &announce(connection)
    )));
    assert!(mismatch(datagram(
        &mut tracker,
        "127.0.0.1:5",
        &announce(ConnectionId(1))
    )));
    // A refusal that would be longer than the request is not sent: addresses can be forged.
    let transaction = TransactionId(1);
    let scrape = Request::Scrape {
        connection: ConnectionId(1),
        transaction,
        info_hashes: vec![],
    };
    assert_eq!(datagram(&mut tracker, "127.0.0.2:5", &scrape), None);
    assert_eq!(tracker.store().peers(), 1);
    let mut out = Vec::new();
    let junk = tracker.answer_datagram(addr("127.0.0.1:5"), b"junk", Moment::ZERO, &mut out);
    assert_eq!((junk, out.len()), (Answered::Ignored, 0));
    let counts = tracker.counts();
    assert_eq!(
        (counts.connects, counts.announces, counts.ignored),
        (1, 1, 4)
    );
}

#[test]
fn answers_fit_one_datagram() {
    let mut tracker = Answerer::new(StoreConfig::new([1; 32]), [2; 32]);
    for (from, max, len) in [
        ("127.0.0.1:5", PEERS_PER_ANSWER_MAX, 1_220),
        ("[::1]:5", PEERS_PER_DATAGRAM_V6_MAX, 1_226),
    ] {
        let connection = connect(&mut tracker, from);
        for port in 1..400 {
            let mut request = announce(connection);
            if let Request::Announce { announce, .. } = &mut request {
                (announce.port, announce.num_want) = (port, Some(1_000));
            }
            let mut bytes = Vec::new();
            request.encode(&mut bytes);
            let mut out = Vec::new();
            tracker.answer_datagram(addr(from), &bytes, Moment::ZERO, &mut out);
            assert!(out.len() <= len, "{} bytes to {from}", out.len());
            if port == 399 {
                assert_eq!(out.len(), len);
                let Reply::Announce { reply, .. } =
                    Reply::decode(&out, Family::of(addr(from).ip())).unwrap()
                else {
                    panic!("an announce")
                };
                assert_eq!(reply.peers.len(), max);
            }
        }
    }
}

#[test]
fn queries_over_http_are_answered_or_refused_in_bencode() {
    let mut tracker = Answerer::new(StoreConfig::new([1; 32]), [2; 32]);
    let mut ask = |target: &str| {
        let bytes = format!("GET {target} HTTP/1.1\r\n\r\n");
        let request = parse_request(bytes.as_bytes()).unwrap().unwrap();
        let mut out = Vec::new();
        tracker.answer_query(
            addr("[::ffff:127.0.0.1]:5"),
            &request,
            Moment::ZERO,
            &mut out,
        );
        String::from_utf8_lossy(&out).into_owned()
    };
    let url = skep_wire::http::Url::parse("http://t/x/announce").unwrap();
    let mut first = request(5, Started);
    ask(&announce_target(&url, &first, None));
    (first.port, first.compact) = (7, false);
    let answer = ask(&announce_target(&url, &first, None));
    let AnnounceResponse::Reply(reply) = decode_announce(answer.as_bytes()).unwrap() else {
        panic!("{answer}")
    };
    assert_eq!(reply.peers, [addr("127.0.0.1:6881")]);
    assert!(
        answer.contains("5:peersld2:ip9:127.0.0.14:porti6881eee"),
        "{answer}"
    );
    assert_eq!(
        ask("/announce"),
        "d14:failure reason20:info_hash is missinge"
    );
    assert_eq!(ask("/scrape"), "d14:failure reason20:info_hash is missinge");
    assert_eq!(ask("/else"), "d14:failure reason9:not founde");
    let scraped =
        ask("/scrape?info_hash=%09%09%09%09%09%09%09%09%09%09%09%09%09%09%09%09%09%09%09%09");
    assert!(
        scraped.ends_with("d8:completei0e10:downloadedi0e10:incompletei2eeee"),
        "{scraped}"
    );
}

struct Swarm {
    store: Store,
    now: Moment,
}

impl Default for Swarm {
    fn default() -> Self {
        Self::with(StoreConfig::new([1; 32]))
    }
}

impl Swarm {
    fn with(config: StoreConfig) -> Self {
        Self {
            store: Store::new(config),
            now: Moment::ZERO,
        }
    }

    fn send(&mut self, from: &str, request: &AnnounceRequest) -> AnnounceReply {
        self.store
            .announce(ip(from), request, usize::MAX, self.now)
            .unwrap()
    }

    /// Announces from an endpoint and returns who is named, sorted.
    fn announce(&mut self, from: &str, left: u64, event: AnnounceEvent) -> Vec<String> {
        let from = addr(from);
        let mut request = request(left, event);
        request.port = from.port();
        let mut peers = self
            .store
            .announce(from.ip(), &request, usize::MAX, self.now)
            .unwrap()
            .peers;
        peers.sort_unstable();
        peers.iter().map(SocketAddr::to_string).collect()
    }

    /// Lets time pass second by second, as the driver does.
    fn wait_until(&mut self, secs: u64) {
        while self.now < Moment::from_secs(secs) {
            let (at, _) = self.store.poll_timeout().unwrap();
            self.now = self.now.max(at);
            self.store.handle_timeout(self.now);
        }
    }
}

fn request(left: u64, event: AnnounceEvent) -> AnnounceRequest {
    AnnounceRequest {
        info_hash: TORRENT,
        peer_id: PeerId([b'p'; 20]),
        port: 6881,
        uploaded: 0,
        downloaded: 0,
        left,
        event,
        num_want: None,
        key: 1,
        ip: None,
        compact: true,
    }
}

fn announce(connection: ConnectionId) -> Request {
    let transaction = TransactionId(1);
    Request::Announce {
        connection,
        transaction,
        announce: request(5, Started),
        url_data: vec![],
    }
}

fn connect(tracker: &mut Answerer, from: &str) -> ConnectionId {
    let transaction = TransactionId(1);
    match datagram(tracker, from, &Request::Connect { transaction }) {
        Some(Reply::Connect { connection, .. }) => connection,
        other => panic!("{other:?}"),
    }
}

fn datagram(tracker: &mut Answerer, from: &str, request: &Request) -> Option<Reply> {
    let mut bytes = Vec::new();
    request.encode(&mut bytes);
    let mut out = Vec::new();
    let from = addr(from);
    match tracker.answer_datagram(from, &bytes, Moment::ZERO, &mut out) {
        Answered::Ignored => None,
        _ => Some(Reply::decode(&out, Family::of(from.ip())).unwrap()),
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}
