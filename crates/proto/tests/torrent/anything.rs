//! Peers that do anything, in any order: the machine keeps its limits and its accounts.

use std::collections::BTreeMap;

use skep_proto::{
    rng::Rng,
    torrent::{COPIES_MAX, Event, PeerKey, SNUB_SECS, Source},
};
use skep_wire::{Bitfield, Block, PieceIndex, peer::Message};

use crate::rig::{Rig, Said, addr, block, config, handshake, peer_id, set};

const PIECES: u32 = 12;

/// What the test knows of the requests: who was asked for which block and has not answered.
type Owed = BTreeMap<PeerKey, Vec<Block>>;

/// Peers come and go, claim, choke, refuse, deliver good and bad blocks asked for or not, say
/// nonsense, while verdicts come late and time passes. At every step: nothing is asked twice of one
/// peer or of more than a few, nothing is asked of who chokes us, pieces under way are bounded, and
/// a piece is verified once at a time. In the end one honest peer completes it all.
#[test]
fn whatever_peers_do_the_accounts_agree_and_an_honest_one_completes() {
    for seed in 0..150 {
        let mut rng = Rng::new(seed);
        let mut setup = config(PIECES);
        (setup.seed, setup.partial_pieces_max) = (seed, 4);
        let mut rig = Rig::new(setup);
        let mut owed = Owed::new();
        let mut here: Vec<PeerKey> = Vec::new();
        for step in 0..600 {
            act(&mut rig, &mut here, &mut owed, &mut rng, step);
            account(&mut rig, &mut owed, &format!("seed {seed}, step {step}"));
            here.retain(|peer| !rig.is_closed(*peer));
        }
        complete(&mut rig, &mut owed, seed);
    }
}

fn act(rig: &mut Rig, here: &mut Vec<PeerKey>, owed: &mut Owed, rng: &mut Rng, step: u16) {
    let peer = rng.choose(here).copied();
    let piece = PieceIndex(rng.below(u64::from(PIECES)) as u32);
    let any_block = block(rng.below(u64::from(2 * PIECES)) as u32);
    let asked = peer.and_then(|peer| rng.choose(owed.get(&peer)?).copied());
    let what = rng.below(16);
    if let (8..=10, Some(peer), Some(asked)) = (what, peer, asked) {
        owed.entry(peer)
            .or_default()
            .retain(|known| *known != asked);
    }
    match (what, peer) {
        (0 | 1, _) if here.len() < 8 => {
            let pieces = set(PIECES, (0..PIECES).filter(|_| rng.below(3) > 0));
            if let Some(peer) = rig.torrent.handle_incoming(addr(step), rig.now) {
                rig.greets(peer, peer_id(step), &pieces);
                here.push(peer);
            }
        }
        (2, Some(peer)) => rig.ends(peer),
        (3..=5, Some(peer)) => rig.says(peer, &[Message::Unchoke, Message::Interested]),
        (6, Some(peer)) => rig.says(peer, &[Message::Choke]),
        (7, Some(peer)) => rig.says(peer, &[Message::Have(piece), Message::AllowedFast(piece)]),
        // All of them speak the fast extension: a request stands until it is answered.
        (8, Some(peer)) => rig.says(peer, &[Message::RejectRequest(asked.unwrap_or(any_block))]),
        (9 | 10, Some(peer)) => {
            let fill = if rng.below(6) == 0 { 9 } else { 1 };
            rig.delivers(peer, asked.unwrap_or(any_block), fill);
        }
        (11, Some(peer)) => {
            rig.says(
                peer,
                &[Message::Request(any_block), Message::Cancel(any_block)],
            );
        }
        (12, Some(peer)) if rng.below(20) == 0 => rig.bytes(peer, &handshake(peer_id(1))),
        (13, _) => {
            rig.torrent
                .handle_candidates(Source::Tracker, &[addr(step)], rig.now);
            rig.settle();
            if let Some((key, _)) = rig.desk.dialled.pop() {
                rig.torrent.handle_connect_failed(key, rig.now);
                rig.settle();
            }
        }
        (14, _) => rig.judge(1),
        _ => rig.wait_ms(rng.below(3_000)),
    }
}

/// Follows what was said, and compares.
fn account(rig: &mut Rig, owed: &mut Owed, at: &str) {
    for peer in rig.desk.talked() {
        for said in rig.said(peer) {
            let blocks = owed.entry(peer).or_default();
            match said {
                Said::Request(block) => {
                    assert!(
                        !blocks.contains(&block),
                        "{at}: {block:?} asked twice of {peer:?}"
                    );
                    blocks.push(block);
                }
                Said::Cancel(block) => blocks.retain(|known| *known != block),
                _ => {}
            }
        }
    }
    let views: BTreeMap<PeerKey, _> = rig
        .torrent
        .peers(rig.now)
        .map(|view| (view.peer, view))
        .collect();
    owed.retain(|peer, _| views.contains_key(peer));
    let mut askers: BTreeMap<Block, usize> = BTreeMap::new();
    for (peer, view) in &views {
        let blocks = owed.entry(*peer).or_default();
        assert_eq!(blocks.len(), view.outstanding, "{at}: {peer:?}");
        blocks
            .iter()
            .for_each(|block| *askers.entry(*block).or_default() += 1);
    }
    assert!(askers.values().all(|&count| count <= COPIES_MAX), "{at}");
    let stats = rig.torrent.stats(rig.now);
    assert!(
        stats.pieces_partial <= 4 && stats.pieces_held <= PIECES,
        "{at}: {stats:?}"
    );
    let mut waiting: Vec<PieceIndex> = rig.desk.verify.iter().map(|(piece, _)| *piece).collect();
    waiting.sort_unstable();
    assert!(waiting.is_sorted_by(|a, b| a < b), "{at}: {waiting:?}");
}

fn complete(rig: &mut Rig, owed: &mut Owed, seed: u64) {
    rig.judge(1);
    let honest = rig.joins_unchoking(9_999, &Bitfield::full(PIECES));
    for _ in 0..2_000 {
        if rig.torrent.is_complete() {
            let verified = rig.desk.events.iter();
            let verified = verified.filter(|event| matches!(event, Event::PieceVerified { .. }));
            assert_eq!(verified.count() as u32, PIECES, "seed {seed}");
            return;
        }
        account(rig, owed, &format!("seed {seed}, at the end"));
        let asked = owed.get(&honest).and_then(|blocks| blocks.first().copied());
        match asked {
            Some(block) => {
                owed.entry(honest)
                    .or_default()
                    .retain(|known| *known != block);
                rig.delivers(honest, block, 1);
            }
            None => rig.wait(SNUB_SECS / 4),
        }
        rig.judge(1);
    }
    let last: Vec<_> = rig.desk.events.iter().rev().take(12).collect();
    panic!("seed {seed}: {:?} {last:#?}", rig.torrent.stats(rig.now));
}

/// Five peers have nothing else to do: a block is still asked of few.
#[test]
fn a_block_is_asked_of_few_peers_at_once() {
    let mut rig = Rig::new(config(1));
    let peers: Vec<PeerKey> = (0..6)
        .map(|n| rig.joins_unchoking(n, &Bitfield::full(1)))
        .collect();
    let mut askers = [0; 2];
    let mut most = 0;
    for _ in 0..SNUB_SECS - 1 {
        rig.wait(1);
        for &peer in &peers {
            for said in rig.said(peer) {
                match said {
                    Said::Request(block) => askers[(block.begin > 0) as usize] += 1,
                    Said::Cancel(block) => askers[(block.begin > 0) as usize] -= 1,
                    _ => {}
                }
            }
        }
        most = most.max(askers[0]).max(askers[1]);
    }
    assert_eq!(most, COPIES_MAX);
}
