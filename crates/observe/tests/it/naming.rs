//! Who names endpoints, and what a name is worth.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use skep_evidence::record::{Body, NamedBy};
use skep_observe::{ENDPOINTS_PER_TARGET_MAX, NAMERS_PER_ENDPOINT_MAX};
use skep_proto::tracker::server::{Answerer, StoreConfig};
use skep_sim::strangers::{
    Client, Content, HttpTracker, LISTEN_PORT, Says, Script, Stranger, US, World, config,
    handshake, host, messages,
};
use skep_wire::peer::{
    Message,
    ext::{Pex, PexPeer},
};

const TRACKER: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 9, 9)),
    80,
);
const URL: &str = "http://10.0.9.9:80/announce";

fn listed(bodies: &[Body]) -> Vec<(SocketAddr, NamedBy)> {
    bodies
        .iter()
        .filter_map(|body| match body {
            Body::Listed { endpoint, by, .. } => Some((*endpoint, by.clone())),
            _ => None,
        })
        .collect()
}

fn joined(bodies: &[Body]) -> usize {
    bodies
        .iter()
        .filter(|body| matches!(body, Body::Joined { .. }))
        .count()
}

#[test]
fn a_tracker_over_http_names_endpoints_and_they_are_visited() {
    let content = Content::small(&[URL]);
    let mut world = World::new(config(), vec![content.target.clone()]);
    world.takes(TRACKER, || HttpTracker::new(&[host(1), host(2)]));
    let client = content.clone();
    world.takes(host(1), move || Client::seeder(&client));
    world.run_until(20);
    let bodies = world.bodies();
    let by = NamedBy::Tracker { url: URL.into() };
    assert_eq!(listed(&bodies), [(host(1), by.clone()), (host(2), by)]);
    assert!(bodies.iter().any(|body| matches!(
        body,
        Body::TrackerAsked {
            conn: Some(_),
            remote: Some(TRACKER),
            ..
        }
    )));
    let answered = bodies.iter().find_map(|body| match body {
        Body::TrackerAnswered {
            complete,
            incomplete,
            peer_count,
            interval_secs,
            ..
        } => Some((*complete, *incomplete, *peer_count, *interval_secs)),
        _ => None,
    });
    assert_eq!(answered, Some((Some(1), Some(2), 2, 60)));
    assert_eq!(joined(&bodies), 1);
    assert!(
        bodies
            .iter()
            .any(|body| matches!(body, Body::AttemptFailed { .. }))
    );
    // A tracker is no endpoint of the swarm, though we were connected to it.
    assert!(!bodies.iter().any(|body| matches!(
        body,
        Body::Reached {
            endpoint: TRACKER,
            ..
        } | Body::Attempted {
            endpoint: TRACKER,
            ..
        }
    )));
}

#[test]
fn a_tracker_over_udp_names_endpoints() {
    let url = "udp://tracker.example:80/announce";
    let content = Content::small(&[url]);
    let mut world = World::new(config(), vec![content.target.clone()]);
    world
        .names
        .insert("tracker.example".into(), vec![TRACKER.ip()]);
    let mut server = Answerer::new(StoreConfig::new([3; 32]), [4; 32]);
    let hash = content.target.metainfo.info_hash;
    server.store_mut().inject(hash, host(1), world.now());
    let from = SocketAddr::from((US, 9));
    world.udp.insert(
        TRACKER,
        Box::new(move |bytes, now| {
            let mut out = Vec::new();
            server.answer_datagram(from, bytes, now, &mut out);
            out
        }),
    );
    world.run_until(10);
    world.stop();
    let bodies = world.bodies();
    assert!(listed(&bodies).contains(&(host(1), NamedBy::Tracker { url: url.into() })));
    let asked = bodies
        .iter()
        .filter(|body| matches!(body, Body::TrackerAsked { .. }))
        .count();
    assert_eq!(asked, 2, "once to begin, once to say farewell");
    assert!(matches!(bodies.last(), Some(Body::RunEnded { .. })));
}

/// Every tracker of every tier is asked, whatever the others do; each failure has its reason.
#[test]
fn every_tracker_is_asked_and_every_failure_is_kept() {
    let urls = [
        "http://10.0.9.1:80/announce",
        "http://10.0.9.2:80/announce",
        "udp://nowhere.example:80/announce",
        "https://10.0.9.3/announce",
        URL,
    ];
    let content = Content::small(&urls);
    let mut world = World::new(config(), vec![content.target.clone()]);
    world.takes("10.0.9.2:80".parse().expect("an address"), || {
        Script::new([(
            0,
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi".to_vec(),
        )])
    });
    world.takes(TRACKER, || HttpTracker::new(&[]));
    world.run_until(20);
    let bodies = world.bodies();
    let failed: Vec<(&str, &str)> = bodies
        .iter()
        .filter_map(|body| match body {
            Body::TrackerFailed { url, error, .. } => Some((url.as_str(), error.as_str())),
            _ => None,
        })
        .collect();
    let why = |url| {
        failed
            .iter()
            .find(|(of, _)| *of == url)
            .map(|(_, why)| *why)
    };
    assert_eq!(why(urls[0]), Some("no connection: refused"));
    assert!(why(urls[1]).is_some(), "{failed:?}");
    assert_eq!(why(urls[2]), Some("name has no usable address"));
    assert_eq!(why(urls[3]), Some("https is not supported yet"));
    assert_eq!(why(urls[4]), None);
    assert!(
        bodies
            .iter()
            .any(|body| matches!(body, Body::TrackerAnswered { .. }))
    );
}

/// A peer tells of others by peer exchange. All are listed, with the connection that said so; who
/// is not there is attempted and not reached.
#[test]
fn peer_exchange_is_hearsay_that_is_followed() {
    let content = Content::small(&[]);
    let mut config = config();
    config.endpoints = vec![(0, host(1))];
    let mut world = World::new(config, vec![content.target.clone()]);
    let (teller, told) = (content.clone(), content.clone());
    world.takes(host(1), move || {
        Client::seeder(&teller).telling_of(&[host(2), host(3)])
    });
    world.takes(host(2), move || {
        Client::seeder(&told).named(b"-YY0001-abcdefghijkl")
    });
    world.run_until(20);
    let bodies = world.bodies();
    let conn = bodies
        .iter()
        .find_map(|body| match body {
            Body::Reached { conn, endpoint, .. } if *endpoint == host(1) => Some(*conn),
            _ => None,
        })
        .expect("the first is reached");
    let by = NamedBy::Pex { conn };
    let named = listed(&bodies);
    assert!(named.contains(&(host(2), by.clone())) && named.contains(&(host(3), by)));
    assert!(bodies.iter().any(|body| matches!(
        body,
        Body::Listed {
            by: NamedBy::Pex { .. },
            source: Some(_),
            ..
        }
    )));
    assert_eq!(joined(&bodies), 2);
}

/// A liar tells of addresses that cannot be endpoints. They are listed, because he said so, and not
/// contacted.
#[test]
fn impossible_addresses_are_listed_and_not_contacted() {
    let content = Content::small(&[]);
    let mut config = config();
    config.endpoints = vec![(0, host(1))];
    let mut world = World::new(config, vec![content.target.clone()]);
    let liar = content.clone();
    let impossible: Vec<SocketAddr> = [
        "0.0.0.0:1",
        "224.0.0.1:6881",
        "255.255.255.255:80",
        "10.0.1.2:0",
    ]
    .map(|text| text.parse().expect("an address"))
    .to_vec();
    let told = impossible.clone();
    world.takes(host(1), move || Client::seeder(&liar).telling_of(&told));
    world.run_until(20);
    let bodies = world.bodies();
    let named = listed(&bodies);
    for endpoint in impossible {
        assert!(
            named.iter().any(|(named, _)| *named == endpoint),
            "{endpoint}"
        );
        assert!(!bodies.iter().any(|body| matches!(
            body,
            Body::Attempted { endpoint: tried, .. } if *tried == endpoint
        )));
    }
}

/// The tracker lists the observer itself. We reach ourselves, at both ends, and never join.
#[test]
fn the_observer_knows_itself() {
    let content = Content::small(&[URL]);
    let ours = SocketAddr::from((US, LISTEN_PORT));
    let mut world = World::new(config(), vec![content.target.clone()]);
    world.takes(TRACKER, move || HttpTracker::new(&[ours]));
    world.run_until(30);
    let bodies = world.bodies();
    let reached = bodies
        .iter()
        .filter(|body| matches!(body, Body::Reached { .. }))
        .count();
    assert_eq!(reached, 2, "our end, and the other one, which is ours too");
    assert_eq!(joined(&bodies), 0);
    assert!(bodies.iter().any(|body| matches!(
        body,
        Body::Violated { violation, .. } if violation.contains("our own peer id")
    )));
}

/// Who connects to us is its own endpoint; the port at which it says it listens is another, as a
/// claim, and is visited.
#[test]
fn an_incoming_connection_and_its_listening_port_are_two_endpoints() {
    let content = Content::small(&[]);
    let mut world = World::new(config(), vec![content.target.clone()]);
    let from: SocketAddr = "10.0.1.5:40000".parse().expect("an address");
    let listens: SocketAddr = "10.0.1.5:6999".parse().expect("an address");
    let caller = Client::seeder(&content).calling().listening_at(6_999);
    world.comes_in(Duration::from_secs(1), from, caller);
    let server = content.clone();
    world.takes(listens, move || Client::seeder(&server));
    world.run_until(20);
    let bodies = world.bodies();
    let named = listed(&bodies);
    assert!(named.contains(&(from, NamedBy::Incoming)));
    let claimed = named.iter().find(|(endpoint, _)| *endpoint == listens);
    assert!(matches!(claimed, Some((_, NamedBy::ListenPort { .. }))));
    let reached: Vec<(SocketAddr, bool)> = bodies
        .iter()
        .filter_map(|body| match body {
            Body::Reached {
                endpoint, incoming, ..
            } => Some((*endpoint, *incoming)),
            _ => None,
        })
        .collect();
    assert_eq!(reached, [(from, true), (listens, false)]);
    assert_eq!(joined(&bodies), 2);
    let verified = bodies
        .iter()
        .filter(|body| matches!(body, Body::Verified { .. }))
        .count();
    assert_eq!(verified, 2, "each of the two delivers for itself");
}

/// Two peers behind one address, with the same peer id even, stay two.
#[test]
fn two_ports_of_one_address_are_two_endpoints() {
    let content = Content::small(&[]);
    let (a, b): (SocketAddr, SocketAddr) = (
        "10.0.1.5:1000".parse().expect("an address"),
        "10.0.1.5:1001".parse().expect("an address"),
    );
    let mut config = config();
    config.endpoints = vec![(0, a), (0, b)];
    let mut world = World::new(config, vec![content.target.clone()]);
    for at in [a, b] {
        let client = content.clone();
        let pieces: &[u32] = if at == a { &[1] } else { &[2, 3] };
        world.takes(at, move || Client::seeder(&client).with_pieces(pieces));
    }
    world.run_until(10);
    let bodies = world.bodies();
    assert_eq!(joined(&bodies), 2);
    let mut sets: Vec<u32> = bodies
        .iter()
        .filter_map(|body| match body {
            Body::ClaimedSet { pieces, .. } => Some(*pieces),
            _ => None,
        })
        .collect();
    sets.sort_unstable();
    assert_eq!(sets, [1, 2]);
}

/// A flood of names fills the table and no more, and the record says that it was full.
#[test]
fn the_endpoint_table_is_bounded_and_says_so() {
    let content = Content::small(&[]);
    let mut config = config();
    config.visit_secs = 1_000;
    config.conns_max = 5;
    config.endpoints = (1..=5).map(|n| (0, host(n))).collect();
    let mut world = World::new(config, vec![content.target.clone()]);
    let hash = content.target.metainfo.info_hash;
    for teller in 1..=5u8 {
        world.takes(host(teller), move || {
            let said = (0..25u32).map(|n| {
                let added = (0..200u32)
                    .map(|i| {
                        let ip = 0x0b00_0000 + u32::from(teller) * 0x1_0000 + n * 200 + i;
                        PexPeer {
                            addr: SocketAddr::from((ip.to_be_bytes(), 80)),
                            flags: 0,
                        }
                    })
                    .collect();
                let payload = Pex {
                    added,
                    ..Pex::default()
                }
                .encode();
                // Eight at once, then one in 45 s: as much as the protocol's limits let pass.
                let at = if n < 8 {
                    0
                } else {
                    (u64::from(n) - 7) * 46_000
                };
                (
                    at,
                    messages(&[Message::Extended {
                        id: 1,
                        payload: &payload,
                    }]),
                )
            });
            let first = (0, handshake(hash, b"-XX0001-abcdefghijkl"));
            Script::new(std::iter::once(first).chain(said)).after_handshake()
        });
    }
    world.run_until(900);
    let bodies = world.bodies();
    let named: BTreeSet<SocketAddr> = listed(&bodies).iter().map(|(named, _)| *named).collect();
    assert_eq!(named.len(), ENDPOINTS_PER_TARGET_MAX);
    let limits: Vec<&str> = bodies
        .iter()
        .filter_map(|body| match body {
            Body::Limited { limit, .. } => Some(limit.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(limits, ["ENDPOINTS_PER_TARGET_MAX"]);
}

/// The same source names an endpoint again within the hour: nothing new. Many sources name one: the
/// first few dozen are kept.
#[test]
fn a_name_is_recorded_once_for_each_source() {
    let content = Content::small(&[URL]);
    let mut config = config();
    config.announce_secs = 60;
    let mut world = World::new(config, vec![content.target.clone()]);
    world.takes(TRACKER, || HttpTracker::new(&[host(1)]));
    world.run_until(400);
    let bodies = world.bodies();
    let answers = bodies
        .iter()
        .filter(|body| matches!(body, Body::TrackerAnswered { .. }))
        .count();
    assert!(answers > 4, "{answers}");
    assert_eq!(listed(&bodies).len(), 1);
    world.run_until(4_000);
    assert_eq!(listed(&world.bodies()).len(), 2, "again after an hour");

    let content = Content::small(&[]);
    let mut config = skep_sim::strangers::config();
    let tellers = NAMERS_PER_ENDPOINT_MAX as u8 + 8;
    config.endpoints = (1..=tellers).map(|n| (0, host(n))).collect();
    let mut world = World::new(config, vec![content.target.clone()]);
    for n in 1..=tellers {
        let client = content.clone();
        world.takes(host(n), move || {
            Client::seeder(&client).telling_of(&[host(200)])
        });
    }
    world.run_until(20);
    let bodies = world.bodies();
    let named = listed(&bodies)
        .iter()
        .filter(|(endpoint, _)| *endpoint == host(200))
        .count();
    assert_eq!(named, NAMERS_PER_ENDPOINT_MAX);
    assert!(bodies.iter().any(|body| matches!(
        body,
        Body::Limited { limit, .. } if limit == "NAMERS_PER_ENDPOINT_MAX"
    )));
}

/// A client allows one connection from an address. It connects to us first, so our visit to the port
/// at which it listens is turned away; we take what we want on its connection, leave it, and the next
/// visit is served: the listed endpoint itself delivers.
#[test]
fn who_turns_us_away_while_connected_to_us_is_visited_afterwards() {
    use skep_evidence::record::CloseKind;
    use std::{cell::Cell, rc::Rc};
    let content = Content::small(&[]);
    let listens: SocketAddr = "10.0.1.5:6999".parse().expect("an address");
    let mut config = config();
    config.endpoints = vec![(0, listens)];
    let mut world = World::new(config, vec![content.target.clone()]);
    let (hash, server, visits) = (
        content.target.metainfo.info_hash,
        content.clone(),
        Rc::default(),
    );
    let count: Rc<Cell<u32>> = Rc::clone(&visits);
    world.takes(listens, move || {
        visits.set(visits.get() + 1);
        let hello = handshake(hash, b"-XX0001-abcdefghijkl");
        let turned_away = Script::new([(0, hello)]).closing();
        if visits.get() == 1 {
            Either::Left(turned_away)
        } else {
            Either::Right(Client::seeder(&server))
        }
    });
    let from: SocketAddr = "10.0.1.5:40000".parse().expect("an address");
    let caller = Client::seeder(&content).calling().listening_at(6_999);
    world.comes_in(Duration::from_millis(5), from, caller);
    world.run_until(80);
    assert_eq!(count.get(), 2);
    let bodies = world.bodies();
    let conn_of = |at: SocketAddr| {
        bodies.iter().rev().find_map(move |body| match body {
            Body::Reached { conn, endpoint, .. } if *endpoint == at => Some(*conn),
            _ => None,
        })
    };
    let verified = |at| {
        bodies
            .iter()
            .any(|body| matches!(body, Body::Verified { conn, .. } if Some(*conn) == conn_of(at)))
    };
    assert!(verified(from) && verified(listens));
    let left = bodies.iter().any(|body| {
        matches!(body, Body::Closed { conn, how: CloseKind::UsDone, .. } if Some(*conn) == conn_of(from))
    });
    assert!(left, "the incoming connection is left by us");
}

/// One stranger or another.
enum Either<A, B> {
    Left(A),
    Right(B),
}

impl<A: Stranger, B: Stranger> Stranger for Either<A, B> {
    fn opened(&mut self, now: skep_wire::Moment) -> Vec<Says> {
        match self {
            Self::Left(who) => who.opened(now),
            Self::Right(who) => who.opened(now),
        }
    }

    fn hears(&mut self, bytes: &[u8], now: skep_wire::Moment) -> Vec<Says> {
        match self {
            Self::Left(who) => who.hears(bytes, now),
            Self::Right(who) => who.hears(bytes, now),
        }
    }

    fn wakes(&mut self, now: skep_wire::Moment) -> Vec<Says> {
        match self {
            Self::Left(who) => who.wakes(now),
            Self::Right(who) => who.wakes(now),
        }
    }
}
