//! What is asked of whom, and when.

use std::collections::BTreeSet;

use skep_proto::torrent::{
    BlockDigests, Event, RANDOM_FIRST_PIECES, REFUSED_PAUSE_SECS, RELIEF_MS, SNUB_DROP_SECS,
    SNUB_SECS, STUCK_SECS, TAKEOVER_MS, Verdict, WINDOW_FIRST, WINDOW_GROWTH,
};
use skep_wire::{Bitfield, Block, PieceIndex, peer::Message};

use crate::rig::{Rig, Said, block, config, set};

fn pieces(blocks: &[Block]) -> BTreeSet<u32> {
    blocks.iter().map(|block| block.piece.0).collect()
}

#[test]
fn we_are_interested_only_while_a_peer_has_what_we_lack() {
    let mut rig = Rig::new(config(4));
    let peer = rig.joins(1, &set(4, []));
    assert!(!rig.said(peer).contains(&Said::Interested));
    rig.says(peer, &[Message::Have(PieceIndex(2))]);
    assert_eq!(rig.said(peer), [Said::Interested]);
    rig.says(peer, &[Message::Unchoke]);
    rig.delivers_piece(peer, PieceIndex(2), 1);
    let said = rig.said(peer);
    assert!(
        said.ends_with(&[Said::Have(PieceIndex(2)), Said::NotInterested]),
        "{said:?}"
    );
}

#[test]
fn a_torrent_that_is_only_shared_asks_for_nothing() {
    let mut setup = config(4);
    setup.fetch = false;
    setup.drop_seeds_when_complete = false;
    let mut rig = Rig::new(setup);
    let peer = rig.joins_unchoking(1, &Bitfield::full(4));
    rig.wait(60);
    let said = rig.said(peer);
    assert!(
        !said
            .iter()
            .any(|said| matches!(said, Said::Interested | Said::Request(_)))
    );
}

/// Nine peers, each piece with another number of holders: after the first pieces, by chance, the
/// rarest comes first.
#[test]
fn the_rarest_piece_comes_first_once_there_is_something_to_trade() {
    for seed in 0..20 {
        let mut setup = config(20);
        setup.seed = seed;
        setup.have = set(20, 0..RANDOM_FIRST_PIECES);
        let mut rig = Rig::new(setup);
        // Piece 4 + n is held by all peers but the first 15 - n of 16: piece 19 by all, piece 4 by one.
        for n in 0..16 {
            rig.joins(n, &set(20, 19 - u32::from(n)..20));
        }
        let seeder = rig.joins_unchoking(99, &Bitfield::full(20));
        let asked = rig.asked(seeder);
        assert_eq!(asked.len(), WINDOW_FIRST, "seed {seed}");
        assert_eq!(pieces(&asked), BTreeSet::from([4, 5]), "seed {seed}");
    }
}

#[test]
fn the_first_pieces_are_drawn_and_differ_from_seed_to_seed() {
    let firsts: BTreeSet<u32> = (0..40)
        .map(|seed| {
            let mut setup = config(20);
            setup.seed = seed;
            let mut rig = Rig::new(setup);
            rig.joins(1, &set(20, [7]));
            let peer = rig.joins_unchoking(2, &Bitfield::full(20));
            rig.asked(peer)[0].piece.0
        })
        .collect();
    assert!(firsts.len() > 10, "{firsts:?}");
}

#[test]
fn two_peers_get_pieces_of_their_own_and_a_lost_ones_pieces_are_taken_over() {
    let mut rig = Rig::new(config(4));
    let a = rig.joins_unchoking(1, &Bitfield::full(4));
    let b = rig.joins_unchoking(2, &Bitfield::full(4));
    let (of_a, of_b) = (pieces(&rig.asked(a)), pieces(&rig.asked(b)));
    assert_eq!((of_a.len(), of_b.len()), (2, 2));
    assert!(of_a.is_disjoint(&of_b));
    rig.ends(a);
    let mut got = BTreeSet::new();
    for _ in 0..4 {
        let of_b: Vec<u32> = of_b.iter().chain(&of_a).copied().collect();
        for piece in of_b {
            if got.insert(piece) {
                rig.delivers_piece(b, PieceIndex(piece), 1);
            }
        }
    }
    assert!(rig.torrent.is_complete());
    assert_eq!(rig.torrent.stats(rig.now).wasted_bytes, 0);
}

#[test]
fn a_window_grows_with_what_comes() {
    let mut rig = Rig::new(config(200));
    let peer = rig.joins_unchoking(1, &Bitfield::full(200));
    let mut outstanding = rig.asked(peer);
    assert_eq!(outstanding.len(), WINDOW_FIRST);
    for _ in 0..50 {
        let block = outstanding.remove(0);
        rig.delivers(peer, block, 1);
        outstanding.extend(rig.asked(peer));
    }
    assert_eq!(outstanding.len(), WINDOW_FIRST + 50 * WINDOW_GROWTH);
}

/// As Transmission does: what was asked is answered at the next half second, all of it.
#[test]
fn a_peer_that_answers_twice_a_second_reaches_its_rate_in_two_seconds() {
    let mut rig = Rig::new(config(1000));
    let peer = rig.joins_unchoking(1, &Bitfield::full(1000));
    let mut came = Vec::new();
    for _ in 0..6 {
        let asked = rig.asked(peer);
        rig.wait_ms(500);
        came.push(asked.len());
        for block in asked {
            rig.delivers(peer, block, 1);
        }
        rig.judge(1);
    }
    // A peer that does not say how many requests it takes gets 250.
    assert_eq!(came, [4, 16, 64, 250, 250, 250]);
}

/// Four blocks a second, one after the other: the longer the queue, the later the answer, and what
/// would only queue is not asked for.
#[test]
fn a_slow_peer_is_not_asked_for_more_than_twice_what_it_sends() {
    let mut rig = Rig::new(config(1000));
    let peer = rig.joins_unchoking(1, &Bitfield::full(1000));
    let mut outstanding = rig.asked(peer);
    let mut most = 0;
    for came in 1..=80 {
        rig.wait_ms(250);
        let block = outstanding.remove(0);
        rig.delivers(peer, block, 1);
        rig.judge(1);
        outstanding.extend(rig.asked(peer));
        most = most.max(outstanding.len());
        assert!(
            outstanding.len() <= came + WINDOW_FIRST + 4 * WINDOW_GROWTH,
            "after {came}"
        );
    }
    assert!(
        outstanding.len() < 8,
        "a second's worth once it has settled"
    );
    assert!(most < 40, "{most}");
}

#[test]
fn a_peer_that_owes_blocks_and_is_silent_loses_them_to_others_and_is_dropped_later() {
    let mut rig = Rig::new(config(2));
    let silent = rig.joins_unchoking(1, &Bitfield::full(2));
    let owed = rig.asked(silent);
    assert_eq!(owed.len(), 4);
    let other = rig.joins(2, &Bitfield::full(2));
    rig.wait(SNUB_SECS - 1);
    assert!(
        !rig.said(silent)
            .iter()
            .any(|said| matches!(said, Said::Cancel(_)))
    );
    rig.wait(2);
    let taken_back = rig
        .said(silent)
        .iter()
        .filter(|said| matches!(said, Said::Cancel(_)))
        .count();
    assert_eq!(taken_back, 4);
    rig.says(other, &[Message::Unchoke]);
    assert!(
        rig.asked(other).len() >= 3,
        "one may be left to the silent peer, to prove itself"
    );
    rig.wait(SNUB_DROP_SECS);
    assert!(rig.is_closed(silent));
}

#[test]
fn a_refused_request_is_not_sent_again_at_once() {
    let mut rig = Rig::new(config(4));
    let peer = rig.joins_unchoking(1, &Bitfield::full(4));
    for _ in 0..5 {
        let asked = rig.asked(peer);
        assert!(!asked.is_empty());
        for block in asked {
            rig.says(peer, &[Message::RejectRequest(block)]);
        }
        assert_eq!(rig.asked(peer), [], "right after the refusal");
        rig.wait(REFUSED_PAUSE_SECS + 1);
    }
}

#[test]
fn pieces_allowed_while_choked_are_asked_for() {
    let mut rig = Rig::new(config(8));
    let peer = rig.joins(1, &Bitfield::full(8));
    rig.says(peer, &[Message::AllowedFast(PieceIndex(5))]);
    assert_eq!(rig.asked(peer), [block(10), block(11)]);
}

/// A slow peer has the last blocks in its queue. The fast one, which is done, gets the tail of that
/// queue instead, and only the last is asked of both.
#[test]
fn in_the_end_a_slow_queue_is_relieved_and_only_its_last_block_is_asked_of_two() {
    let mut rig = Rig::new(config(2));
    let slow = rig.joins_unchoking(1, &Bitfield::full(2));
    let owed = rig.asked(slow);
    assert_eq!(owed.len(), 4);
    let fast = rig.joins(2, &Bitfield::full(2));
    rig.wait_ms(RELIEF_MS + 1000);
    rig.said(slow);
    rig.says(fast, &[Message::Unchoke]);
    let mut by_fast = Vec::new();
    for left in (1..4).rev() {
        let asked = rig.asked(fast);
        assert_eq!(asked, [owed[left]], "the last in the slow peer's queue");
        assert_eq!(rig.said(slow), [Said::Cancel(owed[left])]);
        by_fast.extend(asked.clone());
        rig.delivers(fast, asked[0], 1);
    }
    assert_eq!(rig.asked(fast), [owed[0]], "a copy");
    assert_eq!(rig.said(slow), [], "and it is left where it was");
    rig.delivers(fast, owed[0], 1);
    assert_eq!(rig.said(slow), [Said::Cancel(owed[0])]);
    rig.judge(1);
    assert!(rig.torrent.is_complete());
    assert_eq!(rig.torrent.stats(rig.now).wasted_bytes, 0);
}

/// Peers that unchoke and send nothing hold up neither the end nor each other: what they owe goes to the
/// one that delivers, and to no other of them, whether they were there before or come in the end.
#[test]
fn silent_peers_hold_the_end_up_for_no_longer_than_a_late_block() {
    // With few pieces under way at once, what is owed would keep new ones from being begun.
    for (late, partial_pieces_max) in [(0, 100), (3, 100), (30, 100), (3, 10)] {
        let mut setup = config(50);
        setup.partial_pieces_max = partial_pieces_max;
        let mut rig = Rig::new(setup);
        for n in 0..20 {
            rig.joins_unchoking(n, &Bitfield::full(50));
        }
        rig.wait_ms(RELIEF_MS + 1000);
        let honest = rig.joins_unchoking(100, &Bitfield::full(50));
        let came = rig.now;
        while !rig.torrent.is_complete() && rig.now.since(came).as_secs() < SNUB_SECS {
            let mut asked = rig.asked(honest);
            while !asked.is_empty() {
                for block in asked {
                    rig.delivers(honest, block, 1);
                }
                rig.judge(1);
                asked = rig.asked(honest);
            }
            if rig.now == came {
                for n in 0..late {
                    rig.joins_unchoking(200 + n, &Bitfield::full(50));
                }
            }
            rig.wait_ms(100);
        }
        let took = rig.now.since(came).as_millis() as u64;
        assert!(
            rig.torrent.is_complete(),
            "{late} late: not within {took} ms"
        );
        assert!(took < 2 * RELIEF_MS, "{late} late: {took} ms");
    }
}

/// Two peers send the same block at once. Only the first writes to the buffer, whatever comes from
/// the second; if the first does not end, a later one takes its place.
#[test]
fn two_copies_of_a_block_never_write_over_each_other() {
    for stalls in [false, true] {
        let mut rig = Rig::new(config(1));
        let a = rig.joins_unchoking(1, &Bitfield::full(1));
        rig.delivers(a, block(0), 1);
        let b = rig.joins_unchoking(2, &Bitfield::full(1));
        rig.wait_ms(3 * RELIEF_MS);
        assert_eq!(rig.asked(b), [block(1)], "the end game has begun");
        let header = skep_wire::peer::piece_header(block(1));
        rig.bytes(a, &header);
        rig.bytes(a, &[1; 100]);
        if stalls {
            rig.wait_ms(TAKEOVER_MS + 1);
        }
        rig.bytes(b, &header);
        rig.bytes(b, &[if stalls { 1 } else { 9 }; 16_000]);
        rig.bytes(a, &[if stalls { 9 } else { 1 }; 16_384 - 100]);
        rig.bytes(b, &[if stalls { 1 } else { 9 }; 384]);
        rig.judge(1);
        assert!(rig.torrent.is_complete(), "stalls: {stalls}");
        assert_eq!(rig.torrent.stats(rig.now).wasted_bytes, 16_384);
    }
}

#[test]
fn a_piece_that_the_disk_lost_is_fetched_again_and_nobody_is_blamed() {
    let mut rig = Rig::new(config(1));
    let peer = rig.joins_unchoking(1, &Bitfield::full(1));
    rig.delivers(peer, block(0), 1);
    rig.delivers(peer, block(1), 1);
    rig.asked(peer);
    rig.torrent
        .handle_verdict(PieceIndex(0), Verdict::Lost, rig.now);
    rig.settle();
    assert_eq!(rig.asked(peer), [block(0), block(1)]);
    assert!(
        !rig.desk
            .events
            .iter()
            .any(|event| matches!(event, Event::Banned { .. }))
    );
    rig.torrent.handle_verdict(
        PieceIndex(0),
        Verdict::Good {
            blocks: BlockDigests::none(),
        },
        rig.now,
    );
    assert!(!rig.torrent.is_complete(), "no verdict was asked for");
}

/// The only holder of a piece under way is gone and its buffer is needed: it is given up, and
/// fetched again when somebody has it.
#[test]
fn a_piece_that_nobody_can_finish_gives_its_buffer_up() {
    let mut setup = config(8);
    setup.partial_pieces_max = 1;
    let mut rig = Rig::new(setup);
    let holder = rig.joins_unchoking(1, &set(8, [3]));
    rig.delivers(holder, block(6), 1);
    rig.ends(holder);
    let other = rig.joins_unchoking(2, &set(8, [5]));
    assert_eq!(rig.asked(other), [], "no room");
    rig.wait(STUCK_SECS + 2);
    assert_eq!(rig.desk.abandoned, [PieceIndex(3)]);
    assert_eq!(rig.asked(other), [block(10), block(11)]);
    rig.delivers_piece(other, PieceIndex(5), 1);
    let again = rig.joins_unchoking(3, &set(8, [3]));
    assert_eq!(rig.asked(again), [block(6), block(7)]);
}

#[test]
fn when_everything_is_there_all_are_told_and_it_is_said_once() {
    let mut rig = Rig::new(config(1));
    let seeder = rig.joins_unchoking(1, &Bitfield::full(1));
    let leecher = rig.joins(2, &set(1, []));
    rig.said(leecher);
    rig.delivers_piece(seeder, PieceIndex(0), 1);
    assert!(rig.is_closed(seeder), "two that have everything part");
    let said = rig.said(leecher);
    assert_eq!(said[0], Said::Have(PieceIndex(0)));
    let complete = rig
        .desk
        .events
        .iter()
        .filter(|event| **event == Event::Complete)
        .count();
    assert_eq!(complete, 1);
    assert_eq!(rig.torrent.stats(rig.now).complete_at, Some(rig.now));
    assert_eq!(rig.torrent.stats(rig.now).left_bytes, 0);
}
