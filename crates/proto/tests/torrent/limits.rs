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

#[test]
fn connections_are_bounded_by_us_whatever_the_configuration_says() {
    let mut setup = config(4);
    setup.peers_max = 7;
    let mut rig = Rig::new(setup);
    let took = (0..100).filter(|&n| rig.torrent.handle_incoming(addr(n), rig.now).is_some());
    assert_eq!(took.count(), 7);

    let mut setup = config(4);
    setup.peers_max = usize::MAX;
    let mut rig = Rig::new(setup);
    let took = (0..2_000).filter(|&n| rig.torrent.handle_incoming(addr(n), rig.now).is_some());
    assert_eq!(took.count(), PEERS_MAX);
}

#[test]
fn connections_with_one_address_are_bounded() {
    let mut rig = Rig::new(config(4));
    let port = |n: u16| SocketAddr::from(([10, 0, 0, 1], 1000 + n));
    let took = (0..100).filter(|&n| rig.torrent.handle_incoming(port(n), rig.now).is_some());
    assert_eq!(took.count(), PEERS_PER_IP_MAX);
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
