//! A swarm with an observer in it: what it writes down, against what every actor did.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use skep_evidence::{journal::ConnId, record::Body};
use skep_proto::{rng::Rng, torrent};
use skep_sim::{Swarm, content::Content, hostile::Kind, net::NetConfig};
use skep_wire::{Moment, PieceIndex};

/// How many seeds are run.
const SEEDS: u64 = 16;

/// What the records say of one host, incoming and outgoing connections together.
#[derive(Debug, Default)]
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
        watched(seed);
    }
}

fn watched(seed: u64) {
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
    for kind in Kind::ALL {
        swarm.add_hostile(Moment::from_millis(rng.below(10_000)), kind);
    }
    swarm.net.list(
        "10.77.0.1:6881"
            .parse()
            .expect("an address at which nobody is"),
    );
    let stop = Moment::from_secs(185);
    let watcher = swarm.add_watcher(Moment::from_secs(5), stop, |_| {});

    swarm.run_until(Moment::from_secs(200));

    let seen = seen(&swarm);
    let watching = swarm.watcher().expect("there is one");
    assert!(watching.is_over(), "seed {seed}");
    assert_eq!(watching.replay(), Ok(watching.log().len()), "seed {seed}");
    for peer in swarm.honest() {
        let ip = swarm.net.addr(peer.host()).ip();
        let seen = seen
            .get(&ip)
            .unwrap_or_else(|| panic!("seed {seed}: {ip} was not seen"));
        assert!(
            seen.reached && seen.joined && seen.claimed,
            "seed {seed}: {ip} {seen:?}"
        );
        let held = peer.torrent().stats(swarm.net.now()).pieces_held;
        assert!(
            seen.pieces_claimed <= held,
            "seed {seed}: {ip} {seen:?}, truly {held}"
        );
        assert!(
            seen.verified
                .iter()
                .all(|&piece| peer.torrent().have().has(piece))
        );
        assert_eq!(seen.refuted, 0, "seed {seed}: {ip}");
        let ours = swarm.net.addr(watcher).ip();
        let from_us = peer.events().iter().any(|(_, event)| match event {
            torrent::Event::BlockArrived { peer: key, .. } => peer.events().iter().any(|(_, e)| {
                matches!(e, torrent::Event::Opened { peer, addr, .. }
                    if peer == key && addr.ip() == ours)
            }),
            _ => false,
        });
        assert!(!from_us, "seed {seed}: the observer sent a block");
    }
    let seeder = &seen[&swarm.net.addr(seeder).ip()];
    assert!(!seeder.verified.is_empty(), "seed {seed}");
    for peer in swarm.hostile() {
        let ip = swarm.net.addr(peer.host()).ip();
        let Some(seen) = seen.get(&ip) else { continue };
        let kind = peer.kind();
        match kind {
            Kind::Silent | Kind::Http | Kind::Echo => {
                assert!(
                    !seen.joined && !seen.claimed,
                    "seed {seed}: {kind:?} {seen:?}"
                );
            }
            Kind::SlowLoris | Kind::TooLong | Kind::Unrequested => {
                assert!(!seen.claimed, "seed {seed}: {kind:?} {seen:?}");
            }
            Kind::HaveFlood | Kind::WrongIndex | Kind::DeliversNothing => {}
            Kind::Garbage => assert!(seen.verified.is_empty(), "seed {seed}: {seen:?}"),
            Kind::Poison => {}
        }
        if !matches!(kind, Kind::Garbage | Kind::Poison) {
            assert_eq!(seen.delivered, 0, "seed {seed}: {kind:?}");
            assert!(seen.verified.is_empty(), "seed {seed}: {kind:?}");
        }
    }
    let dead: IpAddr = "10.77.0.1".parse().expect("an address");
    assert!(!seen.contains_key(&dead), "seed {seed}");
}
