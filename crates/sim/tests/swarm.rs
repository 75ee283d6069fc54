//! Whole swarms in virtual time.

use std::time::Duration;

use skep_proto::{rng::Rng, torrent::Event};
use skep_sim::{Swarm, content::Content, hostile::Kind, net::NetConfig};
use skep_wire::{Moment, piece::BLOCK_LEN};

/// How many seeds each half of the ordinary test runs. `SKEP_SIM_SEEDS` asks for more or fewer; the long
/// form of all this is `cargo xtask sim`.
const SEEDS: u64 = 10;

/// A hundred honest peers that come and go, one seeder, and six hostile ones of kinds that change
/// from seed to seed: everyone completes, with every piece checked, nobody honest is banned, whoever
/// sends much garbage is, and little comes twice. (Two tests, so that two cores share them.)
#[test]
fn a_swarm_of_a_hundred_completes_in_hostile_company_for_every_even_seed() {
    every_other_seed(0);
}

/// See the even seeds.
#[test]
fn a_swarm_of_a_hundred_completes_in_hostile_company_for_every_odd_seed() {
    every_other_seed(1);
}

fn every_other_seed(first: u64) {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one who runs it may ask for more seeds"
    )]
    let asked = std::env::var("SKEP_SIM_SEEDS")
        .ok()
        .and_then(|text| text.parse().ok());
    for n in 0..asked.unwrap_or(SEEDS) {
        let seed = first + 2 * n;
        eprintln!("seed {seed}");
        hundred(seed);
    }
}

fn hundred(seed: u64) {
    let mut rng = Rng::new(seed);
    let piece_len = [16 * 1024, 20 * 1024, 40 * 1024][rng.below(3) as usize];
    let len = 100_000 + rng.below(300_000) as usize;
    let slow = NetConfig {
        up_rate: 10_000..100_000,
        down_rate: 50_000..500_000,
        ..NetConfig::default()
    };
    let mut swarm = Swarm::new(Content::new(seed, len, piece_len), slow, rng.next_u64());
    let seeder = swarm.add_seed(Moment::ZERO);
    swarm.net.set_rates(seeder, 200_000, 200_000);
    let peers: Vec<_> = (0..100)
        .map(|_| swarm.add_leecher(Moment::from_millis(rng.below(20_000))))
        .collect();
    for n in 0..6 {
        let kind = Kind::PLAIN[(seed as usize * 6 + n) % Kind::PLAIN.len()];
        swarm.add_hostile(Moment::from_millis(rng.below(5_000)), kind);
    }
    for _ in 0..5 {
        let host = *rng.choose(&peers).expect("there are peers");
        swarm.run_until(swarm.net.now() + Duration::from_millis(rng.below(8_000)));
        if swarm.net.is_up(host) {
            swarm.net.crash(host);
            let back = swarm.net.now() + Duration::from_millis(rng.below(20_000));
            swarm.net.restart(host, back);
        }
    }

    let done = swarm.run_until_complete(Moment::from_secs(600));

    let missing = swarm
        .honest()
        .filter(|peer| !peer.torrent().is_complete())
        .count();
    assert!(
        done.is_some(),
        "seed {seed}: {missing} peers are incomplete"
    );
    let bans = swarm.bans();
    for peer in swarm.honest() {
        let ip = swarm.net.addr(peer.host()).ip();
        let by = bans.iter().find(|(_, whom)| whom.ip() == ip);
        assert_eq!(by, None, "seed {seed}: honest {:?} was banned", peer.host());
    }
    for liar in swarm
        .hostile()
        .filter(|peer| peer.kind() == Kind::Garbage && peer.served() > 50)
    {
        let ip = swarm.net.addr(liar.host()).ip();
        let banned = bans.iter().any(|(_, whom)| whom.ip() == ip);
        assert!(
            banned,
            "seed {seed}: {} blocks of garbage, no ban",
            liar.served()
        );
    }
    let stats = swarm
        .honest()
        .map(|peer| peer.torrent().stats(swarm.net.now()));
    let wasted: u64 = stats.map(|stats| stats.wasted_bytes).sum();
    let blocks = wasted / u64::from(BLOCK_LEN);
    assert!(
        blocks < 6 * 101,
        "seed {seed}: {blocks} blocks came for nothing"
    );
}

/// The same seed gives the same run, event for event: what makes a failure worth a number.
#[test]
fn a_seed_gives_the_same_run_twice() {
    let run = || {
        let content = Content::new(1, 200_000, 20 * 1024);
        let mut swarm = Swarm::new(content, NetConfig::default(), 77);
        swarm.add_seed(Moment::ZERO);
        for n in 0..20 {
            swarm.add_leecher(Moment::from_millis(n * 300));
        }
        swarm.add_hostile(Moment::ZERO, Kind::Poison);
        swarm.run_until(Moment::from_secs(40));
        swarm
            .honest()
            .map(|peer| peer.events().to_vec())
            .collect::<Vec<_>>()
    };
    let (first, second) = (run(), run());
    assert!(first.iter().map(Vec::len).sum::<usize>() > 1000);
    assert_eq!(first, second);
}

/// 20 MB/s with 100 ms there and back: 2 MB, or 128 blocks, must be on their way at any time. The
/// request window and the blocks handed to the sending driver grow to that within a few round trips.
#[test]
fn one_connection_fills_a_long_fat_link() {
    let rate = 20_000_000;
    let config = NetConfig {
        latency_ms: 50..51,
        up_rate: rate..rate + 1,
        down_rate: 2 * rate..2 * rate + 1,
        loss_per_mille: 0,
        connect_fail_per_mille: 0,
        ..NetConfig::default()
    };
    let size = 80_000_000;
    let mut swarm = Swarm::new(Content::new(1, size, 256 * 1024), config, 1);
    swarm.add_seed(Moment::ZERO);
    let leecher = swarm.add_leecher(Moment::from_secs(1));
    swarm
        .run_until_complete(Moment::from_secs(60))
        .expect("it completes");
    let peer = swarm.peer(leecher).expect("it is there");
    let stats = peer.torrent().stats(swarm.net.now());
    let took = stats
        .complete_at
        .expect("it completed")
        .since(Moment::from_secs(1));
    let ideal = Duration::from_secs(size as u64 / rate);
    assert!(
        took < ideal * 3 / 2 + Duration::from_secs(1),
        "{took:?}, at best {ideal:?}"
    );
    assert_eq!(stats.wasted_bytes, 0);
}

/// A peer dies in the middle and comes back: no block of a piece that it had verified is fetched
/// again, and it completes.
#[test]
fn a_peer_that_comes_back_goes_on_where_it_was() {
    for seed in 0..20 {
        let content = Content::new(seed, 1_000_000, 40 * 1024);
        let mut swarm = Swarm::new(content, NetConfig::default(), seed);
        let seeder = swarm.add_seed(Moment::ZERO);
        swarm.net.set_rates(seeder, 100_000, 100_000);
        let leecher = swarm.add_leecher(Moment::ZERO);
        swarm.run_until(Moment::from_secs(8));
        let peer = swarm.peer(leecher).expect("it is there");
        let (had, seen) = (peer.torrent().have().clone(), peer.events().len());
        assert!(
            had.count() > 0 && !had.is_full(),
            "seed {seed}: {} pieces",
            had.count()
        );
        swarm.net.crash(leecher);
        swarm.net.restart(leecher, Moment::from_secs(12));
        swarm
            .run_until_complete(Moment::from_secs(600))
            .expect("it completes");
        let peer = swarm.peer(leecher).expect("it is there");
        let again = peer.events()[seen..]
            .iter()
            .filter(|(_, event)| match event {
                Event::BlockArrived { block, .. } => had.has(block.piece),
                _ => false,
            });
        assert_eq!(again.count(), 0, "seed {seed}");
    }
}
