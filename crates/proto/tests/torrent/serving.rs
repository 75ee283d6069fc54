//! Who is let fetch, and what is sent.

use skep_proto::torrent::{CHOKE_SECS, PeerKey, UPLOAD_WINDOW_MIN};
use skep_wire::{Bitfield, peer::Message};

use crate::rig::{Rig, Said, block, config, set};

fn seeding(slots: usize) -> Rig {
    let mut setup = config(100);
    setup.have = set(100, 0..99);
    setup.upload_slots = slots;
    Rig::new(setup)
}

fn interested(rig: &mut Rig, n: u16) -> PeerKey {
    let peer = rig.joins(n, &set(100, []));
    rig.says(peer, &[Message::Interested]);
    peer
}

#[test]
fn free_slots_are_given_at_once_and_no_more_than_there_are() {
    let mut rig = seeding(3);
    let peers: Vec<PeerKey> = (0..10).map(|n| interested(&mut rig, n)).collect();
    let served = |rig: &Rig| rig.torrent.stats(rig.now).unchoked;
    assert_eq!(served(&rig), 3);
    for _ in 0..50 {
        peers
            .iter()
            .for_each(|&peer| rig.says(peer, &[Message::KeepAlive]));
        rig.wait(CHOKE_SECS);
        assert_eq!(served(&rig), 3);
    }
    let now = rig.now;
    let views = rig.torrent.peers(now);
    let leaver = views
        .filter(|view| !view.we_choke_peer)
        .map(|view| view.peer)
        .next();
    rig.ends(leaver.expect("three are served"));
    assert_eq!(served(&rig), 3);
    for peer in peers {
        rig.says(peer, &[Message::NotInterested]);
    }
    rig.wait(CHOKE_SECS + 1);
    assert_eq!(served(&rig), 0);
}

/// Two peers give, ten do not: the two are always among the three that are served.
#[test]
fn those_who_give_are_served() {
    let mut setup = config(400);
    setup.have = set(400, 0..10);
    setup.upload_slots = 3;
    setup.partial_pieces_max = 100;
    let mut rig = Rig::new(setup);
    let takers: Vec<PeerKey> = (0..10).map(|n| rig.joins(n, &set(400, []))).collect();
    let givers: Vec<PeerKey> = (20..22).map(|n| rig.joins(n, &set(400, 10..400))).collect();
    for &peer in takers.iter().chain(&givers) {
        rig.says(peer, &[Message::Interested]);
    }
    givers
        .iter()
        .for_each(|&peer| rig.says(peer, &[Message::Unchoke]));
    let mut owed = [Vec::new(), Vec::new()];
    for round in 0..60 {
        for (&giver, owed) in givers.iter().zip(&mut owed) {
            owed.extend(rig.asked(giver));
            for block in owed.drain(..2) {
                rig.delivers(giver, block, 1);
            }
        }
        rig.judge(1);
        rig.wait(1);
        if round > CHOKE_SECS {
            let views: Vec<_> = rig.torrent.peers(rig.now).collect();
            let given = views.iter().filter(|view| givers.contains(&view.peer));
            assert!(
                given.clone().all(|view| !view.we_choke_peer),
                "round {round}"
            );
            assert_eq!(views.iter().filter(|view| !view.we_choke_peer).count(), 3);
        }
    }
}

#[test]
fn a_request_for_what_we_lack_is_refused() {
    let mut rig = seeding(3);
    let peer = interested(&mut rig, 1);
    rig.said(peer);
    rig.says(
        peer,
        &[Message::Request(block(198)), Message::Request(block(0))],
    );
    assert_eq!(rig.said(peer), [Said::Reject(block(198))]);
    assert_eq!(rig.desk.blocks_sent, [(peer, block(0))]);
}

/// The driver gets few blocks ahead, for what it has cannot be cancelled, and more as they leave.
#[test]
fn blocks_are_handed_over_as_they_leave() {
    let mut rig = seeding(3);
    let peer = interested(&mut rig, 1);
    let requests: Vec<Message<'_>> = (0..100).map(|n| Message::Request(block(n))).collect();
    rig.says(peer, &requests);
    assert_eq!(rig.desk.blocks_sent.len(), UPLOAD_WINDOW_MIN);
    rig.says(peer, &[Message::Cancel(block(50))]);
    let mut left = 0;
    while left < rig.desk.blocks_sent.len() {
        let (_, block) = rig.desk.blocks_sent[left];
        left += 1;
        rig.torrent.handle_block_sent(peer, block, rig.now);
        rig.settle();
        assert!(rig.desk.blocks_sent.len() - left <= 64);
    }
    assert_eq!(left, 99, "all but the cancelled one");
    assert_eq!(rig.torrent.stats(rig.now).up_bytes, 99 * 16_384);
}

#[test]
fn without_slots_nobody_is_served() {
    let mut rig = seeding(0);
    let peer = interested(&mut rig, 1);
    rig.wait(100);
    rig.says(peer, &[Message::Request(block(0))]);
    assert_eq!(rig.desk.blocks_sent, []);
    let mut rig = Rig::new(config(4));
    let peer = rig.joins(1, &Bitfield::full(4));
    assert!(
        !rig.said(peer).contains(&Said::Unchoke),
        "it is not interested"
    );
}
