//! What strangers send does not decide how much we keep or do: every limit is reached.

use std::net::SocketAddr;

use skep_proto::torrent::{
    CANDIDATES_MAX, CONNECTING_MAX, DIALS_PER_TICK_MAX, PEERS_MAX, PEERS_PER_IP_MAX, Source,
    USELESS_SECS,
};
use skep_wire::{
    Bitfield,
    peer::{
        Message,
        ext::{Pex, PexPeer},
    },
};

use crate::rig::{Rig, addr, config, handshake, peer_id, set};

/// Who shakes hands and then asks for nothing keeps the connection: nobody is pushed out by a newcomer.
#[test]
fn connections_are_bounded_by_us_whatever_the_configuration_says() {
    for (configured, most) in [(7, 7), (usize::MAX, PEERS_MAX)] {
        let mut setup = config(4);
        setup.peers_max = configured;
        let mut rig = Rig::new(setup);
        for n in 0..most as u16 {
            rig.joins(n, &set(4, []));
        }
        assert_eq!(rig.torrent.handle_incoming(addr(5_000), rig.now), None);
        rig.settle();
        assert!(rig.desk.closed.is_empty());
    }
}

#[test]
fn connections_with_one_address_are_bounded() {
    let mut rig = Rig::new(config(4));
    let port = |n: u16| SocketAddr::from(([10, 0, 0, 1], 1000 + n));
    for n in 0..PEERS_PER_IP_MAX as u16 {
        rig.joins_from(port(n), peer_id(n), &set(4, []));
    }
    assert_eq!(rig.torrent.handle_incoming(port(100), rig.now), None);
    rig.settle();
    assert!(rig.desk.closed.is_empty());
}

/// Hundreds of connections that say nothing come from one address, and then somebody who means it.
#[test]
fn the_oldest_that_has_not_shaken_hands_makes_room_for_one_of_its_address() {
    let mut rig = Rig::new(config(4));
    let port = |n: u16| SocketAddr::from(([10, 0, 0, 1], 1000 + n));
    let opened = rig.joins_from(port(999), peer_id(999), &set(4, []));
    let silent: Vec<_> = (0..200)
        .map(|n| {
            rig.torrent
                .handle_incoming(port(n), rig.now)
                .expect("it is wanted")
        })
        .collect();
    rig.settle();
    let stay = PEERS_PER_IP_MAX - 1;
    assert_eq!(rig.desk.closed, silent[..200 - stay]);
    let served = rig.joins_from(port(300), peer_id(300), &set(4, [0]));
    assert_eq!(rig.desk.closed.len(), 201 - stay);
    assert!(!rig.desk.closed.contains(&served) && !rig.desk.closed.contains(&opened));
    assert_eq!(rig.torrent.stats(rig.now).peers, 2);
}

/// When all is full, the address with the most such connections makes room, and not who connected just
/// now from elsewhere and has had no time to speak.
#[test]
fn the_address_with_the_most_silent_connections_makes_room() {
    let mut setup = config(4);
    setup.peers_max = 10;
    let mut rig = Rig::new(setup);
    let port = |n: u16| SocketAddr::from(([10, 9, 9, 9], 1000 + n));
    let early = rig
        .torrent
        .handle_incoming(addr(1), rig.now)
        .expect("it is wanted");
    let silent: Vec<_> = (0..9)
        .map(|n| {
            rig.torrent
                .handle_incoming(port(n), rig.now)
                .expect("it is wanted")
        })
        .collect();
    let late = rig
        .torrent
        .handle_incoming(addr(2), rig.now)
        .expect("it is wanted");
    rig.settle();
    assert_eq!(rig.desk.closed, silent[..1]);
    rig.greets(early, peer_id(1), &set(4, []));
    rig.greets(late, peer_id(2), &set(4, []));
    assert_eq!(rig.torrent.stats(rig.now).peers, 2);
}

#[test]
fn attempts_to_connect_are_bounded_and_go_on_when_some_are_over() {
    let mut rig = Rig::new(config(4));
    let many: Vec<SocketAddr> = (0..200).map(addr).collect();
    rig.torrent
        .handle_candidates(Source::Tracker, &many, rig.now);
    rig.settle();
    assert_eq!(rig.desk.dialled.len(), CONNECTING_MAX);
    let (first, _) = rig.desk.dialled[0];
    rig.torrent.handle_connect_failed(first, rig.now);
    rig.settle();
    assert_eq!(rig.desk.dialled.len(), CONNECTING_MAX + 1);
    assert_eq!(rig.torrent.stats(rig.now).connecting, CONNECTING_MAX as u32);
}

/// Every address refuses at once, and there are many more.
#[test]
fn doors_are_knocked_at_slowly() {
    let mut rig = Rig::new(config(4));
    let many: Vec<SocketAddr> = (0..500).map(addr).collect();
    rig.torrent
        .handle_candidates(Source::Tracker, &many, rig.now);
    rig.settle();
    for tick in 1..=5 {
        let mut answered = 0;
        while let Some(&(peer, _)) = rig.desk.dialled.get(answered) {
            rig.torrent.handle_connect_failed(peer, rig.now);
            rig.settle();
            answered += 1;
        }
        assert_eq!(rig.desk.dialled.len(), tick * DIALS_PER_TICK_MAX);
        rig.wait(1);
    }
}

/// A peer names ten thousand others.
#[test]
fn addresses_are_bounded() {
    let mut rig = Rig::new(config(4));
    for n in 0..50 {
        let peer = rig.joins(60_000 + n, &set(4, []));
        let added = (0..200)
            .map(|m| PexPeer {
                addr: addr(n * 200 + m),
                flags: 0,
            })
            .collect();
        let payload = Pex {
            added,
            ..Pex::default()
        }
        .encode();
        rig.says(
            peer,
            &[Message::Extended {
                id: 1,
                payload: &payload,
            }],
        );
        rig.ends(peer);
    }
    assert_eq!(
        rig.torrent.stats(rig.now).candidates as usize,
        CANDIDATES_MAX
    );
}

#[test]
fn pieces_under_way_are_bounded() {
    let mut setup = config(100);
    setup.partial_pieces_max = 3;
    let mut rig = Rig::new(setup);
    for n in 0..10 {
        rig.joins_unchoking(n, &Bitfield::full(100));
    }
    assert_eq!(rig.torrent.stats(rig.now).pieces_partial, 3);
}

/// When there is no room for newcomers, a connection in which nobody is interested makes some.
#[test]
fn a_connection_of_no_use_makes_room_when_there_is_none() {
    let mut setup = config(4);
    setup.peers_max = 2;
    let mut rig = Rig::new(setup);
    let useful = rig.joins(1, &Bitfield::full(4));
    let idle = rig.joins(2, &set(4, []));
    rig.wait(USELESS_SECS - 1);
    assert!(!rig.is_closed(idle));
    rig.wait(2);
    assert!(rig.is_closed(idle) && !rig.is_closed(useful));
}

#[test]
fn a_closed_torrent_is_quiet() {
    let mut rig = Rig::new(config(4));
    let peer = rig.joins_unchoking(1, &Bitfield::full(4));
    rig.torrent.close(rig.now);
    rig.settle();
    assert!(rig.is_closed(peer));
    assert_eq!(rig.torrent.poll_timeout(), None);
    rig.torrent
        .handle_candidates(Source::Tracker, &[addr(9)], rig.now);
    assert_eq!(rig.torrent.handle_incoming(addr(8), rig.now), None);
    rig.bytes(peer, &handshake(peer_id(1)));
    rig.settle();
    assert_eq!(rig.desk.dialled, []);
    assert_eq!(rig.desk.closed, [peer], "a key is closed once");
}

/// What the simulator's judge looks at is what there is.
#[test]
fn what_the_machine_keeps_is_counted_beside_its_limit() {
    let mut setup = config(4);
    setup.peers_max = 3;
    setup.partial_pieces_max = 1;
    let mut rig = Rig::new(setup);
    let candidates: Vec<_> = (10..90).map(addr).collect();
    rig.torrent
        .handle_candidates(Source::Tracker, &candidates, rig.now);
    let most = |rig: &Rig, what| {
        let all = rig.torrent.holdings();
        let of_kind = all.filter(|kept| kept.what == what);
        of_kind.map(|kept| (kept.count, kept.most)).max()
    };
    assert_eq!(most(&rig, "candidates"), Some((80, CANDIDATES_MAX)));
    assert_eq!(most(&rig, "attempts"), Some((3, CONNECTING_MAX)));
    assert_eq!(most(&rig, "actions"), Some((3, 0)), "nobody has polled");
    rig.settle();
    assert_eq!(most(&rig, "actions"), Some((0, 0)));
    let dialled = rig.desk.dialled.clone();
    for (n, (peer, _)) in (1..).zip(dialled) {
        rig.torrent.handle_connected(peer, rig.now);
        rig.settle();
        rig.bytes(peer, &handshake(peer_id(n)));
        let all = set(4, 0..4);
        rig.says(peer, &[Message::Bitfield(all.as_bytes()), Message::Unchoke]);
    }
    assert_eq!(most(&rig, "connections"), Some((3, 3)));
    assert_eq!(most(&rig, "pieces under way"), Some((1, 1)));
    assert_eq!(most(&rig, "blocks asked for").map(|kept| kept.0), Some(2));
    let over = rig.torrent.holdings().find(|kept| kept.count > kept.most);
    assert_eq!(over, None);
}
