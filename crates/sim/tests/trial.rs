//! Swarms of every version that a seed draws, each judged: the short form of `cargo xtask sim`.

use std::{collections::BTreeSet, net::IpAddr};

use skep_sim::{
    honest::Accusation,
    net::HostId,
    trial::{Fault, Seen, Trial, judge},
};
use skep_wire::{Moment, PieceIndex};

/// Among them are all three versions, every kind of hostile peer but few, losses and stalls.
const SEEDS: u64 = 8;

/// Everyone honest completes, nothing wrong is taken for good, nobody honest is blamed, and nobody keeps more
/// than it may.
#[test]
fn honest_peers_complete_whatever_the_seed_draws() {
    for seed in 0..SEEDS {
        let mut trial = Trial::new(seed, 50..=70);
        eprintln!("seed {seed}: {}", trial.plan());
        if let Err(failure) = trial.run() {
            panic!("{failure}\nagain: cargo xtask sim --from {seed} --seeds 1 --peers 50..70");
        }
    }
}

/// The judge is code too: what it should find, it finds.
#[test]
fn the_judge_finds_what_is_planted() {
    let (honest, liar) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
    let all = BTreeSet::from([honest]);
    let accusation = |whom| Accusation {
        at: Moment::ZERO,
        whom,
        why: String::from("banned"),
    };
    let (against_liar, against_honest) = ([accusation(liar)], [accusation(honest)]);
    let peer = HostId(7);
    let sane = Seen {
        host: peer,
        wrong: &[],
        accusations: &against_liar,
        kept: vec![("bans", 5, 5)],
    };
    assert_eq!(judge(&sane, &all), Ok(()));
    let piece = PieceIndex(3);
    let wrong = Seen {
        wrong: &[piece],
        ..sane.clone()
    };
    assert_eq!(judge(&wrong, &all), Err(Fault::Wrong { peer, piece }));
    let blames = Seen {
        accusations: &against_honest,
        ..sane.clone()
    };
    let blamed = judge(&blames, &all);
    assert!(matches!(blamed, Err(Fault::Blamed { whom, .. }) if whom == honest));
    let keeps = Seen {
        kept: vec![("bans", 6, 5)],
        ..sane
    };
    let kept = judge(&keeps, &all);
    assert!(matches!(kept, Err(Fault::Keeps { count: 6, .. })));
}

/// Without a seeder, and without the hostile peers of whom some serve what is right, nobody completes, and
/// that is said.
#[test]
fn who_is_starved_is_found() {
    let mut trial = Trial::new(1, 20..=20);
    let swarm = trial.swarm_mut();
    let complete = swarm.honest().filter(|peer| peer.torrent().is_complete());
    let seeders: Vec<HostId> = complete.map(|peer| peer.host()).collect();
    assert!(!seeders.is_empty());
    let hostile: Vec<HostId> = swarm.hostile().map(|peer| peer.host()).collect();
    let all = seeders.into_iter().chain(hostile);
    all.for_each(|host| swarm.net.crash(host));
    let failure = trial.run().expect_err("nobody has anything");
    assert!(matches!(failure.fault, Fault::Incomplete { ref peers } if peers.len() > 5));
}

/// The same seed gives the same swarm to the last message.
#[test]
fn a_seed_gives_the_same_trial_twice() {
    let run = || Trial::new(3, 30..=30).run();
    let (first, second) = (run(), run());
    assert!(first.as_ref().is_ok_and(|figures| figures.sent > 1_000));
    assert_eq!(first, second);
}
