//! A swarm with an observer in it: what it writes down, against what every actor did.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use skep_evidence::{journal::ConnId, record::Body};
use skep_proto::{rng::Rng, torrent};
use skep_sim::{Swarm, content::Content, hostile::Kind, net::NetConfig};
use skep_wire::{Moment, PieceIndex};

/// How many seeds are run.
const SEEDS: u64 = 16;

/// What the records say of one host, incoming and outgoing connections together.
#[derive(Debug, Default, Clone)]
struct Seen {
    reached: bool,
    joined: bool,
    claimed: bool,
    pieces_claimed: u32,
    delivered: u32,
    verified: BTreeSet<PieceIndex>,
    refuted: u32,
}

fn seen(swarm: &Swarm) -> BTreeMap<IpAddr, Seen> {
    let mut hosts: BTreeMap<IpAddr, Seen> = BTreeMap::new();
    let mut of_conn: BTreeMap<ConnId, IpAddr> = BTreeMap::new();
    let watcher = swarm.watcher().expect("there is one");
    for record in watcher.records() {
        if let Body::Reached { conn, endpoint, .. } = &record.body {
            of_conn.insert(*conn, endpoint.ip());
            hosts.entry(endpoint.ip()).or_default().reached = true;
        }
        let (Body::Joined { conn, .. }
        | Body::ClaimedSet { conn, .. }
        | Body::ClaimedGain { conn, .. }
        | Body::Delivered { conn, .. }
        | Body::Verified { conn, .. }
        | Body::Refuted { conn, .. }
        | Body::Closed { conn, .. }) = &record.body
        else {
            continue;
        };
        let host = hosts.entry(of_conn[conn]).or_default();
        match &record.body {
            Body::Joined { .. } => host.joined = true,
            Body::ClaimedSet { pieces, .. } | Body::ClaimedGain { pieces, .. } => {
                host.claimed = true;
                host.pieces_claimed = host.pieces_claimed.max(*pieces);
            }
            Body::Delivered { .. } => host.delivered += 1,
            Body::Verified { piece, .. } => {
                host.verified.insert(*piece);
            }
            Body::Refuted { .. } => host.refuted += 1,
            Body::Closed { payload_out, .. } => assert_eq!(*payload_out, 0),
            _ => {}
        }
    }
    hosts
}

/// Fifteen honest peers on slow links, a seeder and one hostile peer of each kind, watched for three
/// minutes: nothing false is written down, everyone who was there long enough is at least claimed,
/// the seeder is verified, nobody got a block from the observer, and a replay of the journal gives
/// every record and action again.
#[test]
fn what_an_observer_writes_down_is_true_for_every_seed() {
    for seed in 0..SEEDS {
        eprintln!("seed {seed}");
        let swarm = watched(seed);
        let watcher = swarm.watcher().expect("there is one");
        assert!(watcher.is_over(), "seed {seed}");
        assert_eq!(watcher.replay(), Ok(watcher.log().len()), "seed {seed}");
        assert_eq!(
            wrong(&swarm, &seen(&swarm)),
            Vec::<String>::new(),
            "seed {seed}"
        );
    }
}

/// The comparison is code too: each planted falsehood is found.
#[test]
fn a_planted_falsehood_is_found() {
    let swarm = watched(1);
    let truth = seen(&swarm);
    let plant = |kind: Kind, falsify: &dyn Fn(&mut Seen)| {
        let mut seen = truth.clone();
        let liar = swarm
            .hostile()
            .find(|peer| peer.kind() == kind)
            .expect("every kind is there");
        falsify(seen.entry(swarm.net.addr(liar.host()).ip()).or_default());
        assert_eq!(wrong(&swarm, &seen).len(), 1, "{kind:?}");
    };
    plant(Kind::Silent, &|seen| seen.joined = true);
    plant(Kind::Echo, &|seen| seen.claimed = true);
    plant(Kind::SlowLoris, &|seen| seen.claimed = true);
    plant(Kind::DeliversNothing, &|seen| seen.delivered = 1);
    plant(Kind::Garbage, &|seen| seen.verified.extend([PieceIndex(0)]));
    let honest = swarm.honest().next().expect("there are some");
    let ip = swarm.net.addr(honest.host()).ip();
    for falsify in [
        |seen: &mut Seen| seen.pieces_claimed = 1_000,
        |seen: &mut Seen| seen.refuted = 1,
        |seen: &mut Seen| seen.claimed = false,
        |seen: &mut Seen| seen.verified.extend([PieceIndex(999)]),
    ] {
        let mut seen = truth.clone();
        falsify(seen.get_mut(&ip).expect("it was seen"));
        assert_eq!(wrong(&swarm, &seen).len(), 1);
    }
}

fn watched(seed: u64) -> Swarm {
    let mut rng = Rng::new(seed);
    let slow = NetConfig {
        up_rate: 5_000..30_000,
        down_rate: 50_000..500_000,
        ..NetConfig::default()
    };
    let content = Content::new(seed, 400_000 + rng.below(400_000) as usize, 40 * 1024);
    let mut swarm = Swarm::new(content, slow, rng.next_u64());
    let seeder = swarm.add_seed(Moment::ZERO);
    swarm.net.set_rates(seeder, 60_000, 60_000);
    for _ in 0..15 {
        swarm.add_leecher(Moment::from_millis(rng.below(60_000)));
    }
    for kind in Kind::PLAIN {
        swarm.add_hostile(Moment::from_millis(rng.below(10_000)), kind);
    }
    let name = swarm.content.info_hash();
    swarm.net.list(name, NOBODY.parse().expect("an address"));
    swarm.add_watcher(Moment::from_secs(5), Moment::from_secs(185), |_| {});
    swarm.run_until(Moment::from_secs(200));
    swarm
}

/// Listed by the tracker, though nobody is there.
const NOBODY: &str = "10.77.0.1:6881";

/// Compares what was written down with what the actors did; returns what is false or missing.
fn wrong(swarm: &Swarm, seen: &BTreeMap<IpAddr, Seen>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut check = |holds: bool, what: &str, ip: IpAddr| {
        if !holds {
            wrong.push(format!("{ip}: {what}: {:?}", seen.get(&ip)));
        }
    };
    let of = |ip: IpAddr| seen.get(&ip).cloned().unwrap_or_default();
    let ours = swarm
        .watcher()
        .map(|watcher| swarm.net.addr(watcher.host()).ip());
    for (n, peer) in swarm.honest().enumerate() {
        let ip = swarm.net.addr(peer.host()).ip();
        let seen = of(ip);
        let held = peer.torrent().stats(swarm.net.now()).pieces_held;
        check(
            seen.reached && seen.joined && seen.claimed,
            "was there, and is not claimed",
            ip,
        );
        check(seen.pieces_claimed <= held, "never had so many pieces", ip);
        let had = |&piece: &PieceIndex| peer.torrent().have().has(piece);
        check(
            seen.verified.iter().all(had),
            "never had a piece that is verified",
            ip,
        );
        check(seen.refuted == 0, "sent nothing bad", ip);
        check(
            n > 0 || !seen.verified.is_empty(),
            "is the seeder, and is not verified",
            ip,
        );
        let events = || peer.events().iter().map(|(_, event)| event);
        let of_us: Vec<_> = events()
            .filter_map(|event| match event {
                torrent::Event::Opened { peer, addr, .. } if Some(addr.ip()) == ours => Some(*peer),
                _ => None,
            })
            .collect();
        let from_us = |event: &torrent::Event| matches!(event, torrent::Event::BlockArrived { peer, .. } if of_us.contains(peer));
        check(!events().any(from_us), "got a block from the observer", ip);
    }
    for peer in swarm.hostile() {
        let ip = swarm.net.addr(peer.host()).ip();
        let seen = of(ip);
        let (joins, claims) = match peer.kind() {
            Kind::Silent | Kind::Http | Kind::Echo => (false, false),
            Kind::SlowLoris | Kind::TooLong | Kind::Unrequested => (true, false),
            Kind::HaveFlood | Kind::WrongIndex | Kind::DeliversNothing => (true, true),
            Kind::Garbage | Kind::Poison => (true, true),
            kind => panic!("{kind:?} is not in this swarm"),
        };
        check(joins || !seen.joined, "speaks no protocol, and joined", ip);
        check(
            claims || !seen.claimed,
            "claims nothing, and is claimed",
            ip,
        );
        let delivers = matches!(peer.kind(), Kind::Garbage | Kind::Poison);
        check(delivers || seen.delivered == 0, "delivers nothing", ip);
        let verifies = peer.kind() == Kind::Poison;
        check(
            verifies || seen.verified.is_empty(),
            "has no good piece",
            ip,
        );
    }
    let nobody: SocketAddr = NOBODY.parse().expect("an address");
    check(
        !seen.contains_key(&nobody.ip()),
        "nobody is there",
        nobody.ip(),
    );
    wrong
}
