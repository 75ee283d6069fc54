//! Bad pieces and who pays for them.

use skep_proto::torrent::{BanReason, Event};
use skep_wire::{Bitfield, PieceIndex, peer::Message};

use crate::rig::{Rig, addr, block, config, peer_id};

fn bans(rig: &Rig) -> Vec<Event> {
    let events = rig.desk.events.iter();
    events
        .filter(|event| matches!(event, Event::Banned { .. }))
        .cloned()
        .collect()
}

#[test]
fn a_lone_sender_of_a_bad_piece_is_banned_with_its_address() {
    let mut rig = Rig::new(config(1));
    let liar = rig.joins_unchoking(1, &Bitfield::full(1));
    let same_ip = std::net::SocketAddr::new(addr(1).ip(), 999);
    let twin = rig.joins_from(same_ip, peer_id(50), &Bitfield::full(1));
    rig.delivers(liar, block(0), 9);
    rig.delivers(liar, block(1), 9);
    rig.judge(1);
    let why = BanReason::SentBadPiece(PieceIndex(0));
    assert_eq!(bans(&rig), [Event::Banned { addr: addr(1), why }]);
    assert!(rig.is_closed(liar) && rig.is_closed(twin));
    assert_eq!(rig.torrent.handle_incoming(same_ip, rig.now), None);
    rig.torrent
        .handle_candidates(skep_proto::torrent::Source::Tracker, &[addr(1)], rig.now);
    rig.settle();
    assert_eq!(rig.desk.dialled, []);
    assert_eq!(rig.torrent.stats(rig.now).banned, 1);
    assert_eq!(rig.torrent.stats(rig.now).failed_bytes, 32_768);
}

/// A bad piece from two peers bans nobody. The next copy is asked of one peer only; when it is good,
/// the block that had differed names the liar.
#[test]
fn of_two_senders_the_one_whose_block_was_wrong_is_banned_once_the_piece_is_right() {
    let mut rig = Rig::new(config(1));
    let a = rig.joins_unchoking(1, &Bitfield::full(1));
    rig.delivers(a, block(0), 1);
    rig.says(a, &[Message::RejectRequest(block(1))]);
    let b = rig.joins_unchoking(2, &Bitfield::full(1));
    assert_eq!(rig.asked(b), [block(1)]);
    rig.delivers(b, block(1), 9);
    assert_eq!(rig.desk.verify, [(PieceIndex(0), false)]);
    rig.said(a);
    rig.judge(1);
    assert_eq!(bans(&rig), []);
    let failed = Event::PieceFailed {
        piece: PieceIndex(0),
        senders: vec![addr(1), addr(2)],
    };
    assert!(rig.desk.events.contains(&failed));

    let c = rig.joins_unchoking(3, &Bitfield::full(1));
    rig.wait(5);
    let (of_a, of_b, of_c) = (rig.asked(a), rig.asked(b), rig.asked(c));
    let mut asked = [of_a, of_b, of_c].into_iter().zip([a, b, c]);
    let (blocks, sender) = asked
        .find(|(blocks, _)| blocks.ends_with(&[block(0), block(1)]))
        .expect("one has it all");
    assert!(asked.all(|(blocks, _)| !blocks.contains(&block(1))));
    for block in &blocks[blocks.len() - 2..] {
        rig.delivers(sender, *block, 1);
    }
    assert_eq!(
        rig.desk.verify,
        [(PieceIndex(0), true)],
        "digests are wanted now"
    );
    rig.judge(1);
    assert!(rig.torrent.is_complete());
    let why = BanReason::SentBadBlock(block(1));
    assert_eq!(bans(&rig), [Event::Banned { addr: addr(2), why }]);
}
